//! Walking the settings file: a table from which each known key is taken, so that what is left at the end is unknown. Every
//! mistake is noted with its path, and reading goes on.

use toml::{Table, Value};

use super::Mistake;
use super::shape::{Shape, Wrong, nearest, quote};

/// A table of the file while it is read.
pub(super) struct Section<'a> {
    path: String,
    left: Table,
    known: Vec<&'static str>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Section<'a> {
    /// Reads the whole file; what `read` did not take is a mistake.
    pub(super) fn whole<T>(
        table: Table,
        mistakes: &'a mut Vec<Mistake>,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        Section { path: String::new(), left: table, known: Vec::new(), mistakes }.finish(read)
    }

    fn finish<T>(mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let result = read(&mut self);
        for key in self.left.keys() {
            let cure = match nearest(key, &self.known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are: {}", self.known.join(", ")),
            };
            self.mistakes.push(Mistake::new(join(&self.path, key), "is no setting", cure));
        }
        result
    }

    /// Notes a mistake about a key of this table.
    pub(super) fn mistake(&mut self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        self.mistakes.push(Mistake::new(join(&self.path, key), what, cure));
    }

    /// Whether the key is there, taken or not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// A text of that shape; `None` where it is missing or wrong.
    pub(super) fn text<T>(&mut self, key: &'static str, shape: impl Fn(&str) -> Shape<T>) -> Option<T> {
        self.known.push(key);
        let value = self.left.remove(key)?;
        self.shaped(key, &value, shape)
    }

    /// A text that has to be there.
    pub(super) fn required<T>(&mut self, key: &'static str, cure: &str, shape: impl Fn(&str) -> Shape<T>) -> Option<T> {
        if !self.has(key) {
            self.mistake(key, "is missing", cure);
        }
        self.text(key, shape)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.known.push(key);
        let value = self.left.remove(key)?;
        if value.as_bool().is_none() {
            self.mistake(key, format!("is {}", shown(&value)), "write true or false, without quotes");
        }
        value.as_bool()
    }

    /// A list of texts of that shape; those that are wrong are left out.
    pub(super) fn texts<T>(&mut self, key: &'static str, shape: impl Fn(&str) -> Shape<T>) -> Option<Vec<T>> {
        self.known.push(key);
        let Value::Array(values) = self.left.remove(key)? else {
            self.mistake(key, "is not a list", "write it in brackets: [\"…\", \"…\"]");
            return None;
        };
        Some(values.iter().filter_map(|value| self.shaped(key, value, &shape)).collect())
    }

    /// A table within this one.
    pub(super) fn within<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        self.known.push(key);
        let value = self.left.remove(key)?;
        self.table(key, value, read)
    }

    /// A table whose keys are names that people chose, in the order of the names.
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>, &str, Value) -> Option<T>,
    ) -> Vec<(String, T)> {
        let all = self.within(key, |section| {
            let entries: Vec<(String, Value)> = std::mem::take(&mut section.left).into_iter().collect();
            let read = |(name, value): (String, Value)| read(section, &name, value).map(|read| (name, read));
            entries.into_iter().filter_map(read).collect()
        });
        all.unwrap_or_default()
    }

    /// The value of a chosen name as a table.
    pub(super) fn table<T>(&mut self, key: &str, value: Value, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let path = join(&self.path, key);
        let Value::Table(left) = value else {
            self.mistake(key, format!("is {}", shown(&value)), format!("make it a table: [{path}]"));
            return None;
        };
        Some(Section { path, left, known: Vec::new(), mistakes: self.mistakes }.finish(read))
    }

    /// The value of a chosen name as a text of that shape.
    pub(super) fn shaped<T>(&mut self, key: &str, value: &Value, shape: impl Fn(&str) -> Shape<T>) -> Option<T> {
        let Some(text) = value.as_str() else {
            self.mistake(key, format!("is {}", shown(value)), "write a text in quotes");
            return None;
        };
        match shape(text) {
            Ok(shaped) => Some(shaped),
            Err(Wrong { what, cure }) => {
                self.mistake(key, what, cure);
                None
            }
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
    }
}

/// A key as one would write it after the path.
fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { quote(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

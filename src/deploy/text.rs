//! How words are put together, the same everywhere: lists, plurals, cuts. No sentence of the product lives here.

use super::message::{Line, List};
use super::pipeline::Environment;

/// `a`, `a and b`, `a, b and c`.
pub fn and<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(S::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// `1 change`, `3 changes`; persons are people.
pub fn plural(count: usize, thing: &str) -> String {
    match (count, thing) {
        (1, _) => format!("1 {thing}"),
        (_, "person") => format!("{count} people"),
        (_, _) => format!("{count} {thing}s"),
    }
}

/// The text on one line and at most so many characters, with an ellipsis where it was cut.
pub fn cut(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The first items of a list, and how many more there are.
pub fn list<T>(items: &[T], most: usize, line: impl Fn(&T) -> Line) -> List {
    List { lines: items.iter().take(most).map(line).collect(), more: items.len().saturating_sub(most) }
}

/// An environment by what people call it, linked where a person can look at it.
pub fn linked(environment: &Environment) -> Line {
    match &environment.url {
        Some(url) => Line::default().link(environment.label.clone(), url.clone()),
        None => Line::plain(environment.label.clone()),
    }
}

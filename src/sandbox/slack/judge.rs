//! Judges Block Kit against the limits of facts/slack.md 3.1, as strictly as Slack or more. Pure.
//!
//! Only the stable blocks are known here; a block that some workspaces refuse is refused by all of the sandbox.

mod elements;

use serde_json::{Map, Value};

/// Where blocks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// A message: at most 50 blocks.
    Message,
    /// A modal: at most 100 blocks.
    Modal,
}

/// Something that Slack would not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issue {
    /// A JSON pointer to it.
    pub(super) pointer: String,
    /// What is wrong.
    pub(super) message: String,
}

/// Most characters in all texts of a message's blocks together (bolt-js issue 2509: refused from about 13,200).
pub(super) const MAX_TEXT: usize = 12_000;

/// All that is wrong with `blocks`, at `pointer`.
pub(super) fn judge(blocks: &Value, surface: Surface, pointer: &str) -> Vec<Issue> {
    let mut judge = Judge { issues: Vec::new() };
    let max = match surface {
        Surface::Message => 50,
        Surface::Modal => 100,
    };
    let mut ids = Vec::new();
    for (at, block) in judge.list(pointer, Some(blocks), 0, max) {
        judge.block(&at, block);
        judge.unique(&at, block, "block_id", &mut ids);
    }
    judge.issues
}

/// The characters of all texts in these blocks.
pub(super) fn text_length(blocks: &Value) -> usize {
    match blocks {
        Value::Array(items) => items.iter().map(text_length).sum(),
        Value::Object(map) => {
            let own = map.get("text").and_then(Value::as_str).map_or(0, |text| text.chars().count());
            own + map.values().map(text_length).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// All that is wrong with a modal, as `views.open` takes it.
pub(super) fn judge_modal(view: &Value) -> Vec<Issue> {
    let mut judge = Judge { issues: Vec::new() };
    let Some(_) = judge.object("", view, MODAL) else {
        return judge.issues;
    };
    if view["type"] != "modal" {
        judge.issue("/type", "the sandbox knows modals only");
    }
    judge.plain("", view, "title", 1..=24);
    let has_input = view["blocks"].as_array().into_iter().flatten().any(|block| block["type"] == "input");
    judge.plain("", view, "submit", usize::from(has_input)..=24);
    judge.plain("", view, "close", 0..=24);
    judge.string("", view, "private_metadata", 0..=3000);
    judge.string("", view, "callback_id", 0..=255);
    judge.string("", view, "external_id", 0..=255);
    if view.to_string().len() > 250_000 {
        judge.issue("", "the view is larger than 250 kB");
    }
    let mut issues = judge.issues;
    issues.extend(self::judge(&view["blocks"], Surface::Modal, "/blocks"));
    issues
}

const MODAL: &[&str] = &[
    "type",
    "title",
    "blocks",
    "submit",
    "close",
    "private_metadata",
    "callback_id",
    "external_id",
    "clear_on_close",
    "notify_on_close",
    "submit_disabled",
];

struct Judge {
    issues: Vec<Issue>,
}

/// How many characters a text may have.
type Length = std::ops::RangeInclusive<usize>;

/// How a text object may be typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Any,
}

impl Judge {
    fn issue(&mut self, at: &str, message: impl Into<String>) {
        self.issues.push(Issue { pointer: at.to_owned(), message: message.into() });
    }

    fn block(&mut self, at: &str, block: &Value) {
        let kind = block["type"].as_str().unwrap_or("without a type").to_owned();
        let keys: &[&str] = match kind.as_str() {
            "section" => &["text", "fields", "accessory", "expand"],
            "header" => &["text"],
            "divider" => &[],
            "image" => &["image_url", "alt_text", "title"],
            "context" | "actions" | "rich_text" => &["elements"],
            "input" => &["label", "element", "hint", "optional", "dispatch_action"],
            "markdown" => &["text"],
            "table" => &["rows", "column_settings"],
            _ => return self.issue(&format!("{at}/type"), format!("unsupported type: {kind}")),
        };
        let keys = [&["type", "block_id"], keys].concat();
        let Some(_) = self.object(at, block, &keys) else {
            return;
        };
        self.string(at, block, "block_id", 0..=255);
        match kind.as_str() {
            "section" => self.section(at, block),
            "header" => self.plain(at, block, "text", 1..=150),
            "image" => self.image(at, block),
            "context" => self.context(at, block),
            "actions" => self.actions(at, block),
            "input" => self.input(at, block),
            "rich_text" => self.rich_text(at, block),
            "markdown" => self.string(at, block, "text", 1..=12_000),
            "table" => self.table(at, block),
            _ => {}
        }
    }

    fn section(&mut self, at: &str, block: &Value) {
        let fields = block.get("fields");
        self.text(at, block, "text", Kind::Any, usize::from(fields.is_none())..=3000);
        if let Some(fields) = fields {
            for (at, field) in self.list(&format!("{at}/fields"), Some(fields), 1, 10) {
                self.text_object(&at, field, Kind::Any, 2000);
            }
        }
        if let Some(accessory) = block.get("accessory") {
            let at = format!("{at}/accessory");
            if accessory["type"] == "image" { self.image(&at, accessory) } else { self.element(&at, accessory) }
        }
    }

    fn image(&mut self, at: &str, image: &Value) {
        self.string(at, image, "image_url", 1..=3000);
        self.string(at, image, "alt_text", 1..=2000);
        self.plain(at, image, "title", 0..=2000);
    }

    fn context(&mut self, at: &str, block: &Value) {
        for (at, element) in self.list(&format!("{at}/elements"), block.get("elements"), 1, 10) {
            if element["type"] == "image" {
                self.image(&at, element);
            } else {
                self.text_object(&at, element, Kind::Any, 3000);
            }
        }
    }

    fn actions(&mut self, at: &str, block: &Value) {
        let mut ids = Vec::new();
        for (at, element) in self.list(&format!("{at}/elements"), block.get("elements"), 1, 25) {
            self.element(&at, element);
            self.unique(&at, element, "action_id", &mut ids);
        }
    }

    fn input(&mut self, at: &str, block: &Value) {
        self.plain(at, block, "label", 1..=2000);
        self.plain(at, block, "hint", 0..=2000);
        let element = block.get("element").cloned().unwrap_or(Value::Null);
        if element["type"] == "button" || element["type"] == "overflow" {
            self.issue(at, "a button is not an input");
        }
        self.element(&format!("{at}/element"), &element);
    }

    fn table(&mut self, at: &str, block: &Value) {
        for (at, row) in self.list(&format!("{at}/rows"), block.get("rows"), 1, 100) {
            for (at, cell) in self.list(&at, Some(row), 1, 20) {
                match cell["type"].as_str() {
                    Some("raw_text") => self.string(&at, cell, "text", 1..=3000),
                    Some("rich_text") => self.rich_text(&at, cell),
                    Some(_) | None => self.issue(&at, "a cell is raw_text or rich_text"),
                }
            }
        }
    }

    fn plain(&mut self, at: &str, owner: &Value, key: &str, length: Length) {
        self.text(at, owner, key, Kind::Plain, length);
    }

    /// The text object that `owner` has under `key`; needed if `length` begins with 1.
    fn text(&mut self, at: &str, owner: &Value, key: &str, kind: Kind, length: Length) {
        let at = format!("{at}/{key}");
        match owner.get(key).filter(|text| !text.is_null()) {
            Some(text) => self.text_object(&at, text, kind, *length.end()),
            None if *length.start() > 0 => self.issue(&at, "a text is missing"),
            None => {}
        }
    }

    fn text_object(&mut self, at: &str, text: &Value, kind: Kind, max: usize) {
        let own = match (text["type"].as_str(), kind) {
            (Some("plain_text"), Kind::Plain | Kind::Any) => "emoji",
            (Some("mrkdwn"), Kind::Any) => "verbatim",
            (Some(_) | None, Kind::Plain | Kind::Any) => {
                let message = format!("unsupported type: {}", text["type"]);
                return self.issue(&format!("{at}/type"), message);
            }
        };
        if self.object(at, text, &["type", "text", own]).is_some() {
            self.string(at, text, "text", 1..=max);
        }
    }

    /// The string that `owner` has under `key`; needed if `length` (in characters) begins with 1.
    fn string(&mut self, at: &str, owner: &Value, key: &str, length: Length) {
        let (at, max) = (format!("{at}/{key}"), *length.end());
        let required = *length.start() > 0;
        match owner.get(key) {
            None if required => self.issue(&at, "missing"),
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() && required => {
                self.issue(&at, "must be more than 0 characters");
            }
            Some(Value::String(text)) if text.chars().count() > max => {
                self.issue(&at, format!("must be less than {} characters", max + 1));
            }
            Some(Value::String(_)) => {}
            Some(_) => self.issue(&at, "must be a string"),
        }
    }

    fn object<'a>(&mut self, at: &str, value: &'a Value, known: &[&str]) -> Option<&'a Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.issue(at, "must be an object");
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            self.issue(&format!("{at}/{key}"), "no such key");
        }
        Some(map)
    }

    fn list<'a>(&mut self, at: &str, value: Option<&'a Value>, min: usize, max: usize) -> Vec<(String, &'a Value)> {
        let Some(items) = value.and_then(Value::as_array) else {
            self.issue(at, "must be an array");
            return Vec::new();
        };
        if items.len() < min || items.len() > max {
            self.issue(at, format!("must have {min} to {max} items, has {}", items.len()));
        }
        items.iter().enumerate().map(|(i, item)| (format!("{at}/{i}"), item)).collect()
    }

    fn unique(&mut self, at: &str, value: &Value, key: &str, seen: &mut Vec<String>) {
        let Some(id) = value[key].as_str() else {
            return;
        };
        if seen.iter().any(|other| other == id) {
            self.issue(&format!("{at}/{key}"), format!("{id:?} is there twice"));
        }
        seen.push(id.to_owned());
    }
}

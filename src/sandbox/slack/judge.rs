//! Judges Block Kit against the limits of facts/slack.md 3.1, as strictly as Slack or more. Pure.
//!
//! Only the stable blocks are known here; a block that some workspaces refuse is refused by all of the sandbox.

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
            let own = map
                .get("text")
                .and_then(Value::as_str)
                .map_or(0, |text| text.chars().count());
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
    judge.plain("/title", view.get("title"), 24, true);
    let has_input = view["blocks"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|block| block["type"] == "input");
    judge.plain("/submit", view.get("submit"), 24, has_input);
    judge.plain("/close", view.get("close"), 24, false);
    judge.string(
        "/private_metadata",
        view.get("private_metadata"),
        3000,
        false,
    );
    judge.string("/callback_id", view.get("callback_id"), 255, false);
    judge.string("/external_id", view.get("external_id"), 255, false);
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

/// How a text object may be typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Any,
}

impl Judge {
    fn issue(&mut self, at: &str, message: impl Into<String>) {
        self.issues.push(Issue {
            pointer: at.to_owned(),
            message: message.into(),
        });
    }

    fn block(&mut self, at: &str, block: &Value) {
        let kind = block["type"]
            .as_str()
            .unwrap_or("without a type")
            .to_owned();
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
        self.string(&format!("{at}/block_id"), block.get("block_id"), 255, false);
        match kind.as_str() {
            "section" => self.section(at, block),
            "header" => self.plain(&format!("{at}/text"), block.get("text"), 150, true),
            "image" => self.image(at, block),
            "context" => self.context(at, block),
            "actions" => self.actions(at, block),
            "input" => self.input(at, block),
            "rich_text" => self.rich_text(at, block),
            "markdown" => self.string(&format!("{at}/text"), block.get("text"), 12_000, true),
            "table" => self.table(at, block),
            _ => {}
        }
    }

    fn section(&mut self, at: &str, block: &Value) {
        let fields = block.get("fields");
        self.text(
            &format!("{at}/text"),
            block.get("text"),
            Kind::Any,
            3000,
            fields.is_none(),
        );
        if let Some(fields) = fields {
            for (at, field) in self.list(&format!("{at}/fields"), Some(fields), 1, 10) {
                self.text(&at, Some(field), Kind::Any, 2000, true);
            }
        }
        if let Some(accessory) = block.get("accessory") {
            let at = format!("{at}/accessory");
            if accessory["type"] == "image" {
                self.image(&at, accessory)
            } else {
                self.element(&at, accessory)
            }
        }
    }

    fn image(&mut self, at: &str, image: &Value) {
        self.string(
            &format!("{at}/image_url"),
            image.get("image_url"),
            3000,
            true,
        );
        self.string(&format!("{at}/alt_text"), image.get("alt_text"), 2000, true);
        self.plain(&format!("{at}/title"), image.get("title"), 2000, false);
    }

    fn context(&mut self, at: &str, block: &Value) {
        for (at, element) in self.list(&format!("{at}/elements"), block.get("elements"), 1, 10) {
            if element["type"] == "image" {
                self.image(&at, element);
            } else {
                self.text(&at, Some(element), Kind::Any, 3000, true);
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
        self.plain(&format!("{at}/label"), block.get("label"), 2000, true);
        self.plain(&format!("{at}/hint"), block.get("hint"), 2000, false);
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
                    Some("raw_text") => {
                        self.string(&format!("{at}/text"), cell.get("text"), 3000, true)
                    }
                    Some("rich_text") => self.rich_text(&at, cell),
                    Some(_) | None => self.issue(&at, "a cell is raw_text or rich_text"),
                }
            }
        }
    }

    /// Anything that a person can press, choose or fill in.
    fn element(&mut self, at: &str, element: &Value) {
        let kind = element["type"]
            .as_str()
            .unwrap_or("without a type")
            .to_owned();
        let keys: &[&str] = match kind.as_str() {
            "button" => &[
                "text",
                "value",
                "url",
                "style",
                "confirm",
                "accessibility_label",
            ],
            "overflow" => &["options", "confirm"],
            "static_select" => &[
                "options",
                "initial_option",
                "placeholder",
                "confirm",
                "focus_on_load",
            ],
            "multi_static_select" => &[
                "options",
                "initial_options",
                "placeholder",
                "confirm",
                "max_selected_items",
                "focus_on_load",
            ],
            "users_select" => &["initial_user", "placeholder", "confirm", "focus_on_load"],
            "checkboxes" => &["options", "initial_options", "confirm", "focus_on_load"],
            "radio_buttons" => &["options", "initial_option", "confirm", "focus_on_load"],
            "plain_text_input" => PLAIN_TEXT_INPUT,
            _ => return self.issue(&format!("{at}/type"), format!("unsupported type: {kind}")),
        };
        let keys = [&["type", "action_id"], keys].concat();
        let Some(_) = self.object(at, element, &keys) else {
            return;
        };
        self.string(
            &format!("{at}/action_id"),
            element.get("action_id"),
            255,
            true,
        );
        self.plain(
            &format!("{at}/placeholder"),
            element.get("placeholder"),
            150,
            false,
        );
        if let Some(confirm) = element.get("confirm") {
            self.confirm(&format!("{at}/confirm"), confirm);
        }
        match kind.as_str() {
            "button" => self.button(at, element),
            "overflow" => self.options(at, element, 5),
            "checkboxes" | "radio_buttons" => self.options(at, element, 10),
            "static_select" | "multi_static_select" => self.options(at, element, 100),
            "plain_text_input" => self.string(
                &format!("{at}/initial_value"),
                element.get("initial_value"),
                3000,
                false,
            ),
            _ => {}
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        self.plain(&format!("{at}/text"), button.get("text"), 75, true);
        self.string(&format!("{at}/value"), button.get("value"), 2000, false);
        self.string(&format!("{at}/url"), button.get("url"), 3000, false);
        self.string(
            &format!("{at}/accessibility_label"),
            button.get("accessibility_label"),
            75,
            false,
        );
        self.style(at, button);
    }

    fn style(&mut self, at: &str, value: &Value) {
        if let Some(style) = value
            .get("style")
            .filter(|style| !["primary", "danger"].map(Value::from).contains(style))
        {
            self.issue(
                &format!("{at}/style"),
                format!("unsupported style: {style}"),
            );
        }
    }

    fn confirm(&mut self, at: &str, confirm: &Value) {
        let Some(_) = self.object(at, confirm, &["title", "text", "confirm", "deny", "style"])
        else {
            return;
        };
        self.plain(&format!("{at}/title"), confirm.get("title"), 100, true);
        self.text(
            &format!("{at}/text"),
            confirm.get("text"),
            Kind::Any,
            300,
            true,
        );
        self.plain(&format!("{at}/confirm"), confirm.get("confirm"), 30, true);
        self.plain(&format!("{at}/deny"), confirm.get("deny"), 30, true);
        self.style(at, confirm);
    }

    fn options(&mut self, at: &str, element: &Value, max: usize) {
        let mut values = Vec::new();
        let kind = match element["type"].as_str() {
            Some("checkboxes" | "radio_buttons") => Kind::Any,
            Some(_) | None => Kind::Plain,
        };
        for (at, option) in self.list(&format!("{at}/options"), element.get("options"), 1, max) {
            let Some(_) = self.object(&at, option, &["text", "value", "description", "url"]) else {
                continue;
            };
            self.text(&format!("{at}/text"), option.get("text"), kind, 75, true);
            self.text(
                &format!("{at}/description"),
                option.get("description"),
                kind,
                75,
                false,
            );
            self.string(&format!("{at}/value"), option.get("value"), 150, true);
            self.unique(&at, option, "value", &mut values);
        }
        let initial = element
            .get("initial_options")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let known = element["options"].as_array().map_or(&[][..], Vec::as_slice);
        if initial
            .chain(element.get("initial_option"))
            .any(|option| !known.contains(option))
        {
            self.issue(at, "an initial option is not one of the options");
        }
    }

    fn rich_text(&mut self, at: &str, block: &Value) {
        for (at, part) in self.list(
            &format!("{at}/elements"),
            block.get("elements"),
            1,
            usize::MAX,
        ) {
            match part["type"].as_str() {
                Some("rich_text_list") => {
                    for (at, line) in self.list(
                        &format!("{at}/elements"),
                        part.get("elements"),
                        1,
                        usize::MAX,
                    ) {
                        self.rich_line(&at, line);
                    }
                }
                Some("rich_text_section" | "rich_text_preformatted" | "rich_text_quote") => {
                    self.rich_line(&at, part)
                }
                Some(_) | None => self.issue(&format!("{at}/type"), "unsupported rich text"),
            }
        }
    }

    fn rich_line(&mut self, at: &str, line: &Value) {
        for (at, element) in self.list(
            &format!("{at}/elements"),
            line.get("elements"),
            0,
            usize::MAX,
        ) {
            let needed = match element["type"].as_str() {
                Some("text") => "text",
                Some("link") => "url",
                Some("user") => "user_id",
                Some("usergroup") => "usergroup_id",
                Some("channel") => "channel_id",
                Some("emoji") => "name",
                Some("broadcast") => "range",
                Some("date") => "format",
                Some(_) | None => {
                    self.issue(&format!("{at}/type"), "unsupported rich text element");
                    continue;
                }
            };
            self.string(&format!("{at}/{needed}"), element.get(needed), 3000, true);
        }
    }

    fn plain(&mut self, at: &str, text: Option<&Value>, max: usize, required: bool) {
        self.text(at, text, Kind::Plain, max, required);
    }

    fn text(&mut self, at: &str, text: Option<&Value>, kind: Kind, max: usize, required: bool) {
        let Some(text) = text.filter(|text| !text.is_null()) else {
            if required {
                self.issue(at, "a text is missing");
            }
            return;
        };
        let own = match (text["type"].as_str(), kind) {
            (Some("plain_text"), Kind::Plain | Kind::Any) => "emoji",
            (Some("mrkdwn"), Kind::Any) => "verbatim",
            (Some(_) | None, Kind::Plain | Kind::Any) => {
                return self.issue(
                    &format!("{at}/type"),
                    format!("unsupported type: {}", text["type"]),
                );
            }
        };
        let Some(_) = self.object(at, text, &["type", "text", own]) else {
            return;
        };
        self.string(&format!("{at}/text"), text.get("text"), max, true);
    }

    fn string(&mut self, at: &str, value: Option<&Value>, max: usize, required: bool) {
        match value {
            None if required => self.issue(at, "missing"),
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() && required => {
                self.issue(at, "must be more than 0 characters")
            }
            Some(Value::String(text)) if text.chars().count() > max => {
                self.issue(at, format!("must be less than {} characters", max + 1));
            }
            Some(Value::String(_)) => {}
            Some(_) => self.issue(at, "must be a string"),
        }
    }

    fn object<'a>(
        &mut self,
        at: &str,
        value: &'a Value,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.issue(at, "must be an object");
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            self.issue(&format!("{at}/{key}"), "no such key");
        }
        Some(map)
    }

    fn list<'a>(
        &mut self,
        at: &str,
        value: Option<&'a Value>,
        min: usize,
        max: usize,
    ) -> Vec<(String, &'a Value)> {
        let Some(items) = value.and_then(Value::as_array) else {
            self.issue(at, "must be an array");
            return Vec::new();
        };
        if items.len() < min || items.len() > max {
            self.issue(
                at,
                format!("must have {min} to {max} items, has {}", items.len()),
            );
        }
        items
            .iter()
            .enumerate()
            .map(|(i, item)| (format!("{at}/{i}"), item))
            .collect()
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

const PLAIN_TEXT_INPUT: &[&str] = &[
    "initial_value",
    "multiline",
    "min_length",
    "max_length",
    "placeholder",
    "dispatch_action_config",
    "focus_on_load",
];

//! Judges what stands inside blocks: buttons, menus, inputs, confirm dialogs, rich text.

use serde_json::Value;

use super::{Judge, Kind};

impl Judge {
    /// Anything that a person can press, choose or fill in.
    pub(super) fn element(&mut self, at: &str, element: &Value) {
        let kind = element["type"].as_str().unwrap_or("without a type").to_owned();
        let Some(keys) = keys(&kind) else {
            return self.issue(&format!("{at}/type"), format!("unsupported type: {kind}"));
        };
        let keys = [&["type", "action_id"], keys].concat();
        let Some(_) = self.object(at, element, &keys) else {
            return;
        };
        self.string(at, element, "action_id", 1..=255);
        self.plain(at, element, "placeholder", 0..=150);
        if let Some(confirm) = element.get("confirm") {
            self.confirm(&format!("{at}/confirm"), confirm);
        }
        match kind.as_str() {
            "button" => self.button(at, element),
            "overflow" => self.options(at, element, 5),
            "checkboxes" | "radio_buttons" => self.options(at, element, 10),
            "static_select" | "multi_static_select" => self.options(at, element, 100),
            "plain_text_input" => self.string(at, element, "initial_value", 0..=3000),
            _ => {}
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        self.plain(at, button, "text", 1..=75);
        self.string(at, button, "value", 0..=2000);
        self.string(at, button, "url", 0..=3000);
        self.string(at, button, "accessibility_label", 0..=75);
        self.style(at, button);
    }

    fn style(&mut self, at: &str, value: &Value) {
        if let Some(style) = value.get("style").filter(|style| !["primary", "danger"].map(Value::from).contains(style))
        {
            self.issue(&format!("{at}/style"), format!("unsupported style: {style}"));
        }
    }

    fn confirm(&mut self, at: &str, confirm: &Value) {
        let Some(_) = self.object(at, confirm, &["title", "text", "confirm", "deny", "style"]) else {
            return;
        };
        self.plain(at, confirm, "title", 1..=100);
        self.text(at, confirm, "text", Kind::Any, 1..=300);
        self.plain(at, confirm, "confirm", 1..=30);
        self.plain(at, confirm, "deny", 1..=30);
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
            self.text(&at, option, "text", kind, 1..=75);
            self.text(&at, option, "description", kind, 0..=75);
            self.string(&at, option, "value", 1..=150);
            self.unique(&at, option, "value", &mut values);
        }
        let initial = element.get("initial_options").and_then(Value::as_array).into_iter().flatten();
        let known = element["options"].as_array().map_or(&[][..], Vec::as_slice);
        if initial.chain(element.get("initial_option")).any(|option| !known.contains(option)) {
            self.issue(at, "an initial option is not one of the options");
        }
    }

    pub(super) fn rich_text(&mut self, at: &str, block: &Value) {
        for (at, part) in self.list(&format!("{at}/elements"), block.get("elements"), 1, usize::MAX) {
            match part["type"].as_str() {
                Some("rich_text_list") => {
                    for (at, line) in self.list(&format!("{at}/elements"), part.get("elements"), 1, usize::MAX) {
                        self.rich_line(&at, line);
                    }
                }
                Some("rich_text_section" | "rich_text_preformatted" | "rich_text_quote") => self.rich_line(&at, part),
                Some(_) | None => self.issue(&format!("{at}/type"), "unsupported rich text"),
            }
        }
    }

    fn rich_line(&mut self, at: &str, line: &Value) {
        for (at, element) in self.list(&format!("{at}/elements"), line.get("elements"), 0, usize::MAX) {
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
            self.string(&at, element, needed, 1..=3000);
        }
    }
}

/// The keys that an element of this type may have besides `type` and `action_id`; None for an unknown type.
fn keys(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "button" => &["text", "value", "url", "style", "confirm", "accessibility_label"],
        "overflow" => &["options", "confirm"],
        "static_select" => &["options", "initial_option", "placeholder", "confirm", "focus_on_load"],
        "multi_static_select" => MULTI_STATIC_SELECT,
        "users_select" => &["initial_user", "placeholder", "confirm", "focus_on_load"],
        "checkboxes" => &["options", "initial_options", "confirm", "focus_on_load"],
        "radio_buttons" => &["options", "initial_option", "confirm", "focus_on_load"],
        "plain_text_input" => PLAIN_TEXT_INPUT,
        _ => return None,
    })
}

const MULTI_STATIC_SELECT: &[&str] =
    &["options", "initial_options", "placeholder", "confirm", "max_selected_items", "focus_on_load"];
const PLAIN_TEXT_INPUT: &[&str] = &[
    "initial_value",
    "multiline",
    "min_length",
    "max_length",
    "placeholder",
    "dispatch_action_config",
    "focus_on_load",
];

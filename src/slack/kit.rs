//! Slack's Block Kit as types, as far as the bot uses it: what they serialise to is what Slack takes. Limits are kept by `blocks`.

use std::borrow::Cow;

use serde::Serialize;

/// Text of a message, copied only where something in it had to change.
pub(super) type Text<'a> = Cow<'a, str>;

/// A block of a message or a form.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    /// Neighbouring paragraphs and lists.
    RichText {
        elements: Vec<Rich<'a>>,
    },
    /// A row of buttons.
    Actions {
        elements: Vec<Element<'a>>,
    },
    Input(Box<Input<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Rich<'a> {
    RichTextSection { elements: Vec<Piece<'a>> },
    RichTextList { style: &'static str, elements: Vec<Rich<'a>> },
}

/// A piece of text. Nothing in it is markup.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    Text {
        text: Text<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        style: Option<Style>,
    },
    Link {
        url: String,
        text: Text<'a>,
    },
    User {
        user_id: &'a str,
    },
    /// Shown in the reader's own time zone.
    Date {
        timestamp: i64,
        format: &'static str,
        fallback: String,
    },
}

/// `{ "bold": true }`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Style {
    Bold(bool),
    Code(bool),
}

/// Something to press or to fill in.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Element<'a> {
    Button {
        action_id: String,
        text: PlainText<'a>,
        value: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        style: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        confirm: Option<Confirm<'a>>,
    },
    PlainTextInput {
        action_id: &'static str,
        min_length: usize,
        max_length: usize,
    },
    Checkboxes {
        action_id: &'static str,
        options: Vec<Choice<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        initial_options: Vec<Choice<'a>>,
    },
    StaticSelect {
        action_id: &'static str,
        options: Vec<Choice<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_option: Option<Choice<'a>>,
    },
}

/// An input of a form with its label.
#[derive(Serialize)]
pub(super) struct Input<'a> {
    pub block_id: &'a str,
    pub label: PlainText<'a>,
    pub optional: bool,
    pub element: Element<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<PlainText<'a>>,
}

/// An option of a menu or of a row of ticks.
#[derive(Clone, Serialize)]
pub(super) struct Choice<'a> {
    pub text: PlainText<'a>,
    pub value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<PlainText<'a>>,
}

/// What a button asks before it counts.
#[derive(Serialize)]
pub(super) struct Confirm<'a> {
    pub title: PlainText<'a>,
    pub text: PlainText<'a>,
    pub confirm: PlainText<'a>,
    pub deny: PlainText<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<&'static str>,
}

/// Words in which `:smile:` stays what it is.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename = "plain_text")]
pub(super) struct PlainText<'a> {
    pub text: Text<'a>,
    pub emoji: bool,
}

/// A form.
#[derive(Serialize)]
#[serde(tag = "type", rename = "modal")]
pub(super) struct Modal<'a> {
    pub title: PlainText<'a>,
    pub close: PlainText<'a>,
    pub blocks: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submit: Option<PlainText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_id: Option<String>,
    /// Comes back with what was filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_metadata: Option<String>,
}

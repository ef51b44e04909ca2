//! Messages, ephemeral messages and modals as people see them. Nothing here judges or sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::people::{APP, BOT, BOT_USER, TEAM};

/// Where a button can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MessageRef {
    /// A message that everybody sees.
    Message {
        /// The channel's id.
        channel: String,
        /// The message's `ts`.
        ts: String,
    },
    /// A message that one person sees.
    Ephemeral {
        /// The ephemeral message's `ts`.
        ts: String,
    },
    /// An open modal.
    View {
        /// The view's id.
        id: String,
    },
}

/// A message in a channel, a thread or a direct message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// Slack's id for the message within its channel, also its time.
    pub ts: String,
    /// The user id of whoever wrote it.
    pub author: String,
    /// The top-level text: notification and fallback.
    pub text: String,
    /// Block Kit, as posted, with the `block_id`s that Slack fills in.
    pub blocks: Vec<Value>,
    /// How often it was edited.
    pub edits: u32,
    /// The parent's `ts`, for a reply.
    pub thread_ts: Option<String>,
    /// A reply that is shown in the channel too.
    pub broadcast: bool,
    /// `{"event_type", "event_payload"}`, if given.
    pub metadata: Option<Value>,
    /// The names of the bot's reactions.
    pub reactions: Vec<String>,
    /// The thread, oldest first. Filled in by [`super::Workspace::messages`] only.
    pub replies: Vec<Message>,
    /// The blocks before each edit: a slow person may still click on them.
    pub(super) older: Vec<Vec<Value>>,
}

/// A message that only one person sees.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// Its `ts`.
    pub ts: String,
    /// The only person who sees it.
    pub user: String,
    /// The channel it is shown in.
    pub channel: String,
    /// The thread it is shown in, if any.
    pub thread_ts: Option<String>,
    /// The bot's user id, or `USLACKBOT` where Slack itself reports an error.
    pub author: String,
    /// The top-level text.
    pub text: String,
    /// Block Kit.
    pub blocks: Vec<Value>,
    /// How often it was replaced.
    pub edits: u32,
    /// What it answers, by ack or by `response_url`: the text of a command, or a button's `action_id`.
    pub asked: Option<String>,
    pub(super) older: Vec<Vec<Value>>,
}

/// What somebody was answered, by ack or by `response_url`.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it was given: the path of a `response_url`, also of one that was answered in the ack.
    pub path: String,
    /// Who asked.
    pub user: String,
    /// What it answers: the text of a command, or a button's `action_id`.
    pub asked: String,
    /// The top-level text.
    pub text: String,
    /// Block Kit.
    pub blocks: Vec<Value>,
}

/// A modal that is open for one person.
#[derive(Clone, Debug)]
pub struct View {
    /// The view's id.
    pub id: String,
    /// Who has it open.
    pub user: String,
    /// Changes with every update.
    pub hash: String,
    /// The first view of the stack that this one is in.
    pub root: String,
    /// The view below this one, if it was pushed.
    pub previous: Option<String>,
    /// The view as the bot described it.
    pub body: Value,
    /// What Slack shows beside the inputs, by `block_id`.
    pub errors: BTreeMap<String, String>,
    pub(super) older: Vec<Vec<Value>>,
}

/// A button as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// The id of its block.
    pub block_id: String,
    /// What the bot calls it.
    pub action_id: String,
    /// What it says.
    pub text: String,
    /// What it carries, if anything.
    pub value: Option<String>,
    /// The text of its confirm dialog, if it has one.
    pub confirm: Option<String>,
}

impl Message {
    /// A message in a channel, new and unadorned.
    pub(super) fn new(channel: &str, ts: &str, author: &str, text: String, blocks: Vec<Value>) -> Message {
        Message {
            channel: channel.to_owned(),
            ts: ts.to_owned(),
            author: author.to_owned(),
            text,
            blocks,
            edits: 0,
            thread_ts: None,
            broadcast: false,
            metadata: None,
            reactions: Vec::new(),
            replies: Vec::new(),
            older: Vec::new(),
        }
    }

    /// Shows something else from now on.
    pub(super) fn edit(&mut self, text: String, blocks: Vec<Value>) {
        self.text = text;
        self.older.push(std::mem::replace(&mut self.blocks, blocks));
        self.edits += 1;
    }

    /// Where its buttons are.
    pub fn at(&self) -> MessageRef {
        MessageRef::Message { channel: self.channel.clone(), ts: self.ts.clone() }
    }

    /// What a person reads: the blocks' texts line by line, or the text where there are no blocks.
    pub fn reads(&self) -> String {
        reads(&self.text, &self.blocks)
    }

    /// Its buttons, in order.
    pub fn buttons(&self) -> Vec<Button> {
        buttons(&self.blocks)
    }

    /// As `conversations.history` and payloads show it (facts/slack.md 2.2).
    pub(super) fn json(&self, with_metadata: bool) -> Value {
        let mut message =
            json!({"type": "message", "user": self.author, "text": self.text, "ts": self.ts, "team": TEAM});
        if self.author == BOT_USER {
            message["bot_id"] = json!(BOT);
            message["app_id"] = json!(APP);
        }
        if !self.blocks.is_empty() {
            message["blocks"] = json!(self.blocks);
        }
        if let Some(parent) = &self.thread_ts {
            message["thread_ts"] = json!(parent);
        }
        if self.broadcast {
            message["subtype"] = json!("thread_broadcast");
        }
        if self.edits > 0 {
            message["edited"] = json!({"user": self.author, "ts": self.ts});
        }
        if let (true, Some(metadata)) = (with_metadata, &self.metadata) {
            message["metadata"] = metadata.clone();
        }
        message
    }
}

impl Ephemeral {
    /// Shows something else from now on.
    pub(super) fn edit(&mut self, text: String, blocks: Vec<Value>) {
        self.text = text;
        self.older.push(std::mem::replace(&mut self.blocks, blocks));
        self.edits += 1;
    }

    /// Where its buttons are.
    pub fn at(&self) -> MessageRef {
        MessageRef::Ephemeral { ts: self.ts.clone() }
    }

    /// What a person reads.
    pub fn reads(&self) -> String {
        reads(&self.text, &self.blocks)
    }

    /// Its buttons, in order.
    pub fn buttons(&self) -> Vec<Button> {
        buttons(&self.blocks)
    }
}

impl Answer {
    /// What a person reads.
    pub fn reads(&self) -> String {
        reads(&self.text, &self.blocks)
    }
}

impl View {
    /// Where its buttons are.
    pub fn at(&self) -> MessageRef {
        MessageRef::View { id: self.id.clone() }
    }

    /// The view's blocks.
    pub fn blocks(&self) -> &[Value] {
        self.body["blocks"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What a person reads: the title, then the blocks.
    pub fn reads(&self) -> String {
        let title = self.body["title"]["text"].as_str().unwrap_or_default();
        format!("{title}\n{}", reads("", self.blocks()))
    }

    /// Its buttons, in order; not its submit button.
    pub fn buttons(&self) -> Vec<Button> {
        buttons(self.blocks())
    }

    /// As payloads and the answers of `views.*` show it, with `values` as its state.
    pub(super) fn json(&self, values: &Value) -> Value {
        let given = |key: &str| self.body.get(key).cloned().unwrap_or(Value::Null);
        json!({
            "id": self.id, "team_id": TEAM, "type": "modal", "blocks": given("blocks"),
            "private_metadata": self.body["private_metadata"].as_str().unwrap_or_default(),
            "callback_id": self.body["callback_id"].as_str().unwrap_or_default(),
            "external_id": self.body["external_id"].as_str().unwrap_or_default(),
            "state": {"values": values}, "hash": self.hash, "title": given("title"),
            "clear_on_close": self.body["clear_on_close"].as_bool().unwrap_or(false),
            "notify_on_close": self.body["notify_on_close"].as_bool().unwrap_or(false),
            "close": given("close"), "submit": given("submit"),
            "previous_view_id": self.previous, "root_view_id": self.root,
            "app_id": APP, "app_installed_team_id": TEAM, "bot_id": BOT,
        })
    }
}

/// Every element that can be clicked, with its block's id.
pub(super) fn clickable(blocks: &[Value]) -> impl Iterator<Item = (&str, &Value)> {
    blocks.iter().flat_map(|block| {
        let id = block["block_id"].as_str().unwrap_or_default();
        let elements = if block["type"] == "actions" { block["elements"].as_array() } else { None };
        let elements = elements.into_iter().flatten().chain(block.get("accessory"));
        elements.filter(|element| element.get("action_id").is_some()).map(move |element| (id, element))
    })
}

fn buttons(blocks: &[Value]) -> Vec<Button> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    clickable(blocks)
        .filter(|(_, element)| element["type"] == "button")
        .map(|(block_id, element)| Button {
            block_id: block_id.to_owned(),
            action_id: text(&element["action_id"]).unwrap_or_default(),
            text: text(&element["text"]["text"]).unwrap_or_default(),
            value: text(&element["value"]),
            confirm: text(&element["confirm"]["text"]["text"]),
        })
        .collect()
}

fn reads(text: &str, blocks: &[Value]) -> String {
    if blocks.is_empty() {
        return text.to_owned();
    }
    let mut lines = Vec::new();
    blocks.iter().for_each(|block| read(block, &mut lines));
    lines.join("\n")
}

/// Rich text is read as one line per section; everything else as one line per text object.
fn read(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| read(item, lines)),
        Value::Object(_) if is_rich_line(value) => lines.push(rich_line(&value["elements"])),
        Value::Object(map) => {
            if let Some(text) = map.get("text").and_then(Value::as_str) {
                lines.push(text.to_owned());
            }
            for key in ["label", "hint", "text", "fields", "elements", "accessory", "element", "options", "rows"] {
                if let Some(inner) = map.get(key) {
                    read(inner, lines);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_rich_line(value: &Value) -> bool {
    matches!(value["type"].as_str(), Some("rich_text_section" | "rich_text_preformatted" | "rich_text_quote"))
}

fn rich_line(elements: &Value) -> String {
    let word = |element: &Value| {
        let word = match element["type"].as_str() {
            Some("user") => format!("<@{}>", element["user_id"].as_str().unwrap_or_default()),
            Some("usergroup") => format!("<!subteam^{}>", element["usergroup_id"].as_str().unwrap_or_default()),
            Some("channel") => format!("<#{}>", element["channel_id"].as_str().unwrap_or_default()),
            Some("emoji") => format!(":{}:", element["name"].as_str().unwrap_or_default()),
            Some("broadcast") => format!("<!{}>", element["range"].as_str().unwrap_or_default()),
            Some("date") => element["fallback"].as_str().unwrap_or_default().to_owned(),
            Some(_) | None => String::new(),
        };
        let text = element["text"].as_str().or(element["url"].as_str()).unwrap_or_default();
        word + text
    };
    elements.as_array().into_iter().flatten().map(word).collect()
}

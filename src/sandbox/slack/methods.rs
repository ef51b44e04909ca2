//! Which methods of the Web API there are, and how each one is called (facts/slack.md 2.1, slack-api-ref).

use serde_json::{Value, json};

use super::api::Args;
use super::refused::Refused;
use super::state::State;
use super::{chat, lookups, modals};

/// How a method takes its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// GET with a query, or POST with a form; no JSON.
    Query,
    /// POST with JSON or a form.
    Json,
    /// Any of them.
    Either,
}

/// Which token a method wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `xoxb-…`.
    Bot,
    /// `xapp-…`.
    App,
}

/// One method.
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    pub(super) token: Token,
    pub(super) required: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
    pub(super) run: fn(&mut State, &Args) -> Result<Value, Refused>,
}

/// The method of this name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

type Run = fn(&mut State, &Args) -> Result<Value, Refused>;
type Names = &'static [&'static str];

const fn read(name: &'static str, required: Names, optional: Names, run: Run) -> Method {
    Method { name, takes: Takes::Query, token: Token::Bot, required, optional, run }
}

const fn write(name: &'static str, required: Names, optional: Names, run: Run) -> Method {
    Method { name, takes: Takes::Json, token: Token::Bot, required, optional, run }
}

const METHODS: &[Method] = &[
    Method { token: Token::App, ..write("apps.connections.open", &[], &[], connections_open) },
    Method { takes: Takes::Either, ..write("auth.test", &[], &[], lookups::auth_test) },
    write("chat.postMessage", &["channel"], POST_MESSAGE, chat::post_message),
    write("chat.update", &["channel", "ts"], UPDATE, chat::update),
    write("chat.postEphemeral", &["channel", "user"], POST_EPHEMERAL, chat::post_ephemeral),
    write("chat.delete", &["channel", "ts"], &["as_user"], chat::delete),
    read("chat.getPermalink", &["channel", "message_ts"], &[], chat::permalink),
    write("reactions.add", &["channel", "name", "timestamp"], &[], chat::react),
    write("reactions.remove", &["channel", "name", "timestamp"], &[], chat::unreact),
    read("conversations.info", &["channel"], &["include_locale", "include_num_members"], lookups::conversation),
    read("conversations.list", &[], LIST, lookups::conversations),
    write("conversations.open", &["users"], &["return_im", "prevent_creation"], lookups::open_dm),
    write("conversations.join", &["channel"], &[], lookups::join),
    Method { takes: Takes::Either, ..read("conversations.history", &["channel"], HISTORY, lookups::history) },
    read("conversations.replies", &["channel", "ts"], HISTORY, lookups::replies),
    read("users.info", &["user"], &["include_locale"], lookups::user),
    read("users.lookupByEmail", &["email"], &[], lookups::user_by_email),
    read("usergroups.list", &[], &["include_count", "include_disabled", "include_users", "team_id"], lookups::groups),
    read("usergroups.users.list", &["usergroup"], &["include_disabled", "team_id"], lookups::group_members),
    write("views.open", &["trigger_id", "view"], &[], modals::open),
    write("views.push", &["trigger_id", "view"], &[], modals::push),
    write("views.update", &["view"], &["view_id", "external_id", "hash"], modals::update),
    write("blocks.validate", &[], &["blocks", "message", "view"], modals::validate),
];

const POST_MESSAGE: Names = &[
    "text",
    "blocks",
    "metadata",
    "thread_ts",
    "reply_broadcast",
    "unfurl_links",
    "unfurl_media",
    "mrkdwn",
    "link_names",
    "parse",
];
const UPDATE: Names = &["text", "blocks", "metadata", "link_names", "parse", "reply_broadcast"];
const POST_EPHEMERAL: Names = &["text", "blocks", "metadata", "thread_ts", "link_names", "parse"];
const LIST: Names = &["cursor", "exclude_archived", "limit", "team_id", "types"];
const HISTORY: Names = &["cursor", "include_all_metadata", "inclusive", "latest", "limit", "oldest"];

fn connections_open(state: &mut State, _: &Args) -> Result<Value, Refused> {
    Ok(json!({"url": state.ticket()}))
}

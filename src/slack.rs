//! Slack's Web API, as far as the bot uses it. Each call is one attempt with a time limit: whether to try again is for the
//! outbox to decide. No rule and no wording of the product lives here or below.

pub mod blocks;
mod error;
pub mod inbound;
mod kit;
pub mod people;
pub mod socket;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::deploy::action::Reply;
use crate::deploy::form::{Form, View};
use crate::deploy::message::Message;
use crate::deploy::name::SlackId;
use crate::deploy::policy::Account;

pub use error::SlackError;
use wire::Wire;

/// The longest that one call may take. Slack answers within a second; the address for an answer lives 30 minutes, so there is time
/// for another attempt.
const CALL: Duration = Duration::from_secs(10);
/// Like [`CALL`], for the ticket of a new socket: an outage has to be left soon after its end.
const TICKET: Duration = Duration::from_secs(3);
/// The type of the metadata that every posted message carries.
const EVENT_TYPE: &str = "lockkeeper_effect";
/// How many pages of a channel are looked through for one message.
const HISTORY_PAGES: usize = 5;
/// How many pages of channels are looked through for a name: 20,000 channels.
const CHANNEL_PAGES: usize = 20;

/// The Web API with the bot's two tokens. Clones share their connections.
#[derive(Clone)]
pub struct Slack {
    wire: Wire,
}

/// Who the bot is: `auth.test`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The workspace: `T…`.
    pub team_id: String,
    /// The bot as a user: `U…`.
    pub user_id: String,
    /// The bot: `B…`; a token that is no bot's has none.
    #[serde(default)]
    pub bot_id: Option<String>,
    /// The workspace's address.
    pub url: String,
    /// The workspace's name.
    pub team: String,
}

/// A message that stands in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Posted {
    /// Channel id.
    pub channel: String,
    /// Slack's message id, a decimal text; never a number.
    pub ts: String,
}

/// A channel, as the bot sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Channel {
    /// `C…` or `G…`.
    pub id: String,
    /// Without `#`.
    #[serde(default)]
    pub name: String,
    /// Whether the bot was invited.
    #[serde(default)]
    pub is_member: bool,
    /// Nobody can write any more.
    #[serde(default)]
    pub is_archived: bool,
    /// Shared with another company (Slack Connect): strangers read along.
    #[serde(default)]
    pub is_ext_shared: bool,
}

/// What Slack says about somebody: `users.info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What kind of account.
    pub account: Account,
    /// The name to show; from outside.
    pub name: String,
    /// Time zone: `Europe/Berlin`.
    pub tz: Option<String>,
}

/// A message, and what a method wants to know beside it.
#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    content: blocks::Content,
    #[serde(flatten)]
    beside: Value,
}

impl Body {
    fn of(message: &Message, beside: Value) -> Self {
        Self { content: blocks::content(message), beside }
    }
}

/// A form, and where it is to be shown.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view_id: Option<&'a str>,
    view: Box<RawValue>,
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Default, Deserialize)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

#[derive(Deserialize)]
struct History {
    messages: Vec<Found>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

/// A message of any app.
#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    ts: Value,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Channels {
    channels: Vec<Channel>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

#[derive(Deserialize)]
struct OneChannel {
    channel: Channel,
}

#[derive(Deserialize)]
struct Opened {
    view: WithId,
}

#[derive(Deserialize)]
struct Direct {
    channel: WithId,
}

#[derive(Deserialize)]
struct WithId {
    id: String,
}

#[derive(Deserialize)]
struct Members {
    users: BTreeSet<SlackId>,
}

#[derive(Deserialize)]
struct OneUser {
    user: User,
}

/// Everything but the id may be missing: deactivated and foreign users come with less.
#[derive(Deserialize)]
struct User {
    id: String,
    team_id: Option<String>,
    name: Option<String>,
    real_name: Option<String>,
    tz: Option<String>,
    deleted: Option<bool>,
    is_bot: Option<bool>,
    is_restricted: Option<bool>,
    is_ultra_restricted: Option<bool>,
    is_stranger: Option<bool>,
    profile: Option<Names>,
}

#[derive(Deserialize)]
struct Names {
    display_name: Option<String>,
}

impl Slack {
    /// A client for the API below `base_url` (`https://slack.com/api`; a trailing slash does no harm), with the bot's token `xoxb-…` and
    /// the app-level token `xapp-…`. Nothing is called yet. Fails without root certificates or with an odd URL.
    pub fn new(base_url: &str, bot: SecretString, app: SecretString) -> anyhow::Result<Self> {
        Ok(Self { wire: Wire::new(base_url, &bot, &app)? })
    }

    /// Who the bot is.
    pub async fn auth_test(&self) -> Result<Identity, SlackError> {
        self.wire.post("auth.test", &json!({})).await
    }

    /// Whether Slack's Web API answers anything, soon. A call that may be made some hundred times a minute.
    pub(crate) async fn answers(&self) -> bool {
        let answer = timeout(TICKET, self.wire.post::<IgnoredAny>("auth.test", &json!({}))).await;
        match answer {
            Ok(Ok(_) | Err(SlackError::Refused { .. } | SlackError::RateLimited { .. })) => true,
            Ok(Err(error @ SlackError::Uncertain { .. })) => {
                tracing::warn!(%error, "slack does not answer");
                false
            }
            Err(_) => false,
        }
    }

    /// What the bot's token may do; empty where Slack does not say.
    pub async fn scopes(&self) -> Result<BTreeSet<String>, SlackError> {
        self.wire.scopes().await
    }

    /// The address of a new socket: a secret, good for one connection within seconds.
    pub async fn open_socket(&self) -> Result<SecretString, SlackError> {
        self.wire.ticket().await
    }

    /// Posts a message, in a thread or not, with the id of its effect in its metadata, by which [`Slack::find_posted`] finds it.
    pub async fn post(
        &self,
        channel: &str,
        message: &Message,
        thread: Option<&str>,
        broadcast: bool,
        effect_id: &str,
    ) -> Result<Posted, SlackError> {
        let mut beside = json!({
            "channel": channel,
            "unfurl_links": false,
            "unfurl_media": false,
            // Strings only: a button of a message with anything else in its metadata cannot be read (`facts/slack.md` 0.8).
            "metadata": { "event_type": EVENT_TYPE, "event_payload": { "id": effect_id } },
        });
        if let Some(thread) = thread {
            beside["thread_ts"] = json!(thread);
            beside["reply_broadcast"] = json!(broadcast);
        }
        self.wire.post("chat.postMessage", &Body::of(message, beside)).await
    }

    /// Edits a message in place. Nobody is notified.
    pub async fn update(&self, channel: &str, ts: &str, message: &Message) -> Result<(), SlackError> {
        let body = Body::of(message, json!({ "channel": channel, "ts": ts }));
        self.wire.post("chat.update", &body).await.map(|Nothing {}| ())
    }

    /// Looks for the message of an effect that may have been posted since a time. `Ok(None)`: it was not; an error where that could not
    /// be told, also when there were more than 1,000 messages.
    pub async fn find_posted(
        &self,
        channel: &str,
        thread: Option<&str>,
        effect_id: &str,
        since: Timestamp,
    ) -> Result<Option<Posted>, SlackError> {
        // Slack's clock is not ours.
        let oldest = since.checked_sub(SignedDuration::from_mins(1)).unwrap_or(since).as_second();
        let method = if thread.is_some() { "conversations.replies" } else { "conversations.history" };
        let mut cursor = None;
        for _ in 0..HISTORY_PAGES {
            let params = vec![
                ("channel", Some(channel.to_owned())),
                ("ts", thread.map(str::to_owned)),
                ("oldest", Some(format!("{oldest}.000000"))),
                ("include_all_metadata", Some("true".to_owned())),
                ("limit", Some("200".to_owned())),
                ("cursor", cursor),
            ];
            let page: History = self.wire.get(method, params).await?;
            if let Some(ts) = page.messages.iter().find_map(|message| ts_of(message, effect_id)) {
                return Ok(Some(Posted { channel: channel.to_owned(), ts: ts.to_owned() }));
            }
            cursor = next(page.response_metadata);
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Err(SlackError::Uncertain { what: "too many messages to look through".to_owned() })
    }

    /// Answers where that was wanted, for one person: in the form that stands open for the answer, else as [`Slack::respond`] does.
    pub async fn answer(&self, reply: &Reply, message: &Message) -> Result<(), SlackError> {
        match &reply.view {
            Some(view) => self.replace_form(view, blocks::said(message)).await,
            None => self.respond(&reply.url, message, reply.replace, false).await,
        }
    }

    /// Answers at the address that came with a command or click: a new message, or in the place of the one with the button; for one
    /// person, or for the channel.
    pub async fn respond(
        &self,
        response_url: &str,
        message: &Message,
        replace: bool,
        in_channel: bool,
    ) -> Result<(), SlackError> {
        let kind = if in_channel { "in_channel" } else { "ephemeral" };
        let body = Body::of(message, json!({ "response_type": kind, "replace_original": replace }));
        self.wire.respond(response_url, &body).await
    }

    /// Takes the message with the button away, where only its reader sees it.
    pub async fn dismiss(&self, response_url: &str) -> Result<(), SlackError> {
        self.wire.respond(response_url, &json!({ "delete_original": true })).await
    }

    /// A message that only one person sees, in a channel where both are.
    pub async fn ephemeral(&self, channel: &str, user: &SlackId, message: &Message) -> Result<(), SlackError> {
        let body = Body::of(message, json!({ "channel": channel, "user": user }));
        self.wire.post("chat.postEphemeral", &body).await.map(|Nothing {}| ())
    }

    /// Opens a form; the trigger lives for 3 seconds. Gives the id by which it can be changed; `None` where the trigger opened one
    /// already: Slack may deliver a wish twice, to two sockets or to two replicas, and takes a trigger once.
    pub async fn open_form(&self, trigger: &str, form: &Form, view: &View) -> Result<Option<String>, SlackError> {
        let body = Shown { trigger_id: Some(trigger), view_id: None, view: blocks::modal(form, view) };
        match self.wire.post::<Opened>("views.open", &body).await {
            Ok(opened) => Ok(Some(opened.view.id)),
            Err(SlackError::Refused { code }) if code == "exchanged_trigger_id" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes a form that stands open. Nothing is to be done where it was closed.
    pub async fn change_form(&self, id: &str, form: &Form, view: &View) -> Result<(), SlackError> {
        self.replace_form(id, blocks::modal(form, view)).await
    }

    async fn replace_form(&self, id: &str, view: Box<RawValue>) -> Result<(), SlackError> {
        let body = Shown { trigger_id: None, view_id: Some(id), view };
        match self.wire.post("views.update", &body).await {
            Ok(Nothing {}) => Ok(()),
            Err(SlackError::Refused { code }) if code == "not_found" => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The channel of somebody's direct messages with the bot, made if need be.
    pub async fn direct(&self, user: &SlackId) -> Result<String, SlackError> {
        let opened: Direct = self.wire.post("conversations.open", &json!({ "users": user })).await?;
        Ok(opened.channel.id)
    }

    /// A channel by its id, or by its name with or without `#`; `None` where the bot sees none like that.
    pub async fn channel(&self, channel: &str) -> Result<Option<Channel>, SlackError> {
        if !is_channel_id(channel) {
            return self.channel_by_name(channel.trim_start_matches('#')).await;
        }
        let found: Result<OneChannel, _> =
            self.wire.get("conversations.info", vec![("channel", Some(channel.to_owned()))]).await;
        match found {
            Ok(found) => Ok(Some(found.channel)),
            Err(SlackError::Refused { code }) if code == "channel_not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn channel_by_name(&self, name: &str) -> Result<Option<Channel>, SlackError> {
        let mut cursor = None;
        for _ in 0..CHANNEL_PAGES {
            let params = vec![
                ("types", Some("public_channel,private_channel".to_owned())),
                ("limit", Some("1000".to_owned())),
                ("cursor", cursor),
            ];
            let page: Channels = self.wire.get("conversations.list", params).await?;
            if let Some(found) = page.channels.into_iter().find(|channel| channel.name == name) {
                return Ok(Some(found));
            }
            cursor = next(page.response_metadata);
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Err(SlackError::Uncertain { what: "too many channels to look through: name it by its id".to_owned() })
    }

    /// What Slack says about a person now, seen from the workspace `home`.
    pub async fn person(&self, user: &SlackId, home: &str) -> Result<Profile, SlackError> {
        let found: OneUser = self.wire.get("users.info", vec![("user", Some(user.to_string()))]).await?;
        Ok(found.user.profile(home))
    }

    /// The members of a user group, `S…`.
    pub async fn usergroup_members(&self, group: &str) -> Result<BTreeSet<SlackId>, SlackError> {
        let params = vec![("usergroup", Some(group.to_owned()))];
        let found: Members = self.wire.get("usergroups.users.list", params).await?;
        Ok(found.users)
    }
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack").finish_non_exhaustive()
    }
}

impl User {
    fn profile(self, home: &str) -> Profile {
        let account = self.account(home);
        let display = self.profile.and_then(|names| names.display_name);
        let names = [display, self.real_name, self.name];
        let name = names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or(self.id);
        Profile { account, name, tz: self.tz }
    }

    /// `is_app_user` is no sign of a bot: it is true of people who installed something.
    fn account(&self, home: &str) -> Account {
        let yes = |flag: Option<bool>| flag == Some(true);
        if yes(self.is_stranger) || self.team_id.as_deref() != Some(home) {
            Account::Stranger
        } else if yes(self.deleted) {
            Account::Deactivated
        } else if yes(self.is_bot) || self.id == "USLACKBOT" {
            Account::Bot
        } else if yes(self.is_restricted) || yes(self.is_ultra_restricted) {
            Account::Guest
        } else {
            Account::Member
        }
    }
}

fn ts_of<'a>(message: &'a Found, effect_id: &str) -> Option<&'a str> {
    let ours = message.metadata["event_type"] == EVENT_TYPE && message.metadata["event_payload"]["id"] == effect_id;
    message.ts.as_str().filter(|_| ours)
}

fn next(cursor: Option<Cursor>) -> Option<String> {
    cursor.map(|cursor| cursor.next_cursor).filter(|cursor| !cursor.is_empty())
}

/// Channel names are lower case, so an id cannot be mistaken for one.
fn is_channel_id(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(['C', 'G', 'D'])
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests;

//! The methods that look things up: channels, their history, people, user groups.

use serde_json::{Value, json};

use super::api::Args;
use super::message::Message;
use super::people::{BOT, BOT_USER, Channel, DOMAIN, TEAM};
use super::refused::Refused;
use super::state::State;

/// The most items in one page, and how many there are if nobody asks.
const PAGE: usize = 100;
/// The most that may be asked for.
const MAX_PAGE: usize = 1000;

pub(super) fn auth_test(_: &mut State, _: &Args) -> Result<Value, Refused> {
    Ok(json!({
        "url": format!("https://{DOMAIN}.slack.com/"), "team": "Sandbox", "user": "lockkeeper", "team_id": TEAM,
        "user_id": BOT_USER, "bot_id": BOT, "is_enterprise_install": false,
    }))
}

pub(super) fn conversation(state: &mut State, args: &Args) -> Result<Value, Refused> {
    Ok(json!({"channel": by_id(state, args)?.json()}))
}

/// Unlike posting, the look-ups take an id only.
fn by_id(state: &mut State, args: &Args) -> Result<Channel, Refused> {
    let id = args.str("channel");
    match state.channel(id).filter(|channel| channel.id == id) {
        Some(channel) => Ok(channel),
        None => Err(Refused::because("channel_not_found")),
    }
}

pub(super) fn conversations(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let types = if args.has("types") { args.str("types") } else { "public_channel" };
    let wanted = |kind: &str| types.split(',').any(|one| one.trim() == kind);
    if let Some(other) = types.split(',').find(|one| !KINDS.contains(&one.trim())) {
        return Err(Refused::blame("invalid_types", other));
    }
    let shown = |channel: &&Channel| {
        if channel.is_dm() { wanted("im") } else { wanted("public_channel") }
    };
    let channels = state.channels.iter().filter(shown).map(Channel::json).collect::<Vec<_>>();
    let (page, next) = paged(channels, args)?;
    Ok(json!({"channels": page, "response_metadata": {"next_cursor": next.unwrap_or_default()}}))
}

const KINDS: [&str; 4] = ["public_channel", "private_channel", "mpim", "im"];

/// One page and the cursor of the next one. Cursors hold `=`, as Slack's may.
fn paged(items: Vec<Value>, args: &Args) -> Result<(Vec<Value>, Option<String>), Refused> {
    let from = match args.str("cursor") {
        "" => 0,
        cursor => {
            let number = cursor.strip_prefix("cGFnZTo").and_then(|rest| rest.strip_suffix("=="));
            let number = number.and_then(|number| number.parse().ok());
            number.ok_or_else(|| Refused::blame("invalid_cursor", cursor))?
        }
    };
    let limit = args.number("limit").filter(|limit| *limit > 0).unwrap_or(PAGE).min(MAX_PAGE);
    let next = (items.len() > from + limit).then(|| format!("cGFnZTo{}==", from + limit));
    Ok((items.into_iter().skip(from).take(limit).collect(), next))
}

pub(super) fn open_dm(state: &mut State, args: &Args) -> Result<Value, Refused> {
    match state.person(args.str("users")).map(|person| person.role) {
        None => Err(Refused::because("user_not_found")),
        Some(super::Role::Gone) => Err(Refused::because("user_disabled")),
        Some(super::Role::Member | super::Role::Guest | super::Role::Stranger | super::Role::Robot) => {
            let dm = state.channel(args.str("users"));
            Ok(json!({"channel": {"id": dm.map(|channel| channel.id)}}))
        }
    }
}

pub(super) fn join(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = by_id(state, args)?;
    if channel.is_dm() {
        return Err(Refused::blame("method_not_supported_for_channel_type", "a direct message"));
    }
    if channel.bot_is_member {
        let warning = "already_in_channel";
        return Ok(
            json!({"channel": channel.json(), "warning": warning, "response_metadata": {"warnings": [warning]}}),
        );
    }
    state.channels.iter_mut().filter(|known| known.id == channel.id).for_each(|known| known.bot_is_member = true);
    conversation(state, args)
}

pub(super) fn history(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = readable(state, args)?;
    let shown =
        |message: &&Message| message.channel == channel.id && (message.thread_ts.is_none() || message.broadcast);
    let messages = state.messages.iter().rev().filter(shown).filter(|message| within(&message.ts, args));
    let messages = messages.map(|message| with_thread(state, message, args)).collect();
    answer(messages, args)
}

pub(super) fn replies(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = readable(state, args)?;
    let ts = args.str("ts");
    let in_thread = |message: &&Message| {
        message.channel == channel.id && (message.ts == ts || message.thread_ts.as_deref() == Some(ts))
    };
    if state.message(&channel.id, ts).is_none() {
        return Err(Refused::because("thread_not_found"));
    }
    let messages =
        state.messages.iter().filter(in_thread).filter(|message| message.ts == ts || within(&message.ts, args));
    let messages = messages.map(|message| with_thread(state, message, args)).collect();
    answer(messages, args)
}

fn readable(state: &mut State, args: &Args) -> Result<Channel, Refused> {
    let channel = by_id(state, args)?;
    if channel.bot_is_member { Ok(channel) } else { Err(Refused::blame("not_in_channel", channel.name)) }
}

fn answer(messages: Vec<Value>, args: &Args) -> Result<Value, Refused> {
    let (page, next) = paged(messages, args)?;
    let mut answer = json!({"messages": page, "has_more": next.is_some()});
    if let Some(next) = next {
        answer["response_metadata"] = json!({"next_cursor": next});
    }
    Ok(answer)
}

/// Whether `ts` is between `oldest` and `latest`; a `ts` has a fixed width, so text order is time order.
fn within(ts: &str, args: &Args) -> bool {
    let inclusive = args.flag("inclusive");
    let (oldest, latest) = (args.str("oldest"), args.str("latest"));
    let after = oldest.is_empty() || padded(oldest).as_str() < ts || (inclusive && padded(oldest) == ts);
    let before = latest.is_empty() || ts < padded(latest).as_str() || (inclusive && padded(latest) == ts);
    after && before
}

/// `oldest=1785000000` means `1785000000.000000`.
fn padded(ts: &str) -> String {
    let (seconds, micros) = ts.split_once('.').unwrap_or((ts, ""));
    format!("{seconds:0>10}.{micros:0<6}")
}

fn with_thread(state: &State, message: &Message, args: &Args) -> Value {
    let mut shown = message.json(args.flag("include_all_metadata"));
    let is_reply =
        |other: &&Message| other.channel == message.channel && other.thread_ts.as_deref() == Some(message.ts.as_str());
    let replies = state.messages.iter().filter(is_reply).collect::<Vec<_>>();
    if let Some(latest) = replies.last() {
        shown["thread_ts"] = json!(message.ts);
        shown["reply_count"] = json!(replies.len());
        shown["latest_reply"] = json!(latest.ts);
    }
    shown
}

pub(super) fn user(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let now = state.clock.now();
    match state.person(args.str("user")) {
        Some(person) => Ok(json!({"user": person.json(now)})),
        None => Err(Refused::because("user_not_found")),
    }
}

pub(super) fn user_by_email(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let now = state.clock.now();
    let wanted = args.str("email");
    let person = state.people.iter().find(|person| {
        person.role != super::Role::Gone && person.email().is_some_and(|email| email.eq_ignore_ascii_case(wanted))
    });
    match person {
        Some(person) => Ok(json!({"user": person.json(now)})),
        None => Err(Refused::because("users_not_found")),
    }
}

pub(super) fn groups(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let shown = state.groups.iter().map(|group| {
        let mut shown = json!({
            "id": group.id, "team_id": TEAM, "is_usergroup": true, "name": group.handle, "handle": group.handle,
            "description": "", "is_external": false, "date_create": 1_785_000_000, "date_update": 1_785_000_000,
            "date_delete": 0, "auto_type": null, "created_by": "UANA", "updated_by": "UANA", "deleted_by": null,
            "prefs": {"channels": [], "groups": []},
        });
        if args.flag("include_count") {
            // A string, as the real one may send (facts/slack.md 2.2).
            shown["user_count"] = json!(group.members.len().to_string());
        }
        if args.flag("include_users") {
            shown["users"] = json!(group.members);
        }
        shown
    });
    Ok(json!({"usergroups": shown.collect::<Vec<_>>()}))
}

pub(super) fn group_members(state: &mut State, args: &Args) -> Result<Value, Refused> {
    match state.groups.iter().find(|group| group.id == args.str("usergroup")) {
        Some(group) => Ok(json!({"users": group.members})),
        None => Err(Refused::because("no_such_subteam")),
    }
}

//! Answers to an interaction: in the ack of a slash command, and by its `response_url` (facts/slack.md 1.6, 2.3).

use serde_json::{Value, json};

use super::chat::{Content, content, show_to};
use super::message::{Answer, Message, MessageRef};
use super::people::BOT_USER;
use super::state::{DeadLink, Link, State};

const IN_ACK: &[&str] = &["text", "blocks", "response_type", "mrkdwn", "unfurl_links", "unfurl_media"];
const BY_LINK: &[&str] = &["replace_original", "delete_original", "thread_ts"];

/// Takes an answer that came by `response_url`: a status and a text.
pub(super) fn by_link(state: &mut State, path: &str, body: &Value) -> (u16, String) {
    let link = match state.live_link(path) {
        Ok(link) => link,
        Err(dead) => {
            let (error, why) = match dead {
                DeadLink::Unknown => ("no_service", "a response_url that was never given out"),
                DeadLink::Used => ("used_url", "a response_url was used more than 5 times"),
                DeadLink::Expired => ("expired_url", "a response_url was used after 30 minutes"),
            };
            state.complain(why);
            return (404, error.to_owned());
        }
    };
    let keys = [IN_ACK, BY_LINK].concat();
    match answer(state, path, &link, body, &keys) {
        Ok(shown) => {
            state.use_link(path, shown);
            (200, "ok".to_owned())
        }
        Err(error) => {
            state.complain(format!("response_url: {error}"));
            (400, error)
        }
    }
}

/// Takes the payload of a slash command's ack; `{}` shows nothing.
pub(super) fn in_ack(state: &mut State, path: &str, payload: &Value) -> Result<(), String> {
    if payload.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(());
    }
    let Ok(link) = state.live_link(path) else {
        return Ok(());
    };
    let shown = answer(state, path, &link, payload, IN_ACK).inspect_err(|error| {
        state.complain(format!("the ack of a slash command: {error}"));
    })?;
    state.point_link(path, shown);
    Ok(())
}

fn answer(
    state: &mut State,
    path: &str,
    link: &Link,
    body: &Value,
    keys: &[&str],
) -> Result<Option<MessageRef>, String> {
    let map = body.as_object().ok_or("not a JSON object")?;
    if let Some(unknown) = map.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(format!("no such field: {unknown}"));
    }
    let flag = |key: &str| body[key].as_bool().unwrap_or(false);
    if flag("delete_original") {
        remove(state, link.source.as_ref());
        return Ok(None);
    }
    let text = body["text"].as_str().unwrap_or_default();
    let content = content(state, text, map.get("blocks")).map_err(|refused| match refused.blame {
        Some(blame) => format!("{}: {blame}", refused.error),
        None => refused.error,
    })?;
    let told = Answer {
        path: path.to_owned(),
        user: link.user.clone(),
        asked: link.asked.clone(),
        text: content.text.clone(),
        blocks: content.blocks.clone(),
    };
    state.answers.push(told);
    if flag("replace_original") && link.source.is_some() {
        replace(state, link.source.as_ref(), content);
        return Ok(None);
    }
    let thread_ts = body["thread_ts"].as_str().map(str::to_owned);
    match body["response_type"].as_str() {
        Some("in_channel") => Ok(Some(say_aloud(state, link, content, thread_ts))),
        None | Some("ephemeral") => {
            let ts = show_to(state, &link.user, &link.channel, content, thread_ts);
            state.ephemerals.last_mut().into_iter().for_each(|shown| shown.asked = Some(link.asked.clone()));
            Ok(Some(MessageRef::Ephemeral { ts }))
        }
        Some(other) => Err(format!("response_type {other:?}")),
    }
}

fn say_aloud(state: &mut State, link: &Link, content: Content, thread_ts: Option<String>) -> MessageRef {
    let ts = state.ts();
    let message = Message::new(&link.channel, &ts, BOT_USER, content.text, content.blocks);
    state.post(Message { thread_ts, ..message }).at()
}

fn replace(state: &mut State, source: Option<&MessageRef>, mut content: Content) {
    state.name_blocks(&mut content.blocks);
    match source {
        Some(MessageRef::Message { channel, ts }) => {
            if let Some(message) = state.message(channel, ts) {
                message.edit(content.text, content.blocks);
            }
        }
        Some(MessageRef::Ephemeral { ts }) => {
            if let Some(ephemeral) = state.ephemerals.iter_mut().find(|ephemeral| ephemeral.ts == *ts) {
                ephemeral.edit(content.text, content.blocks);
            }
        }
        Some(MessageRef::View { .. }) | None => {}
    }
}

fn remove(state: &mut State, source: Option<&MessageRef>) {
    match source {
        Some(MessageRef::Message { channel, ts }) => {
            state.messages.retain(|message| message.channel != *channel || message.ts != *ts);
        }
        Some(MessageRef::Ephemeral { ts }) => state.ephemerals.retain(|ephemeral| ephemeral.ts != *ts),
        Some(MessageRef::View { .. }) | None => state.complain(json!("delete_original, but there is none").to_string()),
    }
}

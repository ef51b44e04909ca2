//! `chat.*` and `reactions.*`: messages and what is checked before one is shown.

use serde_json::{Value, json};

use super::api::Args;
use super::judge::{MAX_TEXT, Surface, judge, text_length};
use super::markup::Markup;
use super::message::{Ephemeral, Message};
use super::people::{BOT_USER, Channel};
use super::refused::Refused;
use super::state::State;

/// The longest `text` that `chat.update` takes.
const MAX_UPDATE_TEXT: usize = 4_000;
/// The longest `text` that is not cut.
const MAX_POST_TEXT: usize = 40_000;
/// The most bytes of metadata.
const MAX_METADATA: usize = 8_192;

/// A message's content, once it was found good.
pub(super) struct Content {
    pub(super) text: String,
    pub(super) blocks: Vec<Value>,
}

/// Judges `text` and `blocks`. What Slack takes but a good app avoids becomes a complaint at once.
pub(super) fn content(state: &mut State, text: &str, blocks: Option<&Value>) -> Result<Content, Refused> {
    let empty = json!([]);
    let blocks = blocks.unwrap_or(&empty);
    let issues = judge(blocks, Surface::Message, "/blocks");
    if !issues.is_empty() {
        return Err(Refused::issues("invalid_blocks", &issues));
    }
    let length = text_length(blocks);
    if length > MAX_TEXT {
        return Err(Refused::blame(
            "msg_blocks_too_long",
            format!("{length} characters over all blocks, {MAX_TEXT} is safe"),
        ));
    }
    if text.chars().count() > MAX_POST_TEXT {
        state.complain(format!("a text of more than {MAX_POST_TEXT} characters is cut"));
    }
    let blocks = blocks.as_array().cloned().unwrap_or_default();
    if text.is_empty() && blocks.is_empty() {
        return Err(Refused::blame("no_text", "neither text nor blocks"));
    }
    if text.is_empty() {
        state.complain("blocks without a text: nothing to notify or read aloud");
    }
    check_markup(state, text, &blocks);
    Ok(Content { text: text.to_owned(), blocks })
}

fn check_markup(state: &mut State, text: &str, blocks: &[Value]) {
    let mut markup = Markup::default();
    markup.read(text);
    markup.read_blocks(&json!(blocks), true);
    for broken in markup.broken {
        state.complain(broken);
    }
    for id in markup.channels {
        if state.channel(&id).is_none() {
            state.complain(format!("a link to the unknown channel {id}"));
        }
    }
}

/// The channel, if it is known and the bot may write there.
fn writable(state: &mut State, name: &str) -> Result<Channel, Refused> {
    let Some(channel) = state.channel(name) else {
        return Err(Refused::blame("channel_not_found", format!("{name:?}")));
    };
    if !channel.bot_is_member {
        return Err(Refused::blame("not_in_channel", format!("the bot is not in #{}", channel.name)));
    }
    Ok(channel)
}

fn metadata(args: &Args) -> Result<Option<Value>, Refused> {
    let Some(metadata) = args.json("metadata")? else {
        return Ok(None);
    };
    let payload = metadata["event_payload"].as_object();
    if metadata["event_type"].as_str().is_none_or(str::is_empty) || payload.is_none() {
        return Err(Refused::blame("invalid_metadata_format", "metadata is an event_type and an event_payload"));
    }
    if payload.is_some_and(|payload| payload.values().any(|value| !value.is_string())) {
        return Err(Refused::blame("invalid_metadata_format", "metadata holds strings only, or clicks on it get lost"));
    }
    if metadata.to_string().len() > MAX_METADATA {
        return Err(Refused::blame("metadata_too_large", "more than 8 kB"));
    }
    Ok(Some(metadata))
}

/// The parent that `thread_ts` names, if it is given.
fn thread(state: &mut State, channel: &Channel, args: &Args) -> Result<Option<String>, Refused> {
    if !args.has("thread_ts") {
        return Ok(None);
    }
    let ts = args.str("thread_ts").to_owned();
    match state.message(&channel.id, &ts) {
        None => Err(Refused::blame("cannot_reply_to_message", format!("no message {ts:?} to reply to"))),
        Some(message) if message.thread_ts.is_some() => {
            Err(Refused::blame("cannot_reply_to_message", "a reply to a reply: use the parent's ts"))
        }
        Some(_) => Ok(Some(ts)),
    }
}

pub(super) fn post_message(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = writable(state, args.str("channel"))?;
    if !args.has("unfurl_links") || !args.has("unfurl_media") {
        state.complain("chat.postMessage: unfurl_links and unfurl_media are not both given");
    }
    let thread_ts = thread(state, &channel, args)?;
    let metadata = metadata(args)?;
    state.spend(&channel.id).map_err(Refused::slow_down)?;
    let content = content(state, args.str("text"), args.json("blocks")?.as_ref())?;
    let ts = state.ts();
    let broadcast = thread_ts.is_some() && args.flag("reply_broadcast");
    let message = state.post(Message {
        thread_ts,
        broadcast,
        metadata,
        ..Message::new(&channel.id, &ts, BOT_USER, content.text, content.blocks)
    });
    Ok(json!({"channel": channel.id, "ts": ts, "message": message.json(true)}))
}

pub(super) fn update(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = writable(state, args.str("channel"))?;
    if args.str("text").chars().count() > MAX_UPDATE_TEXT {
        return Err(Refused::blame("msg_too_long", "more than 4,000 characters of text"));
    }
    let metadata = metadata(args)?;
    let content = content(state, args.str("text"), args.json("blocks")?.as_ref())?;
    let named = args.has("blocks");
    let mut blocks = content.blocks;
    state.name_blocks(&mut blocks);
    let ts = args.str("ts").to_owned();
    let own = own_message(state, &channel, &ts, "cant_update_message")?;
    let forgot_blocks = !named && !own.blocks.is_empty();
    own.edit(content.text.clone(), blocks);
    own.metadata = metadata.or(own.metadata.take());
    own.broadcast |= own.thread_ts.is_some() && args.flag("reply_broadcast");
    let mut message = own.json(true);
    if let Some(message) = message.as_object_mut() {
        // Slack tells it beside the message, not in it.
        message.remove("ts");
    }
    if forgot_blocks {
        state.complain("chat.update: blocks are left out of a message that has some; send [] to remove them");
    }
    Ok(json!({"channel": channel.id, "ts": ts, "text": content.text, "message": message}))
}

fn own_message<'a>(
    state: &'a mut State,
    channel: &Channel,
    ts: &str,
    not_own: &str,
) -> Result<&'a mut Message, Refused> {
    match state.message(&channel.id, ts) {
        None => Err(Refused::because("message_not_found")),
        Some(message) if message.author != BOT_USER => Err(Refused::blame(not_own, "not the bot's own message")),
        Some(message) => Ok(message),
    }
}

pub(super) fn post_ephemeral(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = writable(state, args.str("channel"))?;
    let user = args.str("user").to_owned();
    if state.person(&user).is_none() {
        return Err(Refused::blame("user_not_in_channel", format!("nobody is called {user:?}")));
    }
    let thread_ts = thread(state, &channel, args)?;
    let content = content(state, args.str("text"), args.json("blocks")?.as_ref())?;
    let ts = show_to(state, &user, &channel.id, content, thread_ts);
    Ok(json!({"message_ts": ts}))
}

/// Shows content to one person only; the answer is its `ts`.
pub(super) fn show_to(
    state: &mut State,
    user: &str,
    channel: &str,
    mut content: Content,
    thread_ts: Option<String>,
) -> String {
    state.name_blocks(&mut content.blocks);
    let ts = state.ts();
    state.ephemerals.push(Ephemeral {
        ts: ts.clone(),
        user: user.to_owned(),
        channel: channel.to_owned(),
        thread_ts,
        author: BOT_USER.to_owned(),
        text: content.text,
        blocks: content.blocks,
        edits: 0,
        asked: None,
        older: Vec::new(),
    });
    ts
}

pub(super) fn delete(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let channel = writable(state, args.str("channel"))?;
    let ts = args.str("ts").to_owned();
    own_message(state, &channel, &ts, "cant_delete_message")?;
    state.messages.retain(|message| message.channel != channel.id || message.ts != ts);
    Ok(json!({"channel": channel.id, "ts": ts}))
}

pub(super) fn permalink(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let Some(channel) = state.channel(args.str("channel")) else {
        return Err(Refused::blame("channel_not_found", args.str("channel")));
    };
    let ts = args.str("message_ts");
    let Some(message) = state.message(&channel.id, ts) else {
        return Err(Refused::because("message_not_found"));
    };
    let parent = message.thread_ts.clone();
    let mut permalink = state.archive(&channel.id, ts);
    if let Some(parent) = parent {
        permalink.push_str(&format!("?thread_ts={parent}&cid={}", channel.id));
    }
    Ok(json!({"channel": channel.id, "permalink": permalink}))
}

pub(super) fn react(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let name = args.str("name").to_owned();
    let reactions = reactions(state, args)?;
    if reactions.contains(&name) {
        return Err(Refused::because("already_reacted"));
    }
    reactions.push(name);
    Ok(json!({}))
}

pub(super) fn unreact(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let name = args.str("name");
    let reactions = reactions(state, args)?;
    let before = reactions.len();
    reactions.retain(|known| known != name);
    if reactions.len() == before { Err(Refused::because("no_reaction")) } else { Ok(json!({})) }
}

fn reactions<'a>(state: &'a mut State, args: &Args) -> Result<&'a mut Vec<String>, Refused> {
    let channel = writable(state, args.str("channel"))?;
    let well_formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-+:".contains(c);
    if !args.str("name").chars().all(well_formed) {
        return Err(Refused::blame("invalid_name", args.str("name")));
    }
    match state.message(&channel.id, args.str("timestamp")) {
        Some(message) => Ok(&mut message.reactions),
        None => Err(Refused::because("message_not_found")),
    }
}

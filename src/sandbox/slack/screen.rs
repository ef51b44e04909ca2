//! What the sandbox's page shows, as JSON: the whole workspace through one person's eyes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::message::{Ephemeral, Message, View};
use super::people::{BOT_USER, Channel, Person, Role};
use super::state::State;

/// How many messages of a channel are shown.
const SHOWN: usize = 200;

impl State {
    /// A channel's top-level messages with their threads, oldest first.
    pub(super) fn threads(&self, channel: &str) -> Vec<Message> {
        let here = || self.messages.iter().filter(move |message| message.channel == channel);
        let with_replies = |message: &Message| {
            let is_reply = |other: &&Message| other.thread_ts.as_deref() == Some(message.ts.as_str());
            Message { replies: here().filter(is_reply).cloned().collect(), ..message.clone() }
        };
        here().filter(|message| message.thread_ts.is_none()).map(with_replies).collect()
    }

    /// Everything that `user` sees.
    pub(super) fn screen(&mut self, user: &str) -> Value {
        if self.person(user).is_some() {
            // The page offers the direct message before the bot has written anything there.
            self.channel(user);
        }
        let dm = self.person(user).map(Person::dm);
        let visible = |channel: &&Channel| !channel.is_dm() || Some(&channel.id) == dm.as_ref();
        let channels = self.channels.iter().filter(visible).map(|channel| self.channel_screen(channel, user));
        json!({
            "me": user,
            "bot": {"id": BOT_USER, "name": "Lockkeeper"},
            "command": super::COMMAND,
            "people": self.people.iter().map(person_screen).collect::<Vec<_>>(),
            "groups": self.groups.iter().map(|group| json!({"id": group.id, "name": group.handle})).collect::<Vec<_>>(),
            "channels": channels.collect::<Vec<_>>(),
            "views": self.stack(user).into_iter().map(view_screen).collect::<Vec<_>>(),
            "sockets": self.connected(),
            "complaints": self.complaints,
        })
    }

    fn channel_screen(&self, channel: &Channel, user: &str) -> Value {
        let messages = self.threads(&channel.id);
        let from = messages.len().saturating_sub(SHOWN);
        let ephemerals = self.ephemerals.iter().filter(|one| one.user == user && one.channel == channel.id);
        json!({
            "id": channel.id, "name": channel.name, "dm": channel.is_dm(), "bot_is_member": channel.bot_is_member,
            "messages": messages[from..].iter().map(|message| self.message_screen(message, user)).collect::<Vec<_>>(),
            "ephemerals": ephemerals.map(ephemeral_screen).collect::<Vec<_>>(),
        })
    }

    fn message_screen(&self, message: &Message, user: &str) -> Value {
        let mine = |id: &str| {
            id == user
                || id.starts_with('!')
                || self.groups.iter().any(|group| group.id == id && group.members.iter().any(|one| one == user))
        };
        let rang =
            |(id, channel, ts): &(String, String, String)| *channel == message.channel && *ts == message.ts && mine(id);
        json!({
            "ts": message.ts, "time": time(&message.ts), "author": message.author, "text": message.text,
            "blocks": message.blocks, "edited": message.edits > 0, "thread_ts": message.thread_ts,
            "broadcast": message.broadcast, "reactions": message.reactions,
            "mentions_me": self.mentions.iter().any(rang),
            "replies": message.replies.iter().map(|reply| self.message_screen(reply, user)).collect::<Vec<_>>(),
        })
    }
}

fn person_screen(person: &Person) -> Value {
    let acts = match person.role {
        Role::Member | Role::Guest | Role::Stranger => true,
        Role::Gone | Role::Robot => false,
    };
    json!({"id": person.id, "handle": person.handle, "name": person.name, "role": person.words, "acts": acts, "tz": person.tz})
}

fn ephemeral_screen(one: &Ephemeral) -> Value {
    json!({
        "ts": one.ts, "time": time(&one.ts), "author": one.author, "text": one.text, "blocks": one.blocks,
        "thread_ts": one.thread_ts,
    })
}

fn view_screen(view: &View) -> Value {
    json!({"id": view.id, "hash": view.hash, "body": view.body, "errors": view.errors})
}

/// A `ts` as RFC 3339.
fn time(ts: &str) -> String {
    let seconds = ts.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

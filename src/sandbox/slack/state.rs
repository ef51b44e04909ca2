//! All that the pretend Slack remembers, and the small steps that change it. No I/O, no waiting.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::faults::Faults;
use super::markup::Markup;
use super::message::{Answer, Ephemeral, Message, MessageRef, View};
use super::people::{self, Channel, DOMAIN, Group, Person};
use super::wire::Wire;
use super::{Ack, Call, Unanswered};
use crate::clock::Clock;

/// How many calls are remembered.
const MAX_CALLS: usize = 20_000;
/// How many times an interaction's `response_url` may be used (facts/slack.md 2.3).
const LINK_USES: u32 = 5;
/// How long, by the sandbox's clock.
const LINK_LIFE: SignedDuration = SignedDuration::from_mins(30);
/// How long a trigger lives; a person's real patience, so not the sandbox's clock.
const TRIGGER_LIFE: Duration = Duration::from_secs(3);
/// Messages that a channel takes at once.
const BURST: f64 = 10.0;
/// Slack itself, where it tells one person about an error.
pub(super) const SLACKBOT: &str = "USLACKBOT";

pub(super) struct State {
    pub(super) clock: Clock,
    /// `127.0.0.1:PORT`, once served.
    pub(super) host: String,
    pub(super) people: Vec<Person>,
    pub(super) channels: Vec<Channel>,
    pub(super) groups: Vec<Group>,
    /// Of all channels, oldest first, replies included.
    pub(super) messages: Vec<Message>,
    pub(super) ephemerals: Vec<Ephemeral>,
    pub(super) answers: Vec<Answer>,
    /// Every person's stack of modals; the last one is on top.
    pub(super) views: Vec<View>,
    pub(super) mentions: Vec<(String, String, String)>,
    pub(super) complaints: Vec<String>,
    pub(super) acks: Vec<Ack>,
    pub(super) calls: VecDeque<Call>,
    pub(super) faults: Faults,
    pub(super) wire: Wire,
    links: HashMap<String, Link>,
    triggers: HashMap<String, Trigger>,
    budgets: HashMap<String, (f64, Timestamp)>,
    last_ts: i64,
    serial: u64,
}

/// Where an interaction may be answered.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) user: String,
    pub(super) channel: String,
    /// What `replace_original` and `delete_original` are about.
    pub(super) source: Option<MessageRef>,
    uses_left: u32,
    made: Timestamp,
    /// What the person did: the text of the command, or the button's name.
    pub(super) asked: String,
    acked: bool,
    answered: bool,
}

struct Trigger {
    user: String,
    made: Instant,
    used: bool,
}

/// Why a `response_url` takes nothing any more.
pub(super) enum DeadLink {
    Unknown,
    Used,
    Expired,
}

impl State {
    pub(super) fn new(clock: Clock) -> State {
        State {
            clock,
            host: String::new(),
            people: people::people(),
            channels: people::channels(),
            groups: people::groups(),
            messages: Vec::new(),
            ephemerals: Vec::new(),
            answers: Vec::new(),
            views: Vec::new(),
            mentions: Vec::new(),
            complaints: Vec::new(),
            acks: Vec::new(),
            calls: VecDeque::new(),
            faults: Faults::default(),
            wire: Wire::default(),
            links: HashMap::new(),
            triggers: HashMap::new(),
            budgets: HashMap::new(),
            last_ts: 0,
            serial: 0,
        }
    }

    pub(super) fn complain(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(slack.complaint = what, "the pretend Slack complains");
        self.complaints.push(what);
    }

    pub(super) fn remember(&mut self, call: Call) {
        if self.calls.len() == MAX_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    /// A new `ts`: the sandbox's time in microseconds, never the same twice.
    pub(super) fn ts(&mut self) -> String {
        self.last_ts = self.clock.now().as_microsecond().max(self.last_ts + 1);
        format!("{}.{:06}", self.last_ts / 1_000_000, self.last_ts % 1_000_000)
    }

    /// A number that was never given before.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn person(&self, id: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.id == id)
    }

    /// By id, by name with or without `#`, or the direct message of a user id, which is made if need be.
    pub(super) fn channel(&mut self, name: &str) -> Option<Channel> {
        if let Some(person) = self.person(name).or_else(|| self.people.iter().find(|person| person.dm() == name)) {
            let dm = Channel::dm(person);
            if !self.channels.iter().any(|channel| channel.id == dm.id) {
                self.channels.push(dm.clone());
            }
            return Some(dm);
        }
        let bare = name.trim_start_matches('#');
        self.channels.iter().find(|channel| channel.id == name || channel.name == bare).cloned()
    }

    pub(super) fn message(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.channel == channel && message.ts == ts)
    }

    /// Adds a message and rings for everybody it mentions.
    pub(super) fn post(&mut self, mut message: Message) -> Message {
        self.ring(&message);
        self.name_blocks(&mut message.blocks);
        self.messages.push(message.clone());
        message
    }

    fn ring(&mut self, message: &Message) {
        let mut shown = Markup::default();
        shown.read_blocks(&json!(message.blocks), false);
        let mut text = Markup::default();
        text.read(&message.text);
        for id in &text.mentions {
            if !message.blocks.is_empty() && !shown.mentions.contains(id) {
                self.complain(format!("{id} is mentioned in the text but not in the blocks of {:?}", message.text));
                shown.mentions.push(id.clone());
            }
        }
        let mentions = if message.blocks.is_empty() { text.mentions } else { shown.mentions };
        for id in mentions {
            let known =
                id.starts_with('!') || self.person(&id).is_some() || self.groups.iter().any(|group| group.id == id);
            if !known {
                self.complain(format!("{id} is mentioned and is nobody"));
            }
            self.mentions.push((id, message.channel.clone(), message.ts.clone()));
        }
    }

    /// Gives a `block_id` to every block that has none, as Slack does.
    pub(super) fn name_blocks(&mut self, blocks: &mut [Value]) {
        for block in blocks {
            if block["block_id"].as_str().is_none_or(str::is_empty) {
                block["block_id"] = json!(format!("b{}", self.serial()));
            }
        }
    }

    /// Shows `text` to one person as from Slack itself.
    pub(super) fn tell(&mut self, user: &str, channel: &str, text: &str) {
        let ts = self.ts();
        self.ephemerals.push(Ephemeral {
            ts,
            user: user.to_owned(),
            channel: channel.to_owned(),
            thread_ts: None,
            author: SLACKBOT.to_owned(),
            text: text.to_owned(),
            blocks: Vec::new(),
            edits: 0,
            asked: None,
            older: Vec::new(),
        });
    }

    /// The path of a new address to answer an interaction at.
    pub(super) fn link(
        &mut self,
        (kind, asked): (&str, &str),
        user: &str,
        channel: &str,
        source: Option<MessageRef>,
    ) -> String {
        let path = format!("/{kind}/{}/{}/{}", people::TEAM, self.serial(), secret());
        let link = Link {
            user: user.to_owned(),
            channel: channel.to_owned(),
            source,
            uses_left: LINK_USES,
            made: self.clock.now(),
            asked: asked.to_owned(),
            acked: false,
            answered: false,
        };
        self.links.insert(path.clone(), link);
        path
    }

    /// The link at `path`, if it still takes an answer.
    pub(super) fn live_link(&self, path: &str) -> Result<Link, DeadLink> {
        let link = self.links.get(path).ok_or(DeadLink::Unknown)?;
        if self.clock.now().duration_since(link.made) > LINK_LIFE {
            return Err(DeadLink::Expired);
        }
        if link.uses_left == 0 {
            return Err(DeadLink::Used);
        }
        Ok(link.clone())
    }

    /// Counts an answer by the link.
    pub(super) fn use_link(&mut self, path: &str, answer: Option<MessageRef>) {
        if let Some(link) = self.links.get_mut(path) {
            link.uses_left -= 1;
        }
        self.point_link(path, answer);
    }

    /// A command has no source message: what was answered first is what later answers replace.
    pub(super) fn point_link(&mut self, path: &str, answer: Option<MessageRef>) {
        if let Some(link) = self.links.get_mut(path) {
            link.answered = true;
            link.source = link.source.take().or(answer);
        }
    }

    /// Notes that the app has taken what a person did; it owes an answer from now on.
    pub(super) fn owe(&mut self, path: &str) {
        if let Some(link) = self.links.get_mut(path) {
            link.acked = true;
        }
    }

    /// What was taken and not answered, each with its address.
    pub(super) fn owed(&self) -> Vec<Unanswered> {
        let owed = self.links.iter().filter(|(_, link)| link.acked && !link.answered);
        owed.map(|(path, link)| Unanswered { path: path.clone(), user: link.user.clone(), asked: link.asked.clone() })
            .collect()
    }

    /// A new trigger for the person who just did something.
    pub(super) fn trigger(&mut self, user: &str) -> String {
        self.triggers.retain(|_, trigger| trigger.made.elapsed() < TRIGGER_LIFE * 20);
        let id = format!("{}.{}.{}", 13_345_224_000 + self.serial(), 738_474_920, secret());
        self.triggers.insert(id.clone(), Trigger { user: user.to_owned(), made: Instant::now(), used: false });
        id
    }

    /// Uses a trigger: whose it is, or Slack's error.
    pub(super) fn pull(&mut self, trigger: &str) -> Result<String, &'static str> {
        let trigger = self.triggers.get_mut(trigger).ok_or("invalid_trigger_id")?;
        if trigger.used {
            return Err("exchanged_trigger_id");
        }
        if trigger.made.elapsed() > TRIGGER_LIFE {
            return Err("expired_trigger_id");
        }
        trigger.used = true;
        Ok(trigger.user.clone())
    }

    /// Takes one message from the channel's budget of one a second, or says how many seconds to wait.
    pub(super) fn spend(&mut self, channel: &str) -> Result<(), u64> {
        let now = self.clock.now();
        let (left, since) = self.budgets.entry(channel.to_owned()).or_insert((BURST, now));
        *left = (*left + now.duration_since(*since).as_secs_f64()).min(BURST);
        *since = now;
        if *left < 1.0 {
            return Err(1);
        }
        *left -= 1.0;
        Ok(())
    }

    /// The views that `user` has open, the last one on top.
    pub(super) fn stack(&self, user: &str) -> Vec<&View> {
        self.views.iter().filter(|view| view.user == user).collect()
    }

    /// Puts a new modal on top of the person's stack.
    pub(super) fn show_view(&mut self, user: &str, mut body: Value) -> View {
        if let Some(blocks) = body["blocks"].as_array_mut() {
            self.name_blocks(blocks);
        }
        let id = format!("V{:08}", self.serial());
        let previous = self.stack(user).last().map(|view| (view.id.clone(), view.root.clone()));
        let view = View {
            root: previous.as_ref().map_or(id.clone(), |(_, root)| root.clone()),
            previous: previous.map(|(id, _)| id),
            hash: self.hash(),
            id,
            user: user.to_owned(),
            body,
            errors: BTreeMap::new(),
            older: Vec::new(),
        };
        self.views.push(view.clone());
        view
    }

    /// Replaces what an open modal shows.
    pub(super) fn change_view(&mut self, id: &str, mut body: Value) -> Option<View> {
        if let Some(blocks) = body["blocks"].as_array_mut() {
            self.name_blocks(blocks);
        }
        let hash = self.hash();
        let view = self.views.iter_mut().find(|view| view.id == id)?;
        let old = view.blocks().to_vec();
        view.older.push(old);
        view.body = body;
        view.hash = hash;
        view.errors.clear();
        Some(view.clone())
    }

    fn hash(&mut self) -> String {
        format!("{}.{}", self.clock.now().as_second(), &secret()[..8])
    }

    /// The workspace's own address, for links that nobody follows.
    pub(super) fn archive(&self, channel: &str, ts: &str) -> String {
        format!("https://{DOMAIN}.slack.com/archives/{channel}/p{}", ts.replace('.', ""))
    }
}

/// 24 letters and digits that nobody guesses by accident.
pub(super) fn secret() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(24).collect()
}

//! The words of reminders. Who is reminded of what is decided in `remind`.

use jiff::{SignedDuration, Timestamp};

use super::answer::age;
use super::app::App;
use super::change::ChangeKey;
use super::form::{Entry, Form, Input, REASON, Tick, View};
use super::message::{Button, Line, Message, Style, What};
use super::remind::{Due, Remind, SNOOZE, keys};
use super::text::{and, cut, list, plural};
use super::track::Tracked;

/// How many changes a reminder lists, and its form can choose from.
const LISTED: usize = 10;

/// The parts of all apps, as one message to one person.
pub fn whole(parts: Vec<Message>) -> Message {
    let mut whole = Message::default();
    for (i, part) in parts.into_iter().enumerate() {
        if i == 0 {
            whole.summary = part.summary;
        }
        whole.parts.extend(part.parts);
    }
    whole
}

impl App {
    pub(super) fn reminder_text(&self, mine: &[Due], now: Timestamp) -> Message {
        let verb = if mine.len() == 1 { "is" } else { "are" };
        let what = format!(": {} of yours {verb} not in production yet.", plural(mine.len(), "change"));
        let title = Line::plain("👋 ").bold(self.state.name.as_str()).say(what);
        let message = Message::line(title).list(list(mine, LISTED, |due| self.due_line(due, now)));
        message.buttons(self.reminder_buttons(mine))
    }

    fn due_line(&self, due: &Due, now: Timestamp) -> Line {
        let change = &due.change;
        let line = Line::default().link(change.key.to_string(), change.url.clone()).say(format!(
            " {} · merged {} ago · {}",
            cut(&change.title, 100),
            age(now, change.merged_at),
            self.why_pending(change, now)
        ));
        let line = match due.waiting.as_slice() {
            [] => line,
            // Not as mentions: a reminder is between two.
            waiting => {
                let names: Vec<&str> = waiting.iter().take(5).map(|login| login.as_str()).collect();
                let verb = if names.len() == 1 { "waits" } else { "wait" };
                line.say(format!(" · {} {verb} for it", and(&names)))
            }
        };
        match self.state.reminders.not_ready.get(&change.key) {
            Some(said) => line.say(format!(" · not ready, you said: “{}”", cut(&said.reason, 100))),
            None => line,
        }
    }

    fn reminder_buttons(&self, mine: &[Due]) -> Vec<Button> {
        let changes: Vec<ChangeKey> = mine.iter().take(LISTED).map(|due| due.change.key.clone()).collect();
        let mut buttons = Vec::new();
        let ships = |tracked: &Tracked| {
            self.ships(tracked).is_some_and(|ships| ships.iter().any(|s| changes.contains(&s.change.key)))
        };
        if self.waiting_run().is_some_and(ships) {
            let tested = self.button("Tested, approve…", What::Remind(Remind::Tested));
            buttons.push(Button { style: Style::Primary, ..tested });
        }
        let form = Form::NotReady { app: self.state.name.clone(), changes };
        buttons.push(self.button("Not ready…", What::Open(form)));
        buttons.push(self.button("Snooze 3 days", What::Remind(Remind::Snooze)));
        buttons
    }

    pub(super) fn snoozed_text(&self, until: Timestamp) -> Message {
        let days = SNOOZE.as_hours() / 24;
        let line = Line::plain(format!("I remind you of nothing in {} for {days} days, until ", self.state.name));
        Message::line(line.time(until).say(". Notices and mentions come as always."))
    }

    pub(super) fn put_off_text(&self, changes: &[ChangeKey], reason: &str) -> Message {
        let verb = if changes.len() == 1 { "is" } else { "are" };
        let line = Line::plain(format!("Noted: {} {verb} not ready: “{}”. ", keys(changes), cut(reason, 300)));
        let line =
            line.say("The notice says so, and ").code(format!("{} pending {}", self.policy.command, self.state.name));
        Message::line(line.say(". Once it is ready, tick it as tested."))
    }

    /// The form behind *Not ready…*: why, and which, where there are several.
    pub(super) fn not_ready_view(&self, changes: &[ChangeKey]) -> View {
        let pending = self.pending().unwrap_or_default();
        let tick = |key: &ChangeKey| {
            let title = pending.iter().find(|s| s.change.key == *key).map(|s| cut(&s.change.title, 60));
            let label = format!("{key} {}", title.unwrap_or_default()).trim_end().to_owned();
            Tick { value: String::from(key.clone()), label, about: None, chosen: true }
        };
        let which = Input {
            id: "changes".into(),
            label: "Which?".into(),
            hint: None,
            optional: false,
            kind: Entry::Ticks(changes.iter().take(LISTED).map(tick).collect()),
        };
        let why = Input {
            id: "reason".into(),
            label: "Why?".into(),
            hint: Some("The notice and the list of what is pending show it to everybody.".into()),
            optional: false,
            kind: Entry::Words { most: REASON },
        };
        let title = "Not ready".to_owned();
        let inputs = if changes.len() > 1 { vec![which, why] } else { vec![why] };
        View { title, submit: Some("Say so".into()), parts: Vec::new(), inputs }
    }

    /// A run's approval has waited so long that GitHub will end it.
    pub(super) fn lapsing_text(&self, tracked: &Tracked, ends: Timestamp, left: SignedDuration) -> Message {
        let ships = self.ships(tracked).unwrap_or_default();
        let people = ships.iter().filter_map(|s| s.change.person()).chain([&tracked.run.triggered_by]);
        let days = (left.as_hours() + 12) / 24;
        let when = if days > 1 { format!("in {days} days") } else { "within a day".to_owned() };
        let line = self.mentions(people).unwrap_or_default().link(tracked.run.label(), tracked.run.url.clone());
        let line =
            line.say(" still waits for approval. GitHub lets it wait for 30 days and then lets it fail: that is ");
        let line = line.say(when).say(", ").time(ends).say(". Approve or reject it before; ");
        Message::line(line.say("a new run, by a merge or by starting Deploy again, waits anew."))
    }
}

//! Reminders: a change that somebody waits behind, or that is old, is called to its person's mind, at most once a day. Which
//! changes those are, and what people say to it; the words are in `remind_text`, when somebody may be disturbed is in `hours`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::action::{Action, Request};
use super::app::App;
use super::change::{Change, ChangeKey};
use super::effect::Effect;
use super::event::Facts;
use super::ledger::Shipped;
use super::message::Message;
use super::name::{Login, SlackId};
use super::phase::Phase;
use super::refusal::Refusal;
use super::track::Tracked;

/// How the topic of every reminder begins.
pub const REMINDER: &str = "reminder";
/// How long a snooze is.
pub(super) const SNOOZE: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Who merged behind a change is not said to wait for it before this: until then the run's own thread is news enough.
const WAITS: SignedDuration = SignedDuration::from_hours(1);
/// How long it is remembered whom somebody was reminded of: longer than any day.
const TOLD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is remembered about reminders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reminders {
    /// When people were last reminded. One reminder is about all apps: the app that sent it keeps this.
    pub told: BTreeMap<SlackId, Timestamp>,
    /// Until when people want to hear nothing about this app.
    pub snoozed: BTreeMap<SlackId, Timestamp>,
    /// Changes of which their people said that they are not to be deployed yet.
    pub not_ready: BTreeMap<ChangeKey, NotReady>,
    /// The last weekly digest, by the moment when it was due. The app that sent it keeps this.
    pub digested: Option<Timestamp>,
}

/// A person's word that a change is not ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotReady {
    /// Who.
    pub by: SlackId,
    /// When.
    pub at: Timestamp,
    /// Why; from a person.
    pub reason: String,
}

/// What people say to a reminder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remind {
    /// Not for a while.
    Snooze,
    /// These are not ready.
    NotReady {
        /// Which.
        changes: Vec<ChangeKey>,
        /// Shown beside them.
        reason: String,
    },
    /// Mine are tested, and I would approve. Answered with the usual confirmation.
    Tested,
}

/// A change that its person is to be reminded of.
pub(super) struct Due {
    pub(super) to: SlackId,
    pub(super) change: Change,
    /// Who waits for it.
    pub(super) waiting: Vec<Login>,
}

impl Remind {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Snooze => "snooze",
            Self::NotReady { .. } => "not ready",
            Self::Tested => "tested",
        }
    }

    /// Whether the newest run has to be looked at.
    pub fn wants_run(&self) -> bool {
        match self {
            Self::Snooze | Self::NotReady { .. } => false,
            Self::Tested => true,
        }
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::NotReady { changes, reason } => Some(format!("{}: {reason}", keys(changes))),
            Self::Snooze | Self::Tested => None,
        }
    }
}

/// `#4501, #4502`
pub(super) fn keys(changes: &[ChangeKey]) -> String {
    changes.iter().map(ChangeKey::to_string).collect::<Vec<_>>().join(", ")
}

impl App {
    /// Whom there is something to remind of here, whatever time it is where they are.
    pub fn nudged(&self, now: Timestamp) -> BTreeSet<SlackId> {
        self.due(now).into_iter().map(|due| due.to).collect()
    }

    /// When this app last sent somebody a reminder.
    pub fn reminded(&self, who: &SlackId) -> Option<Timestamp> {
        self.state.reminders.told.get(who).copied()
    }

    /// This app's part of a reminder.
    pub fn reminder(&self, who: &SlackId, now: Timestamp) -> Option<Message> {
        let mine: Vec<Due> = self.due(now).into_iter().filter(|due| due.to == *who).collect();
        (!mine.is_empty()).then(|| self.reminder_text(&mine, now))
    }

    /// On hold nobody can do anything about it, so nobody is reminded.
    fn due(&self, now: Timestamp) -> Vec<Due> {
        let Some(after) = self.policy.remind_after.filter(|_| self.state.hold.is_none()) else { return Vec::new() };
        let pending = self.pending().unwrap_or_default();
        let pending: Vec<Shipped> = pending.into_iter().filter(|s| !self.rides_along(&s.change, now)).collect();
        let due = pending.iter().filter_map(|Shipped { change, .. }| {
            let to = self.policy.people.slack(change.person()?)?.clone();
            let snoozed = self.state.reminders.snoozed.get(&to).is_some_and(|until| now < *until);
            let waiting = self.waiting_for(change, &pending, now);
            let old = now.duration_since(change.merged_at) >= after;
            (!snoozed && (old || !waiting.is_empty())).then(|| Due { to, change: change.clone(), waiting })
        });
        due.collect()
    }

    /// Who cannot ship because of a change that nobody has tested: who merged behind it, and whose own is tested.
    fn waiting_for(&self, change: &Change, pending: &[Shipped], now: Timestamp) -> Vec<Login> {
        let ticked = |change: &Change| self.state.ticks.contains_key(&change.key);
        if ticked(change) {
            return Vec::new();
        }
        let slack = |login: &Login| self.policy.people.slack(login);
        let same = |login: &Login| {
            change.person().is_some_and(|own| own.is(login) || (slack(own).is_some() && slack(own) == slack(login)))
        };
        let mut waiting: Vec<Login> = Vec::new();
        let mut passed = false;
        for other in pending.iter().map(|s| &s.change) {
            passed |= other.key == change.key;
            let since = other.merged_at.max(change.merged_at);
            let behind = passed || ticked(other);
            let Some(login) = other.person().filter(|login| !same(login)) else { continue };
            let long = behind && now.duration_since(since) >= WAITS;
            if long && !waiting.iter().any(|known| known.is(login)) {
                waiting.push(login.clone());
            }
        }
        waiting
    }

    /// The newest run, where it waits for production.
    pub(super) fn waiting_run(&self) -> Option<&Tracked> {
        self.newest().filter(|tracked| self.phase(tracked) == Phase::Waiting)
    }

    /// Somebody is reminded now.
    pub(super) fn remind(&mut self, to: SlackId, message: Message, now: Timestamp) -> Vec<Effect> {
        let reminders = &mut self.state.reminders;
        reminders.told.retain(|_, at| now.duration_since(*at) < TOLD);
        reminders.told.insert(to.clone(), now);
        vec![Effect::Whisper { topic: format!("{REMINDER} at {now}"), to, message }]
    }

    /// Forgets what was said of changes that are in production by now, and snoozes that are over.
    pub(super) fn forget_reminders(&mut self, now: Timestamp) {
        self.state.reminders.snoozed.retain(|_, until| now < *until);
        if self.state.reminders.not_ready.is_empty() {
            return;
        }
        if let Some(pending) = self.pending() {
            self.state.reminders.not_ready.retain(|key, _| pending.iter().any(|s| s.change.key == *key));
        }
    }

    /// Decides it on fresh facts.
    pub(super) fn hear_reminded(
        &mut self,
        request: Request,
        facts: Facts,
        what: Remind,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {
            Remind::Snooze => Ok(self.snooze(&request, now)),
            Remind::NotReady { changes, reason } => self.put_off(&request, &changes, &reason, now),
            Remind::Tested => self.tested_and_approve(request, facts, now),
        }
    }

    fn snooze(&mut self, request: &Request, now: Timestamp) -> Vec<Effect> {
        let until = now + SNOOZE;
        self.state.reminders.snoozed.insert(request.by.clone(), until);
        let answer = Effect::Answer(request.reply.clone(), request.by.clone(), self.snoozed_text(until));
        vec![Effect::Record(self.record(request, now, "done")), answer]
    }

    /// Not ready, says the person: a tick that was given before is taken back.
    fn put_off(
        &mut self,
        request: &Request,
        changes: &[ChangeKey],
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let pending = self.pending().ok_or_else(|| Refusal::NotReadYet(self.state.name.clone()))?;
        let waits: Vec<&Change> = pending.iter().map(|s| &s.change).filter(|c| changes.contains(&c.key)).collect();
        if let Some(foreign) = waits.iter().find(|change| !self.concerns(change, &request.by)) {
            return Err(Refusal::NotYours(foreign.key.to_string()));
        }
        let mine: Vec<ChangeKey> = waits.iter().map(|change| change.key.clone()).collect();
        if mine.is_empty() {
            return Err(Refusal::NothingPending(self.state.name.clone()));
        }
        for key in &mine {
            self.state.ticks.remove(key);
            let said = NotReady { by: request.by.clone(), at: now, reason: reason.to_owned() };
            self.state.reminders.not_ready.insert(key.clone(), said);
        }
        let topic = format!("not ready {}", request.id);
        let message = self.put_off_text(&mine, reason);
        // A form has no address for an answer, and the channel is not where the reminder came from.
        let whisper = Effect::Whisper { topic, to: request.by.clone(), message };
        Ok(vec![Effect::Record(self.record(request, now, "done")), whisper])
    }

    /// The tick stands, whatever becomes of the approval.
    fn tested_and_approve(&mut self, request: Request, facts: Facts, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let tested = Request { action: Action::Tested { prs: Vec::new() }, ..request.clone() };
        let mut effects = self.tick(&tested, &facts.person, &[], now)?;
        let approve = Request { action: Action::Approve { environments: String::new() }, ..request };
        let run = facts.run.as_ref().map(|facts| facts.run.clone());
        match self.propose(approve.clone(), facts, "", now) {
            Ok(asked) => effects.extend(asked),
            Err(refusal) => {
                effects.push(Effect::Record(self.record_refusal(&approve, run.as_ref(), &refusal, now)));
                effects.push(Effect::Answer(approve.reply, approve.by, refusal.message()));
            }
        }
        Ok(effects)
    }
}

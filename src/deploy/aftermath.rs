//! Whether it worked on production: asked once, some time after a run is done, of the people whose changes shipped. What they
//! say is written down, and so is that they said nothing. The words are in `aftermath_text`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::action::{Action, Request};
use super::app::App;
use super::change::{Change, ChangeKey};
use super::effect::{Effect, Record};
use super::event::Facts;
use super::form::{Filled, Remarks};
use super::hours;
use super::message::Message;
use super::name::{PrNumber, RunId, SlackId};
use super::phase::Phase;
use super::pipeline::Kind;
use super::refusal::Refusal;
use super::revert::RollForward;
use super::run::Workflow;
use super::track::{State, Tracked};

/// After this long no answer is silence; and what has been live for as long without being asked about is left alone.
const SILENCE: SignedDuration = SignedDuration::from_hours(24);
/// The word for it in the audit log.
const VERIFY: &str = "verify";

/// The input of the form in which the change is chosen.
pub(super) const CHANGE: &str = "change";
/// Its choice for those who cannot tell.
pub(super) const UNKNOWN: &str = "unknown";
/// The input of the form in which it is said what is wrong.
pub(super) const WHAT: &str = "what";

/// What people say about a version that is live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aftermath {
    /// It looks good.
    Well(RunId),
    /// Something is wrong, and nobody knows yet which change did it.
    Wrong {
        /// The run.
        run: RunId,
        /// What; from a person.
        what: String,
    },
}

/// What the people whose changes a run shipped say about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// Who was asked, and when.
    pub asked: BTreeMap<SlackId, Timestamp>,
    /// What people said, asked or not; the newest word of each.
    pub said: BTreeMap<SlackId, Word>,
}

/// What somebody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It looks good.
    Well,
    /// Something is wrong.
    Wrong,
    /// They were asked, and said nothing for a day.
    Nothing,
}

impl Aftermath {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        VERIFY
    }

    /// The run that it names.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Well(run) | Self::Wrong { run, .. } => Some(*run),
        }
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Well(_) => None,
            Self::Wrong { what, .. } => Some(what.clone()),
        }
    }
}

/// What somebody wants who says that something is wrong: a change taken back, or that the others know.
///
/// # Errors
/// What is missing.
pub(super) fn report(run: RunId, filled: &Filled) -> Result<Action, Remarks> {
    let what = filled.words(WHAT)?;
    match filled.chosen(CHANGE).first().map(String::as_str) {
        Some(UNKNOWN) => Ok(Action::Aftermath(Aftermath::Wrong { run, what })),
        Some(number) => {
            let pr: PrNumber = number.parse().map_err(|_| choose())?;
            Ok(Action::RollForward(RollForward::Revert { pr, run: Some(run), because: Some(what) }))
        }
        None => Err(choose()),
    }
}

fn choose() -> Remarks {
    Remarks::from([(CHANGE.to_owned(), "Please choose one.".to_owned())])
}

impl App {
    /// Takes what somebody says: everybody who may act may say it, and nobody else's word is needed for it.
    pub(super) fn hear_aftermath(
        &mut self,
        request: Request,
        _facts: Facts,
        what: Aftermath,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let (Aftermath::Well(run) | Aftermath::Wrong { run, .. }) = &what;
        let run = *run;
        if !self.state.runs.contains_key(&run) {
            return Ok(vec![
                self.done(&request, "That run is too old to be remembered here. Nothing was written down."),
            ]);
        }
        let (word, outcome) = match what {
            Aftermath::Well(_) => (Word::Well, "looks good"),
            Aftermath::Wrong { .. } => (Word::Wrong, "something is wrong"),
        };
        let mut record = self.record(&request, now, outcome);
        self.about(&mut record, Some(run));
        let mut effects = vec![Effect::Record(record)];
        match what {
            Aftermath::Well(_) => {
                self.state.aftermaths.entry(run).or_default().said.insert(request.by.clone(), word);
                effects.push(self.done(&request, "Thank you. It is written down; nothing is left to do."));
            }
            Aftermath::Wrong { what, .. } => {
                self.note_wrong(run, &request.by, now);
                let message = self.wrong_text(&request.by, run, &what);
                // Whoever says more later is heard again.
                let topic = format!("wrong {} {now}:{run}", request.by);
                effects.push(Effect::Thread { topic, run, message, broadcast: true });
                effects.push(self.done(&request, &self.wrong_told()));
            }
        }
        Ok(effects)
    }

    /// Somebody says that a run did harm.
    pub(super) fn note_wrong(&mut self, run: RunId, by: &SlackId, now: Timestamp) {
        self.state.chronicle.note_failure(run, now);
        self.state.aftermaths.entry(run).or_default().said.insert(by.clone(), Word::Wrong);
    }

    /// Asks whom it is time to ask, and notes who has been silent for too long.
    pub(super) fn ask_aftermath(&mut self, now: Timestamp) -> Vec<Effect> {
        let due: Vec<RunId> =
            self.state.runs.values().filter(|t| self.is_to_be_asked(t, now)).map(|t| t.run.id).collect();
        let mut effects = Vec::new();
        for run in due {
            let asked = self.state.runs.get(&run).and_then(|tracked| self.questions(tracked, now));
            let Some(asked) = asked else { continue };
            let verified = self.state.aftermaths.entry(run).or_default();
            for (to, message) in asked {
                verified.asked.insert(to.clone(), now);
                effects.push(Effect::Whisper { topic: format!("aftermath {to}:{run}"), to, message });
            }
            self.state.said.insert(asked_topic(run));
        }
        effects.extend(self.note_silence(now).into_iter().map(Effect::Record));
        effects
    }

    fn is_to_be_asked(&self, tracked: &Tracked, now: Timestamp) -> bool {
        let Some(after) = self.policy.verify_after else { return false };
        let run = &tracked.run;
        let told = tracked.noticed && tracked.shown.is_some() && run.workflow == Workflow::Deploy;
        if !told || self.phase(tracked) != Phase::Done || self.state.said.contains(&asked_topic(run.id)) {
            return false;
        }
        let time = |since| now >= hours::later(since, after) && now < hours::later(since, after + SILENCE);
        self.is_clear(tracked) && self.live_since(tracked).is_some_and(time)
    }

    /// When the last production environment of a run was done.
    pub(super) fn live_since(&self, tracked: &Tracked) -> Option<Timestamp> {
        let production = tracked.places.iter().filter(|(name, _)| self.kind(name) == Some(Kind::Production));
        production.filter(|(_, place)| place.state == State::Deployed).filter_map(|(_, place)| place.since).max()
    }

    /// The question for each person whose changes the run shipped. `None` while what it shipped is not known.
    fn questions(&self, tracked: &Tracked, now: Timestamp) -> Option<Vec<(SlackId, Message)>> {
        let ships = self.ships(tracked)?;
        let mut people: BTreeMap<SlackId, Vec<&Change>> = BTreeMap::new();
        // What rides along does nothing in production; of what is taken back it is known that it does not work.
        let asked =
            ships.iter().map(|s| &s.change).filter(|c| !self.rides_along(c, now) && !self.is_taken_back(&c.key));
        for change in asked {
            if let Some(id) = change.person().and_then(|login| self.policy.people.slack(login)) {
                people.entry(id.clone()).or_default().push(change);
            }
        }
        Some(people.into_iter().map(|(to, changes)| (to, self.aftermath_text(tracked, &changes))).collect())
    }

    fn is_taken_back(&self, key: &ChangeKey) -> bool {
        self.state.forwards.iter().any(|forward| forward.fix.is_some() && ChangeKey::Pr(forward.broken) == *key)
    }

    /// Silence is recorded as silence, never as approval.
    fn note_silence(&mut self, now: Timestamp) -> Vec<Record> {
        let mut silent = Vec::new();
        for (run, verified) in &mut self.state.aftermaths {
            let late = verified.asked.iter().filter(|(_, at)| now.duration_since(**at) >= SILENCE);
            let late: Vec<SlackId> =
                late.map(|(who, _)| who).filter(|who| !verified.said.contains_key(*who)).cloned().collect();
            for who in late {
                verified.said.insert(who.clone(), Word::Nothing);
                silent.push((*run, who));
            }
        }
        silent.into_iter().map(|(run, who)| self.silence(run, who, now)).collect()
    }

    fn silence(&self, run: RunId, by: SlackId, at: Timestamp) -> Record {
        let mut record = Record::new(at, self.state.name.clone(), by, VERIFY, "no answer");
        self.about(&mut record, Some(run));
        record
    }
}

/// Remembered as long as the run.
fn asked_topic(run: RunId) -> String {
    format!("aftermath:{run}")
}

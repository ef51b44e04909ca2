//! What has to be said now: after every event the notices are rendered again and compared with what was shown, and each
//! thing that somebody has to hear is said once. Edits make no sound; a mention is a new message in the thread.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use super::app::App;
use super::effect::Effect;
use super::hours;
use super::message::Message;
use super::name::{EnvName, RunId};
use super::phase::{Phase, SLACK};
use super::pipeline::{Environment, Kind};
use super::run::Workflow;
use super::track::{Place, State, Tracked, Why};

/// How long a new run's notice waits for its jobs and changes to be known, so that it is not posted half empty.
const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

/// How long GitHub lets a job wait for an approval before it fails (`facts/github.md` 4.2).
const GATE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// When an approval that waits is called to mind: so many days before its end, down to so many.
const LAPSING: [(&str, i64, i64); 2] = [("lapsing soon", 7, 1), ("lapsing now", 1, 0)];

impl App {
    /// Says the difference between what people were told and what is true.
    pub(super) fn reconcile(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.state.pipeline.is_none() || self.state.last_look.is_none() {
            return Vec::new();
        }
        self.note_bases();
        self.keep_chronicle(now);
        self.forget_reminders(now);
        self.note_redeploys();
        self.tidy_orders(now);
        let ids: Vec<RunId> = self.state.runs.values().filter(|t| t.noticed).map(|t| t.run.id).collect();
        let mut effects: Vec<Effect> = ids.iter().filter_map(|id| self.show(*id, now)).collect();
        for id in ids {
            let attempt = self.state.runs.get(&id).map_or(1, |t| t.run.attempt);
            // The same commit is not asked to be tested again when it is started again.
            effects.extend(self.once(id, "ready".to_owned(), Self::ready));
            effects.extend(self.once(id, format!("handover {attempt}"), Self::handover));
            let trouble = self.once(id, format!("trouble {attempt}"), Self::trouble);
            if trouble.is_some() {
                self.split_is_told(now);
            }
            effects.extend(trouble);
            effects.extend(self.once(id, format!("stopped {attempt}"), Self::stopped));
            for (topic, from, until) in LAPSING {
                let lapsing = |app: &Self, tracked: &Tracked| app.lapsing(tracked, (from, until), now);
                effects.extend(self.once(id, format!("{topic} {attempt}"), lapsing));
            }
            effects.extend(self.once(id, format!("unseen {attempt}"), Self::unseen));
            // Nor does a redeploy that is started again deploy what it left behind.
            effects.extend(self.once(id, "start again".to_owned(), Self::start_again));
            for broken in self.taken_back(id) {
                let repaired = |app: &Self, tracked: &Tracked| app.repaired(tracked, broken);
                effects.extend(self.once(id, format!("repaired #{broken}"), repaired));
            }
        }
        effects.extend(self.pass_gates(now));
        effects.extend(self.ask_aftermath(now));
        effects.extend(self.shown_after_all());
        effects
    }

    /// The notice of a run, if it is to look different now.
    fn show(&mut self, id: RunId, now: Timestamp) -> Option<Effect> {
        let tracked = self.state.runs.get(&id)?;
        let complete =
            tracked.is_known() && (tracked.run.workflow == Workflow::Redeploy || self.ships(tracked).is_some());
        let half_empty = tracked.shown.is_none() && !complete && now.duration_since(tracked.run.started_at) < PATIENCE;
        let out_of_turn = tracked.shown.is_none() && self.is_out_of_turn(tracked, now);
        // How a run ended is said once it is known, not guessed and corrected.
        let unclear = tracked.run.is_over()
            && (tracked.is_due() || !tracked.is_examined() || self.phase(tracked) == Phase::Ending);
        if half_empty || out_of_turn || unclear {
            return None;
        }
        let message = self.notice(tracked, now);
        let digest = digest(&message);
        let tracked = self.state.runs.get_mut(&id)?;
        if tracked.shown == Some(digest) {
            return None;
        }
        tracked.shown = Some(digest);
        Some(Effect::Notice(id, message))
    }

    /// Whether a run that was seen a moment ago would have its notice above an older one's that is still to come.
    fn is_out_of_turn(&self, tracked: &Tracked, now: Timestamp) -> bool {
        let fresh = tracked.seen_at.is_some_and(|at| now.duration_since(at) < PATIENCE);
        let mut older = self.state.runs.range(..tracked.run.id).map(|(_, older)| older);
        fresh && older.any(|older| older.noticed && older.shown.is_none())
    }

    /// Says something about a run once, when it is time.
    fn once(&mut self, id: RunId, topic: String, say: impl Fn(&Self, &Tracked) -> Option<Said>) -> Option<Effect> {
        let tracked = self.state.runs.get(&id)?;
        let topic = format!("{topic}:{id}");
        if tracked.shown.is_none() || self.state.said.contains(&topic) {
            return None;
        }
        let Said { thread, message, broadcast } = say(self, tracked)?;
        self.state.said.insert(topic.clone());
        Some(Effect::Thread { topic, run: thread, message, broadcast })
    }

    /// What Elastic Beanstalk showed of environments that runs had left unknown, each in its run's thread.
    fn shown_after_all(&mut self) -> Vec<Effect> {
        let settled: Vec<(EnvName, RunId)> =
            self.state.certain.iter().map(|(name, certainty)| (name.clone(), certainty.run)).collect();
        let told = settled.into_iter().filter_map(|(name, run)| {
            let since = self.state.certain.get(&name)?.at;
            self.once(run, format!("certain {name} {since}"), |app, tracked| {
                let message = app.certainty_text(&name, tracked)?;
                Some(Said { thread: tracked.run.id, message, broadcast: false })
            })
        });
        told.collect()
    }

    /// QA-ready: the run is on every test environment that a production environment waits for.
    fn ready(&self, tracked: &Tracked) -> Option<Said> {
        let newest = self.newest().is_some_and(|newest| newest.run.id == tracked.run.id);
        if tracked.run.is_over() || !newest || !self.is_testable(tracked) || self.is_rollback(tracked) {
            return None;
        }
        let ships = self.ships(tracked)?;
        Some(Said { thread: tracked.run.id, message: self.ready_text(tracked, &ships), broadcast: false })
    }

    /// Whether every needed test environment has been reached one way or the other, and at least one production environment
    /// has all that it needs. The halves of a pipeline may be independent.
    fn is_testable(&self, tracked: &Tracked) -> bool {
        let Some(pipeline) = self.pipeline() else { return false };
        let needed: Vec<&EnvName> = pipeline.production().flat_map(|e| &e.needs).collect();
        let settled = needed.iter().all(|name| {
            let state = tracked.state(name);
            matches!(state, Some(State::Deployed | State::NotDeployed(_) | State::Unknown(_) | State::Skipped))
        });
        let complete = |e: &Environment| e.needs.iter().all(|name| tracked.state(name) == Some(State::Deployed));
        !needed.is_empty() && settled && pipeline.production().any(complete)
    }

    /// One merge cancelled another person's run: both hear of it, in the new run's thread.
    fn handover(&self, tracked: &Tracked) -> Option<Said> {
        if self.phase(tracked) != Phase::Superseded {
            return None;
        }
        let by = self.superseder(tracked)?;
        // The thread needs its notice, the sentence needs to know what ships.
        if by.shown.is_none()
            || (by.run.workflow == Workflow::Deploy && self.ships(by).is_none())
            || (tracked.run.workflow == Workflow::Deploy && self.ships(tracked).is_none())
        {
            return None;
        }
        let message = self.handover_text(tracked, by)?;
        Some(Said { thread: by.run.id, message, broadcast: false })
    }

    /// A failed production, as soon as it is seen, or a run that left production split: the channel hears of it.
    fn trouble(&self, tracked: &Tracked) -> Option<Said> {
        let failed = self.failed_production(tracked);
        let touched = |(name, place): (&EnvName, &Place)| {
            self.kind(name) == Some(Kind::Production) && matches!(place.state, State::Unknown(_) | State::Deployed)
        };
        let split = tracked.run.is_over() && tracked.places.iter().any(touched) && self.is_split();
        if !self.is_clear(tracked) || !(failed || split) {
            return None;
        }
        Some(Said { thread: tracked.run.id, message: self.trouble_text(tracked, failed), broadcast: true })
    }

    /// The newest run ended before production and not by a decision for it: whoever started it has to act next.
    fn stopped(&self, tracked: &Tracked) -> Option<Said> {
        let phase = self.phase(tracked);
        let stopped = matches!(phase, Phase::Failed | Phase::TimedOut | Phase::Broken | Phase::Rejected);
        if !stopped || !self.is_newest(tracked) || !self.is_clear(tracked) || self.failed_production(tracked) {
            return None;
        }
        Some(Said { thread: tracked.run.id, message: self.stopped_text(tracked, &phase), broadcast: false })
    }

    /// The newest run's approval waits so long that GitHub will soon end it: its people hear of it while there is time.
    fn lapsing(&self, tracked: &Tracked, days: (i64, i64), now: Timestamp) -> Option<Said> {
        if self.phase(tracked) != Phase::Waiting || !self.is_newest(tracked) {
            return None;
        }
        // The gate came up a little later than the attempt started, so this is early rather than late.
        let ends = hours::later(tracked.run.started_at, GATE);
        let left = ends.duration_since(now);
        let day = |days: i64| SignedDuration::from_hours(days * 24);
        let soon = left <= day(days.0) && left > day(days.1);
        soon.then(|| Said { thread: tracked.run.id, message: self.lapsing_text(tracked, ends, left), broadcast: false })
    }

    /// Whether what is known of a run is of now: while a closer look is due, its places are those of before.
    pub(super) fn is_clear(&self, tracked: &Tracked) -> bool {
        let looked_at = tracked.is_known() && !tracked.is_due() && tracked.is_examined();
        let phase = self.phase(tracked);
        let settled = !tracked.is_lagging() && !self.is_being_cancelled(tracked);
        looked_at && settled && phase != Phase::Ending && !self.is_nameless(tracked, &phase)
    }

    /// Whether a job was cancelled a moment ago and its run is not shown as over yet: soon it is, and says by whom.
    fn is_being_cancelled(&self, tracked: &Tracked) -> bool {
        let just_now = |place: &Place| {
            let cancelled = matches!(place.state, State::Unknown(Why::Cancelled) | State::NotDeployed(Why::Cancelled));
            let ended = place.since.filter(|_| cancelled);
            ended.zip(self.state.last_look).is_some_and(|(at, look)| look.duration_since(at) < SLACK)
        };
        !tracked.run.is_over() && tracked.places.values().any(just_now)
    }

    /// Whether the run was replaced a moment ago, and the lists do not show yet by which.
    fn is_nameless(&self, tracked: &Tracked, phase: &Phase) -> bool {
        let fresh = self.state.last_look.is_some_and(|look| look.duration_since(tracked.run.updated_at) < SLACK);
        *phase == Phase::Superseded && fresh && self.superseder(tracked).is_none()
    }

    pub(super) fn failed_production(&self, tracked: &Tracked) -> bool {
        // What an earlier attempt left was said when it was left.
        let now = |(name, place): &(&EnvName, &Place)| self.kind(name) == Some(Kind::Production) && !place.earlier;
        tracked.places.iter().filter(now).any(|(_, place)| {
            matches!(place.state, State::Unknown(_) | State::NotDeployed(Why::Failed | Why::TimedOut))
        })
    }
}

/// Something to be said in a thread.
pub(super) struct Said {
    pub(super) thread: RunId,
    pub(super) message: Message,
    pub(super) broadcast: bool,
}

fn digest(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{message:?}").hash(&mut hasher);
    hasher.finish()
}

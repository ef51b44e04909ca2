//! What a run is doing, or how it ended, each called by its own name. Computed from what is known whenever it is asked for, never
//! stored. The words for it live in `notice` and `answer`.

use jiff::SignedDuration;

use super::app::App;
use super::hours;
use super::name::{EnvName, Login};
use super::pipeline::Kind;
use super::run::{CancelledBy, Conclusion, Status};
use super::track::{State, Tracked, Why};

/// A cancelled run is last updated a moment after its successor starts; clocks at GitHub agree to about this much.
pub(super) const SLACK: SignedDuration = SignedDuration::from_secs(15);

/// What a run is doing, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for a machine, or for its turn in the concurrency group.
    Queued,
    /// Builds and publishes the image, or does something else before any environment.
    Building,
    /// Goes to the test environments.
    OnTest,
    /// A production environment waits for an approval.
    Waiting,
    /// Goes to production.
    Deploying,
    /// Every job that should run succeeded.
    Done,
    /// It ended well and deployed nothing.
    Nothing,
    /// A job failed.
    Failed,
    /// Somebody said no at a gate.
    Rejected,
    /// A job ran into its time limit.
    TimedOut,
    /// A person cancelled it.
    CancelledBy(Login),
    /// Cancelled; nobody said by whom.
    Cancelled,
    /// Cancelled, and why is still being looked up.
    Ending,
    /// A newer run of the same concurrency group took its place. Never called failed.
    Superseded,
    /// GitHub could not start it: the workflow file is broken.
    Broken,
}

impl App {
    /// What a run is doing, or how it ended.
    pub fn phase(&self, tracked: &Tracked) -> Phase {
        if tracked.run.is_over() { self.ending(tracked) } else { self.progress(tracked) }
    }

    fn progress(&self, tracked: &Tracked) -> Phase {
        let any = |kind: Kind, states: &[State]| {
            let places = tracked.places.iter().filter(|(name, _)| self.kind(name) == Some(kind));
            places.into_iter().any(|(_, place)| !place.earlier && states.contains(&place.state))
        };
        let moving = [State::Preparing, State::Deploying];
        let open = |kind: Kind| tracked.open_gates().any(|gate| self.kind(&gate.environment) == Some(kind));
        // Once GitHub took an answer the gate is gone, a moment before its job goes on.
        let answered =
            tracked.gates.iter().map(|gate| &gate.environment).chain(places_in(tracked, |s| s == State::Waiting));
        let answered = answered.into_iter().any(|name| tracked.is_answered(name));
        if any(Kind::Production, &moving) || answered {
            Phase::Deploying
        } else if open(Kind::Production) {
            Phase::Waiting
        } else if any(Kind::Test, &moving) || any(Kind::Test, &[State::Queued, State::Waiting]) {
            Phase::OnTest
        } else if any(Kind::Production, &[State::Queued, State::Deployed]) {
            Phase::Deploying
        } else if any(Kind::Test, &[State::Deployed]) {
            Phase::OnTest
        } else if tracked.started || tracked.run.status == Status::InProgress {
            Phase::Building
        } else {
            Phase::Queued
        }
    }

    fn ending(&self, tracked: &Tracked) -> Phase {
        match tracked.run.conclusion {
            Some(Conclusion::Success) if tracked.is_known() && !any_deployed(tracked) => Phase::Nothing,
            Some(Conclusion::Success) => Phase::Done,
            Some(Conclusion::Skipped) => Phase::Nothing,
            Some(Conclusion::Cancelled) => self.cancelled(tracked),
            Some(Conclusion::TimedOut) => Phase::TimedOut,
            Some(Conclusion::StartupFailure) => Phase::Broken,
            Some(Conclusion::Failure | Conclusion::Other) | None => failed(tracked),
        }
    }

    fn cancelled(&self, tracked: &Tracked) -> Phase {
        let asked = tracked.cancelled_by.is_some()
            || (tracked.is_known() && !tracked.is_due() && tracked.unfinished.is_empty());
        match &tracked.cancelled_by {
            _ if !asked => Phase::Ending,
            Some(CancelledBy::Person(login)) => Phase::CancelledBy(self.canceller(tracked, login)),
            Some(CancelledBy::Timeout) => Phase::TimedOut,
            Some(CancelledBy::Group) => Phase::Superseded,
            Some(CancelledBy::Unsaid) | None if self.superseder(tracked).is_some() => Phase::Superseded,
            Some(CancelledBy::Unsaid) | None => Phase::Cancelled,
        }
    }

    /// The run that took a cancelled run's place: the last that started after it and before its end. Nothing at GitHub names
    /// it (`facts/github.md` 4.7). One that was started again since took the place when it was first created.
    pub fn superseder(&self, tracked: &Tracked) -> Option<&Tracked> {
        let run = &tracked.run;
        let births = self.state.runs.values().flat_map(|other| {
            let starts = [other.run.created_at, other.run.started_at];
            starts.map(|at| ((at, other.run.id), other))
        });
        let later =
            || births.clone().filter(|(born, other)| *born > (run.started_at, run.id) && other.run.id != run.id);
        let before_end = later().filter(|((at, _), _)| *at <= run.updated_at).max_by_key(|(born, _)| *born);
        let soon = hours::later(run.updated_at, SLACK);
        let soon_after = || later().filter(|((at, _), _)| *at <= soon).min_by_key(|(born, _)| *born);
        before_end.or_else(soon_after).map(|(_, other)| other)
    }
}

fn any_deployed(tracked: &Tracked) -> bool {
    tracked.places.values().any(|place| place.state == State::Deployed)
}

fn failed(tracked: &Tracked) -> Phase {
    let ended = |why: Why| {
        let is = |state: State| state == State::NotDeployed(why) || state == State::Unknown(why);
        tracked.places.values().any(|place| is(place.state))
    };
    if ended(Why::Failed) || tracked.failing.as_ref().is_some_and(|f| f.environment.is_none()) {
        Phase::Failed
    } else if ended(Why::Rejected) {
        Phase::Rejected
    } else if ended(Why::TimedOut) {
        Phase::TimedOut
    } else {
        Phase::Failed
    }
}

/// The environments where a run is in a state.
pub fn places_in(tracked: &Tracked, wanted: impl Fn(State) -> bool) -> impl Iterator<Item = &EnvName> {
    tracked.places.iter().filter(move |(_, place)| wanted(place.state)).map(|(name, _)| name)
}

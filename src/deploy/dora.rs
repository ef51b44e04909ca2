//! What happened lately, for the weekly digest: DORA's four, the runs that were replaced, the time in which production was split.
//! Observed like everything else, so a look too many changes nothing. The words are in `digest`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::app::App;
use super::name::RunId;
use super::phase::Phase;
use super::pipeline::Kind;
use super::run::Workflow;
use super::track::{State, Tracked};

/// How long it is remembered.
const KEPT: SignedDuration = SignedDuration::from_hours(35 * 24);
/// How many runs and splits are remembered at most.
const MOST: usize = 200;
/// Of how many changes of a run it is remembered how long they took.
const CHANGES: usize = 100;

/// What happened lately to one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chronicle {
    /// The Deploy runs that came to production.
    voyages: BTreeMap<RunId, Voyage>,
    /// The runs that another one replaced, and when.
    replaced: BTreeMap<RunId, Timestamp>,
    /// When production was split, oldest first; the last one may go on.
    splits: Vec<Split>,
}

/// A run at production.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Voyage {
    /// When the last production environment had it.
    live: Option<Timestamp>,
    /// Whether it reached all that it should.
    whole: bool,
    /// For each of its changes the minutes from merge to production.
    took: Vec<u32>,
    /// When it was seen that it did harm.
    failed: Option<Timestamp>,
    /// When the next deployment went well.
    mended: Option<Timestamp>,
}

/// A time in which production environments ran different versions, or nobody knew, and no deployment was going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Split {
    from: Timestamp,
    until: Option<Timestamp>,
}

/// A time in figures. Times are in minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Runs that were live in production.
    pub deployments: usize,
    /// The changes that they shipped.
    pub changes: usize,
    /// From merge to production, for the change in the middle.
    pub lead: Option<i64>,
    /// The same for all changes together.
    pub waited: i64,
    /// Deployments that came to production, well or not.
    pub tried: usize,
    /// Those of them that did harm there.
    pub failed: usize,
    /// From the harm to the next good deployment, for the one in the middle.
    pub restored: Option<i64>,
    /// Those that nothing has repaired yet.
    pub broken: usize,
    /// Runs that another one replaced.
    pub replaced: usize,
    /// How long production was split.
    pub split: i64,
}

impl Chronicle {
    /// The figures of a time.
    pub fn figures(&self, from: Timestamp, until: Timestamp) -> Figures {
        let within = |at: &Timestamp| (from..until).contains(at);
        let live: Vec<&Voyage> = self.voyages.values().filter(|v| v.live.as_ref().is_some_and(within)).collect();
        let failed: Vec<&Voyage> = self.voyages.values().filter(|v| v.failed.as_ref().is_some_and(within)).collect();
        let came = |v: &&Voyage| v.live.as_ref().is_some_and(within) || v.failed.as_ref().is_some_and(within);
        let took: Vec<i64> = live.iter().flat_map(|v| &v.took).map(|minutes| i64::from(*minutes)).collect();
        let repairs = failed.iter().filter_map(|v| Some(v.mended?.duration_since(v.failed?).as_mins()));
        let overlap = |split: &Split| {
            let (from, until) = (split.from.max(from), split.until.unwrap_or(until).min(until));
            until.duration_since(from).max(SignedDuration::ZERO)
        };
        Figures {
            deployments: live.len(),
            changes: took.len(),
            waited: took.iter().sum(),
            lead: middle(took),
            tried: self.voyages.values().filter(came).count(),
            failed: failed.len(),
            broken: failed.iter().filter(|v| v.mended.is_none()).count(),
            restored: middle(repairs.collect()),
            replaced: self.replaced.values().filter(|at| within(at)).count(),
            split: self.splits.iter().map(overlap).sum::<SignedDuration>().as_mins(),
        }
    }

    /// A run did harm in production, as somebody says or as its jobs show.
    pub(super) fn note_failure(&mut self, run: RunId, at: Timestamp) {
        self.voyages.entry(run).or_default().failed.get_or_insert(at);
    }

    fn note_live(&mut self, run: RunId, live: Timestamp, whole: bool, took: Vec<u32>) {
        let voyage = self.voyages.entry(run).or_default();
        (voyage.live, voyage.whole, voyage.took) = (Some(live), whole, took);
        if whole {
            let hurt = |v: &&mut Voyage| v.mended.is_none() && v.failed.is_some_and(|failed| failed <= live);
            self.voyages.values_mut().filter(hurt).for_each(|voyage| voyage.mended = Some(live));
        }
    }

    fn note_split(&mut self, split: bool, now: Timestamp) {
        match self.splits.last_mut().filter(|split| split.until.is_none()) {
            Some(open) if !split => open.until = Some(now),
            None if split => self.splits.push(Split { from: now, until: None }),
            Some(_) | None => {}
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let late = |at: Timestamp| now.duration_since(at) < KEPT;
        self.voyages.retain(|_, v| v.live.max(v.failed).is_some_and(late));
        self.replaced.retain(|_, at| late(*at));
        self.splits.retain(|split| split.until.is_none_or(late));
        while self.voyages.len() > MOST {
            self.voyages.pop_first();
        }
        while self.replaced.len() > MOST {
            self.replaced.pop_first();
        }
        let extra = self.splits.len().saturating_sub(MOST);
        self.splits.drain(..extra);
    }
}

impl App {
    /// Notes what became of the runs. History from before the first look is not in it.
    pub(super) fn keep_chronicle(&mut self, now: Timestamp) {
        let runs = self.state.runs.values().filter(|t| t.noticed && self.is_clear(t));
        let ids: Vec<RunId> = runs.map(|t| t.run.id).collect();
        for id in ids {
            self.keep_run(id);
        }
        let moving = |t: &Tracked| !t.run.is_over() && self.phase(t) == Phase::Deploying;
        let split = self.is_split() && !self.state.runs.values().any(moving) && !self.is_history_unread();
        self.state.chronicle.note_split(split, now);
        self.state.chronicle.forget(now);
    }

    fn keep_run(&mut self, id: RunId) {
        let Some(tracked) = self.state.runs.get(&id) else { return };
        let phase = self.phase(tracked);
        let ended = tracked.run.updated_at;
        if phase == Phase::Superseded {
            self.state.chronicle.replaced.entry(id).or_insert(ended);
        }
        if tracked.run.workflow != Workflow::Deploy {
            return;
        }
        let live = self.came_live(tracked);
        if self.failed_production(tracked) {
            self.state.chronicle.note_failure(id, ended);
        }
        if let Some((live, took)) = live {
            // A change counts once it is everywhere.
            let whole = phase == Phase::Done;
            self.state.chronicle.note_live(id, live, whole, if whole { took } else { Vec::new() });
        }
    }

    /// When a run that is over came to production, and how long each of its changes took. `None` once that is written down.
    fn came_live(&self, tracked: &Tracked) -> Option<(Timestamp, Vec<u32>)> {
        let known = self.state.chronicle.voyages.get(&tracked.run.id).is_some_and(|voyage| voyage.whole);
        if known || !tracked.run.is_over() {
            return None;
        }
        let places = tracked.places.iter().filter(|(name, _)| self.kind(name) == Some(Kind::Production));
        let there = places.filter(|(_, place)| place.state == State::Deployed);
        let live = there.filter_map(|(_, place)| place.deployed_at).max()?;
        let ships = self.ships(tracked)?;
        let minutes = |merged: Timestamp| live.duration_since(merged).as_mins().clamp(0, i64::from(u32::MAX)) as u32;
        Some((live, ships.iter().take(CHANGES).map(|s| minutes(s.change.merged_at)).collect()))
    }

    /// What happened lately, in figures.
    pub fn figures(&self, from: Timestamp, until: Timestamp) -> Figures {
        self.state.chronicle.figures(from, until)
    }
}

/// The one in the middle: half of them are as small or smaller.
fn middle(mut all: Vec<i64>) -> Option<i64> {
    all.sort_unstable();
    all.get(all.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn figures(chronicle: &Chronicle) -> Figures {
        chronicle.figures(at(0), at(10_000))
    }

    #[test]
    fn the_four_are_counted() {
        let mut chronicle = Chronicle::default();
        chronicle.note_live(RunId(1), at(100), true, vec![10, 20, 90]);
        chronicle.note_failure(RunId(2), at(200));
        chronicle.note_live(RunId(3), at(260), true, vec![40]);
        chronicle.note_failure(RunId(4), at(300));
        let expected = Figures {
            deployments: 2,
            changes: 4,
            lead: Some(20),
            waited: 160,
            tried: 4,
            failed: 2,
            restored: Some(60),
            broken: 1,
            ..Figures::default()
        };
        assert_eq!(figures(&chronicle), expected);
        assert_eq!(chronicle.figures(at(0), at(100)), Figures::default(), "the end does not belong to it");
        assert_eq!(chronicle.figures(at(100), at(101)).deployments, 1, "the beginning does");
    }

    #[test]
    fn saying_it_again_changes_nothing() {
        let mut chronicle = Chronicle::default();
        for _ in 0..2 {
            chronicle.note_failure(RunId(1), at(50));
            chronicle.note_live(RunId(1), at(40), false, vec![5]);
            chronicle.note_failure(RunId(1), at(70));
        }
        assert_eq!((figures(&chronicle).failed, figures(&chronicle).broken), (1, 1));
        chronicle.note_live(RunId(1), at(90), true, vec![55]);
        let after = figures(&chronicle);
        assert_eq!((after.deployments, after.tried, after.failed, after.restored), (1, 1, 1, Some(40)));
    }

    #[test]
    fn a_split_counts_only_within_the_time() {
        let mut chronicle = Chronicle::default();
        for (minute, split) in [(10, true), (20, true), (40, false), (50, false), (90, true)] {
            chronicle.note_split(split, at(minute));
        }
        assert_eq!(chronicle.figures(at(0), at(100)).split, 40);
        assert_eq!(chronicle.figures(at(30), at(95)).split, 15);
        assert_eq!(chronicle.figures(at(41), at(80)).split, 0);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut chronicle = Chronicle::default();
        for n in 0..500 {
            chronicle.note_live(RunId(n), at(n as i64), true, vec![1]);
            chronicle.replaced.insert(RunId(n), at(n as i64));
            chronicle.note_split(n % 2 == 0, at(n as i64));
        }
        chronicle.forget(at(500));
        assert_eq!((chronicle.voyages.len(), chronicle.replaced.len(), chronicle.splits.len()), (MOST, MOST, MOST));
        chronicle.forget(at(500) + KEPT);
        assert_eq!(chronicle, Chronicle::default());
    }
}

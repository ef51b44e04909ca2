//! The ledger: what each environment runs, and what is merged and not there. Computed from successful Deploy jobs, never from
//! Redeploy and never from the Deployments API (`facts/github.md` sections 0.6 and 5).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::app::App;
use super::change::{Change, ChangeKey, Range};
use super::name::{EnvName, RunId, Sha};
use super::pipeline::{Kind, Pipeline};
use super::run::Workflow;
use super::track::{State, Tracked, Why};

/// After a merge GitHub needs a moment to say which PR a commit belongs to: a range with a commit that seems to have none is
/// asked for again this long, measured from the merge.
const ASSOCIATION_LAG: SignedDuration = SignedDuration::from_mins(2);
/// A merge that has no run after this long touched only ignored paths (`facts/github.md` 5.2).
const RUN_GRACE: SignedDuration = SignedDuration::from_mins(3);

/// What an environment runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The commit.
    pub sha: Sha,
    /// The run that brought it.
    pub run: RunId,
    /// That run's number.
    pub number: u64,
    /// Since when.
    pub since: Timestamp,
}

/// A job touched an environment and nobody saw it end: it may run this commit, or what it ran before, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unsure {
    /// The commit that may run there; `None` for a redeploy, which keeps the version.
    pub sha: Option<Sha>,
    /// The run.
    pub run: RunId,
    /// That run's number.
    pub number: u64,
    /// When it was last seen.
    pub at: Timestamp,
    /// Why the end was not seen.
    pub why: Why,
}

/// What lies between commits, as far as it was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranges(Vec<Known>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    base: Sha,
    head: Sha,
    /// `None`: GitHub does not know one of them any more.
    range: Option<Range>,
    at: Timestamp,
}

/// A change that ships with a run, or waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Shipped {
    /// The change.
    pub change: Change,
    /// The production environments that lack it.
    pub lacking: BTreeSet<EnvName>,
}

impl Ranges {
    /// What lies between them: `None` if it was not asked yet, `Some(None)` if GitHub cannot tell.
    pub fn get(&self, base: &Sha, head: &Sha) -> Option<Option<&Range>> {
        self.0.iter().find(|known| known.base == *base && known.head == *head).map(|known| known.range.as_ref())
    }

    /// Remembers an answer.
    pub fn insert(&mut self, base: Sha, head: Sha, range: Option<Range>, at: Timestamp) {
        self.0.retain(|known| known.base != base || known.head != head);
        self.0.push(Known { base, head, range, at });
    }

    /// Forgets the others.
    pub fn keep(&mut self, wanted: impl Fn(&Sha, &Sha) -> bool) {
        self.0.retain(|known| wanted(&known.base, &known.head));
    }

    fn is_settled(&self, base: &Sha, head: &Sha, now: Timestamp) -> bool {
        let Some(known) = self.0.iter().find(|known| known.base == *base && known.head == *head) else { return false };
        let changes = known.range.iter().flat_map(|range| &range.changes);
        let lonely =
            changes.filter(|change| matches!(change.key, ChangeKey::Commit(_))).map(|change| change.merged_at).max();
        // Asked again at most every 10 s, so that one look does not ask for ever.
        lonely.is_none_or(|at| {
            known.at.duration_since(at) > ASSOCIATION_LAG
                || now.duration_since(known.at) < SignedDuration::from_secs(10)
        })
    }
}

impl App {
    /// Enters what a closer look at a run tells about its environments.
    pub(super) fn enter(&mut self, id: RunId) {
        let Some(tracked) = self.state.runs.get(&id) else { return };
        let run = &tracked.run;
        for (environment, place) in &tracked.places {
            if let (Workflow::Deploy, Some(at)) = (run.workflow, place.deployed_at) {
                // GitHub tells times to the second; of two runs in one second the later one counts.
                let newer = self.state.live.get(environment).is_none_or(|live| (live.since, live.run) < (at, id));
                if newer {
                    let live = Live { sha: run.sha.clone(), run: id, number: run.number, since: at };
                    self.state.live.insert(environment.clone(), live);
                }
                if self.state.unsure.get(environment).is_some_and(|unsure| unsure.at <= at) {
                    self.state.unsure.remove(environment);
                }
            }
            let Some(at) = place.unknown_at else { continue };
            let why = if let State::Unknown(why) = place.state { why } else { Why::Failed };
            let since_live = self.state.live.get(environment).is_none_or(|live| live.since < at);
            let since_doubt = self.state.unsure.get(environment).is_none_or(|unsure| unsure.at <= at);
            let settled = self.state.certain.get(environment).is_some_and(|certainty| certainty.at >= at);
            if since_live && since_doubt && !settled {
                let sha = (run.workflow == Workflow::Deploy).then(|| run.sha.clone());
                let unsure = Unsure { sha, run: id, number: run.number, at, why };
                self.state.unsure.insert(environment.clone(), unsure);
            }
        }
    }

    /// Notes what production runs before a run comes to it; once the run is there, or over, that stays.
    pub(super) fn note_bases(&mut self) {
        let Some(pipeline) = self.state.pipeline.clone() else { return };
        let live = &self.state.live;
        for tracked in self.state.runs.values_mut().filter(|t| t.noticed) {
            for environment in pipeline.production() {
                let there = tracked.places.get(&environment.name).is_some_and(|place| place.deployed_at.is_some());
                let late = there || (tracked.run.is_over() && tracked.bases.contains_key(&environment.name));
                if let Some(live) = live.get(&environment.name).filter(|live| !late && live.run != tracked.run.id) {
                    tracked.bases.insert(environment.name.clone(), live.sha.clone());
                }
            }
        }
    }

    pub(super) fn wanted_ranges(&self, now: Timestamp) -> BTreeSet<(Sha, Sha)> {
        let of_runs = self.state.runs.values().filter(|t| t.noticed && t.run.workflow == Workflow::Deploy);
        let of_runs = of_runs.flat_map(|t| t.bases.values().map(|base| (base.clone(), t.run.sha.clone())));
        let of_main = self.deployed().into_iter().filter_map(|(_, sha)| Some((sha, self.state.main.clone()?)));
        let pairs = of_runs.chain(of_main).filter(|(base, head)| base != head);
        pairs.filter(|(base, head)| !self.state.ranges.is_settled(base, head, now)).collect()
    }

    /// The changes that a run ships: what lies between what each production environment ran and the run's commit. `None`
    /// while that is not known; an environment that never had a version adds nothing.
    pub fn ships(&self, tracked: &Tracked) -> Option<Vec<Shipped>> {
        self.union(tracked.bases.iter(), &tracked.run.sha)
    }

    /// The changes that are merged and missing from a production environment. `None` while that is not known.
    pub fn pending(&self) -> Option<Vec<Shipped>> {
        let deployed = self.deployed();
        self.union(deployed.iter().map(|(name, sha)| (name, sha)), self.state.main.as_ref()?)
    }

    fn union<'a>(&self, bases: impl Iterator<Item = (&'a EnvName, &'a Sha)>, head: &Sha) -> Option<Vec<Shipped>> {
        let mut ranges = Vec::new();
        for (environment, base) in bases.filter(|(_, base)| *base != head) {
            ranges.extend(self.state.ranges.get(base, head)?.map(|range| (environment, &range.changes)));
        }
        // The longest holds what is in the others, in its order; two may have been merged within a second.
        ranges.sort_by_key(|(_, changes)| Reverse(changes.len()));
        let mut shipped: Vec<Shipped> = Vec::new();
        for (environment, changes) in ranges {
            for change in changes {
                match shipped.iter_mut().find(|s| s.change.key == change.key) {
                    Some(known) => {
                        known.lacking.insert(environment.clone());
                    }
                    None => {
                        let lacking = BTreeSet::from([environment.clone()]);
                        shipped.push(Shipped { change: change.clone(), lacking });
                    }
                }
            }
        }
        shipped.sort_by_key(|s| s.change.merged_at);
        Some(shipped)
    }

    /// Whether a merge touched only ignored paths, so that no run was made for it: it rides along with the next one. Only
    /// said of merges since the oldest run that is remembered, and after a grace.
    pub fn rides_along(&self, change: &Change, now: Timestamp) -> bool {
        let mut runs = self.state.runs.values().filter(|t| t.run.workflow == Workflow::Deploy);
        let reach = runs.clone().map(|t| t.run.created_at).min();
        let in_reach = reach.is_some_and(|reach| reach <= change.merged_at);
        in_reach && now.duration_since(change.merged_at) > RUN_GRACE && !runs.any(|t| t.run.sha == change.head)
    }

    /// The newest Deploy run, of any branch, by the start of its newest attempt.
    pub fn newest(&self) -> Option<&Tracked> {
        self.state
            .runs
            .values()
            .filter(|t| t.run.workflow == Workflow::Deploy)
            .max_by_key(|t| (t.run.started_at, t.run.id))
    }

    /// Whether production runs different versions, or an environment's is unknown.
    pub fn is_split(&self) -> bool {
        let names: Vec<&EnvName> =
            self.pipeline().into_iter().flat_map(Pipeline::production).map(|e| &e.name).collect();
        let versions: BTreeSet<&Sha> =
            names.iter().filter_map(|name| self.state.live.get(name)).map(|live| &live.sha).collect();
        versions.len() > 1 || names.iter().any(|name| self.state.unsure.contains_key(name))
    }

    pub(super) fn kind(&self, environment: &EnvName) -> Option<Kind> {
        self.pipeline()?.environment(environment).map(|e| e.kind)
    }

    /// What environments run now, to compare with.
    pub fn live(&self) -> &BTreeMap<EnvName, Live> {
        &self.state.live
    }
}

//! One app's document, and the only way in: [`App::handle`]. What is told is taken in (`track`, `ledger`), requests are
//! decided (`approve`, `request`), and at the end of every event [`App::reconcile`](App) compares what people were told
//! with what is true and says the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::aftermath::Verified;
use super::change::ChangeKey;
use super::dispatch::Orders;
use super::doctor::{self, Examined};
use super::dora::Chronicle;
use super::doubt::Certainty;
use super::drift::Alarm;
use super::effect::Effect;
use super::event::{Event, Finding, Look, Outcome, Wanted};
use super::ledger::{Live, Ranges, Unsure};
use super::name::{AppName, EnvName, RunId, Sha, SlackId};
use super::pipeline::Pipeline;
use super::policy::Policy;
use super::refusal::Refusal;
use super::remind::Reminders;
use super::revert::Forward;
use super::run::{Conclusion, Workflow};
use super::server::Reading;
use super::track::{Address, Tracked};
use super::variable::Memory;

/// How many runs are remembered; the lists show 50 at a time.
const REMEMBERED: usize = 60;

/// How long a tick counts: GitHub lets a run wait for approval as long (`facts/github.md` 4.2).
const TICKS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One app: its document, and the settings by which it decides.
#[derive(Clone, Debug)]
pub struct App {
    pub(super) state: State,
    pub(super) policy: Arc<Policy>,
}

/// What is remembered of an app, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its short name.
    pub name: AppName,
    /// Its pipeline, once it was read.
    pub pipeline: Option<Pipeline>,
    /// The newest runs of the concurrency group.
    pub runs: BTreeMap<RunId, Tracked>,
    /// The branch's newest commit.
    pub main: Option<Sha>,
    /// What each environment runs, from successful Deploy jobs.
    pub live: BTreeMap<EnvName, Live>,
    /// Environments that a later job touched without a known end.
    pub unsure: BTreeMap<EnvName, Unsure>,
    /// What lies between commits.
    pub ranges: Ranges,
    /// Who said that a change works on the test environment.
    pub ticks: BTreeMap<ChangeKey, Tick>,
    /// Approvals are refused while this is set.
    pub hold: Option<Hold>,
    /// What was said once and is not said again.
    pub said: BTreeSet<String>,
    /// What Elastic Beanstalk said of each environment at the last look.
    #[serde(default)]
    pub servers: BTreeMap<EnvName, Reading>,
    /// Reminders, and what people said to them.
    #[serde(default)]
    pub reminders: Reminders,
    /// What happened lately, for the digest.
    #[serde(default)]
    pub chronicle: Chronicle,
    /// What was asked to be started.
    #[serde(default)]
    pub orders: Orders,
    /// Changes that are taken back, oldest first.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// What people say about the runs that are live.
    #[serde(default)]
    pub aftermaths: BTreeMap<RunId, Verified>,
    /// What it showed of environments that a run had left unknown.
    #[serde(default)]
    pub certain: BTreeMap<EnvName, Certainty>,
    /// Environments whose servers differ.
    #[serde(default)]
    pub drifts: BTreeMap<EnvName, Alarm>,
    /// Production environments that run different versions.
    #[serde(default)]
    pub split: Option<Alarm>,
    /// What is remembered about environment variables.
    #[serde(default)]
    pub variables: Memory,
    /// When GitHub was first seen: what ended before is history and is not told.
    pub first_look: Option<Timestamp>,
    /// When GitHub was last seen. Not remembered: after a start nothing is fresh.
    #[serde(skip)]
    pub last_look: Option<Timestamp>,
    /// When Elastic Beanstalk was last asked. Not remembered either.
    #[serde(skip)]
    pub last_survey: Option<Timestamp>,
}

/// A person's word that a change works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// Who.
    pub by: SlackId,
    /// When.
    pub at: Timestamp,
    /// On which run's build.
    pub run: RunId,
}

/// A lock on an app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub by: SlackId,
    /// Why; from a person.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

impl App {
    /// An app that nothing is known about yet.
    pub fn new(name: AppName, policy: Arc<Policy>) -> Self {
        let state = State {
            name,
            pipeline: None,
            runs: BTreeMap::new(),
            main: None,
            live: BTreeMap::new(),
            unsure: BTreeMap::new(),
            ranges: Ranges::default(),
            ticks: BTreeMap::new(),
            hold: None,
            said: BTreeSet::new(),
            servers: BTreeMap::new(),
            reminders: Reminders::default(),
            chronicle: Chronicle::default(),
            orders: Orders::default(),
            forwards: Vec::new(),
            aftermaths: BTreeMap::new(),
            certain: BTreeMap::new(),
            drifts: BTreeMap::new(),
            split: None,
            variables: Memory::default(),
            first_look: None,
            last_look: None,
            last_survey: None,
        };
        Self { state, policy }
    }

    /// The same app by another document: what is not in documents (when it was last looked at) stays.
    ///
    /// # Errors
    /// When the document is not one of this version's, or not this app's.
    pub fn anew(&self, document: &str) -> Result<Self, serde_json::Error> {
        let remembered: State = serde_json::from_str(document)?;
        if remembered.name != self.state.name {
            return Err(serde::de::Error::custom("the document is another app's"));
        }
        let State { last_look, last_survey, .. } = self.state;
        Ok(Self { state: State { last_look, last_survey, ..remembered }, policy: self.policy.clone() })
    }

    /// The document for the store.
    ///
    /// # Errors
    /// Never for a document of ours; serde_json's signature.
    pub fn document(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.state)
    }

    /// Takes in what happened and says what to do about it. On a refusal nothing has changed that matters: the caller drops
    /// this value and tells the person.
    ///
    /// # Errors
    /// The refusal, whose `Display` is what the person reads.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let mut effects = match event {
            Event::Asked(request) => return Ok(self.asked(request)),
            Event::Examined(request, facts) => self.decide(request, facts, now)?,
            Event::Discovered(pipeline) => {
                self.state.pipeline = Some(pipeline);
                Vec::new()
            }
            Event::Seen(look) => {
                self.see(look, now);
                self.count_look();
                Vec::new()
            }
            Event::Learned(findings) => {
                findings.into_iter().for_each(|finding| self.learn(finding, now));
                Vec::new()
            }
            Event::Surveyed(readings) => {
                self.state.servers = readings;
                // One look at a time: this one began after the one before was told.
                let from = self.state.last_survey.replace(now);
                self.weigh(from, now);
                self.alarms(now)
            }
            Event::Inventoried(inventory) => self.take_inventory(inventory, now),
            Event::Performed(effect, outcome) => self.settle(effect, outcome, now),
            Event::Remind { to, message } => self.remind(to, message, now),
            Event::Digest { due, message } => self.send_digest(due, message),
            Event::Tick => Vec::new(),
        };
        effects.extend(self.reconcile(now));
        Ok(effects)
    }

    /// Takes in a request, as [`App::handle`] does: nothing is different yet, so there is nothing to say, and it is acknowledged
    /// the sooner.
    pub fn asked(&self, request: super::action::Request) -> Vec<Effect> {
        vec![self.examine(request)]
    }

    /// Where the notice of a run stands; threads need it.
    pub fn address(&self, run: RunId) -> Option<&Address> {
        self.state.runs.get(&run)?.address.as_ref()
    }

    /// The pipeline, once it was read.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        self.state.pipeline.as_ref()
    }

    /// The settings by which it decides.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What production is known to run.
    pub fn deployed(&self) -> Vec<(EnvName, Sha)> {
        let production = self.pipeline().into_iter().flat_map(Pipeline::production);
        production.filter_map(|e| Some((e.name.clone(), self.state.live.get(&e.name)?.sha.clone()))).collect()
    }

    /// The same app, GitHub having been seen by somebody else at that time.
    pub fn seen_at(&self, at: Timestamp) -> Self {
        let mut app = self.clone();
        app.state.last_look = app.state.last_look.max(Some(at));
        app
    }

    /// When GitHub was last seen.
    pub fn looked_at(&self) -> Option<Timestamp> {
        self.state.last_look
    }

    /// Whether it knows a run of that id.
    pub fn has_run(&self, run: RunId) -> bool {
        self.state.runs.contains_key(&run)
    }

    /// Whether a run of the group goes on, so that GitHub is worth asking often.
    pub fn is_active(&self) -> bool {
        self.state.runs.values().any(|tracked| !tracked.run.is_over())
    }

    /// Whether Elastic Beanstalk changes something at any environment, so that it is worth asking often.
    pub fn are_servers_changing(&self) -> bool {
        self.state.servers.values().any(|reading| reading.as_ref().is_ok_and(|servers| !servers.is_ready()))
    }

    /// What Elastic Beanstalk said of an environment at the last look, and when that was; `None` before the first.
    pub fn servers(&self, environment: &EnvName) -> Option<(&Reading, Timestamp)> {
        Some((self.state.servers.get(environment)?, self.state.last_survey?))
    }

    /// Whether a redeploy since that moment has reached every server of an environment; `deployment` is the newest number before
    /// it. `None` where that cannot be seen (yet).
    pub fn replaced_since(&self, environment: &EnvName, at: Timestamp, deployment: Option<u64>) -> Option<bool> {
        let (reading, seen) = self.servers(environment)?;
        reading.as_ref().ok().filter(|_| seen > at)?.is_renewed(at, deployment)
    }

    pub(super) fn see(&mut self, look: Look, now: Timestamp) {
        let first = self.state.first_look.is_none();
        self.state.first_look.get_or_insert(now);
        self.state.last_look = Some(now);
        self.state.main = Some(look.main);
        self.state.runs.values_mut().for_each(|tracked| tracked.outdated = false);
        // A run that goes on but has left the lists is looked at by itself.
        let listed: BTreeSet<RunId> = look.runs.iter().map(|run| run.id).collect();
        for tracked in self.state.runs.values_mut().filter(|t| !t.run.is_over() && !listed.contains(&t.run.id)) {
            tracked.again = true;
        }
        for run in look.runs {
            let over = run.is_over();
            let id = run.id;
            match self.state.runs.get_mut(&id) {
                Some(tracked) => {
                    tracked.observe(run);
                }
                None => {
                    let mut tracked = Tracked::new(run);
                    // History from before the first look is known without being told.
                    tracked.noticed = !(first && over);
                    tracked.seen_at = Some(now);
                    self.state.runs.insert(id, tracked);
                }
            }
            // A run of the past that somebody starts again becomes news.
            if let Some(tracked) = self.state.runs.get_mut(&id) {
                tracked.noticed |= !over;
            }
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Timestamp) {
        while self.state.runs.len() > REMEMBERED {
            self.state.runs.pop_first();
        }
        let runs = &self.state.runs;
        let known = |topic: &String| {
            topic.rsplit(':').find_map(|id| id.parse().ok()).is_none_or(|id| runs.contains_key(&RunId(id)))
        };
        self.state.said.retain(known);
        self.state.aftermaths.retain(|run, _| runs.contains_key(run));
        self.state.ticks.retain(|_, tick| now.duration_since(tick.at) < TICKS);
        let heads: BTreeSet<Sha> = runs.values().map(|t| t.run.sha.clone()).chain(self.state.main.clone()).collect();
        self.state.ranges.keep(|_, head| heads.contains(head));
    }

    fn learn(&mut self, finding: Finding, now: Timestamp) {
        match finding {
            Finding::Details(run, details) => {
                let Some(pipeline) = self.state.pipeline.clone() else { return };
                let id = run.id;
                let tracked = self.state.runs.entry(id).or_insert_with(|| Tracked::new(run.as_ref().clone()));
                // Jobs that were read before a newer attempt was seen say nothing about that attempt.
                if tracked.observe(*run) {
                    tracked.learn(&pipeline, details);
                    self.enter(id);
                } else {
                    tracked.outdated = true;
                }
            }
            Finding::Gone(run) => drop(self.state.runs.remove(&run)),
            Finding::WhyCancelled(run, why) => {
                if let Some(tracked) = self.state.runs.get_mut(&run) {
                    tracked.cancelled_by = Some(why);
                }
            }
            Finding::Symptoms(run, job, texts) => {
                if let Some(tracked) = self.state.runs.get_mut(&run) {
                    tracked.examined = Some(Examined { job, cause: doctor::read(&texts) });
                }
            }
            Finding::Range { base, head, mut range } => {
                range.iter_mut().for_each(|range| self.disown(range));
                self.state.ranges.insert(base, head, range, now);
            }
        }
    }

    /// What the core wants to know now; the watcher finds it out and comes back with `Learned`, until nothing is wanted.
    pub fn wanted(&self, now: Timestamp) -> Vec<Wanted> {
        let Some(pipeline) = self.pipeline() else { return Vec::new() };
        let mut wanted: Vec<Wanted> = self
            .state
            .runs
            .values()
            .filter(|t| t.is_wanted() && (t.noticed || t.is_known()))
            .map(|t| Wanted::Details(t.run.id))
            .collect();
        let unread = self.next_of_history(pipeline).filter(|id| self.state.runs.get(id).is_some_and(|t| !t.outdated));
        wanted.extend(unread.map(Wanted::Details));
        wanted.extend(self.state.runs.values().filter_map(why_cancelled));
        wanted.extend(self.state.runs.values().filter_map(symptoms));
        wanted.extend(self.wanted_ranges(now).into_iter().map(|(base, head)| Wanted::Range { base, head }));
        wanted
    }

    /// Whether it is not decided yet what every environment runs.
    pub(super) fn is_history_unread(&self) -> bool {
        self.pipeline().is_none_or(|pipeline| self.next_of_history(pipeline).is_some())
    }

    /// At the first look the past is read, by last activity, only until every environment's version is decided: a run that
    /// was last active before an environment's last deployment cannot have deployed there later.
    fn next_of_history(&self, pipeline: &Pipeline) -> Option<RunId> {
        let unread =
            self.state.runs.values().filter(|t| !t.is_known() && !t.noticed && t.run.workflow == Workflow::Deploy);
        let next = unread.max_by_key(|t| t.run.updated_at)?;
        let decided = |name: &EnvName| self.state.live.get(name).is_some_and(|live| live.since >= next.run.updated_at);
        let open = pipeline.environments.iter().any(|e| !decided(&e.name));
        open.then_some(next.run.id)
    }

    fn settle(&mut self, effect: Effect, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        match (effect, outcome) {
            (Effect::Notice(run, _), Outcome::Posted { channel, ts }) => {
                if let Some(tracked) = self.state.runs.get_mut(&run) {
                    tracked.address = Some(Address { channel, ts });
                }
                Vec::new()
            }
            (Effect::Show { topic, .. }, Outcome::Posted { channel, ts }) => {
                self.stands(topic, Address { channel, ts });
                Vec::new()
            }
            (Effect::Mark(mark), Outcome::Failed(_)) => {
                self.not_marked(&mark);
                Vec::new()
            }
            (Effect::Set(setting), outcome) => self.stepped(setting, outcome, now),
            (Effect::Approve(verdict) | Effect::Reject(verdict), outcome) => self.answered(verdict, outcome, now),
            (Effect::Dispatch(order), outcome) => self.dispatched(order, outcome, now),
            (Effect::Revert(reverting), outcome) => self.reverted(reverting, outcome, now),
            (Effect::Mend(repair), outcome) => self.mended(repair, outcome, now),
            (
                Effect::Examine(..)
                | Effect::Notice(..)
                | Effect::Thread { .. }
                | Effect::Announce { .. }
                | Effect::Answer(..)
                | Effect::Whisper { .. }
                | Effect::Form(..)
                | Effect::Mark(_)
                | Effect::Show { .. }
                | Effect::Record(_),
                _,
            ) => Vec::new(),
        }
    }
}

fn why_cancelled(tracked: &Tracked) -> Option<Wanted> {
    let cancelled = tracked.run.is_over() && tracked.run.conclusion == Some(Conclusion::Cancelled);
    let askable =
        tracked.is_known() && tracked.noticed && tracked.cancelled_by.is_none() && !tracked.unfinished.is_empty();
    (cancelled && askable).then(|| Wanted::WhyCancelled(tracked.run.id, tracked.unfinished.clone()))
}

/// What the first failed job's check says is asked for once.
fn symptoms(tracked: &Tracked) -> Option<Wanted> {
    let failing = tracked.failing.as_ref().filter(|_| tracked.noticed && !tracked.is_due())?;
    (!tracked.is_examined()).then_some(Wanted::Symptoms(tracked.run.id, failing.id))
}

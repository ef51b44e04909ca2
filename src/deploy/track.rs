//! What is remembered of a run: how far it is in each environment, and what a closer look at its jobs tells.
//! The three outcomes of a deployment are decided here: deployed, not deployed, unknown.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::doctor::Examined;
use super::mend::{Means, Mended};
use super::name::{EnvName, Sha, SlackId};
use super::pipeline::Pipeline;
use super::run::{CancelledBy, Conclusion, Details, Gate, Job, Review, Run, Status, Step};

/// A run and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// As the last list showed it.
    pub run: Run,
    /// When it was first seen.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
    /// What the run showed at the last closer look: attempt, time of change, status. `None` before the first.
    pub learned: Option<(u32, Timestamp, Status)>,
    /// A run that goes on is looked at again each time: its jobs move without it. Not remembered.
    #[serde(skip)]
    pub again: bool,
    /// The last closer look told of something older than what is known: the next look asks again. Not remembered.
    #[serde(skip)]
    pub outdated: bool,
    /// How far it is, by environment; missing means not reached.
    pub places: BTreeMap<EnvName, Place>,
    /// The first job that failed, in the newest attempt.
    pub failing: Option<Failing>,
    /// Whether any job of the newest attempt has started.
    pub started: bool,
    /// Where it waits.
    pub gates: Vec<Gate>,
    /// Answers at its gates, as GitHub tells them: of all its attempts.
    pub reviews: Vec<Review>,
    /// Those that were there before the newest attempt; GitHub does not tell them apart.
    pub earlier_reviews: Vec<Review>,
    /// Approvals given in Slack, by environment; an entry stands from the decision on, so that nobody decides twice.
    pub approvals: BTreeMap<EnvName, Approval>,
    /// Jobs whose annotations may tell why it was cancelled.
    pub unfinished: Vec<u64>,
    /// Why it was cancelled, where GitHub was asked.
    pub cancelled_by: Option<CancelledBy>,
    /// What was found out about the job that failed.
    #[serde(default)]
    pub examined: Option<Examined>,
    /// What somebody in Slack did to it.
    #[serde(default)]
    pub mended: BTreeMap<Means, Mended>,
    /// What each production environment ran before this run came to it.
    pub bases: BTreeMap<EnvName, Sha>,
    /// For a redeploy: the number of each environment's last deployment before.
    #[serde(default)]
    pub deployments: BTreeMap<EnvName, u64>,
    /// For a redeploy: where Elastic Beanstalk showed it.
    #[serde(default)]
    pub replaced: BTreeSet<EnvName>,
    /// Whether it has a notice.
    pub noticed: bool,
    /// A digest of the notice as last rendered.
    pub shown: Option<u64>,
    /// Where its notice stands, once Slack said so.
    pub address: Option<Address>,
}

/// Where a message stands in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Channel id.
    pub channel: String,
    /// Message id.
    pub ts: String,
}

/// An approval given in Slack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: SlackId,
    /// When it was decided.
    pub at: Timestamp,
    /// For which attempt.
    pub attempt: u32,
    /// Whether GitHub took it.
    pub taken: bool,
    /// The reason of a rejection; `None` for an approval. From a person.
    pub rejected: Option<String>,
}

/// A run at one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Now.
    pub state: State,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The job's page.
    pub url: Option<String>,
    /// When it last deployed here, over all attempts.
    pub deployed_at: Option<Timestamp>,
    /// When it last left the environment unknown, over all attempts.
    pub unknown_at: Option<Timestamp>,
    /// Whether the state is one that an earlier attempt left: the newest has not been seen here.
    #[serde(default)]
    pub earlier: bool,
}

/// How far a run is at an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Its job waits for a machine.
    Queued,
    /// Somebody has to approve.
    Waiting,
    /// Its job runs; nothing is touched yet.
    Preparing,
    /// Past the point of no return: what happens now happens in Elastic Beanstalk.
    Deploying,
    /// Done.
    Deployed,
    /// Nothing was touched.
    NotDeployed(Why),
    /// The environment was touched and nobody saw the end: Elastic Beanstalk goes on by itself (`facts/github.md` 1.5).
    Unknown(Why),
    /// Left out on purpose, or because something before it failed.
    Skipped,
}

/// Why a job did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It ran into a time limit.
    TimedOut,
    /// Its gate was answered with no.
    Rejected,
}

/// What failed first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failing {
    /// The job's id.
    #[serde(default)]
    pub id: u64,
    /// The job, as GitHub shows it.
    pub job: String,
    /// Its environment.
    pub environment: Option<EnvName>,
    /// Its failing step.
    pub step: Option<String>,
    /// Its page.
    pub url: Option<String>,
}

/// Steps that change nothing in an environment. Whatever is not known to be harmless counts as touching it.
const HARMLESS: &[&str] = &[
    "set up",
    "pull ",
    "checkout",
    "check out",
    "run actions/",
    "configure",
    "login",
    "log in",
    "initialize",
    "download",
    "post ",
    "complete",
    "stop containers",
];

impl Tracked {
    /// A run seen for the first time.
    pub fn new(run: Run) -> Self {
        Self {
            run,
            seen_at: None,
            learned: None,
            again: false,
            outdated: false,
            places: BTreeMap::new(),
            failing: None,
            started: false,
            gates: Vec::new(),
            reviews: Vec::new(),
            earlier_reviews: Vec::new(),
            approvals: BTreeMap::new(),
            unfinished: Vec::new(),
            cancelled_by: None,
            examined: None,
            mended: BTreeMap::new(),
            bases: BTreeMap::new(),
            deployments: BTreeMap::new(),
            replaced: BTreeSet::new(),
            noticed: false,
            shown: None,
            address: None,
        }
    }

    /// Takes what a list or a closer look shows of the run, unless it is older than what is known (lists may be stale). Whether
    /// it was taken.
    pub fn observe(&mut self, run: Run) -> bool {
        if (run.attempt, run.updated_at) < (self.run.attempt, self.run.updated_at) {
            return false;
        }
        if run.attempt > self.run.attempt {
            self.begin_attempt();
        }
        self.run = run;
        self.again = !self.run.is_over() || self.is_lagging();
        true
    }

    /// What is known of the jobs is what an earlier attempt left, until they are looked at again.
    fn begin_attempt(&mut self) {
        // Also one of the past, and also where it was over again before anybody looked.
        self.noticed = true;
        self.cancelled_by = None;
        self.failing = None;
        self.started = false;
        self.gates.clear();
        self.approvals.clear();
        self.replaced.clear();
        self.earlier_reviews.clone_from(&self.reviews);
        self.places.values_mut().for_each(|place| place.earlier = true);
    }

    /// Whether the run is over and GitHub's list of its jobs has not caught up: some are shown as going on, or, after a
    /// re-run, none of the newest attempt is shown at all.
    pub fn is_lagging(&self) -> bool {
        let unfinished = |place: &Place| matches!(place.state, State::Queued | State::Preparing | State::Deploying);
        let ran = matches!(self.run.conclusion, Some(Conclusion::Success | Conclusion::Failure | Conclusion::TimedOut));
        let unlisted = self.run.attempt > 1 && ran && !self.started;
        self.run.is_over() && (unlisted || self.places.values().any(unfinished))
    }

    /// Whether there was a closer look.
    pub fn is_known(&self) -> bool {
        self.learned.is_some()
    }

    /// Whether a closer look is due: something changed since the last one, or the run goes on.
    pub fn is_due(&self) -> bool {
        self.again || self.learned != Some(self.version())
    }

    fn version(&self) -> (u32, Timestamp, Status) {
        (self.run.attempt, self.run.updated_at, self.run.status)
    }

    /// Whether the next closer look is to be taken now.
    pub fn is_wanted(&self) -> bool {
        self.is_due() && !self.outdated
    }

    /// Takes a closer look.
    pub fn learn(&mut self, pipeline: &Pipeline, details: Details) {
        if !self.is_known() && self.run.attempt > 1 {
            self.earlier_reviews.clone_from(&details.reviews);
        }
        self.again = false;
        self.learned = Some(self.version());
        self.gates = details.gates;
        self.reviews = details.reviews;
        self.places = places(pipeline, self.run.attempt, &details.jobs, &self.answers());
        let current = || details.jobs.iter().filter(|job| job.attempt == self.run.attempt);
        self.started = current().any(|job| matches!(job.status, Status::InProgress | Status::Completed));
        self.unfinished =
            current().filter(|job| job.conclusion == Some(Conclusion::Cancelled)).map(|job| job.id).collect();
        self.failing = current()
            .filter(|job| matches!(job.conclusion, Some(Conclusion::Failure | Conclusion::TimedOut)))
            .min_by_key(|job| job.completed_at)
            .map(|job| failing(pipeline, job));
    }

    /// Whether GitHub was asked about the job that failed, if one did.
    pub fn is_examined(&self) -> bool {
        let asked = |failing: &Failing| self.examined.as_ref().is_some_and(|examined| examined.job == failing.id);
        self.failing.as_ref().is_none_or(asked)
    }

    /// How far it is at an environment.
    pub fn state(&self, environment: &EnvName) -> Option<State> {
        self.places.get(environment).map(|place| place.state)
    }

    /// The gates that nobody in Slack has answered for this attempt.
    pub fn open_gates(&self) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(|gate| !self.is_answered(&gate.environment))
    }

    /// Whether somebody in Slack has answered that gate for this attempt.
    pub fn is_answered(&self, environment: &EnvName) -> bool {
        self.approvals.get(environment).is_some_and(|approval| approval.attempt == self.run.attempt)
    }

    /// The answers at the gates of the newest attempt, as GitHub tells them; those given in Slack are among them.
    pub fn answers(&self) -> Vec<&Review> {
        let mut earlier: Vec<&Review> = self.earlier_reviews.iter().collect();
        let mut answers: Vec<&Review> = Vec::new();
        for review in &self.reviews {
            match earlier.iter().position(|known| *known == review) {
                Some(position) => drop(earlier.swap_remove(position)),
                // What still waits was not answered.
                None if self.gates.iter().any(|gate| review.environments.contains(&gate.environment)) => {}
                None => answers.push(review),
            }
        }
        answers
    }
}

fn failing(pipeline: &Pipeline, job: &Job) -> Failing {
    let broken = |step: &&Step| matches!(step.conclusion, Some(Conclusion::Failure | Conclusion::TimedOut));
    Failing {
        id: job.id,
        job: job.name.clone(),
        environment: pipeline.environment_of_job(&job.name).map(|e| e.name.clone()),
        step: job.steps.iter().find(broken).map(|step| step.name.clone()),
        url: job.url.clone(),
    }
}

/// How far a run is, by environment, from the jobs of all its attempts.
fn places(pipeline: &Pipeline, attempt: u32, jobs: &[Job], reviews: &[&Review]) -> BTreeMap<EnvName, Place> {
    let mut by_environment: BTreeMap<EnvName, Vec<&Job>> = BTreeMap::new();
    for job in jobs {
        if let Some(environment) = pipeline.environment_of_job(&job.name) {
            by_environment.entry(environment.name.clone()).or_default().push(job);
        }
    }
    let rejected = |name: &EnvName| reviews.iter().any(|review| !review.approved && review.environments.contains(name));
    by_environment
        .into_iter()
        .filter_map(|(name, jobs)| {
            let place = place(attempt, &jobs, rejected(&name))?;
            Some((name, place))
        })
        .collect()
}

fn place(attempt: u32, jobs: &[&Job], rejected: bool) -> Option<Place> {
    // A job of an older attempt still tells what it did to the environment, but not where the run is now.
    let current = jobs.iter().filter(|job| job.attempt == attempt).max_by_key(|job| job.id);
    let state = current.map(|job| state(job, rejected));
    let deployed_at = jobs
        .iter()
        .filter(|job| job.conclusion == Some(Conclusion::Success))
        .filter_map(|job| genuine_end(job, jobs))
        .max();
    let unknown_at = jobs
        .iter()
        .filter(|job| matches!(self::state(job, false), State::Unknown(_)))
        .filter_map(|job| job.completed_at)
        .max();
    let state = state.or_else(|| unknown_at.map(|_| State::Unknown(Why::Failed)))?;
    let since = current.and_then(|job| job.completed_at.or(job.started_at));
    Some(Place {
        state,
        since: if state == State::Deployed { deployed_at } else { since },
        url: current.and_then(|job| job.url.clone()),
        deployed_at,
        unknown_at,
        earlier: current.is_none(),
    })
}

/// When a green job really ended: after a re-run of failed jobs GitHub lists green ones again under new ids (`facts/github.md`
/// 4.2), so the earliest of those that started at the same time counts.
fn genuine_end(job: &Job, jobs: &[&Job]) -> Option<Timestamp> {
    jobs.iter()
        .filter(|other| other.started_at == job.started_at && other.conclusion == job.conclusion)
        .filter_map(|j| j.completed_at)
        .min()
}

fn state(job: &Job, rejected: bool) -> State {
    match (job.status, job.conclusion) {
        (Status::Completed, Some(Conclusion::Success)) => State::Deployed,
        (Status::Completed, Some(Conclusion::Skipped)) => State::Skipped,
        (Status::Completed, conclusion) => ended(job, conclusion, rejected),
        (Status::Waiting, _) => State::Waiting,
        (Status::InProgress, _) if touched(job) => State::Deploying,
        (Status::InProgress, _) => State::Preparing,
        (Status::Queued | Status::Pending | Status::Other, _) => State::Queued,
    }
}

fn ended(job: &Job, conclusion: Option<Conclusion>, rejected: bool) -> State {
    let why = match conclusion {
        Some(Conclusion::Cancelled) => Why::Cancelled,
        Some(Conclusion::TimedOut) => Why::TimedOut,
        _ if rejected => Why::Rejected,
        _ => Why::Failed,
    };
    if touched(job) { State::Unknown(why) } else { State::NotDeployed(why) }
}

/// Whether a step that may change the environment has begun.
fn touched(job: &Job) -> bool {
    job.steps.iter().any(|step| {
        let begun = match step.status {
            Status::InProgress => true,
            Status::Completed => step.conclusion != Some(Conclusion::Skipped),
            Status::Queued | Status::Pending | Status::Waiting | Status::Other => false,
        };
        let name = step.name.to_lowercase();
        begun && !HARMLESS.iter().any(|harmless| name.starts_with(harmless))
    })
}

//! Runs, attempts and jobs in GitHub's own words, as last seen. Facts only: what they mean for an environment is
//! decided in `track`, for the run in `phase`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::{EnvName, Login, RunId, Sha};

/// Which of the two workflows of the shared concurrency group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Workflow {
    /// Builds, tests and ships a commit.
    Deploy,
    /// Replaces servers and keeps the version; never counts as deploying `main`.
    Redeploy,
}

/// A run's or job's status. GitHub adds values from time to time: what is not known here is [`Status::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Created or waiting for a machine: `requested`, `queued`.
    Queued,
    /// Held back by the concurrency group.
    Pending,
    /// Held back by a gate.
    Waiting,
    /// Running.
    InProgress,
    /// Over; see the conclusion.
    Completed,
    /// Something that this version does not know; treated as not over.
    Other,
}

/// How a run, job or step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conclusion {
    /// `success`
    Success,
    /// `failure`
    Failure,
    /// `cancelled`
    Cancelled,
    /// `skipped`
    Skipped,
    /// `timed_out`
    TimedOut,
    /// `startup_failure`: the workflow file is broken.
    StartupFailure,
    /// `neutral`, `action_required`, `stale` or something new.
    Other,
}

/// A run as a list of runs shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The same over all attempts.
    pub id: RunId,
    /// Counts the workflow's runs: people say "run 812".
    pub number: u64,
    /// Deploy or Redeploy.
    pub workflow: Workflow,
    /// First line of the head commit's message, for a push. From outside.
    pub title: String,
    /// Its page.
    pub url: String,
    /// The commit.
    pub sha: Sha,
    /// The branch; from outside.
    pub branch: String,
    /// What caused it: `push`, `workflow_dispatch`.
    pub event: String,
    /// Counts from 1; grows when the run is re-run.
    pub attempt: u32,
    /// Status of the newest attempt.
    pub status: Status,
    /// Set when completed.
    pub conclusion: Option<Conclusion>,
    /// Who caused the first attempt: for a push, whoever merged.
    pub actor: Login,
    /// Who started the newest attempt.
    pub triggered_by: Login,
    /// When the run was created; the same over all attempts.
    pub created_at: Timestamp,
    /// When the newest attempt started.
    pub started_at: Timestamp,
    /// When anything last changed.
    pub updated_at: Timestamp,
}

impl Run {
    /// Whether the newest attempt is over.
    pub fn is_over(&self) -> bool {
        self.status == Status::Completed
    }

    /// As people say it: `run 812`, `redeploy 41`. The two workflows count by themselves.
    pub fn label(&self) -> String {
        match self.workflow {
            Workflow::Deploy => format!("run {}", self.number),
            Workflow::Redeploy => format!("redeploy {}", self.number),
        }
    }
}

/// A job of any attempt of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// At GitHub; a re-run lists green jobs again under new ids with their old times.
    pub id: u64,
    /// Which attempt lists it.
    pub attempt: u32,
    /// As shown: `Staging / Deploy`.
    pub name: String,
    /// Its page, where there is one.
    pub url: Option<String>,
    /// Status.
    pub status: Status,
    /// Set when completed.
    pub conclusion: Option<Conclusion>,
    /// When it started; GitHub sets it for jobs that never ran as well.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// In order.
    pub steps: Vec<Step>,
}

/// A step of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// As shown.
    pub name: String,
    /// Status.
    pub status: Status,
    /// Set when completed.
    pub conclusion: Option<Conclusion>,
}

/// A gate that a run waits at: one of GitHub's *pending deployments*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// The environment's id at GitHub, which the approval needs.
    pub environment_id: u64,
    /// The environment.
    pub environment: EnvName,
    /// Whether the bot's own token may approve it, as far as GitHub says.
    pub can_approve: bool,
}

/// What somebody answered at a gate, in Slack or on GitHub's page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Approved, or rejected.
    pub approved: bool,
    /// The GitHub account; the bot's own where it was done in Slack.
    pub by: Login,
    /// Its comment; from outside.
    pub comment: String,
    /// Which environments.
    pub environments: Vec<EnvName>,
}

/// What only a closer look at one run tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The jobs of all attempts.
    pub jobs: Vec<Job>,
    /// Where it waits now.
    pub gates: Vec<Gate>,
    /// All answers so far.
    pub reviews: Vec<Review>,
}

/// What GitHub's annotations say about a cancelled run (`facts/github.md` 4.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelledBy {
    /// A newer run of the group took its place.
    Group,
    /// A person (or app) cancelled it.
    Person(Login),
    /// A job ran into its time limit.
    Timeout,
    /// Nothing was said.
    Unsaid,
}

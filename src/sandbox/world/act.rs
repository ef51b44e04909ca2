//! What can be done to the world by people and by fate: the one input of the page and of the tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hooks::HookFault;
use super::servers::{Health, Policy, Severity};

/// One act. Repositories are named `owner/name`, jobs by their display name with or without the called workflow's part.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// A pull request is merged to main; main's new head gets a Deploy run unless `docs`.
    Merge {
        /// The repository.
        repo: String,
        /// Login of the pull request's author.
        author: String,
        /// Login of whoever merges; the author unless given.
        #[serde(default)]
        by: Option<String>,
        /// The pull request's title.
        title: String,
        /// How it is merged.
        #[serde(default)]
        kind: MergeKind,
        /// Number of commits on the pull request's branch, 1 to 300.
        #[serde(default = "one")]
        commits: u32,
        /// Only ignored paths are touched, so there is no run.
        #[serde(default)]
        docs: bool,
        /// The pull request's description.
        #[serde(default)]
        body: Option<String>,
    },
    /// A pull request is opened.
    Propose {
        /// The repository.
        repo: String,
        /// Login of its author.
        author: String,
        /// Its title.
        title: String,
        /// Its description.
        #[serde(default)]
        body: Option<String>,
        /// Number of commits on its branch, 1 to 300.
        #[serde(default = "one")]
        commits: u32,
    },
    /// An open pull request is merged to main; main's new head gets a Deploy run unless `docs`.
    MergePull {
        /// The repository.
        repo: String,
        /// Its number.
        number: u64,
        /// Login of whoever merges.
        by: String,
        /// How it is merged.
        #[serde(default)]
        kind: MergeKind,
        /// Only ignored paths are touched, so there is no run.
        #[serde(default)]
        docs: bool,
    },
    /// An open pull request is closed without being merged.
    ClosePull {
        /// The repository.
        repo: String,
        /// Its number.
        number: u64,
        /// Login of whoever closes it.
        by: String,
    },
    /// A commit is pushed to an open pull request's branch.
    PushPull {
        /// The repository.
        repo: String,
        /// Its number.
        number: u64,
        /// Login of whoever pushes.
        by: String,
    },
    /// The description of an open pull request is edited.
    EditPull {
        /// The repository.
        repo: String,
        /// Its number.
        number: u64,
        /// The new description.
        body: String,
    },
    /// Later changes touch the same lines as a merged pull request, so that GitHub cannot revert it.
    Entangle {
        /// The repository.
        repo: String,
        /// Its number.
        number: u64,
    },
    /// A commit is pushed to main without a pull request.
    Push {
        /// The repository.
        repo: String,
        /// Login of whoever pushes.
        by: String,
        /// First line of the commit message.
        title: String,
    },
    /// A commit is pushed to main whose workflow file is broken: its run ends at once as `startup_failure`.
    BreakWorkflow {
        /// The repository.
        repo: String,
        /// Login of whoever pushes.
        by: String,
    },
    /// A workflow is started by hand on GitHub's page.
    Dispatch {
        /// The repository.
        repo: String,
        /// The workflow's file name, `deploy.yml` or `redeploy.yml`.
        workflow: String,
        /// Login of whoever starts it.
        by: String,
        /// The branch; one that does not exist is made off main, one commit back.
        #[serde(default = "main")]
        branch: String,
        /// The workflow's inputs.
        #[serde(default)]
        inputs: BTreeMap<String, String>,
    },
    /// A queued job gets its runner.
    StartJob {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// The job's name.
        job: String,
    },
    /// A job enters the step after which its environment is touched.
    DeployStep {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// The job's name.
        job: String,
    },
    /// A job ends. A success passes through the deploy step, any other end leaves the job in the step where it is.
    FinishJob {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// The job's name.
        job: String,
        /// How it ends.
        outcome: Outcome,
        /// What its check says about that, unless the usual.
        #[serde(default)]
        says: Option<String>,
    },
    /// A person cancels a run on GitHub's page.
    CancelRun {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// Login of whoever cancels.
        by: String,
    },
    /// A reviewer approves waiting environments on GitHub's page.
    Approve {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// Names of the environments.
        environments: Vec<String>,
        /// The reviewer's login.
        by: String,
        /// The comment, may be empty.
        #[serde(default)]
        comment: String,
    },
    /// A reviewer rejects waiting environments on GitHub's page.
    Reject {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// Names of the environments.
        environments: Vec<String>,
        /// The reviewer's login.
        by: String,
        /// The comment, may be empty.
        #[serde(default)]
        comment: String,
    },
    /// A completed run is run again; it joins the concurrency group.
    Rerun {
        /// The repository.
        repo: String,
        /// The run's id.
        run: u64,
        /// Only the jobs that did not succeed, and those that need them.
        #[serde(default)]
        failed_only: bool,
        /// Login of whoever starts it.
        by: String,
    },
    /// Jobs start and succeed by themselves (build 6 s, deploy 8 s), or stop doing so.
    Auto {
        /// On or off.
        on: bool,
    },
    /// Somebody sets an environment variable on Elastic Beanstalk's console, or removes it.
    SetVariable {
        /// The repository.
        repo: String,
        /// GitHub's name of the environment.
        environment: String,
        /// The variable.
        key: String,
        /// Its new value; none removes it.
        #[serde(default)]
        value: Option<String>,
    },
    /// An environment takes back the next change of its variables.
    SpoilSettings {
        /// The repository.
        repo: String,
        /// GitHub's name of the environment.
        environment: String,
    },
    /// Time passes.
    Pass {
        /// How many seconds.
        seconds: u64,
    },
    /// The pretend GitHub misbehaves for the next requests.
    Fault {
        /// How.
        kind: FaultKind,
        /// For how many requests.
        #[serde(default = "one")]
        times: u32,
        /// Only requests whose `METHOD /path?query` contains this; `POST /graphql mutation` for GraphQL's changes.
        #[serde(default)]
        only: Option<String>,
    },
    /// The pretend GitHub misbehaves at one request to come.
    FaultAt {
        /// At which of those that it concerns, counted from 1.
        nth: u32,
        /// How.
        kind: FaultKind,
        /// Only requests whose `METHOD /path?query` contains this.
        #[serde(default)]
        only: Option<String>,
    },
    /// Deliveries to the webhook misbehave.
    Hooks {
        /// How.
        fault: HookFault,
        /// So many of the next ones.
        #[serde(default = "one")]
        times: u32,
    },
    /// Somebody else with the same token uses up its hourly limit of REST requests.
    Spend {
        /// So many are left.
        leave: u32,
    },
    /// Something happens to the servers of an environment.
    Servers {
        /// The repository.
        repo: String,
        /// The environment's name at GitHub.
        environment: String,
        /// What.
        turn: ServerTurn,
    },
    /// The pretend Elastic Beanstalk misbehaves.
    AwsFault {
        /// How.
        kind: AwsFaultKind,
        /// In which region; in all of them unless given.
        #[serde(default)]
        region: Option<String>,
        /// For how many requests; until the faults are cleared unless given.
        #[serde(default)]
        times: Option<u32>,
        /// Only requests of this action: `DescribeEvents`.
        #[serde(default)]
        only: Option<String>,
    },
    /// The pretend GitHub and Elastic Beanstalk behave again.
    ClearFaults,
}

impl Act {
    /// A squash merge of one commit by its author.
    pub fn merge(repo: &str, author: &str, title: &str) -> Act {
        Act::Merge {
            repo: repo.to_owned(),
            author: author.to_owned(),
            by: None,
            title: title.to_owned(),
            kind: MergeKind::Squash,
            commits: 1,
            docs: false,
            body: None,
        }
    }

    /// The end of a job.
    pub fn finish(repo: &str, run: u64, job: &str, outcome: Outcome) -> Act {
        Act::FinishJob { repo: repo.to_owned(), run, job: job.to_owned(), outcome, says: None }
    }

    /// The failure of a job, whose check says why.
    pub fn fail(repo: &str, run: u64, job: &str, says: &str) -> Act {
        let says = Some(says.to_owned());
        Act::FinishJob { repo: repo.to_owned(), run, job: job.to_owned(), outcome: Outcome::Failure, says }
    }
}

/// What happens to the servers of an environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerTurn {
    /// The deployment under way goes to the next batch of servers.
    NextBatch,
    /// The deployment under way ends well, whatever became of its job.
    Finish,
    /// The deployment under way fails where it is.
    Fail,
    /// One server comes up with an older version.
    Mix,
    /// The health changes; `ok` without causes is well.
    Health {
        /// In a word.
        health: Health,
        /// Why.
        #[serde(default)]
        causes: Vec<String>,
    },
    /// It is busy, so not ready for a deployment, or not any more.
    Busy(bool),
    /// It tells nothing of its single servers: basic health.
    Basic,
    /// Its servers are replaced by ones that are well and run its version.
    Heal,
    /// Deployments go over its servers in this way from now on.
    Policy(Policy),
    /// It has so many servers from its next deployment on.
    Size(usize),
    /// A line in its event log.
    Tell {
        /// How bad.
        severity: Severity,
        /// What.
        message: String,
    },
}

/// How the pretend Elastic Beanstalk misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwsFaultKind {
    /// 400 `Throttling`.
    Throttled,
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 403 `ExpiredToken`.
    ExpiredToken,
    /// Does nothing and answers 500.
    #[serde(rename = "error_500")]
    Error500,
    /// Does what was asked and answers 500.
    #[serde(rename = "error_500_after")]
    Error500After,
}

/// The three ways in which GitHub merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeKind {
    /// One new commit on main.
    #[default]
    Squash,
    /// Every commit of the branch anew on main.
    Rebase,
    /// The branch's commits and a merge commit.
    Merge,
}

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps went well.
    Success,
    /// A step failed.
    Failure,
    /// The job ran into its time limit.
    TimedOut,
    /// The job was cancelled.
    Cancelled,
}

/// How the pretend GitHub misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Does nothing and answers 500.
    #[serde(rename = "error_500")]
    Error500,
    /// Does what was asked and answers 502.
    #[serde(rename = "error_502_after")]
    Error502After,
    /// The primary rate limit: 403, none remaining, reset in 60 s.
    RateLimited,
    /// The secondary rate limit: 403 with `retry-after: 2`.
    Secondary,
    /// The secondary rate limit: 403 that does not say for how long.
    SecondaryUnsaid,
    /// Does nothing and answers nothing for 30 s.
    Hang,
    /// Does what was asked and answers nothing for 30 s.
    HangAfter,
    /// Lists of runs show how the runs were before their last change.
    Stale,
    /// Does what was asked and takes half a second to say so.
    Slow,
}

fn one() -> u32 {
    1
}

fn main() -> String {
    "main".to_owned()
}

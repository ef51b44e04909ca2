//! What happens: everything that the core is told, and the questions that it has. The only way for anything from outside to
//! come into the domain; what it means is decided in `app` and the files that it calls.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::change::Range;
use super::effect::Effect;
use super::message::Message;
use super::name::{EnvName, RunId, Sha, SlackId};
use super::pipeline::Pipeline;
use super::policy::Person;
use super::revert::{Reverted, Suspect};
use super::run::{CancelledBy, Details, Gate, Run};
use super::server::Reading;
use super::variable::{Inventory, Stepped};

/// Something that happened to one app.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody typed a command or clicked a button that may change something.
    Asked(Request),
    /// What was looked up for a request, fresh; or what could not be reached.
    Examined(Request, Result<Box<Facts>, Unreachable>),
    /// The pipeline was read from the repo.
    Discovered(Pipeline),
    /// A look at GitHub.
    Seen(Look),
    /// Answers to what the core wanted to know.
    Learned(Vec<Finding>),
    /// A look at Elastic Beanstalk: the environments that were asked about.
    Surveyed(BTreeMap<EnvName, Reading>),
    /// A look at environment variables, and at the pull requests that wait for some.
    Inventoried(Inventory),
    /// An effect was performed, or finally not.
    Performed(Effect, Outcome),
    /// Somebody is to be reminded, by this app for all of them.
    Remind {
        /// Whom.
        to: SlackId,
        /// Of what; put together from the apps' parts.
        message: Message,
    },
    /// The week is over. By this app for all of its channel.
    Digest {
        /// Since when.
        due: Timestamp,
        /// What to say; `None` when nothing happened.
        message: Option<Message>,
    },
    /// Time went by.
    Tick,
}

/// What was looked up for a request, at its time.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who asks.
    pub person: Person,
    /// The state of the newest run; only for what is done to a run, and only where there is one.
    pub run: Option<RunFacts>,
    /// The lists of runs, fresh; for what starts a workflow or a run.
    pub look: Option<Look>,
    /// The pull request that is to be reverted; only for that, and only where there is one.
    pub suspect: Option<Suspect>,
}

impl Facts {
    /// Nothing known but who asks.
    pub fn of(person: Person) -> Self {
        Self { person, run: None, look: None, suspect: None }
    }
}

/// The newest run of the concurrency group, read just now.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// The newest run of the Deploy workflow (any branch) by the start of its newest attempt.
    pub newest: Run,
    /// The run that the request is about (the one shown on the button, else the newest).
    pub run: Run,
    /// Where it waits.
    pub gates: Vec<Gate>,
    /// For each production environment with a known commit: that commit compared with the run's.
    pub ranges: Vec<(EnvName, Sha, Range)>,
}

/// What could not be reached, so that nothing can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unreachable {
    /// Slack did not say who the person is.
    Slack,
    /// GitHub did not answer.
    GitHub,
}

/// The lists, as GitHub shows them now.
#[derive(Clone, Debug)]
pub struct Look {
    /// Newest first, Deploy and Redeploy, at least the newest 30 Deploy runs.
    pub runs: Vec<Run>,
    /// The branch's newest commit.
    pub main: Sha,
}

/// Something that the core wants to know about GitHub; the watcher finds it out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Jobs, gates and reviews of a run.
    Details(RunId),
    /// Why a run was cancelled; the jobs whose annotations tell it.
    WhyCancelled(RunId, Vec<u64>),
    /// What GitHub says about a job that failed.
    Symptoms(RunId, u64),
    /// What lies between two commits.
    Range {
        /// What an environment has.
        base: Sha,
        /// What a run or the branch has.
        head: Sha,
    },
}

/// An answer to [`Wanted`].
#[derive(Clone, Debug)]
pub enum Finding {
    /// The run with its details, both fresh.
    Details(Box<Run>, Details),
    /// GitHub does not know the run any more: somebody deleted it.
    Gone(RunId),
    /// Why it was cancelled.
    WhyCancelled(RunId, CancelledBy),
    /// What GitHub says about a job that failed; from outside, and only looked through.
    Symptoms(RunId, u64, Vec<String>),
    /// `None` when GitHub does not know one of the commits any more.
    Range {
        /// As asked.
        base: Sha,
        /// As asked.
        head: Sha,
        /// What lies between.
        range: Option<Range>,
    },
}

/// How an effect went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done. For approvals: GitHub took it.
    Done,
    /// A message stands in Slack now.
    Posted {
        /// Channel id.
        channel: String,
        /// Slack's message id, a decimal text; never a number.
        ts: String,
    },
    /// An approval that could not be given, read back from GitHub: what is true now.
    NotPending {
        /// Where the run still waits.
        gates: Vec<Gate>,
        /// The run now.
        run: Box<Run>,
        /// All answers so far.
        reviews: Vec<super::run::Review>,
    },
    /// A workflow was started.
    Started {
        /// Its run.
        run: RunId,
        /// Whether it was found afterwards: the answer itself was lost.
        found: bool,
    },
    /// Nothing was sent: another run began that would have been cancelled.
    InTheWay(Box<Run>),
    /// GitHub, or what is known of it, forbids it for good; nothing was done: one fragment for people, from outside.
    Refused(String),
    /// After an unclear answer nothing was found that was done.
    Lost,
    /// What became of a revert.
    Revert(Reverted),
    /// GitHub did not do to a run what was asked, and never will: the run as it is now.
    NotDone {
        /// The run now.
        run: Box<Run>,
        /// One lowercase fragment for the log.
        why: String,
    },
    /// A step of setting a variable was made, or goes no further.
    Setting(Stepped),
    /// Given up after several tries, or refused for good: one lowercase fragment for the log, without secrets.
    Failed(String),
}

//! What the bot can do: one enum. An effect is committed together with the state that it follows from, then performed by the
//! outbox, at least once; each is safe to repeat.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Reply, Request};
use super::dispatch::Order;
use super::form::Form;
use super::mend::Repair;
use super::message::Message;
use super::name::{AppName, EnvName, RunId, Sha, SlackId};
use super::revert::Reverting;
use super::variable::{Mark, Setting};

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Look up who asks and, for approvals, what GitHub says now; comes back as `Examined`.
    Examine(Request, Option<RunId>),
    /// Approve gates of a run, once the run is seen to be still the same.
    Approve(Verdict),
    /// Reject gates of a run.
    Reject(Verdict),
    /// Show a run's notice: posted once, then edited in place. A newer one replaces an older one that was not shown yet.
    Notice(RunId, Message),
    /// Say something once in the thread of a run's notice.
    Thread {
        /// What makes it one message: `ready`, `handover`, …
        topic: String,
        /// Whose thread.
        run: RunId,
        /// What.
        message: Message,
        /// Whether the channel sees it too.
        broadcast: bool,
    },
    /// Say something once in the app's channel.
    Announce {
        /// What makes it one message.
        topic: String,
        /// What.
        message: Message,
    },
    /// Show something in the app's channel: posted once, then edited in place. A newer one replaces an older one that was not shown yet.
    Show {
        /// What makes it one message.
        topic: String,
        /// What.
        message: Message,
    },
    /// Answer one person.
    Answer(Reply, SlackId, Message),
    /// Show a form in the place of the one that stands open for the answer.
    Form(Reply, SlackId, Form),
    /// Say something once to one person, in their direct messages with the bot.
    Whisper {
        /// What makes it one message.
        topic: String,
        /// Whom.
        to: SlackId,
        /// What.
        message: Message,
    },
    /// Start a workflow. Sent once; if nobody knows whether it arrived, the run is looked for and never sent again.
    Dispatch(Order),
    /// Run the failed jobs of a run again, or cancel it; sent once.
    Mend(Repair),
    /// Open the pull request that reverts a change; looked for before it is opened again.
    Revert(Reverting),
    /// Set the commit status of a pull request.
    Mark(Mark),
    /// One step of setting an environment variable, one environment after the other.
    Set(Setting),
    /// A line for the audit log. Written by the commit itself: nothing is left to perform.
    Record(Record),
}

/// An approval or rejection that was granted, with all that ties it to what the person saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// The run.
    pub run: RunId,
    /// Its attempt.
    pub attempt: u32,
    /// Its commit.
    pub sha: Sha,
    /// The gates: GitHub's environment ids, with their names.
    pub gates: Vec<(u64, EnvName)>,
    /// GitHub shows it with the review; names the person.
    pub comment: String,
}

/// A line of the audit log: one decision, granted or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// Which app.
    pub app: AppName,
    /// Who asked.
    pub by: SlackId,
    /// What: `approve`, `reject`, `hold`, `release`, `tested`, `ping`.
    pub action: String,
    /// The run, where it is about one.
    pub run: Option<RunId>,
    /// The run's number, as people say it.
    pub number: Option<u64>,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// Its commit.
    pub sha: Option<Sha>,
    /// Which environments.
    pub environments: Vec<EnvName>,
    /// `granted`, `refused: <why>`, `done`, `failed: <why>`.
    pub outcome: String,
    /// Reason given by the person: from outside.
    pub note: Option<String>,
}

impl Record {
    /// A line that names no run yet.
    pub fn new(at: Timestamp, app: AppName, by: SlackId, action: &str, outcome: &str) -> Self {
        Self {
            at,
            app,
            by,
            action: action.to_owned(),
            run: None,
            number: None,
            attempt: None,
            sha: None,
            environments: Vec::new(),
            outcome: outcome.to_owned(),
            note: None,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Examine(request, _) => write!(f, "examine {} for {}", request.action, request.by),
            Self::Approve(verdict) => write!(f, "approve {verdict}"),
            Self::Reject(verdict) => write!(f, "reject {verdict}"),
            Self::Notice(run, message) => write!(f, "notice of {run}: {}", message.summary),
            Self::Thread { topic, run, message, broadcast } => {
                let place = if *broadcast { "channel and thread" } else { "thread" };
                write!(f, "say {topic} in {place} of {run}: {message}")
            }
            Self::Announce { topic, message } => write!(f, "announce {topic}: {message}"),
            Self::Show { topic, message } => write!(f, "show {topic}: {message}"),
            Self::Answer(_, to, message) => write!(f, "answer {to}: {message}"),
            Self::Form(_, to, form) => write!(f, "show {} to {to}", form.word()),
            Self::Whisper { topic, to, message } => write!(f, "whisper {topic} to {to}: {message}"),
            Self::Dispatch(order) => write!(f, "dispatch {order}"),
            Self::Mend(repair) => write!(f, "mend {repair}"),
            Self::Revert(reverting) => write!(f, "revert {reverting}"),
            Self::Mark(mark) => write!(f, "mark #{} at {}: {}", mark.pr, mark.sha.short(), mark.description),
            Self::Set(setting) => write!(f, "set {} for {}, {:?}", setting.key, setting.request.by, setting.step),
            Self::Record(record) => write!(f, "record {record}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gates: Vec<&str> = self.gates.iter().map(|(_, name)| name.as_str()).collect();
        write!(
            f,
            "run {} attempt {} at {} on {} for {}",
            self.run,
            self.attempt,
            self.sha.short(),
            gates.join(", "),
            self.request.by
        )
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}: {}", self.action, self.by, self.outcome)
    }
}

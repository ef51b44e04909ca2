//! What a person wishes: the action, who asked, and where the answer goes. Data only; what is done about it is decided in
//! `request` and `approve`.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::aftermath::Aftermath;
use super::change::PrRef;
use super::dispatch::Dispatch;
use super::mend::Mend;
use super::message::Shown;
use super::name::{AppName, RequestId, RunId, SlackId};
use super::remind::Remind;
use super::revert::RollForward;
use super::variable::Variables;

/// A person's wish, remembered before it is acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The same however often it is delivered.
    pub id: RequestId,
    /// Which app.
    pub app: AppName,
    /// Who.
    pub by: SlackId,
    /// What.
    pub action: Action,
    /// Where the answer goes.
    pub reply: Reply,
}

/// The things that a person can do; questions are not among them, they change nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Typed: approve the newest run's waiting production environments, all or those named. Answered with a confirmation.
    Approve {
        /// As typed, still to be matched; empty for all.
        environments: String,
    },
    /// Clicked, after a confirmation: approve just this.
    ApproveShown(Shown),
    /// Reject what waits.
    Reject {
        /// For GitHub and for the channel.
        reason: String,
    },
    /// I tested my changes: all of mine that ship, or these.
    Tested {
        /// Empty for all of mine. A link names its repo, which has to be the app's.
        prs: Vec<PrRef>,
    },
    /// Mention the authors of what is not in production.
    Ping,
    /// Refuse approvals until released.
    Hold {
        /// Shown to everybody who asks.
        reason: String,
    },
    /// End the hold.
    Release,
    /// Start a workflow: redeploy, start.
    Dispatch(Dispatch),
    /// Mend a run: retry, cancel, ask for help.
    Mend(Mend),
    /// Repair by a new change: revert.
    RollForward(RollForward),
    /// What somebody says about a version that is live.
    Aftermath(Aftermath),
    /// What somebody says to a reminder.
    Remind(Remind),
    /// Environment variables.
    Variables(Variables),
}

impl Action {
    /// The run that the request is about, where it names one.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::ApproveShown(shown) => Some(shown.run),
            Self::Dispatch(dispatch) => dispatch.run(),
            Self::Mend(mend) => mend.run(),
            Self::Aftermath(aftermath) => aftermath.run(),
            Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Tested { .. }
            | Self::Ping
            | Self::Hold { .. }
            | Self::Release
            | Self::RollForward(_)
            | Self::Remind(_)
            | Self::Variables(_) => None,
        }
    }

    /// What the person typed or chose with it, for the audit log. From outside; never a variable's value.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Reject { reason } | Self::Hold { reason } => Some(reason.clone()),
            Self::Approve { environments } => Some(environments.clone()).filter(|typed| !typed.is_empty()),
            Self::Dispatch(dispatch) => dispatch.note(),
            Self::Mend(mend) => mend.note(),
            Self::RollForward(forward) => forward.note(),
            Self::Aftermath(aftermath) => aftermath.note(),
            Self::Remind(remind) => remind.note(),
            Self::Variables(variables) => variables.note(),
            Self::ApproveShown(_) | Self::Tested { .. } | Self::Ping | Self::Release => None,
        }
    }

    /// The reason of a rejection; `None` for everything else.
    pub fn rejects(&self) -> Option<&str> {
        if let Self::Reject { reason } = self { Some(reason) } else { None }
    }
}

/// How long an address for answers lives (`facts/slack.md` 2.3).
pub const REPLY_LIFE: SignedDuration = SignedDuration::from_mins(30);

/// Where the answer to a request goes. Lives for 30 minutes and five answers (`facts/slack.md` 2.3).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Slack's `response_url`: a secret, so it has no useful `Debug`. Empty for a form without one: then the answer is ephemeral in `channel`.
    pub url: String,
    /// The channel where it was asked.
    pub channel: String,
    /// Whether the answer takes the place of the message with the button (an ephemeral one).
    pub replace: bool,
    /// The form that stands open for the answer, where there is one: then it goes there.
    #[serde(default)]
    pub view: Option<String>,
    /// When it was asked.
    pub at: Timestamp,
}

impl Reply {
    /// Whether it says itself where the answer goes.
    pub fn has_address(&self) -> bool {
        self.view.is_some() || !self.url.is_empty()
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("channel", &self.channel).field("replace", &self.replace).finish_non_exhaustive()
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Approve { .. } | Self::ApproveShown(_) => "approve",
            Self::Reject { .. } => "reject",
            Self::Tested { .. } => "tested",
            Self::Ping => "ping",
            Self::Hold { .. } => "hold",
            Self::Release => "release",
            Self::Dispatch(dispatch) => dispatch.word(),
            Self::Mend(mend) => mend.word(),
            Self::RollForward(forward) => forward.word(),
            Self::Aftermath(aftermath) => aftermath.word(),
            Self::Remind(remind) => remind.word(),
            Self::Variables(variables) => variables.word(),
        })
    }
}

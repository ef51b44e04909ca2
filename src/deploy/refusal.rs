//! Refusals: every way in which something is not done, each a sentence that says why and what to do now.

use std::fmt;

use jiff::Timestamp;

use super::event::Unreachable;
use super::mend_text::{Unmended, named};
use super::message::{Line, Message};
use super::name::{AppName, EnvName, PrNumber, SlackId};
use super::phase::Phase;
use super::revert::NoRevert;
use super::run::Run;
use super::text::cut;

/// Why something is not done. Its `Display` is the sentence that the person reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// A guest of the workspace.
    Guest,
    /// Somebody of another workspace (Slack Connect).
    Stranger,
    /// A deactivated account.
    Deactivated,
    /// A bot or app.
    Bot,
    /// Who asks, or what is true now, could not be looked up.
    CannotCheck(Unreachable),
    /// The config names no approvers.
    NobodyMayApprove,
    /// This person is not among the approvers.
    MayNotApprove,
    /// `four_eyes`: whoever merged the newest change may not approve it.
    FourEyes,
    /// `four_eyes`: without a GitHub login nobody can tell who merged.
    FourEyesUnknown,
    /// `require_tested = "all"`: these are not ticked.
    Untested(Vec<String>),
    /// The app has no Deploy run yet.
    NoRun(AppName),
    /// A newer run has taken the place of the one that was shown.
    NotNewest {
        /// The run that was shown.
        shown: u64,
        /// The newest.
        newest: Box<Run>,
    },
    /// The run was started again, or is at another commit, since the message was shown.
    Changed(Box<Run>),
    /// Production already has commits that the run lacks.
    Behind {
        /// Which environment.
        environment: EnvName,
        /// The run.
        number: u64,
    },
    /// What lies between production and the run could not be told.
    Unclear(EnvName),
    /// What an environment runs is still being read from GitHub's history: this might be a rollback.
    VersionUnread(EnvName),
    /// The app is on hold.
    OnHold {
        /// Who holds it.
        by: SlackId,
        /// Why; from a person.
        reason: String,
        /// The app.
        app: AppName,
        /// What to type to release it.
        release: String,
    },
    /// Nothing waits for an approval.
    NotWaiting {
        /// The run.
        run: Box<Run>,
        /// What it does, or how it ended.
        phase: Phase,
    },
    /// A Redeploy took the run's place, so there is nothing that could be approved instead.
    Redeployed {
        /// The run.
        run: Box<Run>,
        /// The Redeploy.
        by: Box<Run>,
        /// What to type to start Deploy again.
        start: String,
    },
    /// The repo has no Redeploy workflow that could be asked for its environments.
    NoRedeploy(AppName),
    /// Somebody is just starting a workflow: a second one would cancel it.
    Starting {
        /// Who.
        by: SlackId,
        /// When.
        at: Timestamp,
    },
    /// A Deploy of the same commit is on its way already.
    OnItsWay(Box<Run>),
    /// It waited a moment ago and does not any more, and nobody answered in Slack.
    Answered(Box<Run>),
    /// The same person decided about it before: a double click.
    Again {
        /// When.
        at: Timestamp,
        /// Whether they rejected.
        rejected: bool,
    },
    /// Somebody else was a moment earlier.
    Faster {
        /// Who.
        by: SlackId,
        /// When.
        at: Timestamp,
        /// Whether they rejected.
        rejected: bool,
    },
    /// GitHub says that the bot's own account is not a reviewer there.
    BotMayNot(EnvName),
    /// The pipeline has not been read yet.
    NotReadYet(AppName),
    /// The command could not be understood; the sentence of `command`.
    Misread(Line),
    /// The person's GitHub login is not known.
    NotLinked,
    /// The change is somebody else's.
    NotYours(String),
    /// The link is to another repo's pull request.
    OtherRepo(PrNumber, AppName),
    /// None of the person's changes waits.
    NothingToTick,
    /// Everything is in production.
    NothingPending(AppName),
    /// All authors were mentioned before.
    AlreadyPinged,
    /// The hold is there already.
    AlreadyHeld {
        /// Who holds it.
        by: SlackId,
        /// Why.
        reason: String,
    },
    /// There is no hold to release.
    NotHeld(AppName),
    /// The change is not reverted.
    NoRevert(NoRevert),
    /// A run is not mended.
    Mend(Unmended),
    /// `set_variables` is off.
    SettingIsOff,
    /// No environment was given a value.
    NothingToSet,
    /// It cannot be the name of a variable.
    NoKey(String),
    /// Another variable is being set.
    SettingAlready {
        /// By whom.
        by: SlackId,
        /// Which.
        key: String,
    },
}

impl Refusal {
    /// The sentence with its links and people.
    pub fn line(&self) -> Line {
        match self {
            Self::OnHold { by, reason, app, release } => Line::plain(format!("{app} is on hold by "))
                .mention(by)
                .say(format!(": “{reason}”. Ask them, or type "))
                .code(release)
                .say(" once it is safe."),
            Self::Redeployed { run, by, start } => named(run)
                .say(" was replaced by ")
                .link(format!("redeploy {}", by.number), by.url.clone())
                .say(", so there is nothing to approve. Once the redeploy is done, type ")
                .code(start)
                .say("."),
            Self::Starting { by, at } => Line::default()
                .mention(by)
                .say(" was faster and is starting a workflow, since ")
                .time(*at)
                .say(". A second one would cancel it: wait for its notice, then look again."),
            Self::OnItsWay(run) => named(run)
                .say(" deploys this very commit already, so nothing was started. Its notice shows how it gets on."),
            Self::Answered(run) => named(run)
                .say(" does not wait any more: it was answered on GitHub’s page a moment ago. Its notice shows how it gets on."),
            Self::Again { at, rejected } => {
                let did = if *rejected { "rejected" } else { "approved" };
                Line::plain(format!("You {did} it yourself already, at ")).time(*at).say(". Nothing is left to do.")
            }
            Self::Faster { by, at, rejected } => {
                let did = if *rejected { "rejected" } else { "approved" };
                Line::default()
                    .mention(by)
                    .say(format!(" was faster and {did} it at "))
                    .time(*at)
                    .say(". Nothing is left to do.")
            }
            Self::AlreadyHeld { by, reason } => {
                Line::plain("It is on hold already, by ").mention(by).say(format!(": “{reason}”."))
            }
            Self::SettingAlready { by, key } => {
                Line::default().mention(by).say(" is just setting ").code(key).say(". Its message in the channel shows when that is over; then try again.")
            }
            Self::NotNewest { shown, newest } => Line::plain(format!("Run {shown} is not the newest any more: "))
                .link(format!("run {}", newest.number), newest.url.clone())
                .say(" took its place. Nothing was approved; look at its notice and approve there."),
            Self::Changed(run) => named(run).say(
                " has been started again since this was shown. Nothing was approved; its notice shows what waits now.",
            ),
            Self::NotWaiting { run, phase: Phase::Waiting } => named(run)
                .say(" waits for an approval, but not there. Its notice shows where."),
            Self::NotWaiting { run, phase } => named(run)
                .say(format!(" is not waiting for an approval: {}", not_waiting(phase))),
            Self::Misread(sentence) => sentence.clone(),
            Self::NoRevert(why) => why.line(),
            Self::Mend(why) => why.line(),
            plain => Line::plain(plain.words()),
        }
    }

    /// The message for the person.
    pub fn message(&self) -> Message {
        Message::line(self.line())
    }

    /// One lowercase word or two for the audit log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Stranger => "other workspace",
            Self::Deactivated => "deactivated account",
            Self::Bot => "bot",
            Self::CannotCheck(Unreachable::Slack) => "slack not reachable",
            Self::CannotCheck(Unreachable::GitHub) => "github not reachable",
            Self::NobodyMayApprove => "no approvers configured",
            Self::MayNotApprove => "not an approver",
            Self::FourEyes => "four eyes",
            Self::FourEyesUnknown => "four eyes, login not known",
            Self::Untested(_) => "untested changes",
            Self::NoRun(_) => "no run",
            Self::NotNewest { .. } => "not the newest run",
            Self::Changed(_) => "run changed since shown",
            Self::Behind { .. } => "production is ahead",
            Self::Unclear(_) => "commits could not be compared",
            Self::VersionUnread(_) => "version not read yet",
            Self::OnHold { .. } => "on hold",
            Self::NotWaiting { .. } => "not waiting",
            Self::Redeployed { .. } => "replaced by a redeploy",
            Self::Answered(_) => "answered on github",
            Self::Again { .. } => "decided before",
            Self::Faster { .. } => "somebody was faster",
            Self::BotMayNot(_) => "bot is not a reviewer",
            Self::NotReadYet(_) => "pipeline not read yet",
            Self::Misread(_) => "misread",
            Self::NotLinked => "github login not known",
            Self::NotYours(_) => "not theirs",
            Self::OtherRepo(..) => "other repo",
            Self::NothingToTick => "nothing to tick",
            Self::NothingPending(_) => "nothing pending",
            Self::AlreadyPinged => "pinged before",
            Self::AlreadyHeld { .. } => "on hold already",
            Self::NotHeld(_) => "not on hold",
            Self::NoRedeploy(_) => "no redeploy workflow",
            Self::Starting { .. } => "somebody was faster",
            Self::OnItsWay(_) => "on its way already",
            Self::NoRevert(why) => why.reason(),
            Self::Mend(why) => why.reason(),
            Self::SettingIsOff => "setting is off",
            Self::NothingToSet => "nothing filled in",
            Self::NoKey(_) => "not a variable's name",
            Self::SettingAlready { .. } => "another variable is being set",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Guest => "Guests of this workspace cannot use Lockkeeper. Ask a member of the team.".into(),
            Self::Stranger => "People of other workspaces cannot use Lockkeeper. Ask somebody of the team that owns it.".into(),
            Self::Deactivated => "This account is deactivated, so it cannot do this.".into(),
            Self::Bot => "Bots cannot do this; a person has to.".into(),
            Self::CannotCheck(Unreachable::Slack) => {
                "Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.".into()
            }
            Self::CannotCheck(Unreachable::GitHub) => {
                "GitHub does not answer right now, so nothing was done. Try again in a minute, or look at GitHub’s own page.".into()
            }
            Self::NobodyMayApprove => {
                "Nobody may approve: no approvers are configured. Whoever runs Lockkeeper adds them under [approvers] in lockkeeper.toml.".into()
            }
            Self::MayNotApprove => {
                "You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.".into()
            }
            Self::FourEyes => "You merged the newest change, and this app wants a second person: ask somebody else to approve.".into(),
            Self::FourEyesUnknown => {
                "This app wants a second person, and your GitHub login is not known here. Whoever runs Lockkeeper adds it under [people].".into()
            }
            Self::Untested(changes) => {
                format!("Not ticked as tested yet: {}. Their people tick them with “I tested mine”; then approve again.", changes.join(", "))
            }
            Self::NoRun(app) => format!("{app} has no Deploy run yet. Merge something first."),
            Self::Behind { environment, number } => format!(
                "{environment} already runs something newer than run {number}: approving it would roll back. Use the newest run, or roll forward with a new change."
            ),
            Self::Unclear(environment) => format!(
                "GitHub cannot compare what {environment} runs with this run, so it could be a rollback. Nothing was approved; decide on GitHub’s own page."
            ),
            Self::VersionUnread(environment) => format!(
                "What {environment} runs is still being read from GitHub, so this could be a rollback. Nothing was approved; try again in a minute."
            ),
            Self::BotMayNot(environment) => format!(
                "GitHub does not let Lockkeeper approve {environment}: its account is not a required reviewer there. Approve on GitHub’s page, and have it added."
            ),
            Self::NotReadYet(app) => format!("The workflow files of {app} have not been read yet. Try again in a minute."),
            Self::NotLinked => {
                "Your GitHub login is not known here, so I cannot tell which changes are yours. Whoever runs Lockkeeper adds it under [people].".into()
            }
            Self::NotYours(change) => format!("{change} is not yours: its author, or whoever merged it, says that it is tested."),
            Self::OtherRepo(number, app) => format!("That #{number} belongs to another repo than {app}’s. Name the app that it belongs to."),
            Self::NothingToTick => "None of your changes is waiting to be tested.".into(),
            Self::NothingPending(app) => {
                format!("There is nobody to ping in {app}: what is merged is in production, or rides along with the next deploy.")
            },
            Self::AlreadyPinged => "They were all pinged about this before; once is enough.".into(),
            Self::NotHeld(app) => format!("{app} is not on hold."),
            Self::NoRedeploy(app) => format!(
                "{app} has no Redeploy workflow with an input for each environment that I can read, so I cannot start one. Its servers can be replaced in the AWS console."
            ),
            Self::SettingIsOff => {
                "Setting variables from Slack is off. Whoever runs Lockkeeper turns it on with set_variables = true; until then the AWS console does it.".into()
            }
            Self::NothingToSet => "Nothing was set: no field was filled in.".into(),
            Self::NoKey(key) => format!("“{}” cannot be the name of a variable.", cut(key, 60)),
            Self::OnHold { .. }
            | Self::SettingAlready { .. }
            | Self::Misread(_)
            | Self::NoRevert(_)
            | Self::Mend(_)
            | Self::Redeployed { .. }
            | Self::Starting { .. }
            | Self::OnItsWay(_)
            | Self::Answered(_)
            | Self::Again { .. }
            | Self::Faster { .. }
            | Self::AlreadyHeld { .. }
            | Self::NotNewest { .. }
            | Self::Changed(_)
            | Self::NotWaiting { .. } => self.line().to_string(),
        }
    }
}

fn not_waiting(phase: &Phase) -> String {
    match phase {
        Phase::Queued | Phase::Building => "it is still building. You are told here when it is ready.".into(),
        Phase::OnTest => "it is still on its way to the test environments.".into(),
        Phase::Waiting => "not there.".into(),
        Phase::Deploying => "it was approved and is deploying.".into(),
        Phase::Done => "it is live.".into(),
        Phase::Nothing => "it ended and had nothing to deploy.".into(),
        Phase::Failed => "it failed. Its notice says what happened.".into(),
        Phase::Rejected => "it was rejected.".into(),
        Phase::TimedOut => "it ran into a time limit.".into(),
        Phase::CancelledBy(login) => format!("{login} cancelled it."),
        Phase::Cancelled | Phase::Ending => "it was cancelled.".into(),
        Phase::Superseded => "a newer run took its place. Approve that one.".into(),
        Phase::Broken => "GitHub could not start it; its workflow file is broken.".into(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line().fmt(f)
    }
}

//! Mending a run: run its failed jobs again, cancel it, ask others for help. The rules; the words are in `mend_text`, why it
//! failed is told by `doctor`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::change::Standing;
use super::effect::{Effect, Record};
use super::event::{Facts, Outcome, RunFacts};
use super::ledger::Live;
use super::mend_text::Unmended;
use super::message::{Button, Confirm, Style, What};
use super::name::{Login, RunId, SlackId};
use super::phase::Phase;
use super::pipeline::Kind;
use super::refusal::Refusal;
use super::run::{Conclusion, Workflow};
use super::track::Tracked;

/// What people do about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// Typed: run the failed jobs of the newest run again. Answered with a confirmation.
    Retry,
    /// Clicked, after a confirmation: run the failed jobs of just this attempt again.
    RetryShown(Attempt),
    /// Typed: cancel the run that goes on. Answered with a confirmation.
    Cancel,
    /// Clicked, after the confirmation.
    CancelShown(Attempt),
    /// Clicked: tell the channel what is known and ask for help.
    Help(Attempt),
}

/// An attempt of a run, as a button showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// Which of its attempts.
    pub attempt: u32,
}

/// What is to be done to a run, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// Which run.
    pub run: RunId,
    /// Its attempt, as the person saw it.
    pub attempt: u32,
    /// What.
    pub what: Means,
}

/// The two things that can be done to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Means {
    /// Run its failed jobs again.
    Rerun,
    /// Cancel it.
    Cancel,
}

/// Somebody in Slack did it to an attempt. Stands from the decision on, so that two clicks are one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mended {
    /// Who.
    pub by: SlackId,
    /// When it was decided.
    pub at: Timestamp,
    /// To which attempt.
    pub attempt: u32,
}

impl Mend {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retry | Self::RetryShown(_) => "retry",
            Self::Cancel | Self::CancelShown(_) => "cancel",
            Self::Help(_) => "ask for help",
        }
    }

    /// The run that it names.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Retry | Self::Cancel => None,
            Self::RetryShown(shown) | Self::CancelShown(shown) | Self::Help(shown) => Some(shown.run),
        }
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        None
    }
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn mend(
        &mut self,
        request: Request,
        facts: Facts,
        what: Mend,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        // To ask for help is everybody's right.
        if !matches!(what, Mend::Help(_)) {
            self.may_approve(&facts.person)?;
        }
        if let Some(look) = facts.look {
            self.see(look, now);
        }
        let run = self.take_in(facts.run, now)?;
        match what {
            Mend::Retry => self.propose_retry(request, &run),
            Mend::RetryShown(shown) => self.retry(request, &run, shown, now),
            Mend::Cancel => self.propose_cancel(request),
            Mend::CancelShown(shown) => self.cancel(request, shown, now),
            Mend::Help(shown) => self.ask_for_help(&request, shown, now),
        }
    }

    fn propose_retry(&self, request: Request, facts: &RunFacts) -> Result<Vec<Effect>, Refusal> {
        // A redeploy that was the last thing to happen, else the newest Deploy run.
        let latest = self.state.runs.values().find(|t| self.is_latest(t) && t.run.workflow == Workflow::Redeploy);
        let failed = latest.filter(|t| t.run.is_over() && ended_badly(t));
        let tracked = failed.or(self.state.runs.get(&facts.run.id)).ok_or_else(|| self.no_run())?;
        self.may_retry(tracked, facts, &request.by)?;
        let message = self.retry_question(tracked);
        Ok(vec![Effect::Answer(request.reply, request.by, message)])
    }

    fn retry(
        &mut self,
        request: Request,
        facts: &RunFacts,
        shown: Attempt,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let tracked = self.state.runs.get(&shown.run).ok_or_else(|| self.no_run())?;
        self.is_first(tracked, Means::Rerun, shown.attempt, &request.by)?;
        if tracked.run.attempt != shown.attempt {
            return Err(Refusal::Mend(Unmended::Changed(Box::new(tracked.run.clone()))));
        }
        self.may_retry(tracked, facts, &request.by)?;
        Ok(self.send(request, shown, Means::Rerun, now))
    }

    /// Complete, the newest, nothing that it would cancel, not behind production, no hold, and nobody was faster.
    fn may_retry(&self, tracked: &Tracked, facts: &RunFacts, by: &SlackId) -> Result<(), Refusal> {
        let run = &tracked.run;
        self.is_first(tracked, Means::Rerun, run.attempt, by)?;
        let boxed = || Box::new(run.clone());
        if !run.is_over() {
            return Err(Refusal::Mend(Unmended::Running { run: boxed(), failed: tracked.failing.is_some() }));
        }
        if let Some(other) = self.newer(tracked) {
            return Err(Refusal::Mend(Unmended::Older { run: boxed(), newest: Box::new(other.run.clone()) }));
        }
        if let Some(other) = self.would_cancel(tracked) {
            return Err(Refusal::Mend(Unmended::WouldCancel { run: boxed(), other: Box::new(other.run.clone()) }));
        }
        if !ended_badly(tracked) {
            return Err(Refusal::Mend(Unmended::NotFailed { run: boxed(), phase: self.phase(tracked) }));
        }
        if run.workflow == Workflow::Deploy {
            self.is_ahead(facts)?;
        }
        self.is_not_held()
    }

    /// Running an older commit again where production has a newer one would be a rollback.
    fn is_ahead(&self, facts: &RunFacts) -> Result<(), Refusal> {
        if let Some((environment, ..)) = facts.ranges.iter().find(|(_, _, range)| range.standing == Standing::Behind) {
            let environment = self.label(environment).to_owned();
            return Err(Refusal::Mend(Unmended::Behind { environment, number: facts.run.number }));
        }
        if self.is_history_unread() {
            return Err(Refusal::Mend(Unmended::Unread));
        }
        let compared = |name| facts.ranges.iter().any(|(known, ..)| known == name);
        match self.deployed().iter().find(|(name, sha)| *sha != facts.run.sha && !compared(name)) {
            Some((name, _)) => Err(Refusal::Mend(Unmended::Unclear(self.label(name).to_owned()))),
            None => Ok(()),
        }
    }

    /// A newer run that makes running this one again pointless, or a step back.
    fn newer(&self, tracked: &Tracked) -> Option<&Tracked> {
        match tracked.run.workflow {
            Workflow::Deploy => self.newest().filter(|newest| newest.run.id != tracked.run.id),
            Workflow::Redeploy => self
                .state
                .runs
                .values()
                .find(|other| self.is_latest(other))
                .filter(|latest| latest.run.id != tracked.run.id),
        }
    }

    /// A run that goes on: the group lets only one live.
    fn would_cancel(&self, tracked: &Tracked) -> Option<&Tracked> {
        self.state.runs.values().find(|other| !other.run.is_over() && other.run.id != tracked.run.id)
    }

    /// Whether nobody in Slack has done it to this attempt.
    fn is_first(&self, tracked: &Tracked, what: Means, attempt: u32, who: &SlackId) -> Result<(), Refusal> {
        match tracked.mended.get(&what).filter(|mended| mended.attempt == attempt) {
            Some(Mended { by, at, .. }) if by == who => Err(Refusal::Mend(Unmended::Again { what, at: *at })),
            Some(Mended { by, at, .. }) => Err(Refusal::Mend(Unmended::Faster { what, by: by.clone(), at: *at })),
            None => Ok(()),
        }
    }

    fn propose_cancel(&self, request: Request) -> Result<Vec<Effect>, Refusal> {
        let live = self.state.runs.values().filter(|t| !t.run.is_over());
        let tracked = live.max_by_key(|t| (t.run.started_at, t.run.id));
        let tracked = tracked.ok_or_else(|| Refusal::Mend(Unmended::NothingRuns(self.state.name.clone())))?;
        self.is_first(tracked, Means::Cancel, tracked.run.attempt, &request.by)?;
        let message = self.cancel_question(tracked);
        Ok(vec![Effect::Answer(request.reply, request.by, message)])
    }

    fn cancel(&mut self, request: Request, shown: Attempt, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let tracked = self.state.runs.get(&shown.run).ok_or_else(|| self.no_run())?;
        self.is_first(tracked, Means::Cancel, shown.attempt, &request.by)?;
        let run = || Box::new(tracked.run.clone());
        if tracked.run.attempt != shown.attempt {
            return Err(Refusal::Mend(Unmended::Changed(run())));
        }
        if tracked.run.is_over() {
            return Err(Refusal::Mend(Unmended::Over(run())));
        }
        Ok(self.send(request, shown, Means::Cancel, now))
    }

    /// From here on nobody else does the same: the claim is committed with the effect.
    fn send(&mut self, request: Request, shown: Attempt, what: Means, now: Timestamp) -> Vec<Effect> {
        if let Some(tracked) = self.state.runs.get_mut(&shown.run) {
            let mended = Mended { by: request.by.clone(), at: now, attempt: shown.attempt };
            tracked.mended.insert(what, mended);
        }
        let repair = Repair { run: shown.run, attempt: shown.attempt, what, request };
        vec![Effect::Record(self.record_repair(&repair, now, "granted")), Effect::Mend(repair)]
    }

    fn record_repair(&self, repair: &Repair, now: Timestamp, outcome: &str) -> Record {
        let shown = Attempt { run: repair.run, attempt: repair.attempt };
        self.record_attempt(&repair.request, shown, now, outcome)
    }

    fn record_attempt(&self, request: &Request, shown: Attempt, now: Timestamp, outcome: &str) -> Record {
        let tracked = self.state.runs.get(&shown.run);
        Record {
            run: Some(shown.run),
            number: tracked.map(|t| t.run.number),
            attempt: Some(shown.attempt),
            sha: tracked.map(|t| t.run.sha.clone()),
            ..self.record(request, now, outcome)
        }
    }

    /// It came back. What GitHub did not do may be asked for again.
    pub(super) fn mended(&mut self, repair: Repair, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        let failed = match &outcome {
            Outcome::Done | Outcome::Posted { .. } => None,
            Outcome::NotDone { why, .. } | Outcome::Failed(why) => Some(format!("failed: {why}")),
            Outcome::Refused(_)
            | Outcome::NotPending { .. }
            | Outcome::Started { .. }
            | Outcome::InTheWay(_)
            | Outcome::Revert(_)
            | Outcome::Setting(_)
            | Outcome::Lost => Some("failed: nobody knows whether it was done".to_owned()),
        };
        if let Some(tracked) = self.state.runs.get_mut(&repair.run) {
            tracked.again = true;
            let ours = |mended: &Mended| mended.attempt == repair.attempt;
            if failed.is_some() && tracked.mended.get(&repair.what).is_some_and(ours) {
                tracked.mended.remove(&repair.what);
            }
            if let Outcome::NotDone { run, .. } = &outcome {
                tracked.observe(run.as_ref().clone());
            }
        }
        let message = self.repair_told(&repair, &outcome);
        let mut effects = vec![Effect::Answer(repair.request.reply.clone(), repair.request.by.clone(), message)];
        effects.extend(failed.map(|outcome| Effect::Record(self.record_repair(&repair, now, &outcome))));
        effects
    }

    fn ask_for_help(&mut self, request: &Request, shown: Attempt, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let tracked = self.state.runs.get(&shown.run).ok_or_else(|| self.no_run())?;
        if tracked.run.attempt != shown.attempt || !tracked.run.is_over() {
            return Err(Refusal::Mend(Unmended::Changed(Box::new(tracked.run.clone()))));
        }
        let topic = help_topic(tracked);
        if self.state.said.contains(&topic) {
            return Err(Refusal::Mend(Unmended::HelpAsked(Box::new(tracked.run.clone()))));
        }
        let message = self.help_text(tracked, &request.by);
        self.state.said.insert(topic.clone());
        Ok(vec![
            Effect::Record(self.record_attempt(request, shown, now, "done")),
            Effect::Announce { topic, message },
            self.done(request, "The channel was asked, with what is known. Answer there what comes up."),
        ])
    }

    fn no_run(&self) -> Refusal {
        Refusal::NoRun(self.state.name.clone())
    }

    /// The buttons of a failed run's notice.
    pub(super) fn mend_buttons(&self, tracked: &Tracked, phase: &Phase) -> Vec<Button> {
        let shown = Attempt { run: tracked.run.id, attempt: tracked.run.attempt };
        let failed = matches!(phase, Phase::Failed | Phase::TimedOut)
            && self.newer(tracked).is_none()
            && !self.is_done_after_all(tracked);
        let twice = shown.attempt > 1;
        let mut buttons = Vec::new();
        if failed && twice && !self.state.said.contains(&help_topic(tracked)) {
            let help = self.button("Ask for help", What::Mend(Mend::Help(shown)));
            buttons.push(Button { style: Style::Primary, ..help });
        }
        if failed && self.can_retry(tracked) {
            let style = if twice { Style::Plain } else { Style::Primary };
            buttons.push(Button { style, ..self.retry_button(tracked, true) });
        }
        buttons
    }

    /// Whether the notice offers to run the failed jobs again; decided again at the click.
    pub(super) fn can_retry(&self, tracked: &Tracked) -> bool {
        let run = &tracked.run;
        let claimed = tracked.mended.get(&Means::Rerun).is_some_and(|mended| mended.attempt == run.attempt);
        let newer = |live: &Live| live.number > run.number;
        let ahead = self.state.live.iter().any(|(name, live)| self.kind(name) == Some(Kind::Production) && newer(live));
        let behind = run.workflow == Workflow::Deploy && (ahead || self.is_rollback(tracked));
        run.is_over()
            && ended_badly(tracked)
            && !claimed
            && !behind
            && !self.is_without_secrets(tracked)
            && self.state.hold.is_none()
            && self.newer(tracked).is_none()
            && self.would_cancel(tracked).is_none()
    }

    pub(super) fn retry_button(&self, tracked: &Tracked, ask: bool) -> Button {
        let shown = Attempt { run: tracked.run.id, attempt: tracked.run.attempt };
        let confirm = ask.then(|| Confirm {
            title: format!("Retry the failed jobs of {}?", tracked.run.label()),
            text: self.retry_words(tracked),
            yes: "Retry".into(),
            no: "Not now".into(),
        });
        Button { confirm, ..self.button("Retry failed jobs", What::Mend(Mend::RetryShown(shown))) }
    }

    /// Who in Slack did it to that attempt.
    pub(super) fn mender<'a>(&self, tracked: &'a Tracked, what: Means, attempt: u32) -> Option<&'a SlackId> {
        tracked.mended.get(&what).filter(|mended| mended.attempt == attempt).map(|mended| &mended.by)
    }

    /// Who in Slack started the newest attempt, where GitHub names an account that nobody here has: the bot's own.
    pub(super) fn retried_by<'a>(&self, tracked: &'a Tracked) -> Option<&'a SlackId> {
        let stranger = self.policy.people.slack(&tracked.run.triggered_by).is_none();
        let before = tracked.run.attempt.saturating_sub(1);
        self.mender(tracked, Means::Rerun, before).filter(|_| stranger)
    }

    /// Who cancelled it: the person in Slack where GitHub names an account that nobody here has.
    pub(super) fn canceller(&self, tracked: &Tracked, login: &Login) -> Login {
        let stranger = self.policy.people.slack(login).is_none();
        let by = self.mender(tracked, Means::Cancel, tracked.run.attempt).filter(|_| stranger);
        by.and_then(|by| self.policy.people.login(by)).unwrap_or(login).clone()
    }
}

/// Whether it has jobs that can be run again.
fn ended_badly(tracked: &Tracked) -> bool {
    matches!(tracked.run.conclusion, Some(Conclusion::Failure | Conclusion::TimedOut | Conclusion::Cancelled))
}

/// Once for each attempt; forgotten with the run.
fn help_topic(tracked: &Tracked) -> String {
    format!("help {}:{}", tracked.run.attempt, tracked.run.id)
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Means::Rerun => "rerun failed jobs of",
            Means::Cancel => "cancel",
        };
        write!(f, "{what} run {} attempt {} for {}", self.run, self.attempt, self.request.by)
    }
}

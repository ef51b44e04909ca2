//! Approving and rejecting: every rule, in the order of PRODUCT.md, on facts that were read for this very request.

use jiff::Timestamp;

use super::action::{Action, Request};
use super::app::App;
use super::change::{ChangeKey, Standing};
use super::effect::{Effect, Record, Verdict};
use super::event::{Facts, Outcome, RunFacts};
use super::ledger::Shipped;
use super::message::Shown;
use super::name::{EnvName, Login};
use super::phase::Phase;
use super::pipeline::Kind;
use super::policy::{Account, Person, RequireTested};
use super::refusal::Refusal;
use super::run::{Gate, Run, Workflow};
use super::track::{Approval, State, Tracked};

impl App {
    /// Approve what was typed: nothing is done yet, the person is shown what would ship and confirms with a click.
    pub(super) fn propose(
        &mut self,
        request: Request,
        facts: Facts,
        typed: &str,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        self.may_approve(&facts.person)?;
        let run = self.take_in(facts.run, now)?;
        let wanted = self.match_environments(typed)?;
        let gates = self.approvable(&run, &wanted, &facts.person)?;
        self.may_ship(&run, &facts.person)?;
        let shown = Shown {
            run: run.run.id,
            attempt: run.run.attempt,
            sha: run.run.sha.clone(),
            environments: gates.iter().map(|gate| gate.environment.clone()).collect(),
        };
        let message = self.confirmation(&shown);
        Ok(vec![Effect::Answer(request.reply, request.by, message)])
    }

    /// Approve exactly what was shown and confirmed.
    pub(super) fn approve(
        &mut self,
        request: Request,
        facts: Facts,
        shown: &Shown,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        self.may_approve(&facts.person)?;
        let mut run = self.take_in(facts.run, now)?;
        if run.newest.id != shown.run {
            let number = self.state.runs.get(&shown.run).map_or(run.run.number, |t| t.run.number);
            return Err(Refusal::NotNewest { shown: number, newest: Box::new(run.newest) });
        }
        if run.run.attempt != shown.attempt || run.run.sha != shown.sha {
            return Err(Refusal::Changed(Box::new(run.run)));
        }
        run.gates = self.approvable(&run, &shown.environments, &facts.person)?;
        self.may_ship(&run, &facts.person)?;
        let again = again(&run.run);
        let comment = format!("Approved in Slack by {} for commit {}{again}", self.signature(&facts.person), shown.sha);
        Ok(self.grant(request, &run, comment, now))
    }

    /// Reject what waits at the newest run.
    pub(super) fn reject(
        &mut self,
        request: Request,
        facts: Facts,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        self.may_approve(&facts.person)?;
        let mut run = self.take_in(facts.run, now)?;
        run.gates = self.waiting(&run, &[], &facts.person)?;
        let again = again(&run.run);
        let comment = format!("Rejected in Slack by {}{again}: {reason}", self.signature(&facts.person));
        Ok(self.grant(request, &run, comment, now))
    }

    pub(super) fn may_approve(&self, person: &Person) -> Result<(), Refusal> {
        let approvers = &self.policy.approvers;
        if approvers.is_empty() {
            Err(Refusal::NobodyMayApprove)
        } else if !approvers.include(person) {
            Err(Refusal::MayNotApprove)
        } else {
            Ok(())
        }
    }

    /// What was read for the request is news as well.
    pub(super) fn take_in(&mut self, facts: Option<RunFacts>, now: Timestamp) -> Result<RunFacts, Refusal> {
        let facts = facts.ok_or_else(|| Refusal::NoRun(self.state.name.clone()))?;
        for run in [&facts.newest, &facts.run] {
            self.meet(run);
        }
        if let Some(tracked) = self.state.runs.get_mut(&facts.run.id) {
            tracked.gates = facts.gates.clone();
        }
        // Nobody may have looked since the run began: what it ships has to be shown to whoever approves it.
        let head = &facts.run.sha;
        for (_, base, range) in facts.ranges.iter().filter(|(_, base, _)| base != head) {
            let mut range = range.clone();
            self.disown(&mut range);
            self.state.ranges.insert(base.clone(), head.clone(), Some(range), now);
        }
        self.note_bases();
        Ok(facts)
    }

    /// A run by itself, read just now.
    pub(super) fn meet(&mut self, run: &Run) {
        let tracked = self.state.runs.entry(run.id).or_insert_with(|| {
            let mut tracked = Tracked::new(run.clone());
            tracked.noticed = !run.is_over();
            tracked
        });
        tracked.observe(run.clone());
    }

    /// The gates to approve: the run not over, production not ahead of it, no hold, the environments pending.
    fn approvable(&self, facts: &RunFacts, wanted: &[EnvName], by: &Person) -> Result<Vec<Gate>, Refusal> {
        if facts.run.is_over() {
            return Err(self.not_waiting(facts));
        }
        if let Some((environment, ..)) = facts.ranges.iter().find(|(_, _, range)| range.standing == Standing::Behind) {
            return Err(Refusal::Behind { environment: environment.clone(), number: facts.run.number });
        }
        let gates = self.pending_gates(facts, wanted);
        let unread = self.is_history_unread();
        if let Some(gate) = gates.iter().find(|gate| unread && !self.state.live.contains_key(&gate.environment)) {
            return Err(Refusal::VersionUnread(gate.environment.clone()));
        }
        let uncompared = |gate: &&Gate| {
            let live = self.state.live.get(&gate.environment);
            live.is_some_and(|live| {
                live.sha != facts.run.sha && !facts.ranges.iter().any(|(name, ..)| *name == gate.environment)
            })
        };
        if let Some(gate) = gates.iter().find(uncompared) {
            return Err(Refusal::Unclear(gate.environment.clone()));
        }
        self.is_not_held()?;
        self.waiting(facts, wanted, by)
    }

    pub(super) fn is_not_held(&self) -> Result<(), Refusal> {
        let Some(hold) = &self.state.hold else { return Ok(()) };
        let (by, reason, app) = (hold.by.clone(), hold.reason.clone(), self.state.name.clone());
        let release = format!("{} release {app}", self.policy.command);
        Err(Refusal::OnHold { by, reason, app, release })
    }

    pub(super) fn waiting(&self, facts: &RunFacts, wanted: &[EnvName], by: &Person) -> Result<Vec<Gate>, Refusal> {
        if facts.run.is_over() {
            return Err(self.not_waiting(facts));
        }
        let gates = self.pending_gates(facts, wanted);
        let tracked = self.state.runs.get(&facts.run.id);
        let answered = |gate: &Gate| tracked.is_some_and(|t| t.is_answered(&gate.environment));
        let open: Vec<Gate> = gates.iter().filter(|gate| !answered(gate)).cloned().collect();
        if open.is_empty() {
            return Err(self.faster(facts, wanted, by).unwrap_or_else(|| self.not_waiting(facts)));
        }
        match open.iter().find(|gate| !gate.can_approve) {
            Some(gate) => Err(Refusal::BotMayNot(gate.environment.clone())),
            None => Ok(open),
        }
    }

    fn pending_gates(&self, facts: &RunFacts, wanted: &[EnvName]) -> Vec<Gate> {
        let production = |gate: &&Gate| self.kind(&gate.environment) == Some(Kind::Production);
        let named = |gate: &&Gate| wanted.is_empty() || wanted.contains(&gate.environment);
        facts.gates.iter().filter(|gate| production(gate) && named(gate)).cloned().collect()
    }

    /// Whoever answered these environments in Slack for this attempt.
    fn faster(&self, facts: &RunFacts, wanted: &[EnvName], person: &Person) -> Option<Refusal> {
        let tracked = self.state.runs.get(&facts.run.id)?;
        let mut given = tracked
            .approvals
            .iter()
            .filter(|(name, a)| a.attempt == facts.run.attempt && (wanted.is_empty() || wanted.contains(name)));
        let (_, approval) = given.next()?;
        let Approval { by, at, rejected, .. } = approval.clone();
        let rejected = rejected.is_some();
        Some(if by == person.id { Refusal::Again { at, rejected } } else { Refusal::Faster { by, at, rejected } })
    }

    fn not_waiting(&self, facts: &RunFacts) -> Refusal {
        let tracked = self.state.runs.get(&facts.run.id);
        let phase = tracked.map_or(Phase::Ending, |t| self.phase(t));
        let run = Box::new(facts.run.clone());
        let by = tracked.and_then(|t| self.superseder(t)).filter(|by| by.run.workflow == Workflow::Redeploy);
        if let (Phase::Superseded, Some(by)) = (&phase, by) {
            return Refusal::Redeployed { run, by: Box::new(by.run.clone()), start: self.start_command() };
        }
        // The last look still saw it wait.
        let waited = |t: &Tracked| {
            t.places
                .iter()
                .any(|(name, place)| place.state == State::Waiting && self.kind(name) == Some(Kind::Production))
        };
        if !run.is_over() && facts.gates.is_empty() && tracked.is_some_and(waited) {
            return Refusal::Answered(run);
        }
        Refusal::NotWaiting { run, phase }
    }

    /// `four_eyes` and `require_tested`.
    fn may_ship(&self, facts: &RunFacts, person: &Person) -> Result<(), Refusal> {
        let ships = self.shipped_by(facts);
        if self.policy.four_eyes {
            let me = self.policy.people.login(&person.id).ok_or(Refusal::FourEyesUnknown)?;
            let newest = ships.last().and_then(|s| s.change.merged_by.as_ref()).unwrap_or(&facts.run.actor);
            if newest.is(me) {
                return Err(Refusal::FourEyes);
            }
        }
        if self.policy.require_tested == RequireTested::All {
            let untested: Vec<String> = self.untested(&ships).iter().map(ChangeKey::to_string).collect();
            if !untested.is_empty() {
                return Err(Refusal::Untested(untested));
            }
        }
        Ok(())
    }

    fn shipped_by(&self, facts: &RunFacts) -> Vec<Shipped> {
        let mut ships: Vec<Shipped> = Vec::new();
        for (_, _, range) in &facts.ranges {
            for change in &range.changes {
                if !ships.iter().any(|s| s.change.key == change.key) {
                    ships.push(Shipped { change: change.clone(), lacking: Default::default() });
                }
            }
        }
        ships.sort_by_key(|s| s.change.merged_at);
        ships
    }

    /// Those changes that nobody has ticked; what rides along has nothing to test.
    pub(super) fn untested(&self, ships: &[Shipped]) -> Vec<ChangeKey> {
        let now = self.state.last_look.unwrap_or(Timestamp::UNIX_EPOCH);
        let open = |s: &&Shipped| !self.state.ticks.contains_key(&s.change.key) && !self.rides_along(&s.change, now);
        ships.iter().filter(open).map(|s| s.change.key.clone()).collect()
    }

    /// From here on nobody else decides about these gates: the claim is committed with the effect.
    pub(super) fn grant(&mut self, request: Request, facts: &RunFacts, comment: String, now: Timestamp) -> Vec<Effect> {
        let rejected = request.action.rejects().map(str::to_owned);
        let run = &facts.run;
        if let Some(tracked) = self.state.runs.get_mut(&run.id) {
            for gate in &facts.gates {
                let approval = Approval {
                    by: request.by.clone(),
                    at: now,
                    attempt: run.attempt,
                    taken: false,
                    rejected: rejected.clone(),
                };
                tracked.approvals.insert(gate.environment.clone(), approval);
            }
        }
        let verdict = Verdict {
            run: run.id,
            attempt: run.attempt,
            sha: run.sha.clone(),
            gates: facts.gates.iter().map(|gate| (gate.environment_id, gate.environment.clone())).collect(),
            comment,
            request,
        };
        let record = Effect::Record(self.record_verdict(&verdict, now, "granted"));
        vec![record, if rejected.is_some() { Effect::Reject(verdict) } else { Effect::Approve(verdict) }]
    }

    /// The bot's account reviews for a person: GitHub's comment names them.
    pub(super) fn signature(&self, person: &Person) -> String {
        let login = self.login(person).map(|login| format!(", {login} at GitHub")).unwrap_or_default();
        format!("{} (Slack user {}{login})", person.name, person.id)
    }

    fn record_verdict(&self, verdict: &Verdict, now: Timestamp, outcome: &str) -> Record {
        let number = self.state.runs.get(&verdict.run).map(|t| t.run.number);
        Record {
            run: Some(verdict.run),
            number,
            attempt: Some(verdict.attempt),
            sha: Some(verdict.sha.clone()),
            environments: verdict.gates.iter().map(|(_, name)| name.clone()).collect(),
            ..self.record(&verdict.request, now, outcome)
        }
    }

    /// An approval or rejection came back.
    pub(super) fn answered(&mut self, verdict: Verdict, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        let Some(tracked) = self.state.runs.get_mut(&verdict.run) else { return Vec::new() };
        tracked.again = true;
        let done = matches!(outcome, Outcome::Done | Outcome::Posted { .. });
        for (_, name) in &verdict.gates {
            match tracked.approvals.get_mut(name) {
                Some(approval) if done => approval.taken = true,
                Some(_) => drop(tracked.approvals.remove(name)),
                None => {}
            }
        }
        if done {
            tracked.gates.retain(|gate| !verdict.gates.iter().any(|(id, _)| *id == gate.environment_id));
        }
        let (outcome, message) = self.verdict_told(&verdict, outcome);
        let answer = Effect::Answer(verdict.request.reply.clone(), verdict.request.by.clone(), message);
        // Whose redeploy passes its gates asked for that long ago: the notice says it.
        let heard = done && matches!(verdict.request.action, Action::Dispatch(_));
        let mut effects = if heard { Vec::new() } else { vec![answer] };
        if let Some(outcome) = outcome {
            effects.push(Effect::Record(self.record_verdict(&verdict, now, &outcome)));
        }
        effects
    }

    /// What the person reads, and what the audit log says beyond "granted".
    fn verdict_told(&mut self, verdict: &Verdict, outcome: Outcome) -> (Option<String>, super::message::Message) {
        match outcome {
            Outcome::Done
            | Outcome::Posted { .. }
            | Outcome::Started { .. }
            | Outcome::InTheWay(_)
            | Outcome::Lost
            | Outcome::Revert(_)
            | Outcome::Setting(_) => (None, self.verdict_given(verdict)),
            Outcome::NotPending { gates, run, reviews } => {
                let waits = gates.iter().any(|gate| verdict.gates.iter().any(|(id, _)| *id == gate.environment_id));
                let what = if waits { "not taken, still pending" } else { "not pending any more" };
                let why = format!("failed: {what} at attempt {}", run.attempt);
                let message = self.verdict_too_late(verdict, &run, &reviews, waits);
                if let Some(tracked) = self.state.runs.get_mut(&verdict.run) {
                    tracked.observe(*run);
                    tracked.gates = gates;
                    tracked.reviews = reviews;
                }
                (Some(why), message)
            }
            Outcome::NotDone { why, .. } | Outcome::Failed(why) | Outcome::Refused(why) => {
                let message = self.verdict_unclear(verdict);
                (Some(format!("failed: {why}")), message)
            }
        }
    }

    /// Whether a person may act at all.
    pub(super) fn may_act(person: &Person) -> Result<(), Refusal> {
        match person.account {
            Account::Member => Ok(()),
            Account::Guest => Err(Refusal::Guest),
            Account::Stranger => Err(Refusal::Stranger),
            Account::Deactivated => Err(Refusal::Deactivated),
            Account::Bot => Err(Refusal::Bot),
        }
    }

    /// The GitHub login of a Slack user, where it is known.
    pub(super) fn login(&self, person: &Person) -> Option<&Login> {
        self.policy.people.login(&person.id)
    }
}

/// GitHub's history does not say at which attempt a gate was answered, so the comment does: what somebody wrote at an earlier one must not
/// pass for an answer at this one.
pub(super) fn again(run: &Run) -> String {
    if run.attempt > 1 { format!(", attempt {}", run.attempt) } else { String::new() }
}

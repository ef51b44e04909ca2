//! Starting workflows: redeploy chosen environments, start Deploy for the branch. Each is dispatched once, whatever happens, and
//! cancels only what the person was shown. What people read about it lives in `dispatch_text`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::action::{Action, Reply, Request};
use super::app::App;
use super::approve::again;
use super::command;
use super::effect::{Effect, Record};
use super::event::{Facts, Outcome, Unreachable};
use super::form::Form;
use super::message::Line;
use super::name::{EnvName, Login, RequestId, RunId, SlackId};
use super::phase::Phase;
use super::pipeline::{Environment, Kind, Pipeline};
use super::refusal::Refusal;
use super::run::{Run, Workflow};
use super::say::Said;
use super::track::{State, Tracked};

/// For so long a run that GitHub said it started may be missing from its lists, and one that nobody saw start may turn up.
const LATE: SignedDuration = SignedDuration::from_mins(10);
/// GitHub's clock is not ours, and tells whole seconds.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// What people do to start a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// Redeploy, but which? Answered with the form that shows them.
    Choose,
    /// Redeploy these, still to be matched. Answered with a confirmation.
    Redeploy {
        /// As typed.
        environments: String,
    },
    /// Start Deploy for the branch; asks first where that would cancel something.
    Start,
    /// Confirmed, in a form or by a click: just this.
    Confirmed(Plan),
    /// The bot's own doing: a Redeploy waits at the gates of what was chosen. Whoever asked for it answers them by that, if they still
    /// may.
    Pass(RunId),
}

/// What would be started, as a person was shown it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Deploy or Redeploy.
    pub workflow: Workflow,
    /// The environments, for a Redeploy.
    pub environments: Vec<EnvName>,
    /// The run that it would cancel.
    pub cancels: Option<Doomed>,
}

/// A run that would be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    /// Which.
    pub run: RunId,
    /// Its attempt.
    pub attempt: u32,
    /// Whether it is changing servers right now: then nobody would see the end of that.
    pub touching: bool,
}

/// A workflow to be started, once: a second dispatch would cancel the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// Deploy or Redeploy.
    pub workflow: Workflow,
    /// The environments, for a Redeploy.
    pub environments: Vec<EnvName>,
    /// The run that it may cancel; of any other it must not take the place.
    pub cancels: Option<RunId>,
    /// The newest run that was there before: what this starts is newer.
    pub after: RunId,
    /// When it was decided: a run that was there before is not the one that this starts.
    pub at: Timestamp,
    /// The number of each environment's last deployment before, where Elastic Beanstalk told it.
    pub before: BTreeMap<EnvName, u64>,
    /// The bot's account at GitHub, once it had to be asked: whose runs to look for.
    pub account: Option<Login>,
}

/// What was asked to be started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// On its way to GitHub: nothing else is started meanwhile.
    open: Option<Order>,
    /// Nobody knows whether it was started. Should its run turn up, it is known whose it is.
    lost: Option<Order>,
    /// Those whose runs are known.
    runs: BTreeMap<RunId, Order>,
}

impl Dispatch {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Choose | Self::Redeploy { .. } => "redeploy",
            Self::Start => "start",
            Self::Confirmed(plan) => plan.word(),
            Self::Pass(_) => "approve",
        }
    }

    /// The run that it names.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Pass(run) => Some(*run),
            Self::Choose | Self::Redeploy { .. } | Self::Start | Self::Confirmed(_) => None,
        }
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Redeploy { environments } => Some(environments.clone()),
            Self::Choose | Self::Start | Self::Confirmed(_) | Self::Pass(_) => None,
        }
    }
}

impl Plan {
    fn word(&self) -> &'static str {
        match self.workflow {
            Workflow::Deploy => "start",
            Workflow::Redeploy => "redeploy",
        }
    }

    /// Whether that run may be cancelled: the person was shown it, and what it was doing.
    fn expects(&self, doomed: &Doomed) -> bool {
        self.cancels.is_some_and(|shown| {
            (shown.run, shown.attempt) == (doomed.run, doomed.attempt) && (shown.touching || !doomed.touching)
        })
    }
}

impl Orders {
    /// The order that a run came from, while it is at its first attempt: who starts it again is somebody else.
    pub fn of(&self, run: &Run) -> Option<&Order> {
        self.runs.get(&run.id).filter(|_| run.attempt == 1)
    }

    /// Whoever is just starting something: on its way to GitHub, or not yet in its lists.
    fn busy(&self, known: impl Fn(&RunId) -> bool, now: Timestamp) -> Option<&Order> {
        let unseen = self.runs.iter().find(|(id, order)| !known(id) && now.duration_since(order.at) < LATE);
        self.open.as_ref().or(unseen.map(|(_, order)| order))
    }
}

impl Order {
    /// Without the address for answers, which is a secret and soon of no use.
    fn kept(mut self) -> Self {
        self.request.reply.url.clear();
        self
    }

    /// Whether a run may be the one that this started.
    pub fn may_be(&self, run: &Run, account: &Login) -> bool {
        run.workflow == self.workflow
            && run.event == "workflow_dispatch"
            && run.actor.is(account)
            && run.id > self.after
            && run.created_at >= self.at - CLOCKS
            && run.created_at <= self.at + LATE
    }
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn dispatch(
        &mut self,
        request: Request,
        facts: Facts,
        what: Dispatch,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        self.may_approve(&facts.person)?;
        match what {
            Dispatch::Pass(run) => self.pass(request, facts, run, now),
            Dispatch::Choose => {
                self.catch_up(facts, now)?;
                self.choose(request, now)
            }
            Dispatch::Redeploy { environments } => {
                self.catch_up(facts, now)?;
                let plan = self.plan(Workflow::Redeploy, self.redeployable(&environments)?);
                self.may_start(&plan, now)?;
                Ok(vec![self.ask_back(&request, &plan, false)])
            }
            Dispatch::Start => {
                self.catch_up(facts, now)?;
                let plan = self.plan(Workflow::Deploy, Vec::new());
                self.may_start(&plan, now)?;
                match plan.cancels {
                    Some(_) => Ok(vec![self.ask_back(&request, &plan, false)]),
                    None => Ok(self.order(request, plan, now)),
                }
            }
            Dispatch::Confirmed(plan) => {
                self.catch_up(facts, now)?;
                self.confirmed(request, plan, now)
            }
        }
    }

    /// The fresh lists are news as well.
    fn catch_up(&mut self, facts: Facts, now: Timestamp) -> Result<(), Refusal> {
        let look = facts.look.ok_or(Refusal::CannotCheck(Unreachable::GitHub))?;
        self.see(look, now);
        Ok(())
    }

    fn choose(&self, request: Request, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let plan = self.plan(Workflow::Redeploy, self.redeployable("")?);
        if request.reply.view.is_none() {
            return Err(Refusal::Misread(self.no_form()));
        }
        self.is_free(now)?;
        let form = Form::Redeploy { app: request.app, cancels: plan.cancels };
        Ok(vec![Effect::Form(request.reply, request.by, form)])
    }

    /// The environments that somebody typed, of those that can be redeployed; all of those where nothing was typed.
    fn redeployable(&self, typed: &str) -> Result<Vec<EnvName>, Refusal> {
        let names: Vec<(EnvName, String)> =
            self.choices()?.into_iter().map(|e| (e.name.clone(), e.label.clone())).collect();
        if typed.trim().is_empty() {
            return Ok(names.into_iter().map(|(name, _)| name).collect());
        }
        command::match_environment(typed, &names).map_err(|unclear| Refusal::Misread(unclear.sentence()))
    }

    /// The environments that the Redeploy workflow can be asked for, test before production.
    pub(super) fn choices(&self) -> Result<Vec<&Environment>, Refusal> {
        let app = || self.state.name.clone();
        let pipeline = self.pipeline().ok_or_else(|| Refusal::NotReadYet(app()))?;
        let redeploy = pipeline.redeploy.as_ref().ok_or_else(|| Refusal::NoRedeploy(app()))?;
        let chosen = |e: &&Environment| redeploy.inputs.contains_key(&e.name);
        let choices: Vec<&Environment> = pipeline.test().chain(pipeline.production()).filter(chosen).collect();
        if choices.is_empty() { Err(Refusal::NoRedeploy(app())) } else { Ok(choices) }
    }

    fn plan(&self, workflow: Workflow, environments: Vec<EnvName>) -> Plan {
        Plan { workflow, environments, cancels: self.doomed() }
    }

    /// The run that a dispatch would cancel now: only one of the concurrency group survives (`facts/github.md` 2).
    fn doomed(&self) -> Option<Doomed> {
        let going = self.state.runs.values().filter(|t| !t.run.is_over());
        let newest = going.max_by_key(|t| (t.run.started_at, t.run.id))?;
        let touching = newest.places.values().any(|place| place.state == State::Deploying);
        Some(Doomed { run: newest.run.id, attempt: newest.run.attempt, touching })
    }

    /// Whether this may be started at all; what it would cancel is another question.
    fn may_start(&self, plan: &Plan, now: Timestamp) -> Result<(), Refusal> {
        self.is_free(now)?;
        match plan.workflow {
            Workflow::Redeploy => {
                let choices = self.choices()?;
                let known = |name: &&EnvName| choices.iter().any(|e| e.name == **name);
                if let Some(name) = plan.environments.iter().find(|name| !known(name)) {
                    let sentence =
                        format!("{} cannot be redeployed any more: the workflow file changed.", name.as_str());
                    return Err(Refusal::Misread(Line::plain(sentence)));
                }
                if plan.environments.is_empty() {
                    return Err(Refusal::Misread(Line::plain("Nothing was chosen, so nothing was started.")));
                }
                if plan.environments.iter().any(|name| self.kind(name) == Some(Kind::Production)) {
                    self.is_not_held()?;
                }
            }
            Workflow::Deploy => {
                let branch = &self.pipeline().ok_or_else(|| Refusal::NotReadYet(self.state.name.clone()))?.branch;
                let doomed = plan.cancels.and_then(|doomed| self.state.runs.get(&doomed.run)).map(|t| &t.run);
                let same = |run: &&Run| {
                    run.workflow == Workflow::Deploy
                        && run.branch == *branch
                        && Some(&run.sha) == self.state.main.as_ref()
                };
                if let Some(run) = doomed.filter(same) {
                    return Err(Refusal::OnItsWay(Box::new(run.clone())));
                }
            }
        }
        Ok(())
    }

    fn is_free(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.state.orders.busy(|id| self.state.runs.contains_key(id), now) {
            Some(Order { request, at, .. }) => Err(Refusal::Starting { by: request.by.clone(), at: *at }),
            None => Ok(()),
        }
    }

    fn ask_back(&self, request: &Request, plan: &Plan, anew: bool) -> Effect {
        Effect::Answer(request.reply.clone(), request.by.clone(), self.start_question(plan, anew))
    }

    /// If another run would be cancelled than the one that was shown, nothing is done and the question is asked anew.
    fn confirmed(&mut self, request: Request, plan: Plan, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let current = self.plan(plan.workflow, plan.environments.clone());
        self.may_start(&current, now)?;
        if current.cancels.is_some_and(|doomed| !plan.expects(&doomed)) {
            let record = Record {
                environments: plan.environments,
                ..self.record(&request, now, "refused: another run is in the way")
            };
            return Ok(vec![Effect::Record(record), self.ask_back(&request, &current, true)]);
        }
        Ok(self.order(request, current, now))
    }

    fn order(&mut self, request: Request, plan: Plan, now: Timestamp) -> Vec<Effect> {
        let last = |name: &EnvName| Some((name.clone(), self.last_deployment(name)?));
        let order = Order {
            workflow: plan.workflow,
            cancels: plan.cancels.map(|doomed| doomed.run),
            after: self.state.runs.keys().max().copied().unwrap_or(RunId(0)),
            at: now,
            before: plan.environments.iter().filter_map(last).collect(),
            account: None,
            environments: plan.environments,
            request,
        };
        let record = Record { environments: order.environments.clone(), ..self.record(&order.request, now, "granted") };
        self.state.orders.open = Some(order.clone().kept());
        vec![Effect::Record(record), Effect::Dispatch(order)]
    }

    /// A dispatch came back.
    pub(super) fn dispatched(&mut self, order: Order, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        self.state.orders.open = None;
        let answer = (order.request.reply.clone(), order.request.by.clone());
        let record = Record {
            environments: order.environments.clone(),
            ..self.record(&order.request, now, "failed: nobody knows whether it was started")
        };
        let (message, failed) = match outcome {
            Outcome::Started { run, found } => {
                let message = self.started_text(&order, run, found);
                self.state.orders.runs.insert(run, order.kept());
                (message, None)
            }
            Outcome::InTheWay(run) => {
                self.meet(&run);
                let plan = self.plan(order.workflow, order.environments);
                (self.start_question(&plan, true), Some("failed: another run was in the way".to_owned()))
            }
            Outcome::Refused(why) => (self.start_refused(&order, &why), Some(format!("failed: {why}"))),
            Outcome::Lost => {
                let message = self.start_lost(&order);
                self.state.orders.lost = Some(order.kept());
                (message, Some("failed: no run has appeared".to_owned()))
            }
            Outcome::Failed(_)
            | Outcome::Done
            | Outcome::Posted { .. }
            | Outcome::NotDone { .. }
            | Outcome::NotPending { .. }
            | Outcome::Revert(_)
            | Outcome::Setting(_) => {
                let message = self.start_unknown(&order);
                self.state.orders.lost = Some(order.kept());
                (message, Some(record.outcome.clone()))
            }
        };
        let mut effects = vec![Effect::Answer(answer.0, answer.1, message)];
        effects.extend(failed.map(|outcome| Effect::Record(Record { outcome, ..record })));
        effects
    }

    /// Forgets orders whose runs are forgotten, and takes up one that was lost when its run turns up.
    pub(super) fn tidy_orders(&mut self, now: Timestamp) {
        let runs = &self.state.runs;
        let orders = &mut self.state.orders;
        orders.runs.retain(|id, order| runs.contains_key(id) || now.duration_since(order.at) < LATE);
        let Some(lost) = orders.lost.take_if(|lost| lost.account.is_some()) else { return };
        let ours = |t: &&Tracked| lost.account.as_ref().is_some_and(|account| lost.may_be(&t.run, account));
        match runs.values().find(ours).map(|t| t.run.id) {
            Some(id) => drop(orders.runs.insert(id, lost)),
            None if now.duration_since(lost.at) < LATE + LATE => orders.lost = Some(lost),
            None => {}
        }
    }

    /// The gates of ordered Redeploys that came up since: each is asked about once.
    pub(super) fn pass_gates(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, order) in &self.state.orders.runs {
            let Some(tracked) = self.state.runs.get(id) else { continue };
            if order.workflow != Workflow::Redeploy || tracked.run.is_over() || tracked.run.attempt != 1 {
                continue;
            }
            let chosen = tracked
                .open_gates()
                .map(|gate| &gate.environment)
                .filter(|name| order.environments.contains(name) && self.kind(name) == Some(Kind::Production));
            let topics: Vec<String> = chosen.map(|name| format!("gate {name}:{id}")).collect();
            let fresh: Vec<String> = topics.into_iter().filter(|topic| !self.state.said.contains(topic)).collect();
            if fresh.is_empty() {
                continue;
            }
            let request = Request {
                id: RequestId::new(fresh.join(",")),
                app: self.state.name.clone(),
                by: order.request.by.clone(),
                action: Action::Dispatch(Dispatch::Pass(*id)),
                reply: Reply { url: String::new(), channel: String::new(), replace: false, view: None, at: now },
            };
            self.state.said.extend(fresh);
            effects.push(Effect::Examine(request, Some(*id)));
        }
        effects
    }

    /// Approves what the person chose when they asked for the redeploy, if they still may.
    fn pass(&mut self, request: Request, facts: Facts, id: RunId, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let mut run = self.take_in(facts.run, now)?;
        let order = self.state.orders.of(&run.run).filter(|_| run.run.id == id).cloned();
        let order = order.ok_or_else(|| Refusal::Changed(Box::new(run.run.clone())))?;
        self.is_not_held()?;
        run.gates = self.waiting(&run, &order.environments, &facts.person)?;
        let label = run.run.label() + &again(&run.run);
        let comment = format!("Approved in Slack by {} for {label}", self.signature(&facts.person));
        Ok(self.grant(request, &run, comment, now))
    }

    /// Who started a run, in Slack: whoever asked for it here, else whose account did.
    pub(super) fn starter_id<'a>(&'a self, tracked: &'a Tracked) -> Option<&'a SlackId> {
        let order = self.state.orders.of(&tracked.run);
        let asked = self.retried_by(tracked).or(order.map(|order| &order.request.by));
        asked.or_else(|| self.policy.people.slack(&tracked.run.triggered_by))
    }

    /// Mentions whoever started a run.
    pub(super) fn starter(&self, tracked: &Tracked) -> Line {
        match self.starter_id(tracked) {
            Some(id) => Line::default().mention(id),
            None => Line::plain(tracked.run.triggered_by.as_str()),
        }
    }

    /// A Redeploy is over that took a Deploy's place: nothing deploys those changes by itself.
    pub(super) fn start_again(&self, tracked: &Tracked) -> Option<Said> {
        let over = tracked.run.workflow == Workflow::Redeploy && tracked.run.is_over() && self.is_clear(tracked);
        let newest = self.newest()?;
        if !over || !self.is_latest(tracked) || self.phase(newest) != Phase::Superseded {
            return None;
        }
        // Nothing is said of a run that was history at the first look, or that had nothing to ship.
        let ships = self.ships(newest).filter(|ships| newest.noticed && !ships.is_empty())?;
        let message = self.start_again_text(tracked, newest, &ships);
        Some(Said { thread: tracked.run.id, message, broadcast: false })
    }
}

/// The inputs that choose these environments: texts, as GitHub wants them.
pub fn inputs(pipeline: &Pipeline, environments: &[EnvName]) -> BTreeMap<String, String> {
    let inputs = pipeline.redeploy.iter().flat_map(|redeploy| &redeploy.inputs);
    inputs.filter(|(name, _)| environments.contains(name)).map(|(_, id)| (id.clone(), "true".to_owned())).collect()
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environments.iter().map(EnvName::as_str).collect();
        match self.workflow {
            Workflow::Deploy => write!(f, "deploy for {}", self.request.by),
            Workflow::Redeploy => write!(f, "redeploy of {} for {}", names.join(", "), self.request.by),
        }
    }
}

//! Requests: who may act, and the small things that people do: tick, ping, hold, release. Approving has its own file.

use jiff::Timestamp;

use super::action::{Action, Request};
use super::app::{App, Hold, Tick};
use super::change::{Change, ChangeKey, PrRef};
use super::command;
use super::dispatch::Dispatch;
use super::effect::{Effect, Record};
use super::event::{Facts, Unreachable};
use super::ledger::Shipped;
use super::message::{Line, Message};
use super::name::{EnvName, Login, SlackId};
use super::pipeline::Environment;
use super::policy::Person;
use super::refusal::Refusal;
use super::run::Run;
use super::text::and;

impl App {
    /// What has to be looked up, fresh, before a request is decided.
    pub(super) fn examine(&self, request: Request) -> Effect {
        let run = request.action.run();
        Effect::Examine(request, run)
    }

    /// Decides a request on fresh facts. Without them nobody can act: rights fail closed.
    pub(super) fn decide(
        &mut self,
        request: Request,
        facts: Result<Box<Facts>, Unreachable>,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let facts = *facts.map_err(Refusal::CannotCheck)?;
        Self::may_act(&facts.person)?;
        match request.action.clone() {
            Action::Approve { environments } => self.propose(request, facts, &environments, now),
            Action::ApproveShown(shown) => self.approve(request, facts, &shown, now),
            Action::Reject { reason } => self.reject(request, facts, &reason, now),
            Action::Tested { prs } => self.tick(&request, &facts.person, &prs, now),
            Action::Ping => self.ping(&request, now),
            Action::Hold { reason } => self.hold(&request, reason, now),
            Action::Release => self.release(&request, now),
            Action::Dispatch(dispatch) => self.dispatch(request, facts, dispatch, now),
            Action::Mend(mend) => self.mend(request, facts, mend, now),
            Action::RollForward(forward) => self.roll_forward(request, facts, forward, now),
            Action::Aftermath(aftermath) => self.hear_aftermath(request, facts, aftermath, now),
            Action::Remind(remind) => self.hear_reminded(request, facts, remind, now),
            Action::Variables(variables) => self.variables(request, facts, variables, now),
        }
    }

    /// A line of the audit log about a request.
    pub fn record(&self, request: &Request, now: Timestamp, outcome: &str) -> Record {
        let (app, by) = (self.state.name.clone(), request.by.clone());
        Record { note: request.action.note(), ..Record::new(now, app, by, &request.action.to_string(), outcome) }
    }

    /// The line for a refusal: it names the run that was shown, else the one that was looked at, where there was one.
    pub fn record_refusal(&self, request: &Request, run: Option<&Run>, refusal: &Refusal, now: Timestamp) -> Record {
        let mut record = self.record(request, now, &format!("refused: {}", refusal.reason()));
        if let Some(run) = run {
            record.run = Some(run.id);
            record.number = Some(run.number);
            record.attempt = Some(run.attempt);
            record.sha = Some(run.sha.clone());
        }
        if let Action::ApproveShown(shown) = &request.action {
            record.run = Some(shown.run);
            record.number = self.state.runs.get(&shown.run).map(|t| t.run.number);
            record.attempt = Some(shown.attempt);
            record.sha = Some(shown.sha.clone());
            record.environments = shown.environments.clone();
        }
        if let Action::Dispatch(Dispatch::Confirmed(plan)) = &request.action {
            record.environments = plan.environments.clone();
        }
        record
    }

    /// The environments that somebody typed; empty for all.
    pub(super) fn match_environments(&self, typed: &str) -> Result<Vec<EnvName>, Refusal> {
        let pipeline = self.pipeline().ok_or_else(|| Refusal::NotReadYet(self.state.name.clone()))?;
        if typed.trim().is_empty() {
            return Ok(Vec::new());
        }
        let named = |e: &Environment| (e.name.clone(), e.label.clone());
        let production: Vec<_> = pipeline.production().map(named).collect();
        command::match_environment(typed, &production).map_err(|unclear| {
            let test: Vec<_> = pipeline.test().map(named).collect();
            let meant = command::match_environment(typed, &test).ok().filter(|_| !test.is_empty());
            Refusal::Misread(match meant {
                Some(meant) => {
                    let meant: Vec<&str> = meant.iter().map(|name| self.label(name)).collect();
                    Line::plain(format!(
                        "Nobody has to approve {}: only production waits for an approval.",
                        and(&meant)
                    ))
                }
                None => unclear.sentence(),
            })
        })
    }

    pub(super) fn tick(
        &mut self,
        request: &Request,
        person: &Person,
        prs: &[PrRef],
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let me = self.login(person).cloned().ok_or(Refusal::NotLinked)?;
        let run = self.newest().ok_or_else(|| Refusal::NoRun(self.state.name.clone()))?;
        let (id, number) = (run.run.id, run.run.number);
        let ships = self.ships(run).unwrap_or_default();
        let foreign = |pr: &&PrRef| {
            self.pipeline().is_some_and(|p| pr.repo.as_ref().is_some_and(|repo| !repo.eq_ignore_ascii_case(&p.repo)))
        };
        if let Some(pr) = prs.iter().find(foreign) {
            return Err(Refusal::OtherRepo(pr.number, self.state.name.clone()));
        }
        let keys = if prs.is_empty() { mine_of(&ships, &me) } else { named(&ships, &me, prs)? };
        if keys.is_empty() {
            return Err(Refusal::NothingToTick);
        }
        for key in &keys {
            // A tick on this build stands as it was given.
            if self.state.ticks.get(key).is_none_or(|tick| tick.run != id) {
                self.state.ticks.insert(key.clone(), Tick { by: request.by.clone(), at: now, run: id });
            }
            self.state.reminders.not_ready.remove(key);
        }
        let list: Vec<String> = keys.iter().map(ChangeKey::to_string).collect();
        let list = list.join(", ");
        let mut record = self.record(request, now, "done");
        (record.run, record.number, record.note) = (Some(id), Some(number), Some(list.clone()));
        let message =
            Message::plain(format!("Thank you: {list} ticked as tested on run {number}. The notice shows it."));
        Ok(vec![Effect::Record(record), Effect::Answer(request.reply.clone(), request.by.clone(), message)])
    }

    fn ping(&mut self, request: &Request, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let waiting: Vec<Shipped> = self.pending().ok_or_else(|| Refusal::NotReadYet(self.state.name.clone()))?;
        let waiting: Vec<Shipped> = waiting.into_iter().filter(|s| !self.rides_along(&s.change, now)).collect();
        if waiting.is_empty() {
            return Err(Refusal::NothingPending(self.state.name.clone()));
        }
        let fresh: Vec<&Shipped> =
            waiting.iter().filter(|s| !self.state.said.contains(&ping_topic(&s.change))).collect();
        if fresh.is_empty() {
            return Err(Refusal::AlreadyPinged);
        }
        let message = self.ping_text(&fresh, &request.by);
        let topics: Vec<String> = fresh.iter().map(|s| ping_topic(&s.change)).collect();
        let topic = topics.join(",");
        self.state.said.extend(topics);
        let newest = self.newest().filter(|t| t.noticed).map(|t| t.run.id);
        let say = match newest {
            Some(run) => Effect::Thread { topic, run, message, broadcast: false },
            None => Effect::Announce { topic, message },
        };
        let told = Message::plain("They are mentioned in the notice’s thread.");
        let answer = Effect::Answer(request.reply.clone(), request.by.clone(), told);
        Ok(vec![Effect::Record(self.record(request, now, "done")), say, answer])
    }

    fn hold(&mut self, request: &Request, reason: String, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        if let Some(hold) = &self.state.hold {
            return Err(Refusal::AlreadyHeld { by: hold.by.clone(), reason: hold.reason.clone() });
        }
        let message = self.held_text(&request.by, &reason);
        self.state.hold = Some(Hold { by: request.by.clone(), reason, at: now });
        let announce = Effect::Announce { topic: format!("hold at {now}"), message };
        Ok(vec![
            Effect::Record(self.record(request, now, "done")),
            announce,
            self.done(request, "On hold. The channel was told."),
        ])
    }

    fn release(&mut self, request: &Request, now: Timestamp) -> Result<Vec<Effect>, Refusal> {
        let hold = self.state.hold.take().ok_or_else(|| Refusal::NotHeld(self.state.name.clone()))?;
        let message = self.released_text(&request.by, &hold);
        let announce = Effect::Announce { topic: format!("release at {now}"), message };
        Ok(vec![
            Effect::Record(self.record(request, now, "done")),
            announce,
            self.done(request, "Released. The channel was told."),
        ])
    }

    /// Tells the person that it was done.
    pub(super) fn done(&self, request: &Request, words: &str) -> Effect {
        Effect::Answer(request.reply.clone(), request.by.clone(), Message::line(Line::plain(words)))
    }

    /// Whether a change concerns somebody: they wrote it, or merged it.
    pub fn concerns(&self, change: &Change, who: &SlackId) -> bool {
        self.policy.people.login(who).is_some_and(|login| is_theirs(change, login))
    }
}

/// The topic of the mention of a change's person; made of the change alone, so that once is once.
fn ping_topic(change: &Change) -> String {
    format!("ping {}", change.key)
}

fn is_theirs(change: &Change, login: &Login) -> bool {
    change.author.as_ref().is_some_and(|author| author.is(login))
        || change.merged_by.as_ref().is_some_and(|by| by.is(login))
}

fn mine_of(ships: &[Shipped], me: &Login) -> Vec<ChangeKey> {
    ships.iter().filter(|s| is_theirs(&s.change, me)).map(|s| s.change.key.clone()).collect()
}

fn named(ships: &[Shipped], me: &Login, prs: &[PrRef]) -> Result<Vec<ChangeKey>, Refusal> {
    prs.iter()
        .map(|pr| {
            let key = ChangeKey::Pr(pr.number);
            match ships.iter().find(|s| s.change.key == key) {
                Some(s) if is_theirs(&s.change, me) => Ok(key),
                Some(_) | None => Err(Refusal::NotYours(key.to_string())),
            }
        })
        .collect()
}

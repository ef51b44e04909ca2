//! What is said beside the notice: in its thread, in the channel, and to one person after a decision. Only the words; when it is
//! time to say them, and that they are said once, is decided in `say`.

use super::app::{App, Hold};
use super::effect::Verdict;
use super::ledger::Shipped;
use super::message::{Line, Message, Shown, What};
use super::name::{Login, SlackId};
use super::phase::Phase;
use super::pipeline::{Environment, Kind};
use super::run::{Review, Run, Workflow};
use super::text::{and, cut, linked, list, plural};
use super::track::{State, Tracked};

impl App {
    /// The run can be tested: mentions the people whose changes it ships, each once, nobody else.
    pub(super) fn ready_text(&self, tracked: &Tracked, ships: &[Shipped]) -> Message {
        let now = self.state.last_look.unwrap_or(tracked.run.updated_at);
        let tested_by = ships.iter().filter(|s| !self.rides_along(&s.change, now)).filter_map(|s| s.change.person());
        // Without a version in production there is no list of changes: whoever started the run knows what it is.
        let starter = Some(&tracked.run.triggered_by).filter(|_| tracked.bases.is_empty());
        let people = self.mentions(tested_by.chain(starter));
        let run = tracked.run.number;
        let places = self.test_places(tracked);
        let line = match people {
            Some(people) => people.say(format!("run {run} is on ")),
            None => Line::plain(format!("Run {run} is on ")),
        };
        let missing = self.missed_places(tracked);
        let line = line.then(places).say(if missing.is_empty() {
            ".".to_owned()
        } else {
            format!(". It did not get to {}.", and(&missing))
        });
        let nothing = ships.is_empty() && !tracked.bases.is_empty();
        let ask = match (nothing, self.has_gates()) {
            (true, true) => format!("It changes nothing in production that could be tested. {}", self.who_approves()),
            (_, true) => format!(
                "Please test what you changed, then tick “I tested mine” in the notice above. {}",
                self.who_approves()
            ),
            (_, false) => "Please test what you changed: it goes on to production without an approval.".to_owned(),
        };
        Message::line(line).text(Line::plain(ask))
    }

    fn who_approves(&self) -> &'static str {
        if self.state.hold.is_some() {
            "It is on hold: nobody can approve until it is released."
        } else if self.policy.approvers.is_empty() {
            "Nobody can approve in Slack yet: no approvers are configured."
        } else {
            "Then any approver can approve production there."
        }
    }

    fn has_gates(&self) -> bool {
        self.pipeline().into_iter().flat_map(|p| p.production()).any(|e| e.gated != Some(false))
    }

    fn test_places(&self, tracked: &Tracked) -> Line {
        let test = self.pipeline().into_iter().flat_map(|p| p.test());
        let on = test.filter(|e| tracked.state(&e.name) == Some(State::Deployed));
        Line::join(on.map(linked), " and ")
    }

    /// Test environments that production needs and that the run did not reach.
    fn missed_places(&self, tracked: &Tracked) -> Vec<&str> {
        let needed = |e: &&Environment| {
            self.pipeline().into_iter().flat_map(|p| p.production()).any(|p| p.needs.contains(&e.name))
        };
        let test = self.pipeline().into_iter().flat_map(|p| p.test()).filter(needed);
        test.filter(|e| tracked.state(&e.name) != Some(State::Deployed)).map(|e| e.label.as_str()).collect()
    }

    /// Mentions these people, each once, in the order given; those whom Slack does not know by login only. `None` for nobody.
    pub(super) fn mentions<'a>(&self, logins: impl Iterator<Item = &'a Login>) -> Option<Line> {
        let mut seen: Vec<&Login> = Vec::new();
        for login in logins {
            if !seen.iter().any(|known| known.is(login)) {
                seen.push(login);
            }
        }
        let names = seen.iter().map(|login| self.mention(login));
        (!seen.is_empty()).then(|| Line::join(names, " ").say(" "))
    }

    pub(super) fn mention(&self, login: &Login) -> Line {
        match self.policy.people.slack(login) {
            Some(id) => Line::default().mention(id),
            None => Line::plain(login.as_str()),
        }
    }

    /// One merge took the place of another person's run. `None` where both are the same person: they know.
    pub(super) fn handover_text(&self, old: &Tracked, new: &Tracked) -> Option<Message> {
        if old.run.workflow == Workflow::Redeploy {
            return self.redeploy_replaced(old, new);
        }
        let old_ships = self.ships(old).unwrap_or_default();
        let lost = old_ships.iter().rev().find(|s| s.change.head == old.run.sha).or(old_ships.last());
        let owner = lost.and_then(|s| s.change.person()).unwrap_or(&old.run.actor);
        let by = &new.run.triggered_by;
        let ordered = self.state.orders.of(&new.run).is_some();
        let same_slack = self.policy.people.slack(owner).is_some_and(|id| Some(id) == self.starter_id(new));
        if (owner.is(by) && !ordered) || same_slack {
            return None;
        }
        let what = lost.map_or_else(|| format!("run {}", old.run.number), |s| s.change.key.to_string());
        let start =
            self.mention(owner).say(format!(", your deploy of {what} was replaced when ")).then(self.starter(new));
        let line = match new.run.workflow {
            Workflow::Redeploy => start
                .say(format!(
                    " started redeploy {}. Nothing deploys {what} now: once the redeploy is done, ",
                    new.run.number
                ))
                .code(self.start_command())
                .say(" does."),
            Workflow::Deploy => {
                let ships = self.ships(new).unwrap_or_default();
                let carried = lost.is_none_or(|s| ships.iter().any(|n| n.change.key == s.change.key));
                let cause = ships
                    .iter()
                    .find(|s| s.change.head == new.run.sha)
                    .filter(|_| new.run.event == "push" && new.run.attempt == 1);
                let did =
                    cause.map_or_else(|| " started a newer run".to_owned(), |s| format!(" merged {}", s.change.key));
                let end = if carried {
                    format!(
                        "It now ships with run {}. Both of you test on {}, then either can approve.",
                        new.run.number,
                        self.test_names()
                    )
                } else {
                    format!("Run {} does not contain it. Talk to each other before anybody approves.", new.run.number)
                };
                start.say(format!("{did}. {end}"))
            }
        };
        Some(Message::line(line))
    }

    fn redeploy_replaced(&self, old: &Tracked, new: &Tracked) -> Option<Message> {
        let same = match (self.starter_id(old), self.starter_id(new)) {
            (Some(owner), Some(by)) => owner == by,
            (None, None) => old.run.triggered_by.is(&new.run.triggered_by),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same {
            return None;
        }
        let line = self.starter(old).say(format!(", your {} was replaced when ", old.run.label()));
        let line = line.then(self.starter(new)).say(format!(" started {}. It did not finish: ", new.run.label()));
        Some(Message::line(line.say("if it is still needed, start it again after this one.")))
    }

    fn test_names(&self) -> String {
        let names: Vec<&str> = self.pipeline().into_iter().flat_map(|p| p.test()).map(|e| e.label.as_str()).collect();
        if names.is_empty() { "the test environment".into() } else { and(&names) }
    }

    /// Production failed, or runs different versions now. Mentions whoever has to act next: who approved, else who started it.
    pub(super) fn trouble_text(&self, tracked: &Tracked, failed: bool) -> Message {
        let approver = tracked
            .approvals
            .values()
            .filter(|a| a.rejected.is_none())
            .max_by_key(|a| a.at)
            .map(|a| Line::default().mention(&a.by));
        let who = approver.unwrap_or_else(|| self.starter(tracked));
        let phase = self.phase(tracked);
        let when = if failed { "in the middle of production" } else { "before production was complete" };
        let cancelled = matches!(phase, Phase::CancelledBy(_) | Phase::Cancelled | Phase::Superseded);
        let what = match (cancelled, failed) {
            (true, _) => format!("was {} {when}", self.does(tracked)),
            (false, true) => "did not get through production".to_owned(),
            (false, false) => "ended before production was complete".to_owned(),
        };
        let line = who.say(format!(": {} ", self.state.name)).link(tracked.run.label(), tracked.run.url.clone());
        let mut message = Message::line(line.say(format!(" {what}.")));
        if tracked.failing.is_some() {
            let what = if phase == Phase::TimedOut { "⌛ Ran into a time limit" } else { "❌ Failed" };
            message = message.text(self.failed_line(tracked, what));
            message = self.cause_line(tracked).into_iter().fold(message, Message::text);
        }
        message = message.text(self.live_line());
        let unknown = tracked.places.iter().filter(|(name, place)| {
            self.kind(name) == Some(Kind::Production)
                && matches!(place.state, State::Unknown(_))
                && self.certainty(name, tracked).is_none()
        });
        let unknown: Vec<&str> = unknown.map(|(name, _)| self.label(name)).collect();
        if !unknown.is_empty() {
            let names = and(&unknown);
            message = message.text(Line::plain(format!(
                "❓ {names}: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else."
            )));
        }
        message.text(self.next_after_trouble(tracked, &phase))
    }

    /// The run got stuck before production. Mentions whoever started it.
    pub(super) fn stopped_text(&self, tracked: &Tracked, phase: &Phase) -> Message {
        let line = self.starter(tracked).say(format!(": {} ", self.state.name));
        let line = line.link(tracked.run.label(), tracked.run.url.clone()).say(" did not get to production.");
        let message = Message::line(line).text(self.state_line(tracked, phase));
        let message = self.cause_line(tracked).into_iter().fold(message, Message::text);
        self.next_step(tracked, phase).into_iter().fold(message, Message::text)
    }

    fn next_after_trouble(&self, tracked: &Tracked, phase: &Phase) -> Line {
        let next = Line::plain("Next: ");
        match self.superseder(tracked).filter(|_| *phase == Phase::Superseded) {
            Some(by) if by.run.workflow == Workflow::Deploy => next
                .say("take ")
                .link(by.run.label(), by.run.url.clone())
                .say(" to production: that makes it one version again. Starting the old run again would cancel the new one."),
            Some(by) => next
                .say("once ")
                .link(by.run.label(), by.run.url.clone())
                .say(" is done, type ")
                .code(self.start_command())
                .say("."),
            None if !tracked.run.is_over() => next.link("look at the run", tracked.run.url.clone()).say(
                ". Its failed jobs can be retried once the other environments are through, approved or rejected; approving them puts this version there.",
            ),
            None => next
                .link("look at the run", tracked.run.url.clone())
                .say(", then retry its failed jobs at its notice. There is no rollback; repair by rolling forward."),
        }
    }

    /// Asks the authors of what is not in production.
    pub(super) fn ping_text(&self, waiting: &[&Shipped], by: &SlackId) -> Message {
        let people = self.mentions(waiting.iter().filter_map(|s| s.change.person())).unwrap_or_default();
        let (what, wait) = match waiting.len() {
            1 => ("this change of yours is", "it waits"),
            _ => ("these changes of yours are", "they wait"),
        };
        let line = people.say(format!("{what} not in production yet; "));
        // A mention would ring at whoever asks.
        let asker = self
            .policy
            .people
            .login(by)
            .map_or_else(|| Line::default().mention(by), |login| Line::plain(login.as_str()));
        let message = Message::line(line.then(asker).say(format!(" asks what {wait} for.")));
        message.list(list(waiting, 20, |s| {
            Line::default()
                .link(s.change.key.to_string(), s.change.url.clone())
                .say(format!(" {}", cut(&s.change.title, 100)))
        }))
    }

    pub(super) fn held_text(&self, by: &SlackId, reason: &str) -> Message {
        let line = Line::plain("🔒 ").bold(self.state.name.as_str()).say(" is on hold: ").mention(by);
        let message = Message::line(
            line.say(format!(" says “{}”. Approvals are refused until it is released.", cut(reason, 300))),
        );
        message.buttons(vec![self.button("Release", What::Release)])
    }

    pub(super) fn released_text(&self, by: &SlackId, hold: &Hold) -> Message {
        let line = Line::plain("🔓 ").bold(self.state.name.as_str()).say(" is released by ").mention(by);
        Message::line(line.say(format!(". It was on hold for “{}”. Approvals work again.", cut(&hold.reason, 300))))
    }

    /// What a typed approval would do, to be confirmed with a click.
    pub(super) fn confirmation(&self, shown: &Shown) -> Message {
        let Some(tracked) = self.state.runs.get(&shown.run) else { return Message::plain(self.confirm_text(shown)) };
        let ships = self.ships(tracked).unwrap_or_default();
        let now = self.state.last_look.unwrap_or(tracked.run.updated_at);
        let message = Message::line(Line::plain(self.confirm_text(shown)));
        let message = message.list(list(&ships, 12, |s| self.change_line(s, tracked, now)));
        let label = match shown.environments.as_slice() {
            [one] => format!("Approve {}", self.label(one)),
            several => format!("Approve {}", plural(several.len(), "environment")),
        };
        let approve = self.approve_button(&label, shown, false);
        message.buttons(vec![approve, self.button("Not now", What::Dismiss)])
    }

    pub(super) fn verdict_given(&self, verdict: &Verdict) -> Message {
        let names: Vec<&str> = verdict.gates.iter().map(|(_, name)| self.label(name)).collect();
        let run = self.state.runs.get(&verdict.run).map_or_else(|| "the run".to_owned(), |t| t.run.label());
        Message::plain(match verdict.request.action.rejects() {
            Some(_) => format!("Rejected: {run} does not go to {}.", and(&names)),
            None => format!("Approved: {run} goes to {}. Its notice shows how it gets on.", and(&names)),
        })
    }

    /// GitHub did not take it, and this is what is true there now.
    pub(super) fn verdict_too_late(&self, verdict: &Verdict, run: &Run, reviews: &[Review], waits: bool) -> Message {
        let gates = |review: &&Review| verdict.gates.iter().any(|(_, name)| review.environments.contains(name));
        let page = Line::default().link(format!("Run {}", run.number), run.url.clone());
        let line = match reviews.iter().rev().find(gates) {
            Some(review) if run.attempt == verdict.attempt => {
                let did = if review.approved { "approved" } else { "rejected" };
                page.say(format!(" was {did} on GitHub by {} before this. Nothing was added.", review.by))
            }
            Some(_) | None if run.is_over() => page.say(" is over already. Nothing was approved; its notice says how it ended."),
            Some(_) | None if waits => page.say(" still waits: GitHub did not take this, or a newer run is about to take its place. Nothing was approved; try again at the newest notice."),
            Some(_) | None => page.say(" does not wait there any more, or a newer run took its place. Nothing was approved; look at the newest notice."),
        };
        Message::line(line)
    }

    pub(super) fn verdict_unclear(&self, verdict: &Verdict) -> Message {
        let tracked = self.state.runs.get(&verdict.run);
        let line = Line::plain("GitHub did not say whether it took this. Nothing is repeated blindly: look at ");
        let line = match tracked {
            Some(t) => line.link(format!("run {}", t.run.number), t.run.url.clone()),
            None => line.say("the run"),
        };
        Message::line(line.say(" and approve again if it still waits."))
    }
}

//! The notice: the one message of a run, from its start to its end, rendered anew from the state each time; when it is posted or
//! edited is decided in `say`. What is said beside it lives in `thread`, refusals in `refusal`.

use jiff::Timestamp;

use super::app::App;
use super::change::{ChangeKey, Standing};
use super::doubt::Seen;
use super::evidence::Evidence;
use super::ledger::Shipped;
use super::message::{Line, Message};
use super::name::{EnvName, Login, Sha, SlackId};
use super::phase::Phase;
use super::pipeline::{Environment, Kind, Pipeline};
use super::run::Workflow;
use super::text::{and, cut, linked, list, plural};
use super::track::{Approval, State, Tracked, Why};

/// How many changes a notice lists; *What changes?* lists all.
pub(super) const LISTED: usize = 8;

impl App {
    /// The notice of a run as it should stand now.
    pub(super) fn notice(&self, tracked: &Tracked, now: Timestamp) -> Message {
        let phase = self.phase(tracked);
        let head = self.headline(tracked);
        if phase == Phase::Superseded {
            let line = head.then(self.replaced_by(tracked));
            return Message::line(line);
        }
        let state = self.state_line(tracked, &phase);
        let summary = head.clone().say(": ").then(state.clone());
        let mut message = Message { summary, parts: Vec::new() }.text(head).text(state);
        message = self.order_line(tracked).into_iter().fold(message, Message::text);
        if !tracked.places.is_empty() || !tracked.run.is_over() {
            message = self.environment_lines(tracked).into_iter().fold(message, Message::text);
        }
        let newest = self.is_newest(tracked) || (tracked.run.workflow == Workflow::Redeploy && self.is_latest(tracked));
        if newest && tracked.run.is_over() && matches!(phase, Phase::Failed | Phase::TimedOut) {
            message = self.diagnosis(message, tracked);
        }
        for line in self.warnings(tracked, &phase) {
            message = message.text(line);
        }
        let after = self.forward_lines(tracked).into_iter().chain(self.aftermath_line(tracked));
        message = after.fold(message, Message::text);
        if tracked.run.workflow == Workflow::Deploy {
            message = self.with_changes(message, tracked, now);
        }
        message.buttons(self.notice_buttons(tracked, &phase))
    }

    fn headline(&self, tracked: &Tracked) -> Line {
        let run = &tracked.run;
        let name = format!("{} · {}", self.state.name, run.label());
        let mut line = Line::default().bold(name).say(" · ").link(cut(&run.title, 120), run.url.clone());
        if run.attempt > 1 {
            line = line.say(format!(" · attempt {}", run.attempt));
            if let Some(by) = self.retried_by(tracked) {
                line = line.say(", started by ").then(self.who(by, tracked));
            }
        }
        if self.pipeline().is_some_and(|pipeline| pipeline.branch != run.branch) {
            line = line.say(" · ⚠️ from branch ").code(cut(&run.branch, 60));
        }
        line
    }

    fn replaced_by(&self, tracked: &Tracked) -> Line {
        let Some(by) = self.superseder(tracked) else { return Line::plain(" · ↪️ replaced by a newer run") };
        let line = Line::plain(" · ↪️ replaced by ").link(by.run.label(), by.run.url.clone());
        match (tracked.run.workflow, by.run.workflow) {
            (Workflow::Redeploy, _) => line.say("; it did not finish"),
            (Workflow::Deploy, Workflow::Redeploy) => line.say("; its changes wait for the next Deploy run"),
            (Workflow::Deploy, Workflow::Deploy) if self.drops(tracked, by) => {
                line.say(", which does not contain all of its changes")
            }
            (Workflow::Deploy, Workflow::Deploy) => line.say(", which ships its changes too"),
        }
    }

    /// Whether a run lacks changes of the one whose place it took: it is from another branch.
    fn drops(&self, old: &Tracked, new: &Tracked) -> bool {
        let (Some(old), Some(new)) = (self.ships(old), self.ships(new)) else { return false };
        old.iter().any(|s| !new.iter().any(|n| n.change.key == s.change.key))
    }

    pub(super) fn state_line(&self, tracked: &Tracked, phase: &Phase) -> Line {
        match phase {
            Phase::Queued => Line::plain("🕓 Waiting to start"),
            Phase::Building => Line::plain("🔨 Building the image"),
            Phase::OnTest => Line::plain("🚚 Going to ")
                .say(self.labels(tracked, Kind::Test, |s| !matches!(s, State::Deployed | State::Skipped))),
            Phase::Waiting => self.waiting_line(tracked),
            Phase::Deploying => self.deploying_line(tracked),
            Phase::Done => self.done_line(tracked),
            Phase::Nothing => Line::plain("⚪ Ended with nothing to deploy"),
            Phase::Failed => self.failed_line(tracked, "❌ Failed"),
            Phase::Rejected => self.rejected_line(tracked),
            Phase::TimedOut => self.failed_line(tracked, "⌛ Ran into a time limit"),
            Phase::CancelledBy(login) => Line::plain("⏹️ Cancelled by ").then(self.person(login, tracked)),
            Phase::Cancelled => Line::plain("⏹️ Cancelled; GitHub does not say by whom"),
            Phase::Ending => Line::plain("⏹️ Cancelled"),
            Phase::Superseded => self.replaced_by(tracked),
            Phase::Broken => Line::plain("❌ GitHub could not start it: the workflow file is broken. See ")
                .link("the run", tracked.run.url.clone()),
        }
    }

    fn waiting_line(&self, tracked: &Tracked) -> Line {
        let test: Vec<&Environment> = self.pipeline().into_iter().flat_map(|p| p.test()).collect();
        let on: Vec<&Environment> =
            test.into_iter().filter(|e| tracked.state(&e.name) == Some(State::Deployed)).collect();
        let since = on.iter().filter_map(|e| tracked.places.get(&e.name)?.since).max();
        let names: Vec<&str> = on.iter().map(|e| e.label.as_str()).collect();
        let line = match since {
            Some(since) => {
                Line::plain(format!("⏳ On {} since ", and(&names))).time(since).say(", waiting for approval")
            }
            None => Line::plain("⏳ Waiting for approval"),
        };
        self.approved(tracked, line)
    }

    fn deploying_line(&self, tracked: &Tracked) -> Line {
        let production = |wanted: &dyn Fn(&EnvName) -> bool| -> Vec<&str> {
            let environments = self.pipeline().into_iter().flat_map(Pipeline::production);
            environments.filter(|e| wanted(&e.name)).map(|e| e.label.as_str()).collect()
        };
        let waiting = production(&|name| tracked.open_gates().any(|gate| gate.environment == *name));
        let moving = production(&|name| match tracked.state(name) {
            Some(State::Preparing | State::Deploying | State::Queued) => true,
            Some(State::Waiting) => tracked.is_answered(name),
            Some(State::Deployed | State::NotDeployed(_) | State::Unknown(_) | State::Skipped) | None => false,
        });
        let line = match (moving.is_empty(), waiting.len()) {
            (true, _) | (_, 0) => Line::plain("🚀 Going to production"),
            (false, n) => {
                let verb = if n == 1 { "still waits" } else { "still wait" };
                Line::plain(format!("🚀 Going to {}; {} {verb} for approval", and(&moving), and(&waiting)))
            }
        };
        self.approved(tracked, line)
    }

    fn done_line(&self, tracked: &Tracked) -> Line {
        let production = self.pipeline().into_iter().flat_map(Pipeline::production).map(|e| &e.name);
        let live: Vec<&EnvName> = production.filter(|name| tracked.state(name) == Some(State::Deployed)).collect();
        let since = live.iter().filter_map(|name| tracked.places.get(*name)?.since).max();
        let line = match (tracked.run.workflow, since) {
            (Workflow::Redeploy, _) => self.redeployed_line(tracked),
            (Workflow::Deploy, Some(since)) => {
                let names: Vec<&str> = live.iter().map(|name| self.label(name)).collect();
                Line::plain("✅ ")
                    .code(tracked.run.sha.short())
                    .say(format!(" is live on {} since ", and(&names)))
                    .time(since)
            }
            (Workflow::Deploy, None) => Line::plain("✅ Done"),
        };
        self.approved(tracked, line)
    }

    /// Adds who approved, in Slack or on GitHub's page.
    fn approved(&self, tracked: &Tracked, line: Line) -> Line {
        let mut in_slack: Vec<&Approval> = Vec::new();
        let given = tracked.approvals.values().filter(|a| a.attempt == tracked.run.attempt && a.rejected.is_none());
        for approval in given {
            if !in_slack.iter().any(|known| known.by == approval.by) {
                in_slack.push(approval);
            }
        }
        in_slack.sort_by_key(|approval| approval.at);
        let taken = in_slack.iter().all(|approval| approval.taken);
        let mut names: Vec<Line> = in_slack.iter().map(|a| self.who(&a.by, tracked).say(" ").time(a.at)).collect();
        // GitHub lists those given in Slack as the bot's own.
        let on_page = tracked
            .answers()
            .into_iter()
            .filter(|review| review.approved && review.environments.iter().any(|name| !tracked.is_answered(name)));
        let mut logins: Vec<&Login> = on_page.map(|review| &review.by).collect();
        logins.dedup();
        names.extend(logins.into_iter().map(|login| Line::plain("on GitHub by ").then(self.person(login, tracked))));
        let verb = match (names.is_empty(), in_slack.is_empty(), taken) {
            (true, ..) => return line,
            (_, true, _) => " · approved ",
            (_, false, true) => " · approved by ",
            (_, false, false) => " · being approved by ",
        };
        line.say(verb).then(Line::join(names, " and "))
    }

    fn rejected_line(&self, tracked: &Tracked) -> Line {
        let mut rejected = tracked.approvals.values().filter(|a| a.attempt == tracked.run.attempt);
        let review = tracked.answers().into_iter().rev().find(|review| !review.approved);
        let line = Line::plain("🚫 Rejected");
        match (rejected.find_map(|a| Some((a, a.rejected.as_ref()?))), review) {
            (Some((approval, reason)), _) => {
                let line = line.say(" by ").then(self.who(&approval.by, tracked)).say(" ").time(approval.at);
                line.say(format!(": “{}”", cut(reason, 300)))
            }
            (None, Some(review)) => {
                let line = line.say(" on GitHub by ").then(self.person(&review.by, tracked));
                if review.comment.is_empty() {
                    line
                } else {
                    line.say(format!(": “{}”", cut(&review.comment, 300)))
                }
            }
            (None, None) => line,
        }
    }

    pub(super) fn failed_line(&self, tracked: &Tracked, what: &str) -> Line {
        let Some(failing) = &tracked.failing else { return Line::plain(what.to_owned()) };
        let place = failing.environment.as_ref().map(|name| format!(" at {}", self.label(name))).unwrap_or_default();
        let line = Line::default().say(format!("{what}{place}: job "));
        let line = match &failing.url {
            Some(url) => line.link(cut(&failing.job, 80), url.clone()),
            None => line.say(cut(&failing.job, 80)),
        };
        match &failing.step {
            Some(step) => line.say(format!(", step “{}”", cut(step, 80))),
            None => line,
        }
    }

    /// The environments, those in the same state on one line, test before production.
    fn environment_lines(&self, tracked: &Tracked) -> Vec<Line> {
        let environments = self.pipeline().into_iter().flat_map(|p| p.test().chain(p.production()));
        let shown = |e: &&Environment| tracked.run.workflow == Workflow::Deploy || tracked.places.contains_key(&e.name);
        let mut groups: Vec<(Kind, Sign, Vec<&Environment>)> = Vec::new();
        for environment in environments.filter(shown) {
            let sign = self.sign(environment, tracked);
            match groups.iter_mut().find(|(kind, known, _)| *kind == environment.kind && *known == sign) {
                Some((_, _, names)) => names.push(environment),
                None => groups.push((environment.kind, sign, vec![environment])),
            }
        }
        groups.into_iter().map(|(_, sign, environments)| group_line(sign, &environments, tracked)).collect()
    }

    /// A redeploy's green job is no proof; Elastic Beanstalk is.
    fn sign(&self, environment: &Environment, tracked: &Tracked) -> Sign {
        let deployed = tracked.state(&environment.name) == Some(State::Deployed);
        let proof = || self.evidence(tracked, &environment.name) == Evidence::Seen;
        if tracked.run.workflow == Workflow::Redeploy && deployed && !proof() {
            return ("☑️", "job done");
        }
        self.shown_sign(environment, tracked).unwrap_or_else(|| sign(environment, tracked))
    }

    /// How an environment is shown that the run left unknown, once Elastic Beanstalk has told.
    fn shown_sign(&self, environment: &Environment, tracked: &Tracked) -> Option<Sign> {
        let unknown = matches!(tracked.state(&environment.name), Some(State::Unknown(_)));
        let certainty = self.certainty(&environment.name, tracked).filter(|_| unknown)?;
        Some(match certainty.seen {
            Seen::Arrived => ("✅", "done, as Elastic Beanstalk shows"),
            Seen::Stayed => ("⚪", "kept its version, as Elastic Beanstalk shows"),
            Seen::Whole => ("✅", "one version on all servers, as Elastic Beanstalk shows"),
        })
    }

    fn warnings(&self, tracked: &Tracked, phase: &Phase) -> Vec<Line> {
        let newest = self.is_newest(tracked);
        let mut lines = Vec::new();
        if let Some((environment, standing)) = self.clash(tracked).filter(|_| newest && !tracked.run.is_over()) {
            let name = self.label(environment);
            lines.push(Line::plain(match standing {
                Standing::Behind => format!(
                    "⚠️ {name} already runs something newer: approving this would roll back, so it is refused. Use the newest run, or roll forward with a new change."
                ),
                Standing::Diverged | Standing::Ahead | Standing::Identical => {
                    format!("⚠️ {name} runs commits that are not in this: approving it takes them away.")
                }
            }));
        }
        if let Some(hold) = self.state.hold.as_ref().filter(|_| newest && !tracked.run.is_over()) {
            let line = Line::plain("🔒 On hold by ").then(self.who(&hold.by, tracked)).say(" since ").time(hold.at);
            lines.push(line.say(format!(": “{}”", cut(&hold.reason, 300))));
        }
        let untouched = |name: &EnvName| {
            self.kind(name) != Some(Kind::Production)
                || !matches!(tracked.state(name), Some(State::Deployed | State::Deploying | State::Unknown(_)))
        };
        if newest && !tracked.run.is_over() && self.is_split() && tracked.places.keys().all(untouched) {
            lines.push(self.live_line());
        }
        let ended_badly = tracked.run.is_over() && !matches!(phase, Phase::Done | Phase::Nothing | Phase::Superseded);
        if ended_badly && (newest || (tracked.run.workflow == Workflow::Redeploy && self.is_latest(tracked))) {
            lines.push(self.live_line());
            lines.extend(self.next_step(tracked, phase));
        }
        lines
    }

    pub(super) fn next_step(&self, tracked: &Tracked, phase: &Phase) -> Option<Line> {
        match phase {
            Phase::Failed | Phase::TimedOut => self.after_failure(tracked),
            Phase::CancelledBy(_) | Phase::Cancelled | Phase::Rejected
                if tracked.run.workflow == Workflow::Redeploy =>
            {
                let again = format!("{} redeploy {}", self.policy.command, self.state.name);
                Some(Line::plain("If it is still needed, type ").code(again).say("."))
            }
            Phase::Broken => Some(Line::plain("Next: repair the workflow file with a new pull request.")),
            Phase::CancelledBy(_) | Phase::Cancelled | Phase::Rejected => {
                let line = Line::plain("Its changes are still to be deployed: they ship with the next run, or ");
                let (word, does) =
                    if tracked.started { ("retry", "runs this one again") } else { ("start", "starts one") };
                Some(line.code(format!("{} {word} {}", self.policy.command, self.state.name)).say(format!(" {does}.")))
            }
            Phase::Queued
            | Phase::Building
            | Phase::OnTest
            | Phase::Waiting
            | Phase::Deploying
            | Phase::Done
            | Phase::Nothing
            | Phase::Ending
            | Phase::Superseded => None,
        }
    }

    fn after_failure(&self, tracked: &Tracked) -> Option<Line> {
        if self.is_done_after_all(tracked) {
            return Some(Line::plain("Nothing is left to do: Elastic Beanstalk finished what the job did not see."));
        }
        if let Some(retrying) = self.retrying(tracked) {
            return Some(retrying);
        }
        // The cause says what helps instead.
        if self.is_without_secrets(tracked) {
            return None;
        }
        let attempt = tracked.run.attempt;
        if attempt > 1 {
            return Some(Line::plain(format!(
                "This was attempt {attempt}: ask for help. The job’s log is linked above."
            )));
        }
        Some(match self.can_retry(tracked) {
            true => Line::plain("Next: look at the job, then retry its failed jobs. If it fails again, ask for help."),
            false => Line::plain(
                "Next: look at the job. Its failed jobs can be retried while it is the newest run and nothing is on hold.",
            ),
        })
    }

    /// Where production has commits that a run lacks: approving the run would take them away. A plain rollback first.
    pub(super) fn clash<'a>(&self, tracked: &'a Tracked) -> Option<(&'a EnvName, Standing)> {
        let current =
            |(name, base): &(&EnvName, &Sha)| self.state.live.get(*name).is_some_and(|live| live.sha == **base);
        let standings = tracked.bases.iter().filter(current).filter_map(|(name, base)| {
            let range = self.state.ranges.get(base, &tracked.run.sha)??;
            Some((name, range.standing))
        });
        let clashes = standings.filter(|(_, standing)| matches!(standing, Standing::Behind | Standing::Diverged));
        clashes.min_by_key(|(_, standing)| *standing != Standing::Behind)
    }

    /// What production runs now, by version; unknown is said.
    pub(super) fn live_line(&self) -> Line {
        let mut versions: Vec<(Line, Vec<&str>)> = Vec::new();
        for environment in self.pipeline().into_iter().flat_map(|p| p.production()) {
            let version = self.version(&environment.name);
            match versions.iter_mut().find(|(known, _)| *known == version) {
                Some((_, names)) => names.push(&environment.label),
                None => versions.push((version, vec![&environment.label])),
            }
        }
        let split = if self.is_split() { "⚠️ Production is split: " } else { "Production now: " };
        let parts = versions.into_iter().map(|(version, names)| {
            let verb = if names.len() == 1 { "runs" } else { "run" };
            Line::plain(format!("{} {verb} ", and(&names))).then(version)
        });
        Line::plain(split).then(Line::join(parts, " · "))
    }

    /// The version of an environment.
    pub(super) fn version(&self, environment: &EnvName) -> Line {
        let live = self.state.live.get(environment).map(|live| live.sha.short());
        let unsure = self.state.unsure.get(environment).map(|unsure| unsure.sha.as_ref().map(Sha::short));
        let line = Line::default();
        match (live, unsure) {
            (Some(live), None) => line.code(live),
            (Some(live), Some(None)) => line.code(live).say(", its servers unknown"),
            (Some(live), Some(Some(maybe))) => line.code(live).say(" or ").code(maybe).say(", nobody knows which"),
            (None, Some(Some(maybe))) => line.say("an unknown version, maybe ").code(maybe),
            (None, Some(None) | None) => line.say("an unknown version"),
        }
    }

    fn with_changes(&self, message: Message, tracked: &Tracked, now: Timestamp) -> Message {
        match self.ships(tracked) {
            None => message,
            Some(ships) if ships.is_empty() => message,
            Some(ships) => {
                let verb = if self.phase(tracked) == Phase::Done { "Shipped" } else { "Ships" };
                let message = message.text(Line::plain(format!("{verb} {}:", plural(ships.len(), "change"))));
                message.list(list(&ships, LISTED, |s| self.change_line(s, tracked, now)))
            }
        }
    }

    /// One change: its tick, its title, its people.
    pub(super) fn change_line(&self, shipped: &Shipped, tracked: &Tracked, now: Timestamp) -> Line {
        let change = &shipped.change;
        let tick = self.state.ticks.get(&change.key);
        let line = Line::plain(if tick.is_some() { "✅ " } else { "⬜ " });
        let line =
            line.link(change.key.to_string(), change.url.clone()).say(format!(" {} · ", cut(&change.title, 100)));
        let line = match change.person() {
            Some(login) => line.then(self.person(login, tracked)),
            None => line.say("somebody without a GitHub account"),
        };
        let line = match (&change.key, &change.author) {
            (ChangeKey::Commit(_), _) => line.say(", pushed without a pull request"),
            (ChangeKey::Pr(_), Some(author)) if change.author_is_bot => line.say(format!(" (merged {author}’s)")),
            (ChangeKey::Pr(_), author) => match &change.merged_by {
                Some(by) if author.as_ref().is_some_and(|author| !author.is(by)) => {
                    line.say(" (merged by ").then(self.person(by, tracked)).say(")")
                }
                Some(_) | None => line,
            },
        };
        match tick {
            Some(tick) if tick.run == tracked.run.id => line.say(", tested ").time(tick.at),
            Some(tick) => {
                let number = self.state.runs.get(&tick.run).map(|t| format!(" on run {}’s older build", t.run.number));
                line.say(", tested ").time(tick.at).say(number.unwrap_or_else(|| " on an older build".into()))
            }
            None if self.rides_along(change, now) => line.say(", rides along: only ignored files"),
            None if self.state.reminders.not_ready.contains_key(&change.key) => {
                let said = &self.state.reminders.not_ready[&change.key];
                line.say(format!(", not ready: “{}”", cut(&said.reason, 100)))
            }
            None => line.say(", merged ").time(change.merged_at),
        }
    }

    pub(super) fn is_newest(&self, tracked: &Tracked) -> bool {
        self.newest().is_some_and(|newest| newest.run.id == tracked.run.id)
    }

    /// Whether no run of either workflow started later.
    pub(super) fn is_latest(&self, tracked: &Tracked) -> bool {
        let born = |t: &Tracked| (t.run.started_at, t.run.id);
        self.state.runs.values().all(|other| born(other) <= born(tracked))
    }

    pub(super) fn label<'a>(&'a self, environment: &'a EnvName) -> &'a str {
        self.pipeline().and_then(|p| p.environment(environment)).map_or(environment.as_str(), |e| &e.label)
    }

    fn labels(&self, tracked: &Tracked, kind: Kind, wanted: impl Fn(State) -> bool) -> String {
        let environments = self.pipeline().into_iter().flat_map(|p| &p.environments).filter(|e| e.kind == kind);
        let names: Vec<&str> =
            environments.filter(|e| tracked.state(&e.name).is_some_and(&wanted)).map(|e| e.label.as_str()).collect();
        if names.is_empty() { "the test environments".into() } else { and(&names) }
    }

    /// A person in a notice. The first posting of a notice must not make a sound, an edit makes none: so names are mentions
    /// only once the notice stands.
    fn person(&self, login: &Login, tracked: &Tracked) -> Line {
        match self.policy.people.slack(login).filter(|_| tracked.address.is_some()) {
            Some(id) => Line::default().mention(id),
            None => Line::plain(login.as_str()),
        }
    }

    pub(super) fn who(&self, id: &SlackId, tracked: &Tracked) -> Line {
        match (&tracked.address, self.policy.people.login(id)) {
            (Some(_), _) => Line::default().mention(id),
            (None, Some(login)) => Line::plain(login.as_str()),
            (None, None) => Line::plain("somebody"),
        }
    }
}

/// A sign, and the words that say the same.
type Sign = (&'static str, &'static str);

fn sign(environment: &Environment, tracked: &Tracked) -> Sign {
    match tracked.state(&environment.name) {
        None if tracked.run.is_over() => ("▫️", "not reached"),
        None => ("▫️", "not yet"),
        Some(State::Queued) => ("🕓", "queued"),
        Some(State::Waiting) if tracked.is_answered(&environment.name) => ("🚀", "approved"),
        Some(State::Waiting) => ("⏸️", "waiting for approval"),
        Some(State::Preparing | State::Deploying) => ("🚀", "deploying"),
        Some(State::Deployed) => ("✅", "done"),
        Some(State::NotDeployed(Why::Failed)) => ("❌", "failed, not touched"),
        Some(State::NotDeployed(Why::Cancelled)) => ("⏹️", "cancelled, not touched"),
        Some(State::NotDeployed(Why::TimedOut)) => ("⌛", "timed out, not touched"),
        Some(State::NotDeployed(Why::Rejected)) => ("🚫", "rejected"),
        Some(State::Unknown(_)) => ("❓", "unknown"),
        Some(State::Skipped) => ("▫️", "skipped"),
    }
}

fn group_line((sign, words): Sign, environments: &[&Environment], tracked: &Tracked) -> Line {
    let names = environments.iter().map(|e| linked(e));
    let line = Line::plain(format!("{sign} ")).then(Line::join(names, ", ")).say(format!(": {words}"));
    let deployed =
        environments.iter().filter_map(|e| tracked.places.get(&e.name)).filter(|p| p.state == State::Deployed);
    match deployed.filter_map(|place| place.since).max() {
        Some(since) => line.say(" ").time(since),
        None => line,
    }
}

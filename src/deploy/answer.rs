//! Answers to questions (`status`, `pending`, `where`, …): they change nothing, so they are given from memory, at once, and say
//! how old that memory is where it matters. Who may ask is not decided here.

use jiff::{SignedDuration, Timestamp};

use super::app::App;
use super::change::{Change, ChangeKey};
use super::effect::Record;
use super::ledger::Shipped;
use super::message::{Line, Message, What};
use super::name::{PrNumber, RunId, SlackId};
use super::phase::Phase;
use super::pipeline::{Environment, Kind};
use super::run::Workflow;
use super::text::{cut, linked, list, plural};
use super::track::{State, Tracked};

/// How old the last look at GitHub may be before an answer says so.
const STALE: SignedDuration = SignedDuration::from_mins(3);

impl App {
    /// `/deploy status h`: per environment what it runs, the current run, holds, split.
    pub fn status(&self, now: Timestamp) -> Message {
        let Some(pipeline) = self.pipeline() else { return self.unread() };
        let title = Line::default()
            .bold(self.state.name.as_str())
            .say(" · ")
            .link(pipeline.repo.clone(), format!("https://github.com/{}", pipeline.repo));
        let mut message =
            Message { summary: Line::plain(format!("{}: status", self.state.name)), parts: Vec::new() }.text(title);
        message = message.list(pipeline.environments.iter().map(|e| self.environment_status(e)).collect::<Vec<_>>());
        if self.is_split() {
            message = message.text(self.live_line());
        }
        message = message.text(self.current_line());
        if let Some(pending) = self.pending() {
            let words = if pending.is_empty() {
                "Everything that is merged is in production.".into()
            } else {
                format!("{} not in production.", plural(pending.len(), "change"))
            };
            message = message.text(Line::plain(words));
        }
        if let Some(hold) = &self.state.hold {
            let line = Line::plain("🔒 On hold by ").mention(&hold.by).say(" since ").time(hold.at);
            message = message.text(line.say(format!(": “{}”", cut(&hold.reason, 300))));
        }
        let message = self.servers_note(now).into_iter().fold(message, Message::text);
        self.with_age(message, now)
    }

    /// This app in a line: what production runs and what the newest run does.
    pub fn brief(&self) -> Message {
        if self.pipeline().is_none() {
            return self.unread();
        }
        let line = Line::default()
            .bold(self.state.name.as_str())
            .say(" · ")
            .then(self.live_line())
            .say(" · ")
            .then(self.current_line());
        Message::line(line)
    }

    /// Whether anything is merged and not in production.
    pub fn has_pending(&self) -> bool {
        self.pending().is_some_and(|pending| !pending.is_empty())
    }

    fn environment_status(&self, environment: &Environment) -> Line {
        let live = self.state.live.get(&environment.name);
        let line = linked(environment).say(match environment.kind {
            Kind::Test => " (test) runs ",
            Kind::Production => " runs ",
        });
        let line = line.then(self.version(&environment.name));
        let line = match (self.state.unsure.get(&environment.name), live) {
            (Some(unsure), _) => {
                let run = self.state.runs.get(&unsure.run).map(|t| t.run.label());
                let run = run.unwrap_or_else(|| format!("run {}", unsure.number));
                line.say(format!(" · ❓ {run} touched it and nobody saw the end"))
            }
            (None, Some(live)) => line.say(format!(" from run {} since ", live.number)).time(live.since),
            (None, None) => line.say("; no successful Deploy is in reach"),
        };
        line.then(self.servers_words(&environment.name))
    }

    fn current_line(&self) -> Line {
        let active = self.state.runs.values().filter(|t| !t.run.is_over()).max_by_key(|t| (t.run.started_at, t.run.id));
        let Some(tracked) = active.or_else(|| self.newest()) else { return Line::plain("No run yet.") };
        let name = match tracked.run.workflow {
            Workflow::Deploy => format!("Run {}", tracked.run.number),
            Workflow::Redeploy => format!("Redeploy {}", tracked.run.number),
        };
        Line::default().link(name, tracked.run.url.clone()).say(format!(
            " · {}: {}",
            cut(&tracked.run.title, 100),
            self.does(tracked)
        ))
    }

    /// What a run does, or how it ended, in a few words.
    pub(super) fn does(&self, tracked: &Tracked) -> String {
        match (self.phase(tracked), self.superseder(tracked)) {
            (Phase::Superseded, Some(by)) => format!("replaced by {}", by.run.label()),
            (Phase::Done, _) if tracked.run.workflow == Workflow::Redeploy && !self.is_redeployed(tracked) => {
                "its jobs are done".into()
            }
            (phase, _) => phase_words(&phase),
        }
    }

    /// `/deploy pending h`: merged and not in production, with people, age and why.
    pub fn pending_answer(&self, now: Timestamp) -> Message {
        let Some(pending) = self.pending() else { return self.unread() };
        if pending.is_empty() {
            let message = Message::plain(format!("{}: everything that is merged is in production.", self.state.name));
            return self.with_age(message, now);
        }
        let title = Line::default()
            .bold(self.state.name.as_str())
            .say(format!(" · {} not in production", plural(pending.len(), "change")));
        let message = Message::line(title).list(list(&pending, 25, |s| self.pending_line(s, now)));
        let anybody = pending.iter().any(|s| !self.rides_along(&s.change, now));
        let ping = anybody.then(|| self.button("Ping their authors", What::Ping));
        self.with_age(message, now).buttons(ping.into_iter().collect())
    }

    fn pending_line(&self, shipped: &Shipped, now: Timestamp) -> Line {
        let change = &shipped.change;
        let line = Line::default()
            .link(change.key.to_string(), change.url.clone())
            .say(format!(" {} · ", cut(&change.title, 100)));
        let person = change.person();
        let line = match person.and_then(|login| self.policy.people.slack(login)) {
            Some(id) => line.mention(id),
            None => line.say(person.map_or("no GitHub account", |login| login.as_str())),
        };
        let line =
            line.say(format!(" · merged {} ago · {}", age(now, change.merged_at), self.why_pending(change, now)));
        let line = match self.state.reminders.not_ready.get(&change.key) {
            Some(said) => line.say(format!("; not ready: “{}”", cut(&said.reason, 100))),
            None => line,
        };
        let everywhere = self.pipeline().map_or(0, |p| p.production().count());
        if shipped.lacking.len() < everywhere {
            let names: Vec<&str> = shipped.lacking.iter().map(|name| self.label(name)).collect();
            return line.say(format!("; missing only from {}", names.join(", ")));
        }
        line
    }

    pub(super) fn why_pending(&self, change: &Change, now: Timestamp) -> String {
        if self.rides_along(change, now) {
            return "no run of its own (only ignored files): rides along with the next deploy".into();
        }
        let Some(newest) = self.newest().filter(|newest| self.carries(newest, change)) else {
            return "its run is about to start".into();
        };
        let number = newest.run.number;
        match (self.phase(newest), self.superseder(newest)) {
            (Phase::Superseded, Some(by)) if by.run.workflow == Workflow::Redeploy => {
                format!(
                    "redeploy {} replaced run {number}: nothing deploys it until Deploy is started again",
                    by.run.number
                )
            }
            (phase, _) => format!("run {number}: {}", phase_words(&phase)),
        }
    }

    fn carries(&self, tracked: &Tracked, change: &Change) -> bool {
        self.ships(tracked).is_some_and(|ships| ships.iter().any(|s| s.change.key == change.key))
    }

    /// `/deploy where 4501`: a change's journey. `None` if the change is not among what is remembered.
    pub fn journey(&self, number: PrNumber, now: Timestamp) -> Option<Message> {
        let key = ChangeKey::Pr(number);
        let carriers: Vec<&Tracked> = self
            .state
            .runs
            .values()
            .filter(|t| self.ships(t).is_some_and(|s| s.iter().any(|s| s.change.key == key)))
            .collect();
        let pending = self.pending().unwrap_or_default();
        let of_runs = carriers.iter().filter_map(|t| self.ships(t)).flatten();
        let change = of_runs.chain(pending.iter().cloned()).map(|s| s.change).find(|c| c.key == key)?;
        let title =
            Line::default().link(key.to_string(), change.url.clone()).say(format!(" {}", cut(&change.title, 120)));
        let merged = Line::plain(format!(
            "Merged {} ago by {}",
            age(now, change.merged_at),
            change.merged_by.as_ref().map_or("somebody", |by| by.as_str())
        ));
        let mut steps = vec![merged];
        steps.extend(carriers.iter().map(|t| {
            let line = Line::default().link(format!("Run {}", t.run.number), t.run.url.clone());
            line.say(format!(": {}", self.does(t)))
        }));
        if carriers.is_empty() {
            steps.push(Line::plain(self.why_pending(&change, now)));
        }
        steps.extend(
            self.pipeline()
                .into_iter()
                .flat_map(|p| &p.environments)
                .map(|e| self.reached(e, &carriers, &pending, &key)),
        );
        Some(self.with_age(Message::line(title).list(steps), now))
    }

    fn reached(&self, environment: &Environment, carriers: &[&Tracked], pending: &[Shipped], key: &ChangeKey) -> Line {
        let lacking =
            pending.iter().find(|s| s.change.key == *key).is_some_and(|s| s.lacking.contains(&environment.name));
        let there = carriers
            .iter()
            .filter_map(|t| t.places.get(&environment.name))
            .filter(|place| place.state == State::Deployed);
        match there.filter_map(|place| place.since).min() {
            Some(since) => Line::plain(format!("✅ on {} since ", environment.label)).time(since),
            None if environment.kind == Kind::Production && !lacking => {
                Line::plain(format!("✅ on {}", environment.label))
            }
            None => Line::plain(format!("⬜ not on {}", environment.label)),
        }
    }

    /// The full list of a run's changes.
    pub fn changes(&self, run: RunId, now: Timestamp) -> Message {
        let Some(tracked) = self.state.runs.get(&run) else {
            return Message::plain("That run is too old to be remembered here. Its page on GitHub still is.");
        };
        match self.ships(tracked) {
            None => Message::plain("Its changes are being looked up. Ask again in a moment."),
            Some(ships) => {
                let title = Line::plain(format!("Run {} ships {}:", tracked.run.number, plural(ships.len(), "change")));
                Message::line(title).list(list(&ships, 60, |s| self.change_line(s, tracked, now)))
            }
        }
    }

    /// This app's part of `/deploy`: what concerns somebody. `None` if nothing does.
    pub fn mine(&self, who: &SlackId, now: Timestamp) -> Option<Message> {
        let pending = self.pending().unwrap_or_default();
        let mine: Vec<&Shipped> = pending.iter().filter(|s| self.concerns(&s.change, who)).collect();
        let waiting = self.newest().filter(|t| self.phase(t) == Phase::Waiting);
        if mine.is_empty() && waiting.is_none() && self.state.hold.is_none() {
            return None;
        }
        let mut message = Message::line(Line::default().bold(self.state.name.as_str()));
        let mut lines: Vec<Line> = mine.iter().map(|s| self.pending_line(s, now)).collect();
        if let Some(tracked) = waiting {
            let line = Line::default().link(format!("Run {}", tracked.run.number), tracked.run.url.clone());
            let command = format!("{} approve {}", self.policy.command, self.state.name);
            lines.push(line.say(" waits for approval: ").code(command));
        }
        if let Some(hold) = &self.state.hold {
            lines.push(Line::plain("🔒 on hold by ").mention(&hold.by).say(format!(": “{}”", cut(&hold.reason, 200))));
        }
        message = message.list(lines);
        Some(self.with_age(message, now))
    }

    /// `/deploy history h`, newest first.
    pub fn history(&self, records: &[Record]) -> Message {
        if records.is_empty() {
            return Message::plain(format!("{}: nobody has decided anything here yet.", self.state.name));
        }
        let title = Line::default().bold(self.state.name.as_str()).say(" · decisions, newest first");
        Message::line(title).list(list(records, 20, history_line))
    }

    /// What cannot be written down is not done: approving still works on GitHub's own page. A bot that has just started may know no more
    /// of the app than its repo.
    pub fn unwritten(&self, repo: &str) -> Message {
        let (label, page) = self.page(repo);
        let line = Line::plain("I cannot write anything down right now, so nothing was done. Try again in a minute");
        Message::line(line.say(", or use GitHub’s own page: ").link(label, page).say("."))
    }

    /// It was sent to be written down, and nobody said that it was. What was written is examined for ten minutes.
    pub fn perhaps_written(&self, repo: &str) -> Message {
        let (label, page) = self.page(repo);
        let line = Line::plain(
            "I cannot write anything down right now, and I do not know whether this still was. \
             If it was, you hear from me soon; if you hear nothing for 10 minutes, nothing was done.",
        );
        Message::line(line.say(" Look at GitHub’s own page before you try again: ").link(label, page).say("."))
    }

    /// Where people can see and do things themselves.
    fn page(&self, repo: &str) -> (String, String) {
        let newest = self.newest().map(|newest| (newest.run.label(), newest.run.url.clone()));
        newest.unwrap_or_else(|| (repo.to_owned(), format!("https://github.com/{repo}/actions")))
    }

    fn unread(&self) -> Message {
        Message::plain(format!("{} has not been read from GitHub yet. Ask again in a moment.", self.state.name))
    }

    /// An answer from memory says how old it is, once that matters.
    fn with_age(&self, message: Message, now: Timestamp) -> Message {
        match self.looked_at() {
            Some(last) if now.duration_since(last) > STALE => message.text(Line::plain(format!(
                "⚠️ GitHub was last reached {} ago; this is what was true then.",
                age(now, last)
            ))),
            Some(_) => message,
            None => message.text(Line::plain("⚠️ GitHub has not been reached yet.")),
        }
    }
}

fn history_line(record: &Record) -> Line {
    let line = Line::default().time(record.at).say(" · ").mention(&record.by).say(format!(" · {}", record.action));
    let line = match record.number {
        Some(number) => line.say(format!(" run {number}")),
        None => line,
    };
    let names: Vec<&str> = record.environments.iter().map(|name| name.as_str()).collect();
    let line = if names.is_empty() { line } else { line.say(format!(" on {}", names.join(", "))) };
    let line = line.say(format!(" · {}", record.outcome));
    match &record.note {
        Some(note) => line.say(format!(" · “{}”", cut(note, 120))),
        None => line,
    }
}

/// What a run does, in a few words.
pub fn phase_words(phase: &Phase) -> String {
    match phase {
        Phase::Queued => "waiting to start".into(),
        Phase::Building => "building".into(),
        Phase::OnTest => "going to the test environments".into(),
        Phase::Waiting => "waiting for approval".into(),
        Phase::Deploying => "going to production".into(),
        Phase::Done => "done".into(),
        Phase::Nothing => "ended with nothing to deploy".into(),
        Phase::Failed => "failed".into(),
        Phase::Rejected => "rejected".into(),
        Phase::TimedOut => "ran into a time limit".into(),
        Phase::CancelledBy(login) => format!("cancelled by {login}"),
        Phase::Cancelled | Phase::Ending => "cancelled".into(),
        Phase::Superseded => "replaced by a newer run".into(),
        Phase::Broken => "could not be started".into(),
    }
}

/// `5 min`, `3 h`, `2 days`: how long ago, roughly.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    lasting(now.duration_since(then).as_mins())
}

/// The same of a number of minutes.
pub fn lasting(minutes: i64) -> String {
    match minutes.max(0) {
        0 => "a moment".into(),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

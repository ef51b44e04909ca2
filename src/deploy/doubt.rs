//! What Elastic Beanstalk shows of environments that a run left unknown: the job is gone, the servers go on by themselves, and in
//! the end they say what became of it (`facts/beanstalk-reliability-security.md` A6).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::app::App;
use super::ledger::{Live, Unsure};
use super::message::{Line, Message};
use super::name::{EnvName, RunId, Sha};
use super::run::Workflow;
use super::server::{Servers, Unread};
use super::text::plural;
use super::track::{Place, State, Tracked};

/// How long after a job's end the old version on servers that are ready still says nothing: the deployment may be about to show.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

/// What became of an environment that a run had left unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certainty {
    /// The run.
    pub run: RunId,
    /// When its end was missed; older doubts are settled too.
    pub at: Timestamp,
    /// What is seen.
    pub seen: Seen,
    /// The commit that all servers run, as its tag has it.
    pub commit: String,
    /// How many servers those are.
    pub servers: usize,
}

/// What Elastic Beanstalk shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// The run's version is on all servers.
    Arrived,
    /// The version from before is on all servers.
    Stayed,
    /// One version is on all servers, as before; it was a redeploy, or the same commit again.
    Whole,
}

impl App {
    /// Settles the doubts that the last look at the servers settles; it began after `from`.
    pub(super) fn weigh(&mut self, from: Option<Timestamp>, now: Timestamp) {
        for (name, unsure) in self.state.unsure.clone() {
            let Some((certainty, since)) = self.settle_doubt(&name, &unsure, from) else { continue };
            if let (Seen::Arrived, Some(sha)) = (certainty.seen, unsure.sha) {
                let since = since.unwrap_or(now).max(unsure.at);
                let live = Live { sha, run: unsure.run, number: unsure.number, since };
                self.state.live.insert(name.clone(), live);
            }
            self.state.unsure.remove(&name);
            self.state.certain.insert(name, certainty);
        }
    }

    /// What is seen, and since when.
    fn settle_doubt(
        &self,
        name: &EnvName,
        unsure: &Unsure,
        from: Option<Timestamp>,
    ) -> Option<(Certainty, Option<Timestamp>)> {
        let servers = self.state.servers.get(name)?.as_ref().ok().filter(|servers| servers.is_whole() == Some(true))?;
        let commit = servers.commit()?;
        let live = self.state.live.get(name).map(|live| &live.sha);
        let runs = |sha: &Sha| sha.as_str().starts_with(&commit);
        let seen = match &unsure.sha {
            Some(sha) if runs(sha) && live != Some(sha) => Seen::Arrived,
            Some(sha) if runs(sha) => Seen::Whole,
            Some(_) if live.is_some_and(runs) => Seen::Stayed,
            // Something else altogether: nobody here can say how it came there.
            Some(_) => return None,
            None => Seen::Whole,
        };
        let settled = from.is_some_and(|from| from.duration_since(unsure.at) >= GRACE);
        if seen != Seen::Arrived && !settled {
            return None;
        }
        let count = servers.instances.iter().flatten().count();
        let certainty = Certainty { run: unsure.run, at: unsure.at, seen, commit, servers: count };
        Some((certainty, servers.updated_at))
    }

    /// What Elastic Beanstalk showed of an environment that this run left unknown.
    pub(super) fn certainty(&self, environment: &EnvName, tracked: &Tracked) -> Option<&Certainty> {
        self.state.certain.get(environment).filter(|certainty| certainty.run == tracked.run.id)
    }

    /// Whether the servers finished what a failed Deploy did not see, so that nothing of it is left to be done.
    pub(super) fn is_done_after_all(&self, tracked: &Tracked) -> bool {
        let arrived = |name: &EnvName| {
            self.certainty(name, tracked).is_some_and(|certainty| match certainty.seen {
                Seen::Arrived | Seen::Whole => true,
                Seen::Stayed => false,
            })
        };
        let there = |(name, place): (&EnvName, &Place)| match place.state {
            State::Deployed => true,
            State::Unknown(_) => arrived(name),
            State::Queued
            | State::Waiting
            | State::Preparing
            | State::Deploying
            | State::NotDeployed(_)
            | State::Skipped => false,
        };
        tracked.run.workflow == Workflow::Deploy
            && tracked.run.is_over()
            && tracked.failing.as_ref().is_some_and(|failing| failing.environment.is_some())
            && tracked.places.iter().all(there)
    }

    /// What is said in the thread of a run once its end at an environment is known after all.
    pub(super) fn certainty_text(&self, environment: &EnvName, tracked: &Tracked) -> Option<Message> {
        let certainty = self.certainty(environment, tracked)?;
        let (label, servers) = (self.label(environment), all(certainty.servers));
        let line = match certainty.seen {
            Seen::Arrived => {
                Line::plain(format!("✅ {label}: Elastic Beanstalk went on by itself and is done: {servers} "))
                    .code(&*certainty.commit)
                    .say(" now, though the job did not see it.")
            }
            Seen::Stayed => {
                let run = tracked.run.label();
                Line::plain(format!("⚪ {label}: Elastic Beanstalk is ready, and {servers} "))
                    .code(&*certainty.commit)
                    .say(format!(" as before: {run} did not get there."))
            }
            Seen::Whole => Line::plain(format!("✅ {label}: Elastic Beanstalk is ready, and {servers} "))
                .code(&*certainty.commit)
                .say(self.renewal(environment, tracked)),
        };
        Some(Message::line(line))
    }

    /// Whether servers were replaced, where that was the point.
    fn renewal(&self, environment: &EnvName, tracked: &Tracked) -> &'static str {
        let before = self.deployment_before(tracked, environment);
        let renewed = self.replaced_since(environment, tracked.run.started_at, before);
        match (tracked.run.workflow, renewed) {
            (Workflow::Deploy, _) => ".",
            (Workflow::Redeploy, Some(true)) => "; the redeploy has reached all of them.",
            (Workflow::Redeploy, Some(false) | None) => "; whether the redeploy reached all of them is not seen.",
        }
    }

    /// What Elastic Beanstalk says of an environment in a few words, for a line that says what GitHub knows; nothing where it is not
    /// asked.
    pub(super) fn servers_words(&self, environment: &EnvName) -> Line {
        let servers = match self.state.servers.get(environment) {
            None | Some(Err(Unread::NotConfigured)) => return Line::default(),
            Some(Err(unread)) => return Line::plain(format!(" · Elastic Beanstalk: unknown, {unread}")),
            Some(Ok(servers)) => servers,
        };
        let line = Line::plain(" · Elastic Beanstalk: ");
        let line = match servers.commit() {
            Some(commit) => line.code(commit),
            None => line.say("an unknown version"),
        };
        let line = line.say(format!(", {}", state_words(servers)));
        match (servers.is_whole(), self.is_as_deployed(environment, servers)) {
            (Some(false), _) => line.say(" ⚠️ its servers differ"),
            (_, Some(false)) => line.say(" ⚠️ not what GitHub’s last deploy brought"),
            (_, Some(true) | None) => line,
        }
    }

    /// Whether Elastic Beanstalk's version is the one that the last successful job brought; `None` where one of them is not known, or
    /// something changes.
    pub(super) fn is_as_deployed(&self, environment: &EnvName, servers: &Servers) -> Option<bool> {
        let live = self.state.live.get(environment).filter(|_| !self.state.unsure.contains_key(environment))?;
        let commit = servers.commit().filter(|_| servers.is_ready())?;
        Some(live.sha.as_str().starts_with(&commit))
    }
}

/// `Ready, health Ok`, in Elastic Beanstalk's words.
pub(super) fn state_words(servers: &Servers) -> String {
    let health = servers.health_status.as_ref().or(servers.health.as_ref());
    format!("{}, health {}", servers.status, health.map_or("unknown", String::as_str))
}

/// `all 4 servers run`, `its only server runs`.
pub(super) fn all(servers: usize) -> String {
    match servers {
        1 => "its only server runs".into(),
        2 => "both servers run".into(),
        more => format!("all {} run", plural(more, "server")),
    }
}

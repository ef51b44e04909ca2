//! The pretend world: people, repositories, runs and servers, and the rules that GitHub Actions and Elastic Beanstalk
//! follow (`facts/github.md`, sections 1, 2 and 4). It knows neither HTTP nor the bot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hooks::{Before, Happening, Hook, News};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::record::Record;
use crate::clock::Clock;

mod act;
pub(crate) mod flow;
pub(crate) mod history;
pub(crate) mod hooks;
mod moves;
mod perform;
pub(crate) mod pipeline;
mod progress;
mod propose;
pub(crate) mod pulls;
pub(crate) mod run;
mod seed;
mod server_turns;
pub(crate) mod servers;
pub(crate) mod state;
pub(crate) mod variables;
mod view;

pub use act::{Act, AwsFaultKind, FaultKind, MergeKind, Outcome, ServerTurn};
pub use hooks::{Delivered, HookFault};
pub use servers::{Health, Policy, Severity};
use state::State;
pub use state::{SeenRequest, Spent};

/// The personal access token that the pretend GitHub accepts; it belongs to the user [`MACHINE_USER`].
pub(crate) const TOKEN: &str = "ghp_sandboxCanaryNotASecret0000000000000";

/// The login of the token's owner, a listed reviewer of every gated environment.
pub(crate) const MACHINE_USER: &str = "lockkeeper-bot";

/// A handle on one pretend world; clones share it.
#[derive(Clone, Debug)]
pub struct World {
    clock: Clock,
    state: Arc<Mutex<State>>,
    record: Record,
    /// Told when a webhook may have something to deliver.
    news: Arc<Notify>,
}

impl World {
    /// A world with people but without repositories.
    pub fn new(clock: Clock) -> World {
        World { clock, state: Arc::default(), record: Record::default(), news: Arc::default() }
    }

    /// A world with five repositories in the shapes of `facts/github.md`, section 1.3, each deployed once, yesterday.
    pub fn hypothesis(clock: Clock) -> World {
        let state = seed::hypothesis(clock.now());
        World { clock, state: Arc::new(Mutex::new(state)), record: Record::default(), news: Arc::default() }
    }

    /// Its services write down there what passes over their wires.
    pub(crate) fn recorded(self, record: Record) -> World {
        World { record, ..self }
    }

    /// Where its services write down what passes over their wires.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Does what a person (or fate) does; a sentence of what happened, or why it could not.
    pub fn act(&self, act: Act) -> Result<String, String> {
        if let Act::Pass { seconds } = act {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            self.clock.advance(SignedDuration::from_secs(seconds));
        }
        self.tick();
        let done = self.change(|state, now| state.perform(act, now));
        self.tick();
        done
    }

    /// Everything that the sandbox's page shows.
    pub fn view(&self) -> serde_json::Value {
        self.read(|state, now| state.view(now))
    }

    /// Lets happen what is due by the clock: automatic jobs, and servers that finish on their own.
    pub fn tick(&self) {
        let due = self.read(|state, now| state.next_due().is_some_and(|due| due.at <= now));
        if due {
            self.change(State::progress);
        }
    }

    /// What clients did wrong so far, oldest first. Deliberate faults are not among it.
    pub fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// The requests that came over the wire, newest last, at most 20,000.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    /// How many requests came over the wire that are like that.
    pub fn count(&self, like: impl Fn(&SeenRequest) -> bool) -> usize {
        self.lock().requests.iter().filter(|request| like(request)).count()
    }

    /// Requests so far, by repository and kind: what was counted against the hourly limits, and what was free.
    pub fn spent(&self) -> BTreeMap<(String, String), Spent> {
        self.lock().spent.clone()
    }

    /// More repositories of the organisation, `app-01` and on, in which nothing happens.
    pub fn add_quiet_repos(&self, count: u64) {
        let now = self.clock.now();
        self.lock().repos.extend(seed::quiet(count, now));
    }

    /// Somebody sets up a webhook for these events of all repositories; it is greeted with a ping.
    pub fn set_up_hook(&self, url: &str, secret: &str, events: &[&str]) {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        let hook = Hook { url: url.to_owned(), secret: secret.to_owned(), events };
        self.read(|state, now| {
            state.hooks.hook = Some(hook);
            state.hooks.tell(News { repo: None, what: Happening::Ping }, now);
        });
        self.news.notify_one();
    }

    /// The webhook is removed.
    pub fn remove_hook(&self) {
        self.lock().hooks.hook = None;
    }

    /// The deliveries that were sent, newest last.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.lock().hooks.sent.iter().cloned().collect()
    }

    /// How many deliveries are still on their way.
    pub fn undelivered(&self) -> usize {
        self.lock().hooks.pending()
    }

    /// Waits until a webhook may have something to deliver.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// The world's time.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The token that a client of the pretend GitHub must present.
    pub fn token(&self) -> String {
        TOKEN.to_owned()
    }

    /// The id of a repository's newest run, for tests and demonstrations; `None` without any.
    pub fn newest_run(&self, repo: &str) -> Option<u64> {
        self.lock().repo(repo)?.runs.last().map(|run| run.id)
    }

    /// Looks at the state, or notes something in it that is not part of GitHub's history (requests, faults, quota).
    pub(crate) fn read<T>(&self, look: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.clock.now();
        look(&mut self.lock(), now)
    }

    /// Changes the state, and keeps for each repository how its runs looked before their last change (for stale answers).
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.lock();
        let before: Vec<_> = state.repos.iter().map(|repo| repo.runs.clone()).collect();
        let told: Vec<_> = state.repos.iter().filter(|_| state.hooks.hook.is_some()).map(Before::of).collect();
        let result = change(&mut state, now);
        state.tell_hooks(&told, now);
        self.news.notify_one();
        for (repo, before) in state.repos.iter_mut().zip(before) {
            if repo.runs != before {
                repo.runs_before = before;
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a failed test; the state is still the best there is to report.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

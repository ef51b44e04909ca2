//! What the parts of the running bot share: settings, clients, desks. Nothing happens here by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};

use crate::beanstalk::Beanstalk;
use crate::clock::Clock;
use crate::config::Config;
use crate::deploy::app::App;
use crate::deploy::event::Unreachable;
use crate::deploy::name::{AppName, Login, SlackId};
use crate::deploy::policy::{Person, Policy};
use crate::desk::Desk;
use crate::github::GitHub;
use crate::lead::Lead;
use crate::slack::people::People;
use crate::slack::socket::SocketHealth;
use crate::slack::{Slack, SlackError};
use crate::store::Store;
use crate::telemetry::Pulse;
use crate::vault::Vault;

/// For how long the apps where something goes on are not counted anew: every watcher wants to know at every look.
const COUNTED: SignedDuration = SignedDuration::from_secs(1);

/// What the parts of the running bot share.
pub struct Shell {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// What is remembered.
    pub store: Store,
    /// Slack's Web API.
    pub slack: Slack,
    /// GitHub's API.
    pub github: GitHub,
    /// Elastic Beanstalk's API.
    pub beanstalk: Beanstalk,
    /// Who is who in Slack.
    pub people: People,
    /// Values on their way to Elastic Beanstalk.
    pub(crate) vault: Vault,
    /// The sockets.
    pub sockets: SocketHealth,
    /// Told when there is something to perform.
    pub changed: Arc<Notify>,
    /// Whether this replica watches.
    pub lead: Lead,
    /// Those who look at an app for the first time: one after the other is done, instead of all being half done for long.
    pub(crate) newcomers: Semaphore,
    /// Each app's desk.
    pub(crate) desks: BTreeMap<AppName, Desk>,
    /// Wakes each app's watcher.
    pub(crate) looks: BTreeMap<AppName, Arc<Notify>>,
    /// Counts the webhooks about each app.
    pub(crate) hints: BTreeMap<AppName, watch::Sender<u64>>,
    /// Wakes each app's watcher of servers.
    pub(crate) surveys: BTreeMap<AppName, Arc<Notify>>,
    pub(crate) memory: Mutex<Memory>,
    /// Whoever reminds people has it.
    pub(crate) heralding: tokio::sync::Mutex<()>,
}

/// What was found out while running, and is found out again after a restart.
#[derive(Default)]
pub(crate) struct Memory {
    /// Channel as configured → Slack's id.
    channels: BTreeMap<String, String>,
    /// When each app was last seen at GitHub.
    looked: BTreeMap<AppName, Timestamp>,
    /// In how many apps something goes on, as counted a moment ago.
    active: Option<(Timestamp, usize)>,
    /// When the last look at each app's servers began, all that follows from it decided.
    surveyed: BTreeMap<AppName, Timestamp>,
    /// How the store is.
    pulse: Option<Pulse>,
}

impl Shell {
    /// The desk of an app.
    ///
    /// # Errors
    /// When the app is not configured (any more).
    pub fn desk(&self, app: &AppName) -> anyhow::Result<Desk> {
        self.desks.get(app).cloned().with_context(|| format!("there is no app {app}"))
    }

    /// Looks up what another replica may have made of an app.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a document that this version cannot.
    pub(crate) async fn catch_up(&self, app: &AppName) -> anyhow::Result<()> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let glance = self.store.glance(std::slice::from_ref(app)).await?.remove(app);
        self.desk(app)?.refresh(glance).await
    }

    /// All apps, as last committed.
    pub fn apps(&self) -> impl Iterator<Item = (&AppName, Arc<App>)> {
        self.desks.iter().map(|(name, desk)| (name, desk.app()))
    }

    /// Makes the watchers of an app look now.
    pub fn look_now(&self, app: &AppName) {
        for look in [self.looks.get(app), self.surveys.get(app)].into_iter().flatten() {
            look.notify_one();
        }
    }

    /// A webhook was about an app: its watchers look soon, once for a whole burst of them.
    pub fn hint(&self, app: &AppName) {
        if let Some(hints) = self.hints.get(app) {
            hints.send_modify(|count| *count += 1);
        }
    }

    /// Looks somebody up, live, with the memberships that decide an app's rights.
    ///
    /// # Errors
    /// When Slack or GitHub does not say: then they cannot act.
    pub async fn person(&self, id: &SlackId, policy: &Policy) -> Result<Person, Unreachable> {
        let login = policy.people.login(id);
        self.people.live(id, &policy.approvers, login, |team, login| self.in_team(team, login)).await
    }

    async fn in_team(&self, team: String, login: Login) -> Result<bool, Unreachable> {
        self.github.team_member(&team, &login).await.map_err(|error| {
            tracing::warn!(%error, team, "could not ask GitHub who is in a team");
            Unreachable::GitHub
        })
    }

    /// The id of an app's channel.
    ///
    /// # Errors
    /// When Slack does not know the channel, or does not answer.
    pub async fn channel(&self, app: &AppName) -> Result<String, SlackError> {
        let Some(settings) = self.config.apps.get(app) else {
            return Err(SlackError::Refused { code: "channel_not_found".into() });
        };
        if let Some(id) = lock(&self.memory).channels.get(&settings.channel) {
            return Ok(id.clone());
        }
        let found = self.slack.channel(&settings.channel).await?;
        let id = found.ok_or_else(|| SlackError::Refused { code: "channel_not_found".into() })?.id;
        lock(&self.memory).channels.insert(settings.channel.clone(), id.clone());
        Ok(id)
    }

    /// Notes when an app was last seen; whether that is recent.
    pub fn note_look(&self, app: &AppName) -> bool {
        let Some(at) = self.desks.get(app).and_then(|desk| desk.app().looked_at()) else { return false };
        lock(&self.memory).looked.insert(app.clone(), at).is_none_or(|before| at > before)
    }

    /// In how many apps something goes on, or in how many nothing does.
    pub(crate) fn crowd(&self, active: bool) -> usize {
        let now = self.clock.now();
        let known = lock(&self.memory).active.filter(|(at, _)| now.duration_since(*at).abs() < COUNTED);
        let count = known.map_or_else(|| self.apps().filter(|(_, app)| app.is_active()).count(), |(_, count)| count);
        if known.is_none() {
            lock(&self.memory).active = Some((now, count));
        }
        if active { count } else { self.desks.len() - count }
    }

    /// When each app was last seen at GitHub, all that follows from it decided.
    pub fn looked(&self) -> BTreeMap<AppName, Timestamp> {
        lock(&self.memory).looked.clone()
    }

    /// Notes when a look at an app's servers began that has ended now.
    pub fn note_survey(&self, app: &AppName, from: Timestamp) {
        lock(&self.memory).surveyed.insert(app.clone(), from);
    }

    /// When the last look at each app's servers began, all that follows from it decided.
    pub fn surveyed(&self) -> BTreeMap<AppName, Timestamp> {
        lock(&self.memory).surveyed.clone()
    }

    /// Notes how the store is.
    pub(crate) fn feel(&self, pulse: Pulse) {
        lock(&self.memory).pulse = Some(pulse);
    }

    /// How the store was when it was asked last; `None` before the first time.
    pub(crate) fn pulse(&self) -> Option<Pulse> {
        lock(&self.memory).pulse
    }
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

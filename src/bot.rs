//! THE SHELL: what the parts of the running bot share, how they start and how they end. Rules live in `deploy`, waiting and
//! talking in `inbox`, `watch` and `outbox`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::clock::Clock;
use crate::config::Config;
use crate::deploy::app::App;
use crate::deploy::event::Unreachable;
use crate::deploy::name::{AppName, Login, SlackId};
use crate::deploy::policy::{Person, Policy};
use crate::desk::{Desk, Office};
use crate::github::{GitHub, GitHubError};
use crate::inbox::Inbox;
use crate::outbox;
use crate::server::{self, Check, Readiness};
use crate::slack::inbound::Home;
use crate::slack::people::People;
use crate::slack::socket::{self, SocketHealth, SocketSettings};
use crate::slack::{Identity, Slack, SlackError};
use crate::store::Store;
use crate::store::embedded::Embedded;
use crate::watch::Watcher;

/// A look at GitHub older than this makes the bot not ready.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// How long a stopping bot waits for what it began, after it left Slack. Both together stay below the ten seconds that Docker
/// gives; what is not done by then is in the store, and looked for before it is done again.
const FAREWELL: Duration = Duration::from_secs(3);

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
    /// Who is who in Slack.
    pub people: People,
    /// The sockets.
    pub sockets: SocketHealth,
    /// Told when there is something to perform.
    pub changed: Arc<Notify>,
    desks: BTreeMap<AppName, Desk>,
    looks: BTreeMap<AppName, Arc<Notify>>,
    memory: Mutex<Memory>,
}

/// What was found out while running, and is found out again after a restart.
#[derive(Default)]
struct Memory {
    /// Channel as configured → Slack's id.
    channels: BTreeMap<String, String>,
    /// When each app was last seen at GitHub.
    looked: BTreeMap<AppName, Timestamp>,
}

/// A bot that is set up and not yet listening.
pub struct Bot {
    shell: Arc<Shell>,
    home: Home,
    listener: TcpListener,
    clerks: TaskTracker,
    closing: CancellationToken,
}

/// Runs the bot until `shutdown`.
///
/// # Errors
/// When it cannot start, or when Slack tells it to stop.
pub async fn run(config: Config, clock: Clock, shutdown: CancellationToken) -> anyhow::Result<()> {
    let bot = tokio::select! {
        bot = Bot::set_up(config, clock) => bot?,
        () = shutdown.cancelled() => return Ok(()),
    };
    bot.run(shutdown).await
}

impl Bot {
    /// Opens the store, the desks and the listening address, and asks Slack who it is. GitHub or AWS being away does not matter,
    /// Slack being away is waited out.
    ///
    /// # Errors
    /// When a setting does not work: the data folder, the address, a token that Slack does not take.
    pub async fn set_up(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let at = config.listen;
        let listener = TcpListener::bind(at).await.with_context(|| format!("listen on {at} (LOCKKEEPER_LISTEN)"))?;
        let store = Store::Embedded(Embedded::open(&config.data)?);
        let slack = Slack::new(&config.slack.api_url, config.slack.bot_token.clone(), config.slack.app_token.clone())?;
        let github = GitHub::with_clock(&config.github.api_url, config.github.token.clone(), clock.clone())?;
        let (changed, closing) = (Arc::new(Notify::new()), CancellationToken::new());
        let office =
            Office { store: store.clone(), clock: clock.clone(), changed: changed.clone(), closing: closing.clone() };
        let clerks = TaskTracker::new();
        let mut desks = BTreeMap::new();
        for (name, settings) in &config.apps {
            let new = App::new(name.clone(), Arc::new(settings.policy.clone()));
            let (desk, clerk) = Desk::open(new, name.clone(), office.clone()).await?;
            clerks.spawn(clerk);
            desks.insert(name.clone(), desk);
        }
        let looks = config.apps.keys().map(|name| (name.clone(), Arc::new(Notify::new()))).collect();
        let identity = identity(&slack).await?;
        let people = People::new(slack.clone(), &identity.team_id);
        let home = Home { team_id: identity.team_id, app_id: None };
        let (sockets, memory) = (SocketHealth::default(), Mutex::default());
        let shell = Shell { config, clock, store, slack, github, people, sockets, changed, desks, looks, memory };
        Ok(Self { shell: Arc::new(shell), home, listener, clerks, closing })
    }

    /// What its parts share.
    pub fn shell(&self) -> Arc<Shell> {
        self.shell.clone()
    }

    /// Listens and works until `shutdown`, then ends in order: no new payloads, what was begun is finished or kept, the store last.
    ///
    /// # Errors
    /// When Slack or GitHub says something that cannot heal: a token that is wrong or was revoked.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { shell, home, listener, clerks, closing } = self;
        let result = turn(shell, home, listener, shutdown).await;
        closing.cancel();
        clerks.close();
        clerks.wait().await;
        info!("Lockkeeper stopped");
        result
    }
}

async fn turn(shell: Arc<Shell>, home: Home, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (watching, performing) = (TaskTracker::new(), TaskTracker::new());
    // The outbox goes last: what was acknowledged on the way down is still performed, or kept for the next start.
    let (watch, perform) = (CancellationToken::new(), CancellationToken::new());
    for (name, settings) in &shell.config.apps {
        let (desk, now) = (shell.desk(name)?, shell.looks[name].clone());
        let watcher = Watcher { shell: shell.clone(), name: name.clone(), settings: settings.clone(), desk, now };
        watching.spawn(watcher.run(watch.clone()));
    }
    let readiness = {
        let shell = shell.clone();
        move || shell.readiness()
    };
    info!(apps = shell.config.apps.len(), listen = %listener.local_addr()?, "Lockkeeper starts");
    watching.spawn(server::serve(listener, watch.clone(), readiness));
    performing.spawn(outbox::run(shell.clone(), perform.clone()));

    let inbox = Inbox::new(shell.clone(), home);
    let taking = inbox.clone();
    let handler = move |envelope| {
        let inbox = taking.clone();
        async move { inbox.take(envelope).await }
    };
    let leave = shutdown.child_token();
    let knocking = tokio::spawn(knock(shell.github.clone(), leave.clone()));
    let result =
        socket::run(shell.slack.clone(), SocketSettings::default(), shell.sockets.clone(), handler, leave.clone())
            .await;
    leave.cancel();
    let result = result.and(knocking.await.context("knock at GitHub").flatten());
    let farewell = async {
        inbox.finish().await;
        for (tasks, told) in [(watching, watch), (performing, perform)] {
            told.cancel();
            tasks.close();
            tasks.wait().await;
        }
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("something did not answer in time: what was left undone is done after the next start");
    }
    result
}

impl Shell {
    /// The desk of an app.
    ///
    /// # Errors
    /// When the app is not configured (any more).
    pub fn desk(&self, app: &AppName) -> anyhow::Result<Desk> {
        self.desks.get(app).cloned().with_context(|| format!("there is no app {app}"))
    }

    /// All apps, as last committed.
    pub fn apps(&self) -> impl Iterator<Item = (&AppName, Arc<App>)> {
        self.desks.iter().map(|(name, desk)| (name, desk.app()))
    }

    /// Makes the watcher of an app look now.
    pub fn look_now(&self, app: &AppName) {
        if let Some(look) = self.looks.get(app) {
            look.notify_one();
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

    /// When each app was last seen at GitHub, all that follows from it decided.
    pub fn looked(&self) -> BTreeMap<AppName, Timestamp> {
        lock(&self.memory).looked.clone()
    }

    fn readiness(&self) -> Readiness {
        let now = self.clock.now();
        let connected = self.sockets.connected();
        let looked = self.looked();
        let late: Vec<&str> = self
            .desks
            .keys()
            .filter(|name| looked.get(*name).is_none_or(|at| now.duration_since(*at) > FRESH))
            .map(AppName::as_str)
            .collect();
        let seen =
            if late.is_empty() { "seen lately".to_owned() } else { format!("not seen lately: {}", late.join(", ")) };
        let slack = Check { name: "slack", ok: connected > 0, said: format!("{connected} sockets connected") };
        Readiness { checks: vec![slack, Check { name: "github", ok: late.is_empty(), said: seen }] }
    }
}

/// Who the bot is. Slack being away is waited out; a token that it does not take ends the start.
async fn identity(slack: &Slack) -> anyhow::Result<Identity> {
    let mut pause = Duration::from_millis(200);
    loop {
        match slack.auth_test().await {
            Ok(identity) => return Ok(identity),
            Err(error) if error.is_fatal_auth() => {
                return Err(error).context(
                    "Slack does not take SLACK_BOT_TOKEN: copy it again from the app’s page, OAuth & Permissions",
                );
            }
            Err(error) => tracing::warn!("Slack does not answer yet: {error}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// Asks GitHub once whether it takes the token: a wrong setting ends the start. Nothing waits for it, and GitHub being away is
/// for the watchers to say.
async fn knock(github: GitHub, leave: CancellationToken) -> anyhow::Result<()> {
    let asked = leave.run_until_cancelled(github.whoami()).await;
    if let Some(Err(error @ GitHubError::Unauthorized)) = asked {
        leave.cancel();
        return Err(error).context(
            "GitHub does not take GITHUB_TOKEN: make a new one, as a user who is a required reviewer, and start again",
        );
    }
    Ok(())
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

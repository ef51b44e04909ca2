//! The running bot: how its parts start and how they end. What they share is in `shell`; rules live in `deploy`, waiting and
//! talking in `inbox`, `watch` and `outbox`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::beanstalk::Beanstalk;
use crate::clock::Clock;
use crate::config::Config;
use crate::deploy::app::App;
use crate::deploy::policy::Policy;
use crate::desk::{Desk, Office};
use crate::github::{GitHub, GitHubError};
use crate::hooks::Hooks;
use crate::inbox::Inbox;
use crate::lead::Lead;
use crate::outbox;
use crate::server;
use crate::shell::Shell;
use crate::slack::inbound::Home;
use crate::slack::people::People;
use crate::slack::socket::{self, SocketHealth, SocketSettings};
use crate::slack::{Identity, Slack};
use crate::store::Store;
use crate::store::embedded::Embedded;
use crate::store::redis::Redis;
use crate::telemetry;
use crate::variables::Keeper;
use crate::vault::Vault;
use crate::watch::{NEWCOMERS, ServerWatcher, Watcher, leading};

/// How long a stopping bot waits for what it began, after it left Slack. Both together stay below the ten seconds that Docker
/// gives; what is not done by then is in the store, and looked for before it is done again.
const FAREWELL: Duration = Duration::from_secs(3);

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
        let store = match &config.redis {
            Some(url) => Store::Redis(Redis::new(url)?),
            None => Store::Embedded(Embedded::open(&config.data)?),
        };
        let slack = Slack::new(&config.slack.api_url, config.slack.bot_token.clone(), config.slack.app_token.clone())?;
        let github = GitHub::with_clock(&config.github.api_url, config.github.token.clone(), clock.clone())?;
        let beanstalk = config.beanstalk.as_deref().map_or_else(Beanstalk::new, Beanstalk::at);
        let (changed, closing) = (Arc::new(Notify::new()), CancellationToken::new());
        let office =
            Office { store: store.clone(), clock: clock.clone(), changed: changed.clone(), closing: closing.clone() };
        let identity = identity(&slack).await?;
        let clerks = TaskTracker::new();
        let mut desks = BTreeMap::new();
        for (name, settings) in &config.apps {
            let policy = Policy { workspace: Some(identity.url.clone()), ..settings.policy.clone() };
            let new = App::new(name.clone(), Arc::new(policy));
            let (desk, clerk) = Desk::open(new, name.clone(), office.clone());
            clerks.spawn(clerk);
            // A Redis that is away is waited for later: until then the bot answers what it can.
            if !store.is_shared() {
                desk.refresh(None).await?;
            }
            desks.insert(name.clone(), desk);
        }
        let bells = || config.apps.keys().map(|name| (name.clone(), Arc::new(Notify::new()))).collect();
        let (looks, surveys) = (bells(), bells());
        let hints = config.apps.keys().map(|name| (name.clone(), watch::Sender::new(0))).collect();
        let people = People::new(slack.clone(), &identity.team_id);
        let home = Home { team_id: identity.team_id, app_id: None };
        let (sockets, memory, heralding) = (SocketHealth::default(), Default::default(), Default::default());
        let vault = Vault::default();
        let shell = Shell {
            config,
            clock,
            store,
            slack,
            github,
            beanstalk,
            people,
            vault,
            sockets,
            changed,
            lead: Lead::default(),
            newcomers: Semaphore::new(NEWCOMERS),
            desks,
            looks,
            hints,
            surveys,
            memory,
            heralding,
        };
        Ok(Self { shell: Arc::new(shell), home, listener, clerks, closing })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("ask where it listens")
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
    let leave = shutdown.child_token();
    for (name, settings) in &shell.config.apps {
        let (desk, now) = (shell.desk(name)?, shell.looks[name].clone());
        let servers = ServerWatcher {
            shell: shell.clone(),
            name: name.clone(),
            aws: settings.aws,
            desk: desk.clone(),
            now: shell.surveys[name].clone(),
        };
        let hints = shell.hints[name].subscribe();
        let watcher =
            Watcher { shell: shell.clone(), name: name.clone(), settings: settings.clone(), desk, now, hints };
        if settings.aws {
            let keeper = Keeper { shell: shell.clone(), name: name.clone() };
            watching.spawn(vital("a keeper of variables", keeper.run(watch.clone()), watch.clone(), leave.clone()));
        }
        watching.spawn(vital("a watcher", watcher.run(watch.clone()), watch.clone(), leave.clone()));
        watching.spawn(vital("a watcher of servers", servers.run(watch.clone()), watch.clone(), leave.clone()));
    }
    watching.spawn(vital("leading", leading::run(shell.clone(), watch.clone()), watch.clone(), leave.clone()));
    let readiness = {
        let shell = shell.clone();
        move || telemetry::readiness(&shell)
    };
    info!(apps = shell.config.apps.len(), listen = %listener.local_addr()?, "Lockkeeper starts");
    let hooks = Hooks::new(shell.clone()).map(Arc::new);
    watching.spawn(server::serve(listener, watch.clone(), readiness, hooks));
    watching.spawn(vital("the telemetry", telemetry::run(shell.clone(), watch.clone()), watch.clone(), leave.clone()));
    let outbox = outbox::run(shell.clone(), perform.clone());
    performing.spawn(vital("the outbox", outbox, perform.clone(), leave.clone()));

    let inbox = Inbox::new(shell.clone(), home);
    let taking = inbox.clone();
    let handler = move |envelope| {
        let inbox = taking.clone();
        async move { inbox.take(envelope).await }
    };
    let knocking = tokio::spawn(knock(shell.github.clone(), leave.clone()));
    let result =
        socket::run(shell.slack.clone(), SocketSettings::default(), shell.sockets.clone(), handler, leave.clone())
            .await;
    let broken = leave.is_cancelled() && !shutdown.is_cancelled();
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
    if result.is_ok() && broken {
        bail!("a part of the bot broke, see the log; nothing that was acknowledged is lost");
    }
    result
}

/// A part that ends before it was told to ends the bot: one that is half alive is worse than one that is started again.
async fn vital(part: &str, work: impl Future<Output = ()>, told: CancellationToken, leave: CancellationToken) {
    let ended = AssertUnwindSafe(work).catch_unwind().await;
    if ended.is_err() || !told.is_cancelled() {
        tracing::error!("{part} broke");
        leave.cancel();
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn leaves(work: impl Future<Output = ()>, told: bool) -> bool {
        let (ending, leave) = (CancellationToken::new(), CancellationToken::new());
        if told {
            ending.cancel();
        }
        vital("a part", work, ending, leave.clone()).await;
        leave.is_cancelled()
    }

    #[tokio::test]
    async fn a_part_that_breaks_ends_the_bot() {
        assert!(!leaves(async {}, true).await, "it ended as it was told");
        assert!(leaves(async {}, false).await, "nobody told it to end");
        assert!(leaves(async { panic!("a bug") }, true).await);
    }
}

//! The pretend world, its page and the real bot in one process, on loopback, without any account. The world and its wires know
//! nothing of the bot: they see what GitHub, Slack and Elastic Beanstalk would see. What the bot gets from here is only settings.

pub mod beanstalk;
pub mod github;
pub mod page;
mod record;
pub mod slack;
pub mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bot::Bot;
use crate::clock::Clock;
use crate::config::{Config, Mistake, Polling};
use record::Record;
use slack::Workspace;
use world::World;

/// What the bot is told in the sandbox; a team's own file would name its own repos and people.
pub const SETTINGS: &str = r##"
channel = "#deploys"
command = "/deploy"
expected_differences = ["DATABASE_URL", "SECRET_KEY", "SENTRY_DSN"]
set_variables = true

[approvers]
slack_usergroups = ["S0DEVS"]

[people]
ana-gh = "UANA"
ben-gh = "UBEN"
chi-gh = "UCHI"
dora-gh = "UDORA"

[apps]
h = "hypothesis/h"
lms = "hypothesis/lms"
via = "hypothesis/via"
report = "hypothesis/report"
client = "hypothesis/client"
"##;

/// Where the AWS SDK looks for an address. A bot in the sandbox's own process is told by its settings.
const BEANSTALK: &str = "AWS_ENDPOINT_URL_ELASTIC_BEANSTALK";
/// What signs the pretend GitHub's webhooks, once one is set up.
pub const HOOK_SECRET: &str = "sandbox-canary-hook-secret";
/// How often the bot looks at the pretend GitHub, which has no budget to protect.
const POLLING: Polling = Polling { active: Duration::from_millis(500), idle: Duration::from_secs(1) };
/// How often the world moves by itself.
const TURN: Duration = Duration::from_millis(100);

/// A pretend world that is being served, and the settings for a bot in it.
pub struct Sandbox {
    /// Moves for the world and for the bot alike.
    pub clock: Clock,
    /// GitHub and Elastic Beanstalk.
    pub world: World,
    /// Slack.
    pub workspace: Workspace,
    /// Where the page is.
    pub page: SocketAddr,
    record: Record,
    environment: BTreeMap<String, String>,
    data: PathBuf,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Sandbox {
    /// Opens the world: its services on free ports of loopback, its page on `page` (port 0 for any). The bot's data will be in `data`.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub async fn open(page: SocketAddr, data: &Path) -> anyhow::Result<Self> {
        Self::open_at(Clock::default(), page, data).await
    }

    /// The same, by a clock of one's own.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub async fn open_at(clock: Clock, page: SocketAddr, data: &Path) -> anyhow::Result<Self> {
        let record = Record::default();
        let world = World::hypothesis(clock.clone()).recorded(record.clone());
        let workspace = Workspace::new(clock.clone()).recorded(record.clone());
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (github, at_github) = listen().await?;
        let (beanstalk, at_beanstalk) = listen().await?;
        let (slack, at_slack) = listen().await?;
        let page = TcpListener::bind(page).await.with_context(|| format!("listen on {page} for the page"))?;
        let at_page = page.local_addr()?;
        tasks.spawn(github::serve(github, world.clone(), shutdown.clone()));
        tasks.spawn(beanstalk::serve(beanstalk, world.clone(), shutdown.clone()));
        tasks.spawn(slack::serve(slack, workspace.clone(), shutdown.clone()));
        tasks.spawn(page::serve(page, workspace.clone(), panel(&world), shutdown.clone()));
        tasks.spawn(github::deliver(world.clone(), shutdown.clone()));
        tasks.spawn(turn(world.clone(), shutdown.clone()));
        let environment = [
            ("SLACK_API_URL", format!("http://{at_slack}/api")),
            ("SLACK_BOT_TOKEN", workspace.bot_token().to_owned()),
            ("SLACK_APP_TOKEN", workspace.app_token().to_owned()),
            ("GITHUB_API_URL", format!("http://{at_github}")),
            ("GITHUB_TOKEN", world.token()),
            ("GITHUB_WEBHOOK_SECRET", HOOK_SECRET.to_owned()),
            (BEANSTALK, format!("http://{at_beanstalk}")),
            ("AWS_ACCESS_KEY_ID", "AKIAPRETENDPRETEND00".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "pretend".to_owned()),
            ("LOCKKEEPER_LISTEN", "127.0.0.1:0".to_owned()),
            ("LOCKKEEPER_DATA", data.display().to_string()),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Self { clock, world, workspace, page: at_page, record, environment, data: data.to_owned(), shutdown, tasks })
    }

    /// The settings of a bot in this world, read as any bot's: from variables and a file.
    ///
    /// # Errors
    /// When the file has mistakes.
    pub fn config(&self, file: &str) -> anyhow::Result<Config> {
        let config = Config::read(&self.environment, Some(file)).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
            anyhow!("{}", lines.join("\n"))
        })?;
        let beanstalk = self.environment.get(BEANSTALK).cloned();
        Ok(Config { polling: POLLING, data: self.data.clone(), beanstalk, ..config })
    }

    /// Writes down from now on all that passes over the wire: a line of JSON for each request with its answer, and for each frame.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn record(&self, file: &Path) -> anyhow::Result<()> {
        self.record.open(file).with_context(|| format!("record the wire in {}", file.display()))
    }

    /// The environment variables of a bot in this world, for one that runs in a process of its own.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Sets up the webhook as the README says, for a bot that listens there.
    pub fn set_up_hook(&self, at: SocketAddr) {
        let events = ["push", "workflow_job", "workflow_run"];
        self.world.set_up_hook(&format!("http://{at}/github/webhook"), HOOK_SECRET, &events);
    }

    /// Ends the world.
    pub async fn close(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Opens a world, prints the address of its page, and runs the bot in it until `shutdown`.
///
/// # Errors
/// When the port is taken, or the bot cannot start.
pub async fn run(port: u16, shutdown: CancellationToken) -> anyhow::Result<()> {
    let data = std::env::temp_dir().join(format!("lockkeeper-sandbox-{}", std::process::id()));
    let sandbox = Sandbox::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &data).await?;
    let config = sandbox.config(SETTINGS)?;
    println!("The sandbox is open: http://{}\nNothing leaves this machine. Ctrl-C ends it.", sandbox.page);
    let result = run_bot(&sandbox, config, shutdown).await;
    sandbox.close().await;
    // The world is gone, so what the bot remembers of it is worth nothing.
    let _ = std::fs::remove_dir_all(&data);
    result
}

/// The bot with a webhook of the world's.
async fn run_bot(sandbox: &Sandbox, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let bot = Bot::set_up(config, sandbox.clock.clone()).await?;
    sandbox.set_up_hook(bot.address()?);
    bot.run(shutdown).await
}

async fn listen() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen on loopback")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn turn(world: World, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        world.tick();
        tokio::select! {
            () = tokio::time::sleep(TURN) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn panel(
    world: &World,
) -> page::World<
    impl Fn() -> serde_json::Value + Clone + Send + Sync + 'static,
    impl Fn(serde_json::Value) -> Result<String, String> + Clone + Send + Sync + 'static,
> {
    let (seen, done) = (world.clone(), world.clone());
    page::World {
        view: move || seen.view(),
        act: move |act| {
            let act = serde_json::from_value(act).map_err(|error| format!("The world cannot do that: {error}"))?;
            done.act(act)
        },
    }
}

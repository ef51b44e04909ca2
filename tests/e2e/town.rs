//! A town of its own for each story: a pretend world, a bot in it, and the hands to act on both.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockkeeper::bot::Bot;
use lockkeeper::clock::Clock;
use lockkeeper::config::{Config, Polling};
use lockkeeper::sandbox::Sandbox;
use lockkeeper::sandbox::slack::{Ephemeral, Message, MessageRef};
use lockkeeper::sandbox::world::{Act, Outcome};
use lockkeeper::shell::Shell;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::redis::Redis;

/// The app that most stories are about.
pub const H: &str = "hypothesis/h";
/// Its channel.
pub const DEPLOYS: &str = "CDEPLOYS";
/// The longest that anything may take before a story fails.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The settings of a town, unless a story brings its own: one app, four people, three of them may approve.
pub const SETTINGS: &str = r##"
channel = "#deploys"
digest = "off"
remind_after = "off"
verify_after = "off"

[approvers]
slack_usergroups = ["S0DEVS"]

[people]
ana-gh = "UANA"
ben-gh = "UBEN"
chi-gh = "UCHI"
dora-gh = "UDORA"

[apps]
h = "hypothesis/h"
"##;

/// A pretend world with a bot in it.
pub struct Town {
    pub sandbox: Sandbox,
    pub settings: String,
    bot: Option<Running>,
    /// Where the bot's clients go instead.
    pub reroute: Option<Reroute>,
    /// The shared store; the embedded one where there is none.
    redis: Option<Redis>,
    data: TempDir,
    /// How often the bot looks.
    pub polling: Polling,
}

type Reroute = Box<dyn Fn(&mut Config) + Send + Sync>;

struct Running {
    address: SocketAddr,
    shell: Arc<Shell>,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Town {
    /// A town whose bot has had its first look.
    pub async fn open() -> Self {
        Self::with(SETTINGS).await
    }

    /// A town with settings of its own.
    pub async fn with(settings: &str) -> Self {
        let mut town = Self::without_bot(settings).await;
        town.start().await;
        town
    }

    /// A town whose bot has not been started yet.
    pub async fn without_bot(settings: &str) -> Self {
        Self::at(Clock::default(), settings).await
    }

    /// The same, by a clock of its own.
    pub async fn at(clock: Clock, settings: &str) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::open_at(clock, ([127, 0, 0, 1], 0).into(), data.path()).await.expect("a sandbox");
        record(&sandbox);
        let polling = Polling { active: Duration::from_millis(60), idle: Duration::from_millis(60) };
        Self { sandbox, settings: settings.to_owned(), bot: None, reroute: None, redis: None, data, polling }
    }

    /// A town whose bot keeps what it knows in a Redis of the town's own, and has had its first look.
    pub async fn on_redis() -> Self {
        let mut town = Self::without_bot(SETTINGS).await;
        town.redis = Some(Redis::start().await);
        town.start().await;
        town
    }

    /// Its bot keeps what it knows there from now on.
    pub fn share(&mut self, redis: Redis) {
        self.redis = Some(redis);
    }

    /// The town's Redis.
    pub fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("a town on Redis")
    }

    /// The bot's settings, with the polling of a story.
    pub fn config(&self) -> Config {
        let config = self.sandbox.config(&self.settings).expect("good settings");
        let polling = self.polling;
        let redis = self.redis.as_ref().map(|redis| redis.url().into());
        let mut config = Config { polling, data: self.data.path().to_owned(), redis, ..config };
        self.reroute.iter().for_each(|reroute| reroute(&mut config));
        config
    }

    /// Starts the bot and waits for its first look.
    pub async fn start(&mut self) {
        self.start_only().await;
        self.settled().await;
    }

    /// Starts the bot.
    pub async fn start_only(&mut self) {
        let bot = Bot::set_up(self.config(), self.sandbox.clock.clone()).await.expect("a bot that starts");
        let (shell, shutdown, address) = (bot.shell(), CancellationToken::new(), bot.address().expect("an address"));
        let task = tokio::spawn(bot.run(shutdown.clone()));
        self.bot = Some(Running { address, shell, shutdown, task });
    }

    /// Stops the bot as a deployment would.
    pub async fn stop(&mut self) {
        let Some(running) = self.bot.take() else { return };
        running.shutdown.cancel();
        running.task.await.expect("no panic").expect("a bot that stops in peace");
    }

    /// Whether a text is in any file that the bot keeps.
    pub fn remembers(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.data.path()).expect("a folder");
        let mut texts = files.map(|file| std::fs::read(file.expect("a file").path()).expect("bytes"));
        texts.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// Where the bot's own server listens.
    pub fn address(&self) -> SocketAddr {
        self.bot.as_ref().expect("a running bot").address
    }

    pub fn shell(&self) -> &Shell {
        &self.bot.as_ref().expect("a running bot").shell
    }

    /// Waits until the bot has looked at GitHub and at the servers after everything that happened so far, and nothing is left to
    /// perform.
    pub async fn settled(&self) {
        let shell = self.shell();
        for _ in 0..2 {
            let from = self.sandbox.clock.now();
            until("the bot to settle", || async {
                let (looked, surveyed) = (shell.looked(), shell.surveyed());
                let since = |app| [&looked, &surveyed].iter().all(|seen| seen.get(app).is_some_and(|at| *at > from));
                let all = shell.config.apps.keys().all(since);
                // A store may have been away a moment ago.
                let rest = shell.store.backlog().await.ok()?.count;
                (all && rest == 0 && shell.sockets.connected() > 0).then_some(())
            })
            .await;
        }
    }

    /// Does something in the world; returns the newest run's id.
    pub fn act(&self, act: Act) -> u64 {
        self.sandbox.world.act(act).expect("the world can do that");
        self.sandbox.world.newest_run(H).expect("a run")
    }

    pub fn merge(&self, author: &str, title: &str) -> u64 {
        self.act(Act::merge(H, author, title))
    }

    /// Ends jobs of a run.
    pub fn finish(&self, run: u64, jobs: &[&str], outcome: Outcome) {
        for job in jobs {
            self.act(Act::finish(H, run, job, outcome));
        }
    }

    /// Builds a run and brings it to both test environments.
    pub fn on_staging(&self, run: u64) {
        self.finish(run, &["Docker Hub", "Staging", "Staging (WebSocket)"], Outcome::Success);
    }

    /// Types a command in #deploys and waits until all is said.
    pub async fn command(&self, user: &str, text: &str) {
        self.sandbox.workspace.command(user, DEPLOYS, text).await.expect("a command that is acknowledged");
        self.settled().await;
    }

    /// Clicks a button by what it says and waits until all is said.
    pub async fn click(&self, user: &str, at: &MessageRef, label: &str) {
        let button = self.button(user, at, label);
        self.sandbox.workspace.click(user, at, &button).await.expect("a click that is acknowledged");
        self.settled().await;
    }

    /// The action id of a button by what it says.
    pub fn button(&self, user: &str, at: &MessageRef, label: &str) -> String {
        let workspace = &self.sandbox.workspace;
        let buttons = match at {
            MessageRef::Message { channel, ts } => {
                let messages = workspace.messages(channel);
                messages.iter().find(|m| m.ts == *ts).map(Message::buttons)
            }
            MessageRef::Ephemeral { ts } => {
                workspace.ephemerals(user).iter().find(|m| m.ts == *ts).map(Ephemeral::buttons)
            }
            MessageRef::View { id } => workspace.views(user).iter().find(|v| v.id == *id).map(|v| v.buttons()),
        };
        let buttons = buttons.expect("a message with buttons");
        let found = buttons.iter().find(|button| button.text == label);
        found.unwrap_or_else(|| panic!("no button {label:?} among {buttons:?}")).action_id.clone()
    }

    /// What the notice of a run says, times left out.
    pub fn says(&self, number: u64) -> String {
        timeless(&self.notice(number).reads())
    }

    /// What this person alone read last, times left out.
    pub fn told(&self, user: &str) -> String {
        timeless(&self.answer(user).reads())
    }

    /// The notice of the run with that number.
    pub fn notice(&self, number: u64) -> Message {
        let start = format!("h · run {number}");
        let messages = self.sandbox.workspace.messages(DEPLOYS);
        let mut found = messages.into_iter().filter(|m| m.thread_ts.is_none() && m.reads().contains(&start));
        let notice = found.next().unwrap_or_else(|| panic!("no notice of run {number}"));
        assert!(found.next().is_none(), "run {number} has two notices");
        notice
    }

    /// What was said in the thread of a notice, oldest first.
    pub fn thread(&self, number: u64) -> Vec<String> {
        self.notice(number).replies.iter().map(|reply| timeless(&reply.reads())).collect()
    }

    /// What only this person saw last.
    pub fn answer(&self, user: &str) -> Ephemeral {
        self.sandbox.workspace.ephemerals(user).pop().expect("an answer")
    }

    /// How often each of these people was mentioned, in order of time.
    pub fn mentions(&self) -> Vec<String> {
        self.sandbox.workspace.mentions().into_iter().map(|(who, _, _)| who).collect()
    }

    /// The bodies of the approvals and rejections that reached GitHub.
    pub fn reviews(&self) -> Vec<serde_json::Value> {
        let requests = self.sandbox.world.requests();
        let posted = requests.into_iter().filter(|r| r.method == "POST" && r.path.ends_with("/pending_deployments"));
        posted.map(|r| serde_json::from_str(&r.body).expect("JSON")).collect()
    }

    /// Ends the story: nothing is left to do, and the world has nothing to complain about.
    pub async fn close(mut self) {
        if self.bot.is_some() {
            self.settled().await;
            self.stop().await;
        }
        let complaints = [self.sandbox.world.complaints(), self.sandbox.workspace.complaints()].concat();
        assert!(complaints.is_empty(), "the world complains: {complaints:#?}");
        self.sandbox.close().await;
    }
}

/// Has the wire written down for `tests/judge`, where `tests/run` says: a file for each sandbox, called after the story.
pub fn record(sandbox: &Sandbox) {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    let Some(folder) = std::env::var_os("WIRE_RECORD") else { return };
    let story = std::env::var("NEXTEST_TEST_NAME").expect("a story that nextest tells");
    let (process, nth) = (std::process::id(), OPENED.fetch_add(1, Ordering::Relaxed));
    let file = format!("{}.{process}.{nth}.jsonl", story.replace("::", "."));
    sandbox.record(&Path::new(&folder).join(file)).expect("a record");
}

/// Text as a story compares it: times of day are left out.
pub fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(" UTC") {
        let start = at.saturating_sub("2026-11-23 07:10".len());
        let (Some(before), Some(time)) = (rest.get(..start), rest.get(start..at)) else { break };
        let is_time = time.bytes().all(|b| b.is_ascii_digit() || b" :-".contains(&b));
        out.push_str(if is_time { before } else { &rest[..at] });
        out.push_str(if is_time { "(time)" } else { " UTC" });
        rest = &rest[at + " UTC".len()..];
    }
    out + rest
}

/// Waits for something, at most [`PATIENCE`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

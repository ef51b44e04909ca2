//! Processes that are measured: the bot as it ships, the floor, a Redis. Each ends with its handle.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::github::{GitHub, copy};
use super::slack::Slack;

/// Ticks of a processor's time in a second, in `/proc`.
const TICKS: f64 = 100.0;

/// A running process.
pub struct Process {
    child: Child,
    /// When it was started.
    pub began: Instant,
    folder: TempDir,
    listen: String,
}

/// What a bot is started with.
pub struct Start {
    variables: BTreeMap<String, String>,
    file: String,
}

/// Memory in kB: `/proc/…/smaps_rollup` and the peak of `/proc/…/status`.
#[derive(Clone, Copy)]
pub struct Memory {
    /// All pages that are in memory.
    pub rss: u64,
    /// Shared pages by their share.
    pub pss: u64,
    /// What is neither a file's nor shared.
    pub anonymous: u64,
    /// The highest `rss` so far.
    pub peak: u64,
}

impl Start {
    /// A bot with so many apps.
    pub fn bot(slack: &Slack, github: &GitHub, apps: usize) -> Self {
        let listen = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let listen = listen.map(|at| at.to_string()).unwrap_or_default();
        let variables = [
            ("SLACK_API_URL", slack.url.clone()),
            ("SLACK_BOT_TOKEN", "xoxb-bench".to_owned()),
            ("SLACK_APP_TOKEN", "xapp-bench".to_owned()),
            ("GITHUB_API_URL", github.url.clone()),
            ("GITHUB_TOKEN", github.token.clone()),
            ("AWS_ENDPOINT_URL_ELASTIC_BEANSTALK", github.beanstalk.clone()),
            ("AWS_ACCESS_KEY_ID", "AKIABENCH".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
            ("LOCKKEEPER_LISTEN", listen),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut file = "channel = \"#deploys\"\n[approvers]\nslack_users = [\"U0BENCH001\"]\n[people]\nana-gh = \"U0BENCH001\"\n[apps]\nh = \"hypothesis/h\"\n".to_owned();
        for name in (1..apps).map(copy) {
            file.push_str(&format!("[apps.{name}]\nrepo = \"hypothesis/{name}\"\naws = false\n"));
        }
        Self { variables, file }
    }

    /// With another variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts it.
    pub fn go(&self) -> anyhow::Result<Process> {
        let folder = folder()?;
        std::fs::write(folder.path().join("lockkeeper.toml"), &self.file)?;
        let binary = std::env::var("LOCKKEEPER_BENCH").unwrap_or_else(|_| env!("CARGO_BIN_EXE_lockkeeper").to_owned());
        let mut command = Command::new(binary);
        command.env_clear().envs(&self.variables);
        let listen = self.variables["LOCKKEEPER_LISTEN"].clone();
        spawn(command, folder, listen)
    }
}

/// The floor: this very program, acking only.
pub fn floor(slack: &Slack) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(super::FLOOR).arg(&slack.link);
    spawn(command, folder()?, String::new())
}

/// A Redis that keeps everything, as `compose.yml` has it; its address.
pub async fn redis() -> anyhow::Result<(Process, String)> {
    let folder = folder()?;
    let socket = folder.path().join("redis.sock");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--loglevel", "warning"]);
    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    let process = spawn(command, folder, String::new()).context("start redis-server")?;
    while UnixStream::connect(&socket).await.is_err() {
        if process.began.elapsed() > Duration::from_secs(20) {
            bail!("redis-server does not start");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((process, format!("redis+unix://{}", socket.display())))
}

/// On the disk that is built on: what is measured needs a real one.
pub fn folder() -> anyhow::Result<TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).context("make a folder")
}

fn spawn(mut command: Command, folder: TempDir, listen: String) -> anyhow::Result<Process> {
    let said = File::create(folder.path().join("said"))?;
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let began = Instant::now();
    Ok(Process { child: command.spawn()?, began, folder, listen })
}

impl Process {
    /// Processor time so far.
    pub fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string()).unwrap_or_default()
    }

    /// What it takes now.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let (rollup, status) = (read("smaps_rollup")?, read("status")?);
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
        };
        Ok(Memory {
            rss: field(&rollup, "Rss:"),
            pss: field(&rollup, "Pss:"),
            anonymous: field(&rollup, "Anonymous:"),
            peak: field(&status, "VmHWM:"),
        })
    }

    /// Waits until its sockets stand and it has read all there is of every app; how long that took from the start.
    pub async fn ready(&self, slack: &Slack) -> anyhow::Result<Duration> {
        // 500 apps read a long history first.
        let patience = Duration::from_secs(300);
        loop {
            let (status, said) = self.get("/ready").await.unwrap_or_default();
            if status == 200 && slack.connected() >= 2 {
                return Ok(self.began.elapsed());
            }
            if self.began.elapsed() > patience {
                bail!("the bot does not become ready: {said}; it said:\n{}", self.said());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.listen).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).context("a status")?.parse()?;
        Ok((status, answer))
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        said.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Lines of its log at `WARN` and `ERROR`.
    pub fn worries(&self) -> usize {
        let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        said.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).count()
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).map_or(0, Iterator::count)
    }
}

/// Processor time of this process, Slack's side.
pub fn own_cpu() -> Duration {
    cpu_of("self").unwrap_or_default()
}

fn cpu_of(process: &str) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks: u32 = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(Duration::from_secs_f64(f64::from(ticks) / TICKS))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

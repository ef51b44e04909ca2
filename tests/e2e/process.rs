//! Lockkeeper as its users run it: the built binary in a process of its own, with settings in its environment and in a file. It
//! is killed when dropped, whatever became of the story.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lockkeeper::sandbox::Sandbox;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::town::until;

/// A running binary, and what it says.
pub struct Process {
    child: Child,
    folder: TempDir,
}

/// What a process is started with.
#[derive(Clone)]
pub struct Start {
    pub environment: BTreeMap<String, String>,
    /// The text of the settings file; none where there is no such file.
    pub file: Option<String>,
    pub arguments: Vec<&'static str>,
}

impl Start {
    /// A bot in a world, asking GitHub as often as it may.
    pub fn of(sandbox: &Sandbox, file: &str) -> Self {
        let polling = "\n[polling]\nactive = \"2s\"\nidle = \"10s\"\n";
        Self { environment: sandbox.environment().clone(), file: Some(format!("{file}{polling}")), arguments: vec![] }
    }

    /// With another variable; nothing unsets it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        match value {
            "" => self.environment.remove(name),
            value => self.environment.insert(name.to_owned(), value.to_owned()),
        };
        self
    }

    /// With a part of the settings file in other words.
    pub fn saying(mut self, old: &str, new: &str) -> Self {
        let file = self.file.expect("a settings file");
        assert!(file.contains(old), "the settings do not say {old}");
        self.file = Some(file.replace(old, new));
        self
    }

    /// Only looks at the settings.
    pub fn check(mut self) -> Self {
        self.arguments = vec!["check"];
        self
    }

    /// Starts it in an empty folder, where no `.env` lies about.
    pub fn go(&self) -> Process {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(text) = &self.file {
            std::fs::write(folder.path().join("lockkeeper.toml"), text).expect("a settings file");
        }
        let file = |name: &str| File::create(folder.path().join(name)).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_lockkeeper"))
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file("printed"))
            .stderr(file("said"))
            .spawn()
            .expect("the binary starts");
        Process { child, folder }
    }
}

impl Process {
    /// What it wrote to standard error so far: its log.
    pub fn said(&self) -> String {
        self.read("said")
    }

    /// What it wrote to standard output so far.
    pub fn printed(&self) -> String {
        self.read("printed")
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        String::from_utf8_lossy(&std::fs::read(path).expect("what it said")).into_owned()
    }

    /// Waits until it says something.
    pub async fn says(&self, words: &str) {
        until(&format!("the process to say {words:?}"), || async { self.said().contains(words).then_some(()) }).await;
    }

    /// Waits until it can do its work: what there is at GitHub was looked at.
    pub async fn is_ready(&self) {
        until("the process to be ready", || async { (self.get("/ready").await.0 == 200).then_some(()) }).await;
    }

    /// Ends it as the kernel would: at once, without a word.
    pub fn kill(&mut self) {
        self.child.kill().expect("something to kill");
        self.child.wait().expect("an end");
    }

    /// Asks it to end, as a container's host does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal: `STOP` puts it to sleep, `CONT` wakes it.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end, at most that long; its exit code.
    pub async fn ends(&mut self, within: Duration) -> i32 {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
            }
            assert!(tokio::time::Instant::now() < deadline, "still there after {within:?}; it said:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where its own server listens.
    pub async fn address(&self) -> SocketAddr {
        self.says(" listen=").await;
        let said = self.said();
        let listen = said.split(" listen=").nth(1).and_then(|rest| rest.split_whitespace().next());
        listen.and_then(|listen| listen.parse().ok()).expect("an address")
    }

    /// Status and body of one of its own routes.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address().await).await.expect("somebody who listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }
}

/// Sends a process a signal by its name, without `SIG`.
pub fn signal(process: &Child, name: &str) {
    let kill = format!("kill -{name} {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A real Redis, started by the story that needs it and ended with it; and the stories of a bot that keeps what it knows there.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use insta::assert_snapshot;
use lockkeeper::sandbox::world::Outcome;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::process::{Start, signal};
use crate::town::{DEPLOYS, SETTINGS, Town, until};

/// A redis-server of a story's own, on a socket in a folder of its own, which keeps everything on the disk.
pub struct Redis {
    folder: TempDir,
    process: Child,
}

impl Redis {
    /// Starts it; the tests fail where there is none to start.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = go(&folder);
        let redis = Self { folder, process };
        redis.answers().await;
        redis
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    async fn answers(&self) {
        let socket = self.folder.path().join("redis.sock");
        until("redis-server to start", || async { UnixStream::connect(&socket).await.ok() }).await;
    }

    /// The file that every write goes to.
    pub fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("appendonlydir/appendonly.aof.1.incr.aof")
    }

    /// Dies without a word.
    pub fn kill(&mut self) {
        self.process.kill().expect("something to kill");
        self.process.wait().expect("an end");
    }

    /// Comes back with what was on the disk.
    pub async fn come_back(&mut self) {
        self.process = go(&self.folder);
        self.answers().await;
    }

    /// Stops answering (`STOP`), or goes on (`CONT`).
    pub fn signal(&self, name: &str) {
        signal(&self.process, name);
    }
}

fn go(folder: &TempDir) -> Child {
    // It would find its own socket in the way.
    let _ = std::fs::remove_file(folder.path().join("redis.sock"));
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--loglevel", "warning"])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed: tests/run does that")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Redis on a port, with TLS by a certificate of its own and a password; the folder holds the certificate.
fn guarded() -> (Redis, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.path().join("cert.pem"), cert.pem()).expect("a file");
    std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).expect("a file");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let process = Command::new("redis-server")
        .args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string(), "--requirepass", "canary"])
        .args(["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem"])
        .args(["--tls-auth-clients", "no", "--save", "", "--loglevel", "warning"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed: tests/run does that");
    (Redis { folder, process }, format!("rediss://:canary@localhost:{port}/3"))
}

/// Everything is moved to a guarded Redis and back, and a bot goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_there_and_back() {
    let mut town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.command("UCHI", "hold h migrating").await;
    town.stop().await;
    let (redis, url) = guarded();
    let certificate = redis.folder.path().join("cert.pem").display().to_string();
    let settings = Start::of(&town.sandbox, SETTINGS).with("REDIS_URL", &url).with("SSL_CERT_FILE", &certificate);
    let copy = async |start: &Start, to: &'static str| {
        let mut process = Start { arguments: vec!["store", "copy", "--to", to], ..start.clone() }.go();
        let code = process.ends(Duration::from_secs(20)).await;
        (code, process.printed() + &process.said())
    };
    // It starts while it is asked: the first tries may find nobody.
    let copied =
        until("the copy", || async { Some(copy(&settings, "redis").await).filter(|(code, _)| *code == 0) }).await;
    assert_snapshot!(copied.1, @"Copied 1 app, 0 effects still to be performed, 1 request decided lately and 1 line of the audit log.");
    assert_snapshot!(copy(&settings, "redis").await.1, @"lockkeeper: this Redis holds something of Lockkeeper’s already (keys lockkeeper:…): name another database in REDIS_URL");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let elsewhere = settings.clone().with("LOCKKEEPER_DATA", &elsewhere.path().display().to_string());
    assert_snapshot!(copy(&elsewhere, "embedded").await.1, @"Copied 1 app, 0 effects still to be performed, 1 request decided lately and 1 line of the audit log.");
    let wrong = settings.clone().with("REDIS_URL", &url.replace("canary", "hunter2"));
    let (code, said) = copy(&wrong, "embedded").await;
    assert_eq!(code, 1);
    assert!(!said.contains("hunter2"), "{said}");
    assert_snapshot!(said, @"lockkeeper: see who leads: redis: authentication failed");
    let mut check = settings.clone().check().go();
    check.ends(Duration::from_secs(20)).await;
    assert!(check.printed().contains("Redis answers and keeps what it is given"), "{}", check.printed());

    let process = settings.go();
    until("the bot to connect", || async { (town.sandbox.workspace.connected() >= 2).then_some(()) }).await;
    town.sandbox.workspace.command("UCHI", DEPLOYS, "release h").await.expect("an ack");
    until("the release", || async { town.broadcasts().iter().any(|said| said.contains("is released")).then_some(()) })
        .await;
    drop(process);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_main_job() {
    let mut town = Town::on_redis().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.command("UANA", "tested h").await;
    town.stop().await;
    town.start().await;
    town.approve("UBEN").await;
    town.ship(run);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ✅ 14c7efe is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved by <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    Shipped 1 change:
    ✅ #4498 Fix RPC · <@UANA>, tested (time)
    Something is wrong…
    ");
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UBEN> · approve run 812 on Production, Production (WebSocket), Production (Canada) · granted
    (time) · <@UANA> · tested run 812 · done · “#4498”
    ");
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

/// Redis dies and the bot has noticed: of what was on its way when that happened nobody knows whether it arrived.
async fn dies(town: &mut Town) {
    town.redis().kill();
    let store = &town.shell().store;
    until("the bot to notice", || async { store.backlog().await.is_err().then_some(()) }).await;
}

/// Dead or silent: nothing is done that cannot be written down, everybody is told at once, and afterwards all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_gone_for_a_while() {
    for silent in [false, true] {
        let mut town = Town::on_redis().await;
        let run = town.waiting("ana-gh", "Fix RPC").await;
        match silent {
            true => town.redis().signal("STOP"),
            false => dies(&mut town).await,
        }
        let said = match silent {
            // It may have taken it.
            true => {
                "I cannot write anything down right now, and I do not know whether this still was. If it was, you hear from me soon; if you hear nothing for 10 minutes, nothing was done. Look at GitHub’s own page before you try again: run 812."
            }
            false => {
                "I cannot write anything down right now, so nothing was done. Try again in a minute, or use GitHub’s own page: run 812."
            }
        };
        let typed = |text: &'static str| town.sandbox.workspace.command("UBEN", DEPLOYS, text);
        typed("approve h").await.expect("answered in time");
        assert_eq!(town.told("UBEN"), said);
        typed("status h").await.expect("answered in time");
        until("what is known", || async { town.told("UBEN").contains("waiting for approval").then_some(()) }).await;
        let (notice, told) = (town.notice(812), town.sandbox.workspace.ephemerals("UBEN").len());
        let button = notice.buttons().into_iter().find(|button| button.text.starts_with("Approve")).expect("a button");
        town.sandbox.workspace.click("UBEN", &notice.at(), &button.action_id).await.expect("acknowledged");
        until("the click to be answered", || async {
            (town.sandbox.workspace.ephemerals("UBEN").len() > told).then_some(())
        })
        .await;
        assert_eq!(town.told("UBEN"), said);
        assert_eq!(town.reviews().len(), 0);

        match silent {
            true => town.redis().signal("CONT"),
            false => town.redis().come_back().await,
        }
        town.settled().await;
        town.approve("UBEN").await;
        town.finish(run, &["Production", "Production (WebSocket)", "Production (Canada)"], Outcome::Success);
        town.settled().await;
        assert!(town.says(812).contains("is live on"), "{}", town.says(812));
        assert_eq!(town.reviews().len(), 1);
        town.close().await;
    }
}

/// A bot that knows no more of an app than its settings has a page to link all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_gone_when_the_bot_starts() {
    let mut town = Town::on_redis().await;
    town.stop().await;
    town.redis().kill();
    town.start_only().await;
    until("a connection", || async { (town.shell().sockets.connected() > 0).then_some(()) }).await;
    town.sandbox.workspace.command("UBEN", DEPLOYS, "approve h").await.expect("answered in time");
    assert_snapshot!(town.told("UBEN"), @"I cannot write anything down right now, so nothing was done. Try again in a minute, or use GitHub’s own page: hypothesis/h.");
    town.redis().come_back().await;
    town.close().await;
}

/// A form that was opened to find out what is true does not look for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_gone_while_somebody_chooses() {
    let mut town = Town::on_redis().await;
    dies(&mut town).await;
    town.sandbox.workspace.command("UBEN", DEPLOYS, "redeploy h").await.expect("acknowledged");
    let form = || town.sandbox.workspace.views("UBEN").pop().map(|view| view.reads());
    let told = until("the form to say it", || async { form().filter(|reads| !reads.contains("One moment")) }).await;
    assert_snapshot!(told, @"
    Answer
    I cannot write anything down right now, so nothing was done. Try again in a minute, or use GitHub’s own page: run 811.
    ");
    assert!(town.sandbox.workspace.ephemerals("UBEN").is_empty(), "said once");
    town.redis().come_back().await;
    town.close().await;
}

//! Several bots with the same tokens on one Redis: the built binary in processes of its own. One watches, any of them takes what
//! people do, and when one dies or sleeps another goes on; nothing is lost and nothing is done twice.

use std::time::{Duration, Instant};

use lockkeeper::sandbox::slack::Fault;

use crate::process::{Process, Start};
use crate::redis::Redis;
use crate::town::{DEPLOYS, SETTINGS, Town, until};

/// An app may be without a watcher for this long.
const TAKEOVER: Duration = Duration::from_secs(15);

/// A world, a Redis, and bots.
struct Harbour {
    town: Town,
    redis: Redis,
}

impl Harbour {
    async fn open() -> Self {
        Self { town: Town::without_bot(SETTINGS).await, redis: Redis::start().await }
    }

    /// One more bot, its sockets open.
    async fn bot(&self) -> Process {
        let before = self.town.sandbox.workspace.connected();
        let process = Start::of(&self.town.sandbox, SETTINGS).with("REDIS_URL", &self.redis.url()).go();
        let connected = || self.town.sandbox.workspace.connected() >= before + 2;
        until("a bot to connect", || async { connected().then_some(()) }).await;
        process
    }

    /// The messages in the channel that begin with this.
    fn notices(&self, title: &str) -> usize {
        let messages = self.town.sandbox.workspace.messages(DEPLOYS);
        let heads = messages.iter().filter(|message| message.thread_ts.is_none()).map(|message| message.reads());
        heads.filter(|text| text.lines().next().is_some_and(|first| first.contains(title))).count()
    }

    async fn noticed(&self, title: &str) {
        until(&format!("the notice of {title:?}"), || async { (self.notices(title) > 0).then_some(()) }).await;
    }

    /// Merges, and says how long it took until the channel heard of it.
    async fn heard_after_merge(&self, title: &str) -> Duration {
        self.town.merge("ana-gh", title);
        let merged = Instant::now();
        self.noticed(title).await;
        merged.elapsed()
    }

    /// Ends the bots in peace, and looks that nothing was said twice and nothing is left to be done.
    async fn close(self, bots: Vec<Process>) {
        for mut bot in bots {
            bot.terminate();
            assert_eq!(bot.ends(Duration::from_secs(10)).await, 0, "{}", bot.said());
        }
        let Self { mut town, redis } = self;
        town.share(redis);
        town.start().await;
        let mentions = town.mentions();
        town.settled().await;
        assert_eq!(town.mentions(), mentions, "nothing new to say");
        town.close().await;
    }
}

fn watches(process: &Process) -> bool {
    let said = process.said();
    let last = |words: &str| said.rfind(words).map_or(0, |at| at + 1);
    last("this replica watches") > last("this replica does not watch any more")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_watches_and_another_takes_over_when_it_dies() {
    let harbour = Harbour::open().await;
    let mut first = harbour.bot().await;
    first.says("this replica watches").await;
    let second = harbour.bot().await;
    harbour.heard_after_merge("Fix RPC").await;
    assert!(!watches(&second), "one at a time: {}", second.said());
    first.kill();
    let took = harbour.heard_after_merge("Speed up search").await;
    assert!(watches(&second), "{}", second.said());
    assert!(took < TAKEOVER, "nobody watched for {took:?}");
    assert_eq!((harbour.notices("Fix RPC"), harbour.notices("Speed up search")), (1, 1));
    harbour.close(vec![second]).await;
}

/// Paused for longer than it leads and longer than its claims: awake again it knows nothing of that, and must not write or say anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_slept_writes_nothing() {
    let harbour = Harbour::open().await;
    let first = harbour.bot().await;
    first.says("this replica watches").await;
    let second = harbour.bot().await;
    harbour.heard_after_merge("Fix RPC").await;
    first.signal("STOP");
    let took = harbour.heard_after_merge("Speed up search").await;
    assert!(took < TAKEOVER, "nobody watched for {took:?}");
    first.signal("CONT");
    first.says("this replica does not watch any more").await;
    harbour.heard_after_merge("Bump zope").await;
    for title in ["Fix RPC", "Speed up search", "Bump zope"] {
        assert_eq!(harbour.notices(title), 1, "{title}");
    }
    harbour.close(vec![first, second]).await;
}

/// Either takes what people do; each is replaced by a new one right after something was acknowledged, by whichever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing() {
    let harbour = Harbour::open().await;
    let (mut first, mut second) = (harbour.bot().await, harbour.bot().await);
    harbour.heard_after_merge("Fix RPC").await;
    let workspace = &harbour.town.sandbox.workspace;
    let steps = [("hold h migrating", "🔒 h is on hold"), ("release h", "🔓 h is released")];
    for (old, (typed, said)) in [&mut first, &mut second].into_iter().zip(steps) {
        workspace.command("UCHI", DEPLOYS, typed).await.expect("an ack");
        old.terminate();
        assert_eq!(old.ends(Duration::from_secs(10)).await, 0, "{}", old.said());
        *old = harbour.bot().await;
        harbour.noticed(said).await;
    }
    harbour.heard_after_merge("Speed up search").await;
    for said in ["Fix RPC", "🔒 h is on hold", "🔓 h is released", "Speed up search"] {
        assert_eq!(harbour.notices(said), 1, "{said}");
    }
    harbour.close(vec![first, second]).await;
}

/// Slack takes a trigger from one of them. The other must not ask what the form is to show: it could not be shown in any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_both_are_handed_opens_one_form_that_is_filled() {
    let harbour = Harbour::open().await;
    let bots = vec![harbour.bot().await, harbour.bot().await];
    harbour.heard_after_merge("Fix RPC").await;
    let workspace = &harbour.town.sandbox.workspace;
    workspace.fault(Fault::DeliverTwice { on: true });
    for _ in 0..10 {
        workspace.command("UBEN", DEPLOYS, "redeploy h").await.expect("an ack");
        let filled = || workspace.views("UBEN").pop().filter(|view| view.reads().contains("deploys it anew"));
        let view = until("the form to be filled", || async { filled() }).await;
        workspace.close_view("UBEN", &view.id).await.expect("closed");
    }
    let refused = workspace.count_calls(|call| call.method == "views.open" && call.answer["ok"] == false);
    assert!(refused > 0, "both got it at least once");
    harbour.close(bots).await;
}

//! GitHub's webhooks: what is signed makes the bot look, what is not gets nothing, and whatever becomes of them, what is said stays the
//! same.

use std::time::{Duration, Instant};

use lockkeeper::config::Polling;
use lockkeeper::sandbox::HOOK_SECRET;
use lockkeeper::sandbox::github::signature;
use lockkeeper::sandbox::world::{Act, HookFault};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, Start};
use crate::redis::Redis;
use crate::town::{H, SETTINGS, Town, until};

/// Nobody looks by himself within a story.
const NEVER: Polling = Polling { active: Duration::from_mins(10), idle: Duration::from_mins(60) };
const LMS: &str = "hypothesis/lms";
const ROUTE: &str = "/github/webhook";

/// A town whose bot looks at its start, then only when it is told to.
pub async fn blind() -> Town {
    blind_with(SETTINGS).await
}

async fn blind_with(settings: &str) -> Town {
    let mut town = Town::without_bot(settings).await;
    // A burst is waited for as long as between two polls: short enough for a story.
    town.polling = Polling { active: Duration::from_secs(1), ..NEVER };
    town.start_blind().await;
    town
}

/// Sends bytes to the bot's own server; the answer's status, 0 where it only hangs up.
pub async fn post(town: &Town, headers: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(town.address()).await.expect("somebody who listens");
    let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.expect("a request");
    // It may have hung up already.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    if status != 0 {
        assert!(answer.ends_with("\r\n\r\n"), "it says nothing: {answer}");
    }
    status
}

/// The headers of a signed delivery.
fn signed(event: &str, id: &str, body: &str) -> String {
    let signature = signature(HOOK_SECRET, body.as_bytes());
    format!(
        "x-github-event: {event}\r\nx-github-delivery: {id}\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n",
        body.len()
    )
}

async fn deliver(town: &Town, event: &str, id: &str, body: &serde_json::Value) -> u16 {
    let body = body.to_string();
    post(town, &signed(event, id, &body), body.as_bytes()).await
}

fn pushed(repo: &str) -> serde_json::Value {
    json!({ "ref": "refs/heads/main", "repository": { "full_name": repo } })
}

/// How often the bot has asked for the Deploy runs of a repository.
fn looks(town: &Town, repo: &str) -> usize {
    let list = format!("/repos/{repo}/actions/workflows/deploy.yml/runs");
    town.sandbox.world.requests().iter().filter(|request| request.path.starts_with(&list)).count()
}

/// Waits for one look more than before.
async fn looked(town: &Town, repo: &str, before: usize) {
    until("a look", || async { (looks(town, repo) > before).then_some(()) }).await;
}

/// A webhook of a repository is heard, and looked after.
pub async fn hears(town: &Town, repo: &str, id: &str) {
    let before = looks(town, repo);
    assert_eq!(deliver(town, "push", id, &pushed(repo)).await, 202);
    looked(town, repo, before).await;
}

/// Whatever was heard before this has made its look by now: what is told afterwards of another app has made two, one after the other.
async fn in_its_turn(town: &Town, id: &str) {
    for nth in 0..2 {
        hears(town, LMS, &format!("{id}-{nth}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_signed_is_heard_and_once() {
    let town = blind_with(&format!("{SETTINGS}lms = \"{LMS}\"\n")).await;
    let body = pushed(H).to_string();
    let good = signed("push", "d-1", &body);
    let length = format!("content-length: {}\r\n", body.len());
    let before = looks(&town, H);
    for headers in [
        length.clone(),
        good.replace("x-hub-signature-256: sha256=", "x-hub-signature: sha1="),
        good.replace("sha256=", "sha256=0"),
        signed("push", "d-1", &body.replace("main", "mair")),
        format!(
            "{length}x-github-event: push\r\nx-hub-signature-256: {}\r\n",
            signature("another secret", body.as_bytes())
        ),
    ] {
        assert_eq!(post(&town, &headers, body.as_bytes()).await, 404, "{headers}");
    }
    // Too large, told beforehand or not.
    let large = vec![b'x'; (1 << 20) + 1];
    let sign = format!("x-hub-signature-256: {}\r\n", signature(HOOK_SECRET, &large));
    let told = post(&town, &format!("{sign}content-length: {}\r\n", large.len()), &large).await;
    let chunk = [format!("{:x}\r\n", large.len()).as_bytes(), large.as_slice(), b"\r\n0\r\n\r\n"].concat();
    let untold = post(&town, &format!("{sign}transfer-encoding: chunked\r\n"), &chunk).await;
    assert!([0, 404].contains(&told) && [0, 404].contains(&untold), "{told} {untold}");
    in_its_turn(&town, "forged").await;
    assert_eq!(looks(&town, H), before, "nobody looked");

    assert_eq!(post(&town, &good, body.as_bytes()).await, 202);
    looked(&town, H, before).await;
    let before = looks(&town, H);
    for (event, id, said, status) in [
        ("push", "d-1", pushed(H), 202),
        ("push", "d-2", pushed("hypothesis/unknown"), 202),
        ("push", "d-3", json!({ "ref": "refs/heads/feature", "repository": { "full_name": H } }), 202),
        ("star", "d-4", json!({ "action": "created", "repository": { "full_name": H } }), 202),
        ("ping", "d-5", json!({ "zen": "Design for failure.", "hook": { "events": ["push"] } }), 202),
        ("push", "d-6", json!({ "repository": 5 }), 400),
    ] {
        assert_eq!(deliver(&town, event, id, &said).await, status, "{event} {id}");
    }
    in_its_turn(&town, "ignored").await;
    assert_eq!(looks(&town, H), before, "repeated, unknown, of another branch: nobody looked");
    town.close_blind().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_ends_holds_up_nobody() {
    let town = blind().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(town.address()).await.expect("somebody who listens");
        let head = format!(
            "POST {ROUTE} HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: sha256=00\r\ncontent-length: 100\r\n\r\nslow"
        );
        stream.write_all(head.as_bytes()).await.expect("a request");
        slow.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(town.get("/live").await, 200, "other routes do not wait");
    assert!(begun.elapsed() < Duration::from_secs(2));
    for stream in &mut slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    hears(&town, H, "d-1").await;
    town.close_blind().await;
}

/// The whole way of a change, seen by webhooks alone, in far fewer looks than there are events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_followed_by_webhooks_alone() {
    let town = blind().await;
    town.sandbox.set_up_hook(town.address());
    until("the greeting", || async { (!town.sandbox.world.delivered().is_empty()).then_some(()) }).await;
    let before = looks(&town, H);
    let run = town.merge("ana-gh", "Fix RPC");
    until("the notice", || async { town.has_notice(812).then_some(()) }).await;
    town.on_staging(run);
    until("its news", || async { town.says(812).contains("waiting for approval").then_some(()) }).await;
    let events = town.sandbox.world.delivered();
    assert!(events.iter().all(|delivered| delivered.status == Some(202)), "{events:#?}");
    let looks = looks(&town, H) - before;
    assert!(events.len() > 12 && looks <= 4, "{} events, {looks} looks", events.len());
    town.close_blind().await;
}

/// Each of these changes the moment and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_late_and_repeated_webhooks_change_nothing() {
    let plain = story(&Town::open().await, |_| {}).await;
    for fault in [HookFault::Lose, HookFault::Repeat, HookFault::Delay(2)] {
        let town = Town::open().await;
        town.sandbox.set_up_hook(town.address());
        let told = story(&town, |town| {
            town.act(Act::Hooks { fault, times: 100 });
        })
        .await;
        assert_eq!(told, plain, "{fault:?}");
        town.close().await;
    }
}

async fn story(town: &Town, disturb: impl Fn(&Town)) -> (String, String, Vec<String>, Vec<String>) {
    disturb(town);
    town.merge("ana-gh", "Fix RPC");
    town.settled().await;
    let run = town.merge("ben-gh", "Speed up search");
    town.on_staging(run);
    town.settled().await;
    (town.says(812), town.says(813), town.thread(813), town.mentions())
}

/// All events ticked that the bot reads: what it is told about reviews and merges is more of the same, and nothing more is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_may_be_ticked_than_is_asked_for() {
    let town = blind().await;
    let all = ["push", "pull_request", "deployment_review", "workflow_job", "workflow_run"];
    town.sandbox.world.set_up_hook(&format!("http://{}{ROUTE}", town.address()), HOOK_SECRET, &all);
    let says = async |number: u64, text: &str| {
        until(text, || async { (town.has_notice(number) && town.says(number).contains(text)).then_some(()) }).await;
    };
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    says(812, "waiting for approval").await;
    town.approve_at_github(run, "chi-gh", &["Production", "Production (WebSocket)", "Production (Canada)"]);
    town.ship(run);
    says(812, "live on").await;
    let run = town.merge("ben-gh", "Speed up search");
    town.on_staging(run);
    says(813, "waiting for approval").await;
    let environments = ["Production", "Production (WebSocket)", "Production (Canada)"].map(str::to_owned).to_vec();
    town.act(Act::Reject { repo: H.into(), run, environments, by: "chi-gh".into(), comment: "no".into() });
    says(813, "rejected").await;
    let delivered = town.sandbox.world.delivered();
    assert!(delivered.iter().all(|delivered| delivered.status == Some(202)), "{delivered:#?}");
    for event in all {
        assert!(delivered.iter().any(|delivered| delivered.event == event), "{event}: {delivered:#?}");
    }
    town.close_blind().await;
}

/// A look by time finds what no webhook announced, and from then on it looks as often as without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_relied_on_webhooks_notices_their_absence() {
    let mut town = Town::without_bot(SETTINGS).await;
    town.polling = Polling { active: Duration::from_millis(400), idle: Duration::from_millis(400) };
    town.start().await;
    let spacing = async || {
        let (from, begun) = (looks(&town, H), Instant::now());
        until("three looks", || async { (looks(&town, H) >= from + 3).then_some(()) }).await;
        begun.elapsed() / 3
    };
    town.sandbox.set_up_hook(town.address());
    town.merge("ana-gh", "Fix RPC");
    until("the notice", || async { town.has_notice(812).then_some(()) }).await;
    let relying = spacing().await;
    assert!(relying > Duration::from_millis(1_500), "something goes on, webhooks come: looked every {relying:?}");
    town.sandbox.world.remove_hook();
    town.merge("ben-gh", "Speed up search");
    until("the notice", || async { town.has_notice(813).then_some(()) }).await;
    let alone = spacing().await;
    assert!(alone < relying / 2, "no webhook said that: looked every {alone:?} instead of {relying:?}");
    town.close().await;
}

async fn replica(town: &Town, redis: &Redis) -> Process {
    let before = town.sandbox.workspace.connected();
    let start = Start::of(&town.sandbox, SETTINGS).with("REDIS_URL", &redis.url());
    let process = start.saying("active = \"2s\"\nidle = \"10s\"", "active = \"2s\"\nidle = \"30m\"").go();
    until("a bot to connect", || async { (town.sandbox.workspace.connected() >= before + 2).then_some(()) }).await;
    process
}

/// A delivery to a replica that does not lead reaches the one that does, which looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_hears_what_another_was_told() {
    let town = Town::without_bot(SETTINGS).await;
    let redis = Redis::start().await;
    let leader = replica(&town, &redis).await;
    leader.says("this replica watches").await;
    let other = replica(&town, &redis).await;
    until("the leader's first look", || async { (looks(&town, H) > 0).then_some(()) }).await;
    leader.is_ready().await;
    assert!(!other.said().contains("this replica watches"), "{}", other.said());
    town.sandbox.set_up_hook(other.address().await);
    town.merge("ana-gh", "Fix RPC");
    let merged = Instant::now();
    until("the notice", || async { town.has_notice(812).then_some(()) }).await;
    assert!(merged.elapsed() < Duration::from_secs(12), "a poll would have taken half an hour");
    let delivered = town.sandbox.world.delivered();
    assert!(delivered.iter().all(|delivered| delivered.status == Some(202)), "{delivered:#?}");
}

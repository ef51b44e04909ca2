//! What happens when Slack and GitHub misbehave, and the bot must not: nothing doubled, nothing lost, nothing approved that was
//! not, and everybody is told what is known.

use std::time::Duration;

use insta::assert_snapshot;
use jiff::SignedDuration;
use lockkeeper::deploy::name::AppName;
use lockkeeper::sandbox::slack::{Disconnect, Fault};
use lockkeeper::sandbox::world::{Act, FaultKind, Outcome};

use crate::town::{DEPLOYS, Town, timeless, until};

/// The POST that approves.
const REVIEW: &str = "POST /repos/hypothesis/h/actions/runs/";
/// More requests than any story makes.
const ALL: u32 = 1_000_000;

fn break_github(town: &Town, kind: FaultKind, times: u32, only: Option<&str>) {
    let only = only.map(str::to_owned);
    town.sandbox.world.act(Act::Fault { kind, times, only }).expect("a fault");
}

fn mend_github(town: &Town) {
    town.sandbox.world.act(Act::ClearFaults).expect("no fault");
}

/// Asks a question while the bot may be unable to settle: what this person alone reads next.
async fn ask(town: &Town, user: &str, text: &str) -> String {
    let workspace = &town.sandbox.workspace;
    let before = workspace.ephemerals(user).len();
    workspace.command(user, DEPLOYS, text).await.expect("an ack");
    let patience = Duration::from_secs(30);
    let told = workspace.wait(patience, |workspace| workspace.ephemerals(user).get(before).cloned()).await;
    timeless(&told.expect("an answer").reads())
}

/// How often a method was called, by the status of its answers.
fn statuses(town: &Town, method: &str) -> Vec<u16> {
    let calls = town.sandbox.workspace.calls();
    calls.into_iter().filter(|call| call.method == method).map(|call| call.status).collect()
}

/// Everything that the whole channel reads: top-level messages and their threads.
fn said(town: &Town) -> Vec<String> {
    let messages = town.sandbox.workspace.messages(DEPLOYS);
    messages.iter().flat_map(|m| std::iter::once(m.reads()).chain(m.replies.iter().map(|r| r.reads()))).collect()
}

/// What was decided, newest first.
async fn audit(town: &Town) -> Vec<String> {
    town.shell().store.audit(&AppName::new("h"), 1_000).await.expect("an audit log")
}

/// A run of two authors that waits for approval.
async fn waiting(town: &Town) -> u64 {
    town.merge("ana-gh", "Fix RPC");
    let run = town.merge("ben-gh", "Bump zope-interface");
    town.on_staging(run);
    town.settled().await;
    run
}

/// Approves as Ben: the command and, since a change of Ana's is not ticked, the confirmation.
async fn approve(town: &Town) {
    town.command("UBEN", "approve h").await;
    let asked = town.answer("UBEN").at();
    town.click("UBEN", &asked, "Approve 3 environments").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_asks_to_wait() {
    let town = Town::open().await;
    for method in ["chat.postMessage", "chat.update", "response_url"] {
        town.sandbox.workspace.fault(Fault::Http429 { method: method.into(), times: 2, retry_after: 1 });
    }
    let run = town.merge("ana-gh", "Fix RPC");
    town.settled().await;
    town.on_staging(run);
    town.settled().await;
    town.command("UANA", "tested h").await;
    assert!(town.says(812).contains("✅ #4498"), "{}", town.says(812));
    assert_eq!(town.thread(812).len(), 1, "who has to test is asked once");
    assert_eq!(statuses(&town, "chat.postMessage"), [429, 429, 200, 200], "no more tries than were asked for");
    assert_eq!(statuses(&town, "response_url"), [429, 429, 200]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_fails_after_having_posted() {
    let town = Town::open().await;
    let post_fails = || Fault::Http500After { method: "chat.postMessage".into(), times: 1 };
    town.sandbox.workspace.fault(post_fails());
    town.merge("ana-gh", "Fix RPC");
    town.settled().await;
    assert_eq!(said(&town).len(), 1, "one notice: {:#?}", said(&town));

    town.sandbox.workspace.fault(post_fails());
    let run = town.merge("ben-gh", "Bump zope-interface");
    town.settled().await;
    town.sandbox.workspace.fault(post_fails());
    town.on_staging(run);
    town.settled().await;
    assert_eq!(town.thread(813).len(), 2, "the handover and the call to test, each once: {:#?}", town.thread(813));
    assert_eq!(said(&town).len(), 4);
    assert_eq!(town.mentions().len(), 4, "nobody is mentioned twice: {:?}", town.mentions());
    assert_eq!(statuses(&town, "chat.postMessage"), [500, 500, 200, 500], "what had been posted was found again");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_does_not_answer() {
    let town = Town::open().await;
    let workspace = &town.sandbox.workspace;
    workspace.fault(Fault::Hang { method: "response_url".into(), times: 1 });
    workspace.command("UCHI", DEPLOYS, "whoami").await.expect("an ack");
    workspace.fault(Fault::HangAfter { method: "chat.postMessage".into(), times: 1 });
    town.merge("ana-gh", "Fix RPC");
    until("the post to hang", || async { (!statuses(&town, "chat.postMessage").is_empty()).then_some(()) }).await;
    // Meanwhile questions are answered.
    assert!(ask(&town, "UANA", "status h").await.contains("Run 812 · Fix RPC: waiting to start"));
    assert!(statuses(&town, "chat.postMessage").len() == 1, "the post still hangs");
    town.settled().await;
    assert_eq!(said(&town).len(), 1, "one notice: {:#?}", said(&town));
    until("the answer that hung", || async { workspace.ephemerals("UCHI").pop() }).await;
    assert_eq!(statuses(&town, "response_url"), [504, 200, 200], "given again, once");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_disconnects_amid_commands() {
    let town = Town::open().await;
    let workspace = &town.sandbox.workspace;
    for (round, reason) in [Disconnect::Warning, Disconnect::RefreshRequested].into_iter().enumerate() {
        let before = audit(&town).await.len();
        let taken = holds(&town, round, || workspace.disconnect(reason)).await;
        assert!(taken.iter().filter(|taken| taken.is_ok()).count() >= 6, "{taken:#?}");
        for refused in taken.iter().filter_map(|taken| taken.as_ref().err()) {
            assert!(refused.contains("dispatch_failed"), "only what found no socket failed: {refused}");
        }
        town.settled().await;
        let after = audit(&town).await;
        let acked = taken.iter().filter(|taken| taken.is_ok()).count();
        assert_eq!(after.len() - before, acked, "what was acknowledged was done, once, and nothing else");
        reconnected(&town).await;
        town.command("UDORA", "release h").await;
    }
    // A line that is cut can lose an ack, never what was acknowledged.
    let before = audit(&town).await.len();
    let taken = holds(&town, 2, || workspace.fault(Fault::DropTcp)).await;
    reconnected(&town).await;
    town.settled().await;
    let done = audit(&town).await.len() - before;
    let acked = taken.iter().filter(|taken| taken.is_ok()).count();
    assert!((acked..=taken.len()).contains(&done), "{acked} acknowledged, {done} done");
    let locks = said(&town).iter().filter(|text| text.contains("is on hold")).count();
    assert_eq!(locks, 3, "each round locked once: {:#?}", said(&town));
    town.close().await;
}

/// Twelve people's fingers at once, and something in the middle of it.
async fn holds(town: &Town, round: usize, disturb: impl FnOnce()) -> Vec<Result<(), String>> {
    let workspace = &town.sandbox.workspace;
    let mut asked = tokio::task::JoinSet::new();
    let mut ask = |i: usize| {
        let (workspace, who) = (workspace.clone(), ["UANA", "UBEN", "UCHI"][i % 3]);
        asked.spawn(async move { workspace.command(who, DEPLOYS, &format!("hold h storm {round} {i}")).await });
    };
    let before = workspace.acks().len();
    (0..10).for_each(&mut ask);
    // Some are done by now, some are on their way.
    workspace.wait(Duration::from_secs(5), |workspace| (workspace.acks().len() > before + 2).then_some(())).await;
    disturb();
    (10..12).for_each(&mut ask);
    asked.join_all().await
}

async fn reconnected(town: &Town) {
    until("both sockets", || async { (town.sandbox.workspace.connected() >= 2).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_twice() {
    let town = Town::open().await;
    town.sandbox.workspace.fault(Fault::DeliverTwice { on: true });
    let run = waiting(&town).await;
    let notice = town.notice(813).at();
    town.click("UANA", &notice, "I tested mine").await;
    approve(&town).await;
    assert_eq!(town.reviews().len(), 1, "one approval");
    town.command("UCHI", "hold h database").await;
    town.finish(run, &["Production", "Production (WebSocket)", "Production (Canada)"], Outcome::Success);
    town.settled().await;
    let told: Vec<String> = town.sandbox.workspace.ephemerals("UBEN").iter().map(|one| one.reads()).collect();
    assert_eq!(told.iter().filter(|text| text.starts_with("Approved")).count(), 1, "told once: {told:#?}");
    assert_eq!(said(&town).iter().filter(|text| text.contains("on hold")).count(), 1, "one hold: {:#?}", said(&town));
    town.command("UCHI", "history h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · decisions, newest first
    (time) · <@UCHI> · hold · done · “database”
    (time) · <@UBEN> · approve run 813 on Production, Production (WebSocket), Production (Canada) · granted
    (time) · <@UANA> · tested run 813 · done · “#4498”
    ");
    town.close().await;
}

/// An outage of GitHub: what people read before, during and after, and that nothing is approved meanwhile.
async fn outage(kind: FaultKind) {
    let town = Town::open().await;
    waiting(&town).await;
    break_github(&town, kind, ALL, None);
    let status = ask(&town, "UANA", "status h").await;
    assert!(!status.contains("⚠️"), "not worth a word yet: {status}");
    let refused = ask(&town, "UBEN", "approve h").await;
    assert_eq!(
        refused,
        "GitHub does not answer right now, so nothing was done. Try again in a minute, or look at GitHub’s own page."
    );
    town.sandbox.clock.advance(SignedDuration::from_mins(4));
    let status = ask(&town, "UANA", "status h").await;
    assert!(status.contains("⚠️ GitHub was last reached 4 min ago; this is what was true then."), "{status}");
    assert!(town.reviews().is_empty(), "nothing is approved while nothing is known");

    mend_github(&town);
    // A limit has to run out.
    town.sandbox.clock.advance(SignedDuration::from_mins(2));
    until_seen(&town).await;
    town.settled().await;
    let status = ask(&town, "UANA", "status h").await;
    assert!(!status.contains("⚠️"), "recovered by itself: {status}");
    approve(&town).await;
    assert_eq!(town.reviews().len(), 1);
    assert_eq!(town.mentions().len(), 4, "an outage mentions nobody: {:?}", town.mentions());
    town.close().await;
}

/// The look that hangs has to run into its time limit first.
async fn until_seen(town: &Town) {
    let from = town.sandbox.clock.now();
    let seen = async {
        while town.shell().looked().values().any(|at| *at <= from) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), seen).await.expect("a look at GitHub");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_fails() {
    outage(FaultKind::Error500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_limits() {
    outage(FaultKind::RateLimited).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_limits_for_being_too_quick() {
    outage(FaultKind::Secondary).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_hangs() {
    outage(FaultKind::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_approves_and_says_that_it_failed() {
    let town = Town::open().await;
    waiting(&town).await;
    break_github(&town, FaultKind::Error502After, 1, Some(REVIEW));
    approve(&town).await;
    assert_eq!(town.reviews().len(), 1, "a write is never sent again");
    assert_snapshot!(town.told("UBEN"), @"Approved: run 813 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");
    assert_eq!(audit(&town).await.len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_approves_and_says_nothing() {
    let town = Town::open().await;
    waiting(&town).await;
    break_github(&town, FaultKind::HangAfter, 1, Some(REVIEW));
    approve(&town).await;
    assert_eq!(town.reviews().len(), 1, "a write is never sent again");
    assert_snapshot!(town.told("UBEN"), @"Approved: run 813 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_does_not_approve_and_says_nothing() {
    let town = Town::open().await;
    let run = waiting(&town).await;
    break_github(&town, FaultKind::Error500, 1, Some(REVIEW));
    approve(&town).await;
    assert_eq!(town.reviews().len(), 1, "a write is never sent again by itself");
    assert_snapshot!(town.told("UBEN"), @"Run 813 still waits: GitHub did not take this, or a newer run is about to take its place. Nothing was approved; try again at the newest notice.");
    assert!(town.says(813).contains("waiting for approval"), "{}", town.says(813));
    // The next try of a person goes through.
    approve(&town).await;
    town.finish(run, &["Production", "Production (WebSocket)", "Production (Canada)"], Outcome::Success);
    town.settled().await;
    assert!(town.says(813).contains("is live on"), "{}", town.says(813));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_lets_nobody_look_and_is_asked_for_an_approval() {
    let town = Town::open().await;
    // Only the looks fail: whoever asks is answered.
    break_github(&town, FaultKind::Error500, ALL, Some("/runs?per_page=50"));
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    let asked = ask(&town, "UBEN", "approve h").await;
    assert!(asked.contains("It ships 1 change of 1 person"), "{asked}");
    assert!(asked.contains("Fix RPC"), "what ships is shown before it is approved: {asked}");
    mend_github(&town);
    town.settled().await;
    let question = town.answer("UBEN").at();
    town.click("UBEN", &question, "Approve 3 environments").await;
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_shows_old_lists() {
    let town = Town::open().await;
    waiting(&town).await;
    let seen = town.notice(813);
    break_github(&town, FaultKind::Stale, ALL, None);
    let newer = town.merge("chi-gh", "Speed up search");
    // The lists still show run 813 as the newest, waiting. GitHub itself knows better.
    town.command("UBEN", "approve h").await;
    assert!(!town.told("UBEN").contains("Approved"), "{}", town.told("UBEN"));
    let button = seen.buttons().into_iter().find(|button| button.text == "Approve production…").expect("a button");
    let value = button.value.expect("a button that knows its run");
    let (workspace, at) = (&town.sandbox.workspace, seen.at());
    workspace.click_stale("UBEN", &at, &button.action_id, &value).await.expect("an ack");
    town.settled().await;
    assert!(town.reviews().is_empty(), "a click on an old notice never approves a newer run: {:?}", town.reviews());

    mend_github(&town);
    town.settled().await;
    assert_snapshot!(town.says(813), @"h · run 813 · Bump zope-interface · ↪️ replaced by run 814, which ships its changes too");
    town.on_staging(newer);
    town.settled().await;
    assert_eq!(town.thread(814).len(), 2, "the handover and the call to test: {:#?}", town.thread(814));
    assert!(town.says(814).contains("waiting for approval"), "{}", town.says(814));
    town.close().await;
}

//! The binary is killed in the worst moments, between a decision and its effect, and started again: nothing is lost, nothing is
//! done twice. At the end of each story another bot takes over the same folder, so that all that is left to do is done.

use std::time::Duration;

use lockkeeper::deploy::name::AppName;
use lockkeeper::sandbox::slack::Fault;
use lockkeeper::sandbox::world::{Act, FaultKind, Outcome};

use crate::process::{Process, Start};
use crate::town::{DEPLOYS, SETTINGS, Town, until};

/// Docker kills what has not ended ten seconds after it was told to.
const GRACE: Duration = Duration::from_secs(10);

/// A binary in a town, connected to Slack.
async fn start(town: &Town) -> Process {
    let process = Start::of(&town.sandbox, SETTINGS).go();
    until("the process to connect", || async { (town.sandbox.workspace.connected() >= 2).then_some(()) }).await;
    process
}

async fn killed(town: &Town, mut process: Process) {
    process.kill();
    until("its sockets to be gone", || async { (town.sandbox.workspace.connected() == 0).then_some(()) }).await;
    town.sandbox.workspace.clear_faults();
}

/// Ends the binary in peace and lets a bot that can be looked into do the rest.
async fn taken_over(town: &mut Town, mut process: Process) {
    process.terminate();
    assert_eq!(process.ends(GRACE).await, 0, "{}", process.said());
    assert!(!process.said().contains("ERROR"), "{}", process.said());
    town.start().await;
}

async fn audit(town: &Town) -> Vec<String> {
    town.shell().store.audit(&AppName::new("h"), 100).await.expect("an audit log")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_notice_is_being_posted() {
    // Once Slack had not taken it, once it had: the second must not become two notices.
    for posted in [false, true] {
        let mut town = Town::without_bot(SETTINGS).await;
        let method = || "chat.postMessage".to_owned();
        town.sandbox.workspace.fault(match posted {
            false => Fault::Hang { method: method(), times: 1 },
            true => Fault::HangAfter { method: method(), times: 1 },
        });
        town.merge("ana-gh", "Fix RPC");
        let process = start(&town).await;
        town.hanging("chat.postMessage").await;
        assert_eq!(town.sandbox.workspace.messages(DEPLOYS).len(), usize::from(posted));
        killed(&town, process).await;

        let process = start(&town).await;
        let noticed = || town.sandbox.workspace.messages(DEPLOYS).len() == 1;
        until("the notice", || async { noticed().then_some(()) }).await;
        taken_over(&mut town, process).await;
        assert!(town.says(812).contains("Fix RPC"), "one notice of the run");
        assert_eq!(town.sandbox.workspace.messages(DEPLOYS).len(), 1);
        town.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_approval_is_on_its_way() {
    let mut town = Town::open().await;
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    town.settled().await;
    town.stop().await;

    let only = Some("POST /repos/hypothesis/h/actions/runs/".to_owned());
    town.sandbox.world.act(Act::Fault { kind: FaultKind::HangAfter, times: 1, only }).expect("a fault");
    let process = start(&town).await;
    town.sandbox.workspace.command("UANA", DEPLOYS, "tested h").await.expect("an ack");
    until("the tick", || async { town.says(812).contains("✅ #4498").then_some(()) }).await;
    town.sandbox.workspace.command("UBEN", DEPLOYS, "approve h").await.expect("an ack");
    until("a question or an approval", || async {
        let asked = town.sandbox.workspace.ephemerals("UBEN").pop()?;
        let button = asked.buttons().into_iter().find(|button| button.text == "Approve 3 environments")?;
        town.sandbox.workspace.click("UBEN", &asked.at(), &button.action_id).await.ok()
    })
    .await;
    until("the approval at GitHub", || async { (town.reviews().len() == 1).then_some(()) }).await;
    killed(&town, process).await;

    let process = start(&town).await;
    until("the answer", || async { town.told("UBEN").contains("Approved").then_some(()) }).await;
    taken_over(&mut town, process).await;
    assert_eq!(town.reviews().len(), 1, "GitHub was asked once");
    let audit = audit(&town).await;
    assert_eq!(audit.iter().filter(|line| line.contains("granted")).count(), 1, "{audit:#?}");
    assert!(!audit.iter().any(|line| line.contains("failed")), "{audit:#?}");
    town.close().await;
}

/// GitHub did it and the bot died before it heard so: the run is looked for, nothing is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_dispatch_is_on_its_way() {
    let mut town = Town::open().await;
    town.stop().await;
    let only = Some("/dispatches".to_owned());
    town.sandbox.world.act(Act::Fault { kind: FaultKind::HangAfter, times: 1, only }).expect("a fault");
    let process = start(&town).await;
    let posted = |town: &Town| {
        let requests = town.sandbox.world.requests();
        requests.iter().filter(|r| r.method == "POST" && r.path.ends_with("/dispatches")).count()
    };
    // Until the bot has read the workflow files it cannot start anything.
    until("the dispatch at GitHub", || async {
        town.sandbox.workspace.command("UBEN", DEPLOYS, "start h").await.expect("an ack");
        let answered =
            || town.sandbox.workspace.ephemerals("UBEN").pop().is_some_and(|m| m.reads().contains("not been read"));
        until("the dispatch or a refusal", || async { (posted(&town) == 1 || answered()).then_some(()) }).await;
        (posted(&town) == 1).then_some(())
    })
    .await;
    killed(&town, process).await;

    let process = start(&town).await;
    until("the answer", || async {
        let told = town.sandbox.workspace.ephemerals("UBEN").pop()?.reads();
        told.contains("Deploy was started: GitHub’s answer was lost").then_some(())
    })
    .await;
    taken_over(&mut town, process).await;
    assert_eq!(posted(&town), 1, "GitHub was asked once");
    assert!(town.says(812).contains("Started from Slack by <@UBEN>"), "{}", town.says(812));
    town.close().await;
}

/// Killed while the retry is on its way, once GitHub had done it, once it had not: it is looked for and never sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_retry_is_on_its_way() {
    for (kind, told) in
        [(FaultKind::HangAfter, "its failed jobs run again"), (FaultKind::Hang, "was not started again")]
    {
        let mut town = Town::without_aws().await;
        let run = town.merge("ana-gh", "Fix RPC");
        town.finish(run, &["Docker Hub"], Outcome::Failure);
        town.act(Act::Pass { seconds: 2 });
        town.settled().await;
        town.stop().await;

        let only = Some("rerun-failed-jobs".to_owned());
        town.sandbox.world.act(Act::Fault { kind, times: 1, only }).expect("a fault");
        let process = start(&town).await;
        process.is_ready().await;
        let notice = town.notice(812).at();
        let retry = town.button("UBEN", &notice, "Retry failed jobs");
        town.sandbox.workspace.click("UBEN", &notice, &retry).await.expect("an ack");
        let posts = |town: &Town| {
            let requests = town.sandbox.world.requests();
            requests.iter().filter(|r| r.method == "POST" && r.path.ends_with("/rerun-failed-jobs")).count()
        };
        until("the retry at GitHub", || async { (posts(&town) == 1).then_some(()) }).await;
        killed(&town, process).await;

        let process = start(&town).await;
        let answers = || town.sandbox.workspace.ephemerals("UBEN");
        until("the answer", || async { answers().pop().filter(|answer| answer.reads().contains(told)) }).await;
        taken_over(&mut town, process).await;
        assert_eq!(posts(&town), 1, "sent once");
        assert_eq!(town.says(812).contains("attempt 2, started by <@UBEN>"), kind == FaultKind::HangAfter);
        town.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_person_is_being_answered() {
    let mut town = Town::without_bot(SETTINGS).await;
    let process = start(&town).await;
    process.says("connected to slack").await;
    process.is_ready().await;
    town.sandbox.workspace.fault(Fault::Hang { method: "response_url".into(), times: 1 });
    town.sandbox.workspace.command("UCHI", DEPLOYS, "hold h migrating").await.expect("an ack");
    town.hanging("response_url").await;
    killed(&town, process).await;

    let process = start(&town).await;
    until("the answer", || async { town.sandbox.workspace.ephemerals("UCHI").pop() }).await;
    taken_over(&mut town, process).await;
    assert_eq!(town.sandbox.workspace.ephemerals("UCHI").len(), 1, "told once");
    let locks = town.sandbox.workspace.messages(DEPLOYS);
    assert_eq!(locks.iter().filter(|message| message.reads().contains("is on hold")).count(), 1, "{locks:#?}");
    assert_eq!(audit(&town).await.len(), 1);
    town.close().await;
}

/// A request is acknowledged, and its process told to end in the same moment: it is done all the same, now or after the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_amid_requests() {
    let mut town = Town::without_bot(SETTINGS).await;
    let process = start(&town).await;
    process.is_ready().await;
    // An answer that never goes through must not keep the process from ending.
    town.sandbox.workspace.fault(Fault::Hang { method: "response_url".into(), times: 1 });
    town.sandbox.workspace.command("UANA", DEPLOYS, "whoami").await.expect("an ack");
    town.hanging("response_url").await;
    town.sandbox.workspace.command("UCHI", DEPLOYS, "hold h migrating").await.expect("an ack");
    taken_over(&mut town, process).await;
    let locks = town.sandbox.workspace.messages(DEPLOYS);
    assert_eq!(locks.iter().filter(|message| message.reads().contains("is on hold")).count(), 1, "{locks:#?}");
    assert_eq!(audit(&town).await.len(), 1);
    assert!(town.told("UCHI").contains("hold"), "{}", town.told("UCHI"));
    town.close().await;
}

/// While Slack is away the start waits, and can be told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_before_slack_answers() {
    let town = Town::without_bot(SETTINGS).await;
    town.sandbox.workspace.fault(Fault::Http500 { method: "*".into(), times: 1_000 });
    let mut process = Start::of(&town.sandbox, SETTINGS).go();
    process.says("Slack does not answer yet").await;
    process.terminate();
    assert_eq!(process.ends(Duration::from_secs(2)).await, 0, "{}", process.said());
    town.sandbox.workspace.clear_faults();
    town.close().await;
}

/// The bot died after it had sent the revert: once GitHub had done it, once it had not. It is looked for, nothing is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_revert_is_on_its_way() {
    for done in [true, false] {
        let mut town = Town::open().await;
        let broken = town.live().await;
        town.stop().await;
        let kind = if done { FaultKind::HangAfter } else { FaultKind::Hang };
        let only = Some("POST /graphql mutation".to_owned());
        town.sandbox.world.act(Act::Fault { kind, times: 1, only }).expect("a fault");
        let process = start(&town).await;
        town.sandbox.workspace.command("UANA", DEPLOYS, &format!("revert h {broken}")).await.expect("an ack");
        let asked = until("the question", || async {
            let asked = town.sandbox.workspace.ephemerals("UANA").pop()?;
            asked.buttons().iter().any(|button| button.text == "Open the revert").then_some(asked)
        })
        .await;
        let button = town.button("UANA", &asked.at(), "Open the revert");
        town.sandbox.workspace.click("UANA", &asked.at(), &button).await.expect("an ack");
        until("the revert at GitHub", || async { (town.reverts() == 1).then_some(()) }).await;
        killed(&town, process).await;

        let process = start(&town).await;
        let answer = if done { "is open and reverts" } else { "did not say whether it opened" };
        until("the answer", || async { town.told("UANA").contains(answer).then_some(()) }).await;
        taken_over(&mut town, process).await;
        assert_eq!((town.reverts(), town.open_pulls().len()), (1, usize::from(done)), "sent once");
        town.close().await;
    }
}

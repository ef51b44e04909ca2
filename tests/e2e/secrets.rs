//! At the loudest log, through a story with commands, clicks, faults and errors, nothing secret is written: no token, no
//! WebSocket ticket, no address at which somebody could answer in the bot's name.

use std::time::Duration;

use lockkeeper::sandbox::slack::{APP_TOKEN, BOT_TOKEN, Disconnect, Fault};
use lockkeeper::sandbox::world::{Act, FaultKind};

use crate::process::Start;
use crate::town::{DEPLOYS, SETTINGS, Town, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_logged() {
    let mut town = Town::without_bot(SETTINGS).await;
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    let loud = "trace,lockkeeper=trace,hyper=trace,hyper_util=trace,slack_morphism=trace,tokio_tungstenite=trace,tungstenite=trace,octocrab=trace,tower=trace,rustls=trace";
    let process = Start::of(&town.sandbox, SETTINGS).with("RUST_LOG", loud).with("RUST_BACKTRACE", "1").go();
    let workspace = &town.sandbox.workspace;
    until("a notice", || async { workspace.messages(DEPLOYS).pop() }).await;

    for method in ["response_url", "chat.postMessage", "chat.update", "apps.connections.open", "users.info"] {
        workspace.fault(Fault::Http429 { method: method.into(), times: 1, retry_after: 1 });
        workspace.fault(Fault::Http500After { method: method.into(), times: 1 });
        workspace.fault(Fault::Error { method: method.into(), times: 1, error: "fatal_error".into() });
    }
    for kind in [FaultKind::Error500, FaultKind::Secondary, FaultKind::Error502After] {
        town.sandbox.world.act(Act::Fault { kind, times: 2, only: None }).expect("a fault");
    }
    for reason in [Disconnect::Warning, Disconnect::RefreshRequested] {
        workspace.disconnect(reason);
        until("a new connection", || async { (workspace.connected() >= 2).then_some(()) }).await;
    }
    workspace.fault(Fault::DropTcp);
    until("a new connection", || async { (workspace.connected() >= 2).then_some(()) }).await;
    for text in ["", "whoami", "history h", "status h", "approve h", "nonsense"] {
        workspace.command("UBEN", DEPLOYS, text).await.expect("an ack");
    }
    // The notice changes meanwhile, and its buttons with it.
    let notice = workspace.messages(DEPLOYS).remove(0);
    for button in notice.buttons() {
        let value = button.value.expect("a value");
        workspace.click_stale("UANA", &notice.at(), &button.action_id, &value).await.expect("an ack");
    }
    // One after the other: each is looked up by itself, and what is released has to be on hold. What a fault refused is asked again.
    for (typed, said) in [("hold h database", "On hold"), ("release h", "Released")] {
        until(said, || async {
            workspace.command("UBEN", DEPLOYS, typed).await.expect("an ack");
            tokio::time::sleep(Duration::from_millis(300)).await;
            workspace.ephemerals("UBEN").iter().any(|one| one.reads().contains(said)).then_some(())
        })
        .await;
    }
    let answered = || async { (workspace.ephemerals("UBEN").len() >= 8).then_some(()) };
    until("answers in spite of the faults", answered).await;

    // octocrab is off unless asked for: its word shows that the log is loud.
    until("octocrab's word on a failure", || async {
        let fault = Act::Fault { kind: FaultKind::Error500, times: 1, only: None };
        town.sandbox.world.act(fault).expect("a fault");
        process.said().contains("octocrab").then_some(())
    })
    .await;
    let said = process.said();
    drop(process);
    assert!(
        said.contains("could not deliver an answer") || said.contains("not performed"),
        "errors are logged: {said}"
    );
    let tickets = ["ticket=", "app_id="];
    let addresses = ["/commands/T", "/actions/T", "/link/"];
    let github = town.sandbox.world.token();
    let tokens = [BOT_TOKEN, APP_TOKEN, &github, "canary", "Canary", "Bearer "];
    for secret in tickets.into_iter().chain(addresses).chain(tokens) {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret:?} is in the log: {}", line.unwrap_or_default());
    }
    town.sandbox.world.act(Act::ClearFaults).expect("no more faults");
    town.start().await;
    town.close().await;
}

//! Seen from outside: what machines that look after the bot read on `/ready` and `/metrics`.

use std::time::Duration;

use insta::assert_snapshot;
use jiff::SignedDuration;
use lockkeeper::sandbox::slack::Fault;
use lockkeeper::telemetry;

use crate::process::{Process, Start};
use crate::town::{DEPLOYS, SETTINGS, Town, until};

/// Waits until `/ready` says so; ages left out.
async fn ready(town: &Town, expected: &str) {
    until(&format!("/ready to say {expected}"), || async {
        let checks = telemetry::readiness(town.shell()).checks;
        let bad = checks.into_iter().filter(|check| !check.ok).map(|check| format!("{}: {}", check.name, check.said));
        let said = bad.collect::<Vec<_>>().join("; ");
        let digits = said.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        (digits == expected).then_some(())
    })
    .await;
}

/// Waits until `/metrics` has all these lines.
async fn shows(process: &Process, lines: &[&str]) {
    let mut missing = Vec::new();
    for _ in 0..800 {
        let (status, metrics) = process.get("/metrics").await;
        assert_eq!(status, 200);
        missing = lines.iter().filter(|line| !metrics.lines().any(|shown| shown == **line)).collect();
        if missing.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("/metrics lacks {missing:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_says_what_the_bot_cannot_do() {
    let mut town = Town::on_redis().await;
    ready(&town, "").await;

    // Nothing can be remembered.
    town.redis().kill();
    ready(&town, "store: does not answer; outbox: not known").await;
    town.redis().come_back().await;
    ready(&town, "").await;

    // What was decided does not get done.
    town.sandbox.workspace.fault(Fault::Http500 { method: "chat.postMessage".into(), times: 1_000 });
    town.merge("ana-gh", "Fix RPC");
    until("a notice to wait", || async { (town.shell().store.backlog().await.ok()?.count > 0).then_some(()) }).await;
    town.sandbox.clock.advance(SignedDuration::from_mins(6));
    ready(&town, "outbox:  to do, the oldest for  s").await;
    town.sandbox.workspace.clear_faults();
    ready(&town, "").await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_a_day() {
    let town = Town::without_bot(SETTINGS).await;
    let mut process = Start::of(&town.sandbox, SETTINGS).go();
    process.is_ready().await;
    let ready = process.get("/ready").await.1;
    let ready: String = ready.chars().map(|c| if c.is_ascii_digit() { 'N' } else { c }).collect();
    assert_snapshot!(ready.replace("NN", "N"), @r#"{"checks":{"github":{"ok":true,"said":"all seen within N s"},"outbox":{"ok":true,"said":"nothing to do"},"slack":{"ok":true,"said":"N sockets connected"},"store":{"ok":true,"said":"answers"}},"ready":true}"#);
    shows(
        &process,
        &[
            "# TYPE lockkeeper_app_state gauge",
            r#"lockkeeper_app_state{app="h",state="active"} 0"#,
            r#"lockkeeper_app_state{app="h",state="unseen"} 0"#,
            r#"lockkeeper_dora_deployments{app="h"} 0"#,
            r#"lockkeeper_dora_lead_time_seconds{app="h"} NaN"#,
            r#"lockkeeper_dora_change_failure_ratio{app="h"} NaN"#,
            r#"lockkeeper_dora_time_to_restore_seconds{app="h"} NaN"#,
            "lockkeeper_effects_oldest_seconds 0",
            "lockkeeper_effects_waiting 0",
            "lockkeeper_leading 1",
            "lockkeeper_slack_sockets 2",
            "lockkeeper_store_up 1",
        ],
    )
    .await;

    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    let waiting = [
        r#"lockkeeper_app_state{app="h",state="active"} 1"#,
        r#"lockkeeper_app_state{app="h",state="behind"} 1"#,
        r#"lockkeeper_app_state{app="h",state="waiting"} 1"#,
    ];
    shows(&process, &waiting).await;
    for text in ["status h", "approve nothing", "hold h migrating"] {
        town.sandbox.workspace.command("UCHI", DEPLOYS, text).await.expect("an ack");
    }
    town.sandbox.workspace.command("UDORA", DEPLOYS, "approve h").await.expect("an ack");
    town.approve_at_github(run, "ben-gh", &["Production", "Production (WebSocket)", "Production (Canada)"]);
    town.ship(run);
    let shipped = [
        r#"lockkeeper_ack_seconds_count{kind="command",outcome="acked"} 4"#,
        r#"lockkeeper_decisions_total{app="h",action="hold",outcome="granted"} 1"#,
        r#"lockkeeper_decisions_total{app="h",action="approve",outcome="refused"} 1"#,
        r#"lockkeeper_effects_total{effect="examine",outcome="performed"} 2"#,
        r#"lockkeeper_effect_seconds_count{effect="examine"} 2"#,
        r#"lockkeeper_app_state{app="h",state="held"} 1"#,
        r#"lockkeeper_app_state{app="h",state="waiting"} 0"#,
        r#"lockkeeper_dora_deployments{app="h"} 1"#,
        r#"lockkeeper_dora_change_failure_ratio{app="h"} 0"#,
    ];
    shows(&process, &shipped).await;
    assert!(!process.get("/metrics").await.1.contains("Fix RPC"), "what people write is no label");
    process.terminate();
    assert_eq!(process.ends(Duration::from_secs(10)).await, 0, "{}", process.said());
    town.close().await;
}

/// A process that is told to end says so at once, and lives until it has done what it has in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ends_is_not_ready() {
    let town = Town::without_bot(SETTINGS).await;
    let mut process = Start::of(&town.sandbox, SETTINGS).go();
    process.is_ready().await;
    town.sandbox.workspace.fault(Fault::Hang { method: "response_url".into(), times: 1 });
    town.sandbox.workspace.command("UANA", DEPLOYS, "whoami").await.expect("an ack");
    town.hanging("response_url").await;
    process.terminate();
    until("it to be no more ready", || async { (process.get("/ready").await.0 == 503).then_some(()) }).await;
    assert_eq!(process.get("/live").await.0, 200);
    assert_eq!(process.ends(Duration::from_secs(10)).await, 0, "{}", process.said());
    town.close().await;
}

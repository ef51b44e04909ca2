//! The story that the product is for: from two merges to production.

use insta::assert_snapshot;
use lockkeeper::sandbox::world::Outcome;

use crate::town::Town;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_merges_become_one_production() {
    let town = Town::open().await;
    let first = town.merge("ana-gh", "Fix RPC");
    town.settled().await;
    town.finish(first, &["Docker Hub", "Staging"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    🚚 Going to Staging (WebSocket)
    ✅ Staging: done (time)
    🚀 Staging (WebSocket): deploying
    ▫️ Production, Production (WebSocket), Production (Canada): not yet
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    I tested mine
    What changes?
    Hold…
    ");

    let second = town.merge("ben-gh", "Bump zope-interface");
    town.settled().await;
    assert_snapshot!(town.says(812), @"h · run 812 · Fix RPC · ↪️ replaced by run 813, which ships its changes too");
    assert_snapshot!(town.thread(813).join("\n"), @"<@UANA>, your deploy of #4498 was replaced when <@UBEN> merged #4499. It now ships with run 813. Both of you test on Staging and Staging (WebSocket), then either can approve.");
    assert_eq!(town.mentions(), ["UANA", "UBEN"], "both once, in the handover");

    town.on_staging(second);
    town.settled().await;
    assert_snapshot!(town.thread(813)[1..].join("\n"), @"
    <@UANA> <@UBEN> run 813 is on Staging and Staging (WebSocket).
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    assert_eq!(town.mentions()[2..], ["UANA", "UBEN"], "these two and nobody else");

    let notice = town.notice(813).at();
    town.click("UANA", &notice, "I tested mine").await;
    assert_snapshot!(town.says(813), @"
    h · run 813 · Bump zope-interface
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    Ships 2 changes:
    ✅ #4498 Fix RPC · <@UANA>, tested (time)
    ⬜ #4499 Bump zope-interface · <@UBEN>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");

    town.command("UBEN", "approve h").await;
    let asked = town.answer("UBEN");
    assert_snapshot!(town.told("UBEN"), @"
    h 8bf91c5 goes to Production, Production (WebSocket) and Production (Canada). It ships 2 changes of 2 people. Not ticked as tested: #4499.
    ✅ #4498 Fix RPC · <@UANA>, tested (time)
    ⬜ #4499 Bump zope-interface · <@UBEN>, merged (time)
    Approve 3 environments
    Not now
    ");
    assert!(town.reviews().is_empty(), "nothing is approved before it is confirmed");
    town.click("UBEN", &asked.at(), "Approve 3 environments").await;
    assert_eq!(town.reviews().len(), 1);
    assert_snapshot!(town.reviews()[0]["comment"].as_str().expect("a comment"), @"Approved in Slack by ben (Slack user UBEN, ben-gh at GitHub) for commit 8bf91c53cdd0cf1574c3756c6e44fe8ff5f1cae0");
    assert_snapshot!(town.told("UBEN"), @"Approved: run 813 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");

    town.finish(second, &["Production", "Production (WebSocket)", "Production (Canada)"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.says(813), @"
    h · run 813 · Bump zope-interface
    ✅ 8bf91c5 is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved by <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    Shipped 2 changes:
    ✅ #4498 Fix RPC · <@UANA>, tested (time)
    ⬜ #4499 Bump zope-interface · <@UBEN>, merged (time)
    Something is wrong…
    ");
    town.command("UCHI", "history h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · decisions, newest first
    (time) · <@UBEN> · approve run 813 on Production, Production (WebSocket), Production (Canada) · granted
    (time) · <@UANA> · tested run 813 · done · “#4498”
    ");
    assert_eq!(town.mentions().len(), 4, "nobody is mentioned again");
    town.close().await;
}

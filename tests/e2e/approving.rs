//! Approving: one decision for each gate, on what is true at the click, told in a sentence.

use insta::assert_snapshot;
use lockkeeper::sandbox::world::{Act, Outcome};

use crate::town::{H, SETTINGS, Town};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_click_at_the_same_moment() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812).at();
    let button = town.button("UANA", &notice, "Approve production…");
    let workspace = &town.sandbox.workspace;
    let (ana, ben) = tokio::join!(workspace.click("UANA", &notice, &button), workspace.click("UBEN", &notice, &button));
    for clicked in [ana, ben] {
        clicked.expect("acknowledged");
    }
    town.settled().await;
    assert_eq!(town.reviews().len(), 1, "one approval reached GitHub");
    let (ana, ben) = (town.told("UANA"), town.told("UBEN"));
    let (given, slower) = if ana.starts_with("Approved") { (ana, ben) } else { (ben, ana) };
    assert_snapshot!(given, @"Approved: run 812 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");
    assert_snapshot!(slower.replace("UANA", "UFIRST").replace("UBEN", "UFIRST"), @"<@UFIRST> was faster and approved it at (time). Nothing is left to do.");
    town.ship(run);
    town.settled().await;

    town.command("UCHI", "approve h").await;
    assert_snapshot!(town.told("UCHI"), @"Run 812 is not waiting for an approval: it is live.");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_person_clicks_twice() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812);
    let button = town.button_now(&notice, "Approve production…");
    town.click("UBEN", &notice.at(), "Approve production…").await;
    town.click_old("UBEN", &notice.at(), &button).await;
    assert_snapshot!(town.told("UBEN"), @"You approved it yourself already, at (time). Nothing is left to do.");
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_notice_never_approves_a_newer_run() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812);
    let button = town.button_now(&notice, "Approve production…");
    town.waiting("ben-gh", "Bump zope-interface").await;
    assert!(town.buttons(812).is_empty(), "a notice that was replaced has no buttons");
    town.click_old("UANA", &notice.at(), &button).await;
    assert_snapshot!(town.told("UANA"), @"Run 812 is not the newest any more: run 813 took its place. Nothing was approved; look at its notice and approve there.");
    assert!(town.reviews().is_empty());

    // The newer run starts after the question was shown, before it is confirmed.
    town.command("UANA", "approve h").await;
    let asked = town.answer("UANA").at();
    let newest = town.merge("chi-gh", "Speed up search");
    town.click("UANA", &asked, "Approve 3 environments").await;
    assert_snapshot!(town.told("UANA"), @"Run 813 is not the newest any more: run 814 took its place. Nothing was approved; look at its notice and approve there.");
    assert!(town.reviews().is_empty());

    // The same run, started again since.
    town.on_staging(newest);
    town.settled().await;
    let notice = town.notice(814);
    let button = town.button_now(&notice, "Approve production…");
    town.act(Act::CancelRun { repo: H.into(), run: newest, by: "chi-gh".into() });
    town.rerun(newest, false, "chi-gh");
    town.on_staging(newest);
    town.settled().await;
    town.click_old("UANA", &notice.at(), &button).await;
    assert_snapshot!(town.told("UANA"), @"Run 814 has been started again since this was shown. Nothing was approved; its notice shows what waits now.");
    assert!(town.reviews().is_empty());
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UANA> · approve run 814 on Production, Production (WebSocket), Production (Canada) · refused: run changed since shown
    (time) · <@UANA> · approve run 813 on Production, Production (WebSocket), Production (Canada) · refused: not the newest run
    (time) · <@UANA> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: not the newest run
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_production_is_ahead_of_is_not_approved() {
    let town = Town::open().await;
    let older = town.waiting("ana-gh", "Fix RPC").await;
    let newer = town.waiting("ben-gh", "Bump zope-interface").await;
    town.approve("UBEN").await;
    town.ship(newer);
    town.settled().await;
    let before = town.mentions().len();

    // GitHub tells times to the second, and the order of runs follows from them.
    town.pass(1).await;
    town.rerun(older, false, "ana-gh");
    town.settled().await;
    town.on_staging(older);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    ⚠️ Production already runs something newer: approving this would roll back, so it is refused. Use the newest run, or roll forward with a new change.
    Hold…
    ");
    assert_snapshot!(town.thread(812).join("\n"), @"
    <@UANA> run 812 is on Staging and Staging (WebSocket).
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    assert_eq!(town.rang_since(before), [""; 0]);
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Production already runs something newer than run 812: approving it would roll back. Use the newest run, or roll forward with a new change.");
    assert_eq!(town.buttons(812), ["Hold…"], "nothing to approve");
    assert_eq!(town.reviews().len(), 1, "that of the newer run");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_environment_by_name() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let mut told = Vec::new();
    for typed in ["approve h mars", "approve h prodction", "approve h staging", "approve j", "approve"] {
        town.command("UANA", typed).await;
        told.push(format!("{typed}: {}", town.told("UANA")));
    }
    assert_snapshot!(told.join("\n"), @"
    approve h mars: There is no environment mars. There is Production, Production (WebSocket) and Production (Canada).
    approve h prodction: There is no environment prodction. Did you mean Production?
    approve h staging: Nobody has to approve Staging: only production waits for an approval.
    approve j: There is no app “j” here. There are: h.
    approve: Which app? Type /deploy approve <app> [environment…].
    ");
    town.command("UANA", "approve h canada").await;
    assert_snapshot!(town.told("UANA"), @"
    h 14c7efe goes to Production (Canada). It ships 1 change of 1 person. Not ticked as tested: #4498.
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Approve Production (Canada)
    Not now
    ");
    let asked = town.answer("UANA").at();
    town.click("UANA", &asked, "Approve Production (Canada)").await;
    assert_snapshot!(town.told("UANA"), @"Approved: run 812 goes to Production (Canada). Its notice shows how it gets on.");
    assert_eq!(town.reviews()[0]["environment_ids"].as_array().map(Vec::len), Some(1));
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    🚀 Going to Production (Canada); Production and Production (WebSocket) still wait for approval · approved by <@UANA> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket): waiting for approval
    🚀 Production (Canada): deploying
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");

    town.command("UBEN", "approve h Production (Canada)").await;
    assert_snapshot!(town.told("UBEN"), @"<@UANA> was faster and approved it at (time). Nothing is left to do.");
    town.command("UBEN", "approve h “Production” \"production (websocket)\"").await;
    assert_snapshot!(town.told("UBEN"), @"
    h 14c7efe goes to Production and Production (WebSocket). It ships 1 change of 1 person. Not ticked as tested: #4498.
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Approve 2 environments
    Not now
    ");
    let asked = town.answer("UBEN").at();
    town.click("UBEN", &asked, "Approve 2 environments").await;
    assert_snapshot!(town.told("UBEN"), @"Approved: run 812 goes to Production and Production (WebSocket). Its notice shows how it gets on.");
    assert_eq!(town.reviews().len(), 2);
    town.ship(run);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ✅ 14c7efe is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved by <@UANA> (time) and <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    Shipped 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Something is wrong…
    ");
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UBEN> · approve run 812 on Production, Production (WebSocket) · granted
    (time) · <@UBEN> · approve run 812 · refused: somebody was faster · “Production (Canada)”
    (time) · <@UANA> · approve run 812 on Production (Canada) · granted
    (time) · <@UANA> · approve run 812 · refused: misread · “staging”
    (time) · <@UANA> · approve run 812 · refused: misread · “prodction”
    (time) · <@UANA> · approve run 812 · refused: misread · “mars”
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_says_why() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.command("UBEN", "reject h search is <broken> on Staging").await;
    assert_snapshot!(town.told("UBEN"), @"Rejected: run 812 does not go to Production, Production (WebSocket) and Production (Canada).");
    assert_snapshot!(town.reviews()[0]["comment"].as_str().expect("a comment"), @"Rejected in Slack by ben (Slack user UBEN, ben-gh at GitHub): search is <broken> on Staging");
    assert_eq!(town.reviews()[0]["state"], "rejected");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    🚫 Rejected by <@UBEN> (time): “search is <broken> on Staging”
    ✅ Staging, Staging (WebSocket): done (time)
    🚫 Production, Production (WebSocket), Production (Canada): rejected
    Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268
    Its changes are still to be deployed: they ship with the next run, or /deploy retry h runs this one again.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ");
    assert_snapshot!(town.broadcasts().join("\n"), @"");
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Run 812 is not waiting for an approval: it was rejected.");
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UANA> · approve run 812 · refused: not waiting
    (time) · <@UBEN> · reject run 812 on Production, Production (WebSocket), Production (Canada) · granted · “search is <broken> on Staging”
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_stops_approvals_until_it_is_released() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812);
    let button = town.button_now(&notice, "Approve production…");
    town.click("UCHI", &notice.at(), "Hold…").await;
    let form = town.sandbox.workspace.views("UCHI").pop().expect("a form");
    assert_snapshot!(form.reads(), @"
    Hold h
    Why?
    Approvals are refused until somebody releases it. The channel reads this.
    ");
    town.fill_in("UCHI", "migrating the <database>").await;
    assert_snapshot!(town.told("UCHI"), @"On hold. The channel was told.");
    assert_snapshot!(town.broadcasts().join("\n"), @"
    🔒 h is on hold: <@UCHI> says “migrating the <database>”. Approvals are refused until it is released.
    Release
    ");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    🔒 On hold by <@UCHI> since (time): “migrating the <database>”
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    I tested mine
    What changes?
    Release
    ");
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"h is on hold by <@UCHI>: “migrating the <database>”. Ask them, or type /deploy release h once it is safe.");
    town.click_old("UANA", &notice.at(), &button).await;
    assert!(town.reviews().is_empty());
    town.command("UBEN", "hold h me too").await;
    assert_snapshot!(town.told("UBEN"), @"It is on hold already, by <@UCHI>: “migrating the <database>”.");

    town.click("UANA", &notice.at(), "Release").await;
    assert_snapshot!(town.broadcasts()[1..].join("\n"), @"🔓 h is released by <@UANA>. It was on hold for “migrating the <database>”. Approvals work again.");
    town.command("UANA", "release h").await;
    assert_snapshot!(town.told("UANA"), @"h is not on hold.");
    town.approve("UANA").await;
    assert_eq!(town.reviews().len(), 1);
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UANA> · approve run 812 on Production, Production (WebSocket), Production (Canada) · granted
    (time) · <@UANA> · release · refused: not on hold
    (time) · <@UANA> · release · done
    (time) · <@UBEN> · hold · refused: on hold already · “me too”
    (time) · <@UANA> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: on hold
    (time) · <@UANA> · approve run 812 · refused: on hold
    (time) · <@UCHI> · hold · done · “migrating the <database>”
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_changes_have_to_be_tested() {
    let town = Town::with(&format!("require_tested = \"all\"\n{SETTINGS}")).await;
    town.merged("ana-gh", "Fix RPC").await;
    town.waiting("ben-gh", "Bump zope-interface").await;
    town.command("UBEN", "approve h").await;
    assert_snapshot!(town.told("UBEN"), @"Not ticked as tested yet: #4498, #4499. Their people tick them with “I tested mine”; then approve again.");
    town.command("UBEN", "tested h 4498").await;
    assert_snapshot!(town.told("UBEN"), @"#4498 is not yours: its author, or whoever merged it, says that it is tested.");
    town.command("UBEN", "tested h").await;
    assert_snapshot!(town.told("UBEN"), @"Thank you: #4499 ticked as tested on run 813. The notice shows it.");
    let notice = town.notice(813);
    town.click("UBEN", &notice.at(), "Approve production…").await;
    assert_snapshot!(town.told("UBEN"), @"Not ticked as tested yet: #4498. Their people tick them with “I tested mine”; then approve again.");
    town.command("UANA", "tested h #4498").await;
    town.approve("UBEN").await;
    assert_snapshot!(town.told("UBEN"), @"Approved: run 813 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_eyes_see_more_than_two() {
    let town = Town::with(&format!("four_eyes = true\n{SETTINGS}")).await;
    town.merged("ana-gh", "Fix RPC").await;
    town.waiting("ben-gh", "Bump zope-interface").await;
    town.command("UBEN", "approve h").await;
    assert_snapshot!(town.told("UBEN"), @"You merged the newest change, and this app wants a second person: ask somebody else to approve.");
    town.approve("UANA").await;
    assert_snapshot!(town.told("UANA"), @"Approved: run 813 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_on_githubs_page_shows_in_slack() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812);
    let button = town.button_now(&notice, "Approve production…");
    town.approve_at_github(run, "dora-gh", &["Production", "Production (WebSocket)", "Production (Canada)"]);
    town.click_old("UBEN", &notice.at(), &button).await;
    // Whether the last look still saw it wait is a matter of moments.
    let told = town.told("UBEN");
    let still = "Run 812 does not wait any more: it was answered on GitHub’s page a moment ago. Its notice shows how it gets on.";
    let known = "Run 812 is not waiting for an approval: it was approved and is deploying.";
    assert!(told == still || told == known, "{told}");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    🚀 Going to production · approved on GitHub by <@UDORA>
    ✅ Staging, Staging (WebSocket): done (time)
    🚀 Production, Production (WebSocket), Production (Canada): deploying
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    I tested mine
    What changes?
    Hold…
    ");
    town.ship(run);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ✅ 14c7efe is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved on GitHub by <@UDORA>
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    Shipped 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Something is wrong…
    ");
    assert!(town.reviews().is_empty());
    town.close().await;
}

const VIA: &str = "hypothesis/via";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vias_halves_are_independent() {
    let town = Town::with(&SETTINGS.replace("h = \"hypothesis/h\"", "via = \"hypothesis/via\"")).await;
    let run = town.act_at(VIA, Act::merge(VIA, "ana-gh", "Proxy faster"));
    town.finish_at(VIA, run, &["Docker Hub", "Staging"], Outcome::Success);
    town.settled().await;
    // Staging (Edu) still runs: GitHub asks for Production already.
    assert_snapshot!(town.reads("via · run 404"), @"
    via · run 404 · Proxy faster
    ⏳ On Staging since (time), waiting for approval
    ✅ Staging: done (time)
    🚀 Staging (Edu): deploying
    ⏸️ Production: waiting for approval
    ▫️ Production (Edu): not yet
    Ships 1 change:
    ⬜ #1315 Proxy faster · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    assert_snapshot!(town.message("via · run 404").replies.len(), @"0");
    town.finish_at(VIA, run, &["Staging (Edu)"], Outcome::Failure);
    town.settled().await;
    assert_snapshot!(town.reads("via · run 404"), @"
    via · run 404 · Proxy faster
    ⏳ On Staging since (time), waiting for approval
    ✅ Staging: done (time)
    ❌ Staging (Edu): failed, not touched
    ⏸️ Production: waiting for approval
    ▫️ Production (Edu): skipped
    Ships 1 change:
    ⬜ #1315 Proxy faster · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    let replies = town.message("via · run 404").replies;
    assert_snapshot!(replies.iter().map(|m| m.reads()).collect::<Vec<_>>().join("\n"), @"
    <@UANA> run 404 is on Staging. It did not get to Staging (Edu).
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    town.command("UANA", "approve via edu").await;
    assert_snapshot!(town.told("UANA"), @"Run 404 waits for an approval, but not there. Its notice shows where.");
    town.command("UANA", "approve via").await;
    assert_snapshot!(town.told("UANA"), @"
    via cc8bda5 goes to Production. It ships 1 change of 1 person. Not ticked as tested: #1315.
    ⬜ #1315 Proxy faster · <@UANA>, merged (time)
    Approve Production
    Not now
    ");
    let asked = town.answer("UANA").at();
    town.click("UANA", &asked, "Approve Production").await;
    assert_eq!(town.reviews().len(), 1);
    town.finish_at(VIA, run, &["Production"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("via · run 404"), @"
    via · run 404 · Proxy faster
    ❌ Failed at Staging (Edu): job Staging (Edu) / Deploy, step “Configure AWS credentials”
    ✅ Staging: done (time)
    ❌ Staging (Edu): failed, not touched
    ✅ Production: done (time)
    ▫️ Production (Edu): skipped
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    Elastic Beanstalk, Staging (Edu): Ready, Ok
    ⚠️ Production is split: Production runs cc8bda5 · Production (Edu) runs 267a8f4
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    ⬜ #1315 Proxy faster · <@UANA>, merged (time)
    Retry failed jobs
    ");
    assert_snapshot!(town.broadcasts().join("\n"), @"
    <@UANA>: via run 404 ended before production was complete.
    ❌ Failed at Staging (Edu): job Staging (Edu) / Deploy, step “Configure AWS credentials”
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    ⚠️ Production is split: Production runs cc8bda5 · Production (Edu) runs 267a8f4
    Next: look at the run, then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    town.close().await;
}

const REPORT: &str = "hypothesis/report";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_is_tested_on_qa() {
    let town = Town::with(&SETTINGS.replace("h = \"hypothesis/h\"", "report = \"hypothesis/report\"")).await;
    let run = town.act_at(REPORT, Act::merge(REPORT, "ana-gh", "Count better"));
    town.finish_at(REPORT, run, &["Docker Hub", "QA"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("report · run 182"), @"
    report · run 182 · Count better
    ⏳ On QA since (time), waiting for approval
    ✅ QA: done (time)
    ⏸️ Production: waiting for approval
    Ships 1 change:
    ⬜ #660 Count better · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    let replies = town.message("report · run 182").replies;
    assert_snapshot!(replies.iter().map(|m| m.reads()).collect::<Vec<_>>().join("\n"), @"
    <@UANA> run 182 is on QA.
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    let notice = town.message("report · run 182").at();
    town.click("UBEN", &notice, "Approve production…").await;
    town.finish_at(REPORT, run, &["Production"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("report · run 182"), @"
    report · run 182 · Count better
    ✅ fffc86c is live on Production since (time) · approved by <@UBEN> (time)
    ✅ QA: done (time)
    ✅ Production: done (time)
    Shipped 1 change:
    ⬜ #660 Count better · <@UANA>, merged (time)
    Something is wrong…
    ");
    town.close().await;
}

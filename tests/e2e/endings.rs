//! Endings: every way in which a run can end, called by its name, and what production runs after it.

use insta::assert_snapshot;
use lockkeeper::sandbox::world::{Act, Outcome};

use crate::town::{H, Town};

fn cancel(run: u64, by: &str) -> Act {
    Act::CancelRun { repo: H.into(), run, by: by.into() }
}

fn deploy_step(run: u64, job: &str) -> Act {
    Act::DeployStep { repo: H.into(), run, job: job.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canada_failed_and_its_job_is_run_again() {
    let town = Town::without_aws().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    let before = town.mentions().len();
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.act(deploy_step(run, "Production (Canada)"));
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ❌ Failed at Production (Canada): job Production (Canada) / Deploy, step “Install dependencies and run deploy script”
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ❓ Production (Canada): unknown
    Likely cause: not to be seen from here; the job’s log says more.
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268 or 14c7efe, nobody knows which
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Retry failed jobs
    ");
    assert_snapshot!(town.broadcasts().join("\n---\n"), @"
    <@UBEN>: h run 812 did not get through production.
    ❌ Failed at Production (Canada): job Production (Canada) / Deploy, step “Install dependencies and run deploy script”
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268 or 14c7efe, nobody knows which
    ❓ Production (Canada): the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: look at the run, then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    assert_eq!(town.rang_since(before), ["UBEN"], "once, whoever approved");
    town.command("UCHI", "status h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · hypothesis/h
    Staging (test) runs 14c7efe from run 812 since (time)
    Staging (WebSocket) (test) runs 14c7efe from run 812 since (time)
    Production runs 14c7efe from run 812 since (time)
    Production (WebSocket) runs 14c7efe from run 812 since (time)
    Production (Canada) runs 62f5268 or 14c7efe, nobody knows which · ❓ run 812 touched it and nobody saw the end
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268 or 14c7efe, nobody knows which
    Run 812 · Fix RPC: failed
    1 change not in production.
    Elastic Beanstalk is not looked at: there are no AWS credentials here, or the settings say aws = false. Everything else works.
    ");

    town.rerun(run, true, "ben-gh");
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ⏸️ Production (Canada): waiting for approval
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    town.approve_at_github(run, "chi-gh", &["Production (Canada)"]);
    town.finish(run, &["Production (Canada)"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    ✅ 14c7efe is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved on GitHub by <@UCHI>
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    Shipped 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Something is wrong…
    ");
    assert_eq!(town.broadcasts().len(), 1, "the split was said once");
    assert_eq!(town.rang_since(before), ["UBEN"], "nobody is asked again to test the same commit");
    town.command("UCHI", "status h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · hypothesis/h
    Staging (test) runs 14c7efe from run 812 since (time)
    Staging (WebSocket) (test) runs 14c7efe from run 812 since (time)
    Production runs 14c7efe from run 812 since (time)
    Production (WebSocket) runs 14c7efe from run 812 since (time)
    Production (Canada) runs 14c7efe from run 812 since (time)
    Run 812 · Fix RPC: done
    Everything that is merged is in production.
    Elastic Beanstalk is not looked at: there are no AWS credentials here, or the settings say aws = false. Everything else works.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_half_way_through_production() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.act(deploy_step(run, "Production"));
    town.settled().await;
    town.act(cancel(run, "chi-gh"));
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ⏹️ Cancelled by <@UCHI>
    ✅ Staging, Staging (WebSocket): done (time)
    ❓ Production: unknown
    ⏹️ Production (WebSocket), Production (Canada): cancelled, not touched
    ⚠️ Production is split: Production runs 62f5268 or 14c7efe, nobody knows which · Production (WebSocket) and Production (Canada) run 62f5268
    Its changes are still to be deployed: they ship with the next run, or /deploy retry h runs this one again.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ");
    assert_snapshot!(town.broadcasts().join("\n---\n"), @"
    <@UBEN>: h run 812 was cancelled by chi-gh in the middle of production.
    ⚠️ Production is split: Production runs 62f5268 or 14c7efe, nobody knows which · Production (WebSocket) and Production (Canada) run 62f5268
    ❓ Production: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: look at the run, then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    town.command("UCHI", "status h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · hypothesis/h
    Staging (test) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Staging (WebSocket) (test) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Production runs 62f5268 or 14c7efe, nobody knows which · ❓ run 812 touched it and nobody saw the end · Elastic Beanstalk: 62f5268, Updating, health Info
    Production (WebSocket) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production (Canada) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    ⚠️ Production is split: Production runs 62f5268 or 14c7efe, nobody knows which · Production (WebSocket) and Production (Canada) run 62f5268
    Run 812 · Fix RPC: cancelled by chi-gh
    1 change not in production.
    ");
    town.command("UCHI", "pending h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · 1 change not in production
    #4498 Fix RPC · <@UANA> · merged a moment ago · run 812: cancelled by chi-gh
    Ping their authors
    ");

    // The next run brings certainty.
    let next = town.waiting("ana-gh", "Fix RPC again").await;
    town.approve("UBEN").await;
    town.ship(next);
    town.settled().await;
    town.command("UCHI", "status h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h · hypothesis/h
    Staging (test) runs 8bf91c5 from run 813 since (time) · Elastic Beanstalk: 8bf91c5, Ready, health Ok
    Staging (WebSocket) (test) runs 8bf91c5 from run 813 since (time) · Elastic Beanstalk: 8bf91c5, Ready, health Ok
    Production runs 8bf91c5 from run 813 since (time) · Elastic Beanstalk: 8bf91c5, Ready, health Ok
    Production (WebSocket) runs 8bf91c5 from run 813 since (time) · Elastic Beanstalk: 8bf91c5, Ready, health Ok
    Production (Canada) runs 8bf91c5 from run 813 since (time) · Elastic Beanstalk: 8bf91c5, Ready, health Ok
    Run 813 · Fix RPC again: done
    Everything that is merged is in production.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeploy_takes_a_waiting_deploys_place() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let before = town.mentions().len();
    let redeploy = town.dispatch("redeploy.yml", "ben-gh", "main", &["production"]);
    town.settled().await;
    assert_snapshot!(town.says(812), @"h · run 812 · Fix RPC · ↪️ replaced by redeploy 41; its changes wait for the next Deploy run");
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ⏳ Waiting for approval
    ▫️ Staging, Staging (WebSocket): skipped
    ⏸️ Production: waiting for approval
    ▫️ Production (WebSocket), Production (Canada): skipped
    ");
    let thread = |town: &Town| {
        let replies = town.message("h · redeploy 41").replies;
        replies.iter().map(|m| m.reads()).collect::<Vec<_>>().join("\n---\n")
    };
    assert_snapshot!(thread(&town), @"<@UANA>, your deploy of #4498 was replaced when <@UBEN> started redeploy 41. Nothing deploys #4498 now: once the redeploy is done, /deploy start h does.");
    assert_eq!(town.rang_since(before), ["UANA", "UBEN"]);
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Run 812 was replaced by redeploy 41, so there is nothing to approve. Once the redeploy is done, type /deploy start h.");
    town.command("UANA", "pending h").await;
    assert_snapshot!(town.told("UANA"), @"
    h · 1 change not in production
    #4498 Fix RPC · <@UANA> · merged a moment ago · redeploy 41 replaced run 812: nothing deploys it until Deploy is started again
    Ping their authors
    ");

    town.approve_at_github(redeploy, "ben-gh", &["Production"]);
    town.finish(redeploy, &["Production"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ✅ Redeployed (time): Elastic Beanstalk shows it on every server; versions stay as they were · approved on GitHub by <@UBEN>
    ▫️ Staging, Staging (WebSocket): skipped
    ✅ Production: done (time)
    ▫️ Production (WebSocket), Production (Canada): skipped
    ");
    town.command("UANA", "status h").await;
    assert_snapshot!(town.told("UANA"), @"
    h · hypothesis/h
    Staging (test) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Staging (WebSocket) (test) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Production runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production (WebSocket) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production (Canada) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Run 812 · Fix RPC: replaced by redeploy 41
    1 change not in production.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_takes_a_redeploys_place() {
    let town = Town::open().await;
    let redeploy = town.dispatch("redeploy.yml", "ben-gh", "main", &["staging", "production"]);
    town.settled().await;
    town.finish(redeploy, &["Staging"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ⏳ On Staging since (time), waiting for approval
    ✅ Staging: done (time)
    ▫️ Staging (WebSocket): skipped
    ⏸️ Production: waiting for approval
    ▫️ Production (WebSocket), Production (Canada): skipped
    ");
    town.merged("ana-gh", "Fix RPC").await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"h · redeploy 41 · Redeploy · ↪️ replaced by run 812; it did not finish");
    assert_snapshot!(town.thread(812).join("\n"), @"<@UBEN>, your redeploy 41 was replaced when <@UANA> started run 812. It did not finish: if it is still needed, start it again after this one.");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeploy_that_fails_half_way() {
    let town = Town::without_aws().await;
    let redeploy = town.dispatch("redeploy.yml", "ben-gh", "main", &["production", "production_canada"]);
    town.settled().await;
    town.approve_at_github(redeploy, "ben-gh", &["Production", "Production (Canada)"]);
    town.act(deploy_step(redeploy, "Production"));
    town.finish(redeploy, &["Production"], Outcome::Failure);
    town.finish(redeploy, &["Production (Canada)"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ❌ Failed at Production: job Production / Deploy, step “Install dependencies and run deploy script”
    ▫️ Staging, Staging (WebSocket): skipped
    ❓ Production: unknown
    ▫️ Production (WebSocket): skipped
    ☑️ Production (Canada): job done (time)
    Likely cause: not to be seen from here; the job’s log says more.
    ⚠️ Production is split: Production runs 62f5268, its servers unknown · Production (WebSocket) and Production (Canada) run 62f5268
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Retry failed jobs
    ");
    assert_snapshot!(town.broadcasts().join("\n---\n"), @"
    <@UBEN>: h redeploy 41 did not get through production.
    ❌ Failed at Production: job Production / Deploy, step “Install dependencies and run deploy script”
    ⚠️ Production is split: Production runs 62f5268, its servers unknown · Production (WebSocket) and Production (Canada) run 62f5268
    ❓ Production: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: look at the run, then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_by_a_person() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let before = town.mentions().len();
    town.act(cancel(run, "dora-gh"));
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ⏹️ Cancelled by <@UDORA>
    ✅ Staging, Staging (WebSocket): done (time)
    ⏹️ Production, Production (WebSocket), Production (Canada): cancelled, not touched
    Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268
    Its changes are still to be deployed: they ship with the next run, or /deploy retry h runs this one again.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ");
    assert_eq!(town.rang_since(before), [""; 0]);
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Run 812 is not waiting for an approval: dora-gh cancelled it.");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_before_anything_ran() {
    let town = Town::open().await;
    let run = town.merge("ana-gh", "Fix RPC");
    town.act(cancel(run, "dora-gh"));
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ⏹️ Cancelled; GitHub does not say by whom
    Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268
    Its changes are still to be deployed: they ship with the next run, or /deploy start h starts one.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_build_failed() {
    let town = Town::open().await;
    let run = town.merged("ana-gh", "Fix RPC").await;
    town.finish(run, &["Docker Hub"], Outcome::Failure);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ❌ Failed: job Docker Hub / Release, step “build”
    ▫️ Staging, Staging (WebSocket): skipped
    ▫️ Production, Production (WebSocket), Production (Canada): skipped
    Likely cause: the image could not be built. Unless the network had a hiccup, a new change has to repair it.
    Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Retry failed jobs
    ");
    assert_snapshot!(town.thread(812).join("\n"), @"
    <@UANA>: h run 812 did not get to production.
    ❌ Failed: job Docker Hub / Release, step “build”
    Likely cause: the image could not be built. Unless the network had a hiccup, a new change has to repair it.
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    ");
    assert_eq!(town.mentions(), ["UANA"], "who started it has to act next");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_timed_out() {
    let town = Town::without_aws().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.act(deploy_step(run, "Production (Canada)"));
    town.finish(run, &["Production (Canada)"], Outcome::TimedOut);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ⌛ Ran into a time limit at Production (Canada): job Production (Canada) / Deploy
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ❓ Production (Canada): unknown
    Likely cause: it took longer than it may. Elastic Beanstalk may go on by itself: look there before you retry.
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268 or 14c7efe, nobody knows which
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Retry failed jobs
    ");
    assert_snapshot!(town.broadcasts().join("\n---\n"), @"
    <@UBEN>: h run 812 did not get through production.
    ⌛ Ran into a time limit at Production (Canada): job Production (Canada) / Deploy
    Likely cause: it took longer than it may. Elastic Beanstalk may go on by itself: look there before you retry.
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268 or 14c7efe, nobody knows which
    ❓ Production (Canada): the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: look at the run, then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_workflow_file_is_broken() {
    let town = Town::open().await;
    town.act(Act::BreakWorkflow { repo: H.into(), by: "ana-gh".into() });
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Break deploy.yml
    ❌ GitHub could not start it: the workflow file is broken. See the run
    Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268
    Next: repair the workflow file with a new pull request.
    Ships 1 change:
    ⬜ 086886b Break deploy.yml · <@UANA>, pushed without a pull request, merged (time)
    ");
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Run 812 is not waiting for an approval: GitHub could not start it; its workflow file is broken.");
    town.command("UANA", "status h").await;
    assert_snapshot!(town.told("UANA"), @"
    h · hypothesis/h
    Staging (test) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Staging (WebSocket) (test) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production (WebSocket) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production (Canada) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Run 812 · Break deploy.yml: could not be started
    1 change not in production.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_then_run_again_and_failed() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let all = ["Production", "Production (WebSocket)", "Production (Canada)"].map(str::to_owned).to_vec();
    let reject = Act::Reject { repo: H.into(), run, environments: all, by: "chi-gh".into(), comment: "no".into() };
    town.act(reject);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    🚫 Rejected on GitHub by <@UCHI>: “no”
    ✅ Staging, Staging (WebSocket): done (time)
    🚫 Production, Production (WebSocket), Production (Canada): rejected
    Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268
    Its changes are still to be deployed: they ship with the next run, or /deploy retry h runs this one again.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ");
    town.rerun(run, true, "ana-gh");
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    town.approve("UBEN").await;
    assert_snapshot!(town.told("UBEN"), @"Approved: run 812 goes to Production, Production (WebSocket) and Production (Canada). Its notice shows how it gets on.");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    🚀 Going to production · approved by <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    🚀 Production, Production (WebSocket), Production (Canada): deploying
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    I tested mine
    What changes?
    Hold…
    ");
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    ❌ Failed at Production (Canada): job Production (Canada) / Deploy, step “Configure AWS credentials”
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ❌ Production (Canada): failed, not touched
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    Elastic Beanstalk, Production (Canada): Ready, Ok
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268
    This was attempt 2: ask for help. The job’s log is linked above.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Ask for help
    Retry failed jobs
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_cancels_a_deploy_in_the_middle_of_production() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UANA").await;
    town.finish(run, &["Production (WebSocket)"], Outcome::Success);
    town.act(deploy_step(run, "Production"));
    town.settled().await;
    let before = town.mentions().len();
    let next = town.merged("ben-gh", "Bump zope-interface").await;
    assert_snapshot!(town.says(812), @"h · run 812 · Fix RPC · ↪️ replaced by run 813, which ships its changes too");
    assert_snapshot!(town.broadcasts().join("\n---\n"), @"
    <@UANA>: h run 812 was replaced by run 813 in the middle of production.
    ⚠️ Production is split: Production runs 62f5268 or 14c7efe, nobody knows which · Production (WebSocket) runs 14c7efe · Production (Canada) runs 62f5268
    ❓ Production: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: take run 813 to production: that makes it one version again. Starting the old run again would cancel the new one.
    ");
    assert_snapshot!(town.thread(813).join("\n---\n"), @"<@UANA>, your deploy of #4498 was replaced when <@UBEN> merged #4499. It now ships with run 813. Both of you test on Staging and Staging (WebSocket), then either can approve.");
    assert_eq!(town.rang_since(before).len(), 3, "trouble for Ana, the handover for both");
    town.pass(1).await;
    town.on_staging(next);
    town.settled().await;
    assert_snapshot!(town.says(813), @"
    h · run 813 · Bump zope-interface
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268
    Ships 2 changes:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ⬜ #4499 Bump zope-interface · <@UBEN>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    town.approve("UBEN").await;
    town.ship(next);
    town.settled().await;
    assert_snapshot!(town.says(813), @"
    h · run 813 · Bump zope-interface
    ✅ 8bf91c5 is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved by <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    Shipped 2 changes:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ⬜ #4499 Bump zope-interface · <@UBEN>, merged (time)
    Something is wrong…
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_from_another_branch_takes_a_deploys_place() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.dispatch("deploy.yml", "ben-gh", "try-it", &[]);
    town.settled().await;
    assert_snapshot!(town.says(812), @"h · run 812 · Fix RPC · ↪️ replaced by run 813, which does not contain all of its changes");
    assert_snapshot!(town.thread(813).join("\n---\n"), @"<@UANA>, your deploy of #4498 was replaced when <@UBEN> started a newer run. Run 813 does not contain it. Talk to each other before anybody approves.");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fails_twice() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    let failed = |town: &Town| {
        town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
        town.finish(run, &["Production (Canada)"], Outcome::Failure);
    };
    failed(&town);
    town.settled().await;
    town.rerun(run, true, "ben-gh");
    town.settled().await;
    town.command("UBEN", "approve h").await;
    let asked = town.answer("UBEN").at();
    town.click("UBEN", &asked, "Approve Production (Canada)").await;
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2
    ❌ Failed at Production (Canada): job Production (Canada) / Deploy, step “Configure AWS credentials”
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ❌ Production (Canada): failed, not touched
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    Elastic Beanstalk, Production (Canada): Ready, Ok
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268
    This was attempt 2: ask for help. The job’s log is linked above.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Ask for help
    Retry failed jobs
    ");
    assert_eq!(town.broadcasts().len(), 2, "each attempt is said once");
    town.close().await;
}

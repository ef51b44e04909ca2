//! Every kind of ending called by its name, and what production runs after it.

use insta::assert_snapshot;

use super::*;

fn approved() -> Story {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look().click("BEN").taken();
    story.heard();
    story.newest().1.gates.clear();
    story
}

/// The list shows the run as over before its last job has been looked at: that is no alarm.
#[test]
fn one_country_after_the_other_is_no_split() {
    let mut story = approved();
    story.pass(1).job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::InProgress, None).look();
    story.pass(1).job("Production (Canada)", Status::Completed, Some(Conclusion::Success));
    story.finish(Conclusion::Success).look();
    assert_eq!(story.heard(), "", "everything is well");
}

/// GitHub tells the time of a merge by the second.
#[test]
fn two_merged_within_a_second_are_listed_in_their_order() {
    let mut story = approved();
    story.pass(1).job("Production", Status::Completed, Some(Conclusion::Success)).look();
    story.merge("ben-gh", "Bump zope");
    let (second, first) = (story.main.len() - 1, story.main.len() - 2);
    story.main[second].merged_at = story.main[first].merged_at;
    story.look();
    let pending = story.app.pending().expect("known").into_iter();
    let titles: Vec<String> =
        pending.map(|shipped| format!("{} for {}", shipped.change.title, shipped.lacking.len())).collect();
    assert_eq!(titles, ["Fix RPC for 1", "Bump zope for 2"]);
    story.heard();
}

#[test]
fn one_country_failed_is_a_split() {
    let mut story = approved();
    story.pass(1).job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
    story.step("Production (Canada)", Some(Conclusion::Failure)).finish(Conclusion::Failure).look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 812: *h · run 812* · [Fix RPC]
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy], step “Install dependencies and run deploy script”
    ✅ Staging: done 10:05
    ✅ Production: done 10:06
    ❓ Production (Canada): unknown
    Likely cause: not to be seen from here; the job’s log says more.
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Retry failed jobs]
    trouble in channel and thread of 812: @BEN: h [run 812] did not get through production.
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy], step “Install dependencies and run deploy script”
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    ❓ Production (Canada): the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: [look at the run], then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    story.said.clear();
    assert_snapshot!(story.app.status(story.now), @"
    *h* · [hypothesis/h]
    • Staging (test) runs `a000001` from run 812 since 10:05
    • Production runs `a000001` from run 812 since 10:06
    • Production (Canada) runs `a000000` or `a000001`, nobody knows which · ❓ run 812 touched it and nobody saw the end
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    [Run 812] · Fix RPC: failed
    1 change not in production.
    ");
    // The failed job is re-run and succeeds: green jobs are listed again with their old times.
    story.pass(10);
    let old = story.newest().1.jobs.clone();
    story.newest().0.attempt = 2;
    story.newest().0.status = Status::InProgress;
    story.newest().0.conclusion = None;
    let started = story.now;
    story.newest().0.started_at = started;
    for job in old.into_iter().filter(|job| job.conclusion == Some(Conclusion::Success)) {
        story.newest().1.jobs.push(Job { id: job.id + 500, attempt: 2, ..job });
    }
    story.job("Production (Canada)", Status::Completed, Some(Conclusion::Success)).finish(Conclusion::Success).look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC] · attempt 2
    ✅ `a000001` is live on Production and Production (Canada) since 10:16
    ✅ Staging: done 10:05
    ✅ Production, Production (Canada): done 10:16
    Shipped 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Something is wrong…]
    ");
    assert!(!story.app.is_split());
}

#[test]
fn a_production_job_cancelled_half_way_is_unknown() {
    let mut story = approved();
    story.pass(1).job("Production", Status::InProgress, None).job("Production (Canada)", Status::InProgress, None);
    story.step("Production", None).pass(1).look();
    story.heard();
    story.step("Production", Some(Conclusion::Cancelled)).finish(Conclusion::Cancelled);
    let id = story.newest().0.id;
    story.why.insert(id, CancelledBy::Person("chi-gh".into()));
    story.look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 812: *h · run 812* · [Fix RPC]
    ⏹️ Cancelled by @CHI
    ✅ Staging: done 10:05
    ❓ Production: unknown
    ⏹️ Production (Canada): cancelled, not touched
    ⚠️ Production is split: Production runs `a000000` or `a000001`, nobody knows which · Production (Canada) runs `a000000`
    Its changes are still to be deployed: they ship with the next run, or `/deploy retry h` runs this one again.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    trouble in channel and thread of 812: @BEN: h [run 812] was cancelled by chi-gh in the middle of production.
    ⚠️ Production is split: Production runs `a000000` or `a000001`, nobody knows which · Production (Canada) runs `a000000`
    ❓ Production: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: [look at the run], then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    story.said.clear();
}

/// The closer look sees the job cancelled before the list shows its run as over: by whom it was is said once it is known.
#[test]
fn a_job_is_cancelled_a_moment_before_its_run() {
    let racing = || {
        let mut story = approved();
        story.pass(1).job("Production", Status::InProgress, None).step("Production", None).look();
        story.pass(1).job("Production", Status::Completed, Some(Conclusion::Cancelled));
        story.step("Production", Some(Conclusion::Cancelled)).look();
        assert_eq!(story.heard(), "", "nobody knows yet by whom");
        story
    };
    let mut story = racing();
    let id = story.newest().0.id;
    story.finish(Conclusion::Cancelled).why.insert(id, CancelledBy::Person("chi-gh".into()));
    story.look();
    let heard = story.heard();
    assert!(heard.contains("was cancelled by chi-gh in the middle of production"), "{heard}");
    // The others go on without it: that is no reason to wait.
    let mut story = racing();
    story.pass(1).look();
    let heard = story.heard();
    assert!(heard.contains("did not get through production"), "{heard}");
}

/// The closer look sees the run replaced before the lists show by which: it is said when that is known.
#[test]
fn a_run_replaced_half_way_is_told_with_its_successor() {
    let mut story = approved();
    story.pass(1).job("Production", Status::InProgress, None).step("Production", None).look();
    let before = story.newest().0.clone();
    story.pass(1).step("Production", Some(Conclusion::Cancelled)).merge("chi-gh", "Bump zope");
    story.tell(Event::Seen(Look { runs: vec![before.clone()], main: sha(2) }));
    let (run, details) = story.runs[1].clone();
    story.tell(Event::Learned(vec![Finding::Details(Box::new(run), details)]));
    story.tell(Event::Learned(vec![Finding::WhyCancelled(before.id, CancelledBy::Group)]));
    assert_eq!(story.heard(), "", "by which run is not known yet");
    story.look();
    assert_snapshot!(story.heard(), @"
    trouble in channel and thread of 812: @BEN: h [run 812] was replaced by run 813 in the middle of production.
    ⚠️ Production is split: Production runs `a000000` or `a000001`, nobody knows which · Production (Canada) runs `a000000`
    ❓ Production: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: take [run 813] to production: that makes it one version again. Starting the old run again would cancel the new one.
    handover in thread of 813: @ANA, your deploy of #4501 was replaced when @CHI merged #4502. It now ships with run 813. Both of you test on Staging, then either can approve.
    ");
}

#[test]
fn a_redeploy_never_counts_as_deploying_main() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look().finish(Conclusion::Cancelled);
    let id = story.newest().0.id;
    story.why.insert(id, CancelledBy::Person("ana-gh".into()));
    story.pass(1).start("ben-gh", "Redeploy");
    story.newest().0.workflow = Workflow::Redeploy;
    for name in ["Production", "Production (Canada)"] {
        story.job(name, Status::Completed, Some(Conclusion::Success));
    }
    story.pass(5).finish(Conclusion::Success).look();
    story.heard();
    assert!(story.app.deployed().iter().all(|(_, live)| *live == sha(0)));
    assert_eq!(story.app.pending().expect("known").len(), 1);
}

#[test]
fn a_build_that_fails_touches_nothing() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC");
    story.job("Docker Hub", Status::Completed, Some(Conclusion::Failure));
    story.newest().1.jobs[0].name = "Docker Hub / Release".into();
    story.newest().1.jobs[0].steps =
        vec![Step { name: "build".into(), status: Status::Completed, conclusion: Some(Conclusion::Failure) }];
    story.pass(1).finish(Conclusion::Failure).look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 812: *h · run 812* · [Fix RPC]
    ❌ Failed: job [Docker Hub / Release], step “build”
    Likely cause: the image could not be built. Unless the network had a hiccup, a new change has to repair it.
    Production now: Production and Production (Canada) run `a000000`
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · ana-gh, merged 10:00
    [Retry failed jobs]
    notice of 812: *h · run 812* · [Fix RPC]
    ❌ Failed: job [Docker Hub / Release], step “build”
    Likely cause: the image could not be built. Unless the network had a hiccup, a new change has to repair it.
    Production now: Production and Production (Canada) run `a000000`
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Retry failed jobs]
    stopped in thread of 812: @ANA: h [run 812] did not get to production.
    ❌ Failed: job [Docker Hub / Release], step “build”
    Likely cause: the image could not be built. Unless the network had a hiccup, a new change has to repair it.
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    ");
    story.said.clear();
}

#[test]
fn timed_out_broken_and_cancelled_by_nobody_knows_whom() {
    let mut story = Story::new();
    story.merge("ana-gh", "Slow").look().job("Staging", Status::Completed, Some(Conclusion::TimedOut));
    story.pass(1).finish(Conclusion::TimedOut).look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Slow]
    ⌛ Ran into a time limit at Staging: job [Staging / Deploy]
    ⌛ Staging: timed out, not touched
    ▫️ Production, Production (Canada): not reached
    Likely cause: it took longer than it may.
    Production now: Production and Production (Canada) run `a000000`
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    • ⬜ [#4501] Slow · @ANA, merged 10:00
    [Retry failed jobs]
    ");
    story
        .merge("ana-gh", "Odd")
        .look()
        .job("Staging", Status::InProgress, None)
        .pass(1)
        .finish(Conclusion::Cancelled)
        .look();
    assert_snapshot!(story.notice(813), @"
    *h · run 813* · [Odd]
    ⏹️ Cancelled; GitHub does not say by whom
    ⏹️ Staging: cancelled, not touched
    ▫️ Production, Production (Canada): not reached
    Production now: Production and Production (Canada) run `a000000`
    Its changes are still to be deployed: they ship with the next run, or `/deploy retry h` runs this one again.
    Ships 2 changes:
    • ⬜ [#4501] Slow · @ANA, merged 10:00
    • ⬜ [#4502] Odd · @ANA, merged 10:01
    ");
    story.merge("ana-gh", "Broken").look().pass(1).finish(Conclusion::StartupFailure).look();
    assert_snapshot!(story.notice(814), @"
    *h · run 814* · [Broken]
    ❌ GitHub could not start it: the workflow file is broken. See [the run]
    Production now: Production and Production (Canada) run `a000000`
    Next: repair the workflow file with a new pull request.
    Ships 3 changes:
    • ⬜ [#4501] Slow · @ANA, merged 10:00
    • ⬜ [#4502] Odd · @ANA, merged 10:01
    • ⬜ [#4503] Broken · @ANA, merged 10:02
    ");
}

#[test]
fn a_dispatch_from_another_branch_is_said_loudly() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC");
    story.newest().0.branch = "try-it".into();
    story.look().pass(5).on_staging().look();
    let shown = story.button();
    assert_snapshot!(story.app.confirm_text(&shown), @"h a000001 goes to Production and Production (Canada). ⚠️ It is from branch try-it, not main. It ships 1 change of 1 person. Not ticked as tested: #4501.");
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC] · ⚠️ from branch `try-it`
    ⏳ On Staging since 10:05, waiting for approval
    ✅ Staging: done 10:05
    ⏸️ Production, Production (Canada): waiting for approval
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Approve production…] [I tested mine] [What changes?] [Hold…]
    ");
}

#[test]
fn an_older_run_that_was_run_again_later_is_what_production_runs() {
    let mut story = approved();
    story.pass(5).ship().look();
    story.heard();
    story.pass(30).ran_again(0).look();
    assert!(story.app.live().values().all(|live| live.number == 811), "{:?}", story.app.live());
    // It was history before.
    assert!(story.notice(811).contains("attempt 2"));
    story.said.clear();
}

#[test]
fn a_stale_list_does_not_undo_what_is_known() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look();
    let before = story.runs.clone();
    story.pass(5).on_staging().look();
    story.heard();
    let after = std::mem::replace(&mut story.runs, before);
    let runs: Vec<Run> = story.runs.iter().rev().map(|(run, _)| run.clone()).collect();
    let main = story.main[1].head.clone();
    story.tell(Event::Seen(Look { runs, main }));
    story.runs = after;
    story.look();
    assert_snapshot!(story.heard(), @"");
    assert!(story.button().environments.len() == 2);
}

/// GitHub's clock is not ours, and a document may be older than its rules: adding to such a time broke off every decision.
#[test]
fn a_run_of_the_end_of_time_is_lived_with() {
    for over in [false, true] {
        let mut story = if over { approved() } else { Story::new() };
        if over {
            story.finish(Conclusion::Cancelled);
        } else {
            story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
        }
        let (run, _) = story.newest();
        (run.created_at, run.started_at, run.updated_at) = (Timestamp::MAX, Timestamp::MAX, Timestamp::MAX);
        story.look().pass(30).look().merge("ben-gh", "Bump zope-interface").look();
        assert!(story.app.status(story.now).to_string().contains("hypothesis/h"));
        story.said.clear();
    }
}

/// It was cancelled before any job began, so GitHub says nothing about it.
#[test]
fn a_run_stays_replaced_when_its_successor_is_started_again() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(1).merge("ana-gh", "Bump zope").why.clear();
    story.look();
    let replaced = "*h · run 812* · [Fix RPC] · ↪️ replaced by [run 813], which ships its changes too";
    assert_eq!(story.notice(812), replaced);
    story.pass(5).finish(Conclusion::Failure).look().heard();
    story.pass(5);
    let now = story.now;
    let (run, details) = story.newest();
    (run.attempt, run.status, run.conclusion) = (2, Status::InProgress, None);
    (run.started_at, run.updated_at) = (now, now);
    details.jobs.clear();
    story.look();
    let tracked = &story.app.state.runs[&story.runs[story.runs.len() - 2].0.id];
    assert_eq!(story.app.notice(tracked, story.now).to_string(), replaced);
    story.heard();
}

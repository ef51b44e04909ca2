//! Failed runs: what rings and how often, running them again, cancelling them, asking for help.

use insta::assert_snapshot;

use super::*;

/// Production is there, Canada failed after its deploy step, and BEN, who approved, was told.
fn canada_failed() -> Story {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look().click("BEN").taken();
    story.newest().1.gates.clear();
    story.pass(1).job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
    story.step("Production (Canada)", Some(Conclusion::Failure)).finish(Conclusion::Failure).look();
    assert_eq!(story.heard().matches("trouble ").count(), 1);
    story
}

/// Somebody runs the failed jobs of the newest run again. Its jobs are still listed as they were.
fn run_again(story: &mut Story) {
    let now = story.now;
    let (run, _) = story.newest();
    run.attempt += 1;
    (run.status, run.conclusion) = (Status::Queued, None);
    (run.started_at, run.updated_at) = (now, now);
}

/// GitHub lists the jobs of the new attempt: the green ones anew, Canada waits at its gate.
fn jobs_are_listed(story: &mut Story) {
    let attempt = story.newest().0.attempt;
    let green = |job: &&Job| job.attempt == attempt - 1 && job.conclusion == Some(Conclusion::Success);
    let old: Vec<Job> = story.newest().1.jobs.iter().filter(green).cloned().collect();
    story.newest().1.jobs.extend(old.into_iter().map(|job| Job { id: job.id + 500, attempt, ..job }));
    story.job("Production (Canada)", Status::Waiting, None);
    story.newest().0.status = Status::Waiting;
    story.newest().1.gates =
        vec![Gate { environment_id: 2, environment: "Production (Canada)".into(), can_approve: true }];
}

/// The list knows of attempt 2 while the jobs are still those of attempt 1: what they say was said.
#[test]
fn an_attempt_whose_jobs_are_not_listed_yet_rings_nobody() {
    let mut story = canada_failed();
    story.pass(10);
    run_again(&mut story);
    story.look();
    assert!(story.said.iter().all(|line| line.starts_with("notice ")), "nobody is rung: {:#?}", story.said);
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC] · attempt 2
    🕓 Waiting to start
    ▫️ Staging: not yet
    ▫️ Production: not yet
    ❓ Production (Canada): unknown
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [What changes?] [Hold…]
    ");
    jobs_are_listed(&mut story);
    story.look();
    assert_eq!(story.heard(), "", "nobody is told again what attempt 1 left");
    story.pass(1).job("Production (Canada)", Status::Completed, Some(Conclusion::Success));
    story.newest().1.gates.clear();
    story.finish(Conclusion::Success).look();
    assert_eq!(story.heard(), "");
}

/// The list calls attempt 2 over before any of its jobs is listed: how it ended is said when it is known.
#[test]
fn an_attempt_that_is_over_before_its_jobs_are_listed_rings_nobody() {
    let mut story = canada_failed();
    story.pass(10);
    run_again(&mut story);
    let now = story.now;
    (story.newest().0.status, story.newest().0.conclusion) = (Status::Completed, Some(Conclusion::Success));
    story.look();
    assert_eq!(story.heard(), "", "how it ended is not known yet");
    let attempt = story.newest().0.attempt;
    let old: Vec<Job> = story.newest().1.jobs.clone();
    let again = old.into_iter().filter(|job| job.attempt == attempt - 1);
    let again = again.map(|job| match job.conclusion {
        Some(Conclusion::Success) => Job { id: job.id + 500, attempt, ..job },
        _ => Job {
            id: job.id + 500,
            attempt,
            conclusion: Some(Conclusion::Success),
            started_at: Some(now),
            completed_at: Some(now),
            steps: Vec::new(),
            ..job
        },
    });
    let again: Vec<Job> = again.collect();
    story.newest().1.jobs.extend(again);
    story.look();
    assert_eq!(story.heard(), "", "all is well");
    assert!(!story.app.is_split());
}

/// A closer look was under way when a newer attempt became known: its jobs are those of before.
#[test]
fn jobs_read_before_a_new_attempt_are_not_taken_for_its_own() {
    let mut story = canada_failed();
    let before = story.newest().clone();
    story.pass(10);
    run_again(&mut story);
    jobs_are_listed(&mut story);
    let after = story.newest().clone();
    story.tell(Event::Seen(Look { runs: vec![after.0], main: sha(1) }));
    story.tell(Event::Learned(vec![Finding::Details(Box::new(before.0), before.1)]));
    assert_eq!(story.heard(), "", "attempt 1 is not told as attempt 2");
    assert_eq!(story.app.wanted(story.now), [], "it is asked again at the next look, not at once");
    story.look();
    assert_eq!(story.heard(), "");
    assert_eq!(story.button().environments, [EnvName::from("Production (Canada)")]);
}

/// Attempt 2 fails in the same way: that is news, once.
#[test]
fn a_second_failure_rings_once_more() {
    let mut story = canada_failed();
    story.pass(10);
    run_again(&mut story);
    story.look();
    jobs_are_listed(&mut story);
    story.look();
    story.pass(1).job("Production (Canada)", Status::Completed, Some(Conclusion::Failure)).look();
    story.finish(Conclusion::Failure).look().look();
    let heard = story.heard();
    assert_eq!(heard.matches("trouble ").count(), 1, "{heard}");
}

/// What the buttons of the newest run's notice say.
fn offers(story: &mut Story) -> Vec<String> {
    let id = story.newest().0.id;
    let message = story.app.notice(&story.app.state.runs[&id], story.now);
    let buttons =
        message.parts.into_iter().filter_map(|part| if let Part::Buttons(all) = part { Some(all) } else { None });
    buttons.flatten().map(|button| button.label).collect()
}

fn shown(story: &mut Story) -> Attempt {
    let run = &story.newest().0;
    Attempt { run: run.id, attempt: run.attempt }
}

fn mend(story: &mut Story, who: &str, what: Mend) -> String {
    story.ask(who, Action::Mend(what));
    story.heard()
}

#[test]
fn failed_jobs_are_run_again_once_when_two_people_click() {
    let mut story = canada_failed();
    assert_eq!(offers(&mut story), ["Retry failed jobs"]);
    assert_snapshot!(mend(&mut story, "ANA", Mend::Retry), @"
    answer ANA: h [run 812] · Fix RPC: failed
    h run 812 at a000001: what failed runs again, what succeeded is not done again. It then goes to Production (Canada), after an approval. It ships 1 change of 1 person. Elastic Beanstalk has to be done there first.
    [Retry failed jobs] [Not now]
    ");
    let shown = shown(&mut story);
    assert_snapshot!(mend(&mut story, "ANA", Mend::RetryShown(shown)), @"
    record retry by ANA: granted
    mend rerun failed jobs of run 19000000812 attempt 1 for ANA
    ");
    assert_eq!(offers(&mut story), [""; 0], "it is offered once for an attempt");
    story.pass(1);
    assert_snapshot!(mend(&mut story, "BEN", Mend::RetryShown(shown)), @"
    refuse BEN: @ANA was faster and started its failed jobs again at 10:06. Nothing is left to do.
    record retry by BEN: refused: somebody was faster
    ");
    assert_snapshot!(mend(&mut story, "ANA", Mend::RetryShown(shown)), @"
    refuse ANA: You started its failed jobs again yourself, at 10:06. Nothing is left to do.
    record retry by ANA: refused: done before
    ");
    story.taken();
    assert_snapshot!(story.heard(), @"answer ANA: [Run 812]: its failed jobs run again. Its notice shows how they get on.");
    // GitHub names the bot's own account: the notice names the person.
    run_again(&mut story);
    story.newest().0.triggered_by = "lockkeeper-bot".into();
    jobs_are_listed(&mut story);
    story.look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC] · attempt 2, started by @ANA
    ⏳ On Staging since 10:05, waiting for approval
    ✅ Staging: done 10:05
    ✅ Production: done 10:06
    ⏸️ Production (Canada): waiting for approval
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Approve production…] [I tested mine] [What changes?] [Hold…]
    ");
    assert_snapshot!(mend(&mut story, "BEN", Mend::RetryShown(shown)), @"
    refuse BEN: @ANA was faster and started its failed jobs again at 10:06. Nothing is left to do.
    record retry by BEN: refused: somebody was faster
    ");
    // It fails again: who started it hears of it, and help is offered.
    story.pass(1).job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
    story.symptoms = vec!["Environment named h-prod is in an invalid state for this operation. Must be Ready.".into()];
    story.finish(Conclusion::Failure).look();
    assert_snapshot!(story.heard(), @"
    trouble in channel and thread of 812: @ANA: h [run 812] did not get through production.
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy]
    Likely cause: Elastic Beanstalk was still busy with something else there. Wait until it is Ready, then retry.
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    Next: [look at the run], then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    assert_eq!(offers(&mut story), ["Ask for help", "Retry failed jobs"]);
}

#[test]
fn a_retry_is_refused_where_it_would_do_harm() {
    // Not an approver.
    let mut story = canada_failed();
    let old = shown(&mut story);
    assert_snapshot!(mend(&mut story, "CHI", Mend::RetryShown(old)), @"
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record retry by CHI: refused: not an approver
    ");
    // On hold.
    story.ask("CHI", Action::Hold { reason: "Database".into() });
    story.heard();
    assert_snapshot!(mend(&mut story, "ANA", Mend::Retry), @"
    refuse ANA: h is on hold by @CHI: “Database”. Ask them, or type `/deploy release h` once it is safe.
    record retry by ANA: refused: on hold
    ");
    assert_eq!(offers(&mut story), [""; 0]);
    story.ask("CHI", Action::Release);
    story.heard();
    // A newer run has come, seen or not.
    story.pass(5).merge("ben-gh", "Bump zope");
    assert_snapshot!(mend(&mut story, "ANA", Mend::RetryShown(old)), @"
    refuse ANA: [Run 812] is not the newest any more: running it again would put older code in its place. Look at [run 813] instead.
    record retry by ANA: refused: not the newest run
    ");
    assert_snapshot!(mend(&mut story, "ANA", Mend::Retry), @"
    refuse ANA: [Run 813] is under way and nothing in it has failed. There is nothing to retry.
    record retry by ANA: refused: still running
    ");
    story.look().pass(5).on_staging().look().click("BEN").taken().ship().look();
    story.heard();
    assert_snapshot!(mend(&mut story, "ANA", Mend::Retry), @"
    refuse ANA: [Run 813] has no failed jobs, so there is nothing to retry.
    record retry by ANA: refused: nothing failed
    ");
    assert_snapshot!(mend(&mut story, "ANA", Mend::RetryShown(old)), @"
    refuse ANA: [Run 812] is not the newest any more: running it again would put older code in its place. Look at [run 813] instead.
    record retry by ANA: refused: not the newest run
    ");
}

#[test]
fn production_that_is_ahead_is_not_rolled_back_by_a_retry() {
    let mut story = canada_failed();
    story.pass(5).merge("ben-gh", "Bump zope").look().pass(5).on_staging().look().click("BEN").taken().ship().look();
    // The older run was started again, and failed again: it is the newest by the start of its attempt.
    story.pass(5);
    let now = story.now;
    let (mut run, details) = story.runs.remove(1);
    (run.attempt, run.started_at, run.updated_at) = (2, now, now);
    story.runs.push((run, details));
    story.job("Staging", Status::Completed, Some(Conclusion::Failure)).look();
    story.heard();
    assert_eq!(offers(&mut story), ["Ask for help"]);
    assert_snapshot!(mend(&mut story, "ANA", Mend::Retry), @"
    refuse ANA: Production already runs something newer than run 812: running it again would roll back. Roll forward with a new change.
    record retry by ANA: refused: production is ahead
    ");
}

#[test]
fn a_retry_waits_until_all_of_the_run_is_over() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
    story.heard();
    assert_snapshot!(mend(&mut story, "BEN", Mend::Retry), @"
    refuse BEN: [Run 812] is under way and nothing in it has failed. There is nothing to retry.
    record retry by BEN: refused: still running
    ");
    story.job("Production", Status::Completed, Some(Conclusion::Failure)).look();
    assert_snapshot!(story.heard(), @"
    trouble in channel and thread of 812: @ANA: h [run 812] did not get through production.
    ❌ Failed at Production: job [Production / Deploy]
    Production now: Production and Production (Canada) run `a000000`
    Next: [look at the run]. Its failed jobs can be retried once the other environments are through, approved or rejected; approving them puts this version there.
    ");
    assert_snapshot!(mend(&mut story, "BEN", Mend::Retry), @"
    refuse BEN: [Run 812] still goes on, and GitHub runs failed jobs again only once all of it is over. Approve or reject what waits, or cancel it; then retry.
    record retry by BEN: refused: still running
    ");
}

#[test]
fn what_github_did_not_do_may_be_asked_for_again() {
    let mut story = canada_failed();
    let shown = shown(&mut story);
    mend(&mut story, "ANA", Mend::RetryShown(shown));
    let run = Box::new(story.newest().0.clone());
    story.come_back(|_| Outcome::NotDone { run: run.clone(), why: "status 502".into() });
    assert_snapshot!(story.heard(), @"
    answer ANA: [Run 812] was not started again: GitHub did not take it, or a newer run took its place. Nothing was repeated. Look at the newest notice, and retry there if it still makes sense.
    record retry by ANA: failed: status 502
    ");
    assert_eq!(offers(&mut story), ["Retry failed jobs"]);
    mend(&mut story, "BEN", Mend::RetryShown(shown));
    story.come_back(|_| Outcome::Failed("no answer".into()));
    assert_snapshot!(story.heard(), @"
    answer BEN: GitHub did not say whether it took this. Nothing is repeated blindly: look at [run 812] and ask again if nothing has changed there.
    record retry by BEN: failed: no answer
    ");
}

#[test]
fn a_cancel_says_what_it_does_not_stop() {
    let mut story = Story::new();
    assert_snapshot!(mend(&mut story, "BEN", Mend::Cancel), @"
    refuse BEN: Nothing of h is under way, so there is nothing to cancel.
    record cancel by BEN: refused: nothing runs
    ");
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
    story.heard();
    assert_snapshot!(mend(&mut story, "BEN", Mend::Cancel), @"
    answer BEN: h [run 812] · Fix RPC: waiting for approval.
    Its changes stay undeployed until the next run.
    [Cancel run 812] [Let it go on]
    ");
    story.click("BEN").taken();
    story.newest().1.gates.clear();
    story.job("Production", Status::InProgress, None).step("Production", None).look();
    story.heard();
    assert_snapshot!(mend(&mut story, "BEN", Mend::Cancel), @"
    answer BEN: h [run 812] · Fix RPC: going to production.
    ⚠️ Production: past the deploy step. A cancel stops GitHub’s job, not Elastic Beanstalk: that goes on by itself, and nobody here sees how it ends.
    Its changes stay undeployed until the next run.
    [Cancel run 812] [Let it go on]
    ");
    let shown = shown(&mut story);
    assert_snapshot!(mend(&mut story, "CHI", Mend::CancelShown(shown)), @"
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record cancel by CHI: refused: not an approver
    ");
    assert_snapshot!(mend(&mut story, "BEN", Mend::CancelShown(shown)), @"
    record cancel by BEN: granted
    mend cancel run 19000000812 attempt 1 for BEN
    ");
    assert_snapshot!(mend(&mut story, "ANA", Mend::CancelShown(shown)), @"
    refuse ANA: @BEN was faster and cancelled it at 10:05. Nothing is left to do.
    record cancel by ANA: refused: somebody was faster
    ");
    story.taken();
    assert_snapshot!(story.heard(), @"answer BEN: [Run 812]: GitHub cancels it, which can take some minutes. Its notice says when it is over.");
    // GitHub says that the bot's own account did it: the notice names the person.
    story.why.insert(shown.run, CancelledBy::Person("lockkeeper-bot".into()));
    story.pass(1).step("Production", Some(Conclusion::Cancelled)).finish(Conclusion::Cancelled).look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 812: *h · run 812* · [Fix RPC]
    ⏹️ Cancelled by @BEN
    ✅ Staging: done 10:05
    ❓ Production: unknown
    ⏹️ Production (Canada): cancelled, not touched
    ⚠️ Production is split: Production runs `a000000` or `a000001`, nobody knows which · Production (Canada) runs `a000000`
    Its changes are still to be deployed: they ship with the next run, or `/deploy retry h` runs this one again.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    trouble in channel and thread of 812: @BEN: h [run 812] was cancelled by ben-gh in the middle of production.
    ⚠️ Production is split: Production runs `a000000` or `a000001`, nobody knows which · Production (Canada) runs `a000000`
    ❓ Production: the job ended after its deploy step began. Elastic Beanstalk goes on by itself, so look there before anything else.
    Next: [look at the run], then retry its failed jobs at its notice. There is no rollback; repair by rolling forward.
    ");
    story.said.clear();
    assert_snapshot!(mend(&mut story, "ANA", Mend::CancelShown(shown)), @"
    refuse ANA: @BEN was faster and cancelled it at 10:05. Nothing is left to do.
    record cancel by ANA: refused: somebody was faster
    ");
}

#[test]
fn help_is_asked_for_once_with_the_facts() {
    let mut story = canada_failed();
    story.pass(10);
    run_again(&mut story);
    story.look();
    jobs_are_listed(&mut story);
    story.look();
    story.pass(1).job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
    story.symptoms = vec!["The security token included in the request is expired".into()];
    story.finish(Conclusion::Failure).look();
    let event = |minutes: i64, severity: &str, message: &str| ServerEvent {
        at: story.now + SignedDuration::from_mins(minutes),
        severity: severity.into(),
        message: message.into(),
    };
    let servers = Servers {
        status: "Updating".into(),
        health_status: Some("Severe".into()),
        causes: vec!["<!channel> all is lost".into()],
        events: vec![
            event(60, "INFO", "of another deployment"),
            event(1, "ERROR", "no route to postgres://h:hunter2@db/h"),
            event(0, "INFO", "Environment update is starting."),
            event(-60, "INFO", "of an earlier deployment"),
        ],
        ..Servers::default()
    };
    story.tell(Event::Surveyed([("Production (Canada)".into(), Ok(servers))].into()));
    story.heard();
    let shown = shown(&mut story);
    // Whoever may read may ask.
    story.ask("CHI", Action::Mend(Mend::Help(shown)));
    assert_snapshot!(story.said.join("\n"), @"
    record ask for help by CHI: done
    announce: 🆘 *h* [run 812] failed 2 times, and chi-gh asks for help: who knows more, please answer here.
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy]
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    Elastic Beanstalk, Production (Canada): Updating, Severe: <!channel> all is lost
    • 10:18 ERROR no route to [withheld]
    • 10:17 INFO Environment update is starting.
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    Commit a000001. It ships 1 change of 1 person. [The run with all its attempts], [the job’s log].
    answer CHI: The channel was asked, with what is known. Answer there what comes up.
    notice of 812: *h · run 812* · [Fix RPC] · attempt 2
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy]
    ✅ Staging: done 10:05
    ✅ Production: done 10:06
    ❌ Production (Canada): failed, not touched
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    Elastic Beanstalk, Production (Canada): Updating, Severe: <!channel> all is lost
    • 10:18 ERROR no route to [withheld]
    • 10:17 INFO Environment update is starting.
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    This was attempt 2: ask for help. The job’s log is linked above.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Retry failed jobs]
    ");
    story.said.clear();
    assert_snapshot!(mend(&mut story, "ANA", Mend::Help(shown)), @"
    refuse ANA: The channel was asked about [run 812] already. Answer there what you know.
    record ask for help by ANA: refused: asked before
    ");
    assert_eq!(offers(&mut story), ["Retry failed jobs"]);
    story.tell(Event::Surveyed([("Production (Canada)".into(), Err(Unread::Denied("ExpiredToken".into())))].into()));
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC] · attempt 2
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy]
    ✅ Staging: done 10:05
    ✅ Production: done 10:06
    ❌ Production (Canada): failed, not touched
    Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes.
    Elastic Beanstalk, Production (Canada): not readable, AWS says ExpiredToken
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000` or `a000001`, nobody knows which
    This was attempt 2: ask for help. The job’s log is linked above.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Retry failed jobs]
    ");
}

#[test]
fn a_run_of_dependabot_is_not_worth_a_retry() {
    let mut story = Story::new();
    story.merge("dependabot[bot]", "Bump zope");
    story.job("Docker Hub", Status::Completed, Some(Conclusion::Failure)).finish(Conclusion::Failure).look();
    assert_snapshot!(story.heard(), @"
    stopped in thread of 812: dependabot[bot]: h [run 812] did not get to production.
    ❌ Failed: job [Docker Hub / Deploy]
    Likely cause: GitHub gives no secrets to a run that dependabot started, and none to its retries: type /deploy start h instead.
    ");
}

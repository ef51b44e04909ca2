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

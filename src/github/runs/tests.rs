use serde_json::{Value, json};

use super::*;
use crate::github::tests::{fixed, github, pipeline, raw_run, without_paging};
use crate::http::json as respond;

const RUN: &str = "GET /repos/hypothesis/h/actions/runs/5";

#[tokio::test]
async fn a_look_lists_both_workflows_newest_first() {
    let (github, calls) = fixed(vec![
        (
            "GET /repos/hypothesis/h/actions/workflows/deploy.yml/runs",
            json!({ "total_count": 2, "workflow_runs": [
                raw_run(7, 9, "deploy.yml", "waiting"), raw_run(5, 1, "deploy.yml", "completed")] }),
        ),
        (
            "GET /repos/hypothesis/h/actions/workflows/redeploy.yml/runs",
            json!({ "total_count": 1, "workflow_runs": [raw_run(6, 5, "redeploy.yml", "requested")] }),
        ),
        ("GET /repos/hypothesis/h/git/ref/heads/main", json!({ "ref": "refs/heads/main", "object": { "sha": "abc" } })),
    ])
    .await;
    let look = github.look(&pipeline()).await.unwrap();
    assert_eq!(look.main, Sha::from("abc"));
    let runs: Vec<_> = look.runs.iter().map(|run| (run.id.0, run.workflow, run.status)).collect();
    assert_eq!(
        runs,
        [
            (7, Workflow::Deploy, Status::Waiting),
            (6, Workflow::Redeploy, Status::Queued),
            (5, Workflow::Deploy, Status::Completed)
        ]
    );
    assert_eq!(look.runs[0].url, "https://github.com/hypothesis/h/actions/runs/7", "built, not taken from the answer");
    assert_eq!((look.runs[0].actor.as_str(), look.runs[0].triggered_by.as_str()), ("ana", "ben"));
    assert!(calls.lines().iter().any(|line| line.contains("deploy.yml/runs?per_page=50")));
}

#[tokio::test]
async fn a_redeploy_file_that_went_away_has_no_runs() {
    let (github, _) = fixed(vec![
        ("GET /repos/hypothesis/h/actions/workflows/deploy.yml/runs", json!({ "workflow_runs": [] })),
        ("GET /repos/hypothesis/h/git/ref/heads/main", json!({ "object": { "sha": "abc" } })),
    ])
    .await;
    assert!(github.look(&pipeline()).await.unwrap().runs.is_empty());
}

#[tokio::test]
async fn a_run_with_nulls_and_news_is_read_all_the_same() {
    let mut raw = raw_run(5, 1, "deploy.yml", "hibernating");
    for field in ["actor", "triggering_actor", "head_branch", "run_started_at", "run_attempt", "display_title"] {
        raw[field] = Value::Null;
    }
    raw["conclusion"] = json!("astonishing");
    let (github, _) = fixed(vec![(RUN, raw)]).await;
    let run = github.run(&pipeline(), RunId(5)).await.unwrap();
    assert_eq!((run.status, run.conclusion), (Status::Other, Some(Conclusion::Other)));
    assert_eq!((run.actor.as_str(), run.attempt, run.title.as_str()), ("ghost", 1, "Deploy"));
    assert_eq!(run.started_at, run.created_at);
}

#[tokio::test]
async fn a_run_of_another_workflow_is_not_found() {
    let (github, _) = fixed(vec![(RUN, raw_run(5, 1, "tests.yml", "completed"))]).await;
    assert_eq!(github.run(&pipeline(), RunId(5)).await, Err(GitHubError::NotFound));
}

#[tokio::test]
async fn details_have_all_pages_of_jobs_and_no_pending_entries() {
    let job = |id: u64| {
        json!({ "id": id, "run_attempt": 2, "name": "Staging / Deploy", "status": "completed", "conclusion": "stale",
            "started_at": "2026-11-20T10:00:00Z", "completed_at": null, "steps": [
                { "name": "Install dependencies and run deploy script", "number": 3, "status": "completed", "conclusion": "success" }] })
    };
    let (github, calls) = github(move |call| {
        let first: Vec<Value> = (0..100).map(job).collect();
        Some(match without_paging(&call.line).as_str() {
            RUN => respond(200, &raw_run(5, 1, "deploy.yml", "waiting")),
            line if line.ends_with("/jobs?filter=all") => {
                let jobs = if call.line.ends_with("&page=1") { first } else { vec![job(100)] };
                respond(200, &json!({ "total_count": 101, "jobs": jobs }))
            }
            line if line.ends_with("/pending_deployments") => respond(
                200,
                &json!([{ "environment": { "id": 9, "name": "Production (Canada)" }, "wait_timer": 0,
                    "current_user_can_approve": true, "reviewers": [] }]),
            ),
            _ => respond(
                200,
                &json!([
                    { "state": "approved", "comment": "ok", "environments": [{ "id": 8, "name": "Production" }], "user": { "login": "ana" } },
                    { "state": "pending", "comment": "", "environments": [], "user": null },
                ]),
            ),
        })
    })
    .await;
    let run = github.run(&pipeline(), RunId(5)).await.unwrap();
    assert_eq!(run.status, Status::Waiting);
    let details = github.details(&pipeline(), &run).await.unwrap();
    assert_eq!(details.jobs.len(), 101);
    assert_eq!((details.jobs[0].attempt, details.jobs[0].conclusion), (2, Some(Conclusion::Other)));
    assert_eq!(details.jobs[7].url.as_deref(), Some("https://github.com/hypothesis/h/actions/runs/5/job/7"));
    assert_eq!(details.jobs[0].steps[0].conclusion, Some(Conclusion::Success));
    assert_eq!(
        details.gates,
        [Gate { environment_id: 9, environment: "Production (Canada)".into(), can_approve: true }]
    );
    assert_eq!(details.reviews.len(), 1);
    assert_eq!(details.reviews[0].by, Login::from("ana"));
    assert_eq!(calls.all("GET /repos/hypothesis/h/actions/runs/5/jobs").len(), 2);
}

#[tokio::test]
async fn a_run_that_is_over_is_not_asked_for_gates() {
    let (github, calls) = fixed(vec![
        (RUN, raw_run(5, 1, "deploy.yml", "completed")),
        ("GET /repos/hypothesis/h/actions/runs/5/jobs?filter=all", json!({ "jobs": [] })),
        ("GET /repos/hypothesis/h/actions/runs/5/approvals", json!([])),
    ])
    .await;
    let run = github.run(&pipeline(), RunId(5)).await.unwrap();
    assert_eq!(github.details(&pipeline(), &run).await.unwrap(), Details::default());
    assert!(!calls.lines().iter().any(|line| line.contains("pending")));
}

#[test]
fn reasons_of_a_cancellation() {
    let cases = [
        ("Canceling since a higher priority waiting request for 'deploy' exists", CancelledBy::Group),
        ("Canceling since a higher priority waiting request for deploy exists", CancelledBy::Group),
        ("The run was canceled by @ana-gh.", CancelledBy::Person("ana-gh".into())),
        ("The run was canceled by @dependabot[bot].", CancelledBy::Person("dependabot[bot]".into())),
        ("The run was canceled by @<!channel>", CancelledBy::Unsaid),
        ("The job running on runner x has exceeded the maximum execution time of 360 minutes.", CancelledBy::Timeout),
        ("The operation was canceled.", CancelledBy::Unsaid),
    ];
    for (text, expected) in cases {
        assert_eq!(reason(text), expected, "{text}");
    }
}

#[tokio::test]
async fn the_first_telling_annotation_ends_the_asking() {
    let (github, calls) = fixed(vec![
        ("GET /repos/hypothesis/h/check-runs/2/annotations", json!([{ "message": "The operation was canceled." }])),
        (
            "GET /repos/hypothesis/h/check-runs/3/annotations",
            json!([{ "title": null, "message": "The run was canceled by @ana." }]),
        ),
    ])
    .await;
    let why = github.why_cancelled("hypothesis/h", &[1, 2, 3, 4]).await;
    assert_eq!(why, Ok(CancelledBy::Person("ana".into())));
    assert_eq!(calls.lines().len(), 3);
    let many: Vec<u64> = (10..90).collect();
    assert_eq!(github.why_cancelled("hypothesis/h", &many).await, Ok(CancelledBy::Unsaid));
    assert_eq!(calls.lines().len(), 11);
}

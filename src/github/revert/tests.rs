#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::deploy::action::{Action, Reply, Request};
use crate::deploy::name::{AppName, RequestId, SlackId};
use crate::deploy::revert::RollForward;
use crate::github::Patience;
use crate::github::tests::{Calls, github, github_with, impatient, pipeline, without_paging};
use crate::http::{Response, json as respond};

fn reverting() -> Reverting {
    let action = Action::RollForward(RollForward::Revert { pr: 4501, run: None, because: None });
    let reply = Reply {
        url: String::new(),
        channel: String::new(),
        replace: false,
        view: None,
        at: "2026-07-25T17:20:10Z".parse().unwrap(),
    };
    let (id, app, by) = (RequestId::new("r"), AppName::new("h"), SlackId::from("UANA"));
    Reverting {
        request: Request { id, app, by, action, reply },
        pr: 4501,
        title: "Fix RPC".to_owned(),
        commit: None,
        body: "Reverts hypothesis/h#4501".to_owned(),
        reviewers: vec!["ana".into(), "gone".into(), "ben".into()],
    }
}

fn open(number: u64, branch: &str, body: &str) -> Value {
    json!({ "number": number, "state": "open", "created_at": "2026-07-25T17:20:00Z", "merged_at": null, "body": body,
        "head": { "ref": branch }, "base": { "ref": "main" } })
}

/// A GitHub with #4501, which opens #4510 as `answer` says; `listed` counts from which list on it is seen.
async fn town(answer: impl Fn() -> Response + Send + Sync + 'static, listed: usize) -> (GitHub, Calls) {
    let (sent, lists) = (std::sync::Mutex::new(false), std::sync::Mutex::new(0));
    github(move |call| {
        Some(match without_paging(&call.line).as_str() {
            "GET /repos/hypothesis/h/pulls/4501" => respond(200, &json!({ "node_id": "PR_1" })),
            "GET /repos/hypothesis/h/pulls/4510" => respond(200, &json!({ "node_id": "PR_2" })),
            line if line.starts_with("GET /repos/hypothesis/h/pulls?") => {
                let mut lists = lists.lock().unwrap();
                *lists += 1;
                let there = *sent.lock().unwrap() && *lists >= listed;
                let ours = there.then(|| open(4510, "revert-4501-fix-rpc", "Reverts hypothesis/h#4501"));
                respond(
                    200,
                    &json!(
                        [Some(open(4509, "revert-45012-other", "Reverts #45010")), ours]
                            .into_iter()
                            .flatten()
                            .collect::<Vec<_>>()
                    ),
                )
            }
            "POST /graphql" => {
                *sent.lock().unwrap() = true;
                answer()
            }
            "POST /repos/hypothesis/h/pulls/4510/requested_reviewers" if call.body["reviewers"][0] == "gone" => {
                respond(422, &json!({ "message": "Reviews may only be requested from collaborators." }))
            }
            "POST /repos/hypothesis/h/pulls/4510/requested_reviewers" => respond(201, &json!({})),
            _ => return None,
        })
    })
    .await
}

fn done() -> Response {
    let payload = json!({ "revertPullRequest": { "number": 4510, "url": "https://evil.example" } });
    respond(200, &json!({ "data": { "revertPullRequest": payload } }))
}

fn refused(kind: Option<&str>) -> Response {
    respond(200, &json!({ "data": null, "errors": [{ "type": kind, "message": "Sorry" }] }))
}

fn opened() -> Reverted {
    let url = "https://github.com/hypothesis/h/pull/4510".to_owned();
    Reverted::Opened { fix: Fix { number: 4510, url }, asked: vec!["ana".into(), "ben".into()] }
}

async fn sent(calls: &Calls) -> usize {
    calls.all("POST /graphql").len()
}

#[tokio::test]
async fn it_is_opened_once_and_reviews_are_asked_one_by_one() {
    let (github, calls) = town(done, 0).await;
    assert_eq!(github.revert(&pipeline(), &reverting(), false).await, Ok(opened()));
    let body = &calls.all("POST /graphql")[0].body;
    assert_eq!(body["variables"]["input"], json!({ "pullRequestId": "PR_1", "body": "Reverts hypothesis/h#4501" }));
    assert_eq!(calls.all("POST /repos").len(), 3);
    // It is open now: the next one finds it.
    assert_eq!(github.revert(&pipeline(), &reverting(), false).await, Ok(opened()));
    assert_eq!(sent(&calls).await, 1);
}

#[tokio::test]
async fn how_the_one_stands_that_is_followed_is_read() {
    let merged = || json!("2026-07-25T17:20:50Z");
    for (state, merged_at, stands) in [
        ("open", Value::Null, Stands::Open),
        ("closed", merged(), Stands::Merged),
        ("closed", Value::Null, Stands::Closed),
        ("gone", Value::Null, Stands::Closed),
    ] {
        let (github, _) = github(move |call| {
            let pull = |state: &str, merged_at: &Value| {
                json!({ "number": 1, "title": "", "state": state, "merged_at": merged_at, "merged_by": null, "body": null,
                    "created_at": "2026-07-25T17:20:00Z", "merge_commit_sha": "a000001", "user": null,
                    "html_url": "https://github.com/hypothesis/h/pull/1", "head": { "ref": "x", "sha": "a000001" },
                    "base": { "ref": "main" } })
            };
            Some(match without_paging(&call.line).as_str() {
                "GET /repos/hypothesis/h/pulls/4501" => respond(200, &pull("closed", &merged())),
                "GET /repos/hypothesis/h/pulls/4510" if state == "gone" => respond(404, &json!({})),
                "GET /repos/hypothesis/h/pulls/4510" => respond(200, &pull(state, &merged_at)),
                line if line.contains("/pulls?") => respond(200, &json!([])),
                _ => return None,
            })
        })
        .await;
        let suspect = github.suspect(&pipeline(), 4501, Some(4510)).await.unwrap().unwrap();
        assert_eq!(suspect.followed, Some((4510, stands)), "{state}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_for_and_nothing_is_repeated() {
    for (answer, kind) in [(502, "status"), (200, "no kind")] {
        let lost = move || if answer == 502 { respond(502, &json!({ "message": kind })) } else { refused(None) };
        let (github, calls) = town(lost, 3).await;
        assert_eq!(github.revert(&pipeline(), &reverting(), false).await, Ok(opened()), "{kind}");
        // The process died meanwhile: whoever goes on finds it.
        assert_eq!(github.revert(&pipeline(), &reverting(), true).await, Ok(opened()), "{kind}");
        assert_eq!(sent(&calls).await, 1);

        let (github, calls) = town(lost, usize::MAX).await;
        assert_eq!(github.revert(&pipeline(), &reverting(), false).await, Ok(Reverted::Lost), "{kind}");
        assert_eq!(sent(&calls).await, 1);
        // A later try only looks, too.
        assert_eq!(github.revert(&pipeline(), &reverting(), true).await, Ok(Reverted::Lost), "{kind}");
        assert_eq!(sent(&calls).await, 1);
    }
}

#[tokio::test]
async fn one_that_was_merged_meanwhile_is_found() {
    let closed = |number: u64, created: &str, merged: Option<&str>| {
        let ours = open(number, "revert-4501-fix-rpc", "Reverts hypothesis/h#4501");
        let (created, merged) = (json!(created), json!(merged));
        let more = json!({ "state": "closed", "created_at": created, "merged_at": merged });
        let both = ours.as_object().unwrap().iter().chain(more.as_object().unwrap());
        both.map(|(key, value)| (key.clone(), value.clone())).collect::<Value>()
    };
    let unmerged = closed(4511, "2026-07-25T17:21:00Z", None);
    let ours = closed(4510, "2026-07-25T17:20:20Z", Some("2026-07-25T17:20:50Z"));
    let of_last_week = closed(4400, "2026-07-18T09:00:00Z", Some("2026-07-18T10:00:00Z"));
    let listed = json!([unmerged, ours, of_last_week]);
    // It may be there before anything is sent: somebody else asked for it a moment earlier.
    for (before, listed, expected, sends) in [
        (json!([]), listed.clone(), opened(), 1),
        (listed, json!([]), opened(), 0),
        (json!([]), json!([unmerged, of_last_week]), Reverted::Lost, 1),
    ] {
        let is_sent = std::sync::Mutex::new(false);
        let (github, calls) = github(move |call| {
            Some(match without_paging(&call.line).as_str() {
                line if line.contains("/pulls?state=all&") => {
                    respond(200, if *is_sent.lock().unwrap() { &listed } else { &before })
                }
                line if line.contains("/pulls?") => respond(200, &json!([])),
                "POST /graphql" => {
                    *is_sent.lock().unwrap() = true;
                    respond(502, &json!({}))
                }
                line if line.starts_with("POST") => {
                    respond(if call.body["reviewers"][0] == "gone" { 422 } else { 201 }, &json!({}))
                }
                _ => respond(200, &json!({ "node_id": "PR_1" })),
            })
        })
        .await;
        assert_eq!(github.revert(&pipeline(), &reverting(), false).await, Ok(expected));
        assert_eq!(sent(&calls).await, sends);
    }
}

#[tokio::test]
async fn a_refusal_is_told_apart() {
    let (github, _) = town(|| refused(Some("UNPROCESSABLE")), 0).await;
    // GitHub refused, yet another one may be open by now: that is looked at before anything is sent.
    let conflict = github.revert(&pipeline(), &reverting(), false).await;
    assert_eq!(conflict, Ok(Reverted::Conflict("Sorry".to_owned())));
    let (github, _) = town(|| refused(Some("FORBIDDEN")), 0).await;
    let forbidden = github.revert(&pipeline(), &reverting(), false).await;
    assert_eq!(forbidden, Ok(Reverted::Forbidden("Sorry".to_owned())));
}

#[tokio::test]
async fn nothing_is_sent_while_it_cannot_be_looked_for() {
    let patience = Patience { attempt: Duration::from_millis(100), ..impatient() };
    let (github, calls) = github_with(patience, |call| call.line.starts_with("POST").then(done)).await;
    assert!(github.revert(&pipeline(), &reverting(), false).await.is_err());
    assert!(github.revert(&pipeline(), &reverting(), true).await.is_err());
    assert!(calls.all("GET /repos/hypothesis/h/pulls?").len() > 1, "it was looked for");
    assert_eq!(sent(&calls).await, 0);
}

#[test]
fn another_number_is_another_pull_request() {
    let reverts = |branch: &str, body: &str| {
        let raw: RawListed = serde_json::from_value(open(1, branch, body)).unwrap();
        raw.reverts("hypothesis/h", 4501)
    };
    for (branch, body) in
        [("revert-4501", ""), ("revert-4501-x", ""), ("x", "Reverts #4501."), ("x", "a\nReverts hypothesis/h#4501")]
    {
        assert!(reverts(branch, body), "{branch} {body}");
    }
    for (branch, body) in
        [("revert-45011-x", ""), ("x", "Reverts #45010"), ("x", "#4501"), ("x", "Reverts other/h#4501")]
    {
        assert!(!reverts(branch, body), "{branch} {body}");
    }
}

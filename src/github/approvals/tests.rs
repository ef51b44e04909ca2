use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::deploy::action::{Action, Reply, Request};
use crate::deploy::name::RequestId;
use crate::github::Patience;
use crate::github::tests::{Call, Calls, github_with, impatient, pipeline, raw_run, without_paging};
use crate::http::{Response, json as respond};

/// What the pretend GitHub does with the POST.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Fine,
    DoesItThenFails,
    DoesItThenHangs,
    Fails,
    Refuses(u16),
    Limits,
    /// Moved to the same place, which turns the POST into a GET.
    Redirects,
    /// Somebody else approves just before the POST arrives.
    TooLate,
}

struct State {
    run: Value,
    others: Vec<Value>,
    redeploys: Vec<Value>,
    waiting: Vec<(u64, &'static str)>,
    reviews: Vec<Value>,
    mood: Mood,
    posted: bool,
    /// Once it has posted, reads fail that often.
    deaf: usize,
}

impl State {
    fn new(mood: Mood) -> Self {
        let run = raw_run(5, 10, "deploy.yml", "waiting");
        let waiting = vec![(1, "Production"), (2, "Production (Canada)")];
        Self { run, others: vec![], redeploys: vec![], waiting, reviews: vec![], mood, posted: false, deaf: 0 }
    }

    fn take(&mut self, ids: &[u64], comment: &str, state: &str, by: &str) {
        let named: Vec<Value> = self
            .waiting
            .iter()
            .filter(|(id, _)| ids.contains(id))
            .map(|(id, name)| json!({ "id": id, "name": name }))
            .collect();
        self.waiting.retain(|(id, _)| !ids.contains(id));
        self.reviews
            .push(json!({ "state": state, "comment": comment, "environments": named, "user": { "login": by } }));
    }

    fn post(&mut self, body: &Value) -> Option<Response> {
        self.posted = true;
        let ids: Vec<u64> = body["environment_ids"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let (comment, state) = (body["comment"].as_str().unwrap(), body["state"].as_str().unwrap());
        match self.mood {
            Mood::Fine | Mood::DoesItThenFails | Mood::DoesItThenHangs => self.take(&ids, comment, state, "bot"),
            Mood::TooLate => self.take(&ids, "by hand", "approved", "ana"),
            Mood::Fails | Mood::Refuses(_) | Mood::Limits | Mood::Redirects => {}
        }
        match self.mood {
            Mood::Fine => Some(respond(200, &json!([{ "id": 1, "environment": "Production" }]))),
            Mood::Redirects => {
                let here = "/repos/hypothesis/h/actions/runs/5/pending_deployments";
                Some(crate::github::tests::with(respond(301, &json!({})), &[("location", here)]))
            }
            Mood::DoesItThenFails | Mood::Fails => Some(respond(502, &json!({}))),
            Mood::DoesItThenHangs => None,
            Mood::Refuses(status) => Some(respond(status, &json!({ "message": "not a reviewer" }))),
            Mood::TooLate => Some(respond(422, &json!({ "message": "no pending deployment" }))),
            Mood::Limits => Some(crate::github::tests::with(respond(429, &json!({})), &[("retry-after", "60")])),
        }
    }

    fn answer(&mut self, call: &Call) -> Option<Response> {
        if call.line.starts_with("POST") {
            return self.post(&call.body);
        }
        if self.posted && self.deaf > 0 {
            self.deaf -= 1;
            return Some(respond(503, &json!({})));
        }
        let waiting: Vec<Value> = self
            .waiting
            .iter()
            .map(|(id, name)| json!({ "environment": { "id": id, "name": name }, "current_user_can_approve": true }))
            .collect();
        let mut runs = self.others.clone();
        runs.push(self.run.clone());
        let line = without_paging(&call.line);
        Some(match line.rsplit_once("/actions/").map(|(_, what)| what).unwrap_or(&line) {
            "runs/5" => respond(200, &self.run),
            "runs/5/pending_deployments" => respond(200, &json!(waiting)),
            "runs/5/approvals" => respond(200, &json!(self.reviews)),
            "workflows/deploy.yml/runs" => respond(200, &json!({ "workflow_runs": runs })),
            "workflows/redeploy.yml/runs" => respond(200, &json!({ "workflow_runs": self.redeploys })),
            "GET /repos/hypothesis/h/compare/old...0000000000000000000000000000000000000005" => {
                respond(200, &json!({ "status": "identical", "total_commits": 0, "commits": [] }))
            }
            _ => respond(404, &json!({})),
        })
    }
}

async fn github_of(state: State) -> (GitHub, Calls) {
    // Short enough for the answer that never comes, long enough for a busy machine: reads are repeated.
    let patience = Patience { attempt: Duration::from_millis(800), ..impatient() };
    let state = Arc::new(Mutex::new(state));
    github_with(patience, move |call| state.lock().unwrap().answer(call)).await
}

fn verdict() -> Verdict {
    let reply = Reply {
        url: String::new(),
        channel: "C1".to_owned(),
        replace: false,
        view: None,
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let request = Request {
        id: RequestId::from("1"),
        app: "h".into(),
        by: "U1".into(),
        action: Action::Approve { environments: String::new() },
        reply,
    };
    Verdict {
        request,
        run: RunId(5),
        attempt: 1,
        sha: Sha::new(format!("{:040}", 5)),
        gates: vec![(1, "Production".into()), (2, "Production (Canada)".into())],
        comment: "approved in Slack by Ana".to_owned(),
    }
}

fn posts(calls: &Calls) -> Vec<Call> {
    calls.all("POST")
}

fn gates_of(outcome: &Outcome) -> Vec<&str> {
    match outcome {
        Outcome::NotPending { gates, .. } => gates.iter().map(|gate| gate.environment.as_str()).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_waits_is_approved_once() {
    let (github, calls) = github_of(State::new(Mood::Fine)).await;
    assert_eq!(github.review(&pipeline(), &verdict(), true).await, Ok(Outcome::Done));
    assert_eq!(posts(&calls).len(), 1);
    assert_eq!(
        posts(&calls)[0].body,
        json!({ "environment_ids": [1, 2], "state": "approved", "comment": "approved in Slack by Ana" })
    );
    let again = github.review(&pipeline(), &verdict(), true).await;
    assert_eq!(again, Ok(Outcome::Done), "a repetition finds its own answer");
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn a_long_comment_is_cut() {
    let (github, calls) = github_of(State::new(Mood::Fine)).await;
    let verdict = Verdict { comment: "é".repeat(3_000), ..verdict() };
    assert_eq!(github.review(&pipeline(), &verdict, false).await, Ok(Outcome::Done));
    assert_eq!(posts(&calls)[0].body["comment"].as_str().map(|comment| comment.chars().count()), Some(1_000));
    assert_eq!(posts(&calls)[0].body["state"], "rejected");
}

#[tokio::test]
async fn nothing_is_sent_when_the_run_is_not_what_was_shown() {
    type Change = fn(&mut State);
    let changes: [(&str, Change); 7] = [
        ("another attempt", |state| state.run["run_attempt"] = json!(2)),
        ("another commit", |state| state.run["head_sha"] = json!("b")),
        ("over", |state| state.run["status"] = json!("completed")),
        ("one gate was answered", |state| state.take(&[2], "by hand", "approved", "ana")),
        ("all gates were answered", |state| state.take(&[1, 2], "by hand", "approved", "ana")),
        ("a newer deploy", |state| state.others.push(raw_run(6, 11, "deploy.yml", "in_progress"))),
        ("a newer redeploy", |state| state.redeploys.push(raw_run(4, 11, "redeploy.yml", "completed"))),
    ];
    for (what, change) in changes {
        let mut state = State::new(Mood::Fine);
        change(&mut state);
        let (github, calls) = github_of(state).await;
        let outcome = github.review(&pipeline(), &verdict(), true).await.unwrap();
        assert!(matches!(outcome, Outcome::NotPending { .. }), "{what}: {outcome:?}");
        assert!(posts(&calls).is_empty(), "{what}");
    }
}

#[tokio::test]
async fn an_overtaken_run_may_still_be_rejected() {
    let mut state = State::new(Mood::Fine);
    state.others.push(raw_run(6, 11, "deploy.yml", "in_progress"));
    let (github, calls) = github_of(state).await;
    assert_eq!(github.review(&pipeline(), &verdict(), false).await, Ok(Outcome::Done));
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn done_before_the_error_is_done() {
    for mood in [Mood::DoesItThenFails, Mood::DoesItThenHangs] {
        let (github, calls) = github_of(State::new(mood)).await;
        assert_eq!(github.review(&pipeline(), &verdict(), true).await, Ok(Outcome::Done));
        assert_eq!(posts(&calls).len(), 1);
    }
}

#[tokio::test]
async fn not_done_before_the_error_is_told_with_what_waits() {
    let (github, calls) = github_of(State::new(Mood::Fails)).await;
    let outcome = github.review(&pipeline(), &verdict(), true).await.unwrap();
    assert_eq!(gates_of(&outcome), ["Production", "Production (Canada)"]);
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_taken_for_an_approval() {
    let (github, calls) = github_of(State::new(Mood::Redirects)).await;
    let outcome = github.review(&pipeline(), &verdict(), true).await.unwrap();
    assert_eq!(gates_of(&outcome).len(), 2);
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn somebody_faster_is_told_by_name() {
    let (github, calls) = github_of(State::new(Mood::TooLate)).await;
    match github.review(&pipeline(), &verdict(), true).await.unwrap() {
        Outcome::NotPending { gates, reviews, .. } => {
            assert!(gates.is_empty());
            assert_eq!(reviews[0].by.as_str(), "ana");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn a_refusal_while_it_waits_is_final() {
    for status in [403, 404, 422] {
        let (github, calls) = github_of(State::new(Mood::Refuses(status))).await;
        let outcome = github.review(&pipeline(), &verdict(), true).await.unwrap();
        assert!(matches!(outcome, Outcome::Failed(_)), "{status}: {outcome:?}");
        assert_eq!(posts(&calls).len(), 1);
    }
}

#[tokio::test]
async fn a_limit_means_later() {
    let (github, calls) = github_of(State::new(Mood::Limits)).await;
    assert!(matches!(github.review(&pipeline(), &verdict(), true).await, Err(GitHubError::RateLimited { .. })));
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn when_nothing_can_be_read_back_it_is_an_error_and_a_repetition_finds_out() {
    let mut state = State::new(Mood::DoesItThenFails);
    state.deaf = 15;
    let (github, calls) = github_of(state).await;
    assert!(matches!(github.review(&pipeline(), &verdict(), true).await, Err(GitHubError::Unreachable(_))));
    assert_eq!(github.review(&pipeline(), &verdict(), true).await, Ok(Outcome::Done));
    assert_eq!(posts(&calls).len(), 1);
}

#[tokio::test]
async fn facts_are_about_the_run_asked_for() {
    let mut state = State::new(Mood::Fine);
    // Re-run a minute ago, though older: it is the newest of the group.
    state.others = vec![raw_run(9, 2, "deploy.yml", "completed"), raw_run(3, 30, "deploy.yml", "in_progress")];
    let (github, calls) = github_of(state).await;
    let deployed =
        [("Production".into(), "old".into()), ("Canada".into(), "old".into()), ("Edu".into(), "gone".into())];
    let facts = github.facts(&pipeline(), Some(RunId(5)), &deployed).await.unwrap().unwrap();
    assert_eq!((facts.newest.id, facts.run.id), (RunId(3), RunId(5)));
    assert_eq!(facts.gates.len(), 2);
    let ranges: Vec<&str> = facts.ranges.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(ranges, ["Production", "Canada"], "a commit that is gone cannot be compared");
    assert_eq!(calls.all("GET /repos/hypothesis/h/compare/old").len(), 1);
    assert_eq!(github.facts(&pipeline(), Some(RunId(77)), &[]).await.unwrap_err(), GitHubError::NotFound);
}

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::deploy::action::{Action, Reply, Request};
use crate::deploy::mend::Mend;
use crate::deploy::name::{RequestId, RunId};
use crate::github::Patience;
use crate::github::tests::{Call, Calls, fixed, github_with, impatient, pipeline, raw_run, with, without_paging};
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
}

struct State {
    run: Value,
    others: Vec<Value>,
    redeploys: Vec<Value>,
    mood: Mood,
}

impl State {
    /// Run 5 has failed, or goes on.
    fn new(mood: Mood, status: &str) -> Self {
        let mut run = raw_run(5, 10, "deploy.yml", status);
        if status == "completed" {
            run["conclusion"] = json!("failure");
        }
        Self { run, others: vec![], redeploys: vec![], mood }
    }

    fn post(&mut self, line: &str) -> Option<Response> {
        if matches!(self.mood, Mood::Fine | Mood::DoesItThenFails | Mood::DoesItThenHangs) {
            if line.ends_with("/cancel") {
                (self.run["status"], self.run["conclusion"]) = (json!("completed"), json!("cancelled"));
            } else {
                self.run["run_attempt"] = json!(2);
                (self.run["status"], self.run["conclusion"]) = (json!("queued"), Value::Null);
            }
        }
        match self.mood {
            Mood::Fine => Some(respond(201, &json!({}))),
            Mood::DoesItThenFails | Mood::Fails => Some(respond(502, &json!({}))),
            Mood::DoesItThenHangs => None,
            Mood::Refuses(status) => Some(respond(status, &json!({ "message": "no" }))),
            Mood::Limits => Some(with(respond(429, &json!({})), &[("retry-after", "60")])),
        }
    }

    fn answer(&mut self, call: &Call) -> Option<Response> {
        if call.line.starts_with("POST") {
            return self.post(&call.line);
        }
        let mut runs = self.others.clone();
        runs.push(self.run.clone());
        let line = without_paging(&call.line);
        Some(match line.rsplit_once("/actions/").map(|(_, what)| what).unwrap_or(&line) {
            "runs/5" => respond(200, &self.run),
            "workflows/deploy.yml/runs" => respond(200, &json!({ "workflow_runs": runs })),
            "workflows/redeploy.yml/runs" => respond(200, &json!({ "workflow_runs": self.redeploys })),
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

fn repair(what: Means) -> Repair {
    let reply = Reply {
        url: String::new(),
        channel: "C1".to_owned(),
        replace: false,
        view: None,
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let action = Action::Mend(Mend::Retry);
    let request = Request { id: RequestId::from("1"), app: "h".into(), by: "U1".into(), action, reply };
    Repair { request, run: RunId(5), attempt: 1, what }
}

/// What came of it, and what was sent.
async fn mend(state: State, what: Means, sent_before: bool) -> (std::result::Result<Outcome, Unanswered>, Vec<String>) {
    let (github, calls) = github_of(state).await;
    let outcome = github.mend(&pipeline(), &repair(what), sent_before).await;
    (outcome, calls.all("POST").into_iter().map(|call| call.line).collect())
}

const RERUN: &str = "POST /repos/hypothesis/h/actions/runs/5/rerun-failed-jobs";
const CANCEL: &str = "POST /repos/hypothesis/h/actions/runs/5/cancel";

#[tokio::test]
async fn what_failed_is_run_again_once_however_the_answer_is_lost() {
    for mood in [Mood::Fine, Mood::DoesItThenFails, Mood::DoesItThenHangs] {
        let (outcome, posts) = mend(State::new(mood, "completed"), Means::Rerun, false).await;
        assert_eq!(outcome.unwrap(), Outcome::Done);
        assert_eq!(posts, [RERUN], "sent once");
    }
}

#[tokio::test]
async fn what_runs_is_cancelled_once_however_the_answer_is_lost() {
    for mood in [Mood::Fine, Mood::DoesItThenFails, Mood::DoesItThenHangs] {
        let (outcome, posts) = mend(State::new(mood, "in_progress"), Means::Cancel, false).await;
        assert_eq!(outcome.unwrap(), Outcome::Done);
        assert_eq!(posts, [CANCEL], "sent once");
    }
}

#[tokio::test]
async fn what_was_not_done_is_told_and_not_repeated() {
    for mood in [Mood::Fails, Mood::Refuses(403)] {
        let (outcome, posts) = mend(State::new(mood, "completed"), Means::Rerun, false).await;
        assert!(matches!(outcome.unwrap(), Outcome::NotDone { run, .. } if run.attempt == 1));
        assert_eq!(posts, [RERUN]);
    }
    let (outcome, posts) = mend(State::new(Mood::Refuses(409), "in_progress"), Means::Cancel, false).await;
    assert!(matches!(outcome.unwrap(), Outcome::NotDone { .. }));
    assert_eq!(posts, [CANCEL]);
    // A cancel that nobody confirmed may still be on its way.
    let (outcome, posts) = mend(State::new(Mood::Fails, "in_progress"), Means::Cancel, false).await;
    assert!(matches!(outcome.unwrap(), Outcome::Failed(_)));
    assert_eq!(posts, [CANCEL]);
}

#[tokio::test]
async fn what_may_have_been_sent_is_looked_for_and_never_sent_again() {
    let mut done = State::new(Mood::Fine, "in_progress");
    done.run["run_attempt"] = json!(2);
    let (outcome, posts) = mend(done, Means::Rerun, true).await;
    assert_eq!((outcome.unwrap(), posts), (Outcome::Done, vec![]));
    let (outcome, posts) = mend(State::new(Mood::Fine, "completed"), Means::Rerun, true).await;
    assert!(matches!(outcome.unwrap(), Outcome::NotDone { .. }), "it can be asked for again");
    assert!(posts.is_empty(), "{posts:?}");
    let (outcome, posts) = mend(State::new(Mood::Fine, "in_progress"), Means::Cancel, true).await;
    assert!(matches!(outcome.unwrap(), Outcome::Failed(_)));
    assert!(posts.is_empty(), "{posts:?}");
}

#[tokio::test]
async fn nothing_is_sent_when_something_is_in_the_way() {
    let failed = || State::new(Mood::Fine, "completed");
    let mut again = failed();
    again.run["run_attempt"] = json!(2);
    let mut newer = failed();
    newer.others.push(raw_run(7, 20, "deploy.yml", "completed"));
    let mut redeploying = failed();
    redeploying.redeploys.push(raw_run(6, 20, "redeploy.yml", "in_progress"));
    for state in [again, newer, redeploying, State::new(Mood::Fine, "in_progress")] {
        let (outcome, posts) = mend(state, Means::Rerun, false).await;
        assert!(matches!(outcome.unwrap(), Outcome::NotDone { .. }));
        assert!(posts.is_empty(), "{posts:?}");
    }
    let (outcome, posts) = mend(failed(), Means::Cancel, false).await;
    assert!(matches!(outcome.unwrap(), Outcome::NotDone { .. }), "it is over");
    assert!(posts.is_empty(), "{posts:?}");
    // A redeploy that is over is not.
    let mut redeployed = failed();
    redeployed.redeploys.push(raw_run(6, 20, "redeploy.yml", "completed"));
    let (outcome, posts) = mend(redeployed, Means::Rerun, false).await;
    assert_eq!((outcome.unwrap(), posts.len()), (Outcome::Done, 1));
}

#[tokio::test]
async fn a_limit_means_later_and_that_nothing_was_sent() {
    let (outcome, posts) = mend(State::new(Mood::Limits, "completed"), Means::Rerun, false).await;
    let unanswered = outcome.unwrap_err();
    assert!(matches!(unanswered.error, GitHubError::RateLimited { .. }) && !unanswered.sent, "{unanswered:?}");
    assert_eq!(posts.len(), 1);
}

#[tokio::test]
async fn symptoms_that_cannot_be_read_are_none() {
    let line = "GET /repos/hypothesis/h/check-runs/7/annotations";
    let (github, _) =
        fixed(vec![(line, json!([{ "title": "", "message": "Must be Ready." }, { "message": null }]))]).await;
    assert_eq!(github.symptoms("hypothesis/h", 7).await.unwrap(), ["Must be Ready.", ""]);
    assert_eq!(github.symptoms("hypothesis/h", 8).await.unwrap(), [""; 0]);
}

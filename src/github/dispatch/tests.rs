//! A pretend GitHub that starts a workflow, or says it does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::deploy::action::{Action, Reply, Request};
use crate::deploy::dispatch::{Dispatch, Order};
use crate::deploy::event::Outcome;
use crate::deploy::name::{RequestId, RunId};
use crate::deploy::pipeline::{Pipeline, Redeploy};
use crate::deploy::run::Workflow;
use crate::github::tests::{self, Call, Calls, github_with, impatient};
use crate::github::{GitHub, GitHubError, Patience};
use crate::http::{Response, json as respond};

/// What becomes of the POST.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Fine,
    SaysNothing,
    DoesItThenFails,
    Fails,
    DoesItThenHangs,
    Refuses(u16),
}

struct State {
    mood: Mood,
    /// Lists of runs that do not show the new one yet.
    late: u32,
    /// Lists of runs that fail, after the POST.
    deaf: u32,
    started: bool,
    going: Vec<Value>,
}

fn run(id: u64, actor: &str, status: &str) -> Value {
    json!({
        "id": id, "run_number": id, "run_attempt": 1, "path": ".github/workflows/redeploy.yml",
        "head_sha": format!("{id:040}"), "head_branch": "main", "event": "workflow_dispatch", "status": status,
        "actor": { "login": actor }, "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z",
    })
}

impl State {
    fn of(mood: Mood) -> Self {
        Self { mood, late: 0, deaf: 0, started: false, going: Vec::new() }
    }

    fn answer(&mut self, call: &Call) -> Option<Response> {
        if call.line.starts_with("POST") {
            self.started = !matches!(self.mood, Mood::Fails | Mood::Refuses(_));
            return match self.mood {
                Mood::Fine => Some(respond(200, &json!({ "workflow_run_id": 90, "html_url": "" }))),
                Mood::SaysNothing => Some(crate::http::respond(204, "text/plain", "")),
                Mood::DoesItThenFails | Mood::Fails => Some(respond(502, &json!({}))),
                Mood::DoesItThenHangs => None,
                Mood::Refuses(status) => Some(respond(status, &json!({ "message": "Unexpected inputs provided" }))),
            };
        }
        if call.line.starts_with("GET /user") {
            return Some(respond(200, &json!({ "login": "bot-gh" })));
        }
        if self.started && self.deaf > 0 {
            self.deaf -= 1;
            return Some(respond(503, &json!({})));
        }
        let mut runs = self.going.clone();
        // Somebody else's, started at the same time; and one of ours from before.
        runs.push(run(91, "ana-gh", "completed"));
        runs.push(run(80, "bot-gh", "completed"));
        if self.started && call.line.contains("redeploy.yml") {
            match self.late {
                0 => runs.push(run(90, "bot-gh", "queued")),
                _ => self.late -= 1,
            }
        }
        Some(respond(200, &json!({ "workflow_runs": runs })))
    }
}

async fn github_of(state: State) -> (GitHub, Calls) {
    let patience = Patience { attempt: Duration::from_millis(800), ..impatient() };
    let state = Arc::new(Mutex::new(state));
    github_with(patience, move |call| state.lock().unwrap().answer(call)).await
}

fn pipeline() -> Pipeline {
    let inputs = [("Staging", "staging"), ("Production", "production"), ("Production (Canada)", "production_canada")];
    let inputs = inputs.map(|(name, id)| (name.into(), id.to_owned())).into();
    Pipeline { redeploy: Some(Redeploy { file: "redeploy.yml".into(), inputs }), ..tests::pipeline() }
}

fn order(workflow: Workflow) -> Order {
    let at = "2026-11-23T10:00:00.9Z".parse().unwrap();
    let reply = Reply { url: String::new(), channel: "C1".into(), replace: false, view: None, at };
    let action = Action::Dispatch(Dispatch::Start);
    Order {
        request: Request { id: RequestId::from("1"), app: "h".into(), by: "U1".into(), action, reply },
        workflow,
        environments: vec!["Staging".into(), "Production (Canada)".into()],
        cancels: Some(RunId(70)),
        after: RunId(80),
        at,
        before: BTreeMap::new(),
        account: None,
    }
}

async fn started(state: State) -> (Result<Outcome, GitHubError>, usize) {
    let (github, calls) = github_of(state).await;
    let outcome = github.start(&pipeline(), &mut order(Workflow::Redeploy)).await;
    (outcome, calls.all("POST").len())
}

const FOUND: Outcome = Outcome::Started { run: RunId(90), found: true };

#[tokio::test]
async fn a_dispatch_carries_texts_and_asks_for_its_run() {
    let (github, calls) = github_of(State::of(Mood::Fine)).await;
    let outcome = github.start(&pipeline(), &mut order(Workflow::Redeploy)).await;
    assert_eq!(outcome, Ok(Outcome::Started { run: RunId(90), found: false }));
    let posted = calls.all("POST");
    assert_eq!(posted[0].line, "POST /repos/hypothesis/h/actions/workflows/redeploy.yml/dispatches");
    assert_eq!(
        posted[0].body,
        json!({
            "ref": "main", "return_run_details": true,
            "inputs": { "staging": "true", "production_canada": "true" },
        })
    );
    let (github, calls) = github_of(State::of(Mood::Fine)).await;
    github.start(&pipeline(), &mut order(Workflow::Deploy)).await.unwrap();
    let posted = calls.all("POST");
    assert_eq!(posted[0].line, "POST /repos/hypothesis/h/actions/workflows/deploy.yml/dispatches");
    assert_eq!(posted[0].body, json!({ "ref": "main", "return_run_details": true }));
}

#[tokio::test]
async fn after_an_unclear_answer_the_run_is_looked_for_and_nothing_is_sent_again() {
    for mood in [Mood::DoesItThenFails, Mood::SaysNothing, Mood::DoesItThenHangs] {
        assert_eq!(started(State { late: 2, ..State::of(mood) }).await, (Ok(FOUND), 1));
    }
    assert_eq!(started(State::of(Mood::Fails)).await, (Ok(Outcome::Lost), 1), "it was not done");
    let (outcome, posts) = started(State { deaf: 100, ..State::of(Mood::DoesItThenFails) }).await;
    assert!(matches!(outcome, Err(GitHubError::Unreachable(_))), "{outcome:?}");
    assert_eq!(posts, 1, "nobody knows");
}

#[tokio::test]
async fn what_may_have_been_sent_before_a_crash_is_only_looked_for() {
    let (github, calls) = github_of(State { started: true, ..State::of(Mood::Fine) }).await;
    let mut order = order(Workflow::Redeploy);
    assert_eq!(github.find_started(&pipeline(), &mut order).await, Ok(FOUND));
    assert_eq!(order.account, Some("bot-gh".into()));
    assert!(calls.all("POST").is_empty());
}

#[tokio::test]
async fn a_refusal_and_another_run_start_nothing() {
    let (outcome, _) = started(State::of(Mood::Refuses(422))).await;
    assert_eq!(outcome, Ok(Outcome::Refused("GitHub says “Unexpected inputs provided”".into())));
    let (outcome, _) = started(State::of(Mood::Refuses(404))).await;
    assert!(matches!(outcome, Ok(Outcome::Refused(_))), "{outcome:?}");

    let going = vec![run(85, "ana-gh", "waiting")];
    let (outcome, posts) = started(State { going, ..State::of(Mood::Fine) }).await;
    assert!(matches!(outcome, Ok(Outcome::InTheWay(run)) if run.id == RunId(85)));
    assert_eq!(posts, 0);
    let going = vec![run(70, "ana-gh", "waiting")];
    let (outcome, posts) = started(State { going, ..State::of(Mood::Fine) }).await;
    assert_eq!(
        (outcome, posts),
        (Ok(Outcome::Started { run: RunId(90), found: false }), 1),
        "that one may be cancelled"
    );
}

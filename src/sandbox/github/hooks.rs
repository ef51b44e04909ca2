//! The pretend GitHub's webhooks on the wire: bodies, headers and signatures as `facts/github.md` 4.12 has them. Like GitHub it waits ten
//! seconds for an answer and sends nothing again by itself.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::hmac;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::shape::Shape;
use crate::sandbox::world::World;
use crate::sandbox::world::hooks::{Delivered, Delivery, Happening, Hook, News, Next};
use crate::sandbox::world::run::Run;
use crate::sandbox::world::state::{Repo, State};

const PATIENCE: Duration = Duration::from_secs(10);
const API: &str = "https://api.github.com";

type Sender = Client<HttpConnector, Full<Bytes>>;

/// Delivers until `shutdown`.
pub async fn deliver(world: World, shutdown: CancellationToken) {
    let client: Sender = Client::builder(TokioExecutor::new()).build_http();
    let tasks = TaskTracker::new();
    loop {
        let wait = match world.read(|state, now| state.hooks.next(now)) {
            Next::Send(hook, delivery) => {
                let (world, client) = (world.clone(), client.clone());
                tasks.spawn(async move { post(&world, &client, &hook, &delivery).await });
                continue;
            }
            Next::Later(wait) => Some(wait.unsigned_abs()),
            Next::Nothing => None,
        };
        tokio::select! {
            () = world.news() => {}
            () = async { world.clock().sleep(wait.unwrap_or_default()).await }, if wait.is_some() => {}
            () = shutdown.cancelled() => break,
        }
    }
    tasks.close();
    tokio::select! {
        () = tasks.wait() => {}
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
}

async fn post(world: &World, client: &Sender, hook: &Hook, delivery: &Delivery) {
    let event = delivery.news.what.event();
    let body = world.read(|state, _| body(state, hook, &delivery.news)).to_string();
    let status = send(client, hook, (event, &delivery.id), &body).await;
    let delivered = Delivered { id: delivery.id.clone(), event: event.to_owned(), body, status };
    world.read(|state, _| state.hooks.sent(delivered));
}

/// Sends a body as GitHub does; the status of the answer.
async fn send(client: &Sender, hook: &Hook, (event, id): (&str, &str), body: &str) -> Option<u16> {
    let request = hyper::Request::post(&hook.url)
        .header("user-agent", "GitHub-Hookshot/044aadd")
        .header("accept", "*/*")
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", id)
        .header("x-github-hook-id", "292430182")
        .header("x-github-hook-installation-target-type", "organization")
        .header("x-github-hook-installation-target-id", "4651")
        .header("x-hub-signature-256", signature(&hook.secret, body.as_bytes()))
        .body(Full::from(body.to_owned()))
        .ok()?;
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await.ok()?.ok()?;
    Some(answer.status().as_u16())
}

/// The value of `X-Hub-Signature-256`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digits = hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256={digits}")
}

fn body(state: &State, hook: &Hook, news: &News) -> Value {
    let sender = super::shape::user(state, API, "ana-gh");
    let Some(repo) = news.repo.as_ref().and_then(|name| state.repo(name)) else {
        let config = json!({"url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": "********"});
        let set_up = json!({"type": "Organization", "id": 292_430_182, "name": "web", "active": true, "events": hook.events, "config": config});
        return json!({"zen": "Keep it logically awesome.", "hook_id": 292_430_182, "hook": set_up, "sender": sender});
    };
    let shape = Shape { state, repo, api: API };
    let mut body = of(&shape, &news.what);
    if let Value::Object(body) = &mut body {
        body.insert("repository".to_owned(), shape.repository());
        body.insert("organization".to_owned(), json!({"login": repo.owner, "id": 4651}));
        body.insert("sender".to_owned(), sender);
    }
    body
}

fn of(shape: &Shape<'_>, what: &Happening) -> Value {
    let run_of = |run: &Run| shape.run(run, run.attempts.len());
    match what {
        Happening::Ping => json!({}),
        Happening::Run(action, run) => {
            json!({"action": action, "workflow": shape.workflow(run.workflow), "workflow_run": run_of(run)})
        }
        Happening::Job(action, run, id) => {
            let jobs = shape.jobs(run, run.attempts.len(), run.latest());
            let mut job = jobs.into_iter().find(|job| job["id"] == json!(id)).unwrap_or_default();
            // The job may be further on by now: what is told is what it was.
            job["status"] = json!(action);
            json!({"action": action, "workflow_job": job})
        }
        Happening::Review(run, review) => json!({
            "action": if review.approved { "approved" } else { "rejected" }, "approver": shape.user(&review.by),
            "comment": review.comment, "workflow_run": run_of(run), "reviewers": shape.reviewers(),
        }),
        Happening::Merge(number) => {
            let pull = shape.repo.history.pulls.iter().find(|pull| pull.number == *number);
            json!({"action": "closed", "number": number, "pull_request": pull.map(|pull| shape.pull_in_full(pull))})
        }
        Happening::Push(before, after) => push(shape.repo, before, after),
    }
}

fn push(repo: &Repo, before: &str, after: &str) -> Value {
    let compared = repo.history.compare(before, after);
    let commits = compared.ahead.iter().filter_map(|at| repo.history.commits.get(*at));
    let commits: Vec<Value> =
        commits.map(|commit| json!({"id": commit.sha, "message": commit.message, "distinct": true})).collect();
    json!({"ref": "refs/heads/main", "before": before, "after": after, "forced": false, "commits": commits})
}

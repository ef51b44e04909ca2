//! The pretend GitHub's webhooks on the wire: headers and signatures as `facts/github.md` 4.12 has them. Like GitHub it waits ten
//! seconds for an answer and sends nothing again by itself.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::hmac;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::shape_hook::body;
use crate::sandbox::world::World;
use crate::sandbox::world::hooks::{Delivered, Delivery, Hook, Next};

const PATIENCE: Duration = Duration::from_secs(10);

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
    let (parts, ()) = head(hook, (event, &delivery.id), &body).into_parts();
    let request = hyper::Request::from_parts(parts.clone(), Full::from(body.clone()));
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
    let status = answer.ok().and_then(Result::ok).map(|answer| answer.status().as_u16());
    world.record().delivery((&parts, &body), status);
    let delivered = Delivered { id: delivery.id.clone(), event: event.to_owned(), body, status };
    world.read(|state, _| state.hooks.sent(delivered));
}

/// A delivery's head as GitHub makes it.
fn head(hook: &Hook, (event, id): (&str, &str), body: &str) -> hyper::Request<()> {
    hyper::Request::post(&hook.url)
        .header("user-agent", "GitHub-Hookshot/044aadd")
        .header("accept", "*/*")
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", id)
        .header("x-github-hook-id", "292430182")
        .header("x-github-hook-installation-target-type", "organization")
        .header("x-github-hook-installation-target-id", "4651")
        .header("x-hub-signature-256", signature(&hook.secret, body.as_bytes()))
        .body(())
        .expect("an address that can be posted to")
}

/// The value of `X-Hub-Signature-256`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digits = hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256={digits}")
}

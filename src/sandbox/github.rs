//! The pretend GitHub on the wire: who may ask, what it costs, which faults hit, and how answers look. The world behind
//! it is in `world`, routes and shapes are below. A strict judge: what a real client must not send is a complaint.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::world::state::{HOURLY_LIMIT, SeenRequest, State};
use super::world::{FaultKind, World};
use crate::http::{Request, Response};

mod account;
mod call;
mod graphql;
mod hooks;
mod pulls;
mod read;
mod route;
mod selection;
mod shape;
mod shape_change;
mod shape_hook;
mod shape_run;
mod write;

use call::{Answer, Call};
pub use hooks::{deliver, signature};

/// The body size that GitHub's API takes is not documented; no client of ours comes near this.
const BODY_LIMIT: usize = 1 << 20;
const HANG: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_millis(500);

/// Serves GitHub's REST and GraphQL API for a world until `shutdown`.
pub async fn serve(listener: TcpListener, world: World, shutdown: CancellationToken) {
    let until = shutdown.clone();
    crate::http::serve(listener, shutdown, move |request| handle(world.clone(), until.clone(), request)).await;
}

async fn handle(world: World, shutdown: CancellationToken, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return crate::http::json(413, &json!({"message": "Payload too large"}));
    };
    let body = body.to_bytes();
    let (response, fault) = respond(&world, &parts, &body);
    world.record().exchange("github", (&parts, &body), &response, fault.map(|kind| format!("{kind:?}"))).await;
    if let Some(kept) = fault.and_then(kept_back) {
        tokio::select! {
            () = tokio::time::sleep(kept) => {}
            () = shutdown.cancelled() => {}
        }
    }
    response
}

/// How long a fault keeps an answer back.
fn kept_back(fault: FaultKind) -> Option<Duration> {
    match fault {
        FaultKind::Hang | FaultKind::HangAfter => Some(HANG),
        FaultKind::Slow => Some(SLOW),
        FaultKind::Stale
        | FaultKind::Error500
        | FaultKind::Error502After
        | FaultKind::RateLimited
        | FaultKind::Secondary
        | FaultKind::SecondaryUnsaid => None,
    }
}

/// The answer, and the fault that hit it.
fn respond(world: &World, parts: &hyper::http::request::Parts, body: &[u8]) -> (Response, Option<FaultKind>) {
    world.tick();
    let call = Call::new(parts, body);
    let fault = match world.read(|state, now| admit(state, now, &call, &parts.headers)) {
        Ok(fault) => fault,
        Err(answer) => return (finish(world, (&call, false), &parts.headers, answer), None),
    };
    let done = |stale: bool| match call.method.as_str() {
        "GET" => world.read(|state, now| route::route(state, now, &call, stale)),
        _ => world.change(|state, now| route::route(state, now, &call, stale)),
    };
    let mut success = false;
    let mut done = |stale: bool| {
        let answer = done(stale);
        success = answer.status < 300;
        answer
    };
    let answer = match fault {
        None | Some(FaultKind::Slow) => done(false),
        Some(FaultKind::Stale) => done(true),
        Some(FaultKind::Error500) => Answer::error(500, "Server Error"),
        Some(FaultKind::Hang) => Answer::error(504, "We couldn't respond to your request in time."),
        Some(FaultKind::Error502After) => done(false).replaced_by(502, "Server Error"),
        Some(FaultKind::HangAfter) => done(false).replaced_by(504, "We couldn't respond to your request in time."),
        Some(FaultKind::RateLimited) => world.read(|_, now| primary_limit(now.as_second() + 60)),
        Some(FaultKind::Secondary) => secondary_limit().with("retry-after", "2"),
        Some(FaultKind::SecondaryUnsaid) => secondary_limit(),
    };
    (finish(world, (&call, success), &parts.headers, answer), fault)
}

/// Lets a request in, or says why not. Takes the fault that hits it.
fn admit(state: &mut State, now: Timestamp, call: &Call, headers: &HeaderMap) -> Result<Option<FaultKind>, Answer> {
    if !headers.contains_key(USER_AGENT) {
        call.complain("no User-Agent");
        return Err(Answer::error(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
        ));
    }
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match token.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token "))) {
        None => {
            call.complain("no token");
            return Err(Answer::error(401, "Requires authentication"));
        }
        Some(token) if token != super::world::TOKEN => {
            call.complain("wrong token");
            return Err(Answer::error(401, "Bad credentials"));
        }
        Some(_) => {}
    }
    let version = headers.get("x-github-api-version").map(HeaderValue::as_bytes);
    if version.is_some_and(|version| version != b"2022-11-28" && version != b"2026-03-10") {
        call.complain("unknown X-GitHub-Api-Version");
        return Err(Answer::error(400, "Invalid API version"));
    }
    if state.quota.is_spent(call, now) {
        return Err(primary_limit(state.quota.resets_at));
    }
    // GraphQL asks and changes at one address: a fault may be for its changes only.
    let kind = if call.is_mutation() { " mutation" } else { "" };
    Ok(state.take_fault(&format!("{} {}{kind}", call.method, call.target), call.is_run_list()))
}

fn secondary_limit() -> Answer {
    Answer::error(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
}

fn primary_limit(resets_at: i64) -> Answer {
    Answer::error(403, "API rate limit exceeded for user ID 2001.")
        .with("x-ratelimit-remaining", "0")
        .with("x-ratelimit-reset", &resets_at.to_string())
}

/// Writes down request and complaints, charges the token, and makes the HTTP answer, 304 where the client has it already.
fn finish(world: &World, (call, done): (&Call, bool), headers: &HeaderMap, mut answer: Answer) -> Response {
    if answer.status < 300 {
        call.complain_about_unused_query();
    }
    let text = answer.body.as_ref().map(ToString::to_string).unwrap_or_default();
    if call.method == "GET" && answer.status == 200 {
        let etag = format!("W/\"{}\"", super::world::history::sha_of(fingerprint(&text), 0));
        if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
            answer.status = 304;
        }
        answer = answer.with("etag", &etag);
    }
    let body = String::from_utf8_lossy(&call.body).into_owned();
    let (method, path, status) = (call.method.clone(), call.target.clone(), answer.status);
    let limits = world.read(|state, now| {
        for complaint in call.complaints() {
            state.complain(format!("{method} {path}: {complaint}"));
        }
        let charged = state.quota.is_charged(call, status);
        state.note_spent(call, charged);
        state.note_request(SeenRequest { service: "github".to_owned(), method, path, status, body, done });
        state.quota.charge(call, status, now)
    });
    let text = if answer.status == 304 { String::new() } else { text };
    let mut response = crate::http::respond(answer.status, "application/json; charset=utf-8", text);
    let own = answer.headers.iter().map(|(name, value)| (*name, value.clone()));
    for (name, value) in limits.into_iter().chain(own) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn fingerprint(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl State {
    fn note_spent(&mut self, call: &Call, charged: bool) {
        let spent = self.spent.entry(call.kind()).or_default();
        if charged {
            spent.counted += 1;
        } else {
            spent.free += 1;
        }
    }
}

impl super::world::state::Quota {
    fn renew(&mut self, now: Timestamp) {
        if now.as_second() >= self.resets_at {
            *self = Self { resets_at: now.as_second() + 3_600, core: 0, graphql: 0 };
        }
    }

    fn is_spent(&mut self, call: &Call, now: Timestamp) -> bool {
        self.renew(now);
        let used = if call.is_graphql() { self.graphql } else { self.core };
        used >= HOURLY_LIMIT && !call.is_free()
    }

    fn is_charged(&self, call: &Call, status: u16) -> bool {
        status != 304 && !call.is_free()
    }

    /// Counts a request unless it is free, and says what is left.
    fn charge(&mut self, call: &Call, status: u16, now: Timestamp) -> Vec<(&'static str, String)> {
        self.renew(now);
        let charged = self.is_charged(call, status);
        let (used, resource) =
            if call.is_graphql() { (&mut self.graphql, "graphql") } else { (&mut self.core, "core") };
        if charged {
            *used = used.saturating_add(1);
        }
        vec![
            ("x-ratelimit-limit", HOURLY_LIMIT.to_string()),
            ("x-ratelimit-remaining", HOURLY_LIMIT.saturating_sub(*used).to_string()),
            ("x-ratelimit-used", used.to_string()),
            ("x-ratelimit-reset", self.resets_at.to_string()),
            ("x-ratelimit-resource", resource.to_owned()),
            ("x-github-media-type", "github.v3; format=json".to_owned()),
            ("x-github-request-id", format!("5A4B:{:X}:{used:X}", self.resets_at)),
        ]
    }
}

#[cfg(test)]
mod tests;

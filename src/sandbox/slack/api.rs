//! The HTTP side: takes a request apart, meets the faults, asks the method, answers as Slack does.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Method as Verb;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::faults::{HANG, Trouble};
use super::methods::{Method, Takes, Token, find};
use super::people::{APP_TOKEN, BOT_TOKEN};
use super::refused::Refused;
use super::state::State;
use super::{Call, Workspace, answers};
use crate::http::{Request, Response, json as respond_json, respond};

/// The largest body taken.
const MAX_BODY: usize = 1 << 20;

/// The arguments of one call, wherever they stood.
pub(super) struct Args(pub(super) Map<String, Value>);

/// What a call gets.
struct Reply {
    status: u16,
    body: Value,
    retry_after: Option<u64>,
}

/// Answers a call of the Web API.
pub(super) async fn method(
    workspace: &Workspace,
    name: &str,
    request: Request,
    shutdown: CancellationToken,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        workspace.complain(format!("{name}: the body was cut off or larger than 1 MB"));
        return respond(400, "text/plain", "bad body");
    };
    let body = body.to_bytes();
    let said = arguments(&head, &body).map_or(Value::Null, |args| Value::Object(args.0));
    let (reply, trouble) = troubled(workspace, name, said, || workspace.with(|state| state.call(name, &head, &body)));
    let response = match &reply.body {
        Value::Null => reply.send(respond(reply.status, "text/html", "<html>upstream connect error</html>")),
        body => reply.send(respond_json(reply.status, body)),
    };
    passed(workspace, (&head, &body), response, trouble, shutdown).await
}

/// Answers a POST to a `response_url`.
pub(super) async fn response_url(workspace: &Workspace, request: Request, shutdown: CancellationToken) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let is_json = head.method == Verb::POST && content_type(&head.headers) == "application/json";
    let Ok(sent) = Limited::new(body, MAX_BODY).collect().await else {
        return respond(400, "text/plain", "bad body");
    };
    let sent = sent.to_bytes();
    let body: Value = serde_json::from_slice(&sent).unwrap_or(Value::Null);
    let answer = || {
        workspace.with(|state| {
            if !is_json {
                state.complain("a response_url takes a POST with JSON");
                return Reply::new(400, json!("invalid_payload"));
            }
            let (status, text) = answers::by_link(state, &path, &body);
            Reply::new(status, json!(text))
        })
    };
    let (reply, trouble) = troubled(workspace, "response_url", body.clone(), answer);
    let text = reply.body.as_str().unwrap_or_default().to_owned();
    let response = reply.send(respond(reply.status, "text/plain", text));
    passed(workspace, (&head, &sent), response, trouble, shutdown).await
}

/// Answers a call unless a fault is in the way, and remembers both.
fn troubled(
    workspace: &Workspace,
    method: &str,
    body: Value,
    answer: impl FnOnce() -> Reply,
) -> (Reply, Option<Trouble>) {
    let trouble = workspace.with(|state| state.faults.meet(method));
    let reply = match &trouble {
        None => answer(),
        Some(Trouble::RateLimited { retry_after }) => Reply::rate_limited(*retry_after),
        Some(Trouble::Error(error)) => Reply::new(200, json!({"ok": false, "error": error})),
        Some(Trouble::Broken) => Reply::new(500, Value::Null),
        Some(Trouble::BrokenAfter) => {
            answer();
            Reply::new(500, Value::Null)
        }
        Some(Trouble::Hang) => Reply::new(504, Value::Null),
        Some(Trouble::HangAfter) => {
            answer();
            Reply::new(504, Value::Null)
        }
    };
    let call = Call { method: method.to_owned(), body, status: reply.status, answer: reply.body.clone() };
    workspace.with(|state| state.remember(call));
    (reply, trouble)
}

/// Writes both down, and keeps an answer back that hangs.
async fn passed(
    workspace: &Workspace,
    request: (&hyper::http::request::Parts, &Bytes),
    response: Response,
    trouble: Option<Trouble>,
    shutdown: CancellationToken,
) -> Response {
    let fault = trouble.as_ref().map(|trouble| format!("{trouble:?}"));
    workspace.record.exchange("slack", (request.0, request.1), &response, fault).await;
    if matches!(trouble, Some(Trouble::Hang | Trouble::HangAfter)) {
        tokio::select! {
            () = tokio::time::sleep(HANG) => {}
            () = shutdown.cancelled() => {}
        }
    }
    response
}

impl Reply {
    fn new(status: u16, body: Value) -> Reply {
        Reply { status, body, retry_after: None }
    }

    fn rate_limited(seconds: u64) -> Reply {
        Reply { retry_after: Some(seconds), ..Reply::new(429, json!({"ok": false, "error": "ratelimited"})) }
    }

    fn send(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl State {
    fn call(&mut self, name: &str, head: &hyper::http::request::Parts, body: &Bytes) -> Reply {
        let outcome = match find(name) {
            None => Err(Refused::blame("unknown_method", "there is no such method in the sandbox")),
            Some(method) => self.checked(method, head, body),
        };
        match outcome {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                Reply::new(200, answer)
            }
            Err(refused) => {
                if let Some(blame) = &refused.blame {
                    self.complain(format!("{name}: {}: {blame}", refused.error));
                }
                match refused.retry_after {
                    Some(seconds) => Reply::rate_limited(seconds),
                    None => Reply::new(200, refused.json()),
                }
            }
        }
    }

    fn checked(&mut self, method: &Method, head: &hyper::http::request::Parts, body: &Bytes) -> Result<Value, Refused> {
        token_fits(method, head)?;
        let is_json = content_type(&head.headers) == "application/json";
        match method.takes {
            Takes::Query if is_json && body.len() > "{}".len() => {
                return Err(Refused::blame("invalid_arguments", "this method does not take JSON"));
            }
            Takes::Json if head.method != Verb::POST => {
                return Err(Refused::blame("invalid_post_type", "this method takes a POST"));
            }
            Takes::Query | Takes::Json | Takes::Either => {}
        }
        let args = arguments(head, body)?;
        names_fit(method, &args)?;
        (method.run)(self, &args)
    }
}

fn token_fits(method: &Method, head: &hyper::http::request::Parts) -> Result<(), Refused> {
    let given = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    let (right, wrong) = match method.token {
        Token::Bot => (BOT_TOKEN, APP_TOKEN),
        Token::App => (APP_TOKEN, BOT_TOKEN),
    };
    match given {
        Some(token) if token == right => Ok(()),
        Some(token) if token == wrong => Err(Refused::blame("not_allowed_token_type", "the other token belongs here")),
        Some(_) => Err(Refused::blame("invalid_auth", "not a token of this workspace")),
        None => Err(Refused::blame("not_authed", "no token")),
    }
}

fn names_fit(method: &Method, args: &Args) -> Result<(), Refused> {
    let known = |key: &str| method.required.contains(&key) || method.optional.contains(&key);
    if let Some(unknown) = args.0.keys().find(|key| !known(key)) {
        return Err(Refused::blame("invalid_arguments", format!("no such argument: {unknown}")));
    }
    if let Some(missing) = method.required.iter().find(|key| !args.has(key)) {
        return Err(Refused::blame("invalid_arguments", format!("missing required field: {missing}")));
    }
    Ok(())
}

fn content_type(headers: &hyper::HeaderMap) -> &str {
    let full = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    full.split(';').next().unwrap_or_default().trim()
}

fn arguments(head: &hyper::http::request::Parts, body: &Bytes) -> Result<Args, Refused> {
    let mut args = Map::new();
    let mut form = |bytes: &[u8]| {
        for (name, value) in url::form_urlencoded::parse(bytes) {
            args.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    };
    form(head.uri.query().unwrap_or_default().as_bytes());
    match content_type(&head.headers) {
        _ if body.is_empty() => {}
        "application/x-www-form-urlencoded" => form(body),
        "application/json" => match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => args.extend(map),
            Ok(_) | Err(_) => {
                return Err(Refused::blame("json_not_object", "the body is not a JSON object"));
            }
        },
        other => {
            return Err(Refused::blame("invalid_post_type", format!("content type {other:?}")));
        }
    }
    args.remove("token");
    Ok(Args(args))
}

impl Args {
    /// A string argument; a missing one is empty.
    pub(super) fn str(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it was given at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    /// A boolean, as JSON or as a word.
    pub(super) fn flag(&self, key: &str) -> bool {
        match self.0.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(word)) => word == "true" || word == "1",
            Some(_) | None => false,
        }
    }

    /// A number, as JSON or as digits.
    pub(super) fn number(&self, key: &str) -> Option<usize> {
        match self.0.get(key)? {
            Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
            Value::String(digits) => digits.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Structured data, as JSON or as a string that holds JSON. None if missing.
    pub(super) fn json(&self, key: &str) -> Result<Option<Value>, Refused> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Refused::blame("invalid_arguments", format!("{key} is not JSON"))),
            Some(value) => Ok(Some(value.clone())),
        }
    }
}

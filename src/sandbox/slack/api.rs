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
    let trouble = workspace.with(|state| state.faults.meet(name));
    let reply = match &trouble {
        Some(Trouble::Hang) => {
            hang(shutdown).await;
            return respond(504, "text/plain", "");
        }
        Some(Trouble::RateLimited { retry_after }) => Reply::rate_limited(*retry_after),
        Some(Trouble::Broken) => Reply {
            status: 500,
            body: Value::Null,
            retry_after: None,
        },
        Some(Trouble::Error(error)) => Reply::ok(json!({"ok": false, "error": error})),
        Some(Trouble::BrokenAfter) | None => workspace.with(|state| state.call(name, &head, &body)),
    };
    workspace.with(|state| {
        state.remember(Call {
            method: name.to_owned(),
            body: arguments(&head, &body).map_or(Value::Null, |args| Value::Object(args.0)),
            status: reply.status,
            answer: reply.body.clone(),
        });
    });
    if trouble == Some(Trouble::BrokenAfter) || reply.status == 500 {
        return respond(
            500,
            "text/html",
            "<html><body>upstream connect error</body></html>",
        );
    }
    let mut response = respond_json(reply.status, &reply.body);
    if let Some(seconds) = reply.retry_after {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Answers a POST to a `response_url`.
pub(super) async fn response_url(
    workspace: &Workspace,
    request: Request,
    shutdown: CancellationToken,
) -> Response {
    let path = request.uri().path().to_owned();
    let is_json =
        request.method() == Verb::POST && content_type(request.headers()) == "application/json";
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return respond(400, "text/plain", "bad body");
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    let trouble = workspace.with(|state| state.faults.meet("response_url"));
    let (status, text) = match &trouble {
        Some(Trouble::Hang) => {
            hang(shutdown).await;
            (504, String::new())
        }
        Some(Trouble::RateLimited { .. }) => (429, "rate_limited".to_owned()),
        Some(Trouble::Broken) => (500, String::new()),
        Some(Trouble::Error(error)) => (404, error.clone()),
        Some(Trouble::BrokenAfter) | None => workspace.with(|state| {
            if !is_json {
                state.complain("a response_url takes a POST with JSON");
                return (400, "invalid_payload".to_owned());
            }
            answers::by_link(state, &path, &body)
        }),
    };
    let status = if trouble == Some(Trouble::BrokenAfter) {
        500
    } else {
        status
    };
    let call = Call {
        method: "response_url".to_owned(),
        body,
        status,
        answer: json!(text),
    };
    workspace.with(|state| state.remember(call));
    respond(status, "text/plain", text)
}

async fn hang(shutdown: CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(HANG) => {}
        () = shutdown.cancelled() => {}
    }
}

impl Reply {
    fn ok(body: Value) -> Reply {
        Reply {
            status: 200,
            body,
            retry_after: None,
        }
    }

    fn rate_limited(seconds: u64) -> Reply {
        Reply {
            status: 429,
            body: json!({"ok": false, "error": "ratelimited"}),
            retry_after: Some(seconds),
        }
    }
}

impl State {
    fn call(&mut self, name: &str, head: &hyper::http::request::Parts, body: &Bytes) -> Reply {
        let outcome = match find(name) {
            None => Err(Refused::blame(
                "unknown_method",
                "there is no such method in the sandbox",
            )),
            Some(method) => self.checked(method, head, body),
        };
        match outcome {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                Reply::ok(answer)
            }
            Err(refused) => {
                if let Some(blame) = &refused.blame {
                    self.complain(format!("{name}: {}: {blame}", refused.error));
                }
                match refused.retry_after {
                    Some(seconds) => Reply::rate_limited(seconds),
                    None => Reply::ok(refused.json()),
                }
            }
        }
    }

    fn checked(
        &mut self,
        method: &Method,
        head: &hyper::http::request::Parts,
        body: &Bytes,
    ) -> Result<Value, Refused> {
        token_fits(method, head)?;
        let is_json = content_type(&head.headers) == "application/json";
        match method.takes {
            Takes::Query if is_json && head.method == Verb::POST => {
                return Err(Refused::blame(
                    "invalid_arguments",
                    "this method does not take JSON",
                ));
            }
            Takes::Json if head.method != Verb::POST => {
                return Err(Refused::blame(
                    "invalid_post_type",
                    "this method takes a POST",
                ));
            }
            Takes::Query | Takes::Json | Takes::Either => {}
        }
        let args = arguments(head, body)?;
        if let Some(unknown) = args.0.keys().find(|key| {
            !method.required.contains(&key.as_str()) && !method.optional.contains(&key.as_str())
        }) {
            return Err(Refused::blame(
                "invalid_arguments",
                format!("no such argument: {unknown}"),
            ));
        }
        if let Some(missing) = method
            .required
            .iter()
            .find(|key| args.0.get(**key).is_none_or(Value::is_null))
        {
            return Err(Refused::blame(
                "invalid_arguments",
                format!("missing required field: {missing}"),
            ));
        }
        (method.run)(self, &args)
    }
}

fn token_fits(method: &Method, head: &hyper::http::request::Parts) -> Result<(), Refused> {
    let given = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    let (right, wrong) = match method.token {
        Token::Bot => (BOT_TOKEN, APP_TOKEN),
        Token::App => (APP_TOKEN, BOT_TOKEN),
    };
    match given {
        Some(token) if token == right => Ok(()),
        Some(token) if token == wrong => Err(Refused::blame(
            "not_allowed_token_type",
            "the other token belongs here",
        )),
        Some(_) => Err(Refused::blame(
            "invalid_auth",
            "not a token of this workspace",
        )),
        None => Err(Refused::blame("not_authed", "no token")),
    }
}

fn content_type(headers: &hyper::HeaderMap) -> &str {
    let full = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
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
                return Err(Refused::blame(
                    "json_not_object",
                    "the body is not a JSON object",
                ));
            }
        },
        other => {
            return Err(Refused::blame(
                "invalid_post_type",
                format!("content type {other:?}"),
            ));
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
            Value::Number(number) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok()),
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

//! Why GitHub did not do what was asked, told apart where code branches on it, and nothing of an answer beyond GitHub's own
//! short message.

use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, number, timestamp};

/// Why GitHub did not do what was asked. No variant carries more of an answer than GitHub's own short message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// 404: it does not exist, or the token may not see it.
    #[error("github does not know it, or the token may not see it")]
    NotFound,
    /// 403 that is no rate limit.
    #[error("github forbids it: {0}")]
    Forbidden(String),
    /// 400, 409 or 422: understood and refused.
    #[error("github refused it: {0}")]
    Unprocessable(String),
    /// A primary or secondary limit; until then nothing more is asked.
    #[error("github's rate limit is reached until {until}")]
    RateLimited {
        /// When to come again.
        until: Timestamp,
    },
    /// A timeout, a 5xx or a broken connection: whether a write was done is unknown.
    #[error("github could not be reached: {0}")]
    Unreachable(String),
    /// 401: the token is wrong, expired or revoked.
    #[error("github does not accept the token")]
    Unauthorized,
    /// An answer that makes no sense.
    #[error("github answered oddly: {0}")]
    Odd(String),
}

/// A complaint in more bytes than this is none.
const MOST_COMPLAINT: usize = 256 * 1024;

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Value,
}

/// A limit that an answer tells of.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// An hour's allowance is used up; when the next begins.
    Primary(Timestamp),
    /// Too much at once; when to come again, where it says so.
    Secondary(Option<Timestamp>),
}

/// Whether a 403 or 429 is a limit, and which (`facts/github.md` 4.11).
pub(super) fn limit(answer: &Answer, message: &str, now: Timestamp) -> Option<Limit> {
    let message = message.to_ascii_lowercase();
    if let Some(seconds) = number(&answer.headers, "retry-after") {
        let wait = SignedDuration::from_secs(i64::try_from(seconds.clamp(1, 3600)).unwrap_or(3600));
        return Some(Limit::Secondary(Some(now + wait)));
    }
    if number(&answer.headers, "x-ratelimit-remaining") == Some(0)
        && let Some(reset) = number(&answer.headers, "x-ratelimit-reset").and_then(timestamp)
    {
        return Some(Limit::Primary(reset));
    }
    let says_so = message.contains("rate limit") || message.contains("abuse detection");
    (says_so || answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(Limit::Secondary(None))
}

/// serde's message names the field and the place, and at most the one value that does not fit.
pub(super) fn odd(error: &serde_json::Error) -> GitHubError {
    GitHubError::Odd(clean(&error.to_string()))
}

pub(super) fn too_slow(limit: Duration) -> GitHubError {
    GitHubError::Unreachable(format!("no answer in {} ms", limit.as_millis()))
}

/// The innermost cause tells most: "connection refused" rather than "service error".
pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> GitHubError {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    GitHubError::Unreachable(clean(&cause.to_string()))
}

/// GitHub's message with its first detail.
pub(super) fn complaint(body: &[u8]) -> String {
    let body = if body.len() <= MOST_COMPLAINT { body } else { b"" };
    let Ok(Complaint { message, errors }) = serde_json::from_slice(body) else {
        return "no reason given".to_owned();
    };
    let detail = match &errors {
        Value::Array(all) => all.first().and_then(|first| first.as_str().or_else(|| first["message"].as_str())),
        Value::String(one) => Some(one.as_str()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    clean(&detail.map_or(message.clone(), |detail| format!("{message}: {detail}")))
}

/// A text from outside for a log line: one line, at most 200 characters.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>().trim().to_owned()
}

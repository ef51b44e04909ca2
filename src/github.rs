//! The GitHub client: transport, authentication, limits and errors live here; what is asked lives in the modules below.
//! No rule of the product belongs here, and nothing here remembers what GitHub said except to ask it more cheaply.
//!
//! octocrab carries the requests, with its retries, cache and models left out (`facts/github.md` 6): it repeats POSTs, its
//! cache sends `If-None-Match` with them, and its models reject values that occur. So one client with `RetryConfig::None`
//! does both: reads are repeated here, few times and only where the network or a 5xx is to blame; writes never.

pub mod approvals;
mod budget;
pub mod changes;
pub mod discovery;
pub mod dispatch;
mod edge;
mod error;
mod etag;
pub mod mend;
pub mod proposals;
pub mod revert;
pub mod rights;
pub mod runs;
pub mod webhook;
pub mod workflow_file;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jiff::{SignedDuration, Timestamp};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use budget::{Bucket, Limits};
use error::{Limit, broken, clean, complaint, limit, odd, too_slow};
use etag::{Answers, Known};

use crate::clock::Clock;

pub use budget::{Budget, Purpose};
pub use error::GitHubError;

/// The largest answer that is read, in bytes: a page of 100 pull requests with the longest descriptions has half of it.
const MAX_BODY: usize = 16 << 20;
/// The same for a comparison, which carries up to 300 files with their patches.
const MAX_COMPARISON: usize = 48 << 20;
/// GitHub's largest page.
const PER_PAGE: usize = 100;
/// How many requests all watchers together have under way at most; people's do not wait for them. GitHub allows a hundred in all.
const AT_ONCE: usize = 16;

/// A client of GitHub's REST and GraphQL APIs. Clones share connections, cache and limits.
#[derive(Clone)]
pub struct GitHub {
    shared: Arc<Shared>,
    purpose: Purpose,
}

struct Shared {
    api: Octocrab,
    clock: Clock,
    patience: Patience,
    memory: Mutex<Memory>,
    watching: Semaphore,
}

/// How long anything may take.
struct Patience {
    /// One request with its answer.
    attempt: Duration,
    /// A read with all its attempts.
    read: Duration,
    /// How often a read is repeated.
    retries: u32,
    /// Before the first repetition; grows with each.
    pause: Duration,
    /// How often an approval of unknown outcome is looked for.
    look_again: u32,
    /// Between two of those looks.
    between_looks: Duration,
    /// A whole review.
    review: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(15),
            read: Duration::from_secs(25),
            retries: 2,
            pause: Duration::from_millis(250),
            look_again: 5,
            between_looks: Duration::from_secs(2),
            review: Duration::from_secs(45),
        }
    }
}

#[derive(Default)]
struct Memory {
    answers: Answers,
    limits: Limits,
    last_success: Option<Timestamp>,
}

/// What the calls of this client give.
pub type Result<T> = std::result::Result<T, GitHubError>;

struct Question<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    etag: Option<&'a str>,
}

impl<'a> Question<'a> {
    fn read(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, etag: None }
    }

    fn post(path: &'a str, body: &'a Value) -> Self {
        Self { method: Method::POST, path, body: Some(body), etag: None }
    }
}

impl Question<'_> {
    fn bucket(&self) -> Bucket {
        if self.path == "/graphql" { Bucket::GraphQl } else { Bucket::Rest }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Deserialize)]
struct GraphQlErrors {
    #[serde(default)]
    errors: Vec<GraphQlComplaint>,
}

#[derive(Deserialize)]
struct GraphQlData<T> {
    data: T,
}

#[derive(Deserialize)]
struct GraphQlComplaint {
    #[serde(default)]
    message: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

impl GitHub {
    /// A client for the API at `base_url` (`https://api.github.com`), authenticated by `token`.
    ///
    /// Has to be called inside a Tokio runtime. Fails on a base URL that is none, or where the system has no CA certificates.
    pub fn new(base_url: &str, token: SecretString) -> anyhow::Result<Self> {
        Self::with_clock(base_url, token, Clock::default())
    }

    /// Like [`GitHub::new`], by a clock that may be moved: it decides when a rate limit is over.
    pub fn with_clock(base_url: &str, token: SecretString, clock: Clock) -> anyhow::Result<Self> {
        Self::with_patience(base_url, token, clock, Patience::default())
    }

    fn with_patience(base_url: &str, token: SecretString, clock: Clock, patience: Patience) -> anyhow::Result<Self> {
        let api = Octocrab::builder()
            .base_uri(base_url.trim_end_matches('/'))
            .context("read the address of GitHub's API")?
            .personal_token(token)
            .add_retry_config(RetryConfig::None)
            .set_connect_timeout(Some(Duration::from_secs(5)))
            .set_read_timeout(Some(patience.attempt))
            .set_write_timeout(Some(patience.attempt))
            .build()
            .context("build the GitHub client")?;
        let (memory, watching) = (Mutex::default(), Semaphore::new(AT_ONCE));
        Ok(Self { shared: Arc::new(Shared { api, clock, patience, memory, watching }), purpose: Purpose::Person })
    }

    /// The same client, for something else.
    pub fn on(&self, purpose: Purpose) -> Self {
        Self { shared: self.shared.clone(), purpose }
    }

    /// The REST allowance, once an answer has stated it.
    pub fn budget(&self) -> Option<Budget> {
        self.memory().limits.budget(Bucket::Rest)
    }

    /// Whether first looks have to wait for their turn, since all at once would be more than GitHub takes in a minute.
    pub fn is_lined_up(&self) -> bool {
        self.memory().limits.is_lined_up(self.shared.clock.now())
    }

    /// When GitHub last answered as it should.
    pub fn last_success(&self) -> Option<Timestamp> {
        self.memory().last_success
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one object.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        parse(&self.read(path).await?.body)
    }

    /// Reads all pages of a list, at most `most` of them. Page addresses are made here: a link from outside is never followed.
    async fn pages<P: Page>(&self, path: &str, most: usize) -> Result<Vec<P>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut pages = Vec::new();
        for number in 1..=most {
            let known = self.read(&format!("{path}{separator}per_page={PER_PAGE}&page={number}")).await?;
            let page: P = parse(&known.body)?;
            // A full page counts as "there may be more": whether a 304 repeats the `link` header is not documented.
            if page.len() > PER_PAGE {
                return Err(GitHubError::Odd(format!("a page has more than {PER_PAGE} items")));
            }
            let more = known.more || page.len() >= PER_PAGE;
            let empty = page.len() == 0;
            pages.push(page);
            if !more || empty {
                return Ok(pages);
            }
        }
        Err(GitHubError::Odd(format!("a list has more than {most} pages")))
    }

    /// Reads `path`, by its ETag where it was read before: that is as fresh, and an unchanged answer costs nothing.
    async fn read(&self, path: &str) -> Result<Known> {
        let known = self.memory().answers.find(path);
        let etag = known.as_ref().map(|known| known.etag.as_str());
        let answer = self.ask(&Question { etag, ..Question::read(path) }).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return known.ok_or_else(|| GitHubError::Odd("not modified, yet never read".to_owned()));
        }
        let etag = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        let fresh = Known { etag: etag.to_owned(), body: answer.body, more: has_next(&answer.headers) };
        self.memory().answers.keep(path, &fresh);
        Ok(fresh)
    }

    /// The response headers of `path`, which is not kept.
    async fn headers(&self, path: &str) -> Result<HeaderMap> {
        Ok(self.ask(&Question::read(path)).await?.headers)
    }

    /// Sends a write, once. After [`GitHubError::Unreachable`] and [`GitHubError::Odd`] nobody knows whether it was done.
    async fn write<'a>(&self, path: &str, body: impl Into<Option<&'a Value>>) -> Result<Bytes> {
        let question = Question { method: Method::POST, path, body: body.into(), etag: None };
        self.refuse_while_limited(question.bucket())?;
        Ok(self.once(&question).await?.body)
    }

    /// Asks a GraphQL query; the answer is the content of `data`, and any error in it makes it an error.
    async fn graphql<T: DeserializeOwned>(&self, query: &str, variables: Value) -> Result<T> {
        let body = json!({ "query": query, "variables": variables });
        self.graphql_data(&self.ask(&Question::post("/graphql", &body)).await?.body)
    }

    /// The data of a GraphQL answer without errors.
    fn graphql_data<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        let GraphQlErrors { errors } = parse(body)?;
        match errors.first() {
            Some(error) => Err(self.graphql_error(error)),
            None => parse(body).map(|GraphQlData { data }| data),
        }
    }

    fn graphql_error(&self, error: &GraphQlComplaint) -> GitHubError {
        match error.kind.as_deref() {
            Some("RATE_LIMITED") => {
                let now = self.shared.clock.now();
                let mut memory = self.memory();
                let reset =
                    memory.limits.budget(Bucket::GraphQl).map(|budget| budget.reset).filter(|reset| *reset > now);
                let until = reset.unwrap_or(now + SignedDuration::from_mins(5));
                let until = memory.limits.block(Bucket::GraphQl, Limit::Primary(until), now);
                GitHubError::RateLimited { until }
            }
            Some("NOT_FOUND") => GitHubError::NotFound,
            Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => GitHubError::Forbidden(clean(&error.message)),
            Some("UNPROCESSABLE") => GitHubError::Unprocessable(clean(&error.message)),
            Some(_) => GitHubError::Odd(clean(&error.message)),
            // "Something went wrong while executing your query": GitHub's own time limit.
            None => GitHubError::Unreachable(clean(&error.message)),
        }
    }

    /// Asks something that may be asked again.
    async fn ask(&self, question: &Question<'_>) -> Result<Answer> {
        let _turn = self.turn().await;
        self.refuse_while_limited(question.bucket())?;
        let patience = &self.shared.patience;
        let attempts = async {
            let mut repeated = 0;
            loop {
                match self.once(question).await {
                    Err(GitHubError::Unreachable(_)) if repeated < patience.retries => {
                        repeated += 1;
                        tokio::time::sleep(patience.pause * repeated).await;
                    }
                    answer => return answer,
                }
            }
        };
        tokio::time::timeout(patience.read, attempts).await.unwrap_or_else(|_| Err(too_slow(patience.read)))
    }

    /// Waits until this may be asked; held until it is answered. People do not wait.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        match self.purpose {
            Purpose::Person => return None,
            Purpose::Active | Purpose::Idle => {}
            Purpose::First => {
                let clock = &self.shared.clock;
                let wait = self.memory().limits.line_up(clock.now());
                clock.sleep(wait.unsigned_abs()).await;
            }
        }
        self.shared.watching.acquire().await.ok()
    }

    async fn once(&self, question: &Question<'_>) -> Result<Answer> {
        let attempt = self.shared.patience.attempt;
        let answer =
            tokio::time::timeout(attempt, self.exchange(question)).await.unwrap_or_else(|_| Err(too_slow(attempt)))?;
        self.judge(question, answer)
    }

    async fn exchange(&self, question: &Question<'_>) -> Result<Answer> {
        let mut request = http::Request::builder()
            .method(question.method.clone())
            .uri(question.path)
            .header(header::ACCEPT, "application/vnd.github+json");
        if let Some(etag) = question.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = self.shared.api.build_request(request, question.body);
        let request = request.map_err(|_| GitHubError::Odd("the request could not be built".to_owned()))?;
        let response = self.shared.api.execute(request).await.map_err(|error| broken(&error))?;
        let (parts, body) = response.into_parts();
        let most = if question.path.contains("/compare/") { MAX_COMPARISON } else { MAX_BODY };
        let body = Limited::new(body, most).collect().await.map_err(|error| broken(error.as_ref()))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    /// Notes what the answer says about limits, and makes an error of what is one.
    fn judge(&self, question: &Question<'_>, answer: Answer) -> Result<Answer> {
        let now = self.shared.clock.now();
        let bucket = question.bucket();
        budget::count(bucket, question.path, answer.status == StatusCode::NOT_MODIFIED);
        let mut memory = self.memory();
        memory.limits.note(bucket, &answer.headers);
        if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
            memory.limits.answered();
            memory.last_success = Some(now);
            return Ok(answer);
        }
        let message = complaint(&answer.body);
        Err(match answer.status.as_u16() {
            403 | 429 => match limit(&answer, &message, now) {
                Some(limit) => GitHubError::RateLimited { until: memory.limits.block(bucket, limit, now) },
                None => GitHubError::Forbidden(message),
            },
            401 => GitHubError::Unauthorized,
            404 | 410 => GitHubError::NotFound,
            400 | 409 | 422 => GitHubError::Unprocessable(message),
            status @ (408 | 500..) => GitHubError::Unreachable(format!("status {status}")),
            status => GitHubError::Odd(format!("status {status}")),
        })
    }

    fn refuse_while_limited(&self, bucket: Bucket) -> Result<()> {
        self.memory().limits.allow(bucket, self.purpose, self.shared.clock.now())
    }
}

/// A page of a list.
trait Page: DeserializeOwned {
    /// How many items it holds.
    fn len(&self) -> usize;
}

impl<T: DeserializeOwned> Page for Vec<T> {
    fn len(&self) -> usize {
        self.len()
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

fn has_next(headers: &HeaderMap) -> bool {
    headers.get(header::LINK).and_then(|link| link.to_str().ok()).is_some_and(|link| link.contains("rel=\"next\""))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| odd(&error))
}

/// One segment of a path, percent-encoded: environment names hold spaces and parentheses.
fn segment(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Segments separated by slashes, each percent-encoded: `owner/name`, a branch, a file.
fn path(text: &str) -> String {
    text.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;

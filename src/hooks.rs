//! GitHub's webhooks, taken: a signed one makes the watchers of its app look soon, here or on the replica that leads. Nothing is
//! learnt from it. A stranger learns nothing either: what is not signed gets the answer of a route that is not there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::HeaderMap;
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::deploy::name::AppName;
use crate::github::webhook::{self, Delivery, News, Secret};
use crate::http::{self, Request, Response};
use crate::shell::Shell;
use recent::Recent;

mod recent;

/// The largest body, in bytes. GitHub's largest (25 MB) are pushes of thousands of commits, which the next look finds as well.
const MOST: usize = 1 << 20;
/// How many bodies are read at once; others wait. Bounds what strangers can make it keep.
const AT_ONCE: usize = 16;
/// How long a body may take, its turn included. GitHub itself waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);
/// How many deliveries are remembered.
const REMEMBERED: usize = 1_000;
/// The longest id that is remembered; GitHub's have 36 characters.
const ID: usize = 64;

/// What takes webhooks.
pub struct Hooks {
    shell: Arc<Shell>,
    secret: Secret,
    reading: Semaphore,
    /// The deliveries that were taken.
    done: Mutex<Recent>,
}

impl Hooks {
    /// Takes webhooks for the apps of the shell; `None` where no secret is set.
    pub fn new(shell: Arc<Shell>) -> Option<Self> {
        let secret = Secret::new(shell.config.github.webhook_secret.as_ref()?.expose_secret());
        Some(Self { shell, secret, reading: Semaphore::new(AT_ONCE), done: Mutex::new(Recent::new(REMEMBERED)) })
    }

    /// Takes one delivery, at once; `None` for what GitHub did not sign.
    pub async fn take(&self, request: Request) -> Option<Response> {
        let (parts, body) = request.into_parts();
        let (event, id) = (text(&parts.headers, "x-github-event"), text(&parts.headers, "x-github-delivery"));
        let signature = text(&parts.headers, "x-hub-signature-256");
        let declared = text(&parts.headers, "content-length").parse::<usize>().ok();
        let body = match declared.is_none_or(|length| length <= MOST) && !signature.is_empty() {
            true => self.read(body).await.filter(|body| self.secret.signed(signature, body)),
            false => None,
        };
        let Some(body) = body else {
            count("other", "refused");
            return None;
        };
        let (status, outcome) = self.hear(event, id, &body).await;
        count(webhook::label(event), outcome);
        Some(http::respond(status, "text/plain; charset=utf-8", Bytes::new()))
    }

    async fn read(&self, body: hyper::body::Incoming) -> Option<Bytes> {
        let read = async {
            let _turn = self.reading.acquire().await.ok()?;
            Some(Limited::new(body, MOST).collect().await.ok()?.to_bytes())
        };
        tokio::time::timeout(PATIENCE, read).await.ok().flatten()
    }

    /// What to answer to what is genuine, and what became of it in a word.
    async fn hear(&self, event: &str, id: &str, body: &[u8]) -> (u16, &'static str) {
        if self.done().contains(id) {
            return (202, "repeated");
        }
        let outcome = match webhook::read(event, body) {
            None => return (400, "odd"),
            Some(Delivery::Ping { lacks }) => {
                greet(&lacks);
                "ignored"
            }
            Some(Delivery::Other) => "ignored",
            Some(Delivery::News { repo, what }) => match self.concerned(&repo, &what) {
                None => "ignored",
                Some(app) => {
                    if let Err(error) = self.tell(app).await {
                        // Not remembered: GitHub shows it as failed, and it may be sent again.
                        warn!(app.name = %app, "could not pass a webhook on: {error:#}");
                        return (503, "failed");
                    }
                    "taken"
                }
            },
        };
        remember(&mut self.done(), id);
        (202, outcome)
    }

    fn concerned(&self, repo: &str, what: &News) -> Option<&AppName> {
        let (app, _) = self.shell.config.apps.iter().find(|(_, app)| app.repo.eq_ignore_ascii_case(repo))?;
        let known = self.shell.desk(app).ok()?.app();
        // An app that was not read yet is looked at in any case.
        let concerns = known.pipeline().is_none_or(|pipeline| what.concerns(pipeline, |run| known.has_run(run)));
        concerns.then_some(app)
    }

    /// Whoever watches hears of it: this replica, or the one that leads.
    async fn tell(&self, app: &AppName) -> anyhow::Result<()> {
        if self.shell.lead.leads() || !self.shell.store.is_shared() {
            self.shell.hint(app);
            return Ok(());
        }
        self.shell.store.hint(app).await
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(done: &mut Recent, id: &str) {
    if !id.is_empty() && id.len() <= ID {
        done.insert(id);
    }
}

fn greet(lacks: &[&str]) {
    match lacks {
        [] => info!("GitHub greets: a webhook is set up"),
        lacks => warn!("GitHub greets, but its webhook lacks events: tick {} as well", lacks.join(", ")),
    }
}

fn count(event: &'static str, outcome: &'static str) {
    metrics::counter!("lockkeeper_github_webhooks_total", "event" => event, "outcome" => outcome).increment(1);
}

/// A header's text; empty where there is none.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut done = Recent::new(REMEMBERED);
        for number in 0..REMEMBERED + 10 {
            remember(&mut done, &number.to_string());
            remember(&mut done, &number.to_string());
        }
        let long = "x".repeat(ID + 1);
        remember(&mut done, "");
        remember(&mut done, &long);
        assert!(!done.contains("") && !done.contains(&long));
        assert!(!done.contains("9") && done.contains("10") && done.contains("1009"));
    }
}

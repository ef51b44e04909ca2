//! Socket Mode: keeps connections to Slack open, hands each envelope to the handler, sends back what the handler says. What an envelope
//! means is none of its business. Commit, then ack: the handler answers `Ack` once what it was told cannot be lost any more.
//!
//! Own loop, since slack-morphism's loses acks and connections (`facts/slack.md` 0 and 5.3). Nothing here logs an address, a ticket or a payload.

mod door;
mod pace;
mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Slack, SlackError};
use door::Door;
use pace::{Pace, Trouble};
use session::{Leaving, Session};

type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The largest message taken. Slack's own were seen up to 67 kB.
const MAX_MESSAGE: usize = 1 << 20;
/// A connection that stood this long was no failure, even if it is lost then.
const SETTLED: Duration = Duration::from_secs(10);

/// Something that Slack delivers, and waits for an ack for 3 seconds.
#[derive(Clone)]
pub struct Envelope {
    /// Names the delivery, not what is delivered: a repetition has another one.
    pub envelope_id: String,
    /// `slash_commands`, `interactive` or `events_api`.
    pub kind: String,
    /// As Slack sent it.
    pub payload: Value,
    /// Whether the ack may carry an answer.
    pub accepts_response_payload: bool,
    /// Counts repetitions; only events are repeated.
    pub retry_attempt: Option<u64>,
}

/// Without the payload, which holds a `response_url`.
impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("envelope_id", &self.envelope_id)
            .field("kind", &self.kind)
            .field("retry_attempt", &self.retry_attempt)
            .finish_non_exhaustive()
    }
}

/// What the handler makes of an envelope.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is remembered, or nothing for us.
    Ack,
    /// It is remembered, and this is the answer: a message, or what a form shows.
    AckWith(Box<RawValue>),
    /// It is not remembered: Slack tells the person, or tries again.
    NoAck,
}

/// The times of the sockets. The default is what Slack needs; tests are quicker.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// How many connections; two bridge each other's gaps (`facts/slack.md` 1.3).
    pub connections: usize,
    /// Until the connection stands.
    pub connect: Duration,
    /// From there until Slack says hello.
    pub hello: Duration,
    /// How often we ping.
    pub ping_every: Duration,
    /// A connection on which nothing came for so long, not even a pong, is dead.
    pub silence: Duration,
    /// How long running handlers are waited for before a connection is closed.
    pub drain: Duration,
    /// How long Slack's part of closing is waited for; it often does not come.
    pub close: Duration,
    /// First pause after a network failure; doubles up to `retry_cap`.
    pub retry: Duration,
    /// Longest pause after a network failure: an outage is left this soon after its end.
    pub retry_cap: Duration,
    /// Longest pause where Slack does not want us now: too many connections, Socket Mode switched off, rate limit.
    pub unwanted_cap: Duration,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            connections: 2,
            connect: Duration::from_secs(3),
            hello: Duration::from_secs(5),
            ping_every: Duration::from_secs(5),
            silence: Duration::from_secs(11),
            drain: Duration::from_secs(5),
            close: Duration::from_secs(1),
            retry: Duration::from_millis(100),
            retry_cap: Duration::from_millis(900),
            unwanted_cap: Duration::from_secs(30),
        }
    }
}

/// How the sockets are, for `/ready`. Clones look at the same sockets.
#[derive(Clone, Debug, Default)]
pub struct SocketHealth(Arc<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    connected: AtomicUsize,
    last_hello_ms: AtomicI64,
}

impl SocketHealth {
    /// Connections that are open and were greeted by Slack; for a moment one more than wanted while one takes another's place.
    pub fn connected(&self) -> usize {
        self.0.connected.load(Ordering::Relaxed)
    }

    /// When Slack greeted us last; `None` before the first time.
    pub fn last_hello(&self) -> Option<Timestamp> {
        let ms = self.0.last_hello_ms.load(Ordering::Relaxed);
        Timestamp::from_millisecond(ms).ok().filter(|_| ms > 0)
    }

    fn greeted(&self) -> Connected {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
        self.0.last_hello_ms.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
        Connected(self.clone())
    }
}

/// Counts as one connection until dropped.
struct Connected(SocketHealth);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all connections share.
struct Shared<H> {
    slack: Slack,
    settings: SocketSettings,
    health: SocketHealth,
    handler: H,
    stop: CancellationToken,
    sessions: TaskTracker,
    door: Door,
}

/// Keeps the connections until `shutdown`, then waits a little for running handlers and their acks.
///
/// Each envelope gets a task of its own, so a slow handler holds up nothing and a panic costs only its own ack. Fails only where
/// a person has to repair something: the token, its scope or the installation.
pub async fn run<H, F>(
    slack: Slack,
    settings: SocketSettings,
    health: SocketHealth,
    handler: H,
    shutdown: CancellationToken,
) -> anyhow::Result<()>
where
    H: Fn(Envelope) -> F + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let (stop, sessions) = (shutdown.child_token(), TaskTracker::new());
    let patience = settings.drain + settings.close;
    let shared = Arc::new(Shared { slack, settings, health, handler, stop, sessions, door: Door::default() });
    let mut keepers = JoinSet::new();
    for _ in 0..shared.settings.connections {
        keepers.spawn(keep_connected(shared.clone()));
    }
    let mut outcome = Ok(());
    while let Some(ended) = keepers.join_next().await {
        outcome = outcome.and(ended.context("keep a socket").flatten());
        if outcome.is_err() {
            shared.stop.cancel();
        }
    }
    shared.sessions.close();
    if timeout(patience, shared.sessions.wait()).await.is_err() {
        tracing::warn!("left slack while some handlers were still running");
    }
    outcome
}

/// Keeps one connection: opens it, and another one as soon as it is about to end.
async fn keep_connected<H, F>(shared: Arc<Shared<H>>) -> anyhow::Result<()>
where
    H: Fn(Envelope) -> F + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let mut pace = Pace::new(&shared.settings);
    let mut predecessor: Option<CancellationToken> = None;
    let mut careful = false;
    while !shared.stop.is_cancelled() {
        let Some(opened) = shared.stop.run_until_cancelled(door::open(&shared, careful)).await else { break };
        careful = opened.is_err();
        let trouble = match opened {
            Ok(socket) => {
                let since = Instant::now();
                let (retire, leaving) = Session::start(shared.clone(), socket);
                if let Some(predecessor) = predecessor.take() {
                    predecessor.cancel();
                }
                let Some(leaving) = shared.stop.run_until_cancelled(leaving).await else { break };
                if since.elapsed() >= SETTLED {
                    pace.reset();
                }
                let leaving = leaving.unwrap_or(Leaving::Lost);
                predecessor = Some(retire).filter(|_| leaving == Leaving::Refresh);
                match leaving {
                    Leaving::Lost | Leaving::Refresh => Trouble::Network,
                    Leaving::Unwanted => Trouble::Unwanted(None),
                }
            }
            Err(trouble) => trouble,
        };
        if let Trouble::Fatal(code) = &trouble {
            return Err(fatal(code));
        }
        let pause = tokio::time::sleep(pace.pause(&trouble));
        shared.stop.run_until_cancelled(pause).await;
    }
    Ok(())
}

/// What to do about an error that no waiting repairs.
fn fatal(code: &str) -> anyhow::Error {
    let cure = match code {
        "missing_scope" => "give the app-level token the scope connections:write",
        "account_inactive" | "user_removed_from_team" | "team_disabled" => "install the app in the workspace again",
        _ => "put a valid app-level token (xapp-…) into SLACK_APP_TOKEN",
    };
    anyhow!("slack refuses the connection ({code}): {cure}, then start again")
}

/// One try to open a connection, until Slack has greeted it.
async fn attempt<H>(shared: &Shared<H>) -> Result<WebSocket, Trouble> {
    let settings = &shared.settings;
    let ticket = shared.slack.open_socket().await.map_err(|error| {
        tracing::warn!(%error, "slack gave no ticket for a connection");
        trouble_of(error)
    })?;
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let tls = Connector::Rustls(shared.slack.wire.tls());
    // Without TCP_NODELAY an ack waits for up to 5 ms.
    let connecting = connect_async_tls_with_config(ticket.expose_secret(), Some(config), true, Some(tls));
    // The error is not shown: it may hold the ticket.
    let Ok(Ok((mut socket, _))) = timeout(settings.connect, connecting).await else {
        tracing::warn!("could not connect to slack");
        return Err(Trouble::Network);
    };
    match timeout(settings.hello, hello(&mut socket)).await {
        Ok(greeted) => greeted.map(|()| socket),
        Err(_) => {
            tracing::warn!("slack did not say hello");
            Err(Trouble::Network)
        }
    }
}

fn trouble_of(error: SlackError) -> Trouble {
    let fatal = error.is_fatal_auth();
    match error {
        SlackError::Refused { code } if fatal => Trouble::Fatal(code),
        SlackError::Refused { .. } => Trouble::Unwanted(None),
        SlackError::RateLimited { after } => Trouble::Unwanted(Some(after)),
        SlackError::Uncertain { .. } => Trouble::Network,
    }
}

/// Waits for the greeting, the first thing that Slack says.
async fn hello(socket: &mut WebSocket) -> Result<(), Trouble> {
    while let Some(Ok(frame)) = socket.next().await {
        let Message::Text(text) = frame else { continue };
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        match (said["type"].as_str(), said["reason"].as_str().unwrap_or_default()) {
            (Some("hello"), _) => {
                tracing::info!(connections = said["num_connections"].as_u64(), "connected to slack");
                return Ok(());
            }
            (Some("disconnect"), reason) => return Err(turned_away(reason)),
            _ => tracing::debug!("slack said something before hello"),
        }
    }
    tracing::warn!("slack closed a new connection");
    Err(Trouble::Network)
}

fn turned_away(reason: &str) -> Trouble {
    match Leaving::of_reason(reason) {
        Leaving::Unwanted => Trouble::Unwanted(None),
        Leaving::Refresh | Leaving::Lost => Trouble::Network,
    }
}

#[cfg(test)]
mod tests;

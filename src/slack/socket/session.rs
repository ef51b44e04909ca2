//! One connection from its hello to its end: reads envelopes, runs their handlers, writes their acks.

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::{Envelope, Shared, Verdict, WebSocket};

/// What a session says to its keeper, once: another one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It will be closed soon, and works until then.
    Refresh,
    /// It is gone.
    Lost,
    /// Slack does not want it.
    Unwanted,
}

impl Leaving {
    /// From the reason of a `disconnect` (`facts/slack.md` 1.4). A reason that is not known is taken for an announcement.
    pub(super) fn of_reason(reason: &str) -> Self {
        match reason {
            "link_disabled" => {
                tracing::warn!("socket mode is switched off in the app's settings at slack: switch it on");
                Self::Unwanted
            }
            "too_many_websockets" => {
                tracing::warn!("too many connections to slack: does this app run elsewhere as well?");
                Self::Unwanted
            }
            _ => {
                tracing::info!("slack announces the end of a connection");
                Self::Refresh
            }
        }
    }
}

/// An envelope whose handler is done.
struct Handled {
    envelope_id: String,
    accepts_response_payload: bool,
    verdict: Verdict,
}

/// What happened next.
enum Step {
    Handled(Result<Handled, JoinError>),
    Frame(Option<Result<Message, Error>>),
    Ping,
    Retire,
    Overdue,
    Drained,
}

/// The connection cannot be used any more.
struct Gone;

pub(super) struct Session<H> {
    shared: Arc<Shared<H>>,
    socket: WebSocket,
    handlers: JoinSet<Handled>,
    /// To be acked now.
    handled: Vec<Handled>,
    keeper: Option<oneshot::Sender<Leaving>>,
    /// Set from outside: another connection is there.
    retire: CancellationToken,
    /// When anything came last.
    seen: Instant,
    /// Until then nothing is read while handlers run: what Slack sends after `disconnect` may be its close, and after that no ack
    /// can be written any more.
    hush: Option<Instant>,
    /// Set when the session is to end: running handlers are waited for until then.
    close_by: Option<Instant>,
}

impl<H, F> Session<H>
where
    H: Fn(Envelope) -> F + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    /// Serves a greeted connection in a task of its own. Answers how to end it, and what tells when it needs a successor.
    pub(super) fn start(shared: Arc<Shared<H>>, socket: WebSocket) -> (CancellationToken, oneshot::Receiver<Leaving>) {
        let (keeper, leaving) = oneshot::channel();
        let retire = shared.stop.child_token();
        let session = Self {
            shared: shared.clone(),
            socket,
            handlers: JoinSet::new(),
            handled: Vec::new(),
            keeper: Some(keeper),
            retire: retire.clone(),
            seen: Instant::now(),
            hush: None,
            close_by: None,
        };
        shared.sessions.spawn(session.run());
        (retire, leaving)
    }

    async fn run(mut self) {
        let connected = self.shared.health.greeted();
        let ended = self.serve().await;
        drop(connected);
        self.leave(Leaving::Lost);
        if ended.is_ok() {
            self.close().await;
        }
        // The handlers go on, since what they remember counts; only their acks cannot be sent.
        while let Some(handled) = self.handlers.join_next().await {
            if let Some(handled) = said(handled) {
                tracing::warn!(envelope = handled.envelope_id, "an ack was lost with its connection");
            }
        }
    }

    /// Until the connection is gone, or may be closed.
    async fn serve(&mut self) -> Result<(), Gone> {
        let every = self.shared.settings.ping_every;
        let mut ping = interval_at(Instant::now() + every, every);
        let retire = self.retire.clone();
        loop {
            let (due, reading, closing) = (self.due(), !self.hushed(), self.close_by.is_some());
            let step = tokio::select! {
                biased;
                Some(handled) = self.handlers.join_next() => Step::Handled(handled),
                () = sleep_until(due) => Step::Overdue,
                _ = ping.tick() => Step::Ping,
                frame = self.socket.next(), if reading => Step::Frame(frame),
                () = retire.cancelled(), if !closing => Step::Retire,
                // Last of all, so that what had arrived is handled before the connection is closed.
                () = ready(()), if closing && self.handlers.is_empty() => Step::Drained,
            };
            match step {
                Step::Handled(handled) => {
                    self.handled.extend(said(handled));
                    self.acknowledge().await?;
                }
                Step::Frame(frame) => {
                    self.read(frame)?;
                    self.acknowledge().await?;
                }
                Step::Ping => self.write(Message::Ping(Vec::new().into())).await?,
                Step::Retire => self.close_by = Some(Instant::now() + self.shared.settings.drain),
                Step::Overdue if self.silent() => {
                    tracing::warn!("nothing came from slack for too long: dropping the connection");
                    return Err(Gone);
                }
                Step::Overdue if self.close_by.is_some_and(|by| by <= Instant::now()) => return Ok(()),
                Step::Overdue => self.hush = None,
                Step::Drained => return Ok(()),
            }
        }
    }

    /// When something is to be done even if nothing happens.
    fn due(&self) -> Instant {
        let silent = self.seen + self.shared.settings.silence;
        [self.close_by, self.hush].into_iter().flatten().fold(silent, Instant::min)
    }

    fn silent(&self) -> bool {
        self.seen.elapsed() >= self.shared.settings.silence
    }

    fn hushed(&self) -> bool {
        self.hush.is_some() && !self.handlers.is_empty()
    }

    fn leave(&mut self, leaving: Leaving) {
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.send(leaving);
        }
    }

    /// Writes all acks that are ready by now in one stroke: a system call for each would be most of what a burst costs.
    async fn acknowledge(&mut self) -> Result<(), Gone> {
        while let Some(handled) = self.handlers.try_join_next() {
            self.handled.extend(said(handled));
        }
        let mut unsure = Vec::new();
        let mut written = Ok(());
        for handled in std::mem::take(&mut self.handled) {
            let Some(ack) = handled.ack() else { continue };
            if written.is_ok() {
                written = within(self.shared.settings.silence, self.socket.feed(Message::Text(ack.into()))).await;
            }
            unsure.push(handled.envelope_id);
        }
        if written.is_ok() && !unsure.is_empty() {
            written = within(self.shared.settings.silence, self.socket.flush()).await;
        }
        if written.is_err() {
            unsure.iter().for_each(|envelope| tracing::warn!(envelope, "an ack was lost with its connection"));
        }
        written
    }

    async fn write(&mut self, message: Message) -> Result<(), Gone> {
        within(self.shared.settings.silence, self.socket.send(message)).await
    }

    fn read(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), Gone> {
        self.seen = Instant::now();
        match frame {
            Some(Ok(Message::Text(text))) => {
                self.take(&text);
                Ok(())
            }
            // tungstenite answers pings by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Binary(bytes))) => {
                tracing::warn!(bytes = bytes.len(), "ignored binary data from slack");
                Ok(())
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                tracing::info!("slack closed a connection");
                Err(Gone)
            }
        }
    }

    fn take(&mut self, text: &str) {
        let Ok(mut said) = serde_json::from_str::<Value>(text) else {
            tracing::warn!(bytes = text.len(), "ignored text from slack that is no json");
            return;
        };
        let kind = said["type"].as_str().unwrap_or_default().to_owned();
        match (kind.as_str(), said["envelope_id"].as_str()) {
            ("hello", None) => {}
            ("disconnect", None) => self.disconnect(said["reason"].as_str().unwrap_or_default()),
            (_, Some(id)) => {
                let envelope = Envelope {
                    envelope_id: id.to_owned(),
                    accepts_response_payload: said["accepts_response_payload"].as_bool().unwrap_or(false),
                    retry_attempt: said["retry_attempt"].as_u64(),
                    payload: said["payload"].take(),
                    kind,
                };
                self.handle(envelope);
            }
            (_, None) => tracing::warn!(kind = shown(&kind), "ignored a message of unknown type from slack"),
        }
    }

    fn disconnect(&mut self, reason: &str) {
        let now = Instant::now();
        let leaving = Leaving::of_reason(reason);
        self.hush = Some(now + self.shared.settings.close);
        if leaving == Leaving::Unwanted {
            self.close_by = Some(now + self.shared.settings.drain);
        }
        self.leave(leaving);
    }

    fn handle(&mut self, envelope: Envelope) {
        let known = matches!(envelope.kind.as_str(), "slash_commands" | "interactive" | "events_api");
        if !known {
            tracing::warn!(kind = shown(&envelope.kind), "acked an envelope of unknown type");
        }
        let shared = self.shared.clone();
        let mut handling = Box::pin(async move {
            let envelope_id = envelope.envelope_id.clone();
            let accepts_response_payload = envelope.accepts_response_payload;
            let verdict = if known { (shared.handler)(envelope).await } else { Verdict::Ack };
            Handled { envelope_id, accepts_response_payload, verdict }
        });
        // What is answered from memory is done at once: to wake another thread for it takes longer than it does. What waits gets a task
        // of its own, having taken its place in the queue.
        match catch_unwind(AssertUnwindSafe(|| handling.as_mut().now_or_never())) {
            Ok(Some(handled)) => self.handled.push(handled),
            Ok(None) => drop(self.handlers.spawn(handling)),
            Err(_) => tracing::error!("a handler panicked: its envelope gets no ack"),
        }
    }

    /// Says goodbye, and does not wait long for an answer.
    async fn close(&mut self) {
        let goodbye = async {
            self.socket.close(None).await?;
            while let Some(frame) = self.socket.next().await {
                match frame? {
                    Message::Close(_) => break,
                    Message::Text(_) => tracing::warn!("slack sent something to a connection that was being closed"),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            }
            Ok::<(), Error>(())
        };
        // However it goes, the connection is over.
        let _ = timeout(self.shared.settings.close, goodbye).await;
    }
}

/// A write that takes this long at most.
async fn within(time: Duration, write: impl Future<Output = Result<(), Error>>) -> Result<(), Gone> {
    match timeout(time, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => {
            tracing::info!("a connection to slack broke");
            Err(Gone)
        }
    }
}

/// What goes back to Slack.
#[derive(Serialize)]
struct Ack<'a> {
    envelope_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

impl Handled {
    /// The ack; none where it is not to be acked.
    fn ack(&self) -> Option<String> {
        let payload = match &self.verdict {
            Verdict::NoAck => return None,
            Verdict::AckWith(payload) if self.accepts_response_payload => Some(&**payload),
            Verdict::AckWith(_) => {
                tracing::error!(envelope = self.envelope_id, "slack takes no answer with this ack");
                None
            }
            Verdict::Ack => None,
        };
        serde_json::to_string(&Ack { envelope_id: &self.envelope_id, payload }).ok()
    }
}

/// What a handler said, unless it panicked: then the panic is in the log already, and the envelope gets no ack.
fn said(handled: Result<Handled, JoinError>) -> Option<Handled> {
    handled.inspect_err(|_| tracing::error!("a handler panicked: its envelope gets no ack")).ok()
}

/// A word from outside, for the log.
fn shown(kind: &str) -> String {
    kind.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
}

//! The open sockets, the envelopes on their way and their acks (facts/slack.md 1). No I/O: a socket takes orders.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::Ack;
use super::faults::Fault;
use super::people::APP;
use super::state::{State, secret};

/// How long an app may take to acknowledge.
pub(super) const ACK_WITHIN: Duration = Duration::from_secs(3);
/// How long a ticket for a WebSocket is good.
const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How long an envelope that was sent is remembered, to judge acks that come late or twice.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// How long an envelope may be on its way on a busy machine while the app says goodbye.
const CROSSING: Duration = Duration::from_millis(300);
/// The most sockets that an app may have open.
const MAX_SOCKETS: usize = 10;
/// The host that `hello` and `disconnect` name.
const HOST: &str = "applink-sandbox";

/// What a socket is told to do.
pub(super) enum Order {
    /// Send this text.
    Say(String),
    /// Close the WebSocket after this long.
    Close(Duration),
    /// Drop the TCP connection at once.
    Drop,
    /// Stay open and let nothing pass any more.
    GoSilent,
}

#[derive(Default)]
pub(super) struct Wire {
    sockets: Vec<Socket>,
    pending: HashMap<String, Pending>,
    tickets: HashMap<String, Instant>,
    turn: usize,
}

struct Socket {
    id: u64,
    orders: mpsc::UnboundedSender<Order>,
    /// Told to disconnect: gets no more envelopes, may still acknowledge.
    leaving: bool,
    /// Half-open: takes envelopes and loses them.
    silent: bool,
}

struct Pending {
    kind: &'static str,
    accepts_payload: bool,
    sent: Instant,
    /// The sockets it went to, one for each delivery.
    carriers: Vec<u64>,
    acks: usize,
    /// Its socket was broken by a fault: nobody is to blame.
    excused: bool,
    reply: Option<oneshot::Sender<Value>>,
}

/// Why Slack asks a socket to go (facts/slack.md 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnect {
    /// The socket will be closed in about ten seconds.
    Warning,
    /// The socket is being recycled now.
    RefreshRequested,
    /// Socket Mode was switched off.
    LinkDisabled,
    /// More sockets than Slack allows.
    TooManyWebsockets,
}

impl Disconnect {
    fn name(self) -> &'static str {
        match self {
            Disconnect::Warning => "warning",
            Disconnect::RefreshRequested => "refresh_requested",
            Disconnect::LinkDisabled => "link_disabled",
            Disconnect::TooManyWebsockets => "too_many_websockets",
        }
    }

    /// How long the socket still lives.
    fn grace(self) -> Duration {
        match self {
            Disconnect::Warning => Duration::from_secs(10),
            Disconnect::RefreshRequested | Disconnect::LinkDisabled | Disconnect::TooManyWebsockets => {
                Duration::from_secs(1)
            }
        }
    }
}

impl State {
    /// A new address for one WebSocket.
    pub(super) fn ticket(&mut self) -> String {
        let ticket = secret();
        self.wire.tickets.insert(ticket.clone(), Instant::now());
        format!("ws://{}/link/?ticket={ticket}&app_id={APP}", self.host)
    }

    /// Takes a ticket; it is good once and for half a minute.
    pub(super) fn punch(&mut self, ticket: &str) -> bool {
        self.wire.tickets.remove(ticket).is_some_and(|made| made.elapsed() < TICKET_LIFE)
    }

    /// How many sockets take envelopes now.
    pub(super) fn connected(&self) -> usize {
        self.wire.sockets.iter().filter(|socket| !socket.leaving).count()
    }

    /// Registers a socket and greets it, or turns it away.
    pub(super) fn join(&mut self, orders: mpsc::UnboundedSender<Order>) -> u64 {
        let id = self.serial();
        let turned_away = self.wire.sockets.len() >= MAX_SOCKETS;
        let socket = Socket { id, orders, leaving: turned_away, silent: false };
        let count = self.wire.sockets.len() + 1;
        if turned_away {
            socket.dismiss(Disconnect::TooManyWebsockets, count);
        } else {
            socket.say(&json!({
                "type": "hello", "num_connections": count, "connection_info": {"app_id": APP},
                "debug_info": {"host": HOST, "build_number": 10, "approximate_connection_time": 18060},
            }));
        }
        self.wire.sockets.push(socket);
        id
    }

    /// Forgets a socket whose connection is gone. What it had still to acknowledge is excused if we closed it; if the app did, what
    /// crossed its goodbye, after which nobody can acknowledge anything.
    pub(super) fn leave(&mut self, id: u64, closed_by_us: bool) {
        self.wire.sockets.retain(|socket| socket.id != id);
        let since = if closed_by_us { FORGET_AFTER } else { CROSSING };
        self.wire.excuse(&[id], since);
    }

    /// Sends a `disconnect` to every open socket and closes it a little later.
    pub(super) fn dismiss(&mut self, reason: Disconnect) {
        let count = self.wire.sockets.len();
        for socket in &mut self.wire.sockets {
            socket.leaving = true;
            socket.dismiss(reason, count);
        }
    }

    /// Breaks the sockets that are open now, if `fault` is of that kind.
    pub(super) fn break_sockets(&mut self, fault: &Fault) {
        let order = match fault {
            Fault::WithholdPongs => || Order::GoSilent,
            Fault::DropTcp => || Order::Drop,
            Fault::Http429 { .. }
            | Fault::Http500 { .. }
            | Fault::Http500After { .. }
            | Fault::Error { .. }
            | Fault::Hang { .. }
            | Fault::HangAfter { .. }
            | Fault::Nth { .. }
            | Fault::RefuseConnections { .. }
            | Fault::DeliverTwice { .. } => return,
        };
        for socket in &mut self.wire.sockets {
            let _ = socket.orders.send(order());
            socket.silent = true;
        }
        let broken = self.wire.sockets.iter().map(|socket| socket.id).collect::<Vec<_>>();
        self.wire.excuse(&broken, FORGET_AFTER);
        if *fault == Fault::DropTcp {
            self.wire.sockets.clear();
        }
    }

    /// Sends an envelope to one socket (to two, if it is to be delivered twice). None where no socket is open.
    pub(super) fn send(&mut self, kind: &'static str, payload: &Value) -> Option<(String, oneshot::Receiver<Value>)> {
        let envelope_id = format!("{:08x}-0000-4000-8000-{:012x}", fastrand::u32(..), self.serial());
        let accepts_payload = matches!(kind, "slash_commands" | "view_submission");
        let envelope = json!({
            "envelope_id": envelope_id, "payload": payload, "accepts_response_payload": accepts_payload,
            "type": if kind == "slash_commands" { kind } else { "interactive" },
        });
        let deliveries = if self.faults.deliver_twice { 2 } else { 1 };
        let carried = (0..deliveries).filter_map(|_| self.wire.carry(&envelope)).collect::<Vec<_>>();
        if carried.is_empty() {
            return None;
        }
        self.wire.pending.retain(|_, pending| pending.sent.elapsed() < FORGET_AFTER);
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            kind,
            accepts_payload,
            sent: Instant::now(),
            excused: carried.iter().any(|(_, silent)| *silent),
            carriers: carried.into_iter().map(|(id, _)| id).collect(),
            acks: 0,
            reply: Some(reply),
        };
        self.wire.pending.insert(envelope_id.clone(), pending);
        Some((envelope_id, answer))
    }

    /// Three seconds are over without an ack.
    pub(super) fn give_up(&mut self, envelope_id: &str) {
        let Some(pending) = self.wire.pending.get(envelope_id) else {
            return;
        };
        if pending.acks == 0 && !pending.excused {
            let kind = pending.kind;
            self.complain(format!("a {kind} envelope was not acknowledged within 3 s"));
        }
    }

    /// Judges a text frame from the app; the only thing that it may say is an ack.
    pub(super) fn hear(&mut self, socket: u64, frame: &str) {
        if let Err(complaint) = self.acknowledge(socket, frame) {
            self.complain(complaint);
        }
    }

    fn acknowledge(&mut self, socket: u64, frame: &str) -> Result<(), String> {
        let (id, payload) = parse_ack(frame)?;
        let pending = self.wire.pending.get_mut(&id).ok_or("an ack for an unknown envelope_id")?;
        if !pending.carriers.contains(&socket) {
            return Err(format!("a {} envelope was acknowledged on another socket than it came by", pending.kind));
        }
        pending.acks += 1;
        if pending.acks > pending.carriers.len() {
            return Err(format!("a {} envelope was acknowledged more often than it was sent", pending.kind));
        }
        let (kind, after) = (pending.kind, pending.sent.elapsed());
        let fits = payload.as_object().is_some_and(|map| pending.accepts_payload || map.is_empty());
        let reply = pending.reply.take();
        self.acks.push(Ack { kind: kind.to_owned(), after });
        // What came too late has nobody waiting for it; the complaint was made when the time was up.
        if let Some(reply) = reply {
            let _ = reply.send(if fits { payload } else { json!({}) });
        }
        if fits { Ok(()) } else { Err(format!("the ack of a {kind} envelope has a payload that it must not have")) }
    }
}

/// An ack's `envelope_id` and its payload, which is `{}` if there is none.
fn parse_ack(frame: &str) -> Result<(String, Value), String> {
    let ack: Map<String, Value> = serde_json::from_str(frame).map_err(|_| "an ack is not a JSON object")?;
    if let Some(key) = ack.keys().find(|key| !["envelope_id", "payload"].contains(&key.as_str())) {
        return Err(format!("an ack has the unknown key {key:?}"));
    }
    let id = ack.get("envelope_id").and_then(Value::as_str).ok_or("an ack has no envelope_id")?;
    let payload = ack.get("payload").cloned().unwrap_or_else(|| json!({}));
    Ok((id.to_owned(), payload))
}

impl Wire {
    /// Sends to the next socket that is not leaving.
    fn carry(&mut self, envelope: &Value) -> Option<(u64, bool)> {
        let open = self.sockets.iter().filter(|socket| !socket.leaving).collect::<Vec<_>>();
        self.turn += 1;
        let socket = open.get(self.turn % open.len().max(1))?;
        socket.say(envelope);
        Some((socket.id, socket.silent))
    }

    fn excuse(&mut self, sockets: &[u64], since: Duration) {
        for pending in self.pending.values_mut().filter(|pending| pending.sent.elapsed() < since) {
            pending.excused |= pending.carriers.iter().any(|id| sockets.contains(id));
        }
    }
}

impl Socket {
    fn say(&self, value: &Value) {
        let _ = self.orders.send(Order::Say(value.to_string()));
    }

    fn dismiss(&self, reason: Disconnect, count: usize) {
        let mut message = json!({"type": "disconnect", "reason": reason.name(), "debug_info": {"host": HOST}});
        if reason == Disconnect::TooManyWebsockets {
            message["num_connections"] = json!(count);
            message["connection_info"] = json!({"app_id": APP});
        }
        self.say(&message);
        let _ = self.orders.send(Order::Close(reason.grace()));
    }
}

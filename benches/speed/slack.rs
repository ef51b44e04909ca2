//! Slack's side: the real Socket Mode wire and the few Web API methods that the bot calls, as lean as can be, so that the bot is what
//! is measured. Each command is followed from the moment it is handed to the socket to its ack and to its answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use lockkeeper::http::{Request, Response, respond, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::github::listen;

/// How many people there are; their ids count from 0.
pub const PEOPLE: usize = 500;
/// Slack waits this long for an ack.
const LATE: Duration = Duration::from_secs(3);

type Sink = SplitSink<WebSocketStream<TcpStream>, Message>;

/// A pretend Slack that is being served. Clones share it.
#[derive(Clone)]
pub struct Slack {
    /// Base of the Web API.
    pub url: String,
    /// Where a socket is opened.
    pub link: String,
    state: Arc<State>,
}

struct State {
    lines: Mutex<Vec<Line>>,
    flights: Mutex<Vec<Flight>>,
    acked: AtomicU64,
    answered: AtomicU64,
    /// Away.
    out: AtomicBool,
    /// What is asked while it is away is never answered.
    hanging: AtomicBool,
    greeted: watch::Sender<(u64, Instant)>,
    turn: AtomicU64,
    next_line: AtomicU64,
    site: String,
}

/// One open socket.
struct Line {
    id: u64,
    say: mpsc::UnboundedSender<Order>,
    /// Gets no more commands.
    leaving: bool,
}

enum Order {
    Say(String),
    /// Closes the WebSocket in good order.
    Close,
    /// Neither reads nor writes any more, and stays.
    GoSilent,
    /// Drops the connection.
    Drop,
}

/// A command on its way.
#[derive(Clone, Copy)]
pub struct Flight {
    sent: Instant,
    line: u64,
    acked: Option<Instant>,
    answered: Option<Instant>,
    acks: u32,
    answers: u32,
}

/// How long something took, over many times.
#[derive(Clone, Copy, Default)]
pub struct Times {
    /// Half were faster.
    pub p50: Duration,
    /// All but one in a hundred were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
    /// How many there were.
    pub count: usize,
}

/// What became of many commands.
pub struct Load {
    /// From the command to its ack.
    pub ack: Times,
    /// From the command to its answer.
    pub answer: Times,
    /// How many were sent.
    pub sent: usize,
    /// Never acked.
    pub unacked: usize,
    /// Acked after Slack had given up.
    pub late: usize,
    /// Never answered.
    pub unanswered: usize,
    /// Answered more than once.
    pub repeated: usize,
    /// Whether they came all at once.
    pub burst: bool,
}

impl Times {
    /// Of these.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        let at = |share: f64| all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1))).copied();
        Self {
            p50: at(0.5).unwrap_or_default(),
            p99: at(0.99).unwrap_or_default(),
            max: all.last().copied().unwrap_or_default(),
            count: all.len(),
        }
    }
}

impl Slack {
    /// Serves it for as long as the process lives.
    pub async fn open() -> anyhow::Result<Self> {
        let (web, at_web) = listen().await?;
        let (sockets, at_sockets) = listen().await?;
        let state = Arc::new(State {
            lines: Mutex::default(),
            flights: Mutex::default(),
            acked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            out: AtomicBool::new(false),
            hanging: AtomicBool::new(false),
            greeted: watch::Sender::new((0, Instant::now())),
            turn: AtomicU64::new(0),
            next_line: AtomicU64::new(0),
            site: format!("http://{at_web}"),
        });
        tokio::spawn(accept(sockets, state.clone()));
        let (answering, link) = (state.clone(), format!("ws://{at_sockets}/link"));
        let at = link.clone();
        tokio::spawn(serve(web, CancellationToken::new(), move |request| {
            let (state, link) = (answering.clone(), at.clone());
            async move { answer(&state, &link, request).await }
        }));
        Ok(Self { url: format!("http://{at_web}/api"), link, state })
    }

    /// Waits for the next socket that is greeted after the one numbered `after`; its number and the moment.
    pub async fn greeted(&self, after: u64, within: Duration) -> anyhow::Result<(u64, Instant)> {
        let mut greeted = self.state.greeted.subscribe();
        let found = timeout(within, greeted.wait_for(|(count, _)| *count > after)).await??;
        Ok(*found)
    }

    /// How many sockets were greeted so far.
    pub fn greetings(&self) -> u64 {
        self.state.greeted.borrow().0
    }

    /// How many sockets stand.
    pub fn connected(&self) -> usize {
        lock(&self.state.lines).iter().filter(|line| !line.leaving).count()
    }

    /// Sends commands, `every` so often (all at once without a pause), then waits for what is still to come. `make` gives the type of the
    /// envelope and its payload, by the number of the command and the address for its answer.
    pub async fn load(&self, count: usize, every: Duration, make: impl Fn(usize, &str) -> Command) -> Load {
        let first = lock(&self.state.flights).len();
        self.send(count, every, make).await;
        Load { burst: every.is_zero(), ..self.landed(first).await }
    }

    /// Sends commands only.
    pub async fn send(&self, count: usize, every: Duration, make: impl Fn(usize, &str) -> Command) {
        let began = Instant::now();
        for nth in 0..count {
            let due = began + every * u32::try_from(nth).unwrap_or(u32::MAX);
            if let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                sleep(wait).await;
            }
            let number = lock(&self.state.flights).len();
            let command = make(nth, &format!("{}/answers/{number}", self.state.site));
            self.deliver(number, &command);
        }
    }

    fn deliver(&self, number: usize, command: &Command) {
        for repetition in 0..command.deliveries {
            let text = format!(
                r#"{{"envelope_id":"{number}-{repetition}","payload":{},"type":"{}","accepts_response_payload":{}}}"#,
                command.payload,
                command.kind,
                command.kind == "slash_commands"
            );
            let lines = lock(&self.state.lines);
            let open: Vec<&Line> = lines.iter().filter(|line| !line.leaving).collect();
            let turn = self.state.turn.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(line) = open.get(turn % open.len().max(1)) else { continue };
            if repetition == 0 {
                lock(&self.state.flights).push(Flight {
                    sent: Instant::now(),
                    line: line.id,
                    acked: None,
                    answered: None,
                    acks: 0,
                    answers: 0,
                });
            }
            let _ = line.say.send(Order::Say(text));
        }
    }

    /// Waits for the acks and answers of all commands since that number, as long as any still come.
    pub async fn landed(&self, first: usize) -> Load {
        let mut progress = (u64::MAX, Instant::now());
        loop {
            let flights: Vec<Flight> = lock(&self.state.flights)[first..].to_vec();
            let open = flights.iter().filter(|flight| flight.acked.is_none() || flight.answered.is_none()).count();
            let said = self.state.acked.load(Ordering::Relaxed) + self.state.answered.load(Ordering::Relaxed);
            if said != progress.0 {
                progress = (said, Instant::now());
            }
            if open == 0 || progress.1.elapsed() > Duration::from_secs(8) {
                return Load::of(&lock(&self.state.flights)[first..]);
            }
            sleep(Duration::from_millis(if flights.len() > 2_000 { 20 } else { 2 })).await;
        }
    }

    /// The oldest socket that still gets commands.
    fn oldest(&self) -> Option<u64> {
        lock(&self.state.lines).iter().find(|line| !line.leaving).map(|line| line.id)
    }

    /// Tells a socket what to do; it gets no more commands.
    fn order(&self, id: u64, order: Order) {
        let mut lines = lock(&self.state.lines);
        if let Some(line) = lines.iter_mut().find(|line| line.id == id) {
            line.leaving = true;
            let _ = line.say.send(order);
        }
    }

    /// Announces the end of a socket, and closes it after a while.
    pub async fn refresh(&self, reason: &str, until_close: Duration) {
        let Some(id) = self.oldest() else { return };
        let text = format!(r#"{{"type":"disconnect","reason":"{reason}","debug_info":{{"host":"applink-bench"}}}}"#);
        self.order(id, Order::Say(text));
        sleep(until_close).await;
        self.order(id, Order::Close);
    }

    /// Drops a socket; how many commands were on it without an ack.
    pub fn cut(&self) -> usize {
        self.lose(Order::Drop)
    }

    /// Lets nothing pass on a socket any more; how many commands were on it without an ack.
    pub fn silence(&self) -> usize {
        self.lose(Order::GoSilent)
    }

    fn lose(&self, order: Order) -> usize {
        let Some(id) = self.oldest() else { return 0 };
        self.order(id, order);
        lock(&self.state.flights).iter().filter(|flight| flight.line == id && flight.acked.is_none()).count()
    }

    /// Is away, all sockets dropped, or comes back.
    pub fn set_out(&self, out: bool, hanging: bool) {
        self.state.hanging.store(hanging, Ordering::Relaxed);
        self.state.out.store(out, Ordering::Relaxed);
        if out {
            while self.oldest().is_some() {
                self.cut();
            }
        }
    }
}

/// What is delivered.
pub struct Command {
    /// The type of the envelope.
    pub kind: &'static str,
    /// The payload, JSON.
    pub payload: String,
    /// How often it is delivered; once, unless Slack errs.
    pub deliveries: u32,
}

impl Load {
    fn of(flights: &[Flight]) -> Self {
        let ack: Vec<Duration> = flights.iter().filter_map(|f| Some(f.acked? - f.sent)).collect();
        let answer: Vec<Duration> = flights.iter().filter_map(|f| Some(f.answered? - f.sent)).collect();
        Self {
            sent: flights.len(),
            unacked: flights.len() - ack.len(),
            late: ack.iter().filter(|took| **took > LATE).count(),
            unanswered: flights.len() - answer.len(),
            repeated: flights.iter().filter(|flight| flight.answers > 1).count(),
            burst: false,
            ack: Times::of(ack),
            answer: Times::of(answer),
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        if !state.out.load(Ordering::Relaxed) {
            tokio::spawn(socket(stream, state.clone()));
        }
    }
}

async fn socket(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let (mut sink, mut source) = socket.split();
    let hello = r#"{"type":"hello","num_connections":2,"debug_info":{"host":"applink-bench","approximate_connection_time":18060},"connection_info":{"app_id":"ABENCH"}}"#;
    if sink.send(Message::text(hello)).await.is_err() {
        return;
    }
    let (say, orders) = mpsc::unbounded_channel();
    let id = state.next_line.fetch_add(1, Ordering::Relaxed);
    lock(&state.lines).push(Line { id, say, leaving: false });
    state.greeted.send_modify(|(count, at)| (*count, *at) = (*count + 1, Instant::now()));
    // Slack reads whether or not it can write.
    let hearing = state.clone();
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Text(text) = message {
                hear(&hearing, &text);
            }
        }
        lock(&hearing.lines).retain(|line| line.id != id);
    });
    let writing = write(sink, orders).await;
    if let Some(sink) = writing {
        // Dropped, or silent until the bot gives up.
        reading.abort();
        let _ = reading.await;
        if let Silent::Yes(sink) = sink {
            sleep(Duration::from_secs(60)).await;
            drop(sink);
        }
        lock(&state.lines).retain(|line| line.id != id);
    }
}

enum Silent {
    Yes(Box<Sink>),
    No,
}

/// Writes what it is told to; `None` after a close in good order.
async fn write(mut sink: Sink, mut orders: mpsc::UnboundedReceiver<Order>) -> Option<Silent> {
    while let Some(order) = orders.recv().await {
        let mut next = Some(order);
        while let Some(order) = next.take() {
            match order {
                Order::Say(text) => drop(sink.feed(Message::text(text)).await),
                Order::Close => {
                    let _ = sink.close().await;
                    return None;
                }
                Order::GoSilent => return Some(Silent::Yes(Box::new(sink))),
                Order::Drop => return Some(Silent::No),
            }
            next = orders.try_recv().ok();
        }
        let _ = sink.flush().await;
    }
    None
}

/// Takes an ack, with or without an answer in it.
fn hear(state: &State, text: &str) {
    let now = Instant::now();
    let Some(rest) = text.split_once(r#""envelope_id":""#).map(|(_, rest)| rest) else { return };
    let Some(number) = rest.split_once('-').and_then(|(number, _)| number.parse::<usize>().ok()) else { return };
    let mut flights = lock(&state.flights);
    let Some(flight) = flights.get_mut(number) else { return };
    flight.acks += 1;
    flight.acked.get_or_insert(now);
    state.acked.fetch_add(1, Ordering::Relaxed);
    if text.contains(r#""payload":{"#) {
        flight.answers += 1;
        flight.answered.get_or_insert(now);
        state.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The Web API, and the addresses for answers.
async fn answer(state: &State, link: &str, request: Request) -> Response {
    let json = |body: &str| respond(200, "application/json; charset=utf-8", body.to_owned());
    if state.out.load(Ordering::Relaxed) {
        if state.hanging.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        return respond(503, "text/html", "");
    }
    let (parts, body) = request.into_parts();
    let _ = body.collect().await;
    let path = parts.uri.path();
    if let Some(number) = path.strip_prefix("/answers/").and_then(|number| number.parse::<usize>().ok()) {
        if let Some(flight) = lock(&state.flights).get_mut(number) {
            flight.answers += 1;
            flight.answered.get_or_insert(Instant::now());
            state.answered.fetch_add(1, Ordering::Relaxed);
        }
        return respond(200, "text/plain", "ok");
    }
    match path.strip_prefix("/api/").unwrap_or_default() {
        "apps.connections.open" => json(&format!(r#"{{"ok":true,"url":"{link}"}}"#)),
        "auth.test" => json(
            r#"{"ok":true,"url":"https://bench.slack.com/","team":"Bench","user":"lock","team_id":"T1","user_id":"ULOCK","bot_id":"BLOCK"}"#,
        ),
        "users.info" => {
            let user = parts.uri.query().and_then(|query| query.split("user=").nth(1)).unwrap_or("U0");
            json(&format!(
                r#"{{"ok":true,"user":{{"id":"{user}","team_id":"T1","name":"p","real_name":"Person","deleted":false,"is_bot":false,"is_restricted":false,"is_ultra_restricted":false,"tz":"Europe/Berlin","profile":{{"display_name":"P"}}}}}}"#
            ))
        }
        "conversations.list" => json(
            r#"{"ok":true,"channels":[{"id":"C1","name":"deploys","is_member":true}],"response_metadata":{"next_cursor":""}}"#,
        ),
        "conversations.open" => json(r#"{"ok":true,"channel":{"id":"D1"}}"#),
        "chat.postMessage" | "chat.update" => json(r#"{"ok":true,"channel":"C1","ts":"1785000000.000100"}"#),
        _ => json(r#"{"ok":true,"messages":[],"users":[]}"#),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

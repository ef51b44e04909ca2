use std::sync::Mutex;

use futures_util::SinkExt;
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::accept_async;
use tokio_util::sync::DropGuard;

use super::*;
use crate::http;
use crate::slack::tests::{Call, Fake, fake};

type ServerSocket = WebSocketStream<TcpStream>;

/// A fake Slack, a bot connected to it, and the connections as Slack sees them.
struct World {
    api: Fake,
    /// What `apps.connections.open` answers instead of a ticket.
    refusal: Arc<Mutex<Option<(u16, Value)>>>,
    accepted: mpsc::UnboundedReceiver<ServerSocket>,
    health: SocketHealth,
    bot: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    _sockets: DropGuard,
}

fn quick(connections: usize) -> SocketSettings {
    SocketSettings { connections, ..SocketSettings::default() }
}

async fn world<H, F>(settings: SocketSettings, handler: H) -> World
where
    H: Fn(Envelope) -> F + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}/link/?ticket=secret", listener.local_addr().unwrap());
    let refusal: Arc<Mutex<Option<(u16, Value)>>> = Arc::default();
    let answer = refusal.clone();
    let api = fake(move |_: &Call| match answer.lock().unwrap().clone() {
        Some((status, answer)) => http::json(status, &answer),
        None => http::json(200, &json!({ "ok": true, "url": address })),
    })
    .await;
    let (tell, accepted) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let sockets = stop.clone().drop_guard();
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tell.send(accept_async(stream).await.unwrap()).unwrap();
        }
    }));
    let (health, shutdown) = (SocketHealth::default(), CancellationToken::new());
    let bot = tokio::spawn(run(api.slack(), settings, health.clone(), handler, shutdown.clone()));
    World { api, refusal, accepted, health, bot, shutdown, _sockets: sockets }
}

impl World {
    async fn accept(&mut self) -> ServerSocket {
        soon(self.accepted.recv()).await.unwrap()
    }

    /// The next connection, greeted.
    async fn greet(&mut self) -> ServerSocket {
        let mut socket = self.accept().await;
        say(&mut socket, json!({ "type": "hello", "num_connections": 1 })).await;
        socket
    }

    /// Calls of any method.
    fn calls(&self) -> usize {
        self.tickets() + self.api.calls_of("auth.test").len()
    }

    fn tickets(&self) -> usize {
        self.api.calls_of("apps.connections.open").len()
    }
}

/// Waits, but not for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("in time")
}

async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn say(socket: &mut ServerSocket, what: Value) {
    socket.send(Message::Text(what.to_string().into())).await.unwrap();
}

fn envelope(id: &str, payload: Value) -> Value {
    json!({ "envelope_id": id, "type": "slash_commands", "payload": payload, "accepts_response_payload": true })
}

/// The next ack; `None` when the connection ends.
async fn ack(socket: &mut ServerSocket) -> Option<Value> {
    soon(async {
        while let Some(Ok(frame)) = socket.next().await {
            if let Message::Text(text) = frame {
                return Some(serde_json::from_str(&text).unwrap());
            }
        }
        None
    })
    .await
}

async fn ended(socket: &mut ServerSocket) {
    assert_eq!(ack(socket).await, None);
}

async fn acks(_: Envelope) -> Verdict {
    Verdict::Ack
}

#[tokio::test]
async fn envelopes_are_acked_as_the_handler_says() {
    let handler = async |envelope: Envelope| match envelope.payload["do"].as_str() {
        Some("answer") => Verdict::AckWith(to_raw_value(&json!({ "text": "hi" })).unwrap()),
        Some("nothing") => Verdict::NoAck,
        _ => Verdict::Ack,
    };
    let mut world = world(quick(1), handler).await;
    assert_eq!((world.health.connected(), world.health.last_hello()), (0, None));
    let mut socket = world.greet().await;
    say(&mut socket, envelope("1", json!({ "do": "answer" }))).await;
    assert_eq!(ack(&mut socket).await, Some(json!({ "envelope_id": "1", "payload": { "text": "hi" } })));
    assert_eq!(world.health.connected(), 1);
    assert!(world.health.last_hello().is_some());

    say(&mut socket, envelope("2", json!({ "do": "nothing" }))).await;
    socket.send(Message::Text("UNAUTHENTICATED: cache_error".into())).await.unwrap();
    socket.send(Message::Binary(vec![1].into())).await.unwrap();
    say(&mut socket, json!({ "type": 7, "envelope_id": null })).await;
    let mut bare = envelope("3", json!({ "do": "answer" }));
    bare["accepts_response_payload"] = json!(false);
    say(&mut socket, bare).await;
    assert_eq!(ack(&mut socket).await, Some(json!({ "envelope_id": "3" })));
    say(&mut socket, json!({ "envelope_id": "4", "type": "hologram" })).await;
    assert_eq!(ack(&mut socket).await, Some(json!({ "envelope_id": "4" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_before_the_end_of_a_connection_loses_no_ack() {
    let handler = async |_: Envelope| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Verdict::Ack
    };
    let mut world = world(quick(1), handler).await;
    for round in 0..5 {
        let mut socket = world.greet().await;
        for i in 0..40 {
            let frame = envelope(&format!("{round}-{i}"), json!({})).to_string();
            socket.feed(Message::Text(frame.into())).await.unwrap();
        }
        socket
            .feed(Message::Text(json!({ "type": "disconnect", "reason": "refresh_requested" }).to_string().into()))
            .await
            .unwrap();
        socket.close(None).await.unwrap();
        let mut seen = 0;
        while ack(&mut socket).await.is_some() {
            seen += 1;
        }
        assert_eq!(seen, 40, "round {round}");
    }
}

#[tokio::test]
async fn a_new_connection_is_there_before_the_old_one_goes() {
    let mut world = world(quick(1), acks).await;
    let mut old = world.greet().await;
    say(&mut old, json!({ "type": "disconnect", "reason": "warning" })).await;
    let mut new = world.accept().await;
    say(&mut old, envelope("1", json!({}))).await;
    assert!(ack(&mut old).await.is_some());
    say(&mut new, json!({ "type": "hello" })).await;
    ended(&mut old).await;
    say(&mut new, envelope("2", json!({}))).await;
    assert!(ack(&mut new).await.is_some());
    let health = world.health.clone();
    until(|| health.connected() == 1).await;
}

#[tokio::test]
async fn a_half_open_connection_is_noticed() {
    let times =
        SocketSettings { ping_every: Duration::from_millis(50), silence: Duration::from_millis(200), ..quick(1) };
    let mut world = world(times, acks).await;
    // Nobody reads from it, so no ping is answered.
    let _deaf = world.greet().await;
    let mut socket = world.greet().await;
    // Read from, it lives on, although nothing else happens.
    let quiet = timeout(Duration::from_millis(600), socket.next());
    let Ok(Some(Ok(Message::Ping(_)))) = quiet.await else { panic!("no ping") };
    say(&mut socket, envelope("1", json!({}))).await;
    assert!(ack(&mut socket).await.is_some());
    let times = SocketSettings::default();
    assert!(times.silence + times.ping_every / 2 < Duration::from_secs(15));
}

#[tokio::test]
async fn an_outage_is_left_within_a_second_of_its_end() {
    let mut world = world(quick(2), acks).await;
    let sockets = (world.greet().await, world.greet().await);
    *world.refusal.lock().unwrap() = Some((503, json!({})));
    drop(sockets);
    until(|| world.calls() > 10).await;
    assert!(world.tickets() <= 4, "as long as Slack answers nothing no ticket is asked for: {}", world.tickets());
    *world.refusal.lock().unwrap() = None;
    let end = Instant::now();
    let _socket = world.greet().await;
    assert!(end.elapsed() < Duration::from_secs(1), "{:?}", end.elapsed());
}

#[tokio::test]
async fn what_only_a_person_can_repair_stops_the_bot_with_a_sentence() {
    for code in ["invalid_auth", "token_revoked", "missing_scope", "team_disabled"] {
        let mut world = world(quick(2), acks).await;
        let mut sockets = [world.greet().await, world.greet().await];
        *world.refusal.lock().unwrap() = Some((200, json!({ "ok": false, "error": code })));
        drop(sockets[0].close(None).await);
        ended(&mut sockets[1]).await;
        let error = soon(&mut world.bot).await.unwrap().unwrap_err().to_string();
        assert!(error.contains(code) && error.contains("then start again"), "{error}");
    }
}

#[tokio::test]
async fn a_panic_costs_only_its_own_ack() {
    let handler = async |envelope: Envelope| match envelope.payload["do"].as_str() {
        Some("panic") => panic!("on purpose"),
        _ => Verdict::Ack,
    };
    let mut world = world(quick(1), handler).await;
    let mut socket = world.greet().await;
    say(&mut socket, envelope("1", json!({ "do": "panic" }))).await;
    say(&mut socket, envelope("2", json!({}))).await;
    assert_eq!(ack(&mut socket).await, Some(json!({ "envelope_id": "2" })));
}

/// A handler that waits for `go` where the payload says so.
fn patient(
    go: &Arc<Notify>,
    done: &Arc<AtomicUsize>,
) -> impl Fn(Envelope) -> futures_util::future::BoxFuture<'static, Verdict> + use<> {
    let (go, done) = (go.clone(), done.clone());
    move |envelope| {
        let (go, done) = (go.clone(), done.clone());
        Box::pin(async move {
            if envelope.payload["do"] == "wait" {
                go.notified().await;
            }
            done.fetch_add(1, Ordering::Relaxed);
            Verdict::Ack
        })
    }
}

#[tokio::test]
async fn a_slow_handler_holds_up_nothing_and_survives_its_connection() {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let mut world = world(quick(1), patient(&go, &done)).await;
    let mut socket = world.greet().await;
    say(&mut socket, envelope("slow", json!({ "do": "wait" }))).await;
    say(&mut socket, envelope("fast", json!({}))).await;
    assert_eq!(ack(&mut socket).await, Some(json!({ "envelope_id": "fast" })));
    drop(socket);
    let _next = world.greet().await;
    go.notify_one();
    until(|| done.load(Ordering::Relaxed) == 2).await;
}

#[tokio::test]
async fn shutdown_waits_for_handlers_and_their_acks() {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let mut world = world(quick(2), patient(&go, &done)).await;
    let (mut busy, mut idle) = (world.greet().await, world.greet().await);
    say(&mut busy, envelope("slow", json!({ "do": "wait" }))).await;
    say(&mut busy, envelope("fast", json!({}))).await;
    assert_eq!(ack(&mut busy).await, Some(json!({ "envelope_id": "fast" })));
    world.shutdown.cancel();
    ended(&mut idle).await;
    say(&mut busy, envelope("late", json!({}))).await;
    assert_eq!(ack(&mut busy).await, Some(json!({ "envelope_id": "late" })));
    go.notify_one();
    assert_eq!(ack(&mut busy).await, Some(json!({ "envelope_id": "slow" })));
    ended(&mut busy).await;
    soon(&mut world.bot).await.unwrap().unwrap();
    assert_eq!(world.health.connected(), 0);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let times = SocketSettings { drain: Duration::from_millis(100), close: Duration::from_millis(100), ..quick(1) };
    let mut world = world(times, patient(&go, &done)).await;
    let mut socket = world.greet().await;
    say(&mut socket, envelope("stuck", json!({ "do": "wait" }))).await;
    say(&mut socket, envelope("fast", json!({}))).await;
    assert!(ack(&mut socket).await.is_some());
    let start = Instant::now();
    world.shutdown.cancel();
    soon(&mut world.bot).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_bot_that_is_not_wanted_keeps_away_for_longer() {
    let mut world = world(quick(1), acks).await;
    for reason in ["too_many_websockets", "link_disabled"] {
        let mut socket = world.greet().await;
        let start = Instant::now();
        say(&mut socket, json!({ "type": "disconnect", "reason": reason })).await;
        ended(&mut socket).await;
        let next = world.accept().await;
        assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
        drop(next);
    }
}

#[tokio::test]
async fn a_server_that_keeps_disconnecting_is_not_flooded() {
    let times = SocketSettings { retry: Duration::from_millis(20), retry_cap: Duration::from_millis(200), ..quick(1) };
    let mut world = world(times, acks).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let mut socket = world.greet().await;
        say(&mut socket, json!({ "type": "disconnect", "reason": "refresh_requested" })).await;
    }
    assert!(world.tickets() < 40, "{}", world.tickets());
}

/// Everything that our own code logs, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_logged_that_is_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter("off,lockkeeper=trace").with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut world = world(quick(1), acks).await;
    let mut socket = world.greet().await;
    let mut unknown = envelope("1", json!({ "text": "secret", "response_url": "https://hooks.slack.com/secret" }));
    unknown["type"] = json!("hologram");
    say(&mut socket, unknown).await;
    assert!(ack(&mut socket).await.is_some());
    socket.send(Message::Text("secret, no json".into())).await.unwrap();
    drop(socket);
    let socket = world.accept().await;
    *world.refusal.lock().unwrap() = Some((500, json!({ "error": "secret" })));
    drop(socket);
    until(|| world.calls() > 3).await;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("hologram") && logged.contains("no json") && logged.contains("status 500"), "{logged}");
    assert!(!logged.contains("secret"), "{logged}");
}

/// Frames of any shape harm nobody: what comes after them on the same connection is served.
#[tokio::test]
async fn frames_that_make_no_sense_are_ignored() {
    let mut world = world(quick(1), acks).await;
    let mut socket = world.greet().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many = format!("[{}0]", "0,".repeat(400_000));
    let odd = json!({ "envelope_id": "\u{202e}\u{0}<!channel>", "type": { "a": [] }, "payload": 7, "accepts_response_payload": "yes",
        "retry_attempt": -1 });
    let table = [
        "",
        "{",
        "null",
        "[]",
        "7",
        "\"hello\"",
        "{\"type\":7}",
        "{\"envelope_id\":7,\"type\":\"hello\"}",
        &deep,
        &many,
    ];
    for text in table {
        socket.send(Message::Text(text.into())).await.unwrap();
    }
    socket.send(Message::Binary(vec![0xff; 1_000].into())).await.unwrap();
    socket.send(Message::Ping(vec![0xff; 100].into())).await.unwrap();
    say(&mut socket, json!({ "type": "x".repeat(100_000), "a": odd })).await;
    say(&mut socket, odd).await;
    assert_eq!(
        ack(&mut socket).await.unwrap()["envelope_id"],
        "\u{202e}\u{0}<!channel>",
        "acked as what it says it is"
    );
    say(&mut socket, envelope("good", json!({}))).await;
    assert_eq!(ack(&mut socket).await.unwrap()["envelope_id"], "good");
    world.shutdown.cancel();
    soon(&mut world.bot).await.unwrap().unwrap();
}

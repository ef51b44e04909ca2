//! One WebSocket of Socket Mode: the upgrade, and the loop that moves frames. What they mean is `wire`'s.

use std::pin::pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Workspace;
use super::wire::Order;
use crate::http::{Request, Response, respond};

/// How often Slack pings.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long a closed socket's TCP connection stays: Slack does not close it, the client has to (facts/slack.md 1.4).
const LINGER: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the request for a WebSocket and, where the ticket is good, runs the socket on `tasks`.
pub(super) fn upgrade(
    workspace: &Workspace,
    mut request: Request,
    shutdown: CancellationToken,
    tasks: &TaskTracker,
) -> Response {
    if workspace.with(|state| state.faults.refuse_connections) {
        return respond(503, "text/html", "<html>Service Unavailable</html>");
    }
    let Some(key) = request.headers().get("sec-websocket-key").cloned() else {
        workspace.complain("a request to /link/ is no WebSocket handshake");
        return respond(400, "text/plain", "no WebSocket handshake");
    };
    let ticket = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .find_map(|(name, value)| (name == "ticket").then(|| value.into_owned()))
        .unwrap_or_default();
    if !workspace.with(|state| state.punch(&ticket)) {
        workspace.complain("a WebSocket was opened with a ticket that is unknown, used or too old");
        return respond(401, "text/plain", "bad ticket");
    }
    let workspace = workspace.clone();
    let upgrading = hyper::upgrade::on(&mut request);
    tasks.spawn(async move {
        if let Ok(upgraded) = upgrading.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            let mut shutdown = pin!(shutdown.cancelled_owned());
            tokio::select! {
                () = run(&workspace, socket) => {}
                () = shutdown.as_mut() => {}
            }
        }
    });
    switching_protocols(key.as_bytes())
}

fn switching_protocols(key: &[u8]) -> Response {
    hyper::Response::builder()
        .status(101)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-accept", derive_accept_key(key))
        .body(Full::default())
        .unwrap_or_else(|_| respond(400, "text/plain", "bad key"))
}

/// How the frames stopped.
enum End {
    /// The app closed it or is gone.
    Theirs,
    /// We closed it in good order.
    Ours,
    /// We drop the connection.
    Dropped,
    /// We let nothing pass any more.
    Silent,
}

async fn run(workspace: &Workspace, mut socket: Socket) {
    let (orders, mut inbox) = mpsc::unbounded_channel();
    let id = workspace.with(|state| state.join(orders));
    let end = frames(workspace, &mut socket, id, &mut inbox).await;
    match end {
        End::Theirs => {
            workspace.with(|state| state.leave(id, false));
            linger(&mut socket).await;
        }
        End::Ours => {
            workspace.with(|state| state.leave(id, true));
            let _ = socket.close(None).await;
            linger(&mut socket).await;
        }
        End::Dropped => workspace.with(|state| state.leave(id, true)),
        End::Silent => {
            swallow(&mut socket).await;
            workspace.with(|state| state.leave(id, true));
        }
    }
}

async fn frames(
    workspace: &Workspace,
    socket: &mut Socket,
    id: u64,
    inbox: &mut mpsc::UnboundedReceiver<Order>,
) -> End {
    let mut close_at: Option<Instant> = None;
    let mut pings = tokio::time::interval(PING_EVERY);
    loop {
        let closing = async move {
            match close_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let sent = tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Say(text)) => {
                    workspace.record.frame("slack", id, &text);
                    socket.send(Message::text(text)).await
                }
                Some(Order::Close(after)) => { close_at = Some(Instant::now() + after); Ok(()) }
                Some(Order::Drop) | None => return End::Dropped,
                Some(Order::GoSilent) => return End::Silent,
            },
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    workspace.record.frame("app", id, &text);
                    workspace.with(|state| state.hear(id, &text));
                    Ok(())
                }
                Some(Ok(Message::Binary(_))) => { workspace.complain("a binary frame"); Ok(()) }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Theirs,
            },
            _ = pings.tick() => socket.send(Message::Ping("sandbox".into())).await,
            () = closing => return End::Ours,
        };
        if sent.is_err() {
            return End::Theirs;
        }
    }
}

/// Finishes the close handshake and waits for the app to hang up.
async fn linger(socket: &mut Socket) {
    let _ = tokio::time::timeout(LINGER, async { while let Some(Ok(_)) = socket.next().await {} }).await;
}

/// Reads and forgets, below the WebSocket, so that not even a pong goes out.
async fn swallow(socket: &mut Socket) {
    let mut buffer = [0; 1024];
    while matches!(socket.get_mut().read(&mut buffer).await, Ok(read) if read > 0) {}
}

//! One small HTTP/1 server for everything that listens: the bot's own routes and the sandbox's pretend services.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A request as it arrives, its body not yet read.
pub type Request = hyper::Request<Incoming>;
/// An answer with its whole body in memory.
pub type Response = hyper::Response<Full<Bytes>>;

/// Serves `handler` on `listener` until `shutdown`, then lets the open connections finish their request.
///
/// Connections may be upgraded (WebSocket). A client that takes longer than 10 s to send its headers is dropped.
pub async fn serve<H, F>(listener: TcpListener, shutdown: CancellationToken, handler: H)
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: waiting a little is the only cure from inside.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let handler = handler.clone();
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                result = connection.as_mut() => log_broken(result),
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    log_broken(connection.await);
                }
            }
        });
    }
    connections.close();
    connections.wait().await;
}

fn log_broken(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

/// An answer with a body of the given content type.
pub fn respond(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response {
    hyper::Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(Full::new(body.into()))
        .unwrap_or_else(|_| hyper::Response::new(Full::new(Bytes::new())))
}

/// A JSON answer.
pub fn json(status: u16, value: &serde_json::Value) -> Response {
    respond(status, "application/json; charset=utf-8", value.to_string())
}

//! The bot's own routes: `/live`, `/ready` and `/metrics` for machines that look after this one, and `/github/webhook` where there is a
//! secret for it. They tell nobody a version, a setting or a secret; everything else is not there.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::hooks::Hooks;
use crate::http::{self, Request, Response};
use crate::telemetry;

/// Whether the bot can do its work now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Ready if all are well.
    pub checks: Vec<Check>,
}

/// One thing that the bot cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `slack`, `store`, …
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// In a few words, without versions and secrets: anybody who reaches the port can read it.
    pub said: String,
}

/// Serves until `shutdown`. `readiness` is asked at every `/ready`, so it has to be quick.
pub async fn serve<R>(listener: TcpListener, shutdown: CancellationToken, readiness: R, hooks: Option<Arc<Hooks>>)
where
    R: Fn() -> Readiness + Clone + Send + Sync + 'static,
{
    let metrics = telemetry::recorder();
    http::serve(listener, shutdown, move |request| {
        let (readiness, hooks) = (readiness.clone(), hooks.clone());
        async move {
            match hooks.filter(|_| request.method() == Method::POST && request.uri().path() == "/github/webhook") {
                Some(hooks) => hooks.take(request).await.unwrap_or_else(nothing),
                None => answer(&request, readiness, metrics),
            }
        }
    })
    .await;
}

fn answer(request: &Request, readiness: impl Fn() -> Readiness, metrics: &PrometheusHandle) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return nothing();
    }
    match request.uri().path() {
        "/live" => http::respond(200, "text/plain; charset=utf-8", "live\n"),
        "/ready" => ready(readiness()),
        "/metrics" => http::respond(200, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
        _ => nothing(),
    }
}

fn nothing() -> Response {
    http::respond(404, "text/plain; charset=utf-8", Bytes::new())
}

fn ready(readiness: Readiness) -> Response {
    let ready = readiness.checks.iter().all(|check| check.ok);
    let checks: Map<String, Value> = readiness
        .checks
        .into_iter()
        .map(|check| (check.name.to_owned(), json!({ "ok": check.ok, "said": check.said })))
        .collect();
    http::json(if ready { 200 } else { 503 }, &json!({ "ready": ready, "checks": checks }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// Status line and body.
    async fn ask(address: std::net::SocketAddr, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn answers_its_three_routes_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, well) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let readiness = {
            let well = well.clone();
            move || Readiness {
                checks: vec![
                    Check { name: "store", ok: true, said: "2 effects waiting".to_owned() },
                    Check { name: "slack", ok: well.load(Ordering::Relaxed), said: "0 connections".to_owned() },
                ],
            }
        };
        let server = tokio::spawn(serve(listener, shutdown.clone(), readiness, None));

        let said = |text: &str| text.to_owned();
        assert_eq!(ask(address, "GET /live").await, (said("HTTP/1.1 200 OK"), said("live\n")));
        assert_eq!(ask(address, "HEAD /live").await, (said("HTTP/1.1 200 OK"), said("")));
        let (status, body) = ask(address, "GET /ready?x=y").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        insta::assert_snapshot!(body, @r#"
        {"checks":{"slack":{"ok":false,"said":"0 connections"},"store":{"ok":true,"said":"2 effects waiting"}},"ready":false}
        "#);
        well.store(true, Ordering::Relaxed);
        assert_eq!(ask(address, "GET /ready").await.0, "HTTP/1.1 200 OK");

        metrics::counter!("lockkeeper_tests_total").increment(1);
        let (status, body) = ask(address, "GET /metrics").await;
        assert!(status.ends_with("200 OK") && body.contains("lockkeeper_tests_total 1"), "{body}");

        for request in
            ["GET /", "GET /live/", "GET /github/webhook", "POST /github/webhook", "POST /live", "DELETE /ready"]
        {
            assert_eq!(ask(address, request).await, (said("HTTP/1.1 404 Not Found"), said("")), "{request}");
        }
        shutdown.cancel();
        server.await.unwrap();
    }

    /// As Docker runs it: the JSON after `HEALTHCHECK … CMD`.
    #[tokio::test]
    async fn the_container_finds_out_whether_it_lives() {
        let dockerfile = include_str!("../Dockerfile");
        let check =
            dockerfile.split_once("HEALTHCHECK").unwrap().1.split_once("CMD ").unwrap().1.lines().next().unwrap();
        let check: Vec<String> = serde_json::from_str(check).unwrap();
        let healthy = async |address: std::net::SocketAddr| {
            let mut command = std::process::Command::new(&check[0]);
            command.args(&check[1..]).env("LOCKKEEPER_LISTEN", address.to_string()).stderr(std::process::Stdio::null());
            tokio::task::spawn_blocking(move || command.status().unwrap().success()).await.unwrap()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, shutdown.clone(), Readiness::default, None));
        assert!(healthy(address).await);
        shutdown.cancel();
        server.await.unwrap();
        assert!(!healthy(address).await);

        let broken = TcpListener::bind(address).await.unwrap();
        let broken_server =
            http::serve(broken, CancellationToken::new(), |_| async { http::respond(500, "text/plain", "") });
        tokio::select! {
            () = broken_server => {}
            well = healthy(address) => assert!(!well),
        }
    }
}

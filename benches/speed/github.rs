//! GitHub's and Elastic Beanstalk's side: the sandbox's pretend world. Its one repository can be seen under 999 more names, from a cache, so that
//! many apps cost Slack’s side little. It states no limits, like a GitHub Enterprise Server: near the end of GitHub’s hour the bot would be
//! measured waiting.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, IF_NONE_MATCH};
use hyper::http::request::Parts;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lockkeeper::clock::Clock;
use lockkeeper::http::{Request, Response, respond, serve};
use lockkeeper::sandbox::world::{Act, World};
use lockkeeper::sandbox::{beanstalk, github};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How many runs the repository has: as many as Lockkeeper remembers at the most.
const RUNS: usize = 60;

/// A pretend GitHub that is being served.
#[derive(Clone)]
pub struct GitHub {
    /// Base of its API.
    pub url: String,
    /// Base of Elastic Beanstalk's.
    pub beanstalk: String,
    /// The token that it takes.
    pub token: String,
    front: Arc<Front>,
}

struct Front {
    behind: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    known: Mutex<HashMap<(String, Bytes), (HeaderMap, Bytes)>>,
    asked: AtomicU64,
}

/// The name under which a copy of the repository is seen, counted from 1.
pub fn copy(nth: usize) -> String {
    format!("copy-{nth:03}")
}

impl GitHub {
    /// Opens a world in which `h` has a history of many runs, and serves it for as long as the process lives.
    pub async fn open() -> anyhow::Result<Self> {
        let world = World::hypothesis(Clock::default());
        for nth in 0..RUNS {
            world
                .act(Act::merge("hypothesis/h", "ana-gh", &format!("Change number {nth}")))
                .map_err(anyhow::Error::msg)?;
        }
        if let Some(run) = world.newest_run("hypothesis/h") {
            let cancel = Act::CancelRun { repo: "hypothesis/h".to_owned(), run, by: "ana-gh".to_owned() };
            world.act(cancel).map_err(anyhow::Error::msg)?;
        }
        let (inner, behind) = listen().await?;
        let (outer, at) = listen().await?;
        let (servers, at_servers) = listen().await?;
        let never = CancellationToken::new();
        tokio::spawn(github::serve(inner, world.clone(), never.clone()));
        tokio::spawn(beanstalk::serve(servers, world.clone(), never.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let front = Arc::new(Front { behind, client, known: Mutex::default(), asked: AtomicU64::new(0) });
        let serving = front.clone();
        tokio::spawn(serve(outer, never, move |request| {
            let front = serving.clone();
            async move { front.answer(request).await.unwrap_or_else(|_| respond(502, "text/plain", "")) }
        }));
        let (url, beanstalk) = (format!("http://{at}"), format!("http://{at_servers}"));
        Ok(Self { url, beanstalk, token: world.token(), front })
    }

    /// Waits until nobody has asked for a while.
    pub async fn quiet(&self, pause: Duration) {
        loop {
            let before = self.front.asked.load(Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            if self.front.asked.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Front {
    async fn answer(&self, request: Request) -> anyhow::Result<Response> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let target = parts.uri.path_and_query().context("a path")?.to_string();
        let Some(name) = copied(&target).or_else(|| copied(&String::from_utf8_lossy(&body))) else {
            let (status, headers, body) = self.pass(&parts, &target, body).await?;
            return Ok(answer(status, &headers, body));
        };
        let (target, body) = (target.replace(&name, "h"), renamed(&body, &name, "h"));
        let key = (target.clone(), body.clone());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let (headers, body) = match known {
            Some(known) => known,
            None => {
                let mut whole = parts.clone();
                whole.headers.remove(IF_NONE_MATCH);
                let (status, headers, body) = self.pass(&whole, &target, body).await?;
                if status != 200 {
                    return Ok(answer(status, &headers, body));
                }
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (headers.clone(), body.clone()));
                (headers, body)
            }
        };
        let unchanged =
            parts.headers.get(IF_NONE_MATCH).is_some_and(|etag| headers.get("etag").is_some_and(|known| known == etag));
        Ok(match unchanged {
            true => answer(304, &headers, Bytes::new()),
            false => answer(
                200,
                &headers,
                renamed(
                    &renamed(&body, "hypothesis/h/", &format!("hypothesis/{name}/")),
                    "hypothesis/h\"",
                    &format!("hypothesis/{name}\""),
                ),
            ),
        })
    }

    async fn pass(&self, parts: &Parts, target: &str, body: Bytes) -> anyhow::Result<(u16, HeaderMap, Bytes)> {
        let mut request =
            hyper::Request::builder().method(parts.method.clone()).uri(format!("http://{}{target}", self.behind));
        if let Some(headers) = request.headers_mut() {
            *headers = parts.headers.clone();
        }
        let (parts, body) = self.client.request(request.body(Full::new(body))?).await?.into_parts();
        Ok((parts.status.as_u16(), parts.headers, body.collect().await?.to_bytes()))
    }
}

/// The name of a copy that stands in a text.
fn copied(text: &str) -> Option<String> {
    let at = text.find("copy-")?;
    text.get(at..at + "copy-000".len()).map(str::to_owned)
}

fn renamed(text: &[u8], from: &str, to: &str) -> Bytes {
    String::from_utf8_lossy(text).replace(from, to).into()
}

fn answer(status: u16, headers: &HeaderMap, body: Bytes) -> Response {
    let mut response = respond(status, "application/json", body);
    let ours =
        |name: &str| ["content-length", "content-type", "date"].contains(&name) || name.starts_with("x-ratelimit");
    let kept = headers.iter().filter(|(name, _)| !ours(name.as_str()));
    kept.for_each(|(name, value)| drop(response.headers_mut().insert(name, value.clone())));
    response
}

/// A free port of loopback.
pub async fn listen() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen on loopback")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

//! Answers of GitHub, Elastic Beanstalk and Slack that are no answers: cut off, of other shapes, without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lockkeeper::beanstalk::Beanstalk;
use lockkeeper::deploy::name::SlackId;
use lockkeeper::github::GitHub;
use lockkeeper::http::{self, Request, Response};
use lockkeeper::slack::{Slack, SlackError};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{MEMORY, runner, twisted};
use crate::town::{Town, until};

const MB: usize = 1 << 20;

/// Somebody who answers everything with a body that never ends; counts those who asked.
async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[\"\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            });
        }
    });
    format!("http://{at}")
}

fn slack(base: &str) -> Slack {
    Slack::new(&format!("{base}/api"), "xoxb-canary".into(), "xapp-canary".into()).expect("a client")
}

/// Bodies without end are cut off, soon and before they take up memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_without_end() {
    let base = endless().await;
    let github = GitHub::new(&base, "ghp_canary".into()).expect("a client");
    let (slack, beanstalk) = (slack(&base), Beanstalk::at(&base));
    let started = Instant::now();
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    assert!(github.repo_visible("hypothesis/h").await.is_err());
    assert!(matches!(slack.auth_test().await, Err(SlackError::Uncertain { .. })));
    assert!(matches!(slack.scopes().await, Err(SlackError::Uncertain { .. })));
    assert!(beanstalk.environments("us-west-1", "h", &[]).await.is_err());
    let peak = MEMORY.peak_usage().saturating_sub(before);
    // What is read grows by doubling.
    assert!(peak < 80 * MB, "it took {} MB", peak / MB);
    assert!(started.elapsed() < Duration::from_secs(60), "it took {:?}", started.elapsed());
}

/// Somebody in the middle who passes everything on, and twists the answers as long as it is told to.
struct Liar {
    upstream: String,
    lies: AtomicBool,
    told: AtomicUsize,
    client: Client<HttpConnector, Full<Bytes>>,
    runner: std::sync::Mutex<TestRunner>,
}

impl Liar {
    async fn before(upstream: &str, shutdown: CancellationToken) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let liar = Arc::new(Self {
            upstream: upstream.to_owned(),
            lies: AtomicBool::new(false),
            told: AtomicUsize::new(0),
            client: Client::builder(TokioExecutor::new()).build_http(),
            runner: std::sync::Mutex::new(runner(1)),
        });
        let handler = {
            let liar = liar.clone();
            move |request| {
                let liar = liar.clone();
                async move { liar.answer(request).await }
            }
        };
        tokio::spawn(http::serve(listener, shutdown, handler));
        (liar, format!("http://{at}"))
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = parts.uri.path_and_query().map(|path| path.as_str()).unwrap_or("/");
        let mut passed = hyper::Request::builder().method(parts.method.clone()).uri(format!("{}{path}", self.upstream));
        for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host" && *name != "if-none-match") {
            passed = passed.header(name, value);
        }
        // Nobody lies about what was asked to be done: whether that was done is another story.
        let asks = parts.method == hyper::Method::GET || body.windows(15).any(|piece| piece == b"Action=Describe");
        let passed = passed.body(Full::new(body)).expect("a request");
        let Ok(answer) = self.client.request(passed).await else { return http::respond(502, "text/plain", "gone") };
        let (mut head, body) = answer.into_parts();
        let mut body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        if asks && self.lies.load(Ordering::SeqCst) {
            self.told.fetch_add(1, Ordering::SeqCst);
            head.headers.remove("content-length");
            head.headers.remove("etag");
            body = self.lie(&body);
        }
        Response::from_parts(head, Full::new(body))
    }

    fn lie(&self, truth: &[u8]) -> Bytes {
        let mut runner = self.runner.lock().expect("a runner");
        let text = String::from_utf8_lossy(truth).into_owned();
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => {
                let lie = twisted(value).new_tree(&mut runner).expect("a value").current().to_string();
                // One in eight is cut off.
                let end = if lie.len().is_multiple_of(8) { lie.len() / 2 } else { lie.len() };
                Bytes::copy_from_slice(&lie.as_bytes()[..end])
            }
            Err(_) => {
                let nasty = super::nasty().new_tree(&mut runner).expect("a text").current();
                let at = nasty.len() * 7919 % text.len().max(1);
                let mut lie = text.into_bytes();
                lie.splice(at..at, nasty.bytes());
                Bytes::from(lie)
            }
        }
    }
}

/// The whole bot, lied to by GitHub and Elastic Beanstalk for a while: it goes on answering, nothing is approved, and when the truth is
/// back it is right again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_and_elastic_beanstalk_lie_for_a_while() {
    let shutdown = CancellationToken::new();
    let mut town = Town::without_bot(crate::town::SETTINGS).await;
    let real = town.config();
    let (github, at_github) = Liar::before(&real.github.api_url, shutdown.clone()).await;
    let (beanstalk, at_beanstalk) = Liar::before(&real.beanstalk.expect("an address"), shutdown.clone()).await;
    town.reroute = Some(Box::new(move |config| {
        config.github.api_url = at_github.clone();
        config.beanstalk = Some(at_beanstalk.clone());
    }));
    town.start().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let lie = |lies: bool| [&github, &beanstalk].iter().for_each(|liar| liar.lies.store(lies, Ordering::SeqCst));
    let panics = crate::hostile::count_panics();
    for round in 0..4 {
        lie(true);
        let (before, asked) = (github.told.load(Ordering::SeqCst), beanstalk.told.load(Ordering::SeqCst));
        for question in ["status h", "pending h", "health h", "where 4498", "", "history h", "env h"] {
            town.sandbox.workspace.command("UCHI", crate::town::DEPLOYS, question).await.expect("answered in time");
        }
        town.merge("ben-gh", &format!("Change {round}"));
        town.sandbox.clock.advance(jiff::SignedDuration::from_mins(3));
        until("lies enough", || async {
            let told = github.told.load(Ordering::SeqCst) - before >= 60;
            (told && beanstalk.told.load(Ordering::SeqCst) > asked).then_some(())
        })
        .await;
        lie(false);
        town.sandbox.clock.advance(jiff::SignedDuration::from_mins(3));
        town.settled().await;
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0, "nothing broke off");
    assert!(town.reviews().is_empty(), "nobody approved anything");
    assert!(town.says(816).contains("Change 3"), "{}", town.says(816));
    assert!(run > 0);
    town.close().await;
    shutdown.cancel();
}

/// Every method of Slack's that the bot reads from, answered in any shape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_answers_oddly() {
    let table = [
        json!({ "ok": true, "team_id": "T1", "user_id": "U1", "bot_id": "B1", "url": "https://x.slack.com/", "team": "x", "channel": { "id": "C1" },
            "user": { "id": "U1", "team_id": "T1", "profile": { "display_name": "Ana" } }, "users": ["U1"], "ts": "1.1", "view": { "id": "V1" },
            "channels": [{ "id": "C1", "name": "deploys", "is_member": true }], "messages": [{ "ts": "1.1", "metadata": { "event_type": "lockkeeper_effect",
            "event_payload": { "id": "e" } } }], "response_metadata": { "next_cursor": "" } }),
        json!({ "ok": false, "error": "channel_not_found" }),
    ];
    let runner = Arc::new(std::sync::Mutex::new(runner(1)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let shutdown = CancellationToken::new();
    let handler = move |_| {
        let (runner, table) = (runner.clone(), table.clone());
        async move {
            let mut runner = runner.lock().expect("a runner");
            let choice = proptest::sample::select(table.to_vec()).prop_flat_map(twisted);
            let answer = choice.new_tree(&mut runner).expect("a value").current().to_string();
            let status = [200, 200, 200, 200, 429, 500, 302, 404][answer.len() % 8];
            let mut response = http::respond(status, "application/json", answer);
            let wait = ["18446744073709551615", "-1", "soon", "1e9"][status as usize / 7 % 4];
            response.headers_mut().insert("retry-after", wait.parse().expect("a value"));
            response
        }
    };
    tokio::spawn(http::serve(listener, shutdown.clone(), handler));
    let slack = slack(&base);
    let user = SlackId::new("U1");
    let (mut good, mut bad) = (0, 0);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60);
    for _ in 0..cases {
        let since = jiff::Timestamp::UNIX_EPOCH;
        let message = lockkeeper::deploy::message::Message::plain("hello");
        let outcomes = [
            slack.auth_test().await.err(),
            slack.person(&user, "T1").await.err(),
            slack.usergroup_members("S1").await.err(),
            slack.channel("#deploys").await.err(),
            slack.channel("C1").await.err(),
            slack.direct(&user).await.err(),
            slack.post("C1", &message, None, false, "e").await.err(),
            slack.find_posted("C1", None, "e", since).await.err(),
            slack.open_socket().await.err(),
        ];
        for outcome in outcomes {
            match outcome {
                None => good += 1,
                Some(error) => {
                    bad += 1;
                    let said = error.to_string();
                    assert!(
                        said.chars().count() < 200 && !said.contains("canary") && !said.contains(char::is_control),
                        "{said}"
                    );
                    if let SlackError::RateLimited { after } = error {
                        assert!(after <= Duration::from_secs(600), "{after:?}");
                    }
                }
            }
        }
    }
    assert!(good > 20 && bad > 20, "{good} good and {bad} bad answers: some of both is what is to be tried");
    shutdown.cancel();
}

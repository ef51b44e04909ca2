//! How calls reach Slack: one connector for production and loopback, one time limit for each call. Knows no method's meaning.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::{CALL, SlackError, TICKET};

type Https = HttpsConnector<HttpConnector>;

/// The largest answer that is read, in bytes: 200 messages or 1,000 channels.
const MAX_BODY: usize = 8 << 20;
const JSON: &str = "application/json; charset=utf-8";

/// The connections to Slack. Clones share them.
#[derive(Clone)]
pub(super) struct Wire {
    http: Client<Https, Full<Bytes>>,
    tls: Arc<ClientConfig>,
    base: Arc<Url>,
    bot: Arc<SecretString>,
    app: Arc<SecretString>,
}

/// What every answer says of itself.
#[derive(Default, Deserialize)]
struct Said {
    ok: Option<bool>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Ticket {
    url: String,
}

impl Wire {
    pub(super) fn new(base_url: &str, bot: &SecretString, app: &SecretString) -> anyhow::Result<Self> {
        let base_url = base_url.trim_end_matches('/');
        let base = Url::parse(base_url).context("parse slack's base url")?;
        let tls = tls()?;
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector(&tls)),
            tls: Arc::new(tls),
            base: Arc::new(base),
            bot: Arc::new(bot.clone()),
            app: Arc::new(app.clone()),
        })
    }

    /// The TLS settings, for the socket.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    /// A method that reads, with the parameters that have a value.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Vec<(&str, Option<String>)>,
    ) -> Result<T, SlackError> {
        let mut url = self.method(method);
        for (name, value) in params {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let request = hyper::Request::get(url.as_str()).header("authorization", bearer(&self.bot));
        content(&self.send(CALL, request, Bytes::new()).await?.1)
    }

    /// A method that writes.
    pub(super) async fn post<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T, SlackError> {
        self.post_as(&self.bot, CALL, method, body).await
    }

    async fn post_as<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        limit: Duration,
        method: &str,
        body: &impl Serialize,
    ) -> Result<T, SlackError> {
        let request = hyper::Request::post(self.method(method).as_str())
            .header("authorization", bearer(token))
            .header("content-type", JSON);
        content(&self.send(limit, request, json_of(body)).await?.1)
    }

    /// The address of a method.
    fn method(&self, method: &str) -> Url {
        let mut url = Url::clone(&self.base);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(method);
        }
        url
    }

    /// `apps.connections.open`. The address has to be as safe as the one that was asked.
    pub(super) async fn ticket(&self) -> Result<SecretString, SlackError> {
        let ticket: Ticket = self.post_as(&self.app, TICKET, "apps.connections.open", &json!({})).await?;
        let safe = Url::parse(&ticket.url).is_ok_and(|url| {
            url.scheme() == "wss" || url.scheme() == "ws" && is_loopback(&url) && is_loopback(&self.base)
        });
        match safe {
            true => Ok(ticket.url.into()),
            false => Err(SlackError::uncertain("an address for the socket that is not safe")),
        }
    }

    /// The scopes of the bot's token: a header of any answer.
    pub(super) async fn scopes(&self) -> Result<BTreeSet<String>, SlackError> {
        let request =
            hyper::Request::post(self.method("auth.test").as_str()).header("authorization", bearer(&self.bot));
        let (headers, _) = self.send(CALL, request, Bytes::new()).await?;
        let scopes = headers.get("x-oauth-scopes").and_then(|scopes| scopes.to_str().ok()).unwrap_or_default();
        Ok(scopes.split(',').map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty()).collect())
    }

    /// Posts to the address of an answer, which is somebody's claim until its host is seen to be Slack's.
    pub(super) async fn respond(&self, response_url: &str, body: &impl Serialize) -> Result<(), SlackError> {
        if !self.may_answer_at(response_url) {
            return Err(SlackError::Refused { code: "not_an_address_of_slack".to_owned() });
        }
        let request = hyper::Request::post(response_url).header("content-type", JSON);
        self.send(CALL, request, json_of(body)).await.map(|_| ())
    }

    fn may_answer_at(&self, response_url: &str) -> bool {
        let Ok(url) = Url::parse(response_url) else { return false };
        let slack = url.scheme() == "https" && url.host_str() == Some("hooks.slack.com") && url.port().is_none();
        let pretend = is_loopback(&self.base)
            && url.origin() == self.base.origin()
            && url.username().is_empty()
            && url.password().is_none();
        slack || pretend
    }

    /// Sends a request. Redirects are not followed: they are refusals.
    async fn send(
        &self,
        limit: Duration,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(hyper::HeaderMap, Bytes), SlackError> {
        let broken = || SlackError::uncertain("no connection");
        let request = request
            .body(Full::new(body))
            .map_err(|_| SlackError::Refused { code: "not_an_address_of_slack".to_owned() })?;
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|_| broken())?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| broken())?.to_bytes();
            Ok::<_, SlackError>((parts, body))
        };
        let (parts, body) = tokio::time::timeout(limit, exchange).await.map_err(|_| too_late())??;
        judge(parts.status.as_u16(), retry_after(&parts.headers), &body)?;
        Ok((parts.headers, body))
    }
}

/// Whether an answer means yes: `ok` as text, which answers at a `response_url` get, or JSON with `ok`.
fn judge(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Result<(), SlackError> {
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    match (status, said.error) {
        (200 | 400..=428 | 430..=499, Some(code)) => Err(SlackError::of_code(&code)),
        (200, None) if said.ok == Some(false) => Err(SlackError::uncertain("neither yes nor a reason")),
        (200, None) => Ok(()),
        (status, _) => Err(SlackError::of_status(status, retry_after)),
    }
}

/// What an answer of the Web API carries beside its `ok`, without which it is none.
fn content<T: DeserializeOwned>(body: &[u8]) -> Result<T, SlackError> {
    let unreadable = |_| SlackError::uncertain("an unreadable answer");
    match serde_json::from_slice(body).map_err(unreadable)? {
        Said { ok: Some(true), .. } => serde_json::from_slice(body).map_err(unreadable),
        Said { .. } => Err(SlackError::uncertain("neither yes nor a reason")),
    }
}

/// Our own structs become JSON without fail; an empty body Slack would refuse.
fn json_of(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}

fn bearer(token: &SecretString) -> String {
    format!("Bearer {}", token.expose_secret())
}

fn retry_after(headers: &hyper::HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn too_late() -> SlackError {
    SlackError::uncertain("no answer in time")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The provider is named, so that another one in the build does no harm (`facts/slack.md` 0.5).
fn tls() -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose tls versions")?
        .with_native_roots()
        .context("load the system's root certificates")?;
    Ok(config.with_no_client_auth())
}

/// HTTP/1 only: a dead HTTP/2 connection would stay in the pool and swallow call after call, while here each call that runs into
/// its time limit takes its connection along. Keep-alive probes find the dead ones that nobody uses.
fn connector(tls: &ClientConfig) -> Https {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(TICKET));
    tcp.set_keepalive(Some(Duration::from_secs(5)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(2)));
    tcp.set_keepalive_retries(Some(2));
    HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1().wrap_connector(tcp)
}

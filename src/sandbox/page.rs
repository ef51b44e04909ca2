//! The sandbox's page: a small Slack beside a panel that makes the world turn. Serves files and JSON, decides nothing.
//!
//! For people on this machine only: a `Host` that is not loopback is refused (DNS rebinding), and so is a POST that
//! is not JSON (another site's form).

use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::slack::Workspace;
use crate::http::{Request, Response, json as respond_json, respond};

/// The largest act taken.
const MAX_BODY: usize = 64 * 1024;

/// The pretend GitHub and Elastic Beanstalk, as the page reaches them.
#[derive(Clone)]
pub struct World<View, Act> {
    /// All that the panel shows.
    pub view: View,
    /// Does what the panel asks for; `Err` is a sentence for the person who asked.
    pub act: Act,
}

/// Serves the page on `listener` until `shutdown`.
pub async fn serve<View, Act>(
    listener: TcpListener,
    workspace: Workspace,
    world: World<View, Act>,
    shutdown: CancellationToken,
) where
    View: Fn() -> Value + Clone + Send + Sync + 'static,
    Act: Fn(Value) -> Result<String, String> + Clone + Send + Sync + 'static,
{
    let handler = move |request| route(workspace.clone(), world.clone(), request);
    crate::http::serve(listener, shutdown, handler).await;
}

async fn route<View, Act>(workspace: Workspace, world: World<View, Act>, request: Request) -> Response
where
    View: Fn() -> Value,
    Act: Fn(Value) -> Result<String, String>,
{
    if !is_loopback(request.headers().get(HOST)) {
        return respond(403, "text/plain", "this page is for this machine only");
    }
    let path = request.uri().path();
    match (request.method(), path) {
        (&Method::GET, "/state") => {
            let state = json!({"slack": workspace.view(&viewer(&request)), "world": (world.view)()});
            respond_json(200, &state)
        }
        (&Method::POST, "/act") => act(&workspace, &world.act, request).await,
        (&Method::GET, path) => file(path),
        (_, _) => respond(405, "text/plain", "no"),
    }
}

/// The page's files.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/markup.js", SCRIPT, include_str!("page/markup.js")),
    ("/blocks.js", SCRIPT, include_str!("page/blocks.js")),
    ("/messages.js", SCRIPT, include_str!("page/messages.js")),
    ("/world.js", SCRIPT, include_str!("page/world.js")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing but the page's own files runs or is shown in it: texts from outside stay texts.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

fn file(path: &str) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(name, ..)| *name == path) else {
        return respond(404, "text/plain", "not found");
    };
    let mut response = respond(200, kind, *text);
    response.headers_mut().insert("content-security-policy", POLICY);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
    response
}

/// Whose eyes the page looks through.
fn viewer(request: &Request) -> String {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let viewer = url::form_urlencoded::parse(query).find(|(name, _)| name == "as");
    viewer.map_or_else(|| "UANA".to_owned(), |(_, user)| user.into_owned())
}

/// Whether the page was asked for by a name that only this machine has.
fn is_loopback(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    matches!(name, "127.0.0.1" | "localhost" | "::1")
}

async fn act<Act>(workspace: &Workspace, world: &Act, request: Request) -> Response
where
    Act: Fn(Value) -> Result<String, String>,
{
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return respond(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16(), "text/plain", "JSON only");
    }
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return respond(400, "text/plain", "bad body");
    };
    let done = match serde_json::from_slice::<Value>(&body.to_bytes()) {
        Ok(body) => perform(workspace, world, body).await,
        Err(error) => Err(error.to_string()),
    };
    let (ok, said) = match done {
        Ok(said) => (true, said),
        Err(said) => (false, said),
    };
    respond_json(200, &json!({"ok": ok, "said": said}))
}

async fn perform<Act>(workspace: &Workspace, world: &Act, mut body: Value) -> Result<String, String>
where
    Act: Fn(Value) -> Result<String, String>,
{
    match (body.get("slack").is_some(), body.get("world").is_some()) {
        (true, false) => {
            let act = serde_json::from_value(body["slack"].take()).map_err(|error| error.to_string())?;
            workspace.act(act).await
        }
        (false, true) => world(body["world"].take()),
        (_, _) => Err("an act is for slack or for the world".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{HeaderValue, World, file, is_loopback, json, perform};
    use crate::clock::Clock;
    use crate::sandbox::slack::Workspace;

    #[test]
    fn only_loopback_names_are_served() {
        let served = |host: &str| is_loopback(Some(&HeaderValue::from_str(host).unwrap()));
        for host in ["127.0.0.1:8000", "localhost", "[::1]:8000"] {
            assert!(served(host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", ""] {
            assert!(!served(host), "{host}");
        }
        assert!(!is_loopback(None));
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        for path in ["/", "/page.css", "/page.js", "/markup.js", "/blocks.js", "/messages.js", "/world.js"] {
            assert_eq!(file(path).status(), 200, "{path}");
        }
        assert_eq!(file("/secrets").status(), 404);
    }

    #[tokio::test]
    async fn acts_go_where_they_belong() {
        let workspace = Workspace::new(Clock::default());
        let world = World { view: || json!({}), act: |act: serde_json::Value| Ok(act["do"].to_string()) };
        let said = perform(&workspace, &world.act, json!({"world": {"do": "merge"}})).await;
        assert_eq!(said.unwrap(), "\"merge\"");
        let say = json!({"slack": {"do": "say", "user": "UANA", "channel": "deploys", "text": "hi"}});
        assert_eq!(perform(&workspace, &world.act, say).await.unwrap(), "");
        assert_eq!(workspace.messages("deploys")[0].text, "hi");
        let strange = json!({"slack": {"do": "fly"}});
        assert!(perform(&workspace, &world.act, strange).await.unwrap_err().contains("fly"));
        assert!(perform(&workspace, &world.act, json!({})).await.is_err());
    }
}

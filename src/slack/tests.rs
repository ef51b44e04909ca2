use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::deploy::message::{Line, Part, Span};
use crate::http::{self, Response};

/// A request as a fake Slack saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The last part of the path.
    pub method: String,
    pub query: BTreeMap<String, String>,
    pub authorization: String,
    pub body: Value,
}

/// A fake Slack on loopback; gone when dropped.
pub(super) struct Fake {
    pub base: String,
    calls: Arc<Mutex<Vec<Call>>>,
    _stop: DropGuard,
}

impl Fake {
    pub fn slack(&self) -> Slack {
        Slack::new(&format!("{}/api/", self.base), "xoxb-secret".into(), "xapp-secret".into()).unwrap()
    }

    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.method == method).cloned().collect()
    }
}

/// Serves whatever `answer` says.
pub(super) async fn fake(answer: impl Fn(&Call) -> Response + Send + Sync + 'static) -> Fake {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let stop = CancellationToken::new();
    let (answer, seen) = (Arc::new(answer), calls.clone());
    tokio::spawn(http::serve(listener, stop.clone(), move |request: http::Request| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let call = call_of(request).await;
            seen.lock().unwrap().push(call.clone());
            answer(&call)
        }
    }));
    Fake { base, calls, _stop: stop.drop_guard() }
}

async fn call_of(request: http::Request) -> Call {
    let (parts, body) = request.into_parts();
    let url = url::Url::parse(&format!("http://fake{}", parts.uri)).unwrap();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.unwrap().to_bytes();
    Call {
        method: url.path().rsplit('/').next().unwrap().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        authorization: header("authorization").unwrap_or_default(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

async fn answering(status: u16, answer: Value) -> Fake {
    fake(move |_: &Call| http::json(status, &answer)).await
}

fn message() -> Message {
    Message { summary: Line::plain("h & co"), parts: vec![Part::Text(Line(vec![Span::Plain("hello".into())]))] }
}

#[tokio::test]
async fn a_message_is_posted_with_its_effects_id() {
    let fake = answering(200, json!({ "ok": true, "channel": "C1", "ts": "1.000100", "message": {} })).await;
    let posted = fake.slack().post("C1", &message(), Some("1.0"), true, "e42").await;
    assert_eq!(posted, Ok(Posted { channel: "C1".into(), ts: "1.000100".into() }));
    let call = &fake.calls_of("chat.postMessage")[0];
    assert_eq!(call.authorization, "Bearer xoxb-secret");
    let expected = json!({
        "channel": "C1", "text": "h &amp; co", "unfurl_links": false, "unfurl_media": false, "thread_ts": "1.0", "reply_broadcast": true,
        "metadata": { "event_type": "lockkeeper_effect", "event_payload": { "id": "e42" } },
        "blocks": [{ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [{ "type": "text", "text": "hello" }] }] }],
    });
    assert_eq!(call.body, expected);
}

#[tokio::test]
async fn failures_are_told_apart_and_hold_no_secrets() {
    let refused = |code: &str| SlackError::Refused { code: code.into() };
    let uncertain = |what: &str| SlackError::Uncertain { what: what.into() };
    let limited = |after| SlackError::RateLimited { after: Duration::from_secs(after) };
    let table = [
        (200, json!({ "ok": false, "error": "not_in_channel", "secret": "hunter2" }), refused("not_in_channel")),
        (200, json!({ "ok": false, "error": "odd https://x/?ticket=1" }), refused("oddhttpsxticket1")),
        (200, json!({ "ok": false, "error": "internal_error" }), uncertain("internal_error")),
        (200, json!({ "ok": false, "error": "ratelimited" }), limited(10)),
        (200, json!({ "ok": false }), uncertain("neither yes nor a reason")),
        (200, json!({ "ok": true, "secret": "hunter2" }), uncertain("an unreadable answer")),
        (429, json!({ "ok": false, "error": "ratelimited" }), limited(10)),
        (503, json!({ "secret": "hunter2" }), uncertain("status 503")),
        (404, json!({ "secret": "hunter2" }), refused("http_404")),
    ];
    for (status, answer, expected) in table {
        let fake = answering(status, answer).await;
        let error = fake.slack().post("C1", &message(), None, false, "e").await.unwrap_err();
        assert_eq!(error, expected);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let fake = fake(|_: &Call| {
        let mut answer = http::json(429, &json!({ "ok": false }));
        answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        answer
    })
    .await;
    assert_eq!(fake.slack().update("C1", "1.0", &message()).await, Err(limited(7)));
}

#[tokio::test]
async fn a_broken_connection_is_uncertain() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let slack = Slack::new(&base, "xoxb-x".into(), "xapp-x".into()).unwrap();
    let error = slack.post("C1", &message(), None, false, "e").await.unwrap_err();
    assert_eq!(error, SlackError::uncertain("no connection"));
    assert!(!format!("{slack:?}").contains("xoxb"));
}

#[tokio::test]
async fn an_uncertain_message_is_looked_for() {
    let fake = fake(|call: &Call| {
        let ours = |id: &str| json!({ "event_type": "lockkeeper_effect", "event_payload": { "id": id } });
        http::json(200, &match call.query.get("cursor").map(String::as_str) {
            None => json!({ "ok": true, "messages": [{ "ts": "9.1", "metadata": ours("other") }, { "ts": "9.2", "metadata": null }],
                "response_metadata": { "next_cursor": "a=b" } }),
            Some("a=b") => json!({ "ok": true, "messages": [{ "ts": "8.1", "metadata": ours("e42") }], "response_metadata": null }),
            Some(_) => json!({ "ok": false, "error": "invalid_cursor" }),
        })
    })
    .await;
    let since = Timestamp::from_second(1_000).unwrap();
    let found = fake.slack().find_posted("C1", None, "e42", since).await;
    assert_eq!(found, Ok(Some(Posted { channel: "C1".into(), ts: "8.1".into() })));
    assert_eq!(fake.slack().find_posted("C1", Some("7.0"), "e43", since).await, Ok(None));
    let call = &fake.calls_of("conversations.replies")[0];
    assert_eq!((call.query["ts"].as_str(), call.query["oldest"].as_str()), ("7.0", "940.000000"));
    assert_eq!(call.query["include_all_metadata"], "true");
}

#[tokio::test]
async fn answers_go_to_slack_and_nowhere_else() {
    let fake = fake(|call: &Call| match call.method.as_str() {
        "text" => http::respond(200, "text/html", "ok"),
        "moved" => {
            let mut answer = http::respond(302, "text/html", "");
            answer.headers_mut().insert("location", "/text".parse().unwrap());
            answer
        }
        "expired" => http::json(404, &json!({ "ok": false, "error": "expired_url" })),
        "gone" => http::respond(404, "text/html", "No such thing"),
        _ => http::json(200, &json!({ "ok": true })),
    })
    .await;
    let slack = fake.slack();
    let respond = async |path: &str| slack.respond(&format!("{}{path}", fake.base), &message(), true, true).await;
    assert_eq!(respond("/text").await, Ok(()));
    assert_eq!(respond("/json").await, Ok(()));
    assert_eq!(fake.calls_of("text").len(), 1);
    assert_eq!(respond("/moved").await, Err(SlackError::Refused { code: "http_302".into() }));
    assert_eq!(fake.calls_of("text").len(), 1, "a redirect is not followed");
    assert_eq!(respond("/expired").await, Err(SlackError::Refused { code: "expired_url".into() }));
    assert_eq!(respond("/gone").await, Err(SlackError::Refused { code: "http_404".into() }));
    let call = &fake.calls_of("json")[0];
    assert_eq!((&call.body["response_type"], &call.body["replace_original"]), (&json!("in_channel"), &json!(true)));
    assert_eq!(call.authorization, "", "no token goes there");

    let elsewhere = [
        "http://hooks.slack.com/x",
        "https://hooks.slack.com:444/x",
        "https://hooks.slack.com.evil.example/x",
        "x",
        "",
        "http://127.0.0.1:1/x",
        "https://evil.example/hooks.slack.com",
    ];
    for url in elsewhere {
        let refused = slack.respond(url, &message(), false, false).await;
        assert_eq!(refused, Err(SlackError::Refused { code: "not_an_address_of_slack".into() }), "{url}");
    }
}

#[tokio::test]
async fn channels_are_found_by_name_and_id() {
    let fake = fake(|call: &Call| {
        http::json(200, &match (call.method.as_str(), call.query.get("cursor"), call.query.get("channel").map(String::as_str)) {
            ("conversations.list", None, _) => {
                json!({ "ok": true, "channels": [{ "id": "C1", "name": "general" }], "response_metadata": { "next_cursor": "2" } })
            }
            ("conversations.list", Some(_), _) => json!({ "ok": true, "channels": [{ "id": "C2", "name": "deploys", "is_member": true }] }),
            ("conversations.info", _, Some("C2")) => json!({ "ok": true, "channel": { "id": "C2", "name": "deploys", "is_archived": true } }),
            _ => json!({ "ok": false, "error": "channel_not_found" }),
        })
    })
    .await;
    let slack = fake.slack();
    let deploys = slack.channel("#deploys").await.unwrap().unwrap();
    assert_eq!((deploys.id.as_str(), deploys.is_member), ("C2", true));
    assert!(slack.channel("C2").await.unwrap().unwrap().is_archived);
    assert_eq!(slack.channel("nowhere").await, Ok(None));
    assert_eq!(slack.channel("C404").await, Ok(None));
}

#[tokio::test]
async fn the_bot_knows_itself_and_its_scopes() {
    let fake = fake(|_: &Call| {
        let identity = json!({ "ok": true, "url": "https://t.slack.com/", "team": "t", "user": "bot", "team_id": "T1", "user_id": "U0", "bot_id": "B0" });
        let mut answer = http::json(200, &identity);
        answer.headers_mut().insert("x-oauth-scopes", "commands,chat:write, users:read".parse().unwrap());
        answer
    })
    .await;
    let identity = fake.slack().auth_test().await.unwrap();
    assert_eq!((identity.team_id.as_str(), identity.bot_id.as_deref()), ("T1", Some("B0")));
    let scopes = fake.slack().scopes().await.unwrap();
    assert_eq!(scopes.iter().map(String::as_str).collect::<Vec<_>>(), ["chat:write", "commands", "users:read"]);
    let refused =
        answering(200, json!({ "ok": false, "error": "invalid_auth" })).await.slack().scopes().await.unwrap_err();
    assert!(refused.is_fatal_auth());
}

#[tokio::test]
async fn the_sockets_address_has_to_be_safe() {
    let table = [
        ("wss://wss.slack.com/link/?ticket=1", true),
        ("ws://127.0.0.1:1/link", true),
        ("ws://evil.example/", false),
        ("x", false),
    ];
    for (url, safe) in table {
        let fake = answering(200, json!({ "ok": true, "url": url })).await;
        assert_eq!(fake.slack().open_socket().await.is_ok(), safe, "{url}");
        assert_eq!(fake.calls_of("apps.connections.open")[0].authorization, "Bearer xapp-secret");
    }
}

#[tokio::test]
async fn forms_and_answers_for_one_person_are_sent() {
    let fake = answering(200, json!({ "ok": true, "view": { "id": "V1" }, "channel": { "id": "D1" } })).await;
    let slack = fake.slack();
    let (form, view) = (Form::Hold("h".into()), View::loading("Hold h"));
    assert_eq!(slack.open_form("1.2.a", &form, &view).await.unwrap().unwrap(), "V1");
    slack.change_form("V1", &form, &view).await.unwrap();
    assert_eq!(fake.calls_of("views.update")[0].body["view_id"], "V1");
    assert_eq!(slack.direct(&SlackId::new("U1")).await.unwrap(), "D1");
    assert_eq!(fake.calls_of("conversations.open")[0].body["users"], "U1");
    slack.ephemeral("C1", &SlackId::new("U1"), &message()).await.unwrap();
    slack.update("C1", "1.0", &message()).await.unwrap();
    assert_eq!(fake.calls_of("views.open")[0].body["trigger_id"], "1.2.a");
    assert_eq!(fake.calls_of("chat.postEphemeral")[0].body["user"], "U1");
    assert_eq!(fake.calls_of("chat.update")[0].body["ts"], "1.0");
}

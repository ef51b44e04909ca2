//! A raw client against the pretend Slack: what it sends, what it takes, what it complains about.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{
    APP_TOKEN, BOT_TOKEN, CancellationToken, Clock, Disconnect, Duration, Fault, Input, MessageRef, TcpListener,
    Values, Workspace,
};

use super::judge::{Surface, judge, judge_modal};

const SOON: Duration = Duration::from_secs(8);

/// A served workspace and a client for its Web API.
struct Slack {
    workspace: Workspace,
    clock: Clock,
    base: String,
    _stop: tokio_util::sync::DropGuard,
}

type Answer = (u16, Value);

impl Slack {
    async fn start() -> Slack {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::default();
        let workspace = Workspace::new(clock.clone());
        let stop = CancellationToken::new();
        tokio::spawn(super::serve(listener, workspace.clone(), stop.clone()));
        Slack { workspace, clock, base, _stop: stop.drop_guard() }
    }

    async fn http(&self, request: hyper::Request<Full<Bytes>>) -> (u16, Bytes) {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }

    async fn post(&self, url: &str, token: &str, body: &Value) -> Answer {
        let request = hyper::Request::post(url)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json; charset=utf-8")
            .body(Full::new(Bytes::from(body.to_string())));
        let (status, body) = self.http(request.unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
    }

    async fn call(&self, method: &str, body: &Value) -> Answer {
        self.post(&format!("{}/api/{method}", self.base), BOT_TOKEN, body).await
    }

    async fn get(&self, method_and_query: &str) -> Value {
        let request = hyper::Request::get(format!("{}/api/{method_and_query}", self.base))
            .header("authorization", format!("Bearer {BOT_TOKEN}"))
            .body(Full::default());
        serde_json::from_slice(&self.http(request.unwrap()).await.1).unwrap()
    }

    /// Posts to #deploys and returns the `ts`.
    async fn say(&self, text: &str, more: &Value) -> String {
        let mut body = json!({"channel": "CDEPLOYS", "text": text, "unfurl_links": false, "unfurl_media": false});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (_, answer) = self.call("chat.postMessage", &body).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["ts"].as_str().unwrap().to_owned()
    }

    async fn ticket(&self) -> String {
        let (_, answer) = self.post(&format!("{}/api/apps.connections.open", self.base), APP_TOKEN, &json!({})).await;
        answer["url"].as_str().unwrap().to_owned()
    }

    async fn socket(&self) -> Socket {
        let (stream, _) = tokio_tungstenite::connect_async(self.ticket().await).await.unwrap();
        let mut socket = Socket { stream };
        assert_eq!(socket.hear().await["type"], "hello");
        socket
    }

    /// Runs a command in the background.
    fn command(&self, text: &str) -> tokio::task::JoinHandle<Result<(), String>> {
        let (workspace, text) = (self.workspace.clone(), text.to_owned());
        tokio::spawn(async move { workspace.command("UANA", "CDEPLOYS", &text).await })
    }

    fn click(&self, at: MessageRef, action: &'static str) -> tokio::task::JoinHandle<Result<(), String>> {
        let workspace = self.workspace.clone();
        tokio::spawn(async move { workspace.click("UANA", &at, action).await })
    }

    /// The complaints, which are then forgotten.
    fn complaints(&self) -> String {
        let complaints = self.workspace.complaints().join("\n");
        self.workspace.forgive();
        complaints
    }
}

struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    async fn hear(&mut self) -> Value {
        loop {
            match tokio::time::timeout(SOON, self.stream.next()).await.unwrap() {
                Some(Ok(Frame::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return Value::Null,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn ack(&mut self, envelope: &Value, payload: Option<Value>) {
        let mut ack = json!({"envelope_id": envelope["envelope_id"]});
        if let Some(payload) = payload {
            ack["payload"] = payload;
        }
        self.stream.send(Frame::text(ack.to_string())).await.unwrap();
    }
}

fn actions(id: &str, value: &str) -> Value {
    json!([{"type": "actions", "elements": [
        {"type": "button", "action_id": id, "value": value, "text": {"type": "plain_text", "text": "Approve"}},
    ]}])
}

#[tokio::test]
async fn a_command_is_told_acknowledged_and_answered() {
    let slack = Slack::start().await;
    let mut socket = slack.socket().await;
    let asked = slack.command("status h & <b> @ben");
    let envelope = socket.hear().await;
    assert_eq!(envelope["type"], "slash_commands");
    assert_eq!(envelope["accepts_response_payload"], true);
    assert_eq!(envelope["payload"]["command"], "/deploy");
    assert_eq!(envelope["payload"]["text"], "status h &amp; &lt;b&gt; <@UBEN|ben>");
    assert_eq!(envelope["payload"]["channel_name"], "deploys");
    socket.ack(&envelope, Some(json!({"text": "All is well"}))).await;
    asked.await.unwrap().unwrap();
    let seen = slack.workspace.ephemerals("UANA");
    assert_eq!(seen[0].reads(), "All is well");
    assert!(slack.workspace.ephemerals("UBEN").is_empty());
    let url = envelope["payload"]["response_url"].as_str().unwrap();
    let again = json!({"text": "Better still", "replace_original": true});
    assert_eq!(slack.post(url, "", &again).await, (200, json!("ok")));
    assert_eq!(slack.workspace.ephemerals("UANA")[0].reads(), "Better still");
    assert!(slack.workspace.acks()[0].after < Duration::from_secs(1));
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn a_command_with_nobody_there_fails_for_the_person_only() {
    let slack = Slack::start().await;
    let said = slack.workspace.command("UANA", "#random", "").await.unwrap_err();
    assert_eq!(said, "/deploy failed with the error \"dispatch_failed\"");
    assert_eq!(slack.workspace.ephemerals("UANA")[0].reads(), said);
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn a_late_ack_and_a_strange_ack_are_complaints() {
    let slack = Slack::start().await;
    let mut socket = slack.socket().await;
    let asked = slack.command("");
    let envelope = socket.hear().await;
    assert_eq!(asked.await.unwrap().unwrap_err(), "/deploy failed with the error \"operation_timeout\"");
    assert_eq!(slack.complaints(), "a slash_commands envelope was not acknowledged within 3 s");
    socket.ack(&envelope, None).await;
    socket.ack(&json!({"envelope_id": "nonsense"}), None).await;
    slack.workspace.wait(SOON, |slack| (!slack.complaints().is_empty()).then_some(())).await.unwrap();
    assert!(slack.workspace.acks()[0].after >= Duration::from_secs(3));
    assert_eq!(slack.complaints(), "an ack for an unknown envelope_id");
}

/// What was sent a moment before the app's goodbye crossed it; what it had for longer it should have acknowledged.
#[tokio::test]
async fn an_app_that_leaves_acknowledges_what_it_had() {
    let slack = Slack::start().await;
    for (had, expected) in [(0, ""), (400, "a slash_commands envelope was not acknowledged within 3 s")] {
        let (orders, _inbox) = tokio::sync::mpsc::unbounded_channel();
        let id = slack.workspace.with(|state| state.join(orders));
        let sent = slack.workspace.with(|state| state.send("slash_commands", &json!({})));
        let (envelope, _answer) = sent.expect("a socket");
        tokio::time::sleep(Duration::from_millis(had)).await;
        slack.workspace.with(|state| {
            state.leave(id, false);
            state.give_up(&envelope);
        });
        assert_eq!(slack.complaints(), expected);
    }
}

#[tokio::test]
async fn an_envelope_can_come_twice() {
    let slack = Slack::start().await;
    let (mut one, mut two) = (slack.socket().await, slack.socket().await);
    slack.workspace.fault(Fault::DeliverTwice { on: true });
    let asked = slack.command("approve h");
    let (first, second) = (one.hear().await, two.hear().await);
    assert_eq!(first, second);
    one.ack(&first, None).await;
    two.ack(&second, None).await;
    asked.await.unwrap().unwrap();
    slack.workspace.wait(SOON, |slack| (slack.acks().len() == 2).then_some(())).await.unwrap();
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn sockets_come_and_go() {
    let slack = Slack::start().await;
    let used = slack.ticket().await;
    let mut first = Socket { stream: tokio_tungstenite::connect_async(&used).await.unwrap().0 };
    assert_eq!(first.hear().await["num_connections"], 1);
    assert!(tokio_tungstenite::connect_async(&used).await.is_err(), "a ticket is good once");
    assert!(slack.complaints().contains("ticket"));

    slack.workspace.disconnect(Disconnect::RefreshRequested);
    assert_eq!(first.hear().await["reason"], "refresh_requested");
    let mut second = slack.socket().await;
    let asked = slack.command("");
    let envelope = second.hear().await;
    second.ack(&envelope, Some(json!({}))).await;
    asked.await.unwrap().unwrap();
    assert_eq!(first.hear().await, Value::Null, "closed after its grace");

    slack.workspace.fault(Fault::DropTcp);
    assert_eq!(second.hear().await, Value::Null);
    slack.workspace.fault(Fault::RefuseConnections { on: true });
    assert!(tokio_tungstenite::connect_async(format!("ws{}/link/", &slack.base[4..])).await.is_err());
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn an_eleventh_socket_is_turned_away() {
    let slack = Slack::start().await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(slack.socket().await);
    }
    let (stream, _) = tokio_tungstenite::connect_async(slack.ticket().await).await.unwrap();
    let turned_away = Socket { stream }.hear().await;
    assert_eq!((&turned_away["reason"], &turned_away["num_connections"]), (&json!("too_many_websockets"), &json!(11)));
}

#[tokio::test]
async fn half_open_means_no_pong_and_no_blame() {
    let slack = Slack::start().await;
    let mut socket = slack.socket().await;
    slack.workspace.fault(Fault::WithholdPongs);
    socket.stream.send(Frame::Ping("x".into())).await.unwrap();
    assert!(slack.command("").await.unwrap().is_err());
    assert_eq!(slack.complaints(), "");
    drop(socket);
    slack.workspace.wait(SOON, |slack| (slack.connected() == 0).then_some(())).await.unwrap();
}

#[tokio::test]
async fn faults_of_the_web_api() {
    let slack = Slack::start().await;
    let method = || "chat.postMessage".to_owned();
    let body = json!({"channel": "CDEPLOYS", "text": "x", "unfurl_links": false, "unfurl_media": false});
    slack.workspace.fault(Fault::Http500 { method: method(), times: 1 });
    assert_eq!(slack.call("chat.postMessage", &body).await.0, 500);
    assert_eq!(slack.workspace.messages("deploys").len(), 0);
    slack.workspace.fault(Fault::Http500After { method: method(), times: 1 });
    assert_eq!(slack.call("chat.postMessage", &body).await.0, 500);
    assert_eq!(slack.workspace.messages("deploys").len(), 1);
    slack.workspace.fault(Fault::Http429 { method: "*".to_owned(), times: 1, retry_after: 7 });
    assert_eq!(slack.call("chat.postMessage", &body).await.0, 429);
    slack.workspace.fault(Fault::Error { method: method(), times: 1, error: "fatal_error".to_owned() });
    assert_eq!(slack.call("chat.postMessage", &body).await.1["error"], "fatal_error");
    assert_eq!(slack.workspace.calls().len(), 4);
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn a_channel_takes_ten_messages_at_once() {
    let slack = Slack::start().await;
    for i in 0..10 {
        slack.say(&format!("message {i}"), &json!({})).await;
    }
    let body = json!({"channel": "CDEPLOYS", "text": "x", "unfurl_links": false, "unfurl_media": false});
    assert_eq!(slack.call("chat.postMessage", &body).await, (429, json!({"ok": false, "error": "ratelimited"})));
    let elsewhere = json!({"channel": "#eng-h", "text": "x", "unfurl_links": false, "unfurl_media": false});
    assert_eq!(slack.call("chat.postMessage", &elsewhere).await.1["ok"], true);
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn what_slack_would_not_take() {
    let slack = Slack::start().await;
    let text = |text: &str| json!({"type": "mrkdwn", "text": text});
    let section = |content: &str| json!([{"type": "section", "text": text(content)}]);
    let cases = [
        (section(&"x".repeat(3001)), "invalid_blocks", "less than 3001"),
        (json!(vec![json!({"type": "divider"}); 51]), "invalid_blocks", "0 to 50"),
        (json!([{"type": "carousel"}]), "invalid_blocks", "unsupported type: carousel"),
        (json!([{"type": "header", "text": text("x")}]), "invalid_blocks", "unsupported type"),
        (json!([{"type": "divider", "colour": "red"}]), "invalid_blocks", "no such key"),
        (json!(vec![json!({"type": "divider", "block_id": "a"}); 2]), "invalid_blocks", "twice"),
        (actions("a", &"v".repeat(2001)), "invalid_blocks", "less than 2001"),
        (json!(vec![section(&"x".repeat(2900))[0].clone(); 5]), "msg_blocks_too_long", "14500"),
    ];
    for (blocks, error, complaint) in cases {
        let body =
            json!({"channel": "CDEPLOYS", "text": "x", "blocks": blocks, "unfurl_links": false, "unfurl_media": false});
        assert_eq!(slack.call("chat.postMessage", &body).await.1["error"], error);
        let complaints = slack.complaints();
        assert!(complaints.contains(complaint), "{complaint:?} is not in {complaints:?}");
    }
    assert!(slack.workspace.messages("deploys").is_empty());
}

#[test]
fn block_kit_is_judged() {
    let plain = |text: &str| json!({"type": "plain_text", "text": text});
    let confirm = |text: &str| json!({"title": plain("Sure?"), "text": plain(text), "confirm": plain("Yes"), "deny": plain("No")});
    let button = |more: Value| {
        let mut button = json!({"type": "button", "action_id": "a", "text": plain("Go")});
        button.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([{"type": "actions", "elements": [button]}])
    };
    let option = json!({"text": plain("One"), "value": "1"});
    let ticks = |more: Value| json!([{"type": "input", "label": plain("Which"), "element": more}]);
    let fine = [
        button(json!({"style": "danger", "confirm": confirm("Really?"), "url": "https://example.com"})),
        ticks(json!({"type": "checkboxes", "action_id": "a", "options": [option], "initial_options": [option]})),
        json!([{"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}, {"type": "header", "text": plain("x")}]),
        json!([{"type": "rich_text", "elements": [{"type": "rich_text_list", "style": "bullet", "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "x", "style": {"bold": true}}]},
        ]}]}]),
    ];
    for blocks in fine {
        assert_eq!(judge(&blocks, Surface::Message, ""), [], "{blocks}");
    }
    let wrong = [
        (button(json!({"style": "warning"})), "/0/elements/0/style"),
        (button(json!({"confirm": confirm(&"x".repeat(301))})), "/0/elements/0/confirm/text/text"),
        (button(json!({"confirm": {"title": plain("Sure?")}})), "/0/elements/0/confirm/text"),
        (button(json!({"text": plain(&"x".repeat(76))})), "/0/elements/0/text/text"),
        (button(json!({"action_id": ""})), "/0/elements/0/action_id"),
        (json!([{"type": "section"}]), "/0/text"),
        (json!([{"type": "section", "text": plain("")}]), "/0/text/text"),
        (json!([{"type": "section", "fields": vec![plain("x"); 11]}]), "/0/fields"),
        (json!([{"type": "header", "text": plain(&"x".repeat(151))}]), "/0/text/text"),
        (json!([{"type": "context", "elements": vec![plain("x"); 11]}]), "/0/elements"),
        (
            ticks(json!({"type": "checkboxes", "action_id": "a", "options": [option, option]})),
            "/0/element/options/1/value",
        ),
        (ticks(json!({"type": "plain_text_input"})), "/0/element/action_id"),
        (json!("text"), ""),
    ];
    for (blocks, pointer) in wrong {
        let issues = judge(&blocks, Surface::Message, "");
        assert_eq!(issues[0].pointer, pointer, "{issues:?}");
    }
    assert_eq!(judge_modal(&form()), []);
    let mut long = form();
    long["title"] = plain("a title of more than 24 characters");
    long["submit"] = Value::Null;
    let pointers = judge_modal(&long).into_iter().map(|issue| issue.pointer).collect::<Vec<_>>();
    assert_eq!(pointers, ["/title/text", "/submit"]);
}

#[tokio::test]
async fn what_a_good_app_does_not_do() {
    let slack = Slack::start().await;
    let cases = [
        ("chat.postMessage", json!({"channel": "CNOPE", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": "CRANDOM", "text": "x"}), "not_in_channel"),
        ("chat.postMessage", json!({"channel": "CDEPLOYS", "text": "x", "colour": 1}), "invalid_arguments"),
        ("chat.postMessage", json!({"channel": "CDEPLOYS", "unfurl_links": false, "unfurl_media": false}), "no_text"),
        (
            "chat.postMessage",
            json!({"channel": "CDEPLOYS", "text": "x", "unfurl_links": false, "unfurl_media": false,
                   "metadata": {"event_type": "e", "event_payload": {"id": 1}}}),
            "invalid_metadata_format",
        ),
        ("chat.update", json!({"channel": "CDEPLOYS", "ts": "1.1", "text": "x".repeat(4001)}), "msg_too_long"),
        ("users.info", json!({"user": "UANA"}), "invalid_arguments"),
        ("chat.shout", json!({}), "unknown_method"),
    ];
    for (method, body, error) in cases {
        assert_eq!(slack.call(method, &body).await.1["error"], error, "{method}");
        assert!(slack.complaints().contains(error), "{method} {error}");
    }
    let url = format!("{}/api/auth.test", slack.base);
    assert_eq!(slack.post(&url, "xoxb-wrong", &json!({})).await.1["error"], "invalid_auth");
    assert_eq!(slack.post(&url, APP_TOKEN, &json!({})).await.1["error"], "not_allowed_token_type");
}

#[tokio::test]
async fn only_a_new_message_rings() {
    let slack = Slack::start().await;
    let ts = slack.say("hello", &json!({})).await;
    let edit = json!({"channel": "CDEPLOYS", "ts": ts, "text": "hello <@UANA>", "blocks": []});
    slack.call("chat.update", &edit).await;
    assert!(slack.workspace.mentions().is_empty());
    assert_eq!(slack.workspace.messages("deploys")[0].edits, 1);
    let code = "`<@UBEN>` ```<@UCHI>``` <@UDORA> <!here> <!subteam^S0DEVS>";
    let reply = slack.say(code, &json!({"thread_ts": ts})).await;
    let rang = slack.workspace.mentions().into_iter().map(|(who, ..)| who).collect::<Vec<_>>();
    assert_eq!(rang, ["UDORA", "!here", "S0DEVS"]);
    let blocks = json!([
        {"type": "section", "text": {"type": "plain_text", "text": "<@UANA>"}},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "<@UANA>"}]}]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "<@UBEN>"}]},
    ]);
    slack.say("plain", &json!({"blocks": blocks})).await;
    assert_eq!(slack.workspace.mentions().len(), 4);
    assert_eq!(slack.complaints(), "");
    assert_eq!(slack.workspace.messages("deploys")[0].replies[0].ts, reply);
    slack.say("<@UNOBODY> R&D <b>", &json!({})).await;
    let complaints = slack.complaints();
    for part in ["nobody", "unescaped `&`", "<b>"] {
        assert!(complaints.contains(part), "{complaints}");
    }
}

#[tokio::test]
async fn a_click_and_its_five_answers() {
    let slack = Slack::start().await;
    let mut socket = slack.socket().await;
    let ts = slack.say("run 1", &json!({"blocks": actions("approve", "1")})).await;
    let at = slack.workspace.messages("deploys")[0].at();
    assert!(slack.workspace.click("UANA", &at, "reject").await.is_err());
    let clicked = slack.click(at.clone(), "approve");
    let envelope = socket.hear().await;
    let payload = &envelope["payload"];
    assert_eq!((&payload["type"], &payload["actions"][0]["value"]), (&json!("block_actions"), &json!("1")));
    assert_eq!(payload["message"]["ts"], ts);
    socket.ack(&envelope, None).await;
    clicked.await.unwrap().unwrap();
    let url = payload["response_url"].as_str().unwrap();
    for _ in 0..5 {
        assert_eq!(slack.post(url, "", &json!({"text": "ok"})).await.0, 200);
    }
    assert_eq!(slack.complaints(), "");
    assert_eq!(slack.post(url, "", &json!({"text": "ok"})).await, (404, json!("used_url")));
    assert!(slack.complaints().contains("more than 5 times"));

    slack.call("chat.update", &json!({"channel": "CDEPLOYS", "ts": ts, "text": "run 1", "blocks": []})).await;
    assert!(slack.workspace.click("UANA", &at, "approve").await.is_err());
    let workspace = slack.workspace.clone();
    let clicked = tokio::spawn(async move { workspace.click_stale("UANA", &at, "approve", "1").await });
    let envelope = socket.hear().await;
    socket.ack(&envelope, None).await;
    clicked.await.unwrap().unwrap();
    slack.clock.advance(jiff::SignedDuration::from_mins(31));
    let url = envelope["payload"]["response_url"].as_str().unwrap();
    assert_eq!(slack.post(url, "", &json!({"text": "ok"})).await, (404, json!("expired_url")));
    assert!(slack.complaints().contains("30 minutes"));
}

fn form() -> Value {
    let label = json!({"type": "plain_text", "text": "Reason"});
    json!({"type": "modal", "title": label, "submit": label, "callback_id": "reject", "blocks": [
        {"type": "input", "block_id": "why", "label": label, "element": {"type": "plain_text_input", "action_id": "v"}},
    ]})
}

#[tokio::test]
async fn a_form_is_opened_refused_and_submitted() {
    let slack = Slack::start().await;
    let mut socket = slack.socket().await;
    let asked = slack.command("reject h");
    let envelope = socket.hear().await;
    socket.ack(&envelope, None).await;
    asked.await.unwrap().unwrap();
    let open = json!({"trigger_id": envelope["payload"]["trigger_id"], "view": form()});
    assert_eq!(slack.call("views.open", &open).await.1["ok"], true);
    assert_eq!(slack.call("views.open", &open).await.1["error"], "exchanged_trigger_id");
    assert_eq!(slack.complaints(), "");
    let view = slack.workspace.views("UANA").remove(0);
    let empty = slack.workspace.submit("UANA", &view.id, Values::new()).await.unwrap();
    assert!(empty.unwrap().contains_key("why"));
    for (payload, left) in [(json!({"response_action": "errors", "errors": {"why": "No"}}), 1), (json!({}), 0)] {
        let values = Values::from([("why".to_owned(), [("v".to_owned(), Input::Text("Broken".to_owned()))].into())]);
        let (workspace, id) = (slack.workspace.clone(), view.id.clone());
        let submitted = tokio::spawn(async move { workspace.submit("UANA", &id, values).await });
        let envelope = socket.hear().await;
        assert_eq!(envelope["payload"]["view"]["state"]["values"]["why"]["v"]["value"], "Broken");
        socket.ack(&envelope, Some(payload)).await;
        assert_eq!(submitted.await.unwrap().unwrap().is_some(), left == 1);
        assert_eq!(slack.workspace.views("UANA").len(), left);
    }
    assert_eq!(slack.complaints(), "");
}

#[tokio::test]
async fn look_ups() {
    let slack = Slack::start().await;
    let first = slack.say("one", &json!({"metadata": {"event_type": "deploy", "event_payload": {"id": "7"}}})).await;
    slack.say("two", &json!({})).await;
    slack.say("reply", &json!({"thread_ts": first})).await;
    let page = slack.get("conversations.history?channel=CDEPLOYS&limit=1&include_all_metadata=true").await;
    assert_eq!((&page["messages"][0]["text"], &page["has_more"]), (&json!("two"), &json!(true)));
    let cursor = page["response_metadata"]["next_cursor"].as_str().unwrap().replace('=', "%3D");
    let page =
        slack.get(&format!("conversations.history?channel=CDEPLOYS&cursor={cursor}&include_all_metadata=1")).await;
    assert_eq!(page["messages"][0]["metadata"]["event_payload"]["id"], "7");
    let thread = slack.get(&format!("conversations.replies?channel=CDEPLOYS&ts={first}")).await;
    assert_eq!(thread["messages"][1]["text"], "reply");
    assert_eq!(slack.get("users.info?user=UGUEST").await["user"]["is_restricted"], true);
    assert_eq!(slack.get("users.info?user=USTRANGER").await["user"]["is_stranger"], true);
    assert_eq!(slack.get("users.lookupByEmail?email=ana%40sandbox.example").await["user"]["id"], "UANA");
    assert_eq!(slack.get("usergroups.users.list?usergroup=S0DEVS").await["users"][0], "UANA");
    assert_eq!(slack.get("conversations.info?channel=CRANDOM").await["channel"]["is_member"], false);
    assert_eq!(slack.get("auth.test").await["user_id"], "ULOCK");
    let link = slack.get(&format!("chat.getPermalink?channel=CDEPLOYS&message_ts={first}")).await;
    assert!(link["permalink"].as_str().unwrap().starts_with("https://sandbox.slack.com/archives/CDEPLOYS/p"));
    let dm = json!({"channel": "UANA", "text": "psst", "unfurl_links": false, "unfurl_media": false});
    assert_eq!(slack.call("chat.postMessage", &dm).await.1["channel"], "DANA");
    assert_eq!(slack.workspace.dms("UANA")[0].text, "psst");
    assert_eq!(slack.complaints(), "");
}

/// An independent reader of the wire: slack-morphism's models, which were made from Slack's own documentation.
#[tokio::test]
async fn slack_morphism_reads_what_is_sent() {
    use serde_json::from_value;
    use slack_morphism::prelude as sm;
    let slack = Slack::start().await;
    let mut socket = slack.socket().await;
    let asked = slack.command("reject h");
    let envelope = socket.hear().await;
    from_value::<sm::SlackCommandEvent>(envelope["payload"].clone()).unwrap();
    socket.ack(&envelope, None).await;
    asked.await.unwrap().unwrap();

    let open = json!({"trigger_id": envelope["payload"]["trigger_id"], "view": form()});
    let (_, answer) = slack.call("views.open", &open).await;
    from_value::<sm::SlackApiViewsOpenResponse>(answer.clone()).unwrap();
    let id = answer["view"]["id"].as_str().unwrap().to_owned();
    let values = Values::from([("why".to_owned(), [("v".to_owned(), Input::Text("x".to_owned()))].into())]);
    let workspace = slack.workspace.clone();
    let submitted = tokio::spawn(async move { workspace.submit("UANA", &id, values).await });
    let envelope = socket.hear().await;
    from_value::<sm::SlackInteractionEvent>(envelope["payload"].clone()).unwrap();
    socket.ack(&envelope, None).await;
    submitted.await.unwrap().unwrap();

    let metadata = json!({"event_type": "deploy", "event_payload": {"id": "7"}});
    let body = json!({"channel": "CDEPLOYS", "text": "x", "blocks": actions("a", "1"), "metadata": metadata,
        "unfurl_links": false, "unfurl_media": false});
    let (_, answer) = slack.call("chat.postMessage", &body).await;
    from_value::<sm::SlackApiChatPostMessageResponse>(answer).unwrap();
    let at = slack.workspace.messages("deploys")[0].at();
    let clicked = slack.click(at, "a");
    let envelope = socket.hear().await;
    let event = from_value::<sm::SlackInteractionEvent>(envelope["payload"].clone()).unwrap();
    assert!(matches!(event, sm::SlackInteractionEvent::BlockActions(_)));
    socket.ack(&envelope, None).await;
    clicked.await.unwrap().unwrap();

    let history = slack.get("conversations.history?channel=CDEPLOYS&include_all_metadata=true").await;
    from_value::<sm::SlackApiConversationsHistoryResponse>(history).unwrap();
    for user in ["UANA", "UGUEST", "USTRANGER", "UGONE", "UROBOT"] {
        let answer = slack.get(&format!("users.info?user={user}")).await;
        from_value::<sm::SlackApiUsersInfoResponse>(answer).unwrap();
    }
    let channel = slack.get("conversations.info?channel=CDEPLOYS").await;
    from_value::<sm::SlackApiConversationsInfoResponse>(channel).unwrap();
    // Not usergroups.list: the model wants a number in `user_count`, Slack sends a string or nothing.
    from_value::<sm::SlackApiAuthTestResponse>(slack.get("auth.test").await).unwrap();
    assert_eq!(slack.complaints(), "");
}

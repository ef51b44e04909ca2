//! What Slack sends, as the few things that the bot understands. Pure, and never surprised: what is odd is `Ignored` with a
//! reason. No rule of the product lives here; the ids that arrive are claims of Slack about who did it.

use jiff::Timestamp;
use serde_json::Value;

use crate::deploy::action::Reply;
use crate::deploy::form::{Filled, Form};
use crate::deploy::message::Press;
use crate::deploy::name::{RequestId, SlackId};

use super::socket::Envelope;

/// The workspace and the app that this bot is.
#[derive(Clone, Debug)]
pub struct Home {
    /// From `auth.test`.
    pub team_id: String,
    /// Slack's app id, where known; then every payload has to name it.
    pub app_id: Option<String>,
}

/// Something that a person did.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound {
    /// Typed a slash command.
    Command {
        /// What follows the command's name, as typed: unescaped, with mentions and links as plain words.
        text: String,
        /// Who.
        user: SlackId,
        /// Where.
        channel: String,
        /// Where the answer goes.
        reply: Reply,
        /// The same however often it is delivered.
        id: RequestId,
        /// Opens a form within 3 seconds.
        trigger: String,
    },
    /// Clicked a button.
    Click {
        /// What the button means.
        press: Press,
        /// Who.
        user: SlackId,
        /// Where the answer goes.
        reply: Reply,
        /// The same however often it is delivered.
        id: RequestId,
        /// Opens a form within 3 seconds.
        trigger: String,
    },
    /// Sent a form. Slack gives it no channel and no `response_url`.
    Submit {
        /// Which form.
        form: Form,
        /// What was put into it.
        filled: Filled,
        /// Who.
        user: SlackId,
        /// The same however often it is delivered.
        id: RequestId,
    },
    /// Nothing for us; why, for the log.
    Ignored(&'static str),
}

type Read = Result<Inbound, &'static str>;

/// Reads an envelope that arrived at `now`.
pub fn read(envelope: &Envelope, home: &Home, now: Timestamp) -> Inbound {
    let payload = &envelope.payload;
    let read = match (envelope.kind.as_str(), text(payload, "/type")) {
        ("slash_commands", _) => command(payload, home, now),
        ("interactive", Some("block_actions")) => click(payload, home, now),
        ("interactive", Some("view_submission")) => submit(payload, home),
        ("interactive", _) => Err("an interaction that is neither a click nor a form"),
        ("events_api", _) => Err("an event"),
        _ => Err("an envelope of unknown type"),
    };
    read.unwrap_or_else(Inbound::Ignored)
}

fn command(payload: &Value, home: &Home, now: Timestamp) -> Read {
    at_home(payload, "/team_id", home)?;
    let trigger = need(payload, "/trigger_id", "a command without a trigger")?;
    let channel = need(payload, "/channel_id", "a command without a channel")?;
    Ok(Inbound::Command {
        text: plain(text(payload, "/text").unwrap_or_default()),
        user: SlackId::new(need(payload, "/user_id", "a command without a user")?),
        channel: channel.to_owned(),
        reply: Reply {
            url: need(payload, "/response_url", "a command without an address for the answer")?.to_owned(),
            channel: channel.to_owned(),
            replace: false,
            view: None,
            at: now,
        },
        id: RequestId::new(trigger),
        trigger: trigger.to_owned(),
    })
}

fn click(payload: &Value, home: &Home, now: Timestamp) -> Read {
    at_home(payload, "/team/id", home)?;
    let value = need(payload, "/actions/0/value", "a click on something without a value")?;
    let press: Press = serde_json::from_str(value).map_err(|_| "a click on a button with an unknown value")?;
    let trigger = need(payload, "/trigger_id", "a click without a trigger")?;
    let action_ts = need(payload, "/actions/0/action_ts", "a click without a time")?;
    let channel = text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id"));
    Ok(Inbound::Click {
        press,
        user: SlackId::new(need(payload, "/user/id", "a click without a user")?),
        reply: Reply {
            url: need(payload, "/response_url", "a click outside of a message")?.to_owned(),
            channel: channel.ok_or("a click outside of a channel")?.to_owned(),
            replace: payload.pointer("/container/is_ephemeral").and_then(Value::as_bool).unwrap_or(false),
            view: None,
            at: now,
        },
        id: RequestId::new(format!("{trigger}:{action_ts}")),
        trigger: trigger.to_owned(),
    })
}

fn submit(payload: &Value, home: &Home) -> Read {
    at_home(payload, "/team/id", home)?;
    let form = need(payload, "/view/private_metadata", "a form that says nothing about itself")?;
    let form: Form = serde_json::from_str(form).map_err(|_| "an unknown form")?;
    let view = need(payload, "/view/id", "a form without an id")?;
    let hash = text(payload, "/view/hash").unwrap_or_default();
    Ok(Inbound::Submit {
        form,
        filled: filled(payload.pointer("/view/state/values")),
        user: SlackId::new(need(payload, "/user/id", "a form without a user")?),
        id: RequestId::new(format!("{view}:{hash}")),
    })
}

/// What was put into the inputs, by their blocks' ids: words, or the values of what was chosen.
fn filled(values: Option<&Value>) -> Filled {
    let mut filled = Filled::default();
    for (block, entries) in values.and_then(Value::as_object).into_iter().flatten() {
        let Some(entry) = entries.as_object().and_then(|entries| entries.values().next()) else { continue };
        if let Some(words) = text(entry, "/value") {
            filled.words.insert(block.clone(), words.trim().to_owned());
        }
        let many = entry.get("selected_options").and_then(Value::as_array).into_iter().flatten();
        let one = entry.get("selected_option").into_iter();
        let chosen: Vec<String> =
            many.chain(one).filter_map(|option| Some(text(option, "/value")?.to_owned())).collect();
        if !chosen.is_empty() {
            filled.chosen.insert(block.clone(), chosen);
        }
    }
    filled
}

/// Whether it is for this workspace and app. A user of another workspace is let through: only a look at the person tells.
fn at_home(payload: &Value, team: &str, home: &Home) -> Result<(), &'static str> {
    if text(payload, team) != Some(&home.team_id) {
        return Err("something from another workspace");
    }
    match &home.app_id {
        Some(app) if text(payload, "/api_app_id") != Some(app) => Err("something for another app"),
        Some(_) | None => Ok(()),
    }
}

fn text<'a>(payload: &'a Value, pointer: &str) -> Option<&'a str> {
    payload.pointer(pointer).and_then(Value::as_str)
}

/// A text that has to be there and not empty.
fn need<'a>(payload: &'a Value, pointer: &str, missing: &'static str) -> Result<&'a str, &'static str> {
    text(payload, pointer).filter(|text| !text.is_empty()).ok_or(missing)
}

/// A command's text as the person typed it. Slack escapes `&<>` and sends mentions, channels and links as `<…|label>`
/// (`should_escape`, `facts/slack.md` 3.3).
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(&unescape(before));
        let Some((token, behind)) = after.split_once('>') else {
            out.push_str(&unescape(&rest[before.len()..]));
            return out;
        };
        out.push_str(&unescape(&token_as_typed(token)));
        rest = behind;
    }
    out.push_str(&unescape(rest));
    out
}

fn token_as_typed(token: &str) -> String {
    let (target, label) = token.split_once('|').map_or((token, None), |(t, l)| (t, Some(l).filter(|l| !l.is_empty())));
    let named = |mark: char, id: &str| format!("{mark}{}", label.unwrap_or(id).trim_start_matches(mark));
    match target.chars().next() {
        Some('@') => named('@', &target[1..]),
        Some('#') => named('#', &target[1..]),
        Some('!') => named('@', target[1..].rsplit('^').next().unwrap_or_default()),
        // The address, not its label: a label may name another page than the one that is linked.
        Some(_) if target.starts_with("http") => target.to_owned(),
        Some(_) | None => label.unwrap_or(target).to_owned(),
    }
}

/// Once: what a person typed as `&amp;lt;` stays `&lt;`.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use serde_json::json;

    use super::*;
    use crate::deploy::message::What;
    use crate::deploy::name::AppName;

    fn home() -> Home {
        Home { team_id: "T1".into(), app_id: Some("A1".into()) }
    }

    fn read_json(kind: &str, payload: Value) -> Inbound {
        let envelope = Envelope {
            envelope_id: "e".into(),
            kind: kind.into(),
            payload,
            accepts_response_payload: false,
            retry_attempt: None,
        };
        read(&envelope, &home(), Timestamp::UNIX_EPOCH)
    }

    fn slash() -> Value {
        json!({ "token": "x", "team_id": "T1", "api_app_id": "A1", "channel_id": "C1", "channel_name": "deploys", "user_id": "U1",
            "user_name": "ana", "command": "/deploy", "text": "hold h it &amp; <@U2|ben>", "trigger_id": "1.2.a",
            "is_enterprise_install": "false", "response_url": "https://hooks.slack.com/commands/T1/1/x" })
    }

    fn block_actions() -> Value {
        json!({ "type": "block_actions", "user": { "id": "U1", "team_id": "T9" }, "api_app_id": "A1", "enterprise": null,
            "container": { "type": "message", "message_ts": "1.1", "channel_id": "C1", "is_ephemeral": true }, "trigger_id": "1.2.a",
            "team": { "id": "T1", "domain": "d" }, "response_url": "https://hooks.slack.com/actions/T1/1/x",
            "actions": [{ "action_id": "lockkeeper.release.0", "type": "button", "action_ts": "1785000010.84",
                "value": "{\"app\":\"h\",\"what\":\"release\"}" }] })
    }

    fn submission() -> Value {
        json!({ "type": "view_submission", "team": { "id": "T1" }, "user": { "id": "U1" }, "api_app_id": "A1", "trigger_id": "1.2.a",
            "view": { "id": "V1", "hash": "1.h", "private_metadata": "{\"hold\":\"h\"}",
                "state": { "values": { "reason": { "entry": { "type": "plain_text_input", "value": " on fire " } },
                    "which": { "entry": { "type": "checkboxes", "selected_options": [{ "value": "a" }] } },
                    "one": { "entry": { "type": "static_select", "selected_option": { "value": "b" } } },
                    "none": { "entry": { "type": "static_select", "selected_option": null } } } } },
            "response_urls": [] })
    }

    fn without(mut payload: Value, pointer: &str) -> Value {
        *payload.pointer_mut(pointer).unwrap() = Value::Null;
        payload
    }

    #[test]
    fn a_command_is_read() {
        let reply = Reply {
            url: "https://hooks.slack.com/commands/T1/1/x".into(),
            channel: "C1".into(),
            replace: false,
            view: None,
            at: Timestamp::UNIX_EPOCH,
        };
        let expected = Inbound::Command {
            text: "hold h it & @ben".into(),
            user: SlackId::new("U1"),
            channel: "C1".into(),
            reply,
            id: RequestId::new("1.2.a"),
            trigger: "1.2.a".into(),
        };
        assert_eq!(read_json("slash_commands", slash()), expected);
    }

    #[test]
    fn a_click_is_read_also_of_a_foreign_user() {
        let Inbound::Click { press, user, reply, id, trigger } = read_json("interactive", block_actions()) else {
            panic!("no click");
        };
        assert_eq!(press, Press { app: AppName::new("h"), what: What::Release });
        assert_eq!((user.as_str(), id.as_str(), trigger.as_str()), ("U1", "1.2.a:1785000010.84", "1.2.a"));
        assert_eq!((reply.channel.as_str(), reply.replace), ("C1", true));
    }

    #[test]
    fn a_form_is_read() {
        let expected = Inbound::Submit {
            form: Form::Hold(AppName::new("h")),
            filled: Filled {
                words: [("reason".to_owned(), "on fire".to_owned())].into(),
                chosen: [("which".to_owned(), vec!["a".to_owned()]), ("one".to_owned(), vec!["b".to_owned()])].into(),
            },
            user: SlackId::new("U1"),
            id: RequestId::new("V1:1.h"),
        };
        assert_eq!(read_json("interactive", submission()), expected);
    }

    #[test]
    fn what_is_not_ours_or_not_whole_is_ignored_with_a_reason() {
        let table = [
            ("slash_commands", without(slash(), "/team_id"), "something from another workspace"),
            ("slash_commands", without(slash(), "/api_app_id"), "something for another app"),
            ("slash_commands", without(slash(), "/trigger_id"), "a command without a trigger"),
            ("slash_commands", without(slash(), "/response_url"), "a command without an address for the answer"),
            ("slash_commands", json!(7), "something from another workspace"),
            ("interactive", without(block_actions(), "/team"), "something from another workspace"),
            ("interactive", without(block_actions(), "/actions"), "a click on something without a value"),
            ("interactive", without(block_actions(), "/response_url"), "a click outside of a message"),
            ("interactive", json!({ "type": "view_closed" }), "an interaction that is neither a click nor a form"),
            ("interactive", without(submission(), "/view/private_metadata"), "a form that says nothing about itself"),
            ("events_api", json!({ "type": "event_callback" }), "an event"),
            ("hologram", json!({}), "an envelope of unknown type"),
        ];
        for (kind, payload, reason) in table {
            assert_eq!(read_json(kind, payload), Inbound::Ignored(reason));
        }
        let mut strange = block_actions();
        strange["actions"][0]["value"] = json!("{\"app\":\"h\",\"what\":\"explode\"}");
        assert_eq!(read_json("interactive", strange), Inbound::Ignored("a click on a button with an unknown value"));
    }

    #[test]
    fn text_arrives_as_it_was_typed() {
        let table = [
            ("approve h", "approve h"),
            ("a &amp;&lt;b&gt; &amp;lt;", "a &<b> &lt;"),
            ("<@U1|ana> <@U2>", "@ana @U2"),
            ("<#C1|general> <!here> <!subteam^S1|@devs> <!subteam^S2>", "#general @here @devs @S2"),
            ("where <https://github.com/o/r/pull/1?a=1&amp;b=2>", "where https://github.com/o/r/pull/1?a=1&b=2"),
            ("<https://evil.example|https://github.com>", "https://evil.example"),
            ("<mailto:a@b.c|a@b.c>", "a@b.c"),
            ("odd <unclosed", "odd <unclosed"),
            ("<>", ""),
        ];
        for (sent, typed) in table {
            assert_eq!(plain(sent), typed, "{sent}");
        }
    }

    fn odd() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(json!([])),
            Just(json!({})),
            Just(json!([{ "id": [1] }])),
        ]
    }

    proptest! {
        #[test]
        fn odd_json_never_panics(which in 0..3usize, at in 0..40usize, put in odd(), typed in ".{0,40}") {
            let (kind, mut payload) =
                [("slash_commands", slash()), ("interactive", block_actions()), ("interactive", submission())][which].clone();
            let keys: Vec<String> = payload.as_object().unwrap().keys().cloned().collect();
            payload[&keys[at % keys.len()]] = put;
            read_json(kind, payload);
            plain(&typed);
        }
    }
}

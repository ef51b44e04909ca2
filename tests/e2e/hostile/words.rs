//! What people type, version labels, and what Slack delivers.

use lockkeeper::deploy::command::{self, COMMANDS, Command};
use lockkeeper::deploy::message::Message;
use lockkeeper::deploy::name::EnvName;
use lockkeeper::deploy::server::tag_of_label;
use lockkeeper::slack::blocks;
use lockkeeper::slack::inbound::{self, Home, Inbound};
use lockkeeper::slack::socket::Envelope;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof};
use serde_json::{Value, json};

use super::{faults, nasty, odd, runner, twisted, within};

const MB: usize = 1 << 20;

/// A command with anything behind it.
fn typed() -> BoxedStrategy<String> {
    let name =
        prop::sample::select(COMMANDS.iter().map(|usage| usage.name).chain(["rollback", "aprove"]).collect::<Vec<_>>());
    let word = prop_oneof![
        3 => prop::sample::select(vec!["h", "\"h\"", "“h”", "#4501", "4501,4502", "o/r#1", "https://github.com/o/r/pull/1", "check", "production"])
            .prop_map(str::to_owned),
        2 => nasty(),
        1 => "[a-z(), \"#/]{0,40}",
    ];
    (name, prop::collection::vec(word, 0..6)).prop_map(|(name, words)| format!("{name} {}", words.join(" "))).boxed()
}

fn environments() -> BoxedStrategy<Vec<(EnvName, String)>> {
    let usual = prop::sample::select(vec!["Staging", "Production", "Production (Canada)", "Production (WebSocket)"]);
    // GitHub's own limit, which discovery keeps.
    let nasty = nasty().prop_map(|name| name.chars().take(255).collect::<String>());
    let name = prop_oneof![2 => usual.prop_map(str::to_owned), 1 => nasty];
    prop::collection::vec((name.clone().prop_map(EnvName::new), name), 0..12).boxed()
}

#[test]
fn commands() {
    let found = runner(400).run(&(typed(), environments()), |(text, known)| {
        within(8 * MB, || {
            let told = match command::parse(&text) {
                Err(misread) => Some(misread.sentence("/deploy")),
                Ok(Command::Ask(_)) => None,
                Ok(Command::Act { action, .. }) => action.note().map(lockkeeper::deploy::message::Line::plain),
            };
            let unclear = command::match_environment(&text, &known).err().map(|unclear| unclear.sentence());
            for line in [told, unclear].into_iter().flatten() {
                assert_eq!(faults(&json!(blocks::content(&Message::line(line)))), Vec::<String>::new());
            }
        });
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}

/// However a phone or a word processor writes it, it is the same command.
#[test]
fn commands_mean_the_same_in_other_clothes() {
    let dressed = |text: &str, (spaces, quotes, unseen, upper): (bool, bool, bool, bool)| {
        let mut text = text.to_owned();
        if upper && let Some((name, rest)) = text.split_once(' ') {
            text = format!("{} {rest}", name.to_uppercase());
        }
        let dress = |c: char| match c {
            ' ' if spaces => "\u{a0}".to_owned(),
            '"' if quotes => "“".to_owned(),
            '\'' if quotes => "’".to_owned(),
            c if unseen && c.is_ascii_lowercase() => format!("{c}\u{200b}"),
            c => c.to_string(),
        };
        format!("  {} ", text.chars().map(dress).collect::<String>())
    };
    let plain = typed()
        .prop_filter("plain enough", |text| text.is_ascii() && text.len() < 1_500 && !text.contains(char::is_control));
    let found = runner(400).run(&(plain, any::<(bool, bool, bool, bool)>()), |(text, dress)| {
        let (one, other) = (command::parse(&text), command::parse(&dressed(&text, dress)));
        prop_assert_eq!(one.is_ok(), other.is_ok());
        if one.is_ok() {
            prop_assert_eq!(one, other);
        }
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn labels() {
    let made = ("[a-z-]{0,12}", "[0-9]{8}", "[0-9a-f]{4,40}");
    let label =
        prop_oneof![nasty(), "[0-9a-fg-]{0,60}", made.prop_map(|(app, day, sha)| format!("{app}-{day}-g{sha}"))];
    let found = runner(400).run(&(label, made), |(label, (app, day, sha))| {
        if let Some(tag) = tag_of_label(&label) {
            prop_assert!(label.ends_with(&tag) && tag.len() <= 50 && tag.is_ascii());
            prop_assert_eq!(tag_of_label(&tag), Some(tag.clone()));
        }
        let stamped = format!("{app}-prod{day}T101010Z-{day}-g{sha}");
        prop_assert_eq!(tag_of_label(&stamped), Some(format!("{day}-g{sha}")));
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}

/// What buttons carry, twisted.
pub(super) fn presses() -> BoxedStrategy<Value> {
    let press = |what: Value| json!({ "app": "h", "what": what });
    let shown = json!({ "run": 1, "attempt": 1, "sha": "a", "environments": ["Production"] });
    let whats = [
        json!({ "approve": shown }),
        json!("tested"),
        json!({ "changes": 812 }),
        json!({ "open": { "not_ready": { "app": "h", "changes": ["#1", "abc"] } } }),
        json!({ "open": { "variable": ["h", "KEY"] } }),
        json!({ "dispatch": { "confirmed": { "workflow": "redeploy", "environments": ["Staging"], "cancels": null } } }),
        json!({ "mend": { "retry_shown": { "run": 1, "attempt": 1 } } }),
        json!({ "roll_forward": { "revert": { "pr": 1, "run": null, "because": "x" } } }),
        json!({ "remind": { "not_ready": { "changes": ["#1"], "reason": "x" } } }),
        json!({ "variables": { "set": { "key": "K", "environments": ["Staging"] } } }),
    ];
    prop::sample::select(whats.map(press).to_vec()).prop_flat_map(twisted).boxed()
}

fn envelopes() -> BoxedStrategy<Envelope> {
    let slash = json!({ "team_id": "T1", "api_app_id": "A1", "channel_id": "C1", "user_id": "U1", "command": "/deploy", "text": "hold h x",
        "trigger_id": "1.2.a", "response_url": "https://hooks.slack.com/commands/T1/1/x" });
    let click = |value: Value| {
        json!({ "type": "block_actions", "user": { "id": "U1" }, "api_app_id": "A1", "container": { "channel_id": "C1", "is_ephemeral": true },
            "trigger_id": "1.2.a", "team": { "id": "T1" }, "response_url": "https://hooks.slack.com/actions/T1/1/x",
            "actions": [{ "action_id": "a", "type": "button", "action_ts": "1785000010.84", "value": value.to_string() }] })
    };
    let form = |metadata: Value| {
        json!({ "type": "view_submission", "team": { "id": "T1" }, "user": { "id": "U1" }, "api_app_id": "A1",
            "view": { "id": "V1", "hash": "1.h", "private_metadata": metadata.to_string(), "state": { "values": {
                "reason": { "entry": { "value": " on fire " } }, "environments": { "entry": { "selected_options": [{ "value": "a" }] } },
                "one": { "entry": { "selected_option": { "value": "b" } } } } } } })
    };
    let forms = [
        json!({ "hold": "h" }),
        json!({ "redeploy": { "app": "h", "cancels": { "run": 1, "attempt": 1, "touching": true } } }),
        json!({ "wrong": { "app": "h", "run": 1 } }),
        json!({ "variable": ["h", "KEY"] }),
    ];
    let forms = prop::sample::select(forms.to_vec()).prop_flat_map(twisted);
    let text = nasty().prop_map(move |text| {
        let mut slash = slash.clone();
        slash["text"] = json!(text);
        slash
    });
    let payload = prop_oneof![text, presses().prop_map(click), forms.prop_map(form), odd()].prop_flat_map(twisted);
    let kind = prop_oneof![
        4 => prop::sample::select(vec!["slash_commands", "interactive"]).prop_map(str::to_owned),
        1 => nasty()
    ];
    let envelope = |(kind, payload): (String, Value)| Envelope {
        envelope_id: "e".into(),
        kind,
        payload,
        accepts_response_payload: true,
        retry_attempt: None,
    };
    (kind, payload).prop_map(envelope).boxed()
}

/// What arrives is understood or ignored; what a form or a button says of itself comes back as it went.
#[test]
fn payloads() {
    let home = Home { team_id: "T1".into(), app_id: Some("A1".into()) };
    let found = runner(600).run(&envelopes(), |envelope| {
        within(16 * MB, || match inbound::read(&envelope, &home, jiff::Timestamp::UNIX_EPOCH) {
            Inbound::Command { text, user, .. } => {
                let _ = command::parse(&text);
                let greeted = Message::line(lockkeeper::deploy::message::Line::default().mention(&user).say(text));
                assert_eq!(faults(&json!(blocks::content(&greeted))), Vec::<String>::new());
            }
            Inbound::Click { press, .. } => {
                let again = serde_json::to_string(&press).expect("a value");
                assert_eq!(
                    serde_json::from_str::<lockkeeper::deploy::message::Press>(&again).expect("the same"),
                    press
                );
            }
            Inbound::Submit { form, filled, .. } => {
                let _ = form.read(&filled);
            }
            Inbound::Ignored(why) => assert!(why.is_ascii()),
        });
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}

/// Markup, cut anywhere and put together anyhow, is plain words afterwards.
#[test]
fn markup() {
    let piece = prop_oneof![
        Just("<"),
        Just(">"),
        Just("|"),
        Just("@U1"),
        Just("#C1"),
        Just("!subteam^S1"),
        Just("!"),
        Just("&lt;"),
        Just("&amp;"),
        Just("https://x.y"),
        Just("mailto:"),
        Just("é"),
        Just("\u{202e}"),
        Just(" "),
        Just("^")
    ];
    let home = Home { team_id: "T1".into(), app_id: None };
    let found = runner(400).run(&prop::collection::vec(piece, 0..40), |pieces| {
        let payload = json!({ "team_id": "T1", "channel_id": "C1", "user_id": "U1", "text": pieces.concat(), "trigger_id": "t",
            "response_url": "https://hooks.slack.com/x" });
        let envelope = Envelope { envelope_id: "e".into(), kind: "slash_commands".into(), payload, accepts_response_payload: true, retry_attempt: None };
        let Inbound::Command { text, .. } = inbound::read(&envelope, &home, jiff::Timestamp::UNIX_EPOCH) else {
            return Err(proptest::test_runner::TestCaseError::fail("not read"));
        };
        prop_assert_eq!(faults(&json!(blocks::content(&Message::plain(text)))), Vec::<String>::new());
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}

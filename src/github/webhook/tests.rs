use serde_json::{Value, json};

use super::super::tests::pipeline;
use super::*;

/// GitHub's own example.
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[test]
fn only_what_is_signed_is_genuine() {
    let secret = Secret::new("It's a Secret to Everybody");
    assert!(secret.signed(SIGNATURE, b"Hello, World!"));
    assert!(secret.signed(&SIGNATURE.to_ascii_uppercase().replace("SHA256", "sha256"), b"Hello, World!"));
    for (signature, body) in [
        (SIGNATURE, "Hello, World"),
        (SIGNATURE, "Hello, World!\n"),
        (SIGNATURE, ""),
        (&SIGNATURE.replace("7571", "7572"), "Hello, World!"),
        (&SIGNATURE[..70], "Hello, World!"),
        (&format!("{SIGNATURE}17"), "Hello, World!"),
        (&SIGNATURE.replace("sha256=", "sha1="), "Hello, World!"),
        (&SIGNATURE.replace("sha256=", ""), "Hello, World!"),
        (&SIGNATURE.replace("75", "7g"), "Hello, World!"),
        (&SIGNATURE.replace("75", "+5"), "Hello, World!"),
        (&SIGNATURE.replace("75", "é"), "Hello, World!"),
        ("", "Hello, World!"),
    ] {
        assert!(!secret.signed(signature, body.as_bytes()), "{signature} {body}");
    }
    assert!(!Secret::new("It's a secret to Everybody").signed(SIGNATURE, b"Hello, World!"));
}

fn said(event: &str, body: Value) -> Option<Delivery> {
    read(event, body.to_string().as_bytes())
}

#[test]
fn deliveries_say_what_happened_where() {
    let repository = json!({ "full_name": "hypothesis/h" });
    let news = |event: &str, mut body: Value| {
        body["repository"] = repository.clone();
        match said(event, body) {
            Some(Delivery::News { repo, what }) => {
                assert_eq!(repo, "hypothesis/h");
                Some(what)
            }
            Some(Delivery::Other) => None,
            other => panic!("{event}: {other:?}"),
        }
    };
    let job = |action: &str| json!({ "action": action, "workflow_job": { "run_id": 5, "head_branch": "main" } });
    let pull = |action: &str, merged: bool| json!({ "action": action, "pull_request": { "merged": merged, "base": { "ref": "main" } } });
    let run = json!({ "action": "requested", "workflow_run": { "path": ".github/workflows/deploy.yml" } });
    let branch = Some(News::Branch("main".to_owned()));
    let rows = [
        ("workflow_run", run.clone(), Some(News::Run(".github/workflows/deploy.yml".to_owned()))),
        ("workflow_job", job("waiting"), Some(News::Job(RunId(5), Some("main".to_owned())))),
        ("workflow_job", job("completed"), Some(News::Job(RunId(5), Some("main".to_owned())))),
        ("workflow_job", job("queued"), None),
        ("push", json!({ "ref": "refs/heads/main" }), branch.clone()),
        ("push", json!({ "ref": "refs/tags/v1" }), None),
        ("pull_request", pull("closed", true), branch),
        ("pull_request", pull("closed", false), None),
        ("pull_request", pull("edited", true), None),
        ("deployment_review", json!({ "action": "requested" }), Some(News::Gate)),
        ("deployment_protection_rule", json!({ "action": "requested" }), Some(News::Gate)),
        ("deployment_status", json!({ "action": "created" }), Some(News::Gate)),
        ("star", json!({ "action": "created" }), None),
        ("workflow_run", json!({}), None),
    ];
    for (event, body, expected) in rows {
        assert_eq!(news(event, body.clone()), expected, "{event} {body}");
    }
    assert_eq!(said("workflow_run", run), Some(Delivery::Other), "of no repo");
}

#[test]
fn a_ping_says_what_was_not_ticked() {
    let ping =
        |events: Value| said("ping", json!({ "zen": "Keep it logically awesome.", "hook": { "events": events } }));
    assert_eq!(ping(json!(["*"])), Some(Delivery::Ping { lacks: vec![] }));
    assert_eq!(ping(json!(["push"])), Some(Delivery::Ping { lacks: vec!["workflow_job", "workflow_run"] }));
}

#[test]
fn a_form_is_read_too_and_nonsense_is_none() {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair(
            "payload",
            &json!({ "ref": "refs/heads/main", "repository": { "full_name": "o/é+ &" } }).to_string(),
        )
        .finish();
    let expected = Delivery::News { repo: "o/é+ &".to_owned(), what: News::Branch("main".to_owned()) };
    assert_eq!(read("push", form.as_bytes()), Some(expected));
    for body in ["", "null", "[]", "{", "payload=", "payload=%7B", "\u{0}", "{\"repository\": 5}"] {
        assert_eq!(read("push", body.as_bytes()), None, "{body:?}");
    }
    assert_eq!(read("push", b"\xff\xfe"), None);
    assert_eq!(read("star", b"{\"repository\": 5}"), Some(Delivery::Other), "another shape of something unknown");
    let deep = "[".repeat(100_000);
    assert_eq!(read("star", deep.as_bytes()), None, "no stack is used up");
}

#[test]
fn only_what_may_be_deployed_concerns() {
    let concerns = |news: News, knows: bool| news.concerns(&pipeline(), |_| knows);
    let job = |branch: &str| News::Job(RunId(5), Some(branch.to_owned()));
    assert!(concerns(News::Run(".github/workflows/deploy.yml@refs/heads/main".to_owned()), false));
    assert!(concerns(News::Run(".github/workflows/redeploy.yml".to_owned()), false));
    assert!(!concerns(News::Run(".github/workflows/ci.yml".to_owned()), true));
    assert!(concerns(job("main"), false) && concerns(job("hotfix"), true) && !concerns(job("feature"), false));
    assert!(concerns(News::Job(RunId(5), None), false), "on no branch that is known");
    assert!(concerns(News::Branch("main".to_owned()), false) && !concerns(News::Branch("feature".to_owned()), false));
    assert!(concerns(News::Gate, false));
}

use crate::deploy::pipeline::Beanstalk;
use serde_json::{Value, json};

use super::*;
use crate::github::tests::{Calls, github, without_paging};
use crate::http::json as respond;

const DEPLOY_FILE: &str = "
concurrency: { group: deploy, cancel-in-progress: true }
on: { push: { branches: [ main ] } }
jobs:
  staging: { name: Staging, environment: staging }
  production: { name: Production, environment: Production, needs: staging }
  canada: { name: Production (Canada), environment: Production (Canada), needs: staging }
";
const REDEPLOY_FILE: &str = "
on: { workflow_dispatch: { inputs: { staging: { type: boolean } } } }
jobs: { staging: { environment: staging } }
";

fn settings(gated: &[&str]) -> Value {
    let environments: Vec<Value> = ["Staging", "Production", "Production (Canada)"]
        .iter()
        .map(|name| {
            let rules = if gated.contains(name) {
                json!([{ "type": "required_reviewers", "reviewers": [] }])
            } else {
                json!([])
            };
            json!({ "id": 1, "name": name, "protection_rules": rules })
        })
        .collect();
    json!({ "environments": environments })
}

/// Base64 in lines of 60.
fn encoded(text: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for (nth, chunk) in text.as_bytes().chunks(3).enumerate() {
        let word = (0..3).fold(0, |word, at| word << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        let digit = |at: usize| if at <= chunk.len() { char::from(digits[word >> (18 - 6 * at) & 63]) } else { '=' };
        encoded.extend((0..4).map(digit));
        encoded.push_str(if nth % 15 == 14 { "\n" } else { "" });
    }
    encoded
}

#[test]
fn base64_of_all_lengths() {
    for text in ["", "a", "ab", "abc", "abcd", "h\u{e9}llo \u{1F6A2} and more than one line of sixty digits, surely"] {
        assert_eq!(base64(&encoded(text)).as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(base64("SGk="), Some(b"Hi".to_vec()));
    assert_eq!(base64("<html>"), None);
}

async fn repo(
    deploy: Option<&'static str>,
    redeploy: Option<&'static str>,
    settings: Option<Value>,
) -> (GitHub, Calls) {
    github(move |call| {
        let file = |text: Option<&'static str>| match text {
            Some(text) => respond(200, &json!({ "type": "file", "encoding": "base64", "content": encoded(text) })),
            None => respond(404, &json!({ "message": "Not Found" })),
        };
        Some(match without_paging(&call.line).as_str() {
            "GET /repos/hypothesis/h/contents/.github/workflows/deploy.yml" => file(deploy),
            "GET /repos/hypothesis/h/contents/.github/workflows/redeploy.yml" => file(redeploy),
            "GET /repos/hypothesis/h/environments" => match &settings {
                Some(settings) => respond(200, settings),
                None => respond(403, &json!({ "message": "Resource not accessible" })),
            },
            "GET /repos/hypothesis/h" => respond(200, &json!({ "default_branch": "trunk" })),
            _ => respond(404, &json!({})),
        })
    })
    .await
}

type Wanted = (&'static str, EnvironmentOverride);

async fn discover(github: &GitHub, overrides: &[Wanted]) -> std::result::Result<Pipeline, DiscoveryError> {
    let overrides = overrides.iter().map(|(name, wanted)| (EnvName::from(*name), wanted.clone())).collect();
    github.discover(&"h".into(), "hypothesis/h", &overrides).await
}

fn shown(pipeline: &Pipeline) -> Vec<String> {
    let line = |e: &Environment| {
        let needs: Vec<&str> = e.needs.iter().map(EnvName::as_str).collect();
        format!("{} ({}) {:?} by {}, gated {:?}, needs {:?}", e.name, e.label, e.kind, e.job, e.gated, needs)
    };
    pipeline.environments.iter().map(line).collect()
}

#[tokio::test]
async fn a_pipeline_is_read_from_the_repo() {
    let gates = settings(&["Production", "Production (Canada)"]);
    let (github, _) = repo(Some(DEPLOY_FILE), Some(REDEPLOY_FILE), Some(gates)).await;
    let pipeline = discover(&github, &[]).await.unwrap();
    insta::assert_snapshot!(shown(&pipeline).join("\n"), @r#"
    Staging (Staging) Test by Staging, gated Some(false), needs []
    Production (Production) Production by Production, gated Some(true), needs ["Staging"]
    Production (Canada) (Production (Canada)) Production by Production (Canada), gated Some(true), needs ["Staging"]
    "#);
    assert_eq!((pipeline.branch.as_str(), pipeline.group.as_deref()), ("main", Some("deploy")));
    let redeploy = pipeline.redeploy.unwrap();
    assert_eq!(
        redeploy.inputs.get(&EnvName::from("Staging")).map(String::as_str),
        Some("staging"),
        "as GitHub spells it"
    );
}

#[tokio::test]
async fn gates_may_be_hidden_and_redeploy_absent() {
    let (github, _) = repo(Some(DEPLOY_FILE), None, None).await;
    let pipeline = discover(&github, &[]).await.unwrap();
    assert_eq!(pipeline.redeploy, None);
    assert!(pipeline.environments.iter().all(|environment| environment.gated.is_none()));
    assert_eq!(pipeline.production().count(), 2);
}

#[tokio::test]
async fn the_config_wins() {
    let (github, _) = repo(Some(DEPLOY_FILE), None, Some(settings(&[]))).await;
    let canada = EnvironmentOverride {
        label: Some("Canada".into()),
        url: Some("https://ca.example".into()),
        region: Some("ca-central-1".into()),
        needs: Some(vec!["Staging".into(), "Production".into()]),
        beanstalk: Some(Beanstalk { application: "h".into(), environment: "h-prod".into() }),
        links: BTreeMap::from([("logs".into(), "https://logs.example".into())]),
        ..EnvironmentOverride::default()
    };
    let edu =
        EnvironmentOverride { kind: Some(Kind::Test), job: Some("Edu job".into()), ..EnvironmentOverride::default() };
    let pipeline = discover(&github, &[("production (canada)", canada), ("Edu", edu)]).await.unwrap();
    insta::assert_snapshot!(shown(&pipeline)[2..].join("\n"), @r#"
    Production (Canada) (Canada) Production by Production (Canada), gated Some(false), needs ["Staging"]
    Edu (Edu) Test by Edu job, gated Some(false), needs []
    "#);
    let canada = &pipeline.environments[2];
    assert_eq!(canada.url.as_deref(), Some("https://ca.example"));
    assert_eq!(canada.beanstalk.as_ref().map(|b| b.environment.as_str()), Some("h-prod"));
    assert_eq!(canada.links.len(), 1);
}

#[tokio::test]
async fn kinds_without_order_or_gates() {
    let cases = [
        ("on: push\njobs: { a: { environment: only } }", vec![Kind::Production]),
        ("on: push\njobs: { a: { environment: one }, b: { environment: two } }", vec![Kind::Test, Kind::Test]),
    ];
    for (file, kinds) in cases {
        let (github, _) = repo(Some(file), None, None).await;
        let pipeline = discover(&github, &[]).await.unwrap();
        assert_eq!(pipeline.environments.iter().map(|e| e.kind).collect::<Vec<_>>(), kinds);
        assert_eq!(pipeline.branch, "trunk");
    }
}

async fn wrong(deploy: Option<&'static str>, overrides: &[Wanted]) -> String {
    let (github, _) = repo(deploy, None, None).await;
    match discover(&github, overrides).await {
        Err(DiscoveryError::Wrong(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_mistake_names_the_file_and_the_cure() {
    insta::assert_snapshot!(wrong(None, &[]).await, @"hypothesis/h has no .github/workflows/deploy.yml that the token may read: check the repo of app h in lockkeeper.toml, and that the token may read its contents");
    insta::assert_snapshot!(wrong(Some("jobs: { a: {} }\non: {push: {branches: main}}"), &[]).await, @r#".github/workflows/deploy.yml of hypothesis/h shows no environment: name each in lockkeeper.toml, as [apps.h.environments."Production"] with job = "…", the name of the job that deploys it"#);
    insta::assert_snapshot!(wrong(Some(DEPLOY_FILE), &[("Prodution", EnvironmentOverride::default())]).await, @r#"[apps.h.environments."Prodution"] in lockkeeper.toml names an environment that .github/workflows/deploy.yml of hypothesis/h does not show, did you mean "Production"?: correct the name, or add job = "…", the name of the job that deploys it"#);
    insta::assert_snapshot!(wrong(Some(DEPLOY_FILE), &[("Production", EnvironmentOverride { needs: Some(vec!["QA".into()]), ..EnvironmentOverride::default() })]).await, @r#"[apps.h.environments."Production"] in lockkeeper.toml needs "QA", which is no environment of h: correct the name"#);
    insta::assert_snapshot!(wrong(Some("jobs: [1]"), &[]).await, @".github/workflows/deploy.yml of hypothesis/h could not be read, correct it there: expected mapping start at line 1, column 7");
}

#[tokio::test]
async fn github_away_is_told_apart_from_a_mistake() {
    let (github, _) = github(|_| Some(respond(503, &json!({})))).await;
    assert!(matches!(discover(&github, &[]).await, Err(DiscoveryError::GitHub(GitHubError::Unreachable(_)))));
}

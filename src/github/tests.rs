//! A tiny pretend GitHub for the tests of this folder, and the tests of the transport itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{GitHub, GitHubError, Patience};
use crate::clock::Clock;
use crate::deploy::name::{AppName, EnvName, Login};
use crate::deploy::pipeline::{Environment, Kind, Pipeline, Redeploy};
use crate::http::{Request, Response, json as respond};

/// A request as the pretend GitHub saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// `GET /repos/…?…`
    pub(super) line: String,
    pub(super) body: Value,
    pub(super) etag: Option<String>,
    pub(super) accept: String,
    pub(super) authorization: String,
}

/// What was asked so far.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|call| call.line.clone()).collect()
    }

    pub(super) fn all(&self, start: &str) -> Vec<Call> {
        self.0.lock().unwrap().iter().filter(|call| call.line.starts_with(start)).cloned().collect()
    }
}

pub(super) fn impatient() -> Patience {
    Patience {
        attempt: Duration::from_secs(5),
        read: Duration::from_secs(20),
        retries: 2,
        pause: Duration::from_millis(1),
        look_again: 4,
        between_looks: Duration::from_millis(5),
        review: Duration::from_secs(60),
    }
}

/// A client of a server that answers as told; `None` means never.
pub(super) async fn github(answer: impl Fn(&Call) -> Option<Response> + Send + Sync + 'static) -> (GitHub, Calls) {
    github_with(impatient(), answer).await
}

pub(super) async fn github_with(
    patience: Patience,
    answer: impl Fn(&Call) -> Option<Response> + Send + Sync + 'static,
) -> (GitHub, Calls) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (calls, answer) = (Calls::default(), Arc::new(answer));
    let seen = calls.clone();
    let handler = move |request: Request| {
        let (seen, answer) = (seen.clone(), Arc::clone(&answer));
        async move {
            let call = note(request, &seen).await;
            match answer(&call) {
                Some(response) => response,
                None => std::future::pending().await,
            }
        }
    };
    tokio::spawn(crate::http::serve(listener, CancellationToken::new(), handler));
    (GitHub::with_patience(&base, "secret-token".into(), Clock::default(), patience).unwrap(), calls)
}

async fn note(request: Request, seen: &Calls) -> Call {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let line = format!("{} {}", parts.method, parts.uri);
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let call = Call {
        line,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        etag: header("if-none-match"),
        accept: header("accept").unwrap_or_default(),
        authorization: header("authorization").unwrap_or_default(),
    };
    seen.0.lock().unwrap().push(call.clone());
    call
}

/// A server of fixed answers, each by its line without `per_page`, `page` and `exclude_pull_requests`; anything else is a 404.
pub(super) async fn fixed(answers: Vec<(&str, Value)>) -> (GitHub, Calls) {
    let answers: HashMap<String, Value> = answers.into_iter().map(|(line, value)| (line.to_owned(), value)).collect();
    github(move |call| {
        Some(match answers.get(&without_paging(&call.line)) {
            Some(value) => respond(200, value),
            None => respond(404, &json!({ "message": "Not Found" })),
        })
    })
    .await
}

pub(super) fn without_paging(line: &str) -> String {
    let Some((path, query)) = line.split_once('?') else { return line.to_owned() };
    let paging = ["per_page=", "page=", "exclude_pull_requests="];
    let rest: Vec<&str> = query.split('&').filter(|pair| !paging.iter().any(|start| pair.starts_with(start))).collect();
    if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) }
}

pub(super) fn with(mut response: Response, headers: &[(&'static str, &str)]) -> Response {
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

pub(super) fn pipeline() -> Pipeline {
    let environment = |name: &str, kind| Environment {
        name: EnvName::from(name),
        label: name.to_owned(),
        kind,
        job: name.to_owned(),
        needs: Vec::new(),
        region: None,
        beanstalk: None,
        url: None,
        links: Default::default(),
        gated: None,
    };
    Pipeline {
        app: AppName::from("h"),
        repo: "hypothesis/h".to_owned(),
        branch: "main".to_owned(),
        deploy: "deploy.yml".to_owned(),
        redeploy: Some(Redeploy { file: "redeploy.yml".to_owned(), inputs: Default::default() }),
        group: Some("deploy".to_owned()),
        environments: vec![environment("Staging", Kind::Test), environment("Production", Kind::Production)],
    }
}

/// A run as GitHub lists it, started at 10:`minute`.
pub(super) fn raw_run(id: u64, minute: u32, file: &str, status: &str) -> Value {
    json!({
        "id": id, "run_number": id, "run_attempt": 1, "name": "Deploy", "display_title": "Fix it", "head_branch": "main",
        "path": format!(".github/workflows/{file}@main"), "head_sha": format!("{id:040}"), "event": "push",
        "status": status, "conclusion": null, "actor": { "login": "ana" }, "triggering_actor": { "login": "ben" },
        "created_at": "2026-11-20T10:00:00Z", "run_started_at": format!("2026-11-20T10:{minute:02}:00Z"),
        "updated_at": "2026-11-20T11:00:00Z", "html_url": "https://evil.example/", "repository": { "id": 1 },
    })
}

#[tokio::test]
async fn a_read_is_repeated_a_few_times_and_a_write_never() {
    let (github, calls) = github(|_| Some(respond(502, &json!({})))).await;
    assert_eq!(github.whoami().await, Err(GitHubError::Unreachable("status 502".to_owned())));
    assert_eq!(calls.all("GET /user").len(), 3);
    let sent = github.write("/repos/a/b/c", &json!({ "x": 1 })).await;
    assert_eq!(sent, Err(GitHubError::Unreachable("status 502".to_owned())));
    assert_eq!(calls.all("POST /repos/a/b/c").len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let github = GitHub::with_patience(&base, "t".into(), Clock::default(), impatient()).unwrap();
    assert!(matches!(github.whoami().await, Err(GitHubError::Unreachable(why)) if why.contains("refused")));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unreachable() {
    let patience = Patience { attempt: Duration::from_millis(30), ..impatient() };
    let (github, calls) = github_with(patience, |_| None).await;
    assert!(matches!(github.whoami().await, Err(GitHubError::Unreachable(_))));
    assert_eq!(calls.lines().len(), 3);
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let (github, calls) = github(|call| {
        let headers = [("etag", "\"v1\""), ("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "4999")];
        Some(match call.etag.as_deref() {
            Some("\"v1\"") => with(respond(304, &json!(null)), &headers),
            _ => with(respond(200, &json!({ "login": "lockkeeper-bot" })), &headers),
        })
    })
    .await;
    for _ in 0..2 {
        assert_eq!(github.whoami().await, Ok(Login::from("lockkeeper-bot")));
    }
    let calls = calls.all("GET /user");
    assert_eq!(calls.iter().map(|call| call.etag.as_deref()).collect::<Vec<_>>(), [None, Some("\"v1\"")]);
    assert_eq!(calls[0].authorization, "Bearer secret-token");
    assert_eq!(calls[0].accept, "application/vnd.github+json");
    assert!(github.last_success().is_some());
}

#[tokio::test]
async fn the_allowance_is_read_from_the_headers() {
    let (github, _) = github(|_| {
        let headers = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "4321"),
            ("x-ratelimit-used", "679"),
            ("x-ratelimit-reset", "1795000000"),
            ("x-ratelimit-resource", "core"),
            ("x-oauth-scopes", "repo, read:org"),
        ];
        Some(with(respond(200, &json!({ "login": "x" })), &headers))
    })
    .await;
    assert_eq!(github.budget(), None);
    assert_eq!(github.token_scopes().await, Ok(Some(vec!["repo".to_owned(), "read:org".to_owned()])));
    let budget = github.budget().unwrap();
    assert_eq!(
        (budget.limit, budget.remaining, budget.used, budget.reset.as_second()),
        (5000, 4321, 679, 1_795_000_000)
    );
}

#[tokio::test]
async fn a_limit_is_kept_without_asking_again() {
    type Headers = &'static [(&'static str, &'static str)];
    let limits: [(u16, Headers, &str); 6] = [
        (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "99999999999")], "API rate limit exceeded"),
        (429, &[("retry-after", "30")], "slow down"),
        (403, &[], "You have exceeded a secondary rate limit."),
        (429, &[], ""),
        // Without a moment at which it ends it is a limit all the same, and nothing that is refused for good.
        (403, &[("x-ratelimit-remaining", "0")], "API rate limit exceeded"),
        (429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "soon")], ""),
    ];
    for (status, headers, message) in limits {
        let (github, calls) =
            github(move |_| Some(with(respond(status, &json!({ "message": message })), headers))).await;
        let Err(GitHubError::RateLimited { until }) = github.whoami().await else { panic!("{message}") };
        let wait = until.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((20..=61 * 60).contains(&wait), "{message}: {wait}");
        assert_eq!(github.whoami().await, Err(GitHubError::RateLimited { until }));
        assert_eq!(github.write("/x", &json!({})).await, Err(GitHubError::RateLimited { until }));
        assert_eq!(calls.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_limit_ends_when_its_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let handler = |_: Request| async { with(respond(429, &json!({})), &[("retry-after", "100")]) };
    tokio::spawn(crate::http::serve(listener, CancellationToken::new(), handler));
    let clock = Clock::default();
    let github = GitHub::with_clock(&base, "t".into(), clock.clone()).unwrap();
    let first = github.whoami().await;
    assert_eq!(github.whoami().await, first);
    clock.advance(jiff::SignedDuration::from_secs(200));
    assert_ne!(github.whoami().await, first, "asked again, and limited anew");
}

#[tokio::test]
async fn errors_carry_one_short_line_of_github() {
    let cases: [(u16, Value, GitHubError); 7] = [
        (401, json!({ "message": "Bad credentials" }), GitHubError::Unauthorized),
        (
            403,
            json!({ "message": "Must have\nadmin rights" }),
            GitHubError::Forbidden("Must have admin rights".to_owned()),
        ),
        (404, json!({}), GitHubError::NotFound),
        (
            422,
            json!({ "message": "Validation Failed", "errors": ["no pending deployment"] }),
            GitHubError::Unprocessable("Validation Failed: no pending deployment".to_owned()),
        ),
        (409, json!({ "message": "x".repeat(5000) }), GitHubError::Unprocessable("x".repeat(200))),
        (422, json!("?"), GitHubError::Unprocessable("no reason given".to_owned())),
        (418, json!({}), GitHubError::Odd("status 418".to_owned())),
    ];
    for (status, body, expected) in cases {
        let (github, _) = github(move |_| Some(respond(status, &body))).await;
        assert_eq!(github.whoami().await, Err(expected));
    }
}

#[tokio::test]
async fn nonsense_is_odd_and_not_shown() {
    let (github, _) = github(|_| Some(crate::http::respond(200, "text/html", "<html>secret-token</html>"))).await;
    let error = github.whoami().await.unwrap_err();
    assert!(matches!(error, GitHubError::Odd(_)));
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn errors_of_graphql_are_errors() {
    let cases = [
        (json!([{ "type": "NOT_FOUND", "message": "no" }]), GitHubError::NotFound),
        (json!([{ "type": "FORBIDDEN", "message": "no" }]), GitHubError::Forbidden("no".to_owned())),
        (json!([{ "message": "Something went wrong" }]), GitHubError::Unreachable("Something went wrong".to_owned())),
    ];
    for (errors, expected) in cases {
        let (github, _) = github(move |_| Some(respond(200, &json!({ "data": null, "errors": errors })))).await;
        assert_eq!(github.graphql::<Value>("query{}", json!({})).await, Err(expected));
    }
    let (github, calls) = github(|_| Some(respond(200, &json!({ "errors": [{ "type": "RATE_LIMITED" }] })))).await;
    for _ in 0..2 {
        assert!(matches!(github.graphql::<Value>("query{}", json!({})).await, Err(GitHubError::RateLimited { .. })));
    }
    assert!(matches!(github.whoami().await, Err(GitHubError::Odd(_))), "REST has an allowance of its own");
    assert_eq!(calls.lines(), ["POST /graphql", "GET /user"]);
}

#[tokio::test]
async fn an_address_may_have_a_path_and_a_slash() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/v3/", listener.local_addr().unwrap());
    let handler = |request: Request| async move { respond(200, &json!({ "login": request.uri().path() })) };
    tokio::spawn(crate::http::serve(listener, CancellationToken::new(), handler));
    let github = GitHub::new(&base, "t".into()).unwrap();
    assert_eq!(github.whoami().await, Ok(Login::from("/api/v3/user")));
}

#[tokio::test]
async fn teams_and_environments() {
    let (github, calls) = fixed(vec![
        ("GET /orgs/hypothesis/teams/developers/memberships/ana", json!({ "state": "active", "role": "member" })),
        ("GET /orgs/hypothesis/teams/developers/memberships/ben", json!({ "state": "pending" })),
        ("GET /repos/hypothesis/h", json!({ "default_branch": "main" })),
        (
            "GET /repos/hypothesis/h/environments",
            json!({ "total_count": 2, "environments": [
                { "id": 1, "name": "Staging", "protection_rules": [], "deployment_branch_policy": null },
                { "id": 2, "name": "Production", "protection_rules": [
                    { "id": 3, "type": "wait_timer", "wait_timer": 30 },
                    { "id": 4, "type": "required_reviewers", "prevent_self_review": true, "reviewers": [
                        { "type": "User", "reviewer": { "login": "bot", "id": 1 } },
                        { "type": "Team", "reviewer": { "slug": "developers", "id": 2, "name": "Developers" } }] }] }] }),
        ),
    ])
    .await;
    let member = async |login: &str| github.team_member("hypothesis/developers", &Login::from(login)).await;
    assert_eq!(member("ana").await, Ok(true));
    assert_eq!(member("ben").await, Ok(false));
    assert_eq!(member("../../x").await, Ok(false));
    assert!(calls.lines().last().unwrap().ends_with("/memberships/..%2F..%2Fx"));
    assert_eq!(github.repo_visible("hypothesis/h").await, Ok(true));
    assert_eq!(github.repo_visible("hypothesis/private").await, Ok(false));
    let environments = github.environments("hypothesis/h").await.unwrap();
    assert_eq!(environments[0].reviewers, None);
    assert_eq!(environments[1].reviewers.as_ref().map(Vec::len), Some(2));
    assert!(environments[1].prevent_self_review && !environments[0].prevent_self_review);
}

#[tokio::test]
async fn a_page_that_holds_more_than_was_asked_for_is_odd() {
    let endless: Vec<Value> = (0..=super::PER_PAGE).map(|n| json!({ "id": n, "name": n.to_string() })).collect();
    let (github, calls) = github(move |_| Some(respond(200, &json!({ "environments": endless })))).await;
    assert!(matches!(github.environments("o/r").await, Err(GitHubError::Odd(_))));
    assert_eq!(calls.lines().len(), 1, "nobody asks for more of it");
}

/// A run of the year 9999 broke off every decision about its app.
#[tokio::test]
async fn times_at_the_end_of_time_are_moved_to_where_one_can_reckon() {
    let end = "9999-12-30T22:00:00Z";
    let run = json!({ "id": 1, "head_sha": "a", "display_title": "x".repeat(1 << 20), "created_at": end, "run_started_at": end,
        "updated_at": "-009000-01-01T00:00:00Z", "path": ".github/workflows/deploy.yml" });
    let (github, _) = github(move |_| Some(respond(200, &run))).await;
    let pipeline = crate::deploy::pipeline::Pipeline { repo: "o/r".into(), deploy: "deploy.yml".into(), ..pipeline() };
    let run = github.run(&pipeline, crate::deploy::name::RunId(1)).await.unwrap();
    assert_eq!(run.started_at.strftime("%Y").to_string(), "2200");
    assert_eq!(run.updated_at, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(run.title.len(), 4_000, "and titles are cut");
}

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::sandbox::world::{Act, FaultKind, Outcome, World};

const H: &str = "hypothesis/h";

/// A served world and a client of it.
struct Wire {
    world: World,
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Wire {
    async fn start() -> Wire {
        let world = World::hypothesis(Clock::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(super::serve(listener, world.clone(), shutdown.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Wire { world, base, client, shutdown, server }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = hyper::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        let token = format!("Bearer {}", self.world.token());
        self.send(method, path, &[("authorization", &token), ("user-agent", "test")], body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "").await
    }

    /// The body of a GET that must succeed.
    async fn read(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask("POST", path, &body.to_string()).await
    }

    /// A run that waits for production.
    fn waiting(&self) -> u64 {
        self.act(Act::merge(H, "ana-gh", "Speed up search"));
        let run = self.world.newest_run(H).unwrap();
        for job in ["Docker Hub", "Staging", "Staging (WebSocket)"] {
            self.act(Act::finish(H, run, job, Outcome::Success));
        }
        run
    }

    fn act(&self, act: Act) {
        self.world.act(act).unwrap();
    }

    fn fault(&self, kind: FaultKind, times: u32, only: Option<&str>) {
        self.act(Act::Fault { kind, times, only: only.map(str::to_owned) });
    }

    async fn stop(self) -> Vec<String> {
        self.shutdown.cancel();
        drop(self.client);
        self.server.await.unwrap();
        self.world.complaints()
    }
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_run_and_its_jobs_look_like_github() {
    let wire = Wire::start().await;
    let run = wire.waiting();
    let runs = wire.read("/repos/hypothesis/h/actions/workflows/deploy.yml/runs?branch=main&per_page=1").await;
    assert_eq!(runs["total_count"], 2);
    let first = &runs["workflow_runs"][0];
    assert_eq!((&first["id"], &first["status"], &first["conclusion"]), (&json!(run), &json!("waiting"), &Value::Null));
    assert_eq!(first["path"], ".github/workflows/deploy.yml");
    let jobs = wire.read(&format!("/repos/hypothesis/h/actions/runs/{run}/jobs?per_page=100")).await;
    assert_eq!(
        names(&jobs["jobs"], "name"),
        [
            "Docker Hub / Release",
            "Staging / Deploy",
            "Staging (WebSocket) / Deploy",
            "Production / Deploy",
            "Production (WebSocket) / Deploy",
            "Production (Canada) / Deploy",
        ]
    );
    let steps = &jobs["jobs"][1]["steps"];
    assert_eq!(steps[3]["name"], "Install dependencies and run deploy script");
    assert_eq!(steps[3]["conclusion"], "success");
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn jobs_whose_needs_go_on_are_absent() {
    let wire = Wire::start().await;
    wire.act(Act::merge(H, "ana-gh", "One"));
    let run = wire.world.newest_run(H).unwrap();
    let path = format!("/repos/hypothesis/h/actions/runs/{run}/jobs?filter=all");
    assert_eq!(names(&wire.read(&path).await["jobs"], "name"), ["Docker Hub / Release"]);
    wire.act(Act::finish(H, run, "Docker Hub", Outcome::Failure));
    let jobs = wire.read(&path).await;
    assert_eq!(jobs["jobs"][1]["name"], "Staging");
    assert_eq!(jobs["jobs"][1]["conclusion"], "skipped");
    wire.act(Act::Rerun { repo: H.to_owned(), run, failed_only: true, by: "ana-gh".to_owned() });
    assert_eq!(wire.read(&path).await["total_count"], 7);
    let old = format!("/repos/hypothesis/h/actions/runs/{run}/attempts/1");
    assert_eq!(wire.read(&old).await["conclusion"], "failure");
    assert_eq!(wire.read(&format!("{old}/jobs")).await["total_count"], 6);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_approval_needs_all_three_fields_and_a_waiting_gate() {
    let wire = Wire::start().await;
    let run = wire.waiting();
    let path = format!("/repos/hypothesis/h/actions/runs/{run}/pending_deployments");
    let pending = wire.read(&path).await;
    assert_eq!(pending[2]["environment"]["name"], "Production (Canada)");
    assert_eq!(pending[2]["current_user_can_approve"], true);
    assert_eq!(pending[2]["reviewers"][1]["reviewer"]["slug"], "developers");
    let ids = json!([pending[0]["environment"]["id"], pending[2]["environment"]["id"]]);
    let good = json!({"environment_ids": ids, "state": "approved", "comment": "Ana"});
    for missing in ["environment_ids", "state", "comment"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(wire.post(&path, body).await.status, 422, "{missing}");
    }
    assert_eq!(wire.world.complaints().len(), 3);
    let approved = wire.post(&path, good.clone()).await;
    assert_eq!(approved.status, 200);
    assert_eq!(names(&approved.body, "environment"), ["Production", "Production (Canada)"]);
    assert_eq!(wire.post(&path, good).await.status, 422, "not waiting any more, which is no complaint");
    assert_eq!(wire.read(&path).await.as_array().unwrap().len(), 1);
    let approvals = wire.read(&format!("/repos/hypothesis/h/actions/runs/{run}/approvals")).await;
    assert_eq!(approvals[0]["user"]["login"], "lockkeeper-bot");
    let posts = wire.world.requests().into_iter().filter(|r| r.method == "POST" && r.status == 200).count();
    assert_eq!(posts, 1);
    assert_eq!(wire.stop().await.len(), 3);
}

#[tokio::test]
async fn a_dispatch_takes_strings_and_declared_inputs() {
    let wire = Wire::start().await;
    let path = "/repos/hypothesis/h/actions/workflows/redeploy.yml/dispatches";
    let reply = wire.post(path, json!({"ref": "main", "inputs": {"production": true}})).await;
    assert_eq!(reply.status, 422);
    let reply = wire.post(path, json!({"ref": "main", "inputs": {"qa": "true"}})).await;
    assert_eq!(reply.body["message"], "Unexpected inputs provided: [\"qa\"]");
    assert_eq!(wire.post(path, json!({"inputs": {}})).await.status, 422);
    assert_eq!(wire.world.complaints().len(), 3);
    assert_eq!(wire.post(path, json!({"ref": "gone"})).await.status, 422);
    let body = json!({"ref": "main", "inputs": {"production": "true"}, "return_run_details": true});
    let reply = wire.post(path, body).await;
    assert_eq!(reply.body["workflow_run_id"], json!(wire.world.newest_run(H)));
    assert_eq!(
        wire.post("/repos/hypothesis/h/actions/workflows/deploy.yml/dispatches", json!({"ref": "main"})).await.status,
        204
    );
    let runs = wire.read("/repos/hypothesis/h/actions/runs?event=workflow_dispatch").await;
    assert_eq!(names(&runs["workflow_runs"], "status"), ["queued", "completed"]);
    let group = wire.read("/repos/hypothesis/h/actions/concurrency_groups/Deploy").await;
    assert_eq!(group["group_members"][0]["run_id"], runs["workflow_runs"][0]["id"]);
    assert_eq!(wire.stop().await.len(), 3);
}

#[tokio::test]
async fn cancel_and_rerun_answer_as_github_does() {
    let wire = Wire::start().await;
    let run = wire.waiting();
    let path = format!("/repos/hypothesis/h/actions/runs/{run}");
    assert_eq!(wire.post(&format!("{path}/rerun"), json!({})).await.status, 403);
    assert_eq!(wire.ask("POST", &format!("{path}/cancel"), "").await.status, 202);
    assert_eq!(wire.ask("POST", &format!("{path}/cancel"), "").await.status, 409);
    let jobs = wire.read(&format!("{path}/jobs")).await;
    let check = jobs["jobs"][3]["check_run_url"].as_str().unwrap().strip_prefix(&wire.base).unwrap().to_owned();
    let annotations = wire.read(&format!("{check}/annotations")).await;
    assert_eq!(annotations[0]["message"], "The run was canceled by @lockkeeper-bot.");
    assert_eq!(wire.post(&format!("{path}/rerun-failed-jobs"), json!({})).await.status, 201);
    let again = wire.read(&path).await;
    assert_eq!((&again["run_attempt"], &again["status"]), (&json!(2), &json!("waiting")));
    assert_eq!(again["triggering_actor"]["login"], "lockkeeper-bot");
    assert_eq!(again["actor"]["login"], "ana-gh");
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn compare_pages_and_tells_all_four_statuses() {
    let wire = Wire::start().await;
    let before =
        wire.read("/repos/hypothesis/h/git/ref/heads/main").await["object"]["sha"].as_str().unwrap().to_owned();
    for nth in 0..3 {
        wire.act(Act::merge(H, "ana-gh", &format!("Change {nth}")));
    }
    let (repo, workflow) = (H.to_owned(), "deploy.yml".to_owned());
    let (by, branch) = ("chi-gh".to_owned(), "try".to_owned());
    wire.act(Act::Dispatch { repo, workflow, by, branch, inputs: Default::default() });
    for (range, status, ahead, behind) in [
        (format!("{before}...main"), "ahead", 3, 0),
        (format!("main...{before}"), "behind", 0, 3),
        (format!("{before}...{before}"), "identical", 0, 0),
        ("main...try".to_owned(), "diverged", 1, 1),
    ] {
        let found = wire.read(&format!("/repos/hypothesis/h/compare/{range}")).await;
        assert_eq!(
            (&found["status"], &found["ahead_by"], &found["behind_by"]),
            (&json!(status), &json!(ahead), &json!(behind))
        );
    }
    let reply = wire.get(&format!("/repos/hypothesis/h/compare/{before}...main?per_page=2&page=2")).await;
    assert_eq!(reply.body["commits"].as_array().unwrap().len(), 1);
    assert_eq!(reply.body["commits"][0]["commit"]["message"], "Change 2");
    assert!(reply.header("link").contains("rel=\"prev\""));
    assert!(!reply.header("link").contains("rel=\"next\""));
    assert_eq!(wire.get("/repos/hypothesis/h/compare/abc...main").await.status, 404);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn links_lead_through_all_pages() {
    let wire = Wire::start().await;
    for nth in 0..4 {
        wire.act(Act::merge(H, "ana-gh", &format!("Change {nth}")));
    }
    let mut path = "/repos/hypothesis/h/actions/runs?branch=main&per_page=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let reply = wire.get(&path).await;
        seen.extend(
            reply.body["workflow_runs"].as_array().unwrap().iter().map(|run| run["run_number"].as_u64().unwrap()),
        );
        let link = reply.header("link").to_owned();
        let Some(next) = link.split(", ").find(|link| link.ends_with("rel=\"next\"")) else {
            break;
        };
        let url = next.trim_start_matches('<').split('>').next().unwrap();
        path = url.strip_prefix(&wire.base).unwrap().to_owned();
    }
    assert_eq!(seen, [815, 814, 813, 812, 811]);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_unchanged_answer_costs_nothing() {
    let wire = Wire::start().await;
    let path = "/repos/hypothesis/h/actions/runs";
    let first = wire.get(path).await;
    let token = format!("token {}", wire.world.token());
    let again = |etag: String| {
        let headers = [("authorization", token.clone()), ("user-agent", "test".to_owned()), ("if-none-match", etag)];
        let wire = &wire;
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            wire.send("GET", path, &headers, "").await
        }
    };
    let same = again(first.header("etag").to_owned()).await;
    assert_eq!((same.status, &same.body), (304, &Value::Null));
    assert_eq!(same.header("x-ratelimit-remaining"), first.header("x-ratelimit-remaining"));
    wire.act(Act::merge(H, "ana-gh", "New"));
    let changed = again(first.header("etag").to_owned()).await;
    assert_eq!((changed.status, changed.header("x-ratelimit-remaining")), (200, "4998"));
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn strangers_are_turned_away_and_told_on() {
    let wire = Wire::start().await;
    assert_eq!(wire.send("GET", "/user", &[("user-agent", "test")], "").await.status, 401);
    let wrong = [("user-agent", "test"), ("authorization", "Bearer ghp_wrong")];
    assert_eq!(wire.send("GET", "/user", &wrong, "").await.body["message"], "Bad credentials");
    let token = format!("Bearer {}", wire.world.token());
    assert_eq!(wire.send("GET", "/user", &[("authorization", &token)], "").await.status, 403);
    assert_eq!(wire.get("/repos/hypothesis/h/actions/magic").await.status, 404);
    assert_eq!(wire.ask("DELETE", "/repos/hypothesis/h", "").await.status, 404);
    assert_eq!(wire.get("/repos/hypothesis/h/actions/runs?head_SHA=1").await.status, 200);
    assert_eq!(wire.get("/repos/hypothesis/nothing").await.status, 404, "no complaint");
    assert_eq!(wire.read("/user").await["login"], "lockkeeper-bot");
    insta::assert_snapshot!(wire.stop().await.join("\n"), @r"
    GET /user: no token
    GET /user: wrong token
    GET /user: no User-Agent
    GET /repos/hypothesis/h/actions/magic: unknown route
    DELETE /repos/hypothesis/h: unknown route
    GET /repos/hypothesis/h/actions/runs?head_SHA=1: unknown query parameter head_SHA
    ");
}

#[tokio::test]
async fn faults_hit_as_ordered_and_are_no_complaints() {
    let wire = Wire::start().await;
    let run = wire.waiting();
    let cancel = format!("/repos/hypothesis/h/actions/runs/{run}/cancel");
    wire.fault(FaultKind::Error500, 1, Some("POST"));
    assert_eq!(wire.get("/user").await.status, 200);
    assert_eq!(wire.post(&cancel, json!({})).await.status, 500);
    wire.fault(FaultKind::Error502After, 1, Some("/cancel"));
    assert_eq!(wire.post(&cancel, json!({})).await.status, 502);
    assert_eq!(wire.post(&cancel, json!({})).await.status, 409, "it was done");
    wire.fault(FaultKind::RateLimited, 1, None);
    let limited = wire.get("/user").await;
    assert_eq!((limited.status, limited.header("x-ratelimit-remaining")), (403, "0"));
    wire.fault(FaultKind::Secondary, 2, None);
    assert_eq!(wire.get("/user").await.header("retry-after"), "2");
    wire.act(Act::ClearFaults);
    assert_eq!(wire.get("/user").await.status, 200);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn stale_lists_are_one_change_behind() {
    let wire = Wire::start().await;
    wire.act(Act::merge(H, "ana-gh", "One"));
    wire.fault(FaultKind::Stale, 1, None);
    let path = "/repos/hypothesis/h/actions/workflows/deploy.yml/runs";
    let run = wire.world.newest_run(H).unwrap();
    assert_eq!(wire.get(&format!("/repos/hypothesis/h/actions/runs/{run}")).await.status, 200);
    assert_eq!(wire.read(path).await["total_count"], 1);
    assert_eq!(wire.read(path).await["total_count"], 2);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hanging_request_ends_with_the_server() {
    let wire = Wire::start().await;
    wire.fault(FaultKind::HangAfter, 1, None);
    let run = wire.waiting();
    let cancel = format!("/repos/hypothesis/h/actions/runs/{run}/cancel");
    let stop_when_seen = async {
        while wire.world.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        wire.shutdown.cancel();
    };
    let (reply, ()) = tokio::join!(wire.post(&cancel, json!({})), stop_when_seen);
    assert_eq!(reply.status, 504);
    assert_eq!(wire.world.view()["repos"][0]["runs"][0]["conclusion"], "cancelled");
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn history_names_the_pull_requests() {
    let wire = Wire::start().await;
    wire.act(Act::Merge {
        repo: H.to_owned(),
        author: "dependabot[bot]".to_owned(),
        by: Some("ana-gh".to_owned()),
        title: "Bump zope".to_owned(),
        kind: crate::sandbox::world::MergeKind::Rebase,
        commits: 2,
        docs: false,
        body: None,
    });
    let oid = wire.read("/repos/hypothesis/h/git/ref/heads/main").await["object"]["sha"].clone();
    let query = "query($o:String!,$r:String!,$oid:GitObjectID!,$after:String){ repository(owner:$o,name:$r){ object(oid:$oid){ ... on Commit {
      history(first:3, after:$after){ pageInfo{hasNextPage endCursor}
        nodes{ oid messageHeadline committedDate author{user{login}} committer{user{login}}
          associatedPullRequests(first:5){ nodes{ number title url merged mergedAt baseRefName
            author{login __typename} mergedBy{login} mergeCommit{oid} labels(first:10){nodes{name}} } } } } } } } }";
    let ask =
        |after: Value| json!({"query": query, "variables": {"o": "hypothesis", "r": "h", "oid": oid, "after": after}});
    let found = wire.post("/graphql", ask(Value::Null)).await.body;
    let history = &found["data"]["repository"]["object"]["history"];
    let pull = &history["nodes"][0]["associatedPullRequests"]["nodes"][0];
    assert_eq!(pull, &history["nodes"][1]["associatedPullRequests"]["nodes"][0]);
    assert_eq!(pull["author"]["__typename"], "Bot");
    assert_eq!((&pull["mergedBy"]["login"], &pull["mergeCommit"]["oid"]), (&json!("ana-gh"), &oid));
    assert_eq!(pull["labels"]["nodes"][0]["name"], "dependencies");
    let next = wire.post("/graphql", ask(history["pageInfo"]["endCursor"].clone())).await.body;
    assert_ne!(next["data"]["repository"]["object"]["history"]["nodes"][0]["oid"], history["nodes"][2]["oid"]);
    assert_eq!(next["data"]["repository"]["object"]["history"]["nodes"].as_array().unwrap().len(), 3);
    let single = "query($o:String!,$r:String!,$n:Int!){ repository(owner:$o,name:$r){ pullRequest(number:$n){ number title mergeCommit{oid} } } }";
    let variables = json!({"o": "hypothesis", "r": "h", "n": pull["number"]});
    let found = wire.post("/graphql", json!({"query": single, "variables": variables})).await.body;
    assert_eq!(found["data"]["repository"]["pullRequest"]["mergeCommit"]["oid"], oid);
    assert_eq!(wire.world.complaints(), Vec::<String>::new());
    let wrong = json!({"query": "query { repository { pullRequests { nodez } } }"});
    assert!(wire.post("/graphql", wrong).await.body["errors"].is_array());
    assert_eq!(wire.stop().await.len(), 1);
}

#[tokio::test]
async fn what_the_repository_holds_can_be_read() {
    let wire = Wire::start().await;
    let file = wire.read("/repos/hypothesis/h/contents/.github/workflows/redeploy.yml").await;
    assert_eq!(file["encoding"], "base64");
    assert_eq!(wire.get("/repos/hypothesis/client/contents/.github/workflows/redeploy.yml").await.status, 404);
    assert_eq!(wire.read("/repos/hypothesis/client/actions/workflows").await["total_count"], 1);
    let environments = wire.read("/repos/hypothesis/h/environments?per_page=100").await;
    assert_eq!(environments["total_count"], 5);
    let canada = wire.read("/repos/hypothesis/h/environments/Production%20%28Canada%29").await;
    assert_eq!(canada["protection_rules"][0]["type"], "required_reviewers");
    assert_eq!(wire.read("/orgs/hypothesis/teams/developers/members").await.as_array().unwrap().len(), 4);
    assert_eq!(wire.get("/orgs/hypothesis/teams/developers/memberships/ana-gh").await.status, 200);
    assert_eq!(wire.get("/orgs/hypothesis/teams/developers/memberships/mallory-gh").await.status, 404);
    let main = wire.read("/repos/hypothesis/h/commits/main").await;
    let pulls = wire.read(&format!("/repos/hypothesis/h/commits/{}/pulls", main["sha"].as_str().unwrap())).await;
    let pull = wire.read(&format!("/repos/hypothesis/h/pulls/{}", pulls[0]["number"])).await;
    assert_eq!((&pull["merged_by"]["login"], &pull["merge_commit_sha"]), (&json!("ben-gh"), &main["sha"]));
    assert_eq!(wire.read("/rate_limit").await["rate"]["limit"], 5_000);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_real_client_understands_it() {
    let wire = Wire::start().await;
    let run = wire.waiting();
    let github =
        octocrab::Octocrab::builder().base_uri(&wire.base).unwrap().personal_token(wire.world.token()).build().unwrap();
    let runs = github.workflows("hypothesis", "h").list_runs("deploy.yml").branch("main").send().await.unwrap();
    assert_eq!(runs.items[0].id.into_inner(), run);
    let pull = github.pulls("hypothesis", "h").get(4498).await.unwrap();
    assert_eq!(pull.merged_by.unwrap().login, "ana-gh");
    let path = format!("/repos/hypothesis/h/actions/runs/{run}");
    let jobs: Value = github.get(format!("{path}/jobs"), Some(&json!({"per_page": 100}))).await.unwrap();
    assert_eq!(jobs["total_count"], 6);
    let cancelled = github._post(format!("{path}/cancel"), None::<&()>).await.unwrap();
    assert_eq!(cancelled.status().as_u16(), 202);
    let again = github._post(format!("{path}/rerun"), Some(&json!({}))).await.unwrap();
    assert_eq!(again.status().as_u16(), 201);
    drop(github);
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

const REVERT: &str = "mutation($input: RevertPullRequestInput!) { revertPullRequest(input: $input) { revertPullRequest { number url } } }";

impl Wire {
    /// The id by which GraphQL knows a pull request.
    async fn node(&self, number: u64) -> Value {
        let query = "query($o: String!, $r: String!, $n: Int!) { repository(owner: $o, name: $r) { pullRequest(number: $n) { id state } } }";
        let body = json!({"query": query, "variables": {"o": "hypothesis", "r": "h", "n": number}});
        let found = self.ask("POST", "/graphql", &body.to_string()).await.body;
        found["data"]["repository"]["pullRequest"]["id"].clone()
    }

    async fn revert(&self, node: &Value) -> Value {
        let body = json!({"query": REVERT, "variables": {"input": {"pullRequestId": node, "title": "Revert it"}}});
        self.ask("POST", "/graphql", &body.to_string()).await.body
    }
}

#[tokio::test]
async fn pull_requests_are_opened_and_reverted() {
    let wire = Wire::start().await;
    let act = |act: Value| wire.world.act(serde_json::from_value(act).unwrap());
    act(json!({"do": "propose", "repo": H, "author": "ana-gh", "title": "Try it", "body": "Requires-Env: KEY"}))
        .unwrap();
    let open = wire.read("/repos/hypothesis/h/pulls?state=open&base=main&per_page=100").await;
    let number = open[0]["number"].as_u64().unwrap();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["body"]), (1, &json!("Requires-Env: KEY")));
    assert_eq!(open[0]["merged_at"], Value::Null);
    let refused = wire.revert(&wire.node(number).await).await;
    assert_eq!(refused["errors"][0]["message"], "Pull request is not merged");

    let before = wire.read("/repos/hypothesis/h/commits/main").await["sha"].clone();
    let told = act(json!({"do": "merge_pull", "repo": H, "number": number, "by": "ben-gh"})).unwrap();
    assert!(told.contains("started"), "{told}");
    assert!(act(json!({"do": "merge_pull", "repo": H, "number": number, "by": "ben-gh"})).is_err());
    let merged = wire.read(&format!("/repos/hypothesis/h/pulls/{number}")).await;
    assert_eq!((&merged["state"], &merged["merged_by"]["login"]), (&json!("closed"), &json!("ben-gh")));
    assert_eq!(merged["base"]["sha"], before);

    let opened = wire.revert(&wire.node(number).await).await;
    let revert = opened["data"]["revertPullRequest"]["revertPullRequest"]["number"].as_u64().unwrap();
    let revert = wire.read(&format!("/repos/hypothesis/h/pulls/{revert}")).await;
    assert_eq!(revert["head"]["ref"], format!("revert-{number}-try-it"));
    assert_eq!((&revert["user"]["login"], &revert["state"]), (&json!("lockkeeper-bot"), &json!("open")));
    // One that is merged at once was opened before.
    act(json!({"do": "merge", "repo": H, "author": "ben-gh", "title": "Meanwhile"})).unwrap();
    let newest = wire.read("/repos/hypothesis/h/pulls?state=all&sort=created&direction=desc&per_page=100").await;
    assert_eq!(newest[0]["number"], revert["number"]);
    act(json!({"do": "entangle", "repo": H, "number": number})).unwrap();
    let conflict = wire.revert(&wire.node(number).await).await;
    assert_eq!((&conflict["data"], &conflict["errors"][0]["type"]), (&Value::Null, &json!("UNPROCESSABLE")));
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn reviews_are_asked_for_and_statuses_set() {
    let wire = Wire::start().await;
    let act = |act: Value| wire.world.act(serde_json::from_value(act).unwrap()).unwrap();
    act(json!({"do": "propose", "repo": H, "author": "ana-gh", "title": "Try it"}));
    let pull = wire.read("/repos/hypothesis/h/pulls").await[0].clone();
    let path = format!("/repos/hypothesis/h/pulls/{}/requested_reviewers", pull["number"]);
    assert_eq!(wire.ask("POST", &path, r#"{"reviewers":["ana-gh"]}"#).await.status, 422);
    assert_eq!(wire.ask("POST", &path, r#"{"reviewers":["mallory-gh"]}"#).await.status, 422);
    let asked = wire.ask("POST", &path, r#"{"reviewers":["ben-gh","chi-gh"]}"#).await;
    assert_eq!((asked.status, &asked.body["requested_reviewers"][1]["login"]), (201, &json!("chi-gh")));

    let head = pull["head"]["sha"].as_str().unwrap();
    let set = async |state: &str| {
        let body = json!({"state": state, "context": "lockkeeper/env", "description": "KEY"});
        wire.ask("POST", &format!("/repos/hypothesis/h/statuses/{head}"), &body.to_string()).await.status
    };
    assert_eq!((set("failure").await, set("success").await), (201, 201));
    let all = wire.read(&format!("/repos/hypothesis/h/commits/{head}/statuses?per_page=100")).await;
    assert_eq!((&all[0]["state"], &all[1]["state"]), (&json!("success"), &json!("failure")));
    let standing = wire.read(&format!("/repos/hypothesis/h/commits/{head}/status")).await;
    assert_eq!((&standing["state"], &standing["total_count"]), (&json!("success"), &json!(1)));
    act(json!({"do": "push_pull", "repo": H, "number": pull["number"], "by": "ana-gh"}));
    assert_ne!(wire.read("/repos/hypothesis/h/pulls").await[0]["head"]["sha"], pull["head"]["sha"]);
    act(json!({"do": "edit_pull", "repo": H, "number": pull["number"], "body": "Requires-Env: KEY"}));
    act(json!({"do": "close_pull", "repo": H, "number": pull["number"], "by": "ana-gh"}));
    assert_eq!(wire.read("/repos/hypothesis/h/pulls?state=closed").await[0]["body"], "Requires-Env: KEY");
    assert_eq!(wire.stop().await, Vec::<String>::new());
}

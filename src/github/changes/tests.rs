use serde_json::{Value, json};

use super::*;
use crate::github::tests::{Calls, fixed, github, pipeline, without_paging};
use crate::http::json as respond;

fn commit(sha: &str) -> Value {
    json!({ "sha": sha, "html_url": "https://evil.example",
        "commit": { "message": format!("Message of {sha}\n\nmore"), "committer": { "date": "2026-11-20T09:00:00Z" } },
        "author": { "login": "ana", "type": "User" }, "committer": { "login": "web-flow", "type": "User" } })
}

fn pr(number: u64, merge: Option<&str>) -> Value {
    json!({ "number": number, "title": format!("PR {number}"), "merged": true, "mergedAt": format!("2026-11-20T10:{number:02}:00Z"),
        "baseRefName": "main", "author": { "login": "ana", "__typename": "User" },
        "mergedBy": { "login": "ben", "__typename": "User" }, "mergeCommit": merge.map(|oid| json!({ "oid": oid })) })
}

fn node(sha: &str, prs: Vec<Value>) -> Value {
    json!({ "oid": sha, "associatedPullRequests": { "nodes": prs } })
}

fn history(nodes: &[Value], next: Option<&str>) -> Value {
    json!({ "data": { "repository": { "object": { "history": {
        "pageInfo": { "hasNextPage": next.is_some(), "endCursor": next }, "nodes": nodes } } } } })
}

/// A comparison `base...head` and a history; what is not given is a 404.
async fn repo(status: &str, commits: &[&str], nodes: Vec<Value>) -> (GitHub, Calls) {
    let commits: Vec<Value> = commits.iter().map(|sha| commit(sha)).collect();
    let compared = json!({ "status": status, "total_commits": commits.len(), "commits": commits });
    fixed(vec![("GET /repos/hypothesis/h/compare/base...head", compared), ("POST /graphql", history(&nodes, None))])
        .await
}

async fn range(github: &GitHub) -> Range {
    github.range(&pipeline(), &"base".into(), &"head".into()).await.unwrap().unwrap()
}

fn keys(range: &Range) -> Vec<String> {
    range.changes.iter().map(|change| change.key.to_string()).collect()
}

#[tokio::test]
async fn five_commits_of_a_rebase_merge_are_one_change() {
    let of_one = |sha: &str| node(sha, vec![pr(2, Some("e"))]);
    let nodes =
        vec![node("head", vec![pr(3, Some("head"))]), of_one("e"), of_one("d"), of_one("c"), of_one("b"), of_one("a")];
    let (github, calls) = repo("ahead", &["a", "b", "c", "d", "e", "head"], nodes).await;
    let range = range(&github).await;
    assert_eq!(range.standing, Standing::Ahead);
    assert_eq!(keys(&range), ["#2", "#3"]);
    let first = &range.changes[0];
    assert_eq!(first.head, Sha::from("e"));
    assert_eq!(first.commits.len(), 5);
    assert_eq!(first.url, "https://github.com/hypothesis/h/pull/2");
    assert_eq!((first.author.as_ref().unwrap().as_str(), first.merged_by.as_ref().unwrap().as_str()), ("ana", "ben"));
    assert_eq!(calls.lines().len(), 2);
    assert_eq!(calls.all("POST /graphql")[0].body["variables"]["oid"], "head");
}

#[tokio::test]
async fn a_pr_whose_end_is_out_of_range_ends_with_its_last_commit_in_range() {
    let nodes = vec![node("head", vec![pr(2, Some("beyond"))]), node("a", vec![pr(2, Some("beyond"))])];
    let (github, _) = repo("ahead", &["a", "head"], nodes).await;
    assert_eq!(range(&github).await.changes[0].head, Sha::from("head"));
}

#[tokio::test]
async fn a_merge_commit_is_the_head_wherever_the_others_stand() {
    let nodes = vec![
        node("head", vec![pr(3, Some("head"))]),
        node("m", vec![pr(2, Some("m"))]),
        node("x", vec![pr(2, Some("m"))]),
    ];
    let (github, _) = repo("ahead", &["m", "x", "head"], nodes).await;
    let range = range(&github).await;
    assert_eq!(keys(&range), ["#2", "#3"]);
    assert_eq!(range.changes[0].head, Sha::from("m"));
}

#[tokio::test]
async fn a_bots_pr_belongs_to_whoever_merged_it() {
    let mut bump = pr(4, Some("head"));
    bump["author"] = json!({ "login": "dependabot", "__typename": "Bot" });
    let (github, _) = repo("ahead", &["head"], vec![node("head", vec![bump])]).await;
    let change = &range(&github).await.changes[0];
    assert!(change.author_is_bot);
    assert_eq!(change.author, Some(Login::from("dependabot[bot]")));
    assert_eq!(change.person(), Some(&Login::from("ben")));
}

#[tokio::test]
async fn a_direct_push_is_a_change_of_its_own() {
    let mut other_branch = pr(4, Some("head"));
    other_branch["baseRefName"] = json!("feature");
    let mut open = pr(5, None);
    open["merged"] = json!(false);
    let (github, _) = repo("ahead", &["head"], vec![node("head", vec![other_branch, open])]).await;
    let change = &range(&github).await.changes[0];
    assert_eq!(change.key, ChangeKey::Commit("head".into()));
    assert_eq!(change.title, "Message of head");
    assert_eq!(change.url, "https://github.com/hypothesis/h/commit/head");
    assert_eq!(change.merged_by, Some(Login::from("ana")), "GitHub's own committer is nobody");
    assert_eq!(change.commits, [Sha::from("head")]);
}

#[tokio::test]
async fn of_several_prs_the_one_merged_in_range_counts() {
    let nodes = vec![node("head", vec![pr(2, Some("long ago")), pr(9, Some("head"))])];
    let (github, _) = repo("ahead", &["head"], nodes).await;
    assert_eq!(keys(&range(&github).await), ["#9"]);
}

#[tokio::test]
async fn identical_and_behind_ship_nothing_and_diverged_ships_its_own() {
    for (status, standing) in [("identical", Standing::Identical), ("behind", Standing::Behind)] {
        let (github, calls) = repo(status, &[], vec![]).await;
        assert_eq!(range(&github).await, Range { standing, changes: Vec::new() });
        assert_eq!(calls.lines().len(), 1);
    }
    let (github, _) = repo("diverged", &["head"], vec![node("head", vec![pr(2, Some("head"))])]).await;
    let range = range(&github).await;
    assert_eq!((range.standing, keys(&range)), (Standing::Diverged, vec!["#2".to_owned()]));
}

#[tokio::test]
async fn a_commit_that_is_gone_has_no_range() {
    let (github, _) = fixed(vec![]).await;
    assert_eq!(github.range(&pipeline(), &"base".into(), &"head".into()).await, Ok(None));
}

#[tokio::test]
async fn all_pages_are_read() {
    let shas: Vec<String> = (0..250).map(|n| format!("c{n:03}")).collect();
    let (github, calls) = github(move |call| {
        if call.line.starts_with("POST") {
            let from: usize = call.body["variables"]["after"].as_str().map_or(0, |after| after.parse().unwrap());
            let newest_first: Vec<&String> = shas.iter().rev().skip(from).take(100).collect();
            let nodes: Vec<Value> = newest_first.iter().map(|sha| node(sha, vec![])).collect();
            let next = (from + 100).to_string();
            return Some(respond(200, &history(&nodes, (from < 200).then_some(next.as_str()))));
        }
        let page: usize = call.line.rsplit_once("&page=").unwrap().1.parse().unwrap();
        let commits: Vec<Value> = shas.iter().skip((page - 1) * 100).take(100).map(|sha| commit(sha)).collect();
        Some(respond(200, &json!({ "status": "ahead", "total_commits": 250, "commits": commits })))
    })
    .await;
    let range = range(&github).await;
    assert_eq!(range.changes.len(), 250);
    assert_eq!(range.changes[249].key, ChangeKey::Commit("c249".into()));
    assert_eq!((calls.all("GET").len(), calls.all("POST").len()), (3, 3));
}

#[tokio::test]
async fn a_short_list_is_an_error_and_never_a_short_answer() {
    let compared = json!({ "status": "ahead", "total_commits": 3, "commits": [commit("head")] });
    let (github, _) = fixed(vec![("GET /repos/hypothesis/h/compare/base...head", compared)]).await;
    let range = github.range(&pipeline(), &"base".into(), &"head".into()).await;
    assert!(matches!(range, Err(GitHubError::Odd(_))));
}

#[tokio::test]
async fn what_the_history_does_not_show_is_looked_up() {
    let (github, _) = github(|call| {
        Some(match without_paging(&call.line).as_str() {
            "GET /repos/hypothesis/h/compare/base...head" => respond(
                200,
                &json!({ "status": "diverged", "total_commits": 2, "commits": [commit("stray"), commit("head")] }),
            ),
            "POST /graphql" => respond(200, &history(&[node("head", vec![])], None)),
            "GET /repos/hypothesis/h/commits/stray/pulls" => respond(
                200,
                &json!([{ "number": 6, "merged_at": "2026-11-20T08:00:00Z", "base": { "ref": "main" } },
                    { "number": 7, "merged_at": null, "base": { "ref": "main" } }]),
            ),
            "GET /repos/hypothesis/h/pulls/6" => respond(
                200,
                &json!({ "number": 6, "title": "Stray", "state": "closed", "merged": true, "merged_at": "2026-11-20T08:00:00Z",
                    "user": { "login": "renovate[bot]", "type": "Bot" }, "merged_by": { "login": "chi" },
                    "merge_commit_sha": "stray", "base": { "ref": "main" } }),
            ),
            _ => respond(404, &json!({})),
        })
    })
    .await;
    let range = range(&github).await;
    assert_eq!(keys(&range), ["#6", "head"]);
    assert_eq!(range.changes[0].person(), Some(&Login::from("chi")));
}

#[tokio::test]
async fn a_pull_request_is_open_closed_or_merged() {
    let raw = |state: &str, merged_at: Value| {
        json!({ "number": 6, "title": "<!channel>", "state": state, "merged_at": merged_at, "user": null,
            "merged_by": null, "merge_commit_sha": "throwaway", "base": { "ref": "main" } })
    };
    let (github, _) = fixed(vec![
        ("GET /repos/hypothesis/h/pulls/1", raw("open", Value::Null)),
        ("GET /repos/hypothesis/h/pulls/2", raw("closed", Value::Null)),
        ("GET /repos/hypothesis/h/pulls/3", raw("closed", json!("2026-11-20T08:00:00Z"))),
    ])
    .await;
    let state = async |number| github.pull_request("hypothesis/h", number).await.unwrap().map(|pr| pr.state);
    assert_eq!(state(1).await, Some(PrState::Open));
    assert_eq!(state(2).await, Some(PrState::Closed));
    assert!(
        matches!(state(3).await, Some(PrState::Merged { commit: Some(sha), by: None, .. }) if sha.as_str() == "throwaway")
    );
    assert_eq!(state(4).await, None);
}

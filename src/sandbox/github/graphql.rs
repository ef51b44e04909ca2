//! The two GraphQL questions of `facts/github.md`, section 4.8: a commit's history with its pull requests, and one pull
//! request. Answers hold every field that those questions name; a field that GitHub does not have is a complaint.

use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::shape::time;
use crate::sandbox::world::history::{Commit, Pull};
use crate::sandbox::world::state::{Repo, Role, State};

/// The words that may stand in a question, all of them GitHub's.
const WORDS: [&str; 57] = [
    "query",
    "String",
    "GitObjectID",
    "Int",
    "repository",
    "owner",
    "name",
    "object",
    "oid",
    "on",
    "Commit",
    "history",
    "first",
    "after",
    "pageInfo",
    "hasNextPage",
    "endCursor",
    "nodes",
    "messageHeadline",
    "message",
    "committedDate",
    "authoredDate",
    "author",
    "committer",
    "user",
    "login",
    "associatedPullRequests",
    "number",
    "title",
    "url",
    "merged",
    "mergedAt",
    "baseRefName",
    "headRefName",
    "mergedBy",
    "mergeCommit",
    "labels",
    "pullRequest",
    "id",
    "body",
    "state",
    "createdAt",
    "totalCount",
    "abbreviatedOid",
    "parents",
    "ID",
    "DateTime",
    "Boolean",
    "__typename",
    "PullRequest",
    "GitActor",
    "Actor",
    "Bot",
    "User",
    "fragment",
    "bodyText",
    "isDraft",
];

/// `POST /graphql`.
pub(crate) fn answer(state: &State, call: &Call) -> Answer {
    let body = match call.object() {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Some(query) = body.get("query").and_then(Value::as_str) else {
        return call.malformed("A query attribute must be specified and must be a string.");
    };
    if let Some(word) = unknown_word(query) {
        call.complain(&format!("GraphQL has no field {word} here"));
        return errors(&format!("Field '{word}' doesn't exist"));
    }
    let variables = body.get("variables").cloned().unwrap_or_default();
    let text = |name: &str| variables[name].as_str().unwrap_or_default();
    let Some(repo) = state.repo(&format!("{}/{}", text("o"), text("r"))) else {
        return errors(&format!("Could not resolve to a Repository with the name '{}/{}'.", text("o"), text("r")));
    };
    if query.contains("history(first:") {
        let found = repo.history.get(text("oid")).map(|_| history(state, repo, query, (text("oid"), text("after"))));
        Answer::ok(json!({"data": {"repository": {"object": found}}}))
    } else if query.contains("pullRequest(number:") {
        match variables["n"].as_u64().and_then(|number| repo.history.pull(number)) {
            Some(found) => Answer::ok(json!({"data": {"repository": {"pullRequest": pull(state, repo, found)}}})),
            None => errors(&format!("Could not resolve to a PullRequest with the number of {}.", variables["n"])),
        }
    } else {
        call.complain("unknown GraphQL question");
        errors("unknown question")
    }
}

fn errors(message: &str) -> Answer {
    Answer::ok(json!({"data": null, "errors": [{"type": "NOT_FOUND", "message": message}]}))
}

/// The first word of a question that GitHub would not understand; variables and numbers are not words.
fn unknown_word(query: &str) -> Option<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let words = query.split(|c: char| !is_word(c)).filter(|word| !word.is_empty());
    let mut words = words.filter(|word| !word.starts_with('$') && !word.starts_with(|c: char| c.is_ascii_digit()));
    words.find(|word| !WORDS.contains(word))
}

fn history(state: &State, repo: &Repo, query: &str, from: (&str, &str)) -> Value {
    let (oid, after) = from;
    let log = repo.history.log(oid);
    let start = after.rsplit(' ').next().and_then(|offset| offset.parse::<usize>().ok()).map_or(0, |offset| offset + 1);
    let nodes: Vec<Value> =
        log.iter().skip(start).take(page_size(query)).map(|commit| node(state, repo, commit)).collect();
    let end = start + nodes.len();
    let cursor = (end > start).then(|| format!("{oid} {}", end - 1));
    json!({"history": {
        "totalCount": log.len(), "pageInfo": {"hasNextPage": end < log.len(), "endCursor": cursor}, "nodes": nodes,
    }})
}

/// The number after `history(first:`, 100 at most.
fn page_size(query: &str) -> usize {
    let rest = query.split("history(first:").nth(1).unwrap_or_default().trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<usize>().unwrap_or(100).min(100)
}

fn node(state: &State, repo: &Repo, commit: &Commit) -> Value {
    let pulls = commit.pull.and_then(|number| repo.history.pull(number));
    let actor = |login: &str| {
        let user = state.person(login).filter(|person| person.role != Role::Bot);
        json!({"user": user.map(|person| json!({"login": person.login}))})
    };
    json!({
        "oid": commit.sha, "abbreviatedOid": &commit.sha[..7], "messageHeadline": commit.headline(),
        "message": commit.message, "committedDate": time(commit.at), "authoredDate": time(commit.at),
        "url": format!("https://github.com/{}/commit/{}", repo.full_name(), commit.sha),
        "author": actor(&commit.author), "committer": actor(&commit.committer),
        "associatedPullRequests": {"nodes": pulls.map(|found| pull(state, repo, found)).into_iter().collect::<Vec<_>>()},
    })
}

fn pull(state: &State, repo: &Repo, pull: &Pull) -> Value {
    let actor = |login: &str| {
        let is_bot = state.person(login).is_some_and(|person| person.role == Role::Bot);
        // GraphQL names a bot without the `[bot]` that REST puts behind it.
        let login = login.strip_suffix("[bot]").unwrap_or(login);
        json!({"login": login, "__typename": if is_bot { "Bot" } else { "User" }})
    };
    json!({
        "id": format!("PR_kwDO{:x}_{}", repo.id, pull.number), "number": pull.number, "title": pull.title, "body": pull.body.clone().unwrap_or_default(),
        "bodyText": pull.body.clone().unwrap_or_default(), "url": format!("https://github.com/{}/pull/{}", repo.full_name(), pull.number),
        "state": "MERGED", "isDraft": false, "merged": true, "createdAt": time(pull.created_at), "mergedAt": time(pull.merged_at),
        "baseRefName": "main", "headRefName": pull.branch, "author": actor(&pull.author), "mergedBy": actor(&pull.merged_by),
        "mergeCommit": {"oid": pull.merge_commit},
        "labels": {"nodes": pull.labels.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()},
    })
}

//! The two GraphQL questions of `facts/github.md`, section 4.8: a commit's history with its pull requests, and one pull
//! request; and the one change of section 4.10: the revert of a pull request. A field that GitHub does not
//! have is a complaint.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::selection::Selection;
use super::shape::{Shape, time};
use crate::sandbox::world::MACHINE_USER;
use crate::sandbox::world::history::Commit;
use crate::sandbox::world::pulls::{End, Proposal, Pull};
use crate::sandbox::world::state::{Repo, Role, State};

/// The words that may stand in a question, all of them GitHub's.
const WORDS: [&str; 62] = [
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
    "mutation",
    "input",
    "RevertPullRequestInput",
    "revertPullRequest",
    "headRefOid",
];

/// `POST /graphql`: what was asked for, and no more.
pub(crate) fn answer(state: &mut State, now: Timestamp, call: &Call) -> Answer {
    let mut answer = whole(state, now, call);
    let query = call.object().ok().and_then(|body| Some(body.get("query")?.as_str()?.to_owned()));
    if let Some((query, data)) = query.zip(answer.body.as_mut().and_then(|body| body.get_mut("data"))) {
        Selection::of(&query).prune(data);
    }
    answer
}

/// With every field there is.
fn whole(state: &mut State, now: Timestamp, call: &Call) -> Answer {
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
    if query.contains("revertPullRequest(") {
        return revert(state, now, call, &variables["input"]);
    }
    let state = &*state;
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
    refused("NOT_FOUND", message)
}

fn refused(kind: &str, message: &str) -> Answer {
    Answer::ok(json!({"data": null, "errors": [{"type": kind, "message": message}]}))
}

/// Opens the pull request that reverts another one; the token's owner is its author.
fn revert(state: &mut State, now: Timestamp, call: &Call, input: &Value) -> Answer {
    let proposal = match revert_input(call, input) {
        Ok(proposal) => proposal,
        Err(answer) => return answer,
    };
    let id = input["pullRequestId"].as_str().unwrap_or_default();
    let found = state.repos.iter().find_map(|repo| {
        let shape = Shape { state, repo, api: &call.api };
        let pull = repo.history.pulls.iter().find(|pull| shape.pull_node(pull) == id)?;
        Some((repo.full_name(), pull.number, pull.title.clone()))
    });
    let Some((name, number, title)) = found else {
        return errors(&format!("Could not resolve to a node with the global id of '{id}'"));
    };
    let title = proposal.0.unwrap_or_else(|| format!("Revert \"{title}\""));
    let body = proposal.1.or_else(|| Some(format!("Reverts {name}#{number}")));
    let proposal = Proposal { author: MACHINE_USER.to_owned(), title, body, commits: 1 };
    match state.repo_mut(&name).and_then(|repo| repo.history.revert(number, proposal, now)) {
        Ok(opened) => {
            let repo = state.repo(&name);
            let shown = |number| repo.and_then(|repo| Some(pull(state, repo, repo.history.pull(number)?)));
            let payload = json!({"revertPullRequest": shown(opened), "pullRequest": shown(number)});
            Answer::ok(json!({"data": {"revertPullRequest": payload}}))
        }
        Err(message) => refused("UNPROCESSABLE", &message),
    }
}

/// Title and description of a revert, both optional.
fn revert_input(call: &Call, input: &Value) -> Result<(Option<String>, Option<String>), Answer> {
    const FIELDS: [&str; 5] = ["pullRequestId", "title", "body", "draft", "clientMutationId"];
    let Some(input) = input.as_object().filter(|input| input.contains_key("pullRequestId")) else {
        return Err(call.malformed("Variable $input of type RevertPullRequestInput! was provided invalid value"));
    };
    if let Some(strange) = input.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(call.malformed(&format!("Field is not defined on RevertPullRequestInput: {strange}")));
    }
    let text = |input: &Map<String, Value>, name: &str| input.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok((text(input, "title"), text(input, "body")))
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
    let (merged, node) = (pull.merged(), Shape { state, repo, api: "" }.pull_node(pull));
    let end = match pull.end {
        End::Open => "OPEN",
        End::Closed(_) => "CLOSED",
        End::Merged(_) => "MERGED",
    };
    json!({
        "id": node, "number": pull.number, "title": pull.title, "body": pull.body.clone().unwrap_or_default(),
        "bodyText": pull.body.clone().unwrap_or_default(), "url": format!("https://github.com/{}/pull/{}", repo.full_name(), pull.number),
        "state": end, "isDraft": false, "merged": merged.is_some(), "createdAt": time(pull.created_at),
        "mergedAt": merged.map(|merged| time(merged.at)), "baseRefName": "main", "headRefName": pull.branch,
        "headRefOid": pull.head, "author": actor(&pull.author), "mergedBy": merged.map(|merged| actor(&merged.by)),
        "mergeCommit": merged.map(|merged| json!({"oid": merged.commit})),
        "labels": {"nodes": pull.labels.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()},
    })
}

//! GitHub's routes, one line each. What is not here is a 404 and a complaint.

use jiff::Timestamp;

use super::call::{Answer, Call};
use super::read::Reader;
use super::{account, graphql, pulls, write};
use crate::sandbox::world::state::State;

/// Answers an admitted request; `stale` lists of runs are as before their last change.
pub(crate) fn route(state: &mut State, now: Timestamp, call: &Call, stale: bool) -> Answer {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", ["user"]) => account::me(state, call),
        ("GET", ["users", login]) => account::account(state, call, login),
        ("GET", ["rate_limit"]) => account::rate_limit(state),
        ("GET", ["orgs", "hypothesis", "teams", slug, rest @ ..]) => account::team(state, call, slug, rest),
        ("POST", ["graphql"]) => graphql::answer(state, now, call),
        ("GET", ["repos", owner, name, rest @ ..]) => match Reader::new(state, call, (owner, name), stale) {
            Some(reader) => get(&reader, rest),
            None => Answer::not_found(),
        },
        ("POST", ["repos", owner, name, rest @ ..]) => {
            let repo = format!("{owner}/{name}");
            if state.repo(&repo).is_none() {
                return Answer::not_found();
            }
            post(state, now, (call, &repo), rest)
        }
        _ => unknown(call),
    }
}

fn get(reader: &Reader<'_>, path: &[&str]) -> Answer {
    match path {
        [] => reader.repository(),
        ["contents", path @ ..] => reader.contents(path),
        ["environments"] => reader.environments(),
        ["environments", name] => reader.environment(name),
        ["commits", name] => reader.commit(name),
        ["commits", sha, "pulls"] => reader.pulls_of_commit(sha),
        ["commits", name, "statuses"] => reader.statuses(name),
        ["commits", name, "status"] => reader.status(name),
        ["compare", range] => reader.compare(range),
        ["pulls"] => reader.pulls(),
        ["pulls", number] => reader.pull(number),
        ["git", "ref", "heads", branch] => reader.branch(branch),
        ["check-runs", id, "annotations"] => reader.annotations(id),
        ["actions", rest @ ..] => get_actions(reader, rest),
        _ => unknown(reader.call),
    }
}

fn get_actions(reader: &Reader<'_>, path: &[&str]) -> Answer {
    match path {
        ["workflows"] => reader.workflows(),
        ["workflows", file] => reader.workflow(file),
        ["workflows", file, "runs"] => reader.workflow_runs(file),
        ["runs"] => reader.runs(None),
        ["runs", id] => reader.run(id, None),
        ["runs", id, "attempts", attempt] => reader.run(id, Some(attempt)),
        ["runs", id, "jobs"] => reader.jobs(id, None),
        ["runs", id, "attempts", attempt, "jobs"] => reader.jobs(id, Some(attempt)),
        ["runs", id, "pending_deployments"] => reader.pending_deployments(id),
        ["runs", id, "approvals"] => reader.approvals(id),
        ["concurrency_groups", name] => reader.concurrency_group(name),
        _ => unknown(reader.call),
    }
}

fn post(state: &mut State, now: Timestamp, asked: (&Call, &str), path: &[&str]) -> Answer {
    match path {
        ["actions", "workflows", file, "dispatches"] => write::dispatch(state, now, asked, file),
        ["actions", "runs", id, "pending_deployments"] => write::review(state, now, asked, id),
        ["actions", "runs", id, "rerun"] => write::rerun(state, now, asked, (id, false)),
        ["actions", "runs", id, "rerun-failed-jobs"] => write::rerun(state, now, asked, (id, true)),
        ["pulls", number, "requested_reviewers"] => pulls::request_reviewers(state, now, asked, number),
        ["statuses", sha] => pulls::set_status(state, now, asked, sha),
        ["actions", "runs", id, "cancel"] => write::cancel(state, now, asked, id),
        _ => unknown(asked.0),
    }
}

fn unknown(call: &Call) -> Answer {
    call.complain("unknown route");
    Answer::not_found()
}

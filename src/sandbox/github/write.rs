//! Answers to POSTs: what the token's owner does.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::shape::Shape;
use crate::sandbox::world::MACHINE_USER;
use crate::sandbox::world::run::Review;
use crate::sandbox::world::state::{Repo, State};

/// A request and the repository that it is about.
pub(super) type Asked<'a> = (&'a Call, &'a str);

/// `POST …/workflows/{file}/dispatches`.
pub(crate) fn dispatch(state: &mut State, now: Timestamp, asked: Asked<'_>, file: &str) -> Answer {
    let (call, name) = asked;
    let Some(repo) = state.repo(name) else {
        return Answer::not_found();
    };
    let Some(workflow) = repo.pipeline.workflow(file).filter(|workflow| workflow.file() == file) else {
        return Answer::not_found();
    };
    let (branch, inputs, with_details) = match dispatch_body(call) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    if let Err(message) = repo.check_inputs(workflow, &inputs) {
        return call.malformed(&message);
    }
    let Some(new) = repo.new_dispatch(workflow, &branch, MACHINE_USER, inputs) else {
        return Answer::error(422, &format!("No ref found for: {branch}"));
    };
    let html = format!("https://github.com/{name}/actions/runs");
    match state.dispatch(name, new, now) {
        Err(message) => Answer::error(403, &message),
        Ok(_) if !with_details => Answer::no_content(),
        Ok(started) => Answer::ok(json!({
            "workflow_run_id": started.id, "html_url": format!("{html}/{}", started.id),
            "run_url": format!("{}/repos/{name}/actions/runs/{}", call.api, started.id),
        })),
    }
}

fn dispatch_body(call: &Call) -> Result<(String, BTreeMap<String, String>, bool), Answer> {
    let mut body = call.object()?;
    let Some(Value::String(reference)) = body.remove("ref") else {
        return Err(call.malformed("Invalid request. \"ref\" wasn't supplied."));
    };
    let with_details = flag(call, &mut body, "return_run_details")?;
    let inputs = match body.remove("inputs").unwrap_or_else(|| json!({})) {
        Value::Object(inputs) => inputs,
        _ => return Err(call.malformed("Invalid request. \"inputs\" is not an object.")),
    };
    nothing_else(call, &body)?;
    let mut texts = BTreeMap::new();
    for (id, value) in inputs {
        match value {
            Value::String(text) => texts.insert(id, text),
            _ => {
                return Err(call.malformed(&format!("Invalid request. For 'inputs/{id}', {value} is not a string.")));
            }
        };
    }
    let branch = reference.strip_prefix("refs/heads/").unwrap_or(&reference).to_owned();
    Ok((branch, texts, with_details))
}

/// `POST …/runs/{id}/pending_deployments`.
pub(crate) fn review(state: &mut State, now: Timestamp, asked: Asked<'_>, id: &str) -> Answer {
    let (call, name) = asked;
    let Some((repo, run)) = find(state, name, id) else {
        return Answer::not_found();
    };
    let review = match review_body(call, repo) {
        Ok(review) => review,
        Err(answer) => return answer,
    };
    let environments = review.environments.clone();
    let done = state.repo_mut(name).and_then(|repo| repo.review(run, review, now));
    if let Err(message) = done {
        return Answer::error(422, &message);
    }
    let Some((repo, run)) = state.repo(name).and_then(|repo| Some((repo, repo.run(run)?))) else {
        return Answer::not_found();
    };
    let shape = Shape { state, repo, api: &call.api };
    let environments = environments.iter().filter_map(|name| repo.environment(name));
    Answer::ok(environments.map(|environment| shape.deployment(run, environment, now)).collect())
}

/// All three fields are required (`facts/github.md`, section 4.3).
fn review_body(call: &Call, repo: &Repo) -> Result<Review, Answer> {
    let mut body = call.object()?;
    let Some(Value::Array(ids)) = body.remove("environment_ids") else {
        return Err(call.malformed("Invalid request. \"environment_ids\" wasn't supplied."));
    };
    let approved = match body.remove("state").as_ref().and_then(Value::as_str) {
        Some("approved") => true,
        Some("rejected") => false,
        Some(_) | None => {
            return Err(call.malformed("Invalid request. \"state\" is not approved or rejected."));
        }
    };
    let Some(Value::String(comment)) = body.remove("comment") else {
        return Err(call.malformed("Invalid request. \"comment\" wasn't supplied."));
    };
    nothing_else(call, &body)?;
    let name = |id: &Value| repo.environments.iter().find(|e| Some(e.id) == id.as_u64()).map(|e| e.name.to_owned());
    match ids.iter().map(name).collect::<Option<Vec<String>>>() {
        Some(environments) if !environments.is_empty() => {
            Ok(Review { approved, by: MACHINE_USER.to_owned(), comment, environments })
        }
        Some(_) | None => {
            Err(call.malformed("Invalid request. \"environment_ids\" are not ids of this repository's environments."))
        }
    }
}

/// `POST …/runs/{id}/rerun` and `…/rerun-failed-jobs`.
pub(crate) fn rerun(state: &mut State, now: Timestamp, asked: Asked<'_>, what: (&str, bool)) -> Answer {
    let (call, name) = asked;
    let (id, failed_only) = what;
    let Some((_, run)) = find(state, name, id) else {
        return Answer::not_found();
    };
    let checked = call.object().and_then(|mut body| {
        flag(call, &mut body, "enable_debug_logging")?;
        flag(call, &mut body, "enable_debugger")?;
        nothing_else(call, &body)
    });
    if let Err(answer) = checked {
        return answer;
    }
    match state.repo_mut(name).and_then(|repo| repo.rerun(run, failed_only, MACHINE_USER, now)) {
        Ok(_) => Answer::accepted(201),
        Err(message) => Answer::error(403, &message),
    }
}

/// `POST …/runs/{id}/cancel`.
pub(crate) fn cancel(state: &mut State, now: Timestamp, asked: Asked<'_>, id: &str) -> Answer {
    let (_, name) = asked;
    let Some((_, run)) = find(state, name, id) else {
        return Answer::not_found();
    };
    let reason = format!("The run was canceled by @{MACHINE_USER}.");
    match state.repo_mut(name).and_then(|repo| repo.cancel_run(run, &reason, now)) {
        Ok(()) => Answer::accepted(202),
        Err(message) => Answer::error(409, &message),
    }
}

fn find<'a>(state: &'a State, name: &str, id: &str) -> Option<(&'a Repo, u64)> {
    let repo = state.repo(name)?;
    Some((repo, repo.run(id.parse().ok()?)?.id))
}

fn flag(call: &Call, body: &mut Map<String, Value>, name: &str) -> Result<bool, Answer> {
    match body.remove(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(call.malformed(&format!("Invalid request. \"{name}\" is not a boolean."))),
    }
}

/// An error where keys are left that nobody asked for.
pub(super) fn nothing_else(call: &Call, body: &Map<String, Value>) -> Result<(), Answer> {
    match body.keys().next() {
        None => Ok(()),
        Some(key) => Err(call.malformed(&format!("Invalid request. \"{key}\" is not a permitted key."))),
    }
}

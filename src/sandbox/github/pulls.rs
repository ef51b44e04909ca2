//! Lists of pull requests, who is asked for a review, and the statuses of commits.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{Answer, Call};
use super::read::Reader;
use super::shape::Shape;
use super::write::{Asked, nothing_else};
use crate::sandbox::world::MACHINE_USER;
use crate::sandbox::world::pulls::{Pull, Status};
use crate::sandbox::world::state::State;

/// GitHub's limit for a status's words.
const DESCRIPTION: usize = 140;

impl Reader<'_> {
    /// Pull requests, newest first, filtered as asked.
    pub fn pulls(&self) -> Answer {
        let state = self.call.query("state").unwrap_or("open");
        let ends: &[bool] = match state {
            "open" => &[true],
            "closed" => &[false],
            "all" => &[true, false],
            _ => return self.call.malformed("state is open, closed or all"),
        };
        if self.call.query("sort").is_some_and(|sort| sort != "created") {
            return self.call.malformed("only the order of creation is known here");
        }
        let oldest_first = self.call.query("direction") == Some("asc");
        let (head, base) = (self.call.query("head"), self.call.query("base"));
        let label = |pull: &Pull| format!("{}:{}", self.repo.owner, pull.branch);
        let wanted = |pull: &&Pull| {
            ends.contains(&pull.is_open())
                && head.is_none_or(|head| head == label(pull))
                && base.is_none_or(|base| base == "main")
        };
        let mut pulls: Vec<&Pull> = self.repo.history.pulls.iter().filter(wanted).collect();
        // One that is merged here was opened some hours before, whatever its number.
        pulls.sort_by_key(|pull| (pull.created_at, pull.number));
        let mut pulls: Vec<Value> = pulls.into_iter().map(|pull| self.shape.pull(pull)).collect();
        if !oldest_first {
            pulls.reverse();
        }
        self.call.paged(&pulls, |part| json!(part))
    }

    /// All statuses of a commit, newest first.
    pub fn statuses(&self, name: &str) -> Answer {
        let Some(commit) = self.repo.history.resolve(name) else {
            return Answer::error(422, &format!("No commit found for SHA: {name}"));
        };
        let statuses: Vec<Value> =
            self.repo.history.statuses_of(&commit.sha).into_iter().map(|status| self.shape.status(status)).collect();
        self.call.paged(&statuses, |part| json!(part))
    }

    /// The newest status of each context, and what they come to.
    pub fn status(&self, name: &str) -> Answer {
        let Some(commit) = self.repo.history.resolve(name) else {
            return Answer::error(422, &format!("No commit found for SHA: {name}"));
        };
        let standing = self.repo.history.standing_statuses(&commit.sha);
        let any = |states: &[&str]| standing.iter().any(|status| states.contains(&status.state.as_str()));
        let state = match () {
            () if any(&["failure", "error"]) => "failure",
            () if standing.is_empty() || any(&["pending"]) => "pending",
            () => "success",
        };
        let shapes: Vec<Value> = standing.iter().map(|status| self.shape.status(status)).collect();
        self.call.paged(&shapes, |part| {
            json!({
                "state": state, "sha": commit.sha, "total_count": shapes.len(), "statuses": part,
                "commit_url": format!("{}/commits/{}", self.shape.url(), commit.sha),
                "url": format!("{}/commits/{}/status", self.shape.url(), commit.sha), "repository": self.shape.repository(),
            })
        })
    }
}

/// `POST …/pulls/{number}/requested_reviewers`.
pub(crate) fn request_reviewers(state: &mut State, now: Timestamp, asked: Asked<'_>, number: &str) -> Answer {
    let (call, name) = asked;
    let logins = match reviewers_body(call) {
        Ok(logins) => logins,
        Err(answer) => return answer,
    };
    let stranger = logins.iter().any(|login| !state.person(login).is_some_and(|person| person.reviews()));
    let Some(pull) = state.repo_mut(name).ok().and_then(|repo| {
        let number: u64 = number.parse().ok()?;
        repo.history.open_pull_mut(number).ok()
    }) else {
        return Answer::not_found();
    };
    if logins.contains(&pull.author) {
        return Answer::error(422, "Review cannot be requested from pull request author.");
    }
    if stranger {
        return Answer::error(
            422,
            &format!(
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not \
                 a collaborator of the {name} repository."
            ),
        );
    }
    let fresh: Vec<String> = logins.into_iter().filter(|login| !pull.reviewers.contains(login)).collect();
    pull.reviewers.extend(fresh);
    pull.updated_at = now;
    let pull = pull.clone();
    let Some(repo) = state.repo(name) else { return Answer::not_found() };
    let shape = Shape { state, repo, api: &call.api };
    Answer { status: 201, ..Answer::ok(shape.pull(&pull)) }
}

fn reviewers_body(call: &Call) -> Result<Vec<String>, Answer> {
    let mut body = call.object()?;
    let logins = body.remove("reviewers").unwrap_or_else(|| json!([]));
    // Teams are taken and nobody is told: this world has one, of everybody.
    body.remove("team_reviewers");
    nothing_else(call, &body)?;
    match serde_json::from_value::<Vec<String>>(logins) {
        Ok(logins) if !logins.is_empty() => Ok(logins),
        Ok(_) | Err(_) => Err(call.malformed("Invalid request. \"reviewers\" is not a list of logins.")),
    }
}

/// `POST …/statuses/{sha}`.
pub(crate) fn set_status(state: &mut State, now: Timestamp, asked: Asked<'_>, sha: &str) -> Answer {
    let (call, name) = asked;
    let draft = match call.object().and_then(|body| status_body(call, body)) {
        Ok(draft) => draft,
        Err(answer) => return answer,
    };
    let Ok(repo) = state.repo_mut(name) else { return Answer::not_found() };
    if repo.history.get(sha).is_none() {
        return Answer::error(422, &format!("No commit found for SHA: {sha}"));
    }
    let history = &mut repo.history;
    let id = 30_000_000_000 + repo.id * 10_000 + history.statuses.len() as u64;
    let status = Status { id, sha: sha.to_owned(), at: now, ..draft };
    history.statuses.push(status.clone());
    let Some(repo) = state.repo(name) else { return Answer::not_found() };
    let shape = Shape { state, repo, api: &call.api };
    Answer { status: 201, ..Answer::ok(shape.status(&status)) }
}

/// A status without what the path and the clock say of it.
fn status_body(call: &Call, mut body: Map<String, Value>) -> Result<Status, Answer> {
    let mut text = |name: &str| match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(call.malformed(&format!("Invalid request. \"{name}\" is not a string."))),
    };
    let state = text("state")?.unwrap_or_default();
    let (context, description, target_url) = (text("context")?, text("description")?, text("target_url")?);
    nothing_else(call, &body)?;
    if !["error", "failure", "pending", "success"].contains(&state.as_str()) {
        return Err(call.malformed("Invalid request. \"state\" is not a member of [error, failure, pending, success]."));
    }
    if description.as_ref().is_some_and(|words| words.chars().count() > DESCRIPTION) {
        return Err(call.malformed("Validation Failed: description is too long (maximum is 140 characters)"));
    }
    Ok(Status {
        id: 0,
        sha: String::new(),
        state,
        context: context.unwrap_or_else(|| "default".to_owned()),
        description,
        target_url,
        by: MACHINE_USER.to_owned(),
        at: Timestamp::UNIX_EPOCH,
    })
}

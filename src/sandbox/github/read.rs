//! Answers to GETs about a repository.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::shape::Shape;
use crate::sandbox::world::pipeline::Workflow;
use crate::sandbox::world::run::{Conclusion, Run};
use crate::sandbox::world::state::{Repo, State};

/// Reads one repository for one request.
pub(crate) struct Reader<'a> {
    /// The request.
    pub call: &'a Call,
    pub(super) repo: &'a Repo,
    pub(super) shape: Shape<'a>,
    stale: bool,
}

impl<'a> Reader<'a> {
    /// A reader of that repository, if there is one.
    pub fn new(state: &'a State, call: &'a Call, name: (&str, &str), stale: bool) -> Option<Reader<'a>> {
        let repo = state.repo(&format!("{}/{}", name.0, name.1))?;
        Some(Reader { call, repo, shape: Shape { state, repo, api: &call.api }, stale })
    }

    /// The repository.
    pub fn repository(&self) -> Answer {
        Answer::ok(self.shape.repository())
    }

    /// A file; only the workflow files are there.
    pub fn contents(&self, path: &[&str]) -> Answer {
        let reference = self.call.query("ref").unwrap_or("main");
        let workflow =
            path.strip_prefix(&[".github", "workflows"]).and_then(|rest| self.repo.pipeline.workflow(rest.first()?));
        match workflow.filter(|_| path.len() == 3 && self.repo.history.resolve(reference).is_some()) {
            Some(workflow) => Answer::ok(self.file(workflow, reference)),
            None => Answer::not_found(),
        }
    }

    fn file(&self, workflow: Workflow, reference: &str) -> Value {
        let (text, path) = (self.repo.pipeline.file(workflow), workflow.path());
        let sha = crate::sandbox::world::history::sha_of(self.shape.workflow_id(workflow), text.len() as u64);
        let url = format!("{}/contents/{path}?ref={reference}", self.shape.url());
        let html = format!("{}/blob/{reference}/{path}", self.shape.html());
        let git = format!("{}/git/blobs/{sha}", self.shape.url());
        let raw = format!("https://raw.githubusercontent.com/{}/{reference}/{path}", self.repo.full_name());
        json!({
            "type": "file", "encoding": "base64", "size": text.len(), "name": workflow.file(), "path": path, "sha": sha,
            "content": base64(text.as_bytes()), "url": url, "git_url": git, "html_url": html, "download_url": raw,
            "_links": {"self": url, "git": git, "html": html},
        })
    }

    /// The environments.
    pub fn environments(&self) -> Answer {
        let all = &self.repo.environments;
        self.call.paged(all, |part| {
            let part: Vec<Value> = part.iter().map(|environment| self.shape.environment(environment)).collect();
            json!({"total_count": all.len(), "environments": part})
        })
    }

    /// One environment.
    pub fn environment(&self, name: &str) -> Answer {
        let found = self.repo.environment(name);
        found.map_or_else(Answer::not_found, |environment| Answer::ok(self.shape.environment(environment)))
    }

    /// A commit by branch or sha.
    pub fn commit(&self, name: &str) -> Answer {
        match self.repo.history.resolve(name) {
            Some(commit) => Answer::ok(self.shape.commit(commit)),
            None => Answer::error(422, &format!("No commit found for SHA: {name}")),
        }
    }

    /// The pull requests that brought a commit.
    pub fn pulls_of_commit(&self, sha: &str) -> Answer {
        let Some(commit) = self.repo.history.resolve(sha) else {
            return Answer::error(422, &format!("No commit found for SHA: {sha}"));
        };
        let pull = commit.pull.and_then(|number| self.repo.history.pull(number));
        let pulls: Vec<Value> = pull.map(|pull| self.shape.pull(pull)).into_iter().collect();
        self.call.paged(&pulls, |part| json!(part))
    }

    /// What lies between two commits; 250 commits unless paged.
    pub fn compare(&self, range: &str) -> Answer {
        let history = &self.repo.history;
        let Some((base, head)) = range.split_once("...") else {
            self.call.complain("a comparison is base...head");
            return Answer::not_found();
        };
        let (Some(base), Some(head)) = (history.resolve(base), history.resolve(head)) else {
            return Answer::not_found();
        };
        let found = history.compare(&base.sha, &head.sha);
        let paged = self.call.query("page").is_some() || self.call.query("per_page").is_some();
        if !paged {
            let part = &found.ahead[..found.ahead.len().min(250)];
            return Answer::ok(self.shape.comparison((base, head), &found, part, true));
        }
        let first = self.call.page().page == 1;
        self.call.paged(&found.ahead, |part| self.shape.comparison((base, head), &found, part, first))
    }

    /// One pull request.
    pub fn pull(&self, number: &str) -> Answer {
        let found = number.parse().ok().and_then(|number| self.repo.history.pull(number));
        found.map_or_else(Answer::not_found, |pull| Answer::ok(self.shape.pull_in_full(pull)))
    }

    /// A branch's head.
    pub fn branch(&self, branch: &str) -> Answer {
        let Some(sha) = self.repo.history.branches.get(branch) else {
            return Answer::not_found();
        };
        let url = self.shape.url();
        Answer::ok(json!({
            "ref": format!("refs/heads/{branch}"), "node_id": format!("REF_kwDO{}", &sha[..12]),
            "url": format!("{url}/git/refs/heads/{branch}"),
            "object": {"type": "commit", "sha": sha, "url": format!("{url}/git/commits/{sha}")},
        }))
    }

    /// The annotations of a job.
    pub fn annotations(&self, id: &str) -> Answer {
        let jobs = self.repo.runs.iter().flat_map(|run| run.attempts.iter().map(move |attempt| (run, attempt)));
        let mut jobs = jobs.flat_map(|(run, attempt)| attempt.jobs.iter().map(move |job| (run, job)));
        match jobs.find(|(_, job)| job.is_listed() && job.id.to_string() == id) {
            Some((run, job)) => self.call.paged(&self.shape.annotations(run, job), |part| json!(part)),
            None => Answer::not_found(),
        }
    }

    /// The workflows.
    pub fn workflows(&self) -> Answer {
        let all = self.repo.pipeline.workflows();
        self.call.paged(all, |part| {
            let part: Vec<Value> = part.iter().map(|workflow| self.shape.workflow(*workflow)).collect();
            json!({"total_count": all.len(), "workflows": part})
        })
    }

    /// One workflow by file name or id.
    pub fn workflow(&self, file: &str) -> Answer {
        let found = self.find_workflow(file);
        found.map_or_else(Answer::not_found, |workflow| Answer::ok(self.shape.workflow(workflow)))
    }

    /// The runs of one workflow.
    pub fn workflow_runs(&self, file: &str) -> Answer {
        match self.find_workflow(file) {
            Some(workflow) => self.runs(Some(workflow)),
            None => Answer::not_found(),
        }
    }

    /// Runs, newest first, filtered as asked.
    pub fn runs(&self, workflow: Option<Workflow>) -> Answer {
        let created = match self.call.query("created").map(parse_range) {
            Some(None) => {
                return self.call.malformed("created is not a date or a range of dates");
            }
            Some(Some(range)) => range,
            None => (Timestamp::MIN, Timestamp::MAX),
        };
        let asked = ["actor", "branch", "event", "status", "head_sha"].map(|name| self.call.query(name));
        let [actor, branch, event, status, head_sha] = asked;
        // Runs of this world never list pull requests, so this one changes nothing.
        let _ = self.call.query("exclude_pull_requests");
        let equal = |asked: Option<&str>, is: &str| asked.is_none_or(|asked| asked == is);
        let wanted = |run: &&Run| {
            let conclusion = run.latest().conclusion.map_or("", Conclusion::word);
            workflow.is_none_or(|workflow| run.workflow == workflow)
                && equal(actor, &run.actor)
                && equal(branch, &run.branch)
                && equal(event, run.event.word())
                && equal(head_sha, &run.sha)
                && (equal(status, run.latest().status()) || equal(status, conclusion))
                && (created.0..=created.1).contains(&run.created_at)
        };
        let runs = if self.stale { &self.repo.runs_before } else { &self.repo.runs };
        let runs: Vec<&Run> = runs.iter().rev().filter(wanted).collect();
        self.call.paged(&runs, |part| {
            let part: Vec<Value> = part.iter().filter_map(|run| self.shape.run(run, run.attempts.len())).collect();
            json!({"total_count": runs.len(), "workflow_runs": part})
        })
    }

    /// A run, or one of its attempts.
    pub fn run(&self, id: &str, attempt: Option<&str>) -> Answer {
        let shape = self.find_run(id, attempt).and_then(|(run, number)| {
            let _ = self.call.query("exclude_pull_requests");
            self.shape.run(run, number)
        });
        shape.map_or_else(Answer::not_found, Answer::ok)
    }

    /// The jobs of one attempt, or of the newest, or of all (`filter=all`).
    pub fn jobs(&self, id: &str, attempt: Option<&str>) -> Answer {
        let Some((run, number)) = self.find_run(id, attempt) else {
            return Answer::not_found();
        };
        let all = match self.call.query("filter").filter(|_| attempt.is_none()) {
            None | Some("latest") => false,
            Some("all") => true,
            Some(_) => return self.call.malformed("filter is latest or all"),
        };
        let attempts = run.attempts.iter().enumerate().rev();
        let attempts = attempts.map(|(position, attempt)| (position + 1, attempt));
        let chosen = attempts.filter(|(nth, _)| all || *nth == number);
        let jobs: Vec<Value> = chosen.flat_map(|(nth, attempt)| self.shape.jobs(run, nth, attempt)).collect();
        self.call.paged(&jobs, |part| json!({"total_count": jobs.len(), "jobs": part}))
    }

    /// The gates of a run that wait.
    pub fn pending_deployments(&self, id: &str) -> Answer {
        let Some((run, _)) = self.find_run(id, None) else {
            return Answer::not_found();
        };
        let waiting = self.repo.waiting_environments(run).into_iter();
        Answer::ok(waiting.map(|environment| self.shape.pending_deployment(environment)).collect())
    }

    /// What reviewers said about a run.
    pub fn approvals(&self, id: &str) -> Answer {
        let Some((run, _)) = self.find_run(id, None) else {
            return Answer::not_found();
        };
        Answer::ok(run.reviews.iter().map(|review| self.shape.review(review)).collect())
    }

    /// Who is in the concurrency group.
    pub fn concurrency_group(&self, name: &str) -> Answer {
        let group = self.shape.concurrency_group().filter(|_| name.eq_ignore_ascii_case(self.repo.pipeline.group));
        group.map_or_else(Answer::not_found, Answer::ok)
    }

    fn find_workflow(&self, file: &str) -> Option<Workflow> {
        let by_id = |workflow: &Workflow| self.shape.workflow_id(*workflow).to_string() == file;
        let by_file = self.repo.pipeline.workflow(file).filter(|workflow| workflow.file() == file);
        by_file.or_else(|| self.repo.pipeline.workflows().iter().copied().find(by_id))
    }

    /// A run with the number of the attempt asked for, the newest unless told.
    fn find_run(&self, id: &str, attempt: Option<&str>) -> Option<(&Run, usize)> {
        let run = self.repo.run(id.parse().ok()?)?;
        let number = attempt.map_or(Some(run.attempts.len()), |number| number.parse().ok())?;
        (1..=run.attempts.len()).contains(&number).then_some((run, number))
    }
}

/// GitHub's `created` filter: `2026-11-01`, `>=2026-11-01T10:00:00Z`, `<…`, `a..b` (both ends, `*` for none).
fn parse_range(text: &str) -> Option<(Timestamp, Timestamp)> {
    let day = jiff::SignedDuration::from_secs(86_399);
    let second = jiff::SignedDuration::from_secs(1);
    let start = |text: &str| match text {
        "*" => Some(Timestamp::MIN),
        _ if text.len() == 10 => format!("{text}T00:00:00Z").parse().ok(),
        _ => text.parse::<Timestamp>().ok(),
    };
    let end = |text: &str| match text {
        "*" => Some(Timestamp::MAX),
        _ if text.len() == 10 => start(text).and_then(|at| at.checked_add(day).ok()),
        // Times are shown to the second, and kept finer than that.
        _ => start(text).and_then(|at| at.checked_add(jiff::SignedDuration::from_millis(999)).ok()),
    };
    if let Some((from, to)) = text.split_once("..") {
        return Some((start(from)?, end(to)?));
    }
    if let Some(from) = text.strip_prefix(">=") {
        return Some((start(from)?, Timestamp::MAX));
    }
    if let Some(from) = text.strip_prefix('>') {
        return Some((start(from)?.checked_add(second).ok()?, Timestamp::MAX));
    }
    if let Some(to) = text.strip_prefix("<=") {
        return Some((Timestamp::MIN, end(to)?));
    }
    if let Some(to) = text.strip_prefix('<') {
        return Some((Timestamp::MIN, start(to)?.checked_sub(second).ok()?));
    }
    Some((start(text)?, end(text)?))
}

/// Base64 in lines of 60, as GitHub sends files.
fn base64(bytes: &[u8]) -> String {
    bytes.chunks(45).map(|line| STANDARD.encode(line) + "\n").collect()
}

//! The shapes of what webhooks deliver, with every field that GitHub's description of them requires (`@octokit/openapi-webhooks`).

use serde_json::{Value, json};

use super::shape::{Shape, node_id, time, user};
use super::shape_change::tree_of;
use crate::sandbox::world::history::Commit;
use crate::sandbox::world::hooks::{Happening, Hook, News};
use crate::sandbox::world::run::{Job, Phase, Review, Run};
use crate::sandbox::world::state::State;

const API: &str = "https://api.github.com";

/// The body of a delivery.
pub(super) fn body(state: &State, hook: &Hook, news: &News) -> Value {
    let sender = user(state, API, "ana-gh");
    let repo = news.repo.as_ref().and_then(|name| state.repo(name));
    let mut body = match repo {
        None => greeting(hook),
        Some(repo) => {
            let shape = Shape { state, repo, api: API };
            let mut body = shape.told(&news.what);
            body["repository"] = shape.repository_of_events();
            body["organization"] = organization(repo.owner);
            body
        }
    };
    body["sender"] = sender;
    body
}

fn greeting(hook: &Hook) -> Value {
    let (id, since) = (292_430_182, "2026-10-01T10:00:00Z");
    let url = format!("{API}/orgs/hypothesis/hooks/{id}");
    let config = json!({"url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": "********"});
    let set_up = json!({
        "type": "Organization", "id": id, "name": "web", "active": true, "events": hook.events, "config": config,
        "created_at": since, "updated_at": since, "ping_url": format!("{url}/pings"), "deliveries_url": format!("{url}/deliveries"), "url": url,
    });
    json!({"zen": "Keep it logically awesome.", "hook_id": id, "hook": set_up})
}

fn organization(login: &str) -> Value {
    let url = format!("{API}/orgs/{login}");
    json!({
        "login": login, "id": 4651, "node_id": node_id("O", 4651), "url": url, "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"), "hooks_url": format!("{url}/hooks"), "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"), "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": "https://avatars.githubusercontent.com/u/4651?v=4", "description": null,
    })
}

impl Shape<'_> {
    fn told(&self, what: &Happening) -> Value {
        match what {
            Happening::Ping => json!({}),
            Happening::Run(action, run) => {
                json!({"action": action, "workflow": self.workflow(run.workflow), "workflow_run": self.run_in_event(run)})
            }
            Happening::Job(action, run, id) => {
                let job = run.latest().jobs.iter().find(|job| job.id == *id).map(|job| self.job_at(action, run, job));
                json!({"action": action, "workflow_job": job})
            }
            Happening::Asked(run, id) => {
                let job = run.latest().jobs.iter().find(|job| job.id == *id);
                json!({
                    "action": "requested", "environment": job.and_then(|job| self.environment_of(job)), "since": time(run.latest().updated_at),
                    "requestor": self.user(&run.latest().by), "reviewers": self.reviewers(), "workflow_run": self.run_in_event(run),
                    "workflow_job_run": job.map(|job| self.job_run(run, job)),
                })
            }
            Happening::Review(run, review) => json!({
                "action": if review.approved { "approved" } else { "rejected" }, "approver": self.user(&review.by),
                "comment": review.comment, "since": time(run.latest().updated_at), "reviewers": self.reviewers(),
                "workflow_run": self.run_in_event(run), "workflow_job_runs": self.job_runs(run, review),
            }),
            Happening::Merge(number) => {
                let pull = self.repo.history.pulls.iter().find(|pull| pull.number == *number);
                json!({"action": "closed", "number": number, "pull_request": pull.map(|pull| self.pull_in_full(pull))})
            }
            Happening::Push(before, after) => self.push(before, after),
        }
    }

    fn run_in_event(&self, run: &Run) -> Option<Value> {
        let mut shape = self.run(run, run.attempts.len())?;
        if let Value::Object(shape) = &mut shape {
            // Only those who ask are told.
            shape.remove("head_repository_id");
        }
        Some(shape)
    }

    /// A job as it was when it got so far; by now it may be further on.
    fn job_at(&self, action: &str, run: &Run, job: &Job) -> Value {
        let phase = match action {
            "queued" => Phase::Queued,
            "waiting" => Phase::Waiting,
            "in_progress" => Phase::InProgress,
            _ => job.phase,
        };
        let begun = !matches!(phase, Phase::Queued | Phase::Waiting);
        let over = matches!(phase, Phase::Done(_));
        let then = Job {
            phase,
            started_at: job.started_at.filter(|_| begun),
            deploy_step_at: job.deploy_step_at.filter(|_| over),
            completed_at: job.completed_at.filter(|_| over),
            ..job.clone()
        };
        self.job(run, run.attempts.len(), &then)
    }

    fn environment_of(&self, job: &Job) -> Option<&'static str> {
        self.repo.pipeline.jobs[job.plan].target.as_ref().map(|target| target.environment)
    }

    /// The jobs that a reviewer decided about.
    fn job_runs(&self, run: &Run, review: &Review) -> Vec<Value> {
        let decided = |job: &&Job| {
            self.environment_of(job).is_some_and(|name| review.environments.iter().any(|decided| decided == name))
        };
        run.latest().jobs.iter().filter(decided).map(|job| self.job_run(run, job)).collect()
    }

    /// A job as reviews have it.
    fn job_run(&self, run: &Run, job: &Job) -> Value {
        json!({
            "id": job.id, "name": job.name(&self.repo.pipeline), "status": job.phase.word(), "conclusion": job.phase.conclusion(),
            "html_url": format!("{}/actions/runs/{}/job/{}", self.html(), run.id, job.id), "environment": self.environment_of(job),
            "created_at": time(job.created_at), "updated_at": time(run.latest().updated_at),
        })
    }

    fn push(&self, before: &str, after: &str) -> Value {
        let history = &self.repo.history;
        let ahead = history.compare(before, after).ahead;
        let commits: Vec<Value> = ahead.iter().map(|at| self.pushed(&history.commits[*at])).collect();
        let head = history.get(after);
        let (name, email) = head.map(|commit| self.git_person(&commit.author)).unwrap_or_default();
        json!({
            "ref": "refs/heads/main", "before": before, "after": after, "created": false, "deleted": false, "forced": false,
            "base_ref": null, "compare": format!("{}/compare/{}...{}", self.html(), &before[..12], &after[..12]), "commits": commits,
            "head_commit": head.map(|commit| self.pushed(commit)), "pusher": {"name": name, "email": email},
        })
    }

    fn pushed(&self, commit: &Commit) -> Value {
        let person = |login: &str| {
            let (name, email) = self.git_person(login);
            json!({"name": name, "email": email, "username": login})
        };
        json!({
            "id": commit.sha, "tree_id": tree_of(&commit.sha), "distinct": true, "message": commit.message, "timestamp": time(commit.at),
            "url": format!("{}/commit/{}", self.html(), commit.sha), "author": person(&commit.author), "committer": person(&commit.committer),
            "added": [], "removed": [], "modified": ["README.md"],
        })
    }
}

//! The shapes of runs, jobs, gates and what reviewers said.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::shape::{Shape, extend, node_id, time};
use crate::sandbox::world::pipeline::Workflow;
use crate::sandbox::world::run::{Attempt, Conclusion, Job, Review, Run, Step};
use crate::sandbox::world::servers::Environment;

impl Shape<'_> {
    /// A run, as its attempt of that number (from 1) left it.
    pub fn run(&self, run: &Run, number: usize) -> Option<Value> {
        let attempt = run.attempts.get(number.checked_sub(1)?)?;
        let (id, suite) = (run.id, run.id + 30_000_000_000);
        let url = format!("{}/actions/runs/{id}", self.url());
        let repository = self.repository_in_short();
        let mut shape = json!({
            "id": id, "name": run.workflow.name(), "node_id": node_id("WFR", id), "run_number": run.number,
            "run_attempt": number, "event": run.event.word(), "status": attempt.status(),
            "conclusion": attempt.conclusion.map(Conclusion::word), "display_title": run.title,
            "path": run.workflow.path(), "workflow_id": self.workflow_id(run.workflow), "head_branch": run.branch,
            "head_sha": run.sha, "head_commit": self.repo.history.get(&run.sha).map(|commit| self.head_commit(commit)),
            "created_at": time(run.created_at), "run_started_at": time(attempt.started_at),
            "updated_at": time(attempt.updated_at), "actor": self.user(&run.actor),
            "triggering_actor": self.user(&attempt.by), "pull_requests": [], "check_suite_id": suite,
            "check_suite_node_id": node_id("CS", suite), "referenced_workflows": self.referenced_workflows(),
        });
        if let Value::Object(shape) = &mut shape {
            extend(
                shape,
                json!({
                    "url": url, "html_url": format!("{}/actions/runs/{id}", self.html()), "jobs_url": format!("{url}/jobs"),
                    "logs_url": format!("{url}/logs"), "artifacts_url": format!("{url}/artifacts"),
                    "cancel_url": format!("{url}/cancel"), "rerun_url": format!("{url}/rerun"),
                    "check_suite_url": format!("{}/check-suites/{suite}", self.url()),
                    "workflow_url": format!("{}/actions/workflows/{}", self.url(), self.workflow_id(run.workflow)),
                    "previous_attempt_url": (number > 1).then(|| format!("{url}/attempts/{}", number - 1)),
                    "repository": repository, "head_repository": repository, "head_repository_id": self.repo.id,
                }),
            );
        }
        Some(shape)
    }

    /// The listed jobs of an attempt (numbered from 1).
    pub fn jobs(&self, run: &Run, number: usize, attempt: &Attempt) -> Vec<Value> {
        let listed = attempt.jobs.iter().filter(|job| job.is_listed());
        listed.map(|job| self.job(run, number, job)).collect()
    }

    /// A gate that waits for a reviewer.
    pub fn pending_deployment(&self, environment: &Environment) -> Value {
        json!({
            "environment": self.environment_in_short(environment), "wait_timer": 0, "wait_timer_started_at": null,
            "current_user_can_approve": true, "reviewers": self.reviewers(),
        })
    }

    /// What a reviewer said.
    pub fn review(&self, review: &Review) -> Value {
        let environments = review.environments.iter().filter_map(|name| self.repo.environment(name));
        json!({
            "state": if review.approved { "approved" } else { "rejected" }, "comment": review.comment,
            "user": self.user(&review.by),
            "environments": environments.map(|environment| self.environment_in_short(environment)).collect::<Vec<_>>(),
        })
    }

    /// The deployment of a reviewed environment.
    pub fn deployment(&self, run: &Run, environment: &Environment, now: Timestamp) -> Value {
        let id = run.id - 16_000_000_000 + environment.id % 100;
        let url = format!("{}/deployments/{id}", self.url());
        json!({
            "id": id, "node_id": node_id("DE", id), "sha": run.sha, "ref": run.branch, "task": "deploy", "payload": {},
            "environment": environment.name, "original_environment": environment.name, "description": null,
            "creator": self.user(&run.actor), "created_at": time(run.created_at), "updated_at": time(now), "url": url,
            "statuses_url": format!("{url}/statuses"), "repository_url": self.url(), "transient_environment": false,
            "production_environment": true,
        })
    }

    /// The annotations of a job's check run.
    pub fn annotations(&self, run: &Run, job: &Job) -> Vec<Value> {
        let annotation = |message: &String| {
            json!({
                "path": ".github", "blob_href": format!("{}/blob/{}/.github", self.html(), run.sha), "start_line": 1,
                "start_column": null, "end_line": 1, "end_column": null, "annotation_level": "failure", "title": "",
                "message": message, "raw_details": "",
            })
        };
        job.annotations.iter().map(annotation).collect()
    }

    /// The live members of the concurrency group; `None` while nothing runs.
    pub fn concurrency_group(&self) -> Option<Value> {
        let live: Vec<Value> = self
            .repo
            .runs
            .iter()
            .filter(|run| run.is_live())
            .map(|run| {
                json!({
                    "run_id": run.id, "run_name": run.workflow.name(), "status": "in_progress",
                    "run_html_url": format!("{}/actions/runs/{}", self.html(), run.id),
                })
            })
            .collect();
        (!live.is_empty())
            .then(|| json!({"group_name": self.repo.pipeline.group, "total_count": live.len(), "group_members": live}))
    }

    /// A job of an attempt (numbered from 1).
    pub fn job(&self, run: &Run, number: usize, job: &Job) -> Value {
        let plan = &self.repo.pipeline.jobs[job.plan];
        let at_work = job.started_at.is_some();
        let steps = job.steps(plan);
        let deploy = steps.len().saturating_sub(2);
        let step = |(position, step): (usize, &Step)| {
            let begun = if position < deploy { job.started_at } else { job.deploy_step_at.or(job.started_at) };
            let ended = if position < deploy { job.deploy_step_at.or(job.completed_at) } else { job.completed_at };
            json!({
                "name": step.name, "number": position + 1, "status": step.status, "conclusion": step.conclusion,
                "started_at": begun.filter(|_| step.status != "queued").map(time),
                "completed_at": ended.filter(|_| step.status == "completed").map(time),
            })
        };
        json!({
            "id": job.id, "run_id": run.id, "run_url": format!("{}/actions/runs/{}", self.url(), run.id),
            "run_attempt": number, "node_id": node_id("CR", job.id), "head_sha": run.sha, "head_branch": run.branch,
            "workflow_name": run.workflow.name(), "name": job.name(&self.repo.pipeline),
            "status": job.phase.word(), "conclusion": job.phase.conclusion(),
            "created_at": time(job.created_at), "started_at": time(job.started_at.unwrap_or(job.created_at)),
            "completed_at": job.completed_at.map(time), "url": format!("{}/actions/jobs/{}", self.url(), job.id),
            "html_url": format!("{}/actions/runs/{}/job/{}", self.html(), run.id, job.id),
            "check_run_url": format!("{}/check-runs/{}", self.url(), job.id),
            "steps": steps.iter().enumerate().map(step).collect::<Vec<_>>(), "labels": ["ubuntu-latest"],
            "runner_id": at_work.then_some(1_000_000_012), "runner_name": at_work.then_some("GitHub Actions 1000000012"),
            "runner_group_id": at_work.then_some(0), "runner_group_name": at_work.then_some("GitHub Actions"),
        })
    }

    fn referenced_workflows(&self) -> Value {
        let calls = self.repo.pipeline.has_redeploy;
        let called = |file: &str| {
            json!({
                "path": format!("hypothesis/workflows/.github/workflows/{file}@main"), "ref": "refs/heads/main",
                "sha": crate::sandbox::world::history::sha_of(99, 1),
            })
        };
        if calls { json!([called("dockerhub.yml"), called(Workflow::Deploy.file())]) } else { json!([]) }
    }
}

//! What the sandbox's page shows of the world.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pulls::Pull;
use super::run::{Conclusion, Job, Run};
use super::servers::Environment;
use super::state::{Repo, Role, State};

const RUNS_SHOWN: usize = 8;
const PULLS_SHOWN: usize = 5;

impl State {
    /// The whole view.
    pub fn view(&self, now: Timestamp) -> Value {
        let people = self.people.iter().filter(|person| person.role != Role::Machine);
        json!({
            "now": now.to_string(),
            "auto": self.auto_since.is_some(),
            "faults": self.faults.iter().map(|fault| json!({"kind": fault.kind, "left": fault.left})).collect::<Vec<_>>(),
            "aws_faults": self.aws_faults.iter().map(|fault| {
                json!({"kind": fault.kind, "region": fault.region, "left": fault.left})
            }).collect::<Vec<_>>(),
            "people": people.map(|person| {
                json!({"login": person.login, "name": person.name, "bot": person.role == Role::Bot})
            }).collect::<Vec<_>>(),
            "repos": self.repos.iter().map(Repo::view).collect::<Vec<_>>(),
        })
    }
}

impl Repo {
    fn view(&self) -> Value {
        let runs = self.runs.iter().rev().take(RUNS_SHOWN);
        json!({
            "repo": self.full_name(),
            "main": self.history.main(),
            "runs": runs.map(|run| self.run_view(run)).collect::<Vec<_>>(),
            "environments": self.environments.iter().map(Environment::view).collect::<Vec<_>>(),
            "undeployed": self.undeployed(),
            "pulls": self.pulls_view(),
        })
    }

    /// The open pull requests, and the newest of those that were merged.
    fn pulls_view(&self) -> Vec<Value> {
        let pulls = self.history.pulls.iter().rev();
        let (open, over): (Vec<&Pull>, Vec<&Pull>) = pulls.partition(|pull| pull.is_open());
        let merged = over.into_iter().filter(|pull| pull.merged().is_some()).take(PULLS_SHOWN);
        open.into_iter().chain(merged).map(|pull| self.pull_view(pull)).collect()
    }

    fn pull_view(&self, pull: &Pull) -> Value {
        let statuses = self.history.standing_statuses(&pull.head);
        json!({
            "number": pull.number,
            "title": pull.title,
            "author": pull.author,
            "body": pull.body,
            "open": pull.is_open(),
            "entangled": pull.entangled,
            "reviewers": pull.reviewers,
            "statuses": statuses.iter().map(|status| {
                json!({"state": status.state, "context": status.context, "description": status.description})
            }).collect::<Vec<_>>(),
        })
    }

    fn run_view(&self, run: &Run) -> Value {
        let attempt = run.latest();
        let listed = attempt.jobs.iter().filter(|job| job.is_listed());
        json!({
            "id": run.id,
            "number": run.number,
            "workflow": run.workflow.name(),
            "title": run.title,
            "branch": run.branch,
            "sha": run.sha,
            "attempt": run.attempts.len(),
            "status": attempt.status(),
            "conclusion": attempt.conclusion.map(Conclusion::word),
            "actor": run.actor,
            "started": attempt.started_at.to_string(),
            "reviews": run.reviews.iter().map(|review| {
                json!({
                    "approved": review.approved, "by": review.by, "comment": review.comment,
                    "environments": review.environments,
                })
            }).collect::<Vec<_>>(),
            "jobs": listed.map(|job| self.job_view(job)).collect::<Vec<_>>(),
            "waiting": self.waiting_environments(run).iter().map(|environment| environment.name).collect::<Vec<_>>(),
        })
    }

    fn job_view(&self, job: &Job) -> Value {
        let plan = &self.pipeline.jobs[job.plan];
        json!({
            "name": plan.name,
            "environment": plan.target.as_ref().map(|target| target.environment),
            "status": job.phase.word(),
            "conclusion": job.phase.conclusion(),
            "in_deploy_step": job.is_deploying(),
            "touched": job.deploy_step_at.is_some(),
        })
    }

    /// How many changes are on main and missing in some production environment: pull requests, and commits without one.
    fn undeployed(&self) -> usize {
        let mut changes = BTreeSet::new();
        for plan in self.pipeline.jobs.iter().filter(|plan| self.pipeline.is_production(plan)) {
            let environment = plan.target.as_ref().and_then(|target| self.environment(target.environment));
            let Some(running) = environment.and_then(|environment| environment.running.as_ref()) else {
                continue;
            };
            for position in self.history.compare(&running.sha, self.history.main()).ahead {
                let commit = &self.history.commits[position];
                changes.insert(commit.pull.map_or_else(|| commit.sha.clone(), |number| number.to_string()));
            }
        }
        changes.len()
    }
}

impl Environment {
    fn view(&self) -> Value {
        json!({
            "name": self.name,
            "id": self.id,
            "gated": self.gated,
            "version": self.running.as_ref().map(|version| &version.tag),
            "region": self.place.map(|place| place.region),
            "eb": self.server_name(),
            "health": self.health(),
            "health_status": self.health_status(),
            "causes": self.causes(),
            "status": self.status(),
            "variables": self.settings.variables.keys().collect::<Vec<_>>(),
            "deploying": self.update.is_some(),
            "servers": self.instances.iter().map(|instance| {
                let (_, tag) = instance.label.rsplit_once("Z-").unwrap_or(("", &instance.label));
                json!({"id": instance.id, "version": tag})
            }).collect::<Vec<_>>(),
        })
    }
}

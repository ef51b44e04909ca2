//! The moves that runs are made of: jobs come up, change phase, touch servers, end; attempts end with their last job.

use jiff::Timestamp;

use super::history::Commit;
use super::pipeline::Workflow;
use super::run::{Conclusion, Job, Phase};
use super::state::Repo;

/// How a job ends, and what its check run says about it.
pub(super) type Ending = (Conclusion, Option<String>);

impl Repo {
    pub(super) fn supersede(&mut self, now: Timestamp) -> Vec<String> {
        let reason = format!("Canceling since a higher priority waiting request for '{}' exists", self.pipeline.group);
        let live: Vec<(u64, String)> =
            self.runs.iter().filter(|run| run.is_live()).map(|run| (run.id, run.label())).collect();
        let cancelled = live.into_iter().filter(|(id, _)| self.cancel_run(*id, &reason, now).is_ok());
        cancelled.map(|(_, label)| label).collect()
    }

    /// Lists the newest attempt's jobs; those kept from the attempt before have new ids and their old times.
    pub(super) fn fill_attempt(&mut self, run: usize, kept: &[Job], now: Timestamp) {
        let redeploy = self.runs[run].workflow == Workflow::Redeploy;
        for plan in 0..self.pipeline.jobs.len() {
            if redeploy && self.pipeline.jobs[plan].target.is_none() {
                continue;
            }
            let id = self.next_job_id();
            let job = match kept.iter().find(|job| job.plan == plan) {
                Some(job) => Job { id, ..job.clone() },
                None => Job::absent(id, plan, now),
            };
            self.runs[run].latest_mut().jobs.push(job);
        }
        self.settle(run, true, now);
    }

    /// Brings up the jobs whose needs are met, skips those whose needs failed, ends the attempt with its last job.
    pub(super) fn settle(&mut self, run: usize, fresh: bool, now: Timestamp) {
        while let Some((job, phase)) = self.next_move(run, fresh) {
            self.set_phase(run, job, phase, now);
        }
        let attempt = self.runs[run].latest_mut();
        let done = attempt.jobs.iter().all(|job| matches!(job.phase, Phase::Done(_)));
        if done && attempt.conclusion.is_none() {
            attempt.conclusion = Some(attempt.sum_up());
            attempt.updated_at = now;
        }
    }

    fn next_move(&self, run: usize, fresh: bool) -> Option<(usize, Phase)> {
        let jobs = &self.runs[run].latest().jobs;
        let mut absent = jobs.iter().enumerate().filter(|(_, job)| job.phase == Phase::Absent);
        absent.find_map(|(position, job)| Some((position, self.unlocked(run, job, fresh)?)))
    }

    fn unlocked(&self, run: usize, job: &Job, fresh: bool) -> Option<Phase> {
        let (run, plan) = (&self.runs[run], &self.pipeline.jobs[job.plan]);
        if !run.selects(plan) {
            return Some(Phase::Done(Conclusion::Skipped));
        }
        let is_needed =
            |other: &&Job| run.workflow == Workflow::Deploy && plan.needs.contains(&self.pipeline.jobs[other.plan].id);
        let needs: Vec<Phase> = run.latest().jobs.iter().filter(is_needed).map(|job| job.phase).collect();
        if needs.iter().any(|phase| !matches!(phase, Phase::Done(_))) {
            return None;
        }
        let gated =
            || plan.target.as_ref().and_then(|target| self.environment(target.environment)).is_some_and(|e| e.gated);
        Some(match needs.iter().all(|phase| *phase == Phase::Done(Conclusion::Success)) {
            false => Phase::Done(Conclusion::Skipped),
            true if gated() => Phase::Waiting,
            true if fresh => Phase::Queued,
            true => Phase::InProgress,
        })
    }

    pub(super) fn set_phase(&mut self, run: usize, job: usize, phase: Phase, now: Timestamp) {
        let attempt = self.runs[run].latest_mut();
        attempt.updated_at = now;
        let job = &mut attempt.jobs[job];
        if job.phase == Phase::Absent {
            job.created_at = now;
        }
        match phase {
            Phase::InProgress => job.started_at = Some(now),
            Phase::Done(_) => job.completed_at = Some(now),
            Phase::Absent | Phase::Queued | Phase::Waiting => {}
        }
        job.phase = phase;
    }

    pub(super) fn end_job(&mut self, run: usize, job: usize, ending: Ending, now: Timestamp) {
        let (conclusion, annotation) = ending;
        let deploying = self.job(run, job).is_deploying();
        self.set_phase(run, job, Phase::Done(conclusion), now);
        let annotations = &mut self.runs[run].latest_mut().jobs[job].annotations;
        annotations.extend(annotation);
        let Some(environment) = self.target_of(run, job).filter(|_| deploying) else {
            return;
        };
        if conclusion == Conclusion::Success {
            self.environments[environment].finish(now);
        } else {
            self.environments[environment].go_on_alone(now);
        }
    }

    pub(super) fn touch_servers(&mut self, run: usize, job: usize, now: Timestamp) {
        self.runs[run].latest_mut().jobs[job].deploy_step_at = Some(now);
        self.runs[run].latest_mut().updated_at = now;
        let Some(position) = self.target_of(run, job) else {
            return;
        };
        let (run, environment) = (&self.runs[run], &self.environments[position]);
        let version = match run.workflow {
            Workflow::Redeploy => environment.running.clone(),
            Workflow::Deploy => {
                let tag = self.history.get(&run.sha).map(Commit::image_tag);
                tag.map(|tag| environment.version(&run.sha, &tag, now))
            }
        };
        if let Some(version) = version {
            self.environments[position].begin(version, now);
            self.expire_versions(self.environments[position].place);
        }
    }

    /// Takes a job through the states before running, where nobody has to decide.
    pub(super) fn get_running(&mut self, run: usize, job: usize, now: Timestamp) -> Result<(), String> {
        match self.job(run, job).phase {
            Phase::InProgress => Ok(()),
            Phase::Queued => {
                self.set_phase(run, job, Phase::InProgress, now);
                Ok(())
            }
            Phase::Absent | Phase::Waiting | Phase::Done(_) => Err(self.not_ready(run, job)),
        }
    }

    pub(super) fn not_ready(&self, run: usize, job: usize) -> String {
        let job = self.job(run, job);
        let name = job.name(&self.pipeline);
        match job.phase {
            Phase::Absent => format!("{name} has not come up: what it needs has not finished."),
            Phase::Queued => format!("{name} is still queued."),
            Phase::Waiting => format!("{name} waits for a reviewer."),
            Phase::InProgress => format!("{name} runs already."),
            Phase::Done(conclusion) => format!("{name} has ended already: {}.", conclusion.word()),
        }
    }

    pub(super) fn waiting_jobs(&self, run: usize) -> Vec<(usize, String)> {
        let jobs = self.runs[run].latest().jobs.iter().enumerate();
        let waiting = jobs.filter(|(_, job)| job.phase == Phase::Waiting);
        waiting
            .filter_map(|(position, _)| {
                Some((position, self.environments[self.target_of(run, position)?].name.to_owned()))
            })
            .collect()
    }

    /// Position of the environment that a job deploys to.
    pub(super) fn target_of(&self, run: usize, job: usize) -> Option<usize> {
        let target = self.pipeline.jobs[self.job(run, job).plan].target.as_ref()?;
        self.environments.iter().position(|environment| environment.name == target.environment)
    }

    pub(super) fn job(&self, run: usize, job: usize) -> &Job {
        &self.runs[run].latest().jobs[job]
    }

    pub(super) fn find_run(&self, run_id: u64) -> Result<usize, String> {
        let found = self.runs.iter().position(|run| run.id == run_id);
        found.ok_or_else(|| format!("{} has no run {run_id}.", self.full_name()))
    }

    pub(super) fn find_job(&self, run_id: u64, name: &str) -> Result<(usize, usize), String> {
        let run = self.find_run(run_id)?;
        let plan = self.pipeline.job(name);
        let found = self.runs[run].latest().jobs.iter().position(|job| Some(job.plan) == plan);
        let job = found.ok_or_else(|| format!("{} has no job {name}.", self.runs[run].label()))?;
        Ok((run, job))
    }

    pub(super) fn next_run_number(&mut self, workflow: Workflow) -> u64 {
        let number = match workflow {
            Workflow::Deploy => &mut self.ids.deploy_number,
            Workflow::Redeploy => &mut self.ids.redeploy_number,
        };
        *number += 1;
        *number
    }
}

impl Job {
    fn absent(id: u64, plan: usize, now: Timestamp) -> Job {
        Job {
            id,
            plan,
            phase: Phase::Absent,
            created_at: now,
            started_at: None,
            deploy_step_at: None,
            completed_at: None,
            annotations: Vec::new(),
        }
    }
}

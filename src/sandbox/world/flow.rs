//! How runs move: start, supersede, unlock, finish, approve, cancel, run again (`facts/github.md`, sections 4.3, 4.6 and 4.7).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::act::Outcome;
use super::pipeline::Workflow;
use super::run::{Attempt, Conclusion, Event, Job, Phase, Review, Run};
use super::state::Repo;

/// A run about to start.
#[derive(Clone, Debug)]
pub(crate) struct NewRun {
    /// Which workflow.
    pub workflow: Workflow,
    /// What triggers it.
    pub event: Event,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub sha: String,
    /// The title shown.
    pub title: String,
    /// Login of whoever causes it.
    pub by: String,
    /// The inputs of a dispatch.
    pub inputs: BTreeMap<String, String>,
}

/// A run that has started (again).
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// Its id.
    pub id: u64,
    /// Its number with its workflow's name: `Deploy 812`.
    pub label: String,
    /// The runs that were cancelled for it, likewise.
    pub superseded: Vec<String>,
}

impl Repo {
    /// Starts a run; the group's live runs are cancelled for it.
    pub fn start_run(&mut self, new: NewRun, now: Timestamp) -> Started {
        let superseded = self.supersede(now);
        let id = self.next_run_id();
        let number = self.next_run_number(new.workflow);
        let attempt = Attempt {
            by: new.by.clone(),
            started_at: now,
            updated_at: now,
            jobs: Vec::new(),
            conclusion: None,
        };
        self.runs.push(Run {
            id,
            number,
            workflow: new.workflow,
            event: new.event,
            branch: new.branch,
            sha: new.sha,
            title: new.title,
            actor: new.by,
            created_at: now,
            inputs: new.inputs,
            attempts: vec![attempt],
            reviews: Vec::new(),
        });
        let run = self.runs.len() - 1;
        self.fill_attempt(run, &[], now);
        Started {
            id,
            label: self.runs[run].label(),
            superseded,
        }
    }

    /// Ends a run that has just started as one whose workflow file is broken: without jobs.
    pub fn break_run(&mut self, run_id: u64) {
        for run in self.runs.iter_mut().filter(|run| run.id == run_id) {
            let attempt = run.latest_mut();
            attempt.jobs.clear();
            attempt.conclusion = Some(Conclusion::StartupFailure);
        }
    }

    /// A queued job gets its runner.
    pub fn start_job(&mut self, run_id: u64, name: &str, now: Timestamp) -> Result<(), String> {
        let (run, job) = self.find_job(run_id, name)?;
        if self.job(run, job).phase != Phase::Queued {
            return Err(self.not_ready(run, job));
        }
        self.set_phase(run, job, Phase::InProgress, now);
        Ok(())
    }

    /// A job enters its deploy step: from now on its environment is touched.
    pub fn enter_deploy_step(
        &mut self,
        run_id: u64,
        name: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let (run, job) = self.find_job(run_id, name)?;
        self.get_running(run, job, now)?;
        if self.target_of(run, job).is_none() {
            return Err(format!("{name} deploys nothing."));
        }
        if self.job(run, job).deploy_step_at.is_some() {
            return Err(format!("{name} is in its deploy step already."));
        }
        self.touch_servers(run, job, now);
        Ok(())
    }

    /// A job ends; what needs it is unlocked or skipped.
    pub fn finish_job(
        &mut self,
        run_id: u64,
        name: &str,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), String> {
        let (run, job) = self.find_job(run_id, name)?;
        self.get_running(run, job, now)?;
        let untouched = self.job(run, job).deploy_step_at.is_none();
        if outcome == Outcome::Success && untouched && self.target_of(run, job).is_some() {
            self.touch_servers(run, job, now);
        }
        let (conclusion, annotation) = ending(outcome);
        self.end_job(run, job, conclusion, annotation.as_deref(), now);
        self.settle(run, false, now);
        Ok(())
    }

    /// Cancels a live run for the given reason, which its jobs carry as an annotation.
    pub fn cancel_run(&mut self, run_id: u64, reason: &str, now: Timestamp) -> Result<(), String> {
        let run = self.find_run(run_id)?;
        if !self.runs[run].is_live() {
            return Err("Cannot cancel a workflow run that is completed.".to_owned());
        }
        self.runs[run].latest_mut().updated_at = now;
        if !self.runs[run].latest().has_started() {
            self.runs[run].latest_mut().jobs.clear();
        }
        for job in 0..self.runs[run].latest().jobs.len() {
            if matches!(
                self.job(run, job).phase,
                Phase::Queued | Phase::Waiting | Phase::InProgress
            ) {
                self.end_job(run, job, Conclusion::Cancelled, Some(reason), now);
            }
        }
        self.settle(run, false, now);
        self.runs[run].latest_mut().conclusion = Some(Conclusion::Cancelled);
        Ok(())
    }

    /// A reviewer decides about waiting environments; nothing happens unless all of them wait.
    pub fn review(&mut self, run_id: u64, review: Review, now: Timestamp) -> Result<(), String> {
        let run = self.find_run(run_id)?;
        let waiting = self.waiting_jobs(run);
        let find = |name: &String| {
            waiting
                .iter()
                .find(|(_, waiting)| waiting == name)
                .map(|(job, _)| *job)
        };
        let jobs: Option<Vec<usize>> = review.environments.iter().map(find).collect();
        let Some(jobs) = jobs.filter(|jobs| !jobs.is_empty()) else {
            return Err("There are no pending deployment requests for those environments to approve or reject.".to_owned());
        };
        for job in jobs {
            if review.approved {
                self.set_phase(run, job, Phase::InProgress, now);
            } else {
                self.end_job(
                    run,
                    job,
                    Conclusion::Failure,
                    Some("The deployment was rejected."),
                    now,
                );
            }
        }
        self.runs[run].reviews.push(review);
        self.settle(run, false, now);
        Ok(())
    }

    /// Runs a completed run again, whole or only what did not succeed; the group's live runs are cancelled for it.
    pub fn rerun(
        &mut self,
        run_id: u64,
        failed_only: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<Started, String> {
        let run = self.find_run(run_id)?;
        let last = self.runs[run].latest();
        if last.conclusion.is_none() {
            return Err("This workflow is already running.".to_owned());
        }
        let succeeded = |job: &&Job| job.phase == Phase::Done(Conclusion::Success);
        let kept: Vec<Job> = if failed_only {
            last.jobs.iter().filter(succeeded).cloned().collect()
        } else {
            Vec::new()
        };
        if failed_only
            && matches!(
                last.conclusion,
                Some(Conclusion::Success | Conclusion::Skipped)
            )
        {
            return Err("This workflow run has no failed jobs to re-run.".to_owned());
        }
        let superseded = self.supersede(now);
        let attempt = Attempt {
            by: by.to_owned(),
            started_at: now,
            updated_at: now,
            jobs: Vec::new(),
            conclusion: None,
        };
        self.runs[run].attempts.push(attempt);
        self.fill_attempt(run, &kept, now);
        Ok(Started {
            id: run_id,
            label: self.runs[run].label(),
            superseded,
        })
    }

    /// The environments of a run that wait for a reviewer, as position in `environments` and the job's creation.
    pub fn waiting_environments(&self, run: &Run) -> Vec<&super::servers::Environment> {
        let waiting = run
            .latest()
            .jobs
            .iter()
            .filter(|job| job.phase == Phase::Waiting);
        let name = |job: &Job| {
            self.pipeline.jobs[job.plan]
                .target
                .as_ref()
                .map(|target| target.environment)
        };
        waiting
            .filter_map(|job| self.environment(name(job)?))
            .collect()
    }

    fn supersede(&mut self, now: Timestamp) -> Vec<String> {
        let reason = format!(
            "Canceling since a higher priority waiting request for '{}' exists",
            self.pipeline.group
        );
        let live: Vec<(u64, String)> = self
            .runs
            .iter()
            .filter(|run| run.is_live())
            .map(|run| (run.id, run.label()))
            .collect();
        let cancelled = live
            .into_iter()
            .filter(|(id, _)| self.cancel_run(*id, &reason, now).is_ok());
        cancelled.map(|(_, label)| label).collect()
    }

    /// Lists the newest attempt's jobs; those kept from the attempt before have new ids and their old times.
    fn fill_attempt(&mut self, run: usize, kept: &[Job], now: Timestamp) {
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
    fn settle(&mut self, run: usize, fresh: bool, now: Timestamp) {
        while let Some((job, phase)) = self.next_move(run, fresh) {
            self.set_phase(run, job, phase, now);
        }
        let attempt = self.runs[run].latest_mut();
        let done = attempt
            .jobs
            .iter()
            .all(|job| matches!(job.phase, Phase::Done(_)));
        if done && attempt.conclusion.is_none() {
            attempt.conclusion = Some(attempt.sum_up());
            attempt.updated_at = now;
        }
    }

    fn next_move(&self, run: usize, fresh: bool) -> Option<(usize, Phase)> {
        let jobs = &self.runs[run].latest().jobs;
        let absent = jobs
            .iter()
            .enumerate()
            .filter(|(_, job)| job.phase == Phase::Absent);
        absent
            .filter_map(|(position, job)| Some((position, self.unlocked(run, job, fresh)?)))
            .next()
    }

    fn unlocked(&self, run: usize, job: &Job, fresh: bool) -> Option<Phase> {
        let (run, plan) = (&self.runs[run], &self.pipeline.jobs[job.plan]);
        if !run.selects(plan) {
            return Some(Phase::Done(Conclusion::Skipped));
        }
        let is_needed = |other: &&Job| {
            run.workflow == Workflow::Deploy
                && plan.needs.contains(&self.pipeline.jobs[other.plan].id)
        };
        let needs: Vec<Phase> = run
            .latest()
            .jobs
            .iter()
            .filter(is_needed)
            .map(|job| job.phase)
            .collect();
        if needs.iter().any(|phase| !matches!(phase, Phase::Done(_))) {
            return None;
        }
        let gated = || {
            plan.target
                .as_ref()
                .and_then(|target| self.environment(target.environment))
                .is_some_and(|e| e.gated)
        };
        Some(
            match needs
                .iter()
                .all(|phase| *phase == Phase::Done(Conclusion::Success))
            {
                false => Phase::Done(Conclusion::Skipped),
                true if gated() => Phase::Waiting,
                true if fresh => Phase::Queued,
                true => Phase::InProgress,
            },
        )
    }

    fn set_phase(&mut self, run: usize, job: usize, phase: Phase, now: Timestamp) {
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

    fn end_job(
        &mut self,
        run: usize,
        job: usize,
        conclusion: Conclusion,
        annotation: Option<&str>,
        now: Timestamp,
    ) {
        let deploying = self.job(run, job).is_deploying();
        self.set_phase(run, job, Phase::Done(conclusion), now);
        let annotations = &mut self.runs[run].latest_mut().jobs[job].annotations;
        annotations.extend(annotation.map(str::to_owned));
        let Some(environment) = self.target_of(run, job).filter(|_| deploying) else {
            return;
        };
        if conclusion == Conclusion::Success {
            self.environments[environment].finish(now);
        } else {
            self.environments[environment].go_on_alone(now);
        }
    }

    fn touch_servers(&mut self, run: usize, job: usize, now: Timestamp) {
        self.runs[run].latest_mut().jobs[job].deploy_step_at = Some(now);
        self.runs[run].latest_mut().updated_at = now;
        let Some(position) = self.target_of(run, job) else {
            return;
        };
        let (run, environment) = (&self.runs[run], &self.environments[position]);
        let version = match run.workflow {
            Workflow::Redeploy => environment.running.clone(),
            Workflow::Deploy => {
                let tag = self
                    .history
                    .get(&run.sha)
                    .map(super::history::Commit::image_tag);
                tag.map(|tag| environment.version(&run.sha, &tag, now))
            }
        };
        if let Some(version) = version {
            self.environments[position].begin(version, now);
        }
    }

    /// Takes a job through the states before running, where nobody has to decide.
    fn get_running(&mut self, run: usize, job: usize, now: Timestamp) -> Result<(), String> {
        match self.job(run, job).phase {
            Phase::InProgress => Ok(()),
            Phase::Queued => {
                self.set_phase(run, job, Phase::InProgress, now);
                Ok(())
            }
            Phase::Absent | Phase::Waiting | Phase::Done(_) => Err(self.not_ready(run, job)),
        }
    }

    fn not_ready(&self, run: usize, job: usize) -> String {
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

    fn waiting_jobs(&self, run: usize) -> Vec<(usize, String)> {
        let jobs = self.runs[run].latest().jobs.iter().enumerate();
        let waiting = jobs.filter(|(_, job)| job.phase == Phase::Waiting);
        waiting
            .filter_map(|(position, _)| {
                Some((
                    position,
                    self.environments[self.target_of(run, position)?]
                        .name
                        .to_owned(),
                ))
            })
            .collect()
    }

    /// Position of the environment that a job deploys to.
    fn target_of(&self, run: usize, job: usize) -> Option<usize> {
        let target = self.pipeline.jobs[self.job(run, job).plan]
            .target
            .as_ref()?;
        self.environments
            .iter()
            .position(|environment| environment.name == target.environment)
    }

    fn job(&self, run: usize, job: usize) -> &Job {
        &self.runs[run].latest().jobs[job]
    }

    fn find_run(&self, run_id: u64) -> Result<usize, String> {
        let found = self.runs.iter().position(|run| run.id == run_id);
        found.ok_or_else(|| format!("{} has no run {run_id}.", self.full_name()))
    }

    fn find_job(&self, run_id: u64, name: &str) -> Result<(usize, usize), String> {
        let run = self.find_run(run_id)?;
        let plan = self.pipeline.job(name);
        let found = self.runs[run]
            .latest()
            .jobs
            .iter()
            .position(|job| Some(job.plan) == plan);
        let job = found.ok_or_else(|| format!("{} has no job {name}.", self.runs[run].label()))?;
        Ok((run, job))
    }

    fn next_run_number(&mut self, workflow: Workflow) -> u64 {
        let number = match workflow {
            Workflow::Deploy => &mut self.ids.deploy_number,
            Workflow::Redeploy => &mut self.ids.redeploy_number,
        };
        *number += 1;
        *number
    }
}

impl Run {
    /// The workflow's name with the run's number, for a person: `Deploy 812`.
    pub fn label(&self) -> String {
        format!("{} {}", self.workflow.name(), self.number)
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

fn ending(outcome: Outcome) -> (Conclusion, Option<String>) {
    let (conclusion, annotation) = match outcome {
        Outcome::Success => (Conclusion::Success, ""),
        Outcome::Failure => (Conclusion::Failure, "Process completed with exit code 1."),
        Outcome::TimedOut => (
            Conclusion::TimedOut,
            "The job has exceeded the maximum execution time of 6h0m0s",
        ),
        Outcome::Cancelled => (Conclusion::Cancelled, "The operation was canceled."),
    };
    (
        conclusion,
        Some(annotation.to_owned()).filter(|text| !text.is_empty()),
    )
}

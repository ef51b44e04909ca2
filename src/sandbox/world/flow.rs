//! How runs move: start, supersede, unlock, finish, approve, cancel, run again (`facts/github.md`, sections 4.3, 4.6 and 4.7).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::act::Outcome;
use super::moves::Ending;
use super::pipeline::Workflow;
use super::run::{Attempt, Conclusion, Event, Job, Phase, Review, Run};
use super::servers::Environment;
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

/// How a job ends.
#[derive(Clone, Debug)]
pub(crate) struct JobEnd {
    /// Well, or how else.
    pub outcome: Outcome,
    /// What its check says about that, unless the usual.
    pub says: Option<String>,
}

impl From<Outcome> for JobEnd {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, says: None }
    }
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
        let attempt =
            Attempt { by: new.by.clone(), started_at: now, updated_at: now, jobs: Vec::new(), conclusion: None };
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
        Started { id, label: self.runs[run].label(), superseded }
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
    pub fn enter_deploy_step(&mut self, run_id: u64, name: &str, now: Timestamp) -> Result<(), String> {
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
    pub fn finish_job(&mut self, run_id: u64, name: &str, end: JobEnd, now: Timestamp) -> Result<(), String> {
        let (run, job) = self.find_job(run_id, name)?;
        self.get_running(run, job, now)?;
        let untouched = self.job(run, job).deploy_step_at.is_none();
        if end.outcome == Outcome::Success && untouched && self.target_of(run, job).is_some() {
            self.touch_servers(run, job, now);
        }
        self.end_job(run, job, ending(end), now);
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
            if matches!(self.job(run, job).phase, Phase::Queued | Phase::Waiting | Phase::InProgress) {
                let ending = (Conclusion::Cancelled, Some(reason.to_owned()));
                self.end_job(run, job, ending, now);
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
        let find = |name: &String| waiting.iter().find(|(_, waiting)| waiting == name).map(|(job, _)| *job);
        let jobs: Option<Vec<usize>> = review.environments.iter().map(find).collect();
        let Some(jobs) = jobs.filter(|jobs| !jobs.is_empty()) else {
            return Err(
                "There are no pending deployment requests for those environments to approve or reject.".to_owned()
            );
        };
        for job in jobs {
            if review.approved {
                self.set_phase(run, job, Phase::InProgress, now);
            } else {
                let reason = "The deployment was rejected.".to_owned();
                self.end_job(run, job, (Conclusion::Failure, Some(reason)), now);
            }
        }
        self.runs[run].reviews.push(review);
        self.settle(run, false, now);
        Ok(())
    }

    /// Runs a completed run again, whole or only what did not succeed; the group's live runs are cancelled for it.
    pub fn rerun(&mut self, run_id: u64, failed_only: bool, by: &str, now: Timestamp) -> Result<Started, String> {
        let run = self.find_run(run_id)?;
        let last = self.runs[run].latest();
        if last.conclusion.is_none() {
            return Err("This workflow is already running.".to_owned());
        }
        let succeeded = |job: &&Job| job.phase == Phase::Done(Conclusion::Success);
        let kept: Vec<Job> =
            if failed_only { last.jobs.iter().filter(succeeded).cloned().collect() } else { Vec::new() };
        if failed_only && matches!(last.conclusion, Some(Conclusion::Success | Conclusion::Skipped)) {
            return Err("This workflow run has no failed jobs to re-run.".to_owned());
        }
        let superseded = self.supersede(now);
        let attempt =
            Attempt { by: by.to_owned(), started_at: now, updated_at: now, jobs: Vec::new(), conclusion: None };
        self.runs[run].attempts.push(attempt);
        self.fill_attempt(run, &kept, now);
        Ok(Started { id: run_id, label: self.runs[run].label(), superseded })
    }

    /// The environments of a run that wait for a reviewer.
    pub fn waiting_environments(&self, run: &Run) -> Vec<&Environment> {
        let waiting = run.latest().jobs.iter().filter(|job| job.phase == Phase::Waiting);
        let name = |job: &Job| self.pipeline.jobs[job.plan].target.as_ref().map(|target| target.environment);
        waiting.filter_map(|job| self.environment(name(job)?)).collect()
    }
}

impl Run {
    /// The workflow's name with the run's number, for a person: `Deploy 812`.
    pub fn label(&self) -> String {
        format!("{} {}", self.workflow.name(), self.number)
    }
}

fn ending(end: JobEnd) -> Ending {
    let (conclusion, annotation) = match end.outcome {
        Outcome::Success => (Conclusion::Success, ""),
        Outcome::Failure => (Conclusion::Failure, "Process completed with exit code 1."),
        Outcome::TimedOut => (Conclusion::TimedOut, "The job has exceeded the maximum execution time of 6h0m0s"),
        Outcome::Cancelled => (Conclusion::Cancelled, "The operation was canceled."),
    };
    (conclusion, end.says.or(Some(annotation.to_owned())).filter(|text| !text.is_empty()))
}

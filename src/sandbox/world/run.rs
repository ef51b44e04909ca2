//! Workflow runs as data: run, attempt, job, and what their states look like from outside. How they move is in `flow`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::pipeline::{JobPlan, Pipeline, Workflow};

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Its id, the same over all attempts.
    pub id: u64,
    /// Its number, counted per workflow.
    pub number: u64,
    /// Which workflow.
    pub workflow: Workflow,
    /// What triggered it.
    pub event: Event,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub sha: String,
    /// The title shown.
    pub title: String,
    /// Login of whoever caused it first.
    pub actor: String,
    /// When the first attempt was made.
    pub created_at: Timestamp,
    /// The inputs of a dispatch.
    pub inputs: BTreeMap<String, String>,
    /// The attempts, the first one first; never empty.
    pub attempts: Vec<Attempt>,
    /// What reviewers decided.
    pub reviews: Vec<Review>,
}

/// What triggers a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A push to main.
    Push,
    /// A person, or a client of the API.
    WorkflowDispatch,
}

/// One attempt of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempt {
    /// Login of whoever started it.
    pub by: String,
    /// When it was made.
    pub started_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// One for each planned job; none where the attempt was cancelled before any started.
    pub jobs: Vec<Job>,
    /// How it ended.
    pub conclusion: Option<Conclusion>,
}

/// One job of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    /// Its id, and its check run's.
    pub id: u64,
    /// Position of its plan in [`Pipeline::jobs`].
    pub plan: usize,
    /// How far it is.
    pub phase: Phase,
    /// When it came up.
    pub created_at: Timestamp,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// When it entered its deploy step.
    pub deploy_step_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Messages of its check run's annotations.
    pub annotations: Vec<String>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What it needs has not finished, so GitHub does not list it.
    Absent,
    /// It waits for a runner.
    Queued,
    /// It waits for a reviewer.
    Waiting,
    /// It runs.
    InProgress,
    /// It ended.
    Done(Conclusion),
}

/// How a job or an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// All went well.
    Success,
    /// Something failed.
    Failure,
    /// Cancelled by a person or a newer run.
    Cancelled,
    /// Ran into its time limit.
    TimedOut,
    /// Never ran.
    Skipped,
    /// The workflow file was broken.
    StartupFailure,
}

/// What a reviewer decided about some environments of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Review {
    /// Approved, or rejected.
    pub approved: bool,
    /// The reviewer's login.
    pub by: String,
    /// The reviewer's comment.
    pub comment: String,
    /// Names of the environments.
    pub environments: Vec<String>,
}

/// A step of a job, as the API lists it.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// Its name.
    pub name: &'static str,
    /// `queued`, `in_progress` or `completed`.
    pub status: &'static str,
    /// How it ended.
    pub conclusion: Option<&'static str>,
}

impl Run {
    /// The newest attempt.
    pub fn latest(&self) -> &Attempt {
        // `start_run` makes the first attempt together with the run.
        self.attempts.last().expect("a run has an attempt")
    }

    /// The newest attempt, to be changed.
    pub fn latest_mut(&mut self) -> &mut Attempt {
        self.attempts.last_mut().expect("a run has an attempt")
    }

    /// Whether the newest attempt still goes on.
    pub fn is_live(&self) -> bool {
        self.latest().conclusion.is_none()
    }

    /// Whether a job is part of this run: Deploy has all of them, Redeploy those that were ticked.
    pub fn selects(&self, plan: &JobPlan) -> bool {
        match self.workflow {
            Workflow::Deploy => true,
            Workflow::Redeploy => self.inputs.get(plan.id).is_some_and(|value| value == "true"),
        }
    }
}

impl Event {
    /// GitHub's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Event::Push => "push",
            Event::WorkflowDispatch => "workflow_dispatch",
        }
    }
}

impl Attempt {
    /// GitHub's word for how far the attempt is.
    pub fn status(&self) -> &'static str {
        let any = |phase: Phase| self.jobs.iter().any(|job| job.phase == phase);
        if self.conclusion.is_some() {
            "completed"
        } else if any(Phase::InProgress) {
            "in_progress"
        } else if any(Phase::Waiting) {
            "waiting"
        } else if self.jobs.iter().any(|job| job.started_at >= Some(self.started_at)) {
            // Jobs kept from the attempt before started earlier.
            "in_progress"
        } else {
            "queued"
        }
    }

    /// Whether any job got as far as running, waiting or ending.
    pub fn has_started(&self) -> bool {
        self.jobs.iter().any(|job| !matches!(job.phase, Phase::Absent | Phase::Queued))
    }

    /// How the attempt ends once all its jobs have; a cancel overrules this.
    pub fn sum_up(&self) -> Conclusion {
        let any = |conclusion| self.jobs.iter().any(|job| job.phase == Phase::Done(conclusion));
        let worst_first = [Conclusion::Failure, Conclusion::TimedOut, Conclusion::Cancelled, Conclusion::Success];
        worst_first.into_iter().find(|conclusion| any(*conclusion)).unwrap_or(Conclusion::Skipped)
    }
}

impl Job {
    /// The job's name in the API: that of the called workflow's job, or the bare caller's if it was skipped.
    pub fn name(&self, pipeline: &Pipeline) -> String {
        let plan = &pipeline.jobs[self.plan];
        match plan.called {
            Some(called) if self.phase != Phase::Done(Conclusion::Skipped) => {
                format!("{} / {called}", plan.name)
            }
            Some(_) | None => plan.name.to_owned(),
        }
    }

    /// Whether GitHub lists it: not before what it needs has finished.
    pub fn is_listed(&self) -> bool {
        self.phase != Phase::Absent
    }

    /// Whether it runs its deploy step right now.
    pub fn is_deploying(&self) -> bool {
        self.phase == Phase::InProgress && self.deploy_step_at.is_some()
    }

    /// The steps, none before it has a runner.
    pub fn steps(&self, plan: &JobPlan) -> Vec<Step> {
        if self.started_at.is_none() {
            return Vec::new();
        }
        let names = plan.steps();
        let (last, deploy) = (names.len() - 1, names.len() - 2);
        let current = if self.deploy_step_at.is_some() { deploy } else { 1 };
        let state = |position: usize| match self.phase {
            Phase::Done(Conclusion::Success) => ("completed", Some("success")),
            Phase::Done(conclusion) if position == current => ("completed", Some(conclusion.step_word())),
            Phase::Done(_) if position < last && position > current => ("completed", Some("skipped")),
            Phase::Done(_) => ("completed", Some("success")),
            Phase::InProgress if position == current => ("in_progress", None),
            Phase::InProgress if position < current => ("completed", Some("success")),
            Phase::Absent | Phase::Queued | Phase::Waiting | Phase::InProgress => ("queued", None),
        };
        let step = |(position, name): (usize, &&'static str)| {
            let (status, conclusion) = state(position);
            Step { name, status, conclusion }
        };
        names.iter().enumerate().map(step).collect()
    }
}

impl Phase {
    /// GitHub's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Absent | Phase::Queued => "queued",
            Phase::Waiting => "waiting",
            Phase::InProgress => "in_progress",
            Phase::Done(_) => "completed",
        }
    }

    /// How it ended, in GitHub's word.
    pub fn conclusion(self) -> Option<&'static str> {
        match self {
            Phase::Done(conclusion) => Some(conclusion.word()),
            Phase::Absent | Phase::Queued | Phase::Waiting | Phase::InProgress => None,
        }
    }
}

impl Conclusion {
    /// GitHub's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Conclusion::Success => "success",
            Conclusion::Failure => "failure",
            Conclusion::Cancelled => "cancelled",
            Conclusion::TimedOut => "timed_out",
            Conclusion::Skipped => "skipped",
            Conclusion::StartupFailure => "startup_failure",
        }
    }

    /// The word for the step in which a job ended like this: GitHub cancels a step that takes too long.
    fn step_word(self) -> &'static str {
        match self {
            Conclusion::TimedOut => "cancelled",
            Conclusion::Success
            | Conclusion::Failure
            | Conclusion::Cancelled
            | Conclusion::Skipped
            | Conclusion::StartupFailure => self.word(),
        }
    }
}

//! What happens by itself as time passes: automatic jobs, and servers whose job is gone.

use jiff::{SignedDuration, Timestamp};

use super::act::Outcome;
use super::run::{Job, Phase};
use super::state::{Repo, State};

const BUILD: SignedDuration = SignedDuration::from_secs(6);
const BEFORE_DEPLOY_STEP: SignedDuration = SignedDuration::from_secs(2);
const DEPLOY: SignedDuration = SignedDuration::from_secs(8);

/// The next thing that happens by itself.
#[derive(Debug)]
pub(crate) struct Due {
    /// When.
    pub at: Timestamp,
    /// In which repository, by position.
    repo: usize,
    what: DueKind,
}

#[derive(Debug)]
enum DueKind {
    /// The servers of an environment finish, by position.
    Servers(usize),
    /// The servers of an environment, by position, have their new settings.
    Settings(usize),
    /// A job gets its runner.
    Start { run: u64, job: String },
    /// A job enters its deploy step.
    DeployStep { run: u64, job: String },
    /// A job succeeds.
    Succeed { run: u64, job: String },
}

impl State {
    /// The earliest thing that will happen by itself.
    pub fn next_due(&self) -> Option<Due> {
        let repos = self.repos.iter().enumerate();
        let all = repos.flat_map(|(position, repo)| {
            repo.due(self.auto_since).into_iter().map(move |(at, what)| Due { at, repo: position, what })
        });
        all.min_by_key(|due| due.at)
    }

    /// Lets everything happen that is due, each thing at its own time.
    pub fn progress(&mut self, now: Timestamp) {
        while let Some(due) = self.next_due().filter(|due| due.at <= now) {
            let repo = &mut self.repos[due.repo];
            // What is due was found in a state that allows it, so these cannot be refused.
            let _ = match due.what {
                DueKind::Servers(environment) => {
                    repo.environments[environment].finish(due.at);
                    Ok(())
                }
                DueKind::Settings(environment) => {
                    repo.environments[environment].configured(due.at);
                    Ok(())
                }
                DueKind::Start { run, job } => repo.start_job(run, &job, due.at),
                DueKind::DeployStep { run, job } => repo.enter_deploy_step(run, &job, due.at),
                DueKind::Succeed { run, job } => repo.finish_job(run, &job, Outcome::Success.into(), due.at),
            };
        }
    }
}

impl Repo {
    fn due(&self, auto_since: Option<Timestamp>) -> Vec<(Timestamp, DueKind)> {
        let servers = self.environments.iter().enumerate();
        let mut due: Vec<_> =
            servers.filter_map(|(position, e)| Some((e.finishes_alone_at()?, DueKind::Servers(position)))).collect();
        let changes = self.environments.iter().enumerate();
        due.extend(changes.filter_map(|(nth, e)| Some((e.settings.change.as_ref()?.until, DueKind::Settings(nth)))));
        let Some(since) = auto_since else { return due };
        for run in self.runs.iter().filter(|run| run.is_live()) {
            due.extend(run.latest().jobs.iter().filter_map(|job| self.job_due(run.id, job, since)));
        }
        due
    }

    fn job_due(&self, run: u64, job: &Job, since: Timestamp) -> Option<(Timestamp, DueKind)> {
        let plan = &self.pipeline.jobs[job.plan];
        let name = plan.name.to_owned();
        let started = job.started_at.map(|at| at.max(since));
        match (job.phase, started) {
            (Phase::Queued, _) => Some((job.created_at.max(since), DueKind::Start { run, job: name })),
            (Phase::InProgress, Some(at)) if plan.target.is_none() => {
                Some((at + BUILD, DueKind::Succeed { run, job: name }))
            }
            (Phase::InProgress, Some(at)) if job.deploy_step_at.is_none() => {
                Some((at + BEFORE_DEPLOY_STEP, DueKind::DeployStep { run, job: name }))
            }
            (Phase::InProgress, Some(at)) => Some((at + DEPLOY, DueKind::Succeed { run, job: name })),
            (Phase::Absent | Phase::Waiting | Phase::InProgress | Phase::Done(_), _) => None,
        }
    }
}

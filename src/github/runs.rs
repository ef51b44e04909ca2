//! Runs, jobs, gates and reviews, as GitHub has them now. Where they come from: `facts/github.md` 4.2, 4.3 and 4.7.

use jiff::Timestamp;
use serde::Deserialize;

use super::edge::{moment, text};
use super::{GitHub, GitHubError, Page, Result, path, segment};
use crate::deploy::event::Look;
use crate::deploy::name::{EnvName, Login, RunId, Sha};
use crate::deploy::pipeline::Pipeline;
use crate::deploy::run::{CancelledBy, Conclusion, Details, Gate, Job, Review, Run, Status, Step, Workflow};

/// How many Deploy runs a look lists.
const DEPLOYS: usize = 50;
/// How many Redeploy runs a look lists.
const REDEPLOYS: usize = 20;
/// How many jobs are asked why a run was cancelled.
const ASKED: usize = 8;
/// GitHub lists at most 256 jobs of a matrix; 50 attempts are allowed.
const MOST_PAGES: usize = 60;

#[derive(Deserialize)]
struct RawRuns {
    workflow_runs: Vec<RawRun>,
}

#[derive(Deserialize)]
struct RawRun {
    id: u64,
    #[serde(default)]
    run_number: u64,
    run_attempt: Option<u32>,
    display_title: Option<String>,
    name: Option<String>,
    path: Option<String>,
    head_sha: String,
    head_branch: Option<String>,
    event: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    actor: Option<RawUser>,
    triggering_actor: Option<RawUser>,
    created_at: Timestamp,
    run_started_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

/// An account; `null` where it was deleted.
#[derive(Deserialize)]
pub(super) struct RawUser {
    pub(super) login: String,
    #[serde(rename = "type", default)]
    pub(super) kind: Option<String>,
}

#[derive(Deserialize)]
struct RawJobs {
    jobs: Vec<RawJob>,
}

impl Page for RawJobs {
    fn len(&self) -> usize {
        self.jobs.len()
    }
}

#[derive(Deserialize)]
struct RawJob {
    id: u64,
    run_attempt: Option<u32>,
    #[serde(default)]
    name: String,
    status: Option<String>,
    conclusion: Option<String>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    #[serde(default)]
    steps: Option<Vec<RawStep>>,
}

#[derive(Deserialize)]
struct RawStep {
    #[serde(default)]
    name: String,
    status: Option<String>,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct RawGate {
    environment: RawEnvironment,
    #[serde(default)]
    current_user_can_approve: bool,
}

#[derive(Deserialize)]
struct RawEnvironment {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct RawReview {
    #[serde(default)]
    state: String,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    environments: Vec<RawEnvironment>,
    user: Option<RawUser>,
}

#[derive(Deserialize)]
struct RawRef {
    object: RawObject,
}

#[derive(Deserialize)]
struct RawObject {
    sha: String,
}

#[derive(Deserialize)]
struct RawAnnotation {
    title: Option<String>,
    message: Option<String>,
}

impl GitHub {
    /// The newest runs of Deploy and Redeploy, on any branch, newest first, and the branch's newest commit.
    pub async fn look(&self, pipeline: &Pipeline) -> Result<Look> {
        let (mut runs, main) = tokio::try_join!(self.newest(pipeline, DEPLOYS, REDEPLOYS), self.head(pipeline))?;
        runs.sort_by_key(|run| std::cmp::Reverse((run.created_at, run.id)));
        Ok(Look { runs, main })
    }

    /// The newest runs of both workflows, in no order.
    pub(super) async fn newest(&self, pipeline: &Pipeline, deploys: usize, redeploys: usize) -> Result<Vec<Run>> {
        let redeploys = async {
            match &pipeline.redeploy {
                Some(redeploy) => match self.list(pipeline, &redeploy.file, Workflow::Redeploy, redeploys).await {
                    // The file was removed since it was read.
                    Err(GitHubError::NotFound) => Ok(Vec::new()),
                    runs => runs,
                },
                None => Ok(Vec::new()),
            }
        };
        let deploys = self.list(pipeline, &pipeline.deploy, Workflow::Deploy, deploys);
        let (mut runs, others) = tokio::try_join!(deploys, redeploys)?;
        runs.extend(others);
        Ok(runs)
    }

    /// The newest runs of one workflow, on any branch.
    pub(super) async fn list(
        &self,
        pipeline: &Pipeline,
        file: &str,
        workflow: Workflow,
        most: usize,
    ) -> Result<Vec<Run>> {
        let (repo, file) = (path(&pipeline.repo), segment(file));
        let runs = format!("/repos/{repo}/actions/workflows/{file}/runs?per_page={most}&exclude_pull_requests=true");
        let runs: RawRuns = self.get(&runs).await?;
        Ok(runs.workflow_runs.into_iter().take(most).map(|run| run.tidy(&pipeline.repo, workflow)).collect())
    }

    async fn head(&self, pipeline: &Pipeline) -> Result<Sha> {
        let (repo, branch) = (path(&pipeline.repo), path(&pipeline.branch));
        let head: RawRef = self.get(&format!("/repos/{repo}/git/ref/heads/{branch}")).await?;
        Ok(Sha::new(text(head.object.sha)))
    }

    /// One run. One that belongs to neither of the pipeline's workflows is `NotFound`.
    pub async fn run(&self, pipeline: &Pipeline, run: RunId) -> Result<Run> {
        let raw: RawRun = self.get(&of_run(pipeline, run, "")).await?;
        let workflow = workflow(pipeline, raw.path.as_deref().unwrap_or_default()).ok_or(GitHubError::NotFound)?;
        Ok(raw.tidy(&pipeline.repo, workflow))
    }

    /// The jobs, gates and reviews of a run that was read a moment ago.
    pub async fn details(&self, pipeline: &Pipeline, run: &Run) -> Result<Details> {
        let (jobs, gates, reviews) =
            tokio::try_join!(self.jobs(pipeline, run.id), self.gates(pipeline, run), self.reviews(pipeline, run.id))?;
        Ok(Details { jobs, gates, reviews })
    }

    async fn jobs(&self, pipeline: &Pipeline, run: RunId) -> Result<Vec<Job>> {
        let pages: Vec<RawJobs> = self.pages(&of_run(pipeline, run, "/jobs?filter=all"), MOST_PAGES).await?;
        Ok(pages.into_iter().flat_map(|page| page.jobs).map(|job| job.tidy(&pipeline.repo, run)).collect())
    }

    /// Where a run waits for approval; nowhere when it is over.
    pub(super) async fn gates(&self, pipeline: &Pipeline, run: &Run) -> Result<Vec<Gate>> {
        if run.is_over() {
            return Ok(Vec::new());
        }
        let gates: Vec<RawGate> = self.get(&of_run(pipeline, run.id, "/pending_deployments")).await?;
        Ok(gates.into_iter().map(RawGate::tidy).collect())
    }

    /// What was answered at a run's gates, on GitHub's page or by this bot.
    pub(super) async fn reviews(&self, pipeline: &Pipeline, run: RunId) -> Result<Vec<Review>> {
        let reviews: Vec<RawReview> = self.get(&of_run(pipeline, run, "/approvals")).await?;
        Ok(reviews.into_iter().filter_map(RawReview::tidy).collect())
    }

    /// What the annotations of a cancelled run's jobs say; the first telling one counts, of at most eight jobs.
    ///
    /// Annotations that the token may not read say nothing: then the core infers from the order of the runs.
    pub async fn why_cancelled(&self, repo: &str, jobs: &[u64]) -> Result<CancelledBy> {
        for job in jobs.iter().take(ASKED) {
            let annotations = format!("/repos/{}/check-runs/{job}/annotations?per_page=50", path(repo));
            let annotations: Vec<RawAnnotation> = match self.get(&annotations).await {
                Err(GitHubError::NotFound | GitHubError::Forbidden(_)) => continue,
                annotations => annotations?,
            };
            let texts = annotations.into_iter().flat_map(|a| [a.message, a.title]).flatten();
            if let Some(said) = texts.map(|text| reason(&text)).find(|said| *said != CancelledBy::Unsaid) {
                return Ok(said);
            }
        }
        Ok(CancelledBy::Unsaid)
    }
}

/// The path of something of a run.
pub(super) fn of_run(pipeline: &Pipeline, run: RunId, what: &str) -> String {
    format!("/repos/{}/actions/runs/{run}{what}", path(&pipeline.repo))
}

/// Which workflow a run's `path` names: `.github/workflows/deploy.yml`, with or without `@<ref>`.
pub(super) fn workflow(pipeline: &Pipeline, path: &str) -> Option<Workflow> {
    let file = path.split('@').next()?.rsplit('/').next()?;
    if file == pipeline.deploy {
        return Some(Workflow::Deploy);
    }
    pipeline.redeploy.as_ref().filter(|redeploy| redeploy.file == file).map(|_| Workflow::Redeploy)
}

/// What one annotation says about a cancelled run (`facts/github.md` 4.7).
fn reason(text: &str) -> CancelledBy {
    let text = text.trim();
    if text.starts_with("Canceling since a higher priority waiting request for") {
        return CancelledBy::Group;
    }
    if let Some(rest) = text.strip_prefix("The run was canceled by @") {
        let login: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_[]".contains(*c)).collect();
        return if login.is_empty() { CancelledBy::Unsaid } else { CancelledBy::Person(Login::new(login)) };
    }
    if text.contains("exceeded the maximum execution time") { CancelledBy::Timeout } else { CancelledBy::Unsaid }
}

fn status(text: Option<&str>) -> Status {
    match text {
        Some("queued" | "requested") => Status::Queued,
        Some("pending") => Status::Pending,
        Some("waiting") => Status::Waiting,
        Some("in_progress") => Status::InProgress,
        Some("completed") => Status::Completed,
        Some(_) | None => Status::Other,
    }
}

fn conclusion(text: Option<&str>) -> Option<Conclusion> {
    Some(match text? {
        "success" => Conclusion::Success,
        "failure" => Conclusion::Failure,
        "cancelled" => Conclusion::Cancelled,
        "skipped" => Conclusion::Skipped,
        "timed_out" => Conclusion::TimedOut,
        "startup_failure" => Conclusion::StartupFailure,
        _ => Conclusion::Other,
    })
}

impl RawUser {
    /// The login; `ghost`, as GitHub's pages say, for an account that is gone.
    fn login(user: Option<Self>) -> Login {
        user.map_or_else(|| Login::from("ghost"), |user| Login::new(text(user.login)))
    }
}

impl RawRun {
    /// `repo` makes the link: addresses are built, never taken from an answer.
    fn tidy(self, repo: &str, workflow: Workflow) -> Run {
        let actor = RawUser::login(self.actor);
        let created_at = moment(self.created_at);
        let started_at = self.run_started_at.map_or(created_at, moment);
        Run {
            id: RunId(self.id),
            number: self.run_number,
            workflow,
            title: text(self.display_title.or(self.name).unwrap_or_default()),
            url: format!("https://github.com/{repo}/actions/runs/{}", self.id),
            sha: Sha::new(text(self.head_sha)),
            branch: text(self.head_branch.unwrap_or_default()),
            event: text(self.event.unwrap_or_default()),
            attempt: self.run_attempt.unwrap_or(1),
            status: status(self.status.as_deref()),
            conclusion: conclusion(self.conclusion.as_deref()),
            triggered_by: self.triggering_actor.map_or_else(|| actor.clone(), |user| RawUser::login(Some(user))),
            actor,
            created_at,
            started_at,
            updated_at: self.updated_at.map_or(started_at, moment),
        }
    }
}

impl RawJob {
    fn tidy(self, repo: &str, run: RunId) -> Job {
        Job {
            id: self.id,
            attempt: self.run_attempt.unwrap_or(1),
            name: text(self.name),
            url: Some(format!("https://github.com/{repo}/actions/runs/{run}/job/{}", self.id)),
            status: status(self.status.as_deref()),
            conclusion: conclusion(self.conclusion.as_deref()),
            started_at: self.started_at.map(moment),
            completed_at: self.completed_at.map(moment),
            steps: self.steps.unwrap_or_default().into_iter().map(RawStep::tidy).collect(),
        }
    }
}

impl RawStep {
    fn tidy(self) -> Step {
        Step {
            name: text(self.name),
            status: status(self.status.as_deref()),
            conclusion: conclusion(self.conclusion.as_deref()),
        }
    }
}

impl RawGate {
    fn tidy(self) -> Gate {
        Gate {
            environment_id: self.environment.id,
            environment: EnvName::new(text(self.environment.name)),
            can_approve: self.current_user_can_approve,
        }
    }
}

impl RawReview {
    /// Only what was decided: `pending` is no answer.
    fn tidy(self) -> Option<Review> {
        let approved = match self.state.as_str() {
            "approved" => true,
            "rejected" => false,
            _ => return None,
        };
        Some(Review {
            approved,
            by: RawUser::login(self.user),
            comment: text(self.comment.unwrap_or_default()),
            environments: self.environments.into_iter().map(|e| EnvName::new(text(e.name))).collect(),
        })
    }
}

#[cfg(test)]
mod tests;

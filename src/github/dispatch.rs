//! Starting workflows. A dispatch must not be repeated: the second would cancel the first (`facts/github.md` 2). So it is sent once,
//! only while nothing else is in the way than what may be cancelled; after an unclear answer its run is looked for, and never is
//! anything sent again.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::error::too_slow;
use super::{GitHub, GitHubError, Result, parse, path, segment};
use crate::deploy::dispatch::{Order, inputs};
use crate::deploy::event::Outcome;
use crate::deploy::name::RunId;
use crate::deploy::pipeline::Pipeline;
use crate::deploy::run::Workflow;

/// Runs of each workflow that are looked through.
const NEWEST: usize = 30;

/// What `return_run_details` adds.
#[derive(Deserialize)]
struct RawStarted {
    workflow_run_id: u64,
}

impl GitHub {
    /// Starts a workflow, unless another run than `order.cancels` goes on.
    ///
    /// `Started`, `InTheWay` and `Refused` are certain; `Lost`: the answer was unclear and no run appeared. An error means that nobody
    /// knows: call [`GitHub::find_started`] later, never this again.
    pub async fn start(&self, pipeline: &Pipeline, order: &mut Order) -> Result<Outcome> {
        let runs = match self.newest(pipeline, NEWEST, NEWEST).await {
            Ok(runs) => runs,
            Err(error) => return Ok(Outcome::Refused(because(&error))),
        };
        let going = runs.into_iter().filter(|run| !run.is_over()).max_by_key(|run| (run.started_at, run.id));
        if let Some(run) = going.filter(|run| Some(run.id) != order.cancels) {
            return Ok(Outcome::InTheWay(Box::new(run)));
        }
        match self.send(pipeline, order).await {
            Ok(Some(run)) => Ok(Outcome::Started { run, found: false }),
            Ok(None) | Err(GitHubError::Unreachable(_) | GitHubError::Odd(_)) => {
                self.find_started(pipeline, order).await
            }
            Err(
                error @ (GitHubError::NotFound
                | GitHubError::Forbidden(_)
                | GitHubError::Unprocessable(_)
                | GitHubError::RateLimited { .. }
                | GitHubError::Unauthorized),
            ) => Ok(Outcome::Refused(because(&error))),
        }
    }

    /// The run that GitHub says it started; `None` where it took the dispatch and does not say (older servers).
    async fn send(&self, pipeline: &Pipeline, order: &Order) -> Result<Option<RunId>> {
        let workflow = format!("/repos/{}/actions/workflows/{}", path(&pipeline.repo), segment(file(pipeline, order)?));
        let mut body = json!({ "ref": pipeline.branch, "return_run_details": true });
        if order.workflow == Workflow::Redeploy {
            body["inputs"] = json!(inputs(pipeline, &order.environments));
        }
        let answer = self.write(&format!("{workflow}/dispatches"), &body).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        Ok(Some(RunId(parse::<RawStarted>(&answer)?.workflow_run_id)))
    }

    /// Looks for the run of an order that may have been sent, over some ten seconds.
    pub async fn find_started(&self, pipeline: &Pipeline, order: &mut Order) -> Result<Outcome> {
        let limit: Duration = self.shared.patience.review;
        let look = self.find_at_leisure(pipeline, order);
        tokio::time::timeout(limit, look).await.unwrap_or_else(|_| Err(too_slow(limit)))
    }

    async fn find_at_leisure(&self, pipeline: &Pipeline, order: &mut Order) -> Result<Outcome> {
        let account = self.whoami().await?;
        order.account = Some(account.clone());
        let file = file(pipeline, order)?;
        for nth in 0..=self.shared.patience.look_again {
            if nth > 0 {
                tokio::time::sleep(self.shared.patience.between_looks).await;
            }
            let runs = self.list(pipeline, file, order.workflow, NEWEST).await?;
            let ours = runs.iter().filter(|run| order.may_be(run, &account)).map(|run| run.id).min();
            if let Some(run) = ours {
                return Ok(Outcome::Started { run, found: true });
            }
        }
        Ok(Outcome::Lost)
    }
}

fn file<'a>(pipeline: &'a Pipeline, order: &Order) -> Result<&'a str> {
    match (order.workflow, &pipeline.redeploy) {
        (Workflow::Deploy, _) => Ok(&pipeline.deploy),
        (Workflow::Redeploy, Some(redeploy)) => Ok(&redeploy.file),
        (Workflow::Redeploy, None) => Err(GitHubError::NotFound),
    }
}

/// Why nothing was started, for people.
fn because(error: &GitHubError) -> String {
    match error {
        GitHubError::NotFound => "GitHub does not show this workflow to Lockkeeper’s account".to_owned(),
        GitHubError::Forbidden(words) | GitHubError::Unprocessable(words) => format!("GitHub says “{words}”"),
        GitHubError::RateLimited { .. } => "GitHub’s limit for requests is reached for now".to_owned(),
        GitHubError::Unauthorized => "GitHub does not accept Lockkeeper’s token".to_owned(),
        GitHubError::Unreachable(_) | GitHubError::Odd(_) => "GitHub does not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests;

//! Running failed jobs again and cancelling runs, each sent once, and what GitHub says about a job that failed.
//!
//! Neither POST is ever repeated. A re-run is known by the attempt that it makes, a cancel by the run's end: after an answer that
//! is lost those are looked for, and so they are where an earlier try may have been sent.

use serde::Deserialize;

use super::error::too_slow;
use super::runs::of_run;
use super::{GitHub, GitHubError, Result, path};
use crate::deploy::event::Outcome;
use crate::deploy::mend::{Means, Repair};
use crate::deploy::pipeline::Pipeline;
use crate::deploy::run::{Conclusion, Run, Workflow};

/// Runs of each workflow that are looked through for one that is in the way.
const NEWEST: usize = 30;
/// Annotations of a job that are looked through.
const READ: usize = 50;

/// Characters of each.
const LENGTH: usize = 1_000;

/// Nobody knows yet.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub error: GitHubError,
    /// Whether it may have been sent: then it must not be sent again.
    pub sent: bool,
}

#[derive(Deserialize)]
struct RawAnnotation {
    title: Option<String>,
    message: Option<String>,
}

impl GitHub {
    /// Runs the failed jobs of an attempt again, or cancels it, if the run is still at that attempt and, to be run again, nothing
    /// newer is in the way. With `sent_before` nothing is sent: what became of it is looked for.
    ///
    /// `Done`: GitHub took it. `NotDone`: it did not, with the run as it is. `Failed`: it was sent, and GitHub never told. An error
    /// means: call it again later, with what it says about having been sent. Takes at most 45 seconds.
    pub async fn mend(
        &self,
        pipeline: &Pipeline,
        repair: &Repair,
        sent_before: bool,
    ) -> std::result::Result<Outcome, Unanswered> {
        let limit = self.shared.patience.review;
        let mending = self.mend_at_leisure(pipeline, repair, sent_before);
        let late = |_| Err(Unanswered { error: too_slow(limit), sent: true });
        tokio::time::timeout(limit, mending).await.unwrap_or_else(late)
    }

    async fn mend_at_leisure(
        &self,
        pipeline: &Pipeline,
        repair: &Repair,
        sent_before: bool,
    ) -> std::result::Result<Outcome, Unanswered> {
        let sent = |error| Unanswered { error, sent: true };
        if sent_before {
            return self.find_out(pipeline, repair, "no trace of it").await.map_err(sent);
        }
        let unsent = |error| Unanswered { error, sent: false };
        if let Some(hindrance) = self.hindrance(pipeline, repair).await.map_err(unsent)? {
            return Ok(hindrance);
        }
        let what = match repair.what {
            Means::Rerun => "/rerun-failed-jobs",
            Means::Cancel => "/cancel",
        };
        match self.write(&of_run(pipeline, repair.run, what), None).await {
            Ok(_) => Ok(Outcome::Done),
            // Understood and not done: nothing was changed, and asking again changes nothing either.
            Err(error @ GitHubError::RateLimited { .. }) => Err(unsent(error)),
            Err(
                error @ (GitHubError::Forbidden(_)
                | GitHubError::Unprocessable(_)
                | GitHubError::NotFound
                | GitHubError::Unauthorized),
            ) => match self.run(pipeline, repair.run).await {
                Ok(run) => Ok(not_done(run, &error.to_string())),
                Err(_) => Ok(Outcome::Failed(error.to_string())),
            },
            Err(error @ (GitHubError::Unreachable(_) | GitHubError::Odd(_))) => {
                self.find_out(pipeline, repair, &error.to_string()).await.map_err(sent)
            }
        }
    }

    /// What keeps it from being sent, read just before.
    async fn hindrance(&self, pipeline: &Pipeline, repair: &Repair) -> Result<Option<Outcome>> {
        let run = self.run(pipeline, repair.run).await?;
        if run.attempt != repair.attempt {
            return Ok(Some(not_done(run, "it is at another attempt")));
        }
        Ok(match repair.what {
            Means::Cancel if run.is_over() => Some(not_done(run, "it is over")),
            Means::Cancel => None,
            Means::Rerun if !run.is_over() => Some(not_done(run, "it is not over")),
            Means::Rerun => {
                let runs = self.newest(pipeline, NEWEST, NEWEST).await?;
                let later = |other: &Run| (other.started_at, other.id) > (run.started_at, run.id);
                // Of another workflow only what goes on is in the way of a Deploy; a redeploy has had its time when anything followed.
                let newer = |other: &Run| {
                    later(other) && (run.workflow == Workflow::Redeploy || other.workflow == Workflow::Deploy)
                };
                let in_the_way = runs.iter().any(|other| other.id != run.id && (newer(other) || !other.is_over()));
                in_the_way.then(|| not_done(run, "a newer run is in the way"))
            }
        })
    }

    /// What became of something that may have been sent; GitHub may have it still in hand, so it is looked for over some ten seconds.
    async fn find_out(&self, pipeline: &Pipeline, repair: &Repair, why: &str) -> Result<Outcome> {
        let mut run = self.run(pipeline, repair.run).await;
        for _ in 0..self.shared.patience.look_again {
            if run.as_ref().is_ok_and(|run| shows(run, repair)) {
                break;
            }
            tokio::time::sleep(self.shared.patience.between_looks).await;
            run = self.run(pipeline, repair.run).await;
        }
        let run = run?;
        if shows(&run, repair) {
            return Ok(Outcome::Done);
        }
        Ok(match repair.what {
            // A cancel may take minutes to show.
            Means::Cancel if run.attempt == repair.attempt && !run.is_over() => Outcome::Failed(why.to_owned()),
            Means::Cancel | Means::Rerun => not_done(run, why),
        })
    }

    /// What the check of a failed job says. What cannot be read says nothing; only a limit makes it an error.
    pub async fn symptoms(&self, repo: &str, job: u64) -> Result<Vec<String>> {
        let annotations = format!("/repos/{}/check-runs/{job}/annotations?per_page={READ}", path(repo));
        let annotations: Vec<RawAnnotation> = match self.get(&annotations).await {
            Err(error @ GitHubError::RateLimited { .. }) => return Err(error),
            Err(_) => return Ok(Vec::new()),
            Ok(annotations) => annotations,
        };
        Ok(annotations
            .into_iter()
            .flat_map(|a| [a.message, a.title])
            .flatten()
            .map(|text| text.chars().take(LENGTH).collect())
            .collect())
    }
}

/// Whether the run shows that it was done.
fn shows(run: &Run, repair: &Repair) -> bool {
    match repair.what {
        Means::Rerun => run.attempt > repair.attempt,
        Means::Cancel => {
            run.attempt == repair.attempt && run.is_over() && run.conclusion == Some(Conclusion::Cancelled)
        }
    }
}

fn not_done(run: Run, why: &str) -> Outcome {
    Outcome::NotDone { run: Box::new(run), why: why.to_owned() }
}

#[cfg(test)]
mod tests;

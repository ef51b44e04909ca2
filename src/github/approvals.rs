//! Approving and rejecting, and the fresh facts that are looked at before either is granted.
//!
//! Why [`GitHub::review`] may be repeated although its POST must not: a gate can be answered only once, and the guard reads
//! the run and its gates again immediately before each POST. If an earlier try got through unnoticed, the gates are no
//! longer pending and GitHub's own history holds our comment, so the answer is *done* and nothing is sent. If it did not get
//! through, the gates still wait and the one POST of this try is the first that counts. In between, a person on GitHub's
//! page may have been faster, or the run may be another one by now: then nothing is sent either, and what is true is told.
//! What remains open is the moment between the last read and the POST; there GitHub itself refuses (422) what no longer
//! waits, and answers for a run id, so that it can never hit another run.

use serde::Deserialize;

use super::error::too_slow;
use super::runs::of_run;
use super::{GitHub, GitHubError, Result, parse};
use crate::deploy::change::Range;
use crate::deploy::effect::Verdict;
use crate::deploy::event::{Outcome, RunFacts};
use crate::deploy::name::{EnvName, RunId, Sha};
use crate::deploy::pipeline::Pipeline;
use crate::deploy::run::{Gate, Review, Run, Workflow};

/// Runs of each workflow that are looked through for a newer one: a re-run may stand far down the list.
const NEWEST: usize = 30;
/// Characters of a comment.
const COMMENT: usize = 1_000;

/// A deployment that GitHub let go, or stopped.
#[derive(Deserialize)]
struct RawDeployment {
    #[serde(rename = "environment")]
    _environment: String,
}

/// What is true about a run that was to be approved or rejected.
struct Truth {
    run: Run,
    gates: Vec<Gate>,
    reviews: Vec<Review>,
}

impl GitHub {
    /// Approves (or rejects) the gates of a verdict, if the run is still what the verdict says and, to be approved, still
    /// the newest of its concurrency group.
    ///
    /// `Done`: GitHub took it, now or at an earlier try. `NotPending`: nothing was taken, with what is true instead.
    /// `Failed`: GitHub refused for good. An error means that nobody knows: call it again later, that is safe. It takes at
    /// most 45 seconds.
    pub async fn review(&self, pipeline: &Pipeline, verdict: &Verdict, approve: bool) -> Result<Outcome> {
        let limit = self.shared.patience.review;
        let review = self.review_at_leisure(pipeline, verdict, approve);
        tokio::time::timeout(limit, review).await.unwrap_or_else(|_| Err(too_slow(limit)))
    }

    async fn review_at_leisure(&self, pipeline: &Pipeline, verdict: &Verdict, approve: bool) -> Result<Outcome> {
        let truth = self.truth(pipeline, verdict.run).await?;
        if truth.shows(verdict, approve) {
            return Ok(Outcome::Done);
        }
        if !truth.awaits(verdict) || (approve && self.is_overtaken(pipeline, &truth.run).await?) {
            return Ok(truth.not_pending());
        }
        let Err(error) = self.answer_gates(pipeline, verdict, approve).await else { return Ok(Outcome::Done) };
        self.read_back(pipeline, verdict, approve, error).await
    }

    async fn answer_gates(&self, pipeline: &Pipeline, verdict: &Verdict, approve: bool) -> Result<()> {
        let ids: Vec<u64> = verdict.gates.iter().map(|(id, _)| *id).collect();
        let body = serde_json::json!({
            "environment_ids": ids,
            "state": if approve { "approved" } else { "rejected" },
            "comment": comment(verdict),
        });
        let answer = self.write(&of_run(pipeline, verdict.run, "/pending_deployments"), &body).await?;
        // octocrab follows redirects and turns a POST into a GET on the way, which would answer with the gates: only
        // deployments count as taken, anything else is odd and looked into.
        parse::<Vec<RawDeployment>>(&answer).map(|_| ())
    }

    /// After an error: what became of the POST? An uncertain one is looked for over some ten seconds, since GitHub may have
    /// it still in hand; a refused one once.
    async fn read_back(
        &self,
        pipeline: &Pipeline,
        verdict: &Verdict,
        approve: bool,
        error: GitHubError,
    ) -> Result<Outcome> {
        let refused = match &error {
            GitHubError::RateLimited { .. } => return Err(error),
            GitHubError::Unreachable(_) | GitHubError::Odd(_) => false,
            GitHubError::NotFound
            | GitHubError::Forbidden(_)
            | GitHubError::Unprocessable(_)
            | GitHubError::Unauthorized => true,
        };
        let mut truth = self.truth(pipeline, verdict.run).await;
        let looks = if refused { 0 } else { self.shared.patience.look_again };
        for _ in 0..looks {
            if truth.as_ref().is_ok_and(|truth| truth.shows(verdict, approve)) {
                break;
            }
            tokio::time::sleep(self.shared.patience.between_looks).await;
            truth = self.truth(pipeline, verdict.run).await;
        }
        let truth = truth?;
        if truth.shows(verdict, approve) {
            return Ok(Outcome::Done);
        }
        // Still waiting after a plain refusal: not overtaken by anybody, simply not allowed.
        if refused && truth.awaits(verdict) {
            return Ok(Outcome::Failed(error.to_string()));
        }
        Ok(truth.not_pending())
    }

    async fn truth(&self, pipeline: &Pipeline, id: RunId) -> Result<Truth> {
        let run = self.run(pipeline, id).await?;
        let (gates, reviews) = tokio::try_join!(self.gates(pipeline, &run), self.reviews(pipeline, id))?;
        Ok(Truth { run, gates, reviews })
    }

    /// Whether any run of either workflow started later: it has taken the run's place or is about to.
    async fn is_overtaken(&self, pipeline: &Pipeline, run: &Run) -> Result<bool> {
        let runs = self.newest(pipeline, NEWEST, NEWEST).await?;
        Ok(runs.iter().any(|other| (other.started_at, other.id) > (run.started_at, run.id)))
    }

    /// The newest Deploy run on any branch, the run asked about (`shown`, else the newest), its gates, and how its commit
    /// stands to each deployed one. `None` where Deploy never ran.
    ///
    /// A deployed commit that GitHub no longer knows has no entry in `ranges`. `NotFound`: there is no such run.
    pub async fn facts(
        &self,
        pipeline: &Pipeline,
        shown: Option<RunId>,
        deployed: &[(EnvName, Sha)],
    ) -> Result<Option<RunFacts>> {
        let runs = self.list(pipeline, &pipeline.deploy, Workflow::Deploy, NEWEST).await?;
        let Some(newest) = runs.into_iter().max_by_key(|run| (run.started_at, run.id)) else { return Ok(None) };
        let run = match shown {
            Some(id) if id != newest.id => self.run(pipeline, id).await?,
            Some(_) | None => newest.clone(),
        };
        let (gates, ranges) = tokio::try_join!(self.gates(pipeline, &run), self.ranges(pipeline, deployed, &run.sha))?;
        Ok(Some(RunFacts { newest, run, gates, ranges }))
    }

    /// Each commit is compared once, however many environments have it.
    async fn ranges(
        &self,
        pipeline: &Pipeline,
        deployed: &[(EnvName, Sha)],
        head: &Sha,
    ) -> Result<Vec<(EnvName, Sha, Range)>> {
        let mut ranges: Vec<(EnvName, Sha, Range)> = Vec::new();
        for (environment, base) in deployed {
            let known = ranges.iter().find(|(_, sha, _)| sha == base).map(|(_, _, range)| range.clone());
            let range = match known {
                Some(range) => Some(range),
                None => self.range(pipeline, base, head).await?,
            };
            ranges.extend(range.map(|range| (environment.clone(), base.clone(), range)));
        }
        Ok(ranges)
    }
}

impl Truth {
    /// Whether the run is the one that the verdict is about, and waits at every gate of it.
    fn awaits(&self, verdict: &Verdict) -> bool {
        let same = self.run.attempt == verdict.attempt && self.run.sha == verdict.sha && !self.run.is_over();
        let waits = |id: u64| self.gates.iter().any(|gate| gate.environment_id == id);
        same && !verdict.gates.is_empty() && verdict.gates.iter().all(|(id, _)| waits(*id))
    }

    /// Whether the verdict was carried out: no gate of it waits, and an answer with our very comment names each.
    ///
    /// The comment tells our own answer from that of somebody who was faster: it names the person who asked.
    fn shows(&self, verdict: &Verdict, approve: bool) -> bool {
        let comment = comment(verdict);
        let ours = |review: &&Review| review.approved == approve && review.comment.trim() == comment.trim();
        let answered = |name: &EnvName| self.reviews.iter().filter(ours).any(|r| r.environments.contains(name));
        let waits = |id: u64| self.gates.iter().any(|gate| gate.environment_id == id);
        self.run.attempt == verdict.attempt
            && !verdict.gates.is_empty()
            && verdict.gates.iter().all(|(id, name)| !waits(*id) && answered(name))
    }

    fn not_pending(self) -> Outcome {
        Outcome::NotPending { gates: self.gates, run: Box::new(self.run), reviews: self.reviews }
    }
}

/// GitHub wants a comment, and a short one.
fn comment(verdict: &Verdict) -> String {
    verdict.comment.chars().take(COMMENT).collect()
}

#[cfg(test)]
mod tests;

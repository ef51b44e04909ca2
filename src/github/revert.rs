//! Reverting a pull request: the only way there is, GraphQL's `revertPullRequest` (`facts/github.md` 4.10), and the reviews that
//! are asked for.
//!
//! The mutation is sent once. Before it is sent, and after an unclear answer, a pull request that reverts the same one is looked for: an
//! open one, or one that was opened since somebody asked, also if it is merged by now. Whoever opened it, there is no need for a second.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::changes::{PrState, of_pr};
use super::{GitHub, GitHubError, PER_PAGE, Result, path};
use crate::deploy::name::{Login, PrNumber};
use crate::deploy::pipeline::Pipeline;
use crate::deploy::revert::{Fix, Reverted, Reverting, Stands, Suspect};

/// GitHub's clock is not ours.
const CLOCKS: SignedDuration = SignedDuration::from_mins(2);
/// Pages of pull requests that are looked through, newest first.
const MOST_PAGES: usize = 5;

// Simple fields only: the payload's types broke other clients (`facts/github.md` 4.10).
const REVERT: &str = "mutation($input:RevertPullRequestInput!){ revertPullRequest(input:$input){ \
                      revertPullRequest{ number url } } }";

#[derive(Deserialize)]
struct RawListed {
    number: PrNumber,
    state: String,
    created_at: Timestamp,
    merged_at: Option<Timestamp>,
    #[serde(default)]
    body: Option<String>,
    head: RawHead,
}

#[derive(Deserialize)]
struct RawHead {
    #[serde(rename = "ref", default)]
    branch: String,
}

#[derive(Deserialize)]
struct RawNode {
    node_id: String,
    #[serde(default)]
    requested_reviewers: Vec<super::runs::RawUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRevert {
    revert_pull_request: RawPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPayload {
    revert_pull_request: RawFix,
}

#[derive(Deserialize)]
struct RawFix {
    number: PrNumber,
}

impl GitHub {
    /// The pull request that is to be reverted, whether one is open that does it, and how the one stands that is known to
    /// have been opened for it; `None` where there is none of that number.
    pub async fn suspect(
        &self,
        pipeline: &Pipeline,
        number: PrNumber,
        known: Option<PrNumber>,
    ) -> Result<Option<Suspect>> {
        let Some(pr) = self.pull_request(&pipeline.repo, number).await? else { return Ok(None) };
        let (merged_by, commit) = match pr.state {
            PrState::Merged { by, commit, .. } => (by, commit),
            PrState::Open | PrState::Closed => (None, None),
        };
        let merged = merged_by.is_some() || commit.is_some();
        let reverted_by = if merged { self.open_revert(pipeline, number).await? } else { None };
        let followed = match known {
            Some(fix) => Some((fix, self.stands(pipeline, fix).await?)),
            None => None,
        };
        Ok(Some(Suspect {
            number,
            title: pr.title,
            url: pr.url,
            author: pr.author.filter(|_| !pr.author_is_bot),
            merged_by: merged_by.filter(|by| !by.as_str().ends_with("[bot]")),
            commit,
            base: pr.base,
            reverted_by,
            followed,
        }))
    }

    async fn stands(&self, pipeline: &Pipeline, fix: PrNumber) -> Result<Stands> {
        Ok(match self.pull_request(&pipeline.repo, fix).await?.map(|pr| pr.state) {
            Some(PrState::Open) => Stands::Open,
            Some(PrState::Merged { .. }) => Stands::Merged,
            Some(PrState::Closed) | None => Stands::Closed,
        })
    }

    /// Opens the pull request that reverts another one, and asks for its review. `uncertain`: an earlier try may have opened
    /// it, so it is looked for and nothing is sent.
    ///
    /// # Errors
    /// When nothing was sent. Once something was, what became of it is an answer of its own.
    pub async fn revert(&self, pipeline: &Pipeline, reverting: &Reverting, uncertain: bool) -> Result<Reverted> {
        let number = reverting.pr;
        let found = match uncertain {
            true => self.look_for_revert(pipeline, reverting).await?,
            false => match self.open_revert(pipeline, number).await? {
                Some(fix) => Some(fix),
                None => self.revert_since(pipeline, reverting).await?,
            },
        };
        if let Some(fix) = found {
            return Ok(self.opened(pipeline, reverting, fix).await);
        }
        if uncertain {
            return Ok(Reverted::Lost);
        }
        let node: RawNode = self.get(&of_pr(&pipeline.repo, number)).await?;
        let fix = match self.send_revert(pipeline, reverting, &node.node_id).await {
            Ok(fix) => fix,
            Err(GitHubError::Unprocessable(said)) => return Ok(Reverted::Conflict(said)),
            Err(GitHubError::Forbidden(said)) => return Ok(Reverted::Forbidden(said)),
            Err(GitHubError::NotFound) => return Ok(Reverted::Forbidden("not found".to_owned())),
            Err(error @ (GitHubError::RateLimited { .. } | GitHubError::Unauthorized)) => return Err(error),
            Err(GitHubError::Unreachable(_) | GitHubError::Odd(_)) => {
                match self.look_for_revert(pipeline, reverting).await {
                    Ok(Some(fix)) => fix,
                    Ok(None) | Err(_) => return Ok(Reverted::Lost),
                }
            }
        };
        Ok(self.opened(pipeline, reverting, fix).await)
    }

    async fn send_revert(&self, pipeline: &Pipeline, reverting: &Reverting, node: &str) -> Result<Fix> {
        let input = json!({ "pullRequestId": node, "body": reverting.body });
        let body = json!({ "query": REVERT, "variables": { "input": input } });
        let raw: RawRevert = self.graphql_data(&self.write("/graphql", &body).await?)?;
        Ok(fix(pipeline, raw.revert_pull_request.revert_pull_request.number))
    }

    /// Looks over some ten seconds: GitHub may have it still in hand.
    async fn look_for_revert(&self, pipeline: &Pipeline, reverting: &Reverting) -> Result<Option<Fix>> {
        let mut found = self.revert_since(pipeline, reverting).await;
        for _ in 0..self.shared.patience.look_again {
            if matches!(found, Ok(Some(_))) {
                break;
            }
            tokio::time::sleep(self.shared.patience.between_looks).await;
            found = self.revert_since(pipeline, reverting).await;
        }
        found
    }

    /// An open pull request that reverts this one.
    async fn open_revert(&self, pipeline: &Pipeline, number: PrNumber) -> Result<Option<Fix>> {
        self.find_revert(pipeline, number, "open", Timestamp::MIN).await
    }

    /// One that was opened since somebody asked, and is open or merged.
    async fn revert_since(&self, pipeline: &Pipeline, reverting: &Reverting) -> Result<Option<Fix>> {
        let asked = reverting.request.reply.at;
        let since = asked.checked_sub(CLOCKS).unwrap_or(asked);
        self.find_revert(pipeline, reverting.pr, "all", since).await
    }

    /// By the name that GitHub gives its branch, or because it says so.
    async fn find_revert(
        &self,
        pipeline: &Pipeline,
        number: PrNumber,
        state: &str,
        since: Timestamp,
    ) -> Result<Option<Fix>> {
        let repo = path(&pipeline.repo);
        for page in 1..=MOST_PAGES {
            let list = format!(
                "/repos/{repo}/pulls?state={state}&sort=created&direction=desc&per_page={PER_PAGE}&page={page}"
            );
            let listed: Vec<RawListed> = self.get(&list).await?;
            let mut young = listed.iter().take_while(|pr| pr.created_at >= since);
            if let Some(pr) = young.find(|pr| pr.stands() && pr.reverts(&pipeline.repo, number)) {
                return Ok(Some(fix(pipeline, pr.number)));
            }
            if listed.len() < PER_PAGE || listed.iter().any(|pr| pr.created_at < since) {
                break;
            }
        }
        Ok(None)
    }

    /// Asks for the reviews, unless somebody is asked already; who cannot be asked is left out.
    async fn opened(&self, pipeline: &Pipeline, reverting: &Reverting, fix: Fix) -> Reverted {
        let at = of_pr(&pipeline.repo, fix.number);
        let known: Vec<Login> = match self.get::<RawNode>(&at).await {
            Ok(pr) => pr.requested_reviewers.into_iter().map(|user| Login::new(user.login)).collect(),
            Err(_) => Vec::new(),
        };
        if !known.is_empty() {
            return Reverted::Opened { fix, asked: known };
        }
        let mut asked = Vec::new();
        for login in &reverting.reviewers {
            // One by one: GitHub refuses all of a list for one who has left.
            let body = json!({ "reviewers": [login.as_str()] });
            match self.write(&format!("{at}/requested_reviewers"), &body).await {
                Ok(_) => asked.push(login.clone()),
                Err(error) => tracing::warn!(pr = fix.number, "could not ask for a review: {error}"),
            }
        }
        Reverted::Opened { fix, asked }
    }
}

impl RawListed {
    /// Not closed without being merged.
    fn stands(&self) -> bool {
        self.state == "open" || self.merged_at.is_some()
    }

    fn reverts(&self, repo: &str, number: PrNumber) -> bool {
        let named = self.head.branch.strip_prefix(&format!("revert-{number}"));
        let body = self.body.as_deref().unwrap_or_default();
        let says = |what: &str| {
            let after = body.split_once(what).map(|(_, after)| after);
            after.is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_digit()))
        };
        named.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            || says(&format!("Reverts {repo}#{number}"))
            || says(&format!("Reverts #{number}"))
    }
}

fn fix(pipeline: &Pipeline, number: PrNumber) -> Fix {
    Fix { number, url: format!("https://github.com/{}/pull/{number}", pipeline.repo) }
}

#[cfg(test)]
mod tests;

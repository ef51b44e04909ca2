//! Open pull requests with the variables that they require, and the commit status that says whether those are there.

use serde::Deserialize;
use serde_json::json;

use super::edge::text;
use super::{GitHub, Result, path};
use crate::deploy::name::Sha;
use crate::deploy::pipeline::Pipeline;
use crate::deploy::variable::{Mark, Proposal, required};

/// Pages of open pull requests, 100 each.
const MOST_PAGES: usize = 10;
/// The name under which the status stands.
const CONTEXT: &str = "lockkeeper/required-variables";

#[derive(Deserialize)]
struct RawProposal {
    number: u64,
    #[serde(default)]
    title: String,
    body: Option<String>,
    head: RawHead,
}

#[derive(Deserialize)]
struct RawHead {
    sha: String,
}

impl GitHub {
    /// The open pull requests of a repo.
    pub async fn proposals(&self, pipeline: &Pipeline) -> Result<Vec<Proposal>> {
        let list = format!("/repos/{}/pulls?state=open", path(&pipeline.repo));
        let pages: Vec<Vec<RawProposal>> = self.pages(&list, MOST_PAGES).await?;
        let proposal = |raw: RawProposal| Proposal {
            pr: raw.number,
            title: text(raw.title),
            sha: Sha::new(raw.head.sha),
            requires: required(raw.body.as_deref().unwrap_or_default()),
        };
        Ok(pages.into_iter().flatten().map(proposal).collect())
    }

    /// Gives a commit its status. The newest one counts, so it may be given again.
    pub async fn mark(&self, repo: &str, mark: &Mark) -> Result<()> {
        let state = match mark.met {
            Some(true) => "success",
            Some(false) => "failure",
            None => "pending",
        };
        let body = json!({ "state": state, "description": mark.description, "context": CONTEXT });
        self.write(&format!("/repos/{}/statuses/{}", path(repo), path(mark.sha.as_str())), &body).await.map(drop)
    }
}

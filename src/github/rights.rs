//! Who the token is, what it may see, who is in a team, and who has to approve: what `check` shows and what rights
//! depend on.

use serde::Deserialize;

use super::edge::text;
use super::runs::RawUser;
use super::{GitHub, GitHubError, Page, Result, path, segment};
use crate::deploy::name::{EnvName, Login};

/// Pages of environments.
const MOST_PAGES: usize = 10;

/// An environment's settings at GitHub.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentSettings {
    /// As GitHub spells it.
    pub name: EnvName,
    /// Its id at GitHub.
    pub id: u64,
    /// Who may approve, one of them is enough; `None` where nobody has to.
    pub reviewers: Option<Vec<Reviewer>>,
    /// Whether whoever caused a deployment may not approve it.
    pub prevent_self_review: bool,
}

/// Somebody who may approve at GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reviewer {
    /// A person, or a machine's account.
    User(Login),
    /// A team of the repo's organisation, by its slug.
    Team(String),
}

#[derive(Deserialize)]
struct RawEnvironments {
    #[serde(default)]
    environments: Vec<RawEnvironment>,
}

impl Page for RawEnvironments {
    fn len(&self) -> usize {
        self.environments.len()
    }
}

#[derive(Deserialize)]
struct RawEnvironment {
    id: u64,
    name: String,
    #[serde(default)]
    protection_rules: Vec<RawRule>,
}

#[derive(Deserialize)]
struct RawRule {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    prevent_self_review: bool,
    #[serde(default)]
    reviewers: Vec<RawReviewer>,
}

#[derive(Deserialize)]
struct RawReviewer {
    reviewer: Option<RawReviewerName>,
}

#[derive(Deserialize)]
struct RawReviewerName {
    login: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
struct RawMembership {
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct RawRepo {
    #[serde(default)]
    default_branch: Option<String>,
}

impl GitHub {
    /// Whether a login is an active member of a team, given as `org/slug`. A team that the token may not see has no members.
    pub async fn team_member(&self, team: &str, login: &Login) -> Result<bool> {
        let (org, slug) = team.split_once('/').unwrap_or((team, ""));
        let login = segment(login.as_str());
        let membership = format!("/orgs/{}/teams/{}/memberships/{login}", segment(org), segment(slug));
        match self.get::<RawMembership>(&membership).await {
            Ok(membership) => Ok(membership.state == "active"),
            Err(GitHubError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whose token it is.
    pub async fn whoami(&self) -> Result<Login> {
        Ok(Login::new(self.get::<RawUser>("/user").await?.login))
    }

    /// The scopes of a classic token; `None` for a fine-grained one, which does not tell its permissions.
    pub async fn token_scopes(&self) -> Result<Option<Vec<String>>> {
        let headers = self.headers("/user").await?;
        let scopes = headers.get("x-oauth-scopes").and_then(|scopes| scopes.to_str().ok());
        Ok(scopes.map(|scopes| scopes.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()))
    }

    /// Whether the token sees a repo.
    pub async fn repo_visible(&self, repo: &str) -> Result<bool> {
        match self.default_branch(repo).await {
            Ok(_) => Ok(true),
            Err(GitHubError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The branch that a repo's PRs go to; `main` where GitHub does not say.
    pub(super) async fn default_branch(&self, repo: &str) -> Result<String> {
        let repo: RawRepo = self.get(&format!("/repos/{}", path(repo))).await?;
        Ok(repo.default_branch.unwrap_or_else(|| "main".to_owned()))
    }

    /// The environments of a repo with their required reviewers. Custom protection rules are not among them.
    pub async fn environments(&self, repo: &str) -> Result<Vec<EnvironmentSettings>> {
        let environments = format!("/repos/{}/environments", path(repo));
        let pages: Vec<RawEnvironments> = self.pages(&environments, MOST_PAGES).await?;
        Ok(pages.into_iter().flat_map(|page| page.environments).map(RawEnvironment::tidy).collect())
    }
}

impl RawEnvironment {
    fn tidy(self) -> EnvironmentSettings {
        let rule = self.protection_rules.into_iter().find(|rule| rule.kind == "required_reviewers");
        EnvironmentSettings {
            name: EnvName::new(text(self.name)),
            id: self.id,
            prevent_self_review: rule.as_ref().is_some_and(|rule| rule.prevent_self_review),
            reviewers: rule.map(|rule| rule.reviewers.into_iter().filter_map(RawReviewer::tidy).collect()),
        }
    }
}

impl RawReviewer {
    fn tidy(self) -> Option<Reviewer> {
        let reviewer = self.reviewer?;
        reviewer.login.map(|login| Reviewer::User(Login::new(login))).or_else(|| reviewer.slug.map(Reviewer::Team))
    }
}

//! What lies between two commits, as changes: which commits by comparing them, which PR each belongs to by association,
//! never by reading titles (`facts/github.md` 4.8 and 5.2).
//!
//! GitHub's association of a commit with its PR can lag a little behind a merge; a very young commit without a PR is
//! worth asking for again.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::edge::{moment, text};
use super::runs::RawUser;
use super::{GitHub, GitHubError, PER_PAGE, Page, Result, path, segment};
use crate::deploy::change::{Change, ChangeKey, Range, Standing};
use crate::deploy::name::{Login, PrNumber, Sha};
use crate::deploy::pipeline::Pipeline;

/// Pages of a comparison, 100 commits each.
const MOST_PAGES: usize = 100;
/// Pages of history beyond those that the range fills if history is straight.
const SPARE_PAGES: usize = 3;
/// Commits that the history did not show and that are looked up one by one.
const MOST_STRAYS: usize = 300;

const HISTORY: &str = "query($o:String!,$r:String!,$oid:GitObjectID!,$after:String){ repository(owner:$o,name:$r){ object(oid:$oid){ ... on Commit {
  history(first:100, after:$after){ pageInfo{hasNextPage endCursor}
    nodes{ oid
      associatedPullRequests(first:5){ nodes{ number title merged mergedAt baseRefName
        author{login __typename} mergedBy{login __typename} mergeCommit{oid} } } } } } } } }";

#[derive(Deserialize)]
struct RawCompare {
    status: String,
    #[serde(default)]
    total_commits: usize,
    #[serde(default)]
    commits: Vec<RawCommit>,
}

impl Page for RawCompare {
    fn len(&self) -> usize {
        self.commits.len()
    }
}

#[derive(Deserialize)]
struct RawCommit {
    sha: String,
    commit: RawGitCommit,
    author: Option<RawUser>,
    committer: Option<RawUser>,
}

#[derive(Deserialize)]
struct RawGitCommit {
    #[serde(default)]
    message: String,
    committer: Option<RawSignature>,
}

#[derive(Deserialize)]
struct RawSignature {
    date: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RawHistoryAnswer {
    repository: Option<RawRepository>,
}

#[derive(Deserialize)]
struct RawRepository {
    object: Option<RawHead>,
}

#[derive(Deserialize)]
struct RawHead {
    history: Option<RawHistory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHistory {
    page_info: RawPageInfo,
    nodes: Vec<Option<RawNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPageInfo {
    #[serde(default)]
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNode {
    oid: String,
    associated_pull_requests: Option<RawAssociated>,
}

#[derive(Deserialize)]
struct RawAssociated {
    nodes: Vec<Option<RawAssociatedPr>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAssociatedPr {
    number: PrNumber,
    #[serde(default)]
    title: String,
    #[serde(default)]
    merged: bool,
    merged_at: Option<Timestamp>,
    #[serde(default)]
    base_ref_name: String,
    author: Option<RawActor>,
    merged_by: Option<RawActor>,
    merge_commit: Option<RawOid>,
}

#[derive(Deserialize)]
struct RawActor {
    login: String,
    #[serde(rename = "__typename", default)]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct RawOid {
    oid: String,
}

#[derive(Deserialize)]
struct RawPr {
    number: PrNumber,
    #[serde(default)]
    title: String,
    #[serde(default)]
    state: String,
    user: Option<RawUser>,
    merged_at: Option<Timestamp>,
    merged_by: Option<RawUser>,
    merge_commit_sha: Option<String>,
    base: RawBase,
}

#[derive(Deserialize)]
struct RawBase {
    #[serde(rename = "ref", default)]
    branch: String,
}

/// A PR as `/deploy where` asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct PullRequest {
    /// Its number.
    pub number: PrNumber,
    /// From outside.
    pub title: String,
    /// Its page.
    pub url: String,
    /// Who wrote it; `None` where the account is gone.
    pub author: Option<Login>,
    /// Whether the author is a bot.
    pub author_is_bot: bool,
    /// The branch that it goes to.
    pub base: String,
    /// Open, closed or merged.
    pub state: PrState,
}

/// How far a PR is.
#[derive(Clone, Debug, PartialEq)]
pub enum PrState {
    /// Not decided.
    Open,
    /// Closed without merging.
    Closed,
    /// Merged.
    Merged {
        /// When.
        at: Timestamp,
        /// By whom; `None` where the account is gone.
        by: Option<Login>,
        /// The commit that the branch was moved to; `None` where GitHub does not say.
        commit: Option<Sha>,
    },
}

/// A merged PR of the branch, from either API.
#[derive(Clone)]
struct MergedPr {
    number: PrNumber,
    title: String,
    author: Option<Account>,
    merged_by: Option<Account>,
    merged_at: Timestamp,
    commit: Option<Sha>,
}

#[derive(Clone)]
struct Account {
    login: Login,
    bot: bool,
}

impl GitHub {
    /// What `head` has that `base` lacks; `None` when GitHub does not know one of them any more.
    ///
    /// Where both have commits of their own (`Diverged`), the changes are those since they parted.
    pub async fn range(&self, pipeline: &Pipeline, base: &Sha, head: &Sha) -> Result<Option<Range>> {
        if base == head {
            return Ok(Some(Range { standing: Standing::Identical, changes: Vec::new() }));
        }
        let (standing, commits) = match self.compare(pipeline, base, head).await {
            Err(GitHubError::NotFound) => return Ok(None),
            compared => compared?,
        };
        let changes = match standing {
            Standing::Identical | Standing::Behind => Vec::new(),
            Standing::Ahead | Standing::Diverged => {
                let prs = self.merged_prs(pipeline, head, &commits).await?;
                group(&pipeline.repo, &commits, &prs)
            }
        };
        Ok(Some(Range { standing, changes }))
    }

    async fn compare(&self, pipeline: &Pipeline, base: &Sha, head: &Sha) -> Result<(Standing, Vec<RawCommit>)> {
        let compare =
            format!("/repos/{}/compare/{}...{}", path(&pipeline.repo), segment(base.as_str()), segment(head.as_str()));
        let pages: Vec<RawCompare> = self.pages(&compare, MOST_PAGES).await?;
        let first = pages.first().ok_or_else(|| GitHubError::Odd("a comparison without a page".to_owned()))?;
        let (standing, total) = (standing(&first.status)?, first.total_commits);
        let commits: Vec<RawCommit> = pages.into_iter().flat_map(|page| page.commits).collect();
        if commits.len() < total {
            return Err(GitHubError::Odd(format!("a comparison of {total} commits listed {}", commits.len())));
        }
        Ok((standing, commits))
    }

    /// The merged PR of each commit that has one.
    async fn merged_prs(
        &self,
        pipeline: &Pipeline,
        head: &Sha,
        commits: &[RawCommit],
    ) -> Result<HashMap<String, MergedPr>> {
        let mut unseen: HashSet<&str> = commits.iter().map(|commit| commit.sha.as_str()).collect();
        let range = unseen.clone();
        let mut found = HashMap::new();
        let mut after = None;
        for _ in 0..commits.len().div_ceil(PER_PAGE) + SPARE_PAGES {
            let history = self.history(pipeline, head, after.as_deref()).await?;
            for node in history.nodes.into_iter().flatten() {
                if unseen.remove(node.oid.as_str())
                    && let Some(pr) = node.merged_pr(&pipeline.branch, &range)
                {
                    found.insert(node.oid, pr);
                }
            }
            after = history.page_info.end_cursor.filter(|_| history.page_info.has_next_page);
            if unseen.is_empty() || after.is_none() {
                break;
            }
        }
        if unseen.len() > MOST_STRAYS {
            return Err(GitHubError::Odd(format!("the history lacks {} commits of the comparison", unseen.len())));
        }
        for sha in unseen {
            if let Some(pr) = self.pr_of(pipeline, sha).await? {
                found.insert(sha.to_owned(), pr);
            }
        }
        Ok(found)
    }

    async fn history(&self, pipeline: &Pipeline, head: &Sha, after: Option<&str>) -> Result<RawHistory> {
        let (owner, name) = pipeline.repo.split_once('/').unwrap_or_default();
        let variables = json!({ "o": owner, "r": name, "oid": head.as_str(), "after": after });
        let answer: RawHistoryAnswer = self.graphql(HISTORY, variables).await?;
        let history = answer.repository.and_then(|repository| repository.object).and_then(|head| head.history);
        history.ok_or(GitHubError::NotFound)
    }

    /// The merged PR of a commit that the history did not show.
    async fn pr_of(&self, pipeline: &Pipeline, sha: &str) -> Result<Option<MergedPr>> {
        let prs = format!("/repos/{}/commits/{}/pulls?per_page=10", path(&pipeline.repo), segment(sha));
        let prs: Vec<RawPr> = self.get(&prs).await?;
        let of_branch = prs.into_iter().filter(|pr| pr.base.branch == pipeline.branch && pr.merged_at.is_some());
        let Some(number) = of_branch.min_by_key(|pr| pr.merged_at).map(|pr| pr.number) else { return Ok(None) };
        // The list does not say who merged.
        let pr: RawPr = self.get(&of_pr(&pipeline.repo, number)).await?;
        Ok(pr.merged())
    }

    /// A PR; `None` where there is none of that number.
    pub async fn pull_request(&self, repo: &str, number: PrNumber) -> Result<Option<PullRequest>> {
        match self.get::<RawPr>(&of_pr(repo, number)).await {
            Ok(pr) => Ok(Some(pr.tidy(repo))),
            Err(GitHubError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn of_pr(repo: &str, number: PrNumber) -> String {
    format!("/repos/{}/pulls/{number}", path(repo))
}

fn standing(status: &str) -> Result<Standing> {
    match status {
        "ahead" => Ok(Standing::Ahead),
        "identical" => Ok(Standing::Identical),
        "behind" => Ok(Standing::Behind),
        "diverged" => Ok(Standing::Diverged),
        _ => Err(GitHubError::Odd("a comparison of unknown status".to_owned())),
    }
}

/// Puts the commits of one PR together; a change stands where its head stands.
fn group(repo: &str, commits: &[RawCommit], prs: &HashMap<String, MergedPr>) -> Vec<Change> {
    let mut changes: Vec<(usize, Change)> = Vec::new();
    let mut of_pr: HashMap<PrNumber, usize> = HashMap::new();
    // Those whose merge commit was seen.
    let mut merged: HashSet<PrNumber> = HashSet::new();
    for (position, commit) in commits.iter().enumerate() {
        let Some(pr) = prs.get(&commit.sha) else {
            changes.push((position, commit.change(repo)));
            continue;
        };
        let at = *of_pr.entry(pr.number).or_insert_with(|| {
            changes.push((position, pr.change(repo)));
            changes.len() - 1
        });
        let (place, change) = &mut changes[at];
        let sha = Sha::new(commit.sha.as_str());
        if !merged.contains(&pr.number) {
            *place = position;
            change.head = sha.clone();
        }
        if pr.commit.as_ref() == Some(&sha) {
            merged.insert(pr.number);
        }
        change.commits.push(sha);
    }
    changes.sort_by_key(|(place, _)| *place);
    changes.into_iter().map(|(_, change)| change).collect()
}

impl RawCommit {
    /// The change of a commit that came without a PR.
    fn change(&self, repo: &str) -> Change {
        let author = self.author.as_ref().map(Account::of_rest);
        // What was committed on GitHub's own pages has GitHub as its committer.
        let committer = self.committer.as_ref().map(Account::of_rest).filter(|c| c.login.as_str() != "web-flow");
        let sha = Sha::new(self.sha.as_str());
        Change {
            key: ChangeKey::Commit(sha.clone()),
            title: text(self.commit.message.lines().next().unwrap_or_default().to_owned()),
            url: format!("https://github.com/{repo}/commit/{sha}"),
            author_is_bot: author.as_ref().is_some_and(|author| author.bot),
            merged_by: committer.or_else(|| author.clone()).map(|account| account.login),
            author: author.map(|author| author.login),
            merged_at: self.commit.committer.as_ref().and_then(|c| c.date).map_or(Timestamp::UNIX_EPOCH, moment),
            head: sha.clone(),
            commits: vec![sha],
        }
    }
}

impl MergedPr {
    /// The change, with no commits yet.
    fn change(&self, repo: &str) -> Change {
        Change {
            key: ChangeKey::Pr(self.number),
            title: text(self.title.clone()),
            url: format!("https://github.com/{repo}/pull/{}", self.number),
            author: self.author.as_ref().map(|author| author.login.clone()),
            author_is_bot: self.author.as_ref().is_some_and(|author| author.bot),
            merged_by: self.merged_by.as_ref().map(|account| account.login.clone()),
            merged_at: self.merged_at,
            head: Sha::from(""),
            commits: Vec::new(),
        }
    }
}

impl Account {
    fn of_rest(user: &RawUser) -> Self {
        let bot = user.kind.as_deref() == Some("Bot") || user.login.ends_with("[bot]");
        Self { login: Login::from(user.login.as_str()), bot }
    }

    /// GraphQL calls an app's account by its bare slug, which a person may have as a login: written as REST writes it.
    fn of_graphql(actor: &RawActor) -> Self {
        let named = actor.login.ends_with("[bot]");
        let bot = named || actor.kind.as_deref() == Some("Bot");
        let login = if bot && !named { format!("{}[bot]", actor.login) } else { actor.login.clone() };
        Self { login: Login::new(login), bot }
    }
}

impl RawNode {
    /// The PR that brought the commit to the branch: one whose merge commit is in the range, else the one merged first.
    fn merged_pr(&self, branch: &str, range: &HashSet<&str>) -> Option<MergedPr> {
        let prs = self.associated_pull_requests.iter().flat_map(|prs| prs.nodes.iter().flatten());
        prs.filter(|pr| pr.merged && pr.base_ref_name == branch)
            .filter_map(RawAssociatedPr::merged)
            .min_by_key(|pr| (!pr.commit.as_ref().is_some_and(|merge| range.contains(merge.as_str())), pr.merged_at))
    }
}

impl RawAssociatedPr {
    fn merged(&self) -> Option<MergedPr> {
        Some(MergedPr {
            number: self.number,
            title: self.title.clone(),
            author: self.author.as_ref().map(Account::of_graphql),
            merged_by: self.merged_by.as_ref().map(Account::of_graphql),
            merged_at: moment(self.merged_at?),
            commit: self.merge_commit.as_ref().map(|merge| Sha::from(merge.oid.as_str())),
        })
    }
}

impl RawPr {
    fn merged(self) -> Option<MergedPr> {
        Some(MergedPr {
            number: self.number,
            title: self.title,
            author: self.user.as_ref().map(Account::of_rest),
            merged_by: self.merged_by.as_ref().map(Account::of_rest),
            merged_at: moment(self.merged_at?),
            commit: self.merge_commit_sha.map(Sha::new),
        })
    }

    fn tidy(self, repo: &str) -> PullRequest {
        let author = self.user.as_ref().map(Account::of_rest);
        let state = match (self.merged_at, self.state.as_str()) {
            // Only after merging is `merge_commit_sha` more than a throw-away test commit.
            (Some(at), _) => PrState::Merged {
                at: moment(at),
                by: self.merged_by.map(|by| Login::new(by.login)),
                commit: self.merge_commit_sha.map(Sha::new),
            },
            (None, "closed") => PrState::Closed,
            (None, _) => PrState::Open,
        };
        PullRequest {
            number: self.number,
            title: text(self.title),
            url: format!("https://github.com/{repo}/pull/{}", self.number),
            author_is_bot: author.as_ref().is_some_and(|author| author.bot),
            author: author.map(|author| author.login),
            base: self.base.branch,
            state,
        }
    }
}

#[cfg(test)]
mod tests;

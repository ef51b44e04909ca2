//! Changes: merged pull requests, or commits without one, between two commits of a repo, and whose they are. Only what GitHub
//! says of them; which of them are in production is computed in `ledger`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::{Login, PrNumber, Sha};

/// How a head stands to a base (GitHub's compare).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// The head has commits that the base lacks, and lacks none.
    Ahead,
    /// The same commit.
    Identical,
    /// The base has commits that the head lacks: shipping the head would be a rollback.
    Behind,
    /// Both have commits that the other lacks.
    Diverged,
}

/// What lies between two commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// How the head stands to the base.
    pub standing: Standing,
    /// In the order of merging, oldest first. Complete: paged to the end.
    pub changes: Vec<Change>,
}

/// A merged PR, or a commit that came without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What it is known by.
    pub key: ChangeKey,
    /// PR title, or the commit's first line. From outside.
    pub title: String,
    /// Its page.
    pub url: String,
    /// Who wrote it; `None` where GitHub knows no account.
    pub author: Option<Login>,
    /// Whether the author is a bot whom nobody can ask.
    pub author_is_bot: bool,
    /// Who merged or pushed it.
    pub merged_by: Option<Login>,
    /// When it reached the branch.
    pub merged_at: Timestamp,
    /// The commit that `main` was moved to by it: the one that gets a run, unless it touched only ignored paths.
    pub head: Sha,
    /// All its commits in the range.
    pub commits: Vec<Sha>,
}

/// A pull request as people name it: `4501`, `#4501`, `hypothesis/h#4501` or its link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrRef {
    /// `owner/name`, where it was said.
    pub repo: Option<String>,
    /// Its number.
    pub number: PrNumber,
}

/// What a change is known by. Written as people write it, so that it can be a key in JSON: `#4501`, or a full SHA.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum ChangeKey {
    /// A pull request.
    Pr(PrNumber),
    /// A commit pushed without one.
    Commit(Sha),
}

impl From<ChangeKey> for String {
    fn from(key: ChangeKey) -> Self {
        match key {
            ChangeKey::Pr(number) => format!("#{number}"),
            ChangeKey::Commit(sha) => sha.as_str().to_owned(),
        }
    }
}

impl From<String> for ChangeKey {
    fn from(key: String) -> Self {
        let number = key.strip_prefix('#').and_then(|number| number.parse().ok());
        number.map_or_else(|| Self::Commit(Sha::new(key)), Self::Pr)
    }
}

impl fmt::Display for ChangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pr(number) => write!(f, "#{number}"),
            Self::Commit(sha) => f.write_str(sha.short()),
        }
    }
}

impl Change {
    /// The person to ask about it: the author, or for a bot's PR whoever merged it.
    pub fn person(&self) -> Option<&Login> {
        match &self.author {
            Some(author) if !self.author_is_bot => Some(author),
            Some(_) | None => self.merged_by.as_ref(),
        }
    }
}

//! Pull requests of one repository: opened, reviewed, merged, reverted; and what is said of their commits (statuses).

use jiff::Timestamp;

use super::act::MergeKind;
use super::history::{Draft, History};

/// A pull request.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: Option<String>,
    /// The author's login.
    pub author: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When something about it changed.
    pub updated_at: Timestamp,
    /// The branch that it came from.
    pub branch: String,
    /// The branch's last commit.
    pub head: String,
    /// Main where the branch left it; once merged, main before the merge.
    pub base: String,
    /// Number of commits on the branch.
    pub commits: u32,
    /// Names of its labels.
    pub labels: Vec<&'static str>,
    /// Logins of those who were asked for a review.
    pub reviewers: Vec<String>,
    /// What became of it.
    pub end: End,
    /// Whether later changes touch the same lines: GitHub cannot revert it by itself.
    pub entangled: bool,
}

/// What became of a pull request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// Nothing yet.
    Open,
    /// Closed without being merged.
    Closed(Timestamp),
    /// Merged.
    Merged(Merged),
}

/// How a pull request was merged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Merged {
    /// The merger's login.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The commit that main's head became.
    pub commit: String,
}

/// A pull request about to be opened.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// The author's login.
    pub author: String,
    /// The title.
    pub title: String,
    /// The description.
    pub body: Option<String>,
    /// Number of commits on its branch.
    pub commits: u32,
}

/// A status of a commit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Status {
    /// Its id.
    pub id: u64,
    /// Whose.
    pub sha: String,
    /// `error`, `failure`, `pending` or `success`.
    pub state: String,
    /// Which check says it; the newest of a context counts.
    pub context: String,
    /// In words.
    pub description: Option<String>,
    /// Where there is more to read.
    pub target_url: Option<String>,
    /// Login of whoever set it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Pull {
    /// How it was merged, if it was.
    pub fn merged(&self) -> Option<&Merged> {
        match &self.end {
            End::Merged(merged) => Some(merged),
            End::Open | End::Closed(_) => None,
        }
    }

    /// Whether nothing became of it yet.
    pub fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// When it was merged or closed.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match &self.end {
            End::Open => None,
            End::Closed(at) => Some(*at),
            End::Merged(merged) => Some(merged.at),
        }
    }
}

impl History {
    /// The pull request of that number.
    pub fn pull(&self, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.number == number)
    }

    /// The open pull request of that number, to be changed, with a sentence where there is none.
    pub fn open_pull_mut(&mut self, number: u64) -> Result<&mut Pull, String> {
        let found = self.pulls.iter_mut().find(|pull| pull.number == number);
        let found = found.ok_or_else(|| format!("There is no pull request #{number}."))?;
        if found.is_open() { Ok(found) } else { Err(format!("#{number} is not open any more.")) }
    }

    /// Opens a pull request off main; its number.
    pub fn propose(&mut self, proposal: Proposal, at: Timestamp) -> u64 {
        let branch = branch_name(&proposal.title);
        self.open(proposal, branch, at)
    }

    /// Opens the pull request that reverts a merged one, or says why not; its number.
    pub fn revert(&mut self, number: u64, proposal: Proposal, at: Timestamp) -> Result<u64, String> {
        let pull = self.pull(number).ok_or_else(|| format!("There is no pull request #{number}."))?;
        if pull.merged().is_none() {
            return Err("Pull request is not merged".to_owned());
        }
        if pull.entangled {
            return Err("Sorry, this pull request couldn't be reverted automatically. It may have already been \
                        reverted, or the content may have changed since it was merged."
                .to_owned());
        }
        let branch = format!("revert-{number}-{}", pull.branch);
        Ok(self.open(proposal, branch, at))
    }

    fn open(&mut self, proposal: Proposal, branch: String, at: Timestamp) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        let base = self.main().to_owned();
        let author = proposal.author.as_str();
        let head = self.commit_series(&base, (&proposal.title, proposal.commits), (author, author), (number, at));
        let labels = if author.starts_with("dependabot") { vec!["dependencies"] } else { Vec::new() };
        self.pulls.push(Pull {
            number,
            title: proposal.title,
            body: proposal.body,
            author: proposal.author,
            created_at: at,
            updated_at: at,
            branch,
            head,
            base,
            commits: proposal.commits,
            labels,
            reviewers: Vec::new(),
            end: End::Open,
            entangled: false,
        });
        number
    }

    /// Opens a pull request and merges it; its number.
    pub fn merge(&mut self, proposal: Proposal, by: &str, kind: MergeKind, at: Timestamp) -> u64 {
        let number = self.propose(proposal, at);
        if let Ok(pull) = self.open_pull_mut(number) {
            pull.created_at = at - jiff::SignedDuration::from_hours(3);
        }
        // It is open: this very moment it was opened.
        drop(self.merge_pull(number, by, kind, at));
        number
    }

    /// Merges an open pull request into main.
    pub fn merge_pull(&mut self, number: u64, by: &str, kind: MergeKind, at: Timestamp) -> Result<(), String> {
        let pull = self.open_pull_mut(number)?.clone();
        let base = self.main().to_owned();
        let commit = self.merge_commit(&base, &pull, (by, kind), at);
        self.branches.insert("main".to_owned(), commit.clone());
        let pull = self.open_pull_mut(number)?;
        pull.base = base;
        pull.updated_at = at;
        pull.end = End::Merged(Merged { by: by.to_owned(), at, commit });
        Ok(())
    }

    /// A further commit on an open pull request's branch.
    pub fn push_to_pull(&mut self, number: u64, by: &str, at: Timestamp) -> Result<(), String> {
        let pull = self.open_pull_mut(number)?.clone();
        let head = self.commit_series(&pull.head, ("Amend", 1), (by, by), (number, at));
        let pull = self.open_pull_mut(number)?;
        pull.head = head;
        pull.commits += 1;
        pull.updated_at = at;
        Ok(())
    }

    fn merge_commit(&mut self, base: &str, pull: &Pull, how: (&str, MergeKind), at: Timestamp) -> String {
        let (by, kind) = how;
        let (number, title, author) = (pull.number, &pull.title, pull.author.as_str());
        match kind {
            MergeKind::Rebase => self.commit_series(base, (title, pull.commits), (author, by), (number, at)),
            MergeKind::Squash => {
                let parents = vec![base.to_owned()];
                let message = title.clone();
                self.commit(Draft { parents, message, author, committer: "web-flow", pull: Some(number) }, at)
            }
            MergeKind::Merge => {
                let parents = vec![base.to_owned(), pull.head.clone()];
                let branch = &pull.branch;
                let message = format!("Merge pull request #{number} from hypothesis/{branch}\n\n{title}");
                self.commit(Draft { parents, message, author: by, committer: "web-flow", pull: Some(number) }, at)
            }
        }
    }

    /// The branch's commits one after the other on top of `base`, by an author and a committer; the sha of the last.
    fn commit_series(&mut self, base: &str, what: (&str, u32), by: (&str, &str), pull: (u64, Timestamp)) -> String {
        let ((title, count), (author, committer), (number, at)) = (what, by, pull);
        (1..=count).fold(base.to_owned(), |parent, nth| {
            let message = if count == 1 { title.to_owned() } else { format!("{title} ({nth} of {count})") };
            let parents = vec![parent];
            self.commit(Draft { parents, message, author, committer, pull: Some(number) }, at)
        })
    }

    /// The statuses of a commit, newest first.
    pub fn statuses_of(&self, sha: &str) -> Vec<&Status> {
        self.statuses.iter().rev().filter(|status| status.sha == sha).collect()
    }

    /// The status of each context of a commit.
    pub fn standing_statuses(&self, sha: &str) -> Vec<&Status> {
        let mut standing: Vec<&Status> = Vec::new();
        for status in self.statuses_of(sha) {
            if standing.iter().all(|known| known.context != status.context) {
                standing.push(status);
            }
        }
        standing
    }
}

fn branch_name(title: &str) -> String {
    let dashed: String =
        title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).take(6).collect();
    if words.is_empty() { "patch-1".to_owned() } else { words.join("-") }
}

//! Commits and branches of one repository, and what lies between two commits.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::pulls::{Pull, Status};

/// A commit.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// 40 hexadecimal digits.
    pub sha: String,
    /// Shas of the parents, the first one first.
    pub parents: Vec<String>,
    /// The whole message.
    pub message: String,
    /// The author's login.
    pub author: String,
    /// The committer's login (`web-flow` for merges made on GitHub's page).
    pub committer: String,
    /// The committer's time.
    pub at: Timestamp,
    /// Number of the pull request that it belongs to.
    pub pull: Option<u64>,
}

/// A commit about to be made.
pub(super) struct Draft<'a> {
    pub(super) parents: Vec<String>,
    pub(super) message: String,
    pub(super) author: &'a str,
    pub(super) committer: &'a str,
    pub(super) pull: Option<u64>,
}

/// What lies between two commits, as positions in [`History::commits`].
#[derive(Debug)]
pub(crate) struct Comparison {
    /// In head and not in base, oldest first.
    pub ahead: Vec<usize>,
    /// How many are in base and not in head.
    pub behind: usize,
    /// The newest commit in both.
    pub merge_base: usize,
}

/// Commits, branches and pull requests.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// All commits in the order of their making.
    pub commits: Vec<Commit>,
    /// Branch names with their heads.
    pub branches: BTreeMap<String, String>,
    /// Pull requests, oldest first.
    pub pulls: Vec<Pull>,
    /// Statuses of commits, oldest first.
    pub statuses: Vec<Status>,
    positions: HashMap<String, usize>,
    pub(super) last_number: u64,
    seed: u64,
}

impl History {
    /// A history of one commit on main; shas follow from the seed, pull requests are numbered on from `last_number`.
    pub fn new(seed: u64, last_number: u64, at: Timestamp) -> History {
        let mut history = History {
            commits: Vec::new(),
            branches: BTreeMap::new(),
            pulls: Vec::new(),
            statuses: Vec::new(),
            positions: HashMap::new(),
            last_number,
            seed,
        };
        let message = "Initial commit".to_owned();
        let first = Draft { parents: Vec::new(), message, author: "dora-gh", committer: "dora-gh", pull: None };
        let sha = history.commit(first, at);
        history.branches.insert("main".to_owned(), sha);
        history
    }

    /// The sha of main's head.
    pub fn main(&self) -> &str {
        self.branches.get("main").map_or("", String::as_str)
    }

    /// The commit of that sha.
    pub fn get(&self, sha: &str) -> Option<&Commit> {
        self.positions.get(sha).map(|position| &self.commits[*position])
    }

    /// The commit that a branch, a sha or a sha's first seven or more digits name.
    pub fn resolve(&self, name: &str) -> Option<&Commit> {
        let branch = name.strip_prefix("refs/").unwrap_or(name);
        let branch = branch.strip_prefix("heads/").unwrap_or(branch);
        let sha = self.branches.get(branch).map_or(name, String::as_str);
        let short = || self.commits.iter().find(|commit| name.len() >= 7 && commit.sha.starts_with(name));
        self.get(sha).or_else(short)
    }

    /// What is in `head` and not in `base`, and the reverse.
    pub fn compare(&self, base: &str, head: &str) -> Comparison {
        let (in_base, in_head) = (self.reachable(base), self.reachable(head));
        let mut ahead: Vec<usize> = in_head.difference(&in_base).copied().collect();
        ahead.sort_unstable();
        let behind = in_base.difference(&in_head).count();
        let merge_base = in_base.intersection(&in_head).max().copied().unwrap_or(0);
        Comparison { ahead, behind, merge_base }
    }

    /// The commits reachable from a sha, newest first.
    pub fn log(&self, sha: &str) -> Vec<&Commit> {
        let mut positions: Vec<usize> = self.reachable(sha).into_iter().collect();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        positions.into_iter().map(|position| &self.commits[position]).collect()
    }

    /// A commit on main without a pull request; its sha.
    pub fn push(&mut self, author: &str, message: &str, at: Timestamp) -> String {
        let parents = vec![self.main().to_owned()];
        let draft = Draft { parents, message: message.to_owned(), author, committer: author, pull: None };
        let sha = self.commit(draft, at);
        self.branches.insert("main".to_owned(), sha.clone());
        sha
    }

    /// A branch with one commit, made off main's last commit but one, so that it and main have diverged.
    pub fn branch_off(&mut self, branch: &str, author: &str, at: Timestamp) {
        let head = self.main();
        let parent = self.get(head).and_then(|commit| commit.parents.first()).map_or(head, String::as_str);
        let parents = vec![parent.to_owned()];
        let message = format!("Try something on {branch}");
        let sha = self.commit(Draft { parents, message, author, committer: author, pull: None }, at);
        self.branches.insert(branch.to_owned(), sha);
    }

    /// Makes a commit; its sha.
    pub(super) fn commit(&mut self, draft: Draft<'_>, at: Timestamp) -> String {
        let position = self.commits.len();
        let sha = sha_of(self.seed, position as u64);
        self.positions.insert(sha.clone(), position);
        self.commits.push(Commit {
            sha: sha.clone(),
            parents: draft.parents,
            message: draft.message,
            author: draft.author.to_owned(),
            committer: draft.committer.to_owned(),
            at,
            pull: draft.pull,
        });
        sha
    }

    fn reachable(&self, sha: &str) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut left: Vec<&str> = vec![sha];
        while let Some(sha) = left.pop() {
            let Some(position) = self.positions.get(sha) else {
                continue;
            };
            if found.insert(*position) {
                left.extend(self.commits[*position].parents.iter().map(String::as_str));
            }
        }
        found
    }
}

impl Commit {
    /// The message's first line.
    pub fn headline(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// The image tag that a build of this commit gets, `YYYYMMDD-g<7 digits>` with the committer's UTC date
    /// (`facts/github.md`, section 1.4).
    pub fn image_tag(&self) -> String {
        format!("{}-g{}", self.at.strftime("%Y%m%d"), &self.sha[..7])
    }
}

/// A number spread over 40 hexadecimal digits (splitmix64), the same at every start.
pub(crate) fn sha_of(seed: u64, counter: u64) -> String {
    let word = |salt: u64| {
        let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ counter.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ salt;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    let digits = format!("{:016x}{:016x}{:016x}", word(1 << 40), word(2 << 40), word(3 << 40));
    digits[..40].to_owned()
}

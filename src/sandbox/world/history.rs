//! Commits, branches and merged pull requests of one repository, and what lies between two commits.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::act::MergeKind;

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

/// A merged pull request.
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
    /// The merger's login.
    pub merged_by: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was merged.
    pub merged_at: Timestamp,
    /// The branch that it came from.
    pub branch: String,
    /// The branch's last commit.
    pub head: String,
    /// Main before the merge.
    pub base: String,
    /// The commit that main's head became.
    pub merge_commit: String,
    /// Number of commits on the branch.
    pub commits: u32,
    /// Names of its labels.
    pub labels: Vec<&'static str>,
}

/// A pull request about to be merged.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// The author's login.
    pub author: String,
    /// The merger's login.
    pub by: String,
    /// The title.
    pub title: String,
    /// The description.
    pub body: Option<String>,
    /// How it is merged.
    pub kind: MergeKind,
    /// Number of commits on its branch.
    pub commits: u32,
}

/// A commit about to be made.
struct Draft<'a> {
    parents: Vec<String>,
    message: String,
    author: &'a str,
    committer: &'a str,
    pull: Option<u64>,
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
    /// Merged pull requests, oldest first.
    pub pulls: Vec<Pull>,
    positions: HashMap<String, usize>,
    last_number: u64,
    seed: u64,
}

impl History {
    /// A history of one commit on main; shas follow from the seed, pull requests are numbered on from `last_number`.
    pub fn new(seed: u64, last_number: u64, at: Timestamp) -> History {
        let mut history = History {
            commits: Vec::new(),
            branches: BTreeMap::new(),
            pulls: Vec::new(),
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

    /// The pull request of that number.
    pub fn pull(&self, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.number == number)
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

    /// Merges a pull request into main; its number.
    pub fn merge(&mut self, proposal: Proposal, at: Timestamp) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        let base = self.main().to_owned();
        let branch = branch_name(&proposal.title);
        let head = self.commit_series(&base, &proposal, &proposal.author, (number, at));
        let merge_commit = self.merge_commit(&base, &head, &proposal, (number, at));
        self.branches.insert("main".to_owned(), merge_commit.clone());
        let labels = if proposal.author.starts_with("dependabot") { vec!["dependencies"] } else { Vec::new() };
        self.pulls.push(Pull {
            number,
            title: proposal.title,
            body: proposal.body,
            author: proposal.author,
            merged_by: proposal.by,
            created_at: at - jiff::SignedDuration::from_hours(3),
            merged_at: at,
            branch,
            head,
            base,
            merge_commit,
            commits: proposal.commits,
            labels,
        });
        number
    }

    fn merge_commit(&mut self, base: &str, head: &str, proposal: &Proposal, merge: (u64, Timestamp)) -> String {
        let (number, at) = merge;
        let author = proposal.author.as_str();
        match proposal.kind {
            MergeKind::Rebase => self.commit_series(base, proposal, &proposal.by, merge),
            MergeKind::Squash => {
                let parents = vec![base.to_owned()];
                let message = proposal.title.clone();
                self.commit(Draft { parents, message, author, committer: "web-flow", pull: Some(number) }, at)
            }
            MergeKind::Merge => {
                let parents = vec![base.to_owned(), head.to_owned()];
                let branch = branch_name(&proposal.title);
                let title = &proposal.title;
                let message = format!("Merge pull request #{number} from hypothesis/{branch}\n\n{title}");
                let author = proposal.by.as_str();
                self.commit(Draft { parents, message, author, committer: "web-flow", pull: Some(number) }, at)
            }
        }
    }

    /// The branch's commits one after the other on top of `base`; the sha of the last.
    fn commit_series(&mut self, base: &str, proposal: &Proposal, committer: &str, merge: (u64, Timestamp)) -> String {
        let (number, at) = merge;
        let count = proposal.commits;
        (1..=count).fold(base.to_owned(), |parent, nth| {
            let title = &proposal.title;
            let message = if count == 1 { title.clone() } else { format!("{title} ({nth} of {count})") };
            let parents = vec![parent];
            self.commit(Draft { parents, message, author: &proposal.author, committer, pull: Some(number) }, at)
        })
    }

    fn commit(&mut self, draft: Draft<'_>, at: Timestamp) -> String {
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

fn branch_name(title: &str) -> String {
    let dashed: String =
        title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).take(6).collect();
    if words.is_empty() { "patch-1".to_owned() } else { words.join("-") }
}

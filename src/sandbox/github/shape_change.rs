//! The shapes of commits, comparisons and pull requests.

use serde_json::{Value, json};

use super::shape::{Shape, extend, node_id, time};
use crate::sandbox::world::history::{Commit, Comparison, sha_of};
use crate::sandbox::world::pulls::{Pull, Status};

impl Shape<'_> {
    /// A commit.
    pub fn commit(&self, commit: &Commit) -> Value {
        let (url, sha) = (self.url(), commit.sha.as_str());
        let html = format!("{}/commit", self.html());
        let parents = commit.parents.iter();
        json!({
            "sha": sha, "node_id": format!("C_kwDO{}", &sha[..12]), "url": format!("{url}/commits/{sha}"),
            "html_url": format!("{html}/{sha}"), "comments_url": format!("{url}/commits/{sha}/comments"),
            "commit": {
                "author": self.signature(commit, &commit.author), "committer": self.signature(commit, &commit.committer),
                "message": commit.message, "comment_count": 0, "url": format!("{url}/git/commits/{sha}"),
                "tree": {"sha": tree_of(sha), "url": format!("{url}/git/trees/{}", tree_of(sha))},
                "verification": {"verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null},
            },
            "author": self.user(&commit.author), "committer": self.user(&commit.committer),
            "parents": parents.map(|parent| {
                json!({"sha": parent, "url": format!("{url}/commits/{parent}"), "html_url": format!("{html}/{parent}")})
            }).collect::<Vec<_>>(),
        })
    }

    /// The commit of a run, in short.
    pub fn head_commit(&self, commit: &Commit) -> Value {
        let person = |login: &str| {
            let (name, email) = self.git_person(login);
            json!({"name": name, "email": email})
        };
        json!({
            "id": commit.sha, "tree_id": tree_of(&commit.sha), "message": commit.message, "timestamp": time(commit.at),
            "author": person(&commit.author), "committer": person(&commit.committer),
        })
    }

    /// What lies between two commits; `part` of the commits is listed, files only `with_files`.
    pub fn comparison(&self, range: (&Commit, &Commit), found: &Comparison, part: &[usize], with_files: bool) -> Value {
        let (base, head) = range;
        let between = format!("{}...{}", base.sha, head.sha);
        let (url, html) = (self.url(), format!("{}/compare/{between}", self.html()));
        let status = match (found.ahead.len(), found.behind) {
            (0, 0) => "identical",
            (_, 0) => "ahead",
            (0, _) => "behind",
            (_, _) => "diverged",
        };
        let commits = &self.repo.history.commits;
        let mut comparison = json!({
            "url": format!("{url}/compare/{between}"), "html_url": html, "permalink_url": html,
            "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"),
            "base_commit": self.commit(base), "merge_base_commit": self.commit(&commits[found.merge_base]),
            "status": status, "ahead_by": found.ahead.len(), "behind_by": found.behind, "total_commits": found.ahead.len(),
            "commits": part.iter().map(|position| self.commit(&commits[*position])).collect::<Vec<_>>(),
        });
        if with_files {
            comparison["files"] = json!([]);
        }
        comparison
    }

    /// A pull request as lists have it.
    pub fn pull(&self, pull: &Pull) -> Value {
        let (number, id, author) = (pull.number, self.pull_id(pull), self.user(&pull.author));
        let (url, html) = (format!("{}/pulls/{number}", self.url()), format!("{}/pull/{number}", self.html()));
        let issue = format!("{}/issues/{number}", self.url());
        let statuses = format!("{}/statuses/{}", self.url(), pull.head);
        let merged = pull.merged();
        let mut shape = json!({
            "id": id, "node_id": node_id("PR", id), "number": number, "state": if pull.is_open() { "open" } else { "closed" }, "locked": false, "draft": false,
            "title": pull.title, "body": pull.body, "user": author, "url": url, "html_url": html,
            "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"), "issue_url": issue,
            "commits_url": format!("{url}/commits"), "comments_url": format!("{issue}/comments"), "statuses_url": statuses,
            "review_comments_url": format!("{url}/comments"),
            "review_comment_url": format!("{}/pulls/comments{{/number}}", self.url()),
            "created_at": time(pull.created_at), "updated_at": time(pull.updated_at), "closed_at": pull.ended_at().map(time),
            "merged_at": merged.map(|merged| time(merged.at)), "merge_commit_sha": self.merge_commit(pull), "author_association": "MEMBER",
            "assignee": null, "assignees": [], "requested_reviewers": pull.reviewers.iter().map(|login| self.user(login)).collect::<Vec<_>>(), "requested_teams": [], "milestone": null,
            "auto_merge": null, "labels": self.labels(pull),
        });
        if let Value::Object(shape) = &mut shape {
            let link = |href: String| json!({"href": href});
            extend(
                shape,
                json!({
                    "head": self.branch_end(&pull.branch, &pull.head), "base": self.branch_end("main", &pull.base),
                    "_links": {
                        "self": link(url.clone()), "html": link(html), "issue": link(issue.clone()), "statuses": link(statuses),
                        "comments": link(format!("{issue}/comments")), "commits": link(format!("{url}/commits")),
                        "review_comments": link(format!("{url}/comments")),
                        "review_comment": link(format!("{}/pulls/comments{{/number}}", self.url())),
                    },
                }),
            );
        }
        shape
    }

    /// A pull request with what only its own page has.
    pub fn pull_in_full(&self, pull: &Pull) -> Value {
        let mut shape = self.pull(pull);
        if let Value::Object(shape) = &mut shape {
            extend(
                shape,
                json!({
                    "merged": pull.merged().is_some(), "merged_by": pull.merged().map(|merged| self.user(&merged.by)), "mergeable": null, "mergeable_state": "unknown",
                    "rebaseable": null, "maintainer_can_modify": false, "comments": 0, "review_comments": 0,
                    "commits": pull.commits, "additions": 12 * pull.commits, "deletions": 4 * pull.commits,
                    "changed_files": pull.commits,
                }),
            );
        }
        shape
    }

    /// Of a pull request that is open it is a commit made for trying, on no branch (`facts/github.md`, section 4.8).
    fn merge_commit(&self, pull: &Pull) -> String {
        pull.merged().map_or_else(|| sha_of(self.pull_id(pull), 2), |merged| merged.commit.clone())
    }

    /// GraphQL's id of a pull request.
    pub fn pull_node(&self, pull: &Pull) -> String {
        node_id("PR", self.pull_id(pull))
    }

    fn pull_id(&self, pull: &Pull) -> u64 {
        // Far enough from one repository to the next that no two pull requests share one.
        2_900_000_000 + self.repo.id * 100_000 + pull.number
    }

    /// A status of a commit.
    pub fn status(&self, status: &Status) -> Value {
        json!({
            "id": status.id, "node_id": node_id("SC", status.id), "state": status.state, "context": status.context,
            "description": status.description, "target_url": status.target_url, "creator": self.user(&status.by),
            "avatar_url": "https://avatars.githubusercontent.com/u/2001?v=4", "created_at": time(status.at),
            "updated_at": time(status.at), "url": format!("{}/statuses/{}", self.url(), status.sha),
        })
    }

    fn labels(&self, pull: &Pull) -> Vec<Value> {
        let label = |name: &&str| {
            json!({
                "id": self.repo.id + 77, "node_id": node_id("LA", self.repo.id + 77), "name": name, "color": "0366d6",
                "url": format!("{}/labels/{name}", self.url()), "default": false, "description": "",
            })
        };
        pull.labels.iter().map(label).collect()
    }

    fn branch_end(&self, branch: &str, sha: &str) -> Value {
        let repository = self.repository_of_events();
        json!({
            "label": format!("{}:{branch}", self.repo.owner), "ref": branch, "sha": sha,
            "user": repository["owner"], "repo": repository,
        })
    }

    fn signature(&self, commit: &Commit, login: &str) -> Value {
        let (name, email) = self.git_person(login);
        json!({"name": name, "email": email, "date": time(commit.at)})
    }

    /// Name and address in a commit.
    pub(super) fn git_person(&self, login: &str) -> (String, String) {
        match self.state.person(login) {
            Some(person) if login.ends_with("[bot]") => (person.login.to_owned(), "support@github.com".to_owned()),
            Some(person) => (person.name.to_owned(), format!("{login}@users.noreply.github.com")),
            None => ("GitHub".to_owned(), "noreply@github.com".to_owned()),
        }
    }
}

pub(super) fn tree_of(sha: &str) -> String {
    let seed = u64::from_str_radix(&sha[..12], 16).unwrap_or_default();
    sha_of(seed, 1)
}

//! Acts upon open pull requests: who may do them, what they change, and the sentence that says so.

use jiff::Timestamp;

use super::act::MergeKind;
use super::perform::{Done, instead_of, merge_word};
use super::pulls::{End, Proposal, Pull};
use super::state::State;

impl State {
    pub(super) fn propose(&mut self, repo: &str, proposal: Proposal, now: Timestamp) -> Done {
        self.known(&proposal.author)?;
        check(&proposal)?;
        let author = proposal.author.clone();
        let number = self.repo_mut(repo)?.history.propose(proposal, now);
        Ok(format!("{author} opened #{number} in {repo}."))
    }

    pub(super) fn merge(
        &mut self,
        repo: &str,
        proposal: Proposal,
        how: (&str, MergeKind, bool),
        now: Timestamp,
    ) -> Done {
        self.known(&proposal.author)?;
        self.writer(how.0)?;
        check(&proposal)?;
        let number = self.repo_mut(repo)?.history.merge(proposal, how.0, how.1, now);
        self.merged(repo, number, how, now)
    }

    pub(super) fn merge_pull(&mut self, repo: &str, number: u64, how: (&str, MergeKind, bool), now: Timestamp) -> Done {
        self.writer(how.0)?;
        self.repo_mut(repo)?.history.merge_pull(number, how.0, how.1, now)?;
        self.merged(repo, number, how, now)
    }

    /// What a merge causes: a run, unless it touches ignored paths only.
    fn merged(&mut self, repo: &str, number: u64, how: (&str, MergeKind, bool), now: Timestamp) -> Done {
        let (by, kind, docs) = how;
        let merged = format!("{by} {} #{number} into {repo}", merge_word(kind));
        if docs {
            return Ok(format!("{merged}; it touches ignored paths only, so there is no run."));
        }
        let started = self.repo_mut(repo)?.start_push_run(by, now);
        Ok(format!("{merged}; {} started{}.", started.label, instead_of(&started)))
    }

    pub(super) fn close_pull(&mut self, repo: &str, number: u64, by: &str, now: Timestamp) -> Done {
        self.writer(by)?;
        let pull = self.repo_mut(repo)?.history.open_pull_mut(number)?;
        pull.end = End::Closed(now);
        pull.updated_at = now;
        Ok(format!("{by} closed #{number}."))
    }

    pub(super) fn push_pull(&mut self, repo: &str, number: u64, by: &str, now: Timestamp) -> Done {
        self.writer(by)?;
        self.repo_mut(repo)?.history.push_to_pull(number, by, now)?;
        Ok(format!("{by} pushed a commit to #{number}."))
    }

    pub(super) fn edit_pull(&mut self, repo: &str, number: u64, body: String, now: Timestamp) -> Done {
        let pull = self.repo_mut(repo)?.history.open_pull_mut(number)?;
        pull.body = Some(body).filter(|body| !body.is_empty());
        pull.updated_at = now;
        Ok(format!("The description of #{number} has changed."))
    }

    pub(super) fn entangle(&mut self, repo: &str, number: u64) -> Done {
        let mut pulls = self.repo_mut(repo)?.history.pulls.iter_mut();
        let is_it = |pull: &&mut Pull| pull.number == number && pull.merged().is_some();
        let pull = pulls.find(is_it).ok_or_else(|| format!("There is no merged pull request #{number}."))?;
        pull.entangled = true;
        Ok(format!("Later changes touch the same lines as #{number}: reverting it conflicts."))
    }
}

fn check(proposal: &Proposal) -> Result<(), String> {
    if !(1..=300).contains(&proposal.commits) {
        return Err("A pull request has 1 to 300 commits.".to_owned());
    }
    if proposal.title.trim().is_empty() {
        return Err("A pull request needs a title.".to_owned());
    }
    Ok(())
}

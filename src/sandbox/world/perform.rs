//! Acts: who may do them, what they change, and the sentence that says so.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::act::{Act, MergeKind, Outcome};
use super::flow::{JobEnd, NewRun, Started};
use super::pipeline::Workflow;
use super::pulls::Proposal;
use super::run::{Event, Review};
use super::state::{AwsFault, Fault, HOURLY_LIMIT, Repo, State};

/// A sentence of what happened, or why it could not.
pub(super) type Done = Result<String, String>;

/// A workflow to be started by hand.
struct Order {
    workflow: String,
    by: String,
    branch: String,
    inputs: BTreeMap<String, String>,
}

impl State {
    /// Does one act; a sentence of what happened, or why it could not.
    pub fn perform(&mut self, act: Act, now: Timestamp) -> Done {
        match act {
            Act::Merge { repo, author, by, title, kind, commits, docs, body } => {
                let by = by.unwrap_or_else(|| author.clone());
                self.merge(&repo, Proposal { author, title, body, commits }, (&by, kind, docs), now)
            }
            Act::Propose { repo, author, title, body, commits } => {
                self.propose(&repo, Proposal { author, title, body, commits }, now)
            }
            Act::MergePull { repo, number, by, kind, docs } => self.merge_pull(&repo, number, (&by, kind, docs), now),
            Act::ClosePull { repo, number, by } => self.close_pull(&repo, number, &by, now),
            Act::PushPull { repo, number, by } => self.push_pull(&repo, number, &by, now),
            Act::EditPull { repo, number, body } => self.edit_pull(&repo, number, body, now),
            Act::Entangle { repo, number } => self.entangle(&repo, number),
            Act::Push { repo, by, title } => self.push(&repo, &by, &title, now).map(|(_, told)| told),
            Act::BreakWorkflow { repo, by } => self.break_workflow(&repo, &by, now),
            Act::Dispatch { repo, workflow, by, branch, inputs } => {
                self.dispatch_by_hand(&repo, order(workflow, by, branch, inputs), now)
            }
            Act::StartJob { repo, run, job } => {
                self.repo_mut(&repo)?.start_job(run, &job, now).map(|()| format!("{job} has started."))
            }
            Act::DeployStep { repo, run, job } => {
                let entered = self.repo_mut(&repo)?.enter_deploy_step(run, &job, now);
                entered.map(|()| format!("{job} is in its deploy step."))
            }
            Act::FinishJob { repo, run, job, outcome, says } => {
                let finished = self.repo_mut(&repo)?.finish_job(run, &job, JobEnd { outcome, says }, now);
                finished.map(|()| format!("{job} has ended: {}.", outcome_word(outcome)))
            }
            Act::CancelRun { repo, run, by } => self.cancel_by_hand(&repo, run, &by, now),
            Act::Approve { repo, run, environments, by, comment } => {
                self.review_by_hand(&repo, run, review(true, by, comment, environments), now)
            }
            Act::Reject { repo, run, environments, by, comment } => {
                self.review_by_hand(&repo, run, review(false, by, comment, environments), now)
            }
            Act::Rerun { repo, run, failed_only, by } => self.rerun_by_hand(&repo, (run, failed_only), &by, now),
            Act::SetVariable { repo, environment, key, value } => self.set_variable(&repo, &environment, (key, value)),
            Act::SpoilSettings { repo, environment } => self.spoil_settings(&repo, &environment),
            Act::Auto { on } => Ok(self.set_auto(on, now)),
            Act::Pass { seconds } => Ok(format!("{seconds} s have passed.")),
            Act::Fault { kind, times, only } => Ok(self.order_fault(Fault { kind, spared: 0, left: times, only })),
            Act::FaultAt { nth, kind, only } => {
                Ok(self.order_fault(Fault { kind, spared: nth.saturating_sub(1), left: 1, only }))
            }
            Act::Hooks { fault, times } => {
                self.hooks.misbehave(fault, times);
                Ok("GitHub’s webhooks misbehave.".to_owned())
            }
            Act::Spend { leave } => {
                self.quota.core = HOURLY_LIMIT.saturating_sub(leave);
                Ok(format!("{leave} requests are left."))
            }
            Act::Servers { repo, environment, turn } => self.repo_mut(&repo)?.turn_servers(&environment, turn, now),
            Act::AwsFault { kind, region, times, only } => {
                self.aws_faults.push(AwsFault { kind, region, left: times, only });
                Ok("Elastic Beanstalk misbehaves.".to_owned())
            }
            Act::ClearFaults => Ok(self.clear_faults()),
        }
    }

    /// Starts a workflow on a branch that exists; the inputs are checked already.
    pub fn dispatch(&mut self, repo: &str, new: NewRun, now: Timestamp) -> Result<Started, String> {
        self.writer(&new.by)?;
        Ok(self.repo_mut(repo)?.start_run(new, now))
    }

    fn push(&mut self, repo: &str, by: &str, title: &str, now: Timestamp) -> Result<(u64, String), String> {
        self.writer(by)?;
        let repo = self.repo_mut(repo)?;
        repo.history.push(by, title, now);
        let started = repo.start_push_run(by, now);
        let told = format!("{by} pushed to main; {} started{}.", started.label, instead_of(&started));
        Ok((started.id, told))
    }

    fn break_workflow(&mut self, repo: &str, by: &str, now: Timestamp) -> Done {
        let (run, told) = self.push(repo, by, "Break deploy.yml", now)?;
        self.repo_mut(repo)?.break_run(run);
        Ok(format!("{told} It failed at once: the workflow file is broken."))
    }

    fn dispatch_by_hand(&mut self, repo: &str, order: Order, now: Timestamp) -> Done {
        let Order { workflow: file, by, branch, inputs } = order;
        self.writer(&by)?;
        let found = self.repo_mut(repo)?;
        let workflow = found.pipeline.workflow(&file).ok_or_else(|| format!("{repo} has no workflow {file}."))?;
        found.check_inputs(workflow, &inputs)?;
        if !found.history.branches.contains_key(&branch) {
            found.history.branch_off(&branch, &by, now);
        }
        let new = found.new_dispatch(workflow, &branch, &by, inputs).ok_or("That branch has no commit.")?;
        let started = found.start_run(new, now);
        Ok(format!("{by} started {} on {branch}{}.", started.label, instead_of(&started)))
    }

    fn review_by_hand(&mut self, repo: &str, run: u64, review: Review, now: Timestamp) -> Done {
        let by = review.by.clone();
        if !self.known(&by)? {
            return Err(format!("{by} is not a reviewer."));
        }
        let word = if review.approved { "approved" } else { "rejected" };
        let told = format!("{by} {word} {}.", review.environments.join(", "));
        self.repo_mut(repo)?.review(run, review, now).map(|()| told)
    }

    fn cancel_by_hand(&mut self, repo: &str, run: u64, by: &str, now: Timestamp) -> Done {
        self.writer(by)?;
        let reason = format!("The run was canceled by @{by}.");
        self.repo_mut(repo)?.cancel_run(run, &reason, now)?;
        Ok(reason)
    }

    fn rerun_by_hand(&mut self, repo: &str, what: (u64, bool), by: &str, now: Timestamp) -> Done {
        let (run, failed_only) = what;
        self.writer(by)?;
        let started = self.repo_mut(repo)?.rerun(run, failed_only, by, now)?;
        Ok(format!("{by} started {} again{}.", started.label, instead_of(&started)))
    }

    fn clear_faults(&mut self) -> String {
        self.faults.clear();
        self.aws_faults.clear();
        self.hooks.behave();
        "GitHub and Elastic Beanstalk behave again.".to_owned()
    }

    fn set_auto(&mut self, on: bool, now: Timestamp) -> String {
        match (on, self.auto_since) {
            (true, None) => self.auto_since = Some(now),
            (true, Some(_)) => {}
            (false, _) => self.auto_since = None,
        }
        if on { "Jobs succeed by themselves." } else { "Jobs wait to be told." }.to_owned()
    }

    fn order_fault(&mut self, fault: Fault) -> String {
        let told = format!("GitHub misbehaves {} times.", fault.left);
        if fault.left > 0 {
            self.faults.push(fault);
        }
        told
    }

    /// Whether a known account may review; an error for an unknown one.
    pub(super) fn known(&self, login: &str) -> Result<bool, String> {
        let person = self.person(login).ok_or_else(|| format!("Nobody is called {login}."))?;
        Ok(person.reviews())
    }

    pub(super) fn writer(&self, login: &str) -> Result<(), String> {
        let person = self.person(login).ok_or_else(|| format!("Nobody is called {login}."))?;
        if person.writes() { Ok(()) } else { Err(format!("{login} has no right to write.")) }
    }
}

impl Repo {
    /// Inputs that the workflow does not declare, and booleans that are none, in GitHub's words.
    pub fn check_inputs(&self, workflow: Workflow, inputs: &BTreeMap<String, String>) -> Result<(), String> {
        let declared = |id: &str| match workflow {
            Workflow::Deploy => false,
            Workflow::Redeploy => self.pipeline.jobs.iter().any(|plan| plan.id == id && plan.target.is_some()),
        };
        let unexpected: Vec<&String> = inputs.keys().filter(|id| !declared(id)).collect();
        if !unexpected.is_empty() {
            return Err(format!("Unexpected inputs provided: {unexpected:?}"));
        }
        match inputs.iter().find(|(_, value)| !["true", "false"].contains(&value.as_str())) {
            Some((id, value)) => {
                Err(format!("Provided value '{value}' for input '{id}' not in the list of allowed values"))
            }
            None => Ok(()),
        }
    }

    /// A run of a workflow on a branch's head; `None` where there is no such branch.
    pub fn new_dispatch(
        &self,
        workflow: Workflow,
        branch: &str,
        by: &str,
        inputs: BTreeMap<String, String>,
    ) -> Option<NewRun> {
        Some(NewRun {
            workflow,
            event: Event::WorkflowDispatch,
            branch: branch.to_owned(),
            sha: self.history.branches.get(branch)?.clone(),
            title: workflow.name().to_owned(),
            by: by.to_owned(),
            inputs,
        })
    }

    /// The run that a push to main causes.
    pub fn start_push_run(&mut self, by: &str, now: Timestamp) -> Started {
        let sha = self.history.main().to_owned();
        let title = self.history.get(&sha).map(|commit| commit.headline().to_owned()).unwrap_or_default();
        let new = NewRun {
            workflow: Workflow::Deploy,
            event: Event::Push,
            branch: "main".to_owned(),
            sha,
            title,
            by: by.to_owned(),
            inputs: BTreeMap::new(),
        };
        self.start_run(new, now)
    }
}

fn order(workflow: String, by: String, branch: String, inputs: BTreeMap<String, String>) -> Order {
    Order { workflow, by, branch, inputs }
}

fn review(approved: bool, by: String, comment: String, environments: Vec<String>) -> Review {
    Review { approved, by, comment, environments }
}

pub(super) fn instead_of(started: &Started) -> String {
    if started.superseded.is_empty() {
        String::new()
    } else {
        format!(" and cancelled {}", started.superseded.join(", "))
    }
}

pub(super) fn merge_word(kind: MergeKind) -> &'static str {
    match kind {
        MergeKind::Squash => "squashed",
        MergeKind::Rebase => "rebased",
        MergeKind::Merge => "merged",
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::TimedOut => "timed out",
        Outcome::Cancelled => "cancelled",
    }
}

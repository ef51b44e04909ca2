//! All that the world remembers, and how things in it are found.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::MACHINE_USER;
use super::act::{AwsFaultKind, FaultKind};
use super::history::History;
use super::hooks::Hooks;
use super::pipeline::Pipeline;
use super::run::Run;
use super::servers::Environment;

const REQUESTS_KEPT: usize = 20_000;

/// Requests per hour of a user's token (`facts/github.md`, section 4.11).
pub(crate) const HOURLY_LIMIT: u32 = 5_000;

/// The organisation's team of developers, reviewers of every gated environment.
pub(crate) const TEAM: &str = "developers";

/// The whole world.
#[derive(Debug)]
pub(crate) struct State {
    /// Everybody who has an account.
    pub people: Vec<Person>,
    /// The repositories.
    pub repos: Vec<Repo>,
    /// What the pretend GitHub is told to do wrong, oldest order first.
    pub faults: Vec<Fault>,
    /// What the pretend Elastic Beanstalk is told to do wrong.
    pub aws_faults: Vec<AwsFault>,
    /// Since when jobs succeed by themselves.
    pub auto_since: Option<Timestamp>,
    /// What clients did wrong.
    pub complaints: Vec<String>,
    /// What clients asked.
    pub requests: VecDeque<SeenRequest>,
    /// Requests counted against the token's hourly limits.
    pub quota: Quota,
    /// All requests, by repository and kind.
    pub spent: BTreeMap<(String, String), Spent>,
    /// The webhook.
    pub hooks: Hooks,
}

/// A GitHub account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    /// The login, `[bot]` included.
    pub login: &'static str,
    /// The display name.
    pub name: &'static str,
    /// The numeric id.
    pub id: u64,
    /// What the account may do.
    pub role: Role,
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Member of the team: writes and reviews.
    Developer,
    /// The token's owner: writes and reviews.
    Machine,
    /// A GitHub App's account: writes.
    Bot,
    /// Nothing but reading.
    Outsider,
}

/// One repository with its pipeline and its environments.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    /// The organisation.
    pub owner: &'static str,
    /// The name without the organisation.
    pub name: String,
    /// The numeric id; ids of its parts start from it.
    pub id: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// What its workflows do.
    pub pipeline: Pipeline,
    /// Commits, branches and pull requests.
    pub history: History,
    /// Deployment environments in the pipeline's order.
    pub environments: Vec<Environment>,
    /// Workflow runs, oldest first.
    pub runs: Vec<Run>,
    /// The runs as they were before their last change.
    pub runs_before: Vec<Run>,
    /// Numbers given out.
    pub ids: Ids,
}

/// The last numbers given out in a repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    /// Of a run.
    pub run: u64,
    /// Of a job, which is also its check run's.
    pub job: u64,
    /// The number of the last Deploy run.
    pub deploy_number: u64,
    /// The number of the last Redeploy run.
    pub redeploy_number: u64,
}

/// An ordered misbehaviour.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Which.
    pub kind: FaultKind,
    /// How many requests that it concerns pass before.
    pub spared: u32,
    /// For how many more requests.
    pub left: u32,
    /// Which requests.
    pub only: Option<String>,
}

/// An ordered misbehaviour of Elastic Beanstalk's.
#[derive(Clone, Debug)]
pub(crate) struct AwsFault {
    /// Which.
    pub kind: AwsFaultKind,
    /// Where; `None` everywhere.
    pub region: Option<String>,
    /// For how many more requests; `None` until cleared.
    pub left: Option<u32>,
    /// Which action; `None` for all.
    pub only: Option<String>,
}

/// Requests counted in the current hour.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quota {
    /// When the counts start again, seconds since the epoch.
    pub resets_at: i64,
    /// REST requests.
    pub core: u32,
    /// GraphQL requests.
    pub graphql: u32,
}

/// How many requests of one kind there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Counted against an hourly limit.
    pub counted: u32,
    /// Free: nothing had changed.
    pub free: u32,
}

/// A request as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// `github`, or `beanstalk` and the region: `beanstalk us-west-1`.
    pub service: String,
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The status of the answer (504 for one that hung).
    pub status: u16,
    /// The request's body.
    pub body: String,
    /// Whether what was asked was done, whatever the answer said.
    pub done: bool,
}

const PEOPLE: [Person; 7] = [
    Person { login: "ana-gh", name: "Ana", id: 1_001, role: Role::Developer },
    Person { login: "ben-gh", name: "Ben", id: 1_002, role: Role::Developer },
    Person { login: "chi-gh", name: "Chi", id: 1_003, role: Role::Developer },
    Person { login: "dora-gh", name: "Dora", id: 1_004, role: Role::Developer },
    Person { login: "mallory-gh", name: "Mallory", id: 1_666, role: Role::Outsider },
    Person { login: "dependabot[bot]", name: "Dependabot", id: 49_699_333, role: Role::Bot },
    Person { login: MACHINE_USER, name: "Lockkeeper", id: 2_001, role: Role::Machine },
];

impl Default for State {
    fn default() -> State {
        State {
            people: PEOPLE.to_vec(),
            repos: Vec::new(),
            faults: Vec::new(),
            aws_faults: Vec::new(),
            auto_since: None,
            complaints: Vec::new(),
            requests: VecDeque::new(),
            quota: Quota::default(),
            spent: BTreeMap::new(),
            hooks: Hooks::default(),
        }
    }
}

impl State {
    /// The repository of that full name (`owner/name`).
    pub fn repo(&self, full_name: &str) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.full_name() == full_name)
    }

    /// The same, to be changed, with a sentence where there is none.
    pub fn repo_mut(&mut self, full_name: &str) -> Result<&mut Repo, String> {
        let found = self.repos.iter_mut().find(|repo| repo.full_name() == full_name);
        found.ok_or_else(|| format!("There is no repository {full_name}."))
    }

    /// The account of that login.
    pub fn person(&self, login: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.login == login)
    }

    /// Notes what a client did wrong.
    pub fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// Keeps a request for those who count.
    pub fn note_request(&mut self, request: SeenRequest) {
        if self.requests.len() == REQUESTS_KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    /// Takes the first fault that applies to this request, one time off its count.
    pub fn take_fault(&mut self, request: &str, is_run_list: bool) -> Option<FaultKind> {
        let applies = |fault: &Fault| {
            (fault.kind != FaultKind::Stale || is_run_list)
                && fault.only.as_ref().is_none_or(|only| request.contains(only.as_str()))
        };
        let mut concerned = self.faults.iter_mut().enumerate().filter(|(_, fault)| applies(fault));
        let hit = concerned.find_map(|(index, fault)| match fault.spared.checked_sub(1) {
            Some(spared) => {
                fault.spared = spared;
                None
            }
            None => Some(index),
        });
        let index = hit?;
        let fault = &mut self.faults[index];
        let kind = fault.kind;
        fault.left = fault.left.saturating_sub(1);
        if fault.left == 0 {
            self.faults.remove(index);
        }
        Some(kind)
    }
}

impl State {
    /// Takes the first fault that applies to a request to Elastic Beanstalk, one time off its count.
    pub fn take_aws_fault(&mut self, region: &str, action: &str) -> Option<AwsFaultKind> {
        let applies = |fault: &AwsFault| {
            fault.region.as_deref().is_none_or(|one| one == region)
                && fault.only.as_deref().is_none_or(|one| one == action)
        };
        let index = self.aws_faults.iter().position(applies)?;
        let fault = &mut self.aws_faults[index];
        let kind = fault.kind;
        fault.left = fault.left.map(|left| left.saturating_sub(1));
        if fault.left == Some(0) {
            self.aws_faults.remove(index);
        }
        Some(kind)
    }
}

impl Person {
    /// Whether the account may push, merge, dispatch, cancel and re-run.
    pub fn writes(&self) -> bool {
        match self.role {
            Role::Developer | Role::Machine | Role::Bot => true,
            Role::Outsider => false,
        }
    }

    /// Whether the account may approve and reject deployments.
    pub fn reviews(&self) -> bool {
        match self.role {
            Role::Developer | Role::Machine => true,
            Role::Bot | Role::Outsider => false,
        }
    }
}

impl Repo {
    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The run of that id.
    pub fn run(&self, id: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }

    /// The environment of that name.
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.name == name)
    }

    /// A fresh job id.
    pub fn next_job_id(&mut self) -> u64 {
        self.ids.job += 7;
        self.ids.job
    }

    /// A fresh run id.
    pub fn next_run_id(&mut self) -> u64 {
        self.ids.run += 12;
        self.ids.run
    }
}

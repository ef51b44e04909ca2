//! An app's pipeline: which environments there are, in which order a run reaches them, and what is known about each.
//! It is read from the repo's own workflow files and from the config file, which wins; this module only holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::name::{AppName, EnvName};

/// One app: a repo with its Deploy workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// The app's short name.
    pub app: AppName,
    /// `owner/name` at GitHub.
    pub repo: String,
    /// Where a merge goes: `main`.
    pub branch: String,
    /// The Deploy workflow's file name: `deploy.yml`.
    pub deploy: String,
    /// The Redeploy workflow, where the repo has one.
    pub redeploy: Option<Redeploy>,
    /// The concurrency group that a Deploy run takes, where it names one without an expression.
    pub group: Option<String>,
    /// In the order of the workflow file.
    pub environments: Vec<Environment>,
}

/// The Redeploy workflow and its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redeploy {
    /// Its file name: `redeploy.yml`.
    pub file: String,
    /// Environment → the boolean input that chooses it.
    pub inputs: BTreeMap<EnvName, String>,
}

/// What an environment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A change is tried here before it is approved.
    Test,
    /// People outside the team use it.
    Production,
}

/// A GitHub deployment environment and what runs in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// As GitHub spells it.
    pub name: EnvName,
    /// What people call it; the name unless the config says otherwise.
    pub label: String,
    /// Test or production.
    pub kind: Kind,
    /// The display name of the job that deploys it. Reusable workflows show as `<job> / <called job>` (`facts/github.md` 1.2).
    pub job: String,
    /// The test environments that have to succeed before this one starts.
    pub needs: Vec<EnvName>,
    /// AWS region, where known: `us-west-1`.
    pub region: Option<String>,
    /// Elastic Beanstalk application and environment, where known.
    pub beanstalk: Option<Beanstalk>,
    /// Where a person looks at it.
    pub url: Option<String>,
    /// The app's own links, from the config: logs, errors, dashboards.
    pub links: BTreeMap<String, String>,
    /// Whether somebody has to approve a deployment; `None` when GitHub did not say.
    pub gated: Option<bool>,
}

/// What the config file says about environments, by their names at GitHub. It wins over the workflow file.
pub type Overrides = BTreeMap<EnvName, EnvironmentOverride>;

/// What the config file says about one environment; `None` leaves it to the workflow file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvironmentOverride {
    /// What people call it.
    pub label: Option<String>,
    /// Test or production.
    pub kind: Option<Kind>,
    /// Where a person looks at it.
    pub url: Option<String>,
    /// AWS region: `us-west-1`.
    pub region: Option<String>,
    /// Its name at Elastic Beanstalk.
    pub beanstalk: Option<Beanstalk>,
    /// The environments that have to succeed before this one starts.
    pub needs: Option<Vec<EnvName>>,
    /// The display name of the job that deploys it; needed for an environment that the workflow file does not show.
    pub job: Option<String>,
    /// Label → URL: logs, errors, dashboards.
    pub links: BTreeMap<String, String>,
}

/// An environment's name at Elastic Beanstalk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beanstalk {
    /// Application: `h-websocket`.
    pub application: String,
    /// Environment: `h-websocket-prod`. The same name may exist in several regions.
    pub environment: String,
}

impl Pipeline {
    /// The environment of that name.
    pub fn environment(&self, name: &EnvName) -> Option<&Environment> {
        self.environments.iter().find(|e| e.name == *name)
    }

    /// The production environments, in order.
    pub fn production(&self) -> impl Iterator<Item = &Environment> {
        self.environments.iter().filter(|e| e.kind == Kind::Production)
    }

    /// The test environments, in order.
    pub fn test(&self) -> impl Iterator<Item = &Environment> {
        self.environments.iter().filter(|e| e.kind == Kind::Test)
    }

    /// Where its environments are on Elastic Beanstalk, as far as that is known: region and application, then the name there.
    pub fn places(&self) -> BTreeMap<(&str, &str), BTreeMap<&str, &EnvName>> {
        let mut places: BTreeMap<(&str, &str), BTreeMap<&str, &EnvName>> = BTreeMap::new();
        for environment in &self.environments {
            if let (Some(region), Some(place)) = (&environment.region, &environment.beanstalk) {
                let group = places.entry((region, &place.application)).or_default();
                group.insert(&place.environment, &environment.name);
            }
        }
        places
    }

    /// The environment that a job of a run deploys, by the job's name as the API shows it: `Staging / Deploy`, or `Staging`
    /// for a job that was skipped (`facts/github.md` 1.2).
    pub fn environment_of_job(&self, job: &str) -> Option<&Environment> {
        let caller = job.rsplit_once(" / ").map_or(job, |(caller, _)| caller);
        self.environments.iter().find(|e| e.job == job || e.job == caller)
    }
}

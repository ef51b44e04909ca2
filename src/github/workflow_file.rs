//! What a repo's `deploy.yml` and `redeploy.yml` say about environments. Pure: text in, jobs out; a file is hostile until
//! parsed, so size, depth, nodes and aliases are limited, and what is not understood is left out rather than guessed.
//! The shapes that occur: `facts/github.md` 1.2, 1.3 and 2.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::deploy::name::EnvName;
use crate::deploy::pipeline::Beanstalk;

/// GitHub takes workflow files of at most 512 KiB.
const MOST_BYTES: usize = 512 * 1024;
/// More jobs than anybody writes.
const MOST_JOBS: usize = 500;
/// The longest value that is taken over, in bytes.
const MOST_VALUE: usize = 2_000;
/// The longest name of an environment, in characters.
const MOST_NAME: usize = 255;

/// A workflow file, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowFile {
    /// The concurrency group, where it can be told without running the workflow.
    pub group: Option<String>,
    /// The first branch whose pushes start it, where it is named without a pattern.
    pub branch: Option<String>,
    /// The boolean inputs of a start by hand.
    pub inputs: BTreeSet<String>,
    /// In the file's order.
    pub jobs: Vec<FileJob>,
}

/// A job of a workflow file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileJob {
    /// Its key.
    pub id: String,
    /// As runs show it (the part before ` / ` for a reusable workflow): its `name`, else its key.
    pub name: String,
    /// The keys of the jobs that have to be over before.
    pub needs: Vec<String>,
    /// Its `if`.
    pub condition: Option<String>,
    /// What it deploys to.
    pub target: Option<Target>,
}

/// What a job deploys to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The GitHub environment.
    pub environment: EnvName,
    /// Where a person looks at it; `http` or `https`.
    pub url: Option<String>,
    /// AWS region.
    pub region: Option<String>,
    /// Elastic Beanstalk application and environment.
    pub beanstalk: Option<Beanstalk>,
}

/// An environment that a workflow file deploys to.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    /// The display name of the job that deploys it; the last one where several do.
    pub job: String,
    /// The environment and where it runs.
    pub target: Target,
    /// All environments that have to be deployed before, directly or through other jobs.
    pub needs: Vec<EnvName>,
}

/// Why a file could not be read: where and what, in one sentence without the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

#[derive(Deserialize)]
struct RawFile {
    // YAML 1.1 would read this key as the boolean `true`; it is asked for as text.
    #[serde(default)]
    on: Value,
    #[serde(default)]
    concurrency: Value,
    #[serde(default)]
    jobs: InOrder<RawJob>,
}

#[derive(Default, Deserialize)]
struct RawJob {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    needs: Value,
    #[serde(rename = "if", default)]
    condition: Value,
    #[serde(default)]
    uses: Value,
    #[serde(default)]
    with: Value,
    #[serde(default)]
    environment: Value,
}

/// A mapping whose order counts.
struct InOrder<T>(Vec<(String, T)>);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = InOrder<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl WorkflowFile {
    /// Reads a workflow file of the repo `owner/name`.
    pub fn parse(text: &str, repo: &str) -> Result<Self, Unreadable> {
        if text.len() > MOST_BYTES {
            return Err(Unreadable(format!("it is larger than {} KiB", MOST_BYTES / 1024)));
        }
        let raw: RawFile = serde_saphyr::from_str_with_options(text, options()).map_err(|error| unreadable(&error))?;
        if raw.jobs.0.len() > MOST_JOBS {
            return Err(Unreadable(format!("it has more than {MOST_JOBS} jobs")));
        }
        Ok(Self {
            group: group(&raw.concurrency).and_then(|group| resolve(&group, repo)),
            branch: branch(&raw.on),
            inputs: boolean_inputs(&raw.on),
            jobs: raw.jobs.0.into_iter().map(|(id, job)| job.tidy(id, repo)).collect(),
        })
    }

    /// The environments in the file's order.
    pub fn deployed(&self) -> Vec<Deployed> {
        let mut deployed: Vec<Deployed> = Vec::new();
        for job in &self.jobs {
            let Some(target) = &job.target else { continue };
            let needs = self.needed_environments(job);
            let this = Deployed { job: job.name.clone(), target: target.clone(), needs };
            match deployed.iter_mut().find(|other| other.target.environment == target.environment) {
                Some(earlier) => *earlier = this,
                None => deployed.push(this),
            }
        }
        deployed
    }

    /// Which input of a start by hand chooses which environment: the one in the job's condition, else that of the job's key.
    pub fn inputs_by_environment(&self) -> BTreeMap<EnvName, String> {
        let jobs = self.jobs.iter().filter_map(|job| Some((job, job.target.as_ref()?)));
        jobs.filter_map(|(job, target)| Some((target.environment.clone(), self.input_of(job)?))).collect()
    }

    fn input_of(&self, job: &FileJob) -> Option<String> {
        match job.condition.as_deref().filter(|condition| condition.contains("inputs.")) {
            Some(condition) => self.input_in(condition),
            None => self.inputs.get(&job.id).cloned(),
        }
    }

    /// The only input that a condition asks for to be true.
    fn input_in(&self, condition: &str) -> Option<String> {
        if condition.contains('!') || condition.contains("false") {
            return None;
        }
        let words = condition.split("inputs.").skip(1).map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next().unwrap_or_default()
        });
        let asked: BTreeSet<&str> = words.collect();
        let mut asked = asked.into_iter();
        match (asked.next(), asked.next()) {
            (Some(one), None) => self.inputs.get(one).cloned(),
            _ => None,
        }
    }

    fn needed_environments(&self, job: &FileJob) -> Vec<EnvName> {
        let by_id: HashMap<&str, &FileJob> = self.jobs.iter().map(|job| (job.id.as_str(), job)).collect();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = job.needs.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            // A job that needs itself is no workflow that GitHub would run; here it only must not hang.
            if seen.insert(id)
                && let Some(job) = by_id.get(id)
            {
                open.extend(job.needs.iter().map(String::as_str));
            }
        }
        let own = job.target.as_ref().map(|target| &target.environment);
        let (mut needed, mut listed) = (Vec::new(), BTreeSet::new());
        for earlier in self.jobs.iter().filter(|job| seen.contains(job.id.as_str())) {
            if let Some(target) = &earlier.target
                && Some(&target.environment) != own
                && listed.insert(&target.environment)
            {
                needed.push(target.environment.clone());
            }
        }
        needed
    }
}

impl RawJob {
    fn tidy(self, id: String, repo: &str) -> FileJob {
        let target =
            if self.uses.is_string() { called_target(&self.with, repo) } else { own_target(&self.environment, repo) };
        FileJob {
            name: text(&self.name).and_then(|name| resolve(&name, repo)).unwrap_or_else(|| id.clone()),
            needs: list(&self.needs),
            condition: text(&self.condition),
            target,
            id,
        }
    }
}

/// The target of a job that calls a reusable workflow, from its inputs.
fn called_target(with: &Value, repo: &str) -> Option<Target> {
    let input = |name: &str| text(&with[name]).and_then(|value| resolve(&value, repo));
    let application = input("elasticbeanstalk_application");
    let environment = input("elasticbeanstalk_environment");
    Some(Target {
        environment: named(&input("github_environment_name")?)?,
        url: input("github_environment_url").and_then(web_address),
        region: input("aws_region").filter(|region| is_name(region)),
        beanstalk: application.zip(environment).map(|(application, environment)| Beanstalk {
            environment: format!("{application}-{environment}"),
            application,
        }),
    })
}

/// The target of a job with steps of its own: `environment: name` or `environment: {name, url}`.
fn own_target(environment: &Value, repo: &str) -> Option<Target> {
    let name = text(environment).or_else(|| text(&environment["name"]))?;
    Some(Target {
        environment: named(&resolve(&name, repo)?)?,
        url: text(&environment["url"]).and_then(|url| resolve(&url, repo)).and_then(web_address),
        region: None,
        beanstalk: None,
    })
}

/// A name that GitHub would take.
fn named(name: &str) -> Option<EnvName> {
    (name.chars().count() <= MOST_NAME).then(|| EnvName::new(name))
}

/// Limits far above any real workflow and far below what hurts.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 50_000,
            max_events: 200_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 1,
            max_total_scalar_bytes: 4 * MOST_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 50_000,
            max_replay_stack_depth: 16,
        },
    }
}

fn unreadable(error: &serde_saphyr::Error) -> Unreadable {
    Unreadable(super::error::clean(&error.to_string()))
}

/// A scalar as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// One text or a list of texts.
fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}

fn group(concurrency: &Value) -> Option<String> {
    text(concurrency).or_else(|| text(&concurrency["group"]))
}

fn branch(on: &Value) -> Option<String> {
    list(&on["push"]["branches"]).into_iter().find(|branch| !branch.contains(['*', '?', '!', '[', '+', '$']))
}

fn boolean_inputs(on: &Value) -> BTreeSet<String> {
    let inputs = on["workflow_dispatch"]["inputs"].as_object().into_iter().flatten();
    inputs.filter(|(_, input)| input["type"] == "boolean").map(|(name, _)| name.clone()).collect()
}

/// Replaces the expressions that mean the same for every run; `None` where there is another one.
fn resolve(text: &str, repo: &str) -> Option<String> {
    let (owner, name) = repo.split_once('/').unwrap_or(("", repo));
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (expression, tail) = after.split_once("}}")?;
        resolved.push_str(before);
        resolved.push_str(match expression.trim() {
            "github.event.repository.name" => name,
            "github.repository" => repo,
            "github.repository_owner" => owner,
            _ => return None,
        });
        rest = tail;
    }
    resolved.push_str(rest);
    let resolved = resolved.trim();
    let fits = !resolved.is_empty() && resolved.len() <= MOST_VALUE && !resolved.contains(char::is_control);
    fits.then(|| resolved.to_owned())
}

fn web_address(url: String) -> Option<String> {
    let parsed = url::Url::parse(&url).ok()?;
    matches!(parsed.scheme(), "http" | "https").then_some(url)
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests;

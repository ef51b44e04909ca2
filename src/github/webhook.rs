//! GitHub's webhooks (`facts/github.md` 4.12): whether one is genuine, and whether it is worth a look. It is a hint and no more:
//! what is true is read from the API, so one that is lost, late, repeated or out of order changes nothing but the moment.

use std::borrow::Cow;

use ring::hmac;
use serde::Deserialize;

use super::runs::workflow;
use crate::deploy::name::RunId;
use crate::deploy::pipeline::Pipeline;

/// The events to be ticked.
pub const EVENTS: [&str; 3] = ["push", "workflow_job", "workflow_run"];
/// Others that say something when they come.
const MORE: [&str; 5] =
    ["deployment_protection_rule", "deployment_review", "deployment_status", "ping", "pull_request"];

/// The secret that is shared with GitHub.
pub struct Secret(hmac::Key);

impl Secret {
    /// Takes it as it was given to GitHub.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// Whether `X-Hub-Signature-256` signs exactly these bytes. Takes as long for a nearly right one as for a wrong one.
    pub fn signed(&self, signature: &str, body: &[u8]) -> bool {
        tag(signature).is_some_and(|tag| hmac::verify(&self.0, body, &tag).is_ok())
    }
}

/// `sha256=` and 64 hexadecimal digits.
fn tag(signature: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = signature.strip_prefix("sha256=")?.as_bytes().try_into().ok()?;
    let mut tag = [0; 32];
    for (byte, pair) in tag.iter_mut().zip(digits.as_chunks().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(tag)
}

/// An event's name as it may be a label: one that is not known is `other`.
pub fn label(event: &str) -> &'static str {
    EVENTS.into_iter().chain(MORE).find(|known| *known == event).unwrap_or("other")
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A webhook was set up.
    Ping {
        /// Events that should be ticked and are not.
        lacks: Vec<&'static str>,
    },
    /// Something happened in a repo.
    News {
        /// `owner/name`.
        repo: String,
        /// What.
        what: News,
    },
    /// Nothing of interest.
    Other,
}

/// What happened in a repo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A run of this workflow file changed.
    Run(String),
    /// A job changed of this run, on this branch.
    Job(RunId, Option<String>),
    /// This branch has new commits.
    Branch(String),
    /// A gate was reached or answered.
    Gate,
}

#[derive(Deserialize)]
struct Raw {
    action: Option<String>,
    repository: Option<RawRepository>,
    workflow_run: Option<RawRun>,
    workflow_job: Option<RawJob>,
    pull_request: Option<RawPull>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    hook: Option<RawHook>,
}

#[derive(Deserialize)]
struct RawRepository {
    full_name: String,
}

#[derive(Deserialize)]
struct RawRun {
    path: String,
}

#[derive(Deserialize)]
struct RawJob {
    run_id: u64,
    head_branch: Option<String>,
}

#[derive(Deserialize)]
struct RawPull {
    #[serde(default)]
    merged: Option<bool>,
    base: RawBase,
}

#[derive(Deserialize)]
struct RawBase {
    #[serde(rename = "ref")]
    branch: String,
}

#[derive(Deserialize)]
struct RawHook {
    #[serde(default)]
    events: Vec<String>,
}

/// Reads what is signed. GitHub sends JSON, or a form with the JSON in it where somebody left it at that; `None` where it is neither.
pub fn read(event: &str, body: &[u8]) -> Option<Delivery> {
    let json = match body.strip_prefix(b"payload=") {
        Some(_) => url::form_urlencoded::parse(body).find(|(name, _)| name == "payload")?.1,
        None => Cow::Borrowed(std::str::from_utf8(body).ok()?),
    };
    let Ok(raw) = serde_json::from_str::<Raw>(&json) else {
        // An event of a shape that is not known is not for us; one that is known has to have its own.
        return (label(event) == "other" && serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok())
            .then_some(Delivery::Other);
    };
    if event == "ping" {
        let events = raw.hook.map(|hook| hook.events).unwrap_or_default();
        let ticked = |event: &&str| events.iter().any(|ticked| ticked == "*" || ticked == event);
        return Some(Delivery::Ping { lacks: EVENTS.into_iter().filter(|event| !ticked(event)).collect() });
    }
    let what = news(event, &raw);
    Some(match (raw.repository, what) {
        (Some(repository), Some(what)) => Delivery::News { repo: repository.full_name, what },
        (_, _) => Delivery::Other,
    })
}

fn news(event: &str, raw: &Raw) -> Option<News> {
    let branch = |reference: &str| reference.strip_prefix("refs/heads/").map(str::to_owned);
    match event {
        "workflow_run" => Some(News::Run(raw.workflow_run.as_ref()?.path.clone())),
        // A job that is queued has its turn soon, and is announced again then.
        "workflow_job" if raw.action.as_deref() != Some("queued") => {
            raw.workflow_job.as_ref().map(|job| News::Job(RunId(job.run_id), job.head_branch.clone()))
        }
        "push" => branch(raw.reference.as_deref()?).map(News::Branch),
        "pull_request" => {
            let pull = raw.pull_request.as_ref().filter(|pull| pull.merged == Some(true))?;
            (raw.action.as_deref() == Some("closed")).then(|| News::Branch(pull.base.branch.clone()))
        }
        "deployment_review" | "deployment_protection_rule" | "deployment_status" => Some(News::Gate),
        _ => None,
    }
}

impl News {
    /// Whether it may concern what is deployed. Most of what happens in a busy repo does not: its CI, its branches.
    pub fn concerns(&self, pipeline: &Pipeline, knows: impl FnOnce(RunId) -> bool) -> bool {
        match self {
            Self::Run(path) => workflow(pipeline, path).is_some(),
            Self::Job(run, branch) => branch.as_ref().is_none_or(|branch| *branch == pipeline.branch) || knows(*run),
            Self::Branch(branch) => *branch == pipeline.branch,
            Self::Gate => true,
        }
    }
}

#[cfg(test)]
mod tests;

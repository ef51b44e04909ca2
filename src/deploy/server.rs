//! What Elastic Beanstalk says of an environment, in its own words. Facts only: what they mean is decided elsewhere.
//! Meanings and traps of the words: `facts/beanstalk-reliability-security.md`, A2 and A3.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One environment, as Elastic Beanstalk describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// Elastic Beanstalk's id of the environment: `e-…`.
    pub id: String,
    /// The version label that the environment is meant to run; single servers may differ.
    pub label: Option<String>,
    /// `Ready`, `Updating`, …; `Ready` means idle, not that a deployment succeeded.
    pub status: String,
    /// A colour: `Green`, `Yellow`, `Red`, `Grey`.
    pub health: Option<String>,
    /// In words, with enhanced health only: `Ok`, `Degraded`, …
    pub health_status: Option<String>,
    /// Why the health is what it is; from outside.
    pub causes: Vec<String>,
    /// When anything last changed.
    pub updated_at: Option<Timestamp>,
    /// Its servers; `None` where they could not be read (basic health, no right).
    pub instances: Option<Vec<Instance>>,
    /// The newest events, newest first; from outside.
    pub events: Vec<ServerEvent>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// The version label that it runs; `None` while it starts.
    pub label: Option<String>,
    /// Number of the deployment that it has; grows with every deployment and every change of settings.
    pub deployment: Option<u64>,
    /// Elastic Beanstalk's word for that deployment: `Deployed`, `In Progress`, `Failed`.
    pub deployed: Option<String>,
    /// When it was started.
    pub launched_at: Option<Timestamp>,
    /// Its health in words.
    pub health: Option<String>,
    /// Why; from outside.
    pub causes: Vec<String>,
}

/// A line of an environment's event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerEvent {
    /// When.
    pub at: Timestamp,
    /// `INFO`, `WARN`, `ERROR`, …
    pub severity: String,
    /// What; from outside.
    pub message: String,
}

/// Why Elastic Beanstalk did not tell. "Unknown", never "all is well".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unread {
    /// No credentials, `aws = false`, or the environment's name or region is not known.
    NotConfigured,
    /// These credentials may not look, or have expired: AWS's own code.
    Denied(String),
    /// AWS asks to be asked less.
    Throttled,
    /// There is no such environment there.
    Missing,
    /// No answer, or one that makes no sense: one lowercase fragment.
    Unreachable(String),
}

/// One look at an environment.
pub type Reading = Result<Servers, Unread>;

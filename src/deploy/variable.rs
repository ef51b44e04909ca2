//! Environment variables: which keys are missing or differ where. Values never come here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::effect::Effect;
use super::event::Facts;
use super::name::{EnvName, PrNumber, RunId, Sha};
use super::refusal::Refusal;

/// What people do about environment variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Variables {}

impl Variables {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        match *self {}
    }

    /// The run that it names.
    pub fn run(&self) -> Option<RunId> {
        match *self {}
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        match *self {}
    }
}

/// A commit status of a pull request that requires variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The pull request.
    pub pr: PrNumber,
    /// Its head, which gets the status.
    pub sha: Sha,
    /// Whether every environment has every variable; `None` while that cannot be told.
    pub met: Option<bool>,
    /// What GitHub shows beside it: at most 140 characters, never a value.
    pub description: String,
}

/// A variable to be set, environment by environment. The values are not here: they stay in the process's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// The variable.
    pub key: String,
    /// The environments, in this order.
    pub environments: Vec<EnvName>,
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn variables(
        &mut self,
        _request: Request,
        _facts: Facts,
        what: Variables,
        _now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {}
    }
}

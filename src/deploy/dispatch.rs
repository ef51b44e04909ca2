//! Starting workflows: redeploy chosen environments, start Deploy for the branch. Each is dispatched once, whatever happens.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::effect::Effect;
use super::event::Facts;
use super::name::{EnvName, RunId};
use super::refusal::Refusal;
use super::run::Workflow;

/// What people do to start a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Dispatch {}

impl Dispatch {
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

/// A workflow to be started, once: a second dispatch would cancel the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// Deploy or Redeploy.
    pub workflow: Workflow,
    /// The environments, for a Redeploy.
    pub environments: Vec<EnvName>,
    /// When it was decided: a run that was there before is not the one that this starts.
    pub at: Timestamp,
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn dispatch(
        &mut self,
        _request: Request,
        _facts: Facts,
        what: Dispatch,
        _now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {}
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environments.iter().map(EnvName::as_str).collect();
        match self.workflow {
            Workflow::Deploy => write!(f, "deploy for {}", self.request.by),
            Workflow::Redeploy => write!(f, "redeploy of {} for {}", names.join(", "), self.request.by),
        }
    }
}

//! Rolling forward: a change that broke something is reverted by a new pull request and followed until it is live.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::effect::Effect;
use super::event::Facts;
use super::name::{PrNumber, RunId};
use super::refusal::Refusal;

/// What people do to repair by a new change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RollForward {}

impl RollForward {
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

/// A change to be reverted by a pull request, opened once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reverting {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// The pull request to revert.
    pub pr: PrNumber,
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn roll_forward(
        &mut self,
        _request: Request,
        _facts: Facts,
        what: RollForward,
        _now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {}
    }
}

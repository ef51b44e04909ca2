//! Mending a run: run its failed jobs again, cancel it, ask others for help.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::effect::Effect;
use super::event::Facts;
use super::name::RunId;
use super::refusal::Refusal;

/// What people do about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Mend {}

impl Mend {
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

/// What is to be done to a run, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// Which run.
    pub run: RunId,
    /// Its attempt, as the person saw it.
    pub attempt: u32,
    /// What.
    pub what: Means,
}

/// The two things that can be done to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// Run its failed jobs again.
    Rerun,
    /// Cancel it.
    Cancel,
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn mend(
        &mut self,
        _request: Request,
        _facts: Facts,
        what: Mend,
        _now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {}
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Means::Rerun => "rerun failed jobs of",
            Means::Cancel => "cancel",
        };
        write!(f, "{what} run {} attempt {} for {}", self.run, self.attempt, self.request.by)
    }
}

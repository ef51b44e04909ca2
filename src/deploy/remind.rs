//! Reminders: a change that somebody waits behind, or that is old, is called to its person's mind, at most once a day.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::effect::Effect;
use super::event::Facts;
use super::name::RunId;
use super::refusal::Refusal;

/// What people say to a reminder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Remind {}

impl Remind {
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

impl App {
    /// Decides it on fresh facts.
    pub(super) fn hear_reminded(
        &mut self,
        _request: Request,
        _facts: Facts,
        what: Remind,
        _now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {}
    }
}

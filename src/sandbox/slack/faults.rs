//! How the pretend Slack misbehaves on request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A misbehaviour. `method` is a Web API method's name, `response_url`, or `*` for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Answers 429 without doing anything.
    Http429 {
        /// Which method.
        method: String,
        /// How many calls.
        times: u32,
        /// The `Retry-After`, in seconds.
        retry_after: u64,
    },
    /// Answers 500 and a page of HTML without doing anything.
    Http500 {
        /// Which method.
        method: String,
        /// How many calls.
        times: u32,
    },
    /// Does what was asked, then answers 500 and a page of HTML.
    Http500After {
        /// Which method.
        method: String,
        /// How many calls.
        times: u32,
    },
    /// Answers `{"ok":false,"error":…}` without doing anything.
    Error {
        /// Which method.
        method: String,
        /// How many calls.
        times: u32,
        /// Slack's error code.
        error: String,
    },
    /// Does nothing and does not answer either.
    Hang {
        /// Which method.
        method: String,
        /// How many calls.
        times: u32,
    },
    /// Does what was asked and does not answer.
    HangAfter {
        /// Which method.
        method: String,
        /// How many calls.
        times: u32,
    },
    /// Meets one call to come, once.
    Nth {
        /// Which of those that it concerns, counted from 1.
        nth: u32,
        /// How; its own count does not matter.
        fault: Box<Fault>,
    },
    /// `apps.connections.open` and the WebSocket's address answer 503.
    RefuseConnections {
        /// From now on, or no longer.
        on: bool,
    },
    /// Every envelope is sent twice, to two sockets where there are two.
    DeliverTwice {
        /// From now on, or no longer.
        on: bool,
    },
    /// The sockets that are open now go half-open: TCP stays, nothing passes in either direction.
    WithholdPongs,
    /// The sockets that are open now lose their TCP connection without a close frame.
    DropTcp,
}

/// What a fault does to one call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    RateLimited { retry_after: u64 },
    Broken,
    BrokenAfter,
    Error(String),
    Hang,
    HangAfter,
}

/// How long a hanging call hangs, unless the sandbox ends first.
pub(super) const HANG: Duration = Duration::from_secs(120);

/// The faults that are in force.
#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: Vec<Fault>,
    pub(super) refuse_connections: bool,
    pub(super) deliver_twice: bool,
}

impl Faults {
    /// Adds a fault that concerns calls, or switches one that lasts. What happens to open sockets is the socket's.
    pub(super) fn arm(&mut self, fault: Fault) {
        match fault {
            Fault::RefuseConnections { on } => self.refuse_connections = on,
            Fault::DeliverTwice { on } => self.deliver_twice = on,
            Fault::WithholdPongs | Fault::DropTcp => {}
            Fault::Http429 { .. }
            | Fault::Http500 { .. }
            | Fault::Http500After { .. }
            | Fault::Error { .. }
            | Fault::Hang { .. }
            | Fault::HangAfter { .. }
            | Fault::Nth { .. } => self.calls.push(fault),
        }
    }

    /// The trouble that a call of `method` meets now, which is then used up.
    pub(super) fn meet(&mut self, method: &str) -> Option<Trouble> {
        self.calls.retain_mut(|fault| fault.target().is_some_and(|(_, left)| *left > 0));
        let hit = |fault: &mut Fault| fault.target().is_some_and(|(name, _)| name == "*" || name == method);
        self.calls.iter_mut().filter_map(|fault| hit(fault).then_some(fault)).find_map(Fault::strike)
    }
}

impl Fault {
    /// What it does to a call that it concerns; one that is still to come does nothing yet.
    fn strike(&mut self) -> Option<Trouble> {
        let (_, left) = self.target()?;
        *left -= 1;
        match self {
            Fault::Nth { nth: 0, fault } => fault.trouble(),
            Fault::Nth { .. } => None,
            fault => fault.trouble(),
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        match self {
            Fault::Http429 { retry_after, .. } => Some(Trouble::RateLimited { retry_after: *retry_after }),
            Fault::Http500 { .. } => Some(Trouble::Broken),
            Fault::Http500After { .. } => Some(Trouble::BrokenAfter),
            Fault::Error { error, .. } => Some(Trouble::Error(error.clone())),
            Fault::Hang { .. } => Some(Trouble::Hang),
            Fault::HangAfter { .. } => Some(Trouble::HangAfter),
            Fault::Nth { .. }
            | Fault::RefuseConnections { .. }
            | Fault::DeliverTwice { .. }
            | Fault::WithholdPongs
            | Fault::DropTcp => None,
        }
    }

    fn target(&mut self) -> Option<(&str, &mut u32)> {
        match self {
            Fault::Http429 { method, times, .. }
            | Fault::Http500 { method, times }
            | Fault::Http500After { method, times }
            | Fault::Error { method, times, .. }
            | Fault::Hang { method, times }
            | Fault::HangAfter { method, times } => Some((method, times)),
            Fault::Nth { nth, fault } => fault.target().map(|(method, _)| (method, nth)),
            Fault::RefuseConnections { .. } | Fault::DeliverTwice { .. } | Fault::WithholdPongs | Fault::DropTcp => {
                None
            }
        }
    }
}

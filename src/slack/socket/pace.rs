//! How long to wait before the next try to connect.

use std::time::Duration;

use super::SocketSettings;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Slack could not be reached, or the connection ended: try again soon.
    Network,
    /// Slack does not want a connection now, perhaps with the time for which it said so.
    Unwanted(Option<Duration>),
    /// Only a person can repair it; Slack's error code.
    Fatal(String),
}

/// Doubles the pauses, each kind by itself, and spreads them so that many bots do not return at the same moment.
pub(super) struct Pace {
    network: Pauses,
    unwanted: Pauses,
}

struct Pauses {
    first: Duration,
    next: Duration,
    cap: Duration,
}

impl Pace {
    pub(super) fn new(settings: &SocketSettings) -> Self {
        Self {
            network: Pauses::new(settings.retry, settings.retry_cap),
            unwanted: Pauses::new(settings.retry_cap, settings.unwanted_cap),
        }
    }

    /// After a connection that stood: begin with short pauses again.
    pub(super) fn reset(&mut self) {
        self.network.next = self.network.first;
        self.unwanted.next = self.unwanted.first;
    }

    pub(super) fn pause(&mut self, trouble: &Trouble) -> Duration {
        match trouble {
            Trouble::Network => self.network.pause(),
            Trouble::Unwanted(asked) => asked.unwrap_or_default() + self.unwanted.pause(),
            Trouble::Fatal(_) => Duration::ZERO,
        }
    }
}

impl Pauses {
    fn new(first: Duration, cap: Duration) -> Self {
        Self { first, next: first, cap }
    }

    /// Between half and all of the current pause.
    fn pause(&mut self) -> Duration {
        let full = self.next.min(self.cap);
        self.next = full * 2;
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_cap_and_start_again() {
        let mut pace = Pace::new(&SocketSettings::default());
        let within = |pause: Duration, full: u64| {
            assert!(
                pause <= Duration::from_millis(full) && pause >= Duration::from_millis(full / 2),
                "{pause:?} {full}"
            );
        };
        for full in [100, 200, 400, 800, 900, 900] {
            within(pace.pause(&Trouble::Network), full);
        }
        for full in [900, 1_800, 3_600, 7_200, 14_400, 28_800, 30_000, 30_000] {
            within(pace.pause(&Trouble::Unwanted(None)), full);
        }
        pace.reset();
        within(pace.pause(&Trouble::Network), 100);
        let asked = Duration::from_secs(60);
        within(pace.pause(&Trouble::Unwanted(Some(asked))).saturating_sub(asked), 900);
    }
}

//! The door to Slack: how a connection is opened while Slack may take calls and never answer them. What hangs when an outage ends is not
//! waited for: another call is made meanwhile. Tickets are scarce (`facts/slack.md` 2.1: some 50 a minute for all replicas), so it is a cheaper
//! call, of which Slack allows hundreds, that finds out whether Slack answers again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at};

use super::pace::Trouble;
use super::{Envelope, Session, Shared, Verdict, WebSocket, attempt};

/// Something that takes longer than this may be hanging.
const HANGING: Duration = Duration::from_millis(350);
/// An attempt that is younger than this is not given up for another one: Slack may only be far away.
const YOUNG: Duration = Duration::from_secs(1);
/// Calls that may hang at once; each is given up after three seconds.
const KNOCKS: usize = 9;
/// How many tickets may be asked for at once, after a quiet time.
const TICKETS: u32 = 20;
/// How long it takes until one more may be asked for: an outage of hours costs at most 20 a minute.
const TICKET_EVERY: Duration = Duration::from_secs(3);

/// What the keepers of a bot's connections share.
pub(super) struct Door {
    /// One keeper at a time: it opens for the other one too.
    turn: Semaphore,
    tickets: Mutex<Tickets>,
}

struct Tickets {
    left: u32,
    since: Instant,
}

impl Default for Door {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), tickets: Mutex::new(Tickets { left: TICKETS, since: Instant::now() }) }
    }
}

impl Door {
    /// Whether a ticket may be asked for now; then it counts as asked for.
    fn may_ask(&self) -> bool {
        self.may_ask_at(Instant::now())
    }

    fn may_ask_at(&self, now: Instant) -> bool {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        while now.duration_since(tickets.since) >= TICKET_EVERY {
            tickets.left = (tickets.left + 1).min(TICKETS);
            tickets.since += TICKET_EVERY;
        }
        let may = tickets.left > 0;
        tickets.left = tickets.left.saturating_sub(1);
        may
    }
}

/// A connection that Slack has greeted; `careful` where the last try failed: then Slack has to answer something before it is asked for a
/// ticket.
pub(super) async fn open<H, F>(shared: &Arc<Shared<H>>, careful: bool) -> Result<WebSocket, Trouble>
where
    H: Fn(Envelope) -> F + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    let _turn = shared.door.turn.acquire().await;
    let (mut attempts, mut knocks) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut again = interval_at(Instant::now() + HANGING, HANGING);
    if careful || !shared.door.may_ask() {
        knocks.push(shared.slack.answers());
    } else {
        attempts.push(attempt(shared));
    }
    let (mut hung, mut tried) = (false, Instant::now());
    loop {
        if attempts.is_empty() && knocks.is_empty() {
            // What hung may all have broken off at once because Slack is back.
            if !std::mem::take(&mut hung) {
                return Err(Trouble::Network);
            }
            knocks.push(shared.slack.answers());
        }
        tokio::select! {
            Some(opened) = attempts.next() => match opened {
                Err(Trouble::Network) => {}
                Err(trouble) => return Err(trouble),
                Ok(socket) => {
                    // Another one may have been greeted in the same moment: what Slack sent on it is not lost.
                    while let Some(Some(opened)) = attempts.next().now_or_never() {
                        if let Ok(socket) = opened {
                            Session::start(shared.clone(), socket).0.cancel();
                        }
                    }
                    return Ok(socket);
                }
            },
            Some(answers) = knocks.next() => {
                let waits = !attempts.is_empty() && tried.elapsed() < YOUNG;
                if answers && !waits && shared.door.may_ask() {
                    knocks.clear();
                    tried = Instant::now();
                    attempts.push(attempt(shared));
                }
            }
            _ = again.tick() => {
                hung = true;
                if knocks.len() < KNOCKS {
                    knocks.push(shared.slack.answers());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_trouble_cost_twenty_tickets_a_minute() {
        let (door, start) = (Door::default(), Instant::now());
        let asked = |minute: u32| {
            let seconds = (60 * minute..60 * (minute + 1)).map(|second| start + Duration::from_secs(second.into()));
            seconds.filter(|now| door.may_ask_at(*now)).count()
        };
        let asked: Vec<usize> = (0..180).map(asked).collect();
        assert!(asked[0] < 40, "{}", asked[0]);
        assert!(asked[1..].iter().all(|asked| (19..=21).contains(asked)), "{asked:?}");
    }
}

//! The time of day, and waiting, as an argument: the sandbox can move it forward, production cannot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// The system's clock plus an offset that only [`Clock::advance`] changes, or one that stands still unless it is advanced. Clones
/// are one clock.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Milliseconds by which it was advanced.
    moved: watch::Sender<i64>,
    still: Option<Still>,
}

/// Time that stands still: who sleeps is known.
#[derive(Debug)]
struct Still {
    since: Timestamp,
    /// When each sleeper wakes, with a number of its own.
    alarms: watch::Sender<BTreeSet<(Timestamp, u64)>>,
    numbers: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { moved: watch::Sender::new(0), still: None }) }
    }
}

impl Clock {
    /// A clock that stands still unless it is advanced: an hour is over as soon as everybody has done what there was to do in it.
    pub fn still(since: Timestamp) -> Self {
        let still = Still { since, alarms: watch::Sender::default(), numbers: AtomicU64::new(0) };
        Self { shared: Arc::new(Shared { moved: watch::Sender::new(0), still: Some(still) }) }
    }

    /// The time now, to the millisecond.
    pub fn now(&self) -> Timestamp {
        let base = self.shared.still.as_ref().map_or_else(Timestamp::now, |still| still.since);
        let now = base.as_millisecond().saturating_add(*self.shared.moved.borrow());
        Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX)
    }

    /// Moves this clock and all its clones forward; sleepers whose time has come wake.
    pub fn advance(&self, by: SignedDuration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.shared.moved.send_modify(|moved| *moved = moved.saturating_add(ms));
    }

    /// Waits for so long by this clock. A system clock that is set anew does not matter.
    pub async fn sleep(&self, time: Duration) {
        let (mut moved, begun) = (self.shared.moved.subscribe(), Instant::now());
        let start = *moved.borrow_and_update();
        let _alarm = self.shared.still.as_ref().map(|still| Alarm::set(still, self.now(), time));
        loop {
            let jumped = Duration::from_millis(moved.borrow_and_update().abs_diff(start));
            let run = if self.shared.still.is_some() { Duration::ZERO } else { begun.elapsed() };
            let left = time.saturating_sub(jumped).saturating_sub(run);
            if left.is_zero() {
                return;
            }
            let rest = if self.shared.still.is_some() { Duration::MAX } else { left };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                _ = moved.changed() => {}
            }
        }
    }

    /// Waits until so many sleep and nobody has to wake; then when the next one has to. Never where time does not stand still.
    pub async fn all_asleep(&self, sleepers: usize) -> Timestamp {
        let Some(still) = &self.shared.still else { return std::future::pending().await };
        let mut alarms = still.alarms.subscribe();
        let next = |alarms: &BTreeSet<(Timestamp, u64)>| alarms.first().map_or(Timestamp::MAX, |(at, _)| *at);
        let asleep = alarms.wait_for(|alarms| alarms.len() >= sleepers && next(alarms) > self.now()).await;
        asleep.map_or(Timestamp::MAX, |alarms| next(&alarms))
    }
}

/// One that sleeps, until it is dropped.
struct Alarm<'a> {
    still: &'a Still,
    entry: (Timestamp, u64),
}

impl<'a> Alarm<'a> {
    fn set(still: &'a Still, now: Timestamp, time: Duration) -> Self {
        let at = now.checked_add(time).unwrap_or(Timestamp::MAX);
        let entry = (at, still.numbers.fetch_add(1, Ordering::Relaxed));
        still.alarms.send_if_modified(|alarms| alarms.insert(entry));
        Self { still, entry }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.still.alarms.send_if_modified(|alarms| alarms.remove(&self.entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_jump_wakes_who_sleeps() {
        let clock = Clock::default();
        let sleeper = clock.clone();
        let asleep = tokio::spawn(async move { sleeper.sleep(Duration::from_secs(600)).await });
        tokio::task::yield_now().await;
        clock.advance(SignedDuration::from_secs(300));
        clock.sleep(Duration::from_millis(5)).await;
        assert!(!asleep.is_finished());
        clock.advance(SignedDuration::from_secs(300));
        tokio::time::timeout(Duration::from_secs(10), asleep).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn time_that_stands_still_waits_for_those_who_work() {
        let start = Timestamp::from_second(1_790_000_000).unwrap();
        let clock = Clock::still(start);
        let sleeper = clock.clone();
        let asleep = tokio::spawn(async move {
            sleeper.sleep(Duration::from_secs(60)).await;
            sleeper.sleep(Duration::from_secs(10)).await;
        });
        let next = clock.all_asleep(1).await;
        assert_eq!((clock.now(), next), (start, start + SignedDuration::from_secs(60)));
        clock.advance(next.duration_since(clock.now()));
        assert_eq!(clock.all_asleep(1).await, start + SignedDuration::from_secs(70), "it sleeps again");
        clock.advance(SignedDuration::from_secs(10));
        tokio::time::timeout(Duration::from_secs(10), asleep).await.unwrap().unwrap();
    }
}

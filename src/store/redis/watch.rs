//! What time it is at Redis. A deadline means something to a Redis that slept only by its own clock, and the clocks of two machines differ.
//!
//! What Redis shows in an answer it showed at some moment before that was heard. So later it shows at least that and what has passed here
//! since: a guess that is never ahead, and behind by what the answer took. A deadline made of it may come too early, and then Redis says so
//! and shows its time anew; but none comes too late.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Two clocks run apart, or one of them is set: what was shown longer ago does not count.
const FRESH: Duration = Duration::from_secs(60);

/// Redis' clock, as last shown.
#[derive(Default)]
pub(super) struct Watch(Mutex<Option<(i64, Instant)>>);

impl Watch {
    /// An answer that was heard then showed this (ms).
    pub(super) fn set(&self, shown: i64, heard: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((shown, heard));
    }

    /// What it shows at an instant, at least (ms); `None` where it was not shown lately.
    pub(super) fn at(&self, instant: Instant) -> Option<i64> {
        let (shown, heard) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = instant.saturating_duration_since(heard);
        (since < FRESH).then(|| shown.saturating_add(since.as_millis() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Commit, Committed, Version};
    use super::*;
    use crate::deploy::name::AppName;
    use crate::store::tests::redis::Server;

    #[test]
    fn it_goes_on_by_itself_and_not_for_long() {
        let (watch, heard) = (Watch::default(), Instant::now());
        assert_eq!(watch.at(heard), None);
        watch.set(7_000, heard);
        assert_eq!(watch.at(heard + Duration::from_secs(2)), Some(9_000));
        assert_eq!(watch.at(heard + FRESH), None);
    }
    /// Redis' clock was set, or another Redis took its place.
    #[tokio::test]
    async fn a_deadline_that_came_too_early_is_given_anew() {
        let server = Server::start(&[]);
        let (redis, at) = (server.store(0), jiff::Timestamp::UNIX_EPOCH);
        redis.watch.set(7_000, Instant::now());
        let (app, document, decisions) = (AppName::new("h"), "{}".to_owned(), Vec::new());
        let commit = Commit { app, expected: Version(0), at, document: Some(document), decisions, fence: None };
        assert_eq!(redis.commit(commit).await, Ok(Committed::Yes(Version(1))));
    }
}

//! How often a watcher looks: soon while something goes on, later while nothing does; less often while webhooks announce what happens,
//! while there are very many apps, and while GitHub's hour is nearly used up. Pure figures.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::Polling;
use crate::deploy::event::Look;
use crate::deploy::name::{RunId, Sha};
use crate::deploy::run::{Conclusion, Status};
use crate::github::Budget;

/// How much less often is asked while webhooks announce what happens: where something goes on, and elsewhere.
const ANNOUNCED: (f64, f64) = (6.0, 2.5);
/// Nothing is stretched beyond this: an app that was not seen for five minutes counts as not seen.
const LONGEST: Duration = Duration::from_mins(4);
/// Requests of one look, where something goes on and elsewhere; a look at pull requests included.
const COST: (u32, u32) = (7, 4);
/// Requests a minute that all looks at such apps together may come to; unchanged answers are free of the hourly limit, but GitHub takes
/// 900 a minute at most.
const A_MINUTE: (u32, u32) = (400, 450);

/// So many apps are no crowd, however often somebody wants them looked at.
const FEW: usize = 8;

/// What made a watcher look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody here knows that something happened, or waits for it.
    Asked,
    /// A webhook.
    Hint,
    /// It was time, or it is the first look.
    Time,
}

/// What decides about the next look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Whether something goes on.
    pub active: bool,
    /// Whether webhooks announce what happens.
    pub announced: bool,
    /// How many apps there are where something goes on, or where nothing does, as here.
    pub alike: usize,
    /// Which part of GitHub's hour is left, 0 to 1.
    pub left: f64,
}

impl Pace {
    /// How long to wait for the next look.
    pub fn pause(&self, polling: &Polling) -> Duration {
        let pick = |(active, idle)| if self.active { active } else { idle };
        let usual = if self.active { polling.active } else { polling.idle };
        let (cost, minute) = if self.active { (COST.0, A_MINUTE.0) } else { (COST.1, A_MINUTE.1) };
        let crowd = Duration::from_mins(1).mul_f64(self.alike as f64 * f64::from(cost) / f64::from(minute));
        let crowd = if self.alike > FEW { crowd } else { Duration::ZERO };
        let announced = if self.announced { pick(ANNOUNCED) } else { 1.0 };
        let scarce = match self.left {
            left if left < 0.1 => pick((3.0, 4.0)),
            left if left < 0.25 => pick((1.0, 2.0)),
            _ => 1.0,
        };
        usual.mul_f64(announced * scarce).max(crowd).min(LONGEST.max(usual))
    }
}

/// Which part of GitHub's hour is left; all of it where that is not known, or the hour is over.
pub(super) fn left(budget: Option<Budget>, now: Timestamp) -> f64 {
    match budget.filter(|budget| budget.reset > now && budget.limit > 0) {
        Some(budget) => budget.remaining as f64 / budget.limit as f64,
        None => 1.0,
    }
}

/// What webhooks announce of a look: which runs there are, how far they are, the branch's newest commit.
type Essence = (Vec<(RunId, u32, Status, Option<Conclusion>)>, Sha);

/// Whether webhooks can be relied on, for one app: they can after one came, until something is found that none announced.
#[derive(Default)]
pub(super) struct Trust {
    announced: bool,
    heard: u64,
    seen: Option<Essence>,
}

impl Trust {
    /// Whether webhooks announce what happens, as far as is known.
    pub fn is_announced(&self) -> bool {
        self.announced
    }

    /// A look is over; `heard` is how many webhooks there were so far. Whether it found something that none announced.
    pub fn judge(&mut self, cause: Cause, look: &Look, heard: u64) -> bool {
        let runs = look.runs.iter().map(|run| (run.id, run.attempt, run.status, run.conclusion)).collect();
        let seen = Some((runs, look.main.clone()));
        let silent = heard == self.heard;
        let surprised = cause == Cause::Time && silent && self.seen.is_some() && self.seen != seen;
        let was = self.announced;
        self.announced = !silent || (was && !surprised);
        (self.heard, self.seen) = (heard, seen);
        was && surprised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLLING: Polling = Polling { active: Duration::from_secs(10), idle: Duration::from_secs(60) };

    fn seconds(active: bool, announced: bool, alike: usize, left: f64) -> u64 {
        Pace { active, announced, alike, left }.pause(&POLLING).as_secs()
    }

    #[test]
    fn the_figures_of_the_readme() {
        assert_eq!((seconds(true, false, 5, 1.0), seconds(false, false, 50, 1.0)), (10, 60));
        assert_eq!((seconds(true, true, 5, 1.0), seconds(false, true, 50, 1.0)), (60, 150), "with webhooks");
        assert_eq!((seconds(true, false, 5, 0.2), seconds(false, false, 50, 0.2)), (10, 120), "a quarter is left");
        assert_eq!((seconds(true, false, 5, 0.05), seconds(false, false, 50, 0.05)), (30, 240), "a tenth is left");
        assert_eq!((seconds(true, false, 30, 1.0), seconds(false, false, 400, 1.0)), (31, 213), "many apps");
        assert_eq!(seconds(false, true, 1_000, 0.0), 240, "never longer");
    }

    #[test]
    fn who_asked_for_rare_looks_gets_them() {
        let polling = Polling { active: Duration::from_mins(5), idle: Duration::from_mins(30) };
        let pace = Pace { active: false, announced: true, alike: 1, left: 0.0 };
        assert_eq!(pace.pause(&polling), Duration::from_mins(30));
    }

    #[test]
    fn webhooks_are_relied_on_until_one_is_missing() {
        let look = |main: &str| Look { runs: Vec::new(), main: Sha::from(main) };
        let mut trust = Trust::default();
        let mut judge = |cause, main, heard| {
            let surprised = trust.judge(cause, &look(main), heard);
            (surprised, trust.is_announced())
        };
        assert_eq!(judge(Cause::Asked, "a", 0), (false, false), "the first look");
        assert_eq!(judge(Cause::Time, "b", 0), (false, false), "nobody promised anything");
        assert_eq!(judge(Cause::Hint, "c", 1), (false, true));
        assert_eq!(judge(Cause::Time, "c", 1), (false, true), "silence where nothing happens");
        assert_eq!(
            judge(Cause::Asked, "d", 1),
            (false, true),
            "what the bot does itself is seen before it is announced"
        );
        assert_eq!(judge(Cause::Time, "e", 2), (false, true), "announced while it was looking");
        assert_eq!(judge(Cause::Time, "f", 2), (true, false), "nobody announced that");
        assert_eq!(judge(Cause::Time, "g", 2), (false, false));
        assert_eq!(judge(Cause::Hint, "g", 3), (false, true), "it was only late");
    }
}

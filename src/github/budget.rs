//! GitHub's limits (`facts/github.md` 4.11): what is left of each hour, who may still use it, and until when nobody asks anything.
//! One memory for all apps: a limit that one of them ran into is kept by all.

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};

use super::error::{GitHubError, Limit};
use super::{Result, number, timestamp};

/// The longest that anything is not asked: hourly limits start anew after an hour.
const LONGEST: SignedDuration = SignedDuration::from_mins(61);
/// The first pause after a secondary limit that names none; it doubles with each further one.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// How often it doubles.
const DOUBLINGS: u32 = 4;
/// First looks have a request in so much time, 300 a minute, after these many at once. GitHub takes 900 a minute at most: the rest is for
/// the looks at those that were seen.
const BETWEEN: SignedDuration = SignedDuration::from_millis(200);
const AT_FIRST: i32 = 200;
/// No turn is farther away than this, also where the clock was set back.
const FARTHEST: SignedDuration = SignedDuration::from_mins(5);

/// An hourly allowance, as the newest answer stated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests an hour.
    pub limit: u64,
    /// Requests left.
    pub remaining: u64,
    /// Requests spent.
    pub used: u64,
    /// When the hour is over.
    pub reset: Timestamp,
}

/// For whom something is asked. The last requests of an hour are for people; those before them for apps where something goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody wants something done, or waits for an answer.
    Person,
    /// A look at an app where a run goes on.
    Active,
    /// A look at an app where nothing goes on.
    Idle,
    /// The first look at an app where nothing is known to go on: it reads the past, with many apps more than GitHub takes at once.
    First,
}

/// Which allowance a request is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bucket {
    /// `core`.
    Rest,
    /// `graphql`.
    GraphQl,
}

/// What is known about one allowance.
#[derive(Clone, Copy, Default)]
struct Allowance {
    budget: Option<Budget>,
    blocked: Option<Timestamp>,
}

/// What is known about all limits.
#[derive(Default)]
pub(super) struct Limits {
    rest: Allowance,
    graphql: Allowance,
    /// Secondary limits since the last answer that was none.
    strikes: u32,
    /// When the next request of a first look has its turn, after those that may be at once.
    turn: Option<Timestamp>,
}

impl Purpose {
    /// The part of an allowance that is not for this: `None` for nothing.
    fn left_to_others(self, limit: u64) -> Option<u64> {
        match self {
            Self::Person => None,
            Self::Active => Some(limit / 50),
            Self::Idle | Self::First => Some(limit / 20),
        }
    }
}

impl Bucket {
    /// GitHub's name for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Rest => "core",
            Self::GraphQl => "graphql",
        }
    }
}

impl Limits {
    fn of(&mut self, bucket: Bucket) -> &mut Allowance {
        match bucket {
            Bucket::Rest => &mut self.rest,
            Bucket::GraphQl => &mut self.graphql,
        }
    }

    pub(super) fn budget(&self, bucket: Bucket) -> Option<Budget> {
        match bucket {
            Bucket::Rest => self.rest.budget,
            Bucket::GraphQl => self.graphql.budget,
        }
    }

    /// Reads what an answer says about its allowance.
    pub(super) fn note(&mut self, bucket: Bucket, headers: &HeaderMap) {
        let Some(budget) = Budget::read(bucket, headers) else { return };
        self.of(bucket).budget = Some(budget);
        let resource = bucket.word();
        metrics::gauge!("lockkeeper_github_limit", "resource" => resource).set(budget.limit as f64);
        metrics::gauge!("lockkeeper_github_remaining", "resource" => resource).set(budget.remaining as f64);
        metrics::gauge!("lockkeeper_github_used", "resource" => resource).set(budget.used as f64);
        metrics::gauge!("lockkeeper_github_reset_timestamp_seconds", "resource" => resource)
            .set(budget.reset.as_second() as f64);
    }

    /// Takes a place in the line of first looks, and says how long to wait there. A server that states no limits has none, as GitHub
    /// Enterprise Server unless it is told to.
    pub(super) fn line_up(&mut self, now: Timestamp) -> SignedDuration {
        if self.rest.budget.is_none() {
            return SignedDuration::ZERO;
        }
        let turn = self.turn.unwrap_or(Timestamp::MIN).clamp(now - BETWEEN * AT_FIRST, now + FARTHEST);
        self.turn = Some(turn + BETWEEN);
        turn.duration_since(now).max(SignedDuration::ZERO)
    }

    /// Whether first looks have to wait for their turn.
    pub(super) fn is_lined_up(&self, now: Timestamp) -> bool {
        self.turn.is_some_and(|turn| turn > now && turn <= now + FARTHEST)
    }

    /// An answer came that is no limit.
    pub(super) fn answered(&mut self) {
        self.strikes = 0;
    }

    /// Remembers that nothing may be asked for a while; until when.
    pub(super) fn block(&mut self, bucket: Bucket, limit: Limit, now: Timestamp) -> Timestamp {
        let (kind, until) = match limit {
            Limit::Primary(until) => ("primary", until),
            Limit::Secondary(Some(until)) => ("secondary", until),
            Limit::Secondary(None) => {
                let pause = PAUSE * 2_i32.pow(self.strikes.min(DOUBLINGS));
                self.strikes += 1;
                ("secondary", now + pause)
            }
        };
        let until = until.min(now + LONGEST);
        metrics::counter!("lockkeeper_github_limited_total", "limit" => kind).increment(1);
        match limit {
            Limit::Primary(_) => self.of(bucket).blocked = Some(until),
            // A secondary limit is one for everything.
            Limit::Secondary(_) => {
                for allowance in [&mut self.rest, &mut self.graphql] {
                    allowance.blocked = allowance.blocked.max(Some(until));
                }
            }
        }
        until
    }

    /// # Errors
    /// When nothing may be asked now, or what is left is for others.
    pub(super) fn allow(&mut self, bucket: Bucket, purpose: Purpose, now: Timestamp) -> Result<()> {
        let Allowance { budget, blocked } = *self.of(bucket);
        let kept = budget
            .filter(|budget| purpose.left_to_others(budget.limit).is_some_and(|reserve| budget.remaining < reserve));
        match blocked.max(kept.map(|budget| budget.reset)).filter(|until| *until > now) {
            Some(until) => Err(GitHubError::RateLimited { until: until.min(now + LONGEST) }),
            None => Ok(()),
        }
    }
}

impl Budget {
    fn read(bucket: Bucket, headers: &HeaderMap) -> Option<Self> {
        // Search and code scanning have allowances of their own.
        if headers.get("x-ratelimit-resource").is_some_and(|resource| resource != bucket.word()) {
            return None;
        }
        Some(Self {
            limit: number(headers, "x-ratelimit-limit")?,
            remaining: number(headers, "x-ratelimit-remaining")?,
            used: number(headers, "x-ratelimit-used").unwrap_or_default(),
            reset: timestamp(number(headers, "x-ratelimit-reset")?)?,
        })
    }
}

/// Counts a request by what it was for; one that GitHub does not count is `free`.
pub(super) fn count(bucket: Bucket, path: &str, free: bool) {
    let (counted, kind) = (if free { "no" } else { "yes" }, kind(bucket, path));
    metrics::counter!("lockkeeper_github_requests_total", "kind" => kind, "counted" => counted).increment(1);
    let mut segments = path.split(['/', '?']).skip(1);
    if let (false, Some("repos"), Some(owner), Some(name)) = (free, segments.next(), segments.next(), segments.next()) {
        metrics::counter!("lockkeeper_github_counted_total", "repo" => format!("{owner}/{name}")).increment(1);
    }
}

/// A few words for the many paths.
fn kind(bucket: Bucket, path: &str) -> &'static str {
    const KINDS: [(&str, &str); 12] = [
        ("/pending_deployments", "gates"),
        ("/approvals", "reviews"),
        ("/jobs", "jobs"),
        ("/runs?", "runs"),
        ("/actions/runs/", "run"),
        ("/git/ref/", "branch"),
        ("/compare/", "compare"),
        ("/pulls", "pulls"),
        ("/annotations", "annotations"),
        ("/contents/", "files"),
        ("/environments", "environments"),
        ("/orgs/", "teams"),
    ];
    match bucket {
        Bucket::GraphQl => "graphql",
        Bucket::Rest => KINDS.iter().find(|(part, _)| path.contains(part)).map_or("other", |(_, kind)| kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn with(remaining: u64) -> Limits {
        let budget = Budget { limit: 5_000, remaining, used: 5_000 - remaining, reset: at(600) };
        Limits { rest: Allowance { budget: Some(budget), blocked: None }, ..Limits::default() }
    }

    #[test]
    fn first_looks_take_turns() {
        let wait = |limits: &mut Limits, seconds| limits.line_up(at(seconds)).as_millis();
        let mut limits = with(5_000);
        assert!((0..200).all(|_| wait(&mut limits, 0) == 0) && !limits.is_lined_up(at(0)));
        let waits: Vec<i128> = (0..4).map(|_| wait(&mut limits, 0)).collect();
        assert_eq!(waits, [0, 200, 400, 600]);
        assert!(limits.is_lined_up(at(0)));
        // What was not used comes back, and no more than that.
        assert_eq!((0..100).filter(|_| wait(&mut limits, 10) == 0).count(), 47);
        assert_eq!((0..1_000).filter(|_| wait(&mut limits, 3_600) == 0).count(), 201);
        assert!(wait(&mut limits, -3_600) <= 300_000, "a clock that was set back");
        let unlimited = &mut Limits::default();
        assert!((0..1_000).all(|_| wait(unlimited, 0) == 0), "a server without limits states none");
    }

    #[test]
    fn the_last_requests_are_for_people() {
        let allowed = |remaining, now| {
            [Purpose::Idle, Purpose::Active, Purpose::Person]
                .map(|purpose| with(remaining).allow(Bucket::Rest, purpose, now).is_ok())
        };
        assert_eq!(allowed(250, at(0)), [true; 3]);
        assert_eq!(allowed(249, at(0)), [false, true, true]);
        assert_eq!(allowed(99, at(0)), [false, false, true]);
        assert_eq!(allowed(0, at(0)), [false, false, true], "GitHub itself says when nothing is left");
        assert_eq!(allowed(0, at(600)), [true; 3], "a new hour");
        let graphql = with(0).allow(Bucket::GraphQl, Purpose::Idle, at(0));
        assert_eq!(graphql, Ok(()), "another allowance");
        let until = with(0).allow(Bucket::Rest, Purpose::Active, at(0));
        assert_eq!(until, Err(GitHubError::RateLimited { until: at(600) }));
    }

    #[test]
    fn a_secondary_limit_is_for_everything_and_grows() {
        let mut limits = Limits::default();
        for minutes in [1, 2, 4, 8, 16, 16] {
            assert_eq!(limits.block(Bucket::Rest, Limit::Secondary(None), at(0)), at(60 * minutes));
        }
        assert!(limits.allow(Bucket::GraphQl, Purpose::Person, at(0)).is_err());
        limits.answered();
        assert_eq!(limits.block(Bucket::GraphQl, Limit::Secondary(None), at(1_000)), at(1_060));
        assert_eq!(limits.block(Bucket::Rest, Limit::Secondary(Some(at(1_002))), at(1_000)), at(1_002));
        assert!(limits.allow(Bucket::Rest, Purpose::Person, at(1_050)).is_err(), "the longer one holds");
        assert!(limits.allow(Bucket::Rest, Purpose::Person, at(1_060)).is_ok());
    }

    #[test]
    fn a_primary_limit_is_for_its_own_allowance() {
        let mut limits = Limits::default();
        assert_eq!(limits.block(Bucket::Rest, Limit::Primary(at(99_999)), at(0)), at(61 * 60), "an hour at most");
        assert!(limits.allow(Bucket::Rest, Purpose::Person, at(0)).is_err());
        assert!(limits.allow(Bucket::GraphQl, Purpose::Person, at(0)).is_ok());
    }

    #[test]
    fn requests_are_told_apart_by_a_few_words() {
        for (path, expected) in [
            ("/repos/o/r/actions/workflows/deploy.yml/runs?per_page=50", "runs"),
            ("/repos/o/r/actions/runs/1", "run"),
            ("/repos/o/r/actions/runs/1/jobs?filter=all&per_page=100&page=1", "jobs"),
            ("/repos/o/r/actions/runs/1/pending_deployments", "gates"),
            ("/repos/o/r/actions/runs/1/approvals", "reviews"),
            ("/repos/o/r/git/ref/heads/main", "branch"),
            ("/user", "other"),
        ] {
            assert_eq!(kind(Bucket::Rest, path), expected, "{path}");
        }
    }
}

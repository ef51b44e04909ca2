//! When people may be disturbed, and when the week is over. Pure: what time it is where somebody lives is an argument.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// Two reminders are never closer than this, wherever midnight falls.
const APART: SignedDuration = SignedDuration::from_hours(8);

/// The hours in which somebody works, by their own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkingHours {
    /// The week's first working day.
    pub first: Weekday,
    /// Its last one; the week may turn in between.
    pub last: Weekday,
    /// In minutes since midnight.
    pub from: i16,
    /// In minutes since midnight; up to 1,440, and not in it any more.
    pub until: i16,
}

/// A moment of every week, by the team's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekly {
    /// Which day.
    pub day: Weekday,
    /// In minutes since midnight.
    pub at: i16,
}

impl WorkingHours {
    /// Whether it is a time to work at.
    pub fn include(&self, here: &Zoned) -> bool {
        let days = self.first.until(self.last);
        let minute = i16::from(here.hour()) * 60 + i16::from(here.minute());
        self.first.until(here.weekday()) <= days && (self.from..self.until).contains(&minute)
    }

    /// Whether somebody may be reminded now who was last reminded then: at work, and not on the same day.
    pub fn allow(&self, here: &Zoned, last: Option<Timestamp>) -> bool {
        let today = |at: Timestamp| at.to_zoned(here.time_zone().clone()).date() == here.date();
        let soon = |at: Timestamp| here.timestamp().duration_since(at) < APART;
        self.include(here) && !last.is_some_and(|at| today(at) || soon(at))
    }
}

impl Weekly {
    /// When it last was.
    pub fn last(&self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let here = now.to_zoned(zone.clone());
        let days = self.day.until(here.weekday());
        let moment = |days: i64| {
            let day = here.date().checked_sub(days.days()).ok()?;
            let at = day.at((self.at / 60) as i8, (self.at % 60) as i8, 0, 0);
            at.to_zoned(zone.clone()).ok().map(|at| at.timestamp())
        };
        let this = moment(days.into()).filter(|at| *at <= now);
        this.or_else(|| moment(i64::from(days) + 7)).unwrap_or(Timestamp::MIN)
    }
}

/// So much later. What others say a time is may be at the end of all time, where adding ends in a panic.
pub fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    const OFFICE: WorkingHours =
        WorkingHours { first: Weekday::Monday, last: Weekday::Friday, from: 9 * 60, until: 17 * 60 };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn here(text: &str, hours: i8) -> Zoned {
        at(text).to_zoned(Offset::constant(hours).to_time_zone())
    }

    #[test]
    fn nobody_works_at_night_or_on_weekends() {
        // 2026-11-23 is a Monday.
        let table = [
            ("2026-11-23T08:59:59Z", 0, false),
            ("2026-11-23T09:00:00Z", 0, true),
            ("2026-11-23T16:59:59Z", 0, true),
            ("2026-11-23T17:00:00Z", 0, false),
            ("2026-11-23T08:00:00Z", 1, true),
            ("2026-11-23T16:00:00Z", 1, false),
            ("2026-11-23T14:00:00Z", -5, true),
            ("2026-11-22T12:00:00Z", 0, false),
            ("2026-11-28T12:00:00Z", 0, false),
            ("2026-11-27T12:00:00Z", 0, true),
            // Sunday evening in Berlin is Monday morning in Tokyo.
            ("2026-11-23T00:30:00Z", 9, true),
            ("2026-11-27T16:00:00Z", 9, false),
        ];
        for (now, offset, works) in table {
            assert_eq!(OFFICE.include(&here(now, offset)), works, "{now} at {offset}");
        }
        let sunday = WorkingHours { first: Weekday::Sunday, last: Weekday::Thursday, ..OFFICE };
        assert!(sunday.include(&here("2026-11-22T12:00:00Z", 2)));
        assert!(!sunday.include(&here("2026-11-27T12:00:00Z", 2)));
        let always = WorkingHours { first: Weekday::Monday, last: Weekday::Sunday, from: 0, until: 1_440 };
        assert!(always.include(&here("2026-11-22T23:59:59Z", 0)));
    }

    #[test]
    fn nobody_is_reminded_twice_a_day() {
        let monday = Some(at("2026-11-23T09:00:00Z"));
        assert!(OFFICE.allow(&here("2026-11-23T09:00:00Z", 0), None));
        assert!(!OFFICE.allow(&here("2026-11-23T16:59:00Z", 0), monday));
        assert!(OFFICE.allow(&here("2026-11-24T09:00:00Z", 0), monday));
        assert!(!OFFICE.allow(&here("2026-11-24T08:00:00Z", 0), monday));
        let always = WorkingHours { first: Weekday::Monday, last: Weekday::Sunday, from: 0, until: 1_440 };
        let late = Some(at("2026-11-23T23:50:00Z"));
        assert!(!always.allow(&here("2026-11-24T00:10:00Z", 0), late), "another day, but a few minutes later");
        assert!(always.allow(&here("2026-11-24T09:00:00Z", 0), late));
    }

    #[test]
    fn the_week_is_over_once_a_week() {
        let monday = Weekly { day: Weekday::Monday, at: 9 * 60 + 30 };
        let berlin = Offset::constant(1).to_time_zone();
        let table = [
            ("2026-11-23T08:29:59Z", "2026-11-16T08:30:00Z"),
            ("2026-11-23T08:30:00Z", "2026-11-23T08:30:00Z"),
            ("2026-11-29T23:00:00Z", "2026-11-23T08:30:00Z"),
            ("2026-11-30T08:30:00Z", "2026-11-30T08:30:00Z"),
        ];
        for (now, last) in table {
            assert_eq!(monday.last(at(now), &berlin), at(last), "{now}");
        }
    }
}

//! The weekly digest: one message for all apps of a channel, with how long changes waited, what was replaced and split, and DORA's
//! four. The figures are in `dora`.

use jiff::{SignedDuration, Timestamp};

use super::answer::{age, lasting};
use super::app::App;
use super::dora::Figures;
use super::effect::Effect;
use super::message::{Line, Message};
use super::text::plural;

/// What a digest looks back on.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A digest that could not be sent for this long is not sent any more: the day has other news.
const LATE: SignedDuration = SignedDuration::from_hours(24);

/// Whether it is not too late for a digest that is due since a moment.
pub fn is_timely(due: Timestamp, now: Timestamp) -> bool {
    now.duration_since(due) < LATE
}

/// Whether a digest of these apps that is due since a moment is still to be sent: not sent yet, not too late, and one of them was
/// watched before.
pub fn is_due(apps: &[&App], due: Timestamp, now: Timestamp) -> bool {
    let sent = apps.iter().any(|app| app.state.reminders.digested.is_some_and(|at| at >= due));
    let watched = apps.iter().any(|app| app.state.first_look.is_some_and(|at| at < due));
    !sent && watched && is_timely(due, now)
}

/// The digest of the week before a moment; `None` when nothing happened.
pub fn digest(apps: &[&App], due: Timestamp, now: Timestamp) -> Option<Message> {
    let weeks: Vec<Vec<Line>> = apps.iter().map(|app| app.week(due, now)).collect();
    if weeks.iter().all(Vec::is_empty) {
        return None;
    }
    let title = Line::plain("📊 ").bold("The last seven days").say(" until ").time(due);
    let mut message =
        Message { summary: Line::plain("The last seven days of deploying"), parts: Vec::new() }.text(title);
    for (app, week) in apps.iter().zip(weeks).filter(|(_, week)| !week.is_empty()) {
        message = message.text(Line::default().bold(app.state.name.as_str())).list(week);
    }
    Some(message)
}

impl App {
    /// The week is over.
    pub(super) fn send_digest(&mut self, due: Timestamp, message: Option<Message>) -> Vec<Effect> {
        self.state.reminders.digested = Some(due);
        let announce = |message| Effect::Announce { topic: format!("digest of {due}"), message };
        message.map(announce).into_iter().collect()
    }

    /// This app's week in a few lines; none when nothing happened and nothing waits.
    fn week(&self, due: Timestamp, now: Timestamp) -> Vec<Line> {
        let figures = self.figures(due - WEEK, due);
        let waiting = self.waiting_line_of_week(now);
        if figures == Figures::default() && waiting.is_none() {
            return Vec::new();
        }
        let lines = [Some(frequency(&figures)), lead(&figures), failures(&figures), hindrances(&figures), waiting];
        lines.into_iter().flatten().map(Line::plain).collect()
    }

    fn waiting_line_of_week(&self, now: Timestamp) -> Option<String> {
        let pending = self.pending()?;
        let oldest = pending.iter().map(|s| s.change.merged_at).min()?;
        let verb = if pending.len() == 1 { "is" } else { "are" };
        let (what, age) = (plural(pending.len(), "change"), age(now, oldest));
        let since = if pending.len() == 1 { "merged" } else { "the oldest merged" };
        Some(format!("{what} {verb} not in production now, {since} {age} ago"))
    }
}

fn frequency(figures: &Figures) -> String {
    match figures.deployments {
        0 => "Deployment frequency: nothing came to production".to_owned(),
        n => format!(
            "Deployment frequency: {} to production, with {}",
            plural(n, "deployment"),
            plural(figures.changes, "change")
        ),
    }
}

fn lead(figures: &Figures) -> Option<String> {
    let half = lasting(figures.lead?);
    let all = lasting(figures.waited);
    Some(format!("Lead time: half of them were live within {half} of their merge; together they waited {all}"))
}

fn failures(figures: &Figures) -> Option<String> {
    if figures.tried == 0 {
        return None;
    }
    let share = figures.failed * 100 / figures.tried;
    let rate = format!("Change failure rate: {share} %, {} of {}", figures.failed, plural(figures.tried, "deployment"));
    Some(match (figures.failed, figures.restored, figures.broken) {
        (0, ..) => "Change failure rate: 0 %".to_owned(),
        (_, Some(minutes), 0) => format!("{rate}; time to restore: {}", lasting(minutes)),
        (_, Some(minutes), n) => format!("{rate}; time to restore: {}, and {n} not repaired yet", lasting(minutes)),
        (_, None, _) => format!("{rate}; not repaired yet"),
    })
}

fn hindrances(figures: &Figures) -> Option<String> {
    let replaced = (figures.replaced > 0).then(|| {
        let verb = if figures.replaced == 1 { "was" } else { "were" };
        format!("{} {verb} replaced by a newer one", plural(figures.replaced, "run"))
    });
    let split = (figures.split > 0).then(|| format!("production was split for {}", lasting(figures.split)));
    let all: Vec<String> = replaced.into_iter().chain(split).collect();
    let words = all.join("; ");
    let mut letters = words.chars();
    let first = letters.next()?;
    Some(first.to_uppercase().chain(letters).collect())
}

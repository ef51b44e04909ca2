//! The words about mending a run: what is asked before it is done, what came of it, and why it is not done. The rules are in
//! `mend`.

use jiff::Timestamp;

use super::app::App;
use super::event::Outcome;
use super::mend::{Attempt, Means, Mend, Repair};
use super::message::{Button, Line, Message, Style, What};
use super::name::{AppName, EnvName, SlackId};
use super::offer::extent;
use super::phase::Phase;
use super::pipeline::{Environment, Kind};
use super::run::{Run, Workflow};
use super::text::{and, cut};
use super::track::{State, Tracked};

/// Why a run is not mended.
#[derive(Clone, Debug, PartialEq)]
pub enum Unmended {
    /// Somebody else did it a moment ago.
    Faster {
        /// What.
        what: Means,
        /// Who.
        by: SlackId,
        /// When.
        at: Timestamp,
    },
    /// The same person did it before: a double click.
    Again {
        /// What.
        what: Means,
        /// When.
        at: Timestamp,
    },
    /// It has been started again since the button was shown.
    Changed(Box<Run>),
    /// GitHub runs jobs again only once all of the run is over.
    Running {
        /// The run.
        run: Box<Run>,
        /// Whether something in it has failed already.
        failed: bool,
    },
    /// There is a newer run.
    Older {
        /// The run.
        run: Box<Run>,
        /// The newest.
        newest: Box<Run>,
    },
    /// Another run goes on, which starting this one again would cancel.
    WouldCancel {
        /// The run.
        run: Box<Run>,
        /// The one that goes on.
        other: Box<Run>,
    },
    /// Nothing in it failed.
    NotFailed {
        /// The run.
        run: Box<Run>,
        /// How it ended.
        phase: Phase,
    },
    /// Production has commits that it lacks.
    Behind {
        /// Which environment, as people call it.
        environment: String,
        /// The run.
        number: u64,
    },
    /// What production has could not be compared with it.
    Unclear(String),
    /// What production runs is still being read.
    Unread,
    /// Nothing is there to be cancelled.
    NothingRuns(AppName),
    /// It is over already.
    Over(Box<Run>),
    /// The channel was asked for help about this attempt.
    HelpAsked(Box<Run>),
}

impl Unmended {
    /// The sentence with its links and people.
    pub fn line(&self) -> Line {
        match self {
            Self::Faster { what, by, at } => {
                let line = Line::default().mention(by).say(format!(" was faster and {} at ", did(*what))).time(*at);
                line.say(". Nothing is left to do.")
            }
            Self::Again { what, at } => {
                Line::plain(format!("You {} yourself, at ", did(*what))).time(*at).say(". Nothing is left to do.")
            }
            Self::Changed(run) => {
                named(run).say(" has been started again since this was shown. Nothing was done; its notice shows how it gets on.")
            }
            Self::Running { run, failed: true } => named(run).say(
                " still goes on, and GitHub runs failed jobs again only once all of it is over. Approve or reject what waits, or cancel it; then retry.",
            ),
            Self::Running { run, failed: false } => named(run).say(" is under way and nothing in it has failed. There is nothing to retry."),
            Self::Older { run, newest } => named(run)
                .say(" is not the newest any more: running it again would put older code in its place. Look at ")
                .then(linked(newest))
                .say(" instead."),
            Self::WouldCancel { run, other } => named(run)
                .say(" cannot be run again now: that would cancel ")
                .then(linked(other))
                .say(", which is under way. Retry when it is done."),
            Self::NotFailed { run, phase: Phase::Broken } => {
                named(run).say(" has no jobs: its workflow file is broken. Repair that with a new pull request.")
            }
            Self::NotFailed { run, .. } => named(run).say(" has no failed jobs, so there is nothing to retry."),
            Self::Behind { environment, number } => Line::plain(format!(
                "{environment} already runs something newer than run {number}: running it again would roll back. Roll forward with a new change."
            )),
            Self::Unclear(environment) => Line::plain(format!(
                "GitHub cannot compare what {environment} runs with this run, so running it again could be a rollback. Decide on GitHub’s own page."
            )),
            Self::Unread => Line::plain(
                "What production runs is still being read from GitHub, so this could be a rollback. Nothing was done; try again in a minute.",
            ),
            Self::NothingRuns(app) => Line::plain(format!("Nothing of {app} is under way, so there is nothing to cancel.")),
            Self::Over(run) => named(run).say(" is over already, so there is nothing to cancel. Its notice says how it ended."),
            Self::HelpAsked(run) => {
                Line::plain("The channel was asked about ").then(linked(run)).say(" already. Answer there what you know.")
            }
        }
    }

    /// One lowercase word or two for the audit log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Faster { .. } => "somebody was faster",
            Self::Again { .. } => "done before",
            Self::Changed(_) => "run changed since shown",
            Self::Running { .. } => "still running",
            Self::Older { .. } => "not the newest run",
            Self::WouldCancel { .. } => "would cancel another run",
            Self::NotFailed { .. } => "nothing failed",
            Self::Behind { .. } => "production is ahead",
            Self::Unclear(_) => "commits could not be compared",
            Self::Unread => "version not read yet",
            Self::NothingRuns(_) => "nothing runs",
            Self::Over(_) => "over already",
            Self::HelpAsked(_) => "asked before",
        }
    }
}

fn did(what: Means) -> &'static str {
    match what {
        Means::Rerun => "started its failed jobs again",
        Means::Cancel => "cancelled it",
    }
}

/// A run at the start of a sentence.
pub(super) fn named(run: &Run) -> Line {
    let mut label = run.label();
    label.replace_range(..1, &label[..1].to_uppercase());
    Line::default().link(label, run.url.clone())
}

fn linked(run: &Run) -> Line {
    Line::default().link(run.label(), run.url.clone())
}

impl App {
    /// What a retry would do, to be confirmed with a click.
    pub(super) fn retry_question(&self, tracked: &Tracked) -> Message {
        let question = Line::plain(format!("{} ", self.state.name)).then(linked(&tracked.run));
        let question = question.say(format!(" · {}: {}", cut(&tracked.run.title, 100), self.does(tracked)));
        let retry = Button { style: Style::Primary, ..self.retry_button(tracked, false) };
        let buttons = vec![retry, self.button("Not now", What::Dismiss)];
        Message::line(question).text(Line::plain(self.retry_words(tracked))).buttons(buttons)
    }

    /// What running the failed jobs again does, in at most 300 characters.
    pub(super) fn retry_words(&self, tracked: &Tracked) -> String {
        let app = &self.state.name;
        let what = format!("{app} {} at {}", tracked.run.label(), tracked.run.sha.short());
        let open = self.production_where(tracked, |e| tracked.state(&e.name) != Some(State::Deployed));
        let open = if tracked.run.workflow == Workflow::Redeploy { Vec::new() } else { open };
        let words = match open.as_slice() {
            [] => format!("{what}: what failed runs again, what succeeded is not done again."),
            open => {
                let gated = open.iter().all(|e| e.gated != Some(false));
                let gate = if gated { "after an approval" } else { "without an approval" };
                let names: Vec<&str> = open.iter().map(|e| e.label.as_str()).collect();
                let ships = self.ships(tracked).unwrap_or_default();
                format!(
                    "{what}: what failed runs again, what succeeded is not done again. It then goes to {}, {gate}. {}",
                    cut(&and(&names), 90),
                    extent(tracked, &ships)
                )
            }
        };
        let unknown = self.production_where(tracked, |e| matches!(tracked.state(&e.name), Some(State::Unknown(_))));
        if unknown.is_empty() { words } else { words + " Elastic Beanstalk has to be done there first." }
    }

    fn production_where(&self, tracked: &Tracked, wanted: impl Fn(&Environment) -> bool) -> Vec<&Environment> {
        let mine = |e: &&Environment| tracked.run.workflow == Workflow::Deploy || tracked.places.contains_key(&e.name);
        self.pipeline().into_iter().flat_map(|p| p.production()).filter(mine).filter(|e| wanted(e)).collect()
    }

    /// What a cancel would do and would not do, to be confirmed with a click.
    pub(super) fn cancel_question(&self, tracked: &Tracked) -> Message {
        let question = Line::plain(format!("{} ", self.state.name)).then(linked(&tracked.run));
        let question = question.say(format!(" · {}: {}.", cut(&tracked.run.title, 100), self.does(tracked)));
        let mut message = Message::line(question);
        let touched = self.touched(tracked);
        if !touched.is_empty() {
            let names = and(&touched.iter().map(|name| self.label(name)).collect::<Vec<_>>());
            message = message.text(Line::plain(format!(
                "⚠️ {names}: past the deploy step. A cancel stops GitHub’s job, not Elastic Beanstalk: that goes on by itself, and nobody here sees how it ends."
            )));
        }
        let rest = match tracked.run.workflow {
            Workflow::Deploy => "Its changes stay undeployed until the next run.",
            Workflow::Redeploy => "Versions stay as they are.",
        };
        let shown = Attempt { run: tracked.run.id, attempt: tracked.run.attempt };
        let cancel = self.button(&format!("Cancel {}", tracked.run.label()), What::Mend(Mend::CancelShown(shown)));
        let keep = self.button("Let it go on", What::Dismiss);
        message.text(Line::plain(rest)).buttons(vec![Button { style: Style::Danger, ..cancel }, keep])
    }

    /// Where its jobs are past the point of no return.
    fn touched<'a>(&self, tracked: &'a Tracked) -> Vec<&'a EnvName> {
        let moving = tracked.places.iter().filter(|(_, place)| place.state == State::Deploying && !place.earlier);
        let mut names: Vec<&EnvName> = moving.map(|(name, _)| name).collect();
        names.sort_by_key(|name| self.kind(name) == Some(Kind::Test));
        names
    }

    /// What became of it, for the person who asked.
    pub(super) fn repair_told(&self, repair: &Repair, outcome: &Outcome) -> Message {
        let tracked = self.state.runs.get(&repair.run);
        let run = tracked.map_or_else(|| Line::plain("The run"), |t| named(&t.run));
        Message::line(match (repair.what, outcome) {
            (Means::Rerun, Outcome::Done | Outcome::Posted { .. }) => {
                run.say(": its failed jobs run again. Its notice shows how they get on.")
            }
            (Means::Cancel, Outcome::Done | Outcome::Posted { .. }) => {
                run.say(": GitHub cancels it, which can take some minutes. Its notice says when it is over.")
            }
            (what, Outcome::NotDone { run, .. }) => not_done(repair, what, run),
            (
                _,
                Outcome::Failed(_)
                | Outcome::Refused(_)
                | Outcome::NotPending { .. }
                | Outcome::Started { .. }
                | Outcome::InTheWay(_)
                | Outcome::Revert(_)
                | Outcome::Setting(_)
                | Outcome::Lost,
            ) => Line::plain("GitHub did not say whether it took this. Nothing is repeated blindly: look at ")
                .then(tracked.map_or_else(|| Line::plain("the run"), |t| linked(&t.run)))
                .say(" and ask again if nothing has changed there."),
        })
    }
}

/// GitHub did not do it, and this is the run now.
fn not_done(repair: &Repair, what: Means, run: &Run) -> Line {
    match what {
        Means::Rerun if run.attempt > repair.attempt => named(run).say(format!(
            " was started again by {} a moment before: attempt {} is under way. Nothing was added.",
            run.triggered_by, run.attempt
        )),
        Means::Rerun => named(run).say(
            " was not started again: GitHub did not take it, or a newer run took its place. Nothing was repeated. Look at the newest notice, and retry there if it still makes sense.",
        ),
        Means::Cancel if run.attempt != repair.attempt => {
            named(run).say(" has been started again meanwhile. Nothing was cancelled; its notice shows how it gets on.")
        }
        Means::Cancel if run.is_over() => {
            named(run).say(" was over before it could be cancelled. Its notice says how it ended.")
        }
        Means::Cancel => named(run).say(
            " goes on: GitHub did not take the cancel. Nothing was repeated; ask again, or cancel it on GitHub’s page.",
        ),
    }
}

//! What GitHub tells its webhooks, found by comparing the world before and after a change, and how it goes on its way: in order, late,
//! twice or not at all.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::run::{Job, Phase, Review, Run};
use super::state::{Repo, State};

/// How many deliveries are kept for those who look.
const KEPT: usize = 2_000;

/// A webhook as it was set up, for all repositories.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    /// Where deliveries go.
    pub url: String,
    /// What signs them.
    pub secret: String,
    /// The ticked events.
    pub events: Vec<String>,
}

/// How deliveries misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookFault {
    /// It is never sent.
    Lose,
    /// It is sent twice, with the same id.
    Repeat,
    /// It is sent so many seconds later; others overtake it.
    Delay(u32),
}

/// Something that happened in a repository.
#[derive(Clone, Debug)]
pub(crate) struct News {
    /// `owner/name`; none for a ping.
    pub repo: Option<String>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// The webhook was set up.
    Ping,
    /// A run was `requested`, is `in_progress` or `completed`.
    Run(&'static str, Run),
    /// A job of a run, by its id, is `queued`, `waiting`, `in_progress` or `completed`.
    Job(&'static str, Run, u64),
    /// A job of a run, by its id, asks for a reviewer.
    Asked(Run, u64),
    /// A reviewer decided.
    Review(Run, Review),
    /// A pull request, by its number, was merged.
    Merge(u64),
    /// Main's head moved from one commit to another.
    Push(String, String),
}

/// A delivery on its way, or one that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Its id, the same when it is sent again.
    pub id: String,
    /// What it tells.
    pub news: News,
    due: Timestamp,
}

/// A delivery that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its id.
    pub id: String,
    /// The event.
    pub event: String,
    /// The body.
    pub body: String,
    /// The status of the answer; none where there was none.
    pub status: Option<u16>,
}

/// The webhook and its deliveries.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// How it was set up, if it was.
    pub hook: Option<Hook>,
    /// What was sent, newest last.
    pub sent: VecDeque<Delivered>,
    waiting: Vec<Delivery>,
    under_way: usize,
    faults: VecDeque<HookFault>,
    count: u64,
}

/// What there is to be sent.
pub(crate) enum Next {
    /// This, now.
    Send(Hook, Box<Delivery>),
    /// Something, so much later.
    Later(SignedDuration),
    /// Nothing.
    Nothing,
}

impl Happening {
    /// GitHub's name of the event.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Run(..) => "workflow_run",
            Self::Job(..) => "workflow_job",
            Self::Asked(..) | Self::Review(..) => "deployment_review",
            Self::Merge(_) => "pull_request",
            Self::Push(..) => "push",
        }
    }
}

impl Hooks {
    /// The next ones are to misbehave.
    pub fn misbehave(&mut self, fault: HookFault, times: u32) {
        self.faults.extend((0..times).map(|_| fault));
    }

    /// No more of them.
    pub fn behave(&mut self) {
        self.faults.clear();
    }

    /// How many are not delivered yet.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.under_way
    }

    /// Sends what happened on its way, where the hook is set up for it.
    pub fn tell(&mut self, news: News, now: Timestamp) {
        let event = news.what.event();
        let ticked = |hook: &Hook| event == "ping" || hook.events.iter().any(|ticked| ticked == event);
        if !self.hook.as_ref().is_some_and(ticked) {
            return;
        }
        self.count += 1;
        let id = format!("{:08x}-cafe-11f0-8000-{:012x}", self.count, now.as_millisecond());
        let delivery = Delivery { id, news, due: now };
        match self.faults.pop_front() {
            None => self.waiting.push(delivery),
            Some(HookFault::Lose) => {}
            Some(HookFault::Repeat) => self.waiting.extend([delivery.clone(), delivery]),
            Some(HookFault::Delay(seconds)) => {
                self.waiting.push(Delivery { due: now + SignedDuration::from_secs(seconds.into()), ..delivery });
            }
        }
    }

    /// Takes what is to be sent.
    pub fn next(&mut self, now: Timestamp) -> Next {
        let Some(hook) = self.hook.clone() else { return Next::Nothing };
        match self.waiting.iter().position(|delivery| delivery.due <= now) {
            Some(at) => {
                self.under_way += 1;
                Next::Send(hook, Box::new(self.waiting.remove(at)))
            }
            None => match self.waiting.iter().map(|delivery| delivery.due).min() {
                Some(due) => Next::Later(due.duration_since(now)),
                None => Next::Nothing,
            },
        }
    }

    /// One was sent.
    pub fn sent(&mut self, delivered: Delivered) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(delivered);
    }
}

/// What is compared.
pub(super) struct Before {
    runs: BTreeMap<u64, Run>,
    main: String,
    merged: Vec<u64>,
}

impl Before {
    pub(super) fn of(repo: &Repo) -> Self {
        let runs = repo.runs.iter().map(|run| (run.id, run.clone())).collect();
        Self { runs, main: repo.history.main().to_owned(), merged: merged(repo) }
    }

    /// What has happened since.
    pub(super) fn news(&self, repo: &Repo) -> Vec<News> {
        let mut news = Vec::new();
        let merges = merged(repo).into_iter().filter(|number| !self.merged.contains(number));
        news.extend(merges.map(Happening::Merge));
        if repo.history.main() != self.main {
            news.push(Happening::Push(self.main.clone(), repo.history.main().to_owned()));
        }
        for run in repo.runs.iter().filter(|run| self.runs.get(&run.id) != Some(*run)) {
            news.extend(of_run(self.runs.get(&run.id), run));
        }
        news.into_iter().map(|what| News { repo: Some(repo.full_name()), what }).collect()
    }
}

fn merged(repo: &Repo) -> Vec<u64> {
    repo.history.pulls.iter().filter(|pull| pull.merged().is_some()).map(|pull| pull.number).collect()
}

fn of_run(before: Option<&Run>, run: &Run) -> Vec<Happening> {
    let mut news = Vec::new();
    let same = before.filter(|before| before.attempts.len() == run.attempts.len());
    let (was, is) = (same.map(|before| before.latest().status()), run.latest().status());
    if same.is_none() {
        news.push(Happening::Run("requested", run.clone()));
    }
    let decided = before.map_or(0, |before| before.reviews.len());
    news.extend(run.reviews.iter().skip(decided).map(|review| Happening::Review(run.clone(), review.clone())));
    for job in &run.latest().jobs {
        let was = same.and_then(|before| before.latest().jobs.iter().find(|known| known.id == job.id));
        for action in of_job(was, job) {
            news.push(Happening::Job(action, run.clone(), job.id));
            if action == "waiting" {
                news.push(Happening::Asked(run.clone(), job.id));
            }
        }
    }
    // `waiting` is no action of a run's.
    if was != Some(is) && ["in_progress", "completed"].contains(&is) {
        news.push(Happening::Run(if is == "completed" { "completed" } else { "in_progress" }, run.clone()));
    }
    news
}

/// What a job went through.
fn of_job(was: Option<&Job>, job: &Job) -> Vec<&'static str> {
    let before = was.map_or(Phase::Absent, |job| job.phase);
    let ran = job.started_at.is_some();
    match (before, job.phase) {
        (before, after) if before == after => vec![],
        // Kept from the attempt before.
        (Phase::Absent, Phase::Done(_)) if was.is_none() => vec![],
        (Phase::Absent, Phase::Queued) => vec!["queued"],
        (_, Phase::Waiting) => vec!["waiting"],
        (Phase::Absent, Phase::InProgress) => vec!["queued", "in_progress"],
        (_, Phase::InProgress) => vec!["in_progress"],
        (Phase::Queued | Phase::Waiting, Phase::Done(_)) if ran => vec!["in_progress", "completed"],
        (_, Phase::Done(_)) => vec!["completed"],
        (_, Phase::Absent | Phase::Queued) => vec![],
    }
}

impl State {
    /// Tells the webhook what differs from before.
    pub(super) fn tell_hooks(&mut self, before: &[Before], now: Timestamp) {
        let news: Vec<News> = before.iter().zip(&self.repos).flat_map(|(before, repo)| before.news(repo)).collect();
        for news in news {
            self.hooks.tell(news, now);
        }
    }
}

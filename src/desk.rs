//! One app's desk: events are decided by the core one after the other, each on what the ones before it made, and committed before anybody
//! hears of it. What waits shares a commit, since making one durable takes longer than deciding. Here is the only place where an
//! app's document changes. Nothing slow happens at a desk: no network, only the store.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock::Clock;
use crate::deploy::action::{REPLY_LIFE, Request};
use crate::deploy::app::App;
use crate::deploy::effect::Effect;
use crate::deploy::event::Event;
use crate::deploy::name::AppName;
use crate::deploy::remind::REMINDER;
use crate::deploy::run::Run;
use crate::store::{Commit, Committed, Decision, EffectId, Fence, Glance, NewEffect, Store, Unwritten, Version};
use crate::telemetry;

/// Letters that may wait at a desk before senders have to.
const TRAY: usize = 256;
/// Letters that share a commit at most; bounds how long the first of them waits.
const SHARED: usize = 256;
/// A decision that lost the race this often means that something else is wrong.
const RACES: usize = 10;
/// A reminder that could not be given for this long is not given any more.
const TIMELY: SignedDuration = SignedDuration::from_hours(1);
/// An acknowledged request that could not be decided for this long is not decided any more: its person has moved on.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// The way to one app's desk, and the app as last committed.
#[derive(Clone)]
pub struct Desk {
    tray: mpsc::Sender<Letter>,
    app: watch::Receiver<Arc<App>>,
    commits: watch::Receiver<Commits>,
}

/// How many commits were begun, and of how many the end is published.
#[derive(Clone, Copy, Default)]
struct Commits {
    begun: u64,
    done: u64,
}

/// What all desks share.
#[derive(Clone)]
pub struct Office {
    /// Where decisions are remembered.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Told after every commit that leaves something to perform.
    pub changed: Arc<Notify>,
    /// Closes the desks, once nobody has letters for them any more.
    pub closing: CancellationToken,
}

/// Tells the sender of a letter how it went.
type Done = oneshot::Sender<Result<(), Unwritten>>;

enum Letter {
    /// Something happened. Boxed: most letters are small.
    Happened(Box<Happened>),
    /// What the store knows of the document; `None` where it was not asked.
    Changed(Option<Glance>, Done),
}

struct Happened {
    event: Event,
    settles: Option<EffectId>,
    fence: Option<Fence>,
    /// Tells the sender that its turn has come. Who stopped waiting by then has taken the letter back: they were told that nothing is done.
    begun: Option<oneshot::Sender<()>>,
    /// It was seen before: nothing is to be done.
    repeated: bool,
    /// Whether what was asked for was granted; `None` until that is decided.
    granted: Option<bool>,
    done: Done,
}

impl Happened {
    /// Whether its sender waits for it, or did when its turn first came.
    fn begin(&mut self) -> bool {
        self.begun.take().is_none_or(|begun| begun.send(()).is_ok())
    }
}

impl Desk {
    /// Opens the desk of an app, at first as a new one: [`Desk::refresh`] looks up what the store remembers, and so does the first
    /// decision. The clerk's future works until the office closes, and ends with the letter it has in hand.
    pub fn open(new: App, name: AppName, office: Office) -> (Self, impl Future<Output = ()>) {
        let (tray, letters) = mpsc::channel(TRAY);
        let (publish, app) = watch::channel(Arc::new(new));
        let (count, commits) = watch::channel(Commits::default());
        let clerk = Clerk { name, version: None, publish, count, office };
        (Self { tray, app, commits }, clerk.work(letters))
    }

    /// Waits until [`Desk::app`] knows all that is committed: an effect can be claimed a moment before the decision that it follows from
    /// is published.
    pub async fn abreast(&self) {
        let mut commits = self.commits.clone();
        let begun = commits.borrow().begun;
        // A desk that closed publishes nothing any more.
        let _ = commits.wait_for(|commits| commits.done >= begun).await;
    }

    /// The app as last committed.
    pub fn app(&self) -> Arc<App> {
        self.app.borrow().clone()
    }

    /// Tells what happened. When this returns the decision is remembered; the effect that led to it, if named, is settled
    /// in the same stroke. An event that was seen before changes nothing and is no error.
    ///
    /// # Errors
    /// When the decision could not be remembered.
    pub async fn tell(&self, event: Event, settles: Option<EffectId>) -> anyhow::Result<()> {
        let (begun, _waits) = oneshot::channel();
        Ok(self.happened(event, settles, None, begun).await?)
    }

    /// Tells what somebody asks for, who waits so long to hear that it is remembered.
    ///
    /// # Errors
    /// When that was not confirmed in time: either nothing is done then, or nobody can know.
    pub async fn ask(&self, request: Request, patience: Duration) -> Result<(), Unwritten> {
        let (begun, mut hears) = oneshot::channel();
        let told = tokio::time::timeout(patience, self.happened(Event::Asked(request), None, None, begun)).await;
        let told = told.unwrap_or_else(|_| Err(Unwritten::Unsure("remembering it took too long".to_owned())));
        // If its turn has not come by now, it does not come any more.
        hears.close();
        match told {
            Err(Unwritten::Unsure(why)) if hears.try_recv().is_err() => Err(Unwritten::Nothing(why)),
            told => told,
        }
    }

    /// Tells what was observed by whoever leads; it counts only as long as nobody else does.
    ///
    /// # Errors
    /// When it could not be remembered, or somebody else leads by now.
    pub async fn observed(&self, event: Event, fence: Fence) -> anyhow::Result<()> {
        let (begun, _waits) = oneshot::channel();
        Ok(self.happened(event, None, Some(fence), begun).await?)
    }

    /// Looks up what others have made of the app, unless this desk knows all that the glance shows.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a document that this version cannot.
    pub async fn refresh(&self, glance: Option<Glance>) -> anyhow::Result<()> {
        Ok(self.send(|done| Letter::Changed(glance, done)).await?)
    }

    async fn happened(
        &self,
        event: Event,
        settles: Option<EffectId>,
        fence: Option<Fence>,
        begun: oneshot::Sender<()>,
    ) -> Result<(), Unwritten> {
        let letter =
            |done| Happened { event, settles, fence, begun: Some(begun), repeated: false, granted: None, done };
        self.send(|done| Letter::Happened(Box::new(letter(done)))).await
    }

    async fn send(&self, letter: impl FnOnce(Done) -> Letter) -> Result<(), Unwritten> {
        let (done, told) = oneshot::channel();
        if self.tray.send(letter(done)).await.is_err() {
            return Err(Unwritten::Nothing("the desk is closed".to_owned()));
        }
        told.await.unwrap_or_else(|_| Err(Unwritten::Unsure("the desk broke off".to_owned())))
    }
}

struct Clerk {
    name: AppName,
    /// Of the document that is published; `None` until the store was asked.
    version: Option<Version>,
    publish: watch::Sender<Arc<App>>,
    count: watch::Sender<Commits>,
    office: Office,
}

impl Clerk {
    async fn work(mut self, mut tray: mpsc::Receiver<Letter>) {
        let closing = self.office.closing.clone();
        loop {
            let mut letters = Vec::new();
            let taken = tokio::select! {
                taken = tray.recv_many(&mut letters, SHARED) => taken,
                () = closing.cancelled() => 0,
            };
            if taken == 0 {
                return;
            }
            // A bug must not close the desk: those whose letters these were hear that it broke off, and the next may be well.
            if AssertUnwindSafe(self.take(letters)).catch_unwind().await.is_err() {
                error!(app.name = %self.name, "deciding broke off");
            }
        }
    }

    /// Takes letters in their order, what others have changed before all.
    async fn take(&mut self, letters: Vec<Letter>) {
        let mut happened = VecDeque::new();
        let mut looked = None;
        for letter in letters {
            match letter {
                Letter::Happened(letter) => happened.push_back(*letter),
                Letter::Changed(Some(glance), done) => drop(done.send(self.catch_up(glance).await.map_err(nothing))),
                // One look serves all that wait for one.
                Letter::Changed(None, done) => {
                    if looked.is_none() {
                        looked = Some(self.reload().await.map(drop).map_err(nothing));
                    }
                    let _ = done.send(looked.clone().unwrap_or(Ok(())));
                }
            }
        }
        while let Some(fence) = happened.front().map(|letter| letter.fence) {
            let alike = happened.iter().take_while(|letter| letter.fence == fence).count();
            let mut letters: Vec<Happened> = happened.drain(..alike).collect();
            let end = self.decide(&mut letters, fence).await;
            for letter in letters {
                let _ = letter.done.send(end.clone());
            }
        }
    }

    async fn catch_up(&mut self, glance: Glance) -> anyhow::Result<()> {
        if self.version < Some(glance.version) {
            self.reload().await?;
        }
        let known = self.publish.borrow().clone();
        if let Some(looked) = glance.looked.filter(|at| known.looked_at() < Some(*at)) {
            self.publish.send_replace(Arc::new(known.seen_at(looked)));
        }
        Ok(())
    }

    /// Decides letters of the same fence, and commits what follows from all of them at once. One that cannot be decided is told so
    /// and taken out; the others end as the commit does.
    async fn decide(&mut self, letters: &mut Vec<Happened>, fence: Option<Fence>) -> Result<(), Unwritten> {
        if self.version.is_none() {
            self.reload().await.map_err(nothing)?;
        }
        let mut races = 0;
        while races < RACES {
            let known = self.publish.borrow().clone();
            let at = self.office.clock.now();
            let (app, decisions) = self.consider_all(&known, letters, at);
            if decisions.is_empty() {
                return Ok(());
            }
            let expected = self.version.unwrap_or_default();
            let document = changed(&known, &app).map_err(nothing)?;
            let mut commit = Commit { app: self.name.clone(), expected, at, document, decisions, fence };
            if commit.is_empty() {
                self.publish.send_replace(app);
                return Ok(());
            }
            if expected == Version(0) && commit.document.is_none() {
                commit.document = Some(app.document().map_err(nothing)?);
            }
            self.count.send_modify(|commits| commits.begun += 1);
            let committed = self.office.store.commit(commit).await;
            if let Ok(Committed::Yes(version)) = committed {
                self.version = Some(version);
                self.publish.send_replace(app);
            }
            self.count.send_modify(|commits| commits.done = commits.begun);
            match committed? {
                Committed::Yes(_) => {
                    self.office.changed.notify_one();
                    self.count_decisions(letters);
                    return Ok(());
                }
                Committed::AlreadySeen(places) => {
                    let mut decided = letters.iter_mut().filter(|letter| !letter.repeated).collect::<Vec<_>>();
                    places.iter().for_each(|place| decided[*place].repeated = true);
                }
                Committed::Fenced => return Err(nothing(format!("somebody else watches {} by now", self.name))),
                Committed::Raced => {
                    self.reload().await.map_err(nothing)?;
                    races += 1;
                }
            }
        }
        Err(nothing(format!("{} was changed by somebody else {RACES} times in a row", self.name)))
    }

    /// Asks the core about each letter, on what the ones before it made. One that was taken back is dropped.
    fn consider_all(&self, known: &Arc<App>, letters: &mut Vec<Happened>, at: Timestamp) -> (Arc<App>, Vec<Decision>) {
        let (mut app, mut decisions) = (known.clone(), Vec::new());
        for mut letter in std::mem::take(letters) {
            if !letter.begin() {
                continue;
            }
            if letter.repeated {
                letters.push(letter);
                continue;
            }
            // A bug in a rule is the bad luck of one letter: nothing of the broken decision is remembered.
            let considered = catch_unwind(AssertUnwindSafe(|| self.consider(&app, &letter.event, at)));
            match considered.unwrap_or_else(|_| Err(anyhow!("deciding about {} broke off", self.name))) {
                Ok((changed, decision)) => {
                    letter.granted = matches!(letter.event, Event::Examined(..)).then_some(changed.is_some());
                    app = changed.map_or(app, Arc::new);
                    decisions.push(Decision { settle: letter.settles.clone(), ..decision });
                    letters.push(letter);
                }
                Err(error) => drop(letter.done.send(Err(nothing(error)))),
            }
        }
        (app, decisions)
    }

    /// Asks the core; gives the app where it changed. A refusal changes nothing but is told and recorded.
    fn consider(&self, known: &App, event: &Event, at: Timestamp) -> anyhow::Result<(Option<App>, Decision)> {
        if let Event::Asked(request) = event {
            let effects = known.asked(request.clone());
            log(&self.name, event, &effects);
            return Ok((None, written(&self.name, event, &effects, at)?));
        }
        let mut app = known.clone();
        match app.handle(event.clone(), at) {
            Ok(effects) => {
                log(&self.name, event, &effects);
                Ok((Some(app), written(&self.name, event, &effects, at)?))
            }
            Err(refusal) => {
                let Some((request, run)) = examined(event) else {
                    bail!("{} refused something that nobody asked for: {refusal}", self.name)
                };
                info!(app.name = %self.name, person = %request.by, "refused to {}: {}", request.action, refusal.reason());
                let record = Effect::Record(known.record_refusal(request, run, &refusal, at));
                let answer = Effect::Answer(request.reply.clone(), request.by.clone(), refusal.message());
                Ok((None, written(&self.name, event, &[record, answer], at)?))
            }
        }
    }

    /// Counts what is remembered now. Before, it might be decided again, or turn out to have been decided already.
    fn count_decisions(&self, letters: &[Happened]) {
        for letter in letters.iter().filter(|letter| !letter.repeated) {
            if let (Some(granted), Some((request, _))) = (letter.granted, examined(&letter.event)) {
                telemetry::decided(&self.name, request.action.to_string(), granted);
            }
        }
    }

    /// Takes what the store remembers; an app that it does not know yet stays a new one.
    async fn reload(&mut self) -> anyhow::Result<Version> {
        let name = &self.name;
        let Some((version, document)) = self.office.store.load(name).await.with_context(|| format!("load {name}"))?
        else {
            if self.version.is_some_and(|version| version > Version(0)) {
                bail!("{name} is gone from the store")
            }
            self.version = Some(Version(0));
            return Ok(Version(0));
        };
        let known = self.publish.borrow().clone();
        let app = known.anew(&document).with_context(|| format!("read the document of {name}"))?;
        self.version = Some(version);
        self.publish.send_replace(Arc::new(app));
        Ok(version)
    }
}

/// It did not even come to writing.
fn nothing(why: impl fmt::Display) -> Unwritten {
    Unwritten::Nothing(format!("{why:#}"))
}

/// The document of an app, where it is another one than is known.
fn changed(known: &Arc<App>, app: &Arc<App>) -> Result<Option<String>, serde_json::Error> {
    if Arc::ptr_eq(known, app) {
        return Ok(None);
    }
    let document = app.document()?;
    Ok((document != known.document()?).then_some(document))
}

/// What follows from a decision, as the store keeps it.
fn written(app: &AppName, event: &Event, effects: &[Effect], at: Timestamp) -> anyhow::Result<Decision> {
    let mut decision = Decision::default();
    if let Event::Asked(request) = event {
        decision.seen = Some(request.id.to_string());
    }
    for effect in effects {
        match effect {
            Effect::Record(record) => decision.audit.push(serde_json::to_string(record)?),
            effect => decision.effects.push(queued(app, effect, at)?),
        }
    }
    Ok(decision)
}

/// The request that an event decides, and the run that was looked at for it.
fn examined(event: &Event) -> Option<(&Request, Option<&Run>)> {
    match event {
        Event::Examined(request, facts) => {
            let run = facts.as_ref().ok().and_then(|facts| facts.run.as_ref());
            Some((request, run.map(|facts| &facts.run)))
        }
        Event::Asked(_)
        | Event::Discovered(_)
        | Event::Seen(_)
        | Event::Learned(_)
        | Event::Surveyed(_)
        | Event::Inventoried(_)
        | Event::Performed(..)
        | Event::Remind { .. }
        | Event::Digest { .. }
        | Event::Tick => None,
    }
}

/// Each effect has a lane: what has to keep its order shares one.
fn queued(app: &AppName, effect: &Effect, at: Timestamp) -> anyhow::Result<NewEffect> {
    let (lane, key, expires) = match effect {
        Effect::Examine(request, _) => (format!("ask {}", request.id), None, Some(request.reply.at + PATIENCE)),
        Effect::Approve(_) | Effect::Reject(_) | Effect::Dispatch(_) | Effect::Mend(_) | Effect::Revert(_) => {
            (format!("github {app}"), None, None)
        }
        // A newer verdict about a pull request makes an older one that was not given yet pointless.
        Effect::Mark(mark) => (format!("mark {app}"), Some(format!("mark {}", mark.pr)), None),
        Effect::Set(_) => (format!("set {app}"), None, None),
        // After a long outage it may be night.
        Effect::Whisper { to, topic, .. } if topic.starts_with(REMINDER) => {
            (format!("person {to}"), None, Some(at + TIMELY))
        }
        Effect::Show { topic, .. } => (format!("channel {app}"), Some(format!("show {topic}")), None),
        Effect::Whisper { to, .. } => (format!("person {to}"), None, None),
        Effect::Notice(run, _) => (format!("channel {app}"), Some(format!("notice {run}")), None),
        Effect::Thread { .. } | Effect::Announce { .. } => (format!("channel {app}"), None, None),
        Effect::Answer(reply, to, _) => (format!("answer {to}"), None, Some(reply.at + REPLY_LIFE)),
        Effect::Form(reply, to, _) => (format!("answer {to}"), None, Some(reply.at + PATIENCE)),
        Effect::Record(_) => bail!("a record is written by the commit, not performed"),
    };
    let body = serde_json::to_string(effect).context("write down an effect")?;
    Ok(NewEffect { lane, key, body, expires })
}

fn log(app: &AppName, event: &Event, effects: &[Effect]) {
    if let Event::Performed(effect, crate::deploy::event::Outcome::Failed(why)) = event {
        error!(app.name = %app, effect = %first_line(effect), "given up: {why}");
    }
    for effect in effects {
        info!(app.name = %app, effect = %first_line(effect), "decided");
    }
}

fn first_line(effect: &Effect) -> String {
    effect.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

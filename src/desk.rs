//! One app's desk: events come in one at a time, are decided by the core, and the decision is committed whole before anybody
//! hears of it. Here is the only place where an app's document changes. Nothing slow happens at a desk: no network, only
//! the store.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

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
use crate::store::{Commit, Committed, EffectId, Fence, Glance, NewEffect, Store, Version};
use crate::telemetry;

/// Letters that may wait at a desk before senders have to.
const TRAY: usize = 256;
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

struct Letter {
    matter: Matter,
    done: oneshot::Sender<anyhow::Result<()>>,
}

enum Matter {
    /// Something happened. Boxed: most letters are small.
    Happened(Box<Happened>),
    /// What the store knows of the document; `None` where it was not asked.
    Changed(Option<Glance>),
}

struct Happened {
    event: Event,
    settles: Option<EffectId>,
    fence: Option<Fence>,
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
        self.send(Matter::Happened(Box::new(Happened { event, settles, fence: None }))).await
    }

    /// Tells what was observed by whoever leads; it counts only as long as nobody else does.
    ///
    /// # Errors
    /// When it could not be remembered, or somebody else leads by now.
    pub async fn observed(&self, event: Event, fence: Fence) -> anyhow::Result<()> {
        self.send(Matter::Happened(Box::new(Happened { event, settles: None, fence: Some(fence) }))).await
    }

    /// Looks up what others have made of the app, unless this desk knows all that the glance shows.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a document that this version cannot.
    pub async fn refresh(&self, glance: Option<Glance>) -> anyhow::Result<()> {
        self.send(Matter::Changed(glance)).await
    }

    async fn send(&self, matter: Matter) -> anyhow::Result<()> {
        let (done, told) = oneshot::channel();
        let letter = Letter { matter, done };
        if self.tray.send(letter).await.is_err() {
            bail!("the desk is closed");
        }
        told.await.context("the desk closed before it decided")?
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
    async fn work(mut self, mut letters: mpsc::Receiver<Letter>) {
        let closing = self.office.closing.clone();
        loop {
            let letter = tokio::select! {
                letter = letters.recv() => letter,
                () = closing.cancelled() => None,
            };
            let Some(letter) = letter else { return };
            // A bug in a rule must not close the desk: nothing of the broken decision is remembered, and the next may be well.
            let decision = AssertUnwindSafe(self.take(letter.matter)).catch_unwind().await;
            let done = decision.unwrap_or_else(|_| Err(anyhow!("deciding about {} broke off", self.name)));
            // Nobody may be waiting any more; the decision stands all the same.
            let _ = letter.done.send(done);
        }
    }

    async fn take(&mut self, matter: Matter) -> anyhow::Result<()> {
        match matter {
            Matter::Happened(happened) => self.decide(*happened).await,
            Matter::Changed(glance) => self.catch_up(glance).await,
        }
    }

    async fn catch_up(&mut self, glance: Option<Glance>) -> anyhow::Result<()> {
        if glance.as_ref().is_none_or(|glance| self.version < Some(glance.version)) {
            self.reload().await?;
        }
        let known = self.publish.borrow().clone();
        if let Some(looked) = glance.and_then(|glance| glance.looked).filter(|at| known.looked_at() < Some(*at)) {
            self.publish.send_replace(Arc::new(known.seen_at(looked)));
        }
        Ok(())
    }

    async fn decide(&mut self, happened: Happened) -> anyhow::Result<()> {
        let Happened { event, settles, fence } = happened;
        let mut version = match self.version {
            Some(version) => version,
            None => self.reload().await?,
        };
        for _ in 0..RACES {
            let known = self.publish.borrow().clone();
            let decision = self.consider(&known, &event)?;
            let commit = Commit { settle: settles.clone(), fence, ..self.commit(&decision, &event, version)? };
            if commit.changes_nothing(&known.document()?) {
                self.publish.send_replace(Arc::new(decision.app));
                return Ok(());
            }
            self.count.send_modify(|commits| commits.begun += 1);
            let committed = self.office.store.commit(commit).await;
            if let Ok(Committed::Yes(version)) = committed {
                self.version = Some(version);
                self.publish.send_replace(Arc::new(decision.app));
            }
            self.count.send_modify(|commits| commits.done += 1);
            match committed.with_context(|| format!("commit a decision on {}", self.name))? {
                Committed::Yes(_) => {
                    self.office.changed.notify_one();
                    return Ok(());
                }
                Committed::AlreadySeen => return Ok(()),
                Committed::Fenced => bail!("somebody else watches {} by now", self.name),
                Committed::Raced => version = self.reload().await?,
            }
        }
        bail!("{} was changed by somebody else {RACES} times in a row", self.name)
    }

    /// Asks the core. A refusal changes nothing but is told and recorded.
    fn consider(&self, known: &App, event: &Event) -> anyhow::Result<Decision> {
        let now = self.office.clock.now();
        let mut app = known.clone();
        match app.handle(event.clone(), now) {
            Ok(effects) => {
                log(&self.name, event, &effects);
                if let Event::Examined(request, _) = event {
                    telemetry::decided(&self.name, request.action.to_string(), true);
                }
                Ok(Decision { app, effects })
            }
            Err(refusal) => {
                let Some((request, run)) = asked(event) else {
                    bail!("{} refused something that nobody asked for: {refusal}", self.name)
                };
                info!(app.name = %self.name, person = %request.by, "refused to {}: {}", request.action, refusal.reason());
                telemetry::decided(&self.name, request.action.to_string(), false);
                let record = Effect::Record(known.record_refusal(request, run, &refusal, now));
                let answer = Effect::Answer(request.reply.clone(), request.by.clone(), refusal.message());
                Ok(Decision { app: known.clone(), effects: vec![record, answer] })
            }
        }
    }

    fn commit(&self, decision: &Decision, event: &Event, expected: Version) -> anyhow::Result<Commit> {
        let mut commit = Commit {
            app: self.name.clone(),
            expected,
            at: self.office.clock.now(),
            document: decision.app.document()?,
            effects: Vec::new(),
            audit: Vec::new(),
            seen: match event {
                Event::Asked(request) => Some(request.id.to_string()),
                Event::Examined(..)
                | Event::Discovered(_)
                | Event::Seen(_)
                | Event::Learned(_)
                | Event::Surveyed(_)
                | Event::Inventoried(_)
                | Event::Performed(..)
                | Event::Remind { .. }
                | Event::Digest { .. }
                | Event::Tick => None,
            },
            settle: None,
            fence: None,
        };
        for effect in &decision.effects {
            match effect {
                Effect::Record(record) => commit.audit.push(serde_json::to_string(record)?),
                effect => commit.effects.push(queued(&self.name, effect, commit.at)?),
            }
        }
        Ok(commit)
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

struct Decision {
    app: App,
    effects: Vec<Effect>,
}

/// The request that an event is about, and the run that was looked at for it.
fn asked(event: &Event) -> Option<(&Request, Option<&Run>)> {
    match event {
        Event::Asked(request) => Some((request, None)),
        Event::Examined(request, facts) => {
            let run = facts.as_ref().ok().and_then(|facts| facts.run.as_ref());
            Some((request, run.map(|facts| &facts.run)))
        }
        Event::Discovered(_)
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
mod tests {
    use super::*;
    use crate::deploy::action::{Action, Reply};
    use crate::deploy::event::Facts;
    use crate::deploy::name::{RequestId, SlackId};
    use crate::deploy::policy::{Account, Approvers, People, Person, Policy, RequireTested, VariableRules};
    use crate::store::embedded::Embedded;

    fn app() -> App {
        let policy = Policy {
            approvers: Approvers::default(),
            require_tested: RequireTested::Warn,
            four_eyes: false,
            remind_after: None,
            verify_after: None,
            variables: VariableRules::default(),
            people: People::default(),
            command: "/deploy".into(),
            workspace: None,
        };
        App::new(AppName::new("h"), Arc::new(policy))
    }

    /// Somebody holds the app, or releases it.
    fn decision(round: u32, now: Timestamp) -> Event {
        let reason = format!("round {round}");
        let action = if round.is_multiple_of(2) { Action::Hold { reason } } else { Action::Release };
        let reply = Reply { url: String::new(), channel: String::new(), replace: false, view: None, at: now };
        let by = SlackId::from("UANA");
        let person = Person {
            id: by.clone(),
            name: "Ana".into(),
            account: Account::Member,
            usergroups: Default::default(),
            teams: Default::default(),
        };
        let request =
            Request { id: RequestId::from(round.to_string().as_str()), app: AppName::new("h"), by, action, reply };
        Event::Examined(request, Ok(Box::new(Facts::of(person))))
    }

    /// Else a notice that was just posted is posted once more, when its first change is to be shown.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_performs_what_was_decided_knows_all_that_was_decided() {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, closing) = (Clock::default(), CancellationToken::new());
        let store = Store::Embedded(Embedded::open(folder.path()).expect("a store"));
        let changed = Arc::new(Notify::new());
        let office = Office { store: store.clone(), clock: clock.clone(), changed, closing: closing.clone() };
        let (desk, clerk) = Desk::open(app(), AppName::new("h"), office);
        let clerk = tokio::spawn(clerk);
        let lease = SignedDuration::from_mins(1);
        for round in 0..300 {
            let telling = tokio::spawn({
                let (desk, event) = (desk.clone(), decision(round, clock.now()));
                async move { desk.tell(event, None).await }
            });
            let claims = loop {
                let claims = store.claim(clock.now(), lease).await.expect("claims");
                if !claims.is_empty() {
                    break claims;
                }
            };
            desk.abreast().await;
            let held = desk.app().document().expect("a document").contains(&format!("round {round}"));
            assert_eq!(held, round.is_multiple_of(2), "round {round}");
            telling.await.expect("no panic").expect("a decision");
            let mut left = claims;
            while !left.is_empty() {
                for claim in &left {
                    store.settle(&claim.id).await.expect("settled");
                }
                left = store.claim(clock.now(), lease).await.expect("claims");
            }
        }
        closing.cancel();
        clerk.await.expect("a clerk who ends");
    }
}

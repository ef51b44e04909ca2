//! The watcher of one app: reads the pipeline, looks at GitHub, finds out what the core wants to know, and tells it. It decides
//! nothing: what happened outside is compared with what was known by the core. A webhook or an approval only makes it look sooner; how
//! often it looks by itself is in `cadence`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::AppSettings;
use crate::deploy::event::{Event, Finding, Look, Wanted};
use crate::deploy::name::{AppName, RunId};
use crate::deploy::pipeline::Pipeline;
use crate::deploy::run::{Details, Run};
use crate::desk::Desk;
use crate::github::{GitHub, GitHubError, Purpose};
use crate::herald;
use crate::shell::Shell;
use crate::store::Fence;

mod cadence;
pub mod leading;
mod servers;

use cadence::{Cause, Pace, Trust};

pub use servers::ServerWatcher;

/// How often the workflow files are read again: they change rarely, and a merge that changes them shows within this time.
const REDISCOVER: SignedDuration = SignedDuration::from_mins(10);
/// Rounds of questions in one look; the past is read run by run.
const ROUNDS: usize = 80;

/// How many apps are looked at for the first time at once.
pub(crate) const NEWCOMERS: usize = 8;

/// Watches one app until shutdown.
pub struct Watcher {
    /// What the watcher shares with the rest of the bot.
    pub shell: Arc<Shell>,
    /// Which app.
    pub name: AppName,
    /// Its settings.
    pub settings: AppSettings,
    /// Its desk.
    pub desk: Desk,
    /// Makes it look now.
    pub now: Arc<Notify>,
    /// Counts the webhooks, which make it look soon.
    pub hints: watch::Receiver<u64>,
}

/// What a watcher keeps from look to look.
#[derive(Default)]
struct Kept {
    /// Whether the app was looked at since the start.
    seen: bool,
    /// When the workflow files were read.
    discovered: Option<Timestamp>,
    /// What it thinks of webhooks.
    trust: Trust,
}

impl Watcher {
    /// Looks, and looks again: soon while a run goes on, later while nothing happens.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut kept = Kept::default();
        let (mut healthy, mut cause) = (true, Cause::Time);
        loop {
            if !kept.seen {
                tokio::select! {
                    () = self.catch_up() => {}
                    () = shutdown.cancelled() => return,
                }
            }
            let began = self.shell.clock.now();
            let purpose = self.purpose(cause, kept.seen);
            let (now, mut hints) = (self.now.clone(), self.hints.clone());
            let looked = tokio::select! {
                looked = self.led(&mut kept, cause, purpose) => looked,
                // What would wait for its turn waits no longer.
                () = now.notified(), if purpose == Purpose::First => {
                    cause = Cause::Asked;
                    continue;
                }
                Ok(()) = hints.changed(), if purpose == Purpose::First => {
                    cause = Cause::Hint;
                    continue;
                }
                () = shutdown.cancelled() => return,
            };
            match looked {
                Ok(()) if !healthy => info!(app.name = %self.name, "GitHub answers again"),
                Ok(()) => {}
                // Said once for each outage; /ready and the age in the answers say the rest.
                Err(error) if healthy => warn!(app.name = %self.name, "could not look at GitHub: {error:#}"),
                Err(_) => {}
            }
            healthy = self.shell.note_look(&self.name);
            if let (Cause::Hint, Some(servers)) = (cause, self.shell.surveys.get(&self.name)) {
                servers.notify_one();
            }
            cause = tokio::select! {
                cause = self.rest(began, kept.trust.is_announced()) => cause,
                () = shutdown.cancelled() => return,
            };
        }
    }

    /// Waits until there is reason to look again.
    async fn rest(&mut self, began: Timestamp, announced: bool) -> Cause {
        let (clock, active) = (self.shell.clock.clone(), self.desk.app().is_active());
        tokio::select! {
            () = clock.sleep(pause(&self.shell, active, announced)) => return Cause::Time,
            () = self.now.notified() => return Cause::Asked,
            Ok(()) = self.hints.changed() => {}
        }
        // Webhooks come in bursts, and a moment before GitHub's lists show what they are about. What comes while it waits is looked at
        // too; what comes while it looks makes it look again.
        let between = pause(&self.shell, true, false);
        let since = Duration::try_from(clock.now().duration_since(began)).unwrap_or_default();
        tokio::select! {
            () = clock.sleep(between.saturating_sub(since).max(between / 10)) => Cause::Hint,
            () = self.now.notified() => Cause::Asked,
        }
    }

    /// Learns what other replicas saw going on, once this one leads. Where that cannot be read, no look comes to anything either, and says
    /// so.
    async fn catch_up(&self) {
        self.shell.lead.led().await;
        let _ = self.shell.catch_up(&self.name).await;
    }

    /// Looks, once this replica leads.
    async fn led(&mut self, kept: &mut Kept, cause: Cause, purpose: Purpose) -> anyhow::Result<()> {
        let _newcomer = match purpose {
            Purpose::First => Some(self.shell.newcomers.acquire().await?),
            Purpose::Person | Purpose::Active | Purpose::Idle => None,
        };
        let fence = self.shell.lead.led().await;
        self.hints.mark_unchanged();
        self.look(kept, cause, purpose, fence).await?;
        kept.seen = true;
        Ok(())
    }

    /// For whom the next look is.
    fn purpose(&self, cause: Cause, seen: bool) -> Purpose {
        match cause {
            Cause::Asked | Cause::Hint => Purpose::Active,
            Cause::Time if self.desk.app().is_active() => Purpose::Active,
            Cause::Time if seen => Purpose::Idle,
            Cause::Time => Purpose::First,
        }
    }

    async fn look(&self, kept: &mut Kept, cause: Cause, purpose: Purpose, fence: Fence) -> anyhow::Result<()> {
        // Time goes by for the core as well when GitHub is away.
        self.desk.observed(Event::Tick, fence).await?;
        let github = self.shell.github.on(purpose);
        let pipeline = self.pipeline(&github, &mut kept.discovered, fence).await?;
        let look = github.look(&pipeline).await?;
        if kept.trust.judge(cause, &look, *self.hints.borrow()) {
            info!(app.name = %self.name, "something happened that no webhook announced: asking as often as without, until one comes");
        }
        self.desk.observed(Event::Seen(look.clone()), fence).await?;
        for _ in 0..ROUNDS {
            let wanted = self.desk.app().wanted(self.shell.clock.now());
            if wanted.is_empty() {
                break;
            }
            let mut findings = Vec::new();
            for question in wanted {
                findings.extend(find(&github, &pipeline, &look, question).await?);
            }
            if findings.is_empty() {
                break;
            }
            self.desk.observed(Event::Learned(findings), fence).await?;
        }
        herald::call(&self.shell, &self.name, fence).await
    }

    async fn pipeline(
        &self,
        github: &GitHub,
        discovered: &mut Option<Timestamp>,
        fence: Fence,
    ) -> anyhow::Result<Pipeline> {
        let now = self.shell.clock.now();
        let fresh = discovered.is_some_and(|at| now.duration_since(at) < REDISCOVER);
        let app = self.desk.app();
        if let Some(known) = app.pipeline().filter(|_| fresh) {
            return Ok(known.clone());
        }
        let read = github.discover(&self.name, &self.settings.repo, &self.settings.environments).await;
        match (read, app.pipeline()) {
            (Ok(pipeline), known) => {
                if known != Some(&pipeline) {
                    self.desk.observed(Event::Discovered(pipeline.clone()), fence).await?;
                }
                *discovered = Some(now);
                Ok(pipeline)
            }
            // A workflow file that was broken by a merge must not stop the watching of what it made.
            (Err(error), Some(known)) => {
                warn!(app.name = %self.name, "could not read the pipeline again, keeping the one known: {error:#}");
                *discovered = Some(now);
                Ok(known.clone())
            }
            (Err(error), None) => Err(error.into()),
        }
    }
}

async fn find(
    github: &GitHub,
    pipeline: &Pipeline,
    look: &Look,
    wanted: Wanted,
) -> Result<Option<Finding>, GitHubError> {
    Ok(match wanted {
        Wanted::Details(id) => match details(github, pipeline, look, id).await {
            Ok((run, details)) => Some(Finding::Details(Box::new(run), details)),
            // A run that somebody deleted.
            Err(GitHubError::NotFound) => Some(Finding::Gone(id)),
            Err(error) => return Err(error),
        },
        Wanted::WhyCancelled(id, jobs) => {
            Some(Finding::WhyCancelled(id, github.why_cancelled(&pipeline.repo, &jobs).await?))
        }
        Wanted::Symptoms(id, job) => Some(Finding::Symptoms(id, job, github.symptoms(&pipeline.repo, job).await?)),
        Wanted::Range { base, head } => {
            let range = github.range(pipeline, &base, &head).await?;
            Some(Finding::Range { base, head, range })
        }
    })
}

/// The run itself is as the look listed it, unless it has left the lists.
async fn details(github: &GitHub, pipeline: &Pipeline, look: &Look, id: RunId) -> Result<(Run, Details), GitHubError> {
    let run = match look.runs.iter().find(|run| run.id == id) {
        Some(run) => run.clone(),
        None => github.run(pipeline, id).await?,
    };
    let details = github.details(pipeline, &run).await?;
    Ok((run, details))
}

/// How long to wait for the next look at an app where something goes on, or nothing does.
fn pause(shell: &Shell, active: bool, announced: bool) -> Duration {
    let alike = shell.crowd(active);
    let left = cadence::left(shell.github.budget(), shell.clock.now());
    let pause = Pace { active, announced, alike, left }.pause(&shell.config.polling);
    jittered(pause)
}

/// All apps at once would be a burst every minute.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + fastrand::f64() * 0.2)
}

/// How long to wait for the next look where nothing goes on.
pub fn idle_pause(shell: &Shell) -> Duration {
    pause(shell, false, false)
}

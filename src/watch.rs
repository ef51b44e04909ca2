//! The watcher of one app: reads the pipeline, looks at GitHub, finds out what the core wants to know, and tells it. It decides
//! nothing: what happened outside is compared with what was known by the core. A webhook or an approval only makes it look now.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::AppSettings;
use crate::deploy::event::{Event, Finding, Wanted};
use crate::deploy::name::AppName;
use crate::deploy::pipeline::Pipeline;
use crate::desk::Desk;
use crate::github::GitHubError;
use crate::herald;
use crate::shell::Shell;
use crate::store::Fence;

pub mod leading;
mod servers;

pub use servers::ServerWatcher;

/// How often the workflow files are read again: they change rarely, and a merge that changes them shows within this time.
const REDISCOVER: SignedDuration = SignedDuration::from_mins(10);
/// Rounds of questions in one look; the past is read run by run.
const ROUNDS: usize = 80;

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
}

impl Watcher {
    /// Looks, and looks again: soon while a run goes on, later while nothing happens.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut discovered = None;
        let mut healthy = true;
        loop {
            let looked = tokio::select! {
                looked = self.led(&mut discovered) => looked,
                () = shutdown.cancelled() => return,
            };
            match looked {
                Ok(()) if !healthy => info!(app.name = %self.name, "GitHub answers again"),
                Ok(()) => {}
                // Said once for each outage; /ready and the age in the answers say the rest.
                Err(error) if healthy => warn!(app.name = %self.name, "could not look at GitHub: {error:#}"),
                Err(_) => {}
            }
            if let Some(budget) = self.shell.github.budget() {
                metrics::gauge!("lockkeeper_github_requests_remaining").set(budget.remaining as f64);
            }
            healthy = self.shell.note_look(&self.name);
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                () = self.now.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn pause(&self) -> Duration {
        let polling = &self.shell.config.polling;
        let pause = if self.desk.app().is_active() { polling.active } else { polling.idle };
        // All apps at once would be a burst every minute.
        pause.mul_f64(0.9 + fastrand::f64() * 0.2)
    }

    /// Looks, once this replica leads.
    async fn led(&self, discovered: &mut Option<Timestamp>) -> anyhow::Result<()> {
        let fence = self.shell.lead.led().await;
        self.look(discovered, fence).await
    }

    async fn look(&self, discovered: &mut Option<Timestamp>, fence: Fence) -> anyhow::Result<()> {
        // Time goes by for the core as well when GitHub is away.
        self.desk.observed(Event::Tick, fence).await?;
        let pipeline = self.pipeline(discovered, fence).await?;
        let look = self.shell.github.look(&pipeline).await?;
        self.desk.observed(Event::Seen(look), fence).await?;
        for _ in 0..ROUNDS {
            let wanted = self.desk.app().wanted(self.shell.clock.now());
            if wanted.is_empty() {
                break;
            }
            let mut findings = Vec::new();
            for question in wanted {
                findings.extend(self.find(&pipeline, question).await?);
            }
            if findings.is_empty() {
                break;
            }
            self.desk.observed(Event::Learned(findings), fence).await?;
        }
        herald::call(&self.shell, &self.name, fence).await
    }

    async fn pipeline(&self, discovered: &mut Option<Timestamp>, fence: Fence) -> anyhow::Result<Pipeline> {
        let now = self.shell.clock.now();
        let fresh = discovered.is_some_and(|at| now.duration_since(at) < REDISCOVER);
        let app = self.desk.app();
        if let Some(known) = app.pipeline().filter(|_| fresh) {
            return Ok(known.clone());
        }
        let read = self.shell.github.discover(&self.name, &self.settings.repo, &self.settings.environments).await;
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

    async fn find(&self, pipeline: &Pipeline, wanted: Wanted) -> Result<Option<Finding>, GitHubError> {
        let github = &self.shell.github;
        Ok(match wanted {
            Wanted::Details(id) => match github.details(pipeline, id).await {
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
}

//! The watcher of one app's servers: asks Elastic Beanstalk and tells the core what it says. A region or an account that cannot
//! be read is told as such and spoils nothing else. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::deploy::event::Event;
use crate::deploy::name::{AppName, EnvName};
use crate::deploy::pipeline::Pipeline;
use crate::deploy::server::{Reading, Servers, Unread};
use crate::desk::Desk;
use crate::shell::Shell;
use crate::store::Fence;

/// Where there are no credentials, looking for them takes seconds and finds none most of the time.
const NO_CREDENTIALS: Duration = Duration::from_mins(5);

/// Watches the servers of one app until shutdown.
pub struct ServerWatcher {
    /// What the watcher shares with the rest of the bot.
    pub shell: Arc<Shell>,
    /// Which app.
    pub name: AppName,
    /// Whether its settings let Elastic Beanstalk be asked.
    pub aws: bool,
    /// Its desk.
    pub desk: Desk,
    /// Makes it look now.
    pub now: Arc<Notify>,
}

impl ServerWatcher {
    /// Looks, and looks again: soon while something changes, later while nothing happens.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut able = false;
        let mut said: BTreeMap<EnvName, Unread> = BTreeMap::new();
        loop {
            let looked = tokio::select! {
                looked = self.led(&mut able, &mut said) => looked,
                () = shutdown.cancelled() => return,
            };
            if let Err(error) = looked {
                warn!(app.name = %self.name, "could not tell what Elastic Beanstalk says: {error:#}");
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause(able)) => {}
                () = self.now.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn pause(&self, able: bool) -> Duration {
        let (polling, app) = (&self.shell.config.polling, self.desk.app());
        // The first look waits for the pipeline only.
        let soon = app.pipeline().is_none() || app.is_active() || app.are_servers_changing();
        let pause = match (self.aws && !able && app.pipeline().is_some(), soon) {
            (true, _) => NO_CREDENTIALS,
            (false, true) => polling.active,
            (false, false) => polling.idle,
        };
        super::jittered(pause)
    }

    /// Looks, once this replica leads.
    async fn led(&self, able: &mut bool, said: &mut BTreeMap<EnvName, Unread>) -> anyhow::Result<()> {
        let fence = self.shell.lead.led().await;
        self.look(able, said, fence).await
    }

    async fn look(&self, able: &mut bool, said: &mut BTreeMap<EnvName, Unread>, fence: Fence) -> anyhow::Result<()> {
        let from = self.shell.clock.now();
        let app = self.desk.app();
        // Nothing is known about the app yet: the other watcher reads its workflow files first.
        let Some(pipeline) = app.pipeline() else { return Ok(()) };
        // Once there were credentials, their end shows in the answers; before, looking for them takes seconds.
        *able = self.aws && (*able || self.shell.beanstalk.available().await);
        let readings = if *able { self.survey(pipeline).await } else { unread(pipeline) };
        self.say(&readings, said);
        self.desk.observed(Event::Surveyed(readings), fence).await?;
        self.shell.note_survey(&self.name, from);
        Ok(())
    }

    async fn survey(&self, pipeline: &Pipeline) -> BTreeMap<EnvName, Reading> {
        let mut readings = unread(pipeline);
        for ((region, application), names) in pipeline.places() {
            let asked: Vec<String> = names.keys().map(|name| (*name).to_owned()).collect();
            let mut described = self.shell.beanstalk.environments(region, application, &asked).await;
            for (name, environment) in names {
                let reading = match &mut described {
                    Ok(described) => described.remove(name).ok_or(Unread::Missing),
                    Err(unread) => Err(unread.clone()),
                };
                let reading = match reading {
                    Ok(servers) => Ok(self.complete(region, name, servers).await),
                    Err(unread) => Err(unread),
                };
                readings.insert(environment.clone(), reading);
            }
        }
        readings
    }

    /// Adds what only further calls tell. What of it cannot be read is left out, which is less than knowing that all is well.
    async fn complete(&self, region: &str, name: &str, servers: Servers) -> Servers {
        let beanstalk = &self.shell.beanstalk;
        let well = servers.is_ready() && servers.health_status.as_deref() == Some("Ok");
        let causes = if well { Ok(Vec::new()) } else { beanstalk.causes(region, name).await };
        let instances = beanstalk.instances(region, name).await;
        let events = beanstalk.events(region, name).await;
        Servers {
            causes: causes.unwrap_or_default(),
            instances: instances.unwrap_or_default(),
            events: events.unwrap_or_default(),
            ..servers
        }
    }

    /// Says once that an environment cannot be read, and once that it can again.
    fn say(&self, readings: &BTreeMap<EnvName, Reading>, said: &mut BTreeMap<EnvName, Unread>) {
        for (name, reading) in readings {
            match reading {
                Ok(_) => {
                    if said.remove(name).is_some() {
                        info!(app.name = %self.name, environment = %name, "Elastic Beanstalk can be read again");
                    }
                }
                Err(Unread::NotConfigured) => {}
                Err(unread) => {
                    if said.insert(name.clone(), unread.clone()).as_ref() != Some(unread) {
                        warn!(app.name = %self.name, environment = %name, "Elastic Beanstalk cannot be read: {unread:?}");
                    }
                }
            }
        }
    }
}

/// All environments as they are where nobody can be asked.
fn unread(pipeline: &Pipeline) -> BTreeMap<EnvName, Reading> {
    pipeline.environments.iter().map(|e| (e.name.clone(), Err(Unread::NotConfigured))).collect()
}

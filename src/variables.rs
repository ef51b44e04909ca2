//! Environment variables: the look at them, and the watch for pull requests that wait for some. Values are in `vault` only.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::beanstalk::configuration::Spot;
use crate::deploy::app::App;
use crate::deploy::event::Event;
use crate::deploy::name::{AppName, EnvName};
use crate::deploy::pipeline::Environment;
use crate::deploy::server::Unread;
use crate::deploy::variable::{Inventory, Keys, Proposal};
use crate::github::Purpose;
use crate::shell::Shell;
use crate::store::Fence;
use crate::watch;

/// Watches one app's open pull requests for variables that they require.
pub struct Keeper {
    /// What the keeper shares with the rest of the bot.
    pub shell: Arc<Shell>,
    /// Which app.
    pub name: AppName,
}

impl Keeper {
    /// Looks as often as GitHub is asked while nothing happens, until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut well = true;
        loop {
            let looked = tokio::select! {
                looked = self.led() => looked,
                () = shutdown.cancelled() => return,
            };
            if let (Err(error), true) = (&looked, well) {
                warn!(app.name = %self.name, "could not look for required variables: {error:#}");
            }
            well = looked.is_ok();
            tokio::select! {
                () = self.shell.clock.sleep(watch::idle_pause(&self.shell)) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Looks, if this replica leads; every one forgets what it needs no more.
    async fn led(&self) -> anyhow::Result<()> {
        let shell = &self.shell;
        shell.vault.tidy(shell.clock.now(), |id| shell.apps().any(|(_, app)| app.is_setting(id)));
        match tokio::time::timeout(shell.config.polling.idle, shell.lead.led()).await {
            Ok(fence) => self.look(fence).await,
            Err(_) => Ok(()),
        }
    }

    /// Variables are read only while somebody waits for one: that right is a heavy one.
    async fn look(&self, fence: Fence) -> anyhow::Result<()> {
        let app = self.shell.desk(&self.name)?.app();
        let Some(pipeline) = app.pipeline() else { return Ok(()) };
        let proposals = self.shell.github.on(Purpose::Idle).proposals(pipeline).await?;
        if app.watches_proposals() || proposals.iter().any(|proposal| !proposal.requires.is_empty()) {
            let inventory =
                Inventory { environments: read(&self.shell, &self.name, &app).await, proposals: Some(proposals) };
            self.shell.desk(&self.name)?.observed(Event::Inventoried(inventory), fence).await?;
        }
        Ok(())
    }
}

/// Looks at an app's variables and tells its desk; what cannot be looked at is told as that.
pub async fn look(shell: &Shell, name: &AppName, proposals: Option<Vec<Proposal>>) {
    let Ok(desk) = shell.desk(name) else { return };
    let app = desk.app();
    let inventory = Inventory { environments: read(shell, name, &app).await, proposals };
    if let Err(error) = desk.tell(Event::Inventoried(inventory), None).await {
        tracing::error!(app.name = %name, "could not write down what variables there are: {error:#}");
    }
}

async fn read(shell: &Shell, name: &AppName, app: &App) -> BTreeMap<EnvName, Result<Keys, Unread>> {
    let aws = shell.config.apps.get(name).is_some_and(|settings| settings.aws);
    let able = aws && shell.beanstalk.available().await;
    let one = async |environment: &Environment| {
        let keys = match Spot::of(environment).filter(|_| able) {
            Some(spot) => shell.beanstalk.variables(&spot).await,
            None => Err(Unread::NotConfigured),
        };
        (environment.name.clone(), keys)
    };
    join_all(app.with_variables().map(one)).await.into_iter().collect()
}

//! Who watches. Several replicas may share a store; one of them leads, for as long as it says so again and again: it watches the apps,
//! and another takes over soon after it stops. What a leader observed counts only with its fence, so one that slept and does not
//! know yet that it was replaced writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::deploy::name::AppName;
use crate::shell::Shell;
use crate::store::Fence;

/// How long a leader leads without saying so again.
const TERM: Duration = Duration::from_secs(9);
/// How often it says so, and how often the others look what has changed. Both together bound how long nobody watches after a leader
/// died: 11 s.
const TURN: Duration = Duration::from_secs(2);

/// Whether this replica leads.
pub struct Lead {
    /// Nobody else is called that.
    me: String,
    fence: watch::Sender<Option<Fence>>,
}

impl Default for Lead {
    fn default() -> Self {
        Self { me: format!("{:032x}", fastrand::u128(..)), fence: watch::Sender::new(None) }
    }
}

impl Lead {
    /// Waits until this replica leads.
    pub async fn led(&self) -> Fence {
        let mut fence = self.fence.subscribe();
        let led = fence.wait_for(Option::is_some).await.ok().and_then(|fence| *fence);
        match led {
            Some(fence) => fence,
            None => std::future::pending().await,
        }
    }

    fn set(&self, fence: Option<Fence>) {
        let changed = self.fence.send_if_modified(|known| std::mem::replace(known, fence) != fence);
        match fence {
            Some(_) if changed => info!("this replica watches"),
            None if changed => info!("this replica does not watch any more"),
            Some(_) | None => {}
        }
    }
}

/// Leads when nobody else does, and learns what others have changed, until shutdown; then leaves it to them. Ends early, and the bot
/// with it, where the store would not keep what it is given.
pub async fn run(shell: Arc<Shell>, shutdown: CancellationToken) {
    let mut sure = Instant::now();
    let mut fit = false;
    loop {
        let turn = tokio::select! {
            turn = turn(&shell, &mut fit) => turn,
            () = shutdown.cancelled() => break,
        };
        match turn {
            Ok(true) => sure = Instant::now(),
            Ok(false) => return,
            // It may lead no more, and cannot tell.
            Err(error) if sure.elapsed() >= TERM => {
                warn!("the store is away, so nothing is watched: {error:#}");
                shell.lead.set(None);
            }
            Err(_) => {}
        }
        let pause = if shell.store.is_shared() { TURN } else { Duration::MAX };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // The lead ends by itself where this does not arrive.
    let _ = shell.store.resign(&shell.lead.me).await;
}

/// One turn; `false` where the store cannot be used.
async fn turn(shell: &Shell, fit: &mut bool) -> anyhow::Result<bool> {
    let apps = shell.apps().filter_map(|(name, app)| Some((name.clone(), app.looked_at()?)));
    let looked: BTreeMap<AppName, Timestamp> = apps.collect();
    let fence = shell.store.lead(&shell.lead.me, TERM, &looked).await?;
    if !*fit && let Err(error) = shell.store.fit().await {
        error!("{error:#}");
        return Ok(false);
    }
    *fit = true;
    shell.lead.set(fence);
    let apps: Vec<AppName> = shell.apps().map(|(name, _)| name.clone()).collect();
    for (app, glance) in shell.store.glance(&apps).await? {
        shell.desk(&app)?.refresh(Some(glance)).await?;
        shell.note_look(&app);
    }
    Ok(true)
}

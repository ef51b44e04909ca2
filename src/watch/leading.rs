//! Leading: says again and again that this replica watches, or waits for its turn, and lets the desks catch up with what others have
//! changed. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::deploy::name::AppName;
use crate::lead::{TERM, TURN};
use crate::shell::Shell;

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
                shell.lead.doubt();
            }
            Err(_) => {}
        }
        let pause = if shell.store.is_shared() { TURN } else { Duration::MAX };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
    }
    shell.lead.resign(&shell.store).await;
}

/// One turn; `false` where the store cannot be used.
async fn turn(shell: &Shell, fit: &mut bool) -> anyhow::Result<bool> {
    let apps = shell.apps().filter_map(|(name, app)| Some((name.clone(), app.looked_at()?)));
    let looked: BTreeMap<AppName, Timestamp> = apps.collect();
    if !*fit && let Err(error) = shell.store.fit().await {
        error!("{error:#}");
        return Ok(false);
    }
    shell.lead.say(&shell.store, &looked).await?;
    *fit = true;
    let apps: Vec<AppName> = shell.apps().map(|(name, _)| name.clone()).collect();
    for (app, glance) in shell.store.glance(&apps).await? {
        shell.desk(&app)?.refresh(Some(glance)).await?;
        shell.note_look(&app);
    }
    Ok(true)
}

//! Leading: says again and again that this replica watches, or waits for its turn, and lets the desks catch up with what others have
//! changed. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::deploy::name::AppName;
use crate::lead::TERM;
use crate::shell::Shell;

/// How often a leader says that it leads, and how often the others look what has changed. With [`TERM`] it bounds how long nobody
/// watches after a leader died: 8 s.
const TURN: Duration = Duration::from_secs(2);

/// Leads when nobody else does, and learns what others have changed, until shutdown; then leaves it to them. Ends early, and the bot
/// with it, where the store would not keep what it is given.
pub async fn run(shell: Arc<Shell>, shutdown: CancellationToken) {
    let mut sure = Instant::now();
    let mut turns = Turns::default();
    loop {
        let turn = tokio::select! {
            turn = turns.next(&shell) => turn,
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

/// What is known from one turn to the next.
#[derive(Default)]
struct Turns {
    /// Whether the store keeps what it is given.
    fit: bool,
    /// How often each app was hinted at, as of the last turn.
    hints: BTreeMap<AppName, u64>,
}

impl Turns {
    /// One turn; `false` where the store cannot be used.
    async fn next(&mut self, shell: &Shell) -> anyhow::Result<bool> {
        let apps = shell.apps().filter_map(|(name, app)| Some((name.clone(), app.looked_at()?)));
        let looked: BTreeMap<AppName, Timestamp> = apps.collect();
        if !self.fit
            && let Err(error) = shell.store.fit().await
        {
            error!("{error:#}");
            return Ok(false);
        }
        shell.lead.say(&shell.store, &looked).await?;
        self.fit = true;
        let apps: Vec<AppName> = shell.apps().map(|(name, _)| name.clone()).collect();
        for (app, glance) in shell.store.glance(&apps).await? {
            // Another replica took a webhook. At its start this one looks in any case.
            if self.hints.insert(app.clone(), glance.hints).is_some_and(|before| before != glance.hints) {
                shell.hint(&app);
            }
            shell.desk(&app)?.refresh(Some(glance)).await?;
            shell.note_look(&app);
        }
        // What nobody has written down yet may be hinted at before it is.
        for app in apps {
            self.hints.entry(app).or_default();
        }
        Ok(true)
    }
}

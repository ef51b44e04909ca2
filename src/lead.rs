//! Who watches. Several replicas may share a store; one of them leads, for as long as it says so again and again: it watches the apps,
//! and another takes over soon after it stops. What a leader observed counts only with its fence, so one that slept and does not
//! know yet that it was replaced writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::info;

use crate::deploy::name::AppName;
use crate::store::{Fence, Store};

/// How long a leader leads without saying so again.
pub const TERM: Duration = Duration::from_secs(6);

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

    /// Whether this replica leads now, as far as it knows.
    pub fn leads(&self) -> bool {
        self.fence.borrow().is_some()
    }

    /// Leads, or goes on leading; `looked` is when each app was last seen at GitHub.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn say(&self, store: &Store, looked: &BTreeMap<AppName, Timestamp>) -> anyhow::Result<()> {
        self.set(store.lead(&self.me, TERM, looked).await?);
        Ok(())
    }

    /// The store has been away for so long that somebody else may lead.
    pub fn doubt(&self) {
        self.set(None);
    }

    /// Leaves it to another. The lead ends by itself where this does not arrive.
    pub async fn resign(&self, store: &Store) {
        let _ = store.resign(&self.me).await;
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

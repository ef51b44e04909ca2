//! Opening the pull request that reverts a change, once: an attempt that may have been performed is looked for, never repeated.

use anyhow::Context;

use super::Performed;
use crate::deploy::effect::Effect;
use crate::deploy::event::{Event, Outcome};
use crate::deploy::revert::Reverting;
use crate::github::GitHubError;
use crate::shell::Shell;
use crate::store::Claimed;

/// Opens the pull request.
pub(super) async fn perform(shell: &Shell, claimed: &Claimed, reverting: Reverting) -> anyhow::Result<Performed> {
    let desk = shell.desk(&reverting.request.app)?;
    let pipeline = desk.app().pipeline().cloned().context("revert in a pipeline that is not known")?;
    let uncertain = claimed.uncertain;
    Ok(match shell.github.revert(&pipeline, &reverting, uncertain).await {
        Ok(reverted) => {
            let outcome = Outcome::Revert(reverted);
            Performed::Tell(Box::new(Event::Performed(Effect::Revert(reverting), outcome)))
        }
        Err(GitHubError::RateLimited { until }) => Performed::limited(until, shell.clock.now(), uncertain),
        Err(error @ GitHubError::Unauthorized) => Performed::Never(error.to_string()),
        // Nothing was sent this time.
        Err(error) => Performed::Again { after: None, uncertain, why: error.to_string() },
    })
}

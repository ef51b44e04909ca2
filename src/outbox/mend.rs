//! Running failed jobs again and cancelling runs, once.

use anyhow::Context;
use tracing::warn;

use super::Performed;
use crate::deploy::effect::Effect;
use crate::deploy::event::Event;
use crate::deploy::mend::Repair;
use crate::github::GitHubError;
use crate::github::mend::Unanswered;
use crate::shell::Shell;
use crate::store::Claimed;

/// Mends a run. What may have been sent before is looked for and not sent again.
pub(super) async fn perform(shell: &Shell, claimed: &Claimed, repair: Repair) -> anyhow::Result<Performed> {
    let app = repair.request.app.clone();
    let desk = shell.desk(&app)?;
    let pipeline = desk.app().pipeline().cloned().context("mend a run of a pipeline that is not known")?;
    let performed = match shell.github.mend(&pipeline, &repair, claimed.uncertain).await {
        Ok(outcome) => Performed::Tell(Box::new(Event::Performed(Effect::Mend(repair), outcome))),
        Err(Unanswered { error: GitHubError::RateLimited { until }, sent }) => {
            Performed::limited(until, shell.clock.now(), sent)
        }
        Err(Unanswered { error, sent: false })
            if matches!(error, GitHubError::Unauthorized | GitHubError::NotFound | GitHubError::Forbidden(_)) =>
        {
            Performed::Never(error.to_string())
        }
        Err(Unanswered { error, sent }) => {
            warn!(app.name = %app, sent, "could not mend a run: {error}");
            Performed::Again { after: None, uncertain: sent, why: error.to_string() }
        }
    };
    shell.look_now(&app);
    Ok(performed)
}

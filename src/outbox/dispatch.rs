//! Starting workflows, once: an attempt that may have been performed is looked for, and nothing is sent again.

use anyhow::Context;

use super::Performed;
use crate::deploy::dispatch::Order;
use crate::deploy::effect::Effect;
use crate::deploy::event::Event;
use crate::github::GitHubError;
use crate::shell::Shell;
use crate::store::Claimed;

/// Starts a workflow.
pub(super) async fn perform(shell: &Shell, claimed: &Claimed, mut order: Order) -> anyhow::Result<Performed> {
    let app = order.request.app.clone();
    let pipeline = shell.desk(&app)?.app().pipeline().cloned().context("dispatch in a pipeline that is not known")?;
    let outcome = if claimed.uncertain {
        shell.github.find_started(&pipeline, &mut order).await
    } else {
        shell.github.start(&pipeline, &mut order).await
    };
    shell.look_now(&app);
    Ok(match outcome {
        Ok(outcome) => Performed::Tell(Box::new(Event::Performed(Effect::Dispatch(order), outcome))),
        Err(GitHubError::RateLimited { until }) => Performed::limited(until, shell.clock.now(), true),
        Err(error) => Performed::Again { after: None, uncertain: true, why: error.to_string() },
    })
}

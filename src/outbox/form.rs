//! Forms that stand open while it is found out what they have to show.

use super::{Performed, not_sent};
use crate::deploy::form::{Form, View};
use crate::deploy::message::Message;
use crate::deploy::name::AppName;
use crate::shell::Shell;
use crate::slack::SlackError;

/// Shows the form that somebody waits for, as it is now.
pub(super) async fn show(shell: &Shell, app: &AppName, view: Option<&str>, form: &Form) -> anyhow::Result<Performed> {
    let shown = shell.desk(app)?.app().view(form, shell.clock.now());
    change(shell, view, form, &shown).await
}

/// Says something in the place of the form that somebody waits for.
pub(super) async fn tell(shell: &Shell, app: &AppName, view: &str, message: &Message) -> anyhow::Result<Performed> {
    let form = Form::Redeploy { app: app.clone(), cancels: None };
    change(shell, Some(view), &form, &View::said(format!("Redeploy {app}"), message)).await
}

async fn change(shell: &Shell, view: Option<&str>, form: &Form, shown: &View) -> anyhow::Result<Performed> {
    let Some(id) = view else { return Ok(Performed::Never("there is no form to show it in".into())) };
    Ok(match shell.slack.change_form(id, form, shown).await {
        Ok(()) => Performed::Settled,
        // They closed it.
        Err(SlackError::Refused { code }) if code == "not_found" => Performed::Settled,
        Err(error) => not_sent(error),
    })
}

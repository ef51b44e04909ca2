//! The herald: after a look it reminds people of what waits for them, and once a week tells a channel how the week was. It knows
//! all apps, where a desk knows one; whom it is about and what is said is put together in `deploy`. When Slack does not say who or
//! where somebody is, it keeps quiet: the next look comes soon.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::deploy::app::App;
use crate::deploy::digest;
use crate::deploy::event::{Event, Unreachable};
use crate::deploy::name::{AppName, SlackId};
use crate::deploy::policy::Account;
use crate::deploy::remind_text;
use crate::shell::Shell;
use crate::store::Fence;

/// Says what is to be said, after a look at this app, and for all apps: whichever comes first speaks for the others.
///
/// # Errors
/// When it could not be remembered.
pub async fn call(shell: &Shell, speaker: &AppName, fence: Fence) -> anyhow::Result<()> {
    // Watchers come here side by side, and each has to know what the others have said.
    let _alone = shell.heralding.lock().await;
    remind(shell, speaker, fence).await?;
    tell_week(shell, speaker, fence).await
}

async fn remind(shell: &Shell, speaker: &AppName, fence: Fence) -> anyhow::Result<()> {
    let now = shell.clock.now();
    let desk = shell.desk(speaker)?;
    for who in desk.app().nudged(now) {
        // Slack is away: asking about the others would only keep everybody waiting.
        let Ok(zone) = zone(shell, &who).await else { return Ok(()) };
        let Some(zone) = zone else { continue };
        let last = shell.apps().filter_map(|(_, app)| app.reminded(&who)).max();
        if shell.config.calendar.hours.allow(&now.to_zoned(zone), last) {
            // What was not looked at since the start may be long in production.
            let seen = shell.apps().filter(|(_, app)| app.looked_at().is_some());
            let parts = seen.filter_map(|(_, app)| app.reminder(&who, now)).collect();
            desk.observed(Event::Remind { to: who, message: remind_text::whole(parts) }, fence).await?;
        }
    }
    Ok(())
}

/// The time zone of somebody; `None` if they cannot be reminded: only full members can. Slack knows it; where not, it is the team's.
async fn zone(shell: &Shell, who: &SlackId) -> Result<Option<TimeZone>, Unreachable> {
    let profile = shell.people.known(who).await?;
    let known = profile.tz.and_then(|name| TimeZone::get(&name).ok());
    let zone = known.unwrap_or_else(|| shell.config.calendar.zone.clone());
    Ok((profile.account == Account::Member).then_some(zone))
}

async fn tell_week(shell: &Shell, speaker: &AppName, fence: Fence) -> anyhow::Result<()> {
    let now = shell.clock.now();
    let Some(weekly) = shell.config.calendar.digest else { return Ok(()) };
    let due = weekly.last(now, &shell.config.calendar.zone);
    // All apps are looked at here, at every look at one of them: on one day of the week only.
    if !digest::is_timely(due, now) {
        return Ok(());
    }
    let channel = |name: &AppName| shell.config.apps.get(name).map(|settings| &settings.channel);
    let apps = shell.apps().filter(|(name, _)| channel(name) == channel(speaker)).map(|(_, app)| app);
    let apps: Vec<Arc<App>> = apps.collect();
    let apps: Vec<&App> = apps.iter().map(Arc::as_ref).collect();
    if digest::is_due(&apps, due, now) {
        let message = digest::digest(&apps, due, now);
        shell.desk(speaker)?.observed(Event::Digest { due, message }, fence).await?;
    }
    Ok(())
}

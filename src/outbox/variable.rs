//! Commit statuses about required variables, and setting a variable step by step.

use anyhow::Context;
use jiff::SignedDuration;
use secrecy::SecretString;

use super::Performed;
use crate::beanstalk::configuration::{Refused, Spot};
use crate::deploy::effect::Effect;
use crate::deploy::event::{Event, Outcome};
use crate::deploy::name::EnvName;
use crate::deploy::variable::{Mark, Setting, Step, Stepped, Stop};
use crate::github::GitHubError;
use crate::shell::Shell;
use crate::store::Claimed;

/// How long a change may stay invisible before it counts as not done, or as taken back: reads lag behind writes.
const LAG: SignedDuration = SignedDuration::from_secs(60);

/// How long the replica that knows the values is waited for, and how often it gets its turn.
const ELSEWHERE: SignedDuration = SignedDuration::from_mins(5);
const LOOK_ELSEWHERE: SignedDuration = SignedDuration::from_secs(2);

/// Sets a commit status. GitHub shows the newest, so that twice does no harm.
pub(super) async fn mark(shell: &Shell, claimed: &Claimed, mark: Mark) -> anyhow::Result<Performed> {
    let app = shell.desk(&claimed.app)?.app();
    let pipeline = app.pipeline().context("a status in a repo that is not known")?;
    Ok(match shell.github.mark(&pipeline.repo, &mark).await {
        Ok(()) => Performed::Tell(Box::new(Event::Performed(Effect::Mark(mark), Outcome::Done))),
        Err(GitHubError::RateLimited { until }) => Performed::limited(until, shell.clock.now(), false),
        Err(error @ (GitHubError::Unreachable(_) | GitHubError::Odd(_))) => {
            Performed::Again { after: None, uncertain: true, why: error.to_string() }
        }
        Err(error) => Performed::Never(error.to_string()),
    })
}

/// Makes one step of a setting. The value is sent once; whether it arrived is read, not assumed.
pub(super) async fn set(shell: &Shell, claimed: &Claimed, setting: Setting) -> anyhow::Result<Performed> {
    let app = shell.desk(&claimed.app)?.app();
    let id = &setting.request.id;
    let mut places = Vec::new();
    for name in &setting.environments {
        let environment = app.pipeline().and_then(|pipeline| pipeline.environment(name));
        match (environment.and_then(Spot::of), shell.vault.value(id, name)) {
            (Some(spot), Some(value)) => places.push(Place { name, spot, value }),
            // Another replica may have taken the form, and comes by.
            _ if shell.store.is_shared() && shell.clock.now().duration_since(claimed.created) < ELSEWHERE => {
                return Ok(Performed::Wait(LOOK_ELSEWHERE));
            }
            _ => return Ok(stopped(setting.clone(), at(&setting), Stop::Forgotten)),
        }
    }
    let now = shell.clock.now();
    let done = match setting.step {
        Step::Check => check(shell, &setting.key, &places).await,
        Step::Change(nth) => {
            let old = now.duration_since(claimed.created) > LAG;
            change(shell, &setting.key, &places[nth], (claimed.uncertain, old)).await
        }
        Step::Follow(nth, begun) => follow(shell, &setting.key, &places[nth], now.duration_since(begun) > LAG).await,
    };
    let last = setting.position() + 1 == setting.environments.len();
    Ok(match done {
        Next::Told(stepped) => {
            if matches!(stepped, Stepped::Stopped(..)) || (stepped == Stepped::Set && last) {
                shell.vault.forget(id);
            }
            tell(setting, stepped)
        }
        Next::Wait => Performed::Wait(SignedDuration::try_from(shell.config.polling.active)?),
        Next::Look => {
            let after = SignedDuration::try_from(shell.config.polling.active).ok();
            Performed::Again { after, uncertain: true, why: "no clear answer from elastic beanstalk".into() }
        }
    })
}

/// An environment with its new value.
struct Place<'a> {
    name: &'a EnvName,
    spot: Spot,
    value: SecretString,
}

impl Place<'_> {
    fn stop(&self, stop: Stop) -> Next {
        Next::Told(Stepped::Stopped(self.name.clone(), stop))
    }
}

enum Next {
    /// The step is over.
    Told(Stepped),
    /// Nothing new yet.
    Wait,
    /// It may have been sent: look, and do not send again.
    Look,
}

/// Nothing is begun before every environment would take it.
async fn check(shell: &Shell, key: &str, places: &[Place<'_>]) -> Next {
    for place in places {
        match shell.beanstalk.standing(&place.spot, key, &place.value).await {
            Ok(standing) if !standing.is_ready() => return place.stop(Stop::Busy(standing.status)),
            Ok(_) => {}
            Err(unread) => return place.stop(Stop::Unread(unread)),
        }
        match shell.beanstalk.objection(&place.spot, key, &place.value).await {
            Ok(None) => {}
            Ok(Some(words)) => return place.stop(Stop::Refused(words.shown())),
            Err(unread) => return place.stop(Stop::Unread(unread)),
        }
    }
    Next::Told(Stepped::Checked)
}

async fn change(shell: &Shell, key: &str, place: &Place<'_>, (uncertain, old): (bool, bool)) -> Next {
    let begun = || Next::Told(Stepped::Begun(shell.clock.now()));
    if uncertain {
        return match shell.beanstalk.standing(&place.spot, key, &place.value).await {
            Ok(standing) if standing.has || standing.will_have => begun(),
            Ok(_) | Err(_) if old => place.stop(Stop::Unsure),
            Ok(_) | Err(_) => Next::Look,
        };
    }
    match shell.beanstalk.set_variable(&place.spot, key, &place.value).await {
        Ok(()) => begun(),
        Err(Refused::Busy) => place.stop(Stop::Busy("Updating".into())),
        Err(Refused::Words(words)) => place.stop(Stop::Refused(words.shown())),
        Err(Refused::Unread(unread)) => place.stop(Stop::Unread(unread)),
        Err(Refused::Unclear) => Next::Look,
    }
}

/// Done is what Elastic Beanstalk shows: ready again, with the value in force.
async fn follow(shell: &Shell, key: &str, place: &Place<'_>, old: bool) -> Next {
    match shell.beanstalk.standing(&place.spot, key, &place.value).await {
        Ok(standing) if standing.is_ready() && standing.has => match standing.colour.as_str() {
            "Red" => place.stop(Stop::Ill(standing.colour)),
            _ => Next::Told(Stepped::Set),
        },
        Ok(standing) if standing.is_ready() && !standing.will_have && old => place.stop(Stop::Reverted),
        // What cannot be read now may be readable in a moment; the limit is the effect's.
        Ok(_) | Err(_) => Next::Wait,
    }
}

fn at(setting: &Setting) -> EnvName {
    let nth = setting.environments.get(setting.position()).or(setting.environments.first());
    nth.cloned().unwrap_or_else(|| EnvName::new(""))
}

fn stopped(setting: Setting, at: EnvName, stop: Stop) -> Performed {
    tell(setting, Stepped::Stopped(at, stop))
}

fn tell(setting: Setting, stepped: Stepped) -> Performed {
    Performed::Tell(Box::new(Event::Performed(Effect::Set(setting), Outcome::Setting(stepped))))
}

//! Environment variables at Elastic Beanstalk. AWS sends every value in clear; here, at the edge, each becomes a fingerprint and is
//! dropped. Nothing that this gives back, and no error, holds a value or a piece of one.

use aws_config::retry::RetryConfig;
use aws_sdk_elasticbeanstalk::Client;
use aws_sdk_elasticbeanstalk::config::Config;
use aws_sdk_elasticbeanstalk::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticbeanstalk::types::{ConfigurationOptionSetting, ConfigurationSettingsDescription};
use secrecy::{ExposeSecret, SecretString};

use super::Beanstalk;
use crate::deploy::pipeline::Environment;
use crate::deploy::server::Unread;
use crate::deploy::variable::{Fingerprint, Keys};

const VARIABLES: &str = "aws:elasticbeanstalk:application:environment";
/// The option's value is the address of a secret, which is another one in every region.
const SECRETS: &str = "aws:elasticbeanstalk:application:environmentsecrets";
/// A piece of a value this long, in characters, must not be seen. Shorter values are looked for as a whole.
const PIECE: usize = 5;

/// An environment's place at Elastic Beanstalk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// `us-west-1`
    pub region: String,
    /// `h`
    pub application: String,
    /// `h-prod`
    pub environment: String,
}

/// How an environment stands to a variable that was or is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Elastic Beanstalk's word for what the environment does.
    pub status: String,
    /// Its health's colour.
    pub colour: String,
    /// Whether the value is in force.
    pub has: bool,
    /// Whether an update that is under way brings it.
    pub will_have: bool,
}

/// Elastic Beanstalk's words about a value, which may quote it.
pub struct Words(Option<String>);

/// Why a variable was not set.
pub enum Refused {
    /// The environment is busy.
    Busy,
    /// Elastic Beanstalk does not take it.
    Words(Words),
    /// It was not let in.
    Unread(Unread),
    /// Nobody knows whether it was done.
    Unclear,
}

impl Spot {
    /// The place of an environment, where it is known.
    pub fn of(environment: &Environment) -> Option<Self> {
        let place = environment.beanstalk.as_ref()?;
        let (application, name) = (place.application.clone(), place.environment.clone());
        Some(Self { region: environment.region.clone()?, application, environment: name })
    }
}

impl Standing {
    /// Whether it is idle.
    pub fn is_ready(&self) -> bool {
        self.status == "Ready"
    }
}

impl Words {
    /// The words, unless they show a piece of the value.
    fn about(words: &str, value: &SecretString) -> Self {
        let line: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        Self((!shows(words, value.expose_secret())).then_some(line))
    }

    /// What may be shown of them.
    pub fn shown(self) -> Option<String> {
        self.0
    }
}

/// Whether a text holds a value, or a piece of it.
fn shows(text: &str, value: &str) -> bool {
    let value: Vec<char> = value.chars().collect();
    value.windows(PIECE.min(value.len()).max(1)).any(|piece| text.contains(&piece.iter().collect::<String>()))
}

impl Beanstalk {
    /// The variables that are in force in an environment, without their values.
    ///
    /// # Errors
    /// Why they could not be looked at.
    pub async fn variables(&self, spot: &Spot) -> Result<Keys, Unread> {
        let sets = self.settings(spot).await?;
        let in_force = sets.iter().find(|set| is_in_force(set)).ok_or(Unread::Missing)?;
        let keys = in_force.option_settings().iter().filter_map(|option| {
            let key = option.option_name()?.to_owned();
            match option.namespace()? {
                VARIABLES => Some((key, Some(self.fingerprint(option.value().unwrap_or_default())))),
                SECRETS => Some((key, None)),
                _ => None,
            }
        });
        Ok(keys.collect())
    }

    /// What Elastic Beanstalk would say against a value; changes nothing.
    ///
    /// # Errors
    /// Why it could not be asked.
    pub async fn objection(&self, spot: &Spot, key: &str, value: &SecretString) -> Result<Option<Words>, Unread> {
        let asked = self.client(&spot.region).await.validate_configuration_settings();
        let asked = asked.application_name(&spot.application).environment_name(&spot.environment);
        let answer = asked.option_settings(option(key, value)).send().await.map_err(|error| unread(&error))?;
        let error = answer.messages().iter().find(|said| said.severity().is_some_and(|s| s.as_str() == "error"));
        Ok(error.map(|said| Words::about(said.message().unwrap_or("it gives no reason"), value)))
    }

    /// Sets a variable. Sent once.
    ///
    /// # Errors
    /// Why not, or that nobody knows.
    pub async fn set_variable(&self, spot: &Spot, key: &str, value: &SecretString) -> Result<(), Refused> {
        let client: Client = self.client(&spot.region).await;
        let asked = client.update_environment().application_name(&spot.application).environment_name(&spot.environment);
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let sent = asked.option_settings(option(key, value)).customize().config_override(once).send().await;
        let Err(error) = sent else { return Ok(()) };
        let is_refusal = error.raw_response().is_some_and(|response| response.status().is_client_error());
        match (unread(&error), error.code(), error.message()) {
            (not_let_in @ (Unread::Throttled | Unread::Denied(_)), _, _) => Err(Refused::Unread(not_let_in)),
            (_, Some(_), Some(message)) if is_refusal && message.contains("Must be Ready") => Err(Refused::Busy),
            (_, Some(_), message) if is_refusal => {
                Err(Refused::Words(Words::about(message.unwrap_or("it gives no reason"), value)))
            }
            _ => Err(Refused::Unclear),
        }
    }

    /// What an environment does, and how it stands to a variable.
    ///
    /// # Errors
    /// Why it could not be looked at.
    pub async fn standing(&self, spot: &Spot, key: &str, value: &SecretString) -> Result<Standing, Unread> {
        let names = [spot.environment.clone()];
        let mut described = self.environments(&spot.region, &spot.application, &names).await?;
        let environment = described.remove(&spot.environment).ok_or(Unread::Missing)?;
        let sets = self.settings(spot).await?;
        let wanted = self.fingerprint(value.expose_secret());
        let holds = |set: &ConfigurationSettingsDescription| {
            let mut options = set.option_settings().iter();
            options.any(|one| {
                let same_key = one.namespace() == Some(VARIABLES) && one.option_name() == Some(key);
                same_key && self.fingerprint(one.value().unwrap_or_default()) == wanted
            })
        };
        Ok(Standing {
            status: environment.status,
            colour: environment.health.unwrap_or_default(),
            has: sets.iter().filter(|set| is_in_force(set)).any(holds),
            will_have: sets.iter().filter(|set| status_of(set) == "pending").any(holds),
        })
    }

    async fn settings(&self, spot: &Spot) -> Result<Vec<ConfigurationSettingsDescription>, Unread> {
        let asked = self.client(&spot.region).await.describe_configuration_settings();
        let asked = asked.application_name(&spot.application).environment_name(&spot.environment).send().await;
        Ok(asked.map_err(|error| unread(&error))?.configuration_settings.unwrap_or_default())
    }

    fn fingerprint(&self, value: &str) -> Fingerprint {
        let tag = ring::hmac::sign(&self.shared.fingerprints, value.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        Fingerprint(bytes)
    }
}

fn option(key: &str, value: &SecretString) -> ConfigurationOptionSetting {
    ConfigurationOptionSetting::builder().namespace(VARIABLES).option_name(key).value(value.expose_secret()).build()
}

/// Beside the settings in force there may be those of an update that is under way or has failed.
fn is_in_force(set: &ConfigurationSettingsDescription) -> bool {
    !["pending", "failed"].contains(&status_of(set))
}

fn status_of(set: &ConfigurationSettingsDescription) -> &str {
    set.deployment_status().map_or("", |status| status.as_str())
}

/// Of an answer that makes no sense nothing is kept: it may be full of values.
fn unread<E, R>(error: &SdkError<E, R>) -> Unread
where
    SdkError<E, R>: ProvideErrorMetadata + std::error::Error,
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error.code() {
        Some(_) => super::error::unread(error),
        None => Unread::Unreachable("no answer, or none that could be understood".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_show_a_piece_of_a_value_are_kept_back() {
        let shown = |words: &str, value: &str| Words::about(words, &SecretString::from(value)).shown().is_some();
        assert!(shown("too long", "hunter22"));
        assert!(!shown("'hunter22' is too long", "hunter22"));
        assert!(!shown("'hunte…' is too long", "hunter22"), "a piece from its beginning");
        assert!(!shown("'…ter22' is too long", "hunter22"), "a piece from its end");
        assert!(!shown("value 7 is too low", "7"));
        assert!(shown("too low", "7"));
    }
}

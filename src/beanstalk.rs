//! The Elastic Beanstalk client: reads only, one SDK client for each region, made when first needed. Traps of the API and
//! of the SDK: `facts/beanstalk-reliability-security.md` A1, A2, A5 and A7.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticbeanstalk::Client;
use aws_sdk_elasticbeanstalk::config::{Builder, Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_elasticbeanstalk::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_elasticbeanstalk::types::EnvironmentDescription;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use jiff::Timestamp;
use tokio::sync::OnceCell;

/// How long credentials may take: off AWS, the metadata service of the chain's end answers nobody.
const CREDENTIALS: Duration = Duration::from_secs(5);
/// Any region: the configuration is loaded without asking the metadata service for one.
const ANY_REGION: &str = "us-east-1";

/// A client of Elastic Beanstalk in all regions. Clones share connections and credentials.
#[derive(Clone)]
pub struct Beanstalk {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    config: OnceCell<SdkConfig>,
    clients: Mutex<HashMap<String, Client>>,
    patience: Patience,
}

/// Where address and credentials come from.
enum Source {
    /// AWS's own variables, files and credential chain.
    Ambient,
    /// One address with one pair of keys: the pretend Elastic Beanstalk.
    Fixed { endpoint: String, credentials: Credentials },
}

#[derive(Clone, Copy)]
struct Patience {
    attempt: Duration,
    operation: Duration,
    attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(10), operation: Duration::from_secs(20), attempts: 3 }
    }
}

/// An environment as Elastic Beanstalk describes it. Words are Elastic Beanstalk's own and may be new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EbEnvironment {
    /// `h-prod`; the same name may exist in several regions.
    pub name: String,
    /// The version that the environment is meant to run; single instances may differ.
    pub version_label: Option<String>,
    /// `Ready` means idle, not that a deployment succeeded.
    pub status: String,
    /// A colour: `Green`, `Yellow`, `Red`, `Grey`.
    pub health: Option<String>,
    /// In words, with enhanced health only: `Ok`, `Degraded`, …
    pub health_status: Option<String>,
    /// When anything last changed.
    pub updated_at: Option<Timestamp>,
}

/// Why Elastic Beanstalk did not answer: one lowercase fragment with the region, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("elastic beanstalk in {region}: {why}")]
pub struct BeanstalkError {
    /// Which region was asked.
    pub region: String,
    /// What happened.
    pub why: String,
}

impl Beanstalk {
    /// A client that uses AWS's own variables and credential chain, endpoint override included. Touches no network.
    pub fn new() -> Self {
        Self::from_source(Source::Ambient, Patience::default())
    }

    /// A client of the Elastic Beanstalk at one address, for all regions, with made-up keys.
    pub fn at(endpoint: &str) -> Self {
        Self::fixed(endpoint, Patience::default())
    }

    fn fixed(endpoint: &str, patience: Patience) -> Self {
        let credentials = Credentials::new("AKIAPRETENDPRETEND00", "pretend", None, None, "lockkeeper's sandbox");
        Self::from_source(Source::Fixed { endpoint: endpoint.to_owned(), credentials }, patience)
    }

    fn from_source(source: Source, patience: Patience) -> Self {
        let shared = Shared { source, config: OnceCell::new(), clients: Mutex::default(), patience };
        Self { shared: Arc::new(shared) }
    }

    /// Whether there are credentials; takes at most five seconds.
    pub async fn available(&self) -> bool {
        let found = async {
            let provider = self.config().await.credentials_provider()?;
            provider.provide_credentials().await.ok()
        };
        tokio::time::timeout(CREDENTIALS, found).await.is_ok_and(|credentials| credentials.is_some())
    }

    /// The named environments of an application in a region; those that do not exist (any more) are missing from the answer.
    pub async fn environments(
        &self,
        region: &str,
        application: &str,
        names: &[String],
    ) -> Result<Vec<EbEnvironment>, BeanstalkError> {
        let asked = self
            .client(region)
            .await
            .describe_environments()
            .application_name(application)
            .set_environment_names((!names.is_empty()).then(|| names.to_vec()))
            // Otherwise a terminated namesake shows for about an hour.
            .include_deleted(false)
            .send()
            .await;
        let answer = asked.map_err(|error| BeanstalkError { region: region.to_owned(), why: why(&error) })?;
        Ok(answer.environments().iter().map(describe).collect())
    }

    async fn client(&self, region: &str) -> Client {
        let known = self.clients().get(region).cloned();
        if let Some(client) = known {
            return client;
        }
        let config = Builder::from(self.config().await).region(Region::new(region.to_owned())).build();
        self.clients().entry(region.to_owned()).or_insert_with(|| Client::from_conf(config)).clone()
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<String, Client>> {
        self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn config(&self) -> &SdkConfig {
        self.shared.config.get_or_init(|| self.load()).await
    }

    async fn load(&self) -> SdkConfig {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let Patience { attempt, operation, attempts } = self.shared.patience;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        // Pinned: a later version may change retries and timeouts unasked.
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(ANY_REGION))
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(attempts))
            .timeout_config(timeouts);
        match &self.shared.source {
            Source::Ambient => loader.load().await,
            Source::Fixed { endpoint, credentials } => {
                let credentials = SharedCredentialsProvider::new(credentials.clone());
                loader.endpoint_url(endpoint).credentials_provider(credentials).load().await
            }
        }
    }
}

impl Default for Beanstalk {
    fn default() -> Self {
        Self::new()
    }
}

/// The image's tag in a version label: `20261101-g1234567` of `h-prod20261101T101010Z-20261101-g1234567`.
pub fn tag_of_label(label: &str) -> Option<String> {
    let (before, short) = label.rsplit_once("-g")?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !(4..=40).contains(&short.len()) || !short.bytes().all(hexadecimal) {
        return None;
    }
    let date = before.rsplit_once('-').map_or(before, |(_, date)| date);
    (date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("{date}-g{short}"))
}

fn describe(environment: &EnvironmentDescription) -> EbEnvironment {
    EbEnvironment {
        name: environment.environment_name().unwrap_or_default().to_owned(),
        version_label: environment.version_label().map(str::to_owned),
        status: environment.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        health: environment.health().map(|health| health.as_str().to_owned()),
        health_status: environment.health_status().map(|health| health.as_str().to_owned()),
        updated_at: environment.date_updated().and_then(|at| Timestamp::from_millisecond(at.to_millis().ok()?).ok()),
    }
}

/// AWS's code and message; for what never got an answer, what kept it.
fn why<E, R>(error: &SdkError<E, R>) -> String
where
    SdkError<E, R>: ProvideErrorMetadata + std::error::Error,
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let text = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => match error {
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::DispatchFailure(_) => "not reached, or without credentials".to_owned(),
            _ => DisplayErrorContext(error).to_string(),
        },
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests;

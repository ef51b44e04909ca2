//! The Elastic Beanstalk client: one SDK client for each region, made when first needed; what is read of servers is in
//! `servers`, environment variables in `configuration`, what failures mean in `error`. Traps of the API and of the SDK:
//! `facts/beanstalk-reliability-security.md` A1, A2, A5 and A7.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticbeanstalk::Client;
use aws_sdk_elasticbeanstalk::config::{Builder, Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use ring::hmac;
use tokio::sync::OnceCell;

mod bounded;
pub mod configuration;
mod error;
mod servers;

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
    /// Makes fingerprints of values; made at the start, kept nowhere.
    fingerprints: hmac::Key,
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
        let random = ring::rand::SystemRandom::new();
        // Without randomness TLS would not work either.
        let fingerprints = hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("the system gives random bytes");
        let shared = Shared { source, config: OnceCell::new(), clients: Mutex::default(), patience, fingerprints };
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

    async fn client(&self, region: &str) -> Client {
        let known = self.clients().get(region).cloned();
        if let Some(client) = known {
            return client;
        }
        let config = Builder::from(self.config().await)
            .region(Region::new(region.to_owned()))
            .interceptor(bounded::Answers)
            .build();
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

#[cfg(test)]
mod tests;

//! The settings that come from the environment: addresses, secrets, paths.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use super::shape::{self, Shape, Wrong};
use super::{GitHubSettings, Mistake, SlackSettings};

/// Names the settings file.
pub(super) const CONFIG: &str = "LOCKKEEPER_CONFIG";

/// What the environment says.
pub(super) struct Variables {
    pub(super) slack: SlackSettings,
    pub(super) github: GitHubSettings,
    pub(super) data: PathBuf,
    pub(super) redis: Option<SecretString>,
    pub(super) listen: SocketAddr,
}

/// Where the settings file is.
pub(super) fn config_path(env: &BTreeMap<String, String>) -> &str {
    given(env, CONFIG).unwrap_or("lockkeeper.toml")
}

pub(super) fn read(env: &BTreeMap<String, String>, mistakes: &mut Vec<Mistake>) -> Option<Variables> {
    let mut reader = Reader { env, mistakes };
    let slack = slack(&mut reader);
    let github = github(&mut reader);
    let data = given(env, "LOCKKEEPER_DATA").unwrap_or("data").into();
    let address = |text: &str| shape::parsed(text, "write address and port: 127.0.0.1:8080");
    let listen = reader.or("LOCKKEEPER_LISTEN", "127.0.0.1:8080", address);
    let redis = given(env, "REDIS_URL").and_then(|text| reader.noted("REDIS_URL", shape::redis_url(text)));
    Some(Variables { slack: slack?, github: github?, data, redis, listen: listen? })
}

fn slack(reader: &mut Reader<'_>) -> Option<SlackSettings> {
    let app_token = reader.required("SLACK_APP_TOKEN", shape::slack_app_token);
    let bot_token = reader.required("SLACK_BOT_TOKEN", shape::slack_bot_token);
    let api_url = reader.or("SLACK_API_URL", "https://slack.com/api", shape::api_url);
    Some(SlackSettings { api_url: api_url?, app_token: app_token?, bot_token: bot_token? })
}

fn github(reader: &mut Reader<'_>) -> Option<GitHubSettings> {
    let token = reader.required("GITHUB_TOKEN", shape::github_token);
    let api_url = reader.or("GITHUB_API_URL", "https://api.github.com", shape::api_url);
    let secret = "GITHUB_WEBHOOK_SECRET";
    let webhook_secret = given(reader.env, secret).map(|text| reader.noted(secret, shape::webhook_secret(text)));
    Some(GitHubSettings { api_url: api_url?, token: token?, webhook_secret: webhook_secret.flatten() })
}

/// A variable that is set to nothing is not set.
fn given<'a>(env: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

struct Reader<'a> {
    env: &'a BTreeMap<String, String>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    /// A missing one gets the same advice as a wrong one.
    fn required<T>(&mut self, name: &str, shape: impl Fn(&str) -> Shape<T>) -> Option<T> {
        match (shape(given(self.env, name).unwrap_or_default()), given(self.env, name)) {
            (Err(Wrong { cure, .. }), None) => {
                self.mistakes.push(Mistake::new(name, "is not set", cure));
                None
            }
            (result, _) => self.noted(name, result),
        }
    }

    fn or<T>(&mut self, name: &str, default: &str, shape: impl Fn(&str) -> Shape<T>) -> Option<T> {
        let result = shape(given(self.env, name).unwrap_or(default));
        self.noted(name, result)
    }

    fn noted<T>(&mut self, name: &str, result: Shape<T>) -> Option<T> {
        result.map_err(|Wrong { what, cure }| self.mistakes.push(Mistake::new(name, what, cure))).ok()
    }
}

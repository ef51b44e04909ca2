//! The settings: a pure function of the environment and of `lockkeeper.toml` ([`Config::read`]), which finds every mistake at
//! once, and the few lines that fetch both ([`Config::load`]). What a setting looks like is in `shape`; nothing here asks anybody.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;

use crate::deploy::hours::{Weekly, WorkingHours};
use crate::deploy::name::AppName;
use crate::deploy::pipeline::Overrides;
use crate::deploy::policy::Policy;

mod file;
mod section;
mod shape;
mod variables;

pub use shape::is_loopback;

/// All settings, checked for their shape. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// How Slack is reached.
    pub slack: SlackSettings,
    /// How GitHub is reached.
    pub github: GitHubSettings,
    /// Address of a pretend Elastic Beanstalk, which only the sandbox gives; `None` for AWS's own variables and credential chain.
    pub beanstalk: Option<String>,
    /// Folder of the embedded store.
    pub data: PathBuf,
    /// The shared store, instead of the embedded one: `redis://` or `rediss://`, perhaps with a password.
    pub redis: Option<SecretString>,
    /// Where `/live`, `/ready`, `/metrics` and `/github/webhook` are served.
    pub listen: SocketAddr,
    /// The slash command with its slash: `/deploy`.
    pub command: String,
    /// How often GitHub is asked.
    pub polling: Polling,
    /// When people are reminded and told how the week was.
    pub calendar: Calendar,
    /// At least one.
    pub apps: BTreeMap<AppName, AppSettings>,
}

/// Slack.
#[derive(Clone, Debug)]
pub struct SlackSettings {
    /// Base of the Web API without a slash at its end: `https://slack.com/api`. `http://` only for loopback hosts.
    pub api_url: String,
    /// `xapp-…`, opens the socket.
    pub app_token: SecretString,
    /// `xoxb-…`, for everything else.
    pub bot_token: SecretString,
}

/// GitHub.
#[derive(Clone, Debug)]
pub struct GitHubSettings {
    /// Base of the REST API without a slash at its end: `https://api.github.com`. `http://` only for loopback hosts.
    pub api_url: String,
    /// Of a user who is a required reviewer.
    pub token: SecretString,
    /// Signs GitHub's webhooks; without it none are taken.
    pub webhook_secret: Option<SecretString>,
}

/// How often GitHub is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    /// While a run is going on.
    pub active: Duration,
    /// Otherwise.
    pub idle: Duration,
}

/// When people are reminded and told how the week was.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// The team's clock: for the digest, and for people of whom Slack does not say theirs.
    pub zone: TimeZone,
    /// When people may be reminded, each by their own clock.
    pub hours: WorkingHours,
    /// When the digest comes; `None` for never.
    pub digest: Option<Weekly>,
}

/// One app.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// `owner/name` at GitHub.
    pub repo: String,
    /// `#name` or a channel id.
    pub channel: String,
    /// Whether Elastic Beanstalk is asked about it.
    pub aws: bool,
    /// What the rules depend on.
    pub policy: Policy,
    /// By the environment's name at GitHub: what wins over the workflow file.
    pub environments: Overrides,
}

/// A setting that cannot be used. `Display` is one line and never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which setting: an environment variable, or a path in the file.
    pub setting: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl Mistake {
    fn new(setting: impl Into<String>, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { setting: setting.into(), what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.setting, self.what, self.cure)
    }
}

impl Config {
    /// Fetches the settings: `.env` in the working directory (it never overrides the real environment), the environment, and the
    /// file that `LOCKKEEPER_CONFIG` names.
    ///
    /// Puts what is in `.env` into the process's environment, where the AWS SDK looks for its own: call it before any thread starts.
    pub fn load() -> Result<Self, Vec<Mistake>> {
        read_dotenv(Path::new(".env")).map_err(|mistake| vec![mistake])?;
        let env: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let path = variables::config_path(&env);
        let file = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let what = format!("{path} cannot be read: {error}");
                return Err(vec![Mistake::new(variables::CONFIG, what, "make it a readable text file")]);
            }
        };
        Self::read(&env, file.as_deref())
    }

    /// Reads the settings; `file` is the text of the settings file, `None` where there is no such file. All mistakes at once.
    pub fn read(env: &BTreeMap<String, String>, file: Option<&str>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let variables = variables::read(env, &mut mistakes);
        let file = match file {
            Some(text) => file::read(text, variables::config_path(env), &mut mistakes),
            None => {
                let what = format!("there is no file {}", variables::config_path(env));
                let cure = "copy lockkeeper.example.toml there, or say where it is";
                mistakes.push(Mistake::new(variables::CONFIG, what, cure));
                None
            }
        };
        match (variables, file) {
            (Some(variables), Some(file)) if mistakes.is_empty() => Ok(Self {
                slack: variables.slack,
                github: variables.github,
                beanstalk: None,
                data: variables.data,
                redis: variables.redis,
                listen: variables.listen,
                command: file.command,
                polling: file.polling,
                calendar: file.calendar,
                apps: file.apps,
            }),
            _ => Err(mistakes),
        }
    }

    /// What works but is hardly meant: one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let locked = self.apps.iter().filter(|(_, app)| app.policy.approvers.is_empty());
        locked
            .map(|(name, _)| format!("apps.{name}: nobody can approve, no approvers are configured; fill [approvers]"))
            .collect()
    }
}

/// The parser's own message shows the line, which may be a secret; its number must do.
fn read_dotenv(path: &Path) -> Result<(), Mistake> {
    let what = match dotenvy::from_path(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.not_found() => return Ok(()),
        Err(dotenvy::Error::LineParse(part, _)) => {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let mut candidates = text.lines().enumerate().filter(|(_, line)| line.contains(&part));
            match (candidates.next(), candidates.next()) {
                (Some((index, _)), None) => format!("line {} is not NAME=value", index + 1),
                _ => "a line is not NAME=value".to_owned(),
            }
        }
        Err(dotenvy::Error::Io(error)) => format!("it cannot be read: {error}"),
        Err(_) => "it cannot be read".to_owned(),
    };
    Err(Mistake::new(path.display().to_string(), what, "put a value with spaces in quotes"))
}

#[cfg(test)]
mod tests;

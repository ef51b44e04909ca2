//! The environment variables of servers, and the updates that bring a change to them
//! (`facts/beanstalk-reliability-security.md`, A2 and A4).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::pipeline::Beanstalk;
use super::servers::{Environment, Severity, request_id};
use super::state::State;

/// How long servers take to restart with other settings.
const RESTART: SignedDuration = SignedDuration::from_secs(30);
/// All keys and values of an environment together, in bytes.
const MOST: usize = 4_096;

/// The variables of one environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// What its servers have.
    pub variables: BTreeMap<String, String>,
    /// What they are changing to.
    pub change: Option<Change>,
    /// Whether the next change is taken back by Elastic Beanstalk.
    pub fails: bool,
}

/// A change of variables under way.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// All variables as they will be.
    pub variables: BTreeMap<String, String>,
    /// The request that began it.
    pub request_id: String,
    /// When it ends.
    pub until: Timestamp,
}

/// Variables with their new values; those without one are removed.
pub(crate) type Wishes = Vec<(String, Option<String>)>;

impl Settings {
    /// What an environment of Hypothesis has. Every secret in it is a canary, which must never be seen anywhere else.
    pub fn of(place: Option<Beanstalk>) -> Settings {
        let Some(place) = place else { return Settings::default() };
        let (name, region) = (place.environment(), place.region);
        let mut variables = BTreeMap::from([
            ("DATABASE_URL", format!("postgresql://h:canary-db-{name}-{region}@db/postgres")),
            ("SECRET_KEY", format!("canary-key-{name}-{region}")),
            ("SENTRY_DSN", format!("https://canary-sentry-{}@sentry.example/4", place.suffix)),
            ("STATSD_HOST", "statsd.internal".to_owned()),
            ("NEW_RELIC_LICENSE_KEY", "canary-new-relic-of-all".to_owned()),
        ]);
        // Somebody forgot the other region.
        if region == "us-west-1" {
            variables.insert("GOOGLE_CLIENT_ID", "canary-google-us".to_owned());
        }
        let variables = variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Settings { variables, ..Settings::default() }
    }

    /// The variables as they would be after a change.
    pub fn with(&self, wishes: &Wishes) -> BTreeMap<String, String> {
        let mut variables = self.variables.clone();
        for (key, value) in wishes {
            match value {
                Some(value) => drop(variables.insert(key.clone(), value.clone())),
                None => drop(variables.remove(key)),
            }
        }
        variables
    }
}

/// What Elastic Beanstalk says against variables, naming the one that is too much. It quotes its value.
pub(crate) fn objection(variables: &BTreeMap<String, String>, wishes: &Wishes) -> Option<String> {
    let size: usize = variables.iter().map(|(key, value)| key.len() + value.len() + 1).sum();
    let (key, value) = wishes.iter().rev().find_map(|(key, value)| Some((key, value.as_ref()?)))?;
    (size > MOST).then(|| {
        format!(
            "Invalid option value: '{value}' (Namespace: 'aws:elasticbeanstalk:application:environment', OptionName: \
             '{key}'): Environment variables may not exceed {MOST} bytes"
        )
    })
}

impl Environment {
    /// A change of variables begins; its request's id, or why not.
    pub fn configure(&mut self, wishes: &Wishes, now: Timestamp) -> Result<String, String> {
        if self.status() != "Ready" {
            let name = self.server_name().unwrap_or_default();
            return Err(format!("Environment named {name} is in an invalid state for this operation. Must be Ready."));
        }
        let variables = self.settings.with(wishes);
        if let Some(objection) = objection(&variables, wishes) {
            return Err(objection);
        }
        self.deployment += 1;
        let request_id = request_id(self.id, self.deployment);
        self.settings.change = Some(Change { variables, request_id: request_id.clone(), until: now + RESTART });
        self.updated_at = now;
        self.tell("Environment update is starting.", &request_id, now);
        let name = self.server_name().unwrap_or_default();
        self.tell(&format!("Updating environment {name}'s configuration settings."), &request_id, now);
        Ok(request_id)
    }

    /// The change of variables under way, if any, ends.
    pub fn configured(&mut self, now: Timestamp) {
        let Some(change) = self.settings.change.take() else { return };
        self.updated_at = now;
        if std::mem::take(&mut self.settings.fails) {
            self.report(Severity::Error, "Failed to deploy configuration.", &change.request_id, now);
            let reverted = "The environment was reverted to the previous configuration setting.";
            return self.tell(reverted, &change.request_id, now);
        }
        self.settings.variables = change.variables;
        for instance in &mut self.instances {
            instance.deployment = self.deployment;
        }
        for message in
            ["Successfully deployed new configuration to environment.", "Environment update completed successfully."]
        {
            self.tell(message, &change.request_id, now);
        }
    }
}

impl State {
    /// Somebody sets or removes a variable on the console.
    pub fn set_variable(
        &mut self,
        repo: &str,
        environment: &str,
        wish: (String, Option<String>),
    ) -> Result<String, String> {
        let (key, settings) = (wish.0.clone(), self.settings(repo, environment)?);
        settings.variables = settings.with(&vec![wish]);
        let word = if settings.variables.contains_key(&key) { "set" } else { "missing" };
        Ok(format!("{key} is {word} in {environment}."))
    }

    /// The next change of variables there will be taken back.
    pub fn spoil_settings(&mut self, repo: &str, environment: &str) -> Result<String, String> {
        self.settings(repo, environment)?.fails = true;
        Ok(format!("{environment} will not take the next change of its variables."))
    }

    fn settings(&mut self, repo: &str, environment: &str) -> Result<&mut Settings, String> {
        let mut all = self.repo_mut(repo)?.environments.iter_mut();
        let found = all.find(|known| known.name == environment && known.place.is_some());
        let found = found.ok_or_else(|| format!("{repo} has no servers for {environment}."))?;
        Ok(&mut found.settings)
    }
}

//! Deployment environments and the servers behind them, which go on by themselves when the job that started them is gone
//! (`facts/github.md`, section 1.5; `facts/beanstalk-reliability-security.md`, A2 and A3).

use jiff::{SignedDuration, Timestamp};

use super::history::sha_of;
use super::pipeline::Beanstalk;
use super::variables::Settings;

/// How long the servers still need when nobody watches them any more.
const ALONE: SignedDuration = SignedDuration::from_secs(60);

/// A deployment environment of a repository.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// GitHub's id.
    pub id: u64,
    /// Its name.
    pub name: &'static str,
    /// Whether reviewers must approve.
    pub gated: bool,
    /// Where it is on Elastic Beanstalk.
    pub place: Option<Beanstalk>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its servers last changed.
    pub updated_at: Timestamp,
    /// What it runs; of a finished deployment only.
    pub running: Option<Version>,
    /// What it is changing to.
    pub update: Option<Update>,
    /// Number of the last deployment.
    pub deployment: u64,
    /// Its servers.
    pub instances: Vec<Instance>,
    /// What its servers told, oldest first.
    pub events: Vec<ServerEvent>,
    /// Versions made for it, oldest first.
    pub versions: Vec<Version>,
    /// Its environment variables.
    pub settings: Settings,
}

/// A version on one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The commit.
    pub sha: String,
    /// The image's tag.
    pub tag: String,
    /// Elastic Beanstalk's label.
    pub label: String,
    /// When it was made.
    pub made_at: Timestamp,
}

/// A deployment under way.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    /// What is deployed.
    pub version: Version,
    /// The id of the request that began it.
    pub request_id: String,
    /// When it ends by itself, its job being gone.
    pub alone_until: Option<Timestamp>,
}

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// `i-…`
    pub id: String,
    /// When it was started.
    pub launched_at: Timestamp,
    /// The label that it runs.
    pub label: String,
    /// The deployment that brought it.
    pub deployment: u64,
}

/// A line in the environment's event log.
#[derive(Clone, Debug)]
pub(crate) struct ServerEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub message: String,
    /// The operation's request.
    pub request_id: String,
}

impl Environment {
    /// The full name on Elastic Beanstalk, `h-prod`.
    pub fn server_name(&self) -> Option<String> {
        self.place.map(|place| place.environment())
    }

    /// A new version of a commit for this environment, labelled as Hypothesis' script does.
    pub fn version(&self, sha: &str, tag: &str, now: Timestamp) -> Version {
        let name = self.server_name().unwrap_or_else(|| self.name.to_owned());
        let label = format!("{name}{}-{tag}", now.strftime("%Y%m%dT%H%M%SZ"));
        Version { sha: sha.to_owned(), tag: tag.to_owned(), label, made_at: now }
    }

    /// A deployment begins. One still under way ends first, as the deploy script waits for it.
    pub fn begin(&mut self, version: Version, now: Timestamp) {
        self.finish(now);
        self.configured(now);
        self.deployment += 1;
        let request_id = request_id(self.id, self.deployment);
        if !self.versions.iter().any(|known| known.label == version.label) {
            self.versions.push(version.clone());
        }
        self.update = Some(Update { version, request_id: request_id.clone(), alone_until: None });
        self.updated_at = now;
        self.tell("Environment update is starting.", &request_id, now);
        self.tell("Deploying new version to instance(s).", &request_id, now);
    }

    /// The job that watches the deployment is gone. Without Elastic Beanstalk nothing goes on.
    pub fn go_on_alone(&mut self, now: Timestamp) {
        match (&mut self.update, self.place) {
            (Some(update), Some(_)) => update.alone_until = Some(now + ALONE),
            (_, None) => self.update = None,
            (None, Some(_)) => {}
        }
    }

    /// The deployment under way, if any, ends well.
    pub fn finish(&mut self, now: Timestamp) {
        let Some(update) = self.update.take() else {
            return;
        };
        self.instances = (0..2).map(|nth| self.fresh_instance(nth, &update.version.label, now)).collect();
        for message in [
            "New application version was deployed to running EC2 instances.",
            "Environment update completed successfully.",
        ] {
            self.tell(message, &update.request_id, now);
        }
        self.running = Some(update.version);
        self.updated_at = now;
    }

    /// When the servers finish by themselves.
    pub fn finishes_alone_at(&self) -> Option<Timestamp> {
        self.update.as_ref().and_then(|update| update.alone_until)
    }

    /// Elastic Beanstalk's word for what the environment does.
    pub fn status(&self) -> &'static str {
        if self.is_busy() { "Updating" } else { "Ready" }
    }

    /// Elastic Beanstalk's colour; grey while it updates.
    pub fn health(&self) -> &'static str {
        if self.is_busy() { "Grey" } else { "Green" }
    }

    /// Elastic Beanstalk's finer word for health.
    pub fn health_status(&self) -> &'static str {
        if self.is_busy() { "Info" } else { "Ok" }
    }

    fn is_busy(&self) -> bool {
        self.update.is_some() || self.settings.change.is_some()
    }

    fn fresh_instance(&self, nth: u64, label: &str, now: Timestamp) -> Instance {
        let digits = sha_of(self.id, self.deployment * 2 + nth);
        let id = format!("i-0{}", &digits[..16]);
        Instance { id, launched_at: now, label: label.to_owned(), deployment: self.deployment }
    }

    pub(super) fn tell(&mut self, message: &str, request_id: &str, at: Timestamp) {
        self.events.push(ServerEvent { at, message: message.to_owned(), request_id: request_id.to_owned() });
    }
}

/// An id in the shape of AWS's, the same for the same numbers.
pub(crate) fn request_id(seed: u64, counter: u64) -> String {
    let digits = sha_of(seed, counter);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32])
}

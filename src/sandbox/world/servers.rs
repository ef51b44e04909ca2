//! Deployment environments and the servers behind them, which go on by themselves when the job that started them is gone
//! (`facts/github.md`, section 1.5; `facts/beanstalk-reliability-security.md`, A2 and A3).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

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
    /// In which way a deployment goes over its servers.
    pub policy: Policy,
    /// How many servers it has while nothing changes.
    pub size: usize,
    /// Its servers.
    pub instances: Vec<Instance>,
    /// How it does while nothing changes.
    pub condition: Condition,
    /// Busy with something that is no deployment (an update of its platform, say), so not ready for one.
    pub busy: bool,
    /// Whether it tells about its single servers: only with enhanced health.
    pub enhanced: bool,
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

/// In which way a deployment goes over the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// All at the same time, in place.
    AllAtOnce,
    /// Half of them, then the other half, in place.
    Rolling,
    /// As many new ones first; the old ones go at the end.
    AdditionalBatch,
    /// New ones beside the old; after a failure the old ones are untouched.
    Immutable,
}

/// How an environment does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    /// Its health in words.
    pub health: Health,
    /// Why.
    pub causes: Vec<String>,
}

/// Elastic Beanstalk's words for health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All is well.
    #[default]
    Ok,
    /// Something changes.
    Info,
    /// A few requests fail.
    Warning,
    /// Many do.
    Degraded,
    /// Most do.
    Severe,
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
    /// When that came to it.
    pub deployed_at: Timestamp,
    /// How far that is.
    pub progress: Progress,
}

/// How far a deployment is on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is there.
    Deployed,
    /// It is on its way.
    Underway,
    /// It failed there.
    Failed,
}

/// A line in the environment's event log.
#[derive(Clone, Debug)]
pub(crate) struct ServerEvent {
    /// When.
    pub at: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// What.
    pub message: String,
    /// The operation's request.
    pub request_id: String,
}

/// How bad an event is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Nothing to see.
    Info,
    /// Not well.
    Warn,
    /// Something failed.
    Error,
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
        self.busy = false;
        self.deployment += 1;
        let request_id = request_id(self.id, self.deployment);
        if !self.versions.iter().any(|known| known.label == version.label) {
            self.versions.push(version.clone());
        }
        self.tell("Environment update is starting.", &request_id, now);
        self.tell("Deploying new version to instance(s).", &request_id, now);
        self.update = Some(Update { version, request_id, alone_until: None });
        self.move_batch(now);
    }

    /// The next servers get what is deployed; those before have it. Whether there were any left.
    pub fn move_batch(&mut self, now: Timestamp) -> bool {
        let Some(update) = &self.update else { return false };
        let (label, deployment) = (update.version.label.clone(), self.deployment);
        for instance in self.instances.iter_mut().filter(|instance| instance.deployment == deployment) {
            instance.progress = Progress::Deployed;
        }
        let left = self.instances.iter_mut().filter(|instance| instance.deployment != deployment);
        let batch = match self.policy {
            Policy::AllAtOnce => self.size,
            Policy::Rolling => self.size.div_ceil(2),
            Policy::AdditionalBatch | Policy::Immutable => 0,
        };
        let mut moved = 0;
        for instance in left.take(batch) {
            instance.take(&label, deployment, now);
            moved += 1;
        }
        if !self.instances.iter().any(|instance| instance.deployment == deployment) {
            moved = self.size;
            self.launch(&label, now);
        }
        self.updated_at = now;
        moved > 0
    }

    /// New servers come up with a version.
    fn launch(&mut self, label: &str, now: Timestamp) {
        for nth in 0..self.size {
            let digits = sha_of(self.id, self.deployment * 1_000 + nth as u64);
            self.instances.push(Instance {
                id: format!("i-0{}", &digits[..16]),
                launched_at: now,
                label: label.to_owned(),
                deployment: self.deployment,
                deployed_at: now,
                progress: Progress::Underway,
            });
        }
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
        while self.move_batch(now) {}
        let Some(update) = self.update.take() else {
            return;
        };
        self.instances.retain(|instance| instance.deployment == self.deployment);
        for message in [
            "New application version was deployed to running EC2 instances.",
            "Environment update completed successfully.",
        ] {
            self.tell(message, &update.request_id, now);
        }
        self.condition = Condition::default();
        self.running = Some(update.version);
        self.updated_at = now;
    }

    /// The deployment under way fails where it is; the servers that have it keep it, unless they were new ones beside the old.
    pub fn fail(&mut self, now: Timestamp) -> bool {
        let Some(update) = self.update.take() else { return false };
        for instance in self.instances.iter_mut().filter(|one| one.progress == Progress::Underway) {
            instance.progress = Progress::Failed;
        }
        let deployment = self.deployment;
        if self.policy == Policy::Immutable {
            self.instances.retain(|instance| instance.deployment != deployment);
        }
        self.report(Severity::Error, "Failed to deploy application.", &update.request_id, now);
        if self.is_mixed() {
            let message = "During an aborted deployment, some instances may have deployed the new application version. To ensure \
                           all instances are running the same version, re-deploy the appropriate application version.";
            self.report(Severity::Error, message, &update.request_id, now);
        }
        self.updated_at = now;
        true
    }

    /// The last server comes up with another version, as one that auto scaling starts after a failed deployment may.
    pub fn mix(&mut self, other: &Version, now: Timestamp) {
        if !self.versions.iter().any(|known| known.label == other.label) {
            self.versions.insert(0, other.clone());
        }
        let deployment = self.deployment.saturating_sub(1);
        if let Some(last) = self.instances.last_mut() {
            last.take(&other.label, deployment, now);
            last.progress = Progress::Deployed;
            last.launched_at = now;
        }
        self.updated_at = now;
    }

    /// All servers are replaced by ones that run the environment's version, and all is well.
    pub fn heal(&mut self, now: Timestamp) {
        if let Some(label) = self.running.as_ref().map(|version| version.label.clone()) {
            self.update = None;
            self.deployment += 1;
            self.instances.clear();
            self.launch(&label, now);
            self.instances.iter_mut().for_each(|instance| instance.progress = Progress::Deployed);
        }
        (self.busy, self.enhanced, self.condition) = (false, true, Condition::default());
        self.updated_at = now;
    }

    /// When the servers finish by themselves.
    pub fn finishes_alone_at(&self) -> Option<Timestamp> {
        self.update.as_ref().and_then(|update| update.alone_until)
    }

    /// Whether Elastic Beanstalk takes another change now.
    pub fn is_ready(&self) -> bool {
        self.update.is_none() && self.settings.change.is_none() && !self.busy
    }

    /// Elastic Beanstalk's word for what the environment does.
    pub fn status(&self) -> &'static str {
        if self.is_ready() { "Ready" } else { "Updating" }
    }

    /// Elastic Beanstalk's colour; grey while it updates.
    pub fn health(&self) -> &'static str {
        match self.current_health() {
            _ if !self.is_ready() => "Grey",
            Health::Ok | Health::Info => "Green",
            Health::Warning => "Yellow",
            Health::Degraded | Health::Severe => "Red",
        }
    }

    /// Elastic Beanstalk's finer word for health.
    pub fn health_status(&self) -> &'static str {
        match self.current_health() {
            _ if !self.is_ready() => "Info",
            Health::Ok => "Ok",
            Health::Info => "Info",
            Health::Warning => "Warning",
            Health::Degraded => "Degraded",
            Health::Severe => "Severe",
        }
    }

    fn current_health(&self) -> Health {
        if self.is_mixed() && self.condition.health == Health::Ok { Health::Degraded } else { self.condition.health }
    }

    /// Why the health is what it is.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = self.condition.causes.clone();
        if self.update.is_some() {
            causes.insert(0, "Command is executing on all instances.".to_owned());
        }
        let expected = self.running.as_ref().map_or("", |version| version.label.as_str());
        let strange = self.instances.iter().filter(|one| one.label != expected).count();
        if self.is_ready() && strange > 0 {
            let all = self.instances.len();
            causes.push(format!(
                "Incorrect application version found on {strange} out of {all} instances. Expected version \"{expected}\" \
                 (deployment {}).",
                self.deployment
            ));
        }
        causes
    }

    fn is_mixed(&self) -> bool {
        let expected = self.running.as_ref().map_or("", |version| version.label.as_str());
        self.instances.iter().any(|instance| instance.label != expected)
    }

    /// Adds to the event log that all goes as it should.
    pub fn tell(&mut self, message: &str, request_id: &str, at: Timestamp) {
        self.report(Severity::Info, message, request_id, at);
    }

    /// Adds to the event log.
    pub fn report(&mut self, severity: Severity, message: &str, request_id: &str, at: Timestamp) {
        let (message, request_id) = (message.to_owned(), request_id.to_owned());
        self.events.push(ServerEvent { at, severity, message, request_id });
    }
}

impl Instance {
    fn take(&mut self, label: &str, deployment: u64, now: Timestamp) {
        self.label = label.to_owned();
        (self.deployment, self.deployed_at, self.progress) = (deployment, now, Progress::Underway);
    }
}

/// An id in the shape of AWS's, the same for the same numbers.
pub(crate) fn request_id(seed: u64, counter: u64) -> String {
    let digits = sha_of(seed, counter);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32])
}

//! What Elastic Beanstalk says of an environment, in its own words. Facts only: what they mean is decided elsewhere.
//! Meanings and traps of the words: `facts/beanstalk-reliability-security.md`, A2 and A3.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One environment, as Elastic Beanstalk describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Servers {
    /// Elastic Beanstalk's id of the environment: `e-…`.
    pub id: String,
    /// The version label that the environment is meant to run; single servers may differ.
    pub label: Option<String>,
    /// `Ready`, `Updating`, …; `Ready` means idle, not that a deployment succeeded.
    pub status: String,
    /// A colour: `Green`, `Yellow`, `Red`, `Grey`.
    pub health: Option<String>,
    /// In words, with enhanced health only: `Ok`, `Degraded`, …
    pub health_status: Option<String>,
    /// Why the health is what it is; from outside.
    pub causes: Vec<String>,
    /// When anything last changed.
    pub updated_at: Option<Timestamp>,
    /// Its servers; `None` where they could not be read (basic health, no right).
    pub instances: Option<Vec<Instance>>,
    /// The newest events, newest first; from outside.
    pub events: Vec<ServerEvent>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// The version label that it runs; `None` while it starts.
    pub label: Option<String>,
    /// Number of the deployment that it has; grows with every deployment and every change of settings.
    pub deployment: Option<u64>,
    /// Elastic Beanstalk's word for that deployment: `Deployed`, `In Progress`, `Failed`.
    pub deployed: Option<String>,
    /// When it was started.
    pub launched_at: Option<Timestamp>,
    /// Its health in words.
    pub health: Option<String>,
    /// Why; from outside.
    pub causes: Vec<String>,
}

/// A line of an environment's event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerEvent {
    /// When.
    pub at: Timestamp,
    /// `INFO`, `WARN`, `ERROR`, …
    pub severity: String,
    /// What; from outside.
    pub message: String,
}

/// Why Elastic Beanstalk did not tell. "Unknown", never "all is well".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unread {
    /// No credentials, `aws = false`, or the environment's name or region is not known.
    NotConfigured,
    /// These credentials may not look, or have expired: AWS's own code.
    Denied(String),
    /// AWS asks to be asked less.
    Throttled,
    /// There is no such environment there.
    Missing,
    /// No answer, or one that makes no sense: one lowercase fragment.
    Unreachable(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str("not looked at"),
            Self::Denied(code) => write!(f, "AWS does not let me look ({code})"),
            Self::Throttled => f.write_str("AWS asks to be asked less"),
            Self::Missing => f.write_str("there is no such environment there"),
            Self::Unreachable(why) => write!(f, "no answer ({why})"),
        }
    }
}

/// One look at an environment.
pub type Reading = Result<Servers, Unread>;

/// `Ready`: idle.
const READY: &str = "Ready";

impl Servers {
    /// Whether nothing is being changed; not whether the last change went well.
    pub fn is_ready(&self) -> bool {
        self.status == READY
    }

    /// How many servers run which label, by label; `None` are those that start.
    pub fn versions(&self) -> BTreeMap<Option<&str>, usize> {
        let mut versions = BTreeMap::new();
        for instance in self.instances.iter().flatten() {
            *versions.entry(instance.label.as_deref()).or_default() += 1;
        }
        versions
    }

    /// Whether it is seen that all servers run the environment's version, and no deployment failed on any. `None` where that is
    /// not seen: something changes, or the servers cannot be read. Two versions in the middle of a change are as they should be;
    /// on an environment that is ready they are not.
    pub fn is_whole(&self) -> Option<bool> {
        let instances = self.instances.as_ref().filter(|instances| self.is_ready() && !instances.is_empty())?;
        let whole = |one: &Instance| one.label == self.label && !one.has_failed();
        if instances.iter().filter(|one| one.label.is_some()).all(whole) {
            // One that starts has no version yet.
            return instances.iter().all(|one| one.label.is_some()).then_some(true);
        }
        Some(false)
    }

    /// The tag of the image that the environment is meant to run.
    pub fn tag(&self) -> Option<String> {
        self.label.as_deref().and_then(tag_of_label)
    }

    /// The beginning of the commit that the environment is meant to run.
    pub fn commit(&self) -> Option<String> {
        self.tag().and_then(|tag| Some(tag.rsplit_once("-g")?.1.to_owned()))
    }

    /// The number of the newest deployment on any of its servers.
    pub fn deployment(&self) -> Option<u64> {
        self.instances.iter().flatten().filter_map(|instance| instance.deployment).max()
    }

    /// Whether every server came up after a moment, or got a deployment after that number: the only sign of a redeploy, which
    /// changes no label (`facts/beanstalk-reliability-security.md` A6). `None` where that cannot be seen yet.
    pub fn is_renewed(&self, since: Timestamp, after: Option<u64>) -> Option<bool> {
        let instances = self.instances.as_ref().filter(|instances| self.is_ready() && !instances.is_empty())?;
        let renewed = |one: &Instance| {
            let deployed = after.zip(one.deployment).is_some_and(|(after, number)| number > after);
            !one.has_failed() && (deployed || one.launched_at.is_some_and(|at| at > since))
        };
        Some(instances.iter().all(renewed))
    }
}

impl Instance {
    /// Whether the last deployment failed here.
    pub fn has_failed(&self) -> bool {
        self.deployed.as_ref().is_some_and(|word| word.eq_ignore_ascii_case("failed"))
    }
}

impl ServerEvent {
    /// Whether something failed.
    pub fn is_bad(&self) -> bool {
        ["ERROR", "FATAL"].contains(&self.severity.as_str())
    }
}

/// The image's tag in a version label: `20261101-g1234567` of `h-prod20261101T101010Z-20261101-g1234567`. Labels differ by
/// environment, region and moment even for one image, so only tags tell whether two environments run the same.
pub fn tag_of_label(label: &str) -> Option<String> {
    let (before, short) = label.rsplit_once("-g")?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !(4..=40).contains(&short.len()) || !short.bytes().all(hexadecimal) {
        return None;
    }
    let date = before.rsplit_once('-').map_or(before, |(_, date)| date);
    (date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit())).then(|| format!("{date}-g{short}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn tags_of_labels() {
        let cases = [
            ("h-prod20261101T101010Z-20261101-g1234567", Some("20261101-g1234567")),
            ("lms-qa20261031T235959Z-20261031-gabcdef12", Some("20261031-gabcdef12")),
            ("h-websocket-prod20261101T101010Z-20261101-g1234567", Some("20261101-g1234567")),
            ("20210715-gabc123", Some("20210715-gabc123")),
            ("Sample Application", None),
            ("h-prod-2026110-g1234567", None),
            ("h-prod-20261101-gxyz", None),
            ("h-prod-20261101-g", None),
            ("-g", None),
            ("", None),
        ];
        for (label, tag) in cases {
            assert_eq!(tag_of_label(label).as_deref(), tag, "{label}");
        }
    }

    fn servers(status: &str, labels: &[(&str, u64)]) -> Servers {
        let instance = |(label, number): &(&str, u64)| Instance {
            label: Some(*label).filter(|label| !label.is_empty()).map(str::to_owned),
            deployment: Some(*number),
            deployed: Some("Deployed".into()),
            launched_at: "2026-11-01T10:00:00Z".parse().ok(),
            ..Instance::default()
        };
        Servers {
            label: Some("a".into()),
            status: status.into(),
            instances: Some(labels.iter().map(instance).collect()),
            ..Servers::default()
        }
    }

    #[test]
    fn two_versions_are_a_drift_only_where_nothing_changes() {
        let whole = |status: &str, labels: &[(&str, u64)]| servers(status, labels).is_whole();
        assert_eq!(whole("Ready", &[("a", 1), ("a", 1)]), Some(true));
        assert_eq!(whole("Ready", &[("a", 1), ("b", 2)]), Some(false));
        assert_eq!(whole("Ready", &[("b", 2), ("b", 2)]), Some(false), "not what the environment says");
        assert_eq!(whole("Ready", &[("a", 1), ("", 0)]), None, "one starts");
        assert_eq!(whole("Updating", &[("a", 1), ("b", 2)]), None);
        assert_eq!(whole("Ready", &[]), None, "nobody can be asked");
        assert_eq!(Servers { instances: None, ..servers("Ready", &[]) }.is_whole(), None);
        let mut failed = servers("Ready", &[("a", 1), ("a", 1)]);
        failed.instances.iter_mut().flatten().for_each(|one| one.deployed = Some("FAILED".into()));
        assert_eq!(failed.is_whole(), Some(false));
    }

    #[test]
    fn a_redeploy_shows_in_deployment_numbers_and_start_times_only() {
        let (before, after) = ("2026-11-01T09:00:00Z".parse().unwrap(), "2026-11-01T11:00:00Z".parse().unwrap());
        let ready = servers("Ready", &[("a", 41), ("a", 41)]);
        assert_eq!(ready.is_renewed(after, Some(41)), Some(false));
        assert_eq!(ready.is_renewed(after, Some(40)), Some(true));
        assert_eq!(ready.is_renewed(after, None), Some(false), "nobody noted the number before");
        assert_eq!(ready.is_renewed(before, None), Some(true), "launched since");
        assert_eq!(
            servers("Ready", &[("a", 41), ("a", 40)]).is_renewed(after, Some(40)),
            Some(false),
            "not all of them"
        );
        assert_eq!(servers("Updating", &[("a", 41)]).is_renewed(after, Some(40)), None);
        assert_eq!(ready.deployment(), Some(41));
    }
}

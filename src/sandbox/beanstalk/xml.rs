//! The XML of Elastic Beanstalk's things.

use std::fmt::Write;

use jiff::Timestamp;

use crate::sandbox::world::history::sha_of;
use crate::sandbox::world::servers::{Environment, Instance, Progress, ServerEvent, Severity, Version};

pub(super) fn description(environment: &Environment) -> String {
    let (name, place) = (environment.server_name().unwrap_or_default(), environment.place);
    let region = place.map_or("", |place| place.region);
    let mut members = String::new();
    for (tag, text) in [
        ("EnvironmentName", name.as_str()),
        ("EnvironmentId", &server_id(environment)),
        ("ApplicationName", application(environment)),
        ("VersionLabel", label_of(environment)),
        ("Status", environment.status()),
        ("AbortableOperationInProgress", if environment.update.is_some() { "true" } else { "false" }),
        ("Health", environment.health()),
        ("HealthStatus", environment.health_status()),
        ("CNAME", &format!("{name}.{region}.elasticbeanstalk.com")),
        ("DateCreated", &time(environment.created_at)),
        ("DateUpdated", &time(environment.updated_at)),
        (
            "EnvironmentArn",
            &format!("arn:aws:elasticbeanstalk:{region}:123456789012:environment/{}/{name}", application(environment)),
        ),
    ] {
        members.push_str(&element(tag, text));
    }
    let tier = "<Tier><Name>WebServer</Name><Type>Standard</Type><Version>1.0</Version></Tier><EnvironmentLinks/>";
    format!("<member>{members}{tier}</member>")
}

pub(super) fn server(environment: &Environment, nth: usize, instance: &Instance) -> String {
    let region = environment.place.map_or("", |place| place.region);
    let zone = if nth.is_multiple_of(2) { "a" } else { "c" };
    let expected = label_of(environment);
    let strange = environment.is_ready() && instance.label != expected;
    let (health, color, progress) = match instance.progress {
        Progress::Underway => ("Info", "Grey", "In Progress"),
        Progress::Failed => ("Severe", "Red", "Failed"),
        Progress::Deployed if strange => ("Degraded", "Red", "Deployed"),
        Progress::Deployed => ("Ok", "Green", "Deployed"),
    };
    let cause = format!(
        "Incorrect application version \"{}\" (deployment {}). Expected version \"{expected}\".",
        instance.label, instance.deployment
    );
    let cause = if strange { element("member", &cause) } else { String::new() };
    let mut xml = String::from("<member>");
    for (tag, text) in [
        ("InstanceId", instance.id.as_str()),
        ("HealthStatus", health),
        ("Color", color),
        ("LaunchedAt", &time(instance.launched_at)),
        ("AvailabilityZone", &format!("{region}{zone}")),
        ("InstanceType", "c5.xlarge"),
    ] {
        xml.push_str(&element(tag, text));
    }
    let (label, status) = (element("VersionLabel", &instance.label), element("Status", progress));
    let deployment = instance.deployment;
    let _ = write!(xml, "<Causes>{cause}</Causes><Deployment>{label}<DeploymentId>{deployment}</DeploymentId>{status}");
    let _ = write!(xml, "{}</Deployment></member>", element("DeploymentTime", &time(instance.deployed_at)));
    xml
}

pub(super) fn told(environment: &Environment, event: &ServerEvent) -> String {
    let fields = [
        ("EventDate", time(event.at)),
        ("Message", event.message.clone()),
        ("ApplicationName", application(environment).to_owned()),
        ("EnvironmentName", environment.server_name().unwrap_or_default()),
        ("RequestId", event.request_id.clone()),
        ("Severity", severity_word(event.severity).to_owned()),
    ];
    format!("<member>{}</member>", fields.iter().map(|(tag, text)| element(tag, text)).collect::<String>())
}

/// Its name, as the event log has it.
pub(super) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "INFO",
        Severity::Warn => "WARN",
        Severity::Error => "ERROR",
    }
}

pub(super) fn application_version(environment: &Environment, version: &Version) -> String {
    let made = time(version.made_at);
    let fields = [
        ("ApplicationName", application(environment)),
        ("VersionLabel", version.label.as_str()),
        ("Status", "PROCESSED"),
        ("DateCreated", made.as_str()),
        ("DateUpdated", made.as_str()),
    ];
    format!("<member>{}</member>", fields.iter().map(|(tag, text)| element(tag, text)).collect::<String>())
}

pub(super) fn application(environment: &Environment) -> &'static str {
    environment.place.map_or("", |place| place.application)
}

/// The label of the last finished deployment; AWS keeps showing it while the next one goes on.
pub(super) fn label_of(environment: &Environment) -> &str {
    environment.running.as_ref().map_or("", |version| version.label.as_str())
}

pub(super) fn server_id(environment: &Environment) -> String {
    format!("e-{}", &sha_of(environment.id, 0)[..10])
}

pub(super) fn element(tag: &str, text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{tag}>{escaped}</{tag}>")
}

/// A time as AWS writes it, to the millisecond.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

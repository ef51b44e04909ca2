//! Reading environments, their servers and their events. Words are Elastic Beanstalk's own and may be new ones; all texts are from
//! outside and kept short.

use std::collections::BTreeMap;

use aws_sdk_elasticbeanstalk::primitives::DateTime;
use aws_sdk_elasticbeanstalk::types::{
    EnvironmentDescription, EnvironmentHealthAttribute, EventDescription, InstancesHealthAttribute,
    SingleInstanceHealth,
};
use jiff::Timestamp;

use super::Beanstalk;
use super::error::{is_basic, unread};
use crate::deploy::doctor::redacted;
use crate::deploy::server::{Instance, ServerEvent, Servers, Unread};
use crate::deploy::text::cut;

/// Pages of servers that are read of one environment: more than any environment has.
const PAGES: usize = 50;
/// Events that are read of one environment.
const EVENTS: i32 = 20;
/// Causes that are kept of one environment or server.
const CAUSES: usize = 50;
/// The longest text that is kept of a cause or an event.
const LONGEST: usize = 400;

impl Beanstalk {
    /// The named environments of an application in a region, by name, without their servers, causes and events; those that do not
    /// exist (any more) are missing from the answer.
    ///
    /// # Errors
    /// Why the region cannot be read.
    pub async fn environments(
        &self,
        region: &str,
        application: &str,
        names: &[String],
    ) -> Result<BTreeMap<String, Servers>, Unread> {
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
        let answer = asked.map_err(|error| unread(&error))?;
        let named = answer.environments().iter();
        Ok(named.map(|one| (one.environment_name().unwrap_or_default().to_owned(), describe(one))).collect())
    }

    /// All servers of an environment; `None` where it has basic health, which does not tell.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn instances(&self, region: &str, environment: &str) -> Result<Option<Vec<Instance>>, Unread> {
        let client = self.client(region).await;
        let (mut instances, mut token) = (Vec::new(), None);
        // The SDK has no paginator for this.
        for _ in 0..PAGES {
            let asked = client
                .describe_instances_health()
                .environment_name(environment)
                .attribute_names(InstancesHealthAttribute::All)
                .set_next_token(token);
            let page = match asked.send().await {
                Ok(page) => page,
                Err(error) if is_basic(&error) => return Ok(None),
                Err(error) => return Err(unread(&error)),
            };
            instances.extend(page.instance_health_list().iter().map(instance));
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        instances.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Some(instances))
    }

    /// Why the health of an environment is what it is; nothing with basic health.
    ///
    /// # Errors
    /// Why that cannot be read.
    pub async fn causes(&self, region: &str, environment: &str) -> Result<Vec<String>, Unread> {
        let asked = self.client(region).await.describe_environment_health().environment_name(environment);
        match asked.attribute_names(EnvironmentHealthAttribute::Causes).send().await {
            Ok(answer) => Ok(answer.causes().iter().take(CAUSES).map(|cause| kept(cause)).collect()),
            Err(error) if is_basic(&error) => Ok(Vec::new()),
            Err(error) => Err(unread(&error)),
        }
    }

    /// The newest events of an environment, newest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn events(&self, region: &str, environment: &str) -> Result<Vec<ServerEvent>, Unread> {
        let asked = self.client(region).await.describe_events().environment_name(environment).max_records(EVENTS);
        let answer = asked.send().await.map_err(|error| unread(&error))?;
        Ok(answer.events().iter().take(EVENTS as usize).filter_map(event).collect())
    }
}

fn describe(environment: &EnvironmentDescription) -> Servers {
    Servers {
        id: short(environment.environment_id().unwrap_or_default()),
        label: environment.version_label().map(short),
        status: environment.status().map(|status| short(status.as_str())).unwrap_or_default(),
        health: environment.health().map(|health| short(health.as_str())),
        health_status: environment.health_status().map(|health| short(health.as_str())),
        updated_at: environment.date_updated().and_then(timestamp),
        ..Servers::default()
    }
}

fn instance(one: &SingleInstanceHealth) -> Instance {
    let deployment = one.deployment();
    Instance {
        id: short(one.instance_id().unwrap_or_default()),
        label: deployment.and_then(|deployment| deployment.version_label()).map(short),
        deployment: deployment.and_then(|deployment| u64::try_from(deployment.deployment_id()?).ok()),
        deployed: deployment.and_then(|deployment| deployment.status()).map(short),
        launched_at: one.launched_at().and_then(timestamp),
        health: one.health_status().map(short),
        causes: one.causes().iter().take(CAUSES).map(|cause| kept(cause)).collect(),
    }
}

fn event(event: &EventDescription) -> Option<ServerEvent> {
    Some(ServerEvent {
        at: event.event_date().and_then(timestamp)?,
        severity: event.severity().map(|severity| short(severity.as_str())).unwrap_or_default(),
        message: kept(event.message().unwrap_or_default()),
    })
}

/// A word or a label, which AWS keeps below 100 characters.
fn short(word: &str) -> String {
    word.chars().take(LONGEST).collect()
}

/// What is kept of a text: short, and without what looks like a secret, which so never gets into the store.
fn kept(text: &str) -> String {
    cut(&redacted(text), LONGEST)
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

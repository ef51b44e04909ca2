//! What people and fate do to servers, and how versions expire.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::act::ServerTurn;
use super::history::Commit;
use super::pipeline::Beanstalk;
use super::servers::{Condition, Environment, Version};
use super::state::Repo;

/// How many versions an application keeps in a region, besides those in use (`facts/beanstalk-reliability-security.md`, A2).
const VERSIONS_KEPT: usize = 10;

impl Repo {
    /// Something happens to the servers of an environment; a sentence of what, or why it could not.
    pub fn turn_servers(&mut self, name: &str, turn: ServerTurn, now: Timestamp) -> Result<String, String> {
        let position = self.environments.iter().position(|environment| environment.name == name);
        let position = position.ok_or_else(|| format!("{} has no environment {name}.", self.full_name()))?;
        let older = self.older_version(position);
        let environment = &mut self.environments[position];
        let nothing = || format!("Nothing is being deployed to {name}.");
        match turn {
            ServerTurn::NextBatch if environment.move_batch(now) => Ok(format!("{name}: the next servers get it.")),
            ServerTurn::NextBatch => Err(format!("{name}: no servers are left that do not have it.")),
            ServerTurn::Finish => {
                environment.update.as_ref().ok_or_else(nothing)?;
                environment.finish(now);
                Ok(format!("{name} is through."))
            }
            ServerTurn::Fail if environment.fail(now) => Ok(format!("The deployment to {name} failed.")),
            ServerTurn::Fail => Err(nothing()),
            ServerTurn::Mix => {
                environment.mix(&older.ok_or_else(|| format!("{name} never had another version."))?, now);
                Ok(format!("One server of {name} runs an older version."))
            }
            ServerTurn::Health { health, causes } => {
                environment.condition = Condition { health, causes };
                environment.updated_at = now;
                Ok(format!("The health of {name} changed."))
            }
            ServerTurn::Tell { severity, message } => {
                environment.report(severity, &message, "", now);
                Ok(format!("{name} told something."))
            }
            ServerTurn::Heal => {
                environment.heal(now);
                Ok(format!("{name} is well."))
            }
            ServerTurn::Busy(busy) => Ok(set(environment, now, |environment| environment.busy = busy)),
            ServerTurn::Basic => Ok(set(environment, now, |environment| environment.enhanced = false)),
            ServerTurn::Policy(policy) => Ok(set(environment, now, |environment| environment.policy = policy)),
            ServerTurn::Size(size) => Ok(set(environment, now, |environment| environment.size = size.clamp(1, 100))),
        }
    }

    /// A version of the commit before the one that an environment runs.
    fn older_version(&self, position: usize) -> Option<Version> {
        let environment = &self.environments[position];
        let running = environment.running.as_ref()?;
        let parent = self.history.get(&running.sha)?.parents.first()?;
        let tag = self.history.get(parent).map(Commit::image_tag)?;
        Some(environment.version(parent, &tag, running.made_at - SignedDuration::from_hours(24)))
    }

    /// Old versions go, except those that some environment of their application uses.
    pub(super) fn expire_versions(&mut self, place: Option<Beanstalk>) {
        let Some(place) = place else { return };
        let same = |environment: &&mut Environment| {
            environment.place.is_some_and(|one| (one.region, one.application) == (place.region, place.application))
        };
        let mut made: Vec<(Timestamp, String)> = Vec::new();
        let mut kept: BTreeSet<String> = BTreeSet::new();
        for environment in self.environments.iter_mut().filter(same) {
            made.extend(environment.versions.iter().map(|version| (version.made_at, version.label.clone())));
            kept.extend(environment.running.iter().map(|version| version.label.clone()));
            kept.extend(environment.update.iter().map(|update| update.version.label.clone()));
            kept.extend(environment.instances.iter().map(|instance| instance.label.clone()));
        }
        made.sort();
        kept.extend(made.into_iter().rev().take(VERSIONS_KEPT).map(|(_, label)| label));
        for environment in self.environments.iter_mut().filter(same) {
            environment.versions.retain(|version| kept.contains(&version.label));
        }
    }
}

fn set(environment: &mut Environment, now: Timestamp, change: impl FnOnce(&mut Environment)) -> String {
    change(environment);
    environment.updated_at = now;
    format!("{} is set.", environment.name)
}

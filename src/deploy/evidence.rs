//! Whether a redeploy really happened. The version label stays the same, so a green job proves little: what counts is that every
//! server runs the environment's version and has a newer deployment than before, or was started since (`facts/beanstalk-reliability-security.md` A6).

use jiff::SignedDuration;

use super::app::App;
use super::name::EnvName;
use super::pipeline::Environment;
use super::run::Workflow;
use super::say::Said;
use super::server::Reading;
use super::track::{State, Tracked};

/// Elastic Beanstalk's answers lag a moment behind what it does.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

/// What is known about a redeployed environment whose job ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Elastic Beanstalk showed it.
    Seen,
    /// It cannot be read there.
    Unread,
    /// It was not looked at since, or is still at it.
    Awaited,
    /// It was looked at, and does not show it.
    Missing,
}

impl App {
    /// Notes what Elastic Beanstalk shows of redeploys: the numbers from before, and what was seen afterwards, since it may be gone
    /// at a later look.
    pub(super) fn note_redeploys(&mut self) {
        let redeploys = self.state.runs.values().filter(|t| t.noticed && t.run.workflow == Workflow::Redeploy);
        let ids: Vec<_> = redeploys.map(|t| t.run.id).collect();
        for id in ids {
            let Some(tracked) = self.state.runs.get(&id) else { continue };
            let latest = self.is_latest(tracked);
            let names = self.pipeline().into_iter().flat_map(|p| &p.environments).map(|e| &e.name);
            // A number that was read after the job began may be its own.
            let untouched = |name: &EnvName| {
                let state = tracked.state(name);
                !matches!(state, Some(State::Deploying | State::Deployed | State::Unknown(_)))
            };
            let known = tracked.is_known() && !tracked.is_due() || self.state.orders.of(&tracked.run).is_some();
            let new = |name: &&EnvName| known && untouched(name) && !tracked.deployments.contains_key(*name);
            let before = names.clone().filter(new).filter_map(|name| Some((name.clone(), self.last_deployment(name)?)));
            let before: Vec<(EnvName, u64)> = before.collect();
            let seen: Vec<EnvName> = names.filter(|name| latest && self.shows(tracked, name)).cloned().collect();
            if let Some(tracked) = self.state.runs.get_mut(&id) {
                tracked.deployments.extend(before);
                tracked.replaced.extend(seen);
            }
        }
    }

    /// The number of the last deployment that any server of an environment has.
    pub(super) fn last_deployment(&self, environment: &EnvName) -> Option<u64> {
        self.state.servers.get(environment)?.as_ref().ok()?.deployment()
    }

    /// The number of the last deployment before a redeploy.
    pub(super) fn deployment_before(&self, tracked: &Tracked, name: &EnvName) -> Option<u64> {
        let order = self.state.orders.of(&tracked.run);
        order.and_then(|order| order.before.get(name)).or_else(|| tracked.deployments.get(name)).copied()
    }

    fn shows(&self, tracked: &Tracked, name: &EnvName) -> bool {
        let before = self.deployment_before(tracked, name);
        let whole = |(reading, _): (&Reading, _)| reading.as_ref().is_ok_and(|s| s.is_whole() == Some(true));
        self.is_read_since(tracked, name)
            && self.servers(name).is_some_and(whole)
            && self.replaced_since(name, tracked.run.started_at, before) == Some(true)
    }

    /// Whether Elastic Beanstalk was read since the job ended well.
    fn is_read_since(&self, tracked: &Tracked, name: &EnvName) -> bool {
        let ended = tracked.places.get(name).filter(|p| p.state == State::Deployed).and_then(|p| p.deployed_at);
        ended.zip(self.state.last_survey).is_some_and(|(ended, read)| read >= ended)
    }

    /// What is known about an environment whose redeploy job ended well.
    pub(super) fn evidence(&self, tracked: &Tracked, name: &EnvName) -> Evidence {
        let servers = match self.state.servers.get(name) {
            _ if tracked.replaced.contains(name) => return Evidence::Seen,
            None | Some(Err(_)) => return Evidence::Unread,
            Some(Ok(servers)) => servers,
        };
        let ended = tracked.places.get(name).and_then(|place| place.deployed_at);
        let late = ended.zip(self.state.last_survey).is_some_and(|(ended, read)| read.duration_since(ended) > GRACE);
        if servers.instances.as_ref().is_none_or(Vec::is_empty) {
            Evidence::Unread
        } else if self.is_latest(tracked) && (!late || !servers.is_ready()) {
            Evidence::Awaited
        } else if self.deployment_before(tracked, name).is_none() {
            // Servers that stay and get a deployment look the same to whoever did not see them before.
            Evidence::Unread
        } else {
            Evidence::Missing
        }
    }

    /// The environments of a redeploy whose jobs ended well, with what is known about each.
    pub(super) fn evidences<'a>(&'a self, tracked: &'a Tracked) -> impl Iterator<Item = (&'a Environment, Evidence)> {
        let environments = self.pipeline().into_iter().flat_map(|p| p.test().chain(p.production()));
        let ended = environments.filter(|e| tracked.state(&e.name) == Some(State::Deployed));
        ended.map(|e| (e, self.evidence(tracked, &e.name)))
    }

    /// GitHub says that a redeploy is done and Elastic Beanstalk does not show it: whoever asked for it has to look.
    pub(super) fn unseen(&self, tracked: &Tracked) -> Option<Said> {
        if tracked.run.workflow != Workflow::Redeploy || !self.is_clear(tracked) || !self.is_latest(tracked) {
            return None;
        }
        let missing = self.evidences(tracked).filter(|(_, evidence)| *evidence == Evidence::Missing);
        let missing: Vec<&str> = missing.map(|(e, _)| e.label.as_str()).collect();
        let message = self.unseen_text(tracked, &missing);
        (!missing.is_empty()).then_some(Said { thread: tracked.run.id, message, broadcast: false })
    }
}

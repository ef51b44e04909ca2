//! The values of environment variables that are on their way to Elastic Beanstalk, for as long as the process lives. No value is
//! remembered anywhere else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::deploy::name::{EnvName, RequestId};

/// How long values are kept for a request that is not decided yet, or was refused.
const KEPT: SignedDuration = SignedDuration::from_mins(10);

/// Values that somebody typed, until Elastic Beanstalk has them. Only here, only in memory.
#[derive(Default)]
pub(crate) struct Vault(Mutex<BTreeMap<RequestId, Kept>>);

struct Kept {
    since: Timestamp,
    values: BTreeMap<EnvName, SecretString>,
}

impl Vault {
    /// Keeps what was filled in, by the request's id.
    pub(crate) fn keep(&self, id: &RequestId, words: &BTreeMap<String, String>, now: Timestamp) {
        let values = words.iter().filter(|(_, value)| !value.is_empty());
        let values = values.map(|(name, value)| (EnvName::new(name.as_str()), value.as_str().into())).collect();
        self.lock().insert(id.clone(), Kept { since: now, values });
    }

    /// The value for an environment.
    pub(crate) fn value(&self, id: &RequestId, environment: &EnvName) -> Option<SecretString> {
        self.lock().get(id)?.values.get(environment).cloned()
    }

    /// Forgets the values of requests that nothing came of.
    pub(crate) fn tidy(&self, now: Timestamp, is_needed: impl Fn(&RequestId) -> bool) {
        self.lock().retain(|id, kept| is_needed(id) || now.duration_since(kept.since) < KEPT);
    }

    /// Forgets the values of a request.
    pub(crate) fn forget(&self, id: &RequestId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RequestId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

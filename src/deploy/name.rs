//! Names and numbers that other systems gave: each a type of its own, so that they cannot be mixed up.
//! Nothing here knows what they name.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the name as it is.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }
    };
}

name! {
    /// An app's short name, the key under `[apps]`: `h`.
    AppName
}
name! {
    /// A GitHub deployment environment's own name, as GitHub spells it: `Production (Canada)`.
    EnvName
}
name! {
    /// A GitHub login, without `@`. GitHub compares them without regard to case; use [`Login::is`].
    Login
}
name! {
    /// A Slack user id, `U…` or `W…`.
    SlackId
}
name! {
    /// A full commit SHA, 40 hexadecimal digits.
    Sha
}
name! {
    /// What makes a request one request however often Slack delivers it: its `trigger_id` (and `action_ts` for clicks).
    RequestId
}

impl Login {
    /// Whether both name the same GitHub account.
    pub fn is(&self, other: &Login) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Sha {
    /// The first seven digits, as people write it.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

/// A workflow run's id at GitHub; the same over all attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A pull request's number in its repo.
pub type PrNumber = u64;

//! What can go wrong at Slack, by what it means for the caller. Never holds a body, a token or an address.

use std::time::Duration;

/// How long to wait where Slack asks for patience without saying how much.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest patience that is granted: Slack counts by the minute.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlackError {
    /// Nothing was done; ask again after that time.
    #[error("slack asks to wait {} s", .after.as_secs())]
    RateLimited {
        /// At least this long.
        after: Duration,
    },
    /// Nothing was done, and asking again changes nothing.
    #[error("slack refused: {code}")]
    Refused {
        /// Slack's error code: `not_in_channel`; `http_404` where it gave none.
        code: String,
    },
    /// It may or may not have been done: Slack failed, or was not heard.
    #[error("slack may or may not have done it: {what}")]
    Uncertain {
        /// What happened, in a few words.
        what: String,
    },
}

/// No call with this token can succeed any more (`facts/slack.md` 1.1).
const FATAL: [&str; 9] = [
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "not_allowed_token_type",
    "user_removed_from_team",
    "team_disabled",
];

impl SlackError {
    /// Whether a person has to repair the token, its scopes or the installation.
    pub fn is_fatal_auth(&self) -> bool {
        match self {
            Self::Refused { code } => FATAL.contains(&code.as_str()),
            Self::RateLimited { .. } | Self::Uncertain { .. } => false,
        }
    }

    /// From the error code of an answer with `ok: false`.
    pub(super) fn of_code(code: &str) -> Self {
        match code {
            "ratelimited" | "rate_limited" => Self::RateLimited { after: PATIENCE },
            "fatal_error" | "internal_error" | "request_timeout" | "service_unavailable" => Self::uncertain(code),
            code => Self::Refused { code: word(code) },
        }
    }

    /// From the status of an answer that has no code.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            429 => Self::RateLimited { after: retry_after.unwrap_or(PATIENCE).min(LONGEST) },
            408 | 500.. => Self::Uncertain { what: format!("status {status}") },
            _ => Self::Refused { code: format!("http_{status}") },
        }
    }

    pub(super) fn uncertain(what: &str) -> Self {
        Self::Uncertain { what: what.to_owned() }
    }
}

/// Codes are words; anything else that stands in their place is not passed on.
fn word(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_without_end_is_not_granted() {
        let after = |seconds| SlackError::of_status(429, Some(Duration::from_secs(seconds)));
        assert_eq!(after(30), SlackError::RateLimited { after: Duration::from_secs(30) });
        // It was added to other times, which broke off the outbox and ended the sockets.
        assert_eq!(after(u64::MAX), SlackError::RateLimited { after: LONGEST });
    }
}

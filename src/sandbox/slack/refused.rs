//! An error that the Web API answers with, and whether the app is to blame for it.

use serde_json::{Value, json};

use super::judge::Issue;

/// A call that was not performed.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: String,
    pub(super) messages: Vec<String>,
    pub(super) errors: Vec<Value>,
    /// What a well-made app would not have done; becomes a complaint.
    pub(super) blame: Option<String>,
    /// Makes it a 429.
    pub(super) retry_after: Option<u64>,
}

impl Refused {
    /// An error that happens to the best of apps.
    pub(super) fn because(error: &str) -> Refused {
        Refused { error: error.to_owned(), messages: Vec::new(), errors: Vec::new(), blame: None, retry_after: None }
    }

    /// An error that is the app's own fault.
    pub(super) fn blame(error: &str, why: impl Into<String>) -> Refused {
        let why = why.into();
        Refused { messages: vec![format!("[ERROR] {why}")], blame: Some(why), ..Refused::because(error) }
    }

    /// Too many calls.
    pub(super) fn slow_down(seconds: u64) -> Refused {
        Refused { retry_after: Some(seconds), ..Refused::because("ratelimited") }
    }

    /// Blocks or a view that break a limit.
    pub(super) fn issues(error: &str, issues: &[Issue]) -> Refused {
        let line = |issue: &Issue| format!("{} [json-pointer:{}]", issue.message, issue.pointer);
        let detail =
            |issue: &Issue| json!({"code": "failed_constraint", "message": issue.message, "pointer": issue.pointer});
        Refused {
            messages: issues.iter().map(|issue| format!("[ERROR] {}", line(issue))).collect(),
            errors: issues.iter().map(detail).collect(),
            blame: Some(issues.iter().map(line).collect::<Vec<_>>().join("; ")),
            ..Refused::because(error)
        }
    }

    /// The body of the answer.
    pub(super) fn json(&self) -> Value {
        let mut body = json!({"ok": false, "error": self.error});
        if !self.messages.is_empty() {
            body["response_metadata"] = json!({"messages": self.messages});
        }
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        body
    }
}

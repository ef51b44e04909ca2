//! Who may do what, and the settings that decide it. Fails closed: nobody is allowed by default.
//! Only the data and who is among the approvers; the order of the rules is in `approve` and `request`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::name::{Login, SlackId};

/// One app's settings, as far as rules depend on them. Made from the config at start, never stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who may approve.
    pub approvers: Approvers,
    /// Whether changes have to be ticked as tested.
    pub require_tested: RequireTested,
    /// Whether whoever merged the newest change may not approve it.
    pub four_eyes: bool,
    /// After how long a change that nobody deployed is called to mind; `None` for never.
    pub remind_after: Option<SignedDuration>,
    /// How long after a run is live its people are asked whether it works; `None` for never.
    pub verify_after: Option<SignedDuration>,
    /// What is said and done about environment variables.
    pub variables: VariableRules,
    /// GitHub login → Slack user, for mentions and for rights.
    pub people: People,
    /// The slash command's name with its slash: `/deploy`.
    pub command: String,
    /// The workspace's address, once Slack said it, for links to messages.
    pub workspace: Option<String>,
}

/// Who may approve: any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approvers {
    /// Slack users.
    pub slack_users: BTreeSet<SlackId>,
    /// Slack user groups, `S…`.
    pub slack_usergroups: BTreeSet<String>,
    /// GitHub teams, `org/slug`; their members need a login known to Lockkeeper.
    pub github_teams: BTreeSet<String>,
}

/// `require_tested`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequireTested {
    /// Ticks are shown, nothing depends on them.
    Off,
    /// Untested changes of other people are named in the confirmation.
    #[default]
    Warn,
    /// Every change that ships has to be ticked.
    All,
}

/// `required_variables`, `expected_differences`, `set_variables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariableRules {
    /// Every environment has to have these.
    pub required: BTreeSet<String>,
    /// These may differ between environments, or be missing in some.
    pub may_differ: BTreeSet<String>,
    /// Whether approvers may set variables from Slack.
    pub settable: bool,
}

/// Which GitHub login belongs to which Slack user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People(pub BTreeMap<Login, SlackId>);

/// What Slack says about somebody right now (`users.info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// A full member of this workspace.
    Member,
    /// A single- or multi-channel guest.
    Guest,
    /// Somebody of another workspace.
    Stranger,
    /// Deactivated.
    Deactivated,
    /// A bot or an app.
    Bot,
}

/// A person, looked up when they act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// The Slack user.
    pub id: SlackId,
    /// Their name in Slack, for GitHub's comment; they chose it, so it identifies nobody.
    pub name: String,
    /// What kind of account.
    pub account: Account,
    /// Those of the app's approver user groups that they are in.
    pub usergroups: BTreeSet<String>,
    /// Those of the app's approver teams that they are in, by their login.
    pub teams: BTreeSet<String>,
}

impl Approvers {
    /// Whether nobody at all could approve.
    pub fn is_empty(&self) -> bool {
        self.slack_users.is_empty() && self.slack_usergroups.is_empty() && self.github_teams.is_empty()
    }

    /// Whether this person is one of them.
    pub fn include(&self, person: &Person) -> bool {
        self.slack_users.contains(&person.id)
            || self.slack_usergroups.iter().any(|group| person.usergroups.contains(group))
            || self.github_teams.iter().any(|team| person.teams.contains(team))
    }
}

impl People {
    /// The Slack user of a GitHub login.
    pub fn slack(&self, login: &Login) -> Option<&SlackId> {
        self.0.iter().find(|(known, _)| known.is(login)).map(|(_, id)| id)
    }

    /// The GitHub login of a Slack user.
    pub fn login(&self, id: &SlackId) -> Option<&Login> {
        self.0.iter().find(|(_, known)| *known == id).map(|(login, _)| login)
    }
}

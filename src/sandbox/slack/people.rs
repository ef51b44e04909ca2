//! Who and what is in the pretend workspace from the start: people, channels and a user group. No behaviour.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// The workspace's team id.
pub const TEAM: &str = "T0SANDBOX";
/// The workspace's domain, as in `https://sandbox.slack.com`.
pub const DOMAIN: &str = "sandbox";
/// The team of the person who is here by Slack Connect.
pub const OTHER_TEAM: &str = "T0OTHER";
/// The app's id.
pub const APP: &str = "ALOCK";
/// The bot user's id.
pub const BOT_USER: &str = "ULOCK";
/// The bot's own id, which is not its user's.
pub const BOT: &str = "BLOCK";
/// The bot token. Anything that shows it has leaked a secret.
pub const BOT_TOKEN: &str = "xoxb-0000000000-canary-bot-token-do-not-print";
/// The app-level token, for `apps.connections.open` only. Anything that shows it has leaked a secret.
pub const APP_TOKEN: &str = "xapp-1-ALOCK-0000000000-canary-app-token-do-not-print";

/// What an account is to the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A full member.
    Member,
    /// A guest: `is_restricted`.
    Guest,
    /// A person of another workspace, here by Slack Connect: `is_stranger`.
    Stranger,
    /// A deactivated account: `deleted`.
    Gone,
    /// A bot user: `is_bot`.
    Robot,
}

/// One account.
#[derive(Clone, Debug)]
pub struct Person {
    /// The Slack user id, `U…`.
    pub id: String,
    /// The handle, in lower case.
    pub handle: String,
    /// The name that people see.
    pub name: String,
    /// What the account is.
    pub role: Role,
    /// The role in words, for the sandbox's page.
    pub words: String,
    /// An IANA time zone.
    pub tz: String,
}

/// One channel. Direct messages with the bot are channels too, made when first used.
#[derive(Clone, Debug)]
pub struct Channel {
    /// `C…`, or `D…` for a direct message.
    pub id: String,
    /// The name without `#`; for a direct message the person's user id.
    pub name: String,
    /// Whether the bot is a member.
    pub bot_is_member: bool,
}

/// One user group.
#[derive(Clone, Debug)]
pub struct Group {
    /// `S…`.
    pub id: String,
    /// The handle without `@`.
    pub handle: String,
    /// The user ids of its members.
    pub members: Vec<String>,
}

impl Person {
    fn new(id: &str, name: &str, role: Role, words: &str, tz: &str) -> Person {
        Person {
            id: id.to_owned(),
            handle: name.to_lowercase(),
            name: name.to_owned(),
            role,
            words: words.to_owned(),
            tz: tz.to_owned(),
        }
    }

    /// The team that the account belongs to.
    pub fn team(&self) -> &'static str {
        match self.role {
            Role::Stranger => OTHER_TEAM,
            Role::Member | Role::Guest | Role::Gone | Role::Robot => TEAM,
        }
    }

    /// The address; unknown for a stranger.
    pub fn email(&self) -> Option<String> {
        match self.role {
            Role::Member | Role::Guest | Role::Gone => Some(format!("{}@sandbox.example", self.handle)),
            Role::Stranger | Role::Robot => None,
        }
    }

    /// The id of this person's direct message with the bot.
    pub fn dm(&self) -> String {
        format!("D{}", self.id.trim_start_matches('U'))
    }

    /// As `users.info` shows it (facts/slack.md 2.2).
    pub fn json(&self, now: Timestamp) -> Value {
        let mut user = json!({
            "id": self.id, "team_id": self.team(), "name": self.handle, "real_name": self.name,
            "deleted": self.role == Role::Gone, "color": "9f69e7",
            "tz": self.tz, "tz_label": self.tz, "tz_offset": self.tz_offset(now),
            "profile": {"real_name": self.name, "display_name": self.handle, "team": self.team()},
            "is_admin": false, "is_owner": false, "is_primary_owner": false,
            "is_restricted": self.role == Role::Guest, "is_ultra_restricted": false,
            "is_bot": self.role == Role::Robot, "is_app_user": false, "updated": 1_785_000_000,
        });
        if let Some(email) = self.email() {
            user["profile"]["email"] = json!(email);
        }
        if self.role == Role::Stranger {
            user["is_stranger"] = json!(true);
        }
        user
    }

    fn tz_offset(&self, now: Timestamp) -> i32 {
        TimeZone::get(&self.tz).map_or(0, |tz| tz.to_offset(now).seconds())
    }
}

impl Channel {
    fn new(id: &str, name: &str, bot_is_member: bool) -> Channel {
        Channel { id: id.to_owned(), name: name.to_owned(), bot_is_member }
    }

    /// The direct message between `person` and the bot.
    pub fn dm(person: &Person) -> Channel {
        Channel::new(&person.dm(), &person.id, true)
    }

    /// Whether this is a direct message.
    pub fn is_dm(&self) -> bool {
        self.id.starts_with('D')
    }

    /// As `conversations.info` shows it.
    pub fn json(&self) -> Value {
        if self.is_dm() {
            return json!({"id": self.id, "is_im": true, "user": self.name, "created": 1_785_000_000, "is_org_shared": false});
        }
        json!({
            "id": self.id, "name": self.name, "name_normalized": self.name, "created": 1_785_000_000, "creator": "UANA",
            "is_channel": true, "is_group": false, "is_im": false, "is_mpim": false, "is_private": false,
            "is_archived": false, "is_general": false, "is_member": self.bot_is_member,
            "is_shared": false, "is_ext_shared": false, "is_org_shared": false,
        })
    }
}

/// The accounts of a new workspace.
pub(super) fn people() -> Vec<Person> {
    vec![
        Person::new("UANA", "Ana", Role::Member, "developer", "Europe/Berlin"),
        Person::new("UBEN", "Ben", Role::Member, "developer", "America/New_York"),
        Person::new("UCHI", "Chi", Role::Member, "developer", "Asia/Tokyo"),
        Person::new("UDORA", "Dora", Role::Member, "developer", "Europe/London"),
        Person::new("UMALLORY", "Mallory", Role::Member, "not a developer", "Europe/Paris"),
        Person::new("UGUEST", "Guest", Role::Guest, "guest", "Europe/Madrid"),
        Person::new("USTRANGER", "Stranger", Role::Stranger, "other workspace", "America/Chicago"),
        Person::new("UGONE", "Gone", Role::Gone, "deactivated account", "Europe/Berlin"),
        Person::new("UROBOT", "Robot", Role::Robot, "another app's bot", "Etc/UTC"),
        Person::new(BOT_USER, "Lockkeeper", Role::Robot, "the bot", "Etc/UTC"),
    ]
}

/// The channels of a new workspace.
pub(super) fn channels() -> Vec<Channel> {
    vec![
        Channel::new("CDEPLOYS", "deploys", true),
        Channel::new("CENGH", "eng-h", true),
        Channel::new("CRANDOM", "random", false),
    ]
}

/// The user groups of a new workspace.
pub(super) fn groups() -> Vec<Group> {
    let members = ["UANA", "UBEN", "UCHI", "UDORA"].map(str::to_owned).to_vec();
    vec![Group { id: "S0DEVS".to_owned(), handle: "developers".to_owned(), members }]
}

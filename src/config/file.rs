//! The settings that come from `lockkeeper.toml`: apps, people, rights and habits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::section::Section;
use super::shape::{self, Wrong};
use super::{AppSettings, Calendar, Mistake, Polling};
use crate::deploy::hours::{Weekly, WorkingHours};
use crate::deploy::name::{AppName, EnvName, Login, SlackId};
use crate::deploy::pipeline::{Beanstalk, EnvironmentOverride};
use crate::deploy::policy::{Approvers, People, Policy, RequireTested, VariableRules};

/// What the file says.
pub(super) struct File {
    pub(super) command: String,
    pub(super) polling: Polling,
    pub(super) calendar: Calendar,
    pub(super) apps: BTreeMap<AppName, AppSettings>,
}

/// What an app takes over where it has no word of its own.
struct Common {
    channel: Option<String>,
    policy: Policy,
}

pub(super) fn read(text: &str, path: &str, mistakes: &mut Vec<Mistake>) -> Option<File> {
    match text.parse::<Table>() {
        Ok(table) => Some(Section::whole(table, mistakes, file)),
        Err(error) => {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let what = format!("is not TOML at line {line}: {}", error.message().replace('\n', ", "));
            mistakes.push(Mistake::new(path, what, "compare it with lockkeeper.example.toml"));
            None
        }
    }
}

fn file(section: &mut Section<'_>) -> File {
    let command = section.text("command", shape::command).unwrap_or_else(|| "/deploy".to_owned());
    let people = people(section);
    let unset = Policy {
        approvers: Approvers::default(),
        require_tested: RequireTested::default(),
        four_eyes: false,
        remind_after: Some(SignedDuration::from_hours(4)),
        verify_after: Some(SignedDuration::from_mins(20)),
        variables: VariableRules::default(),
        people,
        command: command.clone(),
        workspace: None,
    };
    let common = Common { channel: channel(section), policy: policy(section, &unset) };
    let polling = section.within("polling", polling).unwrap_or(POLLING);
    let calendar = calendar(section);
    let apps = apps(section, &common);
    File { command, polling, calendar, apps }
}

fn calendar(section: &mut Section<'_>) -> Calendar {
    let office = WorkingHours { first: Weekday::Monday, last: Weekday::Friday, from: 9 * 60, until: 17 * 60 };
    let monday = Weekly { day: Weekday::Monday, at: 9 * 60 };
    Calendar {
        zone: section.text("time_zone", shape::time_zone).unwrap_or(TimeZone::UTC),
        hours: section.text("working_hours", shape::working_hours).unwrap_or(office),
        digest: section.text("digest", shape::or_off(shape::weekly)).unwrap_or(Some(monday)),
    }
}

const POLLING: Polling = Polling { active: Duration::from_secs(10), idle: Duration::from_secs(60) };

fn polling(section: &mut Section<'_>) -> Polling {
    let mut period = |key, least, most, default| {
        let shape = shape::duration(SignedDuration::from_secs(least), SignedDuration::from_mins(most));
        section.text(key, shape).map_or(default, SignedDuration::unsigned_abs)
    };
    let polling =
        Polling { active: period("active", 2, 10, POLLING.active), idle: period("idle", 10, 60, POLLING.idle) };
    if polling.idle < polling.active {
        section.mistake("idle", "is shorter than active", "ask less often while nothing is going on");
    }
    polling
}

/// The settings that stand at the top for all apps and may stand in an app as well.
fn policy(section: &mut Section<'_>, otherwise: &Policy) -> Policy {
    let verify_after = shape::or_off(shape::duration(SignedDuration::from_mins(1), SignedDuration::from_hours(24)));
    let remind_after = shape::duration(SignedDuration::from_mins(5), SignedDuration::from_hours(30 * 24));
    Policy {
        approvers: section.within("approvers", approvers).unwrap_or_else(|| otherwise.approvers.clone()),
        require_tested: section.text("require_tested", shape::require_tested).unwrap_or(otherwise.require_tested),
        four_eyes: section.flag("four_eyes").unwrap_or(otherwise.four_eyes),
        remind_after: section.text("remind_after", shape::or_off(remind_after)).unwrap_or(otherwise.remind_after),
        verify_after: section.text("verify_after", verify_after).unwrap_or(otherwise.verify_after),
        variables: variables(section, &otherwise.variables),
        people: otherwise.people.clone(),
        command: otherwise.command.clone(),
        workspace: None,
    }
}

fn variables(section: &mut Section<'_>, otherwise: &VariableRules) -> VariableRules {
    let mut keys = |key, otherwise: &BTreeSet<String>| {
        let given = section.texts(key, shape::variable);
        given.map_or_else(|| otherwise.clone(), |keys| keys.into_iter().collect())
    };
    let required = keys("required_variables", &otherwise.required);
    let may_differ = keys("expected_differences", &otherwise.may_differ);
    VariableRules { required, may_differ, settable: section.flag("set_variables").unwrap_or(otherwise.settable) }
}

fn approvers(section: &mut Section<'_>) -> Approvers {
    Approvers {
        slack_users: section.texts("slack_users", shape::slack_user).unwrap_or_default().into_iter().collect(),
        slack_usergroups: section
            .texts("slack_usergroups", shape::slack_usergroup)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        github_teams: section.texts("github_teams", shape::github_team).unwrap_or_default().into_iter().collect(),
    }
}

fn people(section: &mut Section<'_>) -> People {
    let mut people: BTreeMap<Login, SlackId> = BTreeMap::new();
    section.each("people", |section, name, value| {
        if !shape::is_login(name) {
            section.mistake(name, "is not a GitHub login", "write login = \"U…\"");
        }
        let login = Login::new(name);
        if people.keys().any(|known| known.is(&login)) {
            section.mistake(name, "is listed twice: GitHub ignores the case", "keep one of them");
        }
        people.insert(login, section.shaped(name, &value, shape::slack_user)?);
        Some(())
    });
    People(people)
}

fn apps(section: &mut Section<'_>, common: &Common) -> BTreeMap<AppName, AppSettings> {
    let mut repos = BTreeMap::new();
    let mut named = false;
    let apps = section.each("apps", |section, name, value| {
        named = true;
        let (app, settings) = app(section, name, value, common)?;
        // Two apps with one repo would both answer for every run of it.
        if let Some(other) = repos.insert(settings.repo.to_lowercase(), app.clone()) {
            section.mistake(name, format!("has the same repo as {other}"), "keep one of them");
        }
        Some((app, settings))
    });
    if !named {
        section.mistake("apps", "no app is listed", "add [apps], and below it a line like h = \"hypothesis/h\"");
    }
    apps.into_iter().map(|(_, app)| app).collect()
}

fn app(section: &mut Section<'_>, name: &str, value: Value, common: &Common) -> Option<(AppName, AppSettings)> {
    let checked = match shape::app_name(name) {
        Ok(app) => Some(app),
        Err(Wrong { what, cure }) => {
            section.mistake(name, what, cure);
            None
        }
    };
    // The short form says the repo and nothing else.
    let value = match value {
        table @ Value::Table(_) => table,
        short => {
            let repo = section.shaped(name, &short, shape::repo)?;
            Value::Table(Table::from_iter([("repo".to_owned(), Value::String(repo))]))
        }
    };
    let settings = section.table(name, value, |section| settings(section, common))?;
    Some((checked?, settings?))
}

fn settings(section: &mut Section<'_>, common: &Common) -> Option<AppSettings> {
    let repo = section.required("repo", "write repo = \"hypothesis/h\"", shape::repo);
    let channel = channel(section).or_else(|| common.channel.clone());
    if channel.is_none() {
        section.mistake("channel", "is missing", "write channel = \"#name\" here, or at the top for all apps");
    }
    let aws = section.flag("aws").unwrap_or(true);
    let policy = policy(section, &common.policy);
    let environments = section
        .each("environments", |section, name, value| section.table(name, value, environment))
        .into_iter()
        .map(|(name, said)| (EnvName::new(name), said))
        .collect();
    Some(AppSettings { repo: repo?, channel: channel?, aws, policy, environments })
}

/// One that is wrong is noted, and then counts as given.
fn channel(section: &mut Section<'_>) -> Option<String> {
    let given = section.has("channel");
    section.text("channel", shape::channel).or_else(|| given.then(String::new))
}

fn environment(section: &mut Section<'_>) -> EnvironmentOverride {
    EnvironmentOverride {
        label: section.text("label", shape::words),
        kind: section.text("kind", shape::kind),
        url: section.text("url", shape::link),
        region: section.text("region", shape::region),
        beanstalk: section.within("beanstalk", beanstalk).flatten(),
        needs: section.texts("needs", shape::words).map(|names| names.into_iter().map(EnvName::new).collect()),
        job: section.text("job", shape::words),
        links: links(section),
    }
}

fn beanstalk(section: &mut Section<'_>) -> Option<Beanstalk> {
    let cure = "name both: beanstalk = { application = \"h\", environment = \"h-prod\" }";
    let application = section.required("application", cure, shape::words);
    let environment = section.required("environment", cure, shape::words);
    Some(Beanstalk { application: application?, environment: environment? })
}

fn links(section: &mut Section<'_>) -> BTreeMap<String, String> {
    section.each("links", |section, name, value| section.shaped(name, &value, shape::link)).into_iter().collect()
}

//! `lockkeeper check`: looks at every setting, token, scope, channel, repo, workflow file, environment and right, for real, and
//! says in one line each what is well and what to do about what is not. Changes nothing anywhere.

use std::collections::BTreeSet;

use secrecy::SecretString;

use crate::beanstalk::Beanstalk;
use crate::config::{AppSettings, Config};
use crate::deploy::name::{AppName, Login};
use crate::deploy::pipeline::{Environment, Kind, Pipeline};
use crate::github::GitHub;
use crate::github::rights::{EnvironmentSettings, Reviewer};
use crate::slack::Slack;
use crate::store::embedded::Embedded;
use crate::store::redis::Redis;

/// Scopes of the bot's token, each with what it is for; `manifest.yml` asks for the same.
pub const SCOPES: &[(&str, &str)] = &[
    ("commands", "the slash command"),
    ("chat:write", "notices and answers"),
    ("users:read", "who is a guest, a stranger or deactivated"),
    ("usergroups:read", "approvers by user group"),
    ("channels:read", "finding channels by name"),
    ("groups:read", "finding private channels by name"),
    ("channels:history", "finding its own message again after a doubtful attempt"),
    ("groups:history", "the same in private channels"),
    ("im:write", "reminders and questions to one person"),
    ("im:history", "finding such a message again"),
];

/// Prints the findings, one line each; `true` when all would work.
pub async fn check(config: &Config) -> bool {
    let mut findings = Findings::default();
    findings.well("settings are read");
    for warning in config.warnings() {
        findings.wrong(&warning);
    }
    findings.of("TLS works", tls());
    match &config.redis {
        Some(url) => check_redis(url, &mut findings).await,
        None => {
            findings.of(&format!("{} can be written", config.data.display()), Embedded::open(&config.data).map(|_| ()));
        }
    }
    check_webhook(config, &mut findings);
    let github = GitHub::new(&config.github.api_url, config.github.token.clone());
    let slack = Slack::new(&config.slack.api_url, config.slack.bot_token.clone(), config.slack.app_token.clone());
    if let Some(slack) = findings.take("the Slack client", slack) {
        check_slack(&slack, config, &mut findings).await;
    }
    if let Some(github) = findings.take("the GitHub client", github) {
        check_github(&github, config, &mut findings).await;
    }
    findings.works
}

async fn check_redis(url: &SecretString, findings: &mut Findings) {
    let Some(redis) = findings.take("REDIS_URL", Redis::new(url)) else { return };
    let Some(fitness) = findings.take("Redis", redis.fitness().await) else { return };
    findings.of("Redis answers and keeps what it is given", fitness.keeps());
    fitness.advice().iter().for_each(|advice| findings.note(advice));
}

/// Whether GitHub's deliveries arrive can only be seen at GitHub; what is set up here can be said.
fn check_webhook(config: &Config, findings: &mut Findings) {
    let (polling, at) = (&config.polling, config.listen);
    if config.github.webhook_secret.is_none() {
        let (active, idle) = (polling.active.as_secs(), polling.idle.as_secs());
        findings.note(&format!("no webhooks (GITHUB_WEBHOOK_SECRET is not set): GitHub is asked every {active} s while something goes on, every {idle} s otherwise"));
        return;
    }
    findings.well(&format!("GitHub's webhooks are taken at {at}, /github/webhook: its page of recent deliveries shows 202 for each, 404 where the secret is another one"));
    if at.ip().is_loopback() {
        findings.note(&format!(
            "GitHub cannot reach {at} itself: a proxy with TLS has to pass /github/webhook on, and nothing else"
        ));
    }
}

/// The connectors that production uses are built once here, so that no trap hides behind the sandbox's `http://`.
fn tls() -> anyhow::Result<()> {
    let roots = rustls::RootCertStore::empty();
    let _ = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(())
}

async fn check_slack(slack: &Slack, config: &Config, findings: &mut Findings) {
    let Some(identity) = findings.take("SLACK_BOT_TOKEN", slack.auth_test().await) else { return };
    findings.well(&format!("Slack knows the bot, in workspace {}", identity.team));
    findings.of("SLACK_APP_TOKEN opens a socket", slack.open_socket().await);
    if let Some(granted) = findings.take("the bot's scopes", slack.scopes().await).filter(|granted| !granted.is_empty())
    {
        for (scope, what) in SCOPES {
            if !granted.contains(*scope) {
                findings.wrong(&format!("scope {scope} is missing, needed for {what}: add it in the app's OAuth page and install the app again"));
            }
        }
    }
    let channels: BTreeSet<&String> = config.apps.values().map(|app| &app.channel).collect();
    for name in channels {
        check_channel(slack, name, findings).await;
    }
    let groups: BTreeSet<&String> =
        config.apps.values().flat_map(|app| &app.policy.approvers.slack_usergroups).collect();
    for group in groups {
        match slack.usergroup_members(group).await {
            Ok(members) if members.is_empty() => {
                findings.wrong(&format!("user group {group} has no members: nobody may approve by it"))
            }
            Ok(members) => findings.well(&format!("user group {group} has {} members", members.len())),
            Err(error) => findings.wrong(&format!("user group {group} cannot be read: {error}")),
        }
    }
}

async fn check_channel(slack: &Slack, name: &str, findings: &mut Findings) {
    match slack.channel(name).await {
        Ok(Some(channel)) if channel.is_archived => {
            findings.wrong(&format!("channel {name} is archived: choose another"))
        }
        Ok(Some(channel)) if !channel.is_member => {
            findings.wrong(&format!("the bot is not in {name}: type /invite @Lockkeeper there"))
        }
        Ok(Some(channel)) if channel.is_ext_shared => {
            findings.well(&format!(
                "channel {name} (shared with another workspace: its people can read notices, but not act)"
            ));
        }
        Ok(Some(_)) => findings.well(&format!("channel {name}")),
        Ok(None) => findings.wrong(&format!("there is no channel {name}, or the bot may not see it: invite it there")),
        Err(error) => findings.wrong(&format!("channel {name} cannot be looked up: {error}")),
    }
}

async fn check_github(github: &GitHub, config: &Config, findings: &mut Findings) {
    let Some(login) = findings.take("GITHUB_TOKEN", github.whoami().await) else { return };
    findings.well(&format!("GitHub knows the bot as {login}"));
    if let Ok(Some(scopes)) = github.token_scopes().await
        && scopes.iter().any(|scope| scope == "repo")
    {
        findings.note("the token is a classic one with scope repo, which may write code everywhere: a fine-grained one with Actions, Contents, Deployments and Pull requests is enough");
    }
    let beanstalk = config.beanstalk.as_deref().map_or_else(Beanstalk::new, Beanstalk::at);
    let aws = config.apps.values().any(|app| app.aws) && beanstalk.available().await;
    if !aws {
        findings.note(
            "AWS has no credentials here, so what Elastic Beanstalk runs is not looked at; everything else works",
        );
    }
    for (name, app) in &config.apps {
        let pipeline = check_app(github, &login, (name, app), findings).await;
        if let Some(pipeline) = pipeline.filter(|_| aws && app.aws) {
            check_servers(&beanstalk, &pipeline, findings).await;
        }
    }
}

/// Servers are worth a word, and no more: without them everything else works.
async fn check_servers(beanstalk: &Beanstalk, pipeline: &Pipeline, findings: &mut Findings) {
    for ((region, application), names) in pipeline.places() {
        let names: Vec<String> = names.keys().map(|name| (*name).to_owned()).collect();
        let place = format!("{}: Elastic Beanstalk in {region}", pipeline.app);
        match beanstalk.environments(region, application, &names).await {
            Ok(found) => {
                let missing: Vec<&str> =
                    names.iter().filter(|name| !found.contains_key(*name)).map(String::as_str).collect();
                if missing.is_empty() {
                    findings.well(&format!("{place} shows {}", names.join(", ")));
                } else {
                    findings.note(&format!("{place} has no {}: name it in the settings file", missing.join(", ")));
                }
            }
            Err(unread) => findings.note(&format!("{place}: {unread}; everything else works")),
        }
    }
}

async fn check_app(
    github: &GitHub,
    login: &Login,
    (name, app): (&AppName, &AppSettings),
    findings: &mut Findings,
) -> Option<Pipeline> {
    let read = github.discover(name, &app.repo, &app.environments).await;
    let pipeline = findings.take(&format!("{name}: {}", app.repo), read)?;
    findings.well(&format!("{name}: {} has {}", pipeline.repo, describe(&pipeline)));
    for team in &app.policy.approvers.github_teams {
        findings.of(&format!("{name}: team {team} can be asked"), github.team_member(team, login).await);
    }
    let rules = github.environments(&app.repo).await;
    if let Some(settings) = findings.take(&format!("{name}: the environments' rules"), rules) {
        for environment in pipeline.production() {
            check_gate(github, login, (&pipeline, environment, &settings), findings).await;
        }
    }
    Some(pipeline)
}

fn describe(pipeline: &Pipeline) -> String {
    let names = |kind: Kind| {
        let names: Vec<&str> =
            pipeline.environments.iter().filter(|e| e.kind == kind).map(|e| e.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    format!("test: {}; production: {}", names(Kind::Test), names(Kind::Production))
}

async fn check_gate(
    github: &GitHub,
    login: &Login,
    (pipeline, environment, settings): (&Pipeline, &Environment, &[EnvironmentSettings]),
    findings: &mut Findings,
) {
    let name = &pipeline.app;
    let found = settings.iter().find(|known| known.name == environment.name);
    let Some(reviewers) = found.and_then(|settings| settings.reviewers.as_ref()) else {
        findings.note(&format!(
            "{name}: {} has no required reviewers: it is deployed without an approval",
            environment.name
        ));
        return;
    };
    if is_among(github, login, reviewers, &pipeline.repo).await {
        findings.well(&format!("{name}: {login} may approve {}", environment.name));
    } else {
        findings.wrong(&format!(
            "{name}: {login} is not a required reviewer of {}: add it in the repo's Settings, Environments, so that Lockkeeper can approve",
            environment.name
        ));
    }
}

/// A reviewing team is one of the organisation that owns the repo, and named by its slug alone.
async fn is_among(github: &GitHub, login: &Login, reviewers: &[Reviewer], repo: &str) -> bool {
    let owner = repo.split('/').next().unwrap_or_default();
    for reviewer in reviewers {
        let is = match reviewer {
            Reviewer::User(user) => user.is(login),
            Reviewer::Team(slug) => github.team_member(&format!("{owner}/{slug}"), login).await.unwrap_or(false),
        };
        if is {
            return true;
        }
    }
    false
}

struct Findings {
    works: bool,
}

impl Default for Findings {
    fn default() -> Self {
        Self { works: true }
    }
}

impl Findings {
    fn well(&mut self, what: &str) {
        println!("✓ {what}");
    }

    fn note(&mut self, what: &str) {
        println!("- {what}");
    }

    fn wrong(&mut self, what: &str) {
        println!("✗ {what}");
        self.works = false;
    }

    fn of<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) {
        match result {
            Ok(_) => self.well(what),
            Err(error) => self.wrong(&format!("{what}: {error:#}")),
        }
    }

    /// The value, or a finding.
    fn take<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(&format!("{what}: {error:#}"));
                None
            }
        }
    }
}

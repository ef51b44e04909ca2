//! Good settings, and tables of bad ones: what the person who made the mistake reads.

use jiff::SignedDuration;
use jiff::civil::Weekday;
use secrecy::ExposeSecret;

use super::*;
use crate::deploy::name::{EnvName, Login, SlackId};
use crate::deploy::pipeline::Kind;
use crate::deploy::policy::RequireTested;

const EXAMPLE: &str = include_str!("../../lockkeeper.example.toml");

fn env(extra: &[(&str, &str)]) -> BTreeMap<String, String> {
    let required = [
        ("SLACK_APP_TOKEN", "xapp-1-A012-canary"),
        ("SLACK_BOT_TOKEN", "xoxb-012-canary"),
        ("GITHUB_TOKEN", "github_pat_0123456789canary"),
    ];
    required.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good(extra: &[(&str, &str)], file: &str) -> Config {
    Config::read(&env(extra), Some(file)).unwrap_or_else(|mistakes| panic!("{}", lines(&mistakes)))
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n")
}

/// What somebody reads who starts it with these.
fn bad(extra: &[(&str, &str)], file: &str) -> String {
    lines(&Config::read(&env(extra), Some(file)).expect_err("mistakes"))
}

/// The same for a file that is fine up to here.
fn bad_file(rest: &str) -> String {
    bad(&[], &format!("channel = '#d'\n{rest}"))
}

fn app<'a>(config: &'a Config, name: &str) -> &'a AppSettings {
    &config.apps[&AppName::new(name)]
}

#[test]
fn the_example_is_what_it_says() {
    let config = good(&[], EXAMPLE);
    assert_eq!(config.command, "/deploy");
    assert_eq!(config.polling, Polling { active: Duration::from_secs(10), idle: Duration::from_secs(60) });
    assert_eq!(config.apps.keys().map(AppName::as_str).collect::<Vec<_>>(), ["h", "lms"]);

    let lms = app(&config, "lms");
    assert_eq!((lms.repo.as_str(), lms.channel.as_str(), lms.aws), ("hypothesis/lms", "#deploys", true));
    assert_eq!(lms.policy.remind_after, Some(SignedDuration::from_hours(4)));
    assert_eq!((lms.policy.require_tested, lms.policy.four_eyes), (RequireTested::Warn, false));
    assert_eq!(lms.policy.approvers.github_teams.first().map(String::as_str), Some("hypothesis/developers"));
    assert_eq!(lms.policy.people.slack(&Login::new("Ana-GH")), Some(&SlackId::new("U012ABCDEF")));

    let h = app(&config, "h");
    assert_eq!((h.repo.as_str(), h.channel.as_str()), ("hypothesis/h", "#eng-h"));
    let canada = &h.environments[&EnvName::from("Production (Canada)")];
    assert_eq!(canada.label.as_deref(), Some("Canada"));
    assert_eq!(canada.url.as_deref(), Some("https://ca.hypothes.is/search"));
    assert_eq!(canada.links["logs"], "https://logs.example.org/h-ca");
    assert_eq!(canada.kind, None);
    assert!(config.warnings().is_empty());
}

#[test]
fn one_line_and_three_secrets_are_enough() {
    let config = good(&[], "channel = '#d'\n[apps]\nh = 'hypothesis/h'");
    assert_eq!(config.slack.api_url, "https://slack.com/api");
    assert_eq!(config.github.api_url, "https://api.github.com");
    assert_eq!(config.slack.bot_token.expose_secret(), "xoxb-012-canary");
    assert_eq!((config.data.to_str(), config.listen.to_string().as_str()), (Some("data"), "127.0.0.1:8080"));
    assert_eq!(config.command, "/deploy");
    insta::assert_snapshot!(config.warnings().join("\n"), @r"
    apps.h: nobody can approve, no approvers are configured; fill [approvers]
    ");
}

#[test]
fn what_is_written_down_wins() {
    let file = r##"
        channel = "C012ABCDEF"
        command = "/ship-it"
        four_eyes = true
        [approvers]
        slack_users = ["W012ABCDEF"]
        [apps.h]
        repo = "hypothesis/h"
        aws = false
        four_eyes = false
        require_tested = "all"
        remind_after = "1h 30m"
        approvers = { slack_usergroups = ["S012ABCDEF"] }
        [apps.h.environments.QA]
        kind = "test"
        region = "us-gov-west-1"
        beanstalk = { application = "h", environment = "h-qa" }
        needs = []
        job = "QA / Deploy"
        [apps.lms]
        repo = "hypothesis/lms"
    "##;
    let extra = [
        ("SLACK_API_URL", " http://127.0.0.1:4000/api// "),
        ("GITHUB_API_URL", "http://[::1]:4001"),
        ("GITHUB_WEBHOOK_SECRET", "a-canary-of-32-characters-or-so"),
        ("LOCKKEEPER_LISTEN", "0.0.0.0:80"),
        ("LOCKKEEPER_DATA", "/data"),
        ("REDIS_URL", "rediss://:canary@redis.example:6380/2"),
    ];
    let config = good(&extra, file);
    assert_eq!(config.slack.api_url, "http://127.0.0.1:4000/api");
    assert_eq!(config.github.api_url, "http://[::1]:4001");
    assert_eq!(config.data, Path::new("/data"));
    assert!(config.redis.is_some());
    let (h, lms) = (app(&config, "h"), app(&config, "lms"));
    assert_eq!((h.aws, h.policy.four_eyes, h.policy.require_tested), (false, false, RequireTested::All));
    assert_eq!(h.policy.remind_after, Some(SignedDuration::from_mins(90)));
    assert!(h.policy.approvers.slack_users.is_empty(), "an app's own approvers take the place of the others");
    assert_eq!((lms.policy.four_eyes, lms.policy.approvers.slack_users.len()), (true, 1));
    assert_eq!(lms.policy.command, "/ship-it");
    let qa = &h.environments[&EnvName::from("QA")];
    assert_eq!(
        (qa.kind, qa.needs.as_deref(), qa.job.as_deref()),
        (Some(Kind::Test), Some(&[][..]), Some("QA / Deploy"))
    );
    assert_eq!(qa.beanstalk.as_ref().map(|names| names.environment.as_str()), Some("h-qa"));
    assert!(config.github.webhook_secret.is_some() && config.warnings().is_empty());
    let shown = format!("{config:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn nothing_at_all() {
    let mistakes = Config::read(&BTreeMap::new(), None).unwrap_err();
    insta::assert_snapshot!(lines(&mistakes), @r#"
    SLACK_APP_TOKEN: is not set; copy an app-level token (xapp-…) from the Slack app's page: Basic Information, App-Level Tokens, scope connections:write
    SLACK_BOT_TOKEN: is not set; copy a bot token (xoxb-…) from the Slack app's page: OAuth & Permissions, Bot User OAuth Token
    GITHUB_TOKEN: is not set; create a token (github_pat_… or ghp_…) of a user who is a required reviewer
    LOCKKEEPER_CONFIG: there is no file lockkeeper.toml; copy lockkeeper.example.toml there, or say where it is
    "#);
}

#[test]
fn wrong_variables_all_at_once() {
    let extra = [
        ("SLACK_APP_TOKEN", "xoxb-012-canary"),
        ("SLACK_BOT_TOKEN", "xoxb-"),
        ("SLACK_API_URL", "http://slack.example/api"),
        ("GITHUB_TOKEN", "ghs_0123456789012345canary"),
        ("GITHUB_WEBHOOK_SECRET", "canary"),
        ("GITHUB_API_URL", "https://user:canary@github.example"),
        ("LOCKKEEPER_LISTEN", "localhost:8080"),
        ("REDIS_URL", "http://:canary@localhost"),
    ];
    insta::assert_snapshot!(bad(&extra, EXAMPLE), @r#"
    SLACK_APP_TOKEN: is a bot token, not an app-level token; copy an app-level token (xapp-…) from the Slack app's page: Basic Information, App-Level Tokens, scope connections:write
    SLACK_BOT_TOKEN: is cut short or has stray characters; copy a bot token (xoxb-…) from the Slack app's page: OAuth & Permissions, Bot User OAuth Token
    SLACK_API_URL: http:// would show the token to the network; write https://; http:// is for loopback addresses
    GITHUB_TOKEN: is a GitHub App's token, and an app cannot be a required reviewer; create a token (github_pat_… or ghp_…) of a user who is a required reviewer
    GITHUB_API_URL: names a user or password; write it like https://example.org/path
    GITHUB_WEBHOOK_SECRET: is too short to protect anything; make one with openssl rand -hex 32, and give GitHub the same
    LOCKKEEPER_LISTEN: "localhost:8080" cannot be read; write address and port: 127.0.0.1:8080
    REDIS_URL: is not the address of a Redis; write it like rediss://user:password@host:6379/0, or redis:// without TLS
    "#);
    let extra = [
        ("SLACK_APP_TOKEN", "canary"),
        ("SLACK_BOT_TOKEN", "xoxp-1-canary"),
        ("SLACK_API_URL", "slack.com/api"),
        ("GITHUB_TOKEN", "xoxb-1-canary"),
        ("GITHUB_API_URL", "ftp://github.example"),
        ("LOCKKEEPER_LISTEN", "8080"),
        ("LOCKKEEPER_CONFIG", "elsewhere.toml"),
    ];
    insta::assert_snapshot!(bad(&extra, "channel ="), @r#"
    SLACK_APP_TOKEN: is not an app-level token; copy an app-level token (xapp-…) from the Slack app's page: Basic Information, App-Level Tokens, scope connections:write
    SLACK_BOT_TOKEN: is a user token, not a bot token; copy a bot token (xoxb-…) from the Slack app's page: OAuth & Permissions, Bot User OAuth Token
    SLACK_API_URL: is not an https:// address; write it like https://example.org/path
    GITHUB_TOKEN: is a Slack token; create a token (github_pat_… or ghp_…) of a user who is a required reviewer
    GITHUB_API_URL: is not an https:// address; write it like https://example.org/path
    LOCKKEEPER_LISTEN: "8080" cannot be read; write address and port: 127.0.0.1:8080
    elsewhere.toml: is not TOML at line 1: string values must be quoted, expected literal string; compare it with lockkeeper.example.toml
    "#);
    let extra = [("SLACK_API_URL", "http://127.0.0.1.example"), ("GITHUB_API_URL", "https://github.example/?a=b")];
    insta::assert_snapshot!(bad(&extra, EXAMPLE), @r#"
    SLACK_API_URL: http:// would show the token to the network; write https://; http:// is for loopback addresses
    GITHUB_API_URL: an API's address ends with its path; leave out what follows ? or #
    "#);
}

/// A secret in the wrong place is not repeated.
#[test]
fn an_address_with_a_password_is_not_shown() {
    for (setting, secret) in [("LOCKKEEPER_LISTEN", "redis://:canary@host:6379"), ("LOCKKEEPER_LISTEN", "xoxb-canary")]
    {
        let text = bad(&[(setting, secret)], EXAMPLE);
        assert_eq!(
            text,
            "LOCKKEEPER_LISTEN: something like a token cannot be read; write address and port: 127.0.0.1:8080"
        );
    }
}

#[test]
fn tokens_with_stray_characters() {
    for token in ["xoxb-1 2", "xoxb-1\n2", "xoxb-ü"] {
        let text = bad(&[("SLACK_BOT_TOKEN", token)], EXAMPLE);
        assert!(text.starts_with("SLACK_BOT_TOKEN: is cut short or has stray characters; "), "{text}");
    }
    for token in ["ghp_short", "ghp_0123456789 0123456789", "ghp_01234567890123456789\u{7f}"] {
        let text = bad(&[("GITHUB_TOKEN", token)], EXAMPLE);
        assert!(text.starts_with("GITHUB_TOKEN: is not a GitHub token; "), "{text}");
    }
}

#[test]
fn a_file_full_of_mistakes() {
    let file = r##"
        chanel = "#deploys"
        command = "deploy"
        require_tested = "yes"
        four_eyes = "no"
        remind_after = "4 fortnights"
        SLACK_BOT_TOKEN = "xoxb-canary"
        [polling]
        active = 10
        idle = "1s"
        often = true
        [approvers]
        slack_users = ["@ana", "U012ABCDEF", "xoxb-canary", 7]
        slack_usergroups = "S012ABCDEF"
        github_team = ["developers"]
        [people]
        "ana gh" = "U012ABCDEF"
        ben = "ben"
        carla = 1
        Dan = "U012ABCDEF"
        dan = "U012ABCDEG"
        [apps]
        lms = "https://github.com/hypothesis/lms"
        "My App" = "hypothesis/app"
        via = 3
        client = "hypothesis/h"
        [apps.h]
        repo = "Hypothesis/h"
        channel = "Deploys"
        aws = "yes"
        approver = {}
        [apps.h.environments."Production (Canada)"]
        lable = "Canada"
        kind = "prod"
        url = "javascript:alert(1)"
        region = "Canada"
        beanstalk = { application = "h" }
        needs = "Staging"
        links = { logs = "logs.example" }
        [apps.empty]
    "##;
    insta::assert_snapshot!(bad(&[], file), @r##"
    command: "deploy" is not a slash command; write it like "/deploy": a slash, then lower-case letters, digits, - and _
    people."ana gh": is not a GitHub login; write login = "U…"
    people.ben: "ben" is not a user id; open the person's profile in Slack, ⋮, Copy member ID (U… or W…)
    people.carla: is 1; write a text in quotes
    people.dan: is listed twice: GitHub ignores the case; keep one of them
    approvers.slack_users: "@ana" is not a user id; open the person's profile in Slack, ⋮, Copy member ID (U… or W…)
    approvers.slack_users: something like a token is not a user id; open the person's profile in Slack, ⋮, Copy member ID (U… or W…)
    approvers.slack_users: is 7; write a text in quotes
    approvers.slack_usergroups: is not a list; write it in brackets: ["…", "…"]
    approvers.github_team: is no setting; did you mean github_teams?
    require_tested: "yes" is none of its values; write "off", "warn" or "all"
    four_eyes: is "no"; write true or false, without quotes
    remind_after: "4 fortnights" is not a duration; write it like "4h", "90m" or "10s"
    polling.active: is 10; write a text in quotes
    polling.idle: "1s" is out of range; from 10s to 1h
    polling.often: is no setting; there are: active, idle
    apps."My App": people type an app's name after the command; use lower-case letters, digits, - and _, at most 40
    apps."My App".channel: is missing; write channel = "#name" here, or at the top for all apps
    apps.client.channel: is missing; write channel = "#name" here, or at the top for all apps
    apps.empty.repo: is missing; write repo = "hypothesis/h"
    apps.empty.channel: is missing; write channel = "#name" here, or at the top for all apps
    apps.h.channel: "Deploys" is not a channel; write "#name" or its id, C…
    apps.h.aws: is "yes"; write true or false, without quotes
    apps.h.environments."Production (Canada)".kind: "prod" is none of its values; write "test" or "production"
    apps.h.environments."Production (Canada)".url: is not an https:// address; write it like https://example.org/path
    apps.h.environments."Production (Canada)".region: "Canada" is not an AWS region; write it like "us-west-1"
    apps.h.environments."Production (Canada)".beanstalk.environment: is missing; name both: beanstalk = { application = "h", environment = "h-prod" }
    apps.h.environments."Production (Canada)".needs: is not a list; write it in brackets: ["…", "…"]
    apps.h.environments."Production (Canada)".links.logs: is not an https:// address; write it like https://example.org/path
    apps.h.environments."Production (Canada)".lable: is no setting; did you mean label?
    apps.h.approver: is no setting; did you mean approvers?
    apps.lms: is the repo's address; write it like "hypothesis/h"
    apps.via: is 3; write a text in quotes
    SLACK_BOT_TOKEN: is no setting; there are: command, people, channel, approvers, require_tested, four_eyes, remind_after, verify_after, required_variables, expected_differences, set_variables, polling, time_zone, working_hours, digest, apps
    chanel: is no setting; did you mean channel?
    "##);
}

#[test]
fn the_calendar_is_read() {
    let calendar = |lines: &str| good(&[], &format!("channel = '#d'\n{lines}\n[apps]\nh = 'hypothesis/h'")).calendar;
    let office = WorkingHours { first: Weekday::Monday, last: Weekday::Friday, from: 540, until: 1_020 };
    let monday = Weekly { day: Weekday::Monday, at: 540 };
    assert_eq!(calendar(""), Calendar { zone: TimeZone::UTC, hours: office, digest: Some(monday) });
    let set = calendar("working_hours = 'sun-THU 8:30-24'\ndigest = 'Fri 16:05'\ntime_zone = 'Asia/Tokyo'");
    assert_eq!(set.zone.iana_name(), Some("Asia/Tokyo"));
    let hours = WorkingHours { first: Weekday::Sunday, last: Weekday::Thursday, from: 510, until: 1_440 };
    assert_eq!((set.hours, set.digest), (hours, Some(Weekly { day: Weekday::Friday, at: 965 })));
    let off = good(&[], "channel = '#d'\ndigest = 'off'\nremind_after = 'off'\n[apps]\nh = 'hypothesis/h'");
    assert_eq!((off.calendar.digest, app(&off, "h").policy.remind_after), (None, None));
    for wrong in ["Mon-Fri", "9-17", "Mon-Fry 9-17", "Mon 17-9", "Mon 9-25", "Mon 9-9", "Mon +9-17", "Mon 9:60-17", ""]
    {
        let text = bad_file(&format!("working_hours = '{wrong}'\n[apps]\nh = 'a/b'"));
        let said = format!("working_hours: {wrong:?} are no working hours; write them like \"Mon-Fri 9-17\"");
        assert_eq!(text, said);
    }
    for wrong in ["Mon", "9:00", "Mon 24", "Someday 9", "Mon 9:00 UTC", ""] {
        let text = bad_file(&format!("digest = '{wrong}'\n[apps]\nh = 'a/b'"));
        assert!(text.starts_with(&format!("digest: {wrong:?} is no moment of the week; ")), "{text}");
    }
    let text = bad_file("time_zone = 'Europe/Hamburg'\n[apps]\nh = 'a/b'");
    assert!(text.starts_with("time_zone: \"Europe/Hamburg\" is not a time zone; "), "{text}");
}

#[test]
fn single_mistakes() {
    insta::assert_snapshot!(bad_file(""), @r#"
    apps: no app is listed; add [apps], and below it a line like h = "hypothesis/h"
    "#);
    insta::assert_snapshot!(bad_file("[apps]"), @r#"
    apps: no app is listed; add [apps], and below it a line like h = "hypothesis/h"
    "#);
    insta::assert_snapshot!(bad_file("apps = ['hypothesis/h']"), @r#"
    apps: is a list; make it a table: [apps]
    apps: no app is listed; add [apps], and below it a line like h = "hypothesis/h"
    "#);
    insta::assert_snapshot!(bad_file("[apps]\nh = 'hypothesis/h'\nh = 'hypothesis/h'"), @r"
    lockkeeper.toml: is not TOML at line 4: duplicate key; compare it with lockkeeper.example.toml
    ");
    insta::assert_snapshot!(bad_file("[apps]\nh = 'hypothesis'"), @r#"
    apps.h: "hypothesis" is not a repo; write it like "hypothesis/h"
    "#);
    insta::assert_snapshot!(bad_file("[apps]\nh = 'a/..'"), @r#"apps.h: "a/.." is not a repo; write it like "hypothesis/h""#);
    insta::assert_snapshot!(bad_file("[apps]\nh = 'a/b'\n[polling]\nactive = '5m'"), @r"
    polling.idle: is shorter than active; ask less often while nothing is going on
    ");
    insta::assert_snapshot!(bad_file("[apps.h]\nrepo = 'a/b'\nchannel = 'deploys'"), @r##"apps.h.channel: "deploys" is not a channel; write "#deploys""##);
    insta::assert_snapshot!(bad_file("[apps.h]\nrepo = 'a/b'\nremind_after = '-4h'"), @r#"apps.h.remind_after: "-4h" is out of range; from 5m to 720h"#);
    insta::assert_snapshot!(bad_file("[apps.h]\nrepo = 'a/b'\n[apps.h.environments.QA]\nlabel = \"a\\nb\""), @r#"
    apps.h.environments.QA.label: "a\nb" does not fit; write 1 to 100 characters on one line
    "#);
    insta::assert_snapshot!(bad_file("[apps]\nh = 'a/b'\nlms = 'A/B'"), @"apps.lms: has the same repo as h; keep one of them");
    insta::assert_snapshot!(bad(&[], "apps.h = 'a/b'"), @r##"
    apps.h.channel: is missing; write channel = "#name" here, or at the top for all apps
    "##);
    insta::assert_snapshot!(bad(&[], "command = '/Deploy now'\nchannel = '#d'\napps.h = 'a/b'"), @r#"
    command: "/Deploy now" is not a slash command; write it like "/deploy": a slash, then lower-case letters, digits, - and _
    "#);
}

#[test]
fn no_mistake_shows_a_secret_or_breaks_its_line() {
    let hostile = "xoxb-canary\n\u{1b}[31m".repeat(20);
    let file = format!("channel = {0:?}\n{0:?} = 1\n[apps]\n{0:?} = {0:?}\n[people]\n{0:?} = {0:?}", hostile)
        .replace("\\u{1b}", "\\u001b");
    let mistakes = Config::read(&env(&[("LOCKKEEPER_LISTEN", &hostile)]), Some(&file)).unwrap_err();
    assert!(mistakes.len() > 4, "{mistakes:?}");
    for mistake in mistakes {
        let line = mistake.to_string();
        assert!(!line.contains("canary") && !line.chars().any(char::is_control) && line.len() < 400, "{line:?}");
    }
}

#[test]
fn a_dotenv_file_fills_in_and_never_shows_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    read_dotenv(&path).unwrap();
    std::fs::write(&path, "LOCKKEEPER_TEST_DOTENV=from the file\nSLACK_BOT_TOKEN xoxb-canary\n").unwrap();
    let mistake = read_dotenv(&path).unwrap_err();
    assert!(
        mistake.to_string().ends_with(".env: line 1 is not NAME=value; put a value with spaces in quotes"),
        "{mistake}"
    );
    std::fs::write(&path, "# fine\nLOCKKEEPER_TEST_DOTENV='from the file'\nSLACK_BOT_TOKEN xoxb-canary\n").unwrap();
    let mistake = read_dotenv(&path).unwrap_err();
    assert!(mistake.what.starts_with("line 3 ") && !mistake.to_string().contains("canary"), "{mistake}");
    assert_eq!(std::env::var("LOCKKEEPER_TEST_DOTENV").as_deref(), Ok("from the file"));
}

//! What a setting looks like: one function for each shape, from text to the value or to what is wrong with it.

use std::fmt::Display;

use jiff::SignedDuration;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::{Host, Url};

use crate::deploy::hours::{Weekly, WorkingHours};
use crate::deploy::name::{AppName, SlackId};
use crate::deploy::pipeline::Kind;
use crate::deploy::policy::RequireTested;
use crate::deploy::variable::is_key;

/// What is wrong with a value, and what to do about it.
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) cure: String,
}

/// A value, or what is wrong with it.
pub(super) type Shape<T> = Result<T, Wrong>;

pub(super) fn wrong<T>(what: impl Into<String>, cure: impl Into<String>) -> Shape<T> {
    Err(Wrong { what: what.into(), cure: cure.into() })
}

/// A value as a mistake shows it: in quotes, cut, on one line, and not at all where it looks like a secret in the wrong place.
pub(super) fn quote(value: &str) -> String {
    let secret = ["xox", "xapp-", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "AKIA", "ASIA"];
    let password = value.split_once("://").is_some_and(|(_, address)| address.contains('@'));
    if password || secret.iter().any(|prefix| value.contains(prefix)) {
        return "something like a token".to_owned();
    }
    match value.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The closest of the known words, where one is close.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(&word.to_lowercase(), known);
    let near = known.iter().map(|known| (distance(known), *known)).min()?;
    (near.0 <= (word.chars().count() / 3).max(1)).then_some(near.1)
}

/// Whether the host of a URL is this machine: `localhost`, `127.…` or `[::1]`. Only there may a token travel without TLS.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The base of an API, without the slash at its end.
pub(super) fn api_url(text: &str) -> Shape<String> {
    let url = web_address(text)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return wrong(
            "http:// would show the token to the network",
            "write https://; http:// is for loopback addresses",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("an API's address ends with its path", "leave out what follows ? or #");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// What signs webhooks: anybody may send some, so it must not be guessed.
pub(super) fn webhook_secret(text: &str) -> Shape<SecretString> {
    match text.chars().count() {
        0..16 => {
            wrong("is too short to protect anything", "make one with openssl rand -hex 32, and give GitHub the same")
        }
        _ => Ok(text.into()),
    }
}

/// The address of a Redis; it may hold a password, so it is not repeated. Without TLS the password and every decision would travel in
/// the clear, which is for the same machine or a network of one's own.
pub(super) fn redis_url(text: &str) -> Shape<SecretString> {
    let cure = "write it like rediss://user:password@host:6379/0, or redis:// without TLS";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "redis" | "rediss") && url.host().is_some() => Ok(text.into()),
        Ok(url) if url.scheme() == "redis+unix" && !url.path().is_empty() => Ok(text.into()),
        Ok(_) | Err(_) => wrong("is not the address of a Redis", cure),
    }
}

/// A page for people.
pub(super) fn link(text: &str) -> Shape<String> {
    web_address(text).map(|url| url.as_str().to_owned())
}

/// Its mistakes do not repeat the address: it may hold a password.
fn web_address(text: &str) -> Shape<Url> {
    let cure = "write it like https://example.org/path";
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => wrong("is not an https:// address", cure),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => wrong("names a user or password", cure),
        Ok(url) => Ok(url),
        Err(_) => wrong("is not an https:// address", cure),
    }
}

pub(super) fn slack_app_token(text: &str) -> Shape<SecretString> {
    slack_token(text, "xapp-", "an app-level token", "Basic Information, App-Level Tokens, scope connections:write")
}

pub(super) fn slack_bot_token(text: &str) -> Shape<SecretString> {
    slack_token(text, "xoxb-", "a bot token", "OAuth & Permissions, Bot User OAuth Token")
}

fn slack_token(text: &str, prefix: &str, name: &str, page: &str) -> Shape<SecretString> {
    let cure = format!("copy {name} ({prefix}…) from the Slack app's page: {page}");
    let kinds = [
        ("xapp-", "an app-level token"),
        ("xoxb-", "a bot token"),
        ("xoxp-", "a user token"),
        ("xox", "another token"),
    ];
    if let Some(rest) = text.strip_prefix(prefix) {
        let whole = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        return if whole { Ok(text.into()) } else { wrong("is cut short or has stray characters", cure) };
    }
    match kinds.iter().find(|(other, _)| text.starts_with(other)) {
        Some((_, kind)) => wrong(format!("is {kind}, not {name}"), cure),
        None => wrong(format!("is not {name}"), cure),
    }
}

/// GitHub has had several shapes and Enterprise servers older ones: only what is certainly something else is refused.
pub(super) fn github_token(text: &str) -> Shape<SecretString> {
    let cure = "create a token (github_pat_… or ghp_…) of a user who is a required reviewer";
    if text.starts_with("ghs_") {
        return wrong("is a GitHub App's token, and an app cannot be a required reviewer", cure);
    }
    if text.starts_with("xox") || text.starts_with("xapp-") {
        return wrong("is a Slack token", cure);
    }
    if text.len() < 20 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return wrong("is not a GitHub token", cure);
    }
    Ok(text.into())
}

/// `#name` or an id.
pub(super) fn channel(text: &str) -> Shape<String> {
    let name = |name: &str| {
        let fits = |c: char| c.is_alphanumeric() && !c.is_uppercase() || c == '-' || c == '_';
        !name.is_empty() && name.chars().count() <= 80 && name.chars().all(fits)
    };
    if text.strip_prefix('#').is_some_and(name) || is_id(text, "CG") {
        return Ok(text.to_owned());
    }
    let cure = if name(text) { format!("write \"#{text}\"") } else { "write \"#name\" or its id, C…".to_owned() };
    wrong(format!("{} is not a channel", quote(text)), cure)
}

/// A slash command's name: the manifest's limits.
pub(super) fn command(text: &str) -> Shape<String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    match text.strip_prefix('/') {
        Some(name) if (1..=31).contains(&name.len()) && name.bytes().all(fits) => Ok(text.to_owned()),
        Some(_) | None => wrong(
            format!("{} is not a slash command", quote(text)),
            "write it like \"/deploy\": a slash, then lower-case letters, digits, - and _",
        ),
    }
}

pub(super) fn require_tested(text: &str) -> Shape<RequireTested> {
    match text {
        "off" => Ok(RequireTested::Off),
        "warn" => Ok(RequireTested::Warn),
        "all" => Ok(RequireTested::All),
        other => wrong(format!("{} is none of its values", quote(other)), "write \"off\", \"warn\" or \"all\""),
    }
}

pub(super) fn kind(text: &str) -> Shape<Kind> {
    match text {
        "test" => Ok(Kind::Test),
        "production" => Ok(Kind::Production),
        other => wrong(format!("{} is none of its values", quote(other)), "write \"test\" or \"production\""),
    }
}

/// A duration within bounds, both included.
pub(super) fn duration(least: SignedDuration, most: SignedDuration) -> impl Fn(&str) -> Shape<SignedDuration> {
    move |text| match text.parse::<SignedDuration>() {
        Ok(duration) if duration >= least && duration <= most => Ok(duration),
        Ok(_) => wrong(format!("{} is out of range", quote(text)), format!("from {least:#} to {most:#}")),
        Err(_) => wrong(format!("{} is not a duration", quote(text)), "write it like \"4h\", \"90m\" or \"10s\""),
    }
}

/// The shape, or the word `off`.
pub(super) fn or_off<T>(shape: impl Fn(&str) -> Shape<T>) -> impl Fn(&str) -> Shape<Option<T>> {
    move |text| if text == "off" { Ok(None) } else { shape(text).map(Some) }
}

/// An IANA name: `Europe/Berlin`.
pub(super) fn time_zone(text: &str) -> Shape<TimeZone> {
    let unknown =
        |_| wrong(format!("{} is not a time zone", quote(text)), "write it like \"Europe/Berlin\" or \"UTC\"");
    TimeZone::get(text).or_else(unknown)
}

/// `Mon-Fri 9-17`
pub(super) fn working_hours(text: &str) -> Shape<WorkingHours> {
    let read = || {
        let (days, hours) = text.split_once(' ')?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, until) = hours.trim().split_once('-')?;
        let hours = WorkingHours { first: day(first)?, last: day(last)?, from: minute(from)?, until: minute(until)? };
        (hours.from < hours.until).then_some(hours)
    };
    read()
        .map_or_else(|| wrong(format!("{} are no working hours", quote(text)), "write them like \"Mon-Fri 9-17\""), Ok)
}

/// `Mon 9:00`
pub(super) fn weekly(text: &str) -> Shape<Weekly> {
    let read = || {
        let (name, time) = text.split_once(' ')?;
        Some(Weekly { day: day(name)?, at: minute(time.trim()).filter(|at| *at < 24 * 60)? })
    };
    let cure = "write it like \"Mon 9:00\", or \"off\"";
    read().map_or_else(|| wrong(format!("{} is no moment of the week", quote(text)), cure), Ok)
}

fn day(name: &str) -> Option<Weekday> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let place = names.iter().position(|known| name.eq_ignore_ascii_case(known))?;
    Weekday::from_monday_zero_offset(i8::try_from(place).ok()?).ok()
}

/// `9` or `17:30`, in minutes since midnight; up to 24.
fn minute(time: &str) -> Option<i16> {
    let (hours, minutes) = time.split_once(':').unwrap_or((time, "0"));
    let number = |text: &str| text.parse::<i16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
    let all = hours.checked_mul(60)?.checked_add(minutes)?;
    (all <= 24 * 60).then_some(all)
}

pub(super) fn app_name(text: &str) -> Shape<AppName> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if (1..=40).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['-', '_']) {
        return Ok(AppName::new(text));
    }
    wrong("people type an app's name after the command", "use lower-case letters, digits, - and _, at most 40")
}

/// `owner/name`.
pub(super) fn repo(text: &str) -> Shape<String> {
    if two_parts(text, b"-", b"-_.") && !text.ends_with("/.") && !text.ends_with("/..") {
        return Ok(text.to_owned());
    }
    let cure = "write it like \"hypothesis/h\"";
    match text.split_once("github.com/") {
        Some(_) => wrong("is the repo's address", cure),
        None => wrong(format!("{} is not a repo", quote(text)), cure),
    }
}

pub(super) fn github_team(text: &str) -> Shape<String> {
    if two_parts(text, b"-_", b"-_") {
        return Ok(text.to_owned());
    }
    wrong(format!("{} is not a team", quote(text)), "write organisation and slug: \"hypothesis/developers\"")
}

fn two_parts(text: &str, left_extra: &[u8], right_extra: &[u8]) -> bool {
    let part = |part: &str, extra: &[u8]| {
        (1..=100).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    };
    text.split_once('/').is_some_and(|(left, right)| part(left, left_extra) && part(right, right_extra))
}

pub(super) fn slack_user(text: &str) -> Shape<SlackId> {
    let cure = "open the person's profile in Slack, ⋮, Copy member ID (U… or W…)";
    if is_id(text, "UW") { Ok(SlackId::new(text)) } else { wrong(format!("{} is not a user id", quote(text)), cure) }
}

pub(super) fn slack_usergroup(text: &str) -> Shape<String> {
    let cure = "open the group in Slack, People, User groups, ⋮, Copy group ID (S…)";
    if is_id(text, "S") {
        Ok(text.to_owned())
    } else {
        wrong(format!("{} is not a user group's id", quote(text)), cure)
    }
}

/// One of the letters, then capitals and digits. Slack promises no length.
fn is_id(text: &str, letters: &str) -> bool {
    let rest = text.strip_prefix(|c| letters.contains(c)).unwrap_or_default();
    (2..=30).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// A GitHub account: `ana`, `ana_corp`, `renovate[bot]`.
pub(super) fn is_login(text: &str) -> bool {
    let name = text.strip_suffix("[bot]").unwrap_or(text);
    (1..=60).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

pub(super) fn region(text: &str) -> Shape<String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let number = |last: &str| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() >= 3 && text.bytes().all(fits) && parts.last().is_some_and(|last| number(last)) {
        return Ok(text.to_owned());
    }
    wrong(format!("{} is not an AWS region", quote(text)), "write it like \"us-west-1\"")
}

/// The name of an environment variable.
pub(super) fn variable(text: &str) -> Shape<String> {
    if is_key(text) {
        return Ok(text.to_owned());
    }
    wrong(format!("{} is not the name of a variable", quote(text)), "write it like \"DATABASE_URL\"")
}

/// One line that people read.
pub(super) fn words(text: &str) -> Shape<String> {
    if text.trim().is_empty() || text.chars().count() > 100 || text.chars().any(char::is_control) {
        return wrong(format!("{} does not fit", quote(text)), "write 1 to 100 characters on one line");
    }
    Ok(text.to_owned())
}

/// Anything that parses.
pub(super) fn parsed<T: std::str::FromStr>(text: &str, cure: impl Display) -> Shape<T> {
    text.parse().or_else(|_| wrong(format!("{} cannot be read", quote(text)), cure.to_string()))
}

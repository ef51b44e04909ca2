//! The failed-deploy doctor: why a run probably failed, from what GitHub's check says, from the step that failed and from Elastic
//! Beanstalk's events; and what is quoted of them. It says "likely": nobody has read the log.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::app::App;
use super::hours;
use super::mend::{Means, Mended};
use super::message::{Line, Message};
use super::name::SlackId;
use super::offer::extent;
use super::phase::Phase;
use super::server::{Servers, Unread};
use super::text::{cut, list};
use super::track::{Failing, State, Tracked};

/// How many events are quoted.
const QUOTED: usize = 3;
/// Elastic Beanstalk goes on after its job ended; what it tells this long after still belongs to the deployment.
const AFTER: SignedDuration = SignedDuration::from_mins(15);

/// What was found out about a job that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// Which job.
    pub job: u64,
    /// Why it failed, where GitHub's check says so.
    pub cause: Option<Cause>,
}

/// Why a job probably failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The image could not be built.
    Build,
    /// The image could not be pushed.
    Push,
    /// Runs of dependabot get no secrets.
    NoSecrets,
    /// AWS did not accept the job's login, or it ran out.
    Login,
    /// Elastic Beanstalk was still busy there.
    Busy,
    /// The new version did not get healthy.
    Unhealthy,
    /// Elastic Beanstalk or the registry does not have the version.
    NoVersion,
    /// An environment variable is missing.
    NoVariable,
    /// It ran into its time limit.
    TooSlow,
    /// GitHub's machine went away.
    Machine,
    /// It was cancelled.
    Cancelled,
}

/// What gives a cause away, in lower case; the first that is found counts.
const SIGNS: &[(Cause, &[&str])] = &[
    (
        Cause::Login,
        &[
            "expiredtoken",
            "security token included in the request",
            "credentials could not be loaded",
            "could not load credentials",
            "could not assume role",
            "not authorized to perform: sts",
            "invalidclienttokenid",
            "unable to locate credentials",
        ],
    ),
    (Cause::Busy, &["invalid state for this operation", "must be ready", "operationinprogress"]),
    (
        Cause::NoVersion,
        &["no application version named", "application version does not exist", "manifest unknown", "manifest for"],
    ),
    (
        Cause::NoVariable,
        &[
            "missing environment variable",
            "environment variable is missing",
            "environment variable is not set",
            "required environment variable",
            "environment variable not set",
            "keyerror: '",
        ],
    ),
    (
        Cause::Push,
        &[
            "failed to push",
            "requested access to the resource is denied",
            "incorrect username or password",
            "toomanyrequests",
        ],
    ),
    (Cause::Build, &["failed to solve", "executor failed running", "failed to build"]),
    (Cause::TooSlow, &["exceeded the maximum execution time"]),
    (Cause::Machine, &["runner lost communication", "runner has received a shutdown signal"]),
    (
        Cause::Unhealthy,
        &[
            "health check",
            "unhealthy",
            "failed to deploy application",
            "unsuccessful command execution",
            "to severe",
            "to degraded",
            "did not become healthy",
        ],
    ),
    (Cause::Cancelled, &["the operation was canceled", "the run was canceled"]),
];

/// The cause that these texts give away; they come from outside.
pub fn read<S: AsRef<str>>(texts: &[S]) -> Option<Cause> {
    let texts: Vec<String> = texts.iter().map(|text| text.as_ref().to_lowercase()).collect();
    let given_away = |signs: &[&str]| texts.iter().any(|text| signs.iter().any(|sign| text.contains(sign)));
    SIGNS.iter().find(|(_, signs)| given_away(signs)).map(|(cause, _)| *cause)
}

impl Cause {
    fn words(self, command: &str, app: &str) -> String {
        match self {
            Self::Build => {
                "the image could not be built. Unless the network had a hiccup, a new change has to repair it.".into()
            }
            Self::Push => {
                "the image could not be pushed. Often Docker Hub has a hiccup: a retry helps; else its login is wrong."
                    .into()
            }
            Self::NoSecrets => format!(
                "GitHub gives no secrets to a run that dependabot started, and none to its retries: type {command} start {app} instead."
            ),
            Self::Login => "AWS did not accept the job’s login, or it ran out after 15 minutes.".into(),
            Self::Busy => {
                "Elastic Beanstalk was still busy with something else there. Wait until it is Ready, then retry.".into()
            }
            Self::Unhealthy => {
                "the new version did not get healthy there. Its logs say why; if it is the code, roll forward.".into()
            }
            Self::NoVersion => format!(
                "the version is not there any more, so a retry cannot find it either: type {command} start {app} to build it anew."
            ),
            Self::NoVariable => "an environment variable that it needs is missing there. Set it, then retry.".into(),
            Self::TooSlow => "it took longer than it may.".into(),
            Self::Machine => "GitHub’s machine went away. A retry helps, once Elastic Beanstalk is done.".into(),
            Self::Cancelled => "somebody or something cancelled the job.".into(),
        }
    }
}

impl App {
    /// Why it probably failed, as far as GitHub tells: that is known when the failure is told, and does not change.
    fn cause(&self, tracked: &Tracked) -> Option<Cause> {
        let failing = tracked.failing.as_ref()?;
        let dependabot = tracked.run.actor.as_str() == "dependabot[bot]" && failing.environment.is_none();
        let examined = tracked.examined.as_ref().filter(|examined| examined.job == failing.id);
        let told = examined.and_then(|examined| examined.cause);
        let timed_out = self.phase(tracked) == Phase::TimedOut;
        Some(Cause::NoSecrets)
            .filter(|_| dependabot)
            .or(told)
            .or(Some(Cause::TooSlow).filter(|_| timed_out))
            .or(of_step(failing))
    }

    /// Whether running it again cannot help, since it would get no secrets again.
    pub(super) fn is_without_secrets(&self, tracked: &Tracked) -> bool {
        self.cause(tracked) == Some(Cause::NoSecrets)
    }

    /// The likely cause, said without Elastic Beanstalk, which is looked at in its own time.
    pub(super) fn cause_line(&self, tracked: &Tracked) -> Option<Line> {
        Some(self.likely(self.cause(tracked)?, tracked))
    }

    fn likely(&self, cause: Cause, tracked: &Tracked) -> Line {
        let words = cause.words(&self.policy.command, self.state.name.as_str());
        let environment = tracked.failing.as_ref().and_then(|failing| failing.environment.as_ref());
        let touched = environment.is_some_and(|name| matches!(tracked.state(name), Some(State::Unknown(_))));
        let unwatched = matches!(cause, Cause::Login | Cause::TooSlow) && touched;
        let caution = " Elastic Beanstalk may go on by itself: look there before you retry.";
        Line::plain(format!("Likely cause: {words}{}", if unwatched { caution } else { "" }))
    }

    /// What the doctor has to say about a failed run: the likely cause, and what Elastic Beanstalk tells of the environment.
    pub(super) fn diagnosis(&self, mut message: Message, tracked: &Tracked) -> Message {
        let Some(failing) = &tracked.failing else { return message };
        let reading = failing.environment.as_ref().and_then(|name| self.state.servers.get(name));
        let servers = reading.and_then(|reading| reading.as_ref().ok());
        let events = servers.map(|servers| events(servers, tracked)).unwrap_or_default();
        let told: Vec<&str> = events.iter().map(|(_, text)| text.as_str()).collect();
        let cause = self.cause(tracked).or_else(|| read(&told));
        message = match cause {
            Some(cause) => message.text(self.likely(cause, tracked)),
            None => message.text(Line::plain("Likely cause: not to be seen from here; the job’s log says more.")),
        };
        match (&failing.environment, reading) {
            (Some(name), Some(Ok(servers))) => {
                let message =
                    message.text(Line::plain(format!("Elastic Beanstalk, {}: ", self.label(name))).say(state(servers)));
                let quoted = &events[..events.len().min(QUOTED)];
                message.list(list(quoted, QUOTED, |(line, text)| line.clone().say(cut(&redacted(text), 200))))
            }
            (Some(name), Some(Err(unread))) => match unread_words(unread) {
                Some(words) => message.text(Line::plain(format!("Elastic Beanstalk, {}: {words}", self.label(name)))),
                None => message,
            },
            (_, None) | (None, Some(_)) => message,
        }
    }

    /// Asks the channel, with all that is known. Nobody is mentioned: whoever can help answers.
    pub(super) fn help_text(&self, tracked: &Tracked, by: &SlackId) -> Message {
        let run = &tracked.run;
        let asker = self
            .policy
            .people
            .login(by)
            .map_or_else(|| Line::default().mention(by), |login| Line::plain(login.as_str()));
        let line = Line::plain("🆘 ").bold(self.state.name.as_str()).say(" ").link(run.label(), run.url.clone());
        let times = if run.attempt == 1 { "failed".to_owned() } else { format!("failed {} times", run.attempt) };
        let line =
            line.say(format!(" {times}, and ")).then(asker).say(" asks for help: who knows more, please answer here.");
        let phase = self.phase(tracked);
        let message = Message::line(line).text(self.state_line(tracked, &phase));
        let message = self.diagnosis(message, tracked).text(self.live_line());
        let ships = self.ships(tracked).unwrap_or_default();
        let facts = format!("Commit {}. {} ", run.sha.short(), extent(tracked, &ships));
        let facts = Line::plain(facts).link("The run with all its attempts", run.url.clone());
        let facts = match tracked.failing.as_ref().and_then(|failing| failing.url.clone()) {
            Some(log) => facts.say(", ").link("the job’s log", log).say("."),
            None => facts.say("."),
        };
        message.text(facts)
    }

    /// Somebody in Slack has started the failed jobs of this attempt again.
    pub(super) fn retrying(&self, tracked: &Tracked) -> Option<Line> {
        let Mended { by, at, .. } =
            tracked.mended.get(&Means::Rerun).filter(|mended| mended.attempt == tracked.run.attempt)?;
        Some(
            Line::plain("🔁 ")
                .then(self.who(by, tracked))
                .say(" starts its failed jobs again, since ")
                .time(*at)
                .say("."),
        )
    }
}

/// What the step that failed gives away.
fn of_step(failing: &Failing) -> Option<Cause> {
    let step = failing.step.as_deref().unwrap_or_default().to_lowercase();
    let job = failing.job.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| step.contains(word));
    match failing.environment {
        Some(_) if says(&["credentials", "login", "log in"]) => Some(Cause::Login),
        Some(_) => None,
        None if says(&["push", "login", "log in"]) => Some(Cause::Push),
        None if says(&["build"]) || job.contains("docker") => Some(Cause::Build),
        None => None,
    }
}

/// What the environment told during the run's newest attempt and shortly after, newest first.
fn events(servers: &Servers, tracked: &Tracked) -> Vec<(Line, String)> {
    let until = if tracked.run.is_over() { hours::later(tracked.run.updated_at, AFTER) } else { Timestamp::MAX };
    let ours = servers.events.iter().filter(|event| (tracked.run.started_at..=until).contains(&event.at));
    ours.map(|event| {
        (Line::default().time(event.at).say(format!(" {} ", cut(&event.severity, 10))), event.message.clone())
    })
    .collect()
}

fn state(servers: &Servers) -> String {
    let health = servers.health_status.as_deref().or(servers.health.as_deref()).unwrap_or("health unknown");
    let cause = servers.causes.first().map(|cause| format!(": {}", cut(&redacted(cause), 150))).unwrap_or_default();
    format!("{}, {}{cause}", cut(&servers.status, 20), cut(health, 20))
}

fn unread_words(unread: &Unread) -> Option<String> {
    match unread {
        Unread::NotConfigured => None,
        Unread::Denied(code) => Some(format!("not readable, AWS says {}", cut(code, 60))),
        Unread::Throttled => Some("not readable right now, AWS asks to be asked less".into()),
        Unread::Missing => Some("there is no such environment".into()),
        Unread::Unreachable(_) => Some("not readable right now, AWS does not answer".into()),
    }
}

/// How secrets begin.
const SECRETS: &[&str] = &[
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "xapp-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "AKIA",
    "ASIA",
];
/// What is said before a secret.
const NAMES: &[&str] =
    &["password", "passwd", "secret", "token", "api_key", "apikey", "access_key", "private_key", "credential", "dsn"];
/// A longer run of letters and digits is no word, name or id of an instance.
const LONGEST: usize = 32;

/// A text from outside with everything left out that looks like a secret.
pub fn redacted(text: &str) -> String {
    if text.contains("-----BEGIN") {
        return "[withheld: it holds a key]".into();
    }
    let mut named = false;
    let words = text.split_whitespace().map(|word| {
        let bare = word.to_lowercase();
        // `password: x`, `PASSWORD = x`: what follows the name is withheld as well.
        let sign = ["=", ":"].contains(&word);
        let hidden = looks_secret(word, &bare) || (named && !sign);
        named = is_name(&bare) || (named && sign);
        if hidden { "[withheld]" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a word announces a secret: it ends the name of one, with or without a sign behind it.
fn is_name(word: &str) -> bool {
    let bare = word.trim_end_matches(['=', ':', '"', '\'']);
    let announced = bare.len() < word.len() || word.contains('_');
    announced && NAMES.iter().any(|name| bare.ends_with(name))
}

fn looks_secret(word: &str, lower: &str) -> bool {
    let begins = |part: &str| SECRETS.iter().any(|start| part.starts_with(start) && part.len() >= start.len() + 8);
    let parts = || word.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c)));
    let assigned = lower.split_once(['=', ':']).is_some_and(|(name, value)| {
        let value = value.trim_matches(['"', '\'', ',']);
        !value.is_empty() && NAMES.iter().any(|known| name.trim_matches(['"', '\'']).ends_with(known))
    });
    let runs = word.split(|c: char| !(c.is_ascii_alphanumeric() || "+/".contains(c)));
    let long = runs.into_iter().any(|run| {
        run.len() >= LONGEST
            && run.contains(|c: char| c.is_ascii_digit())
            && run.contains(|c: char| c.is_ascii_alphabetic())
    });
    let account = lower.split_once("://").is_some_and(|(_, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        host.contains('@') && host.contains(':')
    });
    parts().any(begins) || assigned || long || account
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_given_away() {
        let table = [
            ("An error occurred (ExpiredTokenException) when calling …", Some(Cause::Login)),
            ("The security token included in the request is expired", Some(Cause::Login)),
            ("Environment named h-prod is in an invalid state for this operation. Must be Ready.", Some(Cause::Busy)),
            ("No Application Version named 'h-prod-1' found.", Some(Cause::NoVersion)),
            ("KeyError: 'SECRET_KEY'", Some(Cause::NoVariable)),
            ("Missing environment variable: H_PROXY", Some(Cause::NoVariable)),
            ("ERROR: failed to solve: process \"/bin/sh -c make\" did not complete", Some(Cause::Build)),
            ("denied: requested access to the resource is denied", Some(Cause::Push)),
            ("The hosted runner lost communication with the server.", Some(Cause::Machine)),
            ("Environment health has transitioned from Ok to Severe.", Some(Cause::Unhealthy)),
            ("The job has exceeded the maximum execution time of 6h0m0s", Some(Cause::TooSlow)),
            ("The operation was canceled.", Some(Cause::Cancelled)),
            ("Process completed with exit code 1.", None),
        ];
        for (text, cause) in table {
            assert_eq!(read(&[text]), cause, "{text}");
        }
        assert_eq!(read(&["Process completed with exit code 1.", "Must be Ready."]), Some(Cause::Busy));
    }

    #[test]
    fn secrets_are_withheld_and_words_are_not() {
        let kept = [
            "Environment health has transitioned from Ok to Severe. 50.0 % of the requests are failing with HTTP 5xx.",
            "Deploying new version h-prod20261123T100000Z-20261123-gabc1234 to instance(s) i-0123456789abcdef0.",
            "The security token included in the request is expired",
            "<!channel> & <https://evil.example|click>",
        ];
        for text in kept {
            assert_eq!(redacted(text), text);
        }
        let table = [
            ("login with ghp_abcdefghijklmnop failed", "login with [withheld] failed"),
            ("AWS key AKIAIOSFODNN7EXAMPLE is bad", "AWS key [withheld] is bad"),
            ("DB_PASSWORD=hunter2 is wrong", "[withheld] is wrong"),
            ("password: hunter2 is wrong", "password: [withheld] is wrong"),
            ("SECRET_TOKEN = hunter2 is wrong", "SECRET_TOKEN = [withheld] is wrong"),
            ("{\"password\":\"hunter2\"} is wrong", "[withheld] is wrong"),
            ("no route to postgres://h:hunter2@db.internal/h now", "no route to [withheld] now"),
            ("digest 0123456789abcdef0123456789abcdef01234567 differs", "digest [withheld] differs"),
            ("-----BEGIN RSA PRIVATE KEY----- MIIE", "[withheld: it holds a key]"),
        ];
        for (text, shown) in table {
            assert_eq!(redacted(text), shown);
        }
    }
}

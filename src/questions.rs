//! Questions: `/deploy`, `help`, `status`, `pending`, `where`, `env`, `history`, `whoami`. They change nothing and wait for nobody, if
//! it is known already who asks.

use crate::deploy::app::App;
use crate::deploy::change::PrRef;
use crate::deploy::command::{self, Question};
use crate::deploy::effect::Record;
use crate::deploy::event::Unreachable;
use crate::deploy::message::{Line, Message};
use crate::deploy::name::{AppName, SlackId};
use crate::deploy::policy::{Account, Approvers, Person};
use crate::deploy::refusal::Refusal;
use crate::shell::Shell;
use crate::variables;

/// Apps that one answer shows; Slack takes 50 blocks in a message.
const TOLD: usize = 40;
/// Decisions that `history` shows.
const DECISIONS: u32 = 50;

/// The answer to a question, if everything for it is at hand: who asks, and nothing to be read from elsewhere.
pub fn from_memory(shell: &Shell, question: &Question, user: &SlackId) -> Option<Message> {
    let profile = shell.people.recall(user)?;
    match refuse(profile.account) {
        Some(refusal) => Some(refusal.message()),
        None => answer(shell, question, user),
    }
}

/// The answer to a question, once it is known who asks.
pub async fn look_up(shell: &Shell, question: &Question, user: &SlackId) -> Message {
    if let Err(refusal) = may_ask(shell, user).await {
        return refusal.message();
    }
    match (answer(shell, question, user), question) {
        (Some(message), _) => message,
        (None, Question::History(app)) => history(shell, app).await,
        (None, Question::Env(app, key)) => env(shell, app, key.as_deref()).await,
        (None, Question::EnvCheck(pr)) => env_check(shell, pr).await,
        (None, _) => whoami(shell, user).await,
    }
}

/// Whether somebody may ask: everybody but guests and strangers.
///
/// # Errors
/// The refusal for them.
pub async fn may_ask(shell: &Shell, user: &SlackId) -> Result<(), Refusal> {
    let profile = shell.people.known(user).await.map_err(Refusal::CannotCheck)?;
    refuse(profile.account).map_or(Ok(()), Err)
}

fn refuse(account: Account) -> Option<Refusal> {
    match account {
        Account::Member => None,
        Account::Guest => Some(Refusal::Guest),
        Account::Stranger => Some(Refusal::Stranger),
        Account::Deactivated => Some(Refusal::Deactivated),
        Account::Bot => Some(Refusal::Bot),
    }
}

/// The app of that name.
///
/// # Errors
/// The answer for an unknown name, with what was perhaps meant.
pub fn find_app(shell: &Shell, typed: &str) -> Result<AppName, Message> {
    let known: Vec<&str> = shell.config.apps.keys().map(AppName::as_str).collect();
    if let Some(app) = known.iter().find(|name| name.eq_ignore_ascii_case(typed)) {
        return Ok(AppName::new(*app));
    }
    let sentence = match command::did_you_mean(typed, known.iter().copied()) {
        Some(meant) => format!("There is no app “{typed}” here. Did you mean {meant}?"),
        None => format!("There is no app “{typed}” here. There are: {}.", known.join(", ")),
    };
    Err(Message::plain(sentence))
}

/// What memory can answer; the rest has to be looked up.
fn answer(shell: &Shell, question: &Question, user: &SlackId) -> Option<Message> {
    let now = shell.clock.now();
    Some(match question {
        Question::Help(topic) => command::help(&shell.config.command, topic.as_deref()),
        Question::Mine => {
            each(shell, |app| app.mine(user, now), "Nothing waits for you: no change of yours, no approval, no hold.")
        }
        Question::Status(Some(typed)) => of(shell, typed, |app| app.status(now)),
        Question::Status(None) => each(shell, |app| Some(app.brief()), "There are no apps."),
        Question::Health(Some(typed)) => of(shell, typed, |app| app.health(now)),
        Question::Health(None) => each(shell, |app| Some(app.health_brief()), "There are no apps."),
        Question::Pending(Some(typed)) => of(shell, typed, |app| app.pending_answer(now)),
        Question::Pending(None) => each(
            shell,
            |app| app.has_pending().then(|| app.pending_answer(now)),
            "Everything that is merged is in production.",
        ),
        Question::Where(pr) => journey(shell, pr),
        Question::Env(..) | Question::EnvCheck(_) | Question::History(_) | Question::Whoami => return None,
    })
}

fn of(shell: &Shell, typed: &str, answer: impl Fn(&App) -> Message) -> Message {
    let name = match find_app(shell, typed) {
        Ok(name) => name,
        Err(unknown) => return unknown,
    };
    let Ok(desk) = shell.desk(&name) else { return Message::plain("That app is gone.") };
    let app = desk.app();
    // With very many apps its turn may be minutes away.
    if app.looked_at().is_none() {
        shell.look_now(&name);
    }
    answer(&app)
}

/// All apps that have something to say, one below the other: those first where something goes on. Of very many the rest is counted: a
/// message holds no more, and to build what is cut away would keep everybody waiting.
fn each(shell: &Shell, part: impl Fn(&App) -> Option<Message>, nothing: &str) -> Message {
    let (active, idle): (Vec<_>, Vec<_>) = shell.apps().map(|(_, app)| app).partition(|app| app.is_active());
    let mut told = active.iter().chain(&idle).filter_map(|app| part(app));
    let mut all = Message::default();
    for message in told.by_ref().take(TOLD) {
        if all.parts.is_empty() {
            all.summary = message.summary;
        }
        all.parts.extend(message.parts);
    }
    match told.count() {
        0 if all.parts.is_empty() => Message::plain(nothing),
        0 => all,
        more => all.text(Line::plain(format!("And {more} more: ask for one by its name."))),
    }
}

fn journey(shell: &Shell, pr: &PrRef) -> Message {
    let now = shell.clock.now();
    let of_repo = |app: &App| is_of(app, pr);
    let found: Vec<Message> =
        shell.apps().filter(|(_, app)| of_repo(app)).filter_map(|(_, app)| app.journey(pr.number, now)).collect();
    if !found.is_empty() {
        let mut parts = Vec::new();
        let summary = found[0].summary.clone();
        found.into_iter().for_each(|message| parts.extend(message.parts));
        return Message { summary, parts };
    }
    let pages = shell.apps().filter(|(_, app)| of_repo(app)).filter_map(|(_, app)| Some(app.pipeline()?.repo.clone()));
    let links = pages.take(10).map(|repo| {
        Line::default().link(format!("{repo}#{}", pr.number), format!("https://github.com/{repo}/pull/{}", pr.number))
    });
    let line = Line::plain(format!(
        "#{} is in none of the runs that are remembered: either it is not merged, or it went out long ago. See ",
        pr.number
    ));
    Message::line(line.then(Line::join(links, ", ")).say("."))
}

/// Looked up at the moment of the question: who asks has just changed something.
async fn env(shell: &Shell, typed: &str, key: Option<&str>) -> Message {
    let name = match find_app(shell, typed) {
        Ok(name) => name,
        Err(unknown) => return unknown,
    };
    let Ok(desk) = shell.desk(&name) else { return Message::plain("That app is gone.") };
    variables::look(shell, &name, None).await;
    let (app, now) = (desk.app(), shell.clock.now());
    key.map_or_else(|| app.parity(now), |key| app.one_variable(key, now))
}

/// The apps whose open pull requests have that number; more than one only where the number alone was typed.
async fn env_check(shell: &Shell, pr: &PrRef) -> Message {
    let mut all = Message::default();
    for (name, app) in shell.apps().filter(|(_, app)| is_of(app, pr)) {
        let Some(pipeline) = app.pipeline() else { continue };
        let proposals = match shell.github.proposals(pipeline).await {
            Ok(proposals) => proposals,
            Err(error) => {
                tracing::warn!(app.name = %name, "could not list open pull requests: {error}");
                all = all.text(Line::plain(format!(
                    "The pull requests of {name} cannot be read right now. Try again in a minute."
                )));
                continue;
            }
        };
        let Some(proposal) = proposals.iter().find(|one| one.pr == pr.number).cloned() else { continue };
        // Without AWS no status is given, as nobody would ever take it back.
        let aws = shell.config.apps.get(name).is_some_and(|settings| settings.aws);
        variables::look(shell, name, aws.then_some(proposals)).await;
        let Ok(desk) = shell.desk(name) else { continue };
        let answer = desk.app().requirements(&proposal);
        all.summary = answer.summary;
        all.parts.extend(answer.parts);
    }
    if all.parts.is_empty() {
        return Message::plain(format!(
            "#{} is not open in any app’s repo: what is merged or closed has no use for a check.",
            pr.number
        ));
    }
    all
}

/// Whether a pull request may belong to an app's repo.
fn is_of(app: &App, pr: &PrRef) -> bool {
    pr.repo.as_ref().is_none_or(|repo| app.pipeline().is_some_and(|p| p.repo.eq_ignore_ascii_case(repo)))
}

async fn history(shell: &Shell, typed: &str) -> Message {
    let name = match find_app(shell, typed) {
        Ok(name) => name,
        Err(unknown) => return unknown,
    };
    let Ok(desk) = shell.desk(&name) else { return Message::plain("That app is gone.") };
    match shell.store.audit(&name, DECISIONS).await {
        Ok(lines) => {
            let records: Vec<Record> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            desk.app().history(&records)
        }
        Err(error) => {
            tracing::error!("could not read the audit log: {error:#}");
            Message::plain("The history cannot be read right now. Try again in a minute.")
        }
    }
}

async fn whoami(shell: &Shell, user: &SlackId) -> Message {
    let mut lines = Vec::new();
    // Most apps have the same approvers: each look-up is a call of Slack's.
    let mut known: Vec<(Approvers, Result<Person, Unreachable>)> = Vec::new();
    for (name, app) in shell.apps() {
        let policy = app.policy();
        let login =
            policy.people.login(user).map_or("no GitHub login known".into(), |login| format!("{login} at GitHub"));
        let person = match known.iter().find(|(approvers, _)| *approvers == policy.approvers) {
            Some((_, person)) => person,
            None => {
                let person = shell.person(user, policy).await;
                &known.push_mut((policy.approvers.clone(), person)).1
            }
        };
        let may = match person {
            Ok(person) if policy.approvers.include(person) => "you may approve",
            Ok(_) if policy.approvers.is_empty() => "nobody may approve: no approvers are configured",
            Ok(_) => "you may not approve",
            Err(_) => "it cannot be looked up right now whether you may approve",
        };
        lines.push(Line::default().bold(name.as_str()).say(format!(": {login}, {may}")));
    }
    Message::line(Line::plain("You are ").mention(user).say(".")).list(lines)
}

//! What people type after the slash command, as data: the commands, their usage, and what to say to a typo. Pure. What a
//! command does, and whether it may, is decided elsewhere.

mod environments;

use super::action::Action;
use super::change::PrRef;
use super::dispatch::Dispatch;
use super::mend::Mend;
use super::message::{Line, Message, Part, Span};
use super::name::PrNumber;
use super::revert::RollForward;
use super::revert_text::no_rollback;

pub use environments::{UnclearEnvironment, match_environment};

/// Slack's own limit for a message; nobody types that much by hand.
const MAX_TEXT: usize = 4_000;

/// A command, understood. App names are as typed: whether there is such an app is for the caller to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Changes nothing: answered at once.
    Ask(Question),
    /// May change something.
    Act {
        /// Which app.
        app: String,
        /// What to do there.
        action: Action,
    },
}

/// What people ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Nothing typed: what concerns me.
    Mine,
    /// How to use it, or one command.
    Help(Option<String>),
    /// What runs where, of one app or all.
    Status(Option<String>),
    /// What Elastic Beanstalk says, of one app or all.
    Health(Option<String>),
    /// What is merged and not in production, of one app or all.
    Pending(Option<String>),
    /// Where a change is.
    Where(PrRef),
    /// Which variables are missing or differ where, or one of them.
    Env(String, Option<String>),
    /// What variables a pull request requires, and where they are missing.
    EnvCheck(PrRef),
    /// Who decided what, and when.
    History(String),
    /// Who am I, and what may I do.
    Whoami,
}

/// How a command is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The word that is typed; empty for the bare command.
    pub name: &'static str,
    /// What follows it.
    pub args: &'static str,
    /// What it does.
    pub does: &'static str,
    /// What follows the slash command in an example.
    pub example: &'static str,
}

const fn usage(name: &'static str, args: &'static str, does: &'static str, example: &'static str) -> Usage {
    Usage { name, args, does, example }
}

/// All commands, in the order in which help shows them.
pub const COMMANDS: &[Usage] = &[
    usage("", "", "what concerns you: your changes, approvals you may give, apps on hold", ""),
    usage("status", "[app]", "what runs in each environment, the current run, holds", "status h"),
    usage(
        "health",
        "[app]",
        "Elastic Beanstalk’s view: health and causes, servers by version, last events",
        "health h",
    ),
    usage("pending", "[app]", "what is merged and not in production, with people", "pending h"),
    usage("ping", "<app>", "mentions the authors of undeployed changes", "ping h"),
    usage("approve", "<app> [environment…]", "approves the waiting production environments", "approve h Production"),
    usage(
        "reject",
        "<app> <reason>",
        "rejects the waiting production environments",
        "reject h search is broken on Staging",
    ),
    usage("tested", "<app> [pr…]", "ticks your changes as tested", "tested h #4501"),
    usage(
        "redeploy",
        "<app> [environment…]",
        "deploys anew what environments run already; a form asks which",
        "redeploy h Production",
    ),
    usage("start", "<app>", "starts Deploy for the newest commit", "start h"),
    usage("revert", "<app> <pr>", "opens the pull request that takes a change back, to roll forward", "revert h #4501"),
    usage("retry", "<app>", "runs the failed jobs of the newest run again", "retry h"),
    usage("cancel", "<app>", "cancels the run that goes on", "cancel h"),
    usage("where", "<pr or link>", "follows a change to production", "where #4501"),
    usage(
        "hold",
        "<app> <reason>",
        "locks the app: nothing is approved until it is released",
        "hold h migrating the database",
    ),
    usage("release", "<app>", "ends the hold", "release h"),
    usage(
        "env",
        "<app> [KEY]",
        "variables that are missing or differ, never a value; env check <pr>: what a pull request requires",
        "env h",
    ),
    usage("history", "<app>", "who approved, rejected or held what, and when", "history h"),
    usage("whoami", "", "who you are to me, and what you may do", "whoami"),
    usage("help", "[command]", "this, or more about one command", "help approve"),
];

/// Commands that are promised and not there yet.
pub const NOT_YET: &[&str] = &["link", "unlink"];

/// What people type in need. There is no such command, and they are told why.
const ROLLBACK: [&str; 4] = ["rollback", "roll-back", "roll", "undo"];

/// Why a command was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misread {
    /// No such command.
    UnknownCommand {
        /// As typed.
        typed: String,
        /// The command that was probably meant.
        meant: Option<&'static str>,
    },
    /// The command needs an app.
    MissingApp {
        /// Which command.
        command: &'static str,
    },
    /// The command needs a reason.
    MissingReason {
        /// Which command.
        command: &'static str,
    },
    /// The command needs a change.
    MissingPr {
        /// Which command.
        command: &'static str,
    },
    /// Not a pull request.
    BadPr {
        /// As typed.
        typed: String,
    },
    /// More words than the command takes.
    TooMuch {
        /// Which command.
        command: &'static str,
        /// The first word too many.
        extra: String,
    },
    /// More than 4,000 characters.
    TooLong,
    /// There is no rollback.
    Rollback,
    /// A command of a later version.
    NotYet(&'static str),
}

/// Reads what follows the slash command. Case, smart quotes and unusual spaces do not matter.
pub fn parse(text: &str) -> Result<Command, Misread> {
    if text.chars().count() > MAX_TEXT {
        return Err(Misread::TooLong);
    }
    let text = normal(text);
    let (word, rest) = split_word(&text);
    let Some(name) = COMMANDS.iter().map(|usage| usage.name).find(|name| name.eq_ignore_ascii_case(word)) else {
        return Err(unknown(word));
    };
    let args = Args { command: name, rest };
    match name {
        "" => Ok(Command::Ask(Question::Mine)),
        "help" => Ok(Command::Ask(Question::Help(some(split_word(rest).0)))),
        "status" => args.maybe_app().map(|app| Command::Ask(Question::Status(app))),
        "health" => args.maybe_app().map(|app| Command::Ask(Question::Health(app))),
        "pending" => args.maybe_app().map(|app| Command::Ask(Question::Pending(app))),
        "ping" => args.only_app().map(|app| act(app, Action::Ping)),
        "approve" => args.app().map(|(app, rest)| act(app, Action::Approve { environments: rest.to_owned() })),
        "reject" => args.app_and_reason().map(|(app, reason)| act(app, Action::Reject { reason })),
        "tested" => args.app().and_then(|(app, rest)| Ok(act(app, Action::Tested { prs: prs(rest)? }))),
        "redeploy" => args.app().map(|(app, rest)| act(app, Action::Dispatch(redeploy(rest)))),
        "start" => args.only_app().map(|app| act(app, Action::Dispatch(Dispatch::Start))),
        "revert" => args.app_and_change().map(|(app, pr)| act(app, Action::RollForward(RollForward::Propose(pr)))),
        "retry" => args.only_app().map(|app| act(app, Action::Mend(Mend::Retry))),
        "cancel" => args.only_app().map(|app| act(app, Action::Mend(Mend::Cancel))),
        "where" => args.change().map(|pr| Command::Ask(Question::Where(pr))),
        "hold" => args.app_and_reason().map(|(app, reason)| act(app, Action::Hold { reason })),
        "release" => args.only_app().map(|app| act(app, Action::Release)),
        "env" => args.env().map(Command::Ask),
        "history" => args.only_app().map(|app| Command::Ask(Question::History(app))),
        "whoami" => args.nothing_more(rest).map(|()| Command::Ask(Question::Whoami)),
        other => Err(unknown(other)),
    }
}

fn act(app: String, action: Action) -> Command {
    Command::Act { app, action }
}

fn redeploy(environments: &str) -> Dispatch {
    match some(environments) {
        Some(_) => Dispatch::Redeploy { environments: environments.to_owned() },
        None => Dispatch::Choose,
    }
}

fn unknown(typed: &str) -> Misread {
    if ROLLBACK.iter().any(|word| word.eq_ignore_ascii_case(typed)) {
        return Misread::Rollback;
    }
    if let Some(name) = NOT_YET.iter().find(|name| name.eq_ignore_ascii_case(typed)) {
        return Misread::NotYet(name);
    }
    let known = COMMANDS.iter().map(|usage| usage.name).chain(NOT_YET.iter().copied()).chain([ROLLBACK[0]]);
    Misread::UnknownCommand { typed: typed.to_owned(), meant: did_you_mean(typed, known) }
}

/// What follows the command's word.
struct Args<'a> {
    command: &'static str,
    rest: &'a str,
}

impl<'a> Args<'a> {
    fn app(&self) -> Result<(String, &'a str), Misread> {
        let (word, rest) = split_word(self.rest);
        let app = some(word).ok_or(Misread::MissingApp { command: self.command })?;
        Ok((app, rest))
    }

    fn only_app(&self) -> Result<String, Misread> {
        let (app, rest) = self.app()?;
        self.nothing_more(rest)?;
        Ok(app)
    }

    fn maybe_app(&self) -> Result<Option<String>, Misread> {
        let (word, rest) = split_word(self.rest);
        self.nothing_more(rest)?;
        Ok(some(word))
    }

    fn app_and_reason(&self) -> Result<(String, String), Misread> {
        let (app, rest) = self.app()?;
        let reason = some(rest).ok_or(Misread::MissingReason { command: self.command })?;
        Ok((app, reason))
    }

    fn change(&self) -> Result<PrRef, Misread> {
        self.change_in(self.rest)
    }

    fn app_and_change(&self) -> Result<(String, PrRef), Misread> {
        let (app, rest) = self.app()?;
        Ok((app, self.change_in(rest)?))
    }

    fn change_in(&self, text: &str) -> Result<PrRef, Misread> {
        let (word, rest) = split_word(text);
        self.nothing_more(rest)?;
        match some(word) {
            Some(typed) => pr(&typed),
            None => Err(Misread::MissingPr { command: self.command }),
        }
    }

    /// An app and perhaps a variable, or `check` and a pull request.
    fn env(&self) -> Result<Question, Misread> {
        let (app, rest) = self.app()?;
        let (word, more) = split_word(rest);
        self.nothing_more(more)?;
        match some(word) {
            Some(typed) if app.eq_ignore_ascii_case("check") => Ok(Question::EnvCheck(pr(&typed)?)),
            key => Ok(Question::Env(app, key)),
        }
    }

    fn nothing_more(&self, rest: &str) -> Result<(), Misread> {
        match some(split_word(rest).0) {
            Some(extra) => Err(Misread::TooMuch { command: self.command, extra }),
            None => Ok(()),
        }
    }
}

/// The text with plain spaces and quotes, as phones and word processors do not send them.
fn normal(text: &str) -> String {
    let plain = |c: char| match c {
        '“' | '”' | '„' | '«' | '»' => '"',
        '‘' | '’' => '\'',
        c if c.is_whitespace() => ' ',
        c => c,
    };
    text.chars().map(plain).filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')).collect()
}

/// The first word and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim())
}

/// The text without quotes around it, unless it is empty.
fn some(text: &str) -> Option<String> {
    let bare = text.trim_matches(['"', '\'', '`', ' ']);
    (!bare.is_empty()).then(|| bare.to_owned())
}

fn prs(text: &str) -> Result<Vec<PrRef>, Misread> {
    let words = text.split([' ', ',']).filter_map(some);
    let mut out = Vec::new();
    for word in words {
        let pr = pr(&word)?;
        if !out.contains(&pr) {
            out.push(pr);
        }
    }
    Ok(out)
}

fn pr(typed: &str) -> Result<PrRef, Misread> {
    let read = match typed.split_once("://") {
        Some((_, link)) => pr_of_link(link),
        None if typed.starts_with("github.com/") => pr_of_link(typed),
        None => match typed.split_once('#') {
            Some(("", number)) => number_of(number).map(|number| PrRef { repo: None, number }),
            Some((repo, number)) => pr_in(repo, number),
            None => number_of(typed).map(|number| PrRef { repo: None, number }),
        },
    };
    read.ok_or_else(|| Misread::BadPr { typed: typed.to_owned() })
}

/// `github.com/owner/name/pull/4501`, perhaps with more behind it. The host may be another one: GitHub Enterprise.
fn pr_of_link(link: &str) -> Option<PrRef> {
    let path = link.split(['?', '#']).next()?;
    let mut parts = path.split('/').skip(1);
    let (owner, name) = (parts.next()?, parts.next()?);
    if parts.next()? != "pull" {
        return None;
    }
    pr_in(&format!("{owner}/{name}"), parts.next()?)
}

fn pr_in(repo: &str, number: &str) -> Option<PrRef> {
    let named = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let (owner, name) = repo.split_once('/')?;
    let number = number_of(number)?;
    (named(owner) && named(name)).then(|| PrRef { repo: Some(repo.to_owned()), number })
}

/// Digits only, not zero, and no more of them than GitHub will ever need.
fn number_of(text: &str) -> Option<PrNumber> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

/// The known word nearest to a typed one, where it is near enough to be meant.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: String = typed.to_lowercase().chars().take(100).collect();
    let length = typed.chars().count();
    let distance = |name: &str| match name.to_lowercase() {
        name if length >= 3 && name.starts_with(&typed) => 1,
        name => strsim::damerau_levenshtein(&typed, &name),
    };
    let candidates = known.into_iter().filter(|name| !name.is_empty()).map(|name| (distance(name), name));
    let near = candidates.filter(|(distance, _)| *distance < length && *distance <= (length / 3).max(1));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

impl Misread {
    /// What the person reads: what was wrong and what to type now. `command` is the slash command's name: `/deploy`.
    pub fn sentence(&self, command: &str) -> Line {
        match self {
            Self::UnknownCommand { typed, meant } => unknown_command(typed, *meant, command),
            Self::MissingApp { command: name } => Line(vec![
                Span::Plain("Which app? Type ".into()),
                Span::Code(shown(command, name)),
                Span::Plain(".".into()),
            ]),
            Self::MissingReason { command: name } => Line(vec![
                Span::Plain("Why? The others will read it. Type ".into()),
                Span::Code(shown(command, name)),
                Span::Plain(".".into()),
            ]),
            Self::Rollback => no_rollback(command),
            Self::MissingPr { command: name } => Line(vec![
                Span::Plain("Which change? Type ".into()),
                Span::Code(shown(command, name)),
                Span::Plain(".".into()),
            ]),
            Self::BadPr { typed } => Line(vec![
                code(typed),
                Span::Plain(" is no pull request. Name it as ".into()),
                Span::Code("4501".into()),
                Span::Plain(", ".into()),
                Span::Code("#4501".into()),
                Span::Plain(" or by its link.".into()),
            ]),
            Self::TooMuch { command: name, extra } => Line(vec![
                code(extra),
                Span::Plain(" is too much. Type ".into()),
                Span::Code(shown(command, name)),
                Span::Plain(".".into()),
            ]),
            Self::TooLong => Line::plain("That is too long for me. Please say it in fewer than 4,000 characters."),
            Self::NotYet(name) => Line(vec![
                Span::Code(format!("{command} {name}")),
                Span::Plain(" is not there yet. ".into()),
                Span::Code(format!("{command} help")),
                Span::Plain(" shows what is.".into()),
            ]),
        }
    }
}

fn unknown_command(typed: &str, meant: Option<&str>, command: &str) -> Line {
    let (question, next, end) = match meant {
        Some(name) => (" Did you mean ", format!("{command} {name}"), "?"),
        None => (" ", format!("{command} help"), " shows what there is."),
    };
    let before = Span::Plain("There is no ".into());
    Line(vec![before, code(typed), Span::Plain(format!(".{question}")), Span::Code(next), Span::Plain(end.into())])
}

/// Something typed, short enough to be quoted.
fn code(typed: &str) -> Span {
    let short: String = typed.chars().take(60).collect();
    Span::Code(if short.len() < typed.len() { format!("{short}…") } else { short })
}

/// `/deploy approve <app> [environment…]`
fn shown(command: &str, name: &str) -> String {
    let args = COMMANDS.iter().find(|usage| usage.name == name).map_or("", |usage| usage.args);
    format!("{command} {name} {args}").trim_end().to_owned()
}

/// How to use all commands, or one. `command` is the slash command's name: `/deploy`.
pub fn help(command: &str, topic: Option<&str>) -> Message {
    let Some(topic) = topic else { return overview(command) };
    match COMMANDS.iter().find(|usage| usage.name.eq_ignore_ascii_case(topic)) {
        Some(usage) => about(command, usage),
        None => {
            let sentence = unknown(topic).sentence(command);
            Message::line(sentence)
        }
    }
}

fn overview(command: &str) -> Message {
    let item = |usage: &Usage| {
        let typed = shown(command, usage.name).trim_end().to_owned();
        Line(vec![Span::Code(typed), Span::Plain(format!(" {}", usage.does))])
    };
    let intro = Line::plain("Environments are typed as they are shown, pull requests as 4501, #4501 or a link.");
    let reminders = Line::plain(
        "Reminders come as direct messages; their buttons say that a change is tested or not ready, or snooze them.",
    );
    Message {
        summary: Line::plain(format!("How to use {command}")),
        parts: vec![
            Part::Text(Line(vec![Span::Bold(format!("How to use {command}"))])),
            Part::List(COMMANDS.iter().map(item).collect::<Vec<_>>().into()),
            Part::Text(intro),
            Part::Text(reminders),
        ],
    }
}

fn about(command: &str, usage: &Usage) -> Message {
    let example = format!("{command} {}", usage.example).trim_end().to_owned();
    Message {
        summary: Line::plain(format!("How to use {command} {}", usage.name).trim_end()),
        parts: vec![
            Part::Text(Line(vec![Span::Code(shown(command, usage.name)), Span::Plain(format!(" {}", usage.does))])),
            Part::Text(Line(vec![Span::Plain("For example ".into()), Span::Code(example)])),
        ],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn pr_of(repo: Option<&str>, number: u64) -> PrRef {
        PrRef { repo: repo.map(str::to_owned), number }
    }

    #[test]
    fn commands_are_understood() {
        let app = || "h".to_owned();
        let table = [
            ("", Command::Ask(Question::Mine)),
            ("  \u{a0} ", Command::Ask(Question::Mine)),
            ("help", Command::Ask(Question::Help(None))),
            ("HELP approve", Command::Ask(Question::Help(Some("approve".into())))),
            ("status", Command::Ask(Question::Status(None))),
            ("Status  h ", Command::Ask(Question::Status(Some(app())))),
            ("health", Command::Ask(Question::Health(None))),
            ("HEALTH “h”", Command::Ask(Question::Health(Some(app())))),
            ("pending\u{a0}h", Command::Ask(Question::Pending(Some(app())))),
            ("ping `h`", act(app(), Action::Ping)),
            ("approve h", act(app(), Action::Approve { environments: String::new() })),
            (
                "approve “h” “Production (Canada)”, QA",
                act(app(), Action::Approve { environments: "\"Production (Canada)\", QA".into() }),
            ),
            ("reject h it’s  broken", act(app(), Action::Reject { reason: "it's  broken".into() })),
            ("tested h", act(app(), Action::Tested { prs: vec![] })),
            (
                "tested h #4501, 4502 4501 #4501",
                act(app(), Action::Tested { prs: vec![pr_of(None, 4501), pr_of(None, 4502)] }),
            ),
            ("redeploy h", act(app(), Action::Dispatch(Dispatch::Choose))),
            ("redeploy h “ ”", act(app(), Action::Dispatch(Dispatch::Choose))),
            (
                "Redeploy h staging “Production (Canada)”",
                act(
                    app(),
                    Action::Dispatch(Dispatch::Redeploy { environments: "staging \"Production (Canada)\"".into() }),
                ),
            ),
            ("start h", act(app(), Action::Dispatch(Dispatch::Start))),
            ("retry h", act(app(), Action::Mend(Mend::Retry))),
            ("cancel \"h\"", act(app(), Action::Mend(Mend::Cancel))),
            ("where 4501", Command::Ask(Question::Where(pr_of(None, 4501)))),
            ("where hypothesis/h#4501", Command::Ask(Question::Where(pr_of(Some("hypothesis/h"), 4501)))),
            (
                "where https://github.com/hypothesis/h/pull/4501/files?x=1#diff",
                Command::Ask(Question::Where(pr_of(Some("hypothesis/h"), 4501))),
            ),
            (
                "where github.com/hypothesis/h/pull/4501",
                Command::Ask(Question::Where(pr_of(Some("hypothesis/h"), 4501))),
            ),
            ("hold h \"on fire\"", act(app(), Action::Hold { reason: "on fire".into() })),
            ("release h", act(app(), Action::Release)),
            ("history h", Command::Ask(Question::History(app()))),
            ("env h", Command::Ask(Question::Env(app(), None))),
            ("env h `SECRET_KEY`", Command::Ask(Question::Env(app(), Some("SECRET_KEY".into())))),
            ("env check #4501", Command::Ask(Question::EnvCheck(pr_of(None, 4501)))),
            ("WhoAmI", Command::Ask(Question::Whoami)),
        ];
        for (typed, expected) in table {
            assert_eq!(parse(typed), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn what_is_not_understood_gets_the_next_step() {
        let long = "x".repeat(4_001);
        let table = [
            ("aprove h", "There is no `aprove`. Did you mean `/ship approve`?"),
            ("redploy h", "There is no `redploy`. Did you mean `/ship redeploy`?"),
            ("frobnicate", "There is no `frobnicate`. `/ship help` shows what there is."),
            ("x", "There is no `x`. `/ship help` shows what there is."),
            ("link h", "`/ship link` is not there yet. `/ship help` shows what is."),
            ("ping", "Which app? Type `/ship ping <app>`."),
            ("approve \"\"", "Which app? Type `/ship approve <app> [environment…]`."),
            ("hold h", "Why? The others will read it. Type `/ship hold <app> <reason>`."),
            ("reject h '  '", "Why? The others will read it. Type `/ship reject <app> <reason>`."),
            ("where", "Which change? Type `/ship where <pr or link>`."),
            ("where 0", "`0` is no pull request. Name it as `4501`, `#4501` or by its link."),
            (
                "tested h https://github.com/o/r/issues/1",
                "`https://github.com/o/r/issues/1` is no pull request. Name it as `4501`, `#4501` or by its link.",
            ),
            ("release h lms", "`lms` is too much. Type `/ship release <app>`."),
            ("whoami really", "`really` is too much. Type `/ship whoami`."),
            (&long, "That is too long for me. Please say it in fewer than 4,000 characters."),
        ];
        for (typed, sentence) in table {
            assert_eq!(parse(typed).unwrap_err().sentence("/ship").to_string(), sentence);
        }
    }

    #[test]
    fn every_command_is_understood_as_its_example_says() {
        for usage in COMMANDS {
            assert!(parse(usage.example).is_ok(), "{}", usage.example);
            assert_eq!(split_word(usage.example).0, usage.name);
        }
    }

    #[test]
    fn help_names_every_command_and_helps_with_a_typo() {
        let all = help("/ship", None).to_string();
        assert!(COMMANDS.iter().all(|usage| all.contains(&format!("`{}`", shown("/ship", usage.name)))), "{all}");
        let one = help("/ship", Some("Approve")).to_string();
        assert_eq!(
            one,
            "`/ship approve <app> [environment…]` approves the waiting production environments\nFor example `/ship approve h Production`"
        );
        assert_eq!(
            help("/ship", Some("aprove")).summary.to_string(),
            "There is no `aprove`. Did you mean `/ship approve`?"
        );
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        let known = ["h", "lms", "via", "bouncer"];
        let table = [("lmss", Some("lms")), ("bou", Some("bouncer")), ("j", None), ("client", None), ("", None)];
        for (typed, meant) in table {
            assert_eq!(did_you_mean(typed, known), meant, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn nothing_typed_ever_panics(text in ".{0,200}", words in "[a-z(), \"#/]{0,60}") {
            for (name, text) in [("", &text), ("approve h ", &words), ("tested h ", &text), ("where ", &words)] {
                if let Err(misread) = parse(&format!("{name}{text}")) {
                    misread.sentence("/deploy");
                }
            }
        }
    }
}

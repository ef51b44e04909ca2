//! What people read, as data. Text from outside is always a value of its own, never part of markup, so that no title can
//! mention a channel, forge a link or break a message: `slack/blocks` renders these spans as rich text, which parses nothing.
//! The `Display` of a message is what the stories compare.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::SlackId;

/// One Slack message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// One line for notifications and screen readers.
    pub summary: Line,
    /// From top to bottom.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// A paragraph.
    Text(Line),
    /// A bulleted list.
    List(List),
    /// Buttons in a row.
    Buttons(Vec<Button>),
}

/// A bulleted list, perhaps cut: `and 12 more`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Its items.
    pub lines: Vec<Line>,
    /// How many there are beyond them.
    pub more: usize,
}

impl From<Vec<Line>> for List {
    fn from(lines: Vec<Line>) -> Self {
        Self { lines, more: 0 }
    }
}

/// A line of text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line(pub Vec<Span>);

/// A piece of a line. Every string in it is shown as it is: nothing in it is markup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Span {
    /// Words.
    Plain(String),
    /// Words that stand out.
    Bold(String),
    /// A version, a key, something to type.
    Code(String),
    /// A link with its label.
    Link {
        /// Where it goes; always built from ids, never from text from outside.
        url: String,
        /// What is shown.
        label: String,
    },
    /// Mentions somebody: in a new message their Slack makes a sound.
    Mention(SlackId),
    /// A time of day, shown in the reader's own time zone.
    Time(Timestamp),
}

/// A button.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Button {
    /// What it does; comes back with the click.
    pub press: Press,
    /// What it says.
    pub label: String,
    /// Primary, danger or plain.
    pub style: Style,
    /// Asked before the click counts.
    pub confirm: Option<Confirm>,
}

/// How a button looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    /// Like the others.
    #[default]
    Plain,
    /// The next step; at most one in a row.
    Primary,
    /// Harm is possible.
    Danger,
}

/// What a button asks before it counts. Slack shows it; it proves nothing, every rule is looked at again after the click.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirm {
    /// Title, at most 100 characters.
    pub title: String,
    /// Plain text, at most 300 characters.
    pub text: String,
    /// The button that goes on, at most 30 characters.
    pub yes: String,
    /// The button that goes back.
    pub no: String,
}

/// What a button means. Serialised into the button's value, so only what identifies, never what is trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Press {
    /// The app.
    pub app: super::name::AppName,
    /// What to do.
    pub what: What,
}

/// The things that buttons do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Approve what the message showed.
    Approve(Shown),
    /// Tick my changes.
    Tested,
    /// Answer with the full list of changes.
    Changes(super::name::RunId),
    /// Open a form.
    Open(super::form::Form),
    /// Release the hold.
    Release,
    /// Mention the authors of what is not in production.
    Ping,
    /// Close this answer.
    Dismiss,
    /// Start a workflow.
    Dispatch(super::dispatch::Dispatch),
    /// Mend a run.
    Mend(super::mend::Mend),
    /// Repair by a new change.
    RollForward(super::revert::RollForward),
    /// Say how a version that is live does.
    Aftermath(super::aftermath::Aftermath),
    /// Answer a reminder.
    Remind(super::remind::Remind),
    /// See to environment variables.
    Variables(super::variable::Variables),
}

/// What the message with the button showed: a click never acts on anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The run.
    pub run: super::name::RunId,
    /// Its attempt.
    pub attempt: u32,
    /// Its commit.
    pub sha: super::name::Sha,
    /// The environments.
    pub environments: Vec<super::name::EnvName>,
}

impl Line {
    /// A line of plain words.
    pub fn plain(words: impl Into<String>) -> Self {
        Self::default().say(words)
    }

    /// Adds words.
    pub fn say(mut self, words: impl Into<String>) -> Self {
        self.0.push(Span::Plain(words.into()));
        self
    }

    /// Adds words that stand out.
    pub fn bold(mut self, words: impl Into<String>) -> Self {
        self.0.push(Span::Bold(words.into()));
        self
    }

    /// Adds something to type, or a version.
    pub fn code(mut self, words: impl Into<String>) -> Self {
        self.0.push(Span::Code(words.into()));
        self
    }

    /// Adds a link.
    pub fn link(mut self, label: impl Into<String>, url: impl Into<String>) -> Self {
        self.0.push(Span::Link { url: url.into(), label: label.into() });
        self
    }

    /// Adds a time of day.
    pub fn time(mut self, at: Timestamp) -> Self {
        self.0.push(Span::Time(at));
        self
    }

    /// Adds a mention.
    pub fn mention(mut self, who: &SlackId) -> Self {
        self.0.push(Span::Mention(who.clone()));
        self
    }

    /// Adds all spans of another line.
    pub fn then(mut self, other: Line) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Several lines as one, with something between them.
    pub fn join(lines: impl IntoIterator<Item = Line>, between: &str) -> Self {
        let mut joined = Self::default();
        for (i, line) in lines.into_iter().enumerate() {
            if i > 0 {
                joined = joined.say(between);
            }
            joined = joined.then(line);
        }
        joined
    }
}

impl Message {
    /// A message of one paragraph, which is its summary too.
    pub fn line(line: Line) -> Self {
        Self { summary: line.clone(), parts: vec![Part::Text(line)] }
    }

    /// A message of one plain sentence.
    pub fn plain(words: impl Into<String>) -> Self {
        Self::line(Line::plain(words))
    }

    /// Adds a paragraph.
    pub fn text(mut self, line: Line) -> Self {
        self.parts.push(Part::Text(line));
        self
    }

    /// Adds a list, unless it is empty.
    pub fn list(mut self, list: impl Into<List>) -> Self {
        let list = list.into();
        if !list.lines.is_empty() {
            self.parts.push(Part::List(list));
        }
        self
    }

    /// Adds buttons, unless there are none.
    pub fn buttons(mut self, buttons: Vec<Button>) -> Self {
        if !buttons.is_empty() {
            self.parts.push(Part::Buttons(buttons));
        }
        self
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{part}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(line) => write!(f, "{line}"),
            Self::List(List { lines, more }) => {
                let mut lines: Vec<String> = lines.iter().map(|line| format!("• {line}")).collect();
                lines.extend((*more > 0).then(|| format!("• and {more} more")));
                f.write_str(&lines.join("\n"))
            }
            Self::Buttons(buttons) => {
                let labels: Vec<String> = buttons.iter().map(|b| format!("[{}]", b.label)).collect();
                f.write_str(&labels.join(" "))
            }
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|span| write!(f, "{span}"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Bold(text) => write!(f, "*{text}*"),
            Self::Code(text) => write!(f, "`{text}`"),
            Self::Link { label, .. } => write!(f, "[{label}]"),
            Self::Mention(id) => write!(f, "@{id}"),
            Self::Time(at) => write!(f, "{}", at.strftime("%H:%M")),
        }
    }
}

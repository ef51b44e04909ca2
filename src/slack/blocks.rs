//! The domain's messages and forms as Slack's JSON, within Slack's limits. Pure. Everything is rich text, which parses nothing:
//! no string from outside can mention, link or break anything (`facts/slack.md` 3.3). No wording lives here.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use crate::deploy::form::{Entry, Form, Input, Remarks, Tick, View};
use crate::deploy::message::{Button, Confirm, Line, List, Message, Part, Span, Style, What};

use super::kit::{self, Block, Choice, Element, Modal, Piece, PlainText, Rich, Text};

/// Blocks in a message (`facts/slack.md` 3.1, like all limits here).
const MAX_BLOCKS: usize = 50;
/// Characters of all blocks together, counted in their JSON. Slack was seen to refuse from about 13,200.
const MAX_TOTAL: usize = 12_000;
/// Buttons in one row.
const MAX_ROW: usize = 25;
/// A button's value; a longer one cannot be shortened without changing what it means, so the button is left out.
const MAX_VALUE: usize = 2_000;
/// One piece of text; below Slack's 3,000, so that one endless title leaves room for the rest.
const MAX_SPAN: usize = 1_000;
/// A piece of text is not cut shorter than this, rather are whole parts left out.
const MIN_SPAN: usize = 50;
/// More items than this cannot fit: one takes about 90 characters of JSON.
const MAX_ITEMS: usize = 150;
/// The text beside the blocks.
const MAX_FALLBACK: usize = 3_000;
/// Blocks in a form, below Slack's 100.
const MAX_VIEW_BLOCKS: usize = 60;
/// Choices of a row of ticks.
const MAX_TICKS: usize = 10;
/// Choices of a menu.
const MAX_PICKS: usize = 100;
/// Seconds for which Slack has a date: until the year 2200.
const TIMES: std::ops::Range<i64> = 0..7_258_118_400;
/// What every input's element is called; the input's own id tells them apart.
const ENTRY: &str = "entry";

/// A message as Slack's methods, acknowledgements and `response_url`s take it.
#[derive(Debug, Serialize)]
pub struct Content {
    text: String,
    blocks: Box<RawValue>,
}

/// A message as Slack takes it: its fallback, and at most 50 blocks of at most 12,000 characters.
pub fn content(message: &Message) -> Content {
    Content { text: fallback(message), blocks: fitted(&message.parts).1 }
}

/// A message as an acknowledgement takes it.
pub fn answer(message: &Message) -> Box<RawValue> {
    raw(&content(message))
}

/// The blocks of a message that fit, and their JSON.
fn fitted(parts: &[Part]) -> (Vec<Block<'_>>, Box<RawValue>) {
    let mut fitting = Fitting::of(parts);
    loop {
        let blocks = fitting.blocks();
        let json = raw(&blocks);
        let small = blocks.len() <= MAX_BLOCKS && !exceeds(json.get(), MAX_TOTAL);
        if small || !fitting.shrink() {
            return (blocks, json);
        }
    }
}

/// Structs, lists and text; nothing of it can fail to become JSON.
fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Whether it has more characters than that.
fn exceeds(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().count() > max
}

/// What notifications, screen readers and old clients show: one line, escaped, at most 3,000 characters. Only mentions are
/// markup; Slack rings once for a mention that the blocks hold as well.
fn fallback(message: &Message) -> String {
    let (mut shown, mut left) = (String::new(), MAX_FALLBACK);
    // Each piece as a whole or not at all, and nothing after one that had no place.
    let mut add = |piece: &str| {
        left = left.saturating_sub(piece.chars().count());
        shown.push_str(if left > 0 { piece } else { "" });
    };
    for span in &message.summary.0 {
        let text: Text = match span {
            Span::Mention(id) if is_user_id(id.as_str()) => {
                add(&format!("<@{id}>"));
                continue;
            }
            Span::Mention(id) => format!("@{id}").into(),
            Span::Time(at) => at.strftime("%H:%M UTC").to_string().into(),
            Span::Plain(text) | Span::Bold(text) | Span::Code(text) | Span::Link { label: text, .. } => text.into(),
        };
        for c in clean(&text).chars() {
            match c {
                '&' => add("&amp;"),
                '<' => add("&lt;"),
                '>' => add("&gt;"),
                other => add(other.encode_utf8(&mut [0; 4])),
            }
        }
    }
    shown
}

/// A form as a modal. Which form it is comes back as its `private_metadata`, what was put in as `state.values.<input's id>`.
pub fn modal(form: &Form, view: &View) -> Box<RawValue> {
    let callback_id = Some(format!("lockkeeper.{}", form.word()));
    raw(&Modal { callback_id, private_metadata: Some(raw(form).get().to_owned()), ..bare(view) })
}

/// An answer in the place of a form: there is nothing to fill in. Its buttons would lead nowhere.
pub fn said(message: &Message) -> Box<RawValue> {
    let words = |part: &&Part| match part {
        Part::Text(_) | Part::List(_) => true,
        Part::Buttons(_) => false,
    };
    let parts = message.parts.iter().filter(words).cloned().collect();
    raw(&bare(&View { title: "Answer".into(), submit: None, parts, inputs: Vec::new() }))
}

fn bare(view: &View) -> Modal<'_> {
    let (mut blocks, _) = fitted(&view.parts);
    blocks.extend(view.inputs.iter().map(|one| Block::Input(Box::new(input(one)))));
    blocks.truncate(MAX_VIEW_BLOCKS);
    Modal {
        title: plain_text(&view.title, 24),
        close: plain_text(if view.submit.is_some() { "Cancel" } else { "Close" }, 24),
        blocks,
        submit: view.submit.as_ref().map(|submit| plain_text(submit, 24)),
        callback_id: None,
        private_metadata: None,
    }
}

fn input(input: &Input) -> kit::Input<'_> {
    kit::Input {
        block_id: &input.id,
        label: plain_text(&input.label, 2_000),
        optional: input.optional,
        element: element_of(&input.kind, input.optional),
        hint: input.hint.as_ref().map(|hint| plain_text(hint, 2_000)),
    }
}

fn element_of(entry: &Entry, optional: bool) -> Element<'_> {
    match entry {
        Entry::Words { most } => {
            Element::PlainTextInput { action_id: ENTRY, min_length: usize::from(!optional), max_length: *most }
        }
        Entry::Ticks(ticks) => Element::Checkboxes {
            action_id: ENTRY,
            options: ticks.iter().take(MAX_TICKS).map(choice).collect(),
            initial_options: ticks.iter().take(MAX_TICKS).filter(|tick| tick.chosen).map(choice).collect(),
        },
        Entry::Pick(ticks) => Element::StaticSelect {
            action_id: ENTRY,
            options: ticks.iter().take(MAX_PICKS).map(choice).collect(),
            initial_option: ticks.iter().take(MAX_PICKS).find(|tick| tick.chosen).map(choice),
        },
    }
}

fn choice(tick: &Tick) -> Choice<'_> {
    Choice {
        text: plain_text(&tick.label, 75),
        value: &tick.value,
        description: tick.about.as_ref().map(|about| plain_text(about, 75)),
    }
}

/// The answer to a form that could not be taken: it stays open and says why beside its inputs.
pub fn form_remarks(remarks: &Remarks) -> Box<RawValue> {
    raw(&serde_json::json!({ "response_action": "errors", "errors": remarks }))
}

/// Text from anywhere, fit to be shown: line breaks and tabs become spaces; control characters, marks that turn the writing
/// direction and characters without a width go, since they can make a text look like another one.
fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return text.into();
    }
    let spaced = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    spaced.filter(|c| !is_invisible(*c)).collect()
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// At most `max` characters, the last one `…` where something was cut.
fn cut(text: Cow<'_, str>, max: usize) -> Cow<'_, str> {
    match exceeds(&text, max) {
        true => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
        false => text,
    }
}

/// A message on its way to fit: how much of it is shown.
struct Fitting<'a> {
    parts: &'a [Part],
    /// Items of each list.
    items: usize,
    /// Characters of each piece of text.
    span: usize,
}

impl<'a> Fitting<'a> {
    fn of(parts: &'a [Part]) -> Self {
        let length = |part: &Part| match part {
            Part::List(list) => list.lines.len(),
            Part::Text(_) | Part::Buttons(_) => 0,
        };
        let longest = parts.iter().map(length).max().unwrap_or(0);
        Self { parts, items: longest.min(MAX_ITEMS), span: MAX_SPAN }
    }

    /// Takes something away: first from the ends of the longest lists, then from the longest texts, then the last part.
    fn shrink(&mut self) -> bool {
        if self.items > 1 {
            self.items -= self.items.div_ceil(10);
        } else if self.span > MIN_SPAN {
            self.span /= 2;
        } else if let Some((_, others)) = self.parts.split_last() {
            self.parts = others;
        } else {
            return false;
        }
        true
    }

    fn blocks(&self) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        let mut text = RichText::default();
        for part in self.parts {
            match part {
                Part::Text(line) => text.paragraph(self.line(line)),
                Part::List(list) => text.list(self.list(list)),
                Part::Buttons(buttons) => {
                    blocks.extend(std::mem::take(&mut text).block());
                    blocks.extend(rows(buttons));
                }
            }
        }
        blocks.extend(text.block());
        blocks
    }

    fn list(&self, List { lines, more }: &'a List) -> Vec<Rich<'a>> {
        let mut items: Vec<_> = lines.iter().take(self.items).map(|line| self.line(line)).collect();
        let dropped = lines.len() - items.len() + more;
        if dropped > 0 {
            items.push(vec![text(format!("and {dropped} more"))]);
        }
        let full = items.into_iter().filter(|item| !item.is_empty());
        full.map(|elements| Rich::RichTextSection { elements }).collect()
    }

    fn line(&self, line: &'a Line) -> Vec<Piece<'a>> {
        line.0.iter().filter_map(|span| piece(span, self.span)).collect()
    }
}

/// Neighbouring paragraphs and lists: one block, as Slack's own composer makes it.
#[derive(Default)]
struct RichText<'a> {
    elements: Vec<Rich<'a>>,
    paragraphs: Vec<Piece<'a>>,
}

impl<'a> RichText<'a> {
    fn paragraph(&mut self, line: Vec<Piece<'a>>) {
        if !self.paragraphs.is_empty() && !line.is_empty() {
            self.paragraphs.push(text("\n"));
        }
        self.paragraphs.extend(line);
    }

    fn list(&mut self, items: Vec<Rich<'a>>) {
        self.end_section();
        if !items.is_empty() {
            self.elements.push(Rich::RichTextList { style: "bullet", elements: items });
        }
    }

    fn end_section(&mut self) {
        if !self.paragraphs.is_empty() {
            self.elements.push(Rich::RichTextSection { elements: std::mem::take(&mut self.paragraphs) });
        }
    }

    fn block(mut self) -> Option<Block<'a>> {
        self.end_section();
        (!self.elements.is_empty()).then_some(Block::RichText { elements: self.elements })
    }
}

fn text<'a>(text: impl Into<Text<'a>>) -> Piece<'a> {
    Piece::Text { text: text.into(), style: None }
}

/// One piece of a line; nothing for an empty one, which Slack would refuse.
fn piece(span: &Span, max: usize) -> Option<Piece<'_>> {
    let styled = |words, style| Some(Piece::Text { text: shown(words, max)?, style });
    match span {
        Span::Plain(words) => styled(words, None),
        Span::Bold(words) => styled(words, Some(kit::Style::Bold(true))),
        Span::Code(words) => styled(words, Some(kit::Style::Code(true))),
        Span::Link { url, label } => match safe_url(url) {
            Some(url) => Some(Piece::Link { url, text: shown(label, max)? }),
            None => styled(label, None),
        },
        Span::Mention(id) if is_user_id(id.as_str()) => Some(Piece::User { user_id: id.as_str() }),
        Span::Mention(id) => shown(&format!("@{id}"), max).map(|words| text(words.into_owned())),
        Span::Time(at) if !TIMES.contains(&at.as_second()) => Some(text(at.strftime("%Y-%m-%d").to_string())),
        Span::Time(at) => Some(Piece::Date {
            timestamp: at.as_second(),
            format: "{date_short_pretty} {time}",
            fallback: at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }),
    }
}

fn shown(text: &str, max: usize) -> Option<Text<'_>> {
    Some(cut(clean(text), max)).filter(|text| !text.is_empty())
}

/// Only the web, and only what Slack accepts as long as that.
fn safe_url(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(String::from(url)).filter(|url| url.len() <= 3_000)
}

/// Slack refuses the whole message for a user id that is none.
fn is_user_id(id: &str) -> bool {
    (2..=20).contains(&id.len())
        && id.starts_with(['U', 'W'])
        && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn rows(buttons: &[Button]) -> Vec<Block<'_>> {
    let mut shown = buttons.iter().enumerate().filter_map(|(nth, one)| button(nth, one)).peekable();
    let mut rows = Vec::new();
    while shown.peek().is_some() {
        rows.push(Block::Actions { elements: shown.by_ref().take(MAX_ROW).collect() });
    }
    rows
}

fn button(index: usize, button: &Button) -> Option<Element<'_>> {
    let value = raw(&button.press).get().to_owned();
    if exceeds(&value, MAX_VALUE) {
        return None;
    }
    let style = match button.style {
        Style::Plain => None,
        Style::Primary => Some("primary"),
        Style::Danger => Some("danger"),
    };
    Some(Element::Button {
        action_id: format!("lockkeeper.{}.{index}", what(&button.press.what)),
        text: plain_text(&button.label, 75),
        value,
        style,
        confirm: button.confirm.as_ref().map(|question| confirm(question, style)),
    })
}

fn confirm<'a>(question: &'a Confirm, style: Option<&'static str>) -> kit::Confirm<'a> {
    kit::Confirm {
        title: plain_text(&question.title, 100),
        text: plain_text(&question.text, 300),
        confirm: plain_text(&question.yes, 30),
        deny: plain_text(&question.no, 30),
        style,
    }
}

/// A text object, never empty.
fn plain_text(text: &str, max: usize) -> PlainText<'_> {
    let text = cut(clean(text), max);
    PlainText { text: if text.trim().is_empty() { "…".into() } else { text }, emoji: false }
}

fn what(what: &What) -> &'static str {
    match what {
        What::Approve(_) => "approve",
        What::Tested => "tested",
        What::Changes(_) => "changes",
        What::Open(form) => match form {
            Form::Hold(_) => "open_hold",
            Form::NotReady { .. } => "open_not_ready",
            Form::Redeploy { .. } => "open_redeploy",
            Form::Wrong { .. } => "open_wrong",
            Form::Variable(..) => "open_variable",
        },
        What::Release => "release",
        What::Ping => "ping",
        What::Dismiss => "dismiss",
        What::Dispatch(dispatch) => dispatch.word(),
        What::Mend(mend) => mend.word(),
        What::RollForward(forward) => forward.word(),
        What::Aftermath(aftermath) => aftermath.word(),
        What::Remind(remind) => remind.word(),
        What::Variables(variables) => variables.word(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::deploy::message::{Press, Shown};
    use crate::deploy::name::{AppName, EnvName, RunId, Sha, SlackId};

    fn text(spans: Vec<Span>) -> Message {
        Message { summary: Line::default(), parts: vec![Part::Text(Line(spans))] }
    }

    fn press(what: What) -> Press {
        Press { app: AppName::new("h"), what }
    }

    /// As Slack reads it.
    fn read(json: &RawValue) -> Value {
        serde_json::from_str(json.get()).unwrap()
    }

    fn blocks(message: &Message) -> Value {
        read(&content(message).blocks)
    }

    fn size(value: &Value) -> usize {
        value.to_string().chars().count()
    }

    #[test]
    fn every_span_becomes_an_element_that_parses_nothing() {
        let message = text(vec![
            Span::Plain("<!channel> *x* & <@U1>".into()),
            Span::Bold("h".into()),
            Span::Code("gabc1234".into()),
            Span::Link { url: "https://github.com/o/r/pull/1".into(), label: "#1".into() },
            Span::Link { url: "javascript:alert(1)".into(), label: "no".into() },
            Span::Mention(SlackId::new("U012ABC")),
            Span::Mention(SlackId::new("<!here>")),
            Span::Time("2026-07-25T17:20:00Z".parse().unwrap()),
            Span::Plain(String::new()),
        ]);
        let expected = json!([{ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
            { "type": "text", "text": "<!channel> *x* & <@U1>" },
            { "type": "text", "text": "h", "style": { "bold": true } },
            { "type": "text", "text": "gabc1234", "style": { "code": true } },
            { "type": "link", "url": "https://github.com/o/r/pull/1", "text": "#1" },
            { "type": "text", "text": "no" },
            { "type": "user", "user_id": "U012ABC" },
            { "type": "text", "text": "@<!here>" },
            { "type": "date", "timestamp": 1785000000, "format": "{date_short_pretty} {time}",
              "fallback": "2026-07-25 17:20 UTC" },
        ] }] }]);
        assert_eq!(blocks(&message), expected);
    }

    #[test]
    fn paragraphs_and_lists_share_a_block_and_buttons_end_it() {
        let button =
            Button { press: press(What::Tested), label: "I tested".into(), style: Style::Primary, confirm: None };
        let parts = vec![
            Part::Text(Line::plain("one")),
            Part::Text(Line::plain("two")),
            Part::List(vec![Line::plain("a"), Line::default()].into()),
            Part::Buttons(vec![button]),
            Part::Text(Line::plain("end")),
        ];
        let shown = blocks(&Message { summary: Line::default(), parts });
        assert_eq!(shown[0]["elements"][0]["elements"][1]["text"], "\n");
        assert_eq!(shown[0]["elements"][1]["type"], "rich_text_list");
        assert_eq!(shown[0]["elements"][1]["elements"].as_array().unwrap().len(), 1);
        assert_eq!(
            shown[1]["elements"][0],
            json!({ "type": "button", "action_id": "lockkeeper.tested.0", "style": "primary", "value": "{\"app\":\"h\",\"what\":\"tested\"}",
                "text": { "type": "plain_text", "text": "I tested", "emoji": false } })
        );
        assert_eq!(shown[2]["elements"][0]["elements"][0]["text"], "end");
    }

    #[test]
    fn confirmations_are_cut_and_a_press_survives_the_round_trip() {
        let shown = Shown {
            run: RunId(7),
            attempt: 2,
            sha: Sha::new("abc"),
            environments: vec![EnvName::new("Production (Canada)")],
        };
        let confirm =
            Confirm { title: "t".repeat(200), text: "é".repeat(400), yes: "y".repeat(40), no: String::new() };
        let press = press(What::Approve(shown));
        let button = Button {
            press: press.clone(),
            label: "Approve production…".into(),
            style: Style::Danger,
            confirm: Some(confirm),
        };
        let json = blocks(&Message { summary: Line::default(), parts: vec![Part::Buttons(vec![button])] });
        let button = &json[0]["elements"][0];
        assert_eq!(button["confirm"]["title"]["text"].as_str().unwrap().chars().count(), 100);
        assert_eq!(button["confirm"]["text"]["text"].as_str().unwrap().chars().count(), 300);
        assert_eq!(button["confirm"]["confirm"]["text"].as_str().unwrap().chars().count(), 30);
        assert_eq!(button["confirm"]["deny"]["text"], "…");
        assert_eq!(serde_json::from_str::<Press>(button["value"].as_str().unwrap()).unwrap(), press);
    }

    #[test]
    fn a_long_list_ends_with_how_many_more() {
        let lines: Vec<Line> = (0..2_000).map(|i| Line::plain(format!("change {i} {}", "x".repeat(80)))).collect();
        let parts = vec![Part::Text(Line::plain("head")), Part::List(lines.into()), Part::Text(Line::plain("tail"))];
        let shown = blocks(&Message { summary: Line::default(), parts });
        assert!(size(&shown) <= MAX_TOTAL && size(&shown) > MAX_TOTAL / 2);
        let list = shown[0]["elements"][1]["elements"].as_array().unwrap();
        let last = list.last().unwrap()["elements"][0]["text"].as_str().unwrap();
        assert_eq!(last, format!("and {} more", 2_000 - (list.len() - 1)));
        assert_eq!(shown[0]["elements"][2]["elements"][0]["text"], "tail");
    }

    #[test]
    fn text_is_cleaned_of_what_cannot_be_seen() {
        let table = [
            ("a\nb\tc\r\n", "a b c  "),
            ("a\u{0}\u{1b}[31mb\u{7f}\u{85}", "a[31mb"),
            ("evil\u{202e}gpj.exe\u{2066}x\u{2069}", "evilgpj.exex"),
            ("ze\u{200b}ro\u{feff}\u{2060}\u{ad}", "zero"),
            ("👩\u{200d}💻 ✅\u{fe0f}", "👩💻 ✅\u{fe0f}"),
            ("Überprüfung 日本", "Überprüfung 日本"),
        ];
        for (dirty, expected) in table {
            assert_eq!(clean(dirty), expected, "{dirty:?}");
        }
    }

    #[test]
    fn the_fallback_is_escaped_cut_and_never_breaks_an_escape() {
        let summary = |text: &str| fallback(&Message { summary: Line::plain(text), parts: vec![] });
        assert_eq!(summary("a <!channel> & b"), "a &lt;!channel&gt; &amp; b");
        let long = summary(&"<".repeat(5_000));
        assert!(long.chars().count() <= MAX_FALLBACK && long.ends_with("&lt;"));
    }

    #[test]
    fn who_is_no_user_is_mentioned_by_no_markup() {
        let greeted = |id: &str| Message::line(Line::default().mention(&SlackId::new(id)));
        assert_eq!(fallback(&greeted("U1")), "<@U1>");
        let forged = greeted("U1> <!channel");
        assert_eq!(fallback(&forged), "@U1&gt; &lt;!channel");
        assert!(!blocks(&forged).to_string().contains("\"user\""));
    }

    #[test]
    fn a_time_that_slack_has_no_date_for_is_plain_text() {
        let shown = |at: Timestamp| blocks(&text(vec![Span::Time(at)])).to_string();
        assert!(shown("2026-11-28T19:00:00Z".parse().unwrap()).contains("\"date\""));
        assert!(shown(Timestamp::MAX).contains("9999-12-30") && !shown(Timestamp::MIN).contains("\"date\""));
    }

    #[test]
    fn the_form_carries_itself() {
        let hold = Form::Hold(AppName::new("an-app-with-a-very-long-name"));
        let tick = |value: &str, chosen| Tick { value: value.into(), label: "x".repeat(99), about: None, chosen };
        let asks = |kind| Input { id: "i".into(), label: "?".into(), hint: None, optional: true, kind };
        let view = View {
            title: "Hold an-app-with-a-very-long-name".into(),
            submit: Some("Hold".into()),
            parts: vec![Part::Text(Line::plain("above"))],
            inputs: vec![
                asks(Entry::Ticks(vec![tick("a", true), tick("b", false)])),
                asks(Entry::Pick(vec![tick("a", false), tick("b", true)])),
            ],
        };
        let modal = read(&modal(&hold, &view));
        assert_eq!(modal["title"]["text"].as_str().unwrap().chars().count(), 24);
        assert_eq!(serde_json::from_str::<Form>(modal["private_metadata"].as_str().unwrap()).unwrap(), hold);
        assert_eq!(modal["blocks"][0]["type"], "rich_text");
        assert_eq!(modal["blocks"][1]["element"]["initial_options"][0]["value"], "a");
        assert_eq!(modal["blocks"][2]["element"]["initial_option"]["value"], "b");
    }

    fn line() -> impl Strategy<Value = Line> {
        let span = prop_oneof![
            any::<String>().prop_map(Span::Plain),
            any::<String>().prop_map(|s| Span::Code(s.repeat(20))),
            any::<String>().prop_map(|s| Span::Mention(SlackId::new(s))),
            (any::<String>(), any::<String>()).prop_map(|(url, label)| Span::Link { url, label }),
            Just(Span::Time(jiff::Timestamp::UNIX_EPOCH)),
        ];
        proptest::collection::vec(span, 0..6).prop_map(Line)
    }

    fn part() -> impl Strategy<Value = Part> {
        let button = any::<String>().prop_map(|label| Button {
            press: press(What::Changes(RunId(1))),
            label: label.repeat(9),
            style: Style::Plain,
            confirm: None,
        });
        prop_oneof![
            line().prop_map(Part::Text),
            proptest::collection::vec(line(), 0..40).prop_map(|lines| Part::List(lines.into())),
            proptest::collection::vec(button, 0..60).prop_map(Part::Buttons),
        ]
    }

    #[test]
    fn many_rows_of_buttons_are_cut_to_fifty_blocks() {
        let button = Button { press: press(What::Ping), label: "x".into(), style: Style::Plain, confirm: None };
        let parts = (0..70).flat_map(|_| [Part::Text(Line::plain("a")), Part::Buttons(vec![button.clone()])]).collect();
        assert_eq!(blocks(&Message { summary: Line::default(), parts }).as_array().unwrap().len(), MAX_BLOCKS);
    }

    proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]
        #[test]
        fn any_message_keeps_slacks_limits(parts in proptest::collection::vec(part(), 0..12)) {
            let message = Message { summary: Line::default(), parts };
            let shown = blocks(&message);
            assert!(shown.as_array().unwrap().len() <= MAX_BLOCKS);
            assert!(size(&shown) <= MAX_TOTAL);
            assert!(!shown.to_string().contains("\"text\":\"\""));
            assert!(fallback(&message).chars().count() <= MAX_FALLBACK);
        }
    }
}

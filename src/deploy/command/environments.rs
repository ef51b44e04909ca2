//! Which environments somebody means by what they typed. Pure.

use super::{code, did_you_mean, normal};
use crate::deploy::message::{Line, Span};
use crate::deploy::name::EnvName;

/// Why typed environments could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnclearEnvironment {
    /// There is none like it.
    Unknown {
        /// As typed.
        typed: String,
        /// What was probably meant.
        meant: Option<EnvName>,
        /// What there is.
        known: Vec<EnvName>,
    },
    /// It may be several.
    Ambiguous {
        /// As typed.
        typed: String,
        /// Which.
        candidates: Vec<EnvName>,
    },
}

/// The environments that were typed, in the order of `names`, which gives each with its label; none where nothing was typed.
///
/// Typed as shown, by name or label, in any case, quotes and brackets optional, several behind each other or with commas. A
/// full name wins over a part of one (`production` is Production, not one of those that begin with it); of a part, only an
/// unambiguous one counts.
pub fn match_environment(typed: &str, names: &[(EnvName, String)]) -> Result<Vec<EnvName>, UnclearEnvironment> {
    let typed = normal(typed);
    let known: Vec<Known> = names.iter().map(Known::new).collect();
    let mut found: Vec<&EnvName> = Vec::new();
    // A name may hold a comma itself.
    match names.iter().find(|(name, _)| name.as_str().eq_ignore_ascii_case(typed.trim_matches(['"', ' ']))) {
        Some((name, _)) => found.push(name),
        None => {
            for piece in typed.split(['"', ',']) {
                found.extend(environments_of(&words(piece), &known)?);
            }
        }
    }
    Ok(names.iter().map(|(name, _)| name).filter(|name| found.contains(name)).cloned().collect())
}

/// An environment and the words of its name and label.
struct Known<'a> {
    name: &'a EnvName,
    spellings: [Vec<String>; 2],
}

impl<'a> Known<'a> {
    fn new((name, label): &'a (EnvName, String)) -> Self {
        Self { name, spellings: [words(name.as_str()), words(label)] }
    }

    fn has_part(&self, typed: &[String]) -> bool {
        let starts = |(typed, word): (&String, &String)| word.starts_with(typed.as_str());
        self.spellings
            .iter()
            .any(|spelling| spelling.windows(typed.len()).any(|part| typed.iter().zip(part).all(starts)))
    }
}

/// Lower case, without punctuation: `Production (Canada)` and `production canada` are the same words.
fn words(text: &str) -> Vec<String> {
    let split = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
    text.split(split).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Names one after another; each as long as possible.
fn environments_of<'a>(mut typed: &[String], known: &[Known<'a>]) -> Result<Vec<&'a EnvName>, UnclearEnvironment> {
    let mut found = Vec::new();
    // No name has more words.
    let most = known.iter().flat_map(|env| &env.spellings).map(Vec::len).max().unwrap_or(0);
    while !typed.is_empty() {
        let longest = (1..=typed.len().min(most)).rev().find_map(|n| one(&typed[..n], known).map(|name| (name, n)));
        let Some((name, n)) = longest else { return Err(unclear(typed, known)) };
        found.push(name);
        typed = &typed[n..];
    }
    Ok(found)
}

/// The environment of exactly these words, by name or else by label.
fn whole<'a>(typed: &[String], known: &[Known<'a>]) -> Option<&'a EnvName> {
    if typed.is_empty() {
        return None;
    }
    (0..2).find_map(|i| only(known.iter().filter(|env| env.spellings[i] == typed)))
}

/// The environment that these words mean, if just one.
fn one<'a>(typed: &[String], known: &[Known<'a>]) -> Option<&'a EnvName> {
    whole(typed, known).or_else(|| only(known.iter().filter(|env| env.has_part(typed))))
}

fn only<'a, 'b>(mut found: impl Iterator<Item = &'b Known<'a>>) -> Option<&'a EnvName>
where
    'a: 'b,
{
    let first = found.next()?;
    found.next().is_none().then_some(first.name)
}

fn unclear(typed: &[String], known: &[Known<'_>]) -> UnclearEnvironment {
    let word = &typed[..1];
    let candidates: Vec<EnvName> = known.iter().filter(|env| env.has_part(word)).map(|env| env.name.clone()).collect();
    if !candidates.is_empty() {
        return UnclearEnvironment::Ambiguous { typed: word.concat(), candidates };
    }
    let rest = typed.join(" ");
    let spellings: Vec<(String, &EnvName)> = known.iter().flat_map(spellings).collect();
    let near = |typed: &str| did_you_mean(typed, spellings.iter().map(|(spelling, _)| spelling.as_str()));
    let meant = near(&rest).or_else(|| near(&typed[0]));
    let meant = meant.and_then(|meant| spellings.iter().find(|(spelling, _)| spelling == meant));
    UnclearEnvironment::Unknown {
        typed: rest,
        meant: meant.map(|(_, name)| (*name).clone()),
        known: known.iter().map(|env| env.name.clone()).collect(),
    }
}

/// Ways to name an environment for which a typo may stand: whole spellings and their single words.
fn spellings<'a>(env: &Known<'a>) -> Vec<(String, &'a EnvName)> {
    let whole = env.spellings.iter().map(|words| words.join(" "));
    let single = env.spellings.iter().flatten().cloned();
    whole.chain(single).map(|spelling| (spelling, env.name)).collect()
}

impl UnclearEnvironment {
    /// What the person reads.
    pub fn sentence(&self) -> Line {
        match self {
            Self::Ambiguous { typed, candidates } => {
                let mut spans = vec![code(typed), Span::Plain(" may be ".into())];
                spans.extend(listed(candidates, " or "));
                spans.push(Span::Plain(". Type the whole name, or a part that only one has.".into()));
                Line(spans)
            }
            Self::Unknown { typed, meant: Some(meant), .. } => Line(vec![
                Span::Plain("There is no environment ".into()),
                code(typed),
                Span::Plain(". Did you mean ".into()),
                code(meant.as_str()),
                Span::Plain("?".into()),
            ]),
            Self::Unknown { typed, meant: None, known } => {
                let mut spans = vec![Span::Plain("There is no environment ".into()), code(typed)];
                spans.push(Span::Plain(". There is ".into()));
                spans.extend(listed(known, " and "));
                spans.push(Span::Plain(".".into()));
                Line(spans)
            }
        }
    }
}

/// `a`, `b` or `c`.
fn listed(names: &[EnvName], last: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match i {
            0 => {}
            i if i + 1 == names.len() => spans.push(Span::Plain(last.to_owned())),
            _ => spans.push(Span::Plain(", ".into())),
        }
        spans.push(code(name.as_str()));
    }
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn environments() -> Vec<(EnvName, String)> {
        let plain = ["Staging", "Staging (WebSocket)", "Production", "Production (WebSocket)", "Production (Canada)"];
        let mut all: Vec<_> = plain.iter().map(|name| (EnvName::new(*name), (*name).to_owned())).collect();
        all.push((EnvName::new("prod-eu"), "Old Europe".to_owned()));
        all
    }

    #[test]
    fn environments_are_typed_as_they_are_shown() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("Production (Canada)", &["Production (Canada)"]),
            ("production", &["Production"]),
            ("canada", &["Production (Canada)"]),
            ("production canada", &["Production (Canada)"]),
            ("prod can", &["Production (Canada)"]),
            ("\"Production\" \"Production (Canada)\"", &["Production", "Production (Canada)"]),
            ("“Production” “Canada”", &["Production", "Production (Canada)"]),
            ("Production (Canada) Production", &["Production", "Production (Canada)"]),
            ("production, production (websocket)", &["Production", "Production (WebSocket)"]),
            ("production production (canada) production", &["Production", "Production (Canada)"]),
            ("old europe", &["prod-eu"]),
            ("europe, PROD-EU", &["prod-eu"]),
        ];
        for (typed, expected) in table {
            let expected: Vec<EnvName> = expected.iter().map(|name| EnvName::new(*name)).collect();
            assert_eq!(match_environment(typed, &environments()), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn unclear_environments_are_asked_back() {
        let table = [
            (
                "websocket",
                "`websocket` may be `Staging (WebSocket)` or `Production (WebSocket)`. Type the whole name, or a part that only one has.",
            ),
            ("production canda", "There is no environment `canda`. Did you mean `Production (Canada)`?"),
            ("prodction", "There is no environment `prodction`. Did you mean `Production`?"),
            (
                "mars",
                "There is no environment `mars`. There is `Staging`, `Staging (WebSocket)`, `Production`, `Production (WebSocket)`, \
                 `Production (Canada)` and `prod-eu`.",
            ),
        ];
        for (typed, sentence) in table {
            let error = match_environment(typed, &environments()).unwrap_err();
            assert_eq!(error.sentence().to_string(), sentence);
        }
    }

    #[test]
    fn a_name_with_a_comma_and_one_of_symbols_do_no_harm() {
        let odd = vec![
            (EnvName::new("Prod, EU"), "Prod, EU".to_owned()),
            (EnvName::new("Prod"), "Prod".to_owned()),
            (EnvName::new("--"), String::new()),
        ];
        assert_eq!(match_environment("prod, eu", &odd), Ok(vec![EnvName::new("Prod, EU")]));
        assert_eq!(match_environment("prod", &odd), Ok(vec![EnvName::new("Prod")]));
        assert_eq!(match_environment("--", &odd), Ok(vec![EnvName::new("--")]));
    }

    /// It took the square of what was typed times the number of names: half a minute in a moment that a person waits for.
    #[test]
    fn many_words_and_many_names_are_matched_at_once() {
        let names: Vec<_> = (0..500).map(|n| (EnvName::new(format!("a{n}")), format!("a b {n}"))).collect();
        let typed = "a1 ".repeat(1_300);
        assert!(matches!(match_environment(&typed, &names), Err(UnclearEnvironment::Ambiguous { .. }) | Ok(_)));
    }

    proptest! {
        #[test]
        fn nothing_typed_ever_panics(text in ".{0,200}", words in "[a-z(), \"#/]{0,60}") {
            for typed in [text, words] {
                if let Err(unclear) = match_environment(&typed, &environments()) {
                    unclear.sentence();
                }
            }
        }
    }
}

//! What Slack makes of a text in its own markup: whom it mentions, and what in it is broken. Pure.

use serde_json::Value;

/// What stands in one or more texts.
#[derive(Debug, Default)]
pub(super) struct Markup {
    /// The ids mentioned: `U…`, `S…`, `!channel`, `!here`, `!everyone`; each once, in order.
    pub(super) mentions: Vec<String>,
    /// The channels linked to.
    pub(super) channels: Vec<String>,
    /// What is not Slack's markup: most likely a text from outside that was not escaped.
    pub(super) broken: Vec<String>,
}

impl Markup {
    /// Reads one `mrkdwn` text; what stands in code is not markup.
    pub(super) fn read(&mut self, text: &str) {
        let text = without_code(text);
        let mut rest = text.as_str();
        while let Some(start) = rest.find('<') {
            self.ampersands(&rest[..start]);
            let after = &rest[start + 1..];
            let Some(end) = after.find('>') else {
                self.broken.push(format!("an unescaped `<` in {text:?}"));
                return;
            };
            self.sequence(&after[..end]);
            rest = &after[end + 1..];
        }
        self.ampersands(rest);
    }

    fn sequence(&mut self, inner: &str) {
        let target = inner.split('|').next().unwrap_or_default();
        if let Some(group) = target.strip_prefix("!subteam^") {
            self.mention(group);
        } else if matches!(target, "!channel" | "!here" | "!everyone") {
            self.mention(target);
        } else if let Some(user) = target.strip_prefix('@') {
            self.mention(user);
        } else if let Some(channel) = target.strip_prefix('#') {
            self.channels.push(channel.to_owned());
        } else if target.starts_with("!date^") {
            if !inner.contains('|') {
                self.broken.push(format!("a date without a fallback: <{inner}>"));
            }
        } else if !["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
            self.broken.push(format!("<{inner}> is not Slack's markup: an unescaped text?"));
        }
    }

    fn mention(&mut self, id: &str) {
        if !self.mentions.iter().any(|known| known == id) {
            self.mentions.push(id.to_owned());
        }
    }

    fn ampersands(&mut self, text: &str) {
        let escaped = |after: &str| ["amp;", "lt;", "gt;"].iter().any(|entity| after.starts_with(entity));
        if text.match_indices('&').any(|(at, _)| !escaped(&text[at + 1..])) {
            self.broken.push(format!("an unescaped `&` in {text:?}"));
        }
    }

    /// Reads these blocks: `mrkdwn` texts and rich text's own elements. What appears only after a click (confirm
    /// dialogs, options) mentions nobody and is read only if `hidden`.
    pub(super) fn read_blocks(&mut self, blocks: &Value, hidden: bool) {
        match blocks {
            Value::Array(items) => items.iter().for_each(|item| self.read_blocks(item, hidden)),
            Value::Object(map) => {
                match (map.get("type").and_then(Value::as_str), map.get("text")) {
                    (Some("mrkdwn"), Some(Value::String(text))) => self.read(text),
                    (Some("user"), _) => self.mention(map.get("user_id").and_then(Value::as_str).unwrap_or_default()),
                    (Some("usergroup"), _) => {
                        self.mention(map.get("usergroup_id").and_then(Value::as_str).unwrap_or_default());
                    }
                    (Some("broadcast"), _) => {
                        let range = map.get("range").and_then(Value::as_str).unwrap_or_default();
                        self.mention(&format!("!{range}"));
                    }
                    (Some(_) | None, _) => {}
                }
                let shown = |key: &str| hidden || !matches!(key, "confirm" | "options");
                map.iter().filter(|(key, _)| shown(key)).for_each(|(_, inner)| self.read_blocks(inner, hidden));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The text with everything between (triple) backticks cut out.
fn without_code(text: &str) -> String {
    let outside_pre = text.split("```").step_by(2).collect::<Vec<_>>().join(" ");
    outside_pre.lines().map(without_inline_code).collect::<Vec<_>>().join("\n")
}

fn without_inline_code(line: &str) -> String {
    let parts = line.split('`').collect::<Vec<_>>();
    // An odd number of backticks: the last one opens nothing.
    let closed = if parts.len() % 2 == 0 { parts.len() - 1 } else { parts.len() };
    let outside = parts[..closed].iter().step_by(2).chain(&parts[closed..]);
    outside.copied().collect::<Vec<_>>().join(" ")
}

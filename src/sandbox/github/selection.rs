//! What a GraphQL question asks for, so that the answer has that and no more. Aliases and named fragments are not understood.

use std::collections::BTreeMap;
use std::iter::Peekable;

use serde_json::Value;

/// The fields asked for, each with what is asked of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection(BTreeMap<String, Selection>);

impl Selection {
    /// The fields of a question's only operation.
    pub fn of(query: &str) -> Selection {
        let mut tokens = tokens(query).into_iter().peekable();
        let mut selection = Selection::default();
        if tokens.by_ref().any(|token| token == "{") {
            selection.read(&mut tokens);
        }
        selection
    }

    /// Reads fields up to the brace that closes them.
    fn read<'a>(&mut self, tokens: &mut Peekable<impl Iterator<Item = &'a str>>) {
        while let Some(token) = tokens.next().filter(|token| *token != "}") {
            let fields = if token == "on" {
                // `... on Commit {`: what is asked of one kind is asked here.
                tokens.next();
                &mut *self
            } else {
                self.0.entry(token.to_owned()).or_default()
            };
            if tokens.next_if_eq(&"{").is_some() {
                fields.read(tokens);
            }
        }
    }

    /// Leaves in an answer what was asked for.
    pub fn prune(&self, answer: &mut Value) {
        match answer {
            Value::Array(items) => items.iter_mut().for_each(|item| self.prune(item)),
            Value::Object(fields) => {
                fields.retain(|name, _| self.0.contains_key(name));
                for (name, value) in fields {
                    self.0[name].prune(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Names and braces; arguments are left out.
fn tokens(query: &str) -> Vec<&str> {
    let (mut found, mut rest, mut depth) = (Vec::new(), query, 0_usize);
    while let Some(c) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, after) = rest.split_at(name.max(c.len_utf8()));
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '{' | '}' if depth == 0 => found.push(token),
            _ if name > 0 && depth == 0 => found.push(token),
            _ => {}
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Selection;

    #[test]
    fn an_answer_has_what_was_asked_for() {
        let query = "query($o:String!){ repository(owner:$o, filter:{name:\"x\"}){ object { ... on Commit { oid author{login} } } } }";
        let commit = json!({"oid": "1", "message": "hi", "author": {"login": "ana", "id": 1}});
        let mut answer = json!({"repository": {"id": 1, "object": commit}, "viewer": {}});
        Selection::of(query).prune(&mut answer);
        assert_eq!(answer, json!({"repository": {"object": {"oid": "1", "author": {"login": "ana"}}}}));
    }

    #[test]
    fn lists_are_answered_item_by_item_and_nothing_by_nothing() {
        let mut answer = json!({"nodes": [{"a": 1, "b": 2}, null]});
        Selection::of("{ nodes { b } }").prune(&mut answer);
        assert_eq!(answer, json!({"nodes": [{"b": 2}, null]}));
        Selection::of("").prune(&mut answer);
        assert_eq!(answer, json!({}));
    }
}

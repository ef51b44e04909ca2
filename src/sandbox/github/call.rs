//! A request taken apart, and an answer in the making.

use std::cell::RefCell;

use hyper::header::HOST;
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

/// A request taken apart. What is wrong with it is collected while it is answered.
#[derive(Debug)]
pub(crate) struct Call {
    /// The HTTP method.
    pub method: String,
    /// The path with its query, as sent.
    pub target: String,
    /// The path's segments, decoded.
    pub segments: Vec<String>,
    /// The body as sent.
    pub body: Vec<u8>,
    /// Where this API is reached: `http://127.0.0.1:1234`.
    pub api: String,
    path: String,
    query: Vec<(String, String)>,
    looked_up: RefCell<Vec<String>>,
    complaints: RefCell<Vec<String>>,
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; none for 204.
    pub body: Option<Value>,
    /// Headers of its own.
    pub headers: Vec<(&'static str, String)>,
}

/// A part of a list: `page` counts from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// Which part.
    pub page: usize,
    /// How many items it has at most.
    pub per_page: usize,
}

impl Call {
    /// Takes a request apart.
    pub fn new(parts: &Parts, body: &[u8]) -> Call {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("api.github.com");
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default();
        Call {
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().map_or_else(|| path.clone(), ToString::to_string),
            segments: path.split('/').filter(|segment| !segment.is_empty()).map(percent_decode).collect(),
            body: body.to_vec(),
            api: format!("http://{host}"),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            path,
            looked_up: RefCell::default(),
            complaints: RefCell::default(),
        }
    }

    /// Notes something that a client must not do.
    pub fn complain(&self, complaint: &str) {
        self.complaints.borrow_mut().push(complaint.to_owned());
    }

    /// What was noted.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.borrow().clone()
    }

    /// Query parameters that no route looked at do nothing at GitHub: a typing error, most likely.
    pub fn complain_about_unused_query(&self) {
        let looked_up = self.looked_up.borrow();
        for (name, _) in self.query.iter().filter(|(name, _)| !looked_up.contains(name)) {
            self.complain(&format!("unknown query parameter {name}"));
        }
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.looked_up.borrow_mut().push(name.to_owned());
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Which part of a list is asked for: 30 items unless told, 100 at most.
    pub fn page(&self) -> Page {
        let number = |name: &str, default: usize| match self.query(name).map(str::parse) {
            None => default,
            Some(Ok(number)) if number > 0 => number,
            Some(_) => {
                self.complain(&format!("{name} is not a positive number"));
                default
            }
        };
        let (page, per_page) = (number("page", 1), number("per_page", 30));
        if per_page > 100 {
            self.complain("per_page is above 100");
        }
        Page { page, per_page: per_page.min(100) }
    }

    /// The body as a JSON object; an empty one counts as `{}`.
    pub fn object(&self) -> Result<Map<String, Value>, Answer> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) | Err(_) => {
                self.complain("the body is not a JSON object");
                Err(Answer::error(400, "Problems parsing JSON"))
            }
        }
    }

    /// A malformed body, in GitHub's words; noted.
    pub fn malformed(&self, message: &str) -> Answer {
        self.complain(message);
        Answer::error(422, message)
    }

    /// Of which repository it is, and what it asks for: its path without names and numbers.
    pub fn kind(&self) -> (String, String) {
        let (repo, rest) = match self.segments.as_slice() {
            [first, owner, name, rest @ ..] if first == "repos" => (format!("{owner}/{name}"), rest),
            rest => (String::new(), rest),
        };
        let is_word = |segment: &&String| segment.chars().all(|c| c.is_ascii_lowercase() || "-_.".contains(c));
        let words: Vec<&str> = rest.iter().filter(is_word).map(String::as_str).collect();
        (repo, format!("{} {}", self.method, words.join("/")))
    }

    /// Whether it asks for a list of runs.
    pub fn is_run_list(&self) -> bool {
        let actions = self.segments.get(3).is_some_and(|segment| segment == "actions");
        self.method == "GET" && actions && self.segments.last().is_some_and(|segment| segment == "runs")
    }

    /// Whether it is charged to GraphQL's limit.
    pub fn is_graphql(&self) -> bool {
        self.path == "/graphql"
    }

    /// Whether it changes something by GraphQL.
    pub fn is_mutation(&self) -> bool {
        let query =
            self.object().ok().and_then(|body| Some(body.get("query")?.as_str()?.trim_start().starts_with("mutation")));
        self.is_graphql() && query == Some(true)
    }

    /// Whether it is not charged at all.
    pub fn is_free(&self) -> bool {
        self.path == "/rate_limit"
    }

    /// The `Link` header for a part of a list of that many items; none where all fits on one page.
    fn link(&self, part: Page, total: usize) -> Option<String> {
        let last = total.div_ceil(part.per_page).max(1);
        let url = |page: usize| {
            let others = self.query.iter().filter(|(name, _)| name != "page");
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(others).append_pair("page", &page.to_string());
            format!("<{}{}?{}>", self.api, self.path, query.finish())
        };
        let mut links = Vec::new();
        if part.page > 1 {
            links.push(format!("{}; rel=\"prev\"", url(part.page - 1)));
            links.push(format!("{}; rel=\"first\"", url(1)));
        }
        if part.page < last {
            links.push(format!("{}; rel=\"next\"", url(part.page + 1)));
            links.push(format!("{}; rel=\"last\"", url(last)));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }

    /// One part of a list, made by `wrap` from the items in it, with its `Link` header.
    pub fn paged<T>(&self, items: &[T], wrap: impl FnOnce(&[T]) -> Value) -> Answer {
        let part = self.page();
        let from = part.per_page.saturating_mul(part.page - 1).min(items.len());
        let to = from.saturating_add(part.per_page).min(items.len());
        let answer = Answer::ok(wrap(&items[from..to]));
        match self.link(part, items.len()) {
            Some(link) => answer.with("link", &link),
            None => answer,
        }
    }
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: Value) -> Answer {
        Answer { status: 200, body: Some(body), headers: Vec::new() }
    }

    /// Another status with an empty object, as GitHub answers writes.
    pub fn accepted(status: u16) -> Answer {
        Answer { status, ..Answer::ok(json!({})) }
    }

    /// 204.
    pub fn no_content() -> Answer {
        Answer { status: 204, body: None, headers: Vec::new() }
    }

    /// An error in GitHub's shape.
    pub fn error(status: u16, message: &str) -> Answer {
        let body = json!({
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": status.to_string(),
        });
        Answer { status, ..Answer::ok(body) }
    }

    /// 404, which is not the client's fault.
    pub fn not_found() -> Answer {
        Answer::error(404, "Not Found")
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: &str) -> Answer {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// An error in its place: what was asked has been done all the same.
    pub fn replaced_by(self, status: u16, message: &str) -> Answer {
        Answer::error(status, message)
    }
}

/// A path segment's text; a `%` that begins no escape stays.
fn percent_decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

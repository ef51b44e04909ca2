//! A record of the wire, for judges that are not ours: a line of JSON for each exchange and each frame. Off unless a file is named.
//! No secrets in it: of a header that holds one only the scheme is kept.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http_body_util::BodyExt;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use crate::http::Response;

/// A record that all services of a sandbox write to; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<OnceLock<Mutex<File>>>);

impl Record {
    /// Keeps a record from now on. A second file is ignored.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(&self, file: &Path) -> std::io::Result<()> {
        let file = File::create(file)?;
        let _ = self.0.set(Mutex::new(file));
        Ok(())
    }

    /// Writes down a request and its answer. `fault` names what was done wrong on purpose.
    pub async fn exchange(&self, service: &str, request: (&Parts, &[u8]), response: &Response, fault: Option<String>) {
        if self.0.get().is_none() {
            return;
        }
        let (parts, body) = request;
        let answer = response.body().clone().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        self.write(&json!({
            "service": service, "method": parts.method.as_str(), "target": parts.uri.to_string(),
            "headers": headers(&parts.headers), "body": String::from_utf8_lossy(body), "fault": fault,
            "status": response.status().as_u16(), "answer_headers": headers(response.headers()),
            "answer": String::from_utf8_lossy(&answer),
        }));
    }

    /// Writes down a webhook's delivery, and with which status it was answered, if it was.
    pub fn delivery(&self, (parts, body): (&Parts, &str), status: Option<u16>) {
        self.write(&json!({
            "service": "webhook", "method": parts.method.as_str(), "target": parts.uri.to_string(),
            "headers": headers(&parts.headers), "body": body, "status": status,
        }));
    }

    /// Writes down a WebSocket's frame, and which side sent it.
    pub fn frame(&self, from: &str, socket: u64, text: &str) {
        self.write(&json!({"service": "socket", "from": from, "socket": socket, "frame": text}));
    }

    fn write(&self, line: &Value) {
        if let Some(file) = self.0.get() {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A record with a hole would be judged as if it were whole.
            file.write_all(format!("{line}\n").as_bytes()).expect("a record that can be written");
        }
    }
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |name: &hyper::header::HeaderName, value: &str| {
        let secret = *name == AUTHORIZATION || name == "x-amz-security-token";
        if secret { value.split(' ').next().unwrap_or_default().to_owned() } else { value.to_owned() }
    };
    let all = headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(text(name, &String::from_utf8_lossy(value.as_bytes())))));
    all.collect()
}

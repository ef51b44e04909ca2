//! Answers that GitHub need not send again: bodies by path, each with its ETag. A 304 costs nothing of the hourly
//! allowance. Bounded by size; what was not used for longest goes first. Not octocrab's cache: that one has no bound and
//! touches POSTs as well (`facts/github.md` 6).

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// All bodies together, in bytes.
const MOST: usize = 32 * 1024 * 1024;

/// An answer as it was last read.
#[derive(Clone)]
pub(super) struct Known {
    /// With its quotes, as GitHub sent it; empty for none.
    pub etag: String,
    /// The JSON text.
    pub body: Bytes,
    /// Whether it announced a next page.
    pub more: bool,
}

/// The cache.
#[derive(Default)]
pub(super) struct Answers {
    kept: HashMap<String, (u64, Known)>,
    /// The paths by when they were used.
    order: BTreeMap<u64, String>,
    bytes: usize,
    clock: u64,
}

impl Answers {
    /// What is known of a path.
    pub(super) fn find(&mut self, path: &str) -> Option<Known> {
        self.clock += 1;
        let (used, known) = self.kept.get_mut(path)?;
        let path = self.order.remove(used).unwrap_or_else(|| path.to_owned());
        self.order.insert(self.clock, path);
        *used = self.clock;
        Some(known.clone())
    }

    /// Keeps an answer that has an ETag, in place of an older one.
    pub(super) fn keep(&mut self, path: &str, known: &Known) {
        self.drop_path(path);
        if known.etag.is_empty() || known.body.len() > MOST / 4 {
            return;
        }
        self.clock += 1;
        self.bytes += known.body.len();
        self.kept.insert(path.to_owned(), (self.clock, known.clone()));
        self.order.insert(self.clock, path.to_owned());
        while self.bytes > MOST {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.drop_path(&oldest);
        }
    }

    fn drop_path(&mut self, path: &str) {
        if let Some((used, known)) = self.kept.remove(path) {
            self.order.remove(&used);
            self.bytes -= known.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(size: usize) -> Known {
        Known { etag: "\"e\"".to_owned(), body: Bytes::from(vec![0; size]), more: false }
    }

    #[test]
    fn forgets_what_was_not_used_for_longest() {
        let mut answers = Answers::default();
        for path in ["/a", "/b", "/c", "/d"] {
            answers.keep(path, &known(MOST / 4));
        }
        assert!(answers.find("/a").is_some());
        answers.keep("/e", &known(MOST / 4));
        assert!(answers.find("/a").is_some());
        assert!(answers.find("/b").is_none());
        assert_eq!(answers.bytes, MOST);
    }

    #[test]
    fn keeps_nothing_without_a_tag_and_nothing_huge() {
        let mut answers = Answers::default();
        answers.keep("/a", &Known { etag: String::new(), ..known(1) });
        answers.keep("/b", &known(MOST / 4 + 1));
        assert!(answers.find("/a").is_none() && answers.find("/b").is_none());
    }
}

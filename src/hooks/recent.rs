//! Ids that were met lately, so many at most: what comes twice within moments is known by them.

use std::collections::{BTreeSet, VecDeque};

/// The latest ids; the oldest goes first.
pub(super) struct Recent {
    most: usize,
    order: VecDeque<String>,
    ids: BTreeSet<String>,
}

impl Recent {
    /// None yet, and never more than `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, order: VecDeque::new(), ids: BTreeSet::new() }
    }

    /// Whether it was met lately.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Meets it; whether that is for the first time.
    pub(super) fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::new(1_000);
        for number in 0..1_010 {
            assert!(recent.insert(&number.to_string()));
            assert!(!recent.insert(&number.to_string()));
        }
        assert_eq!((recent.ids.len(), recent.order.len()), (1_000, 1_000));
        assert!(!recent.contains("9") && recent.contains("10") && recent.contains("1009"));
    }
}

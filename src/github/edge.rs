//! What is kept of GitHub's texts and times: enough for any that are real, and no more, since they go into documents that are written
//! with every decision.

use jiff::Timestamp;

/// Characters of a title, a name or a comment.
const LONGEST: usize = 4_000;
/// Before there was GitHub.
const FIRST: Timestamp = Timestamp::UNIX_EPOCH;
/// Seconds until the year 2200.
const LAST: i64 = 7_258_118_400;

/// A text, cut.
pub(super) fn text(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.shrink_to_fit();
    }
    text
}

/// A time, moved to where one can reckon with it.
pub(super) fn moment(at: Timestamp) -> Timestamp {
    at.clamp(FIRST, Timestamp::from_second(LAST).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_times_have_an_end() {
        assert_eq!(text("é".repeat(5_000)), "é".repeat(4_000));
        assert_eq!(text("Fix RPC".into()), "Fix RPC");
        let year = |at: Timestamp| at.strftime("%Y").to_string();
        assert_eq!([year(moment(Timestamp::MIN)), year(moment(Timestamp::MAX))], ["1970", "2200"]);
        let at = "2026-11-28T19:00:00Z".parse().unwrap();
        assert_eq!(moment(at), at);
    }
}

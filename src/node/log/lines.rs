//! What a log's lines look like, and which of them are held since they say again what the line before said.
//!
//! In: lines without their time. Out: lines with it. A node that meets the same trouble a thousand times a second would
//! otherwise fill its files with it, and what led to the trouble would be rotated away.

use std::time::{Duration, Instant};

use serde_json::json;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// For people.
    Pretty,
    /// One object per line.
    Json,
}

impl Style {
    /// The line as it is written.
    pub(super) fn dated(self, time: &str, line: &str) -> String {
        match (self, line.strip_prefix('{')) {
            (Style::Json, Some(rest)) => format!("{{\"timestamp\":\"{time}\",{rest}\n"),
            _ => format!("{time} {line}\n"),
        }
    }

    /// Says that this line came so many times more.
    fn repeated(self, time: &str, line: &str, times: u64) -> String {
        let word = if times == 1 { "time" } else { "times" };
        match (self, line.strip_prefix('{')) {
            // A program reads one object at a time: it says what was repeated.
            (Style::Json, Some(rest)) => {
                format!("{{\"timestamp\":\"{time}\",\"repeated\":{times},{rest}\n")
            }
            _ => format!("{time}  ... repeated {times} {word}\n"),
        }
    }

    /// Says that lines could not be written.
    pub(super) fn lost(self, time: &str, lines: u64, why: &str) -> String {
        let what = format!("{lines} lines of this log were lost: {why}");
        let line = match self {
            Style::Pretty => format!(" WARN {what}"),
            Style::Json => json!({"level": "WARN", "fields": {"message": what}}).to_string(),
        };
        self.dated(time, &line)
    }
}

/// Holds what is equal to the line before.
#[derive(Debug)]
pub(super) struct Repeats {
    /// For how long.
    held_max: Duration,
    before: String,
    held: u64,
    /// When the first of those came.
    since: Option<Instant>,
}

impl Repeats {
    pub(super) fn new(held_max: Duration) -> Repeats {
        Repeats { held_max, before: String::new(), held: 0, since: None }
    }

    /// Takes a line and gives what is to be written; nothing if the line is held.
    pub(super) fn take(&mut self, style: Style, time: &str, line: &str, now: Instant) -> Option<String> {
        if line == self.before {
            self.held += 1;
            self.since.get_or_insert(now);
            return None;
        }
        let mut text = self.release(style, time).unwrap_or_default();
        text.push_str(&style.dated(time, line));
        self.before.clear();
        self.before.push_str(line);
        Some(text)
    }

    /// What is held, as a line that counts it.
    pub(super) fn release(&mut self, style: Style, time: &str) -> Option<String> {
        self.since = None;
        match std::mem::take(&mut self.held) {
            0 => None,
            times => Some(style.repeated(time, &self.before, times)),
        }
    }

    /// When what is held must be written at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.held_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_REPEATS_HELD_MAX;

    const T: &str = "2026-11-22T10:00:00.000000Z";

    #[test]
    fn equal_lines_are_written_once_and_counted_when_another_comes() {
        let (mut repeats, now) = (Repeats::new(LOG_REPEATS_HELD_MAX), Instant::now());
        let mut take = |line: &str| repeats.take(Style::Pretty, T, line, now);
        assert_eq!(take(" INFO a"), Some(format!("{T}  INFO a\n")));
        assert_eq!([take(" INFO a"), take(" INFO a")], [None, None]);
        assert_eq!(take("ERROR b"), Some(format!("{T}  ... repeated 2 times\n{T} ERROR b\n")));
        assert_eq!(take(" INFO a"), Some(format!("{T}  INFO a\n")), "it is not the line before any more");
        assert_eq!(take(" INFO a"), None);
        assert_eq!(take("ERROR b"), Some(format!("{T}  ... repeated 1 time\n{T} ERROR b\n")));
    }

    #[test]
    fn what_is_held_is_due_some_time_after_the_first_of_it() {
        let (mut repeats, began) = (Repeats::new(LOG_REPEATS_HELD_MAX), Instant::now());
        assert!(repeats.take(Style::Pretty, T, "a", began).is_some());
        assert_eq!(repeats.due(), None, "nothing is held");
        for second in 1..4 {
            assert_eq!(repeats.take(Style::Pretty, T, "a", began + Duration::from_secs(second)), None);
        }
        assert_eq!(repeats.due(), Some(began + Duration::from_secs(1) + LOG_REPEATS_HELD_MAX));
        assert_eq!(repeats.release(Style::Pretty, T), Some(format!("{T}  ... repeated 3 times\n")));
        assert_eq!((repeats.due(), repeats.release(Style::Pretty, T)), (None, None));
        assert_eq!(repeats.take(Style::Pretty, T, "a", began), None, "it still is the line before");
    }

    #[test]
    fn every_line_of_a_log_of_objects_is_an_object() {
        let (mut repeats, now) = (Repeats::new(LOG_REPEATS_HELD_MAX), Instant::now());
        let line = r#"{"level":"WARN","fields":{"message":"a"}}"#;
        let mut text = repeats.take(Style::Json, T, line, now).unwrap();
        assert_eq!(repeats.take(Style::Json, T, line, now), None);
        text += &repeats.release(Style::Json, T).unwrap();
        text += &Style::Json.lost(T, 2, "a \"full\" disk");
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let objects: Vec<_> = text.lines().map(read).collect();
        assert_eq!([&objects[0]["repeated"], &objects[1]["repeated"]], [&json!(null), &json!(1)]);
        for object in objects {
            assert_eq!((&object["timestamp"], &object["level"]), (&json!(T), &json!("WARN")));
        }
    }
}

//! How commands end and how they print: exit codes, failures, and rows as table, CSV, JSON lines or one object.
//!
//! Data goes to stdout, all else to stderr. A reader that goes away is no failure: the command ends quietly with 0.
//! Rows are JSON objects with a fixed order of keys; table and CSV show columns of the same objects, so that no format
//! can say what another does not.

mod fit;
mod lines;
mod members;
mod printer;

use std::io::{self, IsTerminal};

use clap::ColorChoice;
use serde_json::Value;

pub(crate) use fit::{Fit, Ranked, clipped, padded, terminal};
pub(crate) use lines::{note, print, print_line};
pub(crate) use members::{CsvLines, JsonLines, Lines, Members};
pub(crate) use printer::{Column, Printer, Row, Shape, Show};

use crate::config::ConfigError;
use crate::journal::OpenError;

/// Of the objects that `--json` prints: keys may come without a new one; a key that goes, or means something else, needs
/// one. `docs/json-schema.json` has the keys.
const JSON_VERSION: u64 = 1;

/// The object with its version, behind all else.
pub(crate) fn versioned(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert("version".to_owned(), JSON_VERSION.into());
    }
    object
}

/// The object that a command prints with `--json`, in one line.
pub(crate) fn json_line(object: Value) -> String {
    versioned(object).to_string()
}

/// Exit codes that scripts rely on.
pub mod exit {
    /// Done; also a first Ctrl-C.
    pub(crate) const DONE: u8 = 0;
    /// Failure.
    pub(crate) const FAILURE: u8 = 1;
    /// Bad flags, configuration or input, an absent directory, or a mode that is not there yet.
    pub(crate) const USAGE: u8 = 2;
    /// Unreachable or not ready; nothing was sent.
    pub(crate) const UNREACHABLE: u8 = 3;
    /// A definite business no.
    pub(crate) const NO: u8 = 4;
    /// An invariant is broken, views disagree, stores differ.
    pub(crate) const BROKEN: u8 = 5;
    /// Undetermined: sent without an answer, data partly unreadable, no progress.
    pub(crate) const UNDETERMINED: u8 = 6;
    /// Data directory in use, of another cluster, newer, not ours, damaged or older than its mark.
    pub(crate) const DIRECTORY: u8 = 7;
    /// A stated threshold was missed.
    pub(crate) const THRESHOLD: u8 = 8;
    /// Second Ctrl-C.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command did not do what it was asked: what and why in one line, the mend, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// See [`exit`].
    pub exit: u8,
    /// What and why; empty when there is nothing to say.
    pub what: String,
    /// What mends it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub(crate) fn new(exit: u8, what: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Writing to stdout failed. That its reader went away is no failure of ours.
    pub fn writing(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(exit::DONE, ""),
            _ => Failure::new(exit::FAILURE, format!("cannot write to stdout: {error}")),
        }
    }

    /// The lines for stderr, `error: ...` and `  hint: ...`; empty when there is nothing to say.
    pub fn render(&self, color: bool) -> String {
        if self.what.is_empty() {
            return String::new();
        }
        let error = Paint::Red.on("error:", color);
        let hint = self.hint.as_ref().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
        format!("{error} {}\n{hint}", self.what)
    }
}

impl Failure {
    /// The same as one object for scripts, in a line; empty when there is nothing to say.
    pub fn json(&self) -> String {
        if self.what.is_empty() {
            return String::new();
        }
        // A text of several lines is one thing that is said.
        let (what, why) = match self.what.split_once(": ") {
            Some((what, why)) if !what.contains('\n') => (what, Some(why)),
            _ => (self.what.as_str(), None),
        };
        let error = serde_json::json!({ "what": what, "why": why, "hint": self.hint, "exit": self.exit });
        format!("{}\n", json_line(serde_json::json!({ "error": error })))
    }
}

/// A cause chain becomes one line; what is already a failure or a refused configuration keeps its code and hint.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => match error.downcast::<ConfigError>() {
                Ok(config) => config.into(),
                Err(error) => Failure::new(exit::FAILURE, format!("{error:#}")),
            },
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(exit::USAGE, error.to_string()).hint(error.hint())
    }
}

/// A directory that cannot be used.
impl From<&OpenError> for Failure {
    fn from(error: &OpenError) -> Failure {
        Failure::new(error.exit_code(), error.to_string()).hint(error.hint())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        Failure::from(&error)
    }
}

/// Whether to colour what goes to `stream`: when told to, or on a terminal unless `NO_COLOR` is set.
pub fn colored(choice: ColorChoice, stream: &impl IsTerminal) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// A word for people: red is what hurts, green what is well, yellow what is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// It hurts.
    Red,
    /// It is well.
    Green,
    /// Neither.
    Yellow,
    /// A node's own colour, which is none of these.
    Node(u32),
}

impl Paint {
    /// The text in this colour, if it is to have one.
    pub(crate) fn on(self, text: &str, color: bool) -> String {
        const NODES: [&str; 6] = ["36", "35", "34", "96", "95", "94"];
        let code = match self {
            Paint::Red => "1;31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Node(node) => NODES[node as usize % NODES.len()],
        };
        if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A figure with so many decimal digits.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2,000 rows`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{} {thing}s", grouped(count)) }
}

/// `the first row`, `the last 50 rows`.
pub(crate) fn rows_at(end: &str, count: usize) -> String {
    if count == 1 { format!("the {end} row") } else { format!("the {end} {}", counted(count as u64, "row")) }
}

/// The known name that is nearest to what was typed, if one is near enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(typed, name), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 > 0.7).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gone_reader_is_a_quiet_end() {
        let failure = Failure::writing(io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit, failure.render(true).as_str()), (exit::DONE, ""));
        assert_eq!(failure.json(), "");
    }

    #[test]
    fn failures_say_what_and_the_mend() {
        let failure = Failure::new(exit::FAILURE, "port 7706 is taken by pid 4242").hint("stop it");
        assert_eq!(failure.render(false), "error: port 7706 is taken by pid 4242\n  hint: stop it\n");
        let object: serde_json::Value = serde_json::from_str(&failure.json()).unwrap();
        let error = serde_json::json!({
            "what": "port 7706 is taken by pid 4242", "why": null, "hint": "stop it", "exit": 1
        });
        assert_eq!(object, serde_json::json!({ "version": JSON_VERSION, "error": error }));
        let chained = Failure::from(anyhow::anyhow!("refused").context("cannot reach :7700"));
        assert_eq!((chained.exit, chained.what.as_str()), (1, "cannot reach :7700: refused"));
        let object: serde_json::Value = serde_json::from_str(&chained.json()).unwrap();
        assert_eq!(
            (&object["error"]["what"], &object["error"]["why"]),
            (&"cannot reach :7700".into(), &"refused".into())
        );
        assert_eq!(Failure::from(anyhow::Error::from(failure.clone())), failure);
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_near() {
        assert_eq!(nearest("fsh", ["boar", "fish", "salt"]), Some("fish"));
        assert_eq!(nearest("xylophone", ["boar", "fish", "salt"]), None);
    }
}

//! What ends the program before any command runs: help, version, or a usage error in this program's own form.

use std::error::Error;
use std::ffi::OsString;

use clap::error::ErrorKind;

use super::value::ValueError;

/// Text to print, and the code to exit with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Ends with a line feed.
    pub text: String,
    /// 0: the text goes to stdout, else to stderr.
    pub exit: u8,
}

/// Exit code of a usage error.
const USAGE: u8 = 2;

/// Turns clap's message into this program's form.
pub(super) fn stop(error: &clap::Error, args: &[OsString]) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Stop { text: error.render().to_string(), exit: 0 }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Stop { text: error.render().to_string(), exit: USAGE }
        }
        _ => explain(error, args),
    }
}

/// A check over several flags failed.
pub(super) fn refused(error: ValueError) -> Stop {
    Stop { text: format!("error: {}\n  hint: {}\n", error.why, error.mend), exit: USAGE }
}

fn explain(error: &clap::Error, args: &[OsString]) -> Stop {
    let text = error.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default().trim_end();
    let hint = mend(error).or_else(|| tip(&text)).unwrap_or_else(|| help(args));
    Stop { text: format!("{what}\n  hint: {hint}\n"), exit: USAGE }
}

/// The parser's own word on how to write the value.
fn mend(error: &clap::Error) -> Option<String> {
    error.source()?.downcast_ref::<ValueError>().map(|value| value.mend.clone())
}

/// clap's guess at what was meant.
fn tip(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_string)
}

fn help(args: &[OsString]) -> String {
    let command = super::command();
    let known = |arg: &&OsString| arg.to_str().is_some_and(|name| command.find_subcommand(name).is_some());
    match args.iter().skip(1).find(known).and_then(|arg| arg.to_str()) {
        Some(name) => format!("bazaar {name} --help"),
        None => "bazaar --help".into(),
    }
}

//! What ends the program before any command runs: help, version, or a usage error in this program's own form.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::value::ValueError;
use super::{meant, variable};
use crate::journal::mend::word;
use crate::ops::output::Failure;

/// Text to print, and the code to exit with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Ends with a line feed.
    pub text: String,
    /// 0: the text goes to stdout, else to stderr.
    pub exit: u8,
    /// What `text` says, where it is a refusal.
    pub refusal: Option<Failure>,
}

/// Exit code of a usage error.
const USAGE: u8 = 2;

/// Turns clap's message into this program's form.
pub(super) fn stop(error: &clap::Error, args: &[OsString]) -> Stop {
    let help = |exit| Stop { text: error.render().to_string(), exit, refusal: None };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => help(0),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => help(USAGE),
        _ => refusal(explain(error, args)),
    }
}

/// A check over several flags failed.
pub(super) fn refused(error: ValueError) -> Stop {
    refusal(Failure { exit: USAGE, what: error.why, hint: Some(error.mend) })
}

fn refusal(failure: Failure) -> Stop {
    Stop { text: failure.render(false), exit: failure.exit, refusal: Some(failure) }
}

fn explain(error: &clap::Error, args: &[OsString]) -> Failure {
    let text = error.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default().trim_end();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let line = Line::of(error, args);
    let hint =
        line.mend(error).or_else(|| tip(&text)).or_else(|| line.directories()).unwrap_or_else(|| line.help());
    Failure { exit: USAGE, what: line.with_variable(what), hint: Some(hint) }
}

/// clap's guess at what was meant. Its advice on how to pass a flag as a value is about something else.
fn tip(text: &str) -> Option<String> {
    let tips = text.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
    tips.map(str::to_owned).find(|tip| !tip.starts_with("to pass "))
}

/// What was typed, and what of it is wrong.
struct Line<'a> {
    args: Vec<&'a str>,
    /// The command, if there is one of that name.
    command: Option<&'a str>,
    /// `--seed <N>`, or what nothing was found for.
    argument: Option<String>,
    /// The value that is refused.
    value: Option<String>,
}

impl<'a> Line<'a> {
    fn of(error: &clap::Error, args: &'a [OsString]) -> Line<'a> {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        };
        // A name that is no text is none that this program knows.
        let args: Vec<&str> = args.iter().skip(1).map(|arg| arg.to_str().unwrap_or_default()).collect();
        let tree = super::command();
        let command = args.iter().find(|name| tree.find_subcommand(name).is_some()).copied();
        let argument = text(ContextKind::InvalidArg).or_else(|| text(ContextKind::InvalidSubcommand));
        Line { args, command, argument, value: text(ContextKind::InvalidValue) }
    }

    /// What does what was meant.
    fn mend(&self, error: &clap::Error) -> Option<String> {
        let of_value = error.source().and_then(|it| it.downcast_ref::<ValueError>());
        match (error.kind(), of_value) {
            (_, Some(value)) => Some(value.mend.clone()),
            (ErrorKind::InvalidSubcommand, _) => meant::command(self.argument.as_deref()?),
            (ErrorKind::UnknownArgument, _) => {
                meant::order(self.command?, &self.args, self.argument.as_deref()?)
            }
            _ => None,
        }
    }

    /// Several directories behind one flag.
    fn directories(&self) -> Option<String> {
        const FLAG: &str = "--data-dir";
        let stray = self.value.as_deref().or(self.argument.as_deref())?;
        let at = self.args.iter().position(|arg| *arg == FLAG)?;
        let behind: Vec<&str> =
            self.args[at + 1..].iter().take_while(|arg| !arg.starts_with('-')).copied().collect();
        let each: Vec<String> = behind.iter().map(|dir| format!("{FLAG} {}", word(Path::new(dir)))).collect();
        let is_behind = behind.iter().skip(1).any(|arg| *arg == stray);
        is_behind.then(|| format!("each directory has a flag of its own: {}", each.join(" ")))
    }

    /// Who typed no flag is told which variable the value came from.
    fn with_variable(&self, what: &str) -> String {
        let named = self.argument.as_deref().and_then(|argument| argument.split([' ', '=']).next());
        let typed = |flag: &str| {
            self.args
                .iter()
                .any(|arg| arg.strip_prefix(flag).is_some_and(|it| it.is_empty() || it.starts_with('=')))
        };
        let from = named.filter(|flag| !typed(flag)).and_then(|flag| variable::of_flag(self.command, flag));
        match (from, &self.argument) {
            (Some(name), Some(argument)) if self.value.is_some() => {
                what.replacen(&format!("'{argument}'"), &format!("'{argument}' from {name}"), 1)
            }
            _ => what.to_owned(),
        }
    }

    fn help(&self) -> String {
        match self.command {
            Some(name) => format!("bazaar {name} --help"),
            None => "bazaar --help".into(),
        }
    }
}

//! `BAZAAR_*` variables: an empty one counts as not set, and an error names the one that its value came from.

use std::ffi::OsStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// A variable that a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// What messages name as it was given. A number or a time stands for too many things.
const NAMED: [&str; 4] = ["BAZAAR_DATA_DIR", "BAZAAR_CONFIG_DIR", "BAZAAR_CONNECT", "BAZAAR_WAREHOUSE"];

/// Whether a variable says nothing.
fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// The same command, which does not look at variables that are empty.
pub(super) fn without_empty(command: Command) -> Command {
    let unset = |arg: Arg| match arg.get_env().is_some_and(is_empty) {
        true => arg.env(None::<&'static str>),
        false => arg,
    };
    command.mut_args(unset).mut_subcommands(without_empty)
}

/// The variable that a flag takes its value from where it was not typed.
pub(super) fn of_flag(command: Option<&str>, flag: &str) -> Option<String> {
    let (tree, long) = (super::command(), flag.strip_prefix("--")?);
    let within = command.and_then(|name| tree.find_subcommand(name));
    let mut args = within.into_iter().flat_map(Command::get_arguments).chain(tree.get_arguments());
    let name = args.find(|arg| arg.get_long() == Some(long))?.get_env()?;
    std::env::var_os(name).map(|_| name.to_string_lossy().into_owned())
}

/// The variables that values of a command came from, as far as messages name them.
pub(super) fn used(command: &Command, matches: &ArgMatches) -> Vec<Setting> {
    let Some((name, matches)) = matches.subcommand() else { return Vec::new() };
    let args = command.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
    let from_environment =
        args.filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable));
    let setting = |arg: &Arg| {
        let name = arg.get_env()?.to_str().filter(|name| NAMED.contains(name))?;
        let value = std::env::var(name).ok()?;
        Some(Setting { name: name.to_owned(), value })
    };
    from_environment.filter_map(setting).collect()
}

impl Setting {
    /// The text, which says where its value is from if it names the value.
    pub fn named_in(&self, text: &str) -> String {
        let of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let whole = |at: usize| {
            let (before, after) = (&text[..at], &text[at + self.value.len()..]);
            !before.ends_with(|c| of_name(c) || c == '/') && !after.starts_with(of_name)
        };
        let found = text.match_indices(self.value.as_str()).map(|(at, _)| at).find(|at| whole(*at));
        let Some(at) = found.filter(|_| !self.value.is_empty()) else { return text.to_owned() };
        let end = text[at..].find(char::is_whitespace).map_or(text.len(), |length| at + length);
        let end = at + text[at..end].trim_end_matches([':', ',', ';', '.']).len().max(self.value.len());
        format!("{} (from {}){}", &text[..end], self.name, &text[end..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_which_variable_its_value_is_from() {
        let setting = Setting { name: "BAZAAR_DATA_DIR".into(), value: "here".into() };
        let named = |text| setting.named_in(text);
        assert_eq!(named("here holds no data"), "here (from BAZAAR_DATA_DIR) holds no data");
        assert_eq!(named("here/warehouse: gone"), "here/warehouse (from BAZAAR_DATA_DIR): gone");
        assert_eq!(named("nowhere is a file"), "nowhere is a file");
        assert_eq!(named("b/here is a file"), "b/here is a file");
        assert_eq!(named("nobody listens at here"), "nobody listens at here (from BAZAAR_DATA_DIR)");
    }
}

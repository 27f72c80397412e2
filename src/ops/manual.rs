//! `help` and `man`: the command tree in the words of people and of man.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use super::output::{Failure, exit, nearest};
use crate::cli;

const EXIT_CODES: &str = include_str!("../../docs/exit-codes.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const COMMANDS: &str = include_str!("../../docs/commands.md");

/// What help is there that is of no command.
const TOPICS: [&str; 4] = ["exit-codes", "invariants", "metrics", "configuration"];

/// Prints what a topic or a command is about; of nothing the program's help.
///
/// # Errors
/// There is no such topic or command.
pub fn help(words: &[String], out: &mut dyn Write) -> Result<u8, Failure> {
    let text = match words {
        [topic] if TOPICS.contains(&topic.as_str()) => about(topic),
        _ => of_command(words)?,
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::writing)?;
    Ok(exit::DONE)
}

fn about(topic: &str) -> String {
    match topic {
        "exit-codes" => EXIT_CODES.to_owned(),
        "configuration" => CONFIGURATION.to_owned(),
        "metrics" => metrics(),
        _ => invariants(),
    }
}

/// The table of figures, as the commands' page has it.
fn metrics() -> String {
    let rows = COMMANDS.lines().skip_while(|line| *line != "| figure | is |").skip(2);
    let row = |line: &str| {
        let (figure, is) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap_or((line, ""));
        format!("{:<18} {}\n", figure.replace('`', ""), is.replace('`', ""))
    };
    let rows: String = rows.take_while(|line| line.starts_with("| `")).map(row).collect();
    format!("What bazaar status --json says of each node.\n\n{rows}")
}

/// The table of checks, as the commands' page has it.
fn invariants() -> String {
    let rows = COMMANDS.lines().filter_map(|line| line.strip_prefix("| V")?.strip_suffix(" |"));
    let row = |row: &str| {
        let (check, holds) = row.split_once(" | ").unwrap_or((row, ""));
        format!("V{check:<18} {holds}\n")
    };
    let rows: String = rows.map(row).collect();
    format!("What bazaar verify checks, from the records alone. A broken one is exit 5.\n\n{rows}")
}

fn of_command(words: &[String]) -> Result<String, Failure> {
    let mut command = cli::command();
    command.build();
    let mut found = &mut command;
    for word in words {
        let names: Vec<String> = found.get_subcommands().map(|it| it.get_name().to_owned()).collect();
        let known = names.iter().map(String::as_str).chain(TOPICS);
        let near = nearest(word, known).unwrap_or("exit-codes").to_owned();
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            Failure::new(exit::USAGE, format!("there is no command and no topic {word:?}"))
                .hint(format!("bazaar help {near}; topics are {}", TOPICS.join(", ")))
        })?;
    }
    Ok(found.render_long_help().to_string())
}

/// Writes `bazaar.1` and a page per command into `dir`, which is made if it is not there, and prints their paths.
///
/// # Errors
/// The directory or a page cannot be written.
pub fn man(dir: &Path, out: &mut dyn Write) -> Result<u8, Failure> {
    let failed = |error: io::Error| {
        Failure::new(exit::FAILURE, format!("cannot write man pages to {}: {error}", dir.display()))
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let mut command = cli::command();
    command.build();
    let mut pages = Vec::new();
    write_pages(&command, dir, &mut pages).map_err(failed)?;
    pages.sort();
    let printed = pages.iter().try_for_each(|page| writeln!(out, "{}", page.display()));
    printed.map_err(Failure::writing)?;
    Ok(exit::DONE)
}

fn write_pages(command: &clap::Command, dir: &Path, pages: &mut Vec<PathBuf>) -> io::Result<()> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    // What stands before the help of a terminal are the examples, which have a section of their own here.
    Man::new(command.clone().before_help("")).render(&mut page)?;
    page.extend_from_slice(sections(command).as_bytes());
    let path = dir.join(format!("{name}.1"));
    fs::write(&path, page)?;
    pages.push(path);
    command.get_subcommands().try_for_each(|of| write_pages(of, dir, pages))
}

/// What `clap_mangen` does not write: examples, environment, exit status.
fn sections(command: &clap::Command) -> String {
    let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let examples = examples.strip_prefix("Examples:\n").map(|text| section("EXAMPLES", text));
    let variables: Vec<String> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some(format!("{} ({})", arg.get_env()?.to_str()?, flag(arg))))
        .collect();
    let environment = (!variables.is_empty()).then(|| section("ENVIRONMENT", &variables.join("\n")));
    let codes = EXIT_CODES.lines().filter_map(|line| {
        let (code, means) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        code.parse::<u8>().ok().filter(|_| !means.starts_with(char::is_uppercase))?;
        Some(format!("{code:<4} {}", means.replace('`', "")))
    });
    let status = section("EXIT STATUS", &codes.collect::<Vec<_>>().join("\n"));
    [examples, environment, Some(status)].into_iter().flatten().collect()
}

fn flag(arg: &clap::Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"))
}

/// Lines as they stand.
fn section(title: &str, text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A dot or a quote at the begin of a line would be a request.
        format!("\\&{line}\n")
    };
    format!(".SH \"{title}\"\n.nf\n{}.fi\n", text.lines().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        assert_eq!(man(dir.path(), &mut out), Ok(exit::DONE));
        let pages = String::from_utf8(out).unwrap();
        assert!(
            pages.contains("bazaar.1") && pages.contains("bazaar-dump.1") && !pages.contains("bench-load"),
            "{pages}"
        );
        assert!(pages.contains("bazaar-bench-market.1"), "{pages}");
    }

    #[test]
    fn a_page_has_examples_environment_and_exit_status() {
        let dir = tempfile::tempdir().unwrap();
        man(dir.path(), &mut Vec::new()).unwrap();
        let page = fs::read_to_string(dir.path().join("bazaar-up.1")).unwrap();
        for part in
            ["\"EXAMPLES\"", "bazaar up \\-\\-nodes 8", "BAZAAR_INTERVAL (\\-\\-interval)", "\"EXIT STATUS\""]
        {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert_eq!(page.matches("\n\\&8    a threshold").count(), 1, "each code once");
    }

    #[test]
    fn help_is_of_topics_and_commands_and_says_what_there_is() {
        let said = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let mut out = Vec::new();
            help(&words, &mut out).map(|_| String::from_utf8(out).unwrap())
        };
        assert!(said(&["exit-codes"]).unwrap().contains("a second Ctrl-C"));
        assert!(said(&["configuration"]).unwrap().contains("stock.json"));
        let invariants = said(&["invariants"]).unwrap();
        assert_eq!(invariants.lines().filter(|line| line.starts_with('V')).count(), 12, "{invariants}");
        let metrics = said(&["metrics"]).unwrap();
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../docs/json-schema.json")).unwrap();
        let figures = &schema["$defs"]["status"]["properties"]["nodes"]["items"]["properties"];
        for figure in figures.as_object().unwrap().keys() {
            let of = |name: &str| name.split(", ").any(|name| name.trim() == figure);
            assert!(metrics.lines().any(|line| line.get(..18).is_some_and(of)), "{figure} in {metrics}");
        }
        assert!(said(&["bench", "market"]).unwrap().contains("--clients"));
        assert!(said(&[]).unwrap().contains("Usage: bazaar"));
        let failure = said(&["invariant"]).unwrap_err();
        assert_eq!(failure.exit, exit::USAGE);
        assert!(failure.hint.unwrap().contains("bazaar help invariants"));
    }
}

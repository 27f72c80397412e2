//! What a shell offers for the word that is being typed: flags and commands from their tree, and what the market has.
//!
//! In: the words so far, from the script that `bazaar completions` prints. Out: candidates. Kinds and checks are known;
//! nodes stand in `cluster.json`; goods and orders are asked for as a user would, with short limits: a shell waits.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;

use clap::Arg;
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use serde_json::Value;

use super::market::{ClusterJson, node_id};
use super::output::{Failure, exit};
use crate::audit::Check;
use crate::cli;
use crate::limits::{COMPLETION_CALL_MAX, COMPLETION_MAX};
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::types::PeerId;

/// Set by the script: what is asked for is not a command but what one might be.
const VARIABLE: &str = "BAZAAR_COMPLETE";
/// Orders that are offered.
const ORDERS: &str = "20";

/// Answers a shell that asks, and ends the process then.
pub fn answer() {
    CompleteEnv::with_factory(|| offering(cli::command())).var(VARIABLE).complete();
}

/// Prints the script that a shell asks with.
///
/// # Errors
/// It cannot be written.
pub fn script(shell: Shell, out: &mut dyn Write) -> Result<u8, Failure> {
    let (shells, name) = (Shells::builtins(), shell.to_string());
    let known = shells.completer(&name);
    let completer = known.ok_or_else(|| Failure::new(exit::USAGE, format!("no completions for {name}")))?;
    let mut script = Vec::new();
    let written = completer.write_registration(VARIABLE, "bazaar", "bazaar", "bazaar", &mut script);
    let written = written.and_then(|()| out.write_all(&script)).and_then(|()| out.flush());
    written.map_err(Failure::writing).map(|()| exit::DONE)
}

/// The tree, whose flags know their values.
fn offering(tree: clap::Command) -> clap::Command {
    let tree = tree.mut_args(|arg| match values_of(arg.get_id().as_str()) {
        Some(values) => offer(arg, values),
        None => arg,
    });
    let names: Vec<String> = tree.get_subcommands().map(|of| of.get_name().to_owned()).collect();
    names.into_iter().fold(tree, |tree, name| tree.mut_subcommand(name, offering))
}

/// The values of a flag, each with what it is. None: the shell has its own, such as files.
type Values = fn() -> Vec<(String, String)>;

fn values_of(flag: &str) -> Option<Values> {
    Some(match flag {
        "kind" => kinds,
        "check" | "skip" => checks,
        "product" => goods,
        "pieces" => pieces,
        "order" => orders,
        "peer" | "trader" | "orderer" | "via" | "to" => nodes,
        _ => return None,
    })
}

fn offer(arg: Arg, values: Values) -> Arg {
    // What stands before the last comma is typed already.
    let listed = arg.get_value_delimiter().is_some();
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        candidates(&values(), &typed.to_string_lossy(), listed)
    }))
}

fn candidates(values: &[(String, String)], typed: &str, listed: bool) -> Vec<CompletionCandidate> {
    let behind = if listed { typed.rfind(',').map_or(0, |comma| comma + 1) } else { 0 };
    let (before, begun) = typed.split_at(behind);
    let fits = values.iter().filter(|(value, _)| value.starts_with(begun));
    let candidate = |(value, what): &(String, String)| {
        let help = Some(what.clone()).filter(|what| !what.is_empty());
        CompletionCandidate::new(format!("{before}{value}")).help(help.map(Into::into))
    };
    fits.map(candidate).collect()
}

fn kinds() -> Vec<(String, String)> {
    let kinds = Record::KINDS.iter().chain(&Entry::KINDS);
    kinds.map(|kind| ((*kind).to_owned(), String::new())).collect()
}

fn checks() -> Vec<(String, String)> {
    Check::ALL.into_iter().map(|check| (check.id(), check.title().to_owned())).collect()
}

// ---- what the market has

/// The market's directory, as far as it was typed.
fn market_dir() -> PathBuf {
    let words: Vec<OsString> = std::env::args_os().collect();
    let apart = words.iter().position(|word| word == "--data-dir").and_then(|at| words.get(at + 1)).cloned();
    let joined = || words.iter().find_map(|word| Some(word.to_str()?.strip_prefix("--data-dir=")?.into()));
    let typed = apart.or_else(joined).filter(|dir| !dir.is_empty());
    let dir = typed.or_else(|| std::env::var_os("BAZAAR_DATA_DIR"));
    dir.map_or_else(|| cli::MARKET_DIR.into(), PathBuf::from)
}

fn nodes() -> Vec<(String, String)> {
    let nodes = ClusterJson::find(&market_dir()).map(|json| json.nodes).unwrap_or_default();
    let peers = nodes.iter().filter_map(|node| {
        let peer = node_id(&node.node).filter(|peer| *peer != PeerId::WAREHOUSE)?;
        Some((peer.to_string(), node.role.clone()))
    });
    peers.collect()
}

/// Those of a market that is up, or of one that is stopped.
fn goods() -> Vec<(String, String)> {
    let told = |rows: &Value| -> Option<Vec<(String, String)>> {
        let good = |row: &Value| Some((row["product"].as_str()?.to_owned(), String::new()));
        rows.as_array().map(|rows| rows.iter().filter_map(good).collect())
    };
    asked(&["status", "--json"])
        .and_then(|status| told(&status[0]["stock"]))
        .or_else(|| asked(&["dump", "inventory", "--json"]).and_then(|view| told(&view[0]["rows"])))
        .unwrap_or_default()
}

fn pieces() -> Vec<(String, String)> {
    goods().into_iter().map(|(good, what)| (format!("{good}="), what)).collect()
}

/// The newest ones.
fn orders() -> Vec<(String, String)> {
    let rows = asked(&["dump", "ledger", "--tail", ORDERS, "--format", "jsonl"]).unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
    let order = |row: &Value| Some((text(row, "order")?, text(row, "outcome").unwrap_or_default()));
    rows.iter().rev().filter_map(order).collect()
}

/// What this program prints for that, one value a line; none if it fails or takes long.
fn asked(words: &[&str]) -> Option<Vec<Value>> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(words).arg("--data-dir").arg(market_dir());
    command.arg("--timeout").arg(format!("{}ms", COMPLETION_CALL_MAX.as_millis()));
    command.env_remove(VARIABLE).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut stdout = child.stdout.take()?;
    let (sender, read) = sync_channel(1);
    thread::spawn(move || {
        let mut text = String::new();
        // Who waits no longer has ended the command.
        let _ = stdout.read_to_string(&mut text).map(|_| sender.send(text));
    });
    let text = read.recv_timeout(COMPLETION_MAX);
    // It holds a store, maybe, and nobody hears it any more.
    let _ = (child.kill(), child.wait());
    let text = text.ok()?;
    let values: Vec<Value> = match serde_json::from_str(&text) {
        Ok(whole) => vec![whole],
        Err(_) => text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?,
    };
    (!values.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(values: &[(String, String)], typed: &str, listed: bool) -> Vec<String> {
        let candidates = candidates(values, typed, listed);
        candidates.iter().map(|it| it.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_value_is_offered_by_how_it_begins_and_in_a_list_behind_the_comma() {
        assert_eq!(offered(&kinds(), "sa", true), ["sale"]);
        assert_eq!(offered(&kinds(), "sale,off", true), ["sale,office"]);
        assert_eq!(offered(&checks(), "V1", true), ["V10", "V11", "V12"]);
        assert_eq!(offered(&checks(), "V01,V1", false), [""; 0]);
    }

    /// A flag that is renamed would lose its values without a word.
    #[test]
    fn each_flag_that_has_values_is_there() {
        let mut seen = std::collections::BTreeSet::new();
        let mut left = vec![cli::command()];
        while let Some(command) = left.pop() {
            seen.extend(command.get_arguments().map(|arg| arg.get_id().to_string()));
            left.extend(command.get_subcommands().cloned());
        }
        for flag in
            ["kind", "check", "skip", "product", "pieces", "order", "peer", "trader", "orderer", "via", "to"]
        {
            assert!(seen.contains(flag) && values_of(flag).is_some(), "{flag}");
        }
    }
}

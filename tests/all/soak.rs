//! `bazaar soak`: it passes on a sound market, plays the same faults again, and names a store that was cut.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::market::{SOON, children, kill, until};
use super::page::{event, get};
use super::schema::fits;

/// Growth cannot be told of so short a run.
const SLOPES: [&str; 4] = ["--max-rss-slope", "1000GiB/h", "--max-disk-slope", "1000GiB/h"];

fn soak(report: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bazaar"));
    command.args(["soak", "--json", "--rate", "100", "--nodes", "4", "--report"]).arg(report);
    command.args(SLOPES).args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn verdict(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out:?} {err:?}"))
}

#[test]
fn a_sound_market_passes_and_the_same_faults_are_played_again() {
    let dir = tempfile::tempdir().unwrap();
    let (first, again) = (dir.path().join("first"), dir.path().join("again"));
    let flags =
        ["--duration", "14s", "--fault-every", "3s", "--faults", "kill,pause,partition", "--seed", "5"];
    let output = soak(&first, &flags).output().unwrap();
    let said = verdict(&output);
    assert_eq!((output.status.code(), &said["pass"]), (Some(0), &Value::Bool(true)), "{said}");
    fits("soak", &said);
    fits("soak", &serde_json::from_slice(&fs::read(first.join("verdict.json")).unwrap()).unwrap());
    let number = |key: &str| said[key].as_u64().unwrap_or_else(|| panic!("{key} in {said}"));
    assert!(number("orders") >= 1_300 && number("compared") == number("orders"), "{said}");
    assert_eq!(["lost", "twice", "oversold", "told_wrong", "open"].map(number), [0; 5]);
    let faults = said["faults"].as_array().unwrap();
    assert!(faults.len() >= 2 && faults.iter().all(|fault| fault["recovered_ms"].is_u64()), "{said}");
    assert!(said["checks"].as_array().unwrap().iter().all(|check| check["exit"] == 0), "{said}");
    let page = fs::read_to_string(first.join("index.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("peer-4") && page.contains("pass"));
    assert!(!first.join("market").exists(), "stores of a run that passed are not kept");

    let replay = ["--duration", "14s", "--replay", first.to_str().unwrap()];
    let output = soak(&again, &replay).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", verdict(&output));
    assert_eq!(verdict(&output)["seed"], 5);
    let schedule = |report: &Path| fs::read_to_string(report.join("schedule.jsonl")).unwrap();
    assert_eq!(schedule(&first), schedule(&again));
}

/// Its page shows the load and the faults while they last.
#[test]
fn a_soak_is_seen_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let flags = ["--duration", "1h", "--fault-every", "2s", "--faults", "pause", "--http", "127.0.0.1:0"];
    let mut running = soak(&report, &flags).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    let page = said.find_map(|line| line.unwrap().strip_prefix("page: ").map(str::to_owned)).unwrap();
    let addr = page.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    until("a paused node under load is seen", SOON, || {
        let state = event(&addr, "market");
        let paused = state["nodes"].as_array()?.iter().any(|node| node["state"] == "paused");
        let loaded = state["rates"]["orders_per_s"].as_f64() > Some(1.0);
        (paused && loaded && state["acts"] == serde_json::json!([])).then_some(())
    });
    until("its fault is in the charts", SOON, || {
        let charts: Value = serde_json::from_str(&get(&addr, "/charts").body).unwrap();
        (charts["kinds"][0]["name"] == "paused").then_some(())
    });
    kill(running.id(), Signal::INT);
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", verdict(&output));
}

/// The node is dead for good; whoever reads the verdict sees which one, and why.
#[test]
fn a_store_that_is_cut_in_the_middle_of_a_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let mut command = soak(&report, &["--duration", "20s", "--until-failure", "--faults", "none"]);
    let running = command.spawn().unwrap();
    let store = report.join("market/peer-2/store/db");
    until("orders are answered", SOON, || {
        let history = fs::read_to_string(report.join("history.jsonl")).ok()?;
        (history.matches("\"what\":\"load\"").count() > 3).then_some(())
    });
    let node = children(running.id()).into_iter().find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("peer-2")
    });
    let length = fs::metadata(&store).unwrap().len();
    OpenOptions::new().write(true).open(&store).unwrap().set_len(length / 2).unwrap();
    kill(node.unwrap(), Signal::KILL);
    let output = running.wait_with_output().unwrap();
    let said = verdict(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    let why = said["why"].to_string();
    assert!(said["pass"] == false && why.contains("peer-2"), "{why}");
    assert!(report.join("market/peer-2/store").is_dir(), "what is left is kept");
}

#[test]
fn a_report_and_a_schedule_are_what_they_should_be_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("other"), "x").unwrap();
    let taken = soak(dir.path(), &[]).output().unwrap();
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("--report"));
    let none = soak(&dir.path().join("new"), &["--replay", "nowhere"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "{}", String::from_utf8_lossy(&none.stderr));
}

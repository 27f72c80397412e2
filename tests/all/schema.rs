//! What `--json` prints is what `docs/json-schema.json` says: no key is missing, and none is undocumented.

use std::path::Path;

use serde_json::{Value, json};

use super::market::{Ended, Market, SOON, until};

/// Panics if the object is not as the schema says that `name` is.
#[track_caller]
pub fn fits(name: &str, object: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json-schema.json");
    let mut schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(schema["$defs"].get(name).is_some(), "the schema has no {name}");
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = format!("#/$defs/{name}").into();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(object)
        .map(|error| format!("{} at {}", error.kind().keyword(), error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?} in {object:#}");
}

/// The one object that was printed.
#[track_caller]
fn printed(ended: &Ended, name: &str) -> Value {
    let object = ended.object();
    fits(name, &object);
    object
}

/// The error is one object on stderr.
#[track_caller]
fn failed(ended: &Ended, code: i32) {
    assert_eq!(ended.code, code, "{ended:?}");
    let line = ended.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    fits("error", &serde_json::from_str(line).unwrap());
}

#[test]
fn a_running_market_answers_as_the_schema_says() {
    let market = Market::new();
    let up = market.start(&["--interval", "20ms", "--deposit-every", "20ms"]);
    up.wait_for_pair();
    up.wait_for_rows(40);
    let ask = |args: &[&str]| market.run(&[args, &["--json"]].concat());
    for args in [&["buy", "fish"][..], &["sell", "fish=1000"], &["buy", "fish=90000"]] {
        printed(&ask(args), "order");
    }
    let status = printed(&ask(&["status"]), "status");
    assert_eq!(status["views"]["roster"][0]["primary"], json!({ "peer": 6, "term": 1 }));
    for view in ["ledger", "summary", "meta", "inventory", "accounts", "sessions", "offices"] {
        printed(&ask(&["dump", view]), &format!("dump_{view}"));
    }
    for view in ["orders", "queue"] {
        let dir = market.node_dir("peer-6");
        printed(&ask(&["dump", view, "--data-dir", dir.to_str().unwrap()]), &format!("dump_{view}"));
    }
    let life = printed(&ask(&["dump", "--order", "1-1"]), "dump_order");
    assert_eq!(life["rows"][0]["event"], "placed");
    printed(&ask(&["verify"]), "verify");
    printed(&ask(&["backup", "--out", "backup"]), "backup");
    failed(&ask(&["buy", "fsh"]), 2);
    failed(&ask(&["dump", "nothing"]), 2);
    printed(&ask(&["resign", "--peer", "6"]), "resign");
    let found = printed(&ask(&["find", "fish", "--from", "1"]), "find");
    let count = |key: &str| found[key].as_u64().unwrap();
    assert_eq!((count("reached"), count("diameter"), count("hops")), (6, 3, 3), "a ring of six: {found}");
    assert_eq!(count("messages"), 2 * count("lookups"));
    failed(&ask(&["find", "fsh"]), 2);
    assert_eq!(printed(&ask(&["mode", "cached"]), "mode")["before"], "cacheless");
    printed(&ask(&["verify"]), "verify");
    printed(&ask(&["leave", "--peer", "1"]), "leave");
    until("it has left", SOON, || {
        (ask(&["leave", "--peer", "1"]).object()["left"] == "before").then_some(())
    });
    printed(&ask(&["leave", "--peer", "1"]), "leave");
    up.kill("peer-2");
    let silent = printed(&ask(&["status"]), "status");
    assert!(
        silent["nodes"].as_array().unwrap().iter().any(|node| node["health"] == "unreachable"),
        "{silent}"
    );
    let summary = up.interrupt().expect(0);
    printed(&summary, "up");
}

#[test]
fn what_is_asked_of_stores_is_as_the_schema_says() {
    let market = Market::new();
    market.up(&["--requests", "20", "--interval", "1ms"]).expect(0);
    let ask = |args: &[&str]| market.run(&[args, &["--json"]].concat());
    for view in ["ledger", "summary", "meta", "inventory", "accounts", "sessions", "offices"] {
        let object = printed(&ask(&["dump", view]), &format!("dump_{view}"));
        assert_eq!(object["view"], view);
    }
    for view in ["orders", "queue", "sessions", "offices"] {
        printed(&ask(&["dump", view, "--data-dir", "bazaar-data"]), &format!("dump_{view}"));
    }
    printed(&ask(&["dump", "--order", "1-1"]), "dump_order");
    printed(&ask(&["verify", "--resume", "verified"]), "verify");
    printed(&ask(&["backup", "--out", "backup"]), "backup");
    let (warehouse, lost) = (market.node_dir("warehouse"), market.cwd().join("lost"));
    std::fs::rename(&warehouse, &lost).unwrap();
    printed(&ask(&["restore", "--from", "backup", "--accept-loss"]), "restore");
    let (warehouse, lost) = (warehouse.to_str().unwrap(), lost.to_str().unwrap());
    printed(&ask(&["dump", "ledger", "--data-dir", warehouse, "--diff", lost]), "dump_diff");
    failed(&ask(&["dump", "ledger", "--data-dir", "absent"]), 2);
    printed(&ask(&["simulate", "--seeds", "1..2"]), "simulate");
    let schedule = format!("@{}/tests/seeds/claims-granted-in-one-turn.txt", env!("CARGO_MANIFEST_DIR"));
    printed(&ask(&["simulate", "--schedule", &schedule]), "simulate_one");
}

#[test]
fn the_schema_is_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json-schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    let names = schema["$defs"].as_object().unwrap().keys().filter(|name| *name != "ledger_row");
    let expected: Vec<Value> = names.map(|name| json!({ "$ref": format!("#/$defs/{name}") })).collect();
    assert_eq!(schema["anyOf"], Value::from(expected), "all of them, and nothing else");
}

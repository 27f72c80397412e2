use std::path::Path;

use clap::Parser as _;
use serde_json::Value;

use super::*;
use crate::audit::fixture::{self, Market};
use crate::cli::{Cli, Command};
use crate::journal::golden;
use crate::model::fold::Tree;
use crate::model::peer::entry::Entry;
use crate::ops::rows::LEDGER_COLUMNS;
use crate::ops::source::open_offline;
use crate::types::Number;

fn dump_of(sources: Vec<Source>, other: Vec<Source>, line: &str) -> (Result<u8, Failure>, String) {
    let cli = Cli::parse_from(["bazaar", "dump"].into_iter().chain(line.split_whitespace()));
    let Command::Dump(args) = cli.command else { unreachable!("dump") };
    let mut out = Vec::new();
    let code = run(&args, &cli.global, (sources, other), None, &mut out);
    (code, String::from_utf8(out).unwrap())
}

fn dump(line: &str) -> String {
    let (code, text) = dump_of(Market::lived().sources(), Vec::new(), line);
    assert_eq!(code, Ok(exit::DONE), "{line}");
    text
}

fn rows(line: &str) -> Vec<Value> {
    dump(&format!("{line} --format jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn usage(line: &str) -> Failure {
    let (code, _) = dump_of(Market::lived().sources(), Vec::new(), line);
    let failure = code.unwrap_err();
    assert_eq!(failure.exit, exit::USAGE, "{line}");
    failure
}

#[test]
fn every_record_is_a_row_without_gap() {
    let all = rows("ledger");
    let seqs: Vec<u64> = all.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(all[1]["product"], "fish");
}

#[test]
fn filters_hold_together() {
    let sales = rows("ledger --kind sale --product fish");
    assert!(!sales.is_empty() && sales.iter().all(|row| row["kind"] == "sale" && row["product"] == "fish"));
    assert!(rows("ledger --order 4-1").iter().all(|row| row["peer"] == 4 && row["number"] == 1));
    assert!(rows("ledger --trader 5 --term 3").iter().all(|row| row["term"] == 3));
    let range = rows("ledger --from 5 --to 8");
    assert_eq!(range.iter().map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 6, 7, 8]);
    let last = rows("ledger --reverse --limit 2");
    assert_eq!(last[0]["seq"].as_u64().unwrap(), last[1]["seq"].as_u64().unwrap() + 1);
    assert_eq!(last[0]["seq"], rows("ledger").last().unwrap()["seq"]);
}

#[test]
fn what_no_row_can_have_is_refused() {
    assert_eq!(usage("ledger --product fsh").hint.unwrap(), "did you mean fish?");
    assert!(usage("ledger --kind sael").what.contains("sael"));
    assert!(usage("inventory --trader 5").what.contains("--trader"));
    assert!(usage("orders --at 3").what.contains("--at"));
    let end = rows("ledger").len();
    let beyond = usage(&format!("inventory --at {}", end + 1));
    assert!(beyond.what.ends_with(&format!("ends with row {end}")), "{beyond:?}");
    rows(&format!("inventory --at {end}"));
}

#[test]
fn state_is_what_the_rows_add_up_to() {
    let inventory = rows("inventory");
    for product in &inventory {
        let of = |key: &str| product[key].as_u64().unwrap();
        assert_eq!(of("stocked") + of("deposited"), of("sold") + of("on_hand"));
    }
    assert_eq!(rows("inventory --product fish").len(), 1);
    let balances: i64 = rows("accounts").iter().map(|row| row["balance"].as_i64().unwrap()).sum();
    assert_eq!(balances, 0);
    assert_eq!(rows("sessions --peer 4")[0]["decided"], rows("sessions --peer 4")[0]["highest"]);
    let offices = rows("offices");
    assert_eq!((&offices[0]["trader"], &offices[1]["trader"]), (&5.into(), &4.into()));
    assert_eq!(offices[0]["paired"], true);
    assert!(rows("queue").is_empty());
}

#[test]
fn an_earlier_state_is_as_it_was() {
    let before = rows("inventory --at 3");
    assert!(before.iter().all(|product| product["stocked"] == product["on_hand"] && product["sold"] == 0));
    assert!(rows("offices --at 3").is_empty());
}

#[test]
fn orders_are_the_peers_own_view() {
    let orders = rows("orders --peer 4");
    assert!(orders.iter().all(|order| order["node"].is_null() && order["state"] == "answered"), "{orders:?}");
    let keys: Vec<&String> = orders[0].as_object().unwrap().keys().collect();
    let documented = [
        "number", "order", "stamp", "kind", "product", "asked", "state", "outcome", "filled", "amount",
        "told_at", "via",
    ];
    assert_eq!(keys, documented);
    assert_eq!(rows("orders")[0]["node"], "peer-1");
}

/// The row may be the last one of its block: that the log goes on is no finding then.
#[test]
fn the_state_at_every_row_is_shown_without_a_warning() {
    let market = Market::lived();
    for at in 4..=market.ledger.concat().len() {
        let ledger = fixture::disk::<crate::model::market::Market>(0, &market.ledger);
        let (code, text) =
            dump_of(vec![fixture::stored(&ledger)], Vec::new(), &format!("inventory --at {at}"));
        assert_eq!(code, Ok(exit::DONE), "row {at}: {text}");
    }
}

/// As a look at all of them at once has them, whatever is answered late or never.
#[test]
fn orders_come_in_the_order_of_their_numbers() {
    let mut market = Market::lived();
    let steps = market.journals.get_mut(&PeerId(1)).unwrap();
    let answers = |step: &Vec<Entry>, number: u64| matches!(&step[0], Entry::Answered { told, .. } if told[0].number == Number(number));
    // Number 2 is never answered, number 3 after all the others.
    steps.retain(|step| !answers(step, 2));
    let late = steps.iter().position(|step| answers(step, 3)).unwrap();
    let late = steps.remove(late);
    steps.push(late);
    let all = dump_of(market.stores(), Vec::new(), "orders --peer 1 --format jsonl").1;
    let all: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = all.iter().map(|order| order["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let states: Vec<&Value> = all.iter().map(|order| &order["state"]).collect();
    assert!(states[1] == "placed" && states[2] == "answered", "{states:?}");
    let last = dump_of(market.stores(), Vec::new(), "orders --peer 1 --format jsonl --reverse --limit 2").1;
    let last: Vec<Value> = last.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(last, [all[all.len() - 1].clone(), all[all.len() - 2].clone()]);
    let first = dump_of(market.stores(), Vec::new(), "orders --format jsonl --limit 3").1;
    assert_eq!(first.lines().count(), 3);
}

#[test]
fn an_orders_life_goes_over_all_stores() {
    let life = rows("--order 4-1");
    let mut events: Vec<&str> = life.iter().map(|step| step["event"].as_str().unwrap()).collect();
    events.sort_unstable();
    assert_eq!(events, ["accepted", "answered", "left the queue", "placed", "settled"]);
    let (code, _) = dump_of(Market::lived().sources(), Vec::new(), "--order 4-999");
    assert_eq!(code.unwrap_err().exit, exit::NO);
}

#[test]
fn a_row_that_cannot_be_read_is_printed_as_such() {
    let (mut blocks, tip) = fixture::chain(&Market::lived().ledger);
    let rows = blocks.len();
    let middle = blocks[4].len() / 2;
    blocks[4][middle] ^= 1;
    let damaged = || vec![fixture::memory(0, blocks.clone(), tip, 1_000)];
    let (code, text) = dump_of(damaged(), Vec::new(), "ledger --format jsonl");
    assert_eq!(code, Ok(exit::UNDETERMINED));
    let unreadable: Vec<&str> = text.lines().filter(|line| line.contains("unreadable")).collect();
    assert_eq!(unreadable.len(), 1);
    assert!(text.lines().count() >= rows);
    assert_eq!(dump_of(damaged(), Vec::new(), "summary").0, Ok(exit::UNDETERMINED));
}

#[test]
fn a_log_that_ends_before_its_mark_is_not_taken_for_whole() {
    let (mut blocks, tip) = fixture::chain(&Market::lived().ledger);
    blocks.pop();
    for view in ["ledger", "summary", "inventory"] {
        let (code, _) = dump_of(vec![fixture::memory(0, blocks.clone(), tip, 1_000)], Vec::new(), view);
        assert_eq!(code, Ok(exit::UNDETERMINED), "{view}");
    }
    let (code, _) = dump_of(vec![fixture::memory(0, blocks, tip, 1_000)], Vec::new(), "inventory --at 3");
    assert_eq!(code, Ok(exit::DONE));
}

#[test]
fn two_stores_are_compared_key_by_key() {
    let ledger = |market: &Market| market.sources().into_iter().take(1).collect::<Vec<_>>();
    let clean = Market::lived();
    let (code, text) = dump_of(ledger(&clean), ledger(&clean), "ledger --diff there --format jsonl");
    assert_eq!((code, text.as_str()), (Ok(exit::DONE), ""));
    let mut longer = clean.clone();
    longer.trade(5, 3, &[(1, fixture::BUY, 0, 1)]);
    let (code, text) = dump_of(ledger(&clean), ledger(&longer), "ledger --diff there --format jsonl");
    assert_eq!(code, Ok(exit::BROKEN));
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r#""key":"row","here":null,"there":"sale""#), "{text}");
}

#[test]
fn a_summary_counts_and_names_the_head() {
    let summary = rows("summary");
    let ledger = &summary[0];
    assert_eq!(ledger["node"], "warehouse");
    assert_eq!(ledger["records"], ledger["head_seq"]);
    assert_eq!(ledger["kinds"]["stocked"], 3);
    let sold: u64 = rows("inventory").iter().map(|row| row["sold"].as_u64().unwrap()).sum();
    assert_eq!(ledger["sold_pieces"], sold);
    assert!(dump("").contains("kinds sale"));
    assert!(dump("meta").contains("mark_seq"));
    let object: Value = serde_json::from_str(&dump("--json")).unwrap();
    assert_eq!(object["rows"].as_array().unwrap().len(), summary.len());
}

#[test]
fn a_ledger_needs_the_warehouse() {
    let peers: Vec<Source> = Market::lived().sources().into_iter().skip(1).collect();
    let (code, _) = dump_of(peers, Vec::new(), "ledger");
    assert_eq!(code.unwrap_err().exit, exit::USAGE);
}

/// What the last build of format 1 printed of the golden stores, by its own dump. Ids of orders as text came later.
#[test]
fn stores_of_format_1_are_dumped_as_their_own_build_did() {
    for (node, view) in
        [("warehouse", "ledger"), ("warehouse", "sessions"), ("peer", "orders"), ("peer", "sessions")]
    {
        let dir = golden::unpacked(1, node);
        let source = open_offline(&dir.path().join(node)).unwrap();
        let (_, text) = dump_of(vec![source], Vec::new(), &format!("{view} --format jsonl"));
        let mut lines = String::new();
        for line in text.lines() {
            let mut row: Row = serde_json::from_str(line).unwrap();
            let order = row.shift_remove("order");
            assert_eq!(order.is_some(), row.contains_key("number"), "{line}");
            lines += &(serde_json::to_string(&row).unwrap() + "\n");
        }
        let printed = format!("data/golden/format-1/{node}.{view}.jsonl");
        let printed = Path::new(env!("CARGO_MANIFEST_DIR")).join(printed);
        assert_eq!(lines, std::fs::read_to_string(&printed).unwrap(), "{}", printed.display());
    }
}

#[test]
fn an_order_is_named_as_text_behind_its_number() {
    let line = dump("ledger --kind sale --limit 1 --format jsonl");
    assert!(line.contains(r#","peer":4,"number":1,"order":"4-1","stamp":"#), "{line}");
    let sources = Market::lived().sources().into_iter().filter(|source| source.meta().node.0 == 4).collect();
    let (_, line) = dump_of(sources, Vec::new(), "orders --format jsonl");
    assert!(line.starts_with(r#"{"number":1,"order":"4-1","stamp":"#), "{line}");
}

/// Stores on disks, with checkpoints: what the sources of the other tests do not have.
fn of_disks(line: &str) -> String {
    let disks = Market::lived().disks();
    let (code, text) = dump_of(disks.iter().map(fixture::stored).collect(), Vec::new(), line);
    assert_eq!(code, Ok(exit::DONE), "{line}");
    text
}

#[test]
fn a_checkpoint_and_what_came_after_it_say_what_all_rows_say() {
    for view in [
        "",
        "summary",
        "meta",
        "inventory",
        "accounts",
        "sessions",
        "inventory --product fish",
        "accounts --peer 4",
    ] {
        let line = format!("{view} --format jsonl");
        let at_hand = of_disks(&line);
        assert!(!at_hand.is_empty(), "{view}");
        assert_eq!(at_hand, of_disks(&format!("{line} --scan")), "{view}");
    }
    assert!(of_disks("summary").contains("sold_pieces"));
}

#[test]
fn a_checkpoint_that_does_not_fit_its_log_is_not_shown() {
    let disks = Market::lived().disks();
    let (last, _) = disks[0].open().reader().floor(Tree::Ledger, &[0xff; 8]).unwrap().unwrap();
    disks[0].open().put(Tree::Ledger, &last, b"no block").unwrap();
    let (code, _) = dump_of(vec![fixture::stored(&disks[0])], Vec::new(), "summary");
    assert_eq!(code, Ok(exit::UNDETERMINED), "a row is unreadable, and the mark is not reached");
}

#[test]
fn the_last_rows_are_read_from_the_end() {
    let all: Vec<String> = of_disks("ledger --format jsonl").lines().map(str::to_owned).collect();
    let lines = |line: &str| of_disks(line).lines().map(str::to_owned).collect::<Vec<_>>();
    let backward: Vec<String> = all.iter().rev().cloned().collect();
    assert_eq!(lines("ledger --reverse --format jsonl"), backward);
    assert_eq!(lines("ledger --reverse --limit 3 --format jsonl"), backward[..3]);
    assert_eq!(lines("ledger --tail 3 --format jsonl"), all[all.len() - 3..]);
    assert_eq!(lines("ledger --reverse --from 4 --to 6 --format jsonl"), [&*all[5], &*all[4], &*all[3]]);
    let without_a_way_back = rows("ledger");
    assert_eq!(rows("ledger --tail 3"), without_a_way_back[without_a_way_back.len() - 3..]);
}

/// A limit, however high, makes rows one by one; without one they are made as text, by another thread.
#[test]
fn rows_as_text_are_the_rows() {
    for market in [Market::lived(), Market::restored()] {
        for filter in ["", "--kind sale,void", "--from 7 --to 19", "--peer 4"] {
            for format in ["jsonl", "csv"] {
                let line = format!("ledger {filter} --format {format}");
                let (code, text) = dump_of(market.sources(), Vec::new(), &line);
                assert_eq!(code, Ok(exit::DONE));
                assert!(text.lines().count() > 2, "{line}");
                let one_by_one = dump_of(market.sources(), Vec::new(), &format!("{line} --limit 100000"));
                assert_eq!((code, text), one_by_one, "{line}");
            }
        }
    }
}

/// Rows are chosen by their records; what is asked for is said of the rows.
#[test]
fn records_are_chosen_as_their_rows_would_be() {
    let filters = [
        "--peer 4",
        "--order 4-1",
        "--trader 5",
        "--trader 6 --term 1",
        "--term 3",
        "--product fish",
        "--kind sale",
        "--kind office,fence,stocked",
        "--kind sale --peer 1 --product salt",
        "--from 4 --to 30 --kind deposit",
        "--since 2026-11-22T10:00:00.005Z",
        "--since 2026-11-22T10:00:00.005Z --until 2026-11-22T10:00:00.009Z --kind sale",
        "--until 2026-11-22T10:00Z",
    ];
    for market in [Market::lived(), Market::restored()] {
        let (_, all) = dump_of(market.sources(), Vec::new(), "ledger --format jsonl");
        for filter in filters {
            let cli = Cli::parse_from(["bazaar", "dump", "ledger"].into_iter().chain(filter.split(' ')));
            let Command::Dump(args) = cli.command else { unreachable!("dump") };
            let selection = Selection::new(&args.filter, &LEDGER_COLUMNS).unwrap();
            let row = |line: &&str| selection.takes(&serde_json::from_str(line).unwrap());
            let expected: String = all.lines().filter(row).map(|line| format!("{line}\n")).collect();
            let line = format!("ledger {filter} --format jsonl");
            assert_eq!(dump_of(market.sources(), Vec::new(), &line).1, expected, "{filter}");
        }
    }
}

/// Of a store with segments only the rows that may show an order are read; what they say is what all rows say.
#[test]
fn an_orders_life_is_the_same_from_segments() {
    for market in [Market::lived(), Market::restored()] {
        let disks = market.sealed_disks();
        let of = |line: &str| dump_of(disks.iter().map(fixture::stored).collect(), Vec::new(), line).1;
        assert!(of("meta").matches("sealed_to").count() > 2, "{}", of("meta"));
        let mut orders: Vec<String> = of("ledger --format jsonl")
            .lines()
            .filter_map(|line| {
                Some(serde_json::from_str::<Value>(line).unwrap()["order"].as_str()?.to_owned())
            })
            .collect();
        orders.dedup();
        assert!(orders.len() > 15, "{orders:?}");
        let mut ranks = 0;
        for order in orders {
            let line = format!("--order {order} --format jsonl");
            let life = of(&line);
            ranks += life.matches("\"rank\"").count();
            assert_eq!(life, of(&format!("{line} --scan")), "{order}");
        }
        assert!(ranks > 15, "{ranks}");
    }
}

/// It began with the first row of the ledger, however long that was.
#[test]
fn a_follower_begins_at_the_end() {
    let all = rows("ledger");
    assert!(rows("ledger --follow").is_empty());
    assert_eq!(rows("ledger -f -n 3"), all[all.len() - 3..]);
    assert_eq!(rows("ledger --follow --tail 1000"), all);
    assert_eq!(rows("ledger --follow --from 5"), all[4..]);
    let sales = rows("ledger --kind sale");
    assert_eq!(rows("ledger --follow --tail 2 --kind sale"), sales[sales.len() - 2..]);
    assert!(dump("ledger --follow").starts_with("seq "), "the heading comes at once");
}

/// Rows of 200 cells were broken in the middle of words.
#[test]
fn a_table_on_a_terminal_fits_it() {
    let table = |line: &str, width| {
        let Command::Dump(args) =
            Cli::parse_from(["bazaar", "dump"].into_iter().chain(line.split(' '))).command
        else {
            unreachable!("dump")
        };
        let global = Cli::parse_from(["bazaar", "status"]).global;
        let mut out = Vec::new();
        run(&args, &global, (Market::lived().sources(), Vec::new()), width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    for line in ["ledger", "ledger --follow --tail 50", "ledger --reverse", "sessions", "orders"] {
        assert!(widest(&table(line, Some(80))) <= 80, "{line}: {}", table(line, Some(80)));
    }
    let narrow = table("ledger", Some(80));
    assert!(["seq", "kind", "order", "product", "amount"].iter().all(|key| narrow.contains(key)), "{narrow}");
    assert!(widest(&table("ledger --wide", Some(80))) > 80);
    assert!(table("summary", Some(20)).contains("value"), "a fact without its value is none");
    assert!(widest(&table("ledger", None)) > 80, "a file is no terminal");
    let named = table("ledger --columns kind,seq --limit 1", Some(80));
    assert_eq!(named, "kind     seq\nstocked    1\n");
    assert_eq!(dump("ledger --columns kind,seq --format csv --limit 1"), "kind,seq\nstocked,1\n");
    assert_eq!(dump("inventory --columns on_hand --format csv").lines().next(), Some("on_hand"));
    assert_eq!(usage("ledger --columns knd").hint.as_deref(), Some("did you mean kind?"));
}

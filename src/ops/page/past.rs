//! The market as it was: from the stores, by `bazaar dump` in processes of their own, so that no memory stays with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::shown::{CUT_OFF, Lasting, PAUSED};
use super::snapshot::{links_json, rates, with_taken};
use super::{Hub, Mark, Target};
use crate::limits::{PAGE_ACT_MAX, PAGE_MARKS_MAX, REPORT_QUEUE_MAX};
use crate::ops::market::node_id;
use crate::types::{PeerId, WallMicros, node_name};

/// The ledger's rows that are marks.
const KINDS: &str = "fence,office,mode";

/// The state at a time, as a snapshot of the page.
///
/// # Errors
/// A store cannot be read; says why.
pub(super) async fn state(hub: &Hub, time: WallMicros) -> Result<Value, String> {
    let at = time.to_string();
    let [stock, offices] = ["inventory", "offices"].map(|view| [view, "--at", &at]);
    let last_row = ["ledger", "--until", &at, "--tail", "1"];
    let (stock, offices, row, queues) = tokio::join!(
        of_ledger(hub, &stock),
        of_ledger(hub, &offices),
        of_ledger(hub, &last_row),
        queues(hub, &at)
    );
    let (stock, offices, row, queues) = (stock?, offices?, row?, queues?);
    let Lasting { cluster, links, addrs, roles, .. } = hub.shown.lasting();
    let held: Vec<&Value> = offices.iter().filter(|row| row["office"].is_string()).collect();
    let lives = hub.shown.lives();
    let Then { dead, paused, cuts } = Then::at(&hub.shown.marks(), time.0);
    let (interval, samples) = hub.record.at(hub.record.seconds(time.0));
    let known = queues.keys().copied().chain(lives.keys().copied()).chain(addrs.keys().copied());
    let nodes = known.chain([PeerId::WAREHOUSE]).collect::<BTreeSet<PeerId>>().into_iter().map(|node| {
        let office = held.iter().find(|row| row["trader"].as_u64() == Some(node.0.into()));
        let queue = if office.is_some() { queues.get(&node).cloned().unwrap_or_default() } else { Vec::new() };
        let mut it = json!({
            "node": node_name(node),
            "role": roles.get(&node).or(lives.get(&node).map(|life| &life.role)),
            "addr": addrs.get(&node).or(lives.get(&node).map(|life| &life.addr)),
            "pid": null,
            "state": match () {
                () if dead.contains(&node) => "dead",
                () if paused.contains(&node) => "paused",
                () => "alive",
            },
            "office": office.map(|row| &row["office"]), "term": office.map(|row| &row["term"]),
            "pairing": office.map(|row| if row["paired"] == true || row["paired"] == "true" { "paired" } else { "solo" }),
            "clock": null, "log_seq": null, "ledger_seq": null,
            "queue_depth": queue.len(), "queue": queue.into_iter().take(REPORT_QUEUE_MAX).collect::<Vec<_>>(),
            "cache": null, "cache_age_ms": null, "cache_behind": null, "heartbeat_age_ms": null,
            "elections": null, "duplicates": null, "messages_sent": null, "health": "",
        });
        with_taken(&mut it, samples.get(&node).filter(|_| !dead.contains(&node)));
        it
    });
    let goods = stock.iter().map(
        |row| json!({ "product": row["product"], "stock": row["on_hand"], "unit_price": row["unit_price"] }),
    );
    Ok(json!({
        "time": time.0, "past": true, "cluster": cluster, "consistency": "", "began": 0, "acts": [],
        "nodes": nodes.collect::<Vec<_>>(), "links": links.as_array().cloned().unwrap_or_default(), "cuts": links_json(&cuts), "stock": goods.collect::<Vec<_>>(),
        "ledger_seq": row.first().map_or(0, |row| row["seq"].as_u64().unwrap_or_default()),
        "rates": rates(interval), "failovers": [], "verdict": null,
    }))
}

/// What the peers had accepted and not yet heard of by then.
async fn queues(hub: &Hub, at: &str) -> Result<BTreeMap<PeerId, Vec<Value>>, String> {
    let args = ["queue", "--at", at];
    if let Target::Dir(dir) = &hub.target {
        return Ok(by_node(dump(hub, &args, ["--data-dir".into(), dir.into()]).await?));
    }
    let peers = hub.shown.lasting().addrs.into_iter().filter(|(node, _)| *node != PeerId::WAREHOUSE);
    let mut queues = BTreeMap::new();
    for (peer, addr) in peers {
        let rows = dump(hub, &args, ["--connect".into(), addr.into()]).await?;
        queues.insert(peer, rows.iter().map(queued).collect());
    }
    Ok(queues)
}

fn by_node(rows: Vec<Value>) -> BTreeMap<PeerId, Vec<Value>> {
    let mut queues: BTreeMap<PeerId, Vec<Value>> = BTreeMap::new();
    for row in rows {
        if let Some(node) = row["node"].as_str().and_then(node_id) {
            queues.entry(node).or_default().push(queued(&row));
        }
    }
    queues
}

fn queued(row: &Value) -> Value {
    json!({
        "order": row["order"], "stamp": row["stamp"], "kind": row["kind"],
        "product": row["product"], "quantity": row["asked"],
    })
}

/// How the nodes were, as far as whoever started them saw it.
#[derive(Debug, Default, PartialEq)]
struct Then {
    /// Ended, and not begun again.
    dead: BTreeSet<PeerId>,
    /// Standing still.
    paused: BTreeSet<PeerId>,
    /// Links that carried nothing.
    cuts: BTreeSet<(PeerId, PeerId)>,
}

impl Then {
    fn at(marks: &[Mark], time: u64) -> Then {
        let mut then = Then::default();
        for Mark { kind, node, text, .. } in marks.iter().filter(|mark| mark.time <= time) {
            let cut = text.strip_prefix(CUT_OFF).and_then(node_id).map(|other| (other, *node));
            match (*kind, cut) {
                ("crashed", _) => {
                    then.dead.insert(*node);
                    then.paused.remove(node);
                }
                ("started", _) => drop(then.dead.remove(node)),
                ("fault", Some(pair)) => drop(then.cuts.insert(pair)),
                ("healed", Some(pair)) => drop(then.cuts.remove(&pair)),
                ("fault", None) if text == PAUSED => drop(then.paused.insert(*node)),
                ("healed", None) if text == PAUSED => drop(then.paused.remove(node)),
                _ => {}
            }
        }
        then
    }
}

/// Marks that were read of the ledger so far: it may be long, and is read once.
#[derive(Default)]
pub(super) struct Marks {
    rows: Vec<Value>,
    /// The first row that was not read yet.
    next: u64,
}

impl Marks {
    /// Reads on. While the warehouse is away, what was read before stands.
    async fn read_on(&mut self, hub: &Hub) {
        let end = hub.shown.lasting().ledger_seq;
        // A ledger that was restored may be shorter than it was.
        let anew = end != 0 && end + 1 < self.next;
        if end != 0 && end < self.next && !anew {
            return;
        }
        let (from, last) = (if anew { 0 } else { self.next }.to_string(), PAGE_MARKS_MAX.to_string());
        let rows = of_ledger(hub, &["ledger", "--kind", KINDS, "--from", &from, "--tail", &last]).await;
        let Ok(rows) = rows else { return };
        if anew {
            self.rows.clear();
        }
        self.next = end + 1;
        let known = self.rows.last().and_then(|mark| mark["seq"].as_u64());
        self.rows.extend(rows.iter().filter(|row| row["seq"].as_u64() > known).filter_map(of_row));
        self.rows.drain(..self.rows.len().saturating_sub(PAGE_MARKS_MAX));
    }
}

/// What befell the market, by time: the ledger's rows on offices, and what was seen of one's own children.
pub(super) async fn marks(hub: &Hub) -> Value {
    let mut marks: Vec<Value> = hub.shown.marks().iter().map(Mark::json).collect();
    // Who waits for another's reading in vain has what is known without it.
    if let Ok(mut of_ledger) = tokio::time::timeout(PAGE_ACT_MAX, hub.marks.lock()).await {
        of_ledger.read_on(hub).await;
        marks.extend(of_ledger.rows.iter().cloned());
    }
    marks.sort_by_key(|mark| mark["time"].as_u64());
    Value::Array(marks)
}

fn of_row(row: &Value) -> Option<Value> {
    let time = time_of(row)?;
    let trader = row["trader"].as_u64().and_then(|it| u32::try_from(it).ok()).map(PeerId);
    let text = match (row["kind"].as_str()?, row["term"].as_u64()) {
        ("office", Some(term)) => format!("{} under term {term}", row["office"].as_str().unwrap_or("office")),
        ("fence", Some(term)) => format!("term {term} is over"),
        (kind, _) => kind.to_owned(),
    };
    Some(json!({
        "time": time, "kind": row["kind"], "node": node_name(trader.unwrap_or(PeerId::WAREHOUSE)),
        "text": text, "seq": row["seq"],
    }))
}

/// The first moment of the ledger.
pub(super) async fn began(hub: &Hub) -> Option<u64> {
    of_ledger(hub, &["ledger", "--limit", "1"]).await.ok()?.first().and_then(time_of)
}

fn time_of(row: &Value) -> Option<u64> {
    let time = humantime::parse_rfc3339(row["time"].as_str()?).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_micros() as u64)
}

/// The rows that `bazaar dump` prints of the warehouse's store.
async fn of_ledger(hub: &Hub, args: &[&str]) -> Result<Vec<Value>, String> {
    let source: [OsString; 2] = match &hub.target {
        Target::Dir(dir) => ["--data-dir".into(), dir.join(node_name(PeerId::WAREHOUSE)).into()],
        Target::Addr(addr) => {
            let warehouse = hub.shown.lasting().addrs.remove(&PeerId::WAREHOUSE);
            ["--connect".into(), warehouse.unwrap_or_else(|| addr.clone()).into()]
        }
    };
    dump(hub, args, source).await
}

/// The rows that `bazaar dump` prints.
async fn dump(hub: &Hub, args: &[&str], source: [OsString; 2]) -> Result<Vec<Value>, String> {
    let place = tokio::time::timeout(PAGE_ACT_MAX, hub.dumps.acquire()).await;
    let _place = place.map_err(|_| "others ask for the past, too: try again".to_owned())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("dump").args(args).args(source).args(["--format", "jsonl", "--quiet"]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PAGE_ACT_MAX, command.output()).await;
    let output = ended.map_err(|_| format!("dump took longer than {PAGE_ACT_MAX:?}"))?;
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("bazaar dump {}: {}: {}", args.join(" "), output.status, said.trim_end()));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrong_is_so_until_it_is_well_again() {
        let node = PeerId(6);
        let mark = |time, kind, text: &str| Mark { time, kind, node, text: text.to_owned() };
        let marks = [
            mark(10, "crashed", ""),
            mark(20, "started", ""),
            mark(25, "fault", "paused"),
            mark(30, "crashed", ""),
            mark(40, "started", ""),
            mark(41, "fault", "cut off from warehouse"),
            mark(42, "fault", "slow-disk"),
            mark(50, "healed", "cut off from warehouse"),
        ];
        let then = |time| {
            let Then { dead, paused, cuts } = Then::at(&marks, time);
            (dead.contains(&node), paused.contains(&node), cuts.contains(&(PeerId::WAREHOUSE, node)))
        };
        let well = (false, false, false);
        assert_eq!([9, 10, 24].map(then), [well, (true, false, false), well]);
        assert_eq!(
            [25, 31, 41, 50].map(then),
            [(false, true, false), (true, false, false), (false, false, true), well]
        );
    }

    #[test]
    fn rows_of_offices_are_marks() {
        let row = json!({ "seq": 9, "time": "2026-11-25T10:00:00.000001Z", "kind": "fence", "term": 3, "trader": 6 });
        let mark = of_row(&row).unwrap();
        assert_eq!(
            (&mark["kind"], &mark["node"], &mark["text"]),
            (&"fence".into(), &"peer-6".into(), &"term 3 is over".into())
        );
        assert_eq!(mark["time"].as_u64().unwrap() % 1_000_000, 1);
        assert!(of_row(&json!({ "kind": "fence" })).is_none());
    }
}

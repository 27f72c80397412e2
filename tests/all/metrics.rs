//! What Prometheus is told by nodes that trade, are killed and come back.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bazaar::types::Office;

use super::by_hand::{ByHand, PEERS, QUICK, WAREHOUSE};
use super::market::{Market, SOON, until};

fn get(addr: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((code, body.to_owned()))
}

/// Samples by name and labels.
fn scrape(addr: &str) -> BTreeMap<String, f64> {
    let (code, text) = until("a scrape", SOON, || get(addr, "/metrics"));
    assert_eq!(code, 200, "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

fn sum(samples: &BTreeMap<String, f64>, family: &str) -> f64 {
    samples.iter().filter(|(name, _)| name.split('{').next() == Some(family)).map(|(_, value)| value).sum()
}

#[test]
fn an_address_that_is_taken_is_named_with_its_flag() {
    let market = Market::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let warehouse = |http: &str| market.run(&["warehouse", "--listen", "127.0.0.1:0", "--http", http]);
    warehouse(&addr).refused(1, "another --http");
    warehouse("nowhere").refused(2, "not an address");
}

#[test]
fn counts_are_those_of_the_ledger_and_a_failover_shows() {
    let mut market = ByHand::empty(&QUICK);
    let addrs: BTreeMap<u32, String> = [WAREHOUSE]
        .into_iter()
        .chain(PEERS)
        .map(|id| (id, format!("{}:{}", market.host, 9_300 + id)))
        .collect();
    for (id, addr) in &addrs {
        market.tell(*id, &["--http", addr]);
    }
    market.start_in_order();
    let (primary, secondary) = market.wait_for_pair();
    let ready = || get(&addrs[&WAREHOUSE], "/readyz").filter(|(code, _)| *code == 200);
    until("the warehouse is ready", SOON, ready);

    market.kill(&[primary]);
    market.wait_for_holder(Office::Primary, secondary);
    // The warehouse knows of its heir before the heir has heard the answer.
    let held = "bazaar_office_held{office=\"primary\"}";
    let took_over = |it: &BTreeMap<String, f64>| it["bazaar_failovers_total"] >= 1.0 && it[held] == 1.0;
    let trades = |it: &BTreeMap<String, f64>| sum(it, "bazaar_stage_seconds_count") > 0.0;
    let shows = |id: u32, what: &dyn Fn(&BTreeMap<String, f64>) -> bool| {
        Some(scrape(&addrs[&id])).filter(|it| what(it)).map(|_| ())
    };
    until("the failover shows", SOON, || shows(secondary, &|it| took_over(it) && trades(it)));
    market.start(&[primary]);
    let writes = |it: &BTreeMap<String, f64>| sum(it, "bazaar_journal_sync_seconds_count") > 0.0;
    until("its log is back", SOON, || shows(primary, &|it| sum(it, "bazaar_log_seq") > 0.0 && writes(it)));
    assert_eq!(get(&addrs[&primary], "/healthz"), Some((200, "ok\n".to_owned())));

    market.trade_goes_on("the old primary is back", Instant::now());
    market.settle_everything();
    let counted = scrape(&addrs[&WAREHOUSE]);
    let market = market.ends_well("scraped", Duration::ZERO);
    let rows = market.ledger();
    let decided = rows.iter().filter(|row| row["outcome"].is_string()).count();
    assert_eq!(sum(&counted, "bazaar_orders_total"), decided as f64);
    let sales = rows.iter().filter(|row| row["kind"] == "sale").count();
    assert_eq!(counted["bazaar_ledger_rows_total{kind=\"sale\"}"], sales as f64);
}

//! The page of a running market: what it is told, what it may do, and how it looks at the past.

mod browser;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bazaar::types::Office;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::market::{Market, Running, SOON, Up, bazaar, block_on, turn, until};

/// Orders wait for a while.
const BUSY: [&str; 6] = ["--buyers", "4", "--sellers", "2", "--interval", "5ms"];

/// An answer: code, headers, body.
pub struct Answer {
    code: u16,
    head: String,
    pub body: String,
}

fn ask(addr: &str, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { code, head: head.to_lowercase(), body: body.to_owned() })
}

pub fn get(addr: &str, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    until(path, SOON, || ask(addr, &request))
}

fn post(addr: &str, token: &str, body: &Value) -> Answer {
    let (body, len) = (body.to_string(), body.to_string().len());
    let request = format!(
        "POST /act HTTP/1.1\r\nhost: {addr}\r\nx-bazaar-token: {token}\r\ncontent-length: {len}\r\n\
         connection: close\r\n\r\n{body}"
    );
    ask(addr, &request).unwrap()
}

/// The first data of an event of that name.
pub fn event(addr: &str, name: &str) -> Value {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nhost: {addr}\r\n\r\n").unwrap();
    let (mut text, mut part) = (String::new(), [0; 4_096]);
    let head = format!("event: {name}\ndata: ");
    loop {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&part[..read]));
        // Chunks of the transfer begin with their length on a line: an event is one chunk.
        if let Some((_, rest)) = text.split_once(&head)
            && let Some((data, _)) = rest.split_once("\n\n")
        {
            return serde_json::from_str(data).unwrap();
        }
    }
}

/// Where the page of this run is, and the token.
fn page_of(market: &Market, up: &Up<'_>) -> (String, String) {
    let said = until("the page's address", SOON, || {
        let line = up.stderr().lines().find_map(|line| line.trim().strip_prefix("page: ").map(str::to_owned));
        line.filter(|_| market.cluster().is_some())
    });
    let (addr, token) = said.strip_prefix("http://").unwrap().split_once("/#").unwrap();
    assert_eq!(market.cluster().unwrap()["http"], addr);
    (addr.to_owned(), token.to_owned())
}

fn now() -> u64 {
    bazaar::node::wall_now().0
}

fn node<'a>(state: &'a Value, name: &str) -> &'a Value {
    state["nodes"].as_array().unwrap().iter().find(|it| it["node"] == name).unwrap()
}

#[test]
fn a_trader_is_killed_by_the_page_and_its_queue_is_seen_as_it_was() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start_telling(&BUSY);
    up.wait_for_pair();
    let (addr, token) = page_of(&market, &up);
    let document = get(&addr, "/");
    assert!(document.code == 200 && document.head.contains("content-security-policy: default-src 'none'"));
    assert!(document.body.len() < 150_000 && !document.body.contains(&token), "{}", document.body.len());
    let foreign = "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(ask(&addr, foreign).unwrap().code, 403);
    assert!(get(&addr, "/metrics").body.contains("bazaar_page_nodes 9\n"));

    let state = event(&addr, "market");
    let primary = up.holder(Office::Primary).unwrap();
    assert_eq!(
        (&node(&state, &primary)["office"], &node(&state, &primary)["state"]),
        (&"primary".into(), &"alive".into())
    );
    assert!(node(&state, &primary)["cache"].is_array() && node(&state, "peer-1")["cache"].is_null());
    assert!(!event(&addr, "messages").as_array().unwrap().is_empty());

    let kill = json!({ "act": "kill", "node": primary });
    assert_eq!(post(&addr, "", &kill).code, 403);
    assert_eq!(post(&addr, "0123", &kill).code, 403);
    assert_eq!(post(&addr, &token, &json!({ "act": "kill", "node": "peer-77" })).code, 409);
    assert_eq!(post(&addr, &token, &json!({ "act": "melt", "node": primary })).code, 400);
    let before = now();
    let done = post(&addr, &token, &kill);
    assert!(done.code == 200 && done.body.contains("was killed"), "{}", done.body);
    up.wait_for_pair();
    let after = until("the failover", SOON, || {
        let state = event(&addr, "market");
        let known = state["failovers"].as_array().unwrap().iter().any(|it| it["took_over_ms"].is_number());
        known.then_some(state)
    });
    assert_eq!(node(&after, &primary)["state"], "dead");
    assert_eq!(post(&addr, &token, &kill).code, 409);

    // The stores tell of before, the dead trader's, too.
    let past: Value = serde_json::from_str(&get(&addr, &format!("/at?time={before}")).body).unwrap();
    let was = node(&past, &primary);
    assert_eq!(
        (&was["office"], &was["state"], &past["past"]),
        (&"primary".into(), &"alive".into(), &true.into())
    );
    assert!(past["ledger_seq"].as_u64() < after["ledger_seq"].as_u64(), "{past}");
    let marks: Value = serde_json::from_str(&get(&addr, "/marks").body).unwrap();
    let kinds: Vec<&str> = marks.as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"crashed") && kinds.contains(&"fence") && kinds.contains(&"office"), "{marks}");

    // What was measured is drawn, and known of the past.
    let charts = until("the charts", SOON, || {
        let charts: Value = serde_json::from_str(&get(&addr, "/charts").body).unwrap();
        charts["rows"].as_array().is_some_and(|rows| rows.len() > 1).then_some(charts)
    });
    let titles =
        |group: &str| charts[group].as_array().unwrap().iter().map(|it| it["title"].clone()).collect();
    let (load, nodes): (Vec<Value>, Vec<Value>) = (titles("load"), titles("nodes"));
    assert_eq!(load, ["answered", "latency", "orders without an outcome"]);
    assert_eq!(nodes, ["memory", "disk", "file descriptors", "threads"]);
    assert!(charts["load"][0]["svg"].as_str().unwrap().contains("<polyline"), "{charts}");
    assert_eq!(charts["kinds"][0]["name"], "ended");
    let was: Value = serde_json::from_str(&get(&addr, &format!("/at?time={}", now())).body).unwrap();
    assert!(was["rates"]["orders_per_s"].as_f64() > Some(1.0), "{was}");
    assert!(node(&was, "peer-1")["rss_bytes"].as_f64() > Some(1e6), "{was}");
    assert_eq!(
        (&node(&was, &primary)["state"], &node(&was, &primary)["rss_bytes"]),
        (&"dead".into(), &Value::Null)
    );

    // Nobody stands between these nodes.
    let cut = post(&addr, &token, &json!({ "act": "cut", "node": primary, "other": "warehouse" }));
    assert!(cut.code == 409 && cut.body.contains("bazaar up --proxied"), "{}", cut.body);
    let again = post(&addr, &token, &json!({ "act": "restart", "node": primary }));
    assert!(again.code == 200 && again.body.contains("started again"), "{}", again.body);
    let bought = json!({ "act": "order", "node": "peer-1", "kind": "buy", "product": "salt", "quantity": 1 });
    let bought = post(&addr, &token, &bought);
    assert!(bought.code == 200 && bought.body.contains("order 1-"), "{}", bought.body);
    up.interrupt().expect(0);
    market.verify();
}

#[test]
fn no_page_is_served_where_none_is_wanted() {
    let market = Market::new();
    let up = market.start_telling(&["--no-page"]);
    assert!(!up.stderr().contains("page:"));
    assert_eq!(market.cluster().unwrap()["http"], Value::Null);
    market.run(&["up", "--no-page", "--http", "127.0.0.1:0"]).refused(2, "--http");
    market.run(&["up", "--no-page", "--proxied"]).refused(2, "--proxied");
    market.run(&["page", "--connect", "127.0.0.1:1"]).refused(3, "");
    up.interrupt().expect(0);
}

#[test]
fn a_market_that_another_started_is_looked_at_and_left_alone() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&[&BUSY[..], &["--no-page"]].concat());
    up.wait_for_pair();
    let mut command = bazaar(market.cwd());
    command.args(["page", "--connect", &up.node("peer-2").addr]);
    let page = Running::start(command);
    let url = until("the page's address", SOON, || page.stdout().lines().next().map(str::to_owned));
    let addr = url.strip_prefix("http://").unwrap().strip_suffix('/').unwrap();
    let state = event(addr, "market");
    assert_eq!((&state["acts"], state["nodes"].as_array().unwrap().len()), (&json!([]), 9));
    assert!(!event(addr, "messages").as_array().unwrap().is_empty());
    let primary = up.holder(Office::Primary).unwrap();
    up.wait_for_rows(up.ledger_seq() + 50);
    let past: Value = serde_json::from_str(&get(addr, &format!("/at?time={}", now())).body).unwrap();
    assert_eq!(node(&past, &primary)["office"], "primary");
    assert!(past["ledger_seq"].as_u64() > Some(0), "{past}");
    assert_eq!(post(addr, "", &json!({ "act": "kill", "node": primary })).code, 403);
    page.signal(Signal::INT);
    page.wait(SOON).expect(0);
    up.interrupt().expect(0);
}

/// The trader whose link to the other one is cut is deposed, and takes part again when it is healed.
#[test]
fn a_link_is_cut_by_the_page_and_healed() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start_telling(&[&BUSY[..], &["--proxied"]].concat());
    up.wait_for_pair();
    let (addr, token) = page_of(&market, &up);
    let [primary, secondary] = Office::BOTH.map(|office| up.holder(office).unwrap());
    let acts =
        |act: &str, other: &str| post(&addr, &token, &json!({ "act": act, "node": primary, "other": other }));
    assert_eq!(
        [acts("cut", "peer-77").code, acts("cut", &primary).code, acts("cut", "").code],
        [409, 409, 400]
    );
    let cut = acts("cut", &secondary);
    assert!(cut.code == 200 && cut.body.contains("was cut"), "{}", cut.body);
    let during = until("somebody else holds an office", SOON, || {
        let state = event(&addr, "market");
        let holds = |name: &str| node(&state, name)["office"].is_string();
        (holds(&primary) != holds(&secondary)).then_some(state)
    });
    let mut pair = [primary.clone(), secondary.clone()];
    pair.sort();
    assert_eq!(during["cuts"], json!([pair]));
    let then = now();
    up.wait_for_pair();
    let healed = acts("heal", &secondary);
    assert!(healed.code == 200 && healed.body.contains("carries again"), "{}", healed.body);
    until("the page shows it whole", SOON, || {
        Some(event(&addr, "market")).filter(|state| state["cuts"] == json!([]))
    });
    let past: Value = serde_json::from_str(&get(&addr, &format!("/at?time={then}")).body).unwrap();
    assert_eq!(past["cuts"], json!([pair]));
    // A node that ends and begins again is found behind its proxy.
    assert_eq!(post(&addr, &token, &json!({ "act": "kill", "node": secondary })).code, 200);
    let again = post(&addr, &token, &json!({ "act": "restart", "node": secondary }));
    assert!(again.code == 200, "{}", again.body);
    up.wait_for_pair();
    up.wait_for_rows(up.ledger_seq() + 50);
    up.interrupt().expect(0);
    market.verify();
}

/// It does not hear that its term is over, and shows its old cache: nobody trades by that.
#[test]
fn a_trader_that_is_cut_off_from_the_warehouse_has_no_cache_that_counts() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start_telling(&[&BUSY[..], &["--proxied"]].concat());
    up.wait_for_pair();
    let (addr, token) = page_of(&market, &up);
    let primary = up.holder(Office::Primary).unwrap();
    let act = |act: &str| {
        let answer = post(&addr, &token, &json!({ "act": act, "node": primary, "other": "warehouse" }));
        assert_eq!(answer.code, 200, "{}", answer.body);
    };
    act("cut");
    market.verify();
    until("its term is over", SOON, || up.holder(Office::Primary).filter(|holder| *holder != primary));
    up.wait_for_pair();
    up.wait_for_rows(up.ledger_seq() + 50);
    let cut_off = up.status(&primary).unwrap();
    assert!(cut_off.roster.held_by(cut_off.peer).is_some(), "{:?}", cut_off.roster);
    market.verify();
    act("heal");
    up.interrupt().expect(0);
}

#[test]
fn what_was_paused_ends_with_the_market() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start_telling(&BUSY);
    up.wait_for_pair();
    let (addr, token) = page_of(&market, &up);
    let primary = up.holder(Office::Primary).unwrap();
    let act = |act: &str| post(&addr, &token, &json!({ "act": act, "node": primary }));
    assert!(act("pause").body.contains("was stopped"));
    until("it is seen to stand still", SOON, || {
        Some(event(&addr, "market")).filter(|state| node(state, &primary)["state"] == "paused")
    });
    assert!(act("resume").body.contains("goes on"));
    assert!(act("pause").body.contains("was stopped"));
    up.interrupt().expect(0);
    market.verify();
}

#[test]
fn what_carried_an_order_is_drawn() {
    let _turn = turn();
    let market = Market::new();
    market.run(&["trace"]).refused(2, "no market");
    let up = market.start(&["--interval", "20ms"]);
    up.wait_for_pair();
    up.wait_for_rows(up.ledger_seq() + 20);
    let sale =
        market.run(&["dump", "ledger", "--kind", "sale", "--tail", "1", "--format", "jsonl"]).expect(0);
    let sale: Value = serde_json::from_str(&sale.stdout).unwrap();
    let (order, buyer) = (sale["order"].as_str().unwrap(), format!("peer-{}", sale["peer"]));
    let svg = market.run(&["trace", "--order", order]).expect(0).stdout;
    for text in [
        format!("{buyer} told at"),
        format!("told {order} bought"),
        format!("warehouse: settle term {}", sale["term"]),
        format!(" {order} bought (sent at"),
    ] {
        assert!(svg.contains(&text), "{text}: {svg}");
    }
    let whole = market.dir().join("..").join("whole.svg");
    market.run(&["trace", "--from", "5s", "--out", whole.to_str().unwrap()]).expect(0);
    let svg = std::fs::read_to_string(&whole).unwrap();
    assert!(svg.contains("class=\"settle\"") && svg.contains("class=\"synced\"") && svg.len() > 20_000);

    market.run(&["trace", "--order", "1-999999"]).refused(4, "no node remembers order 1-999999");
    market.run(&["trace", "--order", "fish"]).refused(2, "not an order");
    market.run(&["trace", "--from", "1s", "--to", "5s"]).refused(2, "is after --to");
    market.run(&["trace", "--out", "/nowhere/x.svg"]).refused(1, "cannot be written");
    up.interrupt().expect(0);

    let up = market.start(&["--trace-events", "0"]);
    up.wait_for_pair();
    market.run(&["trace"]).refused(4, "no node remembers its messages");
    up.interrupt().expect(0);
}

/// Time for the page to say something.
const SHOWN: Duration = Duration::from_secs(30);

//! `bazaar status`: every node's account of itself, what is in stock, and whether the nodes' views agree.
//!
//! In: the reports of all nodes of the market, asked at once. Out: tables, or one JSON object, and an exit code: 0 all
//! well, 5 views disagree or a known node does not answer, 3 nobody answers or the market is not ready to trade. News
//! needs a moment to spread, so views that disagree are looked at again before that is said.

mod node;
mod screen;
mod views;

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::node::report_cells;
pub(crate) use self::node::report_json as node_json;
use self::screen::{Pace, Screen};
use self::views::Views;
use super::market::{self, Reports};
use super::output::{
    Column, Failure, Paint, Printer, Row, Shape, Show, colored, exit, json_line, print, terminal,
};
use super::runtime::runtime;
use crate::cli::{Global, StatusArgs};
use crate::model::offices::Frozen;
use crate::model::report::Report;
use crate::types::node_name;
use crate::types::{Money, PeerId, Quantity};

/// Time that news is given to reach everybody.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(500);
/// Where `--watch` shows what it sees, if not on a terminal.
const PAGE: Screen = Screen { columns: 80, lines: usize::MAX };

/// Shows the market once, or until Ctrl-C.
///
/// # Errors
/// There is no market, nobody answers, or stdout fails.
pub fn run(args: &StatusArgs, global: &Global) -> Result<u8, Failure> {
    runtime()?.block_on(async {
        if !args.watch {
            return once(args, global).await;
        }
        tokio::select! {
            ended = watch(args, global) => ended,
            _ = tokio::signal::ctrl_c() => Ok(exit::DONE),
        }
    })
}

async fn once(args: &StatusArgs, global: &Global) -> Result<u8, Failure> {
    let mut picture = look(args, global).await?;
    if !picture.views.agree() {
        tokio::time::sleep(SECOND_LOOK_AFTER).await;
        picture = look(args, global).await?;
    }
    picture.print(global, &mut io::stdout()).map_err(Failure::writing)?;
    Ok(picture.exit())
}

/// Shows it again and again; that nobody answers for a while does not end it.
async fn watch(args: &StatusArgs, global: &Global) -> Result<u8, Failure> {
    let on_terminal = io::stdout().is_terminal() && !global.json;
    let (mut ticks, mut pace) = (tokio::time::interval(args.interval), Pace::default());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let seen = match look(args, global).await {
            Ok(picture) => picture.seen(global, &mut pace),
            Err(failure) if failure.exit == exit::UNREACHABLE && global.json => failure.json(),
            Err(failure) if failure.exit == exit::UNREACHABLE => failure.render(false),
            Err(failure) => return Err(failure),
        };
        let (before, after) = match (on_terminal, global.json) {
            // Home, and away with what was there.
            (true, _) => ("\x1b[H\x1b[2J", ""),
            (false, true) => ("", ""),
            (false, false) => ("", "\n"),
        };
        print(format_args!("{before}{seen}{after}"))?;
    }
}

async fn look(args: &StatusArgs, global: &Global) -> Result<Picture, Failure> {
    let reports = market::everybody(&args.market, global.timeout).await?;
    if reports.answered.is_empty() {
        let why = reports.silent.values().chain(&reports.nobody).next().cloned().unwrap_or_default();
        return Err(Failure::new(exit::UNREACHABLE, format!("no node of the market answers: {why}"))
            .hint("start it with bazaar up, or name a running node with --connect ADDR"));
    }
    Ok(Picture { views: Views::of(&reports), reports })
}

/// The market at one moment, more or less.
struct Picture {
    reports: Reports,
    views: Views,
}

const NODES: [Column; 12] = [
    Column { key: "node", show: Show::Text },
    Column { key: "role", show: Show::Text },
    Column { key: "office", show: Show::Text },
    Column { key: "term", show: Show::Number },
    Column { key: "clock", show: Show::Number },
    Column { key: "ledger", show: Show::Number },
    Column { key: "queue", show: Show::Number },
    Column { key: "oldest", show: Show::Text },
    Column { key: "cache", show: Show::Number },
    Column { key: "heartbeat", show: Show::Number },
    Column { key: "disk free", show: Show::Number },
    Column { key: "health", show: Show::Text },
];

const STOCK: [Column; 3] = [
    Column { key: "product", show: Show::Text },
    Column { key: "stock", show: Show::Count },
    Column { key: "unit_price", show: Show::Money },
];

impl Picture {
    fn exit(&self) -> u8 {
        if !self.views.agree() || !self.reports.silent.is_empty() {
            return exit::BROKEN;
        }
        let ready = self.reports.answered.values().all(|report| report.health == "ok");
        if ready { exit::DONE } else { exit::UNREACHABLE }
    }

    /// The node that knows the stock best: the warehouse, else the trader with the freshest cache.
    fn stock(&self) -> Option<&Report> {
        let warehouse = self.reports.answered.get(&PeerId::WAREHOUSE);
        warehouse.or_else(|| self.reports.answered.values().max_by_key(|report| report.stock_seq))
    }

    fn cluster(&self) -> &str {
        self.reports.answered.values().next().map_or("", |report| &report.cluster)
    }

    /// What `--watch` shows of it.
    fn seen(&self, global: &Global, pace: &mut Pace) -> String {
        if global.json {
            return format!("{}\n", json_line(self.json()));
        }
        let page = terminal().map_or(PAGE, |(columns, lines)| Screen { columns, lines });
        let pace = pace.of(Instant::now(), screen::ledger(self));
        screen::lines(self, pace, page).iter().map(|line| format!("{line}\n")).collect()
    }

    fn generation_line(&self) -> Option<String> {
        let report = self.stock().filter(|report| report.generation.count > 0)?;
        Some(format!("generation {} of the ledger, which was restored from a backup", report.generation))
    }

    /// Terms that ended with goods set aside: who can say what they had sold of them.
    fn frozen(&self) -> &[Frozen] {
        self.stock().map_or(&[], |report| &report.roster.frozen)
    }

    fn frozen_lines(&self) -> Vec<String> {
        let line = |Frozen { term, trader, partner }: &Frozen| {
            format!(
                "frozen goods of term {term} wait for peer {trader} or {partner}; if both stores are gone: bazaar \
                 release --term {term} --accept-loss"
            )
        };
        self.frozen().iter().map(line).collect()
    }

    fn print(&self, global: &Global, out: &mut impl Write) -> io::Result<()> {
        if global.json {
            return writeln!(out, "{}", json_line(self.json()));
        }
        let color = colored(global.color, &io::stdout());
        let shape = Shape::Table { color };
        table(out, shape, &NODES, self.node_cells())?;
        writeln!(out)?;
        table(out, shape, &STOCK, self.stock_rows())?;
        writeln!(out)?;
        for line in self.views.lines() {
            let line = if self.views.agree() { line } else { Paint::Red.on(&line, color) };
            writeln!(out, "{line}")?;
        }
        for line in self.generation_line().into_iter().chain(self.frozen_lines()) {
            writeln!(out, "{line}")?;
        }
        let silent: Vec<String> = self.reports.silent.keys().map(|node| node_name(*node)).collect();
        let not_healthy = Paint::Red.on("not healthy", color);
        match self.exit() {
            exit::DONE => writeln!(out, "{}", Paint::Green.on("healthy", color)),
            _ if silent.is_empty() => match self.trouble() {
                Some(why) => writeln!(out, "{not_healthy}: {why}"),
                None => writeln!(out, "{not_healthy}"),
            },
            _ => writeln!(out, "{not_healthy}: no answer from {}", silent.join(", ")),
        }
    }

    /// What the first node that is not well says, the warehouse before all others.
    fn trouble(&self) -> Option<&str> {
        let healths = self.reports.answered.values().map(|report| report.health.as_str());
        healths.into_iter().find(|health| *health != "ok")
    }

    fn node_cells(&self) -> Vec<Row> {
        let silent =
            |node: &PeerId| cells(&[("node", node_name(*node)), ("health", "unreachable".to_owned())]);
        let mut rows: Vec<(PeerId, Row)> =
            self.reports.answered.iter().map(|(node, report)| (*node, report_cells(report))).collect();
        rows.extend(self.reports.silent.keys().map(|node| (*node, silent(node))));
        let left = |node: &PeerId| cells(&[("node", node_name(*node)), ("health", "left".to_owned())]);
        rows.extend(self.reports.left.iter().map(|node| (*node, left(node))));
        rows.sort_by_key(|(node, _)| *node);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn stock_rows(&self) -> Vec<Row> {
        let Some(report) = self.stock() else { return Vec::new() };
        let good = |((name, price), stock): (&(String, Money), &Quantity)| {
            let good = json!({ "product": name, "stock": stock.0, "unit_price": price.0 });
            good.as_object().cloned().unwrap_or_default()
        };
        report.goods.iter().zip(&report.stock).map(good).collect()
    }

    /// The same facts as one object.
    fn json(&self) -> Value {
        let mut nodes: Vec<(PeerId, Value)> =
            self.reports.answered.iter().map(|(node, report)| (*node, node_json(report))).collect();
        nodes.extend(self.reports.silent.iter().map(|(node, why)| {
            (*node, json!({ "node": node_name(*node), "health": "unreachable", "why": why }))
        }));
        let left = |node: &PeerId| json!({ "node": node_name(*node), "health": "left" });
        nodes.extend(self.reports.left.iter().map(|node| (*node, left(node))));
        nodes.sort_by_key(|(node, _)| *node);
        json!({
            "cluster": self.cluster(),
            "healthy": self.exit() == exit::DONE,
            "agree": self.views.agree(),
            "views": self.views.json(),
            "nodes": nodes.into_iter().map(|(_, node)| node).collect::<Vec<_>>(),
            "stock": self.stock_rows(),
            "frozen": self.frozen().iter().map(frozen_json).collect::<Vec<_>>(),
            "stock_seq": self.stock().map(|report| report.stock_seq.0),
        })
    }
}

fn frozen_json(it: &Frozen) -> Value {
    json!({ "term": it.term.0, "trader": it.trader.0, "partner": it.partner.0 })
}

fn table(out: &mut impl Write, shape: Shape, columns: &[Column], rows: Vec<Row>) -> io::Result<()> {
    let mut printer = Printer::new(out, shape, columns);
    rows.iter().try_for_each(|row| printer.row(row))?;
    printer.finish().map(drop)
}

fn cells(members: &[(&str, String)]) -> Row {
    members.iter().map(|(key, text)| ((*key).to_owned(), text.clone().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::node::{age, bytes};
    use super::*;
    use crate::model::offices::{Roster, Seat};
    use crate::types::{Number, OrderId, ProcessId, Seq, Stamp, Term};

    fn roster() -> Roster {
        let seat = |peer| Seat {
            peer: PeerId(peer),
            process: ProcessId::default(),
            term: Term(1),
            present: true,
            addr: format!("127.0.0.1:770{peer}"),
            licence: None,
        };
        Roster { seq: Seq(5), primary: Some(seat(6)), ..Roster::default() }
    }

    pub(super) fn report(peer: u32, role: &str) -> Report {
        Report {
            peer: PeerId(peer),
            role: role.into(),
            cluster: "3f2a".into(),
            clock: Stamp(40),
            roster: roster(),
            health: "ok".into(),
            goods: vec![("fish".into(), Money(100))],
            stock: vec![Quantity(12)],
            disk_free: 52 << 30,
            ..Report::default()
        }
    }

    pub(super) fn picture(silent: &[u32]) -> Picture {
        let oldest = Some(OrderId { peer: PeerId(4), number: Number(3) });
        let trader = Report { oldest, oldest_waiting_ms: 120, queue_depth: 2, ..report(6, "idle") };
        let answered = [report(0, "warehouse"), report(4, "buyer"), trader];
        let mut reports = Reports::default();
        reports.answered.extend(answered.map(|report| (report.peer, report)));
        reports.silent.extend(silent.iter().map(|peer| (PeerId(*peer), "refused".to_owned())));
        Picture { views: Views::of(&reports), reports }
    }

    fn printed(picture: &Picture) -> String {
        let global = crate::cli::Cli::parse_from_args(["bazaar", "status"].map(Into::into)).unwrap().global;
        let mut out = Vec::new();
        picture.print(&global, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_healthy_market_is_exit_0() {
        let picture = picture(&[]);
        let text = printed(&picture);
        assert!(text.contains("peer-6     idle       primary (solo)     1     40"), "{text}");
        assert!(text.contains("4-3 120 ms") && text.contains("fish        12        1.00"), "{text}");
        assert!(text.contains("\nhealthy\n") && text.contains("52.0 GiB"), "{text}");
        assert_eq!(picture.exit(), exit::DONE);
        let object = picture.json();
        assert_eq!((&object["healthy"], &object["stock"][0]["stock"]), (&json!(true), &json!(12)));
        assert_eq!(
            (&object["nodes"][2]["office"], &object["nodes"][1]["office"]),
            (&json!("primary"), &Value::Null)
        );
    }

    #[test]
    fn a_silent_node_is_not_healthy() {
        let picture = picture(&[5]);
        assert_eq!(picture.exit(), exit::BROKEN);
        assert!(printed(&picture).ends_with("not healthy: no answer from peer-5\n"));
    }

    #[test]
    fn who_left_is_missed_by_nobody() {
        let mut picture = picture(&[]);
        picture.reports.left.insert(PeerId(5));
        assert!(printed(&picture).contains("peer-5") && printed(&picture).ends_with("\nhealthy\n"));
        assert_eq!(picture.json()["nodes"][2], json!({ "node": "peer-5", "health": "left" }));
    }

    #[test]
    fn views_that_differ_are_exit_5_and_named() {
        let mut picture = picture(&[]);
        if let Some(report) = picture.reports.answered.get_mut(&PeerId(4)) {
            report.roster.seq = Seq(3);
        }
        picture.views = Views::of(&picture.reports);
        assert_eq!(picture.exit(), exit::BROKEN);
        let text = printed(&picture);
        assert!(text.contains("views disagree: roster 3 primary 6 term 1 at peer-4; roster 5 primary 6 term 1 at warehouse, peer-6"), "{text}");
    }

    #[test]
    fn a_market_without_a_trader_is_not_ready() {
        let mut picture = picture(&[]);
        if let Some(report) = picture.reports.answered.get_mut(&PeerId(4)) {
            report.health = "no trader in office".into();
        }
        assert_eq!(picture.exit(), exit::UNREACHABLE);
    }

    #[test]
    fn ages_and_sizes_are_short() {
        assert_eq!([age(7), age(3_450), age(720_000)], ["7 ms", "3.4 s", "12 min"]);
        assert_eq!([bytes(5 << 20), bytes((3 << 30) + (512 << 20))], ["5 MiB", "3.5 GiB"]);
    }
}

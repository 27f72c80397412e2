//! The experiments: what each asks, over which cells, and how it is drawn.
//!
//! The seed's experiments are repeated, and those made that it should have made. Its times are scaled: one of its seconds is
//! [`TICK_MS`] here, since its own load was paced by its pauses and not by its speed.

use super::work::{Fault, Market, Rig, Trouble, Work};
use crate::types::Consistency;

/// Milliseconds that stand for a second of the seed.
const TICK_MS: u64 = 5;
/// The modes, as the seed had them and as it should have.
const MODES: [Consistency; 3] = Consistency::ALL;

/// How a figure is drawn.
pub(super) enum Draw {
    /// Over the places of the last dimension, a line for each of the first (if there are two).
    Lines,
    /// The first dimension over the second, with these cells marked.
    Heat(&'static [(&'static str, &'static str)]),
    /// Rate and latency over time, with bands.
    Time,
}

/// See the module's text.
pub(super) struct Experiment {
    pub name: &'static str,
    pub asks: &'static str,
    pub dimensions: &'static [&'static str],
    /// With their units; the first one is what an expression means that names none.
    pub figures: &'static [(&'static str, &'static str)],
    pub draw: Draw,
    /// A figure that the seed published, of the figure of that name.
    pub reference: Option<(&'static str, &'static str, f64)>,
    /// What is to be known of it.
    pub note: &'static str,
    pub cells: fn(quick: bool) -> Vec<(Vec<String>, Work)>,
}

impl Experiment {
    pub(super) fn main(&self) -> &'static str {
        self.figures.first().map_or("", |(name, _)| name)
    }
}

/// The experiment of that name.
pub(super) fn named(name: &str) -> &'static Experiment {
    ALL.iter()
        .find(|it| it.name == name)
        .unwrap_or_else(|| unreachable!("the command line knows what there is"))
}

const LATENCY: [(&str, &str); 3] = [("orders_per_s", "orders/s"), ("p50_ms", "ms"), ("p99_ms", "ms")];

const ALL: [Experiment; 14] = [
    Experiment {
        name: "throughput",
        asks: "How many orders a second does a market answer, and how long does each wait, as more are due?",
        dimensions: &["mode", "due"],
        figures: &LATENCY,
        draw: Draw::Lines,
        reference: Some(("orders_per_s", "the seed at saturation, same machine", 75.0)),
        note: "Open loop: orders are due at a rate whatever the answers do, and latency counts from when they were due. \
               The last two cells are the seed's: 4 buyers with 50 and 60 requests each, its pauses scaled. It published \
               0.363 and 0.368 requests/s (cacheless), 0.530 and 0.533 (cached): its own pauses, and no speed.",
        cells: throughput,
    },
    Experiment {
        name: "ratio",
        asks: "What do buyers get, as there are more of them for each seller?",
        dimensions: &["mode", "buyers:sellers"],
        figures: &[("sold_out_pct", "%"), ("orders_per_s", "orders/s"), ("p50_ms", "ms"), ("p99_ms", "ms")],
        draw: Draw::Lines,
        reference: None,
        note: "Each buyer asks every 4 ms, each seller brings 1 to 5 pieces every 20 ms.",
        cells: ratio,
    },
    Experiment {
        name: "oversell",
        asks: "How often is a buyer told what is not so, as there are more buyers for each seller?",
        dimensions: &["mode", "buyers:sellers"],
        figures: &[
            ("oversold", "orders"),
            ("undersold", "orders"),
            ("oversold_pct", "%"),
            ("undersold_pct", "%"),
        ],
        draw: Draw::Lines,
        reference: None,
        note: "The seed published 0 % for its cached traders at 200 and 240 requests. Its load left them idle, so that no two \
               traders sold at once; under load the same protocol oversells.",
        cells: oversell,
    },
    Experiment {
        name: "deposit",
        asks: "How much do sellers have to bring (Ng pieces each Tg), so that buyers find something?",
        dimensions: &["Ng", "Tg"],
        figures: &[("sold_out_pct", "%"), ("undersold", "orders")],
        draw: Draw::Heat(&[("5", "3"), ("5", "5"), ("3", "5")]),
        reference: None,
        note: "Two buyers ask for 1 to 3 pieces every 10 ticks, two sellers bring Ng every Tg ticks; a tick stands for a second \
               of the seed. Stars are the cells that it tried: it published no over-selling, and 1 % under-selling at 3, 5.",
        cells: deposit,
    },
    Experiment {
        name: "traders",
        asks: "What does the second trader cost, or give?",
        dimensions: &["mode", "traders"],
        figures: &LATENCY,
        draw: Draw::Lines,
        reference: None,
        note: "The seed with one trader left took 1,069.9 s for 200 requests instead of 550.3. Here one alone keeps no copies: \
               it is no slower, and less safe. In cached mode one that is alone answers after settling.",
        cells: traders,
    },
    Experiment {
        name: "failure",
        asks: "What do clients see while the primary trader is killed, stopped, or cut off?",
        dimensions: &["mode", "fault"],
        figures: &[("longest_wait_ms", "ms"), ("wrong", "answers"), ("p99_ms", "ms")],
        draw: Draw::Time,
        reference: Some(("longest_wait_ms", "the seed, a killed trader", 7_100.0)),
        note: "300 orders/s are due; heartbeat 500 ms, suspicion after 1 s. Bands: what was wrong.",
        cells: failure,
    },
    Experiment {
        name: "detection",
        asks: "How long may a trader stand still before it is deposed, and how soon is one that is dead?",
        dimensions: &["suspect after", "stands still for"],
        figures: &[("false_alarms", "of 1"), ("replaced_ms", "ms")],
        draw: Draw::Heat(&[]),
        reference: None,
        note: "SIGSTOP for a while, as a long delay would be: a false alarm is a trader that lost its office and would have \
               come back.",
        cells: detection,
    },
    Experiment {
        name: "staleness",
        asks: "How old is what a trader's cache shows?",
        dimensions: &["mode", "due"],
        figures: &[("behind_p99", "rows"), ("behind_median", "rows"), ("age_p99_ms", "ms")],
        draw: Draw::Lines,
        reference: None,
        note: "Asked of the primary every 20 ms: rows of the ledger that it has heard of and its stock does not show, and the \
               time since the last push.",
        cells: staleness,
    },
    Experiment {
        name: "ordering",
        asks: "Does any buyer wait longer than the others, or is an order decided before an earlier one?",
        dimensions: &["mode"],
        figures: &[("rank_inversions", "orders"), ("slowest_of_fastest", "times"), ("answered", "orders")],
        draw: Draw::Lines,
        reference: None,
        note: "Eight buyers alike. Inversions: rows of a product out of stamp order within a batch or block (V06). The spread is \
               the median wait of the buyer that waits longest, by that of the one that waits shortest.",
        cells: ordering,
    },
    Experiment {
        name: "election",
        asks: "How many messages and how much time does it take until there is a pair of traders again?",
        dimensions: &["peers"],
        figures: &[("messages", "messages"), ("ms", "ms"), ("elections", "elections")],
        draw: Draw::Lines,
        reference: None,
        note: "Idle peers; the primary is killed. From the kill until the warehouse has journaled the next pair.",
        cells: election,
    },
    Experiment {
        name: "recovery",
        asks: "How long does the warehouse take to serve again after kill -9, as its ledger grows?",
        dimensions: &["rows"],
        figures: &[("serving_ms", "ms"), ("rss_mib", "MiB")],
        draw: Draw::Lines,
        reference: None,
        note: "Under load, from the kill until it answers; the median of three kills a run.",
        cells: recovery,
    },
    Experiment {
        name: "warehouse-down",
        asks: "Who is answered while the warehouse is away?",
        dimensions: &["mode", "away"],
        figures: &[
            ("answered_pct", "% of what was due"),
            ("settled_after_ms", "ms"),
            ("taken_back", "orders"),
            ("wrong", "answers"),
        ],
        draw: Draw::Lines,
        reference: None,
        note: "300 orders/s are due. In cacheless mode nothing is answered meanwhile, and nothing wrongly; in cached mode \
               what the caches hold is, and some of it is taken back; in escrow mode what was set aside for the traders is, and \
               none of it is taken back.",
        cells: warehouse_down,
    },
    Experiment {
        name: "sync",
        asks: "What does a slower disk cost?",
        dimensions: &["mode", "each sync takes"],
        figures: &[("p50_ms", "ms"), ("p99_ms", "ms"), ("orders_per_s", "orders/s")],
        draw: Draw::Lines,
        reference: None,
        note: "300 orders/s are due; each sync of the warehouse's store is delayed (strace), those of the others not.",
        cells: sync,
    },
    Experiment {
        name: "distance",
        asks: "What does a warehouse cost that is far away?",
        dimensions: &["mode", "way to the warehouse"],
        figures: &[("p50_ms", "ms"), ("p99_ms", "ms"), ("orders_per_s", "orders/s")],
        draw: Draw::Lines,
        reference: None,
        note: "A few clients, 40 orders/s. What goes to the warehouse, or comes from it, takes so much longer each way; traders \
               and clients are near each other.",
        cells: distance,
    },
];

fn cells<T: Copy>(places: &[T], cell: impl Fn(Consistency, T) -> (String, Work)) -> Vec<(Vec<String>, Work)> {
    let of = |mode: Consistency| {
        let cell = &cell;
        places.iter().map(move |place| {
            let (at, work) = cell(mode, *place);
            (vec![mode.name().to_owned(), at], work)
        })
    };
    MODES.into_iter().flat_map(of).collect()
}

fn throughput(quick: bool) -> Vec<(Vec<String>, Work)> {
    let rates: &[u32] = if quick { &[500, 8_000] } else { &[500, 1_000, 2_000, 4_000, 8_000] };
    let mut all = cells(rates, |mode, rate| {
        (format!("{rate}/s"), Work::Rig(Rig { rate, ..Rig::new(mode, if quick { 1 } else { 2 }) }))
    });
    let seeds = cells(&[50, 60], |mode, requests| {
        let (interval_ms, deposit_every_ms) = (10 * TICK_MS, 5 * TICK_MS);
        let deposit = (5, 20);
        let market = Market {
            buyers: 4,
            sellers: 2,
            interval_ms,
            deposit,
            deposit_every_ms,
            requests,
            ..Market::new(mode)
        };
        (format!("{requests} requests"), Work::Market(market))
    });
    // A line's cells stand together, whichever way they were measured.
    for (at, work) in seeds {
        let behind = all.iter().rposition(|(there, _)| there[0] == at[0]).map_or(all.len(), |at| at + 1);
        all.insert(behind, (at, work));
    }
    all
}

const RATIOS: [(u32, u32); 4] = [(2, 4), (3, 3), (4, 2), (8, 1)];

fn of_ratio(quick: bool) -> &'static [(u32, u32)] {
    if quick { &[(2, 4), (4, 2), (8, 1)] } else { &RATIOS }
}

fn named_ratio((buyers, sellers): (u32, u32)) -> String {
    format!("{}", f64::from(buyers) / f64::from(sellers))
}

fn ratio(quick: bool) -> Vec<(Vec<String>, Work)> {
    cells(of_ratio(quick), |mode, (buyers, sellers)| {
        let (interval_ms, deposit_every_ms, requests) = (4, 20, if quick { 200 } else { 500 });
        let market = Market { buyers, sellers, interval_ms, deposit_every_ms, requests, ..Market::new(mode) };
        (named_ratio((buyers, sellers)), Work::Market(market))
    })
}

fn oversell(quick: bool) -> Vec<(Vec<String>, Work)> {
    cells(of_ratio(quick), |mode, (buyers, sellers)| {
        let (interval_ms, deposit_every_ms, requests) = (1, 20, if quick { 500 } else { 1_000 });
        let market = Market { buyers, sellers, interval_ms, deposit_every_ms, requests, ..Market::new(mode) };
        (named_ratio((buyers, sellers)), Work::Market(market))
    })
}

fn deposit(quick: bool) -> Vec<(Vec<String>, Work)> {
    let sizes: &[u64] = if quick { &[3, 5] } else { &[3, 5, 10] };
    let pairs = sizes.iter().flat_map(|pieces| sizes.iter().map(move |ticks| (*pieces, *ticks)));
    let cell = |(pieces, ticks): (u64, u64)| {
        let market = Market {
            buyers: 2,
            sellers: 2,
            interval_ms: 10 * TICK_MS,
            deposit: (pieces, pieces),
            deposit_every_ms: ticks * TICK_MS,
            requests: if quick { 10 } else { 50 },
            stock: 1,
            ..Market::new(Consistency::Cached)
        };
        (vec![pieces.to_string(), ticks.to_string()], Work::Market(market))
    };
    pairs.map(cell).collect()
}

fn traders(quick: bool) -> Vec<(Vec<String>, Work)> {
    cells(&[1, 2], |mode, peers| {
        let rig = Rig { peers, rate: 1_000, ..Rig::new(mode, if quick { 1 } else { 3 }) };
        ((if peers == 1 { "one alone" } else { "a pair" }).to_owned(), Work::Rig(rig))
    })
}

fn failure(quick: bool) -> Vec<(Vec<String>, Work)> {
    let times = if quick { 1 } else { 5 };
    cells(&[Fault::Kill, Fault::Pause, Fault::Partition], |mode, fault| {
        let (each_ms, for_ms) = (2_400, 1_200);
        let trouble = Some(Trouble { fault, first_ms: 1_000, each_ms, for_ms, times });
        let rig = Rig { peers: 5, trouble, ..Rig::new(mode, 1 + 12 * u64::from(times) / 5) };
        (fault.name().to_owned(), Work::Rig(rig))
    })
}

fn detection(quick: bool) -> Vec<(Vec<String>, Work)> {
    let (waits, pauses): (&[u64], &[u64]) =
        if quick { (&[200, 800], &[100, 1_000]) } else { (&[200, 400, 800, 1_200], &[50, 150, 450, 1_600]) };
    let pairs = waits.iter().flat_map(|wait| pauses.iter().map(move |pause| (*wait, *pause)));
    let cell = |(suspect_ms, pause_ms): (u64, u64)| {
        (vec![format!("{suspect_ms} ms"), format!("{pause_ms} ms")], Work::Detection { suspect_ms, pause_ms })
    };
    pairs.map(cell).collect()
}

fn staleness(quick: bool) -> Vec<(Vec<String>, Work)> {
    let rates: &[u32] = if quick { &[500, 4_000] } else { &[500, 1_000, 2_000, 4_000] };
    cells(rates, |mode, rate| {
        let rig = Rig { rate, watches_cache: true, ..Rig::new(mode, if quick { 1 } else { 2 }) };
        (format!("{rate}/s"), Work::Rig(rig))
    })
}

fn ordering(quick: bool) -> Vec<(Vec<String>, Work)> {
    let requests = if quick { 200 } else { 1_000 };
    let market = |mode| Market { buyers: 8, sellers: 2, interval_ms: 2, requests, ..Market::new(mode) };
    MODES.into_iter().map(|mode| (vec![mode.name().to_owned()], Work::Ordering(market(mode)))).collect()
}

fn election(quick: bool) -> Vec<(Vec<String>, Work)> {
    let peers: &[u32] = if quick { &[4, 8] } else { &[4, 8, 16, 32] };
    peers.iter().map(|peers| (vec![peers.to_string()], Work::Election { peers: *peers })).collect()
}

fn recovery(quick: bool) -> Vec<(Vec<String>, Work)> {
    let rows: &[u64] = if quick { &[10_000, 100_000] } else { &[10_000, 100_000, 300_000, 1_000_000] };
    rows.iter().map(|rows| (vec![rows.to_string()], Work::Recovery { rows: *rows })).collect()
}

fn warehouse_down(quick: bool) -> Vec<(Vec<String>, Work)> {
    let away: &[u64] = if quick { &[2] } else { &[2, 5] };
    cells(away, |mode, away_s| {
        let (fault, for_ms) = (Fault::NoWarehouse, away_s * 1_000);
        let trouble = Some(Trouble { fault, first_ms: 1_000, each_ms: 0, for_ms, times: 1 });
        let rig = Rig { trouble, ..Rig::new(mode, 2 + away_s) };
        (format!("{away_s} s"), Work::Rig(rig))
    })
}

fn sync(quick: bool) -> Vec<(Vec<String>, Work)> {
    let delays: &[u64] = if quick { &[0, 10] } else { &[0, 5, 20] };
    cells(delays, |mode, late_ms| {
        let rig = Rig { late_ms, ..Rig::new(mode, if quick { 1 } else { 2 }) };
        (format!("{late_ms} ms more"), Work::Rig(rig))
    })
}

fn distance(quick: bool) -> Vec<(Vec<String>, Work)> {
    let ways: &[u64] = if quick { &[0, 50] } else { &[0, 5, 50] };
    cells(ways, |mode, far_ms| {
        let rig = Rig { far_ms, rate: 40, ..Rig::new(mode, if quick { 2 } else { 3 }) };
        (format!("{far_ms} ms"), Work::Rig(rig))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::EXPERIMENTS;
    use crate::limits::SUSPECT_AFTER_MIN;

    #[test]
    fn each_has_cells_of_its_dimensions_and_no_cell_twice() {
        assert!(ALL.iter().map(|it| it.name).eq(EXPERIMENTS));
        let least_ms = SUSPECT_AFTER_MIN.as_millis() as u64;
        for experiment in &ALL {
            for quick in [true, false] {
                let cells = (experiment.cells)(quick);
                let places: BTreeSet<&Vec<String>> = cells.iter().map(|(at, _)| at).collect();
                assert_eq!(places.len(), cells.len(), "{}", experiment.name);
                assert!(cells.iter().all(|(at, _)| at.len() == experiment.dimensions.len()));
                let refused = |work: &Work| matches!(work, Work::Detection { suspect_ms, .. } if *suspect_ms < least_ms);
                assert!(!cells.iter().any(|(_, work)| refused(work)), "no node starts with that");
            }
            let quick = (experiment.cells)(true);
            let whole = (experiment.cells)(false);
            assert!(quick.len() < whole.len() || experiment.dimensions.len() == 1 || !quick.is_empty());
            let of_figure =
                |(figure, ..): (&str, &str, f64)| experiment.figures.iter().any(|it| it.0 == figure);
            assert!(experiment.reference.is_none_or(of_figure), "{}", experiment.name);
        }
    }
}

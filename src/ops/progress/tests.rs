use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::audit::fixture;

/// A terminal of one line, as somebody sees it, and all that was ever on it.
#[derive(Clone, Default)]
struct Terminal(Arc<Mutex<(String, Vec<String>)>>);

impl Terminal {
    fn sees(&self) -> String {
        self.0.lock().unwrap().0.clone()
    }

    fn saw(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        let line = text.strip_prefix(CLEAR).expect("each time the line is written anew");
        assert!(!line.contains(['\r', '\n', '\x1b']), "{line:?}");
        let mut seen = self.0.lock().unwrap();
        seen.0 = line.to_owned();
        seen.1.extend((!line.is_empty()).then(|| line.to_owned()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The hand of a clock.
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds, Ordering::Relaxed);
    }
}

/// A line on a terminal of so many columns, and the hand of its clock, in milliseconds.
fn line(columns: usize) -> (Progress, Terminal, Hand) {
    let (terminal, time) = (Terminal::default(), Hand(Arc::default()));
    let now = Arc::clone(&time.0);
    let clock = Box::new(move || Duration::from_millis(now.load(Ordering::Relaxed)));
    (Progress::on(Box::new(terminal.clone()), columns, clock), terminal, time)
}

#[test]
fn what_is_over_soon_says_nothing() {
    let (progress, terminal, time) = line(80);
    let part = progress.part("warehouse", "rows", Some(10));
    time.set(999);
    part.done(|| unreachable!("nobody counts what is not shown"));
    part.begins();
    drop(part);
    assert_eq!(terminal.saw(), [""; 0]);
}

#[test]
fn a_line_is_rewritten_in_place_a_few_times_a_second_and_removed_at_the_end() {
    let (progress, terminal, time) = line(80);
    let part = progress.part("warehouse", "rows", Some(3_643_000));
    for (at, rows) in [(2_000, 1_234_567), (2_099, 1_300_000), (2_100, 1_821_500)] {
        time.set(at);
        part.done(|| Some(rows));
    }
    let first = "warehouse: 1,234,567 of 3,643,000 (33 %) rows, 617,283 rows/s";
    let second = "warehouse: 1,821,500 of 3,643,000 (50 %) rows, 867,380 rows/s";
    assert_eq!(terminal.saw(), [first, second]);
    assert_eq!(terminal.sees(), second);
    drop(part);
    assert_eq!(terminal.sees(), "");
}

/// Each part has a rate of its own; what came before it took its time, too.
#[test]
fn a_later_part_of_unknown_length_counts_from_its_own_begin() {
    let (progress, terminal, time) = line(80);
    time.set(60_000);
    let part = progress.part("peer-4", "rows", None);
    let asking = progress.part("asking", "questions", Some(13));
    time.set(61_000);
    part.done(|| Some(512));
    assert_eq!(terminal.sees(), "peer-4: 512 rows, 512 rows/s");
    time.set(62_000);
    asking.done(|| Some(1));
    assert_eq!(terminal.sees(), "asking: 1 of 13 (7 %) questions", "less than one in a second");
    time.set(62_100);
    part.done(|| Some(512));
    time.set(62_200);
    part.done(|| None);
    let before = "peer-4: 512 rows, 243 rows/s";
    assert_eq!(terminal.sees(), before, "what cannot be counted changes nothing");
    time.set(62_300);
    let other = progress.part("peer-4: comparing its checkpoint", "", None);
    other.begins();
    assert_eq!(terminal.sees(), "peer-4: comparing its checkpoint");
}

#[test]
fn what_takes_a_known_time_says_how_much_of_it_is_over() {
    let (progress, terminal, time) = line(80);
    let part = progress.part("bench market", "", None);
    for at in [2_500, 30_000] {
        time.set(at);
        part.lasts(Duration::from_secs(10));
    }
    let (first, last) = ("bench market: 2 s of 10 s (25 %)", "bench market: 30 s of 10 s (100 %)");
    assert_eq!(terminal.saw(), [first, last]);
}

#[test]
fn a_line_never_goes_on_in_the_next_one() {
    let (progress, terminal, time) = line(12);
    time.set(5_000);
    progress.part("warehouse: reading", "", None).begins();
    assert_eq!(terminal.saw(), ["warehouse: "]);
}

#[test]
fn without_a_terminal_nothing_is_shown_and_nothing_counted() {
    let part = Progress::hidden().part("warehouse", "rows", None);
    part.done(|| unreachable!("nobody looks"));
}

#[test]
fn rows_of_a_source_are_counted_both_ways_and_its_blocks_are_the_same() {
    let market = fixture::Market::lived();
    let blocks = |source: &mut Source| source.blocks(Seq(1)).map(Result::unwrap).collect::<Vec<_>>();
    let (progress, terminal, time) = line(80);
    let mut plain = market.sources().remove(0);
    let mut watched = progress.watch(market.sources().remove(0));
    time.set(3_000);
    assert_eq!(blocks(&mut watched), blocks(&mut plain));
    let rows = market.ledger.iter().map(Vec::len).sum::<usize>();
    assert!(terminal.saw()[0].starts_with("warehouse: "), "{:?}", terminal.saw());
    assert_eq!(terminal.sees(), "");
    time.set(10_000);
    let last = watched.blocks(Seq(1)).inspect(|_| time.set(time.get() + 1_000)).count();
    assert!(last > 1 && terminal.saw().last().unwrap().starts_with(&format!("warehouse: {rows}")));
}

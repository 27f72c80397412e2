use std::collections::VecDeque;
use std::sync::Arc;

use crate::journal::{Birth, HandTime, MemoryDisk, Pump, Recovered, Sealing, Setup, start_by_hand};
use crate::model::call::Answer;
use crate::model::happening::What;
use crate::model::peer::PeerState;
use crate::model::peer::entry::Entry;
use crate::model::report::Report;
use crate::model::step::{At, Because, ConnId, Effect, Input, Machine, Numbers, ReplyId, Turn};
use crate::types::{Epoch, Now, PeerId, Seq, Stamp, Term, Token};

use super::*;

/// A machine for tests: each input is a connection, whose number says what to do.
#[derive(Default)]
struct Puppet {
    state: PeerState,
    clock: u64,
    seen: Vec<String>,
}

const RECORD: u64 = 1;
const LAZY: u64 = 2;
const HOLD: u64 = 3;
const NOW: u64 = 4;
const LEAP: u64 = 5;
const RENEW: u64 = 6;
const STATUS: u64 = 7;

fn line(text: &str) -> Effect {
    Effect::Happen(What::Line(text.to_owned()))
}

impl Puppet {
    fn record(&mut self, turn: &mut Turn<Entry>, lazily: bool) {
        let entry = Entry::Ended { term: Term(1) };
        self.state.apply(self.state.seq.next(), Default::default(), &entry);
        if lazily { turn.record_lazily(entry) } else { turn.record(entry) }
    }
}

impl Machine for Puppet {
    type State = PeerState;

    fn step(&mut self, _: At, input: Input, turn: &mut Turn<Entry>) {
        self.clock += 1;
        self.seen.push(match &input {
            Input::Durable(seq) => format!("durable {seq}"),
            Input::Token(_) => "token".to_owned(),
            Input::Ended(conn, _) => conn.0.to_string(),
            _ => "other".to_owned(),
        });
        let Input::Ended(conn, _) = input else { return };
        match conn.0 {
            RECORD => self.record(turn, false),
            LAZY => self.record(turn, true),
            HOLD => turn.hold(line("held")),
            NOW => turn.at_once(Because::TellsNothing, line("now")),
            LEAP => self.clock += CLOCK_RESERVE,
            RENEW => turn.at_once(Because::TellsNothing, Effect::RenewToken),
            STATUS => turn.hold(Effect::Reply(ReplyId(1), Ok(Answer::Status(Box::default())))),
            _ => {}
        }
    }

    fn end_turn(&mut self, _: At, _: &mut Turn<Entry>) {
        self.seen.push("end".to_owned());
    }

    fn due(&self) -> Option<Now> {
        None
    }

    fn clock(&self) -> Stamp {
        Stamp(self.clock)
    }

    fn state(&self) -> &PeerState {
        &self.state
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// Keeps what it is told to do.
#[derive(Default)]
struct Recorder {
    done: Vec<String>,
    reports: Vec<Report>,
}

impl Port for Recorder {
    type Arrival = u64;

    fn arrive(&mut self, act: u64) -> Option<Input> {
        let lost = crate::model::step::Lost { refused: false, why: String::new() };
        (act != 0).then_some(Input::Ended(ConnId(act), lost))
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Happen(What::Line(text)) => self.done.push(text),
            Effect::Reply(_, Ok(Answer::Status(report))) => self.reports.push(*report),
            other => self.done.push(format!("{other:?}")),
        }
    }

    fn draw_token(&mut self) -> Result<Token, String> {
        Ok(Token([9; 32]))
    }

    fn is_watched(&self) -> bool {
        false
    }
}

struct Bench {
    driver: Driver<Puppet, Recorder>,
    pump: Pump<PeerState>,
    disk: MemoryDisk,
}

fn bench() -> Bench {
    let disk = MemoryDisk::new();
    let birth = Birth::new("test", PeerId(1), "idle", Token([7; 32]));
    let setup = Setup {
        dir: "memory".into(),
        birth: Some(birth),
        key: None,
        expect_cluster: None,
        mark: None,
        sealing: Sealing::never(),
        time: Arc::new(HandTime::default()),
        fatal: Arc::new(|why| panic!("{why}")),
    };
    let (Recovered { journal, .. }, pump) = start_by_hand::<PeerState>(disk.open(), setup).unwrap();
    let driver = Driver::new(Puppet::default(), journal, Recorder::default(), Numbers::default());
    Bench { driver, pump, disk }
}

impl Bench {
    /// One turn with these acts; what left in it.
    fn turn(&mut self, acts: &[u64]) -> Vec<String> {
        let mut acts: VecDeque<u64> = acts.iter().copied().collect();
        self.driver.turn(At::default(), None, || acts.pop_front());
        std::mem::take(&mut self.driver.port.done)
    }

    fn sync(&mut self) {
        while self.pump.write_group().unwrap() {}
    }

    fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.driver.machine.seen)
    }
}

#[test]
fn an_effect_waits_for_the_records_before_it_and_not_for_those_behind_it() {
    let mut bench = bench();
    assert_eq!(bench.turn(&[HOLD, RECORD]), ["held"], "nothing was recorded before it");
    assert_eq!(bench.turn(&[HOLD]), [""; 0], "the record of the turn before is not durable yet");
    assert_eq!(bench.turn(&[RECORD, HOLD, NOW]), ["now"]);
    bench.sync();
    assert_eq!(bench.turn(&[]), ["held", "held"]);
}

#[test]
fn what_is_durable_comes_before_the_other_inputs() {
    let mut bench = bench();
    bench.turn(&[RECORD, RECORD]);
    bench.sync();
    bench.seen();
    bench.turn(&[NOW]);
    assert_eq!(bench.seen(), ["durable 2", "4", "end"]);
}

/// Otherwise: the clock is shown, power fails, and the next process gives the same stamps to other events.
#[test]
fn a_turn_in_which_the_clock_leaps_says_nothing_before_its_reserve_is_on_disk() {
    let mut bench = bench();
    assert_eq!(bench.turn(&[LEAP, NOW, HOLD]), [""; 0]);
    bench.sync();
    assert_eq!(bench.turn(&[]), ["now", "held"]);
    let Bench { driver, pump, disk } = bench;
    drop((driver, pump));
    let setup = Setup {
        dir: "memory".into(),
        birth: None,
        key: None,
        expect_cluster: None,
        mark: None,
        sealing: Sealing::never(),
        time: Arc::new(HandTime::default()),
        fatal: Arc::new(|why| panic!("{why}")),
    };
    let (recovered, _pump) = start_by_hand::<PeerState>(disk.open(), setup).unwrap();
    assert!(recovered.clock.0 >= CLOCK_RESERVE);
}

/// Otherwise order 8 is at the trader before order 7, and a clock is shown that no reserve covers.
#[test]
fn what_is_said_after_a_leap_does_not_overtake_what_waits_for_it() {
    let mut bench = bench();
    assert_eq!(bench.turn(&[LEAP, NOW]), [""; 0]);
    assert_eq!(bench.turn(&[RECORD, HOLD]), [""; 0]);
    bench.pump.write_group().unwrap();
    assert_eq!(bench.turn(&[NOW]), ["now", "held", "now"]);
    bench.turn(&[LEAP, NOW]);
    bench.sync();
    bench.turn(&[RECORD]);
    assert_eq!(bench.turn(&[NOW]), ["now"], "the leap is over, whatever else is on its way");
}

#[test]
fn a_new_token_counts_when_it_is_durable() {
    let mut bench = bench();
    bench.turn(&[RENEW]);
    assert!(!bench.seen().contains(&"token".to_owned()));
    bench.sync();
    bench.turn(&[]);
    assert_eq!(bench.seen(), ["token", "end"]);
    let renewed = bench.driver.journal.meta().extra.get(TOKEN).cloned();
    assert_eq!(renewed, Some(vec![9; 32]));
}

#[test]
fn a_turn_takes_a_bounded_number_of_inputs_and_skips_those_of_nobody() {
    let mut bench = bench();
    let many = vec![NOW; STEP_INPUTS_MAX + 3];
    let left = bench.turn(&many).len();
    assert!((STEP_INPUTS_MAX - 1..=STEP_INPUTS_MAX).contains(&left), "{left}");
    assert_eq!(bench.turn(&[0, 0, NOW]), ["now"]);
}

#[test]
fn a_status_tells_what_the_journal_knows_when_it_leaves() {
    let mut bench = bench();
    bench.turn(&[RECORD, STATUS]);
    bench.sync();
    bench.turn(&[]);
    let report = bench.driver.port.reports.pop().unwrap();
    assert_eq!((report.log.0, report.syncs), (Seq(1), 1));
    assert!(report.bytes_written > 0);
}

/// Otherwise an older copy of the ledger that went on, in other steps, does not see that a peer was shown another one.
#[test]
fn a_log_holds_the_ends_of_its_own_blocks_and_nothing_else() {
    let mut bench = bench();
    bench.turn(&[RECORD, RECORD]);
    bench.sync();
    let reader = bench.driver.journal.reader();
    let (end, log) = (reader.durable(), Log(reader));
    assert_eq!(log.holds(end.seq, end.hash), Ok(true));
    assert_eq!(log.holds(end.seq, Hash::of(&[1])), Ok(false), "another block ended there");
    assert_eq!(log.holds(Seq(1), end.hash), Ok(false), "no block ends there");
    assert_eq!(log.holds(Seq(3), end.hash), Ok(false), "there is no such record");
    assert_eq!(log.holds(Seq(0), Hash::default()), Ok(true), "nothing was seen");
}

#[test]
fn a_lazy_record_is_staged_and_holds_what_is_behind_it() {
    let mut bench = bench();
    assert_eq!(bench.turn(&[LAZY, HOLD]), [""; 0]);
    assert_eq!(bench.driver.journal.staged_records(), 1);
    bench.sync();
    assert_eq!(bench.turn(&[]), ["held"]);
    assert_eq!(bench.driver.machine.state.opened, None::<(PeerId, Epoch)>);
}

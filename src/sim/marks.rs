//! What a batch of runs must have seen at least once, or it proves little: read from effects, records and what the world
//! does, never from inside a machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::call::{Answer, Ask, CallError};
use crate::model::happening::What;
use crate::model::market::NotTaken;
use crate::model::message::{Message, PeerWord, SettleAnswer, TradeAnswer};
use crate::model::row::Record;
use crate::model::step::{CallId, Effect, Input};
use crate::types::{PeerId, Seq};

use super::frozen::Frozen;
use super::network::Process;
use super::sights::Sights;

/// A thing that is to happen at least once in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The warehouse granted an office.
    Grant,
    /// A term was fenced.
    Fence,
    /// Two traders were paired.
    Pair,
    /// A survivor took a dead trader's duties over.
    Takeover,
    /// A survivor settled an order that the dead trader had accepted.
    Replayed,
    /// The warehouse was asked again and answered from its record.
    Duplicate,
    /// A batch was refused since its term was over.
    FencedBatch,
    /// A trader sent an order on to its home.
    NotHome,
    /// Orders of an ended term were taken by their home.
    HandOver,
    /// Two candidates met in one election.
    Contested,
    /// A peer was told the same outcome twice, in two lives or by two traders.
    ToldAgain,
    /// Goods were sold out.
    SoldOut,
    /// A process recovered with records to replay.
    Replay,
    /// A node named a checkpoint.
    Checkpoint,
    /// A process recovered from a checkpoint and the records after it.
    CheckpointUsed,
    /// A node moved the older part of its log into segments.
    Sealed,
    /// A process recovered a log of which a part is in segments.
    SealedUsed,
    /// A peer removed from its segments what it had noted of others' orders.
    Pruned,
    /// Writes that were not synced were lost with their process.
    WritesLost,
    /// Writes that were not synced were there after the process was killed.
    WritesKept,
    /// Nobody listened where a process wanted to connect.
    Refused,
    /// A call was sent and its answer never came.
    Unanswered,
    /// A peer's disk was put back to an earlier state.
    OldStore,
    /// A process did what was due to others and ended.
    Ended,
    /// A process ended since its disk failed or did not answer.
    DiskFailed,
    /// The warehouse ended since its store was an older copy.
    OlderCopyRefused,
    /// A backup was restored.
    Restored,
    /// A client was told an outcome.
    ClientAnswered,
    /// A client that asked once more was told the same again.
    ClientFromRecord,
    /// A number that has an outcome was refused with other content.
    OtherContent,
    /// A stranger was refused, or its stream was cut.
    StrangerRefused,
    /// A stream on which a second hello was said was cut.
    SecondHelloCut,
    /// A number got a void row.
    VoidRow,
    /// A number was asked for whose outcome only its own journal holds.
    Stale,
    /// A peer's later store opened its session.
    SessionReopened,
    /// A store took a new token.
    TokenRenewed,
    /// An order or batch was refused since its clock was too far ahead.
    ClockLeap,
    /// An order was refused since the disk was almost full.
    DiskLow,
    /// The warehouse refused a call since its token was no member's.
    NotMember,
    /// A mirror became orders of its store.
    MirrorAdopted,
    /// Settled chunks of a mirror were dropped.
    MirrorTrimmed,
    /// An order of an ended term left its store for its home.
    OrderHandedOver,
    /// Replicating began again under the same term.
    ReplicaAgain,
    /// A stream that came behind its successor was cut.
    LateStreamCut,
    /// A primary without a secondary settled an order.
    SoloPrimary,
    /// A higher id asked the primary for its office.
    Preempt,
    /// A holder gave its office to a successor.
    OfficeHandedOver,
    /// A trader resigned by hand.
    Resigned,
    /// A peer left for good.
    Left,
    /// A peer was passed over in elections.
    PassedOver,
    /// The market's consistency mode was changed.
    ModeChanged,
    /// A peer was told before its order was settled.
    ToldEarly,
    /// What was told from a cache was taken back.
    Oversold,
    /// An order that was answered from a cache came to its home with that answer, from another store.
    ToldElsewhere,
    /// Goods were set aside for a term.
    Allotted,
    /// Goods that were set aside were given back.
    GivenBack,
    /// A trader was asked to give goods back.
    Recalled,
    /// A peer was told from an allotment.
    ToldFromAllotment,
    /// What an ended term had decided was booked.
    SaleAdopted,
    /// What a term had sold was reported by its own trader.
    ReportedByTrader,
    /// What a term had sold was reported by the partner.
    ReportedByPartner,
    /// Orders of an ended term were reported by a process that had held no office.
    ReportedByRestarted,
    /// A term was reported when there had been others since.
    ReportedLate,
    /// A term was reported though one of the two stores that had its sales was lost.
    ReportedWithOneStore,
    /// Both stores were lost: the goods of a term were released.
    Released,
}

impl Mark {
    /// All there are.
    pub(crate) const ALL: [Mark; 65] = [
        Mark::Grant,
        Mark::Fence,
        Mark::Pair,
        Mark::Takeover,
        Mark::Replayed,
        Mark::Duplicate,
        Mark::FencedBatch,
        Mark::NotHome,
        Mark::HandOver,
        Mark::Contested,
        Mark::ToldAgain,
        Mark::SoldOut,
        Mark::Replay,
        Mark::Checkpoint,
        Mark::CheckpointUsed,
        Mark::Sealed,
        Mark::SealedUsed,
        Mark::Pruned,
        Mark::WritesLost,
        Mark::WritesKept,
        Mark::Refused,
        Mark::Unanswered,
        Mark::OldStore,
        Mark::Ended,
        Mark::DiskFailed,
        Mark::OlderCopyRefused,
        Mark::Restored,
        Mark::ClientAnswered,
        Mark::ClientFromRecord,
        Mark::OtherContent,
        Mark::StrangerRefused,
        Mark::SecondHelloCut,
        Mark::VoidRow,
        Mark::Stale,
        Mark::SessionReopened,
        Mark::TokenRenewed,
        Mark::ClockLeap,
        Mark::DiskLow,
        Mark::NotMember,
        Mark::MirrorAdopted,
        Mark::MirrorTrimmed,
        Mark::OrderHandedOver,
        Mark::ReplicaAgain,
        Mark::LateStreamCut,
        Mark::SoloPrimary,
        Mark::Preempt,
        Mark::OfficeHandedOver,
        Mark::Resigned,
        Mark::Left,
        Mark::PassedOver,
        Mark::ModeChanged,
        Mark::ToldEarly,
        Mark::Oversold,
        Mark::ToldElsewhere,
        Mark::Allotted,
        Mark::GivenBack,
        Mark::Recalled,
        Mark::ToldFromAllotment,
        Mark::SaleAdopted,
        Mark::ReportedByTrader,
        Mark::ReportedByPartner,
        Mark::ReportedByRestarted,
        Mark::ReportedLate,
        Mark::ReportedWithOneStore,
        Mark::Released,
    ];

    /// As printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mark::Grant => "grant",
            Mark::Fence => "fence",
            Mark::Pair => "pair",
            Mark::Takeover => "takeover",
            Mark::Replayed => "replayed order",
            Mark::Duplicate => "duplicate from record",
            Mark::FencedBatch => "fenced batch",
            Mark::NotHome => "not home",
            Mark::HandOver => "handover",
            Mark::Contested => "contested election",
            Mark::ToldAgain => "told again",
            Mark::SoldOut => "sold out",
            Mark::Replay => "replay",
            Mark::Checkpoint => "checkpoint",
            Mark::CheckpointUsed => "checkpoint used",
            Mark::Sealed => "log sealed",
            Mark::SealedUsed => "sealed log used",
            Mark::Pruned => "log pruned",
            Mark::WritesLost => "writes lost",
            Mark::WritesKept => "writes kept",
            Mark::Refused => "refused connection",
            Mark::Unanswered => "unanswered call",
            Mark::DiskFailed => "disk failed",
            Mark::OlderCopyRefused => "older copy refused",
            Mark::Restored => "restored",
            Mark::Ended => "ended by itself",
            Mark::OldStore => "old store put back",
            Mark::ClientAnswered => "client answered",
            Mark::ClientFromRecord => "client answered from record",
            Mark::OtherContent => "other content refused",
            Mark::StrangerRefused => "stranger refused",
            Mark::SecondHelloCut => "second hello cut",
            Mark::VoidRow => "void row",
            Mark::Stale => "stale number",
            Mark::SessionReopened => "session reopened",
            Mark::TokenRenewed => "token renewed",
            Mark::ClockLeap => "clock leap refused",
            Mark::DiskLow => "disk low refusal",
            Mark::NotMember => "not member",
            Mark::MirrorAdopted => "mirror adopted",
            Mark::MirrorTrimmed => "mirror trimmed",
            Mark::OrderHandedOver => "order handed over",
            Mark::ReplicaAgain => "replica begun again",
            Mark::LateStreamCut => "late stream cut",
            Mark::SoloPrimary => "solo primary",
            Mark::Preempt => "preempt",
            Mark::OfficeHandedOver => "office handed over",
            Mark::Resigned => "resigned",
            Mark::Left => "left",
            Mark::PassedOver => "passed over",
            Mark::ModeChanged => "mode changed",
            Mark::ToldEarly => "told early",
            Mark::Oversold => "oversold",
            Mark::ToldElsewhere => "told by another",
            Mark::Allotted => "allotted",
            Mark::GivenBack => "given back",
            Mark::Recalled => "recalled",
            Mark::ToldFromAllotment => "told from allotment",
            Mark::SaleAdopted => "sale adopted",
            Mark::ReportedByTrader => "reported by trader",
            Mark::ReportedByPartner => "reported by partner",
            Mark::ReportedByRestarted => "reported by restarted",
            Mark::ReportedLate => "reported late",
            Mark::ReportedWithOneStore => "reported with one store",
            Mark::Released => "released",
        }
    }
}

/// How often each was seen.
pub(crate) type Seen = BTreeMap<Mark, u64>;

/// The marks of one run.
#[derive(Default)]
pub(super) struct Marks {
    seen: Seen,
    /// Hand-overs that are underway.
    handing: BTreeSet<(Process, CallId)>,
    /// Outcomes that the warehouse has given, by their row.
    given: BTreeSet<Seq>,
    sights: Sights,
    frozen: Frozen,
}

impl Marks {
    /// What was seen.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Something was seen.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.count(mark, 1);
    }

    /// Something was seen so often.
    pub(crate) fn count(&mut self, mark: Mark, times: u64) {
        if times > 0 {
            *self.seen.entry(mark).or_default() += times;
        }
    }

    /// What a machine wants done.
    pub(crate) fn effect(&mut self, from: Process, effect: &Effect) {
        for mark in self.sights.effect(from, effect).into_iter().chain(self.frozen.effect(effect)) {
            self.mark(mark);
        }
        match effect {
            Effect::Send(_, Message::TradeAsk(ask)) => self.count(Mark::ToldElsewhere, ask.told.len() as u64),
            Effect::Send(_, Message::SettleAnswer(answer)) => self.settled(answer),
            Effect::Send(_, Message::TradeAnswer(answer)) => self.traded(answer),
            Effect::Send(_, Message::Peer(said)) if matches!(said.word, PeerWord::Ok(_)) => {
                self.mark(Mark::Contested);
            }
            Effect::Call { call, ask: Ask::HandOver(..), .. } => drop(self.handing.insert((from, *call))),
            Effect::Happen(What::TookOver(_)) => self.mark(Mark::Takeover),
            Effect::Happen(What::Replayed(_, replayed)) => self.count(Mark::Replayed, replayed.settled),
            _ => {}
        }
    }

    fn settled(&mut self, answer: &SettleAnswer) {
        let again = answer.outcomes.iter().filter(|outcome| !self.given.insert(outcome.seq)).count();
        self.count(Mark::Duplicate, again as u64);
        if answer.refused == Some(NotTaken::Fenced) {
            self.mark(Mark::FencedBatch);
        }
    }

    fn traded(&mut self, answer: &TradeAnswer) {
        let not_home = answer.not_taken.iter().filter(|(_, why)| *why == NotTaken::NotHome).count();
        self.count(Mark::NotHome, not_home as u64);
    }

    /// What arrives at a machine.
    pub(crate) fn input(&mut self, to: Process, input: &Input) {
        self.sights.input(to, input);
        if let Input::Came(call, came) = input {
            let handed = self.handing.remove(&(to, *call));
            match came {
                Ok(Answer::Taken(orders)) if handed && *orders > 0 => self.mark(Mark::HandOver),
                Err(CallError::Unknown(_)) => self.mark(Mark::Unanswered),
                _ => {}
            }
        }
    }

    /// A row of the ledger.
    pub(crate) fn row(&mut self, record: &Record) {
        for mark in self.sights.row(record).into_iter().chain(self.frozen.row(record)) {
            self.mark(mark);
        }
        match record {
            Record::Office { trader, .. } if *trader != PeerId::WAREHOUSE => self.mark(Mark::Grant),
            Record::Fence { .. } => self.mark(Mark::Fence),
            Record::Paired { .. } => self.mark(Mark::Pair),
            Record::Refusal { reason: None, .. } => self.mark(Mark::SoldOut),
            Record::Mode { .. } => self.mark(Mark::ModeChanged),
            Record::Reversal(_) => self.mark(Mark::Oversold),
            _ => {}
        }
    }
}

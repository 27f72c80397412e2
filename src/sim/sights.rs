//! Marks that need a memory: what was seen before decides what a thing is now.
//!
//! In: effects and inputs of nodes, and rows of the ledger in their order. Out: [`Mark`]s.

use std::collections::{BTreeMap, BTreeSet};

use super::marks::Mark;
use super::network::Process;
use super::placing::hello_in;
use crate::model::call::{Answer, Ask, Refusal};
use crate::model::hello::Dialed;
use crate::model::market::NotTaken;
use crate::model::message::{Message, PeerWord, SettleAnswer, Stream};
use crate::model::offices::Offices;
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::model::step::{ConnId, Effect, Input};
use crate::model::warehouse::Denied;
use crate::types::{Epoch, Hash, PeerId, Seq, Term};

/// See the module's text.
#[derive(Default)]
pub(super) struct Sights {
    /// The store for which a process last asked for a session.
    stores: BTreeMap<Process, Hash>,
    /// The term under which a process last began to replicate.
    replicates: BTreeMap<Process, Term>,
    /// The latest stream of each kind that a process had of a peer.
    dialed: BTreeMap<(Process, Stream, PeerId), Dialed>,
    /// Streams that came after a later one.
    late: BTreeSet<(Process, ConnId)>,
    /// The fold of the rows so far.
    offices: Offices,
}

impl Sights {
    /// What a node wants done.
    pub(crate) fn effect(&mut self, from: Process, effect: &Effect) -> Vec<Mark> {
        match effect {
            Effect::Send(_, message) => said(message),
            Effect::Reply(_, answer) => answered(answer),
            Effect::Dial { first: Message::ReplicaAsk(ask), .. } => {
                let again = self.replicates.insert(from, ask.term) == Some(ask.term);
                again.then_some(Mark::ReplicaAgain).into_iter().collect()
            }
            Effect::Call { ask: Ask::Open(opening), .. } => {
                let before = self.stores.insert(from, opening.store);
                let renewed = before.is_some_and(|store| store != opening.store);
                renewed.then_some(Mark::TokenRenewed).into_iter().collect()
            }
            Effect::Call { ask: Ask::Resign(_, given_up), .. } => {
                (given_up.to != PeerId::WAREHOUSE).then_some(Mark::OfficeHandedOver).into_iter().collect()
            }
            Effect::HangUp(conn) => {
                self.late.remove(&(from, *conn)).then_some(Mark::LateStreamCut).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// What arrives at a node.
    pub(crate) fn input(&mut self, to: Process, input: &Input) {
        let Input::Said(conn, message) = input else { return };
        // The answering side's hello says nothing of streams.
        let Some(hello) = hello_in(message).filter(|hello| hello.stream != 0) else { return };
        let latest = self.dialed.entry((to, message.stream(), hello.peer)).or_insert(hello.dialed());
        if hello.was_dialed_before(*latest) {
            self.late.insert((to, *conn));
        }
        *latest = hello.dialed().max(*latest);
    }

    /// A row of the ledger.
    pub(crate) fn row(&mut self, record: &Record) -> Option<Mark> {
        self.offices.apply(Seq(0), record);
        let solo = self.offices.primary.is_some() && self.offices.secondary.is_none();
        match record {
            Record::Void { .. } => Some(Mark::VoidRow),
            Record::Session { epoch, .. } => (*epoch > Epoch(0)).then_some(Mark::SessionReopened),
            _ => (solo && record.decision().is_some()).then_some(Mark::SoloPrimary),
        }
    }
}

/// An entry of a peer's journal.
pub(super) fn entry(entry: &Entry) -> Option<Mark> {
    match entry {
        Entry::Adopted { .. } => Some(Mark::MirrorAdopted),
        Entry::Trimmed { .. } => Some(Mark::MirrorTrimmed),
        Entry::HandedOver { .. } => Some(Mark::OrderHandedOver),
        _ => None,
    }
}

fn said(message: &Message) -> Vec<Mark> {
    match message {
        Message::TradeAnswer(answer) => {
            answer.not_taken.iter().filter_map(|(_, why)| refused(*why)).collect()
        }
        Message::SettleAnswer(SettleAnswer { not_taken, refused: all, .. }) => {
            not_taken.iter().map(|(_, why)| *why).chain(*all).filter_map(refused).collect()
        }
        Message::ControlDown(down) if down.roster.as_ref().is_some_and(|it| !it.passed_over.is_empty()) => {
            vec![Mark::PassedOver]
        }
        Message::Peer(said) if matches!(said.word, PeerWord::Preempt) => vec![Mark::Preempt],
        _ => Vec::new(),
    }
}

fn answered(answer: &Result<Answer, Refusal>) -> Vec<Mark> {
    let mark = match answer {
        Err(Refusal::NotTaken(why, _)) => refused(*why),
        Err(Refusal::Denied(Denied::NotMember(_))) => Some(Mark::NotMember),
        Ok(Answer::Left(_)) => Some(Mark::Left),
        Ok(Answer::Resigned(Some(_))) => Some(Mark::Resigned),
        _ => None,
    };
    mark.into_iter().collect()
}

fn refused(why: NotTaken) -> Option<Mark> {
    match why {
        NotTaken::Stale => Some(Mark::Stale),
        NotTaken::Clock => Some(Mark::ClockLeap),
        NotTaken::DiskFull => Some(Mark::DiskLow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hello::Hello;
    use crate::model::message::TradeAsk;
    use crate::types::ProcessId;

    fn hello(conn: u64, stream: u64) -> Input {
        let (peer, process) = (PeerId(4), ProcessId::default());
        let hello = Some(Box::new(Hello { peer, process, stream, ..Hello::default() }));
        Input::Said(ConnId(conn), Message::TradeAsk(TradeAsk { hello, ..TradeAsk::default() }))
    }

    #[test]
    fn a_stream_is_late_behind_its_successor_and_marked_when_it_is_cut() {
        let (mut sights, node) = (Sights::default(), Process { node: PeerId(6), life: 1 });
        sights.input(node, &hello(1, 8));
        sights.input(node, &hello(2, 7));
        assert_eq!(sights.effect(node, &Effect::HangUp(ConnId(1))), []);
        assert_eq!(sights.effect(node, &Effect::HangUp(ConnId(2))), [Mark::LateStreamCut]);
        let other = Process { life: 2, ..node };
        sights.input(other, &hello(3, 7));
        assert_eq!(
            sights.effect(other, &Effect::HangUp(ConnId(3))),
            [],
            "another process heard of no successor"
        );
    }
}

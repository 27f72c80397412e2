//! An honest little market in memory: a ledger and the journals of its peers, to be altered by tests.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::{BlockSource, Blocks, Refold, Source, SourceMeta, StockCache, StoredSource};
use crate::journal::{
    Birth, Block, BlockHeader, ChainWriter, HandTime, MemoryDisk, Sealing, Setup, Step, Tip, Urgency,
    start_by_hand,
};
use crate::model::fold::{Fold, Stored};
use crate::model::market;
use crate::model::peer::PeerState;
use crate::model::peer::entry::{Entry, Placed, Told};
use crate::model::row::{Decision, Reason, Record, Slice, initial_lot};
use crate::types::{
    Batch, Epoch, Generation, Hash, Money, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId,
    ProductId, Quantity, Seq, Stamp, Term, Token, WallMicros,
};

pub(crate) const BUY: OrderKind = OrderKind::Buy { partial: false };
pub(crate) const BUY_PARTIAL: OrderKind = OrderKind::Buy { partial: true };
const PRICES: [i64; 3] = [300, 100, 400];

/// Steps of a log; each becomes one block or more.
pub(crate) type Steps<R> = Vec<Vec<R>>;

/// The market as it goes along.
#[derive(Clone, Default)]
pub(crate) struct Market {
    pub(crate) ledger: Steps<Record>,
    pub(crate) journals: BTreeMap<PeerId, Steps<Entry>>,
    clock: u64,
    batch: u64,
    numbers: BTreeMap<PeerId, u32>,
    epoch: Epoch,
    generation: Generation,
    lots: [VecDeque<(OrderId, u64)>; 3],
}

impl Market {
    /// Stock, four peers, two terms, every kind of outcome, a failover and trade after it.
    pub(crate) fn lived() -> Market {
        let mut market = Market::default();
        market.open();
        market.office(Office::Primary, 6, 1);
        market.office(Office::Secondary, 5, 2);
        market.pair(6, 1, 5, 2);
        let orders = [
            (4, BUY, 1, 3),
            (1, BUY, 1, 2),
            (3, OrderKind::Sell, 1, 9),
            (4, BUY, 2, 30),
            (2, OrderKind::Sell, 2, 4),
        ];
        market.trade(6, 1, &orders);
        market.trade(
            5,
            2,
            &[(1, BUY, 2, 28), (1, BUY_PARTIAL, 2, 20), (3, OrderKind::Sell, 0, 5), (1, BUY, 2, 1)],
        );
        market.trade(
            6,
            1,
            &[(4, BUY, 1, 40), (4, BUY, 1, 5), (2, OrderKind::Sell, 2, 6), (4, BUY_PARTIAL, 2, 9)],
        );
        market.void(5, 2, 1);
        market.fence(Office::Primary, 6, 1, 5);
        market.office(Office::Primary, 5, 3);
        market.trade(5, 3, &[(4, BUY, 0, 2), (1, BUY, 0, 110), (1, BUY, 0, 3), (2, OrderKind::Sell, 1, 2)]);
        market.office(Office::Secondary, 4, 4);
        market.pair(5, 3, 4, 4);
        market.trade(5, 3, &[(1, BUY, 0, 1), (1, BUY, 1, 4), (2, OrderKind::Sell, 0, 3), (1, BUY, 0, 7)]);
        market
    }

    /// The same market, whose warehouse is then restored, from a backup that lacks its last two
    /// orders; one of those is asked again. It goes on.
    pub(crate) fn restored() -> Market {
        let mut market = Market::lived();
        let backup = (market.ledger.clone(), market.lots.clone());
        market.trade(5, 3, &[(1, BUY, 0, 1), (4, BUY, 0, 1)]);
        let lost = market.ledger.last().and_then(|rows| rows[1].decision()).map(|decision| decision.order);
        market.see();
        (market.ledger, market.lots) = backup;
        (market.generation, market.epoch, market.numbers) =
            (Generation::of_test(1), Generation::of_test(1).first_epoch(), BTreeMap::new());
        let clock = market.tick();
        market.ledger.push(vec![Record::Restored { generation: market.generation, clock }]);
        (1..=6).for_each(|peer| market.open_session(peer));
        let first = market.generation.before_first_term().0 + 1;
        market.office(Office::Primary, 6, first);
        market.office(Office::Secondary, 5, first + 1);
        market.pair(6, first, 5, first + 1);
        market.batch += 1;
        for order in lost.iter() {
            let there = market.lots[usize::from(order.product.0)].iter().map(|(_, left)| left).sum();
            let decision = market.decision(6, first, order, there);
            market.ledger.push(vec![Record::Void { decision, reason: Reason::Closed }]);
        }
        market.trade(6, first, &[(4, BUY, 0, 1), (1, BUY, 0, 2)]);
        market
    }

    /// Every peer sees the ledger's end.
    fn see(&mut self) {
        let ((_, tip), generation) = (chain(&self.ledger), self.generation);
        let peers: Vec<u32> = self.journals.keys().map(|peer| peer.0).collect();
        for peer in peers {
            self.note(peer, Entry::LedgerSeen { generation, seq: tip.seq, hash: tip.hash, proof: None });
        }
    }

    fn open_session(&mut self, peer: u32) {
        let (epoch, store, clock) = (self.epoch, Hash::of(&[peer as u8]), self.tick());
        self.ledger.push(vec![Record::Session { peer: PeerId(peer), epoch, store, key: None, clock }]);
        self.note(peer, Entry::Opened { peer: PeerId(peer), epoch });
        let (generation, seq, hash) = (self.generation, Seq(0), Hash::default());
        self.note(peer, Entry::LedgerSeen { generation, seq, hash, proof: None });
    }

    fn tick(&mut self) -> Stamp {
        self.clock += 1;
        Stamp(self.clock)
    }

    fn seq(&self) -> u64 {
        self.ledger.iter().map(Vec::len).sum::<usize>() as u64
    }

    fn note(&mut self, peer: u32, entry: Entry) {
        self.journals.entry(PeerId(peer)).or_default().push(vec![entry]);
    }

    fn open(&mut self) {
        let goods = [("boar", 111), ("fish", 43), ("salt", 28)];
        let mut stocked = Vec::new();
        for (index, (name, quantity)) in goods.into_iter().enumerate() {
            self.lots[index].push_back((initial_lot(), quantity));
            let (unit_price, clock) = (Money(PRICES[index]), self.tick());
            stocked.push(Record::Stocked {
                name: name.into(),
                quantity: Quantity(quantity),
                unit_price,
                clock,
            });
        }
        self.ledger.push(stocked);
        (1..=6).for_each(|peer| self.open_session(peer));
    }

    fn office(&mut self, office: Office, trader: u32, term: u64) {
        let (process, clock, term) = (ProcessId::default(), self.tick(), Term(term));
        self.ledger.push(vec![Record::Office { office, trader: PeerId(trader), process, term, clock }]);
        self.note(trader, Entry::Granted { office, term });
    }

    fn pair(&mut self, trader: u32, term: u64, partner: u32, partner_term: u64) {
        let (trader, partner, clock) = (PeerId(trader), PeerId(partner), self.tick());
        let (term, partner_term) = (Term(term), Term(partner_term));
        self.ledger.push(vec![Record::Paired { trader, term, partner, partner_term, clock }]);
    }

    fn fence(&mut self, office: Office, trader: u32, term: u64, by: u32) {
        let clock = self.tick();
        let (trader, by) = (PeerId(trader), PeerId(by));
        self.ledger.push(vec![Record::Fence { office, trader, term: Term(term), by, clock }]);
    }

    fn place(&mut self, (peer, kind, product, pieces): (u32, OrderKind, u16, u64)) -> Order {
        let k = self.numbers.entry(PeerId(peer)).or_default();
        *k += 1;
        let number = Number::new(self.epoch, *k);
        let (stamp, product, quantity) = (self.tick(), ProductId(product), Quantity(pieces));
        self.note(peer, Entry::Placed(Placed { number, stamp, kind, product, quantity }));
        Order { id: OrderId { peer: PeerId(peer), number }, stamp, kind, product, quantity }
    }

    /// Places orders, has them accepted, settles them in one block, and tells.
    pub(crate) fn trade(&mut self, trader: u32, term: u64, orders: &[(u32, OrderKind, u16, u64)]) {
        let orders: Vec<Order> = orders.iter().map(|order| self.place(*order)).collect();
        for order in &orders {
            self.note(trader, Entry::Accepted { term: Term(term), order: *order });
        }
        self.batch += 1;
        let rows: Vec<Record> = orders.iter().map(|order| self.decide(trader, term, order)).collect();
        self.settle(trader, rows);
    }

    fn void(&mut self, trader: u32, term: u64, peer: u32) {
        let order = self.place((peer, OrderKind::Void, 0, 0));
        self.batch += 1;
        let decision = self.decision(trader, term, &order, 0);
        self.settle(trader, vec![Record::Void { decision, reason: Reason::GivenUp }]);
    }

    fn settle(&mut self, trader: u32, rows: Vec<Record>) {
        let first = self.seq() + 1;
        let told: Vec<_> =
            rows.iter().zip(first..).filter_map(|(row, seq)| row.outcome(Seq(seq), WallMicros(0))).collect();
        self.ledger.push(rows);
        for outcome in told {
            let (number, kind, reason) = (outcome.id.number, outcome.kind, outcome.reason);
            let told = Told {
                number,
                kind,
                reason,
                filled: outcome.filled,
                amount: outcome.amount,
                seq: outcome.seq,
            };
            let peer = outcome.id.peer;
            self.note(peer.0, Entry::Answered { via: PeerId(trader), told: vec![told], seen: None });
            self.note(trader, Entry::Settled { peer, first: number, last: number });
        }
    }

    fn decision(&mut self, trader: u32, term: u64, order: &Order, stock_after: u64) -> Decision {
        let (clock, stock_after, batch) = (self.tick(), Quantity(stock_after), Batch(self.batch));
        Decision { order: *order, clock, stock_after, trader: PeerId(trader), term: Term(term), batch }
    }

    fn decide(&mut self, trader: u32, term: u64, order: &Order) -> Record {
        let (product, pieces) = (usize::from(order.product.0), order.quantity.0);
        let there: u64 = self.lots[product].iter().map(|(_, left)| left).sum();
        let OrderKind::Buy { partial } = order.kind else {
            self.lots[product].push_back((order.id, pieces));
            return Record::Deposit(self.decision(trader, term, order, there + pieces));
        };
        let filled = if partial { pieces.min(there) } else { pieces };
        if filled > there || filled == 0 {
            return Record::Refusal { decision: self.decision(trader, term, order, there), reason: None };
        }
        let slices = self.take(product, filled);
        let decision = self.decision(trader, term, order, there - filled);
        Record::Sale { decision, unit_price: Money(PRICES[product]), commission_percent: 5, slices }
    }

    fn take(&mut self, product: usize, mut pieces: u64) -> Vec<Slice> {
        let mut slices = Vec::new();
        while let Some((lot, left)) = self.lots[product].front_mut().filter(|_| pieces > 0) {
            let taken = pieces.min(*left);
            slices.push(Slice { lot: *lot, quantity: Quantity(taken) });
            (*left, pieces) = (*left - taken, pieces - taken);
            if *left == 0 {
                self.lots[product].pop_front();
            }
        }
        slices
    }

    /// The stores as sources, as they are.
    pub(crate) fn stores(&self) -> Vec<Source> {
        let (ledger, tip) = chain(&self.ledger);
        let mut sources: Vec<Source> = vec![memory(0, ledger, tip, self.clock)];
        for (peer, steps) in &self.journals {
            let (blocks, tip) = chain(steps);
            sources.push(memory(peer.0, blocks, tip, self.clock));
        }
        sources
    }

    /// The stores as sources, each with its mark at its end, and each peer having seen the ledger's end.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let (ledger, tip) = chain(&self.ledger);
        let mut sources: Vec<Source> = vec![memory(0, ledger, tip, self.clock)];
        for (peer, steps) in &self.journals {
            let mut steps = steps.clone();
            let generation = self.generation;
            steps.push(vec![Entry::LedgerSeen { generation, seq: tip.seq, hash: tip.hash, proof: None }]);
            let (blocks, tip) = chain(&steps);
            sources.push(memory(peer.0, blocks, tip, self.clock));
        }
        sources
    }
}

pub(crate) fn memory(node: u32, blocks: Vec<Vec<u8>>, tip: Tip, clock: u64) -> Source {
    let (mark, clock_reserve) = (Some((tip.seq, tip.hash)), Some(Stamp(clock + 100)));
    let meta = SourceMeta {
        node: PeerId(node),
        cluster: "3f2a".into(),
        mark,
        clock_reserve,
        ..SourceMeta::default()
    };
    Box::new(Memory { meta, blocks, cache: None })
}

/// Steps as hashed, linked blocks.
pub(crate) fn chain<R: Stored>(steps: &Steps<R>) -> (Vec<Vec<u8>>, Tip) {
    let (mut writer, mut blocks) = (ChainWriter::new(Tip::default()), Vec::new());
    for (step, records) in steps.iter().enumerate() {
        let time = WallMicros(1_795_341_600_000_000 + step as u64 * 1_000);
        let put = |_: Seq, block: &[u8]| -> Result<(), crate::journal::CodecError> {
            blocks.push(block.to_vec());
            Ok(())
        };
        writer.write(records, time, put).unwrap();
    }
    (blocks, writer.tip())
}

/// Blocks as they are, whatever is wrong with them.
pub(crate) struct Memory {
    pub(crate) meta: SourceMeta,
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) cache: Option<StockCache>,
}

impl BlockSource for Memory {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    fn blocks(&mut self, from: Seq) -> Blocks<'_> {
        let reaches =
            move |block: &&Vec<u8>| BlockHeader::peek(block).is_ok_and(|header| header.last() >= from);
        Box::new(self.blocks.iter().skip_while(move |block| !reaches(block)).cloned().map(Ok))
    }

    fn cache(&mut self) -> Option<StockCache> {
        self.cache.clone()
    }
}

/// The disk of a node that has lived through these steps, with a checkpoint half way.
pub(crate) fn disk<F: Fold>(node: u32, steps: &[Vec<F::Record>]) -> MemoryDisk {
    disk_sealing::<F>(node, steps, Sealing::never(), |at| at == steps.len() / 2)
}

/// The same; what is behind the checkpoints, after these steps, moves into segments.
fn disk_sealing<F: Fold>(
    node: u32,
    steps: &[Vec<F::Record>],
    sealing: Sealing,
    is_checkpoint: impl Fn(usize) -> bool,
) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let setup = Setup {
        dir: PathBuf::from("memory"),
        birth: Some(Birth::new("3f2a", PeerId(node), "", Token([7; 32]))),
        key: None,
        expect_cluster: None,
        mark: Some(disk.mark()),
        sealing,
        time: Arc::new(HandTime::default()),
        fatal: Arc::new(|fault| panic!("{fault}")),
    };
    let (mut node, mut pump) = start_by_hand::<F>(disk.open(), setup).unwrap();
    for (at, records) in steps.iter().enumerate() {
        let (time, clock) = (WallMicros(at as u64), Stamp(1_000));
        let seqs = node.journal.next_seq().0..;
        seqs.zip(records).for_each(|(seq, record)| node.state.apply(Seq(seq), time, record));
        node.journal.stage(Step { records: records.clone(), time, clock, urgency: Urgency::Now });
        if is_checkpoint(at) {
            node.journal.checkpoint(node.state.parts());
        }
        while pump.write_group().unwrap() {}
    }
    pump.close().unwrap();
    disk
}

/// The store on a disk.
pub(crate) fn stored(disk: &MemoryDisk) -> Source {
    let (store, mark) = (disk.open().reader(), disk.mark().newest());
    Box::new(StoredSource::open(store, mark, "memory").unwrap().unwrap())
}

impl Market {
    /// The stores on disks, the warehouse's first.
    pub(crate) fn disks(&self) -> Vec<MemoryDisk> {
        let mut disks = vec![disk::<market::Market>(0, &self.ledger)];
        disks.extend(self.journals.iter().map(|(peer, steps)| disk::<PeerState>(peer.0, steps)));
        disks
    }

    /// The same, with most of each log in segments.
    pub(crate) fn sealed_disks(&self) -> Vec<MemoryDisk> {
        let (sealing, often) = (Sealing { bytes: 200, keep: None }, |at: usize| at.is_multiple_of(3));
        let mut disks = vec![disk_sealing::<market::Market>(0, &self.ledger, sealing, often)];
        let peers = self.journals.iter();
        disks.extend(peers.map(|(peer, steps)| disk_sealing::<PeerState>(peer.0, steps, sealing, often)));
        disks
    }
}

/// What comes of the comparison of a ledger's checkpoint with its rows; none if there is none.
pub(crate) fn checkpoint(source: &mut dyn BlockSource) -> Option<Result<(), String>> {
    let Some(Refold::Ledger(mut folding)) = source.refold().unwrap() else { return None };
    for block in source.blocks(Seq(1)) {
        let block = Block::<Record>::decode(&block.unwrap()).unwrap();
        folding.take(&block.header, block.rows());
    }
    folding.finish()
}

//! `bazaar bench-load`: one load process of `bench warehouse`. It is a trader as far as the warehouse can tell: it shows
//! a token, keeps a control stream, claims an office, and settles orders of peers whose sessions it opened.
//!
//! In: the warehouse's address, how many peers, how long. Out: one line of JSON with counts and a histogram of batch
//! latencies. Holds, as a real trader and its peers would: numbers of a peer ascend without gap, none is sent more than
//! [`SESSION_WINDOW`] above the lowest unanswered one, stamps are a Lamport clock's, and at most
//! [`SETTLE_BATCHES_IN_FLIGHT_MAX`] batches are unanswered.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::nodes::unanswered;
use crate::cli::BenchLoadArgs;
use crate::limits::{CALL_DEADLINE, INBOX_MAX, SESSION_WINDOW, SETTLE_BATCHES_IN_FLIGHT_MAX};
use crate::model::clock::Clock;
use crate::model::hello::Hello;
use crate::model::message::{ControlUp, Message, SettleAnswer, SettleAsk};
use crate::model::row::OutcomeKind;
use crate::model::step::ConnId;
use crate::node::boot::new_token;
use crate::node::life::{Stop, end_with_parent};
use crate::node::wall_now;
use crate::ops::children::usage_of;
use crate::ops::histogram::{histogram_out, latencies};
use crate::ops::output::{Failure, exit, print_line};
use crate::ops::runtime::runtime;
use crate::types::{
    Batch, Epoch, Generation, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId,
    Quantity, Stamp, Term, Token,
};
use crate::wire::arrival::Arrival;
use crate::wire::client::dial::{Dialed, Dialer};
use crate::wire::client::{CallError, Node};
use crate::wire::outbox::Outbox;

/// Runs one load process and prints what it counted.
///
/// # Errors
/// The warehouse is gone, took an order not, or gives no office.
pub fn load(args: &BenchLoadArgs) -> Result<u8, Failure> {
    if args.parent_pipe {
        end_with_parent(Stop::default());
    }
    // One thread: what the load costs is taken from what it measures.
    let counted = runtime()?.block_on(async { Trader::open(args).await?.run(args).await })?;
    print_line(counted)?;
    Ok(exit::DONE)
}

/// The process's streams, and what it sends on them.
struct Trader {
    inbox: mpsc::Receiver<Arrival>,
    control: Outbox<Message>,
    settle: Outbox<Message>,
    /// The tasks of both streams, which end with them.
    _dialed: [Dialed; 2],
    term: Term,
    load: Load,
}

fn refused(error: CallError) -> Failure {
    unanswered(&error)
}

async fn open_session(node: &Node, peer: PeerId, cluster: &str) -> Result<(Token, Epoch, Stamp), Failure> {
    let token = new_token().map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
    let answer = node.open(peer, token.store_id(), cluster, Generation::default()).await.map_err(refused)?;
    Ok((token, answer.opened.epoch, answer.clock))
}

impl Trader {
    /// Session, control stream, office, settle stream, and the sessions of the peers.
    async fn open(args: &BenchLoadArgs) -> Result<Trader, Failure> {
        let addr = args.warehouse.to_string();
        let node = Node::connect(&addr, CALL_DEADLINE).await.map_err(refused)?;
        let catalogue = node.catalogue().await.map_err(refused)?;
        let (token, epoch, clock) = open_session(&node, args.id, &catalogue.cluster).await?;
        let process = ProcessId { epoch, starts: 1, random: fastrand::u64(..) };
        let (peer, token, cluster) = (args.id, Some(token), catalogue.cluster);
        let proof = Hello { peer, epoch, token, process, clock, cluster, ..Hello::default() };
        let (sender, mut inbox) = mpsc::channel(INBOX_MAX);
        let dialer =
            Dialer { wire: tokio::runtime::Handle::current(), inbox: sender, deadline: CALL_DEADLINE };
        let first = ControlUp { clock, hello: Some(Box::new(proof.clone())), ..ControlUp::default() };
        let (control, control_task) = dialer.dial(ConnId(1), addr.clone(), Message::ControlUp(first));
        greeted(&mut inbox).await?;
        let term = claim(&node, &proof).await?;
        let first = SettleAsk { clock, hello: Some(Box::new(proof.clone())), term, ..SettleAsk::default() };
        let (settle, settle_task) = dialer.dial(ConnId(2), addr, Message::SettleAsk(first));
        greeted(&mut inbox).await?;
        let mut peers = Vec::new();
        for id in 1..=args.sessions {
            let peer = PeerId(args.id.0 + id);
            let (_, epoch, _) = open_session(&node, peer, &proof.cluster).await?;
            peers.push(Peer::new(peer, epoch));
        }
        let load = Load::new(peers, catalogue.goods.len() as u16, args.batch, Clock::starting_at(clock));
        Ok(Trader { inbox, control, settle, _dialed: [control_task, settle_task], term, load })
    }

    /// Sends until the time is over, then waits for what is unanswered.
    async fn run(mut self, args: &BenchLoadArgs) -> Result<Value, Failure> {
        let (began, first_us) = (Instant::now(), wall_now().0);
        loop {
            while began.elapsed() < args.duration
                && let Some((batch, orders)) = self.load.next_batch()
            {
                let (clock, term) = (self.load.clock.now(), self.term);
                self.settle.send(Message::SettleAsk(SettleAsk {
                    clock,
                    term,
                    batch,
                    orders,
                    ..SettleAsk::default()
                }));
            }
            if self.load.in_flight.is_empty() && began.elapsed() >= args.duration {
                break;
            }
            self.hear().await?;
        }
        Ok(self.load.counted(first_us, wall_now().0))
    }

    async fn hear(&mut self) -> Result<(), Failure> {
        let heard = tokio::time::timeout(CALL_DEADLINE, self.inbox.recv()).await;
        match heard.ok().flatten() {
            Some(Arrival::Said(_, Message::SettleAnswer(answer))) => self.load.answered(&answer),
            Some(Arrival::Said(_, Message::ControlDown(down))) => {
                let up = ControlUp {
                    clock: self.load.clock.tick(),
                    heartbeat_answer: down.heartbeat,
                    ..ControlUp::default()
                };
                self.control.send(Message::ControlUp(up));
                Ok(())
            }
            Some(Arrival::Ended(_, lost)) => {
                let what = format!("a stream to the warehouse broke: {}", lost.why);
                Err(Failure::new(exit::UNDETERMINED, what))
            }
            Some(_) => Ok(()),
            None => Err(Failure::new(exit::UNDETERMINED, format!("no answer within {CALL_DEADLINE:?}"))),
        }
    }
}

/// Waits for the hello of the stream that was just dialed.
async fn greeted(inbox: &mut mpsc::Receiver<Arrival>) -> Result<(), Failure> {
    loop {
        let heard = tokio::time::timeout(CALL_DEADLINE, inbox.recv()).await.ok().flatten();
        match heard {
            Some(Arrival::Said(_, Message::SettleAnswer(answer))) if answer.hello.is_some() => return Ok(()),
            Some(Arrival::Said(_, Message::ControlDown(down))) if down.hello.is_some() => return Ok(()),
            Some(Arrival::Ended(_, lost)) => return Err(Failure::new(exit::UNREACHABLE, lost.why)),
            Some(_) => {}
            None => return Err(Failure::new(exit::UNREACHABLE, "the warehouse does not greet")),
        }
    }
}

/// The first load process becomes primary, the second secondary: there are no more offices.
async fn claim(node: &Node, hello: &Hello) -> Result<Term, Failure> {
    let roster = match node.claim(hello, Office::Primary).await {
        Ok(roster) => roster,
        Err(_) => node.claim(hello, Office::Secondary).await.map_err(refused)?,
    };
    let held = roster.held_by(hello.peer).map(|(_, seat)| seat.term);
    held.ok_or_else(|| Failure::new(exit::UNDETERMINED, "a claim was granted to another peer"))
}

/// A peer whose orders are settled: its numbers, and which of them are unanswered.
struct Peer {
    id: PeerId,
    epoch: Epoch,
    next: u32,
    /// First number of each unanswered batch, in the order of sending.
    unanswered: VecDeque<u32>,
}

impl Peer {
    fn new(id: PeerId, epoch: Epoch) -> Peer {
        Peer { id, epoch, next: 1, unanswered: VecDeque::new() }
    }

    /// How many more numbers may be sent.
    fn room(&self) -> u32 {
        let lowest = self.unanswered.front().copied().unwrap_or(self.next);
        SESSION_WINDOW - (self.next - lowest)
    }
}

struct Sent {
    at: Instant,
    peer: usize,
    orders: usize,
}

/// What is sent and what came of it.
struct Load {
    peers: Vec<Peer>,
    /// The index of the peer whose turn it is.
    turn: usize,
    products: u16,
    batch: u32,
    clock: Clock,
    last: Batch,
    in_flight: BTreeMap<Batch, Sent>,
    latency_us: Histogram<u64>,
    orders: u64,
    /// Bought, deposited, sold out.
    outcomes: [u64; 3],
}

impl Load {
    fn new(peers: Vec<Peer>, products: u16, batch: u32, clock: Clock) -> Load {
        Load {
            peers,
            turn: 0,
            products,
            batch,
            clock,
            last: Batch(0),
            in_flight: BTreeMap::new(),
            latency_us: latencies(),
            orders: 0,
            outcomes: [0; 3],
        }
    }

    /// The next batch, if enough were answered: all of one peer, the peers taking turns.
    fn next_batch(&mut self) -> Option<(Batch, Vec<Order>)> {
        if self.in_flight.len() >= SETTLE_BATCHES_IN_FLIGHT_MAX {
            return None;
        }
        let turns = (0..self.peers.len()).map(|ahead| (self.turn + ahead) % self.peers.len());
        let peer = turns.into_iter().find(|peer| self.peers[*peer].room() >= self.batch)?;
        self.turn = peer + 1;
        let first = self.peers[peer].next;
        self.peers[peer].next += self.batch;
        self.peers[peer].unanswered.push_back(first);
        let orders: Vec<Order> = (first..first + self.batch).map(|k| self.order(peer, k)).collect();
        self.last = Batch(self.last.0 + 1);
        self.in_flight.insert(self.last, Sent { at: Instant::now(), peer, orders: orders.len() });
        Some((self.last, orders))
    }

    /// Half buy, half sell, as many pieces on average, so that the stock lasts.
    fn order(&mut self, peer: usize, k: u32) -> Order {
        let Peer { id, epoch, .. } = self.peers[peer];
        let kind = if fastrand::bool() { OrderKind::Sell } else { OrderKind::Buy { partial: false } };
        Order {
            id: OrderId { peer: id, number: Number::new(epoch, k) },
            stamp: self.clock.tick(),
            kind,
            product: ProductId(fastrand::u16(..self.products)),
            quantity: Quantity(fastrand::u64(1..=3)),
        }
    }

    /// A batch came back. Nothing of it may be left open: this load never breaks a rule.
    fn answered(&mut self, answer: &SettleAnswer) -> Result<(), Failure> {
        // A clock too far ahead would show in the next stamp, which the warehouse then refuses.
        let _ = self.clock.receive(answer.clock);
        let Some(sent) = self.in_flight.remove(&answer.batch) else { return Ok(()) };
        let whole = answer.outcomes.len() == sent.orders && answer.refused.is_none();
        if !whole {
            let why = answer.refused.or(answer.not_taken.first().map(|(_, why)| *why));
            let why = why.map_or("orders are missing".to_owned(), |why| why.to_string());
            return Err(Failure::new(
                exit::UNDETERMINED,
                format!("batch {} came back without outcome: {why}", answer.batch),
            ));
        }
        let latency: Duration = sent.at.elapsed();
        self.latency_us.saturating_record(latency.as_micros() as u64);
        self.peers[sent.peer].unanswered.pop_front();
        self.orders += sent.orders as u64;
        for outcome in &answer.outcomes {
            self.count(outcome.kind);
        }
        Ok(())
    }

    fn count(&mut self, kind: OutcomeKind) {
        let at = match kind {
            OutcomeKind::Bought | OutcomeKind::PartlyBought => 0,
            OutcomeKind::Deposited => 1,
            _ => 2,
        };
        self.outcomes[at] += 1;
    }

    fn counted(&self, first_us: u64, last_us: u64) -> Value {
        let (cpu_s, rss_mib) = usage_of(std::process::id());
        json!({
            "orders": self.orders,
            "first_us": first_us,
            "last_us": last_us,
            "outcomes": self.outcomes,
            "cpu_s": cpu_s,
            "rss_mib": rss_mib,
            "latency_us": histogram_out(&self.latency_us).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::Outcome;

    fn outcome(order: &Order) -> Outcome {
        crate::model::row::Record::Deposit(crate::model::row::Decision {
            order: *order,
            clock: Stamp(1),
            stock_after: Quantity(1),
            trader: PeerId(1),
            term: Term(1),
            batch: Batch(1),
        })
        .outcome(crate::types::Seq(1), crate::types::WallMicros(1))
        .unwrap()
    }

    fn load(peers: u32, batch: u32) -> Load {
        let peers = (1..=peers).map(|id| Peer::new(PeerId(id), Epoch(0))).collect();
        Load::new(peers, 3, batch, Clock::starting_at(Stamp(0)))
    }

    #[test]
    fn numbers_and_stamps_ascend_and_the_window_is_never_overrun() {
        let mut load = load(1, 1_000);
        let batches: Vec<_> = std::iter::from_fn(|| load.next_batch()).collect();
        assert_eq!(batches.len(), 4, "a fifth batch would pass the window");
        let orders: Vec<Order> = batches.iter().flat_map(|(_, orders)| orders.clone()).collect();
        assert!(orders.is_sorted_by_key(|order| (order.id.number, order.stamp)));
        let outcomes = batches[0].1.iter().map(outcome).collect();
        load.answered(&SettleAnswer { batch: batches[0].0, outcomes, ..SettleAnswer::default() }).unwrap();
        assert_eq!(load.next_batch().unwrap().1[0].id.number.k(), 4_001);
        assert!(load.next_batch().is_none());
    }

    #[test]
    fn peers_take_turns_and_batches_in_flight_are_bounded() {
        let mut load = load(3, 1);
        let batches: Vec<_> = std::iter::from_fn(|| load.next_batch()).collect();
        assert_eq!(batches.len(), SETTLE_BATCHES_IN_FLIGHT_MAX);
        assert_eq!(batches[0].1[0].id.peer, batches[3].1[0].id.peer);
        assert_ne!(batches[0].1[0].id.peer, batches[1].1[0].id.peer);
    }

    #[test]
    fn an_order_without_outcome_ends_the_run() {
        let mut load = load(1, 2);
        let (batch, orders) = load.next_batch().unwrap();
        let answer = SettleAnswer { batch, outcomes: vec![outcome(&orders[0])], ..SettleAnswer::default() };
        assert!(load.answered(&answer).unwrap_err().what.contains("missing"));
    }
}

//! What a stranger does of itself: a stream with a few words, or a call.

use super::forge::Lie;
use super::{Hands, Stranger};
use crate::model::call::{Ask, Opening};
use crate::model::message::{
    ControlUp, Message, PeerMessage, PeerWord, ReplicaAsk, SettleAsk, Stream, TradeAsk,
};
use crate::model::warehouse::GivenUp;
use crate::types::{Batch, Generation, Hash, Office, Order, PeerId, Seq, Stamp};

/// Words that follow the first one on a stream.
const WORDS_MAX: u64 = 4;

/// The streams that it dials: each kind goes to the nodes that serve it most often, and sometimes to others.
const STREAMS: [Stream; 6] =
    [Stream::Trade, Stream::Settle, Stream::Control, Stream::Watch, Stream::Replicate, Stream::Link];

impl Stranger {
    pub(super) fn make_a_move(&mut self, hands: &mut Hands) {
        let (node, addr) = self.target();
        match self.forger.chance.one_in(3) {
            true => self.call_something(&addr, hands),
            false => self.dial_something(node, &addr, hands),
        }
    }

    fn target(&mut self) -> (PeerId, String) {
        let at = self.forger.chance.between(0, self.targets.len() as u64 - 1) as usize;
        self.targets[at].clone()
    }

    // ---- streams

    fn dial_something(&mut self, node: PeerId, addr: &str, hands: &mut Hands) {
        let served: &[Stream] = match node {
            PeerId::WAREHOUSE => &[Stream::Settle, Stream::Control, Stream::Watch],
            _ => &[Stream::Trade, Stream::Link, Stream::Link, Stream::Replicate],
        };
        let chance = &mut self.forger.chance;
        let stream = if chance.one_in(10) { chance.pick(&STREAMS) } else { chance.pick(served) };
        let name = self.forger.name();
        let first = self.hello_on(stream, name);
        let conn = hands.dial(addr, first);
        let mut twice = false;
        for _ in 0..self.forger.chance.between(0, WORDS_MAX) {
            let again = self.forger.chance.one_in(6);
            let word = if again { self.second_hello(stream) } else { self.word(stream, name, hands) };
            twice |= again;
            hands.send(conn, word);
        }
        self.dialed.insert(conn, twice);
    }

    /// Somebody else's hello, on a stream that has one.
    fn second_hello(&mut self, stream: Stream) -> Message {
        let name = self.forger.other_name();
        self.hello_on(stream, name)
    }

    fn hello_on(&mut self, stream: Stream, name: PeerId) -> Message {
        let (clock, hello) = (self.forger.clock(), Some(self.forger.hello(name)));
        match stream {
            Stream::Trade => Message::TradeAsk(TradeAsk { clock, hello, ..TradeAsk::default() }),
            Stream::Settle => {
                let term = self.forger.term();
                Message::SettleAsk(SettleAsk { clock, hello, term, ..SettleAsk::default() })
            }
            Stream::Control => Message::ControlUp(ControlUp { clock, hello, ..ControlUp::default() }),
            Stream::Watch => Message::Watch,
            Stream::Replicate => {
                let term = self.forger.term();
                Message::ReplicaAsk(ReplicaAsk { clock, hello, term, ..ReplicaAsk::default() })
            }
            Stream::Link => {
                Message::Peer(PeerMessage { clock, word: hello.map_or(PeerWord::Preempt, PeerWord::Hello) })
            }
        }
    }

    /// What belongs on that stream, or now and then on another.
    fn word(&mut self, stream: Stream, name: PeerId, hands: &mut Hands) -> Message {
        let stream = if self.forger.chance.one_in(20) { self.forger.chance.pick(&STREAMS) } else { stream };
        let clock = self.forger.clock();
        match stream {
            Stream::Trade => {
                let orders = self.orders(name, hands);
                Message::TradeAsk(TradeAsk { clock, orders, ..TradeAsk::default() })
            }
            Stream::Settle => self.batch(clock, hands),
            Stream::Control => {
                let heartbeat_answer = self.forger.chance.between(0, 9);
                Message::ControlUp(ControlUp { clock, heartbeat_answer, ..ControlUp::default() })
            }
            Stream::Watch => Message::Watch,
            Stream::Replicate => self.chunk(clock),
            Stream::Link => Message::Peer(PeerMessage { clock, word: self.peer_word() }),
        }
    }

    /// Orders; those in its own name are placed by it.
    fn orders(&mut self, name: PeerId, hands: &mut Hands) -> Vec<Order> {
        let (orders, me) = (self.forger.orders(name), self.me());
        hands.placed.extend(orders.iter().filter(|order| Some(order.id.peer) == me));
        orders
    }

    fn batch(&mut self, clock: Stamp, hands: &mut Hands) -> Message {
        let name = self.forger.member();
        let (term, orders) = (self.forger.term(), self.orders(name, hands));
        let batch = Batch(self.forger.chance.between(0, 1_000));
        Message::SettleAsk(SettleAsk { clock, term, batch, orders, ..SettleAsk::default() })
    }

    fn chunk(&mut self, clock: Stamp) -> Message {
        let (term, orders) = (self.forger.term(), self.forger.block());
        let chunk = Seq(self.forger.chance.between(0, 1_000));
        let settled_below = Seq(self.forger.chance.pick(&[0, 5, u64::MAX]));
        Message::ReplicaAsk(ReplicaAsk { clock, hello: None, term, chunk, orders, settled_below })
    }

    fn peer_word(&mut self) -> PeerWord {
        if self.forger.lies(Lie::Rosters) {
            return PeerWord::Roster(Box::new(self.forger.roster()));
        }
        if self.forger.lies(Lie::Elections) {
            return self.election_word();
        }
        match self.forger.chance.one_in(3) {
            true => PeerWord::Heartbeat(self.forger.chance.between(1, 9)),
            false => PeerWord::Members(self.forger.members()),
        }
    }

    fn election_word(&mut self) -> PeerWord {
        let office = self.forger.chance.pick(&Office::BOTH);
        match self.forger.chance.between(0, 4) {
            0 => PeerWord::Election(office),
            1 => PeerWord::Ok(office),
            2 => PeerWord::Coordinator(office),
            3 => PeerWord::Preempt,
            _ => PeerWord::TookOver(self.forger.member()),
        }
    }

    // ---- calls

    fn call_something(&mut self, addr: &str, hands: &mut Hands) {
        let ask = self.ask(hands);
        let call = hands.call(addr, ask);
        self.calls.insert(call);
    }

    fn ask(&mut self, hands: &mut Hands) -> Ask {
        let name = self.forger.name();
        let hello = self.forger.hello(name);
        let (term, office) = (self.forger.term(), self.forger.chance.pick(&Office::BOTH));
        // With its own token it could hold an office: that is no lie, and a trader who serves nobody is another fault.
        let lies = self.me() != Some(name);
        match self.forger.chance.between(0, 10) {
            0 if lies => Ask::Claim(hello, office),
            1 => Ask::Fence(hello, term),
            2 => Ask::Pair(hello, term, self.forger.term()),
            3 => Ask::Resign(hello, GivenUp { term, to: self.forger.member(), pass_over: true }),
            4 | 5 => Ask::HandOver(hello, self.orders(name, hands), Vec::new()),
            6 | 7 => {
                let orders = self.orders(name, hands);
                Ask::Submit(hello, orders[0])
            }
            8 => self.opening(),
            9 => Ask::Session(name),
            _ => Ask::Probe,
        }
    }

    /// It asks for the session of a member: only a stranger's store of its own would get one, so it keeps no token of
    /// that. While the member is there it must be refused.
    fn opening(&mut self) -> Ask {
        let (peer, store) = (self.forger.member(), Hash(self.forger.chance.bytes()));
        let count = self.forger.chance.pick(&[0, 0, 1 << 40]);
        let generation = Generation { count, random: count };
        Ask::Open(Opening {
            peer,
            store,
            cluster: self.forger.known.cluster.clone(),
            generation,
            seen: None,
            licence: None,
        })
    }
}

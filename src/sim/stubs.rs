//! Stands in for what is being made elsewhere: the machines, the wire's frames, the audit. To be deleted.
//!
//! The peer here places orders and tells the warehouse their numbers; the warehouse says each back; the peer then
//! forgets the order. That is no market, and enough to try the world, its network and its disks.

use std::collections::BTreeMap;

use super::disks::Disk;
use crate::model::call::{Answer, CallError, Refusal};
use crate::types::PeerId;

/// A message as bytes.
pub(super) struct Frame<T> {
    bytes: Vec<u8>,
    value: T,
}

impl<T: Clone + std::fmt::Debug> Frame<T> {
    pub fn of(value: &T) -> Frame<T> {
        Frame { bytes: format!("{value:?}").into_bytes(), value: value.clone() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn open(self) -> T {
        self.value
    }
}

/// An answer as the caller gets it.
pub(super) fn received(answer: Result<Answer, Refusal>) -> Result<Answer, CallError> {
    answer.map_err(|refusal| match refusal {
        Refusal::NotTaken(why, _) => CallError::NotTaken { why, traders: Vec::new() },
        refusal => CallError::Refused { reason: String::new(), text: refusal.to_string() },
    })
}

pub(super) fn audited(_: &BTreeMap<PeerId, &Disk>) -> Result<(), String> {
    Ok(())
}

pub(super) fn node_name(node: PeerId) -> String {
    if node == PeerId::WAREHOUSE { "warehouse".to_owned() } else { format!("peer-{node}") }
}

pub(super) mod warehouse {
    use crate::model::call::{Answer, Ask};
    use crate::model::clock::Clock;
    use crate::model::fold::Fold;
    use crate::model::market::Market;
    use crate::model::message::{ControlDown, Message};
    use crate::model::row::Record;
    use crate::model::step::{At, Effect, Input, Machine, Turn};
    use crate::model::warehouse::Rules;
    use crate::types::{Money, Now, Office, PeerId, ProcessId, Quantity, Stamp, Term, WallMicros};

    #[allow(dead_code)]
    pub struct Parts {
        pub market: Market,
        pub clock: Clock,
        pub rules: Rules,
        pub cluster: String,
        pub process: ProcessId,
        pub addr: String,
        pub pid: u32,
        pub heartbeat_ms: u64,
        pub goods: Vec<(String, Quantity, Money)>,
    }

    pub struct Warehouse(Parts);

    impl Warehouse {
        pub fn new(parts: Parts, _: Now) -> Warehouse {
            Warehouse(parts)
        }

        fn record(&mut self, record: Record, time: WallMicros, turn: &mut Turn<Record>) {
            self.0.market.apply(self.0.market.seq.next(), time, &record);
            turn.record(record);
        }

        fn begin(&mut self, time: WallMicros, turn: &mut Turn<Record>) {
            for (name, quantity, unit_price) in self.0.goods.clone() {
                let clock = self.0.clock.tick();
                self.record(Record::Stocked { name, quantity, unit_price, clock }, time, turn);
            }
            let (process, clock) = (ProcessId::default(), self.0.clock.tick());
            for (office, peer) in [(Office::Primary, 1), (Office::Secondary, 2)] {
                let (trader, term) = (PeerId(peer), Term(peer.into()));
                self.record(Record::Office { office, trader, process, term, clock }, time, turn);
            }
            let (trader, term, partner, partner_term) = (PeerId(1), Term(1), PeerId(2), Term(2));
            self.record(Record::Paired { trader, term, partner, partner_term, clock }, time, turn);
        }
    }

    impl Machine for Warehouse {
        type State = Market;

        fn step(&mut self, _: At, input: Input, turn: &mut Turn<Record>) {
            match input {
                Input::Said(conn, Message::ControlUp(up)) => {
                    let down = ControlDown { heartbeat: up.heartbeat_answer, ..ControlDown::default() };
                    turn.hold(Effect::Send(conn, Message::ControlDown(down)));
                }
                Input::Asked(reply, Ask::Probe) => {
                    turn.hold(Effect::Reply(reply, Ok(Answer::Alive(self.0.process))));
                }
                _ => {}
            }
        }

        fn end_turn(&mut self, at: At, turn: &mut Turn<Record>) {
            if self.0.market.shelves.is_empty() {
                self.begin(at.time, turn);
            }
        }

        fn due(&self) -> Option<Now> {
            None
        }

        fn clock(&self) -> Stamp {
            self.0.clock.now()
        }

        fn state(&self) -> &Market {
            &self.0.market
        }

        fn has_ended(&self) -> bool {
            false
        }
    }
}

pub(super) mod peer {
    use crate::model::call::{Answer, Ask};
    use crate::model::clock::Clock;
    use crate::model::entry::{Entry, Placed};
    use crate::model::fold::Fold;
    use crate::model::message::{ControlUp, Message};
    use crate::model::peer::PeerState;
    use crate::model::shopper::{Habits, Shopper};
    use crate::model::step::{At, Because, CallId, ConnId, Effect, Input, Machine, Turn};
    use crate::types::{Epoch, Money, Now, Number, PeerId, ProcessId, Role, Stamp, Token, WallMicros};

    #[allow(dead_code)]
    pub struct Me {
        pub id: PeerId,
        pub cluster: String,
        pub epoch: Epoch,
        pub token: Token,
        pub process: ProcessId,
        pub addr: String,
        pub role: Role,
        pub pid: u32,
        pub heartbeat_ms: u64,
        pub suspect_after_ms: u64,
    }

    #[allow(dead_code)]
    pub struct Parts {
        pub state: PeerState,
        pub clock: Clock,
        pub me: Me,
        pub habits: Habits,
        pub goods: Vec<(String, Money)>,
        pub warehouse: String,
        pub neighbours: Vec<(PeerId, String)>,
        pub join: Vec<String>,
        pub no_preempt: bool,
        pub queue_max: usize,
    }

    pub struct Peer {
        parts: Parts,
        shopper: Shopper,
        conn: Option<ConnId>,
        call: Option<CallId>,
        dial_at: Now,
    }

    impl Peer {
        pub fn new(parts: Parts, now: Now) -> Peer {
            let shopper = Shopper::new(parts.habits.clone(), parts.me.id, parts.goods.len() as u16, now);
            Peer { parts, shopper, conn: None, call: None, dial_at: now }
        }

        fn record(&mut self, entry: Entry, turn: &mut Turn<Entry>) {
            self.parts.state.apply(self.parts.state.seq.next(), WallMicros(0), &entry);
            turn.record(entry);
        }

        fn tell(&mut self, number: Number, turn: &mut Turn<Entry>) {
            let up = ControlUp {
                clock: self.parts.clock.now(),
                heartbeat_answer: number.0,
                ..ControlUp::default()
            };
            if let Some(conn) = self.conn {
                turn.hold(Effect::Send(conn, Message::ControlUp(up)));
            }
        }

        fn dial(&mut self, turn: &mut Turn<Entry>) {
            let conn = turn.conn();
            let (addr, first) = (self.parts.warehouse.clone(), Message::ControlUp(ControlUp::default()));
            turn.at_once(Because::TellsNothing, Effect::Dial { conn, addr, first });
            self.conn = Some(conn);
            let open: Vec<Number> = self.parts.state.open.keys().copied().collect();
            open.into_iter().for_each(|number| self.tell(number, turn));
            if self.call.is_none() {
                let (call, addr) = (turn.call(), self.parts.warehouse.clone());
                turn.at_once(Because::TellsNothing, Effect::Call { call, addr, ask: Ask::Probe });
                self.call = Some(call);
            }
        }
    }

    impl Machine for Peer {
        type State = PeerState;

        fn step(&mut self, at: At, input: Input, turn: &mut Turn<Entry>) {
            match input {
                Input::Ended(conn, _) if self.conn == Some(conn) => {
                    self.conn = None;
                    self.dial_at = at.now.after_ms(100);
                }
                Input::Said(_, Message::ControlDown(down)) if down.heartbeat > 0 => {
                    self.record(Entry::Forgotten { number: Number(down.heartbeat) }, turn);
                }
                Input::Came(..) => self.call = None,
                Input::Asked(reply, Ask::Quiesce) => {
                    self.shopper.stop();
                    turn.hold(Effect::Reply(reply, Ok(Answer::Open(0))));
                }
                _ => {}
            }
        }

        fn end_turn(&mut self, at: At, turn: &mut Turn<Entry>) {
            if self.conn.is_none() && self.dial_at <= at.now {
                self.dial(turn);
            }
            for wish in self.shopper.wishes(at.now, self.parts.state.open.len(), 100) {
                let number = self.parts.state.next_number(self.parts.me.epoch);
                let stamp = self.parts.clock.tick();
                let (kind, product, quantity) = (wish.kind, wish.product, wish.quantity);
                self.record(Entry::Placed(Placed { number, stamp, kind, product, quantity }), turn);
                self.tell(number, turn);
            }
        }

        fn due(&self) -> Option<Now> {
            let shop = self.shopper.due(Now(0), self.parts.state.open.len());
            let dial = self.conn.is_none().then_some(self.dial_at);
            shop.into_iter().chain(dial).min()
        }

        fn clock(&self) -> Stamp {
            self.parts.clock.now()
        }

        fn state(&self) -> &PeerState {
            &self.parts.state
        }

        fn has_ended(&self) -> bool {
            false
        }
    }
}

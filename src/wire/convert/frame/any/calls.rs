//! The same of unary calls.

use super::{Any, ORDER_KINDS};
use crate::model::call::{Answer, Ask, Catalogue, Farewell, OpenAnswer, Opening, SalesReport};
use crate::model::report::{Report, Shopping};
use crate::model::warehouse::{GivenUp, Opened};
use crate::types::{Consistency, Epoch, Hash, Money, Number, Office, Quantity, Seq, Term};

impl Any {
    fn opening(&mut self) -> Opening {
        let (peer, store) = (self.peer(), Hash(self.bytes()));
        Opening {
            peer,
            store,
            cluster: self.text(),
            generation: self.generation(),
            seen: self.some(Any::seen),
            licence: self.some(Any::licence).map(Box::new),
        }
    }

    pub(in crate::wire::convert) fn ask(&mut self, kind: u8) -> Ask {
        match kind {
            0 => Ask::Catalogue,
            1 => Ask::Open(self.opening()),
            2 => Ask::Session(self.peer()),
            3 => Ask::Claim(self.hello(), self.of(&Office::BOTH)),
            4 => Ask::Fence(self.hello(), self.term()),
            5 => Ask::Pair(self.hello(), self.term(), self.term()),
            6 => {
                let (term, to, pass_over) = (self.term(), self.peer(), self.0.bool());
                Ask::Resign(self.hello(), GivenUp { term, to, pass_over })
            }
            7 => Ask::Submit(self.hello(), self.order()),
            8 => {
                let orders = self.many(Any::order);
                let told = self.told(&orders);
                Ask::HandOver(self.hello(), orders, told)
            }
            9 => Ask::Probe,
            10 => Ask::Status,
            11 => {
                let (good, quantity, kind) = (self.text(), Quantity(self.n()), self.of(&ORDER_KINDS));
                Ask::Place(good, quantity, kind, Number(self.n()))
            }
            12 => Ask::Quiesce,
            13 => Ask::Leave,
            14 => Ask::ResignByHand(self.peer()),
            15 => Ask::Mode(self.of(&Consistency::ALL)),
            16 => Ask::Find(self.text(), self.n32()),
            17 => {
                let orders = self.many(Any::order);
                let told = self.told(&orders);
                let report = SalesReport { term: self.term(), orders, told, last: self.0.bool() };
                Ask::Complete(self.hello(), Box::new(report))
            }
            _ => Ask::Release(self.term()),
        }
    }

    fn opened(&mut self) -> OpenAnswer {
        let (peer, epoch) = (self.peer(), Epoch(self.n()));
        let (floor, highest) = (Number(self.n()), Number(self.n()));
        // Whether it is new is between the warehouse and its ledger.
        let opened = Opened { peer, epoch, floor, highest, new: false };
        let seen = self.some(Any::seen);
        OpenAnswer {
            seen,
            opened,
            clock: self.clock(),
            roster: *self.roster(),
            generation: self.generation(),
        }
    }

    fn good(&mut self) -> (String, Money) {
        (self.text(), self.money())
    }

    fn catalogue(&mut self) -> Catalogue {
        let (clock, cluster, consistency) = (self.clock(), self.text(), self.text());
        Catalogue { clock, cluster, consistency, goods: self.many(Any::good), generation: self.generation() }
    }

    fn farewell(&mut self) -> Farewell {
        let (peer, office) = (self.peer(), self.some(Any::given_up));
        let (handed_over, open, pending) = (self.n(), self.n(), self.n());
        Farewell { peer, office, handed_over, open, pending, told: self.n32() }
    }

    fn given_up(&mut self) -> (Office, Term) {
        (self.of(&Office::BOTH), self.term())
    }

    fn shopping(&mut self) -> Shopping {
        Shopping {
            placed: self.n(),
            answered: self.n(),
            open: self.n(),
            done: self.0.bool(),
            bought: self.n(),
            sold_out: self.n(),
            deposits: self.n(),
            refused: self.n(),
            latency_us: self.many(|any| any.0.u8(..)),
            first_at: self.n(),
            last_at: self.n(),
        }
    }

    fn report(&mut self) -> Report {
        Report {
            clock: self.clock(),
            peer: self.peer(),
            role: self.text(),
            cluster: self.text(),
            pid: self.n32(),
            addr: self.text(),
            process: self.process(),
            roster: *self.roster(),
            log: self.mark(),
            ledger: self.mark(),
            queue_depth: self.n(),
            oldest: Some(self.id()).filter(|id| id.number != Number(0)),
            oldest_waiting_ms: self.n(),
            cache_age_ms: self.n(),
            heartbeat_age_ms: self.n(),
            disk_free: self.n(),
            disk_low: self.0.bool(),
            members: self.many(Any::member),
            goods: self.many(Any::good),
            stock: self.many(|any| Quantity(any.n())),
            stock_seq: Seq(self.n()),
            shopping: self.shopping(),
            elections: self.n(),
            duplicates: self.n(),
            health: self.text(),
            consistency: self.text(),
            syncs: self.n(),
            bytes_written: self.n(),
            messages_sent: self.n(),
            warehouse: self.text(),
            generation: self.generation(),
            neighbours: self.many(Any::peer),
            queue: self.many(Any::order),
            sessions: self.n(),
        }
    }

    pub(in crate::wire::convert) fn answer(&mut self, kind: u8) -> Answer {
        match kind {
            0 => Answer::Catalogue(Box::new(self.catalogue())),
            1 => Answer::Opened(Box::new(self.opened())),
            2 => Answer::Session(self.clock(), self.some(Any::session)),
            3 => Answer::Roster(self.clock(), self.roster()),
            4 => Answer::Outcome(Box::new(self.outcome()), self.some(Any::seen)),
            5 => Answer::Taken(self.n32()),
            6 => Answer::Alive(self.process()),
            7 => Answer::Status(Box::new(self.report())),
            8 => Answer::Open(self.n()),
            9 => Answer::Left(self.farewell()),
            10 => Answer::Resigned(self.some(Any::given_up)),
            11 => {
                let (before, row) = (self.of(&Consistency::ALL), Seq(self.n().max(1)));
                Answer::Mode(before, self.some(|_| row))
            }
            12 => Answer::Found(Box::new(self.found())),
            _ => Answer::Released(self.many(Any::pieces)),
        }
    }
}

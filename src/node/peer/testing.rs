//! A peer's loop without threads of its own, for this module's tests: inputs are given by hand, and so are time and disk.

use std::time::Duration;

use super::*;
use crate::journal::{Birth, HandTime, MemoryDisk, Pump, Recovered, Setup, start_by_hand};
use crate::model::offices::Seat;
use crate::model::row::OutcomeKind;
use crate::types::{Order, OrderKind, ProductId};

/// The peer under test.
pub const ME: PeerId = PeerId(4);
/// The primary of [`Bench::roster`], at which nobody listens.
pub const TRADER: PeerId = PeerId(6);

pub struct Bench {
    pub node: Loop,
    pub pump: Pump<PeerState>,
    _wire: tokio::runtime::Runtime,
    _inbox: mpsc::Receiver<Input>,
}

pub fn bench() -> Bench {
    let birth = Birth::new("test", ME, "idle", Token([7; 32]));
    let setup = Setup {
        dir: "memory".into(),
        birth: Some(birth),
        expect_cluster: None,
        mark: None,
        time: std::sync::Arc::<HandTime>::default(),
        fatal: std::sync::Arc::new(|why| panic!("{why}")),
    };
    let (recovered, pump) = start_by_hand::<PeerState>(MemoryDisk::default().open(), setup).unwrap();
    let Recovered { journal, state, clock, .. } = recovered;
    let wire = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (inbox, inputs) = mpsc::channel(1_024);
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        data_dir: "memory".into(),
        parent_pipe: false,
        ready_file: None,
        heartbeat_ms: 5_000,
        suspect_after_ms: 5_000,
    };
    let me = Me {
        id: ME,
        cluster: "test".into(),
        epoch: Epoch(0),
        token: Token([7; 32]),
        process: ProcessId::default(),
        addr: "127.0.0.1:1".into(),
        role: Role::Idle,
        settings,
    };
    let habits = Habits {
        role: Role::Idle,
        requests: None,
        interval_ms: 100,
        deposit: (1, 1),
        deposit_every_ms: 100,
        quantity: (1, 1),
        partial: false,
        seed: 1,
    };
    let mut node = Loop::new(Parts {
        state,
        clock: Clock::starting_at(clock),
        journal,
        me,
        habits,
        goods: vec![("fish".into(), Money(100))],
        warehouse: "127.0.0.1:1".into(),
        neighbours: Vec::new(),
        join: Vec::new(),
        no_preempt: true,
        queue_max: 1_000_000,
        dialer: Dialer { wire: wire.handle().clone(), inbox, deadline: Duration::from_secs(1) },
        happenings: broadcast::channel(16).0,
    });
    node.session_open = true;
    Bench { node, pump, _wire: wire, _inbox: inputs }
}

impl Bench {
    /// The peers as they are when nobody has been replaced yet.
    pub fn roster(&self) -> Roster {
        let seat = |peer, term| {
            let (process, addr) = (ProcessId::default(), "127.0.0.1:1".to_owned());
            Some(Seat { peer, process, term: Term(term), present: true, addr })
        };
        Roster { seq: Seq(2), primary: seat(TRADER, 1), secondary: seat(ME, 2), ..Roster::default() }
    }

    /// The end of a step after `ms` milliseconds, and everything durable.
    pub fn step(&mut self, ms: u64) {
        self.node.now = self.node.now.after_ms(ms);
        self.node.finish();
        while self.pump.write_group().unwrap() {}
        self.node.release();
    }

    /// The `k`th order of a peer: one piece to sell.
    pub fn order(&self, peer: PeerId, k: u32) -> Order {
        let id = OrderId { peer, number: Number::new(Epoch(0), k) };
        let (stamp, product, quantity) = (Stamp(u64::from(k)), ProductId(0), Quantity(1));
        Order { id, stamp, kind: OrderKind::Sell, product, quantity }
    }

    /// What became of it.
    pub fn deposited(&self, order: Order) -> Outcome {
        Outcome {
            id: order.id,
            kind: OutcomeKind::Deposited,
            reason: None,
            filled: order.quantity,
            amount: Money(0),
            shares: Vec::new(),
            stock_after: Quantity(1),
            seq: Seq(9),
            time: WallMicros(1),
            trader: TRADER,
            repeated: false,
        }
    }
}

//! What the warehouse tells unasked: the roster, sessions, heartbeats, stock. And what it tells of itself.

use std::collections::BTreeMap;

use super::{Conn, Warehouse};
use crate::model::call::{Catalogue, SessionInfo};
use crate::model::happening::What;
use crate::model::hello::Hello;
use crate::model::membership::Member;
use crate::model::message::{ControlDown, Message, StockPush};
use crate::model::report::Report;
use crate::model::row::Record;
use crate::model::step::{At, ConnId, Effect, Turn};
use crate::types::{Now, PeerId, ProductId, Quantity, Seq};

/// What was told so far.
pub(super) struct Told {
    /// Of the last roster; 0: none.
    roster_version: u64,
    /// Watchers know the stock up to this record.
    stock: Seq,
    /// The last heartbeat's number.
    heartbeat: u64,
    heartbeat_ms: u64,
    /// When the next one is due.
    pub(super) next_heartbeat: Now,
    /// Peers as they were last told to all that are present.
    pub(super) members: BTreeMap<PeerId, Member>,
}

impl Told {
    pub(super) fn new(stock: Seq, heartbeat_ms: u64, now: Now) -> Told {
        let next_heartbeat = now.after_ms(heartbeat_ms);
        let members = BTreeMap::new();
        Told { roster_version: 0, stock, heartbeat: 0, heartbeat_ms, next_heartbeat, members }
    }
}

// ---- control streams

impl Warehouse {
    /// The warehouse's hello. Its ledger is filled in when it leaves.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            process: self.me.process,
            clock: self.clock.now(),
            generation: self.market.generation,
            cluster: self.me.cluster.clone(),
            addr: self.me.addr.clone(),
            ..Hello::default()
        }
    }

    pub(super) fn tell(&mut self, conn: ConnId, down: ControlDown, turn: &mut Turn<Record>) {
        let down = ControlDown { clock: self.clock.tick(), ..down };
        turn.hold(Effect::Send(conn, Message::ControlDown(down)));
    }

    /// Control streams whose peer is known: each has one.
    pub(super) fn greeted(&self) -> Vec<(ConnId, PeerId)> {
        self.presence.streams().map(|(peer, conn)| (conn, peer)).collect()
    }

    pub(super) fn tell_greeting(&mut self, now: Now, conn: ConnId, peer: PeerId, turn: &mut Turn<Record>) {
        let roster = Some(Box::new(self.roster(now).clone()));
        let (hello, sessions) = (Some(Box::new(self.hello())), self.sessions_for(peer));
        let introduced = self.introductions(peer);
        self.tell(conn, ControlDown { hello, roster, sessions, introduced, ..ControlDown::default() }, turn);
    }

    /// Asks everyone for a sign of life.
    pub(super) fn heartbeat(&mut self, now: Now, turn: &mut Turn<Record>) {
        if now < self.told.next_heartbeat {
            return;
        }
        self.told.next_heartbeat = now.after_ms(self.told.heartbeat_ms);
        self.told.heartbeat += 1;
        self.presence.ask(now);
        for (conn, _) in self.greeted() {
            self.tell(conn, ControlDown { heartbeat: self.told.heartbeat, ..ControlDown::default() }, turn);
        }
    }

    /// Tells everyone of the offices if they changed.
    pub(super) fn tell_roster(&mut self, now: Now, turn: &mut Turn<Record>) {
        let version = self.roster(now).version;
        if version == std::mem::replace(&mut self.told.roster_version, version) {
            return;
        }
        for (conn, peer) in self.greeted() {
            let (roster, sessions) = (Some(Box::new(self.roster.clone())), self.sessions_for(peer));
            self.tell(conn, ControlDown { roster, sessions, ..ControlDown::default() }, turn);
        }
        turn.hold(Effect::Happen(What::Roster(self.roster.clone())));
    }

    /// Traders are told the peers' sessions when they take office, and each new one: with them a trader checks that an
    /// order comes from its peer's store. Clients may be many: traders fetch the sessions of those.
    fn sessions_for(&self, peer: PeerId) -> Vec<SessionInfo> {
        if self.market.offices.held_by(peer).is_none() {
            return Vec::new();
        }
        let peers = self.market.sessions.range(..=PeerId::PEER_MAX);
        peers.filter_map(|(peer, _)| self.session(*peer)).collect()
    }

    /// Tells the traders of a new session.
    pub(super) fn tell_session(&mut self, peer: PeerId, turn: &mut Turn<Record>) {
        let Some(session) = self.session(peer) else { return };
        for (conn, peer) in self.greeted() {
            if self.market.offices.held_by(peer).is_some() {
                self.tell(conn, ControlDown { sessions: vec![session], ..ControlDown::default() }, turn);
            }
        }
    }
}

// ---- stock

impl Warehouse {
    fn push(&self, levels: Vec<(ProductId, Quantity)>) -> StockPush {
        StockPush { clock: self.clock.now(), seq: self.market.seq, levels }
    }

    /// Stock levels that changed after a record.
    fn levels(&self, since: Option<Seq>) -> Vec<(ProductId, Quantity)> {
        let shelves = self.market.shelves.iter().enumerate();
        let changed = shelves.filter(|(_, shelf)| since.is_none_or(|since| shelf.changed > since));
        changed.map(|(at, shelf)| (ProductId(at as u16), shelf.on_hand)).collect()
    }

    pub(super) fn tell_all_stock(&self, conn: ConnId, turn: &mut Turn<Record>) {
        turn.hold(Effect::Send(conn, Message::Stock(self.push(self.levels(None)))));
    }

    /// One push a turn and watcher, with the products that changed: coalesced, since only levels matter.
    pub(super) fn tell_changed_stock(&mut self, turn: &mut Turn<Record>) {
        let since = std::mem::replace(&mut self.told.stock, self.market.seq);
        let mut watchers = self.conns.iter().filter(|(_, it)| matches!(it, Conn::Watch)).peekable();
        if since == self.market.seq || watchers.peek().is_none() {
            return;
        }
        let levels = self.levels(Some(since));
        if levels.is_empty() {
            return;
        }
        let push = self.push(levels);
        for (conn, _) in watchers {
            turn.hold(Effect::Send(*conn, Message::Stock(push.clone())));
        }
    }
}

// ---- people

impl Warehouse {
    pub(super) fn catalogue(&self) -> Catalogue {
        Catalogue {
            clock: self.clock.now(),
            cluster: self.me.cluster.clone(),
            consistency: self.market.mode.name().to_owned(),
            goods: self.market.goods().map(|(name, price)| (name.to_owned(), price)).collect(),
            generation: self.market.generation,
        }
    }

    /// Everything about this node but what its driver and its journal know.
    pub(super) fn report(&mut self, at: At) -> Report {
        let Catalogue { clock, cluster, consistency, goods, generation } = self.catalogue();
        let roster = self.roster(at.now).clone();
        let health = match at.disk_low {
            true => "disk almost full: orders are refused".to_owned(),
            false => roster.trouble().unwrap_or_else(|| "ok".to_owned()),
        };
        Report {
            clock,
            peer: PeerId::WAREHOUSE,
            role: "warehouse".to_owned(),
            cluster,
            pid: self.me.pid,
            addr: self.me.addr.clone(),
            process: self.me.process,
            roster,
            disk_low: at.disk_low,
            members: self.presence.members(),
            goods,
            stock: self.market.shelves.iter().map(|shelf| shelf.on_hand).collect(),
            stock_seq: self.market.seq,
            duplicates: self.duplicates,
            sessions: self.market.sessions.len() as u64,
            health,
            consistency,
            warehouse: self.me.addr.clone(),
            generation,
            ..Report::default()
        }
    }
}

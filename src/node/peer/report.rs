//! What a peer tells of itself, and what people may ask of it.

use super::*;
use crate::wire::report::Report;

impl Loop {
    pub(super) fn admin(&mut self, call: AdminCall) {
        match call {
            AdminCall::Status(reply) => {
                let report = Box::new(self.report());
                self.reply(reply, Ok(report));
            }
            AdminCall::Place(good, quantity, kind, reply) => self.place_for(&good, quantity, kind, reply),
            AdminCall::Leave(reply) => self.leave(reply),
            AdminCall::Resign(to, reply) => self.resign_by_hand(to, reply),
            AdminCall::Quiesce(reply) => {
                self.shopper.stop();
                let open = self.state.open.len() as u64;
                self.reply(reply, Ok(open));
            }
        }
    }

    fn health(&self) -> String {
        if self.journal.disk_low() {
            return "disk almost full: orders are refused".to_owned();
        }
        let waiting = self.desk.trader.depth();
        if self.desk.trader.is_full() {
            return format!("{waiting} orders wait for the warehouse: new ones are refused");
        }
        if !self.control.up {
            return "no connection to the warehouse".to_owned();
        }
        if self.roster.home(self.me.id).is_none() {
            "no trader in office".to_owned()
        } else {
            "ok".to_owned()
        }
    }

    fn report(&self) -> Report {
        let durable = *self.durable.borrow();
        let stats = self.journal.stats();
        Report {
            clock: self.clock.now(),
            peer: self.me.id,
            role: self.me.role.name().to_owned(),
            cluster: self.me.cluster.clone(),
            pid: std::process::id(),
            addr: self.me.addr.clone(),
            process: self.me.process,
            roster: self.roster.clone(),
            log: (durable.seq, durable.hash),
            ledger: (self.ledger_seen.1, self.ledger_seen.2),
            queue_depth: self.desk.trader.depth() as u64,
            oldest: self.desk.trader.oldest().map(|order| order.id),
            oldest_waiting_ms: self.desk.waiting_ms(self.now),
            cache_age_ms: self.now.ms_since(self.cache_at),
            heartbeat_age_ms: self.links.heard_ms(self.now),
            disk_free: stats.disk_free,
            disk_low: self.journal.disk_low(),
            members: self.membership.all().cloned().collect(),
            goods: self.goods.clone(),
            stock: self.cache.iter().map(|(quantity, _)| *quantity).collect(),
            stock_seq: self.cache.iter().map(|(_, seq)| *seq).max().unwrap_or_default(),
            shopping: self.tally.report(self.state.open.len(), self.shopper.done()),
            elections: self.elections.iter().map(Election::rounds).sum(),
            duplicates: self.desk.duplicates,
            health: self.health(),
            consistency: "cacheless".to_owned(),
            syncs: stats.syncs,
            bytes_written: stats.bytes_written,
            messages_sent: self.sent,
            warehouse: self.warehouse.clone(),
            generation: self.ledger_seen.0,
        }
    }
}

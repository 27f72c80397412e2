//! What a peer tells of itself.

use super::facts::Facts;
use super::rooms::Rooms;
use crate::limits::REPORT_QUEUE_MAX;
use crate::model::report::Report;

impl Rooms {
    fn health(&self, facts: &Facts) -> String {
        if facts.at.disk_low {
            return "disk almost full: orders are refused".to_owned();
        }
        let waiting = self.desk.trader.depth();
        if self.desk.trader.is_full() {
            return format!("{waiting} orders wait for the warehouse: new ones are refused");
        }
        if !facts.present {
            return "no connection to the warehouse".to_owned();
        }
        facts.roster.trouble().unwrap_or_else(|| "ok".to_owned())
    }

    /// Everything but what the journal knows, which is filled in when it leaves.
    pub(super) fn report(&self, facts: &Facts) -> Report {
        let now = facts.now();
        Report {
            clock: facts.clock.now(),
            peer: facts.me.id,
            role: facts.me.role.name().to_owned(),
            cluster: facts.me.cluster.clone(),
            pid: facts.me.pid,
            addr: facts.me.addr.clone(),
            process: facts.me.process,
            roster: facts.roster.clone(),
            ledger: facts.ledger_seen.ledger(),
            queue_depth: self.desk.trader.depth() as u64,
            queue: self.desk.trader.queue().iter().take(REPORT_QUEUE_MAX).copied().collect(),
            oldest: self.desk.trader.oldest().map(|order| order.id),
            oldest_waiting_ms: self.desk.waiting_ms(now),
            neighbours: self.links.neighbours().collect(),
            cache_age_ms: self.cache.age_ms(now),
            heartbeat_age_ms: self.partner.heard_ms(now),
            disk_low: facts.at.disk_low,
            members: facts.membership.all().cloned().collect(),
            goods: facts.goods.clone(),
            stock: self.cache.stock(),
            stock_seq: self.cache.seq(),
            shopping: self.shop.report(facts.state.open.len()),
            elections: self.offices.rounds(),
            duplicates: self.desk.duplicates,
            health: self.health(facts),
            consistency: facts.roster.mode.name().to_owned(),
            warehouse: facts.warehouse.clone(),
            generation: facts.ledger_seen.generation,
            ..Report::default()
        }
    }
}

#[cfg(test)]
mod tests;

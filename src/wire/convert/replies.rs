//! Replies of unary calls, and the status report.

use super::{
    Epoch, Generation, Money, Number, OrderId, PeerId, Quantity, Seq, Stamp, Term, WIRE_VERSION, hash_in,
    hash_out, member_in, member_out, office_in, office_out, order_in, order_out, process_in, process_out,
    proto, roster_in, roster_out, seen_in, seen_out,
};
use crate::model::call::{Catalogue, Farewell, OpenAnswer};
use crate::model::report::{Report, Shopping};

impl From<OpenAnswer> for proto::OpenReply {
    fn from(it: OpenAnswer) -> Self {
        proto::OpenReply {
            seen: it.seen.as_deref().map(seen_out),
            clock: it.clock.0,
            peer: it.opened.peer.0,
            epoch: it.opened.epoch.0,
            floor: it.opened.floor.0,
            highest: it.opened.highest.0,
            roster: Some(roster_out(&it.roster)),
            generation: it.generation.count,
            generation_random: it.generation.random,
            wire_version: WIRE_VERSION,
        }
    }
}

impl From<proto::OpenReply> for OpenAnswer {
    fn from(it: proto::OpenReply) -> Self {
        let (peer, epoch) = (PeerId(it.peer), Epoch(it.epoch));
        let (floor, highest) = (Number(it.floor), Number(it.highest));
        OpenAnswer {
            seen: it.seen.map(|seen| Box::new(seen_in(seen))),
            opened: crate::model::warehouse::Opened { peer, epoch, floor, highest, new: false },
            clock: Stamp(it.clock),
            roster: it.roster.map(roster_in).unwrap_or_default(),
            generation: Generation { count: it.generation, random: it.generation_random },
        }
    }
}

fn good_out((name, unit_price): &(String, Money)) -> proto::Good {
    proto::Good { name: name.clone(), unit_price: unit_price.0 }
}

fn good_in(good: proto::Good) -> (String, Money) {
    (good.name, Money(good.unit_price))
}

impl From<Catalogue> for proto::CatalogueReply {
    fn from(it: Catalogue) -> Self {
        proto::CatalogueReply {
            clock: it.clock.0,
            cluster: it.cluster,
            consistency: it.consistency,
            goods: it.goods.iter().map(good_out).collect(),
            generation: it.generation.count,
            generation_random: it.generation.random,
            wire_version: WIRE_VERSION,
        }
    }
}

impl From<proto::CatalogueReply> for Catalogue {
    fn from(it: proto::CatalogueReply) -> Self {
        Catalogue {
            clock: Stamp(it.clock),
            cluster: it.cluster,
            consistency: it.consistency,
            goods: it.goods.into_iter().map(good_in).collect(),
            generation: Generation { count: it.generation, random: it.generation_random },
        }
    }
}

impl From<Shopping> for proto::Shopping {
    fn from(it: Shopping) -> Self {
        let Shopping { placed, answered, open, done, bought, sold_out, deposits, refused, .. } = it;
        let Shopping { latency_us, first_at, last_at, .. } = it;
        proto::Shopping {
            placed,
            answered,
            open,
            done,
            bought,
            sold_out,
            deposits,
            refused,
            latency_us,
            first_at,
            last_at,
        }
    }
}

impl From<proto::Shopping> for Shopping {
    fn from(it: proto::Shopping) -> Self {
        let proto::Shopping { placed, answered, open, done, bought, sold_out, deposits, refused, .. } = it;
        let proto::Shopping { latency_us, first_at, last_at, .. } = it;
        Shopping {
            placed,
            answered,
            open,
            done,
            bought,
            sold_out,
            deposits,
            refused,
            latency_us,
            first_at,
            last_at,
        }
    }
}

impl From<Report> for proto::StatusReply {
    fn from(it: Report) -> Self {
        proto::StatusReply {
            clock: it.clock.0,
            peer: it.peer.0,
            role: it.role,
            cluster: it.cluster,
            pid: it.pid,
            addr: it.addr,
            process: Some(process_out(it.process)),
            roster: Some(roster_out(&it.roster)),
            seq: it.log.0.0,
            hash: hash_out(it.log.1),
            ledger_seq: it.ledger.0.0,
            ledger_hash: hash_out(it.ledger.1),
            queue_depth: it.queue_depth,
            oldest_waiting_ms: it.oldest_waiting_ms,
            oldest_waiting_peer: it.oldest.map_or(0, |id| u64::from(id.peer.0)),
            oldest_waiting_number: it.oldest.map_or(0, |id| id.number.0),
            cache_age_ms: it.cache_age_ms,
            heartbeat_age_ms: it.heartbeat_age_ms,
            disk_free_bytes: it.disk_free,
            disk_low: it.disk_low,
            members: it.members.iter().map(member_out).collect(),
            goods: it.goods.iter().map(good_out).collect(),
            stock: it.stock.iter().map(|quantity| quantity.0).collect(),
            stock_seq: it.stock_seq.0,
            shopping: Some(it.shopping.into()),
            elections: it.elections,
            duplicates: it.duplicates,
            health: it.health,
            consistency: it.consistency,
            syncs: it.syncs,
            bytes_written: it.bytes_written,
            messages_sent: it.messages_sent,
            warehouse: it.warehouse,
            generation: it.generation.count,
            generation_random: it.generation.random,
            neighbours: it.neighbours.iter().map(|peer| peer.0).collect(),
            queue: it.queue.iter().map(order_out).collect(),
            sessions: it.sessions,
        }
    }
}

impl From<proto::StatusReply> for Report {
    fn from(it: proto::StatusReply) -> Self {
        let oldest =
            OrderId { peer: PeerId(it.oldest_waiting_peer as u32), number: Number(it.oldest_waiting_number) };
        Report {
            clock: Stamp(it.clock),
            peer: PeerId(it.peer),
            role: it.role,
            cluster: it.cluster,
            pid: it.pid,
            addr: it.addr,
            process: process_in(it.process),
            roster: it.roster.map(roster_in).unwrap_or_default(),
            log: (Seq(it.seq), hash_in(&it.hash)),
            ledger: (Seq(it.ledger_seq), hash_in(&it.ledger_hash)),
            queue_depth: it.queue_depth,
            // One that makes no sense is of a later version.
            queue: it.queue.iter().filter_map(|order| order_in(order).ok()).collect(),
            oldest: (oldest.number.0 != 0).then_some(oldest),
            oldest_waiting_ms: it.oldest_waiting_ms,
            cache_age_ms: it.cache_age_ms,
            heartbeat_age_ms: it.heartbeat_age_ms,
            disk_free: it.disk_free_bytes,
            disk_low: it.disk_low,
            members: it.members.into_iter().map(member_in).collect(),
            goods: it.goods.into_iter().map(good_in).collect(),
            stock: it.stock.into_iter().map(Quantity).collect(),
            stock_seq: Seq(it.stock_seq),
            shopping: it.shopping.map(Shopping::from).unwrap_or_default(),
            elections: it.elections,
            duplicates: it.duplicates,
            health: it.health,
            consistency: it.consistency,
            syncs: it.syncs,
            bytes_written: it.bytes_written,
            messages_sent: it.messages_sent,
            warehouse: it.warehouse,
            generation: Generation { count: it.generation, random: it.generation_random },
            neighbours: it.neighbours.into_iter().map(PeerId).collect(),
            sessions: it.sessions,
        }
    }
}

impl From<Farewell> for proto::LeaveReply {
    fn from(it: Farewell) -> Self {
        let Farewell { peer, office, handed_over, open, pending, told } = it;
        proto::LeaveReply {
            peer: peer.0,
            office: office.map(|(office, _)| office_out(office)).unwrap_or_default(),
            term: office.map(|(_, term)| term.0).unwrap_or_default(),
            handed_over,
            open,
            pending,
            told,
        }
    }
}

impl From<proto::LeaveReply> for Farewell {
    fn from(it: proto::LeaveReply) -> Self {
        let proto::LeaveReply { peer, office, term, handed_over, open, pending, told } = it;
        let office = office_in(office).map(|office| (office, Term(term)));
        Farewell { peer: PeerId(peer), office, handed_over, open, pending, told }
    }
}

//! Events of a node's memory, as `Admin.Trace` carries them.

use super::{Checked, Odd, PeerId, proto};
use crate::model::traced::{Deed, Traced, Wanted};
use crate::types::{Number, OrderId};

/// An id on the wire: 0 is nobody, so the warehouse is 1.
fn other_out(other: Option<PeerId>) -> u32 {
    other.map_or(0, |peer| peer.0.saturating_add(1))
}

impl From<Traced> for proto::TraceEvent {
    fn from(it: Traced) -> Self {
        let deed = Deed::ALL.iter().position(|deed| *deed == it.deed).unwrap_or_default() as u32;
        let (number, time, line, text) = (it.number, it.time, it.line, it.text);
        proto::TraceEvent { number, time, deed, other_plus_one: other_out(it.other), line, text }
    }
}

impl TryFrom<proto::TraceEvent> for Traced {
    type Error = Odd;
    fn try_from(it: proto::TraceEvent) -> Checked<Self> {
        let deed = *Deed::ALL.get(it.deed as usize).ok_or(Odd::Field("deed"))?;
        let other = it.other_plus_one.checked_sub(1).map(PeerId);
        Ok(Traced { number: it.number, time: it.time, deed, other, line: it.line, text: it.text })
    }
}

impl From<Wanted> for proto::TraceRequest {
    fn from(it: Wanted) -> Self {
        let (peer, number) = it.order.map_or((0, 0), |order| (order.peer.0, order.number.0));
        // 0 is no end; of the first microsecond of 1970 nobody remembers anything.
        let to = if it.to == u64::MAX { 0 } else { it.to.max(1) };
        proto::TraceRequest { after: it.after, from: it.from, to, peer, number }
    }
}

impl From<proto::TraceRequest> for Wanted {
    fn from(it: proto::TraceRequest) -> Self {
        let order = OrderId { peer: PeerId(it.peer), number: Number(it.number) };
        let to = if it.to == 0 { u64::MAX } else { it.to };
        Wanted { after: it.after, from: it.from, to, order: (it.peer != 0).then_some(order) }
    }
}

//! What happens at a node, as `Admin.Events` carries it.

use super::{
    Checked, Odd, PeerId, order_in, order_out, outcome_in, outcome_out, proto, roster_in, roster_out,
    told_in, told_out,
};
use crate::model::happening::{Happening, Replayed, What};

impl From<Happening> for proto::Event {
    fn from(happening: Happening) -> Self {
        let mut event =
            proto::Event { time: happening.time, peer: happening.peer.0, ..proto::Event::default() };
        match happening.what {
            What::Told(order, outcome) => {
                event.order = Some(order_out(&order));
                event.told = Some(outcome_out(&outcome));
            }
            What::ToldEarly(order, answer) => {
                event.order = Some(order_out(&order));
                event.early = told_out(&[answer]).pop();
            }
            What::Line(line) => event.line = line,
            What::Roster(roster) => event.roster = Some(roster_out(&roster)),
            What::Done => event.done = true,
            What::Suspected(peer) => event.suspected = peer.0,
            What::TookOver(peer) => event.took_over_from = peer.0,
            What::Replayed(peer, Replayed { settled, duplicates, lost }) => {
                (event.took_over_from, event.all_settled) = (peer.0, true);
                (event.replayed, event.duplicates, event.lost) = (settled, duplicates, lost);
            }
        }
        event
    }
}

impl TryFrom<proto::Event> for Happening {
    type Error = Odd;
    fn try_from(event: proto::Event) -> Checked<Self> {
        let what = if let (Some(order), Some(told)) = (&event.order, &event.told) {
            What::Told(order_in(order)?, outcome_in(told)?)
        } else if let (Some(order), Some(early)) = (&event.order, &event.early) {
            let (order, told) = (order_in(order)?, told_in(std::slice::from_ref(early), 1)?);
            let of_order = told.first().filter(|it| it.id == order.id);
            What::ToldEarly(order, *of_order.ok_or(Odd::Field("early"))?)
        } else if let Some(roster) = event.roster {
            What::Roster(roster_in(roster))
        } else if event.done {
            What::Done
        } else if event.suspected != 0 {
            What::Suspected(PeerId(event.suspected))
        } else if event.all_settled {
            let proto::Event { replayed: settled, duplicates, lost, .. } = event;
            What::Replayed(PeerId(event.took_over_from), Replayed { settled, duplicates, lost })
        } else if event.took_over_from != 0 {
            What::TookOver(PeerId(event.took_over_from))
        } else {
            What::Line(event.line)
        };
        Ok(Happening { time: event.time, peer: PeerId(event.peer), what })
    }
}

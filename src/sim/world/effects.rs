//! What machines want done, done in the world: their messages go into the network, what they tell is kept.

use super::World;
use crate::diagram::Point;
use crate::model::happening::What;
use crate::model::session::is_lost;
use crate::model::step::Effect;
use crate::sim::calls::Back;
use crate::sim::check::{Failure, Told};
use crate::sim::engine::View;
use crate::sim::heard::ToldEarly;
use crate::sim::marks::Mark;
use crate::sim::network::Process;
use crate::sim::people::is_person;
use crate::types::PeerId;
use crate::wire::convert::frame;

impl World {
    /// Does one effect.
    ///
    ///
    /// # Errors
    /// The process ends itself, and nothing that went wrong is a reason for that.
    pub(super) fn perform(&mut self, from: Process, effect: Effect) -> Result<(), Failure> {
        if !is_person(from.node) {
            self.marks.effect(from, &effect);
            self.placing.shows(from, &effect);
        }
        let (now, node, queue) = (self.queue.now(), from.node, &mut self.queue);
        let note = |what: &str, number: u64, bytes: &[u8]| {
            self.trace.note(now, node, what, number, bytes, || effect.to_string());
        };
        match &effect {
            Effect::Dial { conn, addr, first } => {
                let bytes = frame::encode(first);
                note("dial", conn.0, &bytes);
                self.network.dial(from, *conn, addr.clone(), (first.stream(), bytes), queue);
            }
            Effect::Send(conn, message) => {
                let bytes = frame::encode(message);
                note("send", conn.0, &bytes);
                self.network.send(from, *conn, bytes, queue);
            }
            Effect::HangUp(conn) => {
                note("hang up", conn.0, &[]);
                self.network.hang_up(from, *conn, queue);
            }
            Effect::Reply(reply, answer) => {
                let back = Back::of(answer);
                match answer {
                    Ok(_) => note("reply", reply.0, back.bytes()),
                    Err(refusal) => note("reply", reply.0, format!("{refusal:?}").as_bytes()),
                }
                self.network.reply(from, *reply, back, queue);
            }
            Effect::Call { call, addr, ask } => {
                let bytes = frame::encode_ask(ask);
                note("call", call.0, &bytes);
                self.network.call(from, *call, addr.clone(), ask, queue);
            }
            Effect::Happen(what) => {
                note("happen", 0, format!("{what:?}").as_bytes());
                self.happened(node, what);
            }
            Effect::RenewToken => {}
            Effect::Exit(exit) => {
                note("exit", exit.code as u64, exit.what.as_bytes());
                return self.exited(from, exit);
            }
        }
        Ok(())
    }

    fn happened(&mut self, peer: PeerId, what: &What) {
        let generation = match self.nodes[peer.0 as usize].view() {
            Some(View::Peer(state)) => state.ledger_seen.generation,
            _ => Default::default(),
        };
        match what {
            What::Told(order, outcome) => {
                let text = || format!("{} {}", order.id, outcome.kind.name());
                self.trace.point(peer, self.queue.now(), Point::Told, text);
                let told = Told { peer, order: *order, outcome: outcome.clone(), generation };
                if self.heard.told(told) {
                    self.marks.mark(Mark::ToldAgain);
                }
            }
            What::ToldEarly(order, answer) => {
                let text = || format!("{} {} (early)", order.id, answer.kind(order).name());
                self.trace.point(peer, self.queue.now(), Point::Told, text);
                // It is told before the peer enters a generation that closes the order's epoch, perhaps in the same turn.
                let before = is_lost(order.id.number.epoch(), generation);
                let generation = if before { Default::default() } else { generation };
                self.heard.told_early(ToldEarly { peer, answer: *answer, generation });
                self.marks.mark(Mark::ToldEarly);
            }
            _ => {}
        }
    }
}

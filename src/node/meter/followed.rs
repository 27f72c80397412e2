//! One order at a time is followed on its way through this node. That costs a comparison for each order that passes
//! meanwhile, and a clock that is asked a few times; following each order would cost more than settling it.
//!
//! | stage | from | to |
//! | --- | --- | --- |
//! | `queued` | it comes to the trader | it leaves for the warehouse |
//! | `settling` | then | the warehouse's answer is here |
//! | `answering` | then | the answer leaves for its peer |
//! | `traded` | it comes to the trader | the answer leaves for its peer |
//! | `deciding` | it comes to the warehouse | the answer, durable by then, leaves for the trader |

use std::time::{Duration, Instant};

use super::Counts;
use crate::limits::FOLLOWED_MAX;
use crate::model::message::Message;
use crate::types::OrderId;

/// The order, and how far it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Followed {
    id: OrderId,
    came: Instant,
    /// The name of the stage that it is in, and since when.
    stage: &'static str,
    since: Instant,
}

const QUEUED: &str = "queued";
const SETTLING: &str = "settling";
const ANSWERING: &str = "answering";
const TRADED: &str = "traded";
const DECIDING: &str = "deciding";

impl Followed {
    fn new(id: OrderId, stage: &'static str) -> Followed {
        let now = Instant::now();
        Followed { id, came: now, stage, since: now }
    }

    fn passes(&mut self, next: &'static str, counts: &Counts) {
        counts.stage(self.stage).observe(seconds(self.since.elapsed()));
        (self.stage, self.since) = (next, Instant::now());
    }
}

fn seconds(took: Duration) -> f64 {
    took.as_secs_f64()
}

/// Begins with an order that comes while none is followed, or none that came on.
fn follow(followed: &mut Option<Followed>, id: Option<OrderId>, stage: &'static str) {
    let stands = followed.as_ref().is_some_and(|it| it.came.elapsed() < FOLLOWED_MAX);
    if let Some(id) = id.filter(|_| !stands) {
        *followed = Some(Followed::new(id, stage));
    }
}

/// A message is here.
pub(super) fn heard(followed: &mut Option<Followed>, message: &Message, counts: &Counts) {
    match message {
        Message::TradeAsk(ask) => follow(followed, ask.orders.first().map(|order| order.id), QUEUED),
        Message::SettleAsk(ask) => follow(followed, ask.orders.first().map(|order| order.id), DECIDING),
        Message::SettleAnswer(answer) => {
            let of = |it: &&mut Followed| {
                it.stage == SETTLING && answer.outcomes.iter().any(|told| told.id == it.id)
            };
            if let Some(it) = followed.as_mut().filter(of) {
                it.passes(ANSWERING, counts);
            }
        }
        _ => {}
    }
}

/// A message leaves.
pub(super) fn said(followed: &mut Option<Followed>, message: &Message, counts: &Counts) {
    match message {
        Message::SettleAsk(ask) => {
            let of =
                |it: &&mut Followed| it.stage == QUEUED && ask.orders.iter().any(|order| order.id == it.id);
            if let Some(it) = followed.as_mut().filter(of) {
                it.passes(SETTLING, counts);
            }
        }
        Message::SettleAnswer(answer) => {
            let of = |it: &mut Followed| {
                it.stage == DECIDING && answer.outcomes.iter().any(|told| told.id == it.id)
            };
            if let Some(mut it) = followed.take_if(of) {
                it.passes(DECIDING, counts);
            }
        }
        Message::TradeAnswer(answer) => {
            let told = |id: OrderId| {
                answer.outcomes.iter().any(|told| told.id == id)
                    || answer.early.iter().any(|told| told.id == id)
            };
            if let Some(mut it) = followed.take_if(|it| it.stage != DECIDING && told(it.id)) {
                counts.stage(TRADED).observe(seconds(it.came.elapsed()));
                if it.stage == ANSWERING {
                    it.passes(ANSWERING, counts);
                }
            }
        }
        _ => {}
    }
}

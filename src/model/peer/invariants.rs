//! What holds of a peer between turns, whatever came in.

use super::Peer;
use super::desk::Desk;
use super::facts::Facts;

impl Peer {
    /// # Errors
    /// Says what does not hold.
    pub(super) fn sound(&self) -> Result<(), String> {
        let (facts, rooms) = (&self.facts, &self.rooms);
        own_orders(facts)?;
        mirrors(facts)?;
        rooms.shop.invariants(facts)?;
        rooms.desk.invariants()?;
        rooms.takeover.invariants(facts.term().is_some())?;
        queue_is_accepted(facts, &rooms.desk)?;
        let (clock, seen) = (facts.clock.now(), facts.state.stamp);
        match clock < seen {
            true => Err(format!("V07: the clock {clock} is below the stamp {seen} in the journal")),
            false => Ok(()),
        }
    }
}

/// Open orders are such as were placed.
fn own_orders(facts: &Facts) -> Result<(), String> {
    match facts.state.open.last_key_value() {
        Some((number, _)) if *number > facts.state.last => {
            Err(format!("order {number} is open, and {} was the last placed", facts.state.last))
        }
        _ => Ok(()),
    }
}

/// A mirror is another trader's, of a term, and its chunks ascend.
fn mirrors(facts: &Facts) -> Result<(), String> {
    for ((trader, term), chunks) in &facts.state.mirrors {
        if term.0 == 0 || *trader == facts.me.id {
            return Err(format!("there is a mirror of trader {trader} under term {term}"));
        }
        if !chunks.iter().is_sorted_by_key(|(chunk, _)| *chunk) {
            return Err(format!("the mirror of trader {trader} under term {term} is out of order"));
        }
    }
    Ok(())
}

/// In office the queue is what was accepted under the present term; out of office nothing is queued.
fn queue_is_accepted(facts: &Facts, desk: &Desk) -> Result<(), String> {
    // A process that was just started may hold the term of an earlier one.
    let term = facts.state.grant.filter(|grant| facts.granted() == Some(*grant)).map(|(_, term)| term);
    let queue = desk.trader.queue();
    for order in queue.iter() {
        let accepted = facts.state.accepted.get(&order.id);
        if !accepted.is_some_and(|it| Some(it.term) == term && it.order == *order) {
            return Err(format!("order {} is queued under {term:?}, and accepted is {accepted:?}", order.id));
        }
    }
    let accepted = facts.state.accepted.values().filter(|it| Some(it.term) == term).count();
    if accepted != queue.len() {
        return Err(format!("{accepted} orders are accepted under {term:?}, and {} are queued", queue.len()));
    }
    Ok(())
}

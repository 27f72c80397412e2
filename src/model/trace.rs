//! One line for each input and each effect: the log of a machine is its trace. No secret and no clock is in it.

use std::fmt::{self, Display, Formatter};

use super::call::{Answer, Ask, SalesReport};
use super::happening::What;
use super::hello::Hello;
use super::market::NotTaken;
use super::message::{
    ControlDown, ControlUp, GoodsWord, Message, PeerWord, ReplicaAnswer, ReplicaAsk, SettleAnswer, SettleAsk,
    TradeAnswer, TradeAsk,
};
use super::offices::{Roster, Seat};
use super::row::Outcome;
use super::step::{Effect, Input};
use super::tentative::Tentative;
use crate::types::{Order, OrderId, OrderKind, Seq};

/// Ids that are named one by one; of more the first, the last and the count.
const NAMED_MAX: usize = 4;

impl Display for Input {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Input::Durable(seq) => write!(f, "durable {seq}"),
            Input::Opened(conn, stream) => write!(f, "opened {conn} {stream:?}"),
            Input::Said(conn, message) => write!(f, "said {conn} {message}"),
            Input::Ended(conn, lost) if lost.refused => write!(f, "ended {conn} refused: {}", lost.why),
            Input::Ended(conn, lost) => write!(f, "ended {conn}: {}", lost.why),
            Input::Asked(reply, ask) => write!(f, "asked {reply} {ask}"),
            Input::Came(call, Ok(answer)) => write!(f, "came {call} {answer}"),
            Input::Came(call, Err(error)) => write!(f, "came {call} failed: {error}"),
            Input::Token(_) => f.write_str("token"),
            Input::Stop => f.write_str("stop"),
        }
    }
}

impl Input {
    /// What has arrived, without the number of its stream or call: how its sender said it. The first word is its kind.
    pub(crate) fn said(&self) -> String {
        match self {
            Input::Said(_, message) => message.to_string(),
            Input::Asked(_, ask) => format!("call {ask}"),
            Input::Came(_, Ok(answer)) => format!("call {answer}"),
            Input::Came(_, Err(error)) => format!("call failed: {error}"),
            other => other.to_string(),
        }
    }
}

impl Display for Effect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Dial { conn, addr, first } => write!(f, "dial {conn} {addr} {first}"),
            Effect::Send(conn, message) => write!(f, "send {conn} {message}"),
            Effect::HangUp(conn) => write!(f, "hang up {conn}"),
            Effect::Reply(reply, Ok(answer)) => write!(f, "reply {reply} {answer}"),
            Effect::Reply(reply, Err(refusal)) => write!(f, "reply {reply} refused: {refusal}"),
            Effect::Call { call, addr, ask } => write!(f, "call {call} {addr} {ask}"),
            Effect::Happen(what) => write!(f, "happen {what}"),
            Effect::RenewToken => f.write_str("renew token"),
            Effect::Exit(exit) => write!(f, "exit {}: {}", exit.code, exit.what),
        }
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Message::TradeAsk(ask) => ask.fmt(f),
            Message::TradeAnswer(answer) => answer.fmt(f),
            Message::SettleAsk(ask) => ask.fmt(f),
            Message::SettleAnswer(answer) => answer.fmt(f),
            Message::ControlUp(up) => up.fmt(f),
            Message::ControlDown(down) => down.fmt(f),
            Message::Watch => f.write_str("watch"),
            Message::Stock(push) => write!(f, "stock of {} goods at {}", push.levels.len(), push.seq),
            Message::ReplicaAsk(ask) => ask.fmt(f),
            Message::ReplicaAnswer(answer) => answer.fmt(f),
            Message::Peer(message) => write!(f, "link {}", message.word),
        }
    }
}

impl Display for TradeAsk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "trade{}{}{}", greeting(self.hello.as_deref()), Orders(&self.orders), Early(&self.told))
    }
}

impl Display for TradeAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "trade{}", greeting(self.hello.as_deref()))?;
        outcomes(f, &self.outcomes, &self.not_taken)?;
        Early(&self.early).fmt(f)?;
        roster(f, self.roster.as_deref())
    }
}

impl Display for SettleAsk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "settle term {}{}", self.term, greeting(self.hello.as_deref()))?;
        for (product, pieces) in &self.wants {
            write!(f, " wants {pieces} of {product}")?;
        }
        if self.orders.is_empty() {
            return Ok(());
        }
        write!(f, " batch {}{}{}", self.batch, Orders(&self.orders), Early(&self.told))
    }
}

impl Display for SettleAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "settle batch {}{}", self.batch, greeting(self.hello.as_deref()))?;
        outcomes(f, &self.outcomes, &self.not_taken)?;
        if let Some(why) = self.refused {
            write!(f, " refused {why:?}")?;
        }
        self.goods.iter().try_for_each(|word| word.fmt(f))?;
        roster(f, self.roster.as_deref())
    }
}

impl Display for GoodsWord {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (product, pieces) in &self.allotted {
            match pieces {
                Some(pieces) => write!(f, " allotted {pieces} of {product} after {}", self.decided)?,
                None => write!(f, " closed {product}")?,
            }
        }
        self.recall.iter().try_for_each(|product| write!(f, " recalls {product}"))
    }
}

impl Display for ControlUp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "control{}", greeting(self.hello.as_deref()))?;
        if self.leaving {
            f.write_str(" leaving")?;
        }
        if self.heartbeat_answer > 0 { write!(f, " answer {}", self.heartbeat_answer) } else { Ok(()) }
    }
}

impl Display for ControlDown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "control{}", greeting(self.hello.as_deref()))?;
        for session in &self.sessions {
            write!(f, " session {}.{}", session.peer, session.epoch)?;
        }
        if self.heartbeat > 0 {
            write!(f, " heartbeat {}", self.heartbeat)?;
        }
        for it in &self.introduced {
            write!(f, " introduced {}{}", it.member.id, if it.member.left { " (left)" } else { "" })?;
        }
        roster(f, self.roster.as_deref())
    }
}

impl Display for ReplicaAsk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "replicate term {}{}", self.term, greeting(self.hello.as_deref()))?;
        if !self.orders.is_empty() {
            write!(f, " chunk {} ({} bytes)", self.chunk, self.orders.len())?;
        } else if self.hello.is_none() {
            write!(f, " empty chunk {}", self.chunk)?;
        }
        if self.settled_below > Seq(0) { write!(f, " settled below {}", self.settled_below) } else { Ok(()) }
    }
}

impl Display for ReplicaAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.hello {
            Some(_) => write!(f, "replicate{}", greeting(self.hello.as_deref())),
            None => write!(f, "replicate term {} durable {}", self.term, self.chunk),
        }
    }
}

impl Display for PeerWord {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            PeerWord::Hello(hello) => write!(f, "hello of {}", hello.peer),
            PeerWord::Members(members) => {
                f.write_str("members")?;
                members
                    .iter()
                    .try_for_each(|it| write!(f, " {}{}", it.id, if it.left { " (left)" } else { "" }))
            }
            PeerWord::Roster(it) => {
                f.write_str("word of")?;
                roster(f, Some(it))
            }
            PeerWord::Heartbeat(number) => write!(f, "heartbeat {number}"),
            PeerWord::HeartbeatAnswer(number) => write!(f, "heartbeat answer {number}"),
            PeerWord::Election(office) => write!(f, "election {office}"),
            PeerWord::Ok(office) => write!(f, "ok {office}"),
            PeerWord::Coordinator(office) => write!(f, "coordinator {office}"),
            PeerWord::Preempt => f.write_str("preempt"),
            PeerWord::TookOver(from) => write!(f, "took over from {from}"),
            PeerWord::Lookup(it) => {
                write!(f, "lookup {} of {}, {} hops", it.nonce, it.product.0, it.hops)
            }
            PeerWord::LookupAnswer(it) => {
                write!(f, "found {} by {} lookups", it.found.sellers.len(), it.found.lookups)
            }
        }
    }
}

impl Display for Ask {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Catalogue => f.write_str("catalogue"),
            Ask::Open(opening) => {
                write!(f, "open {} generation {}", opening.peer, opening.generation)?;
                opening.licence.as_ref().map_or(Ok(()), |it| write!(f, ", held term {}", it.term))
            }
            Ask::Session(peer) => write!(f, "session {peer}"),
            Ask::Claim(hello, office) => write!(f, "claim {office} for {}", hello.peer),
            Ask::Fence(hello, term) => write!(f, "fence term {term} by {}", hello.peer),
            Ask::Pair(_, primary, secondary) => write!(f, "pair terms {primary} {secondary}"),
            Ask::Resign(_, given_up) => {
                let passed_over = if given_up.pass_over { " (passed over)" } else { "" };
                write!(f, "resign term {} to {}{passed_over}", given_up.term, given_up.to)
            }
            Ask::Submit(_, order) => write!(f, "submit {}", order.id),
            Ask::HandOver(hello, orders, told) => {
                write!(f, "hand over of {}{}{}", hello.peer, Orders(orders), Early(told))
            }
            Ask::Probe => f.write_str("probe"),
            Ask::Status => f.write_str("status"),
            Ask::Place(good, quantity, kind, number) => {
                write!(f, "place {} {quantity} {good}", kind.name())?;
                if number.0 == 0 { Ok(()) } else { write!(f, " as {number}") }
            }
            Ask::Quiesce => f.write_str("quiesce"),
            Ask::Find(good, hops) => write!(f, "find {good}, {hops} hops"),
            Ask::Leave => f.write_str("leave"),
            Ask::ResignByHand(to) => write!(f, "resign by hand to {to}"),
            Ask::Mode(mode) => write!(f, "mode {}", mode.name()),
            Ask::Complete(hello, report) => {
                let SalesReport { term, orders, told, last } = &**report;
                let end = if *last { ", all" } else { "" };
                write!(f, "sales of term {term} by {}{}{}{end}", hello.peer, Orders(orders), Early(told))
            }
            Ask::Release(term) => write!(f, "release term {term}"),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Catalogue(catalogue) => write!(f, "catalogue of {}", catalogue.cluster),
            Answer::Opened(it) => write!(f, "opened {}.{}", it.opened.peer, it.opened.epoch),
            Answer::Session(_, Some(session)) => write!(f, "session {}.{}", session.peer, session.epoch),
            Answer::Session(_, None) => f.write_str("no session"),
            Answer::Roster(_, it) => {
                f.write_str("offices")?;
                roster(f, Some(it))
            }
            Answer::Outcome(outcome, _) => write!(f, "outcome {} {}", outcome.id, outcome.kind.name()),
            Answer::Taken(taken) => write!(f, "taken {taken}"),
            Answer::Alive(process) => write!(f, "alive {process}"),
            Answer::Status(report) => write!(f, "status of {}: {}", report.peer, report.health),
            Answer::Found(it) => write!(f, "found {} by {} lookups", it.sellers.len(), it.lookups),
            Answer::Open(open) => write!(f, "open {open}"),
            Answer::Left(it) => {
                let (handed_over, open, pending, told) = (it.handed_over, it.open, it.pending, it.told);
                write!(f, "left {}: {handed_over} handed over, {open} open, ", it.peer)?;
                write!(f, "{pending} pending, {told} told")
            }
            Answer::Resigned(Some((office, term))) => write!(f, "resigned {office} term {term}"),
            Answer::Resigned(None) => f.write_str("not in office"),
            Answer::Released(freed) => write!(f, "released {} goods", freed.len()),
            Answer::Mode(before, None) => write!(f, "{} already", before.name()),
            Answer::Mode(before, Some(row)) => write!(f, "{} until row {row}", before.name()),
        }
    }
}

impl Display for What {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            What::Told(order, outcome) => write!(f, "told {} {}", order.id, outcome.kind.name()),
            What::ToldEarly(order, answer) => {
                write!(f, "told early {} {}", order.id, answer.kind(order).name())
            }
            What::Line(line) => write!(f, "line {line}"),
            What::Roster(it) => {
                f.write_str("offices")?;
                roster(f, Some(it))
            }
            What::Done => f.write_str("done"),
            What::Suspected(peer) => write!(f, "suspected {peer}"),
            What::TookOver(peer) => write!(f, "took over from {peer}"),
            What::Replayed(peer, it) => {
                write!(
                    f,
                    "replayed {peer}: {} settled, {} twice, {} lost",
                    it.settled, it.duplicates, it.lost
                )
            }
        }
    }
}

/// How many tentative answers go with a message.
struct Early<'a>(&'a [Tentative]);

impl Display for Early<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            0 => Ok(()),
            count if count > NAMED_MAX => write!(f, " ({count} told early)"),
            _ => self.0.iter().try_for_each(|it| write!(f, " {} told {}", it.id, it.filled)),
        }
    }
}

/// Orders by their ids, each behind a space.
struct Orders<'a>(&'a [Order]);

impl Display for Orders<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            [first, .., last] if self.0.len() > NAMED_MAX => {
                write!(f, " {}..{} ({})", first.id, last.id, self.0.len())
            }
            few => few.iter().try_for_each(|order| match order.kind {
                OrderKind::Void => write!(f, " {} (void)", order.id),
                OrderKind::Buy { .. } | OrderKind::Sell => write!(f, " {}", order.id),
            }),
        }
    }
}

fn greeting(hello: Option<&Hello>) -> String {
    hello.map_or_else(String::new, |hello| format!(" hello of {}", hello.peer))
}

fn outcomes(f: &mut Formatter<'_>, told: &[Outcome], not_taken: &[(OrderId, NotTaken)]) -> fmt::Result {
    let few = told.len() + not_taken.len() <= NAMED_MAX;
    if few {
        told.iter().try_for_each(|outcome| write!(f, " {} {}", outcome.id, outcome.kind.name()))?;
        return not_taken.iter().try_for_each(|(id, why)| write!(f, " {id} not taken ({why:?})"));
    }
    write!(f, " {} outcomes, {} not taken", told.len(), not_taken.len())
}

fn roster(f: &mut Formatter<'_>, it: Option<&Roster>) -> fmt::Result {
    let Some(it) = it else { return Ok(()) };
    let seat = |seat: Option<&Seat>| {
        let text = |seat: &Seat| {
            format!("{}({}{})", seat.peer, seat.term, if seat.present { "" } else { ", absent" })
        };
        seat.map_or_else(|| "-".to_owned(), text)
    };
    let (primary, secondary) = (seat(it.primary.as_ref()), seat(it.secondary.as_ref()));
    let paired = if it.paired { " paired" } else { "" };
    write!(f, " roster {}.{}.{} {primary} {secondary}{paired}", it.generation, it.seq, it.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::market::tests::order;
    use crate::model::step::{ConnId, Lost, ReplyId};
    use crate::types::{OrderKind, PeerId, Term, Token};

    fn sells(count: u32) -> Vec<Order> {
        (1..=count).map(|k| order(4, k, OrderKind::Sell, 0, 1)).collect()
    }

    fn asks(orders: Vec<Order>) -> Message {
        Message::TradeAsk(TradeAsk { orders, ..TradeAsk::default() })
    }

    #[test]
    fn few_orders_are_named_and_many_counted() {
        assert_eq!(Input::Said(ConnId(3), asks(sells(2))).to_string(), "said s3 trade 4-1 4-2");
        assert_eq!(Effect::Send(ConnId(3), asks(sells(9))).to_string(), "send s3 trade 4-1..4-9 (9)");
        let batch = Message::SettleAsk(SettleAsk { term: Term(3), orders: sells(1), ..SettleAsk::default() });
        assert_eq!(batch.to_string(), "settle term 3 batch 0 4-1");
    }

    #[test]
    fn a_token_is_in_no_trace() {
        let token = Token([7; 32]);
        let hello = Some(Box::new(Hello { peer: PeerId(4), token: Some(token), ..Hello::default() }));
        let first = Message::TradeAsk(TradeAsk { hello, ..TradeAsk::default() });
        let dial = Effect::Dial { conn: ConnId(1), addr: "there".into(), first };
        assert_eq!(dial.to_string(), "dial s1 there trade hello of 4");
        assert_eq!(Input::Token(token).to_string(), "token");
    }

    #[test]
    fn ends_and_answers_say_how() {
        let lost = |refused| Lost { refused, why: "reset".into() };
        assert_eq!(Input::Ended(ConnId(1), lost(true)).to_string(), "ended s1 refused: reset");
        assert_eq!(Input::Ended(ConnId(1), lost(false)).to_string(), "ended s1: reset");
        let roster = Box::new(Roster { seq: Seq(2), paired: false, ..Roster::default() });
        let answer = Answer::Roster(crate::types::Stamp(9), roster);
        assert_eq!(Effect::Reply(ReplyId(2), Ok(answer)).to_string(), "reply r2 offices roster 0.2.0 - -");
    }
}

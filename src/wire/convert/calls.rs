//! [`Ask`]s and [`Answer`]s as the protos of their methods, and back.

use super::{
    Checked, Generation, Hash, Number, Odd, PeerId, Quantity, Seq, Stamp, Term, WIRE_VERSION, caller_in,
    found_in, found_out, freed_in, freed_out, hello_out, kind_in, kind_out, licence_in, licence_out, mode_in,
    mode_out, office_in, office_out, order_in, order_out, orders_in, outcome_in, outcome_out, process_out,
    proto, roster_in, roster_out, sales_in, sales_out, same_version, seen_in, seen_out, session_in,
    session_out, told_in, told_out,
};
use crate::model::call::{Answer, Ask, Opening};
use crate::model::warehouse::GivenUp;

/// An ask was given to another method than its own.
const OTHER_METHOD: Odd = Odd::Field("request, of another method");
/// A machine gave the answer to another question than the one it was asked.
const OTHER_ANSWER: Odd = Odd::Field("answer, to another question");

/// Each line: the proto, the ask that becomes it and how; what comes of a received one.
macro_rules! requests {
    ($($proto:ident: $ask:pat => $out:expr; $it:pat => $in:expr;)*) => {$(
        impl TryFrom<Ask> for proto::$proto {
            type Error = Odd;
            fn try_from(ask: Ask) -> Checked<Self> {
                match ask {
                    $ask => Ok($out),
                    _ => Err(OTHER_METHOD),
                }
            }
        }

        impl TryFrom<proto::$proto> for Ask {
            type Error = Odd;
            fn try_from($it: proto::$proto) -> Checked<Self> {
                Ok($in)
            }
        }
    )*};
}

requests! {
    CatalogueRequest:
        Ask::Catalogue => Self {};
        _ => Ask::Catalogue;
    OpenRequest:
        Ask::Open(Opening { peer, store, cluster, generation, seen, licence }) =>
            Self {
                peer: peer.0,
                store: store.0.to_vec(),
                cluster,
                generation: generation.count,
                generation_random: generation.random,
                seen: seen.as_deref().map(seen_out),
                licence: licence.as_deref().map(licence_out),
                wire_version: WIRE_VERSION,
            };
        it => Ask::Open(opening_in(it)?);
    SessionRequest:
        Ask::Session(peer) => Self { peer: peer.0 };
        it => Ask::Session(PeerId(it.peer));
    ClaimRequest:
        Ask::Claim(hello, office) => Self { hello: Some(hello_out(&hello)), office: office_out(office) };
        it => Ask::Claim(caller_in(it.hello)?, office_in(it.office).ok_or(Odd::Field("office"))?);
    FenceRequest:
        Ask::Fence(hello, term) => Self { hello: Some(hello_out(&hello)), term: term.0 };
        it => Ask::Fence(caller_in(it.hello)?, Term(it.term));
    PairRequest:
        Ask::Pair(hello, term, partner) =>
            Self { hello: Some(hello_out(&hello)), term: term.0, partner_term: partner.0 };
        it => Ask::Pair(caller_in(it.hello)?, Term(it.term), Term(it.partner_term));
    ResignRequest:
        Ask::Resign(hello, GivenUp { term, to, pass_over }) =>
            Self { hello: Some(hello_out(&hello)), term: term.0, successor: to.0, pass_over };
        it => Ask::Resign(
            caller_in(it.hello)?,
            GivenUp { term: Term(it.term), to: PeerId(it.successor), pass_over: it.pass_over },
        );
    SubmitRequest:
        Ask::Submit(hello, order) => Self { hello: Some(hello_out(&hello)), order: Some(order_out(&order)) };
        it => Ask::Submit(caller_in(it.hello)?, order_in(&it.order.ok_or(Odd::Field("order"))?)?);
    HandOverRequest:
        Ask::HandOver(hello, orders, told) =>
            Self {
                hello: Some(hello_out(&hello)),
                orders: orders.iter().map(order_out).collect(),
                told: told_out(&told),
            };
        it => Ask::HandOver(
            caller_in(it.hello)?,
            orders_in(&it.orders)?,
            told_in(&it.told, it.orders.len())?,
        );
    StatusRequest:
        // A probe is a status of which only the process is looked at.
        Ask::Status | Ask::Probe => Self {};
        _ => Ask::Status;
    PlaceRequest:
        Ask::Place(good, quantity, kind, number) =>
            Self { good, quantity: quantity.0, kind: kind_out(kind), number: number.0 };
        it => Ask::Place(it.good, Quantity(it.quantity), kind_in(it.kind)?, Number(it.number));
    QuiesceRequest:
        Ask::Quiesce => Self {};
        _ => Ask::Quiesce;
    LeaveRequest:
        Ask::Leave => Self {};
        _ => Ask::Leave;
    ResignByHandRequest:
        Ask::ResignByHand(to) => Self { to: to.0 };
        it => Ask::ResignByHand(PeerId(it.to));
    FindRequest:
        Ask::Find(good, hops) => Self { good, hops };
        it => Ask::Find(it.good, it.hops);
    ModeRequest:
        Ask::Mode(mode) => Self { mode: mode_out(mode) };
        it => Ask::Mode(mode_in(it.mode).ok_or(Odd::Field("mode"))?);
    CompleteRequest:
        Ask::Complete(hello, report) => sales_out(&hello, &report);
        it => sales_in(it)?;
    ReleaseRequest:
        Ask::Release(term) => Self { term: term.0 };
        it => Ask::Release(Term(it.term));
}

fn opening_in(it: proto::OpenRequest) -> Checked<Opening> {
    same_version(it.wire_version)?;
    Ok(Opening {
        peer: PeerId(it.peer),
        store: Hash::from_slice(&it.store).ok_or(Odd::Field("store"))?,
        cluster: it.cluster,
        generation: Generation { count: it.generation, random: it.generation_random },
        seen: it.seen.map(|seen| Box::new(seen_in(seen))),
        licence: it.licence.and_then(licence_in).map(Box::new),
    })
}

/// Each line: the proto, the answer that becomes it and how; what comes of a received one.
macro_rules! replies {
    ($($proto:ident: $answer:pat => $out:expr; $it:pat => $in:expr;)*) => {$(
        impl TryFrom<Answer> for proto::$proto {
            type Error = Odd;
            fn try_from(answer: Answer) -> Checked<Self> {
                match answer {
                    $answer => Ok($out),
                    _ => Err(OTHER_ANSWER),
                }
            }
        }

        impl TryFrom<proto::$proto> for Answer {
            type Error = Odd;
            fn try_from($it: proto::$proto) -> Checked<Self> {
                Ok($in)
            }
        }
    )*};
}

replies! {
    CatalogueReply:
        Answer::Catalogue(it) => (*it).into();
        it => {
            same_version(it.wire_version)?;
            Answer::Catalogue(Box::new(it.into()))
        };
    OpenReply:
        Answer::Opened(it) => (*it).into();
        it => {
            same_version(it.wire_version)?;
            Answer::Opened(Box::new(it.into()))
        };
    SessionReply:
        Answer::Session(clock, session) =>
            Self { clock: clock.0, session: session.as_ref().map(session_out) };
        it => Answer::Session(Stamp(it.clock), it.session.as_ref().map(session_in).transpose()?);
    RosterReply:
        Answer::Roster(clock, roster) => Self { clock: clock.0, roster: Some(roster_out(&roster)) };
        it => Answer::Roster(Stamp(it.clock), Box::new(it.roster.map(roster_in).ok_or(Odd::Field("roster"))?));
    SubmitReply:
        Answer::Outcome(outcome, seen) =>
            Self { outcome: Some(outcome_out(&outcome)), seen: seen.as_deref().map(seen_out) };
        it => {
            let outcome = outcome_in(&it.outcome.ok_or(Odd::Field("outcome"))?)?;
            Answer::Outcome(Box::new(outcome), it.seen.map(|seen| Box::new(seen_in(seen))))
        };
    HandOverReply:
        Answer::Taken(taken) => Self { taken };
        it => Answer::Taken(it.taken);
    PlaceReply:
        Answer::Outcome(outcome, _) => Self { outcome: Some(outcome_out(&outcome)) };
        it => Answer::Outcome(Box::new(outcome_in(&it.outcome.ok_or(Odd::Field("outcome"))?)?), None);
    QuiesceReply:
        Answer::Open(open) => Self { open };
        it => Answer::Open(it.open);
    LeaveReply:
        Answer::Left(farewell) => farewell.into();
        it => Answer::Left(it.into());
    ResignByHandReply:
        Answer::Resigned(office) => Self {
            office: office.map_or(0, |(office, _)| office_out(office)),
            term: office.map_or(0, |(_, term)| term.0),
        };
        it => Answer::Resigned(office_in(it.office).map(|office| (office, Term(it.term))));
    FindReply:
        Answer::Found(found) => Self { found: Some(found_out(*found)) };
        it => Answer::Found(Box::new(found_in(it.found)?));
    ModeReply:
        Answer::Mode(before, row) => Self { before: mode_out(before), seq: row.map_or(0, |row| row.0) };
        it => Answer::Mode(
            mode_in(it.before).ok_or(Odd::Field("before"))?,
            Some(Seq(it.seq)).filter(|row| row.0 > 0),
        );
    ReleaseReply:
        Answer::Released(freed) => Self { freed: freed.iter().map(freed_out).collect() };
        it => Answer::Released(it.freed.iter().map(freed_in).collect::<Checked<_>>()?);
}

impl TryFrom<Answer> for proto::StatusReply {
    type Error = Odd;
    fn try_from(answer: Answer) -> Checked<Self> {
        match answer {
            Answer::Status(report) => Ok((*report).into()),
            Answer::Alive(process) => Ok(Self { process: Some(process_out(process)), ..Self::default() }),
            _ => Err(OTHER_ANSWER),
        }
    }
}

impl TryFrom<proto::StatusReply> for Answer {
    type Error = Odd;
    fn try_from(it: proto::StatusReply) -> Checked<Self> {
        Ok(Answer::Status(Box::new(it.into())))
    }
}

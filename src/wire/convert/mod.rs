//! Protos to the model's types and back.
//!
//! What a foreign node sent is checked here as far as its form goes. A field that a message cannot do without (an order's
//! kind, the outcome of a reply, the hello of a request), or whose value is none of the known ones, becomes an [`Odd`]
//! with the field's name. Other absent fields become their types' defaults, since proto3 does not tell "absent" from
//! "zero": a token that is not 32 bytes long is no token, a missing roster knows of nobody, a missing hash is that of an
//! empty log. Whether such a value makes sense is the machine's to decide.

mod allotments;
mod calls;
mod events;
#[cfg(test)]
mod fields;
pub(crate) mod frame;
mod messages;
mod orders;
mod replies;
mod streams;
mod traced;
mod weights;

use self::allotments::{
    freed_in, freed_out, frozen_in, frozen_out, goods_in, goods_out, sales_in, sales_out, told_in, told_out,
    wants_in, wants_out,
};
use self::orders::{
    kind_in, kind_out, not_taken_in, not_taken_out, order_in, order_out, orders_in, outcome_in, outcome_out,
    outcomes_in, session_in, session_out, why_in, why_out,
};
use super::{WIRE_VERSION, proto};
use crate::model::evidence::{Licence, Seen};
use crate::model::hello::Hello;
use crate::model::link::LinkKey;
use crate::model::lookup::Found;
use crate::model::membership::Member;
use crate::model::message::Introduction;
use crate::model::offices::{Roster, Seat};
use crate::model::peer::entry::Proof;
use crate::model::row::Outcome;
use crate::types::{
    Consistency, Epoch, Generation, Hash, Money, Number, Office, OrderId, PeerId, ProcessId, ProductId,
    Quantity, Seq, Signature, Stamp, Term, Token,
};

/// What cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// A field that makes no sense.
    #[error("field {0} is missing or makes no sense")]
    Field(&'static str),
    /// The other side is of another build.
    #[error(
        "one side speaks version {0} of the protocol, the other {WIRE_VERSION}: run the same build on both sides"
    )]
    Version(u32),
}

type Checked<T> = Result<T, Odd>;

/// Refuses another version than this build's. Before it had a number it was 1.
fn same_version(wire_version: u32) -> Checked<()> {
    match wire_version {
        WIRE_VERSION => Ok(()),
        0 => Err(Odd::Version(1)),
        other => Err(Odd::Version(other)),
    }
}

// ---- ids and small parts

pub(super) fn process_out(process: ProcessId) -> proto::ProcessId {
    proto::ProcessId { epoch: process.epoch.0, starts: process.starts, random: process.random }
}

pub(super) fn process_in(process: Option<proto::ProcessId>) -> ProcessId {
    process.map_or_else(ProcessId::default, |it| ProcessId {
        epoch: Epoch(it.epoch),
        starts: it.starts,
        random: it.random,
    })
}

pub(super) fn hash_in(bytes: &[u8]) -> Hash {
    Hash::from_slice(bytes).unwrap_or_default()
}

pub(super) fn hash_out(hash: Hash) -> Vec<u8> {
    if hash == Hash::default() { Vec::new() } else { hash.0.to_vec() }
}

pub(super) fn office_out(office: Office) -> i32 {
    match office {
        Office::Primary => proto::OfficeKind::Primary as i32,
        Office::Secondary => proto::OfficeKind::Secondary as i32,
    }
}

pub(super) fn office_in(office: i32) -> Option<Office> {
    match proto::OfficeKind::try_from(office) {
        Ok(proto::OfficeKind::Primary) => Some(Office::Primary),
        Ok(proto::OfficeKind::Secondary) => Some(Office::Secondary),
        _ => None,
    }
}

pub(super) fn found_out(found: Found) -> proto::Found {
    let ids = |peers: Vec<PeerId>| peers.into_iter().map(|peer| peer.0).collect();
    let sellers = found.sellers.into_iter().map(|way| proto::Way { peers: ids(way) }).collect();
    proto::Found { sellers, reached: ids(found.reached), lookups: found.lookups }
}

pub(super) fn found_in(found: Option<proto::Found>) -> Checked<Found> {
    let found = found.ok_or(Odd::Field("found"))?;
    let ids = |peers: Vec<u32>| peers.into_iter().map(PeerId).collect();
    let sellers = found.sellers.into_iter().map(|way| ids(way.peers)).collect();
    Ok(Found { sellers, reached: ids(found.reached), lookups: found.lookups })
}

pub(super) fn mode_out(mode: Consistency) -> i32 {
    match mode {
        Consistency::Cacheless => proto::Consistency::Cacheless as i32,
        Consistency::Cached => proto::Consistency::Cached as i32,
        Consistency::Escrow => proto::Consistency::Escrow as i32,
    }
}

pub(super) fn mode_in(mode: i32) -> Option<Consistency> {
    Some(match proto::Consistency::try_from(mode).ok()? {
        proto::Consistency::Cacheless => Consistency::Cacheless,
        proto::Consistency::Cached => Consistency::Cached,
        proto::Consistency::Escrow => Consistency::Escrow,
    })
}

fn seat_out(seat: &Seat) -> proto::Grant {
    let Seat { peer, process, term, present, addr, licence } = seat.clone();
    let licence = licence.as_deref().map(licence_out);
    proto::Grant { peer: peer.0, process: Some(process_out(process)), term: term.0, present, addr, licence }
}

fn seat_in(grant: proto::Grant) -> Seat {
    let proto::Grant { peer, process, term, present, addr, licence } = grant;
    let licence = licence.and_then(licence_in).map(Box::new);
    Seat { peer: PeerId(peer), process: process_in(process), term: Term(term), present, addr, licence }
}

pub(super) fn roster_out(roster: &Roster) -> proto::Roster {
    proto::Roster {
        generation: roster.generation.count,
        generation_random: roster.generation.random,
        seq: roster.seq.0,
        primary: roster.primary.as_ref().map(seat_out),
        secondary: roster.secondary.as_ref().map(seat_out),
        paired: roster.paired,
        version: roster.version,
        passed_over: roster.passed_over.iter().map(|peer| peer.0).collect(),
        mode: mode_out(roster.mode),
        frozen: roster.frozen.iter().map(frozen_out).collect(),
    }
}

pub(super) fn roster_in(roster: proto::Roster) -> Roster {
    Roster {
        generation: Generation { count: roster.generation, random: roster.generation_random },
        seq: Seq(roster.seq),
        version: roster.version,
        primary: roster.primary.map(seat_in),
        secondary: roster.secondary.map(seat_in),
        paired: roster.paired,
        passed_over: roster.passed_over.into_iter().map(PeerId).collect(),
        mode: mode_in(roster.mode).unwrap_or_default(),
        frozen: roster.frozen.into_iter().map(frozen_in).collect(),
    }
}

pub(super) fn member_out(member: &Member) -> proto::Member {
    let Member { id, addr, process, left } = member.clone();
    proto::Member { id: id.0, addr, process: Some(process_out(process)), left }
}

pub(super) fn member_in(member: proto::Member) -> Member {
    let proto::Member { id, addr, process, left } = member;
    Member { id: PeerId(id), addr, process: process_in(process), left }
}

pub(super) fn introduction_out(it: &Introduction) -> proto::Introduction {
    proto::Introduction { member: Some(member_out(&it.member)), key: it.key.0.to_vec() }
}

pub(super) fn introduction_in(it: proto::Introduction) -> Checked<Introduction> {
    let member = it.member.map(member_in).ok_or(Odd::Field("introduction.member"))?;
    let key = it.key.as_slice().try_into().map(LinkKey).map_err(|_| Odd::Field("introduction.key"))?;
    Ok(Introduction { member, key })
}

pub(super) fn hello_out(hello: &Hello) -> proto::Hello {
    proto::Hello {
        peer: hello.peer.0,
        epoch: hello.epoch.0,
        token: hello.token.map(|token| token.0.to_vec()).unwrap_or_default(),
        process: Some(process_out(hello.process)),
        clock: hello.clock.0,
        roster: Some(roster_out(&hello.roster)),
        generation: hello.generation.count,
        generation_random: hello.generation.random,
        ledger_seq: hello.ledger.0.0,
        ledger_hash: hash_out(hello.ledger.1),
        ledger_proof: hello.ledger_proof.map(proof_out),
        cluster: hello.cluster.clone(),
        addr: hello.addr.clone(),
        stream: hello.stream,
        wire_version: WIRE_VERSION,
        proof: hash_out(hello.proof),
    }
}

fn proof_out(Proof { clock, signature }: Proof) -> proto::Proof {
    proto::Proof { clock: clock.0, signature: signature.0.as_flattened().to_vec() }
}

/// A signature that has not its length proves nothing, like none.
fn proof_in(proof: Option<proto::Proof>) -> Option<Proof> {
    let proof = proof?;
    Some(Proof { clock: Stamp(proof.clock), signature: signature_in(&proof.signature)? })
}

fn licence_out(Licence { term, signature }: &Licence) -> proto::Licence {
    proto::Licence { term: term.0, signature: signature.0.as_flattened().to_vec() }
}

fn licence_in(licence: proto::Licence) -> Option<Licence> {
    Some(Licence { term: Term(licence.term), signature: signature_in(&licence.signature)? })
}

fn signature_in(bytes: &[u8]) -> Option<Signature> {
    let (r, s) = bytes.split_at_checked(32)?;
    Some(Signature([r.try_into().ok()?, s.try_into().ok()?]))
}

fn seen_out(seen: &Seen) -> proto::Seen {
    proto::Seen {
        generation: seen.generation.count,
        generation_random: seen.generation.random,
        seq: seen.seq.0,
        hash: hash_out(seen.hash),
        proof: seen.proof.map(proof_out),
    }
}

fn seen_in(seen: proto::Seen) -> Seen {
    Seen {
        generation: Generation { count: seen.generation, random: seen.generation_random },
        seq: Seq(seen.seq),
        hash: hash_in(&seen.hash),
        proof: proof_in(seen.proof),
    }
}

/// The hello of a unary call, which none may lack.
fn caller_in(hello: Option<proto::Hello>) -> Checked<Box<Hello>> {
    hello_in(hello)?.ok_or(Odd::Field("hello"))
}

/// The hello of a message, which may have none.
pub(super) fn hello_in(hello: Option<proto::Hello>) -> Checked<Option<Box<Hello>>> {
    let Some(hello) = hello else { return Ok(None) };
    same_version(hello.wire_version)?;
    Ok(Some(Box::new(Hello {
        peer: PeerId(hello.peer),
        epoch: Epoch(hello.epoch),
        token: hello.token.as_slice().try_into().ok().map(Token),
        process: process_in(hello.process),
        clock: Stamp(hello.clock),
        roster: hello.roster.map(roster_in).unwrap_or_default(),
        generation: Generation { count: hello.generation, random: hello.generation_random },
        ledger: (Seq(hello.ledger_seq), hash_in(&hello.ledger_hash)),
        ledger_proof: proof_in(hello.ledger_proof),
        cluster: hello.cluster,
        addr: hello.addr,
        stream: hello.stream,
        proof: hash_in(&hello.proof),
    })))
}

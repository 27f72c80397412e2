//! What format 1 wrote, read as today's types. When no store of format 1 is to be read any more, this file goes, and
//! `journal/block/format_1.rs` with it.
//!
//! Records and pieces of state are as they were but for three things. A session's row has no key. A generation is the
//! second of its restore, without a random part. An epoch is a quarter of today's: see [`crate::types::Generation`].
//! The codec writes the number of a variant first, so that those which changed are known by it; and it writes the fields
//! of a variant like a tuple, and a `u32` like a `u64`.

use serde::de::DeserializeOwned;

use super::market;
use super::offices::Offices;
use super::peer;
use super::peer::entry::{Entry, Told};
use super::row::Record;
use crate::codec::{self, CodecError};
use crate::types::{Epoch, Generation, Hash, Number, Office, PeerId, ProcessId, Seq, Stamp, Term};

/// A value of which format 1 had a form.
pub trait OfFormat1: DeserializeOwned {
    /// Reads that form off the front of `bytes`, which moves on.
    ///
    /// # Errors
    /// The bytes are not of this type.
    fn first_of_format_1(bytes: &mut &[u8]) -> Result<Self, CodecError> {
        codec::decode_first(bytes)
    }
}

/// Reads the fields of a variant, behind its number.
fn fields<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, CodecError> {
    *bytes = bytes.get(1..).unwrap_or_default();
    codec::decode_first(bytes)
}

/// An epoch that was decoded as it stood.
fn lift(epoch: &mut Epoch) {
    *epoch = Epoch(epoch.0.saturating_mul(Epoch::of_format_1(1).0));
}

fn lift_process(process: &mut ProcessId) {
    lift(&mut process.epoch);
}

fn generation(count: u64) -> Generation {
    Generation { count, random: 0 }
}

impl OfFormat1 for Record {
    fn first_of_format_1(bytes: &mut &[u8]) -> Result<Record, CodecError> {
        match bytes.first() {
            Some(6) => {
                let (peer, mut epoch, store, clock): (PeerId, Epoch, Hash, Stamp) = fields(bytes)?;
                lift(&mut epoch);
                return Ok(Record::Session { peer, epoch, store, key: None, clock });
            }
            Some(10) => {
                let (count, clock) = fields(bytes)?;
                return Ok(Record::Restored { generation: generation(count), clock });
            }
            _ => {}
        }
        let mut record = codec::decode_first(bytes)?;
        if let Record::Office { process, .. } = &mut record {
            lift_process(process);
        }
        Ok(record)
    }
}

impl OfFormat1 for Entry {
    fn first_of_format_1(bytes: &mut &[u8]) -> Result<Entry, CodecError> {
        match bytes.first() {
            Some(1) => {
                let (via, told): (PeerId, Vec<Told>) = fields(bytes)?;
                return Ok(Entry::Answered { via, told, seen: None });
            }
            Some(9) => {
                let (count, seq, hash) = fields(bytes)?;
                return Ok(Entry::LedgerSeen { generation: generation(count), seq, hash, proof: None });
            }
            _ => {}
        }
        let mut entry = codec::decode_first(bytes)?;
        if let Entry::Opened { epoch, .. } | Entry::Known { epoch, .. } = &mut entry {
            lift(epoch);
        }
        Ok(entry)
    }
}

impl OfFormat1 for market::Part {
    fn first_of_format_1(bytes: &mut &[u8]) -> Result<market::Part, CodecError> {
        if bytes.first() == Some(&7) {
            let (seq, clock, count): (Seq, Stamp, u64) = fields(bytes)?;
            return Ok(market::Part::Head { seq, clock, generation: generation(count), keys: Vec::new() });
        }
        let mut part = codec::decode_first(bytes)?;
        match &mut part {
            market::Part::Session { epoch, .. } | market::Part::Window { epoch, .. } => lift(epoch),
            market::Part::Offices(Offices { primary, secondary, .. }) => {
                primary.iter_mut().chain(secondary).for_each(|grant| lift_process(&mut grant.process));
            }
            _ => {}
        }
        Ok(part)
    }
}

/// The fields of the first piece of a peer's state.
type Head = (Option<(PeerId, Epoch)>, Number, u64, Option<(Office, Term)>, (u64, Seq, Hash), Stamp, Seq);

impl OfFormat1 for peer::Part {
    fn first_of_format_1(bytes: &mut &[u8]) -> Result<peer::Part, CodecError> {
        if bytes.first() == Some(&0) {
            let (mut opened, last, answered, grant, seen, stamp, seq): Head = fields(bytes)?;
            if let Some((_, epoch)) = &mut opened {
                lift(epoch);
            }
            let ledger_seen = (generation(seen.0), seen.1, seen.2);
            let proof = None;
            return Ok(peer::Part::Head { opened, last, answered, grant, ledger_seen, proof, stamp, seq });
        }
        let mut part = codec::decode_first(bytes)?;
        if let peer::Part::Known(_, epoch, _) = &mut part {
            lift(epoch);
        }
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Hash, ProcessId};

    /// As format 1 wrote it: the number of the variant, then its fields.
    fn read<T: OfFormat1>(variant: u8, fields: &impl serde::Serialize) -> T {
        let bytes = codec::encode(&(variant, fields)).unwrap();
        let mut rest = &bytes[..];
        let value = T::first_of_format_1(&mut rest).unwrap();
        assert!(rest.is_empty(), "all of it was read");
        value
    }

    #[test]
    fn epochs_in_checkpoints_are_those_of_the_numbers_beside_them() {
        let (peer, hash, number) = (PeerId(4), Hash([7; 32]), Number(3 << 32 | 9));
        let market::Part::Session { epoch, .. } = read(3, &(peer, 3_u32, hash)) else { panic!("a session") };
        assert_eq!(epoch, number.epoch());
        let window = read(4, &(peer, 3_u32, 1_u32, 8_u64));
        assert!(matches!(window, market::Part::Window { epoch, floor: 1, .. } if epoch == number.epoch()));
        let process = (3_u32, 5_u64, 6_u64);
        let grant = (Office::Primary, peer, process, Term(8));
        let offices: market::Part = read(6, &(Term(9), Some(grant), None::<()>, true, Seq(70)));
        let market::Part::Offices(offices) = offices else { panic!("offices") };
        let held = offices.primary.unwrap();
        assert_eq!(held.process, ProcessId { epoch: number.epoch(), starts: 5, random: 6 });
        assert_eq!((held.term, offices.last_term, offices.paired), (Term(8), Term(9), true));

        let head =
            (Some((peer, 3_u32)), number, 5_u64, None::<()>, (0_u64, Seq(70), hash), Stamp(9), Seq(71));
        let peer::Part::Head { opened, last, ledger_seen, proof, .. } = read(0, &head) else {
            panic!("a head")
        };
        assert_eq!((opened, last), (Some((peer, number.epoch())), number));
        assert_eq!((ledger_seen, proof), ((Generation::default(), Seq(70), hash), None));
        let known = read(2, &(peer, 3_u32, hash));
        assert!(matches!(known, peer::Part::Known(_, epoch, _) if epoch == number.epoch()));
    }

    #[test]
    fn a_generation_of_format_1_has_no_random_part() {
        let restored = read(10, &(1_795_341_600_u64, Stamp(9)));
        let Record::Restored { generation, .. } = restored else { panic!("{restored:?}") };
        assert_eq!((generation.count, generation.random), (1_795_341_600, 0));
        let head = read(7, &(Seq(3), Stamp(9), 1_795_341_600_u64));
        assert!(
            matches!(head, market::Part::Head { generation: it, keys, .. } if it == generation && keys.is_empty())
        );
    }
}

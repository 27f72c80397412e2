use super::*;
use crate::journal::samples;
use crate::journal::testing::{Count, add};
use crate::limits::BLOCK_BYTES_MAX;
use crate::model::row::Record;
use crate::types::{PeerId, WallMicros};

fn blocks(records: &[Count]) -> Vec<Vec<u8>> {
    let (mut chain, mut blocks) = (ChainWriter::new(Tip::default()), Vec::new());
    chain
        .write(records, WallMicros(7), |first, block| {
            assert_eq!(BlockHeader::peek(block).unwrap().first, first);
            blocks.push(block.to_vec());
            Ok::<(), CodecError>(())
        })
        .unwrap();
    assert_eq!(chain.tip().seq, Seq(records.len() as u64));
    blocks
}

#[test]
fn a_block_reads_back_as_it_was_written() {
    let records = vec![add(1, 2), Count::Note(vec![9; 300]), add(3, u64::MAX)];
    let block = Block::<Count>::decode(&blocks(&records)[0]).unwrap();
    assert_eq!(block.records, records);
    let BlockHeader { version, number, first, count, time, summary, .. } = block.header;
    assert_eq!((version, number, first, count, time), (VERSION, 1, Seq(1), 3, WallMicros(7)));
    assert_eq!(summary, Some(Summary { kinds: 0b11, peers: None }));
    assert_eq!(block.rows().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_long_step_becomes_several_linked_blocks_and_no_record_is_split() {
    let records: Vec<Count> = (0..200).map(|k| Count::Note(vec![k as u8; 700])).collect();
    let blocks = blocks(&records);
    assert!(blocks.len() > 8 && blocks.iter().all(|block| block.len() <= BLOCK_BYTES_MAX));
    let (mut tip, mut read) = (Tip::default(), Vec::new());
    for bytes in &blocks {
        let sealed = Sealed::open(bytes).unwrap();
        assert!(tip.links(&sealed.header, &sealed.seal));
        tip = Tip::after(&sealed.header, &sealed.seal);
        read.extend(Block::<Count>::decode(bytes).unwrap().records);
    }
    assert_eq!(read, records);
}

#[test]
fn a_record_longer_than_a_block_is_refused() {
    let mut chain = ChainWriter::new(Tip::default());
    let note = Count::Note(vec![0; BLOCK_BYTES_MAX]);
    let put = |_: Seq, _: &[u8]| Ok::<(), CodecError>(());
    assert!(matches!(chain.write(&[note], WallMicros(0), put), Err(CodecError::TooLong(_))));
}

#[test]
fn every_altered_or_missing_byte_is_seen() {
    let block = &blocks(&[add(1, 2), add(3, 4)])[0];
    for at in 0..block.len() {
        let mut altered = block.clone();
        altered[at] ^= 0x10;
        assert!(Block::<Count>::decode(&altered).is_err(), "byte {at}");
        assert!(Block::<Count>::decode(&block[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_record_that_does_not_decode_costs_no_other_row() {
    #[derive(serde::Serialize, serde::Deserialize)]
    #[allow(dead_code)]
    enum Later {
        Add { name: u16, amount: u64 },
        Note(Vec<u8>),
        New(u8),
    }
    impl crate::model::format_1::OfFormat1 for Later {}
    impl Stored for Later {}
    let records = [Later::Add { name: 1, amount: 2 }, Later::New(3), Later::Note(vec![4])];
    let mut bytes = Vec::new();
    let put = |_: Seq, block: &[u8]| {
        bytes = block.to_vec();
        Ok::<(), CodecError>(())
    };
    ChainWriter::new(Tip::default()).write(&records, WallMicros(0), put).unwrap();
    let rows: Vec<_> = Sealed::open(&bytes).unwrap().rows::<Count>().collect();
    assert_eq!(rows[0], (Seq(1), Ok(add(1, 2))));
    assert!(rows[1].1.is_err());
    assert_eq!(rows[2], (Seq(3), Ok(Count::Note(vec![4]))));
    assert!(matches!(Block::<Count>::decode(&bytes), Err(BlockError::Record { seq: Seq(2), .. })));
}

/// The hash of the block before is not stored, and yet a block behind another one is found out.
#[test]
fn a_block_follows_one_block_only() {
    let block = |previous: Hash| {
        let mut chain = ChainWriter::new(Tip { seq: Seq(9), block: 4, hash: previous });
        let mut bytes = Vec::new();
        let put = |_: Seq, block: &[u8]| {
            bytes = block.to_vec();
            Ok::<(), CodecError>(())
        };
        chain.write(&[add(1, 2)], WallMicros(7), put).unwrap();
        bytes
    };
    let (right, other) = (Hash::of(b"right"), Hash::of(b"other"));
    let (bytes, forged) = (block(right), block(other));
    assert_eq!(bytes[..bytes.len() - 36], forged[..forged.len() - 36], "they differ by the hash alone");
    let tip = |hash| Tip { seq: Seq(9), block: 4, hash };
    let (sealed, forged) = (Sealed::open(&bytes).unwrap(), Sealed::open(&forged).unwrap());
    assert!(tip(right).links(&sealed.header, &sealed.seal) && tip(other).links(&forged.header, &forged.seal));
    assert!(
        !tip(other).links(&sealed.header, &sealed.seal) && !tip(right).links(&forged.header, &forged.seal)
    );
    for (seq, block) in [(8, 4), (10, 4), (9, 3), (9, 5)] {
        let tip = Tip { seq: Seq(seq), block, hash: right };
        assert!(!tip.links(&sealed.header, &sealed.seal), "{tip:?}");
    }
}

/// What a sale costs that is alone in its block, as with one customer at a time.
#[test]
fn a_block_of_one_sale_takes_at_most_90_bytes() {
    let (tip, time) = (Tip { seq: Seq(100_000), block: 80_000, hash: Hash::of(b"") }, WallMicros(1 << 50));
    let Record::Sale { mut decision, unit_price, commission_percent, mut slices } =
        samples::records().remove(2)
    else {
        unreachable!("a sale is the third")
    };
    (decision.order.id.number.0, decision.order.quantity.0) = (1_000, 3);
    slices.truncate(1);
    let sale = Record::Sale { decision, unit_price, commission_percent, slices };
    let mut length = 0;
    let put = |_: Seq, block: &[u8]| {
        length = block.len();
        Ok::<(), CodecError>(())
    };
    ChainWriter::new(tip).write(&[sale], time, put).unwrap();
    assert!(length <= 90, "{length} bytes");
}

#[test]
fn a_header_says_which_kinds_and_peers_are_in_the_block() {
    let (mut chain, mut summaries) = (ChainWriter::new(Tip::default()), Vec::new());
    let all = samples::records();
    for records in [&all[..1], &all[2..3], &all[1..7], &all[7..9]] {
        let put = |_: Seq, block: &[u8]| {
            summaries.push(BlockHeader::peek(block).unwrap().summary.unwrap());
            Ok::<(), CodecError>(())
        };
        chain.write(records, WallMicros(0), put).unwrap();
    }
    let four = Some((PeerId(4), PeerId(4)));
    let expected = [(0b1, None), (0b100, four), (0b111_1110, four), (0b1_1000_0000, None)];
    assert_eq!(summaries, expected.map(|(kinds, peers)| Summary { kinds, peers }));
    assert!(summaries[1].may_be_about(PeerId(4)) && !summaries[1].may_be_about(PeerId(5)));
    assert!(!summaries[0].may_be_about(PeerId(4)));
    assert!(summaries[1].may_hold(Summary::bit(2)) && !summaries[1].may_hold(Summary::bit(3)));
    assert_eq!(Summary::bit(200), Summary::bit(31), "kinds to come share the last bit");
}

/// Hashes of blocks that are gone take more room than what is left, and show nothing.
#[test]
fn between_two_extracts_no_hash_is_kept() {
    let of = |at: u8| if at.is_multiple_of(3) { Count::Note(vec![at; 700]) } else { add(at.into(), 1) };
    for last in [28, 30] {
        let (mut writer, mut whole) = (ChainWriter::new(Tip::default()), Vec::new());
        for at in 1..=last {
            let put = |_: Seq, block: &[u8]| {
                whole.push(Block::<Count>::decode(block).unwrap());
                Ok::<(), CodecError>(())
            };
            writer.write(&[of(at)], WallMicros(at.into()), put).unwrap();
        }
        let (before, upto) = (Tip::after(&whole[0].header, &whole[0].seal), writer.tip());
        let mut extractor = Extractor::new(before, upto);
        let kept = whole.drain(1..).filter_map(|block| extractor.add(block).unwrap());
        let mut extracts: Vec<Vec<u8>> = kept.collect();
        extracts.extend(extractor.finish::<Count>().unwrap());
        let (mut tip, mut left, mut hashes) = (before, Vec::new(), Vec::new());
        for bytes in &extracts {
            let block = Block::<Count>::decode(bytes).unwrap();
            assert!(tip.links(&block.header, &block.seal), "{:?} after {tip:?}", block.header);
            tip = Tip::after(&block.header, &block.seal);
            hashes.push(tip.hash);
            left.extend(block.rows().map(|(seq, note)| (seq, block.header.time, note.clone())));
        }
        let notes = (1..=last).filter(|at| at.is_multiple_of(3));
        let expected: Vec<_> = notes.map(|at| (Seq(at.into()), WallMicros(at.into()), of(at))).collect();
        assert_eq!((left, tip), (expected, upto));
        assert_eq!(hashes.pop(), Some(upto.hash));
        assert_eq!(hashes, vec![Hash::default(); extracts.len() - 1]);
    }
}

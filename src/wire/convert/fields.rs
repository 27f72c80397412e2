//! Every field of the protos is heeded: what it says reaches the machine, or is refused. A field that is read by nobody
//! promises what no node does, as the number did with which one order was placed three times.
//!
//! Each message is made with anything at all in it, one field is altered, and the message is read: what is read must have
//! changed, or be refused.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use prost::Message as _;
use prost_reflect::prost_types::FieldDescriptorProto;
use prost_reflect::prost_types::field_descriptor_proto::Type;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::frame::any::Any;
use super::frame::{decode, decode_answer, decode_ask, encode, encode_answer, encode_ask};
use super::{Odd, proto};
use crate::model::call::Answer;
use crate::model::happening::Happening;
use crate::wire::serve::{dump, trace};

/// How a message is made and read.
enum Way {
    /// Of a stream: which of [`Any::message`]s.
    Stream(u8),
    /// Which of [`Any::ask`]s.
    Ask(u8),
    /// Which of [`Any::answer`]s.
    Answer(u8),
    Place,
    Event,
    /// Read past the conversions: each field, and the test that shows what it does.
    Shown(&'static [(&'static str, fn())]),
}

/// What goes in and out of any method.
const WAYS: [(&str, Way); 49] = [
    ("TradeRequest", Way::Stream(0)),
    ("TradeReply", Way::Stream(1)),
    ("SettleRequest", Way::Stream(2)),
    ("SettleReply", Way::Stream(3)),
    ("ControlUp", Way::Stream(4)),
    ("ControlDown", Way::Stream(5)),
    ("WatchRequest", Way::Stream(6)),
    ("StockPush", Way::Stream(7)),
    ("ReplicateRequest", Way::Stream(8)),
    ("ReplicateReply", Way::Stream(9)),
    ("ClusterMessage", Way::Stream(10)),
    ("CatalogueRequest", Way::Ask(0)),
    ("OpenRequest", Way::Ask(1)),
    ("SessionRequest", Way::Ask(2)),
    ("ClaimRequest", Way::Ask(3)),
    ("FenceRequest", Way::Ask(4)),
    ("PairRequest", Way::Ask(5)),
    ("ResignRequest", Way::Ask(6)),
    ("SubmitRequest", Way::Ask(7)),
    ("HandOverRequest", Way::Ask(8)),
    ("StatusRequest", Way::Ask(10)),
    ("PlaceRequest", Way::Ask(11)),
    ("QuiesceRequest", Way::Ask(12)),
    ("LeaveRequest", Way::Ask(13)),
    ("ResignByHandRequest", Way::Ask(14)),
    ("CatalogueReply", Way::Answer(0)),
    ("OpenReply", Way::Answer(1)),
    ("SessionReply", Way::Answer(2)),
    ("RosterReply", Way::Answer(3)),
    ("SubmitReply", Way::Answer(4)),
    ("HandOverReply", Way::Answer(5)),
    ("StatusReply", Way::Answer(7)),
    ("QuiesceReply", Way::Answer(8)),
    ("LeaveReply", Way::Answer(9)),
    ("ResignByHandReply", Way::Answer(10)),
    ("ModeRequest", Way::Ask(15)),
    ("ModeReply", Way::Answer(11)),
    ("FindRequest", Way::Ask(16)),
    ("FindReply", Way::Answer(12)),
    ("CompleteRequest", Way::Ask(17)),
    ("ReleaseRequest", Way::Ask(18)),
    ("ReleaseReply", Way::Answer(13)),
    ("PlaceReply", Way::Place),
    ("Event", Way::Event),
    ("EventsRequest", Way::Shown(&[])),
    (
        "DumpRequest",
        Way::Shown(&[
            ("from_seq", dump::tests::a_dump_has_the_range_that_was_asked_for),
            ("to_seq", dump::tests::a_dump_has_the_range_that_was_asked_for),
            ("follow", dump::tests::a_dump_that_follows_goes_on),
        ]),
    ),
    (
        "DumpReply",
        Way::Shown(&[
            ("blocks", dump::tests::a_dump_has_the_range_that_was_asked_for),
            ("peer", dump::tests::a_dump_says_first_whose_it_is),
            ("cluster", dump::tests::a_dump_says_first_whose_it_is),
            ("mark_seq", dump::tests::a_dump_says_first_whose_it_is),
            ("mark_hash", dump::tests::a_dump_says_first_whose_it_is),
        ]),
    ),
    (
        "TraceRequest",
        Way::Shown(&[
            ("after", trace::tests::what_is_wanted_is_sent_in_parts),
            ("from", trace::tests::what_is_wanted_is_sent_in_parts),
            ("to", trace::tests::what_is_wanted_is_sent_in_parts),
            ("peer", trace::tests::what_is_wanted_is_sent_in_parts),
            ("number", trace::tests::what_is_wanted_is_sent_in_parts),
        ]),
    ),
    (
        "TraceReply",
        Way::Shown(&[
            ("kept", trace::tests::what_is_wanted_is_sent_in_parts),
            ("events", trace::tests::what_is_wanted_is_sent_in_parts),
        ]),
    ),
];

/// Messages that are tried for each field.
const SEEDS: u64 = 200;

impl Way {
    /// A message with anything in it.
    fn make(&self, any: &mut Any) -> Vec<u8> {
        let tagged = match self {
            Way::Stream(kind) => encode(&any.message(*kind)),
            Way::Ask(kind) => encode_ask(&any.ask(*kind)),
            Way::Answer(kind) => encode_answer(&any.answer(*kind)),
            Way::Place => return place_reply(&any.answer(4)),
            Way::Event => return proto::Event::from(any.happening()).encode_to_vec(),
            Way::Shown(_) => unreachable!("shown by tests of its own"),
        };
        tagged[1..].to_vec()
    }

    /// What a reader makes of it, as bytes.
    fn read(&self, tag: u8, bytes: &[u8]) -> Result<Vec<u8>, Odd> {
        let tagged = [&[tag], bytes].concat();
        Ok(match self {
            Way::Stream(_) => encode(&decode(&tagged)?),
            Way::Ask(_) => encode_ask(&decode_ask(&tagged)?),
            Way::Answer(_) => encode_answer(&decode_answer(&tagged)?),
            Way::Place => place_reply(&Answer::try_from(proto::PlaceReply::decode(bytes).unwrap())?),
            Way::Event => {
                let happening = Happening::try_from(proto::Event::decode(bytes).unwrap())?;
                proto::Event::from(happening).encode_to_vec()
            }
            Way::Shown(_) => unreachable!("shown by tests of its own"),
        })
    }

    /// Its tag in a frame.
    fn tag(&self) -> u8 {
        let mut any = Any(Rng::with_seed(0));
        match self {
            Way::Stream(kind) => encode(&any.message(*kind))[0],
            Way::Ask(kind) => encode_ask(&any.ask(*kind))[0],
            Way::Answer(kind) => encode_answer(&any.answer(*kind))[0],
            _ => 0,
        }
    }
}

fn place_reply(answer: &Answer) -> Vec<u8> {
    proto::PlaceReply::try_from(answer.clone()).unwrap().encode_to_vec()
}

type Path = Vec<FieldDescriptor>;

/// All fields that hold no message, at any depth.
fn leaves(of: &MessageDescriptor) -> Vec<Path> {
    let below = |field: FieldDescriptor| match field.kind() {
        Kind::Message(inner) => {
            leaves(&inner).into_iter().map(|path| [vec![field.clone()], path].concat()).collect::<Vec<Path>>()
        }
        _ => vec![vec![field]],
    };
    of.fields().flat_map(below).collect()
}

fn name(path: &Path) -> String {
    let inner: Vec<&str> = path.iter().map(FieldDescriptor::name).collect();
    format!("{}.{}", path[0].parent_message().name(), inner.join("."))
}

/// Another value for one field. None: the message does not have what the field stands in.
fn altered(mut message: DynamicMessage, path: &[FieldDescriptor], rng: &mut Rng) -> Option<DynamicMessage> {
    let (field, inner) = path.split_first()?;
    let value = message.get_field(field).into_owned();
    let value = match value {
        _ if inner.is_empty() && field.is_list() => {
            let mut all = value.as_list()?.to_vec();
            all.push(other(&Value::default_value(&field.kind()), rng));
            Value::List(all)
        }
        _ if inner.is_empty() => other(&value, rng),
        Value::List(mut all) => {
            let Value::Message(first) = all.first()?.clone() else { return None };
            all[0] = Value::Message(altered(first, inner, rng)?);
            Value::List(all)
        }
        Value::Message(held) if message.has_field(field) => Value::Message(altered(held, inner, rng)?),
        _ => return None,
    };
    message.set_field(field, value);
    Some(message)
}

fn other(value: &Value, rng: &mut Rng) -> Value {
    match value {
        Value::Bool(it) => Value::Bool(!it),
        Value::I32(it) => Value::I32(it.wrapping_add(rng.i32(1..9))),
        Value::I64(it) => Value::I64(it.wrapping_add(rng.i64(1..9))),
        Value::U32(it) => Value::U32(it.wrapping_add(rng.u32(1..9))),
        Value::U64(it) => Value::U64(it.wrapping_add(rng.u64(1..9))),
        Value::EnumNumber(it) => Value::EnumNumber((it + rng.i32(1..3)) % 4),
        Value::String(it) => Value::String(format!("{it}x")),
        Value::Bytes(it) if it.is_empty() => Value::Bytes(vec![7; 32].into()),
        Value::Bytes(it) => Value::Bytes(it.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>().into()),
        other => unreachable!("the protos have no {other:?}"),
    }
}

/// Whether altering the field alters what is read.
fn is_heeded(way: &Way, of: &MessageDescriptor, path: &Path) -> bool {
    let tag = way.tag();
    (0..SEEDS).any(|seed| {
        let mut any = Any(Rng::with_seed(seed));
        let bytes = way.make(&mut any);
        let message = DynamicMessage::decode(of.clone(), &bytes[..]).unwrap();
        let Some(altered) = altered(message, path, &mut any.0) else { return false };
        way.read(tag, &altered.encode_to_vec()) != way.read(tag, &bytes)
    })
}

/// The fields of these methods' messages that nobody heeds, and messages of which nothing is known.
fn unheeded(pool: &DescriptorPool) -> BTreeSet<String> {
    let ways = BTreeMap::from(WAYS.map(|(name, way)| (name, way)));
    let ours = pool.services().filter(|service| service.package_name() == "bazaar.v1");
    let messages = ours.flat_map(|service| service.methods().collect::<Vec<_>>());
    let messages = messages.flat_map(|method| [method.input(), method.output()]);
    let messages: BTreeMap<String, _> = messages.map(|it| (it.name().to_owned(), it)).collect();
    let mut unheeded = BTreeSet::new();
    for (name_of, message) in &messages {
        match ways.get(name_of.as_str()) {
            Some(Way::Shown(shown)) => {
                let is_shown = |field: &FieldDescriptor| shown.iter().any(|(it, _)| *it == field.name());
                unheeded.extend(message.fields().filter(|it| !is_shown(it)).map(|it| name(&vec![it])));
            }
            Some(way) => {
                let paths = leaves(message).into_iter();
                unheeded.extend(paths.filter(|path| !is_heeded(way, message, path)).map(|it| name(&it)));
            }
            None => drop(unheeded.insert(name_of.clone())),
        }
    }
    unheeded
}

#[test]
fn every_field_is_heeded_or_refused() {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    assert_eq!(unheeded(&pool), BTreeSet::new());
}

/// The test above finds what it looks for.
#[test]
fn a_field_that_nobody_reads_is_found() {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let files = pool.file_descriptor_protos().cloned().map(|mut file| {
        for message in &mut file.message_type {
            let added = ["PlaceRequest", "Hello", "Event", "DumpRequest"].contains(&message.name());
            if let Some(first) = message.field.iter().find(|it| added && it.r#type() == Type::Uint64).cloned()
            {
                let (name, number) = (Some("unread".to_owned()), Some(99));
                message.field.push(FieldDescriptorProto { name, number, json_name: None, ..first });
            }
        }
        file
    });
    let mut altered = DescriptorPool::new();
    altered.add_file_descriptor_protos(files).unwrap();
    let found = unheeded(&altered);
    for expected in
        ["PlaceRequest.unread", "SubmitRequest.hello.unread", "Event.unread", "DumpRequest.unread"]
    {
        assert!(found.contains(expected), "{expected}: {found:?}");
    }
    assert!(found.iter().all(|it| it.ends_with(".unread")), "{found:?}");
}

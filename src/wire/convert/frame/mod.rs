//! Messages and calls as bytes without gRPC: one byte that says which it is, then its proto. A simulated network carries
//! these, so that everything is encoded and decoded on its way as between real nodes.
//!
//! Holds: what is decoded is what the real wire would give, with one exception: a probe arrives as [`Ask::Probe`], where
//! a real node is asked for its status.

use prost::Message as Proto;
use tonic::{Code, Status};

use super::{Checked, Odd, process_in, proto};
use crate::model::call::{Answer, Ask, CallError, Refusal};
use crate::model::message::Message;

fn tagged(tag: u8, it: &impl Proto) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + it.encoded_len());
    bytes.push(tag);
    // A vector grows: there is always room.
    let _ = it.encode(&mut bytes);
    bytes
}

fn untagged(bytes: &[u8]) -> Checked<(u8, &[u8])> {
    bytes.split_first().map(|(tag, rest)| (*tag, rest)).ok_or(Odd::Field("tag"))
}

fn read<P: Proto + Default>(bytes: &[u8]) -> Checked<P> {
    P::decode(bytes).map_err(|_| Odd::Field("bytes"))
}

/// The codec of one enum, a line for each variant: its tag, its proto, and how that is read where the variant does not
/// follow from the proto alone.
macro_rules! codec {
    ($(#[$encode_doc:meta])* $encode:ident, $(#[$decode_doc:meta])* $decode:ident, $of:ty:
        $($tag:literal $pattern:pat => $proto:ident $(as $read:expr)?,)*) => {
        $(#[$encode_doc])*
        pub(crate) fn $encode(it: &$of) -> Vec<u8> {
            match it {
                $($pattern => match proto::$proto::try_from(it.clone()) {
                    Ok(proto) => tagged($tag, &proto),
                    Err(odd) => unreachable!("the table names another proto: {odd}"),
                },)*
            }
        }

        $(#[$decode_doc])*
        ///
        /// # Errors
        /// The bytes are no frame, or a field makes no sense.
        pub(crate) fn $decode(bytes: &[u8]) -> Result<$of, Odd> {
            let (tag, rest) = untagged(bytes)?;
            match tag {
                $($tag => codec!(read::<proto::$proto>(rest)? $(, $read)?),)*
                _ => Err(Odd::Field("tag")),
            }
        }
    };
    ($proto:expr) => { $proto.try_into() };
    ($proto:expr, $read:expr) => { Ok($read($proto)) };
}

codec! {
    /// A message of any stream.
    encode,
    /// Reads what [`encode`] wrote.
    decode, Message:
    1 Message::TradeAsk(_) => TradeRequest,
    2 Message::TradeAnswer(_) => TradeReply,
    3 Message::SettleAsk(_) => SettleRequest,
    4 Message::SettleAnswer(_) => SettleReply,
    5 Message::ControlUp(_) => ControlUp,
    6 Message::ControlDown(_) => ControlDown,
    7 Message::Watch => WatchRequest,
    8 Message::Stock(_) => StockPush,
    9 Message::ReplicaAsk(_) => ReplicateRequest,
    10 Message::ReplicaAnswer(_) => ReplicateReply,
    11 Message::Peer(_) => ClusterMessage,
}

codec! {
    /// What is asked.
    encode_ask,
    /// Reads what [`encode_ask`] wrote.
    decode_ask, Ask:
    1 Ask::Catalogue => CatalogueRequest,
    2 Ask::Open(_) => OpenRequest,
    3 Ask::Session(_) => SessionRequest,
    4 Ask::Claim(..) => ClaimRequest,
    5 Ask::Fence(..) => FenceRequest,
    6 Ask::Pair(..) => PairRequest,
    7 Ask::Resign(..) => ResignRequest,
    8 Ask::Submit(..) => SubmitRequest,
    9 Ask::HandOver(..) => HandOverRequest,
    10 Ask::Probe => StatusRequest as |_| Ask::Probe,
    11 Ask::Status => StatusRequest,
    12 Ask::Place(..) => PlaceRequest,
    13 Ask::Quiesce => QuiesceRequest,
    14 Ask::Leave => LeaveRequest,
    15 Ask::ResignByHand(_) => ResignByHandRequest,
    16 Ask::Mode(_) => ModeRequest,
    17 Ask::Find(..) => FindRequest,
    18 Ask::Complete(..) => CompleteRequest,
    19 Ask::Release(_) => ReleaseRequest,
}

codec! {
    /// What is answered.
    encode_answer,
    /// Reads what [`encode_answer`] wrote.
    decode_answer, Answer:
    1 Answer::Catalogue(_) => CatalogueReply,
    2 Answer::Opened(_) => OpenReply,
    3 Answer::Session(..) => SessionReply,
    4 Answer::Roster(..) => RosterReply,
    5 Answer::Outcome(..) => SubmitReply,
    6 Answer::Taken(_) => HandOverReply,
    7 Answer::Alive(_) => StatusReply as |it: proto::StatusReply| Answer::Alive(process_in(it.process)),
    8 Answer::Status(_) => StatusReply,
    9 Answer::Open(_) => QuiesceReply,
    10 Answer::Left(_) => LeaveReply,
    11 Answer::Resigned(_) => ResignByHandReply,
    12 Answer::Mode(..) => ModeReply,
    13 Answer::Found(_) => FindReply,
    14 Answer::Released(_) => ReleaseReply,
}

/// A refusal, as the status that the wire makes of it: its details say code and text, too.
pub(crate) fn encode_refusal(refusal: &Refusal) -> Vec<u8> {
    Status::from(refusal.clone()).details().to_vec()
}

/// What a caller hears of a refusal that [`encode_refusal`] wrote.
///
/// # Errors
/// The bytes are no status.
pub(crate) fn decode_refusal(bytes: &[u8]) -> Result<CallError, Odd> {
    let it: tonic_types::pb::Status = read(bytes)?;
    let status = Status::with_details(Code::from(it.code), it.message, bytes.to_vec().into());
    Ok(CallError::from_status(&status))
}

#[cfg(test)]
pub(super) mod any;
#[cfg(test)]
mod tests;

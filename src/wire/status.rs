//! Refusals as gRPC statuses, and back: the one place that says which is which.
//!
//! A status carries an `ErrorInfo` whose reason a program can read, and, from a node that is not the asker's home, the
//! present traders as `primary`/`secondary` metadata of it: that is the referral.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::convert::Odd;
pub(crate) use crate::model::call::{CallError, Cause, Refusal};
use crate::model::market::NotTaken;
use crate::model::offices::{Roster, Seat};
use crate::model::warehouse::Denied;
use crate::types::Office;

const DOMAIN: &str = "bazaar";
const OTHER_CLUSTER: &str = "OTHER_CLUSTER";
const OLDER_COPY: &str = "OLDER_COPY";
const OTHER_VERSION: &str = "WIRE_VERSION";
const OTHER_GENERATION: &str = "OTHER_GENERATION";
const INVALID: &str = "INVALID";
const UNAVAILABLE: &str = "UNAVAILABLE";
/// What tonic-types takes; its order is never seen.
#[allow(clippy::disallowed_types)]
type Metadata = std::collections::HashMap<String, String>;

fn code_of(why: NotTaken) -> (Code, &'static str) {
    match why {
        NotTaken::Busy => (Code::Unavailable, "BUSY"),
        NotTaken::NotHome => (Code::FailedPrecondition, "NOT_HOME"),
        NotTaken::Stale => (Code::OutOfRange, "STALE"),
        NotTaken::OtherContent => (Code::AlreadyExists, "OTHER_CONTENT"),
        NotTaken::Window => (Code::FailedPrecondition, "WINDOW"),
        NotTaken::UnknownProduct => (Code::NotFound, "UNKNOWN_PRODUCT"),
        NotTaken::Quantity => (Code::InvalidArgument, "QUANTITY"),
        NotTaken::Fenced => (Code::Aborted, "FENCED"),
        NotTaken::NoSession => (Code::Unauthenticated, "NO_SESSION"),
        NotTaken::DiskFull => (Code::ResourceExhausted, "DISK_FULL"),
        NotTaken::Clock => (Code::InvalidArgument, "CLOCK"),
    }
}

/// All refusals of an order, for reading a status back.
const ALL: [NotTaken; 11] = [
    NotTaken::Busy,
    NotTaken::NotHome,
    NotTaken::Stale,
    NotTaken::OtherContent,
    NotTaken::Window,
    NotTaken::UnknownProduct,
    NotTaken::Quantity,
    NotTaken::Fenced,
    NotTaken::NoSession,
    NotTaken::DiskFull,
    NotTaken::Clock,
];

fn denied_code(denied: &Denied) -> (Code, &'static str) {
    match denied {
        Denied::NotMember(_) => (Code::Unauthenticated, "NOT_MEMBER"),
        Denied::NotEligible(_) => (Code::PermissionDenied, "NOT_ELIGIBLE"),
        Denied::StoreAlive(_) => (Code::AlreadyExists, "STORE_ALIVE"),
        Denied::Held { .. } => (Code::FailedPrecondition, "HELD"),
        Denied::NotPresent(_) => (Code::FailedPrecondition, "NOT_PRESENT"),
        Denied::PassedOver(_) => (Code::FailedPrecondition, "PASSED_OVER"),
        Denied::NotReporter(_) => (Code::PermissionDenied, "NOT_REPORTER"),
        Denied::ReportShort(_) => (Code::FailedPrecondition, "REPORT_SHORT"),
        Denied::ClockAhead(_) => (Code::OutOfRange, "CLOCK_AHEAD"),
        Denied::NotPartner(_) => (Code::PermissionDenied, "NOT_PARTNER"),
        Denied::OtherCluster { .. } => (Code::FailedPrecondition, OTHER_CLUSTER),
        Denied::OlderCopy { .. } => (Code::FailedPrecondition, OLDER_COPY),
        Denied::TooManyClients => (Code::ResourceExhausted, "TOO_MANY_CLIENTS"),
        Denied::OtherGeneration { .. } => (Code::FailedPrecondition, OTHER_GENERATION),
        Denied::EpochsSpent(_) => (Code::ResourceExhausted, "EPOCHS_SPENT"),
        Denied::UnknownPeer(_) => (Code::Unauthenticated, "UNKNOWN_PEER"),
    }
}

/// The reason of a refusal, as a program reads it.
pub(crate) fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotTaken(why, _) => reason_of(*why),
        Refusal::Denied(denied) => denied_code(denied).1,
        Refusal::Invalid(_) => INVALID,
        Refusal::Unavailable(_) => UNAVAILABLE,
    }
}

/// The same of an order that is not taken.
pub(crate) fn reason_of(why: NotTaken) -> &'static str {
    code_of(why).1
}

/// What a program may make of a reason that it reads.
fn cause_of(reason: &str) -> Cause {
    match reason {
        OTHER_CLUSTER => Cause::OtherCluster,
        OLDER_COPY | OTHER_GENERATION => Cause::OlderCopy,
        OTHER_VERSION => Cause::OtherVersion,
        INVALID => Cause::Invalid,
        UNAVAILABLE => Cause::Unavailable,
        _ => Cause::Other,
    }
}

fn referral(roster: &Roster) -> Metadata {
    let seat = |office: Office| {
        let seat = roster.get(office)?;
        Some((office.name().to_owned(), format!("{}@{}", seat.peer, seat.addr)))
    };
    Office::BOTH.into_iter().filter_map(seat).collect()
}

fn traders(roster: &Roster) -> String {
    let names: Vec<String> =
        Office::BOTH.into_iter().filter_map(|office| roster.get(office).map(name_seat)).collect();
    if names.is_empty() {
        "no trader is in office".to_owned()
    } else {
        format!("traders: {}", names.join(", "))
    }
}

fn name_seat(seat: &Seat) -> String {
    format!("{} at {}", seat.peer, seat.addr)
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let (code, reason, text, metadata) = match &refusal {
            Refusal::NotTaken(why, roster) => {
                let (code, reason) = code_of(*why);
                let text = match why {
                    NotTaken::NotHome => format!("{why}; {}", traders(roster)),
                    _ => why.to_string(),
                };
                (code, reason, text, referral(roster))
            }
            Refusal::Denied(denied) => {
                let (code, reason) = denied_code(denied);
                (code, reason, denied.to_string(), Metadata::new())
            }
            Refusal::Invalid(text) => (Code::InvalidArgument, INVALID, text.clone(), Metadata::new()),
            Refusal::Unavailable(text) => (Code::Unavailable, UNAVAILABLE, text.clone(), Metadata::new()),
        };
        Status::with_error_details(code, text, ErrorDetails::with_error_info(reason, DOMAIN, metadata))
    }
}

impl From<Odd> for Status {
    fn from(odd: Odd) -> Status {
        match odd {
            Odd::Field(_) => Refusal::Invalid(odd.to_string()).into(),
            Odd::Version(_) => {
                let details = ErrorDetails::with_error_info(OTHER_VERSION, DOMAIN, Metadata::new());
                Status::with_error_details(Code::FailedPrecondition, odd.to_string(), details)
            }
        }
    }
}

impl CallError {
    /// Reads the status of a call that reached the node.
    pub(super) fn from_status(status: &Status) -> CallError {
        let details = status.get_error_details();
        let Some(info) = details.error_info().filter(|info| info.domain == DOMAIN) else {
            return match status.code() {
                Code::Unimplemented | Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => {
                    CallError::Refused { cause: Cause::Other, text: status.message().to_owned() }
                }
                code => CallError::Unknown(format!("{code:?}: {}", status.message())),
            };
        };
        let traders = ["primary", "secondary"].iter().filter_map(|office| info.metadata.get(*office));
        let traders = traders.filter_map(|seat| seat.split_once('@')).map(|(_, addr)| addr.to_owned());
        match ALL.into_iter().find(|why| code_of(*why).1 == info.reason) {
            Some(why) => CallError::NotTaken { why, traders: traders.collect() },
            None => CallError::Refused { cause: cause_of(&info.reason), text: status.message().to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PeerId, ProcessId, Term};

    #[test]
    fn every_refusal_of_an_order_survives_the_wire() {
        let seat = Seat {
            peer: PeerId(6),
            process: ProcessId::default(),
            term: Term(1),
            present: true,
            addr: "127.0.0.1:7706".into(),
            licence: None,
        };
        let roster = Roster { primary: Some(seat), ..Roster::default() };
        for why in ALL {
            let status = Status::from(Refusal::NotTaken(why, Box::new(roster.clone())));
            let CallError::NotTaken { why: back, traders } = CallError::from_status(&status) else {
                panic!("{why}")
            };
            assert_eq!((back, traders), (why, vec!["127.0.0.1:7706".to_owned()]));
        }
    }
}

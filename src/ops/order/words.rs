//! What an order came to, in words, as one JSON object, and as an exit code.

use serde_json::{Value, json};

use crate::cli::MARKET_DIR;
use crate::cli::OrderFlags;
use crate::journal::mend::word;
use crate::model::peer::entry::Told;
use crate::model::row::{Outcome, OutcomeKind, Reason, Share};
use crate::ops::output::{Row, exit};
use crate::types::{Money, OrderId, OrderKind, PeerId, Quantity, Seq, WallMicros};

/// What was asked for: kind, good and pieces, as a person typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) kind: OrderKind,
    pub(super) good: String,
    pub(super) quantity: Quantity,
}

impl Wanted {
    /// `buy 3 fish`.
    pub(super) fn phrase(&self) -> String {
        let Wanted { kind, good, quantity } = self;
        let partly = if matches!(kind, OrderKind::Buy { partial: true }) { " or less" } else { "" };
        format!("{} {quantity} {good}{partly}", kind.name())
    }

    /// The command that asks for this order again.
    pub(super) fn again(&self, id: OrderId, flags: &OrderFlags) -> String {
        let Wanted { kind, good, quantity } = self;
        let mut command = format!("bazaar {} {good}={quantity} --number {}", kind.name(), id.number);
        if matches!(kind, OrderKind::Buy { partial: true }) {
            command.push_str(" --partial");
        }
        if let Some(addr) = &flags.market.connect {
            command.push_str(&format!(" --connect {addr}"));
        }
        if flags.market.data_dir.as_os_str() != MARKET_DIR {
            command.push_str(&format!(" --data-dir {}", word(&flags.market.data_dir)));
        }
        command
    }
}

/// An outcome with what was asked for. The client's journal does not have all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) wanted: Wanted,
    pub(super) id: OrderId,
    pub(super) kind: OutcomeKind,
    pub(super) reason: Option<Reason>,
    pub(super) filled: Quantity,
    pub(super) amount: Money,
    pub(super) sellers: Option<Vec<Share>>,
    pub(super) left: Option<Quantity>,
    pub(super) trader: PeerId,
    pub(super) seq: Seq,
    pub(super) time: WallMicros,
    /// It had been decided before this command asked.
    pub(super) repeated: bool,
}

impl Done {
    /// As the trader told it; `repeated` if it was decided before this command.
    pub(super) fn told(wanted: Wanted, outcome: Outcome, repeated: bool) -> Done {
        let Outcome { id, kind, reason, filled, amount, shares, stock_after, seq, time, trader, .. } =
            outcome;
        let (sellers, left) = (Some(shares), Some(stock_after));
        Done { wanted, id, kind, reason, filled, amount, sellers, left, trader, seq, time, repeated }
    }

    /// The outcome as the client's journal has it, which was told it at `time`.
    pub(super) fn remembered(
        wanted: Wanted,
        me: PeerId,
        told: Told,
        trader: PeerId,
        time: WallMicros,
    ) -> Done {
        let Told { number, kind, reason, filled, amount, seq } = told;
        let id = OrderId { peer: me, number };
        let (sellers, left) = (None, None);
        Done { wanted, id, kind, reason, filled, amount, sellers, left, trader, seq, time, repeated: true }
    }

    /// 0, or 4 if nothing was bought or deposited.
    pub(super) fn exit(&self) -> u8 {
        match self.kind {
            OutcomeKind::Bought | OutcomeKind::PartlyBought | OutcomeKind::Deposited => exit::DONE,
            OutcomeKind::SoldOut | OutcomeKind::Refused | OutcomeKind::Reversed | OutcomeKind::Voided => {
                exit::NO
            }
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let order = format!("(order {})", self.id);
        if self.repeated {
            return format!("already done at {}, {} {order}", clock_of(self.time), self.not_twice());
        }
        let Wanted { good, quantity, .. } = &self.wanted;
        let (filled, amount, trader) = (self.filled, self.amount, self.trader);
        let left = |what: &str| self.left.map(|left| format!(", {left} {what}")).unwrap_or_default();
        let from = self.sellers.as_deref().map(from).unwrap_or_default();
        match self.kind {
            OutcomeKind::Bought => {
                format!(
                    "bought {filled} {good} for {amount}{from} via trader {trader}{} {order}",
                    left("left")
                )
            }
            OutcomeKind::PartlyBought => {
                let of = format!("{filled} of {quantity} {good}");
                format!("bought {of} for {amount}{from} via trader {trader}{} {order}", left("left"))
            }
            OutcomeKind::Deposited => {
                format!("deposited {filled} {good} via trader {trader}{} {order}", left("in stock"))
            }
            OutcomeKind::SoldOut => format!("sold out: {quantity} {good} wanted{} {order}", left("left")),
            OutcomeKind::Refused | OutcomeKind::Reversed | OutcomeKind::Voided => {
                let why = self.reason.map(|reason| format!(": {}", reason.name())).unwrap_or_default();
                format!("{}{why} {order}", self.kind.name())
            }
        }
    }

    fn not_twice(&self) -> String {
        match self.kind {
            OutcomeKind::Bought | OutcomeKind::PartlyBought => "not bought twice".to_owned(),
            OutcomeKind::Deposited => "not deposited twice".to_owned(),
            OutcomeKind::SoldOut => "sold out then".to_owned(),
            OutcomeKind::Refused | OutcomeKind::Reversed | OutcomeKind::Voided => {
                format!("{} then", self.kind.name())
            }
        }
    }

    /// The same facts as one object; money in minor units.
    pub(super) fn json(&self) -> Row {
        let mut row = Row::new();
        let mut put = |key: &str, value: Value| drop(row.insert(key.to_owned(), value));
        put("id", self.id.to_string().into());
        put("order", self.id.to_string().into());
        put("outcome", self.kind.name().into());
        if let Some(reason) = self.reason {
            put("reason", reason.name().into());
        }
        put("product", self.wanted.good.clone().into());
        put("asked", self.wanted.quantity.0.into());
        put("filled", self.filled.0.into());
        put("amount", self.amount.0.into());
        if let Some(sellers) = &self.sellers {
            put("sellers", sellers.iter().map(share).collect());
        }
        put("trader", self.trader.0.into());
        put("seq", self.seq.0.into());
        put("time", self.time.to_string().into());
        if let Some(left) = self.left {
            put("left", left.0.into());
        }
        put("repeated", self.repeated.into());
        row
    }
}

fn share(share: &Share) -> Value {
    json!({ "peer": share.peer.0, "quantity": share.quantity.0, "amount": share.amount.0 })
}

/// ` from seller 3`, ` from sellers 3 and 4`, ` from the warehouse and seller 3`.
fn from(shares: &[Share]) -> String {
    let sellers: Vec<String> =
        shares.iter().filter(|it| it.peer != PeerId::WAREHOUSE).map(|it| it.peer.to_string()).collect();
    let own = sellers.len() < shares.len();
    let peers = match sellers.as_slice() {
        [] => String::new(),
        [one] => format!("seller {one}"),
        [first @ .., last] => format!("sellers {} and {last}", first.join(", ")),
    };
    match (own, peers.is_empty()) {
        (true, true) => " from the warehouse".to_owned(),
        (true, false) => format!(" from the warehouse and {peers}"),
        (false, true) => String::new(),
        (false, false) => format!(" from {peers}"),
    }
}

/// `12:03:07`, in UTC as everywhere.
fn clock_of(time: WallMicros) -> String {
    let text = time.to_string();
    text.get(11..19).map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Number;

    const NOON: WallMicros = WallMicros((12 * 3600 + 3 * 60 + 7) * 1_000_000);

    fn wanted(kind: OrderKind) -> Wanted {
        Wanted { kind, good: "fish".into(), quantity: Quantity(3) }
    }

    fn outcome(kind: OutcomeKind, filled: u64, sellers: &[u32]) -> Outcome {
        let share = |peer: &u32| Share { peer: PeerId(*peer), quantity: Quantity(1), amount: Money(95) };
        Outcome {
            id: OrderId { peer: PeerId(1001), number: Number(7) },
            kind,
            reason: None,
            filled: Quantity(filled),
            amount: Money(100 * filled as i64),
            shares: sellers.iter().map(share).collect(),
            stock_after: Quantity(12),
            seq: Seq(9),
            time: NOON,
            trader: PeerId(6),
            repeated: false,
        }
    }

    fn done(kind: OutcomeKind, filled: u64, sellers: &[u32], repeated: bool) -> Done {
        Done::told(wanted(OrderKind::Buy { partial: true }), outcome(kind, filled, sellers), repeated)
    }

    #[test]
    fn every_outcome_has_its_line_and_code() {
        use OutcomeKind::*;
        let cases = [
            (
                Bought,
                3,
                &[3][..],
                "bought 3 fish for 3.00 from seller 3 via trader 6, 12 left (order 1001-7)",
                0,
            ),
            (
                PartlyBought,
                2,
                &[0, 3, 4],
                "bought 2 of 3 fish for 2.00 from the warehouse and sellers 3 and 4 via trader 6, 12 left (order 1001-7)",
                0,
            ),
            (Deposited, 3, &[], "deposited 3 fish via trader 6, 12 in stock (order 1001-7)", 0),
            (SoldOut, 0, &[], "sold out: 3 fish wanted, 12 left (order 1001-7)", 4),
            (Refused, 0, &[], "refused (order 1001-7)", 4),
            (Voided, 0, &[], "voided (order 1001-7)", 4),
        ];
        for (kind, filled, sellers, line, code) in cases {
            let done = done(kind, filled, sellers, false);
            assert_eq!((done.line().as_str(), done.exit()), (line, code));
        }
    }

    #[test]
    fn asked_again_says_when_and_ends_as_the_outcome_did() {
        let bought = done(OutcomeKind::Bought, 3, &[3], true);
        assert_eq!(bought.line(), "already done at 12:03:07, not bought twice (order 1001-7)");
        let sold_out = done(OutcomeKind::SoldOut, 0, &[], true);
        assert_eq!(sold_out.line(), "already done at 12:03:07, sold out then (order 1001-7)");
        assert_eq!((bought.exit(), sold_out.exit()), (exit::DONE, exit::NO));
    }

    #[test]
    fn the_object_has_the_same_facts() {
        let text = serde_json::to_string(&done(OutcomeKind::Bought, 3, &[3], false).json()).unwrap();
        assert_eq!(
            text,
            r#"{"id":"1001-7","order":"1001-7","outcome":"bought","product":"fish","asked":3,"filled":3,"amount":300,"sellers":[{"peer":3,"quantity":1,"amount":95}],"trader":6,"seq":9,"time":"1970-01-01T12:03:07.000000Z","left":12,"repeated":false}"#
        );
        let told = Told {
            number: Number(7),
            kind: OutcomeKind::Bought,
            reason: None,
            filled: Quantity(3),
            amount: Money(300),
            seq: Seq(9),
        };
        let remembered = Done::remembered(wanted(OrderKind::Sell), PeerId(1001), told, PeerId(6), NOON);
        let row = remembered.json();
        assert!(row.get("left").is_none() && row["repeated"] == true && row["id"] == "1001-7");
    }

    #[test]
    fn the_command_to_ask_again_can_be_pasted() {
        use crate::cli::{Cli, Command};
        let line = "bazaar buy fish=3 --data-dir m --connect :7700 --partial";
        let cli = Cli::parse_from_args(line.split(' ').map(Into::into)).unwrap();
        let Command::Buy(args) = cli.command else { panic!("not buy") };
        let id = OrderId { peer: PeerId(1001), number: Number(7) };
        let again = wanted(OrderKind::Buy { partial: true }).again(id, &args.order);
        assert_eq!(again, "bazaar buy fish=3 --number 7 --partial --connect 127.0.0.1:7700 --data-dir m");
        assert!(Cli::parse_from_args(again.split(' ').map(Into::into)).is_ok());
    }
}

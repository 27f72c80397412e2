use super::*;
use crate::model::offices::Seat;
use crate::model::step::{Effect, Numbers};
use crate::model::warehouse::Opened;
use crate::types::{Generation, Hash, Money, Term, WallMicros};

/// An outcome of a number.
pub(in crate::sim::people) fn bought(peer: u32, number: u64) -> Outcome {
    Outcome {
        id: OrderId { peer: PeerId(peer), number: Number(number) },
        kind: OutcomeKind::Bought,
        reason: None,
        filled: Quantity(3),
        amount: Money(300),
        shares: Vec::new(),
        stock_after: Quantity(7),
        seq: Seq(9),
        time: WallMicros(1),
        trader: PeerId(6),
        repeated: false,
    }
}

/// A client on a bench: its calls are answered by hand.
struct Bench {
    client: Client,
    numbers: Numbers,
    now: Moment,
    told: usize,
    marks: Vec<Mark>,
    wrong: Option<String>,
    gone: bool,
}

impl Bench {
    fn new(errands: Vec<Errand>) -> Bench {
        let mut client = Client::new(Plan::Orders, "warehouse".to_owned(), 3, Chance::of(1, "test"));
        (client.errands, client.dies_in) = (errands.into(), None);
        Bench {
            client,
            numbers: Numbers::default(),
            now: Moment(0),
            told: 0,
            marks: Vec::new(),
            wrong: None,
            gone: false,
        }
    }

    /// Gives the call that the client makes, after as many pauses as it takes.
    fn act(&mut self, input: Option<Input>) -> Option<(CallId, String, Ask)> {
        let mut hands = Hands::of(self.numbers.clone());
        self.client.act(self.now, input, &mut hands);
        self.told += hands.told.len();
        self.marks.append(&mut hands.marks);
        self.wrong = self.wrong.take().or(hands.wrong.map(|failure| failure.why));
        self.gone = hands.goes;
        match (hands.effects.pop(), hands.wakes_at) {
            (Some(Effect::Call { call, addr, ask }), _) => Some((call, addr, ask)),
            (None, Some(at)) => {
                self.now = at;
                self.act(None)
            }
            (None, None) => None,
            (Some(other), _) => panic!("{other}"),
        }
    }

    fn came(&mut self, call: CallId, answer: Result<Answer, CallError>) -> Option<(CallId, String, Ask)> {
        self.act(Some(Input::Came(call, answer)))
    }

    /// Opens the session as client 1001; trader 6 is the home. Gives the first order.
    fn open(&mut self) -> (CallId, String, Order) {
        let (call, addr, ask) = self.act(None).unwrap();
        assert!(addr == "warehouse" && matches!(ask, Ask::Open(_)), "{ask:?}");
        submitted(self.came(call, opened(6)))
    }
}

fn seat(peer: u32) -> Seat {
    let process = ProcessId::default();
    Seat {
        peer: PeerId(peer),
        process,
        term: Term(1),
        present: true,
        addr: format!("trader {peer}"),
        licence: None,
    }
}

fn opened(home: u32) -> Result<Answer, CallError> {
    let (peer, epoch) = (PeerId(1_001), Epoch(0));
    let opened = Opened { peer, epoch, floor: Number(1), highest: Number(0), new: true };
    let roster = Roster { seq: Seq(2), primary: Some(seat(home)), ..Roster::default() };
    Ok(Answer::Opened(Box::new(OpenAnswer {
        seen: None,
        opened,
        clock: Stamp(40),
        roster,
        generation: Default::default(),
    })))
}

fn submitted(call: Option<(CallId, String, Ask)>) -> (CallId, String, Order) {
    match call {
        Some((call, addr, Ask::Submit(hello, order))) => {
            assert!(hello.token.is_some() && hello.clock >= order.stamp && hello.peer == order.id.peer);
            (call, addr, order)
        }
        other => panic!("{other:?}"),
    }
}

fn outcome() -> Outcome {
    bought(1_001, 1)
}

fn decided() -> Result<Answer, CallError> {
    Ok(Answer::Outcome(Box::new(outcome()), None))
}

fn not_taken(why: NotTaken, traders: &[&str]) -> Result<Answer, CallError> {
    Err(CallError::NotTaken { why, traders: traders.iter().map(|addr| (*addr).to_owned()).collect() })
}

#[test]
fn it_asks_again_with_the_same_number_and_content_at_the_newest_home() {
    let mut bench = Bench::new(vec![Errand::Order(1)]);
    let (call, addr, order) = bench.open();
    assert_eq!((addr.as_str(), order.id), ("trader 6", outcome().id));
    let unknown = Err(CallError::Unknown("no answer in time".to_owned()));
    let (call, addr, ask) = bench.came(call, unknown).unwrap();
    assert!(
        addr == "warehouse" && matches!(ask, Ask::Open(it) if it.peer == PeerId(1_001)),
        "a newer roster first"
    );
    let (call, addr, again) = submitted(bench.came(call, opened(5)));
    assert_eq!((addr.as_str(), again), ("trader 5", order));
    bench.came(call, decided());
    assert_eq!((bench.told, &bench.marks[..1]), (1, &[Mark::ClientAnswered][..]));
}

#[test]
fn it_goes_where_it_is_referred_to_once() {
    let mut bench = Bench::new(vec![Errand::Order(1)]);
    let (call, _, order) = bench.open();
    let (call, addr, again) =
        submitted(bench.came(call, not_taken(NotTaken::NotHome, &["trader 6", "trader 5"])));
    assert_eq!((addr.as_str(), again), ("trader 5", order));
    let (_, addr, _) = bench.came(call, not_taken(NotTaken::NotHome, &["trader 6", "trader 5"])).unwrap();
    assert_eq!(addr, "warehouse", "both send it to and fro");
}

#[test]
fn another_outcome_for_the_same_number_is_wrong() {
    let order = Bench::new(vec![Errand::Order(1)]).open().2;
    for (answer, wrong) in
        [(outcome(), false), (Outcome { repeated: true, ..outcome() }, false), (bought(1_001, 2), true)]
    {
        let mut bench = Bench::new(vec![Errand::Again(order, outcome())]);
        let (call, ..) = bench.open();
        bench.came(call, Ok(Answer::Outcome(Box::new(answer), None)));
        assert_eq!((bench.wrong.is_some(), bench.marks.len()), (wrong, usize::from(!wrong)));
        assert!(bench.gone);
    }
}

#[test]
fn other_content_has_to_be_refused() {
    let order = Bench::new(vec![Errand::Order(1)]).open().2;
    let mut bench = Bench::new(vec![Errand::Other(order, outcome())]);
    let (call, _, other) = bench.open();
    assert!(other.id == order.id && other != order);
    bench.came(call, not_taken(NotTaken::OtherContent, &[]));
    assert_eq!((bench.marks.as_slice(), &bench.wrong), (&[Mark::OtherContent][..], &None));

    let mut bench = Bench::new(vec![Errand::Other(order, outcome())]);
    let (call, ..) = bench.open();
    bench.came(call, decided());
    assert!(bench.wrong.unwrap().contains("other content"));
}

/// It may be the only one left that was told of the ledger: a warehouse that lacks what it shows is another one.
#[test]
fn it_shows_what_it_has_seen_of_the_ledger_when_it_opens_again() {
    let mut bench = Bench::new(vec![Errand::Order(1), Errand::Order(2)]);
    let seen =
        |seq| Seen { generation: Generation::default(), seq: Seq(seq), hash: Hash([1; 32]), proof: None };
    let (call, _, ask) = bench.act(None).unwrap();
    assert!(matches!(ask, Ask::Open(it) if it.seen.is_none()));
    let mut answer = opened(6);
    if let Ok(Answer::Opened(answer)) = &mut answer {
        answer.seen = Some(Box::new(seen(5)));
    }
    let (call, ..) = submitted(bench.came(call, answer));
    let (_, _, ask) = bench.came(call, not_taken(NotTaken::Busy, &[])).unwrap();
    assert!(matches!(&ask, Ask::Open(it) if it.seen.as_deref() == Some(&seen(5))), "{ask:?}");
}

#[test]
fn an_old_number_may_be_forgotten_and_no_other() {
    let order = Bench::new(vec![Errand::Order(1)]).open().2;
    for (errand, wrong) in [(Errand::Old(order, outcome()), false), (Errand::Again(order, outcome()), true)] {
        let mut bench = Bench::new(vec![errand]);
        let (call, ..) = bench.open();
        bench.came(call, not_taken(NotTaken::Stale, &[]));
        assert_eq!(bench.wrong.is_some(), wrong);
    }
}

#[test]
fn a_client_that_dies_waits_for_nothing() {
    let mut bench = Bench::new(vec![Errand::Order(1)]);
    bench.client.dies_in = Some(2);
    let (call, ..) = bench.act(None).unwrap();
    assert!(bench.client.waits_for().is_some());
    bench.came(call, opened(6));
    assert!(bench.gone && bench.client.waits_for().is_none());
}

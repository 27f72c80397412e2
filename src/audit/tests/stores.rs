//! Damaged blocks, marks and clocks that differ, caches that are wrong.

use super::*;

#[test]
fn damaged_blocks_are_caught_and_cost_no_other_row() {
    let clean = Market::lived();
    let (blocks, tip) = chain(&clean.ledger);
    for at in 0..blocks.len() {
        let mut flipped = blocks.clone();
        let middle = flipped[at].len() / 2;
        flipped[at][middle] ^= 1;
        let found = audit(&mut [memory(0, flipped, tip, 1_000)], 5).unwrap();
        assert!(found.of(Check::Chain).failed > 0 && found.of(Check::Readable).failed > 0, "{at}");
        let mut missing = blocks.clone();
        missing.remove(at);
        let found = audit(&mut [memory(0, missing, tip, 1_000)], 5).unwrap();
        assert!(!found.failed().is_empty(), "block {at} missing");
    }
}

#[test]
fn marks_and_clocks_are_compared() {
    let clean = Market::lived();
    let (blocks, tip) = chain(&clean.ledger);
    let with = |alter: fn(&mut Memory)| {
        let mut memory = Memory { meta: Default::default(), blocks: blocks.clone(), cache: None };
        memory.meta.mark = Some((tip.seq, tip.hash));
        alter(&mut memory);
        audit(&mut [Box::new(memory) as Source], 5).unwrap().failed()
    };
    assert_eq!(with(|_| {}), []);
    assert_eq!(with(|store| store.meta.mark.as_mut().unwrap().1 = Hash::default()), [Check::Chain]);
    assert_eq!(with(|store| store.meta.mark.as_mut().unwrap().0.0 -= 1), [Check::Chain]);
    assert_eq!(with(|store| store.meta.mark.as_mut().unwrap().0.0 += 1), [Check::Durable]);
    assert_eq!(with(|store| drop(store.blocks.pop())), [Check::Durable]);
    assert_eq!(with(|store| store.meta.clock_reserve = Some(Stamp(3))), [Check::Clock]);
}

#[test]
fn caches_are_compared_at_their_own_row() {
    let clean = Market::lived();
    let (blocks, tip) = chain(&clean.ledger);
    // Stock after the last row.
    let (last, mut fold) = (tip.seq, LedgerFold::default());
    let mut whole = Memory { meta: Default::default(), blocks: blocks.clone(), cache: None };
    for row in rows::<Record>(&mut whole, Seq(1)) {
        let (place, record) = row.unwrap();
        fold.apply(&place, &record.unwrap(), &mut Alarms::new(0));
    }
    let stock: Vec<Quantity> = fold.goods.0.iter().map(|it| Quantity(it.on_hand())).collect();
    // `held`: how much of the ledger the reader knew of before it asked the trader.
    let look = |held: bool, alter: &dyn Fn(&mut StockCache)| {
        let mut cache = StockCache { term: Term(3), seq: last, stock: stock.clone() };
        alter(&mut cache);
        let mut memory = Memory { meta: Default::default(), blocks: blocks.clone(), cache: Some(cache) };
        memory.meta.mark = held.then_some((tip.seq, tip.hash));
        audit(&mut [Box::new(memory) as Source], 5).unwrap()
    };
    assert!(look(false, &|_| {}).of(Check::Caches).checked > 0);
    let with = |alter: &dyn Fn(&mut StockCache)| look(false, alter).failed();
    assert_eq!(with(&|_| {}), []);
    assert_eq!(with(&|cache| cache.stock[1].0 += 1), [Check::Caches]);
    assert_eq!(with(&|cache| cache.seq.0 += 1), [Check::Caches], "ahead of the ledger");
    assert_eq!(with(&|cache| cache.seq.0 -= 20), [Check::Caches], "stock of a later row");
    let early = |cache: &mut StockCache| {
        (cache.seq, cache.stock) = (Seq(3), [111, 43, 28].map(Quantity).to_vec());
    };
    assert_eq!(with(&early), [], "rows that are on their way");
    // No clock says for how long: a second look tells whether what the ledger held has come by then.
    let mut behind = look(true, &early);
    assert_eq!((behind.failed(), behind.may_be_underway()), (vec![Check::Caches], true));
    behind.confirm(&look(true, &early));
    assert_eq!(behind.failed(), [Check::Caches], "it lacks the same row for good");
    behind.confirm(&look(true, &|_| {}));
    assert_eq!(behind.failed(), [], "it was on its way");
    let mut wrong = look(true, &|cache| cache.stock[1].0 += 1);
    wrong.confirm(&look(true, &|_| {}));
    assert_eq!(wrong.failed(), [Check::Caches], "stock that is wrong at its row was never right");

    // A trader that is cut off from the warehouse does not hear that its term has ended: nobody trades by its cache.
    let of_term = |term: u64| {
        let alter = |cache: &mut StockCache| {
            early(cache);
            (cache.term, cache.stock[0].0) = (Term(term), 0);
        };
        look(true, &alter).of(Check::Caches).failed
    };
    assert_eq!([1, 2].map(of_term), [0, 0], "terms that ended");
    assert_eq!(
        [3, 4].map(of_term),
        [2, 2],
        "present traders: stock that was never right, and a row that it lacks"
    );
}

/// The node's own fold trusts its rows: what stands behind one that it was not given does not fit it.
#[test]
fn the_rows_behind_a_damaged_one_are_not_folded_as_the_node_would() {
    use crate::model::fold::Tree;
    let mut market = Market::lived();
    for at in 0..1_500 {
        let sell = OrderKind::Sell;
        market.trade(5, 3, &[(2, sell, 1, 3), (4, BUY, 1, 2), (3, sell, 0, 2), (1, BUY, 0, 1)]);
        // Nothing that the ledger adds up to lacks a refusal.
        if at == 500 {
            market.trade(5, 3, &[(4, BUY, 2, 1_000_000)]);
        }
    }
    let refused =
        market.ledger.concat().iter().rposition(|record| record.kind() == "refusal").unwrap() as u64 + 1;
    let disk = disk::<crate::model::market::Market>(0, &market.ledger);
    let (key, mut block) = disk.open().reader().floor(Tree::Ledger, &refused.to_be_bytes()).unwrap().unwrap();
    let middle = block.len() / 2;
    block[middle] ^= 1;
    disk.open().put(Tree::Ledger, &key, &block).unwrap();
    assert!(audit(&mut [stored(&disk)], 5).unwrap().failed().contains(&Check::Readable));
}

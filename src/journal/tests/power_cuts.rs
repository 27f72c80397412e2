//! The power is cut at any moment of any run.

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Step(Vec<Count>, Urgency),
    Wait,
    Checkpoint,
}

fn act() -> impl Strategy<Value = Act> {
    let count = prop_oneof![
        8 => (0..2_000_u16, any::<u64>()).prop_map(|(name, amount)| add(name, amount >> 8)),
        1 => (0..6_000_usize).prop_map(|length| Count::Note(vec![5; length])),
    ];
    let records = prop::collection::vec(count, 0..12);
    prop_oneof![
        5 => records.prop_map(|records| Act::Step(records, Urgency::Now)),
        2 => Just(Act::Wait),
        1 => Just(Act::Checkpoint),
    ]
}

/// Runs the acts and gives all records, with their step's time.
fn perform(journal: &mut Journal<Counts>, live: &mut Counts, acts: Vec<Act>) -> Vec<(u64, Count)> {
    let (mut all, mut last) = (Vec::new(), Ticket(0));
    for (time, act) in acts.into_iter().enumerate() {
        match act {
            Act::Step(records, urgency) => {
                live.take(time as u64, &records);
                all.extend(records.iter().map(|record| (time as u64, record.clone())));
                last = journal.stage(Step { urgency, ..step(records, time as u64) });
            }
            Act::Wait => drop(wait(journal, last)),
            Act::Checkpoint => journal.checkpoint(live.parts()),
        }
    }
    all
}

/// The last record that a run which ended after `events` events of the disk had published at most.
fn promised(disk: &MemoryDisk, events: usize) -> u64 {
    let synced = disk.power_cut_at(events, Survive::None);
    let last = synced.open().reader().floor(Tree::Ledger, &[0xff; 8]).unwrap();
    last.map_or(0, |(_, block)| BlockHeader::peek(&block).unwrap().last().0)
}

fn fold(records: &[(u64, Count)]) -> Counts {
    let mut state = Counts::default();
    records.iter().for_each(|(time, record)| state.take(*time, std::slice::from_ref(record)));
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Cut the power after any event of the disk, with any part of the unsynced writes left: recovery gives the fold
    /// of a prefix that holds all that was published; the same again when the recovery is cut.
    #[test]
    fn recovery_from_any_moment_is_the_fold_of_a_prefix(
        acts in prop::collection::vec(act(), 1..60),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 12),
    ) {
        let disk = MemoryDisk::new();
        drop(on(&disk));
        disk.record();
        let Recovered { mut journal, state: mut live, .. } = on(&disk);
        let all = perform(&mut journal, &mut live, acts);
        journal.close().unwrap();
        prop_assert_eq!(&fold(&all), &live);
        let events = disk.events().len();
        for (at, seed) in cuts {
            let at = at.index(events) + 1;
            let cut = disk.power_cut_at(at, Survive::Some(seed));
            cut.record();
            let promised = promised(&disk, at);
            let first = on(&cut);
            let last = first.recovery.last.0;
            prop_assert!(last >= promised, "{} of {} promised at {}", last, promised, at);
            prop_assert_eq!(&first.state, &fold(&all[..last as usize]));
            drop(first);
            let again = cut.power_cut_at((seed % 7) as usize, Survive::Some(!seed));
            let Recovered { journal, state, recovery, .. } = on(&again);
            prop_assert!(recovery.last.0 >= promised);
            prop_assert_eq!(&state, &fold(&all[..recovery.last.0 as usize]));
            prop_assert_eq!(journal.next_seq(), recovery.last.next());
        }
    }
}

//! Elections among simulated peers: messages late, out of order, repeated, lost; peers that die at any moment; a
//! warehouse that grants the office to one at a time. Everything follows from one seed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Effect, Election, Message, Vacancy};
use crate::types::{Now, PeerId, Seq};

/// The office as somebody knows it; the higher version wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Roster {
    version: u64,
    holder: Option<PeerId>,
}

impl Roster {
    fn vacancy(self, others: &BTreeSet<PeerId>) -> Option<Vacancy> {
        self.holder.is_none().then(|| Vacancy { since: Seq(self.version), rivals: others.clone() })
    }
}

#[derive(Clone, Debug)]
enum Event {
    Deliver {
        from: PeerId,
        to: PeerId,
        message: Message,
        roster: Roster,
    },
    Timer {
        peer: PeerId,
        life: u32,
        token: u64,
    },
    Unreachable {
        at: PeerId,
        peer: PeerId,
    },
    Push {
        to: PeerId,
        roster: Roster,
    },
    Claim {
        peer: PeerId,
        life: u32,
    },
    ClaimAnswered {
        peer: PeerId,
        life: u32,
        granted: bool,
        roster: Roster,
    },
    ClaimLost {
        peer: PeerId,
        life: u32,
    },
    Die(PeerId),
    Start(PeerId),
    /// The warehouse sees that the holder is gone.
    Missed(PeerId),
}

struct Peer {
    election: Election,
    roster: Roster,
    life: u32,
}

/// How the network behaves.
#[derive(Clone, Copy)]
struct Weather {
    delay_max_ms: u64,
    lost_percent: u8,
    repeated_percent: u8,
}

/// A question and its answer are within the OK timer, and nothing is lost: what Bully assumes.
const FAIR: Weather = Weather { delay_max_ms: 90, lost_percent: 0, repeated_percent: 30 };
const FOUL: Weather = Weather { delay_max_ms: 3_000, lost_percent: 30, repeated_percent: 30 };

struct World {
    rng: fastrand::Rng,
    weather: Weather,
    now: Now,
    events: BTreeMap<(Now, u64), Event>,
    event_count: u64,
    everyone: BTreeSet<PeerId>,
    live: BTreeMap<PeerId, Peer>,
    lives: u32,
    office: Roster,
    sent: BTreeMap<Message, usize>,
    grants: usize,
}

impl World {
    fn new(seed: u64, peers: u32, weather: Weather) -> World {
        let rng = fastrand::Rng::with_seed(seed);
        let everyone = (1..=peers).map(PeerId).collect();
        let (events, live, sent) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let office = Roster::default();
        let mut world = World {
            rng,
            weather,
            now: Now(0),
            events,
            event_count: 0,
            everyone,
            live,
            lives: 0,
            office,
            sent,
            grants: 0,
        };
        world.everyone.clone().into_iter().for_each(|peer| world.start(peer));
        world
    }

    fn percent(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    fn at(&mut self, at: Now, event: Event) {
        self.event_count += 1;
        self.events.insert((at, self.event_count), event);
    }

    fn soon(&mut self, event: Event) {
        let delay_ms = self.rng.u64(0..=self.weather.delay_max_ms);
        self.at(self.now.after_ms(delay_ms), event);
    }

    fn start(&mut self, peer: PeerId) {
        self.lives += 1;
        let election = Election::new(peer);
        let fresh = Peer { election, roster: Roster::default(), life: self.lives };
        self.live.entry(peer).or_insert(fresh);
    }

    /// A new roster goes to everybody whose control stream stands; a late one may be overtaken.
    fn push_roster(&mut self) {
        let roster = self.office;
        for to in self.everyone.clone() {
            self.soon(Event::Push { to, roster });
        }
    }

    fn vacate(&mut self) {
        self.office = Roster { version: self.office.version + 1, holder: None };
        self.push_roster();
    }

    fn run(&mut self, until: Now) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= until
        {
            let ((now, _), event) = entry.remove_entry();
            assert!(self.event_count < 100_000, "the election never ends");
            self.now = now;
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message, roster } => self.deliver(from, to, message, roster),
            Event::Timer { peer, life, token } => self.step(peer, Some(life), |peer, now, _| {
                let may_stand = peer.roster.holder.is_none();
                peer.election.timer(now, token, may_stand)
            }),
            Event::Unreachable { at, peer: gone } => {
                self.step(at, None, |peer, now, _| {
                    let may_stand = peer.roster.holder.is_none();
                    peer.election.unreachable(now, gone, may_stand)
                });
            }
            Event::Push { to, roster } => {
                self.step(to, None, |peer, now, others| peer.learn(now, roster, others))
            }
            Event::Claim { peer, life } => self.claimed(peer, life),
            Event::ClaimAnswered { peer, life, granted, roster } => {
                self.claim_answered(peer, life, granted, roster)
            }
            Event::ClaimLost { peer, life } => {
                self.step(peer, Some(life), |peer, now, _| peer.election.refused(now))
            }
            Event::Die(peer) => self.die(peer),
            Event::Start(peer) => {
                self.start(peer);
                let roster = self.office;
                self.soon(Event::Push { to: peer, roster });
            }
            Event::Missed(peer) if self.office.holder == Some(peer) => self.vacate(),
            Event::Missed(_) => {}
        }
    }

    /// Runs one input through a live peer (of this life, if it matters) and carries its effects out.
    fn step(
        &mut self,
        id: PeerId,
        life: Option<u32>,
        input: impl FnOnce(&mut Peer, Now, &BTreeSet<PeerId>) -> Vec<Effect>,
    ) {
        let others = self.everyone.iter().copied().filter(|&other| other != id).collect();
        let Some(peer) = self.live.get_mut(&id).filter(|peer| life.is_none_or(|life| life == peer.life))
        else {
            return;
        };
        let effects = input(peer, self.now, &others);
        let (roster, life) = (peer.roster, peer.life);
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(id, to, message, roster),
                Effect::SetTimer { at, token } => self.at(at, Event::Timer { peer: id, life, token }),
                Effect::Claim if self.percent(self.weather.lost_percent) => {
                    self.soon(Event::ClaimLost { peer: id, life })
                }
                Effect::Claim => self.soon(Event::Claim { peer: id, life }),
            }
        }
    }

    fn send(&mut self, from: PeerId, to: PeerId, message: Message, roster: Roster) {
        *self.sent.entry(message).or_default() += 1;
        if !self.percent(self.weather.lost_percent) {
            self.soon(Event::Deliver { from, to, message, roster });
        }
        if self.percent(self.weather.repeated_percent) {
            self.soon(Event::Deliver { from, to, message, roster });
        }
    }

    fn deliver(&mut self, from: PeerId, to: PeerId, message: Message, roster: Roster) {
        if !self.live.contains_key(&to) && self.rng.bool() {
            return self.soon(Event::Unreachable { at: from, peer: to });
        }
        self.step(to, None, |peer, now, others| {
            let mut effects = peer.learn(now, roster, others);
            effects.extend(peer.election.received(now, from, message, peer.roster.vacancy(others)));
            effects
        });
    }

    /// The warehouse grants a vacant office, and the same again to its holder. A dead claimant's claim counts too.
    fn claimed(&mut self, peer: PeerId, life: u32) {
        let granted = self.office.holder.is_none_or(|holder| holder == peer);
        if self.office.holder.is_none() {
            self.grants += 1;
            self.office = Roster { version: self.office.version + 1, holder: Some(peer) };
            self.push_roster();
        }
        if !self.live.contains_key(&peer) {
            self.soon(Event::Missed(peer));
        }
        let roster = self.office;
        self.soon(Event::ClaimAnswered { peer, life, granted, roster });
    }

    fn claim_answered(&mut self, peer: PeerId, life: u32, granted: bool, roster: Roster) {
        let everyone = self.everyone.clone();
        self.step(peer, Some(life), |peer, now, others| {
            let holds = granted && peer.roster.version <= roster.version;
            let mut effects =
                if holds { peer.election.granted(&everyone) } else { peer.election.refused(now) };
            effects.extend(peer.learn(now, roster, others));
            effects
        });
    }

    fn die(&mut self, peer: PeerId) {
        self.live.remove(&peer);
        self.soon(Event::Missed(peer));
        for at in self.everyone.clone() {
            if self.rng.bool() {
                self.soon(Event::Unreachable { at, peer });
            }
        }
    }

    fn sent(&self, message: Message) -> usize {
        self.sent.get(&message).copied().unwrap_or_default()
    }

    fn highest(&self) -> Option<PeerId> {
        self.live.keys().next_back().copied()
    }

    fn rounds_running(&self) -> Vec<PeerId> {
        let running = |peer: &&Peer| peer.election.phase != super::Phase::Resting;
        self.live.values().filter(running).map(|peer| peer.election.me).collect()
    }
}

impl Peer {
    fn learn(&mut self, now: Now, roster: Roster, others: &BTreeSet<PeerId>) -> Vec<Effect> {
        if roster.version <= self.roster.version {
            return Vec::new();
        }
        self.roster = roster;
        match roster.vacancy(others) {
            Some(vacancy) => self.election.vacant(now, vacancy),
            None => {
                self.election.filled();
                Vec::new()
            }
        }
    }
}

const LONG: u64 = 60_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Some are dead from the start, unknown to the rest; not even the highest need see the vacancy by itself.
    #[test]
    fn the_highest_live_peer_wins_in_one_round_each(seed: u64, peers in 1..7_u32, dead in 0..128_u32, survivor in 0..6_u32, aware in 0..128_u32) {
        let mut world = World::new(seed, peers, FAIR);
        world.live.retain(|peer, _| dead & (1 << peer.0) == 0 || peer.0 == 1 + survivor % peers);
        world.office.version = 1;
        let mut pushed: Vec<PeerId> = world.live.keys().copied().filter(|peer| aware & (1 << peer.0) != 0).collect();
        pushed.extend(world.live.keys().next().copied());
        for to in pushed {
            let roster = world.office;
            world.soon(Event::Push { to, roster });
        }
        world.run(Now(LONG));
        prop_assert_eq!(world.office.holder, world.highest());
        prop_assert_eq!(world.grants, 1);
        prop_assert_eq!(world.rounds_running(), vec![]);
        prop_assert!(world.live.values().all(|peer| peer.election.rounds() <= 1));
        let (n, repeats) = (peers as usize, 2);
        prop_assert!(world.sent(Message::Election) <= n * (n - 1) / 2);
        prop_assert!(world.sent(Message::Ok) <= repeats * world.sent(Message::Election));
        prop_assert_eq!(world.sent(Message::Coordinator), n - 1);
    }

    /// Peers die while the round runs, holders among them.
    #[test]
    fn deaths_in_mid_round_leave_the_highest_of_the_living(
        seed: u64,
        peers in 2..7_u32,
        deaths in prop::collection::vec((1..7_u32, 0..3_000_u64), 0..6),
    ) {
        let mut world = World::new(seed, peers, FAIR);
        world.vacate();
        for (peer, at) in deaths {
            if peer != 1 {
                world.at(Now(at), Event::Die(PeerId(peer)));
            }
        }
        world.run(Now(LONG));
        prop_assert_eq!(world.office.holder, world.highest());
        prop_assert_eq!(world.rounds_running(), vec![]);
    }

    /// Ten seconds in which anything may be late, lost or repeated and peers die and come back; then fair weather. The
    /// office is filled by somebody alive, all rounds end, and the next vacancy goes to the highest.
    #[test]
    fn foul_weather_delays_an_election_and_does_not_wedge_it(
        seed: u64,
        peers in 1..7_u32,
        changes in prop::collection::vec((1..7_u32, 0..10_000_u64, any::<bool>()), 0..12),
    ) {
        let mut world = World::new(seed, peers, FOUL);
        world.vacate();
        for (peer, at, dies) in changes {
            let peer = PeerId(1 + peer % peers);
            world.at(Now(at), if dies { Event::Die(peer) } else { Event::Start(peer) });
        }
        world.at(Now(10_000), Event::Start(PeerId(1)));
        world.run(Now(10_000));
        world.weather = FAIR;
        world.run(Now(LONG));
        prop_assert!(world.office.holder.is_some_and(|holder| world.live.contains_key(&holder)));
        prop_assert_eq!(world.rounds_running(), vec![]);
        world.vacate();
        world.run(Now(2 * LONG));
        prop_assert_eq!(world.office.holder, world.highest());
        prop_assert_eq!(world.rounds_running(), vec![]);
    }

    /// Only the last timer set counts, whatever happened before.
    #[test]
    fn stale_timers_do_nothing(steps in prop::collection::vec((0..8_u8, 1..7_u32), 0..40)) {
        let rivals: BTreeSet<PeerId> = [1, 2, 4, 5, 6].map(PeerId).into();
        let mut election = Election::new(PeerId(3));
        let (mut now, mut tokens) = (Now(0), Vec::new());
        for (step, peer) in steps {
            now = now.after_ms(7);
            let vacancy = Vacancy { since: Seq(u64::from(peer / 4)), rivals: rivals.clone() };
            let peer = PeerId(peer);
            let effects = match step {
                0 => election.vacant(now, vacancy),
                1 => election.received(now, peer, Message::Election, Some(vacancy)),
                2 => election.received(now, peer, Message::Ok, Some(vacancy)),
                3 => election.received(now, peer, Message::Coordinator, Some(vacancy)),
                4 => election.unreachable(now, peer, peer.0.is_multiple_of(2)),
                5 => election.refused(now),
                6 => tokens.last().map_or(vec![], |&token| election.timer(now, token, !peer.0.is_multiple_of(3))),
                _ => {
                    election.filled();
                    vec![]
                }
            };
            tokens.extend(effects.iter().filter_map(|effect| match effect {
                Effect::SetTimer { token, .. } => Some(*token),
                _ => None,
            }));
            let before = format!("{election:?}");
            for &token in tokens.iter().rev().skip(1) {
                prop_assert_eq!(election.timer(now, token, true), vec![]);
            }
            prop_assert_eq!(before, format!("{election:?}"));
        }
    }
}

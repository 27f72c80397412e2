//! Who may be connected: a bound for all, one for each address, and what happens where it is reached.
//!
//! A connection is *silent* until its first message is understood: a request whole, or the first word of a stream. Where
//! there is no place for a newcomer, the connection that has been silent for longest makes room. So whoever opens
//! connections and says nothing keeps nobody out: who has something to say has said it within milliseconds, long before
//! he is the one who has been silent for longest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tonic::Extensions;

use crate::limits::{CONNECTIONS_LEAVING_MAX, CONNECTIONS_PER_ADDRESS_MAX};

/// Who is at the other end of a connection, and whether it has said anything yet. Every request has a copy in its
/// extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller(Arc<State>);

#[derive(Debug, Default)]
struct State {
    addr: Option<SocketAddr>,
    spoken: AtomicBool,
    /// The connection is to make room.
    leave: Notify,
}

impl Caller {
    pub(super) fn at(addr: SocketAddr) -> Caller {
        Caller(Arc::new(State { addr: Some(addr), ..State::default() }))
    }

    /// The caller of a request.
    pub(super) fn of(extensions: &Extensions) -> Caller {
        // A test that calls a service by hand has no connection.
        extensions.get::<Caller>().cloned().unwrap_or_default()
    }

    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.0.addr
    }

    /// Something that it said was understood.
    pub(super) fn spoke(&self) {
        self.0.spoken.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_spoken(&self) -> bool {
        self.0.spoken.load(Ordering::Relaxed)
    }

    /// Resolves when the connection is to make room for another one.
    pub(super) async fn told_to_leave(&self) {
        self.0.leave.notified().await;
    }
}

/// Those that share a bound. None: processes of this machine, which are bounded by the bound of all alone. A whole market
/// on one machine, its load included, comes from one address.
type Address = Option<IpAddr>;

/// Who a connection comes from, by the addresses of its two ends.
pub(super) fn from(theirs: IpAddr, ours: Option<IpAddr>) -> Address {
    let theirs = theirs.to_canonical();
    if theirs.is_loopback() || ours.is_some_and(|ours| ours.to_canonical() == theirs) {
        return None;
    }
    Some(match theirs {
        IpAddr::V4(_) => theirs,
        // Whoever has one address of IPv6 has 2^64 of them.
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() >> 64 << 64).into(),
    })
}

/// The places of a node.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    most: usize,
    taken: usize,
    by_address: BTreeMap<IpAddr, usize>,
    /// Those that were told to make room, and still have their place.
    leaving: BTreeSet<u64>,
    /// By arrival. Those that have spoken since are taken out when room is looked for.
    silent: BTreeMap<u64, (Address, Caller)>,
    arrivals: u64,
}

impl Places {
    /// Places for so many.
    pub(super) fn new(most: usize) -> Places {
        Places(Arc::new(Mutex::new(Table { most, ..Table::default() })))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a newcomer. None: all are taken by others that have spoken.
    pub(super) fn take(&self, from: Address, caller: Caller) -> Option<Place> {
        let number = self.table().take(from, caller.clone())?;
        Some(Place { places: self.clone(), number, from, caller })
    }
}

impl Table {
    fn take(&mut self, from: Address, caller: Caller) -> Option<u64> {
        let of_address = from.and_then(|it| self.by_address.get(&it)).copied().unwrap_or_default();
        let crowded = of_address >= CONNECTIONS_PER_ADDRESS_MAX;
        if (crowded && !self.make_room(|it| it == from))
            || (!crowded && self.taken >= self.most && !self.make_room(|_| true))
        {
            return None;
        }
        self.taken += 1;
        if let Some(address) = from {
            *self.by_address.entry(address).or_default() += 1;
        }
        self.arrivals += 1;
        self.silent.insert(self.arrivals, (from, caller));
        Some(self.arrivals)
    }

    /// Tells the connection to leave that has been silent for longest.
    fn make_room(&mut self, among: impl Fn(Address) -> bool) -> bool {
        self.silent.retain(|_, (_, caller)| !caller.has_spoken());
        let oldest = self.silent.iter().find(|(_, (from, _))| among(*from)).map(|(number, _)| *number);
        // Those that leave still have their descriptors.
        let Some(number) = oldest.filter(|_| self.leaving.len() < CONNECTIONS_LEAVING_MAX) else {
            return false;
        };
        if let Some((_, caller)) = self.silent.remove(&number) {
            caller.0.leave.notify_one();
        }
        self.leaving.insert(number)
    }

    fn give_back(&mut self, place: &Place) {
        self.taken -= 1;
        self.silent.remove(&place.number);
        self.leaving.remove(&place.number);
        if let Some(address) = place.from
            && let Some(taken) = self.by_address.get_mut(&address)
        {
            *taken -= 1;
            if *taken == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A place that is taken; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    from: Address,
    pub(super) caller: Caller,
}

impl Place {
    /// It was told to leave, or its time was up, just when it spoke: it stays.
    pub(super) fn stays(&self) -> bool {
        let stays = self.caller.has_spoken();
        if stays {
            self.places.table().leaving.remove(&self.number);
        }
        stays
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().give_back(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        from(text.parse().unwrap(), None)
    }

    fn take(places: &Places, from: Address) -> Option<Place> {
        places.take(from, Caller::default())
    }

    /// Whether a connection was told to leave; asked once.
    async fn leaves(place: &Place) -> bool {
        tokio::select! {
            biased;
            () = place.caller.told_to_leave() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[test]
    fn who_shares_a_bound() {
        let at = |theirs: &str, ours: &str| from(theirs.parse().unwrap(), Some(ours.parse().unwrap()));
        assert_eq!(at("127.0.0.1", "127.4.5.6"), None);
        assert_eq!(at("::1", "::1"), None);
        assert_eq!(at("::ffff:127.0.0.1", "::ffff:127.0.0.1"), None);
        assert_eq!(
            at("10.0.0.7", "10.0.0.7"),
            None,
            "a process of this machine, by its address on the network"
        );
        assert_eq!(at("10.0.0.8", "10.0.0.7"), address("10.0.0.8"));
        assert_eq!(at("::ffff:10.0.0.8", "::ffff:10.0.0.7"), address("10.0.0.8"));
        assert_eq!(address("fd00::1"), address("fd00::2"));
        assert_ne!(address("fd00::1"), address("fd00:0:0:1::1"));
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_longest_silence() {
        let places = Places::new(3);
        let all: Vec<Place> = (0..3).map(|_| take(&places, None).unwrap()).collect();
        all[0].caller.spoke();
        let newcomer = take(&places, None).unwrap();
        assert_eq!(
            [leaves(&all[0]).await, leaves(&all[1]).await, leaves(&all[2]).await],
            [false, true, false]
        );
        assert!(!leaves(&newcomer).await);
        for place in [&all[2], &newcomer] {
            place.caller.spoke();
        }
        assert!(take(&places, None).is_none(), "all have spoken");
        drop(all);
        assert!(take(&places, None).is_some());
    }

    #[tokio::test]
    async fn who_spoke_when_it_was_told_to_leave_stays() {
        let places = Places::new(1);
        for _ in 0..2 * CONNECTIONS_LEAVING_MAX {
            let place = take(&places, None).unwrap();
            drop(take(&places, None).unwrap());
            place.caller.spoke();
            assert!(leaves(&place).await && place.stays());
        }
    }

    #[test]
    fn those_that_are_leaving_are_not_counted_on_without_end() {
        let places = Places::new(1);
        let all: Vec<_> = (0..).map_while(|_| take(&places, None)).take(100).collect();
        assert_eq!(all.len(), 1 + CONNECTIONS_LEAVING_MAX);
        drop(all);
        assert!(take(&places, None).is_some());
    }

    #[tokio::test]
    async fn one_address_has_its_bound_and_takes_nobody_elses_place() {
        let places = Places::new(CONNECTIONS_PER_ADDRESS_MAX * 2);
        let first = take(&places, address("10.0.0.9")).unwrap();
        let crowd: Vec<_> =
            (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| take(&places, address("10.0.0.8")).unwrap()).collect();
        crowd[1..].iter().for_each(|place| place.caller.spoke());
        let newcomer = take(&places, address("10.0.0.8")).unwrap();
        assert!(leaves(&crowd[0]).await && !leaves(&first).await);
        newcomer.caller.spoke();
        drop(crowd.into_iter().next());
        assert!(take(&places, None).is_some(), "this machine's processes have no bound of their own");
    }
}

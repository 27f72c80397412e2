//! Lookups that come by and go on: see [`crate::model::lookup`].
//!
//! A peer passes a lookup on if it has not seen it with so many hops left: one that came a longer way first must not end
//! what comes by a shorter one, or a limit of hops would reach less than it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::facts::Cx;
use super::rooms::Rooms;
use crate::limits::{HOPS_MAX, LOOKUP_HOP_MS, LOOKUPS_MAX};
use crate::model::call::{Answer, Refusal};
use crate::model::lookup::{Found, Lookup, LookupAnswer};
use crate::model::message::PeerWord;
use crate::model::step::ReplyId;
use crate::types::{Now, PeerId, ProductId, Role};

/// Who waits for what is found.
enum Asker {
    Person(ReplyId),
    Peer(PeerId, u64),
}

/// A lookup that is being passed on.
struct Pending {
    asker: Asker,
    /// Questions that are not answered, and whom they went to.
    open: BTreeMap<u64, PeerId>,
    found: Found,
    until: Now,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Lookups {
    /// Numbers questions, and lookups that begin here.
    last: u64,
    pending: Vec<Pending>,
    /// With how many hops left each lookup was seen here, the oldest first.
    seen: VecDeque<((PeerId, u64), u32)>,
}

impl Lookups {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.pending.iter().map(|pending| pending.until).min()
    }

    /// Whether it comes with more hops left than it came before. Of too many the oldest are forgotten.
    fn is_news(&mut self, of: (PeerId, u64), hops: u32) -> bool {
        if let Some((_, seen)) = self.seen.iter_mut().find(|(seen, _)| *seen == of) {
            return hops > std::mem::replace(seen, hops.max(*seen));
        }
        if self.seen.len() >= LOOKUPS_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back((of, hops));
        true
    }

    /// Questions to this peer have no answer any more.
    pub(super) fn lost(&mut self, peer: PeerId) {
        self.pending.iter_mut().for_each(|pending| pending.open.retain(|_, to| *to != peer));
    }
}

impl Rooms {
    /// A person asks this peer who sells a good.
    pub(super) fn find(&mut self, cx: &mut Cx<'_>, good: &str, hops: u32, reply: ReplyId) {
        let Some(product) = cx.goods.iter().position(|(name, _)| name == good) else {
            return cx.reply(reply, Err(Refusal::Invalid(format!("no such good: {good}"))));
        };
        if hops > HOPS_MAX {
            let text = format!("a lookup goes at most {HOPS_MAX} hops, not {hops}");
            return cx.reply(reply, Err(Refusal::Invalid(text)));
        }
        // Others remember a lookup by its number: it is none of an earlier process.
        let (token, nonce) = (0, cx.me.process.random.wrapping_add(self.lookups.next()));
        let product = ProductId(product as u16);
        let lookup = Lookup { token, nonce, product, hops, path: Vec::new() };
        self.look(cx, Asker::Person(reply), lookup);
    }

    /// A neighbour asks.
    pub(super) fn asked_for(&mut self, cx: &mut Cx<'_>, from: PeerId, lookup: Lookup) {
        let way = lookup.path.len();
        if lookup.path.last() != Some(&from) || way + lookup.hops as usize > HOPS_MAX as usize {
            tracing::warn!(%from, way, hops = lookup.hops, "a lookup that makes no sense");
            return;
        }
        let token = lookup.token;
        self.look(cx, Asker::Peer(from, token), lookup);
    }

    fn look(&mut self, cx: &mut Cx<'_>, asker: Asker, lookup: Lookup) {
        let Lookup { nonce, product, hops, mut path, .. } = lookup;
        let (me, origin) = (cx.me.id, path.first().copied().unwrap_or(cx.me.id));
        let mut pending = Pending {
            asker,
            open: BTreeMap::new(),
            found: Found::default(),
            until: cx.now().after_ms(u64::from(hops + 1) * LOOKUP_HOP_MS),
        };
        let full = self.lookups.pending.len() >= LOOKUPS_MAX;
        if !full && !path.contains(&me) && self.lookups.is_news((origin, nonce), hops) {
            let come_by: BTreeSet<PeerId> = path.iter().copied().collect();
            path.push(me);
            let sells = cx.me.role == Role::Seller && cx.term().is_none();
            pending.found.sellers.extend(sells.then(|| path.clone()));
            pending.found.reached.push(me);
            if hops > 0 {
                let on = Lookup { token: 0, nonce, product, hops: hops - 1, path };
                self.pass_on(cx, &mut pending, &come_by, &on);
            }
        }
        self.lookups.pending.push(pending);
        self.answer_lookups(cx);
    }

    fn pass_on(&mut self, cx: &mut Cx<'_>, pending: &mut Pending, come_by: &BTreeSet<PeerId>, on: &Lookup) {
        for peer in self.links.neighbours().filter(|peer| !come_by.contains(peer)).collect::<Vec<_>>() {
            let token = self.lookups.next();
            let word = PeerWord::Lookup(Box::new(Lookup { token, ..on.clone() }));
            if self.links.tell(cx, peer, word) {
                pending.open.insert(token, peer);
                pending.found.lookups += 1;
            }
        }
    }

    /// A neighbour answers. What it found counts once, and only from whom was asked.
    pub(super) fn found(&mut self, cx: &mut Cx<'_>, from: PeerId, answer: LookupAnswer) {
        let LookupAnswer { token, found } = answer;
        let asked = self.lookups.pending.iter_mut().find(|it| it.open.get(&token) == Some(&from));
        let Some(pending) = asked else { return };
        pending.open.remove(&token);
        pending.found.add(found);
        self.answer_lookups(cx);
    }

    /// Answers those of which all is known, and those that have waited too long with what is known.
    pub(super) fn answer_lookups(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        let done = |it: &Pending| it.open.is_empty() || it.until <= now;
        let (done, pending) = std::mem::take(&mut self.lookups.pending).into_iter().partition(done);
        self.lookups.pending = pending;
        for Pending { asker, found, .. } in done as Vec<Pending> {
            match asker {
                Asker::Person(reply) => cx.reply(reply, Ok(Answer::Found(Box::new(found)))),
                Asker::Peer(peer, token) => {
                    cx.tell(peer, PeerWord::LookupAnswer(Box::new(LookupAnswer { token, found })));
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn lookup_replies(&self) -> impl Iterator<Item = ReplyId> {
        self.lookups.pending.iter().filter_map(|pending| match pending.asker {
            Asker::Person(reply) => Some(reply),
            Asker::Peer(..) => None,
        })
    }
}

#[cfg(test)]
mod tests;

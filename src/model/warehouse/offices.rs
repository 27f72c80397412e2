//! The two offices: claims, fences, pairs, resignations, and the roster that tells of them.

use super::{Denied, Warehouse};
use crate::model::call::Answer;
use crate::model::evidence::Licence;
use crate::model::hello::Hello;
use crate::model::market::Holder;
use crate::model::offices::{Frozen, Grant, Roster, Seat};
use crate::model::row::Record;
use crate::model::step::{At, Turn};
use crate::types::{Consistency, Now, Office, PeerId, ProcessId, Term, WallMicros};

/// An office that its holder gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The grant.
    pub term: Term,
    /// The peer that it goes to; 0: nobody.
    pub to: PeerId,
    /// The holder is not to be elected again for a while.
    pub pass_over: bool,
}

impl Warehouse {
    /// A peer asks for an office. Idempotent per process. Denied: nothing changed.
    pub(super) fn claim(
        &mut self,
        at: At,
        hello: &Hello,
        office: Office,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        if peer > PeerId::PEER_MAX || peer == PeerId::WAREHOUSE {
            return Err(Denied::NotEligible(peer));
        }
        if self.presence.process_of(peer) != Some(hello.process) {
            return Err(Denied::NotPresent(peer));
        }
        let holder = self.market.offices.get(office).copied();
        if let Some(grant) = &holder {
            if grant.peer == peer && grant.process == hello.process {
                return Ok(());
            }
            if self.presence.sees(grant, at.now) {
                return Err(Denied::Held { office, holder: grant.peer });
            }
        }
        if self.presence.passed_over(at.now).contains(&peer) {
            return Err(Denied::PassedOver(peer));
        }
        if let Some(grant) = &holder {
            self.end_term(at.time, grant, peer, turn);
        }
        self.grant(at.time, office, peer, hello.process, turn);
        Ok(())
    }

    /// Ends a term, on the word of its paired partner or of the holder's peer. Ended already: nothing to do. Denied:
    /// nothing changed.
    pub(super) fn fence(
        &mut self,
        at: At,
        hello: &Hello,
        term: Term,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        let offices = &self.market.offices;
        let Some(grant) = offices.present(term).copied() else { return Ok(()) };
        // A secondary that could not be brought up to date is no partner: it may not fence the primary, but the primary
        // may fence it.
        let office = offices.held_by(peer).filter(|own| own.process == hello.process);
        let partner = office.is_some_and(|own| offices.paired || own.office == Office::Primary);
        if grant.peer != peer && !partner {
            return Err(Denied::NotPartner(term));
        }
        if grant.peer != peer && !offices.paired {
            self.presence.pass_over(at.now, &grant);
        }
        self.end_term(at.time, &grant, peer, turn);
        Ok(())
    }

    /// The holder gives its office up, to the live process of a successor if it names one. Denied: nothing changed.
    pub(super) fn resign(
        &mut self,
        at: At,
        hello: &Hello,
        given_up: GivenUp,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let GivenUp { term, to, pass_over } = given_up;
        let peer = self.authenticate(hello)?;
        let Some(grant) = self.market.offices.present(term).copied() else { return Ok(()) };
        if grant.peer != peer {
            return Err(Denied::NotPartner(term));
        }
        if pass_over {
            self.presence.pass_over(at.now, &grant);
        }
        self.end_term(at.time, &grant, peer, turn);
        let successor = self.presence.process_of(to).filter(|_| to <= PeerId::PEER_MAX);
        if let Some(process) = successor {
            self.grant(at.time, grant.office, to, process, turn);
        }
        Ok(())
    }

    /// The primary says that the secondary holds all that it has accepted: from now on they are partners, share the
    /// peers, and each may fence the other. Denied if one of the terms is not the present grant, or the caller is not
    /// the primary; then nothing changed.
    pub(super) fn pair(
        &mut self,
        at: At,
        hello: &Hello,
        term: Term,
        partner_term: Term,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let trader = self.authenticate(hello)?;
        let offices = &self.market.offices;
        let primary =
            offices.primary.filter(|it| it.term == term && it.peer == trader && it.process == hello.process);
        let secondary = offices.secondary.filter(|it| it.term == partner_term);
        let (Some(_), Some(secondary)) = (primary, secondary) else {
            return Err(Denied::NotPartner(partner_term));
        };
        if !offices.paired {
            let (partner, clock) = (secondary.peer, self.clock.tick());
            self.record(at.time, Record::Paired { trader, term, partner, partner_term, clock }, turn);
        }
        Ok(())
    }

    /// From here on traders answer in another mode, under other terms: what was decided in a term is settled as its mode
    /// says. Gives the mode before, and the row of the change, if it is one.
    pub(super) fn answer_in_mode(&mut self, at: At, mode: Consistency, turn: &mut Turn<Record>) -> Answer {
        let before = self.market.mode;
        self.change_mode(at.time, mode, turn);
        Answer::Mode(before, Some(self.market.seq).filter(|_| mode != before))
    }

    pub(super) fn change_mode(&mut self, time: WallMicros, mode: Consistency, turn: &mut Turn<Record>) {
        if mode == self.market.mode {
            return;
        }
        for grant in self.market.offices.grants().copied().collect::<Vec<Grant>>() {
            self.end_term(time, &grant, PeerId::WAREHOUSE, turn);
        }
        let clock = self.clock.tick();
        self.record(time, Record::Mode { mode, clock }, turn);
    }

    pub(super) fn end_term(&mut self, time: WallMicros, grant: &Grant, by: PeerId, turn: &mut Turn<Record>) {
        let Grant { office, peer: trader, term, .. } = *grant;
        let clock = self.clock.tick();
        self.record(time, Record::Fence { office, trader, term, by, clock }, turn);
    }

    fn grant(
        &mut self,
        time: WallMicros,
        office: Office,
        trader: PeerId,
        process: ProcessId,
        turn: &mut Turn<Record>,
    ) {
        // The peers of a secondary are at home with a primary that is not its partner: what it decided for them meanwhile
        // must not be decided again.
        let left = self.market.offices.secondary.filter(|it| office == Office::Primary && it.peer != trader);
        if let Some(left) = left.filter(|it| self.market.holder(it.term).is_some()) {
            self.end_term(time, &left, trader, turn);
        }
        let term = Term(self.market.offices.last_term.0 + 1);
        let clock = self.clock.tick();
        self.record(time, Record::Office { office, trader, process, term, clock }, turn);
        self.holders.insert(trader);
    }

    /// Terms that are to be reported, and by whose stores they can be.
    fn frozen(&self) -> Vec<Frozen> {
        let frozen = self.market.frozen();
        let who = |(term, it): (Term, &Holder)| Frozen { term, trader: it.trader.0, partner: it.partner.0 };
        frozen.map(who).collect()
    }

    /// Signed once: the roster is made anew in each turn.
    fn licence(&self, grant: &Grant) -> Option<Box<Licence>> {
        let known = self.roster.seats().find(|seat| (seat.peer, seat.term) == (grant.peer, grant.term));
        let signed = || self.signer.as_ref().map(|signer| Box::new(signer.licence(grant.peer, grant.term)));
        known.and_then(|seat| seat.licence.clone()).or_else(signed)
    }

    /// The offices as of now. A higher version than last time means that there is something to tell.
    pub(super) fn roster(&mut self, now: Now) -> &Roster {
        let offices = &self.market.offices;
        let seat = |grant: &Grant| Seat {
            peer: grant.peer,
            process: grant.process,
            term: grant.term,
            present: self.presence.sees(grant, now),
            addr: self.presence.addr_of(grant.peer),
            licence: self.licence(grant),
        };
        let roster = Roster {
            generation: self.market.generation,
            seq: offices.seq,
            version: self.roster.version,
            primary: offices.primary.as_ref().map(seat),
            secondary: offices.secondary.as_ref().map(seat),
            paired: offices.paired,
            mode: self.market.mode,
            frozen: self.frozen(),
            passed_over: self.presence.passed_over(now),
        };
        if roster != self.roster {
            self.roster = Roster { version: self.roster.version + 1, ..roster };
        }
        &self.roster
    }
}

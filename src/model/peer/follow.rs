//! What follows from a new roster, grant or membership: in one fixed order, once per input.
//!
//! | what changed | what follows |
//! | --- | --- |
//! | the warehouse was restored | the cache forgets its levels; the line home, of the lost session, is given up |
//! | this process has another name | the others are told |
//! | the warehouse has told of peers | they are members; links to those that moved are dialed anew; links that waited for it come in |
//! | this process's grant | the old term ends: its desk closes, people who asked for that are told; then the new one begins: settle stream, cache, and the shopper pauses; without one the shopper goes on; a takeover is announced |
//! | others show a newer roster | the warehouse is asked |
//! | the roster | the line home; the partner that is watched; the stream to the other trader; mirrors of terms that are over are adopted; the offices are looked at; what ended terms had sold is reported; orders of ended terms go to their homes |
//! | the session | neighbours are dialed (without a session nobody could vouch for this peer); the line home; orders of ended terms |
//!
//! The order matters: a term ends before the next one begins, since one office is given up by taking the other; the grant
//! comes before the streams that show it; the mirrors come last, since what is adopted belongs to terms that ended.

use super::facts::{Cx, News};
use super::rooms::Rooms;
use crate::model::happening::What;
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::types::{Office, PeerId, Term};

impl Rooms {
    pub(super) fn follow(&mut self, cx: &mut Cx<'_>) {
        let News { roster, session, generation, process, offices, hinted, introduced } =
            std::mem::take(&mut cx.news);
        if generation {
            self.cache.forget();
            self.shop.leave_home(cx);
        }
        if process {
            self.gossip.add(cx.me.id, cx.me.id);
            self.spread_news(cx);
        }
        let told = !introduced.is_empty();
        if told {
            self.introduced(cx, introduced);
        }
        if session {
            self.links.dial_neighbours(cx);
        }
        if let Some(before) = &roster {
            self.follow_grant(cx);
            tell_offices(cx, before);
        }
        self.takeover.announce(cx);
        if roster.is_some() || session {
            self.shop.go_home(cx);
            self.handover.soon(cx.now());
            self.sales.soon(cx.now());
        }
        if roster.is_some() {
            self.session.offices_told();
            self.partner.watch(cx);
            self.replica.greet_partner(cx);
            self.replica.dial(cx);
            self.replica.adopt_mirrors(cx);
        }
        if roster.is_some() || offices {
            self.offices.reconsider(cx.now());
        }
        if hinted {
            self.session.hint(cx);
        }
        for guest in told.then(|| self.door.introduced(cx)).into_iter().flatten() {
            self.come_in(cx, guest);
        }
    }

    /// The roster says which office is this process's.
    fn follow_grant(&mut self, cx: &mut Cx<'_>) {
        let granted = cx.granted();
        if granted == cx.state.grant {
            return;
        }
        if let Some((office, term)) = cx.state.grant {
            self.end_term(cx, office, term);
        }
        match granted {
            Some((office, term)) => self.begin_term(cx, office, term),
            None => self.shop.resume(),
        }
    }

    fn end_term(&mut self, cx: &mut Cx<'_>, office: Office, term: Term) {
        tracing::info!(%office, %term, "term ended");
        cx.record(Entry::Ended { term });
        self.desk.close(cx);
        self.early.close();
        self.allotment.close();
        self.cache.close(cx);
        self.offices.term_ended(cx, office, term);
        self.desk.set_closing(false);
        self.leave.out_of_office(cx.now());
    }

    fn begin_term(&mut self, cx: &mut Cx<'_>, office: Office, term: Term) {
        cx.record(Entry::Granted { office, term });
        if let Some(licence) =
            cx.roster.held_by(cx.me.id).and_then(|(_, seat)| seat.licence.as_deref().copied())
        {
            cx.record(Entry::Licensed(licence));
        }
        self.shop.pause();
        self.desk.trader.begin();
        self.dial_settle(cx);
        self.cache.dial(cx);
        let me = cx.me.id;
        cx.say(format!("Dear buyers and sellers, my ID is {me} and I am the {office} trader (term {term})"));
        if cx.stopping {
            self.give_up_office(cx, PeerId(0));
        }
    }
}

fn tell_offices(cx: &mut Cx<'_>, before: &Roster) {
    let seats = |roster: &Roster| (roster.primary.clone(), roster.secondary.clone(), roster.paired);
    if seats(before) != seats(&cx.roster) {
        let roster = cx.roster.clone();
        cx.happen(What::Roster(roster));
    }
}

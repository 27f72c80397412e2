//! What the nodes tell, and what it means for the run: who holds an office, who is done, what befell whom.

use std::time::Instant;

use super::Up;
use super::lines;
use super::watch::News;
use crate::model::happening::{Happening, What};
use crate::model::offices::Roster;
use crate::model::row::OutcomeKind;
use crate::ops::output::{Failure, Paint, print_line};
use crate::types::{PeerId, Role};

impl Up<'_> {
    pub(super) fn hear(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Happened(happening) => self.happened(*happening)?,
            News::Report(peer, report) => {
                self.lives.insert(peer, report.process.random);
                if report.shopping.done && report.shopping.open == 0 && report.shopping.placed > 0 {
                    self.done.insert(peer);
                }
                if peer == PeerId::WAREHOUSE {
                    self.see_roster(report.roster);
                }
            }
            // The system tells of a node that ended; a stream that was cut is taken up again.
            News::Gone(node, watch) => {
                if !self.fleet.is_dead(node) && self.watches.is_present(node, watch) {
                    self.watch(node);
                }
            }
        }
        self.say_kept_from();
        Ok(())
    }

    /// A run of so many requests of each buyer has fewer where one is a trader: it is said once of each.
    fn say_kept_from(&mut self) {
        let Some(requests) = self.args.shopper.requests else { return };
        let is_buyer = |peer| self.fleet.plan().peer(peer).is_some_and(|it| it.role == Role::Buyer);
        let known = |peer: &PeerId| self.kept_from.contains(peer) || self.done.contains(peer);
        let news = |peer: &PeerId| !known(peer) && is_buyer(*peer) && self.in_office(*peer);
        if let Some(buyer) = self.roster.seats().map(|seat| seat.peer).find(news) {
            self.kept_from.insert(buyer);
            self.tell(&format!(
                "up        buyer {buyer} is elected: in office it places no more of its {requests} requests"
            ));
        }
    }

    pub(super) fn watch(&mut self, node: PeerId) {
        if let Some(addr) = self.fleet.addr(node) {
            self.watches.begin(node, addr);
        }
    }

    fn happened(&mut self, happening: Happening) -> Result<(), Failure> {
        let Happening { time, peer, what } = happening;
        let of_failover = matches!(what, What::Suspected(_) | What::TookOver(_) | What::Replayed(..));
        match what {
            What::Told(order, outcome) => {
                self.progress = Instant::now();
                if self.talk && (self.told.is_news(order.id) || outcome.kind == OutcomeKind::Reversed) {
                    let told = lines::told(self.fleet.plan(), &self.goods, &order, &outcome, self.color);
                    print_line(format_args!("{} {told}", self.clock()))?;
                }
            }
            What::ToldEarly(order, answer) => {
                self.progress = Instant::now();
                if self.talk && self.told.is_news(order.id) {
                    let told = lines::told_early(self.fleet.plan(), &self.goods, &order, &answer, self.color);
                    print_line(format_args!("{} {told}", self.clock()))?;
                }
            }
            What::Line(line) if self.talk && line.starts_with("Dear") => {
                let trader = Paint::Node(peer.0).on(&format!("trader {peer:<3}"), self.color);
                print_line(format_args!("{} {trader} {line}", self.clock()))?;
            }
            What::Line(_) => {}
            What::Roster(roster) => self.see_roster(roster),
            What::Done => {
                self.done.insert(peer);
            }
            What::Suspected(dead) => self.failovers.suspected(dead, time),
            What::TookOver(dead) => self.failovers.took_over(peer, dead, time),
            What::Replayed(dead, replayed) => {
                if let Some(line) = self.failovers.replayed(dead, replayed) {
                    self.tell(&format!("failover  {line}"));
                }
            }
        }
        if of_failover {
            self.shown.failed_over(self.failovers.with_times());
        }
        Ok(())
    }

    /// What the nodes told until they ended.
    pub(super) fn last_words(&mut self) -> Result<(), Failure> {
        while let Ok(news) = self.news.try_recv() {
            if let News::Happened(happening) = news {
                self.happened(*happening)?;
            }
        }
        Ok(())
    }

    pub(super) fn see_roster(&mut self, roster: Roster) {
        if roster.newer_than(&self.roster) {
            self.failovers.offices(&roster);
            self.roster = roster;
            self.missing.note(self.lacks().is_some(), Instant::now());
        }
    }

    /// The process that runs now holds an office. A grant to an earlier one, of the run before, keeps nobody from placing
    /// orders, and the warehouse may not have seen yet that it is over.
    fn in_office(&self, peer: PeerId) -> bool {
        let life = self.lives.get(&peer);
        self.roster.held_by(peer).is_some_and(|(_, seat)| seat.present && life == Some(&seat.process.random))
    }

    /// The living buyers that are not in office: the run ends when they are done.
    pub(super) fn awaited(&self) -> Vec<PeerId> {
        let buyers = self.fleet.plan().with_role(Role::Buyer).into_iter();
        buyers.filter(|peer| !self.fleet.is_dead(*peer) && !self.in_office(*peer)).collect()
    }

    pub(super) fn all_done(&self) -> bool {
        self.args.shopper.requests.is_some() && self.awaited().iter().all(|peer| self.done.contains(peer))
    }

    /// The buyers' events say that they are done; their reports, asked for now, decide.
    pub(super) async fn settled(&mut self) -> bool {
        for peer in self.awaited() {
            let report = self.fleet.ask(peer, self.global.timeout).await;
            if report.is_ok_and(|report| report.shopping.open > 0) {
                self.done.remove(&peer);
                return false;
            }
        }
        true
    }
}

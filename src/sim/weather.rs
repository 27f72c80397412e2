//! What the network does to messages while something is wrong with it: spells between nodes, each until a moment.
//!
//! A message that cannot get through is sent again by its connection until that is given up: so silence that is shorter
//! than [`GIVE_UP`] only delays, and a longer one ends the connection, which both ends notice for themselves. What was
//! held back longer than that still arrives, at an end that does not know yet.

use super::chance::Chance;
use super::queue::{Moment, SECOND};
use crate::types::PeerId;

/// A connection over which nothing came for so long is given up by its end.
pub(super) const GIVE_UP: u64 = 4 * SECOND;

/// What a spell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Messages take so many microseconds longer.
    Delay(u64),
    /// Messages take up to so many microseconds longer, each its own time.
    Scatter(u64),
    /// Nothing gets through.
    Silence,
    /// The node takes no new connections.
    Refuse,
    /// Answers to calls are lost.
    LoseAnswers,
}

/// A spell of bad weather between nodes; no node means any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spell {
    pub effect: Effect,
    pub from: Option<PeerId>,
    pub to: Option<PeerId>,
    pub until: Moment,
}

impl Spell {
    fn holds(&self, from: PeerId, to: PeerId, now: Moment) -> bool {
        let is = |which: Option<PeerId>, node| which.is_none_or(|which| which == node);
        self.until > now && from != to && is(self.from, from) && is(self.to, to)
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It arrives so many microseconds later than it would.
    After(u64),
    /// It never arrives.
    Never,
}

/// See the module's text.
pub(super) struct Weather {
    spells: Vec<Spell>,
    chance: Chance,
}

impl Weather {
    /// Fair weather.
    pub(crate) fn fair(seed: u64) -> Weather {
        Weather { spells: Vec::new(), chance: Chance::of(seed, "weather") }
    }

    /// A spell begins.
    pub(crate) fn begin(&mut self, spell: Spell, now: Moment) {
        self.spells.retain(|old| old.until > now);
        self.spells.push(spell);
    }

    /// All spells end.
    pub(crate) fn clear(&mut self) {
        self.spells.clear();
    }

    /// What becomes of a message that is sent now.
    pub(crate) fn passage(&mut self, from: PeerId, to: PeerId, now: Moment) -> Passage {
        let (chance, mut after) = (&mut self.chance, 0);
        for spell in self.spells.iter().filter(|spell| spell.holds(from, to, now)) {
            match spell.effect {
                Effect::Delay(by) => after += by,
                Effect::Scatter(by) => after += chance.between(0, by),
                Effect::Silence if spell.until.since(now) >= GIVE_UP => return Passage::Never,
                Effect::Silence => after += spell.until.since(now),
                Effect::Refuse | Effect::LoseAnswers => {}
            }
        }
        Passage::After(after)
    }

    /// The node takes no connections of the other one now.
    pub(crate) fn refuses(&self, from: PeerId, to: PeerId, now: Moment) -> bool {
        self.any(Effect::Refuse, from, to, now)
    }

    /// What a node answers to a call is lost.
    pub(crate) fn loses_answers(&self, from: PeerId, to: PeerId, now: Moment) -> bool {
        self.any(Effect::LoseAnswers, from, to, now)
    }

    fn any(&self, effect: Effect, from: PeerId, to: PeerId, now: Moment) -> bool {
        self.spells.iter().any(|spell| spell.effect == effect && spell.holds(from, to, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PeerId = PeerId(1);
    const TWO: PeerId = PeerId(2);

    fn weather(effect: Effect, until: u64) -> Weather {
        let mut weather = Weather::fair(1);
        weather.begin(Spell { effect, from: Some(ONE), to: None, until: Moment(until) }, Moment(0));
        weather
    }

    #[test]
    fn a_short_silence_delays_and_a_long_one_swallows() {
        let mut short = weather(Effect::Silence, SECOND);
        assert_eq!(short.passage(ONE, TWO, Moment(0)), Passage::After(SECOND));
        assert_eq!(
            short.passage(TWO, ONE, Moment(0)),
            Passage::After(0),
            "the other direction is not silent"
        );
        let mut long = weather(Effect::Silence, 9 * SECOND);
        assert_eq!(long.passage(ONE, TWO, Moment(0)), Passage::Never);
        assert_eq!(long.passage(ONE, TWO, Moment(9 * SECOND)), Passage::After(0));
        long.clear();
        assert_eq!(long.passage(ONE, TWO, Moment(0)), Passage::After(0));
    }

    #[test]
    fn a_node_hears_itself_in_any_weather() {
        assert_eq!(weather(Effect::Silence, 9 * SECOND).passage(ONE, ONE, Moment(0)), Passage::After(0));
    }

    #[test]
    fn refusals_and_lost_answers_delay_nothing() {
        let mut weather = weather(Effect::Refuse, SECOND);
        assert!(weather.refuses(ONE, TWO, Moment(0)) && !weather.refuses(TWO, ONE, Moment(0)));
        assert!(!weather.loses_answers(ONE, TWO, Moment(0)));
        assert_eq!(weather.passage(ONE, TWO, Moment(0)), Passage::After(0));
    }
}

//! A schedule as one line, to be typed again and to be kept:
//! `seed 39, peers 5, orders 40; 1250 kill primary 20 #77; 3100 pause 0 900 #4`.

use std::fmt;
use std::str::FromStr;

use super::{Aim, Kind, Planned, Schedule};

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aim::Node(id) => write!(f, "{id}"),
            Aim::Primary => f.write_str("primary"),
            Aim::Secondary => f.write_str("secondary"),
            Aim::Traders => f.write_str("traders"),
            Aim::Peers => f.write_str("peers"),
            Aim::All => f.write_str("all"),
        }
    }
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Aim, String> {
        match text {
            "primary" => Ok(Aim::Primary),
            "secondary" => Ok(Aim::Secondary),
            "traders" => Ok(Aim::Traders),
            "peers" => Ok(Aim::Peers),
            "all" => Ok(Aim::All),
            id => id.parse().map(Aim::Node).map_err(|_| format!("'{id}' is no node and no office")),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Planned { at_ms, kind, aim, lasts_ms, number } = self;
        write!(f, "{at_ms} {} {aim} {lasts_ms} #{number}", kind.name())
    }
}

impl FromStr for Planned {
    type Err = String;

    fn from_str(text: &str) -> Result<Planned, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [at_ms, kind, aim, lasts_ms, number] = words[..] else {
            return Err(format!("'{text}' is no fault; write it like: 1250 kill primary 20 #77"));
        };
        Ok(Planned {
            at_ms: whole(at_ms)?,
            kind: Kind::named(kind).ok_or_else(|| format!("'{kind}' is not a kind of fault"))?,
            aim: aim.parse()?,
            lasts_ms: whole(lasts_ms)?,
            number: whole(number.trim_start_matches('#'))? as u32,
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, peers, orders, faults } = self;
        write!(f, "seed {seed}, peers {peers}, orders {orders}")?;
        faults.iter().try_for_each(|fault| write!(f, "; {fault}"))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Schedule, String> {
        let mut parts = text.trim().split(';').map(str::trim);
        let head = parts.next().unwrap_or_default();
        let words: Vec<&str> = head.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        let ["seed", seed, "peers", peers, "orders", orders] = words[..] else {
            return Err(format!("'{head}' is no head; write it like: seed 39, peers 5, orders 40"));
        };
        let (seed, peers, orders) = (whole(seed)?, whole(peers)?, whole(orders)?);
        if !(3..=9).contains(&peers) {
            return Err(format!("{peers} is not a number of peers; use 3 to 9"));
        }
        let mut faults =
            parts.filter(|part| !part.is_empty()).map(str::parse).collect::<Result<Vec<Planned>, _>>()?;
        let beyond = |fault: &&Planned| matches!(fault.aim, Aim::Node(id) if u64::from(id) > peers);
        if let Some(fault) = faults.iter().find(beyond) {
            return Err(format!("'{fault}' aims at a node that is not there"));
        }
        faults.sort_by_key(|fault| fault.at_ms);
        Ok(Schedule { seed, peers: peers as u32, orders, faults })
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is not a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::faults::Setting;

    #[test]
    fn a_schedule_reads_as_it_is_written() {
        for seed in 0..40 {
            let schedule = Schedule::draw(&Setting { seed, peers: 7, orders: 200, faults: &Kind::ALL });
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_word_that_is_wrong() {
        for (text, wrong) in [
            ("", "no head"),
            ("seed x, peers 5, orders 40", "'x'"),
            ("seed 1, peers 2, orders 40", "3 to 9"),
            ("seed 1, peers 5, orders 40; 3 flood all 2 #1", "'flood'"),
            ("seed 1, peers 5, orders 40; 3 kill 6 2 #1", "not there"),
            ("seed 1, peers 5, orders 40; 3 kill", "no fault"),
        ] {
            let refused = text.parse::<Schedule>().unwrap_err();
            assert!(refused.contains(wrong), "{text}: {refused}");
        }
    }
}

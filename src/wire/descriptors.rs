//! Descriptors: how many this process may have, and which of them connections leave alone.
//!
//! A store that finds no descriptor for its next checkpoint or snapshot ends its node. So neither an accept nor a dial
//! takes one of the last `DESCRIPTORS_KEPT_BACK`. The system always gives the lowest free number, so the number of a new
//! descriptor tells how many there are already.

use std::os::fd::{AsFd, AsRawFd as _};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{
    CONNECTIONS_LEAVING_MAX, CONNECTIONS_MAX, DESCRIPTORS_KEPT_BACK, DESCRIPTORS_MIN, DESCRIPTORS_OWN,
};

/// A node needs more descriptors than this process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process may have {limit} open files, and a node needs {DESCRIPTORS_MIN}")]
pub(crate) struct TooFew {
    limit: u64,
}

/// Raises the limit of open files to what the system allows this process.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Without it the lower limit holds: it is asked for wherever it counts.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// How many descriptors this process may have.
fn limit() -> u64 {
    // None: there is no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections may come in.
///
/// # Errors
/// There are too few descriptors for a node.
pub(crate) fn connections_max() -> Result<usize, TooFew> {
    places(limit())
}

fn places(limit: u64) -> Result<usize, TooFew> {
    if limit < DESCRIPTORS_MIN {
        return Err(TooFew { limit });
    }
    let for_others = DESCRIPTORS_KEPT_BACK + DESCRIPTORS_OWN + CONNECTIONS_LEAVING_MAX as u64;
    Ok(usize::try_from(limit.saturating_sub(for_others)).unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX))
}

/// Whether a connection may keep this descriptor, which it was just given.
pub(super) fn may_keep(connection: &impl AsFd) -> bool {
    let number = u64::try_from(connection.as_fd().as_raw_fd()).unwrap_or_default();
    number.saturating_add(DESCRIPTORS_KEPT_BACK) < limit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_limits_leave_the_store_its_share() {
        assert_eq!(places(DESCRIPTORS_MIN - 1), Err(TooFew { limit: DESCRIPTORS_MIN - 1 }));
        for (limit, expected) in [(128, 32), (256, 160), (1_024, 928), (20_000, CONNECTIONS_MAX)] {
            assert_eq!(places(limit), Ok(expected), "{limit}");
        }
        assert_eq!(places(u64::MAX), Ok(CONNECTIONS_MAX));
    }
}

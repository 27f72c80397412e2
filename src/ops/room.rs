//! Whether a process has the memory that it is going to need, asked before anything is begun.
//!
//! A shell or a container may limit it. The first request beyond such a limit ends the process in the middle of whatever it
//! does, with words of the allocator that name no cause. So what is too little is refused by name.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::output::{Failure, exit};
use crate::limits::{ADDRESS_SPACE_MIN, DATA_MIN, MEMORY_MIN};

const MIB: u64 = 1 << 20;

/// Refuses to begin what opens stores or serves.
///
/// # Errors
/// There is too little, by a limit that is named.
pub fn check() -> Result<(), Failure> {
    shell(Resource::As, "the address space (ulimit -v)", ADDRESS_SPACE_MIN)?;
    shell(Resource::Data, "the data of a process (ulimit -d)", DATA_MIN)?;
    match container().filter(|has| *has < MEMORY_MIN) {
        Some(has) => Err(refused("this container's memory", has, MEMORY_MIN)
            .hint(format!("give it more: a memory limit of {} MiB at least", MEMORY_MIN / MIB))),
        None => Ok(()),
    }
}

fn refused(what: &str, has: u64, needs: u64) -> Failure {
    let text = format!("{what} is limited to {} MiB, and a node needs {} MiB", has / MIB, needs / MIB);
    Failure::new(exit::FAILURE, text)
}

/// A limit that the shell has set.
fn shell(limit: Resource, what: &str, needs: u64) -> Result<(), Failure> {
    let flag = if limit == Resource::As { "v" } else { "d" };
    let found = getrlimit(limit);
    let Some(has) = found.current.filter(|has| *has < needs) else { return Ok(()) };
    let kib = needs / 1024;
    let hint = match found.maximum {
        Some(most) if most < needs => {
            format!(
                "it cannot be raised here: start it from a shell in which ulimit -H{flag} says {kib} or more"
            )
        }
        _ => format!("raise it in this shell: ulimit -S{flag} {kib}"),
    };
    Err(refused(what, has, needs).hint(hint))
}

/// The least memory that a control group above this process allows; none where there are none.
fn container() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    root.join(own).ancestors().take_while(|group| group.starts_with(root)).filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_told_with_what_is_there_and_what_is_needed() {
        assert_eq!(check().map_err(|failure| failure.what), Ok(()), "tests have the room of a node");
        let failure = shell(Resource::As, "the address space", u64::MAX).err();
        // Most shells set no limit.
        assert!(failure.is_none_or(|failure| failure.what.contains("a node needs")));
        let refused = refused("this container's memory", 64 * MIB, 128 * MIB);
        assert_eq!(refused.what, "this container's memory is limited to 64 MiB, and a node needs 128 MiB");
    }
}

//! What was meant by a command line that is none: commands of other programs, and orders as people write them.

/// How alike a command and what was typed must be. `stop` and `restore` are not.
const LIKE: f64 = 0.85;

/// The command that does what an unknown one promises, or whose name is near.
pub(super) fn command(typed: &str) -> Option<String> {
    let hint = match typed {
        "stop" | "down" | "kill" | "quit" | "exit" | "shutdown" | "halt" => {
            "Ctrl-C where bazaar up runs ends the market, kill PID one of its nodes; \
             a peer that leaves for good: bazaar leave --peer N"
        }
        "start" | "run" | "serve" | "market" => {
            "bazaar up runs a whole market, bazaar warehouse and peer one node"
        }
        "ls" | "list" | "show" | "log" | "logs" | "ledger" | "cat" => "bazaar dump ledger",
        "check" | "audit" | "fsck" => "bazaar verify",
        "ps" | "top" | "info" | "nodes" => "bazaar status",
        typed => return nearest(typed),
    };
    Some(hint.to_owned())
}

fn nearest(typed: &str) -> Option<String> {
    let tree = super::command();
    let names = tree.get_subcommands().filter(|it| !it.is_hide_set()).map(clap::Command::get_name);
    let scored = names.map(|name| (strsim::jaro_winkler(typed, name), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= LIKE).then(|| format!("did you mean bazaar {}?", best.1))
}

/// The line of `buy` or `sell` that one with a word too many was to be.
pub(super) fn order(command: &str, args: &[&str], stray: &str) -> Option<String> {
    if !matches!(command, "buy" | "sell") || stray.starts_with('-') {
        return None;
    }
    let mut behind = args.iter().skip_while(|arg| **arg != command).skip(1);
    let first = behind.find(|arg| !arg.starts_with('-') && **arg != stray)?;
    let is_count = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Some(match (first.contains('='), is_count(stray), is_count(first)) {
        (false, true, false) => format!("bazaar {command} {first}={stray}"),
        (false, false, true) => format!("bazaar {command} {stray}={first}"),
        _ => format!("one good an order: bazaar {command} {first}, then bazaar {command} {stray}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_types_another_programs_command_is_told_what_does_it_here() {
        assert!(command("stop").is_some_and(|hint| hint.contains("Ctrl-C") && hint.contains("leave")));
        assert_eq!(command("statsu").as_deref(), Some("did you mean bazaar status?"));
        assert_eq!((command("ledger").as_deref(), command("xyzzy")), (Some("bazaar dump ledger"), None));
        let near = command("bench-loda").unwrap();
        assert!(!near.contains("bench-load"), "a hidden command is no advice: {near}");
    }

    #[test]
    fn an_order_is_one_word() {
        let hint = |line: &str, stray| order(&line[..3], &line.split(' ').collect::<Vec<_>>(), stray);
        assert_eq!(hint("buy fish 3", "3").as_deref(), Some("bazaar buy fish=3"));
        assert_eq!(hint("buy 3 fish", "fish").as_deref(), Some("bazaar buy fish=3"));
        let one = "one good an order: bazaar buy fish=3, then bazaar buy salt=2";
        assert_eq!(hint("buy --partial fish=3 salt=2", "salt=2").as_deref(), Some(one));
        assert_eq!(hint("buy fish --frsh", "--frsh"), None);
    }
}

//! `bazaar`: parses, dispatches, and turns what came of it into an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use bazaar::cli::{Cli, Command};
use bazaar::ops::output::{Failure, colored};
use bazaar::ops::{self};
use bazaar::wire::descriptors::raise_limit;

fn main() -> ExitCode {
    ops::complete::answer();
    raise_limit();
    let args: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::parse_from_args(args.clone()) {
        Ok(cli) => cli,
        Err(stop) => {
            if stop.exit != 0 {
                ops::nodes::refused(&args);
            }
            let json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
            return match &stop.refusal {
                Some(refusal) => ended(refusal, json, false),
                None => say(&stop.text, stop.exit),
            };
        }
    };
    let color = colored(cli.global.color, &std::io::stderr());
    match run(&cli) {
        Ok(exit) => ExitCode::from(exit),
        Err(failure) => {
            let what = cli.settings.iter().fold(failure.what, |what, setting| setting.named_in(&what));
            ended(&Failure { what, ..failure }, cli.global.json, color)
        }
    }
}

fn ended(failure: &Failure, json: bool, color: bool) -> ExitCode {
    complain(&if json { failure.json() } else { failure.render(color) });
    ExitCode::from(failure.exit)
}

fn say(text: &str, exit: u8) -> ExitCode {
    if exit != 0 {
        complain(text);
        return ExitCode::from(exit);
    }
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::from(exit),
        Err(error) => ended(&Failure::writing(error), false, false),
    }
}

/// A stderr that cannot be written, as on a full disk, changes no exit code: `eprint` would panic.
fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn run(cli: &Cli) -> Result<u8, Failure> {
    if !matches!(cli.command, Command::Help { .. } | Command::Completions { .. } | Command::Man { .. }) {
        ops::room::check()?;
    }
    match &cli.command {
        Command::Warehouse(args) => ops::nodes::warehouse(args, &cli.global),
        Command::Peer(args) => ops::nodes::peer(args, &cli.global),
        Command::Join(args) => ops::join::run(args, &cli.global),
        Command::Up(args) => ops::up::run(args, &cli.global),
        Command::Buy(args) => ops::order::buy(args, &cli.global),
        Command::Sell(args) => ops::order::sell(args, &cli.global),
        Command::Resign(args) => ops::resign::run(args, &cli.global),
        Command::Status(args) => ops::status::run(args, &cli.global),
        Command::Leave(args) => ops::leave::run(args, &cli.global),
        Command::Find(args) => ops::find::run(args, &cli.global),
        Command::Page(args) => ops::page::run(args, &cli.global),
        Command::Trace(args) => ops::trace::run(args, &cli.global),
        Command::Mode(args) => ops::mode::run(args, &cli.global),
        Command::Release(args) => ops::release::run(args, &cli.global),
        Command::Dump(args) => ops::dump::dump(args, &cli.global),
        Command::Verify(args) => ops::verify::verify(args, &cli.global),
        Command::Backup(args) => ops::backup::backup(args, &cli.global),
        Command::Archive(args) => ops::archive::archive(args, &cli.global),
        Command::Restore(args) => ops::backup::restore(args, &cli.global),
        Command::Simulate(args) => ops::simulate::run(args, &cli.global),
        Command::Soak(args) => ops::soak::run(args, &cli.global),
        Command::Experiment(args) => ops::experiment::run(args, &cli.global),
        Command::Bench(args) => ops::bench::run(args, &cli.global),
        Command::BenchLoad(args) => ops::bench::load(args),
        Command::Help { words } => ops::manual::help(words, &mut std::io::stdout()),
        Command::Completions { shell } => ops::complete::script(*shell, &mut std::io::stdout()),
        Command::Man { out } => ops::manual::man(out, &mut std::io::stdout()),
    }
}

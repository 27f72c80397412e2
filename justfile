# What a contributor does daily: `just` lists it. The proofs at the end take minutes to hours; their variables are those of
# CONTRIBUTING.md.

# Lists the recipes
default:
    @just --list --unsorted

# Builds the program as it is shipped
build:
    cargo build --release

# Runs the tests, or those whose names contain a word: just test election
test word="":
    cargo test {{ word }}

# Runs the gate: format, lints, all tests. It installs the tools that they need where they are missing
gate:
    .ci/run

# Formats the sources
fmt:
    cargo fmt

# Checks lints, warnings as errors
lint:
    cargo clippy --all-targets -- -D warnings

# Measures the hot paths, in ns per item
bench word="":
    cargo bench {{ word }}

# Measures a whole market and holds it against the promised floors
floors:
    cargo run --release -- bench floors

# Builds the pages of the code, and fails on a broken link
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Simulates a market for each seed of a range: just simulate 1..5000
simulate seeds="1..200":
    cargo run --release -- simulate --seeds {{ seeds }}

# Tries every disk state that a power cut could leave, of a run of so many steps
[group('proofs')]
power-cut steps="2000":
    BAZAAR_POWER_CUT=all BAZAAR_POWER_CUT_STEPS={{ steps }} cargo test --release --test all power_cut -- --nocapture

# Kills random nodes so often
[group('proofs')]
cycles count="200":
    BAZAAR_CYCLES={{ count }} cargo test --release --test all cycles -- --nocapture

# Kills and pauses traders under load so often, and prints how long their peers waited
[group('proofs')]
failover kills="20" pauses="20":
    BAZAAR_KILLS={{ kills }} BAZAAR_PAUSES={{ pauses }} cargo test --release --test all failover -- --nocapture

# Has so many peers join, leave and die at random, for so many seconds
[group('proofs')]
churn peers="30" seconds="120":
    BAZAAR_CHURN_PEERS={{ peers }} BAZAAR_CHURN_SECONDS={{ seconds }} cargo test --release --test all membership -- --nocapture

use super::super::*;
use crate::model::peer::testing::*;

#[test]
fn the_session_comes_first_then_the_control_stream() {
    let mut bench = Bench::new();
    assert_eq!(bench.idle(), ["call warehouse open 4 generation 0"]);
    let lines = bench.came("open", Ok(opened(0, crate::model::offices::Roster::default())));
    assert_eq!(lines, ["dial control warehouse control hello of 4"]);
}

//! Latencies as histograms with the same bounds everywhere, so that those of several processes add up.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

/// An empty histogram of microseconds, up to ten minutes, exact to three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3)
        .unwrap_or_else(|error| unreachable!("constant bounds are valid: {error}"))
}

/// A histogram as bytes; never `None` for one of [`latencies`].
pub(crate) fn histogram_out(histogram: &Histogram<u64>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).ok()?;
    Some(bytes)
}

/// Adds a histogram that came as bytes; false if these bytes are none.
pub(crate) fn add_histogram(sum: &mut Histogram<u64>, mut bytes: &[u8]) -> bool {
    let added: Option<Histogram<u64>> = Deserializer::new().deserialize(&mut bytes).ok();
    added.is_some_and(|added| sum.add(added).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_several_processes_add_up() {
        let (mut one, mut sum) = (latencies(), latencies());
        one.record(1_000).unwrap();
        one.record(9_000).unwrap();
        let bytes = histogram_out(&one).unwrap();
        assert!(add_histogram(&mut sum, &bytes) && add_histogram(&mut sum, &bytes));
        assert_eq!(sum.len(), 4);
        assert!(!add_histogram(&mut sum, b"none"));
    }
}

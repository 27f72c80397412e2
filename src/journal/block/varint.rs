//! Whole numbers in as many bytes as they need (LEB128): seven bits a byte, the lowest first, the top bit for "more".

/// Bytes that a number may take.
pub(super) const BYTES_MAX: usize = 10;

/// Appends a number.
pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number off the front of `bytes`, which moves on; none if they end before it does or it is too large.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(BYTES_MAX) {
        let bits = u64::from(byte & 0x7f);
        if at == BYTES_MAX - 1 && bits > 1 {
            return None;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_take_what_they_need() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (1 << 49, 8), (u64::MAX, BYTES_MAX)] {
            let mut bytes = Vec::new();
            put(number, &mut bytes);
            assert_eq!(bytes.len(), length, "{number}");
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(take(&mut &bytes[..length - 1]), None, "cut");
        }
        assert_eq!(take(&mut &[0xff; 10][..]), None, "beyond 64 bits");
    }
}

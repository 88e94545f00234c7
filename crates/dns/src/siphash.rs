//! SipHash-2-4: a hash that nobody can aim at or forge who does not know its key.
//!
//! "SipHash: a fast short-input PRF", Aumasson and Bernstein, 2012. RFC 9018 section 4.4 wants this
//! one for cookies.

/// A key of 16 random bytes.
pub(crate) type Key = [u8; 16];

/// The hash of `data`.
#[inline]
pub(crate) fn siphash(key: &Key, data: &[u8]) -> u64 {
    let (k0, k1) = halves(key);
    let mut state = State([
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]);
    let (words, rest) = data.as_chunks();
    words.iter().for_each(|word| state.add(u64::from_le_bytes(*word)));
    // The last word ends in the length's lowest byte.
    let last = rest.iter().rev().fold(0, |last, &byte| last << 8 | u64::from(byte));
    state.add(last | (data.len() as u64) << 56);
    state.finish()
}

fn halves(key: &Key) -> (u64, u64) {
    let whole = u128::from_le_bytes(*key);
    (whole as u64, (whole >> 64) as u64)
}

struct State([u64; 4]);

impl State {
    fn add(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        (0..4).for_each(|_| self.round());
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }

    #[inline]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    /// The example of the paper's appendix A.
    #[test]
    fn the_papers_example() {
        let key = std::array::from_fn(|n| n as u8);
        let data: [u8; 15] = std::array::from_fn(|n| n as u8);
        assert_eq!(siphash(&key, &data), 0xa129_ca61_49be_45e5);
    }

    /// The standard library has the same function, deprecated for its name alone. Caught: a
    /// rotation by one bit too many; a length that is left out.
    #[test]
    #[allow(deprecated)]
    fn every_length_is_as_the_standard_library_has_it() {
        let key = *b"\xe5\xe9sand sixteen \xff";
        let (k0, k1) = halves(&key);
        let data: [u8; 100] = std::array::from_fn(|n| (n * n) as u8);
        for length in 0..=data.len() {
            let mut theirs = std::hash::SipHasher::new_with_keys(k0, k1);
            theirs.write(&data[..length]);
            assert_eq!(siphash(&key, &data[..length]), theirs.finish(), "{length}");
        }
    }
}

//! SipHash-1-3 of three words, the table's keyed hash.
//!
//! IPv6 keys are chosen by attackers, who would fill a bucket on purpose if they could predict
//! it; the seed is random for each table. Written out for exactly three words because it stands
//! before every look-up; it equals the general SipHash-1-3 of the 24 bytes (see the test).

/// The random seed of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64, pub(crate) u64);

/// Hashes three words under the seed.
pub(crate) fn siphash(seed: Seed, words: [u64; 3]) -> u64 {
    let mut v = [
        seed.0 ^ 0x736f_6d65_7073_6575,
        seed.1 ^ 0x646f_7261_6e64_6f6d,
        seed.0 ^ 0x6c79_6765_6e65_7261,
        seed.1 ^ 0x7465_6462_7974_6573,
    ];
    // The last block holds the length in bytes (24) in its top byte and no data.
    for block in [words[0], words[1], words[2], 24 << 56] {
        v[3] ^= block;
        round(&mut v);
        v[0] ^= block;
    }
    v[2] ^= 0xff;
    round(&mut v);
    round(&mut v);
    round(&mut v);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn equals_the_reference() {
        for i in 0..1000_u64 {
            let words = [i, i.wrapping_mul(0x9e37_79b9_7f4a_7c15), !i];
            let (k0, k1) = (i.rotate_left(17), i ^ 0x0123_4567_89ab_cdef);
            let mut reference = siphasher::sip::SipHasher13::new_with_keys(k0, k1);
            for word in words {
                reference.write(&word.to_le_bytes());
            }
            assert_eq!(siphash(Seed(k0, k1), words), reference.finish());
        }
    }
}

//! Signatures, as Exim's configuration can make them.

use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha3::{Digest, Sha3_256};
use subtle::ConstantTimeEq;

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `${sha3_256:SECRET|NAME STAMP ORDER}` (FIPS 202), in 64 digits. A sponge's hash with the secret in
    /// front is a sound signature; of older hashes it would not be.
    Sha3,
    /// `${hmac{sha1}{SECRET}{NAME STAMP ORDER}}` (RFC 2104), in 40 digits.
    HmacSha1,
}

/// A signature's bytes. Compared by [`Mac::is`] alone where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// By [`Algorithm::Sha3`].
    Sha3([u8; 32]),
    /// By [`Algorithm::HmacSha1`].
    HmacSha1([u8; 20]),
}

impl Mac {
    /// Makes one.
    pub(crate) fn of(
        algorithm: Algorithm,
        secret: &[u8],
        name: &[u8],
        stamp: &[u8],
        order: &[u8],
    ) -> Self {
        let parts = [name, b" ", stamp, b" ", order];
        match algorithm {
            Algorithm::Sha3 => {
                let mut hash = Sha3_256::new();
                hash.update(secret);
                hash.update(b"|");
                parts.iter().for_each(|part| hash.update(part));
                Self::Sha3(hash.finalize().into())
            }
            Algorithm::HmacSha1 => {
                // Keys of every length do (RFC 2104 section 2), so there is no error to come.
                let Ok(mut hash) = Hmac::<Sha1>::new_from_slice(secret) else {
                    return Self::HmacSha1([0; 20]);
                };
                parts.iter().for_each(|part| hash.update(part));
                Self::HmacSha1(hash.finalize().into_bytes().into())
            }
        }
    }

    /// Reads hexadecimal digits, capital or small: their number tells the algorithm.
    pub(crate) fn from_hex(text: &[u8]) -> Option<Self> {
        match text.len() {
            64 => hex(text).map(Self::Sha3),
            40 => hex(text).map(Self::HmacSha1),
            _ => None,
        }
    }

    /// How it was made.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha3(_) => Algorithm::Sha3,
            Self::HmacSha1(_) => Algorithm::HmacSha1,
        }
    }

    /// Whether it is this one; how long that takes tells nothing of either.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sha3(one), Self::Sha3(other)) => one.ct_eq(other).into(),
            (Self::HmacSha1(one), Self::HmacSha1(other)) => one.ct_eq(other).into(),
            _ => false,
        }
    }

    /// Its first eight bytes: as good as random to whoever lacks the secret.
    pub(crate) fn fingerprint(&self) -> u64 {
        let bytes: &[u8] = match self {
            Self::Sha3(bytes) => bytes,
            Self::HmacSha1(bytes) => bytes,
        };
        bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// In capital letters, as Exim writes it.
impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha3(bytes) => bytes,
            Self::HmacSha1(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_chunks() else { return None };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(high)? << 4 | digit(low)?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// By Exim 4.96: `exim -be '${sha3_256:0123456789abcdef|mx2 1795326190 black 192.0.2.1}'` and
    /// `exim -be '${hmac{sha1}{0123456789abcdef}{mx2 1795326190 black 192.0.2.1}}'`.
    /// Caught: parts that are not parted by blanks.
    #[test]
    fn signatures_are_those_of_exim() {
        let mac = |algorithm| {
            let order = b"black 192.0.2.1";
            Mac::of(algorithm, b"0123456789abcdef", b"mx2", b"1795326190", order).to_string()
        };
        assert_eq!(
            mac(Algorithm::Sha3),
            "93A800322152209A1F43FCD114EBEC22E03C35005DC9EF9A7594ABB2235B4EDF"
        );
        assert_eq!(mac(Algorithm::HmacSha1), "E41A936139944338E328DBC7C3E1B896B6492878");
    }

    /// Caught: the last digits left out of the comparison.
    #[test]
    fn every_digit_counts_and_letters_may_be_small() {
        for algorithm in [Algorithm::Sha3, Algorithm::HmacSha1] {
            let mac = Mac::of(algorithm, b"secret", b"a", b"1", b"auth");
            let text = mac.to_string();
            assert!(Mac::from_hex(text.to_lowercase().as_bytes()).unwrap().is(&mac));
            for place in 0..text.len() {
                let mut other = text.clone().into_bytes();
                other[place] = if other[place] == b'0' { b'1' } else { b'0' };
                assert!(!Mac::from_hex(&other).unwrap().is(&mac), "digit {place}");
            }
        }
    }
}

//! Chance that repeats itself, so that a failure can be seen again.

/// Pseudo-random numbers (xorshift), the same in every run.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Another seed, another sequence.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any word.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One that hurts more often than most: small, large, a power of two, or any.
    pub(crate) fn value(&mut self) -> u64 {
        let word = self.word();
        match word % 8 {
            0 => 0,
            1 => u64::MAX,
            2 => word >> 32 & 0xff,
            3 => 1 << (word >> 32 & 63),
            4 => (1 << (word >> 32 & 63)) - 1,
            _ => self.word(),
        }
    }

    /// 0 to `limit - 1`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.word() >> 16) as usize % limit
    }
}

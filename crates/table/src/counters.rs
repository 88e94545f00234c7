//! Counters that every process adds to, and anybody reads.

use crate::sync::{AtomicU64, Ordering};

/// Defines the counters once: the enum, their names, and their number.
macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What is counted. The numbers are places in the file: new ones go to the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter { $($(#[doc = $doc])* $variant,)* }

        const NAMED: &[(Counter, &str)] = &[$((Counter::$variant, $name),)*];
    };
}

counters! {
    /// Reports taken in.
    Records = "records",
    /// Reports about addresses in the never-list.
    RefusedNever = "refused_never_listed",
    /// Reports about whitelisted addresses.
    RefusedWhite = "refused_white",
    /// Reports that found both buckets full of white and endless entries.
    RefusedFull = "refused_full",
    /// Reports that lost against other writers too often.
    RefusedContention = "refused_contention",
    /// Reports whose address was none.
    RefusedAddress = "refused_address",
    /// Reports that were skipped because the table was being opened at that moment.
    RefusedBusy = "refused_busy",
    /// Weights that were no usable number; the default was taken.
    BadWeights = "bad_weights",
    /// Reasons that were malformed or found no room; they count as "other".
    OtherReasons = "other_reasons",
    /// Listings ended by hand or by `rbl_forgive`.
    Forgiven = "forgiven",
    /// Whitelistings.
    Whitened = "whitened",
    /// Live entries that had to make room.
    Evicted = "evicted",
    /// Entries that the sweep removed after their life had run out.
    Expired = "expired",
    /// Attempts to insert that had to start over.
    InsertRetries = "insert_retries",
    /// Slots taken back from writers that had died.
    Reclaimed = "reclaimed",
    /// Whitelistings that were ended by hand or by `rbl_allow` with 0 seconds.
    WhiteEnded = "white_ended",
    /// Whitelistings of what the administrator listed.
    RefusedEndless = "refused_endless",
    /// Entries that go on without what a purge took out of them.
    Reduced = "reduced",
}

/// Words that the counters have in the file.
pub(crate) const COUNTERS: usize = 64;

/// All counters, read one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    values: [u64; NAMED.len()],
}

impl Counters {
    pub(crate) fn read(words: &[AtomicU64]) -> Self {
        let mut values = [0; NAMED.len()];
        for (value, word) in values.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed);
        }
        Self { values }
    }

    /// The sums of two tables' counters.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        for (value, more) in self.values.iter_mut().zip(other.values) {
            *value = value.wrapping_add(more);
        }
        self
    }

    /// One counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// Name (snake case, as in JSON) and value of each, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMED.iter().map(|&(counter, name)| (name, self.get(counter)))
    }
}

/// Adds what one table has counted to another's counters, and takes it from the first, whose `retired`
/// flag was set before. Anybody may do it again: see [`add`].
pub(crate) fn move_over(from: &[AtomicU64], to: &[AtomicU64]) {
    for (from, to) in from.iter().zip(to) {
        let amount = from.swap(0, Ordering::AcqRel);
        if amount > 0 {
            to.fetch_add(amount, Ordering::Relaxed);
        }
    }
}

/// Adds to a counter.
///
/// Acquire, for the table's `retired` flag, which the caller looks at afterwards: if this came after what
/// was counted was moved over, the flag is seen, and what was added is moved over, too.
pub(crate) fn add(words: &[AtomicU64], counter: Counter, amount: u64) {
    if let Some(word) = words.get(counter as usize) {
        word.fetch_add(amount, Ordering::Acquire);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_own_word() {
        let words: Vec<AtomicU64> = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        for (i, &(counter, _)) in NAMED.iter().enumerate() {
            add(&words, counter, i as u64 + 1);
        }
        let counters = Counters::read(&words);
        for (i, (name, value)) in counters.iter().enumerate() {
            assert_eq!(value, i as u64 + 1, "{name}");
        }
        const { assert!(NAMED.len() <= COUNTERS) };
    }
}

/// Every interleaving (loom; see `slots::model`).
#[cfg(all(test, loom))]
mod model {
    use loom::sync::Arc;

    use super::*;

    /// Tables that a resize has lead from one to the other.
    struct Tables {
        retired: AtomicU64,
        old: Vec<AtomicU64>,
        new: Vec<AtomicU64>,
    }

    /// A writer counts while the table is replaced: nothing is lost, and nothing counted twice. Fails
    /// without the second look at the flag, and when the counter is added to, or taken over, relaxed.
    #[test]
    fn loom_no_count_is_lost_to_a_resize() {
        loom::model(|| {
            let words = || vec![AtomicU64::new(0)];
            let tables = Tables { retired: AtomicU64::new(0), old: words(), new: words() };
            let tables = Arc::new(tables);
            let of_writer = tables.clone();
            let writer = loom::thread::spawn(move || {
                let Tables { retired, old, new } = &*of_writer;
                let is_retired = || retired.load(Ordering::Acquire) != 0;
                if is_retired() {
                    return add(new, Counter::Records, 1);
                }
                add(old, Counter::Records, 1);
                if is_retired() {
                    move_over(old, new);
                }
            });
            tables.retired.store(1, Ordering::Release);
            move_over(&tables.old, &tables.new);
            assert!(writer.join().is_ok());
            assert_eq!(tables.new[0].load(Ordering::Relaxed), 1);
        });
    }
}

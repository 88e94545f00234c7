//! What hammering writers write, and what it must look like to readers.
//!
//! *Exact* keys are never evicted, forgiven or expired: their counts must be at least what was
//! acknowledged, and at most what was begun. *Churned* keys are recorded, forgiven, allowed and
//! evicted all the time: what is seen of them must fit together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::atomic::Ordering;

use eximrbl_table::{Entry, Filter, Names, Network, now};

use crate::stage::{Stage, key as network_of};
use crate::tally::Tally;
use crate::writer::Call;

// The same numbers as in writer.c.
const EXACT: usize = 4;
const CHURNED: usize = 60;
const REASONS: usize = 8;
const WINDOW: usize = 8;
const WHITE_SECONDS: u32 = 7;

/// The default policy, and the largest count.
const BASE_TTL: u32 = 600;
const MAX_TTL: u32 = 604_800;
const COUNT_MAX: u32 = (1 << 18) - 1;

/// Seconds by which lives may differ from what they should be: a writer looks at the clock before he
/// changes anything, and may have been put aside or stopped in between. One record too few or too many
/// makes more.
const SLACK: u32 = 60;
const _: () = assert!(SLACK < BASE_TTL);

/// How the writers choose their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Few keys and fewer slots; some of the keys are exact.
    Churn,
    /// New keys from epoch to epoch, each for many writers at once, and room for all.
    Exact,
}

/// The table and the tally of what was done to it.
pub struct Field {
    pub kind: Kind,
    pub stage: Stage,
    pub tally: Tally,
    keys: usize,
    key_of: HashMap<Network, usize>,
    begun_at: u32,
}

impl Field {
    /// For so many writers; `epochs` is how far [`Tally::epoch`] may be counted.
    pub fn new(kind: Kind, slots: usize, writers: usize, epochs: usize) -> Self {
        let keys = if kind == Kind::Churn { EXACT + CHURNED } else { epochs * WINDOW };
        let stage = Stage::new(slots);
        let tally = Tally::new(&stage.path().with_file_name("tally"), writers, keys);
        let key_of = (0..keys).map(|key| (network_of(&kind.address(key)), key)).collect();
        Self { kind, stage, tally, keys, key_of, begun_at: now() }
    }

    /// All keys.
    pub fn keys(&self) -> Range<usize> {
        0..self.keys
    }

    /// Whether a key's records are counted in the tally.
    pub fn is_exact(&self, key: usize) -> bool {
        self.kind == Kind::Exact || key < EXACT
    }

    /// The keys of [`Kind::Churn`] that are exact.
    pub fn kept(&self) -> Range<usize> {
        if self.kind == Kind::Churn { 0..EXACT } else { 0..0 }
    }

    /// A key's network.
    pub fn network(&self, key: usize) -> Network {
        network_of(&self.kind.address(key))
    }

    /// A record as the writers make it.
    pub fn record(&self, key: usize) -> Call {
        Call::record(&self.kind.address(key), &format!("c{}", key % REASONS), self.weight(key))
    }

    fn weight(&self, key: usize) -> u32 {
        if self.is_exact(key) { 1 } else { 101 + key as u32 }
    }

    /// Whether an exact key's count is what it must be, while others write; how many looks.
    fn check_count(&self, key: usize) {
        let address: IpAddr = self.kind.address(key).parse().unwrap();
        let acknowledged = self.tally.acknowledged(key).load(Ordering::SeqCst);
        let decision = self.stage.reader.decide(address, &Filter::default(), now());
        let entry = self.stage.reader.entry(Network::host(address), now());
        let begun = self.tally.begun(key).load(Ordering::SeqCst);
        assert!(decision.is_listed() || acknowledged == 0, "{address}: {decision:?}");
        let count = entry.map_or(0, |entry| entry.count);
        assert!(
            (acknowledged..=begun).contains(&count),
            "{address}: counted {count}, acknowledged {acknowledged}, begun {begun}"
        );
    }

    /// Reads once what writers are writing, by a mapping that cannot be written to; how many
    /// answers were looked at.
    pub fn read(&self) -> u64 {
        let exact = match self.kind {
            Kind::Churn => self.kept(),
            Kind::Exact => {
                let epoch = self.tally.epoch().load(Ordering::SeqCst) as usize;
                epoch.saturating_sub(1) * WINDOW..((epoch + 1) * WINDOW).min(self.keys)
            }
        };
        let mut answers = 2 * exact.len() as u64;
        exact.for_each(|key| self.check_count(key));
        if self.kind == Kind::Churn {
            let (time, mut kept) = (now(), [0; EXACT]);
            for entry in self.stage.reader.entries(time) {
                let key = self.check(&entry, &self.stage.reader.reasons(), time);
                if key < EXACT {
                    kept[key] += 1;
                }
                answers += 1;
            }
            // These never leave their slots, so a scan meets each of them, and once.
            assert_eq!(kept, [1; EXACT]);
        }
        answers
    }

    /// Looks at the keys of today while nobody moves.
    pub fn look(&self) {
        match self.kind {
            Kind::Churn => self.look_at_all(),
            Kind::Exact => {
                let end = self.tally.epoch().load(Ordering::SeqCst) as usize * WINDOW + WINDOW;
                let recent = end.saturating_sub(32 * WINDOW)..end.min(self.keys);
                recent.for_each(|key| self.check_count(key));
            }
        }
    }

    /// Looks at everything while nobody moves.
    pub fn look_at_all(&self) {
        let time = now();
        let seen = self.stage.look(time);
        let names = self.stage.reader.reasons();
        for entry in seen.entries.values() {
            self.check(entry, &names, time);
        }
        self.keys().filter(|&key| self.is_exact(key)).for_each(|key| self.check_count(key));
    }

    /// Whether what one entry says fits together, and is its own; which key it is.
    fn check(&self, entry: &Entry, names: &Names, time: u32) -> usize {
        let key = *self.key_of.get(&entry.network).unwrap_or_else(|| panic!("who? {entry:?}"));
        assert!(self.begun_at <= entry.first && entry.first <= entry.last, "{entry:?}");
        assert!(entry.last <= now(), "{entry:?}");
        if entry.white {
            assert!(entry.count == 0 && entry.reasons == 0, "{entry:?}");
            // It may have been made when `time` was over.
            let since = now() - time;
            assert!(entry.remaining <= WHITE_SECONDS + since, "{entry:?}");
            return key;
        }
        for (_, name) in names.iter().filter(|(bit, _)| entry.reasons >> bit & 1 == 1) {
            let of = name.strip_prefix('c').and_then(|number| number.parse().ok());
            assert!(of.is_none_or(|of: usize| of == key % REASONS), "{name} in {entry:?}");
        }
        let (weight, count) = (self.weight(key), entry.count);
        assert!(count == COUNT_MAX || count > 0 && count % weight == 0, "{key}: {entry:?}");
        assert_ne!(entry.reasons, 0, "{entry:?}");
        if entry.is_endless() {
            assert!(self.kept().contains(&key), "{entry:?}");
            return key;
        }
        // Each rejection adds BASE_TTL seconds, and MAX_TTL seconds from now are the most.
        let life = count.saturating_mul(BASE_TTL).min(MAX_TTL);
        assert!(entry.remaining <= life + SLACK, "lives too long: {entry:?}");
        assert!(time + entry.remaining + SLACK >= entry.first + life, "ends too early: {entry:?}");
        key
    }
}

impl Kind {
    /// As writer.c calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Churn => "churn",
            Self::Exact => "exact",
        }
    }

    /// As `address` in writer.c.
    fn address(self, key: usize) -> String {
        if self == Self::Churn && key >= EXACT + CHURNED / 2 {
            return format!("2001:db8:{key:x}::1");
        }
        Ipv4Addr::from(0x2d00_0000 + key as u32).to_string()
    }
}

//! The policy: how long rejections list, and who is never listed.
//!
//! This is the plain value. `policy_block` keeps it in the table, where the library, which reads
//! no configuration file, finds it.

use crate::Network;

/// Most networks that the never-list holds once it is sorted and merged.
pub const NEVER_RANGES_MAX: usize = 1024;
/// Largest weight of one report; larger ones are cut to it.
pub const WEIGHT_MAX: u32 = 10_000;

/// Networks that are never recorded nor answered, whatever the administrator adds: loopback,
/// unspecified, multicast, link-local, RFC 1918 and unique local space, and limited broadcast.
/// (RFC 6471 section 3.1 wants reserved addresses never listed.)
pub const ALWAYS_NEVER: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255",
    "::/128",
    "::1",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// How rejections turn into listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Seconds that one rejection lists a client for; also what each further one adds.
    pub base_ttl: u32,
    /// The longest remaining life, in seconds, that rejections can add up to.
    pub max_ttl: u32,
    /// With less than this many seconds left, an entry counts as gone.
    pub floor: u32,
    /// A client is listed from this many rejections on.
    pub threshold: u32,
    /// IPv6 clients are kept by their prefix of this many bits, 1 to 128.
    pub ipv6_prefix: u8,
    /// The administrator's networks that are never listed, beside [`ALWAYS_NEVER`].
    pub never: Vec<Network>,
    /// What one report of a reason counts for when it names no weight of its own; 1 if not here.
    pub weights: Vec<(String, u32)>,
}

impl Default for Policy {
    /// 10 minutes a rejection, a week at most, gone below a minute, listed at once, IPv6 by /64.
    fn default() -> Self {
        Self {
            base_ttl: 600,
            max_ttl: 604_800,
            floor: 60,
            threshold: 1,
            ipv6_prefix: 64,
            never: Vec::new(),
            weights: Vec::new(),
        }
    }
}

/// A policy that would not do what its author wants. `key` is the name in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct PolicyError {
    /// The setting, as it is called in the configuration file's `[policy]` section.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Policy {
    /// Checks every setting by itself and against the others.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let wrong = |key, problem: String| Err(PolicyError { key, problem });
        if !(1..=31_536_000).contains(&self.floor) {
            return wrong("floor", format!("{} s: 1 s to a year", self.floor));
        }
        if self.base_ttl < self.floor {
            let (base_ttl, floor) = (self.base_ttl, self.floor);
            return wrong(
                "base_ttl",
                format!("{base_ttl} s is under floor ({floor} s): one rejection would never list"),
            );
        }
        if self.max_ttl < self.base_ttl || self.max_ttl > 31_536_000 {
            let (max_ttl, base_ttl) = (self.max_ttl, self.base_ttl);
            return wrong(
                "max_ttl",
                format!("{max_ttl} s: at least base_ttl ({base_ttl} s), at most a year"),
            );
        }
        if !(1..=100_000).contains(&self.threshold) {
            return wrong("threshold", format!("{}: 1 to 100000 rejections", self.threshold));
        }
        if !(1..=128).contains(&self.ipv6_prefix) {
            return wrong("ipv6_prefix", format!("{}: 1 to 128 bits", self.ipv6_prefix));
        }
        for (reason, weight) in &self.weights {
            if crate::dictionary::Name::new(reason.as_bytes()).is_none() {
                return wrong("weights", format!("\"{reason}\": reasons are [a-z0-9-], 1 to 32"));
            }
            if !(1..=WEIGHT_MAX).contains(weight) {
                return wrong("weights", format!("{reason} = {weight}: 1 to {WEIGHT_MAX}"));
            }
        }
        if let Some(wide) = self.never.iter().find(|network| network.swallows_ipv4()) {
            return wrong("never", format!("{wide} would take in all of IPv4: be more exact"));
        }
        if self.never.iter().any(|network| network.length() == 0) {
            return wrong(
                "never",
                "0.0.0.0/0 would switch the list off: name your own networks".into(),
            );
        }
        if self.never_ranges().len() > NEVER_RANGES_MAX {
            return wrong("never", format!("more than {NEVER_RANGES_MAX} separate networks"));
        }
        Ok(())
    }

    /// The complete never-list as sorted, disjoint ranges (first, last) of the 128-bit space.
    pub(crate) fn never_ranges(&self) -> Vec<(u128, u128)> {
        let fixed = ALWAYS_NEVER.iter().filter_map(|text| text.parse::<Network>().ok());
        let mut ranges: Vec<_> =
            fixed.chain(self.never.iter().copied()).map(Network::range).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                // Touching ranges merge too; saturating, as ::/0 ends at the last address.
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        merged
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_fixed_networks_parse() {
        assert_eq!(Policy::default().validate(), Ok(()));
        for text in ALWAYS_NEVER {
            text.parse::<Network>().unwrap_or_else(|e| panic!("{text}: {e}"));
        }
    }

    #[test]
    fn ranges_are_sorted_disjoint_and_merged() {
        let policy = Policy {
            never: ["192.0.2.0/25", "192.0.2.128/25", "10.1.0.0/16", "198.51.100.7"]
                .iter()
                .map(|n| n.parse().unwrap())
                .collect(),
            ..Policy::default()
        };
        let ranges = policy.never_ranges();
        assert!(ranges.windows(2).all(|w| w[0].1 < w[1].0));
        let net: Network = "192.0.2.0/24".parse().unwrap();
        assert!(ranges.contains(&net.range()), "two halves become one range");
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        let wrong = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.validate().unwrap_err().key
        };
        assert_eq!(wrong(|p| p.base_ttl = 59), "base_ttl");
        assert_eq!(wrong(|p| p.max_ttl = 599), "max_ttl");
        assert_eq!(wrong(|p| p.floor = 0), "floor");
        assert_eq!(wrong(|p| p.threshold = 0), "threshold");
        assert_eq!(wrong(|p| p.ipv6_prefix = 129), "ipv6_prefix");
        assert_eq!(wrong(|p| p.weights = vec![("Bad Name".into(), 1)]), "weights");
        assert_eq!(wrong(|p| p.weights = vec![("auth".into(), 0)]), "weights");
    }
}

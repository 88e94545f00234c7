//! What lies around a network, and decides on it too.

use super::Table;
use crate::decision::{Entry, UnixSeconds};
use crate::network::Network;
use crate::slots::View;

impl Table {
    /// Whether all of a black entry's network is lifted by the never-list or a white network: what
    /// `decide_network` says, without looking the entry up again, for those who count them all.
    pub(super) fn is_lifted(&self, entry: &Entry, floor: u32, now: UnixSeconds) -> bool {
        let (_, is_never) = self.policy_block().terms_around(entry.network.range());
        is_never || self.is_under_white(entry.network, floor, now)
    }

    /// Whether a live white entry covers a network that is wider than `key`.
    pub(crate) fn is_under_white(&self, key: Network, floor: u32, now: UnixSeconds) -> bool {
        self.is_under(key, floor, now, &|view| view.life.is_white())
    }

    /// Whether a listing of the administrator's covers a network that is wider than `key`.
    pub(crate) fn is_under_his(&self, key: Network, floor: u32, now: UnixSeconds) -> bool {
        self.is_under(key, floor, now, &|view| {
            let entry = view.entry(now);
            !entry.white && entry.is_by_hand()
        })
    }

    #[inline(never)]
    fn is_under(
        &self,
        key: Network,
        floor: u32,
        now: UnixSeconds,
        is_it: &dyn Fn(&View) -> bool,
    ) -> bool {
        self.lengths().around(key).filter(|network| *network != key).any(|network| {
            let view = self.lookup(network);
            view.is_some_and(|view| is_it(&view) && view.life.is_alive(now, floor))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::decision::{Decision, Filter, UnixSeconds};
    use crate::network::Network;
    use crate::policy::Policy;
    use crate::writable::{Report, WritableTable};

    const NOW: UnixSeconds = 1_795_000_000;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn decide(table: &WritableTable, text: &str) -> (char, Option<String>) {
        let (kind, entry) = match table.decide_network(network(text), &Filter::default(), NOW) {
            Decision::Listed(entry) => ('L', Some(entry)),
            Decision::White(entry) => ('W', Some(entry)),
            Decision::Below(entry) => ('B', Some(entry)),
            Decision::Test => ('T', None),
            Decision::Never => ('N', None),
            Decision::Unknown => ('U', None),
        };
        (kind, entry.map(|entry| entry.network.to_string()))
    }

    /// What is said of a network holds for all of it. Caught: entries for a part of it; a network
    /// whose first and last address alone are in the never-list.
    #[test]
    fn a_network_is_decided_as_a_whole() {
        let table = WritableTable::on_heap(64).unwrap();
        let record = |text: &str, weight| {
            let (network, weight) = (network(text), Some(weight));
            table
                .record(&Report { network, reason: 1, reporter: 0, weight, seconds: None }, NOW)
                .unwrap();
        };
        for (text, weight) in [("8.1.2.0/24", 3), ("8.1.0.0/16", 1), ("8.9.0.0/16", 3)] {
            record(text, weight);
        }
        record("9.0.0.0/8", 3);
        table.white(network("8.9.1.0/24"), None, crate::dictionary::ADMIN, NOW).unwrap();
        let never = ["9.0.0.0/16", "9.255.0.0/16"].map(network).to_vec();
        table.set_policy(&Policy { threshold: 2, never, ..Policy::default() }).unwrap();
        let expected = |kind, text: &str| (kind, Some(text.to_owned()));
        assert_eq!(decide(&table, "8.1.2.3"), expected('L', "8.1.2.0/24"));
        assert_eq!(decide(&table, "8.1.2.128/25"), expected('L', "8.1.2.0/24"));
        assert_eq!(decide(&table, "8.1.2.0/24"), expected('L', "8.1.2.0/24"));
        assert_eq!(decide(&table, "8.1.2.0/23"), expected('B', "8.1.0.0/16"));
        assert_eq!(decide(&table, "8.0.0.0/8"), ('U', None));
        assert_eq!(decide(&table, "8.9.1.0/25"), expected('W', "8.9.1.0/24"));
        assert_eq!(decide(&table, "8.9.0.0/23"), expected('L', "8.9.0.0/16"));
        assert_eq!(decide(&table, "9.0.3.0/24"), ('N', None));
        assert_eq!(decide(&table, "9.0.0.0/8"), expected('L', "9.0.0.0/8"));
        assert_eq!(decide(&table, "127.0.0.2"), ('T', None));
        let info = table.info(NOW);
        assert_eq!((info.listed, info.below, info.lifted, info.white), (3, 1, 0, 1));
    }
}

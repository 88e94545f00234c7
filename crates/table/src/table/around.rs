//! What lies around a network, and decides on it too.

use super::Table;
use crate::decision::{Entry, UnixSeconds};
use crate::network::Network;
use crate::slots::View;

impl Table {
    /// Whether all of a black entry's network is lifted by the never-list or a white network.
    pub(super) fn is_lifted(&self, entry: &Entry, floor: u32, now: UnixSeconds) -> bool {
        let (first, last) = entry.network.range();
        let is_never = |address| self.policy_block().terms_for(address, 0).1;
        is_never(first) && is_never(last) || self.is_under_white(entry.network, floor, now)
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
        let around = self.lengths().around(Network::host(key.address()));
        around.filter(|network| network.mapped_length() < key.mapped_length()).any(|network| {
            let view = self.lookup(network);
            view.is_some_and(|view| is_it(&view) && view.life.is_alive(now, floor))
        })
    }
}

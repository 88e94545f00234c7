//! The one decision, on a client or a network: everything that lists, shows or answers asks here.

use std::net::IpAddr;

use super::Table;
use crate::decision::{Decision, Entry, Filter, UnixSeconds};
use crate::network::{Network, bits_of};
use crate::policy_block::{Terms, test_point};
use crate::slots::{Hinted, NoHint, Slots};

impl Table {
    /// The one decision: what a list says about a client.
    ///
    /// In this order: RFC 5782's test addresses; the never-list; a live white entry for the client
    /// or a network around it; the most specific black entry that the filter takes. An entry
    /// counts from the policy's threshold on, or at once if the administrator made it.
    pub fn decide(&self, client: IpAddr, filter: &Filter, now: UnixSeconds) -> Decision {
        self.read(|table| table.decide_here(client, filter, now))
    }

    fn decide_here(&self, client: IpAddr, filter: &Filter, now: UnixSeconds) -> Decision {
        match test_point(client) {
            Some(true) => return Decision::Test,
            Some(false) => return Decision::Never,
            None => {}
        }
        let (terms, is_never, _) = self.policy_block().terms_for(bits_of(client), 0);
        if is_never {
            return Decision::Never;
        }
        self.decide_among(&self.slots(), terms, Network::host(client), filter, now, &NoHint)
    }

    /// The same for a network: what holds for all of its addresses, whatever the entries for parts of
    /// it say. A single address is a client.
    pub fn decide_network(&self, network: Network, filter: &Filter, now: UnixSeconds) -> Decision {
        if network.is_host() {
            return self.decide(network.address(), filter, now);
        }
        self.read(|table| table.decide_network_here(network, filter, now))
    }

    fn decide_network_here(&self, network: Network, filter: &Filter, now: UnixSeconds) -> Decision {
        let (terms, is_never) = self.policy_block().terms_around(network.range());
        if is_never {
            return Decision::Never;
        }
        self.decide_among(&self.slots(), terms, network, filter, now, &NoHint)
    }

    /// The part of the decision that looks at entries.
    #[inline]
    pub(super) fn decide_among(
        &self,
        slots: &Slots<'_>,
        terms: Terms,
        subject: Network,
        filter: &Filter,
        now: UnixSeconds,
        hint: &impl Hinted,
    ) -> Decision {
        let (mut listed, mut below) = (None, None);
        for network in self.lengths().around(subject) {
            let Some(view) = hint.lookup(slots, network) else {
                continue;
            };
            if !view.life.is_alive(now, terms.floor) {
                continue;
            }
            let entry = view.entry(now);
            if entry.white {
                let takes = filter.takes(&entry);
                return if takes { Decision::Listed(entry) } else { Decision::White(entry) };
            }
            if listed.is_none() && filter.takes(&entry) && counts(&entry, terms.threshold) {
                listed = Some(entry);
            }
            below = below.or(Some(entry));
        }
        match (listed, below) {
            (Some(entry), _) => Decision::Listed(entry),
            (None, Some(entry)) => Decision::Below(entry),
            (None, None) => Decision::Unknown,
        }
    }

    /// Whether a black entry lists its network, or is still under the threshold.
    pub fn is_counted(&self, entry: &Entry) -> bool {
        counts(entry, self.latest().policy_block().terms().threshold)
    }
}

/// Whether a live black entry is listed. What the administrator lists by hand is listed at once;
/// the threshold is for what machines report.
pub(super) fn counts(entry: &Entry, threshold: u32) -> bool {
    entry.count >= threshold || entry.is_by_hand()
}

//! Looking ahead: where a client's entry would be, found before it is needed.
//!
//! ```text
//! for each client:  probe = table.probe(client)      hashes, and asks for the control words
//! for each probe:   table.fetch_entry(&probe)        asks for the entry, if there seems to be one
//! for each probe:   table.decide_at(&probe, …)       finds all of it in the cache
//! ```

use std::net::IpAddr;

use super::Table;
use crate::decision::{Decision, Filter, UnixSeconds};
use crate::hash::Seed;
use crate::network::Network;
use crate::slots::{Place, Slots};

/// A client, and where its own entry would be in one table. Only a hint: in any other table, be it
/// the one that has just replaced that, the place is found anew.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub(super) client: IpAddr,
    place: Place,
    seed: Seed,
    slots: usize,
}

impl Probe {
    /// The place of a network, if it is the one that was looked for, in a table of that layout.
    pub(super) fn place_of(&self, network: Network, slots: &Slots<'_>) -> Option<Place> {
        let is_same = self.place.network() == network
            && self.seed == slots.seed()
            && self.slots == slots.len();
        is_same.then_some(self.place)
    }
}

impl Table {
    /// Finds a client's place, and asks the memory for the control words there.
    pub fn probe(&self, client: IpAddr) -> Probe {
        let slots = self.slots();
        let place = slots.place(self.client_network(client));
        slots.prefetch_controls(&place);
        Probe { client, place, seed: slots.seed(), slots: slots.len() }
    }

    /// Asks the memory for the entry itself, if the control words say that there may be one.
    pub fn fetch_entry(&self, probe: &Probe) {
        let slots = self.slots();
        if let Some(place) = probe.place_of(probe.place.network(), &slots) {
            slots.prefetch_bodies(&place);
        }
    }

    /// The same as [`Table::decide`] for the probe's client.
    pub fn decide_at(&self, probe: &Probe, filter: &Filter, now: UnixSeconds) -> Decision {
        self.read(|table| table.decide_here(probe.client, filter, now, Some(probe)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::writable::{Report, WritableTable};

    const NOW: UnixSeconds = 1_795_000_000;

    /// A probe of one table, used in another, larger, smaller, or of another seed, finds what that
    /// other one holds. Caught: a place that is believed without a look at whose it is (another
    /// entry is missed, or an index is out of range).
    #[test]
    fn a_probe_of_another_table_is_only_a_hint() {
        let tables = [64, 256, 64, 1 << 14].map(|slots| WritableTable::on_heap(slots).unwrap());
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        for table in &tables {
            for client in [client, v6] {
                let network = Network::host(client);
                let report = Report { network, reason: 1, reporter: 0, weight: None };
                table.record(&report, NOW).unwrap();
            }
        }
        for one in &tables {
            for other in &tables {
                for client in [client, v6, "192.0.2.9".parse().unwrap()] {
                    let probe = one.probe(client);
                    other.fetch_entry(&probe);
                    let filter = Filter::default();
                    let decision = other.decide_at(&probe, &filter, NOW);
                    assert_eq!(decision, other.decide(client, &filter, NOW));
                }
            }
        }
    }
}

//! Many look-ups at one time: what they have in common is read once, and what each will need is asked
//! of the memory before any waits for it.
//!
//! ```text
//! glance = table.glance()                  the slots, the policy's settings
//! for each client:  probe = glance.probe(client)   hashes, and asks for the control words
//! for each probe:   probe.fetch()                  judges the control words, and asks for the entry
//! for each probe:   probe.decide(filter, now)      finds all of it in the cache
//! ```
//!
//! A decision is as true as one by [`Table::decide`] that was made at some instant between `fetch` and
//! now: what the control words said is judged in the order of those steps, an entry is believed
//! only if its control word has not changed since, and if the table was replaced or the policy changed
//! meanwhile, the decision is made anew. While a resize is under way, all decisions are.

use std::net::IpAddr;

use super::Table;
use crate::decision::{Decision, Filter, UnixSeconds};
use crate::network::{Network, bits_of};
use crate::policy_block::{Sample, test_point};
use crate::slots::{Hint, Slots};
use crate::sync::{Ordering, fence};

/// What many look-ups in one table have in common. For some microseconds, not to be kept.
pub struct Glance<'t> {
    table: &'t Table,
    slots: Slots<'t>,
    policy: Sample<'t>,
    /// Whether there is no other table beside this one.
    is_alone: bool,
}

/// One client's look-up, on its way.
pub struct Probe<'g> {
    glance: &'g Glance<'g>,
    client: IpAddr,
    hint: Hint,
}

impl Table {
    /// Begins to look many clients up.
    pub fn glance(&self) -> Glance<'_> {
        let slots = self.slots();
        let is_alone = slots.is_alone() && !self.is_retired();
        Glance { table: self, slots, policy: self.policy_block().sample(), is_alone }
    }
}

impl<'g> Glance<'g> {
    /// Finds a client's place, and asks the memory for the control words there.
    #[inline]
    pub fn probe(&'g self, client: IpAddr) -> Probe<'g> {
        let network = Network::of_client(client, self.policy.terms.ipv6_prefix);
        let hint = Hint::new(self.slots.place(network));
        self.slots.prefetch_controls(&hint);
        Probe { glance: self, client, hint }
    }
}

impl Probe<'_> {
    /// Judges the control words, and asks the memory for the entry, if there seems to be one.
    #[inline]
    pub fn fetch(&mut self) {
        self.glance.slots.prefetch_bodies(&mut self.hint);
    }

    /// What a list says about the client: see [`Table::decide`].
    #[inline]
    pub fn decide(&self, filter: &Filter, now: UnixSeconds) -> Decision {
        let Glance { table, slots, policy, is_alone } = self.glance;
        if *is_alone {
            let decision = match test_point(self.client) {
                Some(true) => Decision::Test,
                Some(false) => Decision::Never,
                None if policy.is_never(bits_of(self.client)) => Decision::Never,
                None => {
                    let client = Network::host(self.client);
                    table.decide_among(slots, policy.terms, client, filter, now, &self.hint)
                }
            };
            // What was read above was read before the flags are.
            fence(Ordering::Acquire);
            if !table.is_retired() && policy.is_in_force() {
                return decision;
            }
        }
        table.decide(self.client, filter, now)
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::writable::{Report, WritableTable};

    const NOW: UnixSeconds = 1_795_000_000;

    fn clients() -> [IpAddr; 6] {
        ["192.0.2.1", "192.0.2.9", "2001:db8::1", "10.0.0.1", "127.0.0.2", "127.0.0.1"]
            .map(|client| client.parse().unwrap())
    }

    fn record(table: &WritableTable, network: Network) {
        let report = Report { network, reason: 1, reporter: 0, weight: None, seconds: None };
        // What is never listed is refused.
        let _ = table.record(&report, NOW);
    }

    fn expect_the_same(glance: &Glance<'_>, table: &WritableTable, fetches: bool) {
        for client in clients() {
            let mut probe = glance.probe(client);
            if fetches {
                probe.fetch();
            }
            let decision = probe.decide(&Filter::default(), NOW);
            assert_eq!(decision, table.decide(client, &Filter::default(), NOW), "{client}");
        }
    }

    /// Caught: a never-list that is not asked.
    #[test]
    fn a_probe_decides_as_the_table_does() {
        for slots in [16, if cfg!(miri) { 32 } else { 1 << 14 }] {
            let table = WritableTable::on_heap(slots).unwrap();
            for listed in 0..2 {
                if listed == 1 {
                    clients().iter().for_each(|&client| record(&table, Network::host(client)));
                    record(&table, "198.51.100.0/24".parse().unwrap());
                }
                for fetches in [true, false] {
                    expect_the_same(&table.glance(), &table, fetches);
                }
            }
        }
    }

    /// Entries that end or come between the glance and the decision. Caught: what looked like no entry
    /// once, taken for none for ever.
    #[test]
    fn changes_meanwhile_are_seen_or_not_yet() {
        let table = WritableTable::on_heap(64).unwrap();
        let (client, other) = (clients()[0], clients()[1]);
        record(&table, Network::host(client));
        let glance = table.glance();
        let probes = [client, other].map(|client| {
            let mut probe = glance.probe(client);
            probe.fetch();
            probe
        });
        table.forgive(Network::host(client), 1, NOW).unwrap();
        record(&table, Network::host(other));
        let [gone, new] = probes.map(|probe| probe.decide(&Filter::default(), NOW));
        assert!(!gone.is_listed(), "{gone:?}");
        // It came after the look at its control words.
        assert_eq!(new, Decision::Unknown);
        expect_the_same(&table.glance(), &table, true);
    }

    /// Caught: a decision by a policy that is no longer in force.
    #[test]
    fn a_policy_that_changed_meanwhile_counts() {
        let table = WritableTable::on_heap(64).unwrap();
        clients().iter().for_each(|&client| record(&table, Network::host(client)));
        for policy in [
            Policy { threshold: 5, ..Policy::default() },
            Policy { ipv6_prefix: 48, ..Policy::default() },
            Policy { never: vec!["192.0.2.0/24".parse().unwrap()], ..Policy::default() },
        ] {
            let glance = table.glance();
            let mut probes = clients().map(|client| glance.probe(client));
            probes.iter_mut().for_each(Probe::fetch);
            table.set_policy(&policy).unwrap();
            for probe in &probes {
                let decision = probe.decide(&Filter::default(), NOW);
                assert_eq!(decision, table.decide(probe.client, &Filter::default(), NOW));
            }
        }
    }

    /// Caught: a glance at a table that has been replaced.
    #[test]
    #[cfg_attr(miri, ignore = "maps a file")]
    fn a_table_that_was_replaced_meanwhile_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let options = crate::CreateOptions { slots: 64, ..Default::default() };
        let table = WritableTable::create(&path, &options).unwrap();
        for client in clients() {
            let network = Network::host(client);
            // Without end, for a resize has a clock of its own.
            let _ = table.record_endless(
                &Report { network, reason: 1, reporter: 0, weight: None, seconds: None },
                NOW,
            );
        }
        let reader = Table::open(&path).unwrap();
        let glance = reader.glance();
        let mut probes = clients().map(|client| glance.probe(client));
        probes.iter_mut().for_each(Probe::fetch);
        table.resize(128).unwrap();
        table.forgive(Network::host(clients()[0]), crate::dictionary::ADMIN, NOW).unwrap();
        let decisions = probes.map(|probe| probe.decide(&Filter::default(), NOW));
        for (client, decision) in clients().into_iter().zip(decisions) {
            assert_eq!(decision, table.decide(client, &Filter::default(), NOW), "{client}");
        }
        assert!(!decisions[0].is_listed() && decisions[1].is_listed() && decisions[2].is_listed());
    }
}

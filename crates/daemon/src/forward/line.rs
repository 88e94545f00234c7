//! What becomes of a change of the table: a line for the gatherer, or nothing.

use std::net::IpAddr;

use eximrbl_report::Order;
use eximrbl_table::{Entry, Event, EventKind, Name, Names, Network, Table, UnixSeconds};

/// Seconds that stand for "without end": a year, the longest that a policy can have. The gatherer
/// cuts them to what this reporter may.
const ENDLESS: u32 = 31_536_000;

/// What is passed on of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// This.
    Order(Order),
    /// Nothing: it was not reported by those whose reports are passed on, or is no report.
    Nothing,
    /// Nothing, for it is about a network: gatherers take single addresses.
    Network,
}

/// Turns changes of one table into lines.
pub(super) struct Lines {
    /// Whose reports are passed on.
    own: Vec<Name>,
    reporters: Names,
    reasons: Names,
}

impl Lines {
    pub(super) fn new(own: &[Name], table: &Table) -> Self {
        Self { own: own.to_vec(), reporters: table.reporters(), reasons: table.reasons() }
    }

    /// Another table from now on, or other names in this one.
    fn learn(&mut self, table: &Table) {
        self.reporters = table.reporters();
        self.reasons = table.reasons();
    }

    /// Whether the reporter is one of those whose reports are passed on. A number without a name
    /// is nobody's: what came from elsewhere must never go back.
    fn is_own(&mut self, reporter: u8, table: &Table) -> bool {
        if name_of(&self.reporters, reporter).is_none() {
            self.learn(table);
        }
        let name = name_of(&self.reporters, reporter);
        name.is_some_and(|name| self.own.contains(&name))
    }

    /// The bits of those whose reports are passed on.
    pub(super) fn own_bits(&mut self, table: &Table) -> u64 {
        self.learn(table);
        self.own
            .iter()
            .filter_map(|name| self.reporters.bit(name.as_str()))
            .fold(0, |bits, bit| bits | 1 << bit)
    }

    /// What is passed on of a change.
    pub(super) fn of_event(&mut self, event: &Event, table: &Table) -> Passed {
        // What ran out or was evicted here runs out there by itself; what is taken out of entries here is
        // this administrator's doing, and the gatherer's has his own purge.
        let left_out = [EventKind::Evicted, EventKind::Expired, EventKind::Reduced];
        let is_report = !left_out.contains(&event.kind);
        if !is_report || !self.is_own(event.reporter, table) {
            return Passed::Nothing;
        }
        let Some(address) = address_of(event.network, table) else { return Passed::Network };
        Passed::Order(match event.kind {
            EventKind::Added | EventKind::Extended => Order::Black {
                address,
                reason: self.reason(event.reason, table),
                weight: Some(event.weight.max(1)),
                seconds: (event.seconds > 0).then(|| event.seconds.min(ENDLESS)),
            },
            EventKind::Whitened => {
                Order::White { address, seconds: Some(event.seconds.clamp(1, ENDLESS)) }
            }
            EventKind::WhiteEnded => Order::White { address, seconds: Some(0) },
            EventKind::Forgiven => Order::Forgive { address },
            EventKind::Evicted | EventKind::Expired | EventKind::Reduced => {
                return Passed::Nothing;
            }
        })
    }

    /// What is passed on of an entry when the changes that made it were missed, from `since` on.
    ///
    /// Of one that came into being since then, by reports of `own` alone, all that there is. Of
    /// another, one rejection: how many there were since then is not known, nor how many of them
    /// were others'.
    pub(super) fn of_entry(
        &mut self,
        entry: &Entry,
        own: u64,
        since: UnixSeconds,
        table: &Table,
    ) -> Passed {
        if entry.reporters & own == 0 || entry.last < since {
            return Passed::Nothing;
        }
        let Some(address) = address_of(entry.network, table) else { return Passed::Network };
        let seconds = entry.remaining.clamp(1, ENDLESS);
        if entry.white {
            return Passed::Order(Order::White { address, seconds: Some(seconds) });
        }
        let is_ours = entry.reporters & !own == 0;
        let is_new = entry.first >= since;
        let (weight, seconds) = match is_ours && is_new {
            true => (entry.count.clamp(1, eximrbl_table::WEIGHT_MAX), Some(seconds)),
            false => (1, None),
        };
        // One of them: a line has room for no more.
        let reason = (entry.reasons != 0).then(|| entry.reasons.trailing_zeros() as u8);
        let reason = reason.and_then(|bit| self.reason(bit, table));
        Passed::Order(Order::Black { address, reason, weight: Some(weight), seconds })
    }

    fn reason(&mut self, bit: u8, table: &Table) -> Option<Name> {
        name_of(&self.reasons, bit).or_else(|| {
            self.learn(table);
            name_of(&self.reasons, bit)
        })
    }
}

fn name_of(names: &Names, bit: u8) -> Option<Name> {
    let (_, name) = names.iter().find(|(place, _)| *place == bit)?;
    Name::new(name.as_bytes())
}

/// The address that stands for an entry: that of the one client, or the first of an IPv6 client's
/// network, which the gatherer widens again by its own policy. `None` for other networks, which
/// only the administrator lists.
fn address_of(network: Network, table: &Table) -> Option<IpAddr> {
    let address = network.address();
    (network.is_host() || table.client_network(address) == network).then_some(address)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use eximrbl_table::{Next, Report, WritableTable, dictionary};

    const NOW: UnixSeconds = 1_795_000_000;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    fn report(
        table: &WritableTable,
        network: &str,
        reporter: &str,
        weight: u32,
        seconds: Option<u32>,
    ) -> Report {
        Report {
            network: table_network(table, network),
            reason: table.reason(name("rcpt"), true),
            reporter: table.reporter(name(reporter)).unwrap(),
            weight: Some(weight),
            seconds,
        }
    }

    fn table_network(table: &WritableTable, text: &str) -> Network {
        let network: Network = text.parse().unwrap();
        if network.is_host() { table.client_network(network.address()) } else { network }
    }

    /// What becomes of the changes that `change` makes.
    fn lines(own: &[&str], change: impl FnOnce(&WritableTable)) -> Vec<String> {
        let table = WritableTable::on_heap(64).unwrap();
        let own: Vec<_> = own.iter().map(|own| name(own)).collect();
        // Names that the table learns later must be known all the same.
        let mut lines = Lines::new(&own, &table);
        let mut reader = table.events(None);
        change(&table);
        let mut found = Vec::new();
        while let Next::Event(event) = table.next_event(&mut reader, NOW) {
            found.push(match lines.of_event(&event, &table) {
                Passed::Order(order) => order.to_string(),
                Passed::Nothing => "nothing".to_owned(),
                Passed::Network => "network".to_owned(),
            });
        }
        found
    }

    /// Caught: the policy's life sent as seconds that were asked for; names that were learned only
    /// at the start; an expiry taken for an end by hand.
    #[test]
    fn every_kind_of_change_has_its_line() {
        let found = lines(&["local"], |table| {
            let record = |network, weight, seconds| {
                table.record(&report(table, network, "local", weight, seconds), NOW).unwrap();
            };
            record("192.0.2.1", 3, None);
            record("192.0.2.1", 1, Some(90));
            record("2001:db8:1:2:3::4", 1, None);
            table.record_endless(&report(table, "192.0.2.2", "local", 1, None), NOW).unwrap();
            let white = |text: &str, seconds| {
                table.white(table_network(table, text), seconds, dictionary::LOCAL, NOW).unwrap();
            };
            white("192.0.2.3", Some(60));
            white("192.0.2.3", Some(0));
            white("192.0.2.4", None);
            table.forgive(table_network(table, "192.0.2.1"), dictionary::LOCAL, NOW).unwrap();
            record("192.0.2.0/24", 1, None);
            record("2001:db8::/32", 1, None);
            record("192.0.2.9", 1, Some(60));
            table.sweep(NOW + 60, eximrbl_table::Expiry::Due);
        });
        assert_eq!(
            found[..11],
            [
                "black 192.0.2.1 rcpt 3",
                "black 192.0.2.1 rcpt 1 90",
                "black 2001:db8:1:2:: rcpt 1",
                "black 192.0.2.2 rcpt 1 31536000",
                "white 192.0.2.3 60",
                "white 192.0.2.3 0",
                "white 192.0.2.4 31536000",
                "forgive 192.0.2.1",
                "network",
                "network",
                "black 192.0.2.9 rcpt 1 60",
            ]
        );
        assert!(found[11..].iter().all(|line| line == "nothing") && found.len() > 11, "{found:?}");
    }

    /// Caught: every reporter's changes passed on; those of a number without a name passed on.
    #[test]
    fn what_others_reported_stays_here() {
        let found = lines(&["local", "rejectlog"], |table| {
            for reporter in ["mx2", "local", "admin", "rejectlog", "paris"] {
                table.record(&report(table, "192.0.2.1", reporter, 1, None), NOW).unwrap();
            }
            let nameless = Report { reporter: 60, ..report(table, "192.0.2.1", "local", 1, None) };
            table.record(&nameless, NOW).unwrap();
        });
        let own = "black 192.0.2.1 rcpt 1";
        assert_eq!(found, ["nothing", own, "nothing", own, "nothing", "nothing"]);
    }

    /// Caught: names that were learned only at the start.
    #[test]
    fn reporters_that_come_later_are_known() {
        let table = WritableTable::on_heap(64).unwrap();
        let mut lines = Lines::new(&[name("local"), name("rejectlog")], &table);
        let mut reader = table.events(None);
        for (reporter, is_own) in [("local", true), ("mx2", false), ("rejectlog", true)] {
            table.record(&report(&table, "192.0.2.1", reporter, 1, None), NOW).unwrap();
            let Next::Event(event) = table.next_event(&mut reader, NOW) else { panic!("no event") };
            let passed = lines.of_event(&event, &table);
            assert_eq!(matches!(passed, Passed::Order(_)), is_own, "{reporter}");
        }
    }

    /// Caught: others' counts passed on as this host's; an old entry's whole count sent again.
    #[test]
    fn of_a_missed_entry_only_what_is_certainly_new_and_own_is_passed_on_whole() {
        let table = WritableTable::on_heap(64).unwrap();
        let record = |network, reporter, weight, now| {
            table.record(&report(&table, network, reporter, weight, None), now).unwrap();
        };
        record("192.0.2.1", "local", 2, NOW + 10);
        record("192.0.2.1", "local", 3, NOW + 11);
        record("192.0.2.2", "local", 2, NOW - 10);
        record("192.0.2.2", "local", 1, NOW + 10);
        record("192.0.2.3", "local", 2, NOW + 10);
        record("192.0.2.3", "mx2", 5, NOW + 10);
        record("192.0.2.4", "mx2", 5, NOW + 10);
        record("192.0.2.5", "local", 5, NOW - 1);
        table.white("192.0.2.6".parse().unwrap(), Some(100), dictionary::LOCAL, NOW + 10).unwrap();
        record("192.0.2.128/25", "local", 1, NOW + 10);
        let mut lines = Lines::new(&[name("local")], &table);
        let own = lines.own_bits(&table);
        assert_eq!(own, 1);
        let mut found: Vec<_> = table
            .entries(NOW + 11)
            .map(|entry| (entry.network, lines.of_entry(&entry, own, NOW, &table)))
            .filter(|(_, passed)| *passed != Passed::Nothing)
            .collect();
        found.sort_by_key(|(network, _)| *network);
        let found: Vec<_> = found
            .into_iter()
            .map(|(_, passed)| match passed {
                Passed::Order(order) => order.to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            found,
            [
                "black 192.0.2.1 rcpt 5 2999",
                "black 192.0.2.2 rcpt 1",
                "black 192.0.2.3 rcpt 1",
                "white 192.0.2.6 99",
                "Network",
            ]
        );
    }
}

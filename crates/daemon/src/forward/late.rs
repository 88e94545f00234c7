//! Reports that come late: those that waited for a gatherer which was away.
//!
//! A listing ends when it ends here. What was rejected an hour ago, and is listed no more, is not worth a
//! listing elsewhere now; and what is still listed is passed on with the life that it has left.

use eximrbl_report::Order;
use eximrbl_table::{Table, UnixSeconds};

/// Seconds that a report may take without being late: caches keep "not listed" for as long.
const LATE: u32 = 60;

/// What is left of an order that was given at `time`; `None` when nothing is.
pub(super) fn left_of(
    order: Order,
    time: UnixSeconds,
    table: &Table,
    now: UnixSeconds,
) -> Option<Order> {
    if now.saturating_sub(time) <= LATE {
        return Some(order);
    }
    let entry = || {
        let network = table.client_network(order.address());
        table.entry(network, now)
    };
    match order {
        Order::Black { address, reason, weight, seconds } => {
            let entry = entry().filter(|entry| !entry.white)?;
            let usual = || table.policy().base_ttl.saturating_mul(weight.unwrap_or(1));
            let seconds = seconds.unwrap_or_else(usual).min(entry.remaining).max(1);
            Some(Order::Black { address, reason, weight, seconds: Some(seconds) })
        }
        Order::White { address, seconds: Some(asked @ 1..) } => {
            let entry = entry().filter(|entry| entry.white)?;
            let seconds = asked.min(entry.remaining).max(1);
            Some(Order::White { address, seconds: Some(seconds) })
        }
        // To end what has ended does no harm.
        Order::White { .. } | Order::Forgive { .. } => Some(order),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use eximrbl_table::{Report, WritableTable, dictionary};

    const NOW: UnixSeconds = 1_795_000_000;

    fn black(weight: u32, seconds: Option<u32>) -> Order {
        let address = "192.0.2.1".parse().unwrap();
        Order::Black { address, reason: None, weight: Some(weight), seconds }
    }

    /// What is left of an order of 192.0.2.1 after so many seconds, as it is written.
    fn left(table: &WritableTable, order: Order, after: u32) -> Option<String> {
        left_of(order, NOW, table, NOW + after).map(|order| order.to_string())
    }

    /// Caught: a full listing for a rejection of long ago; one for a client that is listed no more.
    #[test]
    fn a_late_rejection_lists_for_what_is_left() {
        let table = WritableTable::on_heap(64).unwrap();
        let network = "192.0.2.1".parse().unwrap();
        let report = Report { network, reason: 1, reporter: 0, weight: Some(2), seconds: None };
        table.record(&report, NOW).unwrap();
        let left = |order, after| left(&table, order, after);
        assert_eq!(left(black(2, None), 60).unwrap(), "black 192.0.2.1 - 2", "in time");
        assert_eq!(left(black(2, None), 61).unwrap(), "black 192.0.2.1 - 2 1139");
        assert_eq!(left(black(1, None), 61).unwrap(), "black 192.0.2.1 - 1 600");
        assert_eq!(left(black(1, Some(90)), 61).unwrap(), "black 192.0.2.1 - 1 90");
        assert_eq!(left(black(2, None), 1130).unwrap(), "black 192.0.2.1 - 2 70");
        assert_eq!(left(black(2, None), 1200), None);
        let forgive = Order::Forgive { address: "192.0.2.1".parse().unwrap() };
        assert_eq!(left(forgive, 5000).unwrap(), "forgive 192.0.2.1");
    }

    /// Caught: a whitelisting that is passed on after its end; a rejection from before it.
    #[test]
    fn a_late_whitelisting_ends_when_it_ends_here() {
        let table = WritableTable::on_heap(64).unwrap();
        let network = "192.0.2.1".parse().unwrap();
        table.white(network, Some(500), dictionary::LOCAL, NOW).unwrap();
        let white = |seconds| Order::White { address: network.address(), seconds: Some(seconds) };
        assert_eq!(left(&table, white(500), 100).unwrap(), "white 192.0.2.1 400");
        assert_eq!(left(&table, black(1, None), 100), None);
        assert_eq!(left(&table, white(500), 500), None);
        assert_eq!(left(&table, white(0), 600).unwrap(), "white 192.0.2.1 0");
    }
}

//! How often a client may do what costs the collector more than it costs the client.
//!
//! Only for connections: senders of datagrams may pretend to be somebody else, who would then be
//! turned away.

use std::collections::HashMap;
use std::time::Duration;

use crate::tcp::Client;

/// Counted anew after this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Clients that are told apart. With more, new ones are not counted.
const CLIENTS: usize = 1024;

/// So often a minute, of each client. Times are from any beginning.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    clients: HashMap<Client, Used>,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    since: Duration,
    count: u32,
}

impl Used {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WINDOW
    }
}

impl Allowance {
    /// So many a minute.
    pub(super) fn new(most: u32) -> Self {
        Self { most, clients: HashMap::new() }
    }

    /// Whether a client has done it often enough, for the rest of the minute.
    pub(super) fn is_used_up(&self, client: Client, now: Duration) -> bool {
        self.clients.get(&client).is_some_and(|used| used.count >= self.most && !used.is_over(now))
    }

    /// Counts one.
    pub(super) fn note(&mut self, client: Client, now: Duration) {
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            self.clients.retain(|_, used| !used.is_over(now));
            if self.clients.len() >= CLIENTS {
                return;
            }
        }
        let used = self.clients.entry(client).or_insert(Used { since: now, count: 0 });
        if used.is_over(now) {
            *used = Used { since: now, count: 0 };
        }
        used.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        Client::of(std::net::Ipv4Addr::from(number).into())
    }

    /// Caught: one client counted for another; a client who is turned away for ever.
    #[test]
    fn a_client_has_so_many_a_minute() {
        let (mut allowance, second) = (Allowance::new(100), Duration::from_secs(1));
        for _ in 0..100 {
            assert!(!allowance.is_used_up(client(1), second));
            allowance.note(client(1), second);
        }
        assert!(allowance.is_used_up(client(1), second));
        assert!(allowance.is_used_up(client(1), WINDOW));
        assert!(!allowance.is_used_up(client(2), second));
        assert!(!allowance.is_used_up(client(1), WINDOW + second));
        allowance.note(client(1), WINDOW + second);
        assert!(!allowance.is_used_up(client(1), WINDOW + second));
    }

    /// Caught: memory for every address there is; one that stays full.
    #[test]
    fn clients_without_number_take_no_more_memory() {
        let mut allowance = Allowance::new(100);
        for number in 0..5000 {
            allowance.note(client(number), Duration::ZERO);
        }
        assert_eq!(allowance.clients.len(), CLIENTS);
        allowance.note(client(9999), WINDOW);
        assert_eq!(allowance.clients.len(), 1);
    }
}

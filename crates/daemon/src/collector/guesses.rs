//! Who has sent too many wrong secrets, by connections.
//!
//! No secret can be found by guessing, however fast: this keeps those who try from the work that is
//! done for reporters. Senders of datagrams are not counted, for they may pretend to be somebody
//! else, who would then be turned away.

use std::collections::HashMap;
use std::time::Duration;

use crate::tcp::Client;

/// How many may be wrong within [`WINDOW`]: a host with an old secret, whose every connection says so,
/// is told so for a while.
const MOST: u32 = 100;
/// Counted anew after this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Clients that are told apart. With more, new ones are not counted.
const CLIENTS: usize = 1024;

/// Wrong secrets of each client. Times are from any beginning.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    clients: HashMap<Client, Wrong>,
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    since: Duration,
    count: u32,
}

impl Wrong {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WINDOW
    }
}

impl Guesses {
    /// Whether a client's signatures are not looked at any more, for the rest of the window.
    pub(super) fn are_too_many(&self, client: Client, now: Duration) -> bool {
        self.clients.get(&client).is_some_and(|wrong| wrong.count >= MOST && !wrong.is_over(now))
    }

    /// Counts one.
    pub(super) fn note(&mut self, client: Client, now: Duration) {
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            self.clients.retain(|_, wrong| !wrong.is_over(now));
            if self.clients.len() >= CLIENTS {
                return;
            }
        }
        let wrong = self.clients.entry(client).or_insert(Wrong { since: now, count: 0 });
        if wrong.is_over(now) {
            *wrong = Wrong { since: now, count: 0 };
        }
        wrong.count += 1;
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
        let (mut guesses, second) = (Guesses::default(), Duration::from_secs(1));
        for _ in 0..MOST {
            assert!(!guesses.are_too_many(client(1), second));
            guesses.note(client(1), second);
        }
        assert!(guesses.are_too_many(client(1), second));
        assert!(guesses.are_too_many(client(1), WINDOW));
        assert!(!guesses.are_too_many(client(2), second));
        assert!(!guesses.are_too_many(client(1), WINDOW + second));
        guesses.note(client(1), WINDOW + second);
        assert!(!guesses.are_too_many(client(1), WINDOW + second));
    }

    /// Caught: memory for every address there is; one that stays full.
    #[test]
    fn clients_without_number_take_no_more_memory() {
        let mut guesses = Guesses::default();
        for number in 0..5000 {
            guesses.note(client(number), Duration::ZERO);
        }
        assert_eq!(guesses.clients.len(), CLIENTS);
        guesses.note(client(9999), WINDOW);
        assert_eq!(guesses.clients.len(), 1);
    }
}

//! Rejections so long ago that each of them by itself is over by now.
//!
//! Several may not be over together: each adds to the life that the ones before it left. So they are
//! kept until they are, and go into the table as soon as they reach until now; what ends before that
//! never gets there. A client is kept here for no longer than it would have been listed, so the
//! memory follows the log's rate, not its length.

use std::collections::HashMap;

use eximrbl_table::{Network, UnixSeconds};

/// One rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) time: UnixSeconds,
    /// Bit of the reason.
    pub(super) reason: u8,
    /// How many it counts for; `None` takes the policy's weight.
    pub(super) weight: Option<u32>,
    /// Seconds of life that it adds.
    pub(super) life: u32,
}

/// The terms of the policy that matter here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) floor: u32,
    pub(super) max_ttl: u32,
}

/// Clients whose listing was over before now, as far as the log was read.
#[derive(Debug)]
pub(super) struct Past {
    clients: HashMap<Network, Client>,
    /// So many are kept before those that have ended are looked for.
    most: usize,
}

#[derive(Debug, Default)]
struct Client {
    deadline: UnixSeconds,
    rejections: Vec<Rejection>,
}

/// A search costs time for each that is kept, so it waits until there are twice as many.
const LEAST: usize = 4096;

impl Past {
    pub(super) fn new() -> Self {
        Self { clients: HashMap::new(), most: LEAST }
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Adds a rejection; yields all of the client's if together they last until now.
    pub(super) fn add(
        &mut self,
        client: Network,
        rejection: Rejection,
        terms: Terms,
        now: UnixSeconds,
    ) -> Option<Vec<Rejection>> {
        let time = rejection.time;
        if self.clients.len() >= self.most {
            self.clients.retain(|_, client| client.lives(time, terms));
            self.most = (2 * self.clients.len()).max(LEAST);
        }
        let kept = self.clients.entry(client).or_default();
        kept.add(rejection, terms);
        if !kept.lives(now, terms) {
            return None;
        }
        self.clients.remove(&client).map(|client| client.rejections)
    }
}

impl Client {
    /// Whether it is listed at this time.
    fn lives(&self, time: UnixSeconds, terms: Terms) -> bool {
        self.deadline.saturating_sub(time) >= terms.floor
    }

    /// As the table does it: what is left is lengthened, and what is over begins anew.
    fn add(&mut self, rejection: Rejection, terms: Terms) {
        let time = rejection.time;
        if !self.lives(time, terms) {
            self.rejections.clear();
            self.deadline = time;
        }
        let left = self.deadline.saturating_sub(time);
        let life = left.saturating_add(rejection.life).min(terms.max_ttl);
        self.deadline = self.deadline.max(time.saturating_add(life));
        self.rejections.push(rejection);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TERMS: Terms = Terms { floor: 60, max_ttl: 10_000 };
    const NOW: UnixSeconds = 1_000_000;

    fn ago(seconds: u32) -> Rejection {
        Rejection { time: NOW - seconds, reason: 1, weight: None, life: 600 }
    }

    /// Caught: lives that were not added up; one that ended counted with the next.
    #[test]
    fn rejections_that_last_until_now_only_together_are_found() {
        let client: Network = "192.0.2.1".parse().unwrap();
        let mut past = Past::new();
        // Ends 1000 s ago, less the floor.
        assert_eq!(past.add(client, ago(1600), TERMS, NOW), None);
        // Anew, until 300 s ago, then 300 s from now.
        assert_eq!(past.add(client, ago(900), TERMS, NOW), None);
        assert_eq!(past.add(client, ago(900), TERMS, NOW), Some(vec![ago(900), ago(900)]));
        assert!(past.clients.is_empty());
    }

    /// Caught: the floor left out.
    #[test]
    fn less_than_the_floor_is_over() {
        let client: Network = "192.0.2.1".parse().unwrap();
        assert_eq!(Past::new().add(client, ago(541), TERMS, NOW), None);
        assert_eq!(Past::new().add(client, ago(540), TERMS, NOW), Some(vec![ago(540)]));
    }

    #[test]
    fn a_life_has_its_most() {
        let client: Network = "192.0.2.1".parse().unwrap();
        let mut past = Past::new();
        for _ in 0..100 {
            assert_eq!(past.add(client, ago(11_000), TERMS, NOW), None);
        }
    }

    /// Caught: clients that were never let go of.
    #[test]
    fn who_has_ended_is_let_go_of() {
        let mut past = Past::new();
        for number in 0..100_000_u32 {
            let client = Network::host(std::net::Ipv4Addr::from(0x0b00_0000 + number).into());
            past.add(client, ago(500_000 - number), TERMS, NOW);
            // 600 s of clients, one a second, and those that are not looked for yet.
            assert!(past.clients.len() <= LEAST, "{}", past.clients.len());
        }
    }
}

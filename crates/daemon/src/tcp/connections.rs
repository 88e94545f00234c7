//! The open connections, of all listening addresses together.
//!
//! When there are as many as there may be, a new one takes the place of another: of the client
//! that has the most, the one that has waited longest for its next query (RFC 7766 section 6.2.3
//! lets a server close idle connections when it lacks room). Every answer leaves at once, so a
//! connection that is in use has not waited long. Thus many idle connections, whoever holds them,
//! keep nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use eximrbl_zone::TcpSettings;
use nix::sys::resource::{Resource, getrlimit};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Files that the process needs for other things.
const OTHER_FILES: u64 = 64;

/// All open connections.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Arc<Mutex<Open>>,
    /// As many as there are files for them.
    most: u64,
}

#[derive(Default)]
struct Open {
    /// By their numbers.
    connections: HashMap<u64, Connection>,
    /// How many each client has.
    clients: HashMap<Client, u32>,
    /// How many there have been.
    count: u64,
}

struct Connection {
    client: Client,
    /// When it was made, or answered last.
    waiting_since: Instant,
    /// The task that serves it.
    task: Option<AbortHandle>,
}

/// Who counts as one client: an IPv4 address, or an IPv6 /64, which is what one host is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

/// The place that a connection takes; free again when it is dropped.
pub(super) struct Place {
    connections: Connections,
    pub(super) number: u64,
    /// How many other connections were ended for it.
    pub(super) displaced: u32,
}

impl Connections {
    /// None yet. Says so when there may be fewer than configured.
    pub(crate) fn new(limits: &TcpSettings) -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let most = files.saturating_sub(OTHER_FILES).max(1);
        if u64::from(limits.connections) > most {
            tracing::warn!(
                "dns.tcp.connections: {most} at most, since the process may open {files} files; \
                 raise LimitNOFILE= of the unit (ulimit -n without systemd)"
            );
        }
        Self { open: Arc::default(), most }
    }

    /// A place for one more connection; `None` when its client has its share already.
    pub(super) fn take(&self, client: IpAddr, limits: &TcpSettings) -> Option<Place> {
        let client = Client::of(client);
        let mut open = self.open.lock();
        if open.clients.get(&client).is_some_and(|&count| count >= limits.connections_per_client) {
            return None;
        }
        let mut displaced = 0;
        // More than one after the limit was lowered.
        let most = u64::from(limits.connections).min(self.most);
        while open.connections.len() as u64 >= most {
            displaced += u32::from(open.end_one());
        }
        let number = open.count;
        open.count += 1;
        let connection = Connection { client, waiting_since: Instant::now(), task: None };
        open.connections.insert(number, connection);
        *open.clients.entry(client).or_default() += 1;
        Some(Place { connections: self.clone(), number, displaced })
    }

    /// Tells how a connection can be ended.
    pub(super) fn can_be_ended_by(&self, number: u64, task: AbortHandle) {
        match self.open.lock().connections.get_mut(&number) {
            Some(connection) => connection.task = Some(task),
            // It has ended already, or given way to another.
            None => task.abort(),
        }
    }
}

impl Open {
    /// Ends the connection that is missed least; whether there was one.
    fn end_one(&mut self) -> bool {
        let clients = &self.clients;
        let worth = |connection: &Connection| {
            let count = clients.get(&connection.client).copied().unwrap_or(0);
            (std::cmp::Reverse(count), connection.waiting_since)
        };
        let least = self.connections.iter().min_by_key(|(_, connection)| worth(connection));
        let Some(number) = least.map(|(&number, _)| number) else { return false };
        if let Some(task) = self.remove(number) {
            task.abort();
        }
        true
    }

    /// Takes a connection out of the count.
    fn remove(&mut self, number: u64) -> Option<AbortHandle> {
        let connection = self.connections.remove(&number)?;
        if let Some(count) = self.clients.get_mut(&connection.client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&connection.client);
            }
        }
        connection.task
    }
}

impl Place {
    /// It waits for its next query from now on.
    pub(super) fn has_been_answered(&self) {
        if let Some(connection) = self.connections.open.lock().connections.get_mut(&self.number) {
            connection.waiting_since = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().remove(self.number);
    }
}

impl Client {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Caught: IPv6 clients told apart by their whole address.
    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        let client = |text: &str| Client::of(text.parse().unwrap());
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::1"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    }

    /// Caught: the first of all ended, whoever had it; the last one answered ended.
    #[test]
    fn who_has_the_most_gives_way_with_what_has_waited_longest() {
        let limits = TcpSettings { connections: 4, ..TcpSettings::default() };
        let connections = Connections::new(&limits);
        let take = |client: &str| connections.take(client.parse().unwrap(), &limits).unwrap();
        let is_open =
            |place: &Place| connections.open.lock().connections.contains_key(&place.number);
        let one = take("192.0.2.1");
        let many = ["192.0.2.2"; 3].map(take);
        assert_eq!(many[2].displaced, 0);
        many[0].has_been_answered();
        let new = take("192.0.2.3");
        assert_eq!(new.displaced, 1);
        let left = [&one, &many[0], &many[1], &many[2], &new].map(is_open);
        assert_eq!(left, [true, true, false, true, true]);
        // Two each: of all of these, it is the wait that counts.
        let second = take("192.0.2.1");
        assert!(is_open(&second) && !is_open(&many[2]));
        drop((one, many, new));
        assert_eq!(connections.open.lock().clients.len(), 1);
    }

    /// Caught: a place that was taken away given back twice.
    #[test]
    fn a_client_has_its_share_and_gets_it_back() {
        let limits =
            TcpSettings { connections: 3, connections_per_client: 2, ..TcpSettings::default() };
        let connections = Connections::new(&limits);
        let take = |client: &str| connections.take(client.parse().unwrap(), &limits);
        let (one, two) = (take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        let others = [take("192.0.2.2").unwrap(), take("192.0.2.3").unwrap()];
        // The first of the two has given way, and its place is not counted any more.
        drop(one);
        let counted = |client: &str| {
            connections.open.lock().clients.get(&Client::of(client.parse().unwrap())).copied()
        };
        assert_eq!(counted("192.0.2.1"), Some(1));
        drop((two, others));
        let open = connections.open.lock();
        assert!(open.connections.is_empty() && open.clients.is_empty());
    }
}

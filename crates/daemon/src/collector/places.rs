//! Places for connections that wait: for a line, for its end, or for the client to take its answers.
//!
//! Most clients need none: they are answered as soon as they are accepted. When all places are
//! taken, the connection that has waited longest gives way to a new one, unless it is a reporter's who
//! has shown who he is. So idle connections, however many, keep nobody out.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use eximrbl_zone::Config;
use nix::sys::resource::{Resource, getrlimit};
use tokio::task::AbortHandle;

use super::counts::{Counts, Event};
use crate::tcp::Client;

/// Files that the process needs for other things than connections.
const OTHER_FILES: u64 = 128;

/// All places.
#[derive(Clone)]
pub(super) struct Places(Rc<RefCell<Open>>);

struct Open {
    /// By their numbers.
    connections: HashMap<u64, Connection>,
    /// How many each client has.
    clients: HashMap<Client, u32>,
    /// Numbers in the order of their coming; some may be gone.
    order: VecDeque<u64>,
    /// How many there have been.
    count: u64,
    /// In all, and of one client.
    most: (usize, u32),
    counts: Arc<Counts>,
}

struct Connection {
    /// `None` for programs of this host.
    client: Option<Client>,
    /// Whether it is a reporter's who has shown who he is.
    stays: bool,
    task: Option<AbortHandle>,
}

/// One place; free again when it is dropped.
pub(super) struct Place {
    places: Places,
    pub(super) number: u64,
}

impl Places {
    /// As many as are configured, and as the process has files for.
    pub(super) fn new(config: &Config, counts: Arc<Counts>) -> Self {
        let open = Open {
            connections: HashMap::new(),
            clients: HashMap::new(),
            order: VecDeque::new(),
            count: 0,
            most: (1, 1),
            counts,
        };
        let places = Self(Rc::new(RefCell::new(open)));
        places.renew(config);
        places
    }

    /// Takes over other limits. Who is there stays.
    pub(super) fn renew(&self, config: &Config) {
        let Some(settings) = &config.collector else { return };
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let others = OTHER_FILES + u64::from(config.dns.tcp.connections);
        let most = files.saturating_sub(others).max(16);
        if u64::from(settings.connections) > most {
            tracing::warn!(
                "collector.connections: {most} at most, since the process may open {files} files; \
                 raise LimitNOFILE= of the unit (ulimit -n without systemd)"
            );
        }
        let all = u64::from(settings.connections).min(most);
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        self.0.borrow_mut().most = (all, settings.connections_per_client);
    }

    /// A place for one more connection; `None` when its client has its share, or nobody gives way.
    pub(super) fn take(&self, client: Option<Client>) -> Option<Place> {
        let open = &mut *self.0.borrow_mut();
        let (all, of_client) = open.most;
        if let Some(client) = client
            && open.clients.get(&client).is_some_and(|&count| count >= of_client)
        {
            open.counts.note(Event::Refused);
            return None;
        }
        while open.connections.len() >= all {
            if !open.end_one() {
                open.counts.note(Event::Refused);
                return None;
            }
            open.counts.note(Event::Displaced);
        }
        let number = open.count;
        open.count += 1;
        open.connections.insert(number, Connection { client, stays: false, task: None });
        open.order.push_back(number);
        if let Some(client) = client {
            *open.clients.entry(client).or_default() += 1;
        }
        // Numbers of those who went away in between.
        if open.order.len() > 64 + 2 * open.connections.len() {
            let connections = &open.connections;
            open.order.retain(|number| connections.contains_key(number));
        }
        open.counts.open(open.connections.len());
        Some(Place { places: self.clone(), number })
    }

    /// Tells how a connection can be ended.
    pub(super) fn can_be_ended_by(&self, number: u64, task: AbortHandle) {
        match self.0.borrow_mut().connections.get_mut(&number) {
            Some(connection) => connection.task = Some(task),
            // It has ended already, or given way to another.
            None => task.abort(),
        }
    }

    /// Where connections are counted.
    pub(super) fn counts(&self) -> Arc<Counts> {
        self.0.borrow().counts.clone()
    }
}

impl Open {
    /// Ends the connection that has waited longest; whether there was one that gives way.
    fn end_one(&mut self) -> bool {
        while let Some(number) = self.order.pop_front() {
            match self.connections.get(&number) {
                Some(connection) if !connection.stays => {
                    if let Some(task) = self.remove(number) {
                        task.abort();
                    }
                    return true;
                }
                // It stays for as long as it likes, and need not be looked at again.
                Some(_) | None => {}
            }
        }
        false
    }

    fn remove(&mut self, number: u64) -> Option<AbortHandle> {
        let connection = self.connections.remove(&number)?;
        if let Some(client) = connection.client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        self.counts.open(self.connections.len());
        connection.task
    }
}

impl Place {
    /// It gives way to nobody from now on.
    pub(super) fn is_of_a_reporter(&self) {
        if let Some(connection) = self.places.0.borrow_mut().connections.get_mut(&self.number) {
            connection.stays = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.borrow_mut().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    fn places(all: u32, of_client: u32) -> Places {
        let text = format!(
            "version = 1\n[collector]\nudp = [\"127.0.0.1:4444\"]\nconnections = {all}\n\
             connections_per_client = {of_client}\n[[zone]]\nname = \"rbl.example\"\n"
        );
        let config = Config::parse(&text, Path::new("test.toml")).unwrap();
        Places::new(&config, Arc::default())
    }

    fn client(text: &str) -> Option<Client> {
        Some(Client::of(text.parse().unwrap()))
    }

    fn is_open(places: &Places, place: &Place) -> bool {
        places.0.borrow().connections.contains_key(&place.number)
    }

    /// Caught: a reporter's connection that gives way; the newest one that does.
    #[test]
    fn who_has_waited_longest_gives_way_but_no_reporter() {
        let places = places(3, 3);
        let take = |text: &str| places.take(client(text));
        let reporter = take("192.0.2.1").unwrap();
        reporter.is_of_a_reporter();
        let (first, second) = (take("192.0.2.2").unwrap(), take("192.0.2.3").unwrap());
        let third = take("192.0.2.4").unwrap();
        let open = [&reporter, &first, &second, &third].map(|place| is_open(&places, place));
        assert_eq!(open, [true, false, true, true]);
        second.is_of_a_reporter();
        third.is_of_a_reporter();
        assert!(take("192.0.2.5").is_none());
        drop((reporter, first));
        assert!(take("192.0.2.5").is_some());
    }

    /// Caught: a share that is not given back; one of programs of this host.
    #[test]
    fn a_client_has_its_share_and_gets_it_back() {
        let places = places(10, 2);
        let one = places.take(client("2001:db8::1")).unwrap();
        let two = places.take(client("2001:db8::2")).unwrap();
        assert!(places.take(client("2001:db8::3")).is_none());
        assert!(places.take(client("2001:db8:1::1")).is_some());
        assert_eq!(std::iter::repeat_with(|| places.take(None)).take(5).flatten().count(), 5);
        drop(one);
        assert!(places.take(client("2001:db8::3")).is_some());
        drop(two);
        let open = places.0.borrow();
        assert!(open.connections.is_empty() && open.clients.is_empty());
    }

    /// Caught: numbers of those who are gone, kept for ever.
    #[test]
    fn what_is_gone_takes_no_memory() {
        let places = places(10, 10);
        for _ in 0..10_000 {
            drop(places.take(client("192.0.2.1")));
        }
        assert!(places.0.borrow().order.len() <= 65);
    }
}

//! Three sites and a stream without a network: whatever happens when, and arrives when, the tables
//! agree in the end.
#![allow(clippy::unwrap_used, clippy::panic)]

use eximrbl_table::dictionary::LOCAL;
use eximrbl_table::{Expiry, Name, Network, Next, Report, UnixSeconds, WritableTable};
use proptest::prelude::*;

use super::history::Terms;
use super::merge::Merge;
use super::message::{Body, Message};
use super::outbox::Outbox;
use super::positions::Positions;
use crate::following::Position;

const START: UnixSeconds = 1_795_000_000;
const SITES: [&str; 3] = ["osaka", "paris", "quito"];
/// The clients that it is about; few, so that much happens to each.
const CLIENTS: u8 = 3;

/// What happens at one moment.
#[derive(Clone, Debug)]
enum Step {
    /// Time goes by.
    Wait(u32),
    /// A site's own reporter does something about a client.
    Black {
        site: usize,
        client: u8,
        weight: u32,
        seconds: Option<u32>,
    },
    White {
        site: usize,
        client: u8,
        seconds: u32,
    },
    Forgive {
        site: usize,
        client: u8,
    },
    /// A site removes what has run out.
    Sweep {
        site: usize,
    },
    /// A site reads its own changes, and publishes so many messages.
    Publish {
        site: usize,
        messages: usize,
    },
    /// A site gets so many messages, of which the first few come once more.
    Follow {
        site: usize,
        messages: usize,
        again: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let site = 0..SITES.len();
    let client = 0..CLIENTS;
    let seconds = prop_oneof![Just(None), (60_u32..4000).prop_map(Some)];
    let step = prop_oneof![
        3 => prop_oneof![0_u32..3, 0_u32..900].prop_map(Step::Wait),
        6 => (site.clone(), client.clone(), 1_u32..4, seconds).prop_map(
            |(site, client, weight, seconds)| Step::Black { site, client, weight, seconds }
        ),
        1 => (site.clone(), client.clone(), prop_oneof![Just(0_u32), 1_u32..2000])
            .prop_map(|(site, client, seconds)| Step::White { site, client, seconds }),
        2 => (site.clone(), client).prop_map(|(site, client)| Step::Forgive { site, client }),
        1 => site.clone().prop_map(|site| Step::Sweep { site }),
        4 => (site.clone(), 1_usize..4).prop_map(|(site, messages)| Step::Publish { site, messages }),
        4 => (site, 1_usize..6, 0_usize..4)
            .prop_map(|(site, messages, again)| Step::Follow { site, messages, again }),
    ];
    proptest::collection::vec(step, 1..80)
}

fn network(client: u8) -> Network {
    Network::host([192, 0, 2, client + 1].into())
}

/// A site, with the parts that are real.
struct Site {
    name: Name,
    table: WritableTable,
    reader: eximrbl_table::EventReader,
    merge: Merge,
    outbox: Outbox,
    positions: Positions,
    /// Messages of the stream that it got.
    followed: usize,
}

impl Site {
    fn new(index: usize) -> Self {
        let name = Name::new(SITES[index].as_bytes()).unwrap();
        let table = WritableTable::on_heap(64).unwrap();
        let stream = index as u64;
        Self {
            name,
            reader: table.events(Some(0)),
            merge: Merge::new(name, Terms::from(&table.policy())),
            outbox: Outbox::new(name, stream, 0, 0),
            positions: Positions::new(Position { stream, next: 0 }),
            followed: 0,
            table,
        }
    }

    /// Reads its own changes.
    fn read(&mut self, now: UnixSeconds) {
        while let Next::Event(event) = self.table.next_event(&mut self.reader, now) {
            if event.reporter == LOCAL {
                let moment = self.outbox.moment_of(&event);
                self.merge.observe(&event, moment, Some(&self.table));
                self.outbox.take(&event, moment, &self.table.reasons(), &self.table.reporters());
            }
            self.outbox.read_to(self.reader.next_number());
        }
        self.outbox.settle(&mut self.positions);
    }

    /// Publishes one message, if there is something to tell.
    fn publish(&mut self, stream: &mut Vec<String>) -> bool {
        let next = self.outbox.next(self.positions.own.next, &self.table.reasons(), 300);
        let Some(outgoing) = next.unwrap() else { return false };
        stream.push(outgoing.text);
        self.outbox.arrived(outgoing.arrived, &mut self.positions);
        true
    }

    fn follow(&mut self, text: &str, now: UnixSeconds) {
        self.read(now);
        let Message { site, stream, body } = Message::parse(text.as_bytes()).unwrap();
        if site == self.name {
            return;
        }
        let Body::Changes { next, changes, .. } = body else { panic!("no state here") };
        let first = self.positions.next_of(site, stream);
        for change in changes.iter().filter(|change| change.number >= first) {
            self.merge.apply(&self.table, site, change, now);
            self.outbox.witness(change.moment);
        }
        self.positions.note(site, stream, next);
    }
}

/// What a table says of a client: white or not, how often, and until when.
fn said(table: &WritableTable, client: u8, now: UnixSeconds) -> Option<(bool, u32, UnixSeconds)> {
    let entry = table.entry(network(client), now)?;
    Some((entry.white, entry.count, now + entry.remaining))
}

/// Plays the steps; what the tables say in the end, by site and client.
fn play(steps: &[Step]) -> Vec<Vec<Option<(bool, u32, UnixSeconds)>>> {
    let mut sites: Vec<Site> = (0..SITES.len()).map(Site::new).collect();
    let (mut stream, mut now) = (Vec::new(), START);
    for step in steps {
        match *step {
            Step::Wait(seconds) => now += seconds,
            Step::Black { site, client, weight, seconds } => {
                let network = network(client);
                let weight = Some(weight);
                let report = Report { network, reason: 1, reporter: LOCAL, weight, seconds };
                let _ = sites[site].table.record(&report, now);
            }
            Step::White { site, client, seconds } => {
                sites[site].table.white(network(client), Some(seconds), LOCAL, now).unwrap();
            }
            Step::Forgive { site, client } => {
                sites[site].table.forgive(network(client), LOCAL, now).unwrap();
            }
            Step::Sweep { site } => {
                sites[site].table.sweep(now, Expiry::Due);
            }
            Step::Publish { site, messages } => {
                sites[site].read(now);
                let _ = (0..messages).all(|_| sites[site].publish(&mut stream));
            }
            Step::Follow { site, messages, again } => {
                let site = &mut sites[site];
                let from = site.followed.saturating_sub(again);
                site.followed = (site.followed + messages).min(stream.len());
                for text in &stream[from..site.followed] {
                    site.follow(text, now);
                }
            }
        }
    }
    for site in &mut sites {
        site.read(now);
        while site.publish(&mut stream) {}
    }
    for site in &mut sites {
        for text in &stream[site.followed..] {
            site.follow(text, now);
        }
    }
    let said = |site: &Site| (0..CLIENTS).map(|client| said(&site.table, client, now)).collect();
    sites.iter().map(said).collect()
}

/// Histories that are played; many with EXIMRBL_TORTURE set.
fn cases() -> u32 {
    if std::env::var_os("EXIMRBL_TORTURE").is_some() { 5000 } else { 150 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// The rule of docs/convergence.md. Caught: changes in the order of arrival; a report of a time that
    /// was white; a whitelisting that is too long and not cut; stamps without ticks.
    #[test]
    fn tables_agree_whatever_the_order(steps in steps()) {
        let said = play(&steps);
        prop_assert_eq!(&said[0], &said[1], "{} and {}", SITES[0], SITES[1]);
        prop_assert_eq!(&said[1], &said[2], "{} and {}", SITES[1], SITES[2]);
    }
}

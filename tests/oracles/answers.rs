//! eximrbld, NSD and Knot say the same about the same list.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use crate::asking::ask;
use crate::difference::{Design, Knowledge};
use crate::harness::{Daemon, Lan};
use crate::list::{POLICY, entries, fill, serial};
use crate::master::Master;
use crate::questions::{Question, Questions};
use crate::response::Response;
use crate::servers::NameServer;
use crate::zones::{ZONES, configuration};

/// How many questions, in rounds that each have a seed of their own.
fn rounds() -> u64 {
    if std::env::var_os("EXIMRBL_TORTURE").is_some() { 50 } else { 1 }
}

/// Questions of a round.
const QUESTIONS: usize = 20_000;

#[test]
fn three_servers_agree() {
    let lan = Lan::new();
    let host = lan.host("list", 53);
    let daemon = Daemon::start_with(&host, POLICY, &configuration(), None);
    fill(&daemon.table());
    let exported = Instant::now();
    let entries = entries(&daemon.table());
    let masters: Vec<Master> = ZONES.iter().map(|zone| Master::new(zone, &entries)).collect();
    let others = [NameServer::nsd(&host, &masters), NameServer::knot(&host, &masters)];
    let serial = serial(&daemon.table());
    // Its own address on the loopback.
    let ours = SocketAddr::from(([127, 0, 0, 1], 53));
    let mut seen = Seen::default();
    for round in 0..rounds() {
        let questions: Vec<Question> =
            Questions::new(&masters, &entries, 100 + round).take(QUESTIONS).collect();
        let ours = ask(&host, ours, &questions);
        let elapsed = exported.elapsed().as_secs() as u32 + 2;
        let knowledge = Knowledge { masters: &masters, serial, elapsed };
        for other in &others {
            let theirs = ask(&host, other.address, &questions);
            for ((question, theirs), ours) in questions.iter().zip(&theirs).zip(&ours) {
                seen.compare(&knowledge, other.name, question, theirs, ours);
            }
        }
    }
    seen.report();
}

/// What came of it.
#[derive(Default)]
struct Seen {
    faults: Vec<String>,
    designs: BTreeMap<(&'static str, Design), usize>,
    /// Outcomes: response code, and whether there was an answer.
    outcomes: BTreeMap<(u16, bool), usize>,
}

impl Seen {
    fn compare(
        &mut self,
        knowledge: &Knowledge<'_>,
        server: &'static str,
        question: &Question,
        theirs: &[u8],
        ours: &[u8],
    ) {
        let (theirs, ours) = (Response::read(theirs), Response::read(ours));
        *self.outcomes.entry((ours.code(), !ours.answer.is_empty())).or_default() += 1;
        match knowledge.compare(question, &theirs, &ours) {
            Ok(Some(design)) => *self.designs.entry((server, design)).or_default() += 1,
            Ok(None) => {}
            Err(what) => self.faults.push(format!("{server}: {question:?}\n  {what}")),
        }
    }

    /// Fails if there was a fault, or if something was never put to the test.
    fn report(&self) {
        println!("outcomes {:?}\nby design {:?}", self.outcomes, self.designs);
        let some = self.faults.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.faults.is_empty(), "{} differences, such as\n{some}", self.faults.len());
        // Listed, no data, no such name, refused.
        for outcome in [(0, true), (0, false), (3, false), (5, false)] {
            let times = self.outcomes.get(&outcome).copied().unwrap_or(0);
            assert!(times > 100, "{outcome:?} only {times} times in {:?}", self.outcomes);
        }
        for server in ["nsd", "knotd"] {
            for design in Design::ALL {
                let times = self.designs.get(&(server, design)).copied().unwrap_or(0);
                assert!(times > 3, "{server}: {design:?} only {times} times in {:?}", self.designs);
            }
        }
    }
}

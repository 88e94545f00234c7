//! What stepping tests share: a table, a writer whose children are stepped, and a peer.

use std::collections::BTreeMap;

use eximrbl_table::{Counter, Network};

use crate::operations::{NOW, Operation};
use crate::stage::{Happened, Life, SLOTS, Seen, Stage, key};
use crate::tracee::{Path, Tracee};
use crate::writer::{Call, Writer};

/// The stage with its players. To be used by the thread that made it: see [`Tracee::start`].
pub struct Bench {
    pub stage: Stage,
    /// Its children are stepped.
    pub parent: Writer,
    /// Another process, with a mind of its own.
    pub peer: Writer,
    empty: Vec<u8>,
}

/// A child that was killed before the operation, and what it had done by then.
pub struct Left {
    pub call: Call,
    pub path: Path,
    pub instructions: usize,
}

/// An operation, once played without disturbance.
pub struct Played {
    pub operation: Operation,
    pub left: Vec<Left>,
    image: Vec<u8>,
    pub path: Path,
    pub before: Seen,
    pub after: Seen,
    /// The lives that readers may see: before, after, and between the two steps of a change
    /// that first ends an entry and then makes one.
    pub passage: Vec<BTreeMap<Network, Life>>,
    pub events: Vec<Happened>,
    pub records: u64,
    /// The sequence number of the first of the events.
    pub serial: u64,
}

impl Bench {
    /// With the smallest table.
    pub fn new() -> Self {
        let mut bench = Self::with_strangers();
        bench.parent.open();
        bench
    }

    /// The same, but every child that is stepped has yet to open the table.
    pub fn with_strangers() -> Self {
        let stage = Stage::new(SLOTS);
        let mut parent = Writer::start(&stage.path(), &stage.log());
        parent.set_clock(NOW);
        let peer = Writer::start(&stage.path(), &stage.log());
        let empty = stage.image();
        Self { stage, parent, peer, empty }
    }

    /// Plays an operation undisturbed, with every instruction recorded. `left`: what writers who
    /// were killed before it left behind.
    pub fn play(&mut self, operation: &Operation, left: Vec<Left>) -> Played {
        let mut played = Played {
            operation: operation.clone(),
            left,
            image: operation.prepare(&self.stage, &self.empty, &mut self.peer),
            path: Path::empty(),
            before: Seen { entries: BTreeMap::new() },
            after: Seen { entries: BTreeMap::new() },
            passage: Vec::new(),
            events: Vec::new(),
            records: 0,
            serial: 0,
        };
        self.reset(&played);
        played.before = self.stage.look(NOW);
        played.records = self.stage.counter(Counter::Records);
        played.serial = self.stage.reader.serial();
        played.path = Tracee::start(&mut self.parent, &operation.call).record();
        played.after = self.stage.look(NOW);
        let (events, lost) = self.stage.events(played.serial, NOW);
        assert!(lost == 0 && !events.is_empty(), "{events:?}");
        assert_ne!(played.before, played.after, "{operation:?} does nothing");
        played.events = events;
        played.passage = passage(&played.before, &played.after);
        played
    }

    /// Brings the table to where the operation begins.
    pub fn reset(&mut self, played: &Played) {
        self.stage.restore(&played.image);
        for left in &played.left {
            let mut child = Tracee::start(&mut self.parent, &left.call);
            child.run(&left.path, left.instructions);
            child.kill();
        }
    }

    /// A child that has done the first `n` instructions of the operation, and stands there.
    pub fn stopped_after(&mut self, played: &Played, n: usize) -> Tracee {
        self.reset(played);
        let mut child = Tracee::start(&mut self.parent, &played.operation.call);
        child.run(&played.path, n);
        child
    }

    /// The number of instructions after which readers see another state than before: the last of
    /// them is the one that counts.
    pub fn first_change(&mut self, played: &Played) -> usize {
        let (mut unchanged, mut changed) = (0, played.path.len());
        while changed - unchanged > 1 {
            let middle = unchanged.midpoint(changed);
            self.stopped_after(played, middle).kill();
            if self.stage.look(NOW).lives() == played.passage[0] {
                unchanged = middle;
            } else {
                changed = middle;
            }
        }
        changed
    }
}

impl Played {
    /// Where in the passage readers are.
    #[track_caller]
    pub fn position(&self, seen: &Seen) -> usize {
        let lives = seen.lives();
        let position = self.passage.iter().position(|known| *known == lives);
        position.unwrap_or_else(|| {
            panic!("neither there nor not there: {lives:?}, of {:?}", self.passage)
        })
    }

    /// The key that the operation is about.
    pub fn key(&self) -> Network {
        key(self.operation.call.ip())
    }
}

/// Tells where it was, should a check fail.
pub struct Place<'a> {
    pub played: &'a Played,
    pub n: usize,
    pub beside: &'static str,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let (name, address) = (self.played.operation.name, self.played.path.address(self.n));
        let (n, of, beside) = (self.n, self.played.path.len(), self.beside);
        eprintln!("{name}, beside {beside}: after {n} of {of} instructions, before {address:#x}");
    }
}

fn passage(before: &Seen, after: &Seen) -> Vec<BTreeMap<Network, Life>> {
    let (from, to) = (before.lives(), after.lives());
    let mut middle = from.clone();
    // What goes for good, or comes back in another colour, is ended by a step of its own.
    middle.retain(|network, life| to.get(network).is_some_and(|next| next.0 == life.0));
    let mut states = vec![from, middle, to];
    states.dedup();
    states
}

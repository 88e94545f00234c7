//! Checking a live table's invariants, without stopping anyone.
//!
//! What is checked, and what of it is harmful (*):
//!
//! * Header*: magic, version, fingerprint and checksum of the fixed words; not retired. A table
//!   that this one replaces is there.
//! * Policy*: the checksum of the copy that counts. The other may be half written: its writer was
//!   killed, or is at work.
//! * Dictionaries*: places in use come first and without a gap; each holds a well-formed name under
//!   its own hash; no name has two places; the first two names are those of every table. A name
//!   that is not finished is harmless.
//! * Events: place i holds the newest number given out that is i modulo the ring's size, whole and
//!   with its seal; no event lies past the head*.
//! * Each slot's control word*: a state that exists, nothing in the low bits of an EMPTY one,
//!   MOVED only when frozen, frozen only in a table that is being replaced.
//! * CLAIMED, QUARANTINED: whose it is, whether he is gone, and since when. Harmless: it costs a slot.
//! * READY: the key is well-formed, the tag and length are its own, and the slot is one of its places*;
//!   life is of the control word's generation*, or says that the eviction was begun.
//! * Life*: a black entry has a count, a white one has none. It ends within a year, or never.
//! * Marks: of the entry's generation; a reason unless white, a reporter, last seen not before
//!   first seen; each bit has a name.
//! * One key, one entry*: no lower slot of the key's buckets holds one at the same instant.
//! * Lengths*: the bitmap has the length of every entry, or look-ups would not find it.
//!
//! Counters are just numbers, and bits too many in the bitmap cost a probe.
//!
//! Writers go on meanwhile, so there are two looks, with a pause between them: only what
//! is wrong in both, in the same use of the slot (its generation says so), is reported.

use std::cell::Cell;
use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use crate::decision::UnixSeconds;
use crate::dictionary::{Dictionary, FIRST_REPORTERS, Flaw, Name, OTHER, REJECT};
use crate::fault::{Fault, SlotFault, Which, Wrong};
use crate::hash::Seed;
use crate::layout::{self, header};
use crate::owners::Owners;
use crate::ring::RingSuspects;
use crate::slots::{EntryWords, Holds, Slots};
use crate::sync::{Ordering, fence};
use crate::table::Table;
use crate::word::{Control, LIFE_MAX};

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it does harm; otherwise it costs a slot for a time, or part of what is shown.
    pub harmful: bool,
    /// Whether [`WritableTable::repair`](crate::WritableTable::repair) can mend it, in the hands of
    /// who has found it.
    pub repairable: bool,
    /// What was found, and where.
    pub text: String,
}

/// Between the two looks. A claim that stays for so long is held up; a writer who was only deprived
/// of the processor has mostly gone on.
const PAUSE: Duration = Duration::from_millis(100);
/// Slots that are judged at one go: what is remembered between the looks is bounded by it.
const BATCH: usize = 1 << 18;
/// Findings of one kind that are told one by one. A table of a million slots may have as many.
const TOLD: u64 = 1000;

impl Table {
    /// Checks all invariants that hold whatever the time is; an empty answer means a sound table.
    /// Writers go on meanwhile, and are not held up.
    pub fn verify(&self) -> Vec<Finding> {
        self.findings(None)
    }

    /// As [`Table::verify`], and whether entries end at a time that makes sense now.
    pub fn verify_at(&self, now: UnixSeconds) -> Vec<Finding> {
        self.findings(Some(now))
    }

    fn findings(&self, now: Option<UnixSeconds>) -> Vec<Finding> {
        let mut told = Told::default();
        let mut findings = Vec::new();
        let clock = now.unwrap_or_else(crate::now);
        let table = self.latest();
        table.examine(now, |owners, fault| {
            if told.takes(&fault) {
                let (harmful, text) = (fault.is_harmful(), fault.text(owners, clock));
                let repairable = table.is_repairable(owners, &fault);
                findings.push(Finding { harmful, repairable, text });
            }
        });
        findings.extend(told.rest().map(|(first, count)| {
            let (harmful, repairable) = (first.is_harmful(), false);
            Finding { harmful, repairable, text: format!("and {count} more {}", first.kind()) }
        }));
        findings
    }

    /// Looks at everything, and tells what is wrong.
    pub(crate) fn examine(
        &self,
        now: Option<UnixSeconds>,
        mut tell: impl FnMut(&Owners<'_>, Fault),
    ) {
        let slots = self.slots();
        let examiner = Examiner { table: self, slots, now, named: Cell::new((0, 0)) };
        let mut whole = Some(WholeLook::at(self));
        for start in (0..slots.len()).step_by(BATCH) {
            let batch = start..slots.len().min(start + BATCH);
            let suspects: Vec<_> = batch.filter_map(|slot| examiner.look(slot)).collect();
            let whole = whole.take();
            if !suspects.is_empty() || whole.as_ref().is_some_and(WholeLook::has_suspects) {
                sleep(PAUSE);
            }
            let again = |first: &SlotFault| {
                examiner.look(first.slot).filter(|second| second.is_still(first))
            };
            let certain: Vec<_> = suspects.iter().filter_map(again).collect();
            // Made after the claims were seen: the proof of a death must be newer.
            let owners = Owners::new(self.liveness(), self.words());
            if let Some(whole) = whole {
                whole.again(self, |fault| tell(&owners, fault));
            }
            certain.into_iter().for_each(|fault| tell(&owners, Fault::Slot(fault)));
        }
    }

    /// Whether the header is whole, and the one that was opened. If the file was overwritten by
    /// another table, say, no slot is what it seems to be by the seed of this one.
    pub(crate) fn has_good_header(&self) -> bool {
        let words = self.words();
        let word = |place: usize| words[place].load(Ordering::Relaxed);
        let is_whole = word(header::MAGIC) == layout::MAGIC
            && word(header::VERSION) == layout::VERSION
            && word(header::FINGERPRINT) == layout::fingerprint()
            && word(header::CHECKSUM) == layout::header_checksum(words);
        let seed = Seed(word(header::SEED.start), word(header::SEED.start + 1));
        // A table on the heap has no header.
        self.identity().is_none() || is_whole && seed == self.seed()
    }

    /// Bits of reasons and reporters that have a name, or are about to.
    pub(crate) fn named(&self) -> (u64, u64) {
        // Also those that a table which is being replaced has alone.
        let known = |names: crate::Names| names.iter().fold(0, |bits, (bit, _)| bits | 1 << bit);
        (
            self.reason_dictionary().used() | known(self.reasons()),
            self.reporter_dictionary().used() | known(self.reporters()),
        )
    }
}

/// The first look at what is not slots.
struct WholeLook {
    policy_is_sound: bool,
    names: [Vec<(usize, Flaw)>; 2],
    events: RingSuspects,
}

impl WholeLook {
    fn at(table: &Table) -> Self {
        Self {
            policy_is_sound: table.policy_block().is_sound(),
            names: dictionaries(table).map(|(_, dictionary, _)| dictionary.flaws()),
            events: table.ring().suspects(),
        }
    }

    fn has_suspects(&self) -> bool {
        !self.policy_is_sound
            || self.names.iter().any(|flaws| !flaws.is_empty())
            || !self.events.is_empty()
    }

    /// The second look; tells what is wrong still.
    fn again(&self, table: &Table, mut tell: impl FnMut(Fault)) {
        let words = table.words();
        let word = |place: usize| words[place].load(Ordering::Relaxed);
        // Nobody writes there, so there was no first look.
        if !table.has_good_header() {
            tell(Fault::Header);
        }
        // Its successor, if there is one, was examined in its place.
        if table.is_retired() {
            tell(Fault::Retired);
        }
        if word(header::PREDECESSOR) != 0 && table.unsettled().is_none() {
            tell(Fault::Predecessor(word(header::PREDECESSOR)));
        }
        if !self.policy_is_sound && !table.policy_block().is_sound() {
            tell(Fault::Policy);
        }
        for ((which, dictionary, fixed), first) in dictionaries(table).into_iter().zip(&self.names)
        {
            for (place, flaw) in dictionary.flaws() {
                if first.contains(&(place, flaw)) {
                    tell(Fault::Name(which, place, flaw));
                }
            }
            // These were there before anybody opened the table.
            for (place, text) in fixed.into_iter().enumerate() {
                let name = Name::new(text.as_bytes());
                if name.is_some_and(|name| !dictionary.is_for(place, &name)) {
                    tell(Fault::Fixed(which, place, text));
                }
            }
        }
        let state = table.ring().confirm(&self.events);
        state.behind.into_iter().for_each(|to| tell(Fault::HeadBehind(to)));
        if state.unfinished > 0 {
            tell(Fault::EventsUnfinished(state.unfinished));
        }
        if state.spoilt > 0 {
            tell(Fault::EventsSpoilt(state.spoilt));
        }
    }
}

/// Both dictionaries, with the names that they begin with in every table.
fn dictionaries(table: &Table) -> [(Which, Dictionary<'_>, [&'static str; 2]); 2] {
    [
        (Which::Reason, table.reason_dictionary(), [OTHER, REJECT]),
        (Which::Reporter, table.reporter_dictionary(), FIRST_REPORTERS),
    ]
}

/// Looks at one slot after the other.
struct Examiner<'a> {
    table: &'a Table,
    slots: Slots<'a>,
    /// The time, if entries are to be judged by it.
    now: Option<UnixSeconds>,
    /// See [`Table::named`]; as it was when last asked.
    named: Cell<(u64, u64)>,
}

impl Examiner<'_> {
    /// What is wrong with a slot at this instant.
    fn look(&self, slot: usize) -> Option<SlotFault> {
        let seen = self.slots.inspect(slot);
        let wrong = match seen.holds {
            Holds::Nothing => return None,
            Holds::Entry(entry) => self.judge(slot, seen.control, &entry)?,
            Holds::Held { since } => Wrong::Held(since),
            Holds::Ending => Wrong::Ending,
            // In a table that is being replaced all words are, in the end.
            Holds::Frozen if self.table.is_retired() => return None,
            Holds::Frozen => Wrong::Frozen,
            Holds::NoState => Wrong::NoState,
            Holds::Stray => Wrong::Stray,
            Holds::LostLife(network) => Wrong::LostLife(network),
            Holds::OddLife(network, life) => Wrong::OddLife(network, life),
        };
        Some(SlotFault { slot, control: seen.control, wrong })
    }

    /// What is wrong with an entry, the worst first: a repair looks again when it has mended that.
    fn judge(&self, slot: usize, control: Control, entry: &EntryWords) -> Option<Wrong> {
        let (network, life) = (entry.network, entry.life);
        if let Some(first) = self.slots.lower_twin(slot, control, network) {
            return Some(Wrong::Second(network, life, first));
        }
        if !self.table.lengths().has(network) {
            return Some(Wrong::Hidden(network));
        }
        if self.has_unnamed(entry) {
            return Some(Wrong::Unnamed(network));
        }
        if !entry.has_good_marks() {
            return Some(Wrong::Marks(network));
        }
        // A white entry may be made to last for longer.
        let is_far = self.now.is_some_and(|now| {
            !life.is_white() && !life.is_endless() && life.remaining(now) > LIFE_MAX
        });
        is_far.then_some(Wrong::Far(network))
    }

    fn has_unnamed(&self, entry: &EntryWords) -> bool {
        let (reasons, reporters) = entry.bits();
        let unnamed = || {
            let named = self.named.get();
            reasons & !named.0 != 0 || reporters & !named.1 != 0
        };
        unnamed() && {
            // Names come before their first use: those of this entry are seen now.
            fence(Ordering::SeqCst);
            self.named.set(self.table.named());
            unnamed()
        }
    }
}

/// How much was told of each kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Told {
    kinds: HashMap<&'static str, (Option<Fault>, u64)>,
}

impl Told {
    /// Whether this one is still to be told by itself.
    pub(crate) fn takes(&mut self, fault: &Fault) -> bool {
        let (last, count) = self.kinds.entry(fault.kind()).or_default();
        *count += 1;
        *last = Some(*fault);
        *count <= TOLD
    }

    /// How many there were in all.
    pub(crate) fn total(&self) -> u64 {
        self.kinds.values().map(|(_, count)| count).sum()
    }

    /// Of which kinds there are more, and how many.
    pub(crate) fn rest(self) -> impl Iterator<Item = (Fault, u64)> {
        let kinds = self.kinds.into_values().filter(|(_, count)| *count > TOLD);
        kinds.filter_map(|(last, count)| Some((last?, count - TOLD)))
    }
}

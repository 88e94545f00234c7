//! What can be wrong with a table, and how it is told.

use crate::decision::UnixSeconds;
use crate::dictionary::Flaw;
use crate::network::Network;
use crate::owners::{Owner, Owners};
use crate::word::{Control, Life, State};

/// Something that should not be, as the examination found it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The header's fixed words are not those that the table was made with.
    Header,
    /// Another file has taken the table's place.
    Retired,
    /// The table of this identity, which this one replaces, is not to be found.
    Predecessor(u64),
    /// The policy that counts is not as it was written.
    Policy,
    /// A place of a dictionary.
    Name(Which, usize, Flaw),
    /// A place of a dictionary does not hold the name that it has in every table.
    Fixed(Which, usize, &'static str),
    /// The ring's head should be at this number, or past it.
    HeadBehind(u64),
    /// So many events were never finished.
    EventsUnfinished(u64),
    /// So many events were spoilt.
    EventsSpoilt(u64),
    /// A slot.
    Slot(SlotFault),
}

/// Which of the two dictionaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Why clients were reported.
    Reason,
    /// Who reported them.
    Reporter,
}

/// Something about one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotFault {
    pub(crate) slot: usize,
    pub(crate) control: Control,
    pub(crate) wrong: Wrong,
}

/// What is wrong with a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrong {
    /// Claimed, or at rest, for longer than an instant; the time of the claim if it is known.
    Held(Option<UnixSeconds>),
    /// Its eviction was begun and not finished.
    Ending,
    /// Frozen, in a table that nobody replaces.
    Frozen,
    /// A control word that no writer writes.
    NoState,
    /// A key that is not the tag's, or does not belong here.
    Stray,
    /// An entry with a life of another generation.
    LostLife(Network),
    /// A life that no change makes.
    OddLife(Network, Life),
    /// A second entry for one key; the other is in that slot.
    Second(Network, Life, usize),
    /// An entry that look-ups do not find, as nobody knows that its prefix length is in use.
    Hidden(Network),
    /// An entry with bits of reasons or reporters that have no name.
    Unnamed(Network),
    /// An entry whose reasons, reporters or times are lost, or do not go together.
    Marks(Network),
    /// An entry that ends later than any policy allows.
    Far(Network),
}

impl Which {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Reporter => "reporter",
        }
    }
}

impl SlotFault {
    /// Whether a second look found the same fault in the same use of the slot.
    pub(crate) fn is_still(&self, first: &Self) -> bool {
        (self.slot, self.control) == (first.slot, first.control)
            && std::mem::discriminant(&self.wrong) == std::mem::discriminant(&first.wrong)
    }
}

impl Fault {
    /// Whether it does harm: wrong answers, or records that are lost. Otherwise it costs a slot
    /// for a time, or a remark in what `show` prints.
    pub(crate) fn is_harmful(&self) -> bool {
        match self {
            Self::Header | Self::Retired | Self::Policy => true,
            Self::Fixed(..) | Self::HeadBehind(_) => true,
            Self::Name(_, _, flaw) => *flaw != Flaw::Unfinished,
            Self::Predecessor(_) | Self::EventsUnfinished(_) | Self::EventsSpoilt(_) => false,
            Self::Slot(SlotFault { wrong, .. }) => match wrong {
                Wrong::Held(_) | Wrong::Ending => false,
                Wrong::Unnamed(_) | Wrong::Marks(_) | Wrong::Far(_) => false,
                Wrong::Frozen | Wrong::NoState | Wrong::Stray | Wrong::LostLife(_) => true,
                Wrong::OddLife(..) | Wrong::Second(..) | Wrong::Hidden(_) => true,
            },
        }
    }

    /// What all faults of its kind have in common, for counting them.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Slot(SlotFault { wrong, .. }) => match wrong {
                Wrong::Held(_) => "slots out of use until their owners are gone",
                Wrong::Ending => "evictions that were begun",
                Wrong::Frozen => "frozen slots",
                Wrong::NoState => "slots that hold what no writer writes",
                Wrong::Stray => "keys out of place",
                Wrong::LostLife(_) => "entries with a life of another use of the slot",
                Wrong::OddLife(..) => "entries with a life that no change makes",
                Wrong::Second(..) => "second entries",
                Wrong::Hidden(_) => "hidden entries",
                Wrong::Unnamed(_) => "entries with bits that have no name",
                Wrong::Marks(_) => "entries with lost marks",
                Wrong::Far(_) => "entries that end too late",
            },
            _ => "others",
        }
    }

    /// What was found, where, and what to do.
    pub(crate) fn text(&self, owners: &Owners<'_>, now: UnixSeconds) -> String {
        match *self {
            Self::Header => "the header was overwritten: who has the table open goes on, but \
                             nobody can open it again; stop eximrbld and Exim, move the file \
                             away, and start them again"
                .to_owned(),
            Self::Retired => {
                "the table is retired: a newer file should be in its place, and is not to be \
                 opened; look what is there"
                    .to_owned()
            }
            Self::Predecessor(identity) => format!(
                "a resize was broken off, and the old table, of the name that ends in \
                 .old-{identity:016x}, cannot be opened: what it had alone is not answered"
            ),
            Self::Policy => "the policy's checksum is wrong; restart eximrbld, or write it again: \
                             eximrbl policy --config FILE"
                .to_owned(),
            Self::Name(which, place, flaw) => {
                format!("{} {place}: {}", which.word(), flaw_text(flaw))
            }
            Self::Fixed(which, place, name) => {
                format!("{} {place}: does not have its name, \"{name}\"", which.word())
            }
            Self::HeadBehind(to) => format!(
                "events: there are some past the newest number, which should be {to} at least; \
                 who follows changes misses those"
            ),
            Self::EventsUnfinished(count) => format!(
                "events: {count} never finished, by writers that were killed; who follows \
                 changes looks at the whole table instead"
            ),
            Self::EventsSpoilt(count) => format!(
                "events: {count} spoilt by a writer who was stopped for long; who follows changes \
                 looks at the whole table instead"
            ),
            Self::Slot(fault) => format!("slot {}: {}", fault.slot, fault.text(owners, now)),
        }
    }
}

fn flaw_text(flaw: Flaw) -> String {
    match flaw {
        Flaw::Unfinished => "unfinished name; its next use completes it".to_owned(),
        Flaw::Damaged => "damaged name: entries show it as unknown, and zones miss it".to_owned(),
        Flaw::Mislabelled(name) => {
            format!("\"{name}\" is not found: entries show it as unknown, and zones miss it")
        }
        Flaw::Gap => "lost name: those after it would be entered twice".to_owned(),
        Flaw::Twice(lower) => format!(
            "has the name of {lower} once more, and zones miss entries with it; make a new table \
             if it matters"
        ),
    }
}

impl SlotFault {
    fn text(&self, owners: &Owners<'_>, now: UnixSeconds) -> String {
        match self.wrong {
            Wrong::Held(since) => self.held_text(owners.of(self.control), since, now),
            Wrong::Ending => "its eviction was begun; who needs the slot finishes it".to_owned(),
            Wrong::Frozen => "frozen, though no resize is under way: its clients are neither \
                              recorded nor forgiven"
                .to_owned(),
            Wrong::NoState => "holds what no writer writes".to_owned(),
            Wrong::Stray => "holds an entry that is not where its key belongs".to_owned(),
            Wrong::LostLife(network) => {
                format!("the entry for {network} has a life of another use of the slot")
            }
            Wrong::OddLife(network, life) if life.is_white() => {
                format!("{network} is white, but with rejections counted")
            }
            Wrong::OddLife(network, _) => format!("{network} is black without any rejection"),
            Wrong::Second(network, _, first) => {
                format!("a second entry for {network}; look-ups find the one in slot {first}")
            }
            Wrong::Hidden(network) => format!("{network} is hidden by its length"),
            Wrong::Unnamed(network) => format!(
                "{network} has reasons or reporters without a name; the next names would be \
                 taken for them"
            ),
            Wrong::Marks(network) => {
                format!("reasons, reporters or times of {network} are lost")
            }
            Wrong::Far(network) => format!(
                "{network} ends in more than a year: it was reported while the clock was wrong, \
                 or the clock is wrong now; until then it does not count"
            ),
        }
    }

    fn held_text(&self, owner: Owner, since: Option<UnixSeconds>, now: UnixSeconds) -> String {
        let state = if self.control.is(State::Claimed) { "claimed" } else { "at rest" };
        let since = since.map_or(String::new(), |since| {
            format!(", claimed {} s ago", now.saturating_sub(since))
        });
        match owner {
            Owner::Dead(pid) => {
                format!("left by process {pid}, which died{since}; will be reused")
            }
            Owner::Another(pid) => format!(
                "{state}{since}; its owner is gone: process {pid} is another one, and does not \
                 have the table open"
            ),
            Owner::NobodyElse => {
                format!("{state}{since}; its owner is gone: nobody else has the table open")
            }
            Owner::Alive(pid) => format!(
                "{state}{since}, until process {pid} goes on or ends, which has the table open"
            ),
            Owner::Hidden(pid) => format!(
                "{state}{since}, until process {pid} goes on or ends; root can see whether \
                 that is the owner still"
            ),
            Owner::Unknown => format!(
                "{state}{since} until its owner, who is not known, is gone; if nobody else has \
                 the table open, root can tell, outside of containers: eximrbl verify --repair"
            ),
        }
    }
}

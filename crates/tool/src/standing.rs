//! What a client's or a network's standing is, and why.
//!
//! The decision is the table's own ([`Table::decide_network`]), so this tool, DNS and the library
//! agree. What is added here is only why: which network lists it, or keeps it from being listed.

use eximrbl_table::{ALWAYS_NEVER, Decision, Entry, Filter, Network, Policy, Table, UnixSeconds};

/// A client's or a network's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Listed, by this entry.
    Listed(Entry),
    /// A test address, always listed (RFC 5782 section 5).
    Test,
    /// In the never-list, by this network of it (if it is one network that does).
    Never(Option<Network>),
    /// Not listed, since `by` is white; `lifted` is the black entry that would list it otherwise.
    White {
        /// The white entry.
        by: Entry,
        /// The subject's own black entry.
        lifted: Option<Entry>,
    },
    /// Rejections were counted, but fewer than list.
    Below(Entry),
    /// Nothing is known.
    Unknown,
}

impl Standing {
    /// Whether DNS answers that it is listed.
    pub(crate) fn is_listed(&self) -> bool {
        matches!(self, Self::Listed(_) | Self::Test)
    }

    /// The entry that decides.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Listed(entry) | Self::White { by: entry, .. } | Self::Below(entry) => Some(entry),
            Self::Test | Self::Never(_) | Self::Unknown => None,
        }
    }

    /// One word, as in JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Listed(_) => "listed",
            Self::Test => "test",
            Self::Never(_) => "never",
            Self::White { .. } => "white",
            Self::Below(_) => "below",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known about one subject, at one instant.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    /// What was asked for.
    pub(crate) asked: Network,
    /// Under which key the table has it: IPv6 clients by their prefix.
    pub(crate) key: Network,
    /// Its standing.
    pub(crate) standing: Standing,
    /// The policy that was applied.
    pub(crate) policy: Policy,
    /// When.
    pub(crate) now: UnixSeconds,
}

impl Inquiry {
    /// Asks the table.
    pub(crate) fn new(table: &Table, asked: Network, now: UnixSeconds) -> Self {
        let policy = table.policy();
        let key = key_of(table, asked);
        let standing = match table.decide_network(asked, &Filter::default(), now) {
            Decision::Listed(entry) => Standing::Listed(entry),
            Decision::Test => Standing::Test,
            Decision::Never => Standing::Never(never_network(asked, &policy)),
            Decision::White(by) => Standing::White { by, lifted: black_entry(table, key, now) },
            Decision::Below(entry) => Standing::Below(entry),
            Decision::Unknown => Standing::Unknown,
        };
        Self { asked, key, standing, policy, now }
    }
}

/// Under which key the table has a subject: an IPv6 client by its prefix, the rest as it is.
fn key_of(table: &Table, asked: Network) -> Network {
    if asked.is_host() { table.client_network(asked.address()) } else { asked }
}

/// The black entry of exactly this network.
fn black_entry(table: &Table, network: Network, now: UnixSeconds) -> Option<Entry> {
    table.entry(network, now).filter(|entry| !entry.white)
}

/// The network of the never-list that holds all of `subject`.
pub(crate) fn never_network(subject: Network, policy: &Policy) -> Option<Network> {
    all_never(policy).find(|never| never.contains(subject))
}

/// All networks of the never-list, for who asks about many subjects.
pub(crate) fn never_list(policy: &Policy) -> Vec<Network> {
    all_never(policy).collect()
}

fn all_never(policy: &Policy) -> impl Iterator<Item = Network> {
    let reserved = ALWAYS_NEVER.iter().filter_map(|text| text.parse().ok());
    policy.never.iter().copied().chain(reserved)
}

/// Seconds for which a black entry goes on listing: not all of its life, since with less than the
/// policy's floor left it counts as gone. `None` without end.
pub(crate) fn listing_left(entry: &Entry, policy: &Policy) -> Option<u32> {
    // With as much as the floor left it is listed still, so the first second without comes after.
    let left = || entry.remaining.saturating_sub(policy.floor.max(1)) + 1;
    (!entry.is_endless()).then(left)
}

/// What an entry does, as `list` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// It lists its network.
    Listed,
    /// It counts fewer rejections than list, wherever it lies.
    Below,
    /// It would list, but a white entry or the never-list covers its network.
    Lifted,
    /// It is white.
    White,
}

impl EntryState {
    /// What an entry does in this table.
    pub(crate) fn of(table: &Table, entry: &Entry, now: UnixSeconds) -> Self {
        if entry.white {
            return Self::White;
        }
        if !table.is_counted(entry) {
            return Self::Below;
        }
        let decision = table.decide_network(entry.network, &Filter::default(), now);
        let lifted = matches!(decision, Decision::Never | Decision::White(_));
        if lifted { Self::Lifted } else { Self::Listed }
    }

    /// One word, as in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Below => "below",
            Self::Lifted => "lifted",
            Self::White => "white",
        }
    }
}

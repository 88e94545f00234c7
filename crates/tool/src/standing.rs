//! What a client's or a network's standing is, and why.
//!
//! For an address the decision is the table's own ([`Table::decide`]), so this tool, DNS and the
//! library agree. What is added here is only why: which network lists it, or keeps it from being
//! listed.

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
        let standing = if asked.is_host() {
            client_standing(table, asked, key, &policy, now)
        } else {
            network_standing(table, key, &policy, now)
        };
        Self { asked, key, standing, policy, now }
    }
}

/// Under which key the table has a subject: an IPv6 client by its prefix, the rest as it is.
fn key_of(table: &Table, asked: Network) -> Network {
    if asked.is_host() { table.client_network(asked.address()) } else { asked }
}

/// A client's standing: the table's decision, with the network that is behind it.
fn client_standing(
    table: &Table,
    asked: Network,
    key: Network,
    policy: &Policy,
    now: UnixSeconds,
) -> Standing {
    match table.decide(asked.address(), &Filter::default(), now) {
        Decision::Listed(entry) => Standing::Listed(entry),
        Decision::Test => Standing::Test,
        Decision::Never => Standing::Never(never_network(asked, policy)),
        Decision::White(by) => Standing::White { by, lifted: black_entry(table, key, now) },
        Decision::Below(entry) => Standing::Below(entry),
        Decision::Unknown => Standing::Unknown,
    }
}

/// A network's standing: that of all its addresses, so entries for only a part of it do not count.
///
/// In the order of [`Table::decide`], which answers for single addresses alone: never-list, white
/// entries, the most specific black one.
fn network_standing(
    table: &Table,
    network: Network,
    policy: &Policy,
    now: UnixSeconds,
) -> Standing {
    if let Some(never) = never_network(network, policy) {
        return Standing::Never(Some(never));
    }
    let (mut listed, mut below) = (None, None);
    for entry in entries_around(table, network, now) {
        if entry.white {
            let lifted = black_entry(table, network, now);
            return Standing::White { by: entry, lifted };
        }
        if table.is_counted(&entry) {
            listed = listed.or(Some(entry));
        } else {
            below = below.or(Some(entry));
        }
    }
    let listed = listed.map(Standing::Listed);
    listed.or(below.map(Standing::Below)).unwrap_or(Standing::Unknown)
}

/// The entries of a network itself and of those around it, the most specific first.
fn entries_around(
    table: &Table,
    network: Network,
    now: UnixSeconds,
) -> impl Iterator<Item = Entry> + '_ {
    // Lengths in the key space of both families; what is shorter would leave the family.
    let longest = network.mapped_length();
    let shortest = longest - network.length();
    let around = (shortest..=longest).rev().map(move |length| network.widened(length));
    around.filter_map(move |network| table.entry(network, now))
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
    /// What an entry does in this table, under this policy.
    pub(crate) fn of(table: &Table, entry: &Entry, policy: &Policy, now: UnixSeconds) -> Self {
        if entry.white {
            return Self::White;
        }
        if !table.is_counted(entry) {
            return Self::Below;
        }
        let lifted = match table.decide(entry.network.address(), &Filter::default(), now) {
            Decision::Never => never_network(entry.network, policy).is_some(),
            // It may be white for a part only, so all of the network is looked at.
            Decision::White(_) => matches!(
                network_standing(table, entry.network, policy, now),
                Standing::White { .. }
            ),
            _ => false,
        };
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

//! What programs read: the JSON forms, whose keys are a promise.
//!
//! Every time stands twice: as RFC 3339 in UTC, and under `…_unix` as seconds since the epoch.
//! A value that does not apply is `null`; keys are never left out.

use eximrbl_table::{Entry, Info, Name, Names, Policy, Purged, Table, UnixSeconds};
use serde::Serialize;

use crate::arguments::Purge;
use crate::standing::{EntryState, Inquiry, Standing, listing_left};
use crate::text::{dns_name, rfc3339};

/// An entry of the table.
#[derive(Serialize)]
pub(crate) struct EntryObject<'a> {
    network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    white: bool,
    count: u32,
    endless: bool,
    remaining: Option<u32>,
    until: Option<String>,
    until_unix: Option<UnixSeconds>,
    listed_until: Option<String>,
    listed_until_unix: Option<UnixSeconds>,
    first: String,
    first_unix: UnixSeconds,
    last: String,
    last_unix: UnixSeconds,
    reasons: Vec<&'a str>,
    reporters: Vec<&'a str>,
}

impl<'a> EntryObject<'a> {
    /// As `list` prints it, with its state.
    pub(crate) fn in_list(
        entry: &Entry,
        state: EntryState,
        names: &'a Dictionaries,
        policy: &Policy,
        now: UnixSeconds,
    ) -> Self {
        let listing = (state == EntryState::Listed).then_some(policy);
        Self { state: Some(state.word()), ..Self::new(entry, listing, names, now) }
    }

    /// The form of an entry; `listing` is the policy by which it lists, if it does.
    fn new(
        entry: &Entry,
        listing: Option<&Policy>,
        names: &'a Dictionaries,
        now: UnixSeconds,
    ) -> Self {
        let remaining = (!entry.is_endless()).then_some(entry.remaining);
        let until_unix = remaining.map(|seconds| now.saturating_add(seconds));
        let listed_until_unix = listing
            .and_then(|policy| listing_left(entry, policy))
            .map(|seconds| now.saturating_add(seconds));
        Self {
            network: entry.network.to_string(),
            state: None,
            white: entry.white,
            count: entry.count,
            endless: entry.is_endless(),
            remaining,
            until: until_unix.map(rfc3339),
            until_unix,
            listed_until: listed_until_unix.map(rfc3339),
            listed_until_unix,
            first: rfc3339(entry.first),
            first_unix: entry.first,
            last: rfc3339(entry.last),
            last_unix: entry.last,
            reasons: names.reasons_of(entry).collect(),
            reporters: names.reporters.of(entry.reporters).collect(),
        }
    }
}

/// Both dictionaries of a table, read once for a whole output.
pub(crate) struct Dictionaries {
    /// Names of reasons.
    pub(crate) reasons: Names,
    /// Names of reporters.
    pub(crate) reporters: Names,
}

impl Dictionaries {
    /// Reads them.
    pub(crate) fn of(table: &Table) -> Self {
        Self { reasons: table.reasons(), reporters: table.reporters() }
    }

    /// Why an entry was reported; a white one has no reasons.
    pub(crate) fn reasons_of(&self, entry: &Entry) -> impl Iterator<Item = &str> {
        self.reasons.of(entry.reasons)
    }
}

/// The standing of an address or network.
#[derive(Serialize)]
pub(crate) struct StandingObject<'a> {
    asked: String,
    key: String,
    listed: bool,
    state: &'static str,
    threshold: u32,
    never: Option<String>,
    entry: Option<EntryObject<'a>>,
    lifted: Option<EntryObject<'a>>,
    dns_name: Option<String>,
}

impl<'a> StandingObject<'a> {
    /// The form of what is known.
    pub(crate) fn new(inquiry: &Inquiry, names: &'a Dictionaries) -> Self {
        let standing = &inquiry.standing;
        let listing = standing.is_listed().then_some(&inquiry.policy);
        let object = |entry: &Entry| EntryObject::new(entry, listing, names, inquiry.now);
        Self {
            asked: inquiry.asked.to_string(),
            key: inquiry.key.to_string(),
            listed: standing.is_listed(),
            state: standing.word(),
            threshold: inquiry.policy.threshold,
            never: match standing {
                Standing::Never(network) => network.map(|network| network.to_string()),
                _ => None,
            },
            entry: standing.entry().map(object),
            lifted: match standing {
                Standing::White { lifted, .. } => lifted.as_ref().map(object),
                _ => None,
            },
            dns_name: inquiry.asked.is_host().then(|| dns_name(inquiry.asked.address())),
        }
    }
}

/// What a change did, and the standing after it.
#[derive(Serialize)]
pub(crate) struct ChangeObject<'a> {
    /// Whether the table is another than before.
    pub(crate) changed: bool,
    /// The standing afterwards.
    #[serde(flatten)]
    pub(crate) standing: StandingObject<'a>,
}

/// What a purge did, or would do.
#[derive(Serialize)]
pub(crate) struct PurgeObject<'a> {
    dry_run: bool,
    reporter: Option<&'a str>,
    reason: Option<&'a str>,
    network: Option<String>,
    white: bool,
    ended: u64,
    white_ended: u64,
    reduced: u64,
    kept: u64,
    left: u64,
}

impl<'a> PurgeObject<'a> {
    /// The form of a purge.
    pub(crate) fn new(wanted: &'a Purge, purged: &Purged) -> Self {
        Self {
            dry_run: wanted.dry_run,
            reporter: wanted.reporter.as_ref().map(Name::as_str),
            reason: wanted.reason.as_ref().map(Name::as_str),
            network: wanted.network.map(|network| network.to_string()),
            white: wanted.white,
            ended: purged.ended,
            white_ended: purged.white_ended,
            reduced: purged.reduced,
            kept: purged.kept,
            left: purged.left,
        }
    }
}

/// The policy, with the keys of the configuration file.
#[derive(Serialize)]
pub(crate) struct PolicyObject {
    base_ttl: u32,
    max_ttl: u32,
    floor: u32,
    threshold: u32,
    ipv6_prefix: u8,
    never: Vec<String>,
    weights: serde_json::Map<String, serde_json::Value>,
}

impl PolicyObject {
    /// The form of a policy.
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            base_ttl: policy.base_ttl,
            max_ttl: policy.max_ttl,
            floor: policy.floor,
            threshold: policy.threshold,
            ipv6_prefix: policy.ipv6_prefix,
            never: policy.never.iter().map(ToString::to_string).collect(),
            weights: policy
                .weights
                .iter()
                .map(|(key, value)| (key.clone(), (*value).into()))
                .collect(),
        }
    }
}

/// The table as a whole.
#[derive(Serialize)]
pub(crate) struct InfoObject<'a> {
    table: String,
    bytes: u64,
    slots: u64,
    created: String,
    created_unix: UnixSeconds,
    listed: u64,
    lifted: u64,
    below: u64,
    white: u64,
    expired: u64,
    quarantined: u64,
    free: u64,
    serial: u64,
    policy: PolicyObject,
    reasons: Vec<&'a str>,
    reporters: Vec<&'a str>,
    by_reporter: serde_json::Map<String, serde_json::Value>,
    counters: serde_json::Map<String, serde_json::Value>,
}

impl<'a> InfoObject<'a> {
    /// The form of a table's facts.
    pub(crate) fn new(path: String, table: &Table, info: &Info, names: &'a Dictionaries) -> Self {
        Self {
            table: path,
            bytes: info.bytes,
            slots: info.slots,
            created: rfc3339(info.created),
            created_unix: info.created,
            listed: info.listed,
            lifted: info.lifted,
            below: info.below,
            white: info.white,
            expired: info.expired,
            quarantined: info.quarantined,
            free: free_slots(info),
            serial: table.serial(),
            policy: PolicyObject::new(&table.policy()),
            reasons: used(&names.reasons),
            reporters: used(&names.reporters),
            by_reporter: by_reporter(table, names)
                .map(|(name, entries)| (name.to_owned(), entries.into()))
                .collect(),
            counters: table
                .counters()
                .iter()
                .map(|(key, value)| (key.to_owned(), value.into()))
                .collect(),
        }
    }
}

/// How many live entries each reporter reported; of an entry with several reporters, each.
pub(crate) fn by_reporter<'a>(
    table: &Table,
    names: &'a Dictionaries,
) -> impl Iterator<Item = (&'a str, u32)> {
    let entries = table.entries_by_reporter(eximrbl_table::now());
    names.reporters.iter().map(move |(bit, name)| (name, entries[usize::from(bit & 63)]))
}

/// Slots that hold nothing. Saturating, for the counts are taken from a table in use.
pub(crate) fn free_slots(info: &Info) -> u64 {
    let taken = [info.listed, info.lifted, info.below, info.white, info.expired, info.quarantined];
    taken.iter().fold(info.slots, |free, taken| free.saturating_sub(*taken))
}

/// The names of a dictionary that are in use.
pub(crate) fn used(names: &Names) -> Vec<&str> {
    names.iter().map(|(_, name)| name).collect()
}

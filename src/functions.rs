//! What the seven functions do. [`crate::ffi`] gives them to C.
//!
//! Three of the table's refusals are ordinary life, and are not told: the never-list, the
//! whitelist and the administrator's word have done their work. They show up in Exim's debugging output, and are counted.

use std::fmt;

use eximrbl_table::{
    Counter, Decision, Entry, Filter, Names, Network, Refusal, Report, WritableTable, dictionary,
    now,
};

use crate::arguments::{self, Complaint};
use crate::exim;
use crate::line::{Line, Quoted};
use crate::open::{self, Opened};
use crate::tell::{self, Cause};

/// Room for what [`lookup`] yields: 64 reasons of 32 characters with commas, and the rest.
pub(crate) const LOOKUP_SIZE: usize = 2560;

/// What DNS answers for a listed address, as long as no zone says otherwise.
const CODE: &str = "127.0.0.2";

/// Tries to record where a table that is being replaced was met, the first one included.
const RETIRED_TRIES: u32 = 3;

/// `rbl_record {ip}{reason}{weight}`: adds rejections.
pub(crate) fn record(given: &[&[u8]]) {
    let mut is_bad_weight = false;
    let record = arguments::record(given, &mut |complaint| {
        is_bad_weight |= matches!(complaint, Complaint::Weight(_));
        complain(complaint);
    });
    let Some(record) = record else {
        return count_bad_address();
    };
    if record.weight == Some(0) {
        return;
    }
    let now = now();
    change("rbl_record", now, |table| {
        let report = Report {
            network: Network::host(record.address),
            reason: record.reason.map_or(dictionary::REJECT_BIT, |text| reason(table, text)),
            reporter: dictionary::LOCAL,
            weight: record.weight,
            seconds: None,
        };
        let recorded = table.record(&report, now)?;
        if is_bad_weight {
            table.count(Counter::BadWeights);
        }
        tell::debug(format_args!(
            "recorded {}: count {}, {} s to live",
            report.network, recorded.count, recorded.remaining
        ));
        Ok(())
    });
}

/// The bit of a reason; a text of which no name can be made counts as `other`.
fn reason(table: &WritableTable, text: &[u8]) -> u8 {
    table.folded_reason(text).unwrap_or_else(|| {
        tell::once(
            Cause::Reason,
            format_args!("no name can be made of the reason {}; it counts as other", Quoted(text)),
        );
        table.count(Counter::OtherReasons);
        dictionary::OTHER_BIT
    })
}

/// `rbl_forgive {ip}`: ends a listing.
pub(crate) fn forgive(given: &[&[u8]]) {
    let Some(address) = arguments::client(given, &mut complain) else {
        return count_bad_address();
    };
    let now = now();
    change("rbl_forgive", now, |table| {
        table.forgive(Network::host(address), dictionary::LOCAL, now).map(drop)
    });
}

/// `rbl_allow {ip}{seconds}`: whitelists; 0 seconds end that.
pub(crate) fn allow(given: &[&[u8]]) {
    let Some((address, seconds)) = arguments::allow(given, &mut complain) else {
        return;
    };
    let now = now();
    change("rbl_allow", now, |table| {
        table.white(Network::host(address), Some(seconds), dictionary::LOCAL, now)
    });
}

/// `rbl_listed {ip}`: whether DNS lists it.
pub(crate) fn is_listed(given: &[&[u8]]) -> bool {
    let Some(address) = arguments::client(given, &mut complain) else {
        return false;
    };
    let now = now();
    open::with_table(now, |table| table.decide(address, &Filter::default(), now).is_listed())
        .unwrap_or(false)
}

/// `rbl_lookup {ip}`: all that is known, as `name=value` with blanks between, for `${extract`.
/// Adds nothing for an address that is unknown, or never listed.
pub(crate) fn lookup<const SIZE: usize>(given: &[&[u8]], line: &mut Line<SIZE>) {
    let Some(address) = arguments::client(given, &mut complain) else {
        return;
    };
    let now = now();
    open::with_table(now, |table| match table.decide(address, &Filter::default(), now) {
        Decision::Listed(entry) => {
            line.add(format_args!("listed=yes code={CODE} {}", Known(&entry, &table.reasons())));
        }
        Decision::Test => line.add(format_args!("listed=yes code={CODE} test=yes")),
        Decision::White(entry) => {
            line.add(format_args!("listed=no white=yes {}", Known(&entry, &table.reasons())));
        }
        Decision::Below(entry) => {
            line.add(format_args!("listed=no {}", Known(&entry, &table.reasons())));
        }
        Decision::Never | Decision::Unknown => {}
    });
}

/// `rbl_preload {path}`: opens the table, for the children to inherit it. Each child looks for
/// itself whether it still is whole, even within the second of this look.
pub(crate) fn preload(given: &[&[u8]]) {
    if let Some(path) = arguments::preload(given, &mut complain) {
        open::give_path(path);
    }
    open::with_table(now(), |_| ());
    open::look_again();
}

/// `rbl_version`: yields nothing by itself, its text never changes.
pub(crate) fn version(given: &[&[u8]]) {
    arguments::none(given, &mut complain);
    #[cfg(feature = "panic-probe")]
    #[allow(clippy::panic, reason = "this is what the feature is for")]
    {
        panic!("probe\nof a panic");
    }
}

/// Does `action` on the writable table, and tells what kept it from being done.
fn change(name: &str, now: u32, action: impl Fn(&WritableTable) -> Result<(), Refusal>) {
    if exim::is_host_checking() {
        return tell::debug(format_args!("{name} does nothing in a session played by exim -bh"));
    }
    for _ in 0..RETIRED_TRIES {
        let outcome = open::with_table(now, |opened| match opened {
            Opened::Writable(table) => action(table),
            Opened::ReadOnly(_) => {
                tell_read_only();
                Ok(())
            }
        });
        match outcome {
            Some(Err(Refusal::Retired)) => open::look_again(),
            Some(Err(refusal)) => return tell_refusal(name, refusal),
            Some(Ok(())) | None => return,
        }
    }
    tell_refusal(name, Refusal::Retired);
}

fn tell_read_only() {
    open::with_path(|path| {
        let path = path.display();
        tell::once(
            Cause::ReadOnly,
            format_args!(
                "{path} can only be read, so nothing is recorded; let Exim's group write it"
            ),
        );
    });
}

fn tell_refusal(name: &str, refusal: Refusal) {
    let cause = match refusal {
        Refusal::NeverListed | Refusal::White | Refusal::Endless => {
            return tell::debug(format_args!("{name}: {refusal}"));
        }
        Refusal::Full => Cause::Full,
        Refusal::Contention => Cause::Contention,
        Refusal::Retired => Cause::Retired,
    };
    tell::once(cause, format_args!("{name}: {refusal}"));
}

/// Tells what was wrong with the arguments.
fn complain(complaint: Complaint<'_>) {
    match complaint {
        Complaint::TooMany { given, taken } => tell::once(
            Cause::ArgumentCount,
            format_args!(
                "too many arguments: {given} given, {taken} taken at most; the others are ignored"
            ),
        ),
        Complaint::Address(text) => tell::once(
            Cause::Address,
            format_args!("{} is not an IP address, so the call does nothing", Quoted(text)),
        ),
        Complaint::Weight(text) => tell::once(
            Cause::Weight,
            format_args!(
                "the weight {} is not a number from 0 on; the default is used",
                Quoted(text)
            ),
        ),
        Complaint::Seconds(text) => tell::once(
            Cause::Seconds,
            format_args!(
                "rbl_allow: {} is not a number of seconds; nothing is allowed",
                Quoted(text)
            ),
        ),
    }
}

/// Counts a call that was to change something and named nobody.
fn count_bad_address() {
    if exim::is_host_checking() {
        return;
    }
    open::with_table(now(), |opened| {
        if let Opened::Writable(table) = opened {
            table.count(Counter::RefusedAddress);
        }
    });
}

/// What is known of an entry, as `name=value` pairs.
struct Known<'a>(&'a Entry, &'a Names);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry, names) = self;
        let (count, ttl, first, last) = (entry.count, entry.remaining, entry.first, entry.last);
        write!(f, "count={count} ttl={ttl} first={first} last={last} reason=")?;
        for (i, name) in names.of(entry.reasons).enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { "," })?;
        }
        write!(f, " reporters={}", entry.reporters.count_ones())
    }
}

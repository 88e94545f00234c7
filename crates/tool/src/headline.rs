//! A standing in one sentence, and what to do about it.

use eximrbl_table::{ALWAYS_NEVER, Entry, Network};

use crate::standing::{Inquiry, Standing};
use crate::text::{LocalTime, counted};

/// `192.0.2.1 is not listed: whitelisted through 192.0.2.0/24 without end`
pub(crate) fn headline(inquiry: &Inquiry, times: &LocalTime) -> String {
    format!("{} {}", subject(inquiry), predicate(inquiry, times))
}

/// What was asked for, and the key that stands for it.
fn subject(inquiry: &Inquiry) -> String {
    let Inquiry { asked, key, .. } = inquiry;
    if asked == key { key.to_string() } else { format!("{asked} (kept as {key})") }
}

fn predicate(inquiry: &Inquiry, times: &LocalTime) -> String {
    match &inquiry.standing {
        Standing::Listed(entry) => format!("is listed{}", through(inquiry, entry)),
        Standing::Test => "is listed: it is the test address of every DNSBL (RFC 5782)".to_owned(),
        Standing::Never(network) => format!("is never listed: {}", why_never(*network)),
        Standing::White { by, .. } => {
            let until = end(inquiry, by, times);
            format!("is not listed: whitelisted{} {until}", through(inquiry, by))
        }
        Standing::Below(entry) => format!(
            "is not listed: {} counted, {} would list it",
            counted(entry.count.into(), "rejection"),
            inquiry.policy.threshold,
        ),
        Standing::Unknown => "is not listed: nothing is known about it".to_owned(),
    }
}

/// The entry's network, if it is not the subject itself.
fn through(inquiry: &Inquiry, entry: &Entry) -> String {
    if entry.network == inquiry.key { String::new() } else { format!(" through {}", entry.network) }
}

/// `until 2026-11-22 05:43:10 +01:00`, or `without end`.
pub(crate) fn end(inquiry: &Inquiry, entry: &Entry, times: &LocalTime) -> String {
    if entry.is_endless() {
        "without end".to_owned()
    } else {
        format!("until {}", times.long(inquiry.now.saturating_add(entry.remaining)))
    }
}

/// Which part of the never-list it is.
pub(crate) fn why_never(network: Option<Network>) -> String {
    match network.map(|network| network.to_string()) {
        // Several networks of the list cover a wider one together.
        None => "it is in the never-list".to_owned(),
        Some(text) if ALWAYS_NEVER.contains(&text.as_str()) => format!("{text} is reserved space"),
        Some(text) => format!("{text} is in the policy's never-list"),
    }
}

/// The command that ends a standing which a change has left.
pub(crate) fn remedy(standing: &Standing) -> Option<String> {
    match standing {
        Standing::Listed(entry) => Some(format!("to end that: eximrbl forgive {}", entry.network)),
        Standing::White { by, .. } => Some(format!("to end that: eximrbl white {} 0", by.network)),
        _ => None,
    }
}

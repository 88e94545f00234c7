//! `eximrbl black`: records rejections by hand.

use std::path::Path;

use eximrbl_table::dictionary::{ADMIN, OTHER};
use eximrbl_table::{Network, Report, WritableTable};

use super::Finding;
use super::change::{Change, refused};
use crate::arguments::Black;
use crate::failure::Failure;
use crate::json::used;
use crate::output::Output;
use crate::standing::{Inquiry, Standing};
use crate::text::{counted, span};

/// Shortest prefix that is listed by hand: a slip (`/0`) must not refuse the whole world's mail.
const SHORTEST_IPV4: u8 = 8;
/// The same for IPv6.
const SHORTEST_IPV6: u8 = 16;

/// Records, and tells what has become of the address.
pub(super) fn run(path: &Path, black: &Black, output: &mut Output) -> Result<Finding, Failure> {
    let asked = black.address;
    if is_too_wide(asked) {
        return Err(Failure::TooWide { network: asked });
    }
    let table = WritableTable::open(path)?;
    let report = Report {
        network: asked,
        reason: reason(&table, black)?,
        reporter: ADMIN,
        weight: black.weight,
    };
    let now = eximrbl_table::now();
    let recorded =
        if black.endless { table.record_endless(&report, now) } else { table.record(&report, now) };
    recorded.map_err(|refusal| refused(&table, asked, refusal))?;

    let inquiry = Inquiry::new(&table, asked, now);
    let (done, addition) = match &inquiry.standing {
        Standing::Listed(entry) if entry.is_endless() => ("", " without end".to_owned()),
        Standing::Listed(entry) => {
            let rejections = counted(entry.count.into(), "rejection");
            ("", format!(": {rejections}, {} left", span(entry.remaining)))
        }
        _ => ("recorded, but ", String::new()),
    };
    Change { changed: true, done, addition, unwanted: false }.print(&table, &inquiry, output)?;
    Ok(Finding::Positive)
}

/// Whether a network is one that nobody lists on purpose.
fn is_too_wide(network: Network) -> bool {
    network.length() < if network.is_ipv4() { SHORTEST_IPV4 } else { SHORTEST_IPV6 }
}

/// The bit of the reason, which must not silently become another when there is no room.
fn reason(table: &WritableTable, black: &Black) -> Result<u8, Failure> {
    let name = black.reason.as_str();
    let bit = table.reason(black.reason, true);
    if table.reasons().bit(name) == Some(bit) || name == OTHER {
        return Ok(bit);
    }
    let known = used(&table.reasons()).join(", ");
    Err(Failure::Refused {
        subject: black.address.to_string(),
        cause: format!("there is no room for another reason, \"{name}\"; use one of: {known}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_networks_that_somebody_may_mean_are_listed() {
        for (text, too_wide) in [
            ("0.0.0.0/0", true),
            ("192.0.0.0/7", true),
            ("11.0.0.0/8", false),
            ("192.0.2.1", false),
            ("::/0", true),
            ("2000::/15", true),
            ("2001::/16", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_too_wide(text.parse().unwrap()), too_wide, "{text}");
        }
    }
}

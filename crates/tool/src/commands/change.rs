//! What `black`, `white` and `forgive` have in common: refusals, and telling what has become.

use std::io::Write;

use eximrbl_table::{Network, Refusal, Table};

use crate::failure::Failure;
use crate::headline::{end, headline, remedy, why_never};
use crate::json::{ChangeObject, Dictionaries, StandingObject};
use crate::output::Output;
use crate::standing::{Inquiry, Standing};
use crate::text::LocalTime;

/// Why nothing can be done about 127.0.0.2.
pub(super) const TEST_ADDRESS: &str =
    "it is the test address of every DNSBL (RFC 5782), and always listed";

/// Shortest prefix that is listed or whitelisted by hand: a slip (`/0`) must not refuse the whole
/// world's mail, nor switch the list off.
const SHORTEST_IPV4: u8 = 8;
/// The same for IPv6.
const SHORTEST_IPV6: u8 = 16;

/// What a change has led to.
pub(super) struct Change<'a> {
    /// Whether the table is another than before.
    pub(super) changed: bool,
    /// What was done, in a word or two before the sentence about the standing; may be empty.
    pub(super) done: &'a str,
    /// Said at the end of that sentence; may be empty.
    pub(super) addition: String,
    /// Whether the standing is not what was wanted, so that a way out is shown.
    pub(super) unwanted: bool,
}

impl Change<'_> {
    /// Prints it, with the standing afterwards.
    pub(super) fn print(
        &self,
        table: &Table,
        inquiry: &Inquiry,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if output.json() {
            let names = Dictionaries::of(table);
            let standing = StandingObject::new(inquiry, &names);
            return output.object(&ChangeObject { changed: self.changed, standing });
        }
        let remedy = if self.unwanted { remedy(&inquiry.standing) } else { None };
        let remedy = remedy.map(|text| format!("; {text}")).unwrap_or_default();
        let sentence = headline(inquiry, &LocalTime::new());
        Ok(writeln!(output, "{}{sentence}{}{remedy}", self.done, self.addition)?)
    }
}

/// Why the table refused, in the administrator's terms.
pub(super) fn refused(table: &Table, asked: Network, refusal: Refusal) -> Failure {
    let inquiry = Inquiry::new(table, asked, eximrbl_table::now());
    let cause = match (refusal, &inquiry.standing) {
        (Refusal::NeverListed, Standing::Never(network)) => {
            format!("it is never listed, for {}", why_never(*network))
        }
        (Refusal::NeverListed, Standing::Test) => TEST_ADDRESS.to_owned(),
        (Refusal::White, Standing::White { by, .. }) => format!(
            "it is whitelisted through {} {}; to end that: eximrbl white {} 0",
            by.network,
            end(&inquiry, by, &LocalTime::new()),
            by.network,
        ),
        // The file is replaced while this command runs: opened anew it is the new one.
        (Refusal::Retired, _) => format!("{refusal}; run the command again"),
        _ => refusal.to_string(),
    };
    Failure::Refused { subject: asked.to_string(), cause }
}

/// Refuses a network that nobody means; `wanted` is what it would have become.
pub(super) fn refuse_slip(network: Network, wanted: &'static str) -> Result<(), Failure> {
    if is_too_wide(network) { Err(Failure::TooWide { network, wanted }) } else { Ok(()) }
}

/// Whether a network is wider than anybody means by hand.
pub(super) fn is_too_wide(network: Network) -> bool {
    network.length() < if network.is_ipv4() { SHORTEST_IPV4 } else { SHORTEST_IPV6 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_networks_that_somebody_may_mean_are_taken() {
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

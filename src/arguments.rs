//! The arguments of the functions: from what Exim passes to what it means.
//!
//! Exim expands an argument from its configuration, which may put in what a client sent. So any
//! bytes may come, in any number; all of them have a meaning here, or a complaint. Nothing is
//! allocated, and nothing but the arguments is looked at.

use std::net::IpAddr;

use eximrbl_table::{WEIGHT_MAX, parse_address};

/// The longest whitelisting, in seconds: ten years. The tool whitelists without end.
pub(crate) const ALLOW_MAX: u32 = 315_360_000;

/// Something that is not as it should be. The call goes on as far as it makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint<'a> {
    /// More arguments than the function takes; those are not looked at.
    TooMany {
        /// Given.
        given: usize,
        /// Taken at most.
        taken: usize,
    },
    /// Not an IP address: nothing is done.
    Address(&'a [u8]),
    /// Not a number from 0 on: the default is used.
    Weight(&'a [u8]),
    /// Not a number from 0 on: nothing is done.
    Seconds(&'a [u8]),
}

/// Receives the complaints.
pub(crate) type Complain<'c, 'a> = &'c mut dyn FnMut(Complaint<'a>);

/// `rbl_record {ip}{reason}{weight}`
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Whom.
    pub(crate) address: IpAddr,
    /// Why, as it was written; `None` when left out.
    pub(crate) reason: Option<&'a [u8]>,
    /// How many rejections it counts for; `None` leaves that to the policy. May be 0.
    pub(crate) weight: Option<u32>,
}

/// Reads the arguments of `rbl_record`; `None` when there is nobody to record.
pub(crate) fn record<'a>(given: &[&'a [u8]], complain: Complain<'_, 'a>) -> Option<Record<'a>> {
    let [ip, reason, weight] = take(given, complain);
    let address = address(ip, complain)?;
    let reason = Some(reason).filter(|text| !text.is_empty());
    let weight = match number(weight) {
        Number::Absent => None,
        Number::Of(weight) => Some(weight.min(WEIGHT_MAX)),
        Number::Wrong => {
            complain(Complaint::Weight(weight));
            None
        }
    };
    Some(Record { address, reason, weight })
}

/// Reads the one argument of `rbl_listed`, `rbl_lookup` and `rbl_forgive`.
pub(crate) fn client<'a>(given: &[&'a [u8]], complain: Complain<'_, 'a>) -> Option<IpAddr> {
    let [ip] = take(given, complain);
    address(ip, complain)
}

/// Reads the arguments of `rbl_allow {ip}{seconds}`.
pub(crate) fn allow<'a>(given: &[&'a [u8]], complain: Complain<'_, 'a>) -> Option<(IpAddr, u32)> {
    let [ip, seconds] = take(given, complain);
    let address = address(ip, complain)?;
    match number(seconds) {
        Number::Of(seconds) => Some((address, seconds.min(ALLOW_MAX))),
        Number::Absent | Number::Wrong => {
            complain(Complaint::Seconds(seconds));
            None
        }
    }
}

/// Reads the argument of `rbl_preload {path}`; `None` when it is left out or empty.
pub(crate) fn preload<'a>(given: &[&'a [u8]], complain: Complain<'_, 'a>) -> Option<&'a [u8]> {
    let [path] = take(given, complain);
    (!path.is_empty()).then_some(path)
}

/// Looks at the arguments of a function that takes none.
pub(crate) fn none<'a>(given: &[&'a [u8]], complain: Complain<'_, 'a>) {
    let [] = take(given, complain);
}

/// The first `N` arguments; those left out are empty.
fn take<'a, const N: usize>(given: &[&'a [u8]], complain: Complain<'_, 'a>) -> [&'a [u8]; N] {
    if given.len() > N {
        complain(Complaint::TooMany { given: given.len(), taken: N });
    }
    std::array::from_fn(|i| given.get(i).copied().unwrap_or_default())
}

fn address<'a>(text: &'a [u8], complain: Complain<'_, 'a>) -> Option<IpAddr> {
    let address = parse_address(text);
    if address.is_none() {
        complain(Complaint::Address(text));
    }
    address
}

/// What a number's text holds.
#[derive(Debug, PartialEq, Eq)]
enum Number {
    Absent,
    Of(u32),
    Wrong,
}

/// Decimal digits; a number past 32 bits is the largest one. Blanks around it are harmless: they
/// come from how a configuration is laid out.
fn number(text: &[u8]) -> Number {
    match text.trim_ascii() {
        b"" => Number::Absent,
        digits if digits.iter().all(u8::is_ascii_digit) => {
            let value = digits.iter().fold(0_u32, |value, digit| {
                value.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
            });
            Number::Of(value)
        }
        _ => Number::Wrong,
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;

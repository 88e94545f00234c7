//! What one line says.

use std::fmt;
use std::net::IpAddr;

use eximrbl_table::{Name, Network, WEIGHT_MAX, parse_address};

use crate::mac::Mac;

/// Longest line, its end included.
pub const LINE_MAX: usize = 512;
/// What is taken for a default, where something is to follow.
const DEFAULT: &[u8] = b"-";
/// Stamps from here on are microseconds; as seconds they would be thirty thousand years away.
const MICROSECONDS_FROM: u64 = 1_000_000_000_000;
/// Most digits of a stamp or number.
const DIGITS_MAX: usize = 19;

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A client was rejected.
    Black {
        /// Whom.
        address: IpAddr,
        /// Why; `None` for the default.
        reason: Option<Name>,
        /// Rejections, 1 to 10,000; `None` for the table's weight of the reason.
        weight: Option<u32>,
        /// Seconds of life to add; `None` for what the table's policy gives.
        seconds: Option<u32>,
    },
    /// A client is good.
    White {
        /// Whom.
        address: IpAddr,
        /// For how long; 0 ends it; `None` for as long as the reporter may.
        seconds: Option<u32>,
    },
    /// A listing is to end.
    Forgive {
        /// Whose.
        address: IpAddr,
    },
}

/// What kind of thing is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// [`Order::Black`]
    Black,
    /// [`Order::White`]
    White,
    /// [`Order::Forgive`]
    Forgive,
}

/// A line, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// A report.
    Report {
        /// What it says.
        order: Order,
        /// Who says it, if it is signed.
        signature: Option<Signature<'l>>,
    },
    /// All further lines of the connection are his.
    Auth(Signature<'l>),
}

/// Who says something, and what proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'l> {
    /// The reporter.
    pub name: Name,
    /// When he signed, in seconds since the Unix epoch.
    pub seconds: u64,
    /// The same, as it stands in the line.
    pub(crate) stamp: &'l [u8],
    pub(crate) mac: Mac,
    /// The order that is signed.
    pub(crate) order: &'l [u8],
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_MAX`].
    #[error("a line has at most {LINE_MAX} bytes")]
    Long,
    /// Nothing in it.
    #[error("an empty line; write: black ADDRESS")]
    Empty,
    /// Control characters or bytes that are no ASCII.
    #[error("a byte that is no printable ASCII")]
    Binary,
    /// A first word that is not known.
    #[error("unknown word; known are black, white, forgive, by and auth")]
    Verb,
    /// No IP address.
    #[error("not an IP address; write 192.0.2.1 or 2001:db8::1, without brackets or port")]
    Address,
    /// A network.
    #[error("a network; reports are about single addresses")]
    Network,
    /// No name of a reason.
    #[error("no reason: 1 to 32 of a-z, 0-9 and '-', or '-' alone for the default")]
    Reason,
    /// No number of rejections.
    #[error("no weight: a number from 1 on, or '-' for the default")]
    Weight,
    /// No number of seconds.
    #[error("no seconds: a number (of black from 1 on), or '-' for the default")]
    Seconds,
    /// More words than there can be.
    #[error("more words than the order has; write: black ADDRESS REASON WEIGHT SECONDS")]
    Extra,
    /// After `by` or `auth`, no name.
    #[error("no reporter's name: 1 to 32 of a-z, 0-9 and '-'")]
    Name,
    /// After the name, no time.
    #[error("no stamp: write $tod_epoch_l or $tod_epoch")]
    Stamp,
    /// After the stamp, no signature.
    #[error("no signature: 64 hexadecimal digits of sha3_256, or 40 of hmac-sha1")]
    Mac,
}

impl<'l> Line<'l> {
    /// Reads a line, with its end or without.
    pub fn parse(bytes: &'l [u8]) -> Result<Self, LineError> {
        if bytes.len() > LINE_MAX {
            return Err(LineError::Long);
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().any(|&byte| !(b' '..=b'~').contains(&byte)) {
            return Err(LineError::Binary);
        }
        let line = line.strip_prefix(b" ").unwrap_or(line);
        match split(line) {
            (b"by", rest) => {
                let (name, stamp, mac, order) = credentials(rest)?;
                let signature = Some(signature(name, stamp, mac, order)?);
                Ok(Self::Report { order: read(order)?, signature })
            }
            (b"auth", rest) => {
                let (name, stamp, mac, rest) = credentials(rest)?;
                match rest.trim_ascii() {
                    b"" => Ok(Self::Auth(signature(name, stamp, mac, b"auth")?)),
                    _ => Err(LineError::Extra),
                }
            }
            _ => Ok(Self::Report { order: read(line)?, signature: None }),
        }
    }
}

impl Order {
    /// What kind of order it is.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Black { .. } => Verb::Black,
            Self::White { .. } => Verb::White,
            Self::Forgive { .. } => Verb::Forgive,
        }
    }

    /// Whom it is about.
    pub fn address(&self) -> IpAddr {
        match *self {
            Self::Black { address, .. }
            | Self::White { address, .. }
            | Self::Forgive { address } => address,
        }
    }
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Black, Self::White, Self::Forgive];

    /// As it stands in a line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Black => "black",
            Self::White => "white",
            Self::Forgive => "forgive",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }
}

/// The order as it is written in a line, without defaults at its end.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb().name(), self.address())?;
        match self {
            Self::Black { reason, weight, seconds, .. } => {
                let last = match (reason, weight, seconds) {
                    (_, _, Some(_)) => 3,
                    (_, Some(_), _) => 2,
                    (Some(_), ..) => 1,
                    _ => 0,
                };
                let number = |f: &mut fmt::Formatter<'_>, number: &Option<u32>| match number {
                    Some(number) => write!(f, " {number}"),
                    None => f.write_str(" -"),
                };
                if last > 0 {
                    write!(f, " {}", reason.as_ref().map_or("-", Name::as_str))?;
                }
                if last > 1 {
                    number(f, weight)?;
                }
                if last > 2 {
                    number(f, seconds)?;
                }
                Ok(())
            }
            Self::White { seconds: Some(seconds), .. } => write!(f, " {seconds}"),
            Self::White { .. } | Self::Forgive { .. } => Ok(()),
        }
    }
}

/// Name, stamp, signature, and what follows them.
type Credentials<'l> = (&'l [u8], &'l [u8], &'l [u8], &'l [u8]);

fn credentials(rest: &[u8]) -> Result<Credentials<'_>, LineError> {
    let (name, rest) = split(rest);
    let (stamp, rest) = split(rest);
    let (mac, rest) = split(rest);
    Ok((name, stamp, mac, rest))
}

fn signature<'l>(
    name: &[u8],
    stamp: &'l [u8],
    mac: &[u8],
    order: &'l [u8],
) -> Result<Signature<'l>, LineError> {
    let name = Name::new(name).ok_or(LineError::Name)?;
    let number = number(stamp).ok_or(LineError::Stamp)?;
    let seconds = if number >= MICROSECONDS_FROM { number / 1_000_000 } else { number };
    let mac = Mac::from_hex(mac).ok_or(LineError::Mac)?;
    Ok(Signature { name, seconds, stamp, mac, order })
}

/// Reads an order. Blanks at its end come from variables that are empty.
fn read(order: &[u8]) -> Result<Order, LineError> {
    let (verb, rest) = split(order.trim_ascii_end());
    let verb = match verb {
        b"" => return Err(LineError::Empty),
        b"black" => Verb::Black,
        b"white" => Verb::White,
        b"forgive" => Verb::Forgive,
        _ => return Err(LineError::Verb),
    };
    let (address, rest) = split(rest);
    let address = parse_address(address).ok_or_else(|| match is_network(address) {
        true => LineError::Network,
        false => LineError::Address,
    })?;
    let (order, rest) = match verb {
        Verb::Black => {
            let (reason, rest) = split(rest);
            let reason = given(reason).map(|text| reason_name(text).ok_or(LineError::Reason));
            let (weight, rest) = split(rest);
            let weight = given(weight).map(|text| positive(text).ok_or(LineError::Weight));
            let (seconds, rest) = split(rest);
            let seconds = given(seconds).map(|text| positive(text).ok_or(LineError::Seconds));
            let order = Order::Black {
                address,
                reason: reason.transpose()?,
                weight: weight.transpose()?.map(|weight| weight.min(WEIGHT_MAX)),
                seconds: seconds.transpose()?,
            };
            (order, rest)
        }
        Verb::White => {
            let (seconds, rest) = split(rest);
            let seconds = given(seconds).map(|text| number(text).ok_or(LineError::Seconds));
            let seconds = seconds.transpose()?.map(saturated);
            (Order::White { address, seconds }, rest)
        }
        Verb::Forgive => (Order::Forgive { address }, rest),
    };
    if rest.is_empty() { Ok(order) } else { Err(LineError::Extra) }
}

/// The first word, and what follows the blank after it.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b' ') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// A word that is there, and is no default.
fn given(word: &[u8]) -> Option<&[u8]> {
    (!word.is_empty() && word != DEFAULT).then_some(word)
}

/// A reason, folded as the library folds it; `-` alone would be taken for a default when it is passed on.
fn reason_name(text: &[u8]) -> Option<Name> {
    Name::folded(text).filter(|name| name.as_str().as_bytes() != DEFAULT)
}

fn is_network(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| text.contains('/') && text.parse::<Network>().is_ok())
}

/// A number in decimal digits alone.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > DIGITS_MAX || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn positive(text: &[u8]) -> Option<u32> {
    number(text).filter(|&number| number > 0).map(saturated)
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn black(address: &str, reason: &str, weight: u32, seconds: u32) -> Order {
        let some = |number| (number > 0).then_some(number);
        Order::Black {
            address: address.parse().unwrap(),
            reason: Name::new(reason.as_bytes()),
            weight: some(weight),
            seconds: some(seconds),
        }
    }

    fn order(line: &str) -> Order {
        match Line::parse(line.as_bytes()) {
            Ok(Line::Report { order, signature: None }) => order,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    /// Caught: the blank of `udpsend` that is taken for an empty word.
    #[test]
    fn reads_what_exim_sends() {
        for (line, expected) in [
            ("black 192.0.2.1\n", black("192.0.2.1", "", 0, 0)),
            (" black 192.0.2.1\n", black("192.0.2.1", "", 0, 0)),
            ("black 192.0.2.1\r\n", black("192.0.2.1", "", 0, 0)),
            ("black 192.0.2.1", black("192.0.2.1", "", 0, 0)),
            ("black 192.0.2.1 \n", black("192.0.2.1", "", 0, 0)),
            ("black 2001:db8::1 rcpt\n", black("2001:db8::1", "rcpt", 0, 0)),
            ("black ::ffff:192.0.2.1 Bad_HELO", black("192.0.2.1", "bad-helo", 0, 0)),
            ("black 192.0.2.1 rcpt 3 60", black("192.0.2.1", "rcpt", 3, 60)),
            ("black 192.0.2.1 - 3", black("192.0.2.1", "", 3, 0)),
            ("black 192.0.2.1  3", black("192.0.2.1", "", 3, 0)),
            ("black 192.0.2.1 - - 60", black("192.0.2.1", "", 0, 60)),
            ("black 192.0.2.1 x 99999999999", black("192.0.2.1", "x", WEIGHT_MAX, 0)),
        ] {
            assert_eq!(order(line), expected, "{line:?}");
        }
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(order("white 192.0.2.1"), Order::White { address, seconds: None });
        assert_eq!(order("white 192.0.2.1 0"), Order::White { address, seconds: Some(0) });
        assert_eq!(order("forgive 192.0.2.1 "), Order::Forgive { address });
    }

    /// Caught: a sign before a number; a network read as the address before its slash.
    #[test]
    fn says_what_is_wrong_with_a_line() {
        let mac = "0".repeat(64);
        let signed = |text: &str| format!("by mx2 1795326190 {mac} {text}");
        for (line, error) in [
            (String::new(), LineError::Empty),
            ("\n".into(), LineError::Empty),
            (" ".into(), LineError::Empty),
            ("blac 192.0.2.1".into(), LineError::Verb),
            ("BLACK 192.0.2.1".into(), LineError::Verb),
            ("GET / HTTP/1.1\r\n".into(), LineError::Verb),
            ("black".into(), LineError::Address),
            ("black ".into(), LineError::Address),
            ("black [192.0.2.1]".into(), LineError::Address),
            ("black 192.0.2.1.25".into(), LineError::Address),
            ("black 192.0.2.0/24".into(), LineError::Network),
            ("white 2001:db8::/32".into(), LineError::Network),
            ("black 192.0.2.0/33".into(), LineError::Address),
            ("black 192.0.2.1 \"x\"".into(), LineError::Reason),
            ("black 192.0.2.1 _".into(), LineError::Reason),
            ("black 192.0.2.1 bad helo".into(), LineError::Weight),
            ("black 192.0.2.1 - 0".into(), LineError::Weight),
            ("black 192.0.2.1 - +1".into(), LineError::Weight),
            ("black 192.0.2.1 - 1 0".into(), LineError::Seconds),
            ("white 192.0.2.1 1d".into(), LineError::Seconds),
            ("black 192.0.2.1 - 1 1 1".into(), LineError::Extra),
            ("white 192.0.2.1 1 1".into(), LineError::Extra),
            ("forgive 192.0.2.1 x".into(), LineError::Extra),
            ("black 192.0.2.1\0".into(), LineError::Binary),
            ("black\t192.0.2.1".into(), LineError::Binary),
            ("black 192.0.2.1 \u{e9}".into(), LineError::Binary),
            (format!("black 192.0.2.1 {}", "x".repeat(LINE_MAX)), LineError::Long),
            ("by".into(), LineError::Name),
            ("by MX2 1 2 black 192.0.2.1".into(), LineError::Name),
            ("by mx2 x 2 black 192.0.2.1".into(), LineError::Stamp),
            (format!("by mx2 {} {mac} black 192.0.2.1", "1".repeat(20)), LineError::Stamp),
            (format!("by mx2 1795326190 {} black 192.0.2.1", &mac[1..]), LineError::Mac),
            (format!("by mx2 1795326190 g{} black 192.0.2.1", &mac[1..]), LineError::Mac),
            (signed(""), LineError::Empty),
            (signed("by"), LineError::Verb),
            (signed("auth mx2"), LineError::Verb),
            ("auth".into(), LineError::Name),
            (format!("auth mx2 1795326190 {mac} x"), LineError::Extra),
        ] {
            assert_eq!(Line::parse(line.as_bytes()), Err(error), "{line:?}");
        }
    }

    /// Caught: a limit that leaves the line's end out; blanks at the end of an order taken for words.
    #[test]
    fn a_line_of_512_bytes_is_the_longest() {
        let line = |length: usize| {
            let mut line = b"black 192.0.2.1 ".to_vec();
            line.resize(length - 1, b' ');
            line.push(b'\n');
            line
        };
        assert!(Line::parse(&line(LINE_MAX)).is_ok());
        assert_eq!(Line::parse(&line(LINE_MAX + 1)), Err(LineError::Long));
    }

    /// Caught: a stamp of microseconds that is taken for seconds; the signed order without the blank at
    /// its end.
    #[test]
    fn a_signature_covers_the_order_to_its_last_byte() {
        let mac = "aB".repeat(20);
        for (stamp, seconds) in [("1795326190", 1_795_326_190), ("1795326190123456", 1_795_326_190)]
        {
            let line = format!(" by mx2 {stamp} {mac} black 192.0.2.1 \r\n");
            let Ok(Line::Report { order, signature: Some(signature) }) =
                Line::parse(line.as_bytes())
            else {
                panic!("{line:?}")
            };
            assert_eq!(order, black("192.0.2.1", "", 0, 0));
            assert_eq!((signature.name.as_str(), signature.seconds), ("mx2", seconds));
            assert_eq!(signature.order, b"black 192.0.2.1 ");
            let auth = format!("auth mx2 {stamp} {mac}");
            let Ok(Line::Auth(signature)) = Line::parse(auth.as_bytes()) else { panic!("{auth}") };
            assert_eq!((signature.seconds, signature.order), (seconds, &b"auth"[..]));
        }
    }

    /// Caught: a default in the middle that is left out.
    #[test]
    fn an_order_is_written_as_it_is_read() {
        for line in [
            "black 192.0.2.1",
            "black 192.0.2.1 rcpt",
            "black 192.0.2.1 - 3",
            "black 2001:db8::1 - - 60",
            "black 192.0.2.1 auth 3 60",
            "white 192.0.2.1",
            "white 192.0.2.1 0",
            "forgive 2001:db8::1",
        ] {
            assert_eq!(order(line).to_string(), line);
        }
    }
}

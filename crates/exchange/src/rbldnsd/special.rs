//! Lines that begin with `$`: about the zone as a whole.

use eximrbl_table::UnixSeconds;
use jiff::tz::TimeZone;

use crate::row::{LineError, shown};

/// What such a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// Something that has nothing to do with addresses.
    Other,
    /// No range may hold more addresses than this.
    MaxRange(u64),
    /// The file is of no use from then on.
    Expires(UnixSeconds),
}

/// Reads what stands behind the `$`.
pub(super) fn read(line: &[u8], now: UnixSeconds) -> Result<Special, LineError> {
    let wrong = || LineError::Special { found: shown(line) };
    let text = std::str::from_utf8(line).map_err(|_| wrong())?;
    let mut words = text.split_ascii_whitespace();
    let key = words.next().unwrap_or("").to_ascii_lowercase();
    match key.as_str() {
        "soa" | "ns" | "nameserver" | "ttl" => Ok(Special::Other),
        "=" => Ok(Special::Other),
        _ if key.len() == 1 && key.as_bytes()[0].is_ascii_digit() => Ok(Special::Other),
        "dataset" => Err(LineError::Combined),
        "maxrange4" => {
            max_range(words.next().unwrap_or("")).map(Special::MaxRange).ok_or_else(wrong)
        }
        "timestamp" => {
            let stamp = timestamp(words.next().unwrap_or("")).ok_or_else(wrong)?;
            if stamp.is_some_and(|stamp| stamp > now) {
                return Err(LineError::Future);
            }
            let expires = match words.next() {
                None => None,
                Some(word) => match word.strip_prefix('+') {
                    Some(span) => {
                        let (stamp, span) =
                            (stamp.ok_or_else(wrong)?, seconds(span).ok_or_else(wrong)?);
                        Some(stamp.saturating_add(span))
                    }
                    None => timestamp(word).ok_or_else(wrong)?,
                },
            };
            Ok(expires.map_or(Special::Other, Special::Expires))
        }
        _ => Err(wrong()),
    }
}

/// `256`, or `/24`.
fn max_range(text: &str) -> Option<u64> {
    match text.strip_prefix('/') {
        None => text.parse().ok().filter(|&size| size > 0),
        Some(length) => {
            length.parse().ok().filter(|length| *length <= 32).map(|length: u32| 1 << (32 - length))
        }
    }
}

/// `yyyy:mm:dd[:hh[:mi[:ss]]]` in UTC, with `:`, `-` or nothing between; `0` and `-` are none.
fn timestamp(text: &str) -> Option<Option<UnixSeconds>> {
    if matches!(text, "0" | "-" | ":") {
        return Some(None);
    }
    let mut rest = text;
    let mut next = |digits: usize| -> Option<i16> {
        let count = rest.bytes().take(digits).take_while(u8::is_ascii_digit).count();
        let number = rest[..count].parse().ok()?;
        rest = &rest[count..];
        rest = rest.strip_prefix([':', '-']).unwrap_or(rest);
        Some(number)
    };
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let (hour, minute, second) = (next(2).unwrap_or(0), next(2).unwrap_or(0), next(2).unwrap_or(0));
    if !rest.is_empty() || !(1970..=2105).contains(&year) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    // All within two digits by now.
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|n| n as i8);
    let day = jiff::civil::Date::new(year, month, day).ok()?;
    let time = day.at(hour, minute, second, 0).to_zoned(TimeZone::UTC).ok()?;
    UnixSeconds::try_from(time.timestamp().as_second()).ok().map(Some)
}

/// A span with a unit or without one: `3600`, `60m`, `1h`, `1d`, `1w`.
fn seconds(text: &str) -> Option<u32> {
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3600),
        b'd' => (&text[..text.len() - 1], 86_400),
        b'w' => (&text[..text.len() - 1], 604_800),
        _ => (text, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T05:43:10Z
    const NOW: UnixSeconds = 1_795_326_190;

    #[test]
    fn what_says_nothing_about_addresses_is_passed_over() {
        for text in [
            "SOA 3600 ns.example.org host.example.org 0 1h 1h 1w 1h",
            "ns 0 a.example.org -b.example.org",
            "TTL 2100",
            "1 See http://example.org",
            "= base $=",
        ] {
            assert_eq!(read(text.as_bytes(), NOW), Ok(Special::Other), "{text}");
        }
        assert_eq!(read(b"dataset ip4set:x @", NOW), Err(LineError::Combined));
        for text in ["", "Id: file 1.2$", "maxrange4 x", "maxrange4 /33", "maxrange4 0", "\u{e9}"] {
            assert!(matches!(read(text.as_bytes(), NOW), Err(LineError::Special { .. })), "{text}");
        }
    }

    /// Caught: an end that counts from now instead of from the stamp.
    #[test]
    fn files_run_out() {
        let until = |text: &str| read(format!("TIMESTAMP {text}").as_bytes(), NOW);
        let expires = Ok(Special::Expires(1_795_326_190 + 3600));
        assert_eq!(until("2026:11:22:05:43:10 2026-11-22-06:43:10"), expires);
        assert_eq!(until("20261122044310 +2h"), expires);
        assert_eq!(until("20261122054300 +3610s"), expires);
        assert_eq!(until("0 20261122064310"), expires);
        assert_eq!(until("2026:11:22"), Ok(Special::Other));
        assert_eq!(until("- -"), Ok(Special::Other));
        assert_eq!(until("2026:11:22:05:43:11"), Err(LineError::Future));
        for bad in
            ["", "0 +1h", "2026", "2026:13:01", "2026:02:30", "2026:11:22:24", "x", "20261122 +x"]
        {
            assert!(matches!(until(bad), Err(LineError::Special { .. })), "{bad}");
        }
    }

    #[test]
    fn ranges_have_a_limit() {
        assert_eq!(read(b"MAXRANGE4 /24", NOW), Ok(Special::MaxRange(256)));
        assert_eq!(read(b"maxrange4 1024", NOW), Ok(Special::MaxRange(1024)));
        assert_eq!(read(b"maxrange4 /0", NOW), Ok(Special::MaxRange(1 << 32)));
    }
}

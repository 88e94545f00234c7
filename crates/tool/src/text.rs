//! Numbers, times and names as people read them.

use std::fmt::Write;
use std::net::IpAddr;

use eximrbl_table::UnixSeconds;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A span of seconds in its two largest units: `9 min 58 s`, `6 d 23 h`, `1 h`.
pub(crate) fn span(seconds: u32) -> String {
    joined(seconds, " ", " ")
}

/// The same without spaces, for columns: `9min58s`.
pub(crate) fn short_span(seconds: u32) -> String {
    joined(seconds, "", "")
}

/// The two largest units, of which a second that is zero is left out.
fn joined(seconds: u32, before_unit: &str, between: &str) -> String {
    const UNITS: [(u32, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[largest];
    let mut text = format!("{}{before_unit}{unit}", seconds / size);
    if let Some((next_size, next_unit)) = UNITS.get(largest + 1) {
        let rest = seconds % size / next_size;
        if rest > 0 {
            // Writing into a String cannot fail.
            let _ = write!(text, "{between}{rest}{before_unit}{next_unit}");
        }
    }
    text
}

/// `1 rejection`, `2 rejections`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `1 entry`, `2 entries`.
pub(crate) fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

/// A file's size in the largest unit that leaves a digit or more before the point: `68.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        None => counted(bytes, "byte"),
        Some((size, unit)) => {
            let tenths = bytes / (size / 10);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// A point in time for programs: RFC 3339, in UTC.
pub(crate) fn rfc3339(time: UnixSeconds) -> String {
    timestamp(time).to_string()
}

/// Writes times in the host's time zone, as Exim's logs have them.
pub(crate) struct LocalTime {
    zone: TimeZone,
}

impl LocalTime {
    /// Of the host, or of the environment's `TZ`.
    pub(crate) fn new() -> Self {
        Self { zone: TimeZone::system() }
    }

    /// `2026-11-22 05:43:10 +01:00`
    pub(crate) fn long(&self, time: UnixSeconds) -> String {
        self.formatted(time, "%Y-%m-%d %H:%M:%S %:z")
    }

    /// `2026-11-22T05:43:10+01:00`, without a space, for columns.
    pub(crate) fn short(&self, time: UnixSeconds) -> String {
        self.formatted(time, "%Y-%m-%dT%H:%M:%S%:z")
    }

    fn formatted(&self, time: UnixSeconds, format: &str) -> String {
        timestamp(time).to_zoned(self.zone.clone()).strftime(format).to_string()
    }
}

/// Every 32-bit time lies within jiff's range, so the default (the epoch) is never taken.
fn timestamp(time: UnixSeconds) -> Timestamp {
    Timestamp::from_second(i64::from(time)).unwrap_or_default()
}

/// The name under a zone that asks for a client: reversed octets, or reversed nibbles for IPv6
/// (RFC 5782 sections 2.1 and 2.4).
pub(crate) fn dns_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            let nibbles = (0..32).map(|place| format!("{:x}", bits >> (4 * place) & 0xf));
            nibbles.collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, long, short) in [
            (0, "0 s", "0s"),
            (59, "59 s", "59s"),
            (60, "1 min", "1min"),
            (598, "9 min 58 s", "9min58s"),
            (3_600, "1 h", "1h"),
            (3_659, "1 h", "1h"),
            (86_399, "23 h 59 min", "23h59min"),
            (604_799, "6 d 23 h", "6d23h"),
            (u32::MAX, "49710 d 6 h", "49710d6h"),
        ] {
            assert_eq!(span(seconds), long);
            assert_eq!(short_span(seconds), short);
        }
    }

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(68_157_440), "68.1 MB");
        assert_eq!(size(4_294_967_296), "4.2 GB");
    }

    #[test]
    fn times_are_rfc_3339_in_utc_for_programs() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_795_326_190), "2026-11-22T05:43:10Z");
        assert_eq!(rfc3339(u32::MAX), "2106-02-07T06:28:15Z");
    }

    #[test]
    fn times_are_local_for_people() {
        let berlin = LocalTime { zone: TimeZone::fixed(jiff::tz::offset(1)) };
        assert_eq!(berlin.long(1_795_326_190), "2026-11-22 06:43:10 +01:00");
        assert_eq!(berlin.short(1_795_326_190), "2026-11-22T06:43:10+01:00");
    }

    #[test]
    fn dns_names_are_reversed() {
        assert_eq!(dns_name("192.0.2.1".parse().unwrap()), "1.2.0.192");
        assert_eq!(
            dns_name("2001:db8:1:2::f".parse().unwrap()),
            "f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        );
    }
}

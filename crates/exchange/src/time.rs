//! Times as lists write them.

use eximrbl_table::UnixSeconds;
use jiff::Timestamp;

/// Reads a time: RFC 3339 with any offset, or seconds since 1970. Parts of a second are cut off.
pub fn read_time(text: &str) -> Option<UnixSeconds> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let time: Timestamp = text.parse().ok()?;
    UnixSeconds::try_from(time.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_seconds() {
        assert_eq!(read_time("1795326190"), Some(1_795_326_190));
        assert_eq!(read_time("2026-11-22T05:43:10Z"), Some(1_795_326_190));
        assert_eq!(read_time("2026-11-22T06:43:10+01:00"), Some(1_795_326_190));
        assert_eq!(read_time("2026-11-22T05:43:10.9Z"), Some(1_795_326_190));
        for bad in ["", "-1", "4294967296", "2026-11-22", "1969-12-31T23:59:59Z", "now"] {
            assert_eq!(read_time(bad), None, "{bad}");
        }
    }
}

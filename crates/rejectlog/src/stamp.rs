//! Dates and times at the start of a line.

/// When a line was written, as the line says it.
///
/// The numbers are as they stand there: whether there is such a day is for the calendar to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The year; `None` in the syslog's old form, which has none (RFC 3164 section 4.1.2).
    pub year: Option<i16>,
    /// 1 to 12.
    pub month: i8,
    /// 1 to 31.
    pub day: i8,
    /// 0 to 23.
    pub hour: i8,
    /// 0 to 59.
    pub minute: i8,
    /// 0 to 60.
    pub second: i8,
    /// Seconds east of Greenwich; `None` means the host's time zone.
    pub offset: Option<i32>,
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

impl Stamp {
    /// Exim's own: `2026-11-22 05:43:10`, then `.540` under +millisec, then ` +0100` under
    /// `log_timezone`, then a space. Yields the rest as well.
    pub(crate) fn of_exim(line: &[u8]) -> Option<(Self, &[u8])> {
        let (mut stamp, rest) = date_and_time(line, b' ')?;
        let rest = without_fraction(rest).strip_prefix(b" ")?;
        match offset(rest, false)
            .and_then(|(offset, rest)| Some((offset, rest.strip_prefix(b" ")?)))
        {
            Some((offset, rest)) => {
                stamp.offset = Some(offset);
                Some((stamp, rest))
            }
            None => Some((stamp, rest)),
        }
    }

    /// The syslog's newer one (RFC 3339): `2026-11-22T05:43:10.123456+01:00 ` or with `Z`.
    pub(crate) fn of_syslog(line: &[u8]) -> Option<(Self, &[u8])> {
        let (mut stamp, rest) = date_and_time(line, b'T')?;
        let (offset, rest) = offset(without_fraction(rest), true)?;
        stamp.offset = Some(offset);
        Some((stamp, rest.strip_prefix(b" ")?))
    }

    /// The syslog's older one: `Nov  2 05:43:10 `.
    pub(crate) fn of_old_syslog(line: &[u8]) -> Option<(Self, &[u8])> {
        let (name, rest) = line.split_first_chunk::<3>()?;
        let month = MONTHS.iter().position(|month| *month == name)? as i8 + 1;
        let rest = rest.strip_prefix(b" ")?;
        let (day, rest) = match rest {
            [b' ', digit @ b'0'..=b'9', rest @ ..] => ((digit - b'0') as i8, rest),
            _ => two_digits(rest)?,
        };
        let (hour, minute, second, rest) = time(rest.strip_prefix(b" ")?)?;
        let stamp = Self { year: None, month, day, hour, minute, second, offset: None };
        stamp.is_in_range().then_some((stamp, rest.strip_prefix(b" ")?))
    }

    fn is_in_range(&self) -> bool {
        (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour <= 23
            && self.minute <= 59
            && self.second <= 60
    }
}

/// `2026-11-22`, a separator, `05:43:10`.
fn date_and_time(line: &[u8], between: u8) -> Option<(Stamp, &[u8])> {
    let (century, rest) = two_digits(line)?;
    let (year, rest) = two_digits(rest)?;
    let (month, rest) = two_digits(rest.strip_prefix(b"-")?)?;
    let (day, rest) = two_digits(rest.strip_prefix(b"-")?)?;
    let (hour, minute, second, rest) = time(rest.strip_prefix(&[between])?)?;
    let year = Some(i16::from(century) * 100 + i16::from(year));
    let stamp = Stamp { year, month, day, hour, minute, second, offset: None };
    stamp.is_in_range().then_some((stamp, rest))
}

/// `05:43:10`.
fn time(text: &[u8]) -> Option<(i8, i8, i8, &[u8])> {
    let (hour, rest) = two_digits(text)?;
    let (minute, rest) = two_digits(rest.strip_prefix(b":")?)?;
    let (second, rest) = two_digits(rest.strip_prefix(b":")?)?;
    Some((hour, minute, second, rest))
}

/// What follows `.540` or `.123456`, if that is there.
fn without_fraction(text: &[u8]) -> &[u8] {
    let Some(digits) = text.strip_prefix(b".") else { return text };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if (1..=9).contains(&length) { &digits[length..] } else { text }
}

/// `+0100`, or with a colon `+01:00` or `Z`, in seconds.
fn offset(text: &[u8], colon: bool) -> Option<(i32, &[u8])> {
    let (sign, rest) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        (b'Z', rest) if colon => return Some((0, rest)),
        _ => return None,
    };
    let (hours, rest) = two_digits(rest)?;
    let rest = if colon { rest.strip_prefix(b":")? } else { rest };
    let (minutes, rest) = two_digits(rest)?;
    let is_known = hours <= 23 && minutes <= 59;
    is_known.then_some((sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60), rest))
}

fn two_digits(text: &[u8]) -> Option<(i8, &[u8])> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] => {
            Some(((a - b'0') as i8 * 10 + (b - b'0') as i8, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SECOND: Stamp = Stamp {
        year: Some(2026),
        month: 11,
        day: 22,
        hour: 5,
        minute: 43,
        second: 10,
        offset: None,
    };

    /// Caught: a fraction that was left in the text; the sign of an offset lost.
    #[test]
    fn exims_own_stamps() {
        for (text, offset, rest) in [
            ("2026-11-22 05:43:10 H=", None, "H="),
            ("2026-11-22 05:43:10.540 H=", None, "H="),
            ("2026-11-22 05:43:10 +0100 H=", Some(3600), "H="),
            ("2026-11-22 05:43:10.540 -0330 H=", Some(-12_600), "H="),
            ("2026-11-22 05:43:10 +01 H=", None, "+01 H="),
        ] {
            let expected = Stamp { offset, ..SECOND };
            assert_eq!(
                Stamp::of_exim(text.as_bytes()),
                Some((expected, rest.as_bytes())),
                "{text}"
            );
        }
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22 05:43:10",
            "2026-11-22T05:43:10 H=",
            "2026-13-22 05:43:10 H=",
            "2026-11-00 05:43:10 H=",
            "2026-11-22 24:43:10 H=",
            "2026-11-22 05:43:1 H=",
            "2026-11-22 05:43:10. H=",
            " 2026-11-22 05:43:10 H=",
            "P 2026-11-22 05:43:10 H=",
        ] {
            assert_eq!(Stamp::of_exim(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_syslogs_stamps() {
        for (text, offset) in [
            ("2026-11-22T05:43:10Z mx ", 0),
            ("2026-11-22T05:43:10+01:00 mx ", 3600),
            ("2026-11-22T05:43:10.123456-08:00 mx ", -28_800),
        ] {
            let expected = Stamp { offset: Some(offset), ..SECOND };
            assert_eq!(Stamp::of_syslog(text.as_bytes()), Some((expected, &b"mx "[..])), "{text}");
        }
        assert_eq!(Stamp::of_syslog(b"2026-11-22T05:43:10 mx "), None);
        for (text, day) in [("Nov 22 05:43:10 mx ", 22), ("Nov  2 05:43:10 mx ", 2)] {
            let expected = Stamp { year: None, day, ..SECOND };
            assert_eq!(Stamp::of_old_syslog(text.as_bytes()), Some((expected, &b"mx "[..])));
        }
        for bad in ["Nov 32 05:43:10 mx ", "Now 22 05:43:10 mx ", "Nov 2 05:43:10 mx ", "Nov"] {
            assert_eq!(Stamp::of_old_syslog(bad.as_bytes()), None, "{bad}");
        }
    }
}

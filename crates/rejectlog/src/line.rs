//! What stands before Exim's text: time stamps, the syslog's prefix, process and message numbers.

use crate::stamp::Stamp;

/// Which program wrote the file's lines. A file has one form, so that what looks like another one
/// in it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Exim itself.
    File,
    /// A syslog daemon.
    Syslog,
}

/// A line that begins a record, without its front matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Headed<'a> {
    pub(crate) form: Form,
    pub(crate) stamp: Stamp,
    /// Exim's text, from its first word.
    pub(crate) text: &'a [u8],
    /// Whether the end of the text may be missing.
    pub(crate) is_cut: bool,
}

/// Syslog messages of Exim are no longer (`MAX_SYSLOG_LEN` in `log.c`), unless it was built so; other
/// programs on the way may cut what is.
const SYSLOG_MAX: usize = 870;

/// Takes off the front matter; `None` if the line begins no record: a line of a header dump, an
/// empty one, one of another program.
pub(crate) fn headed(line: &[u8], form: Option<Form>) -> Option<Headed<'_>> {
    // What a machine that lost power leaves in a file.
    let start = line.iter().position(|byte| *byte != 0)?;
    let line = &line[start..];
    if form != Some(Form::Syslog)
        && let Some((stamp, rest)) = Stamp::of_exim(line)
    {
        return Some(Headed { form: Form::File, stamp, text: numbered(rest), is_cut: false });
    }
    if form == Some(Form::File) {
        return None;
    }
    let (stamp, rest) = Stamp::of_syslog(line).or_else(|| Stamp::of_old_syslog(line))?;
    from_syslog(stamp, rest)
}

/// `host exim[123]: [i\n] text`, with the time again in front of the text unless
/// `syslog_timestamp` is off.
fn from_syslog(stamp: Stamp, rest: &[u8]) -> Option<Headed<'_>> {
    let (_host, rest) = word(rest)?;
    let (tag, message) = word(rest)?;
    let tag = tag.strip_suffix(b":")?;
    let program = tag.split(|byte| *byte == b'[').next()?;
    if program != b"exim" && program != b"exim4" {
        return None;
    }
    let (message, is_part) = match fragment(message) {
        None => (message, false),
        // The first of several lines: whole if it ended at a newline of Exim's.
        Some((1, ends_line, rest)) => (rest, !ends_line),
        // A header dump, or the rest of a line that was too long.
        Some(_) => return None,
    };
    let is_cut = is_part || message.len() > SYSLOG_MAX;
    let (stamp, text) = Stamp::of_exim(message).unwrap_or((stamp, message));
    Some(Headed { form: Form::Syslog, stamp, text: numbered(text), is_cut })
}

/// `[i\n] ` or `[i/n] ` in front of a part of a message: its number, whether it ends with a line, and
/// the rest.
fn fragment(message: &[u8]) -> Option<(u32, bool, &[u8])> {
    let (number, rest) = digits(message.strip_prefix(b"[")?)?;
    let (ends_line, rest) = match rest.split_first()? {
        (b'\\', rest) => (true, rest),
        (b'/', rest) => (false, rest),
        _ => return None,
    };
    let (_count, rest) = digits(rest)?;
    Some((number, ends_line, rest.strip_prefix(b"] ")?))
}

/// What follows `[pid] ` and the message's number, where they are there.
fn numbered(text: &[u8]) -> &[u8] {
    let text = without_pid(text).unwrap_or(text);
    without_message_id(text).unwrap_or(text)
}

fn without_pid(text: &[u8]) -> Option<&[u8]> {
    digits(text.strip_prefix(b"[")?)?.1.strip_prefix(b"] ")
}

/// A message's number: `1tEabc-000123-AB`, or since 4.97 `1tEabc-00000001234-ABCD`, and a space.
fn without_message_id(text: &[u8]) -> Option<&[u8]> {
    [[6, 6, 2], [6, 11, 4]].iter().find_map(|[a, b, c]| {
        let rest = alphanumerics(text, *a)?.strip_prefix(b"-")?;
        let rest = alphanumerics(rest, *b)?.strip_prefix(b"-")?;
        alphanumerics(rest, *c)?.strip_prefix(b" ")
    })
}

fn alphanumerics(text: &[u8], length: usize) -> Option<&[u8]> {
    let (start, rest) = text.split_at_checked(length)?;
    start.iter().all(u8::is_ascii_alphanumeric).then_some(rest)
}

/// Up to nine digits as a number, and the rest.
fn digits(text: &[u8]) -> Option<(u32, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    Some((digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')), rest))
}

/// What stands before the next space, and what after it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text)?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(line: &str) -> Option<&str> {
        headed(line.as_bytes(), None).map(|headed| str::from_utf8(headed.text).unwrap())
    }

    /// Caught: message numbers of 23 characters left in the text; parts of a syslog message taken for
    /// lines of their own.
    #[test]
    fn front_matter_is_taken_off() {
        for (line, expected) in [
            ("2026-11-22 05:43:10 H=x", Some("H=x")),
            ("2026-11-22 05:43:10 [123] H=x", Some("H=x")),
            ("2026-11-22 05:43:10.540 +0000 [123] 1tEabc-000123-AB H=x", Some("H=x")),
            ("2026-11-22 05:43:10 1tEabc-00000001234-ABCD H=x", Some("H=x")),
            ("2026-11-22 05:43:10 1tEabc-0000012345-ABCD H=x", Some("1tEabc-0000012345-ABCD H=x")),
            ("\x00\x00\x002026-11-22 05:43:10 H=x", Some("H=x")),
            ("P Received: from [192.0.2.1]", None),
            ("\t2026-11-22 05:43:10 H=x", None),
            ("2026-11-22T05:43:10+00:00 mx exim[9]: 2026-11-22 05:43:11 H=x", Some("H=x")),
            ("2026-11-22T05:43:10Z mx exim4: H=x", Some("H=x")),
            ("Nov 22 05:43:10 mx exim[9]: 1tEabc-000123-AB H=x", Some("H=x")),
            (r"Nov 22 05:43:10 mx exim[9]: [1\12] 2026-11-22 05:43:11 H=x", Some("H=x")),
            (r"Nov 22 05:43:10 mx exim[9]: [2\12] 2026-11-22 05:43:11 H=x", None),
            ("Nov 22 05:43:10 mx sshd[9]: 2026-11-22 05:43:11 H=x", None),
            ("Nov 22 05:43:10 mx sshd exim[9]: 2026-11-22 05:43:11 H=x", None),
            ("", None),
        ] {
            assert_eq!(text(line), expected, "{line:?}");
        }
    }

    /// Caught: a first part that ends in the middle of a line taken for the whole.
    #[test]
    fn a_line_that_is_continued_is_known_as_cut() {
        for (line, is_cut) in [
            (r"Nov 22 05:43:10 mx exim[9]: [1\2] H=x".to_owned(), false),
            ("Nov 22 05:43:10 mx exim[9]: [1/2] H=x".to_owned(), true),
            (format!("Nov 22 05:43:10 mx exim[9]: {}", "x".repeat(870)), false),
            (format!("Nov 22 05:43:10 mx exim[9]: {}", "x".repeat(871)), true),
        ] {
            assert_eq!(headed(line.as_bytes(), None).unwrap().is_cut, is_cut, "{line}");
        }
    }

    /// Caught: a form taken for granted that the file's first line did not have.
    #[test]
    fn a_file_has_one_form() {
        let (file, syslog) = ("2026-11-22 05:43:10 H=x", "Nov 22 05:43:10 mx exim[9]: H=x");
        assert!(headed(file.as_bytes(), Some(Form::File)).is_some());
        assert!(headed(syslog.as_bytes(), Some(Form::File)).is_none());
        assert!(headed(file.as_bytes(), Some(Form::Syslog)).is_none());
        assert!(headed(syslog.as_bytes(), Some(Form::Syslog)).is_some());
    }
}

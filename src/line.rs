//! A line of text in a buffer of fixed size: for the log, and for what is yielded to Exim.
//!
//! Printable ASCII is kept; any other byte becomes `\xNN`, so that a line stays one line whatever
//! gets into it. What does not fit is cut, and the end then reads `...`.

use std::ffi::CStr;
use std::fmt;

/// What stands at the end of a line that was cut.
const CUT: &[u8] = b"...";

/// At most `SIZE - 1` characters, and a NUL.
pub(crate) struct Line<const SIZE: usize> {
    bytes: [u8; SIZE],
    length: usize,
    /// How much of it stays when it has to be cut.
    kept: usize,
    is_cut: bool,
}

impl<const SIZE: usize> Line<SIZE> {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        assert!(SIZE > CUT.len() + 1, "a line has room for the mark of its cut and for the NUL");
        Self { bytes: [0; SIZE], length: 0, kept: 0, is_cut: false }
    }

    /// Forgets the text.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
        self.kept = 0;
        self.is_cut = false;
    }

    /// Adds text; cuts it if it is too much.
    pub(crate) fn add(&mut self, text: fmt::Arguments<'_>) {
        // A Display that fails, or a full buffer: either way, what is there is the line.
        let _ = fmt::Write::write_fmt(self, text);
    }

    /// The text as C wants it.
    pub(crate) fn terminated(&mut self) -> &CStr {
        if let Some(byte) = self.bytes.get_mut(self.length) {
            *byte = 0;
        }
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }

    /// Adds bytes that belong together: all of them, or none.
    fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        // One place stays for the NUL.
        if self.is_cut || self.length + bytes.len() >= SIZE {
            self.cut();
            return Err(fmt::Error);
        }
        self.put(bytes);
        if self.length + CUT.len() < SIZE {
            self.kept = self.length;
        }
        Ok(())
    }

    fn cut(&mut self) {
        if !self.is_cut {
            self.is_cut = true;
            self.length = self.kept;
            self.put(CUT);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
            self.length = end;
        }
    }
}

impl<const SIZE: usize> fmt::Write for Line<SIZE> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| match byte {
            b' '..=b'~' => self.push(&[byte]),
            _ => self.push(&hexadecimal(byte)),
        })
    }
}

/// Text that may be hostile, in double quotes: a quote, a backslash and whatever is not printable
/// become `\xNN`, and it is cut after 60 bytes.
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

/// Longest part of a hostile text that is worth showing.
const QUOTED_MAX: usize = 60;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        for &byte in self.0.iter().take(QUOTED_MAX) {
            match byte {
                b'"' | b'\\' => {}
                b' '..=b'~' => {
                    f.write_char(char::from(byte))?;
                    continue;
                }
                _ => {}
            }
            for digit in hexadecimal(byte) {
                f.write_char(char::from(digit))?;
            }
        }
        f.write_str(if self.0.len() > QUOTED_MAX { "\"..." } else { "\"" })
    }
}

/// `\xNN`.
fn hexadecimal(byte: u8) -> [u8; 4] {
    let digit = |nibble: u8| {
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    };
    [b'\\', b'x', digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<const SIZE: usize>(text: &str) -> String {
        let mut line = Line::<SIZE>::new();
        line.add(format_args!("{text}"));
        String::from_utf8_lossy(line.terminated().to_bytes()).into_owned()
    }

    #[test]
    fn keeps_what_is_printable_and_escapes_the_rest() {
        assert_eq!(line::<64>("plain ~ text"), "plain ~ text");
        assert_eq!(line::<64>("a\nb\r\0\x7f\u{e9}"), r"a\x0ab\x0d\x00\x7f\xc3\xa9");
    }

    #[test]
    fn cuts_what_does_not_fit() {
        assert_eq!(line::<11>("0123456789"), "0123456789");
        assert_eq!(line::<10>("0123456789"), "012345...");
        // Half an escape is never left at the cut.
        assert_eq!(line::<10>("01234\n\n"), "01234...");
        let mut line = Line::<10>::new();
        line.add(format_args!("0123456789"));
        line.add(format_args!("more"));
        assert_eq!(line.terminated().to_bytes(), b"012345...");
        line.clear();
        line.add(format_args!("new"));
        assert_eq!(line.terminated().to_bytes(), b"new");
    }

    #[test]
    fn quotes_hostile_text() {
        assert_eq!(Quoted(b"1.2.3").to_string(), "\"1.2.3\"");
        assert_eq!(Quoted(b"a\"b\\c\n\xff").to_string(), r#""a\x22b\x5cc\x0a\xff""#);
        let long = Quoted(&[b'x'; 200]).to_string();
        assert_eq!(long, format!("\"{}\"...", "x".repeat(60)));
    }
}

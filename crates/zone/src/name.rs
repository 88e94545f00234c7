//! Domain names as the configuration file writes them and as DNS sends them.

use std::fmt;

/// Longest name in wire form, the root's zero byte included (RFC 1035 section 3.1).
const NAME_MAX: usize = 255;
/// Longest label (RFC 1035 section 3.1).
const LABEL_MAX: usize = 63;

/// A domain name in lower-case, uncompressed wire form: length-prefixed labels, then a zero byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName {
    wire: Box<[u8]>,
}

/// What is wrong with the text of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No label at all: empty, or the root.
    #[error("a name is needed, such as rbl.example.org")]
    Empty,
    /// Two dots in a row, or one in front.
    #[error("an empty label: two dots stand side by side, or one stands in front")]
    EmptyLabel,
    /// Over 63 bytes between two dots.
    #[error("label \"{label}\" has more than 63 bytes")]
    LongLabel {
        /// The label.
        label: String,
    },
    /// Over 255 bytes in all.
    #[error("longer than 255 bytes")]
    Long,
    /// Something else than letters, digits, `-` and `_`.
    #[error("character '{character}' is not for names here: use letters, digits, '-' and '_'")]
    Character {
        /// The first such character.
        character: char,
    },
    /// A mailbox without anything before its `@`.
    #[error("nothing stands before the '@'")]
    EmptyMailbox,
}

impl DnsName {
    /// Reads a name such as `rbl.example.org`; a dot at the end changes nothing.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        push_labels(&mut wire, text)?;
        Self::finish(wire)
    }

    /// Reads a mailbox as an SOA record holds it (RFC 1035 section 3.3.13): of
    /// `first.last@example.org`, all before the `@` is one label, dots included. Without an `@`,
    /// it is read as a plain name.
    pub fn from_mailbox(text: &str) -> Result<Self, NameError> {
        let Some((local, domain)) = text.split_once('@') else {
            return Self::from_text(text);
        };
        if local.is_empty() {
            return Err(NameError::EmptyMailbox);
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        push_label(&mut wire, local, |b| b.is_ascii_alphanumeric() || b"-_.+=".contains(&b))?;
        push_labels(&mut wire, domain)?;
        Self::finish(wire)
    }

    /// This name with one more label in front; `None` when that would be too long.
    pub fn child(&self, label: &str) -> Option<Self> {
        let mut wire = Vec::with_capacity(self.wire.len() + label.len() + 1);
        push_label(&mut wire, label, is_plain).ok()?;
        wire.extend_from_slice(&self.wire);
        (wire.len() <= NAME_MAX).then(|| Self { wire: wire.into() })
    }

    /// Adds the root and checks the whole length.
    fn finish(mut wire: Vec<u8>) -> Result<Self, NameError> {
        wire.push(0);
        if wire.len() > NAME_MAX { Err(NameError::Long) } else { Ok(Self { wire: wire.into() }) }
    }

    /// The wire form.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The labels, leftmost first, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.wire;
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            if length == 0 {
                return None;
            }
            let (label, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            Some(label)
        })
    }

    /// The names above this one, nearest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.wire;
        std::iter::from_fn(move || {
            let length = usize::from(*rest.first()?);
            rest = rest.get(length + 1..)?;
            (rest.len() > 1).then_some(rest)
        })
    }
}

/// Appends all labels of dotted text.
fn push_labels(wire: &mut Vec<u8>, text: &str) -> Result<(), NameError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    text.split('.').try_for_each(|label| push_label(wire, label, is_plain))
}

/// Appends one label in lower case.
fn push_label(wire: &mut Vec<u8>, label: &str, allowed: fn(u8) -> bool) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if let Some(character) = label.chars().find(|&c| !u8::try_from(c).is_ok_and(allowed)) {
        return Err(NameError::Character { character });
    }
    if label.len() > LABEL_MAX {
        return Err(NameError::LongLabel { label: label.to_owned() });
    }
    wire.push(label.len() as u8);
    wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
    Ok(())
}

/// Letters, digits, hyphen (RFC 1123 section 2.1), and the underscore that service names use.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl fmt::Display for DnsName {
    /// Without the dot at the end; a dot inside a label is written `\.` (RFC 1035 section 5.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for &byte in label {
                if byte == b'.' {
                    f.write_str("\\")?;
                }
                write!(f, "{}", char::from(byte))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_names_into_lower_case_wire_form() {
        let name = DnsName::from_text("RBL.Example.org").unwrap();
        assert_eq!(name.wire(), b"\x03rbl\x07example\x03org\x00");
        assert_eq!(DnsName::from_text("rbl.example.org.").unwrap(), name);
        assert_eq!(name.to_string(), "rbl.example.org");
        let ancestors: Vec<_> = name.ancestors().collect();
        assert_eq!(ancestors, [&b"\x07example\x03org\x00"[..], b"\x03org\x00"]);
    }

    #[test]
    fn refuses_what_is_no_name() {
        let error = |text: &str| DnsName::from_text(text).unwrap_err();
        assert_eq!(error(""), NameError::Empty);
        assert_eq!(error("."), NameError::Empty);
        assert_eq!(error("a..b"), NameError::EmptyLabel);
        assert_eq!(error(".a"), NameError::EmptyLabel);
        assert_eq!(error("a b"), NameError::Character { character: ' ' });
        assert_eq!(error("münchen.de"), NameError::Character { character: 'ü' });
        assert_eq!(error(&"a".repeat(64)), NameError::LongLabel { label: "a".repeat(64) });
        assert_eq!(error(&["a"; 128].join(".")), NameError::Long);
        assert!(DnsName::from_text(&["a"; 127].join(".")).is_ok());
    }

    #[test]
    fn a_mailbox_becomes_a_name_with_its_dots_kept() {
        let name = DnsName::from_mailbox("first.last@example.org").unwrap();
        assert_eq!(name.wire(), b"\x0afirst.last\x07example\x03org\x00");
        assert_eq!(name.to_string(), "first\\.last.example.org");
        assert_eq!(DnsName::from_mailbox("@example.org"), Err(NameError::EmptyMailbox));
        assert_eq!(
            DnsName::from_mailbox("hostmaster.example.org").unwrap().wire(),
            b"\x0ahostmaster\x07example\x03org\x00"
        );
    }
}

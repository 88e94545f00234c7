//! The text that a TXT answer gives, made from a zone's template.

use std::fmt;

use eximrbl_table::UnixSeconds;

use crate::name::DnsName;
use crate::time::rfc3339;

/// Longest text: one character-string (RFC 1035 section 3.3). Clients show only the first string
/// of a TXT record (Exim does), so there is never a second.
pub const TEXT_MAX: usize = 255;

/// The text of black zones without a `txt` of their own.
pub const DEFAULT_BLACK: &str =
    "{ip} is listed in {zone}: rejections {count}, last {last}, reason {reason}";
/// The text of white zones without a `txt` of their own.
pub const DEFAULT_WHITE: &str = "{ip} is whitelisted in {zone}";

/// A text with places to fill in: `{ip} {count} {reason} {ttl} {first} {last} {zone}`.
///
/// `{{` and `}}` stand for single braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Ip,
    Count,
    Reason,
    Ttl,
    First,
    Last,
    Zone,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name in braces that stands for nothing.
    #[error(
        "unknown placeholder {{{name}}}; there are {{ip}}, {{count}}, {{reason}}, {{ttl}}, \
         {{first}}, {{last}} and {{zone}}; write {{{{ for a brace"
    )]
    Unknown {
        /// What the braces hold.
        name: String,
    },
    /// A brace that opens or closes nothing.
    #[error("a single '{brace}'; write {brace}{brace} for a brace")]
    LoneBrace {
        /// The brace.
        brace: char,
    },
    /// Something that mail clients and logs might not show, or might obey.
    #[error("character {character:?}: printable ASCII only, as it goes into SMTP replies and logs")]
    Character {
        /// The first such character.
        character: char,
    },
    /// Too long before anything is filled in.
    #[error("{length} bytes before anything is filled in: at most {TEXT_MAX}")]
    Long {
        /// Bytes that stand outside of placeholders.
        length: usize,
    },
}

/// What goes into the places.
pub(crate) struct Values<'a, Reasons> {
    /// The address; or what stands in its place where it is not known.
    pub(crate) ip: &'a dyn fmt::Display,
    pub(crate) count: u32,
    /// Gives the names, which are joined with commas; asked once for each `{reason}`.
    pub(crate) reasons: Reasons,
    /// Seconds of life left; `u32::MAX` is without end.
    pub(crate) ttl: u32,
    pub(crate) first: UnixSeconds,
    pub(crate) last: UnixSeconds,
    pub(crate) zone: &'a DnsName,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if let Some(character) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(TemplateError::Character { character });
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut length = 0;
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = if rest[at..].starts_with('{') { '{' } else { '}' };
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                literal.push(brace);
                rest = after;
                continue;
            }
            let inside = if brace == '{' { after.split_once('}') } else { None };
            let (name, after) = inside.ok_or(TemplateError::LoneBrace { brace })?;
            let field = Field::named(name)
                .ok_or_else(|| TemplateError::Unknown { name: name.to_owned() })?;
            length += literal.len();
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Field(field));
            rest = after;
        }
        literal.push_str(rest);
        length += literal.len();
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        if length > TEXT_MAX {
            return Err(TemplateError::Long { length });
        }
        Ok(Self { pieces: pieces.into() })
    }

    /// Fills in the values; what goes beyond [`TEXT_MAX`] bytes is cut off.
    #[cfg(test)]
    fn render<'n, Names: Iterator<Item = &'n str>>(
        &self,
        values: Values<'_, impl Fn() -> Names>,
    ) -> Text {
        let mut text = Text::new();
        let _ = self.write(&mut text, values);
        text
    }

    /// Fills in the values, to the end or until `text` takes no more.
    pub(crate) fn write<'n, Names: Iterator<Item = &'n str>>(
        &self,
        text: &mut impl fmt::Write,
        values: Values<'_, impl Fn() -> Names>,
    ) -> fmt::Result {
        let Values { ip, count, reasons, ttl, first, last, zone } = values;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.write_str(literal)?,
                Piece::Field(Field::Ip) => write!(text, "{ip}")?,
                Piece::Field(Field::Count) => write!(text, "{count}")?,
                Piece::Field(Field::Ttl) if ttl == u32::MAX => text.write_str("unlimited")?,
                Piece::Field(Field::Ttl) => write!(text, "{ttl}")?,
                Piece::Field(Field::First) => write!(text, "{}", rfc3339(first))?,
                Piece::Field(Field::Last) => write!(text, "{}", rfc3339(last))?,
                Piece::Field(Field::Zone) => write!(text, "{zone}")?,
                Piece::Field(Field::Reason) => write_joined(text, reasons())?,
            }
        }
        Ok(())
    }
}

/// Writes names with commas between them; "none" when there are none.
fn write_joined<'n>(
    text: &mut impl fmt::Write,
    mut names: impl Iterator<Item = &'n str>,
) -> fmt::Result {
    text.write_str(names.next().unwrap_or("none"))?;
    names.try_for_each(|name| write!(text, ",{name}"))
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ip" => Self::Ip,
            "count" => Self::Count,
            "reason" => Self::Reason,
            "ttl" => Self::Ttl,
            "first" => Self::First,
            "last" => Self::Last,
            "zone" => Self::Zone,
            _ => return None,
        })
    }
}

/// A text of at most [`TEXT_MAX`] bytes of printable ASCII, kept without the heap.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; TEXT_MAX],
    length: u8,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; TEXT_MAX], length: 0 }
    }

    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Write for Text {
    /// Takes what fits, and fails when something does not.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = usize::from(self.length);
        let room = TEXT_MAX - start;
        let taken = text.len().min(room);
        for (place, byte) in self.bytes[start..start + taken].iter_mut().zip(text.bytes()) {
            // Names and addresses are plain ASCII by their types; this holds for all else.
            *place = if matches!(byte, b' '..=b'~') { byte } else { b'?' };
        }
        self.length += taken as u8;
        if taken < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fmt::Write as _;

    use super::*;
    use proptest::prelude::*;

    fn render(template: &str) -> String {
        let zone = DnsName::from_text("rbl.example.org").unwrap();
        let values = Values {
            ip: &"192.0.2.1",
            count: 12,
            reasons: || ["rcpt", "auth"].into_iter(),
            ttl: 360,
            first: 1_795_326_190,
            last: 1_795_326_191,
            zone: &zone,
        };
        let text = Template::parse(template).unwrap().render(values);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn fills_in_every_placeholder() {
        assert_eq!(
            render("{ip} {count} {reason} {ttl} {first} {last} {zone}"),
            "192.0.2.1 12 rcpt,auth 360 2026-11-22T05:43:10Z 2026-11-22T05:43:11Z rbl.example.org"
        );
        assert_eq!(render("{{ip}} }}{{ {{{count}}}"), "{ip} }{ {12}");
        assert_eq!(render("{reason} {reason}"), "rcpt,auth rcpt,auth");
        assert_eq!(render(""), "");
    }

    #[test]
    fn an_endless_life_is_told_in_words() {
        let zone = DnsName::from_text("wl.example.org").unwrap();
        let values = Values {
            ip: &"192.0.2.1",
            count: 0,
            reasons: std::iter::empty,
            ttl: u32::MAX,
            first: 0,
            last: 0,
            zone: &zone,
        };
        let text = Template::parse("{ttl}, {reason}").unwrap().render(values);
        assert_eq!(text.as_bytes(), b"unlimited, none");
    }

    #[test]
    fn cuts_at_255_bytes() {
        let text = render(&format!("{}{{ip}}", "x".repeat(250)));
        assert_eq!(text, format!("{}192.0", "x".repeat(250)));
    }

    #[test]
    fn refuses_unknown_placeholders_lone_braces_and_odd_characters() {
        let error = |text: &str| Template::parse(text).unwrap_err();
        assert_eq!(error("{IP}"), TemplateError::Unknown { name: "IP".into() });
        assert!(error("{IP}").to_string().contains("unknown placeholder {IP}; there are {ip},"));
        assert_eq!(error("{}"), TemplateError::Unknown { name: String::new() });
        assert_eq!(error("{ip"), TemplateError::LoneBrace { brace: '{' });
        assert_eq!(error("ip}"), TemplateError::LoneBrace { brace: '}' });
        assert_eq!(error("a\nb"), TemplateError::Character { character: '\n' });
        assert_eq!(error("é"), TemplateError::Character { character: 'é' });
        assert_eq!(error(&"x".repeat(256)), TemplateError::Long { length: 256 });
    }

    #[test]
    fn what_is_not_printable_becomes_a_question_mark() {
        let mut text = Text::new();
        text.write_str("a\n\u{7f}é~").unwrap();
        assert_eq!(text.as_bytes(), b"a????~");
    }

    #[test]
    fn the_defaults_are_templates() {
        for text in [DEFAULT_BLACK, DEFAULT_WHITE] {
            Template::parse(text).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_renders_printably(text in "[ -~]{0,300}|\\PC{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                let zone = DnsName::from_text("rbl.example.org").unwrap();
                let rendered = template.render(Values {
                    ip: &"2001:db8::1",
                    count: u32::MAX,
                    reasons: || ["a"; 64].into_iter(),
                    ttl: 1,
                    first: 0,
                    last: u32::MAX,
                    zone: &zone,
                });
                prop_assert!(rendered.as_bytes().len() <= TEXT_MAX);
                prop_assert!(rendered.as_bytes().iter().all(|b| matches!(b, b' '..=b'~')));
            }
        }
    }
}

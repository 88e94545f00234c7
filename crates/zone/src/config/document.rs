//! The file's text with the place of every key in it.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Key, Step, Wrong, printable};
use super::spec::Spec;

/// A file that is valid TOML.
pub(super) struct Document<'a> {
    text: &'a str,
    path: &'a Path,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// Parses the text.
    pub(super) fn parse(text: &'a str, path: &'a Path) -> Result<Self, ConfigError> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let Some(error) = errors.first() else {
            return Ok(Self { text, path, root });
        };
        let at = error.span().map_or(0, |span| span.start);
        // The parser says "duplicate key" without naming it.
        let word = error.span().and_then(|span| text.get(span)).filter(|word| is_short(word));
        let word = word.map_or(String::new(), |word| format!(": {word}"));
        Err(ConfigError::Syntax {
            path: path.to_owned(),
            line: line_at(text.as_bytes(), at),
            problem: format!("{}{word}", printable(error.message())),
        })
    }

    /// Reads the file's shape.
    pub(super) fn spec(&self) -> Result<Spec, ConfigError> {
        for section in ["zone", "reporter"] {
            if let Some((_, DeValue::Table(_))) = entry(self.root.get_ref(), section) {
                let problem = format!(
                    "write [[{section}]], with two brackets: there can be several {section}s"
                );
                return Err(self.error(Wrong::new(Key::top(section), problem)));
            }
        }
        toml::from_str(self.text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let key = self.key_at(at);
            let key = if key.steps.is_empty() { "the file".to_owned() } else { key.to_string() };
            ConfigError::Key {
                path: self.path.to_owned(),
                line: line_at(self.text.as_bytes(), at),
                key,
                problem: in_plain_words(error.message()),
            }
        })
    }

    /// Adds the line to what is wrong at a key.
    pub(super) fn error(&self, wrong: Wrong) -> ConfigError {
        ConfigError::Key {
            path: self.path.to_owned(),
            line: line_at(self.text.as_bytes(), self.place_of(&wrong.key)),
            key: wrong.key.to_string(),
            problem: wrong.problem,
        }
    }

    /// Where a key stands; where the closest thing around it stands when it is not in the file.
    fn place_of(&self, key: &Key) -> usize {
        let mut place = 0;
        let mut value: Option<&DeValue<'_>> = None;
        for step in &key.steps {
            let next = match (step, value) {
                (Step::Name(name), None) => entry(self.root.get_ref(), name),
                (Step::Name(name), Some(DeValue::Table(table))) => entry(table, name),
                (Step::Index(index), Some(DeValue::Array(array))) => {
                    array.get(*index).map(|item| (item.span().start, item.get_ref()))
                }
                _ => None,
            };
            let Some((start, found)) = next else { break };
            place = start;
            value = Some(found);
        }
        place
    }

    /// The key whose name or value stands at a place of the text.
    fn key_at(&self, place: usize) -> Key {
        key_in_table(self.root.get_ref(), place, &Key::default()).unwrap_or_default()
    }
}

/// A table's key by name: where it stands, and its value.
fn entry<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<(usize, &'t DeValue<'a>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((key.span().start, value.get_ref()))
}

/// The innermost key of a table that stands at a place, or has its value there.
fn key_in_table(table: &DeTable<'_>, place: usize, above: &Key) -> Option<Key> {
    // Inner keys first: a table that is written in parts ([a], later [a.b]) has a span that does
    // not hold all of them.
    let inner = table.iter().find_map(|(name, value)| {
        key_in_value(value.get_ref(), place, &above.name(name.get_ref()))
    });
    inner.or_else(|| {
        let here = |span: Range<usize>| span.contains(&place);
        table
            .iter()
            .find(|(name, value)| here(name.span()) || here(value.span()))
            .map(|(name, _)| above.name(name.get_ref()))
    })
}

/// The innermost key within a value that stands at a place.
fn key_in_value(value: &DeValue<'_>, place: usize, above: &Key) -> Option<Key> {
    match value {
        DeValue::Table(table) => key_in_table(table, place, above),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, item)| {
            let above = above.index(index);
            let inner = key_in_value(item.get_ref(), place, &above);
            inner.or_else(|| item.span().contains(&place).then_some(above))
        }),
        _ => None,
    }
}

/// The line, from 1, of a byte of the text.
pub(super) fn line_at(text: &[u8], place: usize) -> usize {
    text.iter().take(place).filter(|&&byte| byte == b'\n').count() + 1
}

/// Whether a piece of the file can be repeated in a message.
fn is_short(word: &str) -> bool {
    (1..=40).contains(&word.len()) && !word.contains(char::is_control)
}

/// The parser's messages, without the words of its implementation.
fn in_plain_words(message: &str) -> String {
    printable(message)
        .replace("unknown field `", "unknown key `")
        .replace("expected i64", "expected a whole number")
        .replace("expected a sequence", "expected a list in [ ]")
        .replace("expected a map", "expected a table in { }")
}

//! Settings of the audit trail: the file that every change of the table is written to.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Value;

use super::error::{Key, Wrong};
use super::sections::{absolute, number};
use super::spec::AuditSpec;

/// Where the trail is when `[audit]` names no other file.
pub const AUDIT_PATH: &str = "/var/log/eximrbl/audit.jsonl";
/// Bytes of one file: from some dozen lines to a terabyte.
const SIZE: RangeInclusive<u64> = 4096..=1 << 40;
/// Older files that can be kept.
const KEEP: RangeInclusive<u64> = 1..=1000;

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The file that lines are added to; its older ones stand beside it.
    pub file: PathBuf,
    /// Bytes at which it becomes an older one; `None` leaves that to others.
    pub size: Option<u64>,
    /// Older ones that are kept.
    pub keep: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { file: AUDIT_PATH.into(), size: Some(64 << 20), keep: 5 }
    }
}

/// `[audit]`: no trail without that section.
pub(super) fn audit(spec: Option<AuditSpec>) -> Result<Option<AuditSettings>, Wrong> {
    let Some(spec) = spec else { return Ok(None) };
    let top = Key::top("audit");
    let default = AuditSettings::default();
    let file = spec.file.map_or(default.file, PathBuf::from);
    absolute(top.name("file"), &file)?;
    if file.file_name().is_none() || file.as_os_str().as_encoded_bytes().contains(&0) {
        let problem = format!("\"{}\" is no file's path; name a file", file.display());
        return Err(Wrong::new(top.name("file"), problem));
    }
    let size = match spec.size {
        None => default.size,
        Some(value) => size(&top, &value)?,
    };
    let keep = number(&top, "keep", spec.keep, u64::from(default.keep), KEEP)? as u32;
    Ok(Some(AuditSettings { file, size, keep }))
}

/// Bytes as a number, or as text with a unit; 0 for no limit.
fn size(top: &Key, value: &Value) -> Result<Option<u64>, Wrong> {
    let bytes = match value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => bytes(text),
        _ => None,
    };
    match bytes {
        Some(0) => Ok(None),
        Some(bytes) if SIZE.contains(&bytes) => Ok(Some(bytes)),
        _ => {
            let shown = match value {
                Value::String(text) => format!("\"{text}\""),
                Value::Integer(number) => number.to_string(),
                other => format!("a value of type {}", other.type_str()),
            };
            let problem = format!(
                "{shown} is no size: \"4K\" to \"1024G\", such as \"64M\", or 0 where another \
                 program sees to it"
            );
            Err(Wrong::new(top.name("size"), problem))
        }
    }
}

/// Reads digits, and perhaps K, M or G for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    number.checked_mul(1 << shift)
}

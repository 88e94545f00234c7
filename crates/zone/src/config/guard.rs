//! Checks the settings about who is answered, and how often.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use eximrbl_table::Network;

use super::error::{Key, Wrong};
use super::sections::{absolute, networks, number};
use super::spec::RateLimitSpec;
use super::{CookieUse, RateLimit};

/// Responses to one network in a second; 0 sets no limit.
const RESPONSES: RangeInclusive<u64> = 0..=1_000_000;
/// Which of the responses over the limit are empty instead of left out; 0 for none.
const SLIP: RangeInclusive<u64> = 0..=10;

/// `cookies`
pub(super) fn cookies(top: &Key, text: Option<&str>) -> Result<CookieUse, Wrong> {
    match text {
        None | Some("on") => Ok(CookieUse::On),
        Some("off") => Ok(CookieUse::Off),
        Some("required") => Ok(CookieUse::Required),
        Some(other) => {
            let problem = format!("\"{other}\" is none of \"on\", \"off\" and \"required\"");
            Err(Wrong::new(top.name("cookies"), problem))
        }
    }
}

/// `cookie_secret_file`
pub(super) fn secret_file(top: &Key, path: Option<String>) -> Result<Option<PathBuf>, Wrong> {
    let path = path.map(PathBuf::from);
    if let Some(path) = &path {
        absolute(top.name("cookie_secret_file"), path)?;
    }
    Ok(path)
}

/// `rate_limit`
pub(super) fn rate_limit(top: &Key, spec: RateLimitSpec) -> Result<RateLimit, Wrong> {
    let default = RateLimit::default();
    let setting = |name, value, default: u32, range| {
        number(top, name, value, u64::from(default), range).map(|number| number as u32)
    };
    let prefix = |name, value, default: u8, longest| {
        number(top, name, value, u64::from(default), 1..=longest).map(|number| number as u8)
    };
    let responses = default.responses_per_second;
    let responses =
        setting("responses_per_second", spec.responses_per_second, responses, RESPONSES)?;
    Ok(RateLimit {
        responses_per_second: responses,
        ipv4_prefix: prefix("ipv4_prefix", spec.ipv4_prefix, default.ipv4_prefix, 32)?,
        ipv6_prefix: prefix("ipv6_prefix", spec.ipv6_prefix, default.ipv6_prefix, 128)?,
        slip: setting("slip", spec.slip, default.slip, SLIP)?,
        exempt: match spec.exempt {
            Some(texts) => networks(&top.name("exempt"), &texts)?,
            None => default.exempt,
        },
    })
}

/// `allow_query`
pub(super) fn allow_query(
    top: &Key,
    texts: Option<Vec<String>>,
) -> Result<Option<Vec<Network>>, Wrong> {
    let key = top.name("allow_query");
    match texts {
        None => Ok(None),
        Some(texts) if texts.is_empty() => {
            Err(Wrong::new(key, "empty: nobody could ask; leave it out for all"))
        }
        Some(texts) => networks(&key, &texts).map(Some),
    }
}

/// A text that is given to whoever asks for it.
pub(super) fn text(
    top: &Key,
    name: &str,
    text: Option<String>,
    longest: usize,
) -> Result<Option<String>, Wrong> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |problem: String| Err(Wrong::new(top.name(name), problem));
    if text.is_empty() {
        return wrong("empty: leave it out, and nothing is told".to_owned());
    }
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() && *c != ' ') {
        return wrong(format!("character {odd:?}: printable ASCII only"));
    }
    if text.len() > longest {
        return wrong(format!("{} characters: at most {longest}", text.len()));
    }
    Ok(Some(text))
}

//! Guesses a file's format: by its name, else by its beginning.

use std::path::Path;

use crate::format::Format;
use crate::plain;

/// The format that a file's name tells; `.gz` at its end counts for nothing.
pub fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map_or(name, |(_, ending)| ending) {
        "json" | "jsonl" | "ndjson" => Some(Format::Json),
        "csv" => Some(Format::Csv),
        "ip4set" => Some(Format::Ip4Set),
        "ip4trie" => Some(Format::Ip4Trie),
        "ip6trie" => Some(Format::Ip6Trie),
        _ => None,
    }
}

/// The format that the beginning of a file looks like; a plain list if there is nothing to see.
pub fn by_content(beginning: &[u8]) -> Format {
    // A last line may have been cut in two.
    let mut lines: Vec<&[u8]> = beginning.split(|&byte| byte == b'\n').collect();
    if lines.len() > 1 {
        lines.pop();
    }
    // One line with more than an address makes a list rbldnsd's; which of its formats, most of the
    // addresses tell.
    let mut is_rbldnsd = false;
    let (mut ipv4, mut ipv6) = (0, 0);
    for line in lines.into_iter().map(<[u8]>::trim_ascii) {
        let is_address = match line {
            [] => continue,
            [b'#' | b';', b'$', rest @ ..] if is_keyword(rest) => false,
            [b'#' | b';', ..] => continue,
            [b'{', ..] => return Format::Json,
            [b'$', ..] => false,
            [b':', rest @ ..] if !rest.starts_with(b":") => false,
            _ if plain::read(line).is_ok() => {
                count(line, &mut ipv4, &mut ipv6);
                continue;
            }
            _ if ipv4 + ipv6 == 0 && !is_rbldnsd && names_columns(line) => return Format::Csv,
            _ => true,
        };
        is_rbldnsd = true;
        if is_address {
            count(line, &mut ipv4, &mut ipv6);
        }
    }
    match is_rbldnsd {
        false => Format::Plain,
        true if ipv6 > ipv4 => Format::Ip6Trie,
        true => Format::Ip4Set,
    }
}

fn count(line: &[u8], ipv4: &mut u64, ipv6: &mut u64) {
    *if is_ipv6(line) { ipv6 } else { ipv4 } += 1;
}

/// Whether a first line names the columns of a CSV file.
fn names_columns(line: &[u8]) -> bool {
    let mut names = line.split(|&byte| byte == b',');
    names.any(|name| name.trim_ascii() == b"network") || line.contains(&b',')
}

/// Whether a line is one of rbldnsd's about the zone, and not a comment.
fn is_keyword(text: &[u8]) -> bool {
    let word = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    [&b"SOA"[..], b"NS", b"TTL", b"TIMESTAMP", b"MAXRANGE4"]
        .iter()
        .any(|key| word.eq_ignore_ascii_case(key))
}

/// Whether a line begins with an IPv6 address.
fn is_ipv6(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"!").unwrap_or(line).trim_ascii_start();
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit() && *byte != b':');
    let word = &line[..end.unwrap_or(line.len())];
    word.starts_with(b"::")
        || !word.starts_with(b":") && word.iter().filter(|byte| **byte == b':').count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (name, format) in [
            ("list.csv", Some(Format::Csv)),
            ("/a.b/LIST.JSON.gz", Some(Format::Json)),
            ("dump.ndjson", Some(Format::Json)),
            ("bl.ip6trie", Some(Format::Ip6Trie)),
            ("ip4set", Some(Format::Ip4Set)),
            ("list.txt", None),
            ("drop", None),
        ] {
            assert_eq!(by_name(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn beginnings_tell() {
        for (text, format) in [
            ("", Format::Plain),
            ("# only comments\n", Format::Plain),
            ("# x\n192.0.2.1\n2001:db8::/32 ; y\n", Format::Plain),
            ("192.0.2.0/24\n192.0.2.1-192.0.2.9\n192.0.2", Format::Plain),
            ("192.0.2.1\n192.0.2\n", Format::Ip4Set),
            ("192.0.2.1 spam\n", Format::Ip4Set),
            (":127.0.0.2:x\n192.0.2.1\n", Format::Ip4Set),
            (":127.0.0.2:x\n2001:db8::/32\n", Format::Ip6Trie),
            ("$SOA 0 a b 0 1 1 1 1\n!2001:db8::/32\n", Format::Ip6Trie),
            ("#$NS 0 a\n192.0.2.1\n", Format::Ip4Set),
            ("#$Id$\n192.0.2.1\n", Format::Plain),
            ("2001:db8::1 :2:text\n", Format::Ip6Trie),
            ("192.0.2.1\n!192.0.2.7\n", Format::Ip4Set),
            ("\n{\"network\":\"192.0.2.1\"}\n", Format::Json),
            ("network,count\n192.0.2.1,3\n", Format::Csv),
            ("count,network\n", Format::Csv),
            ("network\n192.0.2.1\n", Format::Csv),
            (":2:x\n192.0.2.1 a, b\n2001:db8::1\n192.0.2.2", Format::Ip4Set),
        ] {
            assert_eq!(by_content(text.as_bytes()), format, "{text:?}");
        }
    }
}

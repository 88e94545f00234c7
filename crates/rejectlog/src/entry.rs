//! Which form a line's text has, and the text that rules see: the host as `HOST`, and what Exim puts
//! between it and its verdict left out.
//!
//! ```text
//! H=(x) [ip] I=[ip]:25 X=TLS… F=<a@b> rejected RCPT <c@d>: no    HOST rejected RCPT <c@d>: no
//! H=(x) [ip] F=<a@b> A=plain:joe rejected RCPT <c@d>: no         HOST A=plain:joe rejected RCPT <c@d>: no
//! rejected EHLO from (x) [ip]: syntactically invalid …           rejected EHLO from HOST: syntactically invalid …
//! ```
//!
//! So no word of the client's stands before the verdict, where a rule could take it for one.

use crate::peer::{Host, Peer, host_at, host_somewhere};

/// Exim's words before the host, where no word is the client's. `H=` follows where Exim writes one.
const KNOWN: [&[u8]; 9] = [
    b"rejected EHLO from ",
    b"rejected HELO from ",
    b"rejected MAIL from ",
    b"rejected MAIL command ",
    b"refused connection from ",
    b"connection from ",
    b"SMTP call from ",
    b"SMTP protocol synchronization error (input sent without waiting for greeting): \
      rejected connection from ",
    b"TLS error on connection from ",
];

/// Words after which the client's come before the host, and what stands in front of the host.
const UNKNOWN: [(&[u8], &[u8]); 9] = [
    (b"SMTP protocol synchronization error (next input sent too soon: ", b"H="),
    (b"unqualified sender rejected: ", b"H="),
    (b"unqualified recipient rejected: ", b"H="),
    (b"unqualified verify rejected: ", b"H="),
    (b"rejected MAIL FROM:<", b"H="),
    (b"rejected from <", b"H="),
    (b"too many recipients: ", b"H="),
    (b"rejected \"", b" from "),
    (b"temporarily rejected \"", b" from "),
];

/// Writes what rules see into `seen`, and tells whose line it is; `None` if it is nobody's.
pub(crate) fn take(text: &[u8], plain_helo: bool, seen: &mut Vec<u8>) -> Option<Peer> {
    seen.clear();
    if let Some(host) = leading_host(text, plain_helo) {
        seen.extend_from_slice(b"HOST");
        seen.extend_from_slice(without_fields(&text[host.end..]));
        return Some(host.peer);
    }
    if text.starts_with(b"F=") {
        // The sender stands without brackets there.
        let host = host_somewhere(text, 2, b" H=")?;
        seen.extend_from_slice(b"HOST");
        seen.extend_from_slice(without_fields(&text[host.end..]));
        return Some(host.peer);
    }
    let (host, rest) = host_behind_words(text, plain_helo)?;
    let before = &text[..host.start];
    seen.extend_from_slice(before.strip_suffix(b"H=").unwrap_or(before));
    seen.extend_from_slice(b"HOST");
    seen.extend_from_slice(rest);
    Some(host.peer)
}

/// The host of a line that begins with it. ` DS` stands before it under +dnssec (4.92 to 4.99 leave
/// no space behind it).
fn leading_host(text: &[u8], plain_helo: bool) -> Option<Host> {
    let start = if text.starts_with(b" DS") { 3 } else { 0 };
    let start = start + usize::from(text.get(start) == Some(&b' '));
    text[start..].starts_with(b"H=").then(|| host_at(text, start + 2, plain_helo)).flatten()
}

fn host_behind_words(text: &[u8], plain_helo: bool) -> Option<(Host, &[u8])> {
    let known = KNOWN.iter().find(|words| text.starts_with(words)).map(|words| words.len());
    let host = match known.or_else(|| behind_authenticator(text)) {
        Some(at) => {
            host_at(text, at + if text[at..].starts_with(b"H=") { 2 } else { 0 }, plain_helo)?
        }
        None => {
            let (words, marker) = UNKNOWN.iter().find(|(words, _)| text.starts_with(words))?;
            host_somewhere(text, words.len(), marker)?
        }
    };
    Some((host, without_fields(&text[host.end..])))
}

/// `plain_server authenticator failed for `; the name is the configuration's.
fn behind_authenticator(text: &[u8]) -> Option<usize> {
    let name = text.iter().take(128).position(|byte| *byte == b' ')?;
    let words = b" authenticator failed for ";
    text[name..].starts_with(words).then_some(name + words.len())
}

/// What follows the fields behind a host: interface, ident, TLS, sender and so on. `A=` stays: a
/// client that has logged in is another matter.
fn without_fields(mut text: &[u8]) -> &[u8] {
    loop {
        let Some(field) = text.strip_prefix(b" ") else { return text };
        if let Some(sender) = field.strip_prefix(b"F=<") {
            match end_of_sender(sender) {
                Some(end) => text = &sender[end..],
                None => return text,
            }
            continue;
        }
        let key = field.iter().take(8).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let is_field = key > 0 && field[0].is_ascii_uppercase() && field.get(key) == Some(&b'=');
        if !is_field || &field[..key] == b"A" {
            return text;
        }
        let value = &field[key + 1..];
        let length = if value.starts_with(b"\"") {
            end_of_quoted(value)
        } else {
            let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
            // The colon before a text is not the field's.
            end - usize::from(value[..end].ends_with(b":"))
        };
        text = &value[length..];
    }
}

/// The length of a sender with its closing `>`; one in quotes or behind a backslash is the address's own
/// (RFC 5321 section 4.1.2).
fn end_of_sender(text: &[u8]) -> Option<usize> {
    let (mut place, mut quoted) = (0, false);
    loop {
        match text.get(place)? {
            b'\\' => place += 1,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(place + 1),
            _ => {}
        }
        place += 1;
    }
}

/// The length of a text in quotes, in which Exim has put a backslash before each quote.
fn end_of_quoted(text: &[u8]) -> usize {
    let mut place = 1;
    while let Some(byte) = text.get(place) {
        match byte {
            b'\\' => place += 1,
            b'"' => return place + 1,
            _ => {}
        }
        place += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn seen(text: &str) -> Option<String> {
        let mut seen = Vec::new();
        take(text.as_bytes(), false, &mut seen)?;
        Some(String::from_utf8(seen).unwrap())
    }

    /// Caught: a sender with `>` in quotes ended there, so that its words were a verdict; the colon
    /// behind an interface taken for a part of it.
    #[test]
    fn no_word_of_the_clients_stands_before_the_verdict() {
        for (text, expected) in [
            ("H=(x) [203.0.113.9] rejected EHLO or HELO x: no", "HOST rejected EHLO or HELO x: no"),
            (
                "H=(x) [203.0.113.9]:9 I=[198.51.100.1]:25 U=ident Ci=123 X=TLS1.3:AES:256 CV=no \
                 DN=\"C=X,O=a \\\" b\" SNI=\"mx\" F=<a@b> rejected RCPT <c@d>: no",
                "HOST rejected RCPT <c@d>: no",
            ),
            (
                r#"H=[203.0.113.9] F=<"> temporarily rejected RCPT <c"@d> rejected RCPT <c@d>"#,
                "HOST rejected RCPT <c@d>",
            ),
            (r"H=[203.0.113.9] F=<a\>b@d> rejected RCPT <c@d>", "HOST rejected RCPT <c@d>"),
            (
                "H=[203.0.113.9] F=<a@b> A=plain:joe rejected RCPT <c@d>",
                "HOST A=plain:joe rejected RCPT <c@d>",
            ),
            (
                r#"H=[203.0.113.9] F=<"> A=plain:joe"@d> rejected RCPT <c@d>"#,
                "HOST rejected RCPT <c@d>",
            ),
            (" DSH=a.example [203.0.113.9] rejected DATA", "HOST rejected DATA"),
            (
                "F=a@b H=(x) [203.0.113.9] P=esmtp rejected by local_scan(): no",
                "HOST rejected by local_scan(): no",
            ),
            (
                "plain_server authenticator failed for H=(x) [203.0.113.9]: 535 no",
                "plain_server authenticator failed for HOST: 535 no",
            ),
            (
                "rejected EHLO from [203.0.113.9]: syntactically invalid",
                "rejected EHLO from HOST: syntactically invalid",
            ),
            (
                "rejected EHLO from [203.0.113.9]:9 I=[198.51.100.1]:25: syntactically invalid",
                "rejected EHLO from HOST: syntactically invalid",
            ),
            (
                "unqualified sender rejected: <a> H=(x) [203.0.113.9]",
                "unqualified sender rejected: <a> HOST",
            ),
            ("rejected \"EHLO x\" from (x) [203.0.113.9]", "rejected \"EHLO x\" from HOST"),
        ] {
            assert_eq!(seen(text).as_deref(), Some(expected), "{text}");
        }
        for nobodys in
            ["", "H=", "U=root rejected RCPT", "rejected after DATA: <a@b>: H=a [203.0.113.9]"]
        {
            assert_eq!(seen(nobodys), None, "{nobodys}");
        }
    }
}

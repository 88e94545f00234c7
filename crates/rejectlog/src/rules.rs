//! Which lines count, for which reason, and how much.

use eximrbl_table::{Name, WEIGHT_MAX};
use regex::bytes::{Regex, RegexBuilder};

/// The rules that hold when no others are given, as a file of rules.
pub const DEFAULT_RULES: &str = include_str!("default.rules");

/// Rules, asked in their order.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<(Regex, Option<Rule>)>,
}

/// What a line that matches counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Why the client was rejected.
    pub reason: Name,
    /// How many rejections it is; `None` takes the policy's weight of the reason.
    pub weight: Option<u32>,
}

/// Why a file of rules was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// A line has fewer than three parts.
    #[error("line {line}: write REASON WEIGHT REGEX, such as: rcpt - ^HOST rejected RCPT ")]
    Form {
        /// The line's number.
        line: usize,
    },
    /// Not a reason.
    #[error(
        "line {line}: \"{}\" is no reason: write 1 to 32 characters from a-z, 0-9 and -, or - alone \
         for lines that do not count", text.escape_default()
    )]
    Reason {
        /// The line's number.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// Not a weight.
    #[error(
        "line {line}: \"{}\" is no weight: write 1 to {WEIGHT_MAX}, or - for the policy's",
        text.escape_default()
    )]
    Weight {
        /// The line's number.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// The expression is none, or too large.
    #[error("line {line}: {problem}")]
    Regex {
        /// The line's number.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no rule at all, so nothing would ever count.
    #[error("no rule: write at least one line REASON WEIGHT REGEX")]
    Empty,
}

/// The most memory that an expression may take when compiled: `.{1000}{1000}` is a slip.
const REGEX_SIZE: usize = 1 << 20;

impl Rules {
    /// Reads rules: a line each, `REASON WEIGHT REGEX`; empty lines and those that begin with `#` are
    /// left out.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let rules = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let rules: Vec<_> = rules.map(|(line, text)| rule(line, text)).collect::<Result<_, _>>()?;
        if rules.is_empty() { Err(RuleError::Empty) } else { Ok(Self { rules }) }
    }

    /// What a line counts as: its text is that of [`Entry`](crate::Entry). The first rule that
    /// matches decides; `None` if none does, or if it says so.
    pub fn judge(&self, text: &[u8]) -> Option<Rule> {
        self.rules.iter().find(|(regex, _)| regex.is_match(text)).and_then(|(_, rule)| *rule)
    }
}

impl Default for Rules {
    fn default() -> Self {
        // The tests read them. Nothing would count without them, which harms nobody.
        Self::parse(DEFAULT_RULES).unwrap_or(Self { rules: Vec::new() })
    }
}

fn rule(line: usize, text: &str) -> Result<(Regex, Option<Rule>), RuleError> {
    let (reason, rest) = text.split_once(char::is_whitespace).ok_or(RuleError::Form { line })?;
    let rest = rest.trim_start();
    let (weight, regex) = rest.split_once(char::is_whitespace).ok_or(RuleError::Form { line })?;
    let reason = match reason {
        "-" => None,
        text => Some(
            Name::new(text.as_bytes())
                .ok_or_else(|| RuleError::Reason { line, text: text.to_owned() })?,
        ),
    };
    let weight = match weight {
        "-" => None,
        text => Some(
            whole(text)
                .filter(|weight| (1..=WEIGHT_MAX).contains(weight))
                .ok_or_else(|| RuleError::Weight { line, text: text.to_owned() })?,
        ),
    };
    // Bytes, not characters: a log has whatever the client sent.
    let regex = RegexBuilder::new(regex.trim_start()).unicode(false).size_limit(REGEX_SIZE).build();
    let regex = regex.map_err(|error| RuleError::Regex { line, problem: one_line(&error) })?;
    Ok((regex, reason.map(|reason| Rule { reason, weight })))
}

/// Digits alone: the standard parser takes a sign too.
fn whole(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The error without the drawing of where it is.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    format!("not a regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn reason(rules: &Rules, text: &str) -> Option<String> {
        rules.judge(text.as_bytes()).map(|rule| rule.reason.as_str().to_owned())
    }

    /// Caught: a default rule that is not read; `temporarily` let through.
    #[test]
    fn the_default_rules_give_the_reasons_of_the_wrappers() {
        let rules = Rules::parse(DEFAULT_RULES).unwrap();
        assert_eq!(rules.rules.len(), Rules::default().rules.len());
        for (text, expected) in [
            ("HOST rejected connection in \"connect\" ACL: no", Some("connect")),
            ("refused connection from HOST (host_reject_connection)", Some("connect")),
            ("connection from HOST refused (IP options)", Some("connect")),
            ("HOST rejected EHLO or HELO x: no", Some("helo")),
            ("rejected EHLO from HOST: syntactically invalid argument(s): x y", Some("helo")),
            ("rejected \"EHLO x\" from HOST", Some("helo")),
            ("temporarily rejected \"EHLO x\" from HOST", None),
            ("rejected MAIL from HOST: no HELO/EHLO given", Some("helo")),
            ("HOST rejected MAIL <a@b>: no", Some("mail")),
            ("HOST rejected RCPT <a@b>", Some("rcpt")),
            ("HOST temporarily rejected RCPT <a@b>: rejected RCPT", None),
            ("HOST A=plain:joe rejected RCPT <a@b>", None),
            ("HOST rejected DATA: no", Some("predata")),
            ("HOST rejected after DATA: no", Some("data")),
            ("HOST rejected during MIME ACL checks: no", Some("mime")),
            ("HOST rejected AUTH plain: no", Some("auth")),
            (
                "plain authenticator failed for HOST: 535 Incorrect authentication data",
                Some("auth"),
            ),
            ("plain authenticator failed for HOST: 435 Unable to authenticate at present", None),
            ("HOST rejected STARTTLS: no", Some("starttls")),
            ("HOST rejected ETRN #x: no", Some("etrn")),
            ("HOST rejected EXPN x: no", Some("expn")),
            ("HOST rejected VRFY x: no", Some("vrfy")),
            (
                "SMTP call from HOST dropped: too many syntax or protocol errors",
                Some("bad-commands"),
            ),
            (
                "SMTP protocol synchronization error (next input sent too soon: x): rejected",
                Some("synchronization-error"),
            ),
            ("unqualified sender rejected: <a> HOST", Some("mail")),
            ("unqualified recipient rejected: <a> HOST", Some("rcpt")),
            ("too many recipients: message rejected: sender=<a@b> HOST", Some("rcpt")),
            ("HOST sender verify fail for <a@b>: no", None),
            ("rejected from <a@b> HOST: message too big: read=1 max=0", None),
            ("HOST Warning: rejected RCPT", None),
        ] {
            assert_eq!(reason(&rules, text).as_deref(), expected, "{text}");
        }
    }

    /// Caught: the last rule taken, not the first; a weight lost.
    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = Rules::parse(
            "# own\n\n-  -  ^HOST rejected RCPT <postmaster@\nrelay 10 relay not permitted\n\
             rcpt\t-\t^HOST rejected RCPT \\xff.\n",
        )
        .unwrap();
        let judged =
            |text: &[u8]| rules.judge(text).map(|rule| (rule.reason.to_string(), rule.weight));
        assert_eq!(judged(b"HOST rejected RCPT <postmaster@x>: relay not permitted"), None);
        let relay = Some(("relay".to_owned(), Some(10)));
        assert_eq!(judged(b"HOST rejected RCPT <a@x>: relay not permitted"), relay);
        assert_eq!(judged(b"HOST rejected RCPT \xff\xfe"), Some(("rcpt".to_owned(), None)));
        assert_eq!(judged(b"HOST rejected DATA"), None);
    }

    #[test]
    fn what_is_no_rule_is_told_with_its_line() {
        for (text, complaint) in [
            ("", "no rule: "),
            ("# nothing\n", "no rule: "),
            ("\nrcpt", "line 2: write REASON WEIGHT REGEX"),
            ("rcpt 1", "line 1: write REASON WEIGHT REGEX"),
            ("Rcpt 1 x", "line 1: \"Rcpt\" is no reason"),
            ("rcpt 0 x", "line 1: \"0\" is no weight"),
            ("rcpt +1 x", "line 1: \"+1\" is no weight"),
            ("rcpt 10001 x", "line 1: \"10001\" is no weight"),
            ("rcpt 1 (x", "line 1: not a regular expression: unclosed group"),
            ("rcpt 1 (?:x{1000}){1000}", "line 1: not a regular expression: "),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(complaint), "{text:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

//! The zones that are served, and by which rules they list; a second reading of the documents.

use std::net::Ipv4Addr;

use crate::list::{Entry, NEVER, Prefix, THRESHOLD};
use crate::names::{address_of, bits_of};

/// `positive_ttl_max`: between the lives of what is listed, which are long enough for any test.
pub const POSITIVE_TTL_MAX: u64 = 4000;
/// `negative_ttl`.
pub const NEGATIVE_TTL: u32 = 77;

/// One zone.
#[derive(Debug)]
pub struct Zone {
    /// Its name.
    pub name: &'static str,
    /// Whether it lists white entries.
    white: bool,
    /// Reasons that it lists; all when empty.
    reasons: &'static [&'static str],
    /// Reporters that it asks for.
    quorum: usize,
    /// Codes of reasons.
    codes: &'static [(&'static str, Ipv4Addr)],
    /// The text, if it is not the default.
    text: Option<&'static str>,
}

/// All zones. Two lie below the first, one of them under a name with nothing at it.
pub const ZONES: [Zone; 4] = [
    Zone {
        name: "rbl.example.org",
        white: false,
        reasons: &[],
        quorum: 1,
        codes: &[
            ("auth", Ipv4Addr::new(127, 0, 0, 4)),
            ("virus", Ipv4Addr::new(127, 0, 0, 8)),
            ("spamtrap", Ipv4Addr::new(127, 1, 2, 3)),
        ],
        text: Some("{ip} {zone} {count} {reason} {first} {last}"),
    },
    Zone {
        name: "auth.rbl.example.org",
        white: false,
        reasons: &["auth", "relay"],
        quorum: 1,
        codes: &[],
        text: None,
    },
    Zone {
        name: "x1.y1.rbl.example.org",
        white: false,
        reasons: &[],
        quorum: 2,
        codes: &[("virus", Ipv4Addr::new(127, 0, 0, 8))],
        text: None,
    },
    Zone { name: "wl.example.org", white: true, reasons: &[], quorum: 1, codes: &[], text: None },
];

/// The `[dns]` lines and `[[zone]]` tables of the daemon's configuration.
pub fn configuration() -> String {
    let mut text =
        format!("positive_ttl_max = {POSITIVE_TTL_MAX}\nnegative_ttl = {NEGATIVE_TTL}\n");
    for zone in &ZONES {
        let list = if zone.white { "white" } else { "black" };
        text += &format!(
            "[[zone]]\nname = \"{}\"\nlist = \"{list}\"\nns = [\"ns1.example.org\", \
             \"ns2.example.org\"]\ncontact = \"post.master@example.org\"\n",
            zone.name
        );
        if !zone.reasons.is_empty() {
            text += &format!("reasons = {:?}\n", zone.reasons);
        }
        if zone.quorum > 1 {
            text += &format!("quorum = {}\n", zone.quorum);
        }
        if !zone.codes.is_empty() {
            let codes = zone.codes.iter().map(|(reason, code)| format!("{reason} = \"{code}\""));
            text += &format!("codes = {{ {} }}\n", codes.collect::<Vec<_>>().join(", "));
        }
        if let Some(template) = zone.text {
            text += &format!("txt = \"{template}\"\n");
        }
    }
    text
}

/// The zone that a name (in lower case) is in: the longest that it ends with, and the labels
/// before it.
pub fn zone_of(name: &str) -> Option<(&'static Zone, &str)> {
    let before = |zone: &'static Zone| {
        let rest = name.strip_suffix(zone.name)?;
        match rest.strip_suffix('.') {
            Some(labels) => Some((zone, labels)),
            None => rest.is_empty().then_some((zone, rest)),
        }
    };
    ZONES.iter().filter_map(before).max_by_key(|(zone, _)| zone.name.len())
}

/// What a zone says about a listed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The A records.
    pub codes: Vec<Ipv4Addr>,
    /// The TXT record, with `{ip}` where the address goes.
    pub text: String,
    /// The TTL.
    pub ttl: u64,
}

impl Zone {
    /// What it says about an address, by the rules that README.md and the sample configuration
    /// give: white lifts everything; else the closest entry counts that the zone takes.
    pub fn verdict(&self, entries: &[Entry], address: u128) -> Option<Verdict> {
        if let Some(code) = self.test_code(address) {
            let text = self.text("{ip}", "0", "test", "{now}", "{now}");
            return Some(Verdict { codes: vec![code], text, ttl: POSITIVE_TTL_MAX });
        }
        if NEVER.iter().any(|never| Prefix::read(never).contains(address)) {
            return None;
        }
        let mut around: Vec<&Entry> =
            entries.iter().filter(|entry| entry.prefix.contains(address)).collect();
        around.sort_by_key(|entry| std::cmp::Reverse(entry.prefix.length));
        let white = around.iter().find(|entry| entry.white);
        let entry = match (self.white, white) {
            (true, white) => white?,
            (false, Some(_)) => return None,
            (false, None) => around.iter().find(|entry| self.takes(entry))?,
        };
        let has = |reason: &&str| entry.reasons.iter().any(|given| given == reason);
        let shown: Vec<&str> = entry
            .reasons
            .iter()
            .map(String::as_str)
            .filter(|reason| self.reasons.is_empty() || self.reasons.contains(reason))
            .collect();
        let own = self.codes.iter().filter(|(reason, _)| has(reason)).map(|(_, code)| *code);
        let coded = |reason: &&str| self.codes.iter().any(|(with, _)| with == reason);
        let default = shown.is_empty() || !shown.iter().all(coded);
        let codes = default.then_some(Ipv4Addr::new(127, 0, 0, 2)).into_iter().chain(own);
        let ttl = entry.remaining.unwrap_or(u64::MAX).min(POSITIVE_TTL_MAX);
        let count = entry.count.to_string();
        let text = self.text("{ip}", &count, &shown.join(","), &entry.first, &entry.last);
        Some(Verdict { codes: codes.collect(), text, ttl })
    }

    /// Whether it lists a black entry.
    fn takes(&self, entry: &Entry) -> bool {
        let by_hand = entry.reporters.iter().any(|reporter| reporter == "admin");
        let reasons: Vec<&str> = entry.reasons.iter().map(String::as_str).collect();
        (entry.count >= THRESHOLD || by_hand)
            && (self.reasons.is_empty() || self.reasons.iter().any(|one| reasons.contains(one)))
            && (entry.reporters.len() >= self.quorum || by_hand)
    }

    /// The code that a test address shows (RFC 5782 section 5).
    pub fn test_code(&self, address: u128) -> Option<Ipv4Addr> {
        self.test_codes().find(|code| bits_of((*code).into()) == address)
    }

    /// All addresses that are listed for tests; each answers with itself.
    pub fn test_codes(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let own = self.codes.iter().map(|(_, code)| *code);
        std::iter::once(Ipv4Addr::new(127, 0, 0, 2)).chain(own)
    }

    fn text(&self, ip: &str, count: &str, reason: &str, first: &str, last: &str) -> String {
        let default = match self.white {
            true => "{ip} is whitelisted in {zone}",
            false => "{ip} is listed in {zone}: rejections {count}, last {last}, reason {reason}",
        };
        let template = self.text.unwrap_or(default);
        // The address last: it has braces as long as it stands for any.
        let values = [
            ("zone", self.name),
            ("count", count),
            ("reason", reason),
            ("first", first),
            ("last", last),
        ];
        let filled = values.iter().fold(template.to_owned(), |text, (key, value)| {
            text.replace(&format!("{{{key}}}"), value)
        });
        filled.replace("{ip}", ip)
    }
}

/// A text with the address in its place.
pub fn with_address(text: &str, address: u128) -> String {
    text.replace("{ip}", &address_of(address).to_string())
}

//! What another server's response and ours may differ in. All else is a fault.

use std::collections::BTreeSet;

use crate::master::{ANY_ADDRESS, ANY_TIME, Master};
use crate::names::{Meaning, address_of, meaning};
use crate::questions::{A, ANY, DS, NS, Question, SOA, TXT};
use crate::response::{Record, Response};
use crate::zones::zone_of;

/// A difference by design, and the reason for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Design {
    /// The beginnings of addresses exist even when nothing is listed under them: that may change
    /// within a second, while caches keep the negative answer. Theirs NXDOMAIN, ours no data.
    EmptyNonTerminal,
    /// A network lists addresses; a wildcard lists all names under it, the beginnings of addresses
    /// and names below addresses too. Theirs is the wildcard's answer; ours is that of any other
    /// such name.
    WildcardsOtherNames,
    /// A wildcard's text cannot have the address in it.
    WildcardsText,
    /// The text of a test address tells the time of the question.
    TestsTime,
    /// The zone above answers for DS records at a cut (RFC 4035 section 3.1.4.1), and is a zone of
    /// theirs that knows of the cut. Ours are lists beside each other; neither is signed, so both
    /// say "no data", each with its own SOA record.
    SignerAtCut,
    /// To ANY both others answer with one set of records, of whichever type, we with all that there
    /// are, which is two (RFC 8482 section 4.1 allows any subset).
    AnyInPart,
}

impl Design {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::EmptyNonTerminal,
        Self::WildcardsOtherNames,
        Self::WildcardsText,
        Self::TestsTime,
        Self::SignerAtCut,
        Self::AnyInPart,
    ];
}

const NO_ERROR: u16 = 0;
const NX_DOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// What is known besides the two responses.
#[derive(Debug)]
pub struct Knowledge<'a> {
    /// The zones that the other server has.
    pub masters: &'a [Master],
    /// The table's serial.
    pub serial: u32,
    /// The most seconds that have passed between the export and our answer.
    pub elapsed: u32,
}

impl Knowledge<'_> {
    /// Compares what `theirs`, another server, and `ours` said to one question.
    ///
    /// # Errors
    ///
    /// What differs and may not.
    pub fn compare(
        &self,
        question: &Question,
        theirs: &Response,
        ours: &Response,
    ) -> Result<Option<Design>, String> {
        frame(question, ours)?;
        let mut ours = ours.clone();
        let mut expected = Expected::of(question, theirs, self.masters)?;
        if question.kind == ANY && !expected.answer.is_empty() {
            let kinds = |records: &BTreeSet<Record>| -> BTreeSet<u16> {
                records.iter().map(|record| record.kind).collect()
            };
            let (one, both) = (kinds(&expected.answer), kinds(&ours.answer));
            same("their number of types for ANY", &1, &one.len())?;
            let apex = one.contains(&SOA) || one.contains(&NS);
            let expected_types = if apex { [NS, SOA] } else { [A, TXT] };
            same("types for ANY", &BTreeSet::from(expected_types), &both)?;
            ours.answer.retain(|record| one.contains(&record.kind));
            expected.design = expected.design.or(Some(Design::AnyInPart));
        }
        same("response code", &expected.code, &ours.code())?;
        same("AA", &theirs.is_authoritative(), &ours.is_authoritative())?;
        same("TC", &theirs.is_truncated(), &ours.is_truncated())?;
        let content = |records: &BTreeSet<Record>, from: &str| -> BTreeSet<(String, u16, String)> {
            let record = |record: &Record| {
                let data = match (record.kind, expected.text.as_deref()) {
                    // The serial is another server's own.
                    (SOA, _) => [record.soa().names, record.soa().times].concat(),
                    (TXT, Some(with)) if from == "theirs" => replaced(&record.data, with),
                    (TXT, Some(with)) => masked(&record.data, with),
                    // A compressed name has the cases of the question.
                    (NS, _) => record.data.to_ascii_lowercase(),
                    _ => record.data.clone(),
                };
                (record.owner.clone(), record.kind, data.escape_ascii().to_string())
            };
            records.iter().map(record).collect()
        };
        same("answer", &content(&expected.answer, "theirs"), &content(&ours.answer, "ours"))?;
        for record in &ours.answer {
            same("class", &1, &record.class)?;
            if record.kind == SOA {
                same("serial in the answer", &self.serial, &record.soa().serial)?;
            }
            let theirs = expected.answer.iter().find(|other| other.kind == record.kind);
            let exported = theirs.map_or(0, |record| record.ttl);
            if record.ttl > exported || record.ttl + self.elapsed < exported {
                return Err(format!("TTL {}, exported {exported}", record.ttl));
            }
        }
        let mut soa = ours.soa();
        if let Some(ours) = &mut soa {
            same("serial", &self.serial, &ours.serial)?;
            ours.serial = 0;
        }
        let theirs = expected.soa.map(|soa| crate::response::Soa { serial: 0, ..soa });
        same("SOA in the authority section", &theirs, &soa)?;
        same(
            "records in the authority section",
            &usize::from(soa.is_some()),
            &ours.authority.len(),
        )?;
        Ok(expected.design)
    }
}

/// What every response of ours must have, whatever it says.
fn frame(question: &Question, ours: &Response) -> Result<(), String> {
    let query = question.packet(ours.id);
    same("question", &&query[12..12 + ours.question.len()], &ours.question.as_slice())?;
    // QR, no other opcode than QUERY, RD as asked, no RA, and no other bit.
    let expected = 0x8000 | u16::from(question.recursion) << 8;
    same("flags", &expected, &(ours.flags & 0xf9f0))?;
    let opt = ours.opt.as_ref().map(|opt| (opt.owner.as_str(), opt.ttl & 0x00ff_ffff));
    let expected = question.edns.map(|(_, signed)| ("", u32::from(signed) << 15));
    same("OPT: owner, version, DO", &expected, &opt)?;
    same("additional records", &false, &ours.additional)
}

/// Their response, with what differs by design put in.
struct Expected {
    code: u16,
    answer: BTreeSet<Record>,
    soa: Option<crate::response::Soa>,
    /// What stands in our text where theirs has a placeholder.
    text: Option<String>,
    design: Option<Design>,
}

impl Expected {
    fn of(question: &Question, theirs: &Response, masters: &[Master]) -> Result<Self, String> {
        let mut expected = Self {
            code: theirs.code(),
            answer: theirs.answer.clone(),
            soa: theirs.soa(),
            text: None,
            design: None,
        };
        let lower = question.lower();
        let Some((zone, labels)) = zone_of(&lower) else {
            same("their code outside of all zones", &REFUSED, &expected.code)?;
            return Ok(expected);
        };
        let master = masters.iter().find(|master| master.zone.name == zone.name).unwrap();
        let in_wildcard = master
            .wildcards
            .iter()
            .any(|base| labels.strip_suffix(base.as_str()).is_some_and(|rest| rest.ends_with('.')));
        let stands_for = meaning(labels);
        match stands_for {
            Meaning::Apex if question.kind == DS && zone.name.ends_with(".rbl.example.org") => {
                let above = expected.soa.as_mut().ok_or("no SOA record at the cut")?;
                zone.name.clone_into(&mut above.owner);
                expected.design = Some(Design::SignerAtCut);
            }
            Meaning::Apex => {}
            Meaning::Address(address, _) if in_wildcard => {
                let texted = expected.answer.iter().any(|record| record.kind == TXT);
                expected.design = texted.then_some(Design::WildcardsText);
                expected.text = texted.then(|| format!("{ANY_ADDRESS}={}", address_of(address)));
            }
            Meaning::Address(address, _) if zone.test_code(address).is_some() => {
                let timed = |record: &Record| {
                    record.kind == TXT && holds(&record.data, ANY_TIME.as_bytes())
                };
                if expected.answer.iter().any(timed) {
                    expected.text = Some(ANY_TIME.to_owned());
                    expected.design = Some(Design::TestsTime);
                }
            }
            Meaning::Partial | Meaning::Nothing if in_wildcard => {
                same("their code under a wildcard", &NO_ERROR, &expected.code)?;
                let partial = stands_for == Meaning::Partial;
                expected.code = if partial { NO_ERROR } else { NX_DOMAIN };
                expected.answer.clear();
                expected.soa = Some(master.soa());
                expected.design = Some(Design::WildcardsOtherNames);
            }
            Meaning::Partial | Meaning::Address(_, true) if expected.code == NX_DOMAIN => {
                expected.code = NO_ERROR;
                expected.design = Some(Design::EmptyNonTerminal);
            }
            _ => {}
        }
        Ok(expected)
    }
}

/// Their text with the address in it.
fn replaced(data: &[u8], with: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&data[1..]).into_owned();
    let text = match with.split_once('=') {
        Some((place, value)) => text.replace(place, value),
        None => text,
    };
    text.into_bytes()
}

/// Our text with times (RFC 3339, UTC) taken out, if they are not to be compared.
fn masked(data: &[u8], with: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&data[1..]).into_owned();
    if with != ANY_TIME {
        return text.into_bytes();
    }
    let is_time = |word: &str| {
        word.len() == 20
            && word.chars().enumerate().all(|(place, character)| match place {
                4 | 7 => character == '-',
                10 => character == 'T',
                13 | 16 => character == ':',
                19 => character == 'Z',
                _ => character.is_ascii_digit(),
            })
    };
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches(',');
        if is_time(bare) { word.replace(bare, ANY_TIME) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ").into_bytes()
}

fn holds(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, theirs: &T, ours: &T) -> Result<(), String> {
    match theirs == ours {
        true => Ok(()),
        false => Err(format!("{what}: expected {theirs:?}, got {ours:?}")),
    }
}

#[test]
fn times_are_masked_and_nothing_else() {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let ours = text("rejections 0, last 2026-11-22T05:43:10Z, reason test");
    assert_eq!(masked(&ours, ANY_TIME), b"rejections 0, last any-time, reason test");
    let ours = text("2026-11-22T05:43:10 2026-11-22T05:43:1XZ 2026-11-22t05:43:10Z");
    assert_eq!(masked(&ours, ANY_TIME), ours[1..]);
}

//! Responses, taken apart by a reader of our own.

use std::collections::BTreeSet;

/// A record: its owner in lower case, type, TTL and data. Names in the data are spelt out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Whose it is.
    pub owner: String,
    /// Its type.
    pub kind: u16,
    /// Its class; of an OPT record the UDP size.
    pub class: u16,
    /// How long caches may keep it; of an OPT record its flags.
    pub ttl: u32,
    /// What it says.
    pub data: Vec<u8>,
}

/// What a SOA record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// The zone.
    pub owner: String,
    /// Its TTL.
    pub ttl: u32,
    /// MNAME and RNAME.
    pub names: Vec<u8>,
    /// The serial.
    pub serial: u32,
    /// Refresh, retry, expire, minimum.
    pub times: Vec<u8>,
}

impl Record {
    /// The fields of a SOA record.
    pub fn soa(&self) -> Soa {
        assert_eq!(self.kind, 6, "{self:?}");
        let (names, numbers) = self.data.split_at(self.data.len() - 20);
        Soa {
            owner: self.owner.clone(),
            ttl: self.ttl,
            names: names.to_ascii_lowercase(),
            serial: u32::from_be_bytes(numbers[..4].try_into().unwrap()),
            times: numbers[4..].to_vec(),
        }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its number.
    pub id: u16,
    /// The 16 bits with QR, the opcode, AA, TC, RD, RA, Z, AD, CD and the response code.
    pub flags: u16,
    /// The question section's bytes.
    pub question: Vec<u8>,
    /// The answer section.
    pub answer: BTreeSet<Record>,
    /// The authority section.
    pub authority: BTreeSet<Record>,
    /// The OPT record of the additional section.
    pub opt: Option<Record>,
    /// Whether there was more in the additional section.
    pub additional: bool,
}

impl Response {
    /// Takes a packet apart.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn read(packet: &[u8]) -> Self {
        let word = |at: usize| u16::from_be_bytes(packet[at..at + 2].try_into().unwrap());
        let mut reader = Reader { packet, at: 12 };
        for _ in 0..word(4) {
            reader.name();
            reader.at += 4;
        }
        let question = packet[12..reader.at].to_vec();
        let answer = (0..word(6)).map(|_| reader.record()).collect::<Vec<_>>();
        let authority = (0..word(8)).map(|_| reader.record()).collect();
        let additional: Vec<_> = (0..word(10)).map(|_| reader.record()).collect();
        assert_eq!(reader.at, packet.len(), "bytes after the last record: {packet:?}");
        let set: BTreeSet<_> = answer.iter().cloned().collect();
        assert_eq!(set.len(), answer.len(), "a record is there twice: {answer:?}");
        let opt = additional.iter().find(|record| record.kind == 41).cloned();
        Self {
            id: word(0),
            flags: word(2),
            question,
            answer: set,
            authority,
            additional: additional.len() > usize::from(opt.is_some()),
            opt,
        }
    }

    /// The response code, with the OPT record's part (RFC 6891 section 6.1.3).
    pub fn code(&self) -> u16 {
        let high = self.opt.as_ref().map_or(0, |opt| (opt.ttl >> 24) as u16);
        high << 4 | self.flags & 15
    }

    /// AA.
    pub fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    /// TC.
    pub fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// The SOA record of the authority section.
    pub fn soa(&self) -> Option<Soa> {
        self.authority.iter().find(|record| record.kind == 6).map(Record::soa)
    }
}

/// Goes through a packet.
struct Reader<'p> {
    packet: &'p [u8],
    at: usize,
}

impl Reader<'_> {
    /// A name with its compression undone (RFC 1035 section 4.1.4), as dotted text.
    fn name(&mut self) -> String {
        let wire = self.wire_name();
        let mut labels = Vec::new();
        let mut at = 0;
        while wire[at] != 0 {
            let end = at + 1 + usize::from(wire[at]);
            labels.push(String::from_utf8_lossy(&wire[at + 1..end]).to_ascii_lowercase());
            at = end;
        }
        labels.join(".")
    }

    fn wire_name(&mut self) -> Vec<u8> {
        let mut name = Vec::new();
        let (mut at, mut after) = (self.at, None);
        for _ in 0..200 {
            let length = self.packet[at];
            match length {
                0 => {
                    name.push(0);
                    self.at = after.unwrap_or(at + 1);
                    return name;
                }
                1..=63 => {
                    let end = at + 1 + usize::from(length);
                    name.extend_from_slice(&self.packet[at..end]);
                    at = end;
                }
                192.. => {
                    after.get_or_insert(at + 2);
                    at = usize::from(length & 63) << 8 | usize::from(self.packet[at + 1]);
                }
                _ => break,
            }
        }
        panic!("a name without end: {:?}", self.packet)
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.packet[self.at..self.at + N].try_into().unwrap();
        self.at += N;
        bytes
    }

    fn record(&mut self) -> Record {
        let owner = self.name();
        let kind = u16::from_be_bytes(self.number());
        let class = u16::from_be_bytes(self.number());
        let ttl = u32::from_be_bytes(self.number());
        let end = usize::from(u16::from_be_bytes(self.number())) + self.at;
        let mut data = Vec::new();
        // NS and SOA: names come first, and may be compressed.
        for _ in 0..[(2, 1), (6, 2)].iter().find(|with| with.0 == kind).map_or(0, |with| with.1) {
            data.extend(self.wire_name());
        }
        data.extend_from_slice(&self.packet[self.at..end]);
        self.at = end;
        Record { owner, kind, class, ttl, data }
    }
}

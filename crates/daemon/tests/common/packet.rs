//! DNS packets, made and read by hand, so that no library's opinion is shared with the daemon.

/// One question.
pub(crate) fn question(name: &str, query_type: u16, class: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(query_type.to_be_bytes());
    bytes.extend(class.to_be_bytes());
    bytes
}

/// A plain query of class IN, with RD set as resolvers' tools do.
pub(crate) fn query(id: u16, name: &str, query_type: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(question(name, query_type, 1));
    bytes
}

/// A response, taken apart.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 12, "{bytes:?}");
        assert_ne!(bytes[2] & 0x80, 0, "not a response: {bytes:?}");
        Self { bytes: bytes.to_vec() }
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    pub(crate) fn id(&self) -> u16 {
        self.word(0)
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.bytes[2] >> 3 & 15
    }

    pub(crate) fn is_authoritative(&self) -> bool {
        self.bytes[2] & 4 != 0
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.bytes[2] & 2 != 0
    }

    /// The response code, with the OPT record's part of it.
    pub(crate) fn code(&self) -> u16 {
        let low = u16::from(self.bytes[3] & 15);
        self.opt().map_or(low, |opt| u16::from(opt.ttl.to_be_bytes()[0]) << 4 | low)
    }

    /// The question's bytes.
    pub(crate) fn question(&self) -> &[u8] {
        &self.bytes[12..self.question_end()]
    }

    fn question_end(&self) -> usize {
        (0..self.word(4)).fold(12, |at, _| self.name_end(at) + 4)
    }

    fn name_end(&self, mut at: usize) -> usize {
        loop {
            match self.bytes[at] {
                0 => return at + 1,
                length if length & 0xc0 == 0xc0 => return at + 2,
                length => at += usize::from(length) + 1,
            }
        }
    }

    /// All records: answer, authority and additional section.
    fn sections(&self) -> [Vec<Found>; 3] {
        let mut at = self.question_end();
        let sections = [6, 8, 10].map(|count| {
            (0..self.word(count))
                .map(|_| {
                    let head = self.name_end(at);
                    let length = usize::from(self.word(head + 8));
                    let data = self.bytes[head + 10..head + 10 + length].to_vec();
                    at = head + 10 + length;
                    let ttl = u32::from(self.word(head + 4)) << 16 | u32::from(self.word(head + 6));
                    Found { kind: self.word(head), class: self.word(head + 2), ttl, data }
                })
                .collect()
        });
        assert_eq!(at, self.bytes.len(), "bytes after the last record");
        sections
    }

    pub(crate) fn answers(&self) -> Vec<Found> {
        let [answers, _, _] = self.sections();
        answers
    }

    pub(crate) fn authorities(&self) -> Vec<Found> {
        let [_, authorities, _] = self.sections();
        authorities
    }

    /// The OPT record.
    pub(crate) fn opt(&self) -> Option<Found> {
        let [_, _, additionals] = self.sections();
        additionals.into_iter().find(|record| record.kind == 41)
    }

    /// TTL and MINIMUM of the SOA record in the authority section.
    pub(crate) fn negative_ttl(&self) -> (u32, u32) {
        let authorities = self.authorities();
        assert_eq!(authorities.len(), 1);
        assert_eq!(authorities[0].kind, 6);
        let minimum = authorities[0].data.last_chunk().unwrap();
        (authorities[0].ttl, u32::from_be_bytes(*minimum))
    }

    /// The serial of the SOA record in the authority section.
    pub(crate) fn serial(&self) -> u32 {
        let authorities = self.authorities();
        let (_, numbers) = authorities[0].data.split_last_chunk::<20>().unwrap();
        u32::from_be_bytes(*numbers.first_chunk().unwrap())
    }

    /// The values of A records.
    pub(crate) fn addresses(&self) -> Vec<[u8; 4]> {
        let answers = self.answers().into_iter().filter(|record| record.kind == 1);
        answers.map(|record| record.data.try_into().unwrap()).collect()
    }
}

/// A record of a response, without its name.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<u8>,
}

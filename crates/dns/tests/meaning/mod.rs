//! What a response means, for comparing two.

use hickory_server::proto::op::Message;
use hickory_server::proto::rr::Record;

/// All that a client can see in a message, but for compression and the order of records.
#[derive(Debug, PartialEq)]
pub(crate) struct Meaning {
    header: String,
    question: Vec<u8>,
    answers: Vec<String>,
    authorities: Vec<String>,
    additionals: Vec<String>,
    edns: String,
}

pub(crate) fn meaning(bytes: &[u8]) -> Meaning {
    let message = Message::from_vec(bytes).expect("a response can be read");
    let texts = |records: &[Record]| {
        let mut texts: Vec<_> = records.iter().map(|record| format!("{record:?}")).collect();
        texts.sort();
        texts
    };
    // As it came: names compare without regard to case, but a client that plays with the case wants
    // its own back.
    let end = 12 + bytes[12..].iter().position(|&byte| byte == 0).unwrap_or(0) + 5;
    Meaning {
        header: format!("{:?}", message.metadata),
        question: bytes[12..end.min(bytes.len())].to_vec(),
        answers: texts(&message.answers),
        // Their owner is the zone, in the question's case or its own.
        authorities: texts(&message.authorities).iter().map(|text| text.to_lowercase()).collect(),
        additionals: texts(&message.additionals),
        edns: format!("{:?}", message.edns),
    }
}

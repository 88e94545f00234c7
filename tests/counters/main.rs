//! What eximrbld counts, as `eximrbl info --daemon` shows it: known queries, and exactly these
//! numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

mod stage;

use serde_json::{Value, json};

use stage::{Stage, query};

const A: u16 = 1;
const NS: u16 = 2;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const AXFR: u16 = 252;

/// Name, type, how often by UDP, how often by TCP.
const ASKED: [(&str, u16, u64, u64); 11] = [
    ("1.2.0.192.rbl.example", A, 7, 2),
    ("1.2.0.192.rbl.example", TXT, 3, 1),
    ("1.2.0.192.rbl.example", AAAA, 2, 0),
    ("2.2.0.192.rbl.example", A, 5, 4),
    ("2.0.192.rbl.example", A, 1, 0),
    ("rbl.example", NS, 1, 1),
    ("rbl.example", AXFR, 0, 1),
    ("1.2.0.192.wl.example", A, 4, 0),
    ("2.2.0.192.wl.example", TXT, 1, 2),
    ("example.org", A, 2, 0),
    ("example.org", AAAA, 1, 1),
];

/// The numbers of a zone that are not 0.
fn some(questions: &Value) -> Value {
    let mut some = serde_json::Map::new();
    for (kind, decisions) in questions.as_object().unwrap() {
        for (decision, count) in decisions.as_object().unwrap() {
            if *count != 0 {
                some.insert(format!("{kind} {decision}"), count.clone());
            }
        }
    }
    some.into()
}

fn ask_all(stage: &Stage) {
    for (name, query_type, by_udp, by_tcp) in ASKED {
        (0..by_udp).for_each(|_| stage.ask_udp(&query(name, query_type)));
        (0..by_tcp).for_each(|_| stage.ask_tcp(&query(name, query_type)));
    }
}

fn zones(info: &Value) -> Value {
    let zones = info["zones"].as_array().unwrap();
    let of = |zone: &Value| (zone["name"].as_str().unwrap().to_owned(), some(&zone["queries"]));
    zones.iter().map(of).collect::<serde_json::Map<_, _>>().into()
}

/// What `rounds` rounds of the questions come to.
fn expected_zones(rounds: u64) -> Value {
    json!({
        "rbl.example": {
            "a listed": 9 * rounds,
            "a nxdomain": 9 * rounds,
            "a nodata": rounds,
            "txt listed": 4 * rounds,
            "other nodata": 2 * rounds,
            "other apex": 2 * rounds,
        },
        "wl.example": { "a nxdomain": 4 * rounds, "txt listed": 3 * rounds },
    })
}

/// Caught: TCP counted as UDP; an answer that is counted twice; what is no query not counted.
#[test]
fn known_queries_are_counted_exactly() {
    let stage = Stage::new();
    ask_all(&stage);
    // Three questions announced, and one is there; a response; another operation; another class.
    let plain = query("1.2.0.192.rbl.example", A);
    let with = |at: usize, byte: u8| {
        let mut packet = plain.clone();
        packet[at] = byte;
        packet
    };
    stage.ask_udp(&with(5, 3));
    stage.send_udp(&with(2, 0x80));
    stage.ask_udp(&with(2, 0x28));
    stage.ask_tcp(&with(plain.len() - 1, 3));
    let info = stage.info_when(|info| info["replies"]["ignored"] == 1);

    let by_udp = info["queries"]["udp_quick"].as_u64().unwrap()
        + info["queries"]["udp_complete"].as_u64().unwrap();
    assert_eq!((by_udp, &info["queries"]["tcp"]), (27 + 3, &json!(12 + 1)));
    assert_eq!(zones(&info), expected_zones(1));
    assert_eq!(
        some(&info["no_zone"]),
        json!({ "a refused": 2, "other refused": 2 + 1 }),
        "example.org, and the transfer"
    );
    let replies = some(&json!({ "": info["replies"] }));
    assert_eq!(
        replies,
        json!({
            " noerror": 9 + 4 + 2 + 1 + 2 + 3,
            " nxdomain": 9 + 4,
            " refused": 5 + 1,
            " formerr": 1,
            " notimp": 1,
            " ignored": 1,
        })
    );
    assert_eq!(info["events"]["tcp_accepted"], 13);
    let sum = |value: &Value| -> u64 {
        value.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
    };
    for key in ["queries", "replies", "cookies"] {
        assert_eq!(sum(&info[key]), 43, "{key}");
    }
    let workers = info["workers"].as_array().unwrap();
    assert_eq!(workers.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 43);

    let text = stage.info_text();
    for line in [
        "queries      43: tcp 13, ",
        "answers      formerr 1, ignored 1, noerror 21, notimp 1, nxdomain 13, refused 6\n",
        "ZONE         TYPE   LISTED  UNLISTED  OWN  PROHIBITED  REFUSED\n",
        "rbl.example  A           9        10    0           0        0\n",
        "rbl.example  other       0         2    2           0        0\n",
        "wl.example   TXT         3         0    0           0        0\n",
        "none         A           0         0    0           0        2\n",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
}

/// Zones come and go, and come again; what was counted stays.
///
/// Caught: zones whose rows are lost with a reload.
#[test]
fn a_reload_keeps_the_counts() {
    let stage = Stage::new();
    ask_all(&stage);
    let before = stage.info();
    assert_eq!(zones(&before), expected_zones(1));
    stage.reload(&["new.example"]);
    stage.ask_udp(&query("2.0.0.127.new.example", A));
    stage.reload(&["rbl.example", "wl.example"]);
    ask_all(&stage);
    let after = stage.info();
    let mut expected = expected_zones(2);
    expected["new.example"] = json!({ "a listed": 1 });
    assert_eq!(zones(&after), expected);
    assert_eq!(after["started_unix"], before["started_unix"]);
    let served = |zone: &Value| (zone["name"].clone(), zone["served"].clone());
    let served: Vec<_> = after["zones"].as_array().unwrap().iter().map(served).collect();
    assert!(served.contains(&(json!("new.example"), json!(false))), "{served:?}");
    assert!(stage.info_text().contains("(new.example)  A"), "a zone that is no more");
}

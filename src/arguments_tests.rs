//! Tests of how arguments are read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

/// What a reader made of arguments, and what it complained of (the complaint's name).
fn read<'a, T>(
    given: &[&'a str],
    reader: impl Fn(&[&'a [u8]], Complain<'_, 'a>) -> T,
) -> (T, Vec<&'static str>) {
    let given: Vec<_> = given.iter().map(|text| text.as_bytes()).collect();
    let mut complaints = Vec::new();
    let read = reader(&given, &mut |complaint| {
        complaints.push(match complaint {
            Complaint::TooMany { .. } => "too many",
            Complaint::Address(_) => "address",
            Complaint::Weight(_) => "weight",
            Complaint::Seconds(_) => "seconds",
        });
    });
    (read, complaints)
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[test]
fn record_takes_its_defaults() {
    for given in [&["192.0.2.1"][..], &["192.0.2.1", ""], &["192.0.2.1", "", ""]] {
        let (record, complaints) = read(given, record);
        let record = record.unwrap();
        assert_eq!(record.address, CLIENT);
        assert_eq!(record.reason, None);
        assert_eq!(record.weight, None);
        assert!(complaints.is_empty());
    }
}

#[test]
fn record_reads_weights() {
    for (text, weight, complaint) in [
        ("0", Some(0), None),
        ("1", Some(1), None),
        (" 7 ", Some(7), None),
        ("10000", Some(10_000), None),
        ("10001", Some(10_000), None),
        ("99999999999999999999999999", Some(10_000), None),
        ("-1", None, Some("weight")),
        ("+1", None, Some("weight")),
        ("1.5", None, Some("weight")),
        ("0x10", None, Some("weight")),
        ("many", None, Some("weight")),
        (" ", None, None),
    ] {
        let (record, complaints) = read(&["192.0.2.1", "rcpt", text], record);
        assert_eq!(record.unwrap().weight, weight, "{text}");
        assert_eq!(complaints, Vec::from_iter(complaint), "{text}");
    }
}

#[test]
fn record_needs_an_address() {
    for text in [
        "",
        " ",
        "mail.example.org",
        "192.0.2",
        "192.0.2.1 ",
        "192.0.2.1\n",
        "[192.0.2.1]",
        "192.0.2.1.25",
        "fe80::1%eth0",
        "192.0.2.0/24",
        "\u{661}.2.3.4",
    ] {
        let (record, complaints) = read(&[text, "rcpt"], record);
        assert!(record.is_none(), "{text}");
        assert_eq!(complaints, ["address"], "{text}");
    }
    assert_eq!(read(&[], record).1, ["address"]);
}

#[test]
fn too_many_arguments_are_told_and_ignored() {
    let (record, complaints) = read(&["192.0.2.1", "rcpt", "2", "x", "y"], record);
    assert_eq!(record.unwrap().weight, Some(2));
    assert_eq!(complaints, ["too many"]);
    let (address, complaints) = read(&["::ffff:192.0.2.1", "x"], client);
    assert_eq!((address, complaints), (Some(CLIENT), vec!["too many"]));
    assert_eq!(read(&["x"], none).1, ["too many"]);
}

#[test]
fn allow_needs_seconds() {
    assert_eq!(read(&["192.0.2.1", "60"], allow), (Some((CLIENT, 60)), vec![]));
    assert_eq!(read(&["192.0.2.1", "0"], allow), (Some((CLIENT, 0)), vec![]));
    assert_eq!(read(&["192.0.2.1", "5000000000"], allow).0, Some((CLIENT, ALLOW_MAX)));
    for seconds in ["", "1h", "-60", "1e3"] {
        assert_eq!(read(&["192.0.2.1", seconds], allow), (None, vec!["seconds"]), "{seconds}");
    }
    assert_eq!(read(&["x", "60"], allow), (None, vec!["address"]));
}

#[test]
fn preload_takes_a_path_or_none() {
    assert_eq!(read(&["/var/table"], preload).0, Some(&b"/var/table"[..]));
    assert_eq!(read(&[""], preload), (None, vec![]));
    assert_eq!(read(&[], preload), (None, vec![]));
}

/// Some bytes of each kind, where the properties below try thousands: for Miri, which is slow.
#[test]
fn odd_bytes_are_read() {
    let long = [b'9'; 100];
    let texts: [&[u8]; 8] =
        [b"", b" ", b"\xff\x80", b"1.2.3.4\0", b"::1", b"::ffff:1.2.3.4", b"-0", &long];
    for first in texts {
        for second in &texts[..4] {
            for given in [&[][..], &[first], &[first, *second], &[first, *second, first, second]] {
                let record = record(given, &mut |_| ());
                assert!(record.is_none_or(|record| record.weight.is_none_or(|w| w <= WEIGHT_MAX)));
                let allowed = allow(given, &mut |_| ());
                assert!(allowed.is_none_or(|(_, seconds)| seconds <= ALLOW_MAX));
                let address = client(given, &mut |_| ());
                assert_eq!(
                    address.is_some(),
                    given.first().is_some_and(|text| text.contains(&b':'))
                );
                let _ = preload(given, &mut |_| ());
                none(given, &mut |_| ());
            }
        }
    }
}

proptest! {
    /// Whatever comes: no panic, and what is taken is within its bounds.
    #[test]
    fn any_bytes_are_read(given in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8)) {
        let given: Vec<&[u8]> = given.iter().map(Vec::as_slice).collect();
        if let Some(record) = record(&given, &mut |_| ()) {
            prop_assert!(record.weight.is_none_or(|weight| weight <= WEIGHT_MAX));
        }
        if let Some((_, seconds)) = allow(&given, &mut |_| ()) {
            prop_assert!(seconds <= ALLOW_MAX);
        }
        let _ = client(&given, &mut |_| ());
        let _ = preload(&given, &mut |_| ());
        none(&given, &mut |_| ());
    }

    /// Every address and weight that Exim can write is taken as it is.
    #[test]
    fn good_arguments_are_taken(address: IpAddr, weight in 0..=WEIGHT_MAX, reason in "[a-z0-9-]{1,32}") {
        let (ip, weight_text) = (address.to_string(), weight.to_string());
        let (record, complaints) = read(&[&ip, &reason, &weight_text], record);
        let record = record.unwrap();
        prop_assert_eq!(record.address, address.to_canonical());
        prop_assert_eq!(record.weight, Some(weight));
        prop_assert_eq!(record.reason, Some(reason.as_bytes()));
        prop_assert!(complaints.is_empty());
    }
}

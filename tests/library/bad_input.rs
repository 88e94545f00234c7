//! Arguments as they should not be: always OK, told once, nothing recorded that was not meant.

use eximrbl_table::Counter;

use crate::driver::Stage;

const CLIENT: &str = "203.0.113.7";

#[test]
fn what_is_no_address_is_told_once_and_counted() {
    let stage = Stage::new();
    let mut driver = stage.start();
    let addresses: [&[u8]; 9] = [
        b"",
        b" ",
        b"mail.example.org",
        b"203.0.113",
        b"203.0.113.7\r\n",
        b"[203.0.113.7]",
        b"fe80::1%lo",
        b"\xff\xfe\x01",
        &[b'1'; 5000],
    ];
    let untouched = stage.table().serial();
    for address in addresses {
        for function in ["rbl_record", "rbl_forgive"] {
            assert_eq!(driver.call_bytes(function, &[address]), "");
        }
        assert_eq!(driver.call_bytes("rbl_allow", &[address, b"60"]), "");
        assert_eq!(driver.call_bytes("rbl_listed", &[address]), "no");
        assert_eq!(driver.call_bytes("rbl_lookup", &[address]), "");
    }
    assert_eq!(stage.table().serial(), untouched, "nothing was changed");
    let counted = stage.table().counters().get(Counter::RefusedAddress);
    assert!(counted >= addresses.len() as u64, "{counted}");
    let logged = driver.end();
    assert_eq!(logged, [r#"eximrbl: "" is not an IP address, so the call does nothing"#]);
}

#[test]
fn a_hostile_text_is_logged_harmlessly() {
    for (text, shown) in [
        (&b"%n%s%n"[..], r#""%n%s%n""#),
        (b"x\r\n2026-11-22 forged line", r#""x\x0d\x0a2026-11-22 forged line""#),
        (b"\"\\\x1b[31m\x80", r#""\x22\x5c\x1b[31m\x80""#),
    ] {
        let stage = Stage::new();
        let mut driver = stage.start();
        driver.call_bytes("rbl_record", &[text]);
        let logged = driver.end();
        assert_eq!(
            logged,
            [format!("eximrbl: {shown} is not an IP address, so the call does nothing")]
        );
    }
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call_bytes("rbl_record", &[&[b'\n'; 3000]]);
    let logged = driver.end();
    assert!(logged.len() == 1 && logged[0].len() < 512, "{logged:?}");
}

#[test]
fn weights() {
    for (weight, count, told) in [
        ("0", 0, 0),
        ("", 1, 0),
        ("3", 3, 0),
        ("10001", 10_000, 0),
        ("999999999999999999999", 10_000, 0),
        ("-1", 1, 1),
        ("two", 1, 1),
        ("1e3", 1, 1),
        ("\u{663}", 1, 1),
    ] {
        let stage = Stage::new();
        let mut driver = stage.start();
        driver.call("rbl_record", &[CLIENT, "rcpt", weight]);
        assert_eq!(stage.entry(CLIENT).map_or(0, |entry| entry.count), count, "{weight}");
        driver.call("rbl_record", &[CLIENT, "rcpt", weight]);
        assert_eq!(stage.table().counters().get(Counter::BadWeights), told * 2, "{weight}");
        assert_eq!(driver.end().len() as u64, told, "{weight}");
    }
}

#[test]
fn reasons() {
    for reason in [
        &b"RCPT"[..],
        b"after DATA",
        b"x\ny",
        b"a\"b",
        b"\xc3\xa9t\xc3\xa9",
        b"\x00",
        b"\xff\xff",
        b"../../etc",
        b"%s%n",
        b"----",
        b"${run{x}}",
        &[b'r'; 4000],
    ] {
        let stage = Stage::new();
        let mut driver = stage.start();
        driver.call_bytes("rbl_record", &[CLIENT.as_bytes(), reason]);
        let entry = stage.entry(CLIENT).unwrap();
        assert_eq!(entry.count, 1);
        let table = stage.table();
        let names = table.reasons();
        let names: Vec<_> = names.of(entry.reasons).collect();
        assert_eq!(names.len(), 1, "{reason:?}");
        let is_name = |name: &str| {
            (1..=32).contains(&name.len())
                && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        assert!(is_name(names[0]), "{reason:?} became {names:?}");
        let text = driver.call("rbl_lookup", &[CLIENT]);
        assert!(text.contains(&format!(" reason={} ", names[0])), "{text}");
        assert!(driver.end().len() <= 1);
    }
}

/// Clients that could choose reasons cannot keep the administrator from using new ones.
#[test]
fn many_reasons_are_other_in_the_end() {
    let stage = Stage::new();
    let mut driver = stage.start();
    for i in 0..200 {
        driver.call("rbl_record", &[CLIENT, &format!("reason-{i}")]);
    }
    assert_eq!(stage.entry(CLIENT).unwrap().count, 200);
    driver.call("rbl_record", &["203.0.113.8", "one-more"]);
    assert!(driver.call("rbl_lookup", &["203.0.113.8"]).contains(" reason=other "));
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn argument_counts() {
    let stage = Stage::new();
    let untouched = stage.table().serial();
    let mut driver = stage.start();
    let functions = [
        "rbl_record",
        "rbl_listed",
        "rbl_lookup",
        "rbl_forgive",
        "rbl_allow",
        "rbl_preload",
        "rbl_version",
    ];
    for function in functions {
        driver.call_null(function);
        for argc in [i32::MIN, -1, 8, 14, 1_000_000, i32::MAX] {
            driver.call_counted(argc, function, &[Some(CLIENT); 8]);
        }
        for argc in 0..=7 {
            driver.call_counted(argc, function, &[None; 8]);
        }
    }
    assert_eq!(stage.table().serial(), untouched, "a count that cannot be is that of none");
    let counts = |logged: &[String]| logged.iter().filter(|l| l.contains("arguments")).count();
    assert_eq!(counts(&driver.logged), 1, "{:?}", driver.logged);

    driver.call("rbl_record", &[CLIENT, "rcpt", "2", "x", "y", "z", "7"]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2, "what is too much is left out");
    assert_eq!(counts(&driver.end()), 1, "once per process and cause");

    let mut driver = stage.start();
    driver.call("rbl_listed", &[CLIENT, "x"]);
    assert_eq!(
        driver.end(),
        ["eximrbl: too many arguments: 2 given, 1 taken at most; the others are ignored"]
    );
}

#[test]
fn allow_without_seconds_allows_nothing() {
    for seconds in ["", "1h", "-5", "forever"] {
        let stage = Stage::new();
        let mut driver = stage.start();
        driver.call("rbl_allow", &[CLIENT, seconds]);
        driver.call("rbl_allow", &[CLIENT, seconds]);
        assert_eq!(stage.entry(CLIENT), None);
        assert_eq!(driver.end().len(), 1, "{seconds}");
    }
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_allow", &[CLIENT, "99999999999"]);
    assert!(driver.call("rbl_lookup", &[CLIENT]).contains("white=yes"));
    assert_eq!(driver.end(), [""; 0]);
}

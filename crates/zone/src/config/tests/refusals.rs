//! What is refused, with file, line and key.

use super::*;

#[test]
fn errors_name_file_line_and_key() {
    for (text, expected) in [
        ("", "test.toml:1: version: missing"),
        ("version = 2", "test.toml:1: version: 2 is not known"),
        ("version = 1", "test.toml:1: zone: missing"),
        ("version = 1\n[dsn]", "test.toml:2: dsn: unknown key `dsn`"),
        ("version = 1\n[dns]\nlistn = []", "test.toml:3: dns.listn: unknown key `listn`, expected"),
        ("version = 1\n\n[dns]\nlisten = 53", "test.toml:4: dns.listen: invalid type: integer"),
        ("version = 1\n[[zone]]\nlist = \"black\"", "test.toml:2: zone[0].name: missing"),
        ("version = 1\n[zone]\nname = \"a\"", "test.toml:2: zone: write [[zone]], with two"),
        (
            "version = 1\n[reporter]\nname = \"a\"",
            "test.toml:2: reporter: write [[reporter]], with",
        ),
        ("version = 1\nzone = 1", "test.toml:2: zone: invalid type: integer"),
        ("version = \"1\"", "expected a whole number"),
        ("version = 1\nversion = 1", "test.toml:2: not TOML: duplicate key: version"),
        ("version = 1\n[dns\n", "test.toml:2: not TOML: "),
        (
            "version = 1\n[policy]\nnever = [\n  \"192.0.2.0/24\",\n  \"192.0.2.1/24\",\n]",
            "test.toml:5: policy.never[1]: \"192.0.2.1/24\": address bits are set past the prefix",
        ),
        (
            "version = 1\n[policy]\nfloor = 700",
            "test.toml:2: policy.base_ttl: 600 s is under floor",
        ),
        (
            "version = 1\n[policy]\nweights = {\n auth = -1 }",
            "test.toml:4: policy.weights.auth: -1",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text:?} gave {error:?}");
    }
}

#[test]
fn a_number_out_of_range_is_told_the_same_range_on_both_sides_and_the_table_agrees() {
    const YEAR: i64 = 31_536_000;
    let change = |key: &str, number: u32| {
        // Wide enough that no other setting is in the way.
        let mut policy = Policy { floor: 1, max_ttl: YEAR as u32, ..Policy::default() };
        match key {
            "base_ttl" => policy.base_ttl = number,
            "max_ttl" => (policy.base_ttl, policy.max_ttl) = (1, number),
            "floor" => (policy.base_ttl, policy.floor) = (YEAR as u32, number),
            "threshold" => policy.threshold = number,
            _ => policy.weights = vec![("auth".to_owned(), number)],
        }
        policy
    };
    for (key, first, last) in [
        ("base_ttl", 1, YEAR),
        ("max_ttl", 1, YEAR),
        ("floor", 1, YEAR),
        ("threshold", 1, 100_000),
        ("weights.auth", 1, 10_000),
    ] {
        for number in [i64::MIN, -1, first - 1, last + 1, i64::from(u32::MAX) + 1] {
            let error = error(&format!("{SMALLEST}[policy]\n{key} = {number}\n"));
            let expected = format!("policy.{key}: {number} is out of range: {first} to {last}");
            assert!(error.ends_with(&expected), "{error}");
        }
        for (number, ok) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            let policy = change(key, number as u32);
            assert_eq!(policy.validate().is_ok(), ok, "{key} = {number}: {policy:?}");
        }
    }
}

#[test]
fn the_table_agrees_on_how_many_slots_there_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    for (slots, ok) in [(8, false), (16, true), ((1 << 30) + 1, false)] {
        let text = format!("{SMALLEST}[table]\nslots = {slots}\n");
        match parse(&text) {
            Ok(_) => assert!(ok, "{slots}"),
            Err(error) => {
                let expected = format!("table.slots: {slots} is out of range: 16 to 1073741824");
                assert!(!ok && error.to_string().ends_with(&expected), "{error}");
            }
        }
        let options = CreateOptions { slots, ..CreateOptions::default() };
        let made = eximrbl_table::WritableTable::create(&path, &options);
        assert_eq!(made.is_ok(), ok, "{slots}");
    }
}

#[test]
fn a_key_deep_in_the_second_zone_is_found() {
    let text = format!("{SMALLEST}[[zone]]\nname = \"x.example.org\"\n[zone.codes]\nauth = 1\n");
    let error = error(&text);
    assert!(error.starts_with("test.toml:7: zone[1].codes.auth: 1 is no code"), "{error}");
}

#[test]
fn zones_that_could_hide_addresses_are_refused() {
    for (inner, ok) in [("auth", true), ("4", false), ("127", false), ("a", false), ("1a", true)] {
        let text = format!("{SMALLEST}[[zone]]\nname = \"{inner}.rbl.example.org\"\n");
        assert_eq!(parse(&text).is_ok(), ok, "{inner}");
    }
    let error = error(&format!("{SMALLEST}[[zone]]\nname = \"RBL.example.org.\"\n"));
    assert!(error.starts_with("test.toml:5: zone[1].name: rbl.example.org is the name of two"));
}

#[test]
fn codes_stay_clear_of_addresses_with_a_meaning_of_their_own() {
    for (code, ok) in [
        ("2", true),
        ("255", true),
        ("1", false),
        ("0", false),
        ("256", false),
        ("-1", false),
        ("4.0", false),
        ("\"127.0.0.1\"", false),
        ("\"127.255.255.254\"", false),
        ("\"127.255.254.1\"", true),
        ("\"128.0.0.2\"", false),
        ("\"127.0.0\"", false),
    ] {
        let text = format!("{SMALLEST}codes = {{ auth = {code} }}\n");
        assert_eq!(parse(&text).is_ok(), ok, "{code}");
    }
}

#[test]
fn a_zone_name_leaves_room_for_ipv6() {
    let name = |length: usize| {
        let mut labels = vec!["x".repeat(63); 2];
        labels.push("x".repeat(length - 2 * 64 - 2));
        let text = format!("version = 1\n[[zone]]\nname = \"{}\"\n", labels.join("."));
        parse(&text)
    };
    assert!(name(ZONE_NAME_MAX).is_ok());
    assert!(name(ZONE_NAME_MAX + 1).is_err());
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.toml");
    std::fs::write(&path, b"version = 1\n# \xff\n").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("bad.toml:2: not TOML: not UTF-8 text here"), "{error}");
    let error = Config::load(&directory.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none: cannot read the configuration: No such file"), "{error}");
}

#[test]
fn without_a_file_the_names_are_checked_too() {
    let listen = vec!["127.0.0.1:5300".parse().unwrap()];
    let config = Config::without_file(&["rbl.example".into()], listen.clone(), "/t".into());
    assert_eq!(config.unwrap().zones[0].name.to_string(), "rbl.example");
    let error = Config::without_file(&["a..b".into()], listen, "/t".into()).unwrap_err();
    assert!(error.to_string().starts_with("--zone: \"a..b\": an empty label"), "{error}");
}

/// Whatever the file holds, a message is one line, and gives the terminal no orders.
#[test]
fn messages_write_control_characters_out() {
    for text in [
        "version = 1\n[dns]\nlisten = [\"0\\u001b[31m\\n\\u0007x\"]\n",
        "version = 1\n\"a\\u001bb\" = 1\n",
        "version = 1\n[[zone]]\nname = \"rbl\\u001b.example\\n\"\n",
        "version = 1\n[table]\npath = \"\\u009b1m\"\n",
    ] {
        let error = error(text);
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    assert!(error("version = 1\n\"a\\u001bb\" = 1\n").contains("a\\u{1b}b"));
}

/// Caught: the 41st reporter taken.
#[test]
fn there_are_as_many_reporters_as_the_table_has_room_for() {
    let reporters = |count: usize| -> String {
        let one = |n| format!("[[reporter]]\nname = \"r{n}\"\nnetworks = [\"127.0.0.1\"]\n");
        (0..count).map(one).collect()
    };
    let parse = |count| parse(&format!("{SMALLEST}{}", reporters(count)));
    assert_eq!(parse(REPORTERS_MAX).unwrap().reporters.len(), 40);
    let error = parse(REPORTERS_MAX + 1).unwrap_err().to_string();
    assert!(error.contains("reporter[40]: more than 40 reporters"), "{error}");
}

//! `black`, `white` and `forgive`, through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Name, Policy, now};
use support::{Home, assert_keys, network};

#[test]
fn black_lists_and_tells_for_how_long() {
    let home = Home::new();
    let before = now();
    let said = home.done(&["black", "192.0.2.1"]);
    let between = now();
    assert!(said.starts_with("192.0.2.1 is listed: 1 rejection, "), "{said}");
    assert!(said.ends_with(" of life left\n"), "the listing is over before that: {said}");
    let said = home.done(&["black", "192.0.2.1", "spamtrap", "3"]);
    let after = now();

    let (_, object) = home.json(&["show", "192.0.2.1"]);
    let entry = &object["entry"];
    // From the first one on; the second one adds to what was left.
    let until = entry["until_unix"].as_u64().unwrap() as u32;
    assert!((before + 2400..=between + 2400).contains(&until), "{entry}");
    let span = |left: u32| match (left / 60, left % 60) {
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    };
    let is_told = |now: u32| {
        let left = span(until - now);
        said == format!("192.0.2.1 is listed: 4 rejections, {left} of life left\n")
    };
    assert!((between..=after).any(is_told), "{said}");
    assert_eq!(entry["count"], 4);
    assert_eq!(entry["reasons"], serde_json::json!(["manual", "spamtrap"]));
    assert_eq!(entry["reporters"], serde_json::json!(["admin"]));

    let (status, object) = home.json(&["black", "192.0.2.2"]);
    assert_eq!(status, 0);
    assert_keys(
        &object,
        &[
            "changed",
            "asked",
            "key",
            "listed",
            "state",
            "threshold",
            "never",
            "entry",
            "lifted",
            "dns_name",
        ],
    );
    assert_eq!((&object["changed"], &object["listed"]), (&true.into(), &true.into()));
}

#[test]
fn black_takes_the_policys_weight_unless_told() {
    let home = Home::new();
    home.set_policy(&Policy { weights: vec![("spamtrap".into(), 5)], ..Policy::default() });
    let count = |address| home.json(&["show", address]).1["entry"]["count"].clone();
    home.done(&["black", "192.0.2.1", "spamtrap"]);
    assert_eq!(count("192.0.2.1"), 5);
    home.done(&["black", "192.0.2.2", "spamtrap", "2"]);
    assert_eq!(count("192.0.2.2"), 2);
    home.done(&["black", "192.0.2.3"]);
    assert_eq!(count("192.0.2.3"), 1);
}

#[test]
fn black_lists_at_once_whatever_the_threshold() {
    let home = Home::new();
    home.set_policy(&Policy { threshold: 3, ..Policy::default() });
    home.reject("192.0.2.1", "rcpt", 0);
    home.negative(&["show", "192.0.2.1"]);
    home.done(&["black", "192.0.2.1"]);
    home.done(&["show", "192.0.2.1"]);
}

#[test]
fn black_without_end_lasts_until_forgiven() {
    let home = Home::new();
    assert_eq!(
        home.done(&["black", "198.51.100.0/24", "--endless"]),
        "198.51.100.0/24 is listed without end\n"
    );
    let (_, object) = home.json(&["show", "198.51.100.77"]);
    assert_eq!((&object["listed"], &object["entry"]["endless"]), (&true.into(), &true.into()));
    home.done(&["forgive", "198.51.100.0/24"]);
    home.negative(&["show", "198.51.100.77"]);
}

#[test]
fn black_refuses_what_may_not_be_listed() {
    let home = Home::new();
    home.set_policy(&Policy { never: vec![network("203.0.113.0/24")], ..Policy::default() });
    home.done(&["white", "192.0.2.0/24"]);
    for (address, complaint) in [
        (
            "192.168.1.1",
            "eximrbl: 192.168.1.1: nothing was changed: it is never listed, for 192.168.0.0/16 is \
             reserved space\n",
        ),
        (
            "203.0.113.9",
            "eximrbl: 203.0.113.9: nothing was changed: it is never listed, for 203.0.113.0/24 is \
             in the policy's never-list\n",
        ),
        (
            "192.0.2.1",
            "eximrbl: 192.0.2.1: nothing was changed: it is whitelisted through 192.0.2.0/24 \
             without end; to end that: eximrbl white 192.0.2.0/24 0\n",
        ),
        (
            "127.0.0.2",
            "eximrbl: 127.0.0.2: nothing was changed: it is the test address of every DNSBL (RFC \
             5782), and always listed\n",
        ),
        (
            "0.0.0.0/0",
            "eximrbl: 0.0.0.0/0: not listed: too wide, and likely a slip; at most a /8, or a /16 \
             of IPv6\n",
        ),
    ] {
        assert_eq!(home.failed(&["black", address]), complaint);
    }
    let (_, info) = home.json(&["info"]);
    assert_eq!((&info["listed"], &info["below"]), (&0.into(), &0.into()));
    let complaint = home.failed(&["white", "127.0.0.2"]);
    assert!(complaint.contains("test address"), "{complaint}");
    assert_eq!(home.json(&["info"]).1["white"], 1);
}

#[test]
fn black_refuses_bad_words_and_numbers() {
    let home = Home::new();
    for arguments in [
        &["black"][..],
        &["black", "mail.example.org"],
        &["black", "192.0.2.256"],
        &["black", "192.0.2.1/24"],
        &["black", "192.0.2.0/33"],
        &["black", "[192.0.2.1]"],
        &["black", "192.0.2.1", "Spam Trap"],
        &["black", "192.0.2.1", "spam\u{1b}[31m"],
        &["black", "192.0.2.1", ""],
        &["black", "192.0.2.1", "a-reason-that-has-more-than-32-bytes"],
        &["black", "192.0.2.1", "spamtrap", "0"],
        &["black", "192.0.2.1", "spamtrap", "-1"],
        &["black", "192.0.2.1", "spamtrap", "10001"],
        &["black", "192.0.2.1", "spamtrap", "99999999999999999999"],
        &["black", "192.0.2.1", "spamtrap", "3", "more"],
        &["white", "192.0.2.1", "for ever"],
        &["white", "192.0.2.1", "-5"],
        &["forgive", "nobody"],
    ] {
        let complaint = home.failed(arguments);
        assert!(complaint.starts_with("error: "), "{arguments:?}: {complaint}");
    }
    let complaint = home.failed(&["black", "192.0.2.1/24"]);
    assert!(complaint.contains("bits are set past the prefix"), "{complaint}");
    let complaint = home.failed(&["black", "192.0.2.1", "Spam"]);
    assert!(complaint.contains("1 to 32 characters from a-z, 0-9 and -"), "{complaint}");
    // What would be right, with an example, for whatever is written in a number's place.
    for weight in ["2.5", "-1", "0", "10001", "many"] {
        let complaint = home.failed(&["black", "192.0.2.1", "x", weight]);
        let expected = format!(
            "error: invalid value '{weight}' for '[WEIGHT]': write a whole number from 1 to 10000, \
             such as 3\n"
        );
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
    for seconds in ["1d", "-1", "1.5", "4294967296"] {
        let complaint = home.failed(&["white", "192.0.2.1", seconds]);
        let expected = format!(
            "error: invalid value '{seconds}' for '[SECONDS]': write whole seconds without a \
             unit, 0 to 4294967295, such as 86400 for a day\n"
        );
        assert!(complaint.starts_with(&expected), "{complaint}");
    }
    // Not even the dictionary has anything of it.
    let (_, info) = home.json(&["info"]);
    assert_eq!(info["reasons"], serde_json::json!(["other", "reject"]));
    assert_eq!(info["counters"]["records"], 0);
}

#[test]
fn black_does_not_file_a_reason_under_another_name() {
    let home = Home::new();
    let table = home.open();
    for number in 0..64 {
        table.reason(Name::new(format!("reason-{number}").as_bytes()).unwrap(), true);
    }
    let complaint = home.failed(&["black", "192.0.2.1", "one-too-many"]);
    assert!(complaint.contains("no room for another reason, \"one-too-many\""), "{complaint}");
    home.negative(&["show", "192.0.2.1"]);
    home.done(&["black", "192.0.2.1", "reason-5"]);
    home.done(&["black", "192.0.2.1", "other"]);
}

#[test]
fn white_lifts_a_listing_at_once_and_for_as_long_as_told() {
    let home = Home::new();
    home.reject("192.0.2.1", "rcpt", 0);
    let before = now();
    let said = home.done(&["white", "192.0.2.1", "3600"]);
    let after = now();
    assert!(said.starts_with("192.0.2.1 is not listed: whitelisted until "), "{said}");
    home.negative(&["show", "192.0.2.1"]);
    let (_, object) = home.json(&["show", "192.0.2.1"]);
    assert_eq!(object["entry"]["reasons"], serde_json::json!([]), "the black entry's are gone");
    let (status, object) = home.json(&["white", "192.0.2.2"]);
    assert_eq!((status, &object["changed"], &object["state"]), (0, &true.into(), &"white".into()));
    assert_eq!(object["entry"]["endless"], true);
    assert_eq!(object["entry"]["reporters"], serde_json::json!(["admin"]));

    let asked = now();
    let (_, object) = home.json(&["show", "192.0.2.1"]);
    let answered = now();
    let number = |key: &str| object["entry"][key].as_u64().unwrap() as u32;
    let until = number("until_unix");
    assert!((before + 3600..=after + 3600).contains(&until), "{object}");
    assert!((until - answered..=until - asked).contains(&number("remaining")), "{object}");
}

#[test]
fn white_refuses_a_network_that_would_switch_the_list_off() {
    let home = Home::new();
    home.done(&["black", "192.0.2.1"]);
    for network in ["0.0.0.0/0", "128.0.0.0/1", "192.0.0.0/7", "::/0", "2000::/15"] {
        for seconds in [&[][..], &["3600"]] {
            assert_eq!(
                home.failed(&[&["white", network], seconds].concat()),
                format!(
                    "eximrbl: {network}: not whitelisted: too wide, and likely a slip; at most a \
                     /8, or a /16 of IPv6\n"
                )
            );
        }
    }
    home.done(&["show", "192.0.2.1"]);
    home.done(&["white", "192.0.0.0/8"]);
    home.negative(&["show", "192.0.2.1"]);
    home.done(&["white", "2001::/16"]);

    // Another program may have put one there: it can be ended.
    home.open().white(network("0.0.0.0/0"), None, ADMIN, now()).unwrap();
    assert!(home.done(&["white", "0.0.0.0/0", "0"]).starts_with("whitelisting ended; "));
}

#[test]
fn white_with_0_seconds_ends_a_whitelisting() {
    let home = Home::new();
    home.done(&["white", "192.0.2.1"]);
    assert_eq!(
        home.done(&["white", "192.0.2.1", "0"]),
        "whitelisting ended; 192.0.2.1 is not listed: nothing is known about it\n"
    );
    home.done(&["black", "192.0.2.1"]);
    assert_eq!(
        home.negative(&["white", "192.0.2.1", "0"]),
        "was not whitelisted; 192.0.2.1 is listed\n"
    );
    home.done(&["show", "192.0.2.1"]);

    home.done(&["white", "192.0.2.0/24"]);
    assert_eq!(
        home.negative(&["white", "192.0.2.1", "0"]),
        "was not whitelisted; 192.0.2.1 is not listed: whitelisted through 192.0.2.0/24 without \
         end; to end that: eximrbl white 192.0.2.0/24 0\n"
    );
    let (status, object) = home.json(&["white", "192.0.2.1", "0"]);
    assert_eq!((status, &object["changed"]), (1, &false.into()));
    home.done(&["white", "192.0.2.0/24", "0"]);
    home.done(&["show", "192.0.2.1"]);
}

#[test]
fn forgive_ends_a_listing_and_forgets_its_count() {
    let home = Home::new();
    home.reject("192.0.2.1", "rcpt", 0);
    assert_eq!(
        home.done(&["forgive", "192.0.2.1"]),
        "forgiven; 192.0.2.1 is not listed: nothing is known about it\n"
    );
    home.negative(&["show", "192.0.2.1"]);
    home.reject("192.0.2.1", "rcpt", 0);
    let (_, object) = home.json(&["show", "192.0.2.1"]);
    assert_eq!(object["entry"]["count"], 1);
    let (status, object) = home.json(&["forgive", "192.0.2.1"]);
    assert_eq!((status, &object["changed"], &object["listed"]), (0, &true.into(), &false.into()));
    assert_eq!(
        home.negative(&["forgive", "192.0.2.1"]),
        "nothing to forgive; 192.0.2.1 is not listed: nothing is known about it\n"
    );
}

#[test]
fn forgive_keeps_ipv6_clients_by_their_prefix() {
    let home = Home::new();
    home.done(&["black", "2001:db8:1:2::5"]);
    assert_eq!(
        home.done(&["forgive", "2001:db8:1:2:ffff::1"]),
        "forgiven; 2001:db8:1:2:ffff::1 (kept as 2001:db8:1:2::/64) is not listed: nothing is \
         known about it\n"
    );
}

#[test]
fn forgive_names_the_network_that_lists_an_address() {
    let home = Home::new();
    home.done(&["black", "192.0.2.0/24"]);
    let remedy = "192.0.2.1 is listed through 192.0.2.0/24; to end that: eximrbl forgive \
                  192.0.2.0/24\n";
    assert_eq!(home.negative(&["forgive", "192.0.2.1"]), format!("nothing to forgive; {remedy}"));
    home.done(&["black", "192.0.2.1"]);
    assert_eq!(home.negative(&["forgive", "192.0.2.1"]), format!("forgiven; {remedy}"));
    home.done(&["forgive", "192.0.2.0/24"]);
    home.negative(&["show", "192.0.2.1"]);
}

#[test]
fn forgive_leaves_a_whitelisting_and_says_how_to_end_it() {
    let home = Home::new();
    home.done(&["white", "192.0.2.1"]);
    assert_eq!(
        home.negative(&["forgive", "192.0.2.1"]),
        "nothing to forgive; 192.0.2.1 is not listed: whitelisted without end; to end that: \
         eximrbl white 192.0.2.1 0\n"
    );
    assert_eq!(home.json(&["show", "192.0.2.1"]).1["state"], "white");
}

#[test]
fn every_change_is_an_event_and_no_question_is() {
    let home = Home::new();
    let table = home.open();
    let serial = || table.serial();
    let start = serial();
    home.done(&["black", "192.0.2.1"]);
    home.done(&["white", "192.0.2.2"]);
    home.done(&["forgive", "192.0.2.1"]);
    home.done(&["white", "192.0.2.2", "0"]);
    let changed = serial();
    assert_eq!(changed - start, 4);
    home.negative(&["show", "192.0.2.1"]);
    home.negative(&["forgive", "192.0.2.1"]);
    home.negative(&["white", "192.0.2.1", "0"]);
    home.done(&["list", "--all"]);
    home.done(&["info"]);
    home.done(&["verify"]);
    assert_eq!(serial(), changed);
}

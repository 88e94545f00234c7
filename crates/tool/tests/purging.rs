//! `purge`, and who reported what, through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use eximrbl_table::{Name, Report, now};
use support::{Home, assert_keys, line, network};

impl Home {
    /// Reports as another host's Exim does.
    fn report(&self, reporter: &str, address: &str, reason: &str) {
        let table = self.open();
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let report = Report {
            network: network(address),
            reason: table.reason(name(reason), false),
            reporter: table.reporter(name(reporter)).unwrap(),
            weight: None,
            seconds: None,
        };
        table.record(&report, now()).unwrap();
    }

    /// Three of mx2's, one of which mx3 reported, too; one of mx3's, one of the administrator's; and a
    /// whitelisting of mx2's.
    fn poisoned() -> Self {
        let home = Self::new();
        home.report("mx2", "192.0.2.1", "rcpt");
        home.report("mx2", "192.0.2.2", "rcpt");
        home.report("mx2", "192.0.2.3", "spamtrap");
        home.report("mx3", "192.0.2.3", "rcpt");
        home.report("mx3", "198.51.100.1", "rcpt");
        home.done(&["black", "203.0.113.0/24", "--endless"]);
        let table = home.open();
        let mx2 = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
        table.white(network("192.0.2.99"), Some(3600), mx2, now()).unwrap();
        home
    }

    fn listed(&self) -> Vec<String> {
        let mut listed: Vec<_> =
            self.done(&["list", "-n"]).lines().map(|row| row[..22].trim().to_owned()).collect();
        listed.sort();
        listed
    }
}

/// Caught: a dry run that does something; shares that are not taken out; another reporter's entries ended.
#[test]
fn one_reporters_work_is_undone() {
    let home = Home::poisoned();
    let before = home.listed();
    assert_eq!(before.len(), 5);
    let said = home.done(&["purge", "--reporter", "mx2", "--dry-run"]);
    assert_eq!(
        said,
        "would be ended    2 listings, 1 whitelisting\n\
         1 entry would go on as if that reporter had never been\n"
    );
    assert_eq!(home.listed(), before);
    let said = home.done(&["purge", "--reporter", "mx2"]);
    assert_eq!(
        said,
        "ended    2 listings, 1 whitelisting\n\
         1 entry goes on as if that reporter had never been\n"
    );
    assert_eq!(home.listed(), ["192.0.2.3", "198.51.100.1", "203.0.113.0/24"]);
    let entry = &home.json(&["show", "192.0.2.3"]).1["entry"];
    assert_eq!((&entry["count"], &entry["reporters"][0]), (&1.into(), &"mx3".into()));
    assert_eq!(entry["reasons"], serde_json::json!(["rcpt"]));
    assert_eq!(home.negative(&["show", "192.0.2.99"]).lines().count(), 2, "nothing is known");
    assert_eq!(home.negative(&["purge", "--reporter", "mx2"]), "nothing to purge\n");

    home.report("mx2", "192.0.2.1", "rcpt");
    home.done(&["show", "192.0.2.1"]);
}

#[test]
fn json_tells_what_was_asked_for_and_done() {
    let home = Home::poisoned();
    home.open().set_policy(&eximrbl_table::Policy { base_ttl: 601, ..Default::default() }).unwrap();
    for (dry_run, arguments) in [
        (true, &["purge", "--reporter", "mx2", "--network", "192.0.2.0/24", "--dry-run"][..]),
        (false, &["purge", "--reporter", "mx2", "--network", "192.0.2.0/24"]),
    ] {
        let (status, object) = home.json(arguments);
        assert_keys(
            &object,
            &[
                "dry_run",
                "reporter",
                "reason",
                "network",
                "white",
                "ended",
                "white_ended",
                "reduced",
                "kept",
                "left",
            ],
        );
        let wanted = serde_json::json!({
            "dry_run": dry_run, "reporter": "mx2", "reason": null, "network": "192.0.2.0/24",
            "white": false, "ended": 2, "white_ended": 1, "reduced": 0, "kept": 1, "left": 0,
        });
        assert_eq!((status, object), (0, wanted));
    }
    let (status, object) = home.json(&["purge", "--reason", "spamtrap"]);
    assert_eq!((status, &object["kept"], &object["reason"]), (0, &1.into(), &"spamtrap".into()));
}

/// Caught: `--all`, the administrator's own work or half of the Internet without `--yes`; whitelistings
/// among listings.
#[test]
fn nobody_empties_the_table_by_a_slip() {
    let home = Home::poisoned();
    let before = home.listed();
    for (arguments, count) in [
        (&["purge", "--all"][..], "5 listings"),
        (&["purge", "--all", "--white"], "0 listings, 1 whitelisting"),
        (&["purge", "--reporter", "admin"], "1 listing"),
        (&["purge", "--network", "0.0.0.0/0"], "5 listings"),
        (&["purge", "--network", "::/0"], "0 listings"),
    ] {
        let complaint = home.failed(arguments);
        assert_eq!(
            complaint,
            format!(
                "eximrbl: nothing was changed: this would end {count}; if that is meant, add --yes\n"
            )
        );
    }
    for arguments in [
        &["purge"][..],
        &["purge", "--yes"],
        &["purge", "--white"],
        &["purge", "--all", "--reporter", "mx2"],
        &["purge", "--reporter", "mx2", "--reason", "rcpt"],
        &["purge", "--reporter", "mx2", "--white"],
        &["purge", "--reporter", "MX 2"],
        &["purge", "192.0.2.1"],
    ] {
        let complaint = home.failed(arguments);
        assert!(complaint.starts_with("error: "), "{arguments:?}: {complaint}");
    }
    assert_eq!(home.listed(), before);
    assert_eq!(home.done(&["purge", "--reporter", "admin", "--yes"]), "ended    1 listing\n");
    assert_eq!(home.done(&["purge", "--network", "192.0.2.2"]), "ended    1 listing\n");
    assert_eq!(home.listed(), ["192.0.2.1", "192.0.2.3", "198.51.100.1"]);
    assert_eq!(home.done(&["purge", "--all", "--yes"]), "ended    3 listings\n");
    assert_eq!(home.json(&["info"]).1["white"], 1, "a listing is not a whitelisting");
    let said = home.done(&["purge", "--white", "--network", "192.0.2.0/24"]);
    assert_eq!(said, "ended    0 listings, 1 whitelisting\n");
}

#[test]
fn an_unknown_name_has_done_nothing_and_is_told() {
    let home = Home::poisoned();
    for (arguments, told) in [
        (["purge", "--reporter", "mx9"], "reported by mx9 yet; known: local, admin, mx2, mx3"),
        (["purge", "--reason", "greeting"], "recorded for greeting yet; known: other, reject, "),
    ] {
        let ran = home.run(&arguments);
        assert_eq!((ran.status, ran.stdout.as_str()), (1, "nothing to purge\n"));
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
}

/// Caught: a list that takes reporters for reasons; white entries left out; shares of the slots instead of
/// the entries.
#[test]
fn who_reported_what_is_shown() {
    let home = Home::poisoned();
    let count = |arguments: &[&str]| home.done(arguments).lines().count();
    assert_eq!(count(&["list", "-n", "--reporter", "mx2"]), 3);
    assert_eq!(count(&["list", "-n", "--reporter", "mx2", "--all"]), 4);
    assert_eq!(count(&["list", "-n", "--reporter", "mx2", "--white"]), 1);
    assert_eq!(count(&["list", "-n", "--reporter", "mx2", "--reporter", "mx3"]), 4);
    assert_eq!(count(&["list", "-n", "--reporter", "mx2", "--reason", "spamtrap"]), 1);
    let ran = home.run(&["list", "-n", "--reporter", "mx9"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("nothing was reported by mx9 yet"), "{}", ran.stderr);

    let info = home.done(&["info"]);
    assert_eq!(line(&info, "  mx2 "), "4 (66.6 %)");
    assert_eq!(line(&info, "  mx3 "), "2 (33.3 %)");
    assert_eq!(line(&info, "  local "), "0 (0.0 %)");
    let (_, info) = home.json(&["info"]);
    let wanted = serde_json::json!({"local": 0, "admin": 1, "mx2": 4, "mx3": 2});
    assert_eq!(info["by_reporter"], wanted);
}

//! `show --history`: the story of an address, from the audit trail's files or from the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write;
use std::path::Path;

use eximrbl_table::dictionary::LOCAL;
use eximrbl_table::{Name, Report, now};
use serde_json::{Value, json};
use support::{Home, assert_keys, network, text};

/// A line of the trail, as eximrbld writes it; `more` are the keys that are not null.
fn line(time: u32, kind: &str, network: &str, more: &Value) -> Value {
    let mut line = json!({
        "format": 1, "time": "2026-11-22T05:43:10Z", "time_unix": time, "kind": kind,
        "network": network, "who": null, "of": null, "reason": null, "weight": null, "seconds": null,
        "changes": null, "since_unix": null, "entry": null, "stream": "0123456789abcdef",
        "next": time,
    });
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

fn entry(count: u32) -> Value {
    json!({
        "white": false, "count": count, "counted": true, "endless": false,
        "until": "2026-11-22T05:53:10Z", "until_unix": 1_795_326_790, "first": "", "first_unix": 1,
        "last": "", "last_unix": 2, "reasons": ["rcpt", "auth"], "reporters": ["local"],
    })
}

fn written(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn compressed(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// The kinds of the changes of a history.
fn kinds(history: &Value) -> Vec<&str> {
    let changes = history["changes"].as_array().unwrap();
    changes.iter().map(|change| change["kind"].as_str().unwrap()).collect()
}

/// A trail in a folder of its own; the names are ordered otherwise than the times.
fn trail(folder: &Path) -> std::path::PathBuf {
    let report = |weight, count| json!({"who": "mx2", "reason": "auth", "weight": weight, "entry": entry(count)});
    let file = folder.join("audit.jsonl");
    let newest = [
        line(1_795_326_196, "extended", "192.0.2.10", &json!({})),
        line(1_795_326_197, "forgiven", "192.0.2.1", &json!({"who": "admin"})),
    ];
    std::fs::write(&file, written(&newest)).unwrap();
    let younger = [
        line(1_795_326_194, "whitened", "192.0.2.0/24", &json!({"who": "admin", "seconds": 90})),
        line(
            1_795_326_195,
            "lost",
            "",
            &json!({"network": null, "changes": 7, "since_unix": 1_795_326_194}),
        ),
    ];
    std::fs::write(folder.join("audit.jsonl.9"), written(&younger)).unwrap();
    let older = [
        line(1_795_326_191, "added", "192.0.2.1", &report(1, 1)),
        line(1_795_326_192, "added", "2001:db8::/64", &report(1, 1)),
        line(1_795_326_193, "extended", "192.0.2.1", &report(3, 4)),
    ];
    std::fs::write(folder.join("audit.jsonl-20261122.gz"), compressed(&written(&older))).unwrap();
    let oldest = [line(1_795_326_190, "begun", "", &json!({"network": null}))];
    std::fs::write(folder.join("audit.jsonl.1.gz"), compressed(&written(&oldest))).unwrap();
    std::fs::write(folder.join("audit.jsonl.bak"), written(&older)).unwrap();
    file
}

/// Who reported, why, how often, who lifted it; the networks around, and not the neighbours. Caught:
/// files by their names' order; an address that begins like another; compressed files left out.
#[test]
fn the_trail_tells_what_was_done_about_an_address() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let file = trail(folder.path());
    let printed = home.negative(&["show", "192.0.2.1", "--history", "--audit", text(&file)]);
    let (standing, history) = printed.split_once("History, ").unwrap();
    assert!(standing.starts_with("192.0.2.1 is not listed: nothing is known"), "{standing}");
    let expected = format!(
        "from {} and 3 older files:
  2026-11-22 05:43:10 +00:00  the trail begins
  2026-11-22 05:43:11 +00:00  1 rejection reported by mx2 for auth, the first: 1 in all, life until 2026-11-22 05:53:10 +00:00
  2026-11-22 05:43:13 +00:00  3 rejections reported by mx2 for auth: 4 in all, life until 2026-11-22 05:53:10 +00:00
  2026-11-22 05:43:14 +00:00  192.0.2.0/24: whitelisted by admin for 1 min 30 s
  2026-11-22 05:43:15 +00:00  7 changes of the table missing here, made since 2026-11-22 05:43:14 +00:00
  2026-11-22 05:43:17 +00:00  forgiven by admin
",
        file.display()
    );
    assert_eq!(history, expected);

    let (status, shown) = home.json(&["show", "192.0.2.1", "--history", "--audit", text(&file)]);
    assert_eq!(status, 1);
    let history = &shown["history"];
    assert_keys(history, &["source", "files", "problem", "skipped", "changes"]);
    assert_eq!((&history["source"], &history["skipped"]), (&json!("audit"), &json!(0)));
    assert_eq!(history["files"].as_array().unwrap().len(), 4);
    assert_eq!(kinds(history), ["begun", "added", "extended", "whitened", "lost", "forgiven"]);
    let report = |weight, count| json!({"who": "mx2", "reason": "auth", "weight": weight, "entry": entry(count)});
    assert_eq!(history["changes"][2], line(1_795_326_193, "extended", "192.0.2.1", &report(3, 4)));

    // An IPv6 client by its prefix; a network by itself and those around it, not by its parts.
    for (asked, expected) in [
        ("2001:db8::25", vec!["begun", "added", "lost"]),
        ("2001:db8:0:1::25", vec!["begun", "lost"]),
        ("192.0.2.0/28", vec!["begun", "whitened", "lost"]),
        ("192.0.2.0/23", vec!["begun", "lost"]),
    ] {
        let (_, shown) = home.json(&["show", asked, "--history", "--audit", text(&file)]);
        assert_eq!(kinds(&shown["history"]), expected, "{asked}");
    }
    let nothing = home.negative(&["show", "192.0.2.2", "--history", "--audit", text(&file)]);
    assert!(!nothing.contains("nothing about this address"), "a network around it: {nothing}");
    let nothing = home.negative(&["show", "203.0.113.1", "--history", "--audit", text(&file)]);
    assert!(nothing.contains("  nothing about this address\n"), "{nothing}");
}

/// Every other sentence that there is. Caught: a kind that is not known here, printed as it stands.
#[test]
fn every_kind_of_change_has_a_sentence() {
    let home = Home::new();
    let lines = [
        line(1, "whitened", "192.0.2.1", &json!({"who": "local"})),
        line(2, "white_ended", "192.0.2.1", &json!({"who": "admin"})),
        line(3, "evicted", "192.0.2.1", &json!({"who": "mx2"})),
        line(4, "expired", "192.0.2.1", &json!({})),
        line(5, "replaced", "", &json!({"network": null, "since_unix": 4})),
        line(6, "found", "192.0.2.1", &json!({"entry": entry(5)})),
        line(7, "resumed", "", &json!({"network": null})),
        line(8, "reduced", "192.0.2.1", &json!({"who": "admin", "of": "mx2", "entry": entry(1)})),
        line(9, "reduced", "192.0.2.1", &json!({"who": "admin", "reason": "auth"})),
        line(10, "unheard\u{1b}[31m", "192.0.2.1", &json!({})),
    ];
    let file = home.file("audit.jsonl", &written(&lines));
    let printed = home.negative(&["show", "192.0.2.1", "--history", "--audit", text(&file)]);
    let sentences: Vec<_> = printed
        .lines()
        .skip_while(|line| !line.starts_with("History"))
        .skip(1)
        .map(|line| line.split_once("+00:00  ").unwrap().1)
        .collect();
    assert_eq!(
        sentences,
        [
            "whitelisted by local without end",
            "whitelisting ended by admin",
            "gave its place to another entry, reported by mx2",
            "ran out",
            "the table was replaced by another one, made since 1970-01-01 00:00:04 +00:00",
            "found in the table: 5 in all, from 1970-01-01 00:00:01 +00:00 to \
             1970-01-01 00:00:02 +00:00, for rcpt, auth, by local, life until \
             2026-11-22 05:53:10 +00:00",
            "what mx2 had reported was taken out by admin: 1 in all, life until \
             2026-11-22 05:53:10 +00:00",
            "what was reported for auth was taken out by admin",
            "unheard\\u{1b}[31m",
        ]
    );
}

/// Caught: a damaged line that hides those after it; a compressed file that ends too early told as
/// whole.
#[test]
fn damage_is_told_and_the_rest_is_read() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let good = line(9, "forgiven", "192.0.2.1", &json!({"who": "admin"}));
    let later = line(9, "forgiven", "192.0.2.1", &json!({"format": 2}));
    let half = "{\"format\":1,\"network\":\"192.0.2.1\",\"ti\n";
    let junk = "\0\u{ff}".repeat(200_000);
    std::fs::write(&file, format!("{half}{later}\n{junk}\n{good}\n{good}")).unwrap();
    let older = compressed(&written(&[line(8, "added", "192.0.2.1", &json!({}))]));
    std::fs::write(folder.path().join("audit.jsonl.1.gz"), &older[..older.len() - 4]).unwrap();
    let (_, shown) = home.json(&["show", "192.0.2.1", "--history", "--audit", text(&file)]);
    let history = &shown["history"];
    assert_eq!(kinds(history), ["added", "forgiven"]);
    assert_eq!(history["skipped"], 2);
    let problem = history["problem"].as_str().unwrap();
    assert!(problem.contains("audit.jsonl.1.gz: not read to its end"), "{problem}");
    let printed = home.negative(&["show", "192.0.2.1", "--history", "--audit", text(&file)]);
    assert!(printed.contains("(2 lines left out: damaged, or of another version of eximrbld)"));
    assert!(printed.contains("(not all: "), "{printed}");
}

/// Where there is no trail. Caught: the events of others; the oldest last.
#[test]
fn without_a_trail_the_table_tells_what_it_still_knows() {
    let home = Home::new();
    home.reject("192.0.2.1", "rcpt", 100);
    home.reject("192.0.2.11", "rcpt", 100);
    let table = home.open();
    let mx2 = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
    let reason = table.reason(Name::new(b"auth").unwrap(), false);
    let report = |seconds| Report {
        network: network("192.0.2.1"),
        reason,
        reporter: mx2,
        weight: Some(3),
        seconds,
    };
    table.record(&report(Some(77)), now() - 50).unwrap();
    table.white(network("192.0.2.0/24"), Some(600), LOCAL, now() - 40).unwrap();
    home.done(&["white", "192.0.2.0/24", "0"]);
    home.done(&["forgive", "192.0.2.1"]);
    let none = home.directory.path().join("none.toml");
    let shown = ["show", "192.0.2.1", "--history", "--config", text(&none)];
    let (_, object) = home.json(&shown);
    let history = &object["history"];
    assert_eq!((&history["source"], &history["files"]), (&json!("table"), &json!([])));
    assert_eq!(kinds(history), ["added", "extended", "whitened", "white_ended", "forgiven"]);
    let changes = &history["changes"];
    assert_eq!((&changes[0]["who"], &changes[0]["reason"]), (&json!("local"), &json!("rcpt")));
    assert_eq!((&changes[1]["who"], &changes[1]["reason"]), (&json!("mx2"), &json!("auth")));
    assert_eq!((&changes[1]["weight"], &changes[1]["seconds"]), (&json!(3), &json!(77)));
    assert_eq!(
        (&changes[2]["network"], &changes[2]["seconds"]),
        (&json!("192.0.2.0/24"), &json!(600))
    );
    assert_eq!((&changes[4]["who"], &changes[4]["entry"]), (&json!("admin"), &Value::Null));
    let printed = home.negative(&shown);
    assert!(
        printed.contains("History, from the last 65536 changes of the table alone:"),
        "{printed}"
    );
    assert!(printed.contains("(there is no audit trail: "), "{printed}");
    assert!(printed.contains("none.toml: cannot read the configuration"), "{printed}");
    assert!(printed.contains("3 rejections reported by mx2 for auth\n"), "{printed}");
    assert!(!home.negative(&["show", "192.0.2.1"]).contains("History"));
}

/// As `policy` finds the table. Caught: the default place whatever the file says.
#[test]
fn the_configuration_names_the_trail() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let file = trail(folder.path());
    let zone = "[[zone]]\nname = \"rbl.example\"\n";
    let with = home.file("with.toml", &format!("version = 1\n[audit]\nfile = {file:?}\n{zone}"));
    let (_, shown) = home.json(&["show", "192.0.2.1", "--history", "--config", text(&with)]);
    assert_eq!(kinds(&shown["history"]).len(), 6);
    let without = home.file("without.toml", &format!("version = 1\n{zone}"));
    let (_, shown) = home.json(&["show", "192.0.2.1", "--history", "--config", text(&without)]);
    assert_eq!(shown["history"]["source"], "table");
    let problem = shown["history"]["problem"].as_str().unwrap();
    assert!(problem.ends_with("without.toml has no section [audit]"), "{problem}");

    // A trail that was named must be there.
    let missing = home.directory.path().join("missing.jsonl");
    let complaint = home.failed(&["show", "192.0.2.1", "--history", "--audit", text(&missing)]);
    assert!(complaint.contains("missing.jsonl: the audit trail cannot be read: "), "{complaint}");
    // Older ones alone will do: the young one may be about to be made.
    std::fs::remove_file(&file).unwrap();
    let (_, shown) = home.json(&["show", "192.0.2.1", "--history", "--audit", text(&file)]);
    assert_eq!(shown["history"]["files"].as_array().unwrap().len(), 3);
    for wrong in [
        vec!["show", "192.0.2.1", "--audit", "x"],
        vec!["show", "192.0.2.1", "--config", "x"],
        vec!["show", "192.0.2.1", "--history", "--config", "x", "--audit", "y"],
    ] {
        assert_eq!(home.run(&wrong).status, 2, "{wrong:?}");
    }
}

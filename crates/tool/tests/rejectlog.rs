//! `import --rejectlog`, once through a log, through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;

use eximrbl_table::{Policy, now};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use support::{Home, Ran, assert_keys, network, text};

/// A line that Exim wrote so many seconds before `at`, in UTC.
fn line(at: u32, ago: u32, text: &str) -> String {
    let time = jiff::Timestamp::from_second(i64::from(at - ago)).unwrap();
    format!("{} {text}\n", time.strftime("%Y-%m-%d %H:%M:%S"))
}

/// The line of a rejected recipient.
fn rcpt(at: u32, ago: u32, address: &str) -> String {
    let text = "F=<a@b.example> rejected RCPT <c@example.org>: no";
    line(at, ago, &format!("H=(x.example) [{address}] {text}"))
}

/// Imports a log; the account of it.
fn import(home: &Home, log: &Path, more: &[&str]) -> Value {
    let (status, account) = home.json(&[&["import", "--rejectlog", text(log)], more].concat());
    assert_eq!(status, 0, "{account}");
    account
}

/// The entry of an address, null if there is none.
fn entry(home: &Home, address: &str) -> Value {
    home.json(&["show", address]).1["entry"].clone()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Caught: the time of the import taken for that of the rejection; the reporter `local`.
#[test]
fn a_rejection_has_the_age_that_the_log_gives_it() {
    let (home, at) = (Home::new(), now());
    let log = home.file("log", &(rcpt(at, 300, "203.0.113.9") + &rcpt(at, 120, "203.0.113.9")));
    let account = import(&home, &log, &[]);
    assert_eq!((&account["lines"], &account["recorded"]), (&json!(2), &json!(2)), "{account}");
    let entry = entry(&home, "203.0.113.9");
    assert_eq!(entry["first_unix"], at - 300);
    assert_eq!(entry["last_unix"], at - 120);
    assert_eq!(entry["until_unix"], at - 300 + 1200, "two rejections list for twice as long");
    assert_eq!(entry["count"], 2);
    assert_eq!((&entry["reasons"], &entry["reporters"]), (&json!(["rcpt"]), &json!(["rejectlog"])));
}

/// Caught: each line judged by itself; what is over put into the table.
#[test]
fn what_would_be_over_by_now_does_not_touch_the_table() {
    let (home, at) = (Home::new(), now());
    let mut lines = String::new();
    // Over: one by itself, and two that did not meet.
    lines += &rcpt(at, 8000, "203.0.113.1");
    lines += &rcpt(at, 8000, "203.0.113.2");
    // Ten together last 6000 s.
    for _ in 0..10 {
        lines += &rcpt(at, 3600, "203.0.113.3");
    }
    lines += &rcpt(at, 3000, "203.0.113.2");
    let account = import(&home, &home.file("log", &lines), &[]);
    assert_eq!((&account["recorded"], &account["over"]), (&json!(10), &json!(3)), "{account}");
    assert_eq!(entry(&home, "203.0.113.3")["until_unix"], at - 3600 + 6000);
    assert_eq!(entry(&home, "203.0.113.3")["count"], 10);
    let (_, info) = home.json(&["info"]);
    let entries = ["listed", "below", "lifted", "expired"].map(|key| info[key].as_u64().unwrap());
    assert_eq!(entries, [1, 0, 0, 0], "{info}");
}

/// Caught: an old rejection added to a listing that began after it had ended.
#[test]
fn an_old_rejection_lengthens_only_the_listing_it_was_in() {
    let (home, at) = (Home::new(), now());
    home.reject("203.0.113.1", "rcpt", 30);
    let until = entry(&home, "203.0.113.1")["until_unix"].clone();
    let log = home.file("log", &rcpt(at, 5000, "203.0.113.1"));
    assert_eq!(import(&home, &log, &[])["over"], 1);
    assert_eq!(entry(&home, "203.0.113.1")["until_unix"], until);
    // But within a life that goes on, it counts.
    for _ in 0..10 {
        home.reject("203.0.113.2", "rcpt", 4000);
    }
    let log = home.file("log", &rcpt(at, 3900, "203.0.113.2"));
    assert_eq!(import(&home, &log, &[])["recorded"], 1);
    assert_eq!(entry(&home, "203.0.113.2")["count"], 11);
}

/// Caught: what is ahead of the clock refused, or listed for longer.
#[test]
fn a_time_ahead_is_now() {
    let (home, at) = (Home::new(), now());
    let log = home.file("log", &rcpt(at + 7200, 0, "203.0.113.1"));
    assert_eq!(import(&home, &log, &[])["recorded"], 1);
    let entry = entry(&home, "203.0.113.1");
    assert!(entry["last_unix"].as_u64().unwrap() <= u64::from(now()), "{entry}");
    assert!(entry["remaining"].as_u64().unwrap() <= 600, "{entry}");
}

/// Caught: an address out of a HELO name, a header or a recipient; temporary rejections counted; the
/// line about the sender's verification counted beside its rejection.
#[test]
fn what_counts_and_whose_it_is() {
    let (home, at) = (Home::new(), now());
    let texts = [
        "H=mail.example (x) [203.0.113.1]:4711 I=[198.51.100.1]:25 F=<a@b> rejected RCPT <c@d>: no",
        "[4711] 1tEabc-00000001234-ABCD H=([192.0.2.66]) [203.0.113.2] F=<a@b> rejected after DATA: no\n\
         Envelope-from: <a@b>\nEnvelope-to: <c@d>\nP Received: from x ([192.0.2.66])\n\
         \tby y; 2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a>\n  Subject: H=[192.0.2.66]",
        "H=(x) [203.0.113.3] sender verify fail for <a@b>: no",
        "H=(x) [203.0.113.3] F=<a@b> rejected RCPT <c@d>: Sender verify failed",
        "plain_server authenticator failed for (x) [203.0.113.4]: 535 no (set_id=[192.0.2.66])",
        "refused connection from [203.0.113.5] (host_reject_connection)",
        "H=(x) [203.0.113.6] temporarily rejected RCPT <c@d>: later",
        "H=(x) [203.0.113.7] F=<a@b> A=plain:joe rejected RCPT <c@d>: no",
        "H=(x) [192.0.2.66] F=<a@b> rejected RCPT <c@d>: no () [203.0.113.8] F=<> rejected RCPT <e@f>",
        "rejected EHLO from [2001:db8:c::9]: syntactically invalid argument(s): ) [192.0.2.66]",
    ];
    let lines: String = texts.iter().map(|text| line(at, 10, text)).collect();
    let account = import(&home, &home.file("log", &lines), &[]);
    assert_eq!(
        account,
        json!({
            "lines": 15, "recorded": 6, "over": 0, "never_listed": 0, "white": 0, "no_room": 0,
            "reasons": {"auth": 1, "connect": 1, "data": 1, "helo": 1, "rcpt": 2},
            "doubtful": 1, "skipped": 3, "other": 5, "unfinished": 0, "unread": []
        })
    );
    let listed = home.done(&["list", "-n"]);
    let mut listed: Vec<_> = listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    listed.sort_unstable();
    let expected = ["2001:db8:c::/64", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    assert_eq!(listed, [&expected[..], &["203.0.113.5"]].concat());
    assert_eq!(entry(&home, "203.0.113.3")["count"], 1, "once, not twice");
}

/// Caught: the option without effect.
#[test]
fn an_exim_that_takes_no_junk_leaves_fewer_lines_in_doubt() {
    let (home, at) = (Home::new(), now());
    let text = "H=(x) [203.0.113.1] F=<\"y) [192.0.2.66] \"@b> rejected RCPT <c@d>";
    let log = home.file("log", &line(at, 1, text));
    assert_eq!(import(&home, &log, &[])["doubtful"], 1);
    assert_eq!(import(&home, &log, &["--plain-helo"])["recorded"], 1);
    assert_eq!(home.done(&["list", "-n"]).split(' ').next(), Some("203.0.113.1"));
}

/// Caught: the year of a stamp without one; the zone of a stamp that has one.
#[test]
fn lines_of_a_syslog() {
    let (home, at) = (Home::new(), now());
    let time = jiff::Timestamp::from_second(i64::from(at - 90)).unwrap();
    let east = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    let text = "F=<a@b> rejected RCPT <c@d>: no";
    let lines = [
        format!("{} mx exim[77]: H=(x) [203.0.113.1] {text}", time.strftime("%b %e %H:%M:%S")),
        format!(
            "{} mx exim[77]: [1\\2] H=(x) [203.0.113.2] {text}",
            time.to_zoned(east).strftime("%Y-%m-%dT%H:%M:%S.123456%:z")
        ),
        format!("{} mx exim[77]: [2/2] H=[192.0.2.66] {text}", time.strftime("%b %e %H:%M:%S")),
        format!("{} mx sshd[77]: H=[192.0.2.66] {text}", time.strftime("%b %e %H:%M:%S")),
    ];
    let account = import(&home, &home.file("log", &(lines.join("\n") + "\n")), &[]);
    assert_eq!((&account["recorded"], &account["other"]), (&json!(2), &json!(2)), "{account}");
    for address in ["203.0.113.1", "203.0.113.2"] {
        assert_eq!(entry(&home, address)["first_unix"], at - 90, "{address}");
    }
}

/// Caught: only the first member of a compressed file read.
#[test]
fn compressed_logs_are_read_as_they_are() {
    let (home, at) = (Home::new(), now());
    let [one, two] = ["203.0.113.1", "203.0.113.2"].map(|address| rcpt(at, 1, address));
    let log = home.directory.path().join("log.2.gz");
    fs::write(&log, [compressed(one.as_bytes()), compressed(two.as_bytes())].concat()).unwrap();
    let position = home.directory.path().join("position");
    let options = ["--position", text(&position)];
    assert_eq!(import(&home, &log, &options)["recorded"], 2);
    assert_eq!(import(&home, &log, &options)["lines"], 0);
}

/// Caught: a line without an end recorded, and counted again when it had one.
#[test]
fn a_line_is_counted_once_and_when_it_is_whole() {
    let (home, at) = (Home::new(), now());
    let [one, two] = ["203.0.113.1", "203.0.113.2"].map(|address| rcpt(at, 1, address));
    let position = home.directory.path().join("position");
    let options = ["--position", text(&position)];
    let log = home.file("log", &format!("{one}{}", &two[..70]));
    let account = import(&home, &log, &options);
    assert_eq!((&account["recorded"], &account["unfinished"]), (&json!(1), &json!(1)));
    home.file("log", &format!("{one}{two}"));
    let account = import(&home, &log, &options);
    assert_eq!((&account["lines"], &account["recorded"]), (&json!(1), &json!(1)), "{account}");
    assert_eq!(import(&home, &log, &options)["lines"], 0);
    assert_eq!(entry(&home, "203.0.113.1")["count"], 1);
    assert_eq!(entry(&home, "203.0.113.2")["count"], 1);
}

/// Each way in which a log may be rotated between two imports.
///
/// Caught: the rest of the old log lost; a log of the time between lost; what was read before counted
/// again under the new name.
#[test]
fn a_log_is_known_again_after_rotation() {
    for way in ["renamed", "compressed", "copied", "twice"] {
        let (home, at) = (Home::new(), now());
        let folder = home.directory.path();
        let position = folder.join("position");
        let options = ["--position", text(&position)];
        let lines: Vec<_> = (1..=4).map(|i| rcpt(at, 60 - i, &format!("203.0.113.{i}"))).collect();
        let log = home.file("log", &lines[0]);
        assert_eq!(import(&home, &log, &options)["recorded"], 1, "{way}");
        let old = home.file("log", &lines[..2].concat());
        let name = |number: u8| folder.join(format!("log.{number}"));
        match way {
            "renamed" => fs::rename(&old, name(1)).unwrap(),
            "copied" => fs::copy(&old, name(1)).map(|_| ()).unwrap(),
            "compressed" => {
                fs::write(folder.join("log.1.gz"), compressed(&fs::read(&old).unwrap())).unwrap();
                fs::remove_file(&old).unwrap();
            }
            _ => {
                fs::rename(&old, name(2)).unwrap();
                let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(9);
                fs::File::open(name(2)).unwrap().set_modified(earlier).unwrap();
                fs::write(name(1), &lines[2]).unwrap();
            }
        }
        // Of another log.
        home.file("logs.1", &rcpt(at, 1, "192.0.2.66"));
        home.file("log", &lines[3]);
        let account = import(&home, &log, &options);
        assert_eq!(account["recorded"], if way == "twice" { 3 } else { 2 }, "{way}: {account}");
        assert_eq!(import(&home, &log, &options)["lines"], 0, "{way}");
        // Nor by its new name, when that is asked for.
        if way != "compressed" {
            assert_eq!(import(&home, &name(1), &options)["lines"], 0, "{way}");
        }
        assert_eq!(entry(&home, "203.0.113.2")["count"], 1, "{way}");
        assert_eq!(entry(&home, "192.0.2.66"), Value::Null);
    }
}

/// Caught: a file of positions that cannot be read taken for an empty one.
#[test]
fn a_bad_file_of_positions_is_told_with_what_to_do() {
    let (home, at) = (Home::new(), now());
    let log = home.file("log", &rcpt(at, 1, "203.0.113.1"));
    for bad in ["", "{}", "{\"version\":2,\"positions\":[]}", "not JSON"] {
        let position = home.file("position", bad);
        let complaint =
            home.failed(&["import", "--rejectlog", text(&log), "--position", text(&position)]);
        assert!(complaint.contains("/position: "), "{complaint}");
        assert!(
            complaint.contains("remove it, and the logs are read from their start"),
            "{complaint}"
        );
        assert_eq!(fs::read_to_string(&position).unwrap(), bad, "left as it is");
        assert_eq!(entry(&home, "203.0.113.1"), Value::Null, "nothing was recorded");
    }
}

/// Caught: the rules of the file without effect; a weight lost.
#[test]
fn rules_of_ones_own() {
    let (home, at) = (Home::new(), now());
    home.set_policy(&Policy { weights: vec![("relay".into(), 3)], ..Policy::default() });
    let lines = rcpt(at, 1, "203.0.113.1")
        + &line(at, 1, "H=(x) [203.0.113.2] rejected RCPT <c@d>: relay not permitted")
        + &line(at, 1, "H=(x) [203.0.113.3] rejected RCPT <c@d>: a virus")
        + &line(at, 1, "H=(x) [203.0.113.4] temporarily rejected RCPT <c@d>: a virus");
    let log = home.file("log", &lines);
    let rules = home.file(
        "rules",
        "# Ours.\nrelay - : relay not permitted\nvirus 5 ^HOST rejected .*: a virus\n",
    );
    let account = import(&home, &log, &["--rules", text(&rules)]);
    assert_eq!(account["reasons"], json!({"relay": 1, "virus": 1}));
    assert_eq!(entry(&home, "203.0.113.2")["count"], 3, "the policy's weight");
    assert_eq!(entry(&home, "203.0.113.3")["count"], 5, "the rule's weight");
    assert_eq!(entry(&home, "203.0.113.3")["until_unix"], at - 1 + 3000);
    assert_eq!(entry(&home, "203.0.113.1"), Value::Null);

    // The printed ones are those that hold.
    let printed = home.file("printed", &home.done(&["import", "--print-rules"]));
    let account = import(&home, &log, &["--rules", text(&printed)]);
    assert_eq!(account["reasons"], json!({"rcpt": 3}));

    let bad = home.file("bad", "rcpt - x\nvirus five y\n");
    let complaint = home.failed(&["import", "--rejectlog", text(&log), "--rules", text(&bad)]);
    assert!(complaint.contains("/bad: line 2: \"five\" is no weight"), "{complaint}");
    let complaint = home.failed(&["import", "--rejectlog", text(&log), "--rules", "/nonexistent"]);
    assert!(complaint.starts_with("eximrbl: /nonexistent: "), "{complaint}");
}

/// Caught: logs after one that could not be read left out; a pipe without a writer waited for.
#[test]
fn a_log_that_cannot_be_read_does_not_keep_the_others_from_it() {
    let (home, at) = (Home::new(), now());
    let folder = home.directory.path();
    let log = home.file("log", &rcpt(at, 1, "203.0.113.1"));
    let missing = folder.join("missing");
    let pipe = folder.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let broken = folder.join("broken.gz");
    let gzip = compressed(rcpt(at, 1, "203.0.113.2").as_bytes());
    fs::write(&broken, &gzip[..gzip.len() - 9]).unwrap();
    let logs = [text(&missing), text(&pipe), text(folder), text(&broken), text(&log)];
    // Else a program that waits for the pipe's writer would wait for ever.
    let mut command = std::process::Command::new("timeout");
    command.args(["30", support::PROGRAM, "--json", "import", "--rejectlog"]).args(logs);
    let ran = Ran::of(command.env("EXIMRBL_TABLE", &home.table).env("TZ", "UTC").output().unwrap());
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 4, "{}", ran.stderr);
    for (log, line) in logs.iter().zip(ran.stderr.lines()) {
        assert!(line.starts_with(&format!("eximrbl: {log}: ")), "{line}");
    }
    let account: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(account["unread"].as_array().unwrap().len(), 4);
    assert_eq!(entry(&home, "203.0.113.1")["count"], 1);
}

/// Caught: refusals told as recorded.
#[test]
fn who_is_never_listed_or_white_is_counted_as_such() {
    let (home, at) = (Home::new(), now());
    home.set_policy(&Policy { never: vec![network("198.51.100.0/24")], ..Policy::default() });
    home.done(&["white", "203.0.113.0/24"]);
    let addresses = ["198.51.100.20", "10.1.2.3", "203.0.113.7", "192.0.2.1"];
    let lines: String = addresses.iter().map(|address| rcpt(at, 1, address)).collect();
    let log = home.file("log", &lines);
    let account = import(&home, &log, &["--reporter", "mx2"]);
    let counts = ["never_listed", "white", "recorded"].map(|key| account[key].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1], "{account}");
    assert_eq!(entry(&home, "192.0.2.1")["reporters"], json!(["mx2"]));
}

#[test]
fn people_get_sentences_and_programs_keys() {
    let (home, at) = (Home::new(), now());
    let log = home.file("log", &rcpt(at, 1, "203.0.113.1").repeat(2));
    let said = home.done(&["import", "--rejectlog", text(&log)]);
    assert!(said.starts_with("2 lines read, 2 rejections recorded\n  rcpt "), "{said}");
    assert_keys(
        &import(&home, &log, &[]),
        &[
            "lines",
            "recorded",
            "reasons",
            "over",
            "never_listed",
            "white",
            "no_room",
            "doubtful",
            "skipped",
            "other",
            "unfinished",
            "unread",
        ],
    );
}

#[test]
fn what_is_missing_is_told() {
    let home = Home::empty();
    let log = home.file("log", "");
    let complaint = home.failed(&["import", "--rejectlog", text(&log)]);
    assert!(complaint.contains("eximrbl create"), "{complaint}");
    for arguments in [
        &["import"][..],
        &["import", "--rejectlog"],
        &["import", "--follow"],
        &["import", "--print-rules", "--rejectlog", "x"],
        &["import", "--rejectlog", "x", "--reporter", "Not a name"],
    ] {
        let Ran { status, stderr, .. } = home.run(arguments);
        assert_eq!(status, 2, "{arguments:?}: {stderr}");
    }
}

/// Caught: a line that two blocks share handed over without its start.
#[test]
fn a_log_of_many_blocks_is_read_whole() {
    let (home, at) = (Home::new(), now());
    let lines: String =
        (0..20_000).map(|i| rcpt(at, 9, &format!("203.0.113.{}", i % 250))).collect();
    assert!(lines.len() > 4 << 18, "several blocks");
    let log = home.file("log", &lines);
    let account = import(&home, &log, &[]);
    assert_eq!((&account["lines"], &account["recorded"]), (&json!(20_000), &json!(20_000)));
    assert_eq!(entry(&home, "203.0.113.249")["count"], 80);
}

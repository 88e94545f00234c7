//! The audit trail: what is written of each change, that nothing is written twice or left out, and
//! what becomes of the file meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, PLAIN, Place, command, is_root, record, wait_until};
use eximrbl_table::dictionary::{ADMIN, LOCAL};
use eximrbl_table::{Name, Policy, Purge, Report, Share, Subject, WritableTable, now};
use nix::sys::signal::Signal;
use serde_json::Value;

const A: u16 = 1;
/// Changes that the table's ring holds.
const RING: u64 = 65_536;

/// A place with a folder for the trail.
struct Stage {
    place: Place,
    file: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        let file = place.path("log").join("audit.jsonl");
        Self { place, file }
    }

    /// Starts the daemon with a trail; `settings` are further lines of `[audit]`.
    fn start(&self, settings: &str) -> Daemon {
        Daemon::start(&self.place, &self.sections(settings))
    }

    fn sections(&self, settings: &str) -> String {
        format!("[audit]\nfile = {:?}\n{settings}\n{PLAIN}", self.file)
    }

    fn table(&self) -> WritableTable {
        WritableTable::open(&self.place.table()).unwrap()
    }

    /// The lines of the file that are whole.
    fn lines(&self) -> Vec<Value> {
        lines(&self.file)
    }

    /// Waits until a line is there; yields all.
    fn wait_for(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let found = || self.lines().iter().any(&is_it);
        wait_until(found, || format!("no {what} in {:?}", self.lines()));
        self.lines()
    }

    /// Waits for a change of this network.
    fn wait_for_network(&self, network: &str) -> Vec<Value> {
        self.wait_for_text(&format!("\"network\":\"{network}\""));
        self.lines()
    }

    /// Waits for a whole line with this in it; yields the file.
    fn wait_for_text(&self, part: &str) -> String {
        let text = || fs::read_to_string(&self.file).unwrap_or_default();
        let holds = |text: &str| text.find(part).is_some_and(|at| text[at..].contains('\n'));
        wait_until(|| holds(&text()), || format!("no {part} in {}", self.file.display()));
        text()
    }

    /// Waits for a line with this in it at the end of a file of many, for as long as that grows; yields
    /// the file.
    fn wait_for_the_end(&self, part: &str) -> String {
        let (mut length, mut grown) = (0, Instant::now());
        loop {
            let file = File::open(&self.file).unwrap();
            let now = file.metadata().unwrap().len();
            let start = now.saturating_sub(4096);
            let mut end = vec![0; (now - start) as usize];
            file.read_exact_at(&mut end, start).unwrap();
            let end = String::from_utf8_lossy(&end);
            if end.ends_with('\n') && end.contains(part) {
                return fs::read_to_string(&self.file).unwrap();
            }
            if now != length {
                (length, grown) = (now, Instant::now());
            }
            assert!(grown.elapsed() < Duration::from_secs(30), "no {part} in {end}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// An older file of the trail.
    fn older(&self, number: u32) -> PathBuf {
        self.file.with_file_name(format!("audit.jsonl.{number}"))
    }
}

/// The whole lines of a file; none if it is not there.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).peekable();
    let mut lines = Vec::new();
    while let Some(line) = whole.next() {
        let half = line.trim_end();
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            // A daemon was killed while it wrote: that line is ended, and comes once more.
            Err(_)
                if whole.peek().is_some_and(|next| next.starts_with(half)) && !half.is_empty() => {}
            Err(_) => panic!("{line:?}"),
        }
    }
    lines
}

/// Records a report by a name.
fn report(table: &WritableTable, client: &str, reason: &str, reporter: u8, weight: u32) {
    let reason = table.reason(Name::new(reason.as_bytes()).unwrap(), true);
    let network = client.parse().unwrap();
    let report = Report { network, reason, reporter, weight: Some(weight), seconds: None };
    table.record(&report, now()).unwrap();
}

/// The numbers of the changes in these lines, which must leave out none and have none twice.
#[track_caller]
fn assert_each_once<'a>(lines: impl IntoIterator<Item = &'a Value>) -> u64 {
    let changes = lines.into_iter().filter(|line| !line["network"].is_null());
    let numbers: Vec<_> = changes.map(|line| line["next"].as_u64().unwrap()).collect();
    let first = numbers.first().copied().unwrap_or_default();
    let expected: Vec<_> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    numbers.len() as u64
}

/// RFC 6471 section 2.1.2: why an address was listed, when, by whose word, how often, and who lifted it.
/// Caught: a reason of another bit; the sweep as somebody who did it; a weight that is left out.
#[test]
fn every_change_tells_who_and_why() {
    let stage = Stage::new();
    let daemon = stage.start("");
    let table = stage.table();
    let begun = now();
    let client = |last: u8| format!("192.0.2.{last}");
    report(&table, &client(1), "rcpt", LOCAL, 1);
    let mx2 = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
    report(&table, &client(1), "auth", mx2, 3);
    table.forgive(client(1).parse().unwrap(), ADMIN, now()).unwrap();
    table.white(client(2).parse().unwrap(), Some(600), LOCAL, now()).unwrap();
    table.white(client(2).parse().unwrap(), Some(0), ADMIN, now()).unwrap();
    table.white("198.51.100.0/24".parse().unwrap(), None, ADMIN, now()).unwrap();
    let reason = table.reason(Name::new(b"manual").unwrap(), true);
    let network = "2001:db8::/48".parse().unwrap();
    let black = Report { network, reason, reporter: ADMIN, weight: None, seconds: None };
    table.record_endless(&black, now()).unwrap();
    let lines = stage.wait_for_network("2001:db8::/48");

    assert_eq!(lines[0]["kind"], "begun");
    let told: Vec<_> = lines[1..]
        .iter()
        .map(|line| {
            assert_eq!(line["format"], 1);
            let time = line["time_unix"].as_u64().unwrap();
            assert!((u64::from(begun)..=now().into()).contains(&time));
            let text = line["time"].as_str().unwrap();
            assert!(text.ends_with('Z') && text.len() == 20, "{text}");
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            let number = |key: &str| line[key].as_u64().map_or("-".to_owned(), |n| n.to_string());
            let words = [text("network"), text("kind"), text("who"), text("reason")];
            [&words[..], &[number("weight"), number("seconds")]].concat().join(" ")
        })
        .collect();
    let expected = [
        "192.0.2.1 added local rcpt 1 -",
        "192.0.2.1 extended mx2 auth 3 -",
        "192.0.2.1 forgiven admin - - -",
        "192.0.2.2 whitened local - - 600",
        "192.0.2.2 white_ended admin - - -",
        "198.51.100.0/24 whitened admin - - -",
        "2001:db8::/48 added admin manual 1 -",
    ];
    assert_eq!(told, expected);
    assert_each_once(&lines);

    // What has become of the entry, while there is one.
    report(&table, &client(3), "rcpt", LOCAL, 2);
    let lines = stage.wait_for_network(&client(3));
    let entry = &lines.last().unwrap()["entry"];
    assert_eq!((&entry["count"], &entry["white"]), (&2.into(), &false.into()));
    let time = |key: &str| entry[key].as_u64().unwrap();
    assert_eq!(time("until_unix") - time("last_unix"), 1200);
    assert_eq!(entry["reasons"], serde_json::json!(["rcpt"]));
    assert_eq!(entry["reporters"], serde_json::json!(["local"]));
    assert_eq!((&entry["counted"], &entry["endless"]), (&true.into(), &false.into()));
    assert!(lines[5]["entry"].is_null(), "{}", lines[5]);
    let endless = &lines[7]["entry"];
    assert_eq!((&endless["endless"], &endless["until"]), (&true.into(), &Value::Null));

    // What one reporter did is taken out of what others did as well.
    report(&table, &client(3), "auth", mx2, 5);
    let subject = Subject::Share(Share::Reporter(mx2));
    table.purge(&Purge { subject, within: None }, now()).unwrap();
    let lines = stage.wait_for("purge", |line| line["kind"] == "reduced");
    let reduced = lines.iter().find(|line| line["kind"] == "reduced").unwrap();
    assert_eq!(
        (&reduced["network"], &reduced["who"], &reduced["of"], &reduced["entry"]["count"]),
        (&client(3).into(), &"admin".into(), &"mx2".into(), &2.into())
    );

    // Nobody's doing.
    let policy = Policy { base_ttl: 1, floor: 1, ..Policy::default() };
    table.set_policy(&policy).unwrap();
    record(&stage.place.table(), &client(4), "rcpt");
    let lines = stage.wait_for("expiry", |line| line["kind"] == "expired");
    let expired = lines.iter().find(|line| line["kind"] == "expired").unwrap();
    assert_eq!((&expired["network"], &expired["who"]), (&client(4).into(), &Value::Null));
    assert!(expired["entry"].is_null());
    assert_eq!(daemon.ask("3.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

/// docs/audit.md is a promise. Caught: a key that it does not name.
#[test]
fn the_keys_are_those_of_the_document() {
    let document = include_str!("../../../docs/audit.md");
    let rows = |title: &str| {
        let (_, rows) = document.split_once(title).unwrap();
        let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
        let mut first: Vec<_> =
            rows.filter_map(|line| Some(line.split('`').nth(1)?.to_owned())).collect();
        first.sort();
        first
    };
    let keys = |object: &Value| -> Vec<_> { object.as_object().unwrap().keys().cloned().collect() };
    let stage = Stage::new();
    let _daemon = stage.start("");
    report(&stage.table(), "192.0.2.1", "rcpt", LOCAL, 1);
    for line in stage.wait_for_network("192.0.2.1") {
        assert_eq!(keys(&line), rows("| key | value |"));
        if !line["network"].is_null() {
            assert_eq!(keys(&line["entry"]), rows("| key of `entry` | value |"));
        }
    }
    let mut kinds = [
        "added",
        "begun",
        "evicted",
        "expired",
        "extended",
        "forgiven",
        "found",
        "lost",
        "reduced",
        "replaced",
        "resumed",
        "white_ended",
        "whitened",
    ];
    kinds.sort_unstable();
    assert_eq!(rows("| `kind` | means |"), kinds);
}

/// Of an address that lost its place to another one. Caught: an evicted one that is told as expired.
#[test]
fn whose_report_took_anothers_place_is_told() {
    let stage = Stage::new();
    let _daemon = stage.start("");
    let table = stage.table();
    let mx2 = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
    let evicted = || table.counters().iter().any(|(name, n)| name == "evicted" && n > 0);
    for number in 0..20_000_u32 {
        let client = std::net::Ipv4Addr::from(0xc633_0000 + number).to_string();
        report(&table, &client, "rcpt", mx2, 1);
        if evicted() {
            break;
        }
    }
    let lines = stage.wait_for("eviction", |line| line["kind"] == "evicted");
    let line = lines.iter().find(|line| line["kind"] == "evicted").unwrap();
    assert_eq!(line["who"], "mx2");
    assert!(line["entry"].is_null(), "{line}");
}

/// Killed at any time, started again, with changes in between; the last time somebody has moved the
/// file away. Caught: a start from now on; one from the file's first line; no position beside the
/// table.
#[test]
fn a_restart_neither_repeats_nor_leaves_out() {
    let stage = Stage::new();
    // Begun, and nothing else yet.
    let mut daemon = stage.start("");
    stage.wait_for_text("\"kind\":\"begun\"");
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let mut older = Vec::new();
    // The file beside the table is written after the lines.
    let kept = || {
        let text = fs::read_to_string(stage.place.path("table.audit")).unwrap_or_default();
        text.split_whitespace().nth(4).and_then(|next| next.parse::<u64>().ok())
    };
    for round in 0..4_u8 {
        let mut daemon = stage.start("");
        let table = stage.table();
        for last in 0..50 {
            report(&table, &format!("192.0.{round}.{last}"), "rcpt", LOCAL, 1);
        }
        if round % 2 == 0 {
            stage.wait_for_network(&format!("192.0.{round}.20"));
        } else {
            let lines = stage.wait_for_network(&format!("192.0.{round}.49"));
            let next = lines.last().unwrap()["next"].as_u64().unwrap();
            wait_until(|| kept() == Some(next), || format!("{:?} kept, not {next}", kept()));
        }
        let signal = if round == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        daemon.signal(signal);
        daemon.ended();
        for last in 50..60 {
            report(&table, &format!("192.0.{round}.{last}"), "rcpt", LOCAL, 1);
        }
        if round == 1 {
            // The lines alone must do.
            fs::remove_file(stage.place.path("table.audit")).unwrap();
        }
        if round == 3 {
            older = stage.lines();
            fs::rename(&stage.file, stage.older(7)).unwrap();
        }
    }
    let _daemon = stage.start("");
    let lines = stage.wait_for_network("192.0.3.59");
    assert_eq!(assert_each_once(older.iter().chain(&lines)), 240);
    let begun = older.iter().chain(&lines).filter(|line| line["network"].is_null());
    assert_eq!(begun.count(), 1, "a trail that goes on has nothing to remark");
}

/// Twice as many changes as the ring holds, while nobody followed. Caught: no `lost` line; a count
/// that is one off; entries from before the gap among those that are found.
#[test]
fn what_was_overwritten_meanwhile_is_counted_and_what_lives_is_found() {
    let stage = Stage::new();
    let mut daemon = stage.start("");
    let table = stage.table();
    let old = Report {
        network: "203.0.113.1".parse().unwrap(),
        reason: table.reason(Name::new(b"rcpt").unwrap(), true),
        reporter: LOCAL,
        weight: None,
        seconds: None,
    };
    // Long before the change that is written last.
    table.record(&old, now() - 300).unwrap();
    report(&table, "192.0.2.1", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.1");
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let before = table.serial();
    for number in 0..2 * RING {
        let network = format!("192.0.2.{}", 10 + number % 7).parse().unwrap();
        table.record(&Report { network, ..old }, now()).unwrap();
    }
    let after = table.serial();
    let _daemon = stage.start("size = 0");
    stage.wait_for_text("\"kind\":\"resumed\"");
    report(&table, "192.0.2.99", "rcpt", LOCAL, 1);
    let text = stage.wait_for_the_end("\"network\":\"192.0.2.99\"");
    let lines: Vec<_> =
        text.lines().take(14).map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: &[Value] = &lines;

    let lost: Vec<_> = lines.iter().filter(|line| line["kind"] == "lost").collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["changes"].as_u64().unwrap(), after - before - RING);
    let at = lines.iter().position(|line| line["kind"] == "lost").unwrap();
    let mut found: Vec<_> = lines[at + 1..]
        .iter()
        .take_while(|line| line["kind"] == "found")
        .map(|line| line["network"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    let living: Vec<_> = (10..17).map(|last| format!("192.0.2.{last}")).collect();
    // The last one before the gap is no older than what is looked for.
    assert!(found.iter().eq(["192.0.2.1".to_owned()].iter().chain(&living)), "{found:?}");
    let resumed = &lines[at + 1 + found.len()];
    assert_eq!(resumed["kind"], "resumed");
    let next = |line: &str| line.rsplit("\"next\":").next()?.trim_end_matches('}').parse().ok();
    let rest: Vec<u64> =
        text.lines().skip(at + found.len() + 2).map(|line| next(line).unwrap()).collect();
    let expected: Vec<_> = (resumed["next"].as_u64().unwrap() + 1..=after + 1).collect();
    assert_eq!(rest, expected);
}

/// Another table has the place of the first, and a resized one goes on with its changes. Caught: a
/// reader that stays with the first table.
#[test]
fn the_trail_goes_on_in_the_next_table() {
    let stage = Stage::new();
    let daemon = stage.start("");
    report(&stage.table(), "192.0.2.1", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.1");
    stage.table().resize(8192).unwrap();
    daemon.wait_for("was resized to 8192 slots");
    report(&stage.table(), "192.0.2.2", "rcpt", LOCAL, 1);
    let lines = stage.wait_for_network("192.0.2.2");
    assert!(lines.iter().all(|line| line["stream"] == lines[0]["stream"]));

    fs::remove_file(stage.place.table()).unwrap();
    daemon.wait_for("made an empty one");
    // It may be in the table before the trail has seen that there is another: then it is found.
    report(&stage.table(), "192.0.2.3", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.3");
    let stream = lines[0]["stream"].clone();
    let lines = stage.wait_for("the new table's changes", |line| line["stream"] != stream);
    let replaced = lines.iter().position(|line| line["kind"] == "replaced").unwrap();
    assert_eq!(lines[replaced]["stream"], stream);
    let resumed = lines.iter().position(|line| line["stream"] != stream).unwrap();
    assert_eq!(lines[resumed]["kind"], "resumed");
    assert!(replaced < resumed, "{lines:?}");
}

/// All that is kept together is whole and without a gap, and no file is larger than it may be.
/// Caught: a batch that is not counted before it is written; one older file too many.
#[test]
fn files_keep_to_their_size_and_number() {
    let stage = Stage::new();
    let daemon = stage.start("size = \"8K\"\nkeep = 3");
    let table = stage.table();
    let fill = |round: u8| {
        for last in 0..100 {
            report(&table, &format!("192.0.{round}.{last}"), "rcpt", LOCAL, 1);
        }
        stage.wait_for_network(&format!("192.0.{round}.99"));
    };
    fill(1);
    fill(2);
    let paths: Vec<_> = (1..=3).rev().map(|number| stage.older(number)).collect();
    for path in paths.iter().chain([&stage.file]) {
        let metadata = fs::metadata(path).unwrap();
        assert!(metadata.len() <= 8192, "{}: {}", path.display(), metadata.len());
        assert!(metadata.len() > 4096 || path == &stage.file, "{}", path.display());
        assert_eq!(metadata.mode() & 0o7777, 0o640);
    }
    assert!(!stage.older(4).exists());
    let kept: Vec<_> = paths.iter().flat_map(|path| lines(path)).chain(stage.lines()).collect();
    let numbers: Vec<_> = kept.iter().map(|line| line["next"].as_u64().unwrap()).collect();
    assert!(
        numbers.len() > 30 && numbers.windows(2).all(|two| two[1] == two[0] + 1),
        "{numbers:?}"
    );

    // Other sizes by a reload, but not another file.
    let other = stage.place.path("other");
    let text = format!("[audit]\nfile = {other:?}\nsize = \"1G\"\n{PLAIN}");
    stage.place.configure(&text);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("audit.file has changed; restart eximrbld for that");
    daemon.wait_for("reloaded");
    fill(3);
    fill(4);
    assert!(fs::metadata(&stage.file).unwrap().len() > 8192 && !other.exists());
}

/// As logrotate does it: renamed, and SIGHUP. Caught: a descriptor that is kept.
#[test]
fn a_file_that_was_renamed_or_removed_is_made_anew() {
    let stage = Stage::new();
    let daemon = stage.start("");
    let table = stage.table();
    report(&table, "192.0.2.1", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.1");
    fs::rename(&stage.file, stage.older(1)).unwrap();
    daemon.signal(Signal::SIGHUP);
    // At once, with nothing in it yet.
    wait_until(|| stage.file.exists(), || "no new file".to_owned());
    report(&table, "192.0.2.2", "rcpt", LOCAL, 1);
    let second = stage.wait_for_network("192.0.2.2");
    assert_each_once(lines(&stage.older(1)).iter().chain(&second));
    // Without a signal too.
    fs::rename(&stage.file, stage.older(2)).unwrap();
    report(&table, "192.0.2.3", "rcpt", LOCAL, 1);
    let third = stage.wait_for_network("192.0.2.3");
    assert_each_once(lines(&stage.older(1)).iter().chain(&second).chain(&third));
    // And emptied, as by logrotate's copytruncate.
    OpenOptions::new().write(true).open(&stage.file).unwrap().set_len(0).unwrap();
    report(&table, "192.0.2.4", "rcpt", LOCAL, 1);
    let fourth = stage.wait_for_network("192.0.2.4");
    assert_eq!(fourth.len(), 1, "{fourth:?}");
}

/// The sample that ships, by Debian's logrotate, twice. Caught: a descriptor that is kept; a sample that
/// compresses the youngest.
#[test]
fn logrotate_does_what_the_sample_says() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let stage = Stage::new();
    let _daemon = stage.start("size = 0");
    let table = stage.table();
    let sample = include_str!("../../../packaging/eximrbl.logrotate");
    let path = stage.file.to_str().unwrap();
    let text = sample.replace("/var/log/eximrbl/audit.jsonl", path);
    let text = text.replace("su eximrbl eximrbl", "su nobody nogroup");
    assert!(text.contains(path) && text.contains("su nobody nogroup"), "{text}");
    let configuration = stage.place.path("logrotate.conf");
    fs::write(&configuration, text).unwrap();
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o644)).unwrap();
    let state = stage.place.path("logrotate.state");
    for round in 1..=2 {
        report(&table, &format!("192.0.2.{round}"), "rcpt", LOCAL, 1);
        stage.wait_for_network(&format!("192.0.2.{round}"));
        let mut logrotate = Command::new("/usr/sbin/logrotate");
        logrotate.args(["--force", "--state"]).arg(&state).arg(&configuration);
        let output = logrotate.output().expect("the package logrotate is needed (tests/run.sh)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
    report(&table, "192.0.2.3", "rcpt", LOCAL, 1);
    let last = stage.wait_for_network("192.0.2.3");
    // The youngest is left as it is, the one before it is compressed.
    let second = lines(&stage.older(1));
    let mut gunzip = Command::new("gzip");
    let output = gunzip.args(["-dc", &format!("{path}.2.gz")]).output().unwrap();
    let first = String::from_utf8(output.stdout).unwrap();
    let first: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(assert_each_once(first.iter().chain(&second).chain(&last)), 3);
}

/// What a power loss may leave at the end. Caught: a line that is added to half of another.
#[test]
fn a_line_that_was_cut_short_is_ended_first() {
    let stage = Stage::new();
    let mut daemon = stage.start("");
    let table = stage.table();
    report(&table, "192.0.2.1", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.1");
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let half = "{\"format\":1,\"time\":\"2026";
    OpenOptions::new().append(true).open(&stage.file).unwrap().write_all(half.as_bytes()).unwrap();
    report(&table, "192.0.2.2", "rcpt", LOCAL, 1);
    let _daemon = stage.start("");
    let text = stage.wait_for_text("\"network\":\"192.0.2.2\"");
    let (halves, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| *line == half);
    assert_eq!(halves.len(), 1, "{text}");
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(assert_each_once(&lines), 2);
}

/// Others' files are not written to, nobody is waited for, and DNS goes on. Caught: a link that is
/// followed.
#[test]
fn only_a_regular_file_is_written() {
    let stage = Stage::new();
    let folder = stage.file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let target = stage.place.path("target");
    fs::write(&target, "").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o666)).unwrap();
    symlink(&target, &stage.file).unwrap();
    let daemon = stage.start("");
    let table = stage.table();
    daemon.wait_for("is not written: it is a symbolic link; remove it");
    report(&table, "192.0.2.1", "rcpt", LOCAL, 1);
    fs::remove_file(&stage.file).unwrap();
    stage.wait_for_network("192.0.2.1");
    assert_eq!(fs::metadata(&target).unwrap().len(), 0);

    fs::remove_file(&stage.file).unwrap();
    nix::unistd::mkfifo(&stage.file, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    report(&table, "192.0.2.2", "rcpt", LOCAL, 1);
    daemon.wait_for("is not written: it is no regular file; remove it");
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    fs::remove_file(&stage.file).unwrap();
    let lines = stage.wait_for_network("192.0.2.2");
    assert_eq!(lines.len(), 1);
    daemon.wait_for("is written again");
}

/// A full disk is told once, and when there is room all is written that the ring still has. Caught: a
/// batch that is given up; one that is written from its start again.
#[test]
fn a_full_disk_loses_nothing_that_the_ring_holds() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let stage = Stage::new();
    let folder = stage.file.parent().unwrap();
    fs::create_dir(folder).unwrap();
    let config = stage.place.configure(&stage.sections("size = 0"));
    // A disk of 256 kB in the daemon's own mount namespace, of which 24 are left.
    let mount = "mount -t tmpfs -o size=256k,mode=777 tmpfs \"$0\" && \
                 head -c 237568 /dev/zero >\"$0/filler\" && exec \"$@\"";
    let program = command(&[]).get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount]).arg(folder).arg(program);
    command.arg("--config").arg(&config).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let daemon = Daemon::run_command(command);
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), folder.display()));
    let file = inside.join("audit.jsonl");
    let table = stage.table();
    for number in 0..40_u16 {
        report(&table, &format!("192.0.2.{number}"), "rcpt", LOCAL, 1);
    }
    wait_until(|| lines(&file).len() == 41, || daemon.log());
    for number in 0..200_u16 {
        report(&table, &format!("198.51.100.{number}"), "rcpt", LOCAL, 1);
    }
    daemon.wait_for("No space left on device");
    assert_eq!(daemon.ask("199.100.51.198.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    fs::remove_file(inside.join("filler")).unwrap();
    daemon.wait_for("is written again");
    assert_eq!(daemon.log().matches("No space left on device").count(), 1);
    wait_until(|| lines(&file).len() == 241, || daemon.log());
    assert_eq!(assert_each_once(&lines(&file)), 240);
}

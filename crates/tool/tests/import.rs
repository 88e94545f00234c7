//! `import`, through the real program: what lines become, what is told, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write;
use std::process::Stdio;

use eximrbl_table::{Policy, now};
use serde_json::Value;
use support::{Home, Ran, assert_keys, network, text};

/// Every entry as `sign network reasons reporters`, sorted.
fn entries(home: &Home) -> Vec<String> {
    let listed = home.done(&["list", "--all", "--json"]);
    let mut entries: Vec<String> = listed
        .lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            let names = |key: &str| {
                let names = entry[key].as_array().unwrap().iter();
                names.map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join("+")
            };
            let sign = if entry["white"].as_bool().unwrap() { "!" } else { "" };
            let network = entry["network"].as_str().unwrap();
            format!("{sign}{network} {} {}", names("reasons"), names("reporters"))
                .replace("  ", " ")
        })
        .collect();
    entries.sort_unstable();
    entries
}

/// One entry's object.
fn entry(home: &Home, of: &str) -> Value {
    let listed = home.done(&["list", "--all", "--json", of]);
    serde_json::from_str(listed.lines().next().unwrap_or_else(|| panic!("no {of}"))).unwrap()
}

/// The program, with something on standard input.
fn piped(home: &Home, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = home.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may have read enough before.
        let _ = stdin.write_all(&input);
    });
    let ran = Ran::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    ran
}

const RBLDNSD: &str = "\
# a list
$SOA 0 ns.example.org host.example.org 0 1h 1h 1w 1h
:127.0.0.4:Listed, see $
45.1.2.3
45.1.3   :8:viruses
45.1.4.4-9 # a range
!45.1.3.200
127.0.0.2
";

/// Caught: values that are all taken for one reason; an exclusion that is listed; a range of which
/// only the first network is taken.
#[test]
fn an_rbldnsd_file_becomes_entries() {
    let home = Home::new();
    let file = home.file("bl", RBLDNSD);
    let ran = home.run(&["import", "--codes", "auth=4,virus=127.0.0.8", text(&file)]);
    assert_eq!(
        entries(&home),
        [
            "!45.1.3.200 import",
            "45.1.2.3 auth import",
            "45.1.3.0/24 virus import",
            "45.1.4.4/30 auth import",
            "45.1.4.8/31 auth import",
        ]
    );
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let expected = format!(
        "{}: ip4set, as it looks; if not, give its --format\n\
         8 lines: 5 entries taken, 1 of them white, 1 never listed\n",
        text(&file)
    );
    assert_eq!(ran.stdout, expected);
    assert_eq!(
        ran.stderr,
        "eximrbl: note: the table keeps no texts: those of the list are passed over\n\
         eximrbl: note: $SOA, $NS, $TTL and variables are passed over: zones are a matter of \
         eximrbld's configuration\n"
    );
    assert_eq!(entry(&home, "45.1.2.3")["endless"], true);
    home.negative(&["show", "45.1.3.200"]);
    home.done(&["show", "45.1.3.201"]);
}

/// Caught: a bad line that ends the import; one that is told without its number.
#[test]
fn bad_lines_are_told_and_the_rest_is_taken() {
    let home = Home::new();
    let mut list = "45.1.2.3\nnonsense\n45.1.2.4/33\n45.1.2.4/24\n".to_owned();
    list += &format!("{}\n", "9".repeat(20_000));
    list += "45.1.2.9-45.1.2.1\n\u{0}\u{1b}[31m\u{ff}\n4294967296.1.1.1\n45.1.2.5\n";
    list += "::/0\n0.0.0.0/0\n2000::/15\n";
    let file = home.file("list", &list);
    let ran = home.run(&["import", "--format", "plain", text(&file)]);
    assert_eq!(ran.status, 1);
    assert_eq!(entries(&home), ["45.1.2.3 import import", "45.1.2.5 import import"]);
    assert!(!ran.stderr.chars().any(|c| c.is_control() && c != '\n'), "{:?}", ran.stderr);
    let told: Vec<&str> = ran.stderr.lines().collect();
    let numbers: Vec<&str> = told
        .iter()
        .map(|line| line.split(&format!("{}:", text(&file))).nth(1).unwrap())
        .map(|rest| rest.split(':').next().unwrap())
        .collect();
    assert_eq!(numbers, ["2", "3", "4", "5", "6", "7", "8", "10", "11", "12"], "{}", ran.stderr);
    assert!(told[3].ends_with("longer than 16384 bytes"), "{}", told[3]);
    assert!(told[7].contains("--wide takes more"), "{}", told[7]);
    assert!(ran.stdout.ends_with("12 lines: 2 entries taken, 10 bad lines\n"), "{}", ran.stdout);
}

#[test]
fn after_twenty_bad_lines_they_are_only_counted() {
    let home = Home::new();
    let file = home.file("list", &"x\n".repeat(50));
    let (status, object) = {
        let ran = home.run(&["--json", "import", "--format", "plain", text(&file)]);
        assert_eq!(ran.stderr.lines().count(), 21);
        assert!(ran.stderr.ends_with("eximrbl: further bad lines are only counted\n"));
        (ran.status, serde_json::from_str::<Value>(&ran.stdout).unwrap())
    };
    assert_eq!((status, &object["bad"]), (1, &Value::from(50)));
}

#[test]
fn wide_networks_are_taken_when_they_are_meant() {
    let home = Home::new();
    let file = home.file("list", "44.0.0.0/7\n");
    assert_eq!(home.run(&["import", text(&file)]).status, 1);
    assert_eq!(home.run(&["import", "--wide", text(&file)]).status, 0);
    assert_eq!(entries(&home), ["44.0.0.0/7 import import"]);
}

/// Caught: a file that cannot be read and keeps the next one from being read.
#[test]
fn files_come_in_any_number_and_compressed() {
    let home = Home::new();
    let one = home.file("one.txt", "45.1.2.1\n");
    let gone = home.directory.path().join("gone");
    let two = home.directory.path().join("two.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"45.1.2.2\n45.1.2.3\n").unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(&two, [packed.as_slice(), packed.as_slice()].concat()).unwrap();
    let ran = home.run(&["import", text(&one), text(&gone), text(&two)]);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("gone: No such file"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 of 3 files could not be read"), "{}", ran.stderr);
    assert_eq!(entries(&home).len(), 3);
    assert!(ran.stdout.ends_with("5 lines: 5 entries taken\n"), "{}", ran.stdout);
    // Cut short: what was there is taken, and the rest is missed.
    std::fs::write(&two, &packed[..packed.len() - 9]).unwrap();
    let ran = home.run(&["import", text(&two)]);
    assert_eq!(ran.status, 2, "{}", ran.stdout);
    let ran = home.run(&["import", text(home.directory.path())]);
    assert_eq!(ran.status, 2, "a folder is no list");
}

#[test]
fn standard_input_is_a_file_as_well() {
    let home = Home::new();
    let ran = piped(&home, &["import", "--format", "csv", "-"], b"network\n45.1.2.1\n45.1.2.2");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "-: csv\n3 lines: 2 entries taken\n");
    assert_eq!(piped(&home, &["import", "-"], b"").stdout.lines().count(), 2);
}

/// Caught: a dry run that counts otherwise than the real one, or leaves a name in a dictionary.
#[test]
fn a_dry_run_counts_the_same_and_changes_nothing() {
    let home = Home::new();
    home.done(&["white", "45.9.0.0/16"]);
    home.done(&["white", "45.8.0.1"]);
    let list = format!("{RBLDNSD}10.0.0.1\n45.9.1.1\n45.8.0.1\nbad\n!45.7.0.0/24\n");
    let file = home.file("list", &list);
    let counts = |options: &[&str]| -> Value {
        let arguments = [&["--json", "import", "--reason", "spam"], options, &[text(&file)]];
        let ran = home.run(&arguments.concat());
        assert_eq!(ran.status, 1);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let before = std::fs::read(&home.table).unwrap();
    let mut dry = counts(&["--dry-run"]);
    assert!(before == std::fs::read(&home.table).unwrap(), "the table has changed");
    let real = counts(&[]);
    assert_eq!(dry["dry_run"], true);
    dry["dry_run"] = false.into();
    assert_eq!(dry, real);
    for (key, number) in
        [("entries", 7), ("white", 2), ("lifted", 1), ("never", 2), ("kept", 1), ("bad", 1)]
    {
        assert_eq!(real[key], number, "{key} of {real}");
    }
    assert_keys(
        &real,
        &[
            "dry_run", "files", "lines", "entries", "white", "lifted", "never", "kept", "expired",
            "excluded", "full", "bad", "texts",
        ],
    );
    assert_keys(&real["files"][0], &["file", "format", "guessed", "lines", "error"]);
}

/// Caught: `--seconds` that lengthens what ends sooner; a reporter of the list that stays beside the
/// one of the command line.
#[test]
fn options_say_why_who_and_how_long() {
    let home = Home::new();
    let until = now() + 5000;
    let list = format!(
        "network,until,count,reasons,reporters,first\n\
         45.1.2.1,{until},3,auth rcpt,mx1 mx2,1700000000\n\
         45.1.2.2,,,,,\n\
         45.1.2.3,{},,,,\n",
        now() - 1
    );
    let file = home.file("list.csv", &list);
    let ran = home.run(&["import", text(&file)]);
    assert!(ran.stdout.ends_with("4 lines: 2 entries taken, 1 over already\n"), "{}", ran.stdout);
    let expected = ["45.1.2.1 rcpt+auth mx1+mx2", "45.1.2.2 import import"];
    let found: Vec<String> =
        entries(&home).iter().map(|entry| entry.replace("auth+rcpt", "rcpt+auth")).collect();
    assert_eq!(found, expected);
    let one = entry(&home, "45.1.2.1");
    assert_eq!((&one["until_unix"], &one["count"]), (&until.into(), &3.into()));
    assert_eq!(one["first_unix"], 1_700_000_000);

    let other = Home::new();
    let options = ["--seconds", "7000", "--reason", "spam", "--reporter", "peer"];
    other.done(&[&["import"], &options[..], &[text(&file)]].concat());
    assert_eq!(entries(&other), ["45.1.2.1 spam peer", "45.1.2.2 spam peer"]);
    assert_eq!(entry(&other, "45.1.2.1")["until_unix"], until);
    let left = entry(&other, "45.1.2.2")["remaining"].as_u64().unwrap();
    assert!((6000..=7000).contains(&left), "{left}");
    let complaint = other.failed(&["import", "--seconds", "59", text(&file)]);
    assert!(complaint.contains("the policy's floor"), "{complaint}");
}

#[test]
fn a_whitelist_is_taken_without_its_exclusions() {
    let home = Home::new();
    let file = home.file("white.ip4set", "45.1.2.0/24 :2:text\n!45.1.2.9\n");
    let ran = home.run(&["import", "--white", text(&file)]);
    assert_eq!(entries(&home), ["!45.1.2.0/24 import"]);
    assert!(
        ran.stdout.ends_with("1 entry taken, 1 of them white, 1 exclusion passed over\n"),
        "{}",
        ran.stdout
    );
}

/// Caught: a count of 1 that stays below the threshold.
#[test]
fn what_is_imported_is_listed_at_once() {
    let home = Home::new();
    home.set_policy(&Policy { threshold: 3, ..Policy::default() });
    let file = home.file("list", "45.1.2.1\n2001:db8::5\n");
    home.run(&["import", text(&file)]);
    home.done(&["show", "45.1.2.1"]);
    home.done(&["show", "2001:db8::7"]);
    assert_eq!(entry(&home, "2001:db8::/64")["count"], 3);
}

/// Caught: an import that turns the administrator's white entry black, or shortens a life.
#[test]
fn what_is_there_is_joined_and_keeps_its_colour() {
    let home = Home::new();
    home.done(&["white", "45.1.2.1"]);
    home.done(&["black", "45.1.2.2", "--endless"]);
    home.reject("45.1.2.3", "rcpt", 0);
    let file = home.file("list.ip4set", "45.1.2.1\n!45.1.2.2\n45.1.2.3\n");
    let ran = home.run(&["import", "--seconds", "60", text(&file)]);
    assert!(ran.stdout.ends_with("3 lines: 1 entry taken, 2 kept in the other colour\n"));
    assert_eq!(
        entries(&home),
        ["!45.1.2.1 admin", "45.1.2.2 manual admin", "45.1.2.3 rcpt+import local+import"]
    );
    assert!(entry(&home, "45.1.2.3")["remaining"].as_u64().unwrap() > 500);
}

#[test]
fn a_full_table_is_told() {
    let home = Home::empty();
    home.done(&["create", "--slots", "64"]);
    let list: String = (0..200).map(|last| format!("45.1.2.{last}\n")).collect();
    let ran = home.run(&["--json", "import", text(&home.file("list", &list))]);
    let object: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.status, 1);
    let full = object["full"].as_u64().unwrap();
    assert!(full >= 136, "{full}");
    assert_eq!(object["entries"].as_u64().unwrap() + full, 200);
    assert!(home.open().entry(network("45.1.2.0"), now()).is_some());
}

/// Caught: an exclusion that does not go before an entry of its own list.
#[test]
fn an_exclusion_goes_before_the_same_network() {
    let home = Home::new();
    let list = "45.1.2.0/24\n!45.1.2.0/24\n!45.1.3.0/24\n45.1.3.0/24\n";
    let ran = home.run(&["import", "--format", "ip4set", text(&home.file("list", list))]);
    assert_eq!(ran.status, 0);
    assert_eq!(entries(&home), ["!45.1.2.0/24 import", "!45.1.3.0/24 import"]);
}

/// Caught: a bar that is not drawn.
#[test]
fn a_terminal_shows_how_far_it_is() {
    let home = Home::empty();
    home.done(&["create", "--slots", "64K"]);
    let line = |number: u32| format!("45.{}.{}.1\n", number >> 8, number & 255);
    let file = home.file("list", &(0..20_000).map(line).collect::<String>());
    let command = format!("{} import {}", support::PROGRAM, text(&file));
    let mut script = std::process::Command::new("script");
    script.args(["-q", "-e", "-c", &command, "/dev/null"]).env("EXIMRBL_TABLE", &home.table);
    script.env("TERM", "xterm").stdin(Stdio::null());
    let ran = Ran::of(script.output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("4096 lines, "), "{ran:?}");
    assert!(ran.stdout.contains(" a second, ") && ran.stdout.contains(" left"), "{ran:?}");
    assert!(ran.stdout.contains("20000 lines: 20000 entries taken"), "{ran:?}");
    // Where nobody looks, nothing is drawn.
    let ran = home.run(&["import", text(&file)]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

/// Caught: a whitelisting or a network that its reporter's purge leaves.
#[test]
fn an_import_is_undone_by_its_reporter() {
    let home = Home::new();
    home.reject("45.1.2.3", "rcpt", 0);
    let list = "45.1.2.1\n!45.1.3.0/24\n45.1.2.3\n45.1.4.0/24\n";
    home.run(&["import", "--reporter", "peer", text(&home.file("list.ip4set", list))]);
    assert_eq!(entries(&home).len(), 4);
    home.run(&["purge", "--reporter", "peer"]);
    let left = entries(&home);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with("45.1.2.3 ") && left[0].ends_with(" local"), "{left:?}");
}

//! `export`, through the real program: what comes back by `import`, who is listed in which form, and
//! how the file gets its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;

use eximrbl_table::{Filter, Name, Network, Policy, Restored, now};
use serde_json::Value;
use support::{Home, assert_keys, network, text};

/// A small generator (xorshift64), so that each table is another one and each run the same.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// A table of random entries of every kind, many of them within others.
fn random_table(seed: u64) -> Home {
    let home = Home::new();
    let policy = Policy {
        threshold: 2,
        never: vec![network("45.1.5.0/25"), network("2a0b:1:9::/48")],
        ..Policy::default()
    };
    home.set_policy(&policy);
    let table = home.open();
    let named = |name: &str| Name::new(name.as_bytes()).unwrap();
    let reasons: Vec<u8> = ["rcpt", "auth", "virus", "r-4"]
        .iter()
        .map(|name| table.reason(named(name), true))
        .collect();
    let mut reporters = vec![0, 1];
    reporters.extend(["mx2", "mx3"].iter().filter_map(|name| table.reporter(named(name))));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..400 {
        let network = if random.below(3) > 0 {
            let address = Ipv4Addr::from(0x2d01_0000 | random.below(1 << 12) as u32);
            let length = [32, 32, 32, 31, 29, 27, 25, 24, 23, 20][random.below(10) as usize];
            Network::new(address.into(), length)
        } else {
            let bits = 0x2a0b_0001_u128 << 96 | u128::from(random.below(1 << 12)) << 64;
            let length = [64, 64, 64, 62, 60, 57, 48][random.below(7) as usize];
            Network::new(Ipv6Addr::from_bits(bits).into(), length)
        };
        let white = random.below(12) == 0;
        let bits = |of: &[u8], random: &mut Random| {
            of.iter().fold(0, |bits, bit| bits | random.below(2) << bit)
        };
        let first = now() - random.below(100_000) as u32;
        let endless = random.below(4) == 0;
        let restored = Restored {
            network: network.unwrap(),
            white,
            count: 1 + random.below(5) as u32 * random.below(2) as u32,
            // Long enough for any test.
            remaining: if endless { u32::MAX } else { 50_000 + random.below(500_000) as u32 },
            first,
            last: first + random.below(u64::from(now() - first) + 1) as u32,
            reasons: bits(&reasons, &mut random),
            reporters: bits(&reporters, &mut random),
        };
        // What is never listed is refused, and white stays white.
        let _ = table.restore(&restored, now());
    }
    home
}

/// An empty table with the same policy.
fn sibling(home: &Home) -> Home {
    let other = Home::new();
    other.set_policy(&home.open().policy());
    other
}

/// Lines in an order of their own, JSON objects without what changes by the second; names in
/// their order, for the dictionaries of two tables need not have the same.
fn comparable(list: &str, format: &str) -> Vec<String> {
    let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if format == "json" {
            let mut object: Value = serde_json::from_str(line).unwrap();
            object["remaining"] = Value::Null;
            for key in ["reasons", "reporters"] {
                object[key].as_array_mut().unwrap().sort_by_key(|name| name.to_string());
            }
            *line = object.to_string();
        } else {
            let fields = line.split(',').map(|field| {
                let mut names: Vec<&str> = field.split(' ').collect();
                names.sort_unstable();
                names.join(" ")
            });
            *line = fields.collect::<Vec<_>>().join(",");
        }
    }
    lines.sort_unstable();
    lines
}

#[test]
fn help_is_a_manual() {
    let home = Home::empty();
    for (command, words) in [
        ("import", ["--codes", "JSON keys:", "purge"]),
        ("export", ["--mapped", "JSON,", "nft -f"]),
    ] {
        let help = home.done(&[command, "--help"]);
        assert!(help.contains("Examples:\n  "), "{help}");
        assert!(words.iter().all(|word| help.contains(word)), "{help}");
        let longest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 100, "{command}: a line of {longest}");
    }
}

/// Caught: an end that is lost, a count that becomes the threshold, a white entry's reporters, a
/// first time that becomes the last.
#[test]
fn entries_come_back_as_they_were() {
    for (seed, format) in
        [(1, "csv"), (2, "json"), (3, "csv"), (4, "json"), (5, "csv"), (6, "json")]
    {
        let home = random_table(seed);
        let list = home.done(&["export", "--format", format]);
        assert!(list.lines().count() > 200, "{}", list.lines().count());
        let other = sibling(&home);
        let file = other.file(&format!("list.{format}"), &list);
        let ran = other.run(&["import", text(&file)]);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        let back = other.done(&["export", "--format", format]);
        assert_eq!(comparable(&list, format), comparable(&back, format), "seed {seed}");
        // A second time changes nothing.
        other.done(&["import", text(&file)]);
        let again = other.done(&["export", "--format", format]);
        assert_eq!(comparable(&back, format), comparable(&again, format));
    }
}

/// Addresses about which the table has something to say, and their neighbours.
fn probes(home: &Home) -> BTreeSet<IpAddr> {
    let table = home.open();
    let mut probes = BTreeSet::new();
    for entry in table.entries(now()) {
        let size = 128 - entry.network.mapped_length();
        let last = 1_u128.checked_shl(size.into()).map_or(0, |count| count - 1);
        match entry.network.address() {
            IpAddr::V4(v4) => {
                let first = v4.to_bits();
                for bits in
                    [first, first.wrapping_sub(1), first + last as u32, first + last as u32 + 1]
                {
                    probes.insert(Ipv4Addr::from(bits).into());
                }
            }
            IpAddr::V6(v6) => {
                let first = v6.to_bits();
                for bits in [first, first - 1, first + last, first + last + 1] {
                    probes.insert(Ipv6Addr::from(bits).into());
                }
            }
        }
    }
    probes
}

/// Caught: a white network in which something is listed still; a family that is left out.
#[test]
fn who_is_listed_is_the_same_after_an_import() {
    for (seed, formats) in [
        (11, &["plain"][..]),
        (12, &["ip4set", "ip6trie"]),
        (13, &["ip4trie", "ip6trie"]),
        (14, &["plain"]),
    ] {
        let home = random_table(seed);
        let other = sibling(&home);
        for format in formats {
            let list = home.done(&["export", "--format", format]);
            let file = other.file(&format!("list-{format}"), &list);
            let ran = other.run(&["import", "--format", format, text(&file)]);
            assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{format}");
        }
        let (ours, theirs) = (home.open(), other.open());
        let (mut listed, mut free) = (0, 0);
        for address in probes(&home) {
            let decide = |table: &eximrbl_table::WritableTable| {
                table.decide(address, &Filter::default(), now()).is_listed()
            };
            assert_eq!(decide(&ours), decide(&theirs), "{address} by {formats:?}, seed {seed}");
            *if decide(&ours) { &mut listed } else { &mut free } += 1;
        }
        assert!(listed > 100 && free > 100, "{listed} listed, {free} not");
    }
}

/// Caught: a reason that is taken for all of them.
#[test]
fn options_select() {
    let home = Home::new();
    home.done(&["black", "45.1.2.1", "auth"]);
    home.done(&["black", "45.1.2.2", "rcpt"]);
    home.done(&["black", "45.1.3.0/24", "auth"]);
    home.done(&["white", "45.1.3.77"]);
    home.done(&["white", "45.9.0.0/16"]);
    let plain = |options: &[&str]| home.done(&[&["export", "--format", "plain"], options].concat());
    assert_eq!(plain(&["--reason", "rcpt"]), "45.1.2.2\n");
    assert_eq!(plain(&["--white"]), "45.1.3.77\n45.9.0.0/16\n");
    assert_eq!(plain(&["--within", "45.1.2.0/24"]), "45.1.2.1\n45.1.2.2\n");
    assert_eq!(plain(&["--reason", "auth"]).lines().count(), 1 + 8);
    assert_eq!(plain(&["--reason", "nobody"]), "");
    let set = home.done(&["export", "--format", "ip4set", "--within", "45.1.3.0/24"]);
    assert_eq!(set.lines().filter(|line| line.starts_with('!')).count(), 1, "{set}");
    let csv = home.done(&["export", "--format", "csv", "--white"]);
    assert_eq!(csv.lines().count(), 1 + 2);
}

/// Caught: a file that is written in place; one that is left aside; a mode that is lost.
#[test]
fn a_file_is_there_as_a_whole_or_not_at_all() {
    let home = Home::new();
    home.done(&["black", "45.1.2.1"]);
    let file = home.file("list.csv", "old\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let old = fs::File::open(&file).unwrap();
    let said = home.done(&["export", "--output", text(&file)]);
    assert_eq!(said, format!("{}: 1 entry as csv\n", text(&file)));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::io::read_to_string(old).unwrap(), "old\n", "who reads the old one goes on");
    assert!(fs::read_to_string(&file).unwrap().starts_with("network,white,"));

    // A folder cannot be replaced, nor a file in a folder that is not there.
    let folder = home.directory.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for bad in [folder.clone(), folder.join("none/list")] {
        let complaint = home.failed(&["export", "--output", text(&bad)]);
        assert!(complaint.contains("not written"), "{complaint}");
    }
    // A link stays one.
    let link = home.directory.path().join("link.json");
    std::os::unix::fs::symlink("list.csv", &link).unwrap();
    home.done(&["export", "--format", "plain", "--output", text(&link)]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "45.1.2.1\n");
    let left: BTreeSet<String> = fs::read_dir(home.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["folder", "link.json", "list.csv", "table"].map(str::to_owned);
    assert_eq!(left, BTreeSet::from(expected));
}

#[test]
fn a_full_disk_is_told_and_the_old_file_stays() {
    let home = Home::new();
    home.done(&["black", "45.1.2.1"]);
    let complaint = home.failed(&["export", "--output", "/dev/full"]);
    assert!(complaint.starts_with("eximrbl: /dev/full: not written: No space"), "{complaint}");
}

#[test]
fn the_name_tells_the_format_and_json_tells_what_was_done() {
    let home = Home::new();
    home.done(&["black", "45.1.2.1"]);
    home.done(&["black", "2a0b::1"]);
    home.done(&["black", "45.9.9.9"]);
    home.done(&["white", "45.9.0.0/16"]);
    for (name, format) in [
        ("a.csv", "csv"),
        ("a.jsonl", "json"),
        ("a.ip4set", "ip4set"),
        ("a.nft", "nftables"),
        ("a", "json"),
    ] {
        let file = home.directory.path().join(name);
        let (status, object) = home.json(&["export", "--output", text(&file)]);
        assert_eq!((status, object["format"].as_str()), (0, Some(format)));
        assert_keys(&object, &["format", "output", "entries", "lifted", "other_family", "notes"]);
        let counts = ["entries", "lifted", "other_family"].map(|key| object[key].as_u64().unwrap());
        let expected = match format {
            "ip4set" => [1, 1, 1],
            "nftables" => [2, 1, 0],
            _ => [4, 0, 0],
        };
        assert_eq!(counts, expected, "{format}");
    }
    assert!(home.failed(&["export", "--format", "bind"]).contains("--zone rbl.example.org"));
    let complaint = home.failed(&["export", "--format", "csv", "--zone", "rbl.example.org"]);
    assert!(complaint.contains("leave --zone out"), "{complaint}");
    let complaint = home.failed(&["export", "--format", "bind", "--zone", "a..b"]);
    assert!(complaint.contains("a..b"), "{complaint}");
}

const CONFIGURATION: &str = r#"
version = 1
[dns]
positive_ttl_max = 200
negative_ttl = 30
[[zone]]
name = "rbl.example.org"
codes = { auth = 4, virus = 8 }
txt = "{ip} $ \"{reason}\""
ns = ["ns1.example.net", "ns2.example.net"]
contact = "post.master@example.net"
[[zone]]
name = "auth.rbl.example.org"
reasons = ["auth"]
quorum = 2
"#;

/// A zone's name, codes, texts and servers, in both of the forms that have them.
#[test]
fn zones_have_their_say() {
    let home = Home::new();
    home.done(&["black", "45.1.2.1", "auth", "--endless"]);
    home.done(&["black", "45.1.2.1", "virus", "--endless"]);
    home.done(&["black", "45.1.3.0/24", "rcpt", "--endless"]);
    let config = home.file("eximrbl.toml", CONFIGURATION);
    let run = |options: &[&str]| {
        let zone = ["--zone", "rbl.example.org", "--config", text(&config)];
        home.run(&[&["export", "--format"], options, &zone].concat())
    };
    let ran = run(&["bind"]);
    assert_eq!(
        ran.stderr,
        "eximrbl: note: 1 wildcard: their texts have the network in the address's place\n"
    );
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "$ORIGIN rbl.example.org.");
    assert!(lines[1].starts_with("@ 30 IN SOA ns1.example.net. post\\.master.example.net. "));
    assert!(lines[1].ends_with(" 3600 600 604800 30"));
    assert_eq!(
        lines[2..5],
        [
            "@ 3600 IN NS ns1.example.net.",
            "@ 3600 IN NS ns2.example.net.",
            "auth 3600 IN NS auth.rbl.example.org."
        ]
    );
    for line in [
        "1.2.1.45 200 IN A 127.0.0.4",
        "1.2.1.45 200 IN A 127.0.0.8",
        r#"1.2.1.45 200 IN TXT "45.1.2.1 $ \"auth,virus\"""#,
        r#"*.3.1.45 200 IN TXT "45.1.3.0/24 $ \"rcpt\"""#,
        "2.0.0.127 200 IN A 127.0.0.2",
        "8.0.0.127 200 IN A 127.0.0.8",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{}", ran.stdout);
    }
    let ran = run(&["ip4set"]);
    for line in [
        "$NS 3600 ns1.example.net ns2.example.net",
        "$TTL 200",
        r#"45.1.2.1 :127.0.0.4:$ $$ "auth,virus""#,
        "45.1.2.1 :127.0.0.8:",
        r#"45.1.3.0/24 :127.0.0.2:$ $$ "rcpt""#,
    ] {
        assert!(ran.stdout.lines().any(|known| known == line), "{line} is not in\n{}", ran.stdout);
    }
    let ran = run(&["ip4trie"]);
    assert!(ran.stderr.contains("1 entry with several codes"), "{}", ran.stderr);
    let other = run(&["bind", "--origin", "dnsbl.example.com"]);
    assert!(other.stdout.starts_with("$ORIGIN dnsbl.example.com.\n"));
    assert!(!other.stdout.contains("dnsbl.example.com is listed"));
    let none = home.failed(&[
        "export",
        "--zone",
        "x.example.org",
        "--config",
        text(&config),
        "--format",
        "bind",
    ]);
    assert!(none.contains("it has rbl.example.org, auth.rbl.example.org"), "{none}");
}

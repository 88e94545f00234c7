//! `verify --repair` through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eximrbl_table::{Table, now};
use support::{Home, PROGRAM, Ran, line, text};

/// The first control word of every table, and the first word of the policy, in words.
const CONTROLS: u64 = 344_064;
const POLICY: u64 = 1536;
/// How long another process is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// A claim that does not say whose it is.
const CLAIM: u64 = 1 << 61 | 5 << 32 | 1 << 30;

fn word(home: &Home, place: u64) -> u64 {
    let mut bytes = [0; 8];
    File::open(&home.table).unwrap().read_exact_at(&mut bytes, place * 8).unwrap();
    u64::from_ne_bytes(bytes)
}

fn poke(home: &Home, place: u64, value: u64) {
    let file = File::options().write(true).open(&home.table).unwrap();
    file.write_all_at(&value.to_ne_bytes(), place * 8).unwrap();
}

/// The first slot with an entry, or without.
fn slot(home: &Home, ready: bool) -> u64 {
    (CONTROLS..).find(|&place| (word(home, place) >> 61 == 2) == ready).unwrap()
}

/// Caught: an exit status that takes what was mended for a finding.
#[test]
fn what_is_mended_is_told_and_is_no_finding_any_more() {
    let home = Home::new();
    for last in 0..50 {
        home.reject(&format!("192.0.2.{last}"), "rcpt", 0);
    }
    let before = home.done(&["list", "--all"]).lines().count();
    // One entry under another tag, and a free slot in a state that does not exist.
    let (entry, free) = (slot(&home, true), slot(&home, false));
    poke(&home, entry, word(&home, entry) ^ 1 << 20);
    poke(&home, free, 6 << 61);
    let table = text(&home.table).to_owned();

    let said = home.negative(&["verify"]);
    let slot = |place: u64| format!("slot {}: ", place - CONTROLS);
    assert!(said.contains(&format!("harmful: {}holds an entry", slot(entry))), "{said}");
    assert!(said.contains(&format!("harmful: {}holds what no", slot(free))), "{said}");
    let advice = format!("{table}: 2 harmful findings; eximrbl verify --repair mends 2");
    assert_eq!(said.lines().last(), Some(advice.as_str()));
    let (status, object) = home.json(&["verify"]);
    assert_eq!((status, &object["sound"], &object["mended"]), (1, &false.into(), &().into()));
    assert_eq!(object["findings"].as_array().unwrap().len(), 2);
    assert_eq!(object["findings"][0]["repairable"], true);
    assert_ne!(word(&home, free), 0, "verify alone changes nothing");

    let said = home.done(&["verify", "--repair"]);
    for place in [entry, free] {
        assert!(said.contains(&format!("mended: {}put to rest", slot(place))), "{said}");
    }
    assert!(!said.contains("harmful: "), "{said}");
    assert_eq!(said.lines().last(), Some(format!("{table}: sound").as_str()), "{said}");
    home.done(&["verify"]);
    let (status, object) = home.json(&["verify", "--repair"]);
    assert_eq!((status, &object["sound"]), (0, &true.into()));
    assert!(object["mended"].is_array(), "{object}");
    assert_eq!(home.done(&["list", "--all"]).lines().count(), before - 1, "all but the one");
}

#[test]
fn what_repair_does_not_mend_is_left_with_its_remedy() {
    let home = Home::new();
    home.done(&["black", "192.0.2.1"]);
    let copies = [POLICY, POLICY + 4168];
    copies.iter().for_each(|copy| poke(&home, copy + 5, 0x5a5a));
    let said = home.negative(&["verify", "--repair"]);
    assert!(line(&said, "harmful: ").contains("eximrbl policy --config FILE"), "{said}");
    assert!(!said.contains("mended: "), "{said}");
    assert!(said.lines().last().unwrap().contains(": 1 harmful finding; "), "{said}");
    // As it says.
    let zone = "[[zone]]\nname = \"rbl.example.org\"\n";
    let config = home.file("eximrbl.toml", &format!("version = 1\n{zone}"));
    home.done(&["policy", "--config", text(&config)]);
    home.done(&["verify"]);
}

#[test]
fn repair_wants_the_right_to_write() {
    let home = Home::new();
    let free = slot(&home, false);
    poke(&home, free, 6 << 61);
    std::fs::set_permissions(&home.table, std::os::unix::fs::PermissionsExt::from_mode(0o440))
        .unwrap();
    if home.table.metadata().unwrap().uid() != 0 {
        let complaint = home.failed(&["verify", "--repair"]);
        assert!(complaint.contains("permission denied"), "{complaint}");
        assert_eq!(word(&home, free), 6 << 61);
    }
    std::fs::remove_file(&home.table).unwrap();
    let complaint = home.failed(&["verify", "--repair"]);
    assert!(complaint.contains("no such table"), "{complaint}");
}

/// A process in a pid namespace of its own claims without a pid: as long as somebody has the
/// table open who might be the one, the claim stays, and then it is taken back.
///
/// Caught: `is_alone` that is content with being able to see everybody.
#[test]
fn a_claim_of_nobody_known_comes_back_once_nobody_has_the_table_open() {
    let home = Home::empty();
    home.done(&["create", "--slots", "4424"]);
    let free = slot(&home, false);
    poke(&home, free, CLAIM);
    let is_root = home.table.metadata().unwrap().uid() == 0;
    if !is_root {
        // Who does not see everybody proves nothing.
        let said = home.done(&["verify", "--repair"]);
        assert!(said.contains("who is not known"), "{said}");
        assert_eq!(word(&home, free), CLAIM);
        return;
    }
    let mut holder = Holder::start(&home.table);
    let said = repair_seeing_all(&home);
    assert!(line(&said, "harmless: slot ").contains("who is not known"), "{said}");
    assert_eq!(word(&home, free), CLAIM, "{said}");

    holder.end();
    // The process inside may take a moment longer.
    let start = Instant::now();
    let said = loop {
        let said = repair_seeing_all(&home);
        if said.contains("mended: ") {
            break said;
        }
        assert!(start.elapsed() < PATIENCE, "{said}");
    };
    assert!(said.contains("taken back: nobody else has the table open"), "{said}");
    assert_eq!(word(&home, free), 7 << 32);
    home.done(&["verify"]);
}

/// Repairs with every process's mappings to be seen. A security module may keep even root from those
/// of pid 1, say; then there are some for it, in a mount namespace of the program's own.
fn repair_seeing_all(home: &Home) -> String {
    let maps = home.file("maps", "55d0a0000000-55d0a0001000 r--p 00000000 fd:01 77 /sbin/init\n");
    let script = r#"
        for process in /proc/[0-9]*; do
            if ! error=$(cat "$process/maps" 2>&1 >/dev/null); then
                case $error in
                    *ermission*)
                        # It may have ended since.
                        mount --bind "$1" "$process/maps" || [ ! -d "$process" ] || exit 9 ;;
                esac
            fi
        done
        exec "$2" verify --repair"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", text(&maps), PROGRAM]);
    let ran = Ran::of(command.env("EXIMRBL_TABLE", &home.table).output().unwrap());
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    ran.stdout
}

/// A process with the table open, in a pid namespace of its own.
struct Holder(Child);

impl Holder {
    fn start(table: &Path) -> Self {
        let ready = table.with_extension("ready");
        let mut command = Command::new("unshare");
        // Its end ends the one inside, too.
        command.args(["--pid", "--fork", "--kill-child"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "role", "--nocapture"]).env("EXIMRBL_TEST_TABLE", table);
        let holder = Self(command.stdout(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while !ready.exists() {
            assert!(start.elapsed() < PATIENCE, "the holder did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        holder
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the holder does.
#[test]
fn role() {
    let Some(path) = std::env::var_os("EXIMRBL_TEST_TABLE") else { return };
    let table = Table::open(Path::new(&path)).unwrap();
    std::fs::write(Path::new(&path).with_extension("ready"), "").unwrap();
    while table.info(now()).slots > 0 {
        std::thread::sleep(Duration::from_secs(1));
    }
}

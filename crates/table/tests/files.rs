//! Making, opening, replacing and damaging the table's file.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eximrbl_table::{
    CreateError, CreateOptions, Expiry, Filter, Network, OpenError, Policy, Purge, Report,
    Restored, Share, Subject, Table, WritableTable,
};

const NOW: u32 = 1_795_000_000;

fn small() -> CreateOptions {
    CreateOptions { slots: 1024, ..CreateOptions::default() }
}

fn made() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    WritableTable::create(&path, &small()).unwrap();
    (folder, path)
}

fn record(table: &WritableTable, i: u8) {
    let network = Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into());
    table
        .record(&Report { network, reason: 1, reporter: 0, weight: None, seconds: None }, NOW)
        .unwrap();
}

fn is_listed(table: &Table, i: u8) -> bool {
    let client = std::net::Ipv4Addr::new(192, 0, 2, i).into();
    table.decide(client, &Filter::default(), NOW).is_listed()
}

#[test]
fn a_new_table_is_whole_private_and_of_the_mode_asked_for() {
    let (folder, path) = made();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o660);
    assert!(metadata.blocks() * 512 >= metadata.len(), "every block is allocated");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left aside: {names:?}");
    let table = Table::open(&path).unwrap();
    assert_eq!(table.policy(), Policy::default());
    assert_eq!(table.info(NOW).slots, 1024);
    assert_eq!(table.verify(), []);
}

#[test]
fn slots_are_rounded_up_to_whole_buckets_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let create = |name: &str, slots| {
        let options = CreateOptions { slots, ..small() };
        WritableTable::create(&folder.path().join(name), &options)
    };
    assert_eq!(create("a", 1001).unwrap().info(NOW).slots, 1008);
    for slots in [0, 8, (1 << 30) + 1, u64::MAX] {
        assert!(matches!(create("b", slots), Err(CreateError::Slots { .. })), "{slots}");
    }
}

#[test]
fn what_exists_is_never_replaced() {
    let (folder, path) = made();
    record(&WritableTable::open(&path).unwrap(), 1);
    let error = WritableTable::create(&path, &small()).unwrap_err();
    assert!(matches!(error, CreateError::Exists { .. }), "{error}");
    assert!(is_listed(&Table::open(&path).unwrap(), 1));
    // Also a dangling link: an attacker's, who wants a file made elsewhere.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
    let error = WritableTable::create(&link, &small()).unwrap_err();
    assert!(matches!(error, CreateError::Exists { .. }), "{error}");
    assert!(!folder.path().join("nowhere").exists());
}

/// The file system in memory is smaller than the largest table, so it stands for a full disk.
#[test]
fn a_full_disk_is_told_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = CreateOptions { slots: 1 << 30, ..small() };
    let error = WritableTable::create(&folder.path().join("table"), &options).unwrap_err();
    assert!(matches!(error, CreateError::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("make a smaller table (slots)"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = WritableTable::create(&folder.path().join("no/table"), &small()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no/table") && text.contains("cannot make the file"), "{text}");
}

#[test]
fn processes_share_what_they_write_and_readers_write_nothing() {
    let (_folder, path) = made();
    let (writer, other) =
        (WritableTable::open(&path).unwrap(), WritableTable::open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    let reader = Table::open(&path).unwrap();
    record(&writer, 1);
    record(&other, 1);
    assert!(is_listed(&reader, 1));
    assert_eq!(reader.entries(NOW).next().unwrap().count, 2);
    writer.set_policy(&Policy { threshold: 3, ..Policy::default() }).unwrap();
    assert!(!is_listed(&reader, 1) && !is_listed(&other, 1), "a policy holds everywhere at once");
}

#[test]
fn a_replaced_deleted_or_truncated_table_is_noticed() {
    let (folder, path) = made();
    let table = Table::open(&path).unwrap();
    assert!(table.is_current(&path));
    fs::rename(&path, folder.path().join("old")).unwrap();
    assert!(!table.is_current(&path), "deleted");
    WritableTable::create(&path, &small()).unwrap();
    assert!(!table.is_current(&path), "replaced");
    let table = Table::open(&path).unwrap();
    for length in [4096, 0] {
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        assert!(!table.is_current(&path), "cut short to {length}, and nothing of it is touched");
    }
}

/// A policy is never written by two at once, and a stopped process that holds the lock makes
/// nobody wait for ever. Exim's processes never lock.
#[test]
fn a_lock_that_is_not_given_back_ends_in_an_error() {
    let (_folder, path) = made();
    let table = WritableTable::open(&path).unwrap();
    let holder = File::open(&path).unwrap();
    holder.lock().unwrap();
    let error = table.set_policy(&Policy { threshold: 9, ..Policy::default() }).unwrap_err();
    assert!(error.to_string().contains("does not finish"), "{error}");
    record(&table, 1);
    assert!(is_listed(&table, 1), "recording and answering take no notice, the policy is the old");
    // A child that another test is just starting has the file, too: to close it would not do.
    holder.unlock().unwrap();
    table.set_policy(&Policy { threshold: 9, ..Policy::default() }).unwrap();
    assert!(!is_listed(&table, 1));
}

#[test]
fn every_way_of_not_being_a_table_has_its_own_message() {
    let (folder, path) = made();
    let place = |name: &str| folder.path().join(name);
    let text = |path: &Path| match (Table::open(path), WritableTable::open(path)) {
        (Err(read), Err(write)) => {
            assert_eq!(read.to_string(), write.to_string());
            read.to_string()
        }
        _ => panic!("{} was opened", path.display()),
    };
    assert!(text(&place("none")).contains("no such table; start eximrbld"));
    assert!(text(folder.path()).contains("not a regular file"));
    assert!(text(Path::new("/dev/null")).contains("not a regular file"));
    std::process::Command::new("mkfifo").arg(place("fifo")).status().unwrap();
    assert!(text(&place("fifo")).contains("not a regular file"), "and nothing hangs");
    for (name, content) in [("short", &b"EXIMRBL\0"[..]), ("text", &[b'x'; 9000])] {
        fs::write(place(name), content).unwrap();
        assert!(text(&place(name)).contains("not a table of eximrbl"), "{name}");
    }
    fs::write(place("empty"), "").unwrap();
    assert!(text(&place("empty")).contains("cut to nothing"));
    let copy = |name: &str| {
        fs::copy(&path, place(name)).unwrap();
        place(name)
    };
    let patch = |path: &Path, word: u64, value: u64| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&value.to_ne_bytes(), word * 8).unwrap();
    };
    let version = copy("version");
    patch(&version, 1, 99);
    assert!(text(&version).contains("table format 99, this program reads 1"));
    let short = copy("cut");
    File::options().write(true).open(&short).unwrap().set_len(100_000).unwrap();
    assert!(text(&short).contains("100000 bytes, but its header needs"));
    let long = copy("long");
    let length = fs::metadata(&long).unwrap().len();
    File::options().write(true).open(&long).unwrap().set_len(length + 1).unwrap();
    assert!(text(&long).contains("cut short or enlarged"));
    for word in 2..11 {
        let damaged = copy("damaged");
        patch(&damaged, word, 0x0123_4567_89ab_cdef);
        assert!(text(&damaged).contains("damaged header"), "word {word}: {}", text(&damaged));
    }
    let open_to_all = copy("world");
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(text(&open_to_all).contains("lets every local user write"));
    let retired = copy("retired");
    patch(&retired, 16, 1);
    assert!(matches!(Table::open(&retired), Err(OpenError::Retired { .. })));
}

/// Arbitrary bytes behind a sound header: nothing crashes, hangs, or reads outside the mapping.
#[test]
fn damaged_contents_are_survived() {
    let (_folder, path) = made();
    let length = fs::metadata(&path).unwrap().len();
    let mut state = 1_u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 29
    };
    for round in 0..12 {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        // Past the fixed header words: all of it, or a sprinkle.
        let mut bytes = vec![0_u8; (length - 192) as usize];
        match round % 3 {
            0 => bytes
                .chunks_mut(8)
                .for_each(|b| b.copy_from_slice(&random().to_ne_bytes()[..b.len()])),
            1 => bytes.fill(0xff),
            _ => bytes.iter_mut().for_each(|b| *b = if random() % 64 == 0 { 0x40 } else { 0 }),
        }
        file.write_all_at(&bytes, 192).unwrap();
        let table = WritableTable::open(&path).unwrap();
        for i in 0..=255 {
            let network = Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into());
            let _ = table.record(
                &Report { network, reason: i, reporter: i, weight: None, seconds: None },
                NOW,
            );
            let _ = is_listed(&table, i);
            let _ = table.white(network, Some(5), 0, NOW);
            let _ = table.forgive(network, 0, NOW);
            let count = u32::from(i) << 12;
            let restored = Restored {
                network,
                white: i.is_multiple_of(5),
                count,
                remaining: count,
                first: NOW + count,
                last: NOW,
                reasons: random(),
                reporters: random(),
            };
            let _ = table.restore(&restored, NOW);
        }
        let by_reporter = table.entries_by_reporter(NOW);
        assert!(by_reporter.iter().all(|entries| u64::from(*entries) <= table.info(NOW).slots));
        for share in [Share::Reporter(0), Share::Reason(63), Share::Reporter(64)] {
            let purge = Purge { subject: Subject::Share(share), within: None };
            let _ = (table.would_purge(&purge, NOW), table.purge(&purge, NOW));
        }
        let _ = (table.policy(), table.info(NOW), table.counters(), table.reasons());
        let _ = (table.entries(NOW).count(), table.verify().len(), table.sweep(NOW, Expiry::Due));
        let mut reader = table.events(Some(0));
        for _ in 0..1000 {
            let _ = table.next_event(&mut reader, NOW);
        }
        let _ = table.set_policy(&Policy::default());
    }
}

/// `verify` does not call a table sound whose names or entries were overwritten.
#[test]
fn damage_is_found() {
    let damaged = |damage: fn(&std::fs::File, u64)| {
        let (_folder, path) = made();
        let table = WritableTable::open(&path).unwrap();
        (1..=9).for_each(|i| record(&table, i));
        assert_eq!(table.verify(), []);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        damage(&file, file.metadata().unwrap().len());
        table.verify().iter().filter(|finding| finding.harmful).count()
    };
    assert!(damaged(|file, _| file.write_all_at(&[0x5a; 4096], 4096).unwrap()) >= 2, "names");
    assert_eq!(
        damaged(|file, length| {
            file.write_all_at(&vec![0x5a; 57_344], length - 57_344).unwrap();
        }),
        9,
        "bodies"
    );
    assert!(
        damaged(|file, _| file.write_all_at(&[0x5a; 66_000], 3 * 4096).unwrap()) >= 1,
        "policy"
    );
}

/// Many processes write one table at once; nothing that was accepted is lost.
#[test]
fn no_count_is_lost_between_processes() {
    if let Some(path) = std::env::var_os("EXIMRBL_TEST_WRITER") {
        let table = WritableTable::open(Path::new(&path)).unwrap();
        for i in 0..20_000_u32 {
            record(&table, (i % 5) as u8);
        }
        return;
    }
    let (_folder, path) = made();
    let this = std::env::current_exe().unwrap();
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = std::process::Command::new(&this);
            command.args(["--exact", "no_count_is_lost_between_processes"]);
            command.env("EXIMRBL_TEST_WRITER", &path).stdout(std::process::Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let table = Table::open(&path).unwrap();
    let counts: Vec<u32> = table.entries(NOW).map(|entry| entry.count).collect();
    assert_eq!(counts, [16_000; 5]);
    assert_eq!(table.verify(), []);
}

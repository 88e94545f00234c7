//! What becomes of the trail's files: sizes, numbers, removal, a full disk.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use eximrbl_table::dictionary::LOCAL;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::A;
use crate::common::{Daemon, PLAIN, command, is_root, wait_until};
use crate::stage::{Stage, assert_each_once, lines, report};

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
    let sample = include_str!("../../../../packaging/eximrbl.logrotate");
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

//! What can be wrong with the table's place and with the table.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use eximrbl_table::{Network, Report, WritableTable, dictionary, now};

use crate::harness::run;
use crate::server::Server;

/// Slots of the tables here, unless a fault needs another number.
pub const SLOTS: u64 = 1024;

/// Who has to tell about a fault in Exim's main log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tellers {
    /// Nobody: nothing is amiss for Exim.
    Nobody,
    /// Every process that opens the table; of them all the daemon alone if it opens it. One line
    /// each, with this text in it.
    Openers(&'static str),
    /// Every process that would change the table. One line each, with this text in it.
    Changers(&'static str),
    /// Whoever is hit: where rubbish lies, and what it looks like, is chance. One line a process
    /// and cause at most.
    Anybody,
}

/// A fault that is in place before Exim's process starts.
pub struct Fault {
    /// What is wrong.
    pub name: &'static str,
    /// Puts it in place.
    pub place: fn(&Server),
    /// Who tells.
    pub tellers: Tellers,
}

/// All of them.
pub const FAULTS: [Fault; 30] = [
    // With nothing wrong, this is the proof that the calls themselves change nothing.
    fault("none", |server| server.create_table(SLOTS), Tellers::Nobody),
    fault("no table", Server::clear, Tellers::Openers("/table: no such table; start eximrbld")),
    fault("no folder", no_folder, Tellers::Openers("/table: no such table; start eximrbld")),
    fault("a closed folder", closed_folder, Tellers::Openers("/table: permission denied")),
    fault("a closed table", |server| mode(server, 0o600), DENIED),
    fault("a table that can only be read", |server| mode(server, 0o640), READ_ONLY),
    fault("a table without any right", |server| mode(server, 0), DENIED),
    fault("a table of another owner and group", |server| owner(server, "nobody:nogroup"), DENIED),
    fault("another's table that can be read", readable_table_of_nobody, READ_ONLY),
    fault("a table that all may write", |server| mode(server, 0o666), WORLD_WRITABLE),
    fault("a FIFO", |server| make(server, "mkfifo -m 0666"), NOT_A_FILE),
    fault("a folder", |server| make(server, "mkdir -m 0777"), NOT_A_FILE),
    fault("a device that gives zeros", |server| device(server, "5"), NOT_A_FILE),
    fault("a device that is full", |server| device(server, "7"), NOT_A_FILE),
    fault("a socket", socket, NOT_A_FILE),
    fault("a link to itself", link_to_itself, Tellers::Openers("/table: ")),
    fault("an empty file", |server| write(server, b""), Tellers::Openers("/table: empty")),
    fault("a short text", |server| write(server, b"not a table\n"), NOT_A_TABLE),
    fault("garbage", |server| write(server, &rubbish(300_000)), NOT_A_TABLE),
    fault("a table cut short", |server| length(server, 5000), LENGTH),
    fault("a table enlarged", |server| length(server, 90_000_000), LENGTH),
    fault("another format", |server| header(server, 1), Tellers::Openers("/table: table format")),
    fault("another layout", |server| header(server, 2), DAMAGED),
    fault("a lie about the size", |server| header(server, 3), DAMAGED),
    fault("rubbish in policy and dictionaries", |server| scribble(server, POLICY), ANYBODY),
    fault("rubbish in control words and entries", |server| scribble(server, ENTRIES), ANYBODY),
    fault("rubbish behind the header everywhere", |server| scribble(server, ALL), ANYBODY),
    fault("bits set behind the header everywhere", ones_behind_the_header, ANYBODY),
    fault("a table full of endless entries", full, Tellers::Changers("no room: ")),
    fault("a table marked as replaced", |server| header(server, 16), Tellers::Openers("/table: ")),
];

const DENIED: Tellers = Tellers::Openers("/table: permission denied");
const READ_ONLY: Tellers = Tellers::Changers("/table can only be read");
const WORLD_WRITABLE: Tellers = Tellers::Openers("lets every local user write");
const NOT_A_FILE: Tellers = Tellers::Openers("/table: not a regular file");
const NOT_A_TABLE: Tellers = Tellers::Openers("/table: not a table of eximrbl");
const LENGTH: Tellers = Tellers::Openers("but its header needs");
const DAMAGED: Tellers = Tellers::Openers("/table: damaged header");
const ANYBODY: Tellers = Tellers::Anybody;

const fn fault(name: &'static str, place: fn(&Server), tellers: Tellers) -> Fault {
    Fault { name, place, tellers }
}

fn no_folder(server: &Server) {
    std::fs::remove_dir_all(server.table().parent().unwrap()).unwrap();
}

fn closed_folder(server: &Server) {
    server.create_table(SLOTS);
    set_mode(server.table().parent().unwrap(), 0o700);
}

fn mode(server: &Server, bits: u32) {
    server.create_table(SLOTS);
    set_mode(&server.table(), bits);
}

fn owner(server: &Server, owner: &str) {
    server.create_table(SLOTS);
    run(Command::new("chown").arg(owner).arg(server.table()));
}

fn readable_table_of_nobody(server: &Server) {
    mode(server, 0o644);
    run(Command::new("chown").arg("nobody:nogroup").arg(server.table()));
}

/// Runs a command that makes something in the table's place.
fn make(server: &Server, command: &str) {
    server.clear();
    let mut words = command.split(' ');
    run(Command::new(words.next().unwrap()).args(words).arg(server.table()));
}

/// A memory device (character, major number 1) in the table's place.
fn device(server: &Server, minor: &str) {
    server.clear();
    run(Command::new("mknod").args(["-m", "0660"]).arg(server.table()).args(["c", "1", minor]));
    run(Command::new("chgrp").arg("Debian-exim").arg(server.table()));
}

fn socket(server: &Server) {
    server.clear();
    drop(std::os::unix::net::UnixListener::bind(server.table()).unwrap());
    set_mode(&server.table(), 0o666);
}

fn link_to_itself(server: &Server) {
    server.clear();
    symlink("table", server.table()).unwrap();
}

/// A file in the table's place, open to Exim.
pub fn write(server: &Server, bytes: &[u8]) {
    server.clear();
    std::fs::write(server.table(), bytes).unwrap();
    set_mode(&server.table(), 0o660);
    run(Command::new("chgrp").arg("Debian-exim").arg(server.table()));
}

fn length(server: &Server, bytes: u64) {
    server.create_table(SLOTS);
    let file = std::fs::OpenOptions::new().write(true).open(server.table()).unwrap();
    file.set_len(bytes).unwrap();
}

/// Changes one 64-bit word of the header.
fn header(server: &Server, word: usize) {
    server.create_table(SLOTS);
    change(server, |bytes| bytes[8 * word] ^= 1);
}

fn change(server: &Server, change: impl FnOnce(&mut [u8])) {
    let mut bytes = std::fs::read(server.table()).unwrap();
    change(&mut bytes);
    std::fs::write(server.table(), bytes).unwrap();
}

/// Which part of a table of [`SLOTS`] slots is spoilt: from, to, in bytes.
type Part = fn(usize) -> (usize, usize);

/// Dictionaries, policy, and the start of the ring that follows them.
const POLICY: Part = |_| (4096, 1 << 16);
/// Entries are 64 bytes each, at the end; control words 8 each, before them, from a 64 KiB border.
const ENTRIES: Part = |length| (length - SLOTS as usize * 64 - (1 << 16), length);
/// All but the header's page.
const ALL: Part = |length| (4096, length);

/// Puts rubbish into a part of a table.
fn scribble(server: &Server, part: Part) {
    server.create_table(SLOTS);
    change(server, |bytes| {
        let (start, end) = part(bytes.len());
        let rubbish = rubbish(end - start);
        bytes[start..end].copy_from_slice(&rubbish);
    });
}

fn ones_behind_the_header(server: &Server) {
    server.create_table(SLOTS);
    change(server, |bytes| bytes[4096..].fill(0xff));
}

/// The smallest table, with an endless entry in every slot.
fn full(server: &Server) {
    server.create_table(16);
    let table = WritableTable::open(&server.table()).unwrap();
    for number in 1..=250_u8 {
        let report = Report {
            network: Network::host([198, 18, 0, number].into()),
            reason: dictionary::REJECT_BIT,
            reporter: dictionary::LOCAL,
            weight: None,
            seconds: None,
        };
        let _ = table.record_endless(&report, now());
    }
    assert_eq!(table.entries(now()).count(), 16, "the table is not full");
}

/// Bytes that look random, the same at each run.
pub fn rubbish(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_ne_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

//! Others write into the table while mail goes on: writers that are killed at any instant, and
//! somebody who scribbles.
//!
//! Caught: a lock in the table that stays taken when its holder is killed (no reply any more); a
//! panic at words that no writer makes.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::configuration::{LIBRARY, Way};
use crate::faults::rubbish;
use crate::harness::{Lan, wait_until};
use crate::running::{UNTIL_THE_NEXT_LOOK, replace_by_a_table};
use crate::server::{Circumstances, Server};
use crate::sessions::{SESSIONS, Seen, play};
use crate::standing::assert_unaffected;
use crate::turns::among_others;

/// Few enough that writers meet everywhere: two buckets of eight are all the places of an address.
const SLOTS: u64 = 64;

/// Fewer kills, of writers and of SMTP processes, show nothing.
const KILLS: u32 = 10;

/// How often the sessions are played.
fn rounds() -> u32 {
    if std::env::var_os("EXIMRBL_TORTURE").is_some() { 60 } else { 2 }
}

/// What is seen without eximrbl.
fn plain(lan: &Lan, server: &mut Server) -> Seen {
    server.start(&Way::Plain.text(), Circumstances::default());
    play(lan, server, &SESSIONS, &mut |_, _| ())
}

/// An Exim that expands calls for many clients, without a pause, until it is killed.
fn start_writer(server: &Server, number: u32) -> Child {
    let mut command = server.exim_command();
    command.arg("-be").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut writer = command.spawn().unwrap();
    let mut text = String::new();
    for client in 0..=255_u32 {
        let client = (client * 7 + number) % 256;
        let call = |function: &str, rest: &str| {
            format!("${{dlfunc{{{LIBRARY}}}{{{function}}}{{198.18.0.{client}}}{rest}}}")
        };
        text += &call("rbl_record", &format!("{{reason-{}}}", client % 40));
        text += &call("rbl_record", "{rcpt}{3}");
        text += &call(if client.is_multiple_of(3) { "rbl_forgive" } else { "rbl_record" }, "");
        // Few are let in for long, since nothing drives white entries out.
        text += &call("rbl_allow", if client.is_multiple_of(128) { "{60}" } else { "{0}" });
        text.push('\n');
    }
    let mut input = writer.stdin.take().unwrap();
    // Until it is killed. No error is of interest: the pipe breaks then.
    std::thread::spawn(move || while input.write_all(text.as_bytes()).is_ok() {});
    writer
}

/// Starts writers and kills them, until told to stop. Counts the kills.
fn kill_writers(server: &Server, seed: u32, stop: &AtomicBool, kills: &AtomicU32) {
    let mut random = seed;
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let mut writer = start_writer(server, random >> 16);
        let id = writer.id();
        wait_until("a writer has the table open", || {
            let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
            maps.contains("/eximrbl/table")
        });
        sleep(Duration::from_micros(u64::from(random >> 12) % 8000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        kills.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a stranger says whose process is killed.
const REFUSED: [&str; 3] = ["EHLO client.example", "MAIL FROM:<>", "RCPT TO:<nobody@example.org>"];

/// Lets strangers be refused by an Exim of their own, whose processes are killed meanwhile.
fn kill_children(lan: &Lan, server: &Server, stop: &AtomicBool, kills: &AtomicU32) {
    let mut random = 1_u32;
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let mut smtp = server.dial(lan, lan.client(100 + (random >> 16) as u8 % 150));
        let greeting = smtp.reply();
        // A stranger who is listed by now is not greeted.
        let id = greeting.text().rsplit(' ').next().and_then(|id| id.parse().ok());
        let Some(process) = id.and_then(Pid::from_raw) else { continue };
        for line in REFUSED {
            smtp.send(line);
        }
        sleep(Duration::from_micros(u64::from(random >> 12) % 8000));
        // It is there: it waits for more.
        kill_process(process, Signal::KILL).unwrap();
        kills.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn killed_writers_change_nothing() {
    let _turn = among_others();
    let lan = Lan::new();
    let mut server = Server::new(&lan, 10);
    let mut strangers = Server::new(&lan, 11);
    let plain = plain(&lan, &mut server);
    let (stop, writers, children) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    server.create_table(SLOTS);
    strangers.use_folder_of(&server.table());
    strangers.start(&Way::Direct.text(), Circumstances::default());
    let mut sessions = 0;
    for way in [Way::Direct, Way::Preloaded] {
        server.start(&way.text(), Circumstances::default());
        scope(|scope| {
            stop.store(false, Ordering::Relaxed);
            let _stop = StopAtEnd(&stop);
            let (strangers, lan) = (&strangers, &lan);
            let (stop, writers, children) = (&stop, &writers, &children);
            for seed in 0..2 {
                scope.spawn(move || kill_writers(strangers, seed, stop, writers));
            }
            scope.spawn(move || kill_children(lan, strangers, stop, children));
            let is_enough = || {
                let kills = [writers, children].map(|kills| kills.load(Ordering::Relaxed));
                kills.iter().all(|&kills| kills >= KILLS)
            };
            // A slow machine needs more rounds for as many kills.
            for round in 0..20 * rounds() {
                if round >= rounds() && is_enough() {
                    break;
                }
                // A client that was refused in the round before would be listed.
                replace_by_a_table(&server, SLOTS);
                sleep(UNTIL_THE_NEXT_LOOK);
                let seen = play(lan, &mut server, &SESSIONS, &mut |_, _| ());
                let what = format!("{way:?}, writers are killed, round {round}");
                assert_unaffected(&what, &seen, &plain);
                assert!(seen.told.is_empty(), "{what}: {:#?}", seen.told);
                sessions += SESSIONS.len();
            }
        });
    }
    let (writers, children) = (writers.into_inner(), children.into_inner());
    eprintln!("{writers} writers and {children} SMTP processes killed, {sessions} sessions held");
    assert!(writers >= KILLS && children >= KILLS, "too few kills to show anything");
}

/// Lets threads end also when an assertion fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes rubbish into the table from byte `start` on, a few words at a time, until told to stop.
/// Its header is put right now and then, so that processes that start can open it.
fn scribble(table: &Path, start: u64, stop: &AtomicBool, words: &AtomicU32) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(table).unwrap();
    let mut header = [0; 4096];
    file.read_exact_at(&mut header, 0).unwrap();
    let room = file.metadata().unwrap().len() - start;
    let rubbish = rubbish(1 << 20);
    let mut position = 0;
    while !stop.load(Ordering::Relaxed) {
        for pair in rubbish[position..position + 1024].chunks_exact(16) {
            let (place, word) = pair.split_at(8);
            let place = u64::from_ne_bytes(place.try_into().unwrap()) % room;
            // Mostly at the start or the end, where header, dictionaries and entries are; the
            // events between them take most of the file.
            let near = [place % room.min(1 << 16), room - 8 - place % room.min(1 << 17), place];
            let place = near[place as usize % 3] / 8 * 8;
            file.write_all_at(word, start + place).unwrap();
            words.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_micros(500));
        position = (position + 1024) % (rubbish.len() - 1024);
        file.write_all_at(&header, 0).unwrap();
    }
}

#[test]
fn a_scribbler_changes_nothing() {
    let _turn = among_others();
    let lan = Lan::new();
    let mut server = Server::new(&lan, 10);
    let plain = plain(&lan, &mut server);
    let words = AtomicU32::new(0);
    // Behind the header, and everywhere.
    for (way, start) in [(Way::Direct, 4096), (Way::Preloaded, 4096), (Way::Direct, 0)] {
        for round in 0..rounds() {
            // A new one each time: what a client did in one round may outlive the rubbish.
            server.create_table(1024);
            server.start(&way.text(), Circumstances::default());
            let stop = AtomicBool::new(false);
            scope(|scope| {
                let table = server.table();
                let _stop = StopAtEnd(&stop);
                let (stop, words) = (&stop, &words);
                scope.spawn(move || scribble(&table, start, stop, words));
                let seen = play(&lan, &mut server, &SESSIONS, &mut |_, _| ());
                let what = format!("{way:?}, somebody scribbles from {start} on, round {round}");
                assert_unaffected(&what, &seen, &plain);
            });
        }
    }
    eprintln!("{} words of rubbish written meanwhile", words.into_inner());
}

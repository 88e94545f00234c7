//! Somebody scribbles into the file while the programs run on it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::cases;
use crate::daemon::{Daemon, Place};
use crate::driver::Stage;
use crate::harness::Scratch;
use crate::image::{Image, LISTED, PAGE, SLOTS};
use crate::is_torture;
use crate::library::{call_everything, start};
use crate::numbers::Numbers;
use crate::tool;

/// The library: called and called again while words change under it, opened in between. (Often, for
/// while its header is damaged it uses none for a second.)
///
/// Caught: a number of never-ranges that is not clamped.
#[test]
fn the_library_goes_on() {
    let stage = Stage::bare();
    cases::all()[0].lay_down(&stage.table_path());
    let scribbler = Scribbler::start(stage.table_path(), 1);
    for _ in 0..if is_torture() { 600 } else { 40 } {
        let mut library = start(&stage);
        call_everything(&mut library, "scribbled into");
        for function in ["rbl_record", "rbl_listed", "rbl_lookup", "rbl_forgive"] {
            for client in LISTED {
                library.repeat(3000, function, &[client]);
            }
        }
        library.repeat(3000, "rbl_allow", &[LISTED[0], "60"]);
        let logged = library.end();
        assert!(!logged.iter().any(|line| line.contains("internal error")), "{logged:?}");
    }
    assert!(scribbler.end() > 1000);
}

/// The tool: every command, a few times. Caught: a panic at a state that no writer makes.
#[test]
fn the_tool_goes_on() {
    let scratch = Scratch::new("live-tool");
    let sound = &cases::all()[0];
    sound.lay_down(&scratch.join("table"));
    let scribbler = Scribbler::start(scratch.join("table"), 2);
    for _ in 0..if is_torture() { 200 } else { 4 } {
        for command in tool::COMMANDS {
            tool::run(&scratch, sound, command);
        }
    }
    assert!(scribbler.end() > 1000);
}

/// The daemon: it answers all the while. Caught: a panic at a state that no writer makes.
#[test]
fn the_daemon_goes_on() {
    let place = Place::new();
    cases::all()[0].lay_down(&place.table());
    let mut daemon = Daemon::start(&place).unwrap();
    let scribbler = Scribbler::start(place.table(), 3);
    // The keeper sweeps every five seconds.
    for _ in 0..if is_torture() { 30_000 } else { 600 } {
        daemon.answers("scribbled into");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(scribbler.end() > 1000);
    daemon.ends_well("scribbled into");
}

/// A thread that damages a file, and now and then heals it in part.
struct Scribbler {
    is_done: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Scribbler {
    fn start(path: PathBuf, seed: u64) -> Self {
        let (is_done, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (done, count) = (is_done.clone(), written.clone());
        let scribble = move || {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let image = Image::sound();
            let mut numbers = Numbers::new(seed);
            while !done.load(Ordering::Relaxed) {
                let section = match numbers.below(8) {
                    // The fixed words as well: opening reads each of them more than once.
                    0 => 0..PAGE / 4,
                    1 => image.reasons().start..image.reporters().end,
                    2 => image.policies(),
                    3 => image.ring(),
                    4 | 5 => image.controls(),
                    _ => image.body(0).start..image.body(SLOTS - 1).end,
                };
                let is_healed = numbers.below(2) == 0;
                for _ in 0..1 + numbers.below(60) {
                    let place = section.start + numbers.below(section.len());
                    let value = if is_healed { image.words[place] } else { numbers.value() };
                    file.write_all_at(&value.to_ne_bytes(), 8 * place as u64).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
                if is_healed {
                    for place in 0..PAGE / 4 {
                        let word = image.words[place].to_ne_bytes();
                        file.write_all_at(&word, 8 * place as u64).unwrap();
                    }
                }
            }
        };
        Self { is_done, written, thread: Some(std::thread::spawn(scribble)) }
    }

    /// Stops it; how many words it has written.
    fn end(mut self) -> u64 {
        self.stop();
        self.written.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Scribbler {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
    }
}

//! Tables that name another one as their predecessor: whoever opens them maps that one as well, and
//! brings its entries over.
//!
//! The other file is found by its name, beside the table: `table.old-` and its identity. Somebody may
//! have put anything there, or have damaged what was there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cases;
use crate::daemon::{Daemon, Place};
use crate::driver::Stage;
use crate::harness::{Scratch, run};
use crate::image::{Image, LISTED, OTHERS, SLOTS, bytes_of, checksum, header};
use crate::is_torture;
use crate::library::{call_everything, start};
use crate::tool;

/// The identity of the table that names the sound one as its predecessor.
const SUCCESSOR: u64 = 0x5ecc_e550_5ecc_e550;

/// Commands that read both tables, that bring entries over, and that replace the table once more.
const COMMANDS: [&str; 7] = [
    "verify",
    "list --all",
    "info",
    "forgive 192.0.2.1",
    "purge --reporter local",
    "black 203.0.112.50",
    "resize --slots 128",
];

/// The pair as it should be: what the old table lists is listed, and goes over. Caught: the old table
/// left unopened.
#[test]
fn a_sound_predecessor_is_used() {
    let stage = Stage::bare();
    let table = stage.table_path();
    pair(&table, |_| {});
    let mut library = start(&stage);
    for client in LISTED {
        assert_eq!(library.call("rbl_listed", &[client]), "yes", "{client}");
    }
    for client in OTHERS {
        let expected = if client == "2001:db8:1:5::9" { "yes" } else { "no" };
        assert_eq!(library.call("rbl_listed", &[client]), expected, "{client}");
    }
    library.call("rbl_forgive", &[LISTED[0]]);
    assert_eq!(library.call("rbl_listed", &[LISTED[0]]), "no", "and does not come back");
    assert_eq!(library.end(), [""; 0]);
}

/// Whatever stands in the old table's place.
///
/// Caught: a predecessor that is cut short is mapped all the same (a contained panic at "cut to its
/// header"); an event's number that is used as an index (all); a file that is opened in such a way that a
/// FIFO is waited for ("FIFO": eximrbl verify hangs).
#[test]
fn every_predecessor_is_survived() {
    let stage = Stage::bare();
    let scratch = Scratch::new("predecessor");
    let sound = &cases::all()[0];
    for (name, make) in predecessors() {
        pair(&stage.table_path(), make);
        let mut library = start(&stage);
        call_everything(&mut library, name);
        survived(&library.end(), name);
        for command in COMMANDS {
            pair(&scratch.join("table"), make);
            tool::run(&scratch, &sound.called(name), command);
        }
        let place = Place::new();
        pair(&place.table(), make);
        if let Ok(mut daemon) = Daemon::start(&place) {
            daemon.answers(name);
            daemon.ends_well(name);
        }
    }
}

/// Every damage that leaves the header whole, done to the old table, to the new one, and to both.
/// Caught: a panic at a state that no writer makes.
#[test]
fn every_damage_to_either_is_survived() {
    let stage = Stage::bare();
    let scratch = Scratch::new("predecessor");
    let mut count = 0;
    for (i, case) in cases::all().iter().step_by(if is_torture() { 1 } else { 4 }).enumerate() {
        if case.length.is_some()
            || case.damage().iter().any(|(place, _)| *place <= header::CHECKSUM)
        {
            continue;
        }
        let damage = |old: &mut Pair| {
            let words =
                case.damage().into_iter().filter(|(place, _)| *place != header::PREDECESSOR);
            if i % 3 != 0 {
                old.old.extend(words.clone());
            }
            if i % 3 != 1 {
                old.new.extend(words);
            }
        };
        damaged_pair(&stage.table_path(), damage);
        let mut library = start(&stage);
        call_everything(&mut library, &case.name);
        survived(&library.end(), &case.name);
        let one = i % COMMANDS.len();
        for command in if is_torture() { &COMMANDS[..] } else { &COMMANDS[one..=one] } {
            damaged_pair(&scratch.join("table"), damage);
            tool::run(&scratch, case, command);
        }
        count += 1;
    }
    eprintln!("{count} pairs of tables damaged");
    assert!(count > 50);
}

fn survived(logged: &[String], name: &str) {
    assert!(!logged.iter().any(|line| line.contains("internal error")), "{name}: {logged:?}");
}

/// Words of both tables that are other than in the sound one.
struct Pair {
    old: Vec<(usize, u64)>,
    new: Vec<(usize, u64)>,
}

/// Lays down an empty table, and the sound one as its predecessor, which `change` may then replace.
fn pair(table: &Path, change: impl Fn(&Path)) {
    damaged_pair(table, |_| {});
    change(table);
}

fn damaged_pair(table: &Path, damage: impl Fn(&mut Pair)) {
    clean(table);
    let image = Image::sound();
    let identity = image.words[header::IDENTITY];
    let mut new = vec![(header::PREDECESSOR, identity), (header::IDENTITY, SUCCESSOR)];
    new.extend(image.controls().map(|place| (place, 0)));
    new.extend((0..SLOTS).flat_map(|slot| image.body(slot)).map(|place| (place, 0)));
    let mut pair = Pair { old: vec![(header::RETIRED, 1)], new };
    damage(&mut pair);
    seal(&mut pair.new);
    image.lay_down(&old_path(table, identity), &pair.old, None);
    image.lay_down(table, &pair.new, None);
}

/// Makes the checksum right for a table whose identity is another.
fn seal(damage: &mut Vec<(usize, u64)>) {
    let mut fixed = Image::sound().words[..header::CHECKSUM].to_vec();
    for &(place, word) in damage.iter() {
        if let Some(fixed) = fixed.get_mut(place) {
            *fixed = word;
        }
    }
    damage.push((header::CHECKSUM, checksum(&fixed)));
}

fn old_path(table: &Path, identity: u64) -> PathBuf {
    PathBuf::from(format!("{}.old-{identity:016x}", table.display()))
}

/// Removes all tables beside a table.
fn clean(table: &Path) {
    let start = format!("{}.", table.file_name().unwrap().to_str().unwrap());
    for found in fs::read_dir(table.parent().unwrap()).unwrap() {
        let found = found.unwrap();
        if found.file_name().to_str().unwrap().starts_with(&start) {
            let _ = fs::remove_file(found.path());
            let _ = fs::remove_dir_all(found.path());
        }
    }
}

/// What may stand in the old table's place: a name, and who puts it there.
type Predecessor = (&'static str, fn(&Path));

/// All of them.
fn predecessors() -> Vec<Predecessor> {
    fn old(table: &Path) -> PathBuf {
        old_path(table, Image::sound().words[header::IDENTITY])
    }
    /// The sound table with other words, in the old one's place.
    fn with(table: &Path, mut damage: Vec<(usize, u64)>, length: Option<u64>) {
        seal(&mut damage);
        Image::sound().lay_down(&old(table), &damage, length);
    }
    vec![
        ("sound", |_| {}),
        ("missing", |table| fs::remove_file(old(table)).unwrap()),
        ("FIFO", |table| {
            fs::remove_file(old(table)).unwrap();
            run(Command::new("mkfifo").arg(old(table)));
        }),
        ("directory", |table| {
            fs::remove_file(old(table)).unwrap();
            fs::create_dir(old(table)).unwrap();
        }),
        ("link to itself", |table| {
            fs::remove_file(old(table)).unwrap();
            symlink(old(table), old(table)).unwrap();
        }),
        ("device", |table| {
            fs::remove_file(old(table)).unwrap();
            symlink("/dev/zero", old(table)).unwrap();
        }),
        ("empty", |table| fs::write(old(table), "").unwrap()),
        ("text", |table| fs::write(old(table), vec![b'x'; 9000]).unwrap()),
        ("closed to all", |table| {
            fs::set_permissions(old(table), PermissionsExt::from_mode(0o000)).unwrap();
        }),
        ("open to all", |table| {
            fs::set_permissions(old(table), PermissionsExt::from_mode(0o666)).unwrap();
        }),
        ("not retired", |table| with(table, vec![], None)),
        ("another table", |table| with(table, vec![(header::IDENTITY, 7)], None)),
        ("another seed", |table| with(table, vec![(header::SEED, 7)], None)),
        ("cut to its header", |table| with(table, vec![], Some(4096))),
        ("cut by a page", |table| {
            with(table, vec![], Some(Image::sound().words[header::BYTES] - 4096));
        }),
        ("smaller than it says", |table| {
            with(table, vec![(header::SLOTS, 1 << 28), (header::BYTES, bytes_of(1 << 28))], None);
        }),
        ("a hole of a million slots", |table| {
            let bytes = bytes_of(1 << 20);
            with(table, vec![(header::SLOTS, 1 << 20), (header::BYTES, bytes)], Some(bytes));
        }),
        ("the table itself", |table| {
            // Under its own identity, as a second name of the file.
            let mut damage = vec![(header::PREDECESSOR, SUCCESSOR), (header::IDENTITY, SUCCESSOR)];
            seal(&mut damage);
            Image::sound().lay_down(table, &damage, None);
            fs::hard_link(table, old_path(table, SUCCESSOR)).unwrap();
        }),
        ("a loop of two", |table| {
            with(table, vec![(header::RETIRED, 1), (header::PREDECESSOR, SUCCESSOR)], None);
            fs::hard_link(table, old_path(table, SUCCESSOR)).unwrap();
        }),
    ]
}

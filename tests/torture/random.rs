//! Dozens of writers upon few keys, killed at random instants and replaced, beside readers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eximrbl_table::{Counter, Report, dictionary, now};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::field::{Field, Kind};
use crate::writer::Writer;
use crate::{figures, is_long};

/// Writers at a time.
const WRITERS: usize = 24;
/// Readers at a time.
const READERS: usize = 2;
/// Writers that are killed together, when all are stopped.
const TOGETHER: usize = 6;
/// In the place of a writer who was killed, until the next one takes it.
const GONE: Pid = Pid::from_raw(0);
/// Processor time that the next writer may take at a killed one's key, half of the times. Far
/// more than he does; but other writers, who were put aside in the middle of a change, may make
/// him wait as well.
const USUAL_COST: Duration = Duration::from_millis(1);

/// Few keys and fewer slots: inserts race, and entries are evicted, forgiven, whitelisted and
/// made again all the time, with names that are interned meanwhile.
///
/// Caught: a plain store of life (an administrator's entry loses records); a stolen slot freed at
/// once (a slot holds what no writer writes); generations that do not grow at an eviction (a
/// white entry has reasons).
#[test]
fn killed_at_random_in_a_full_table() {
    let kills = if is_long() { 100_000 } else { 1_200 };
    torture(Kind::Churn, 32, kills, 1);
}

/// New clients all the time, each for all writers at once, and room for all: every record that
/// was acknowledged must be there.
///
/// Caught: a plain store of life (lost records); a counter added to by a load and a store.
#[test]
fn killed_at_random_with_new_clients() {
    let (kills, per_epoch) = if is_long() { (100_000, 10) } else { (1_200, 4) };
    let clients: usize = 8 * kills / per_epoch;
    torture(Kind::Exact, (2 * clients).next_power_of_two(), kills, per_epoch);
}

/// Kills writers one by one.
fn torture(kind: Kind, slots: usize, kills: usize, per_epoch: usize) {
    let field = Field::new(kind, slots, WRITERS, (kills + WRITERS) / per_epoch + 2);
    if kind == Kind::Churn {
        record_without_end(&field);
    }
    // A loaded machine may do fewer kills, but not take for ever.
    let deadline = Instant::now() + Duration::from_secs(if is_long() { 300 } else { 20 });
    let (is_over, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    answers.fetch_add(field.read(), Ordering::Relaxed);
                    // So that there are processors left to be killed on.
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        // Also when an assertion fails: the scope waits for its threads.
        let _over = Over(&is_over);
        let mut herd = Herd::new(&field);
        while herd.kills < kills && Instant::now() < deadline {
            let pause = Duration::from_micros(herd.draw(1500));
            std::thread::sleep(pause);
            if herd.draw(3) > 0 {
                herd.kill_one();
            } else {
                herd.kill_some_of_the_stopped();
            }
            if kind == Kind::Exact {
                let epoch = (herd.kills / per_epoch) as u64;
                field.tally.epoch().store(epoch, Ordering::SeqCst);
            }
        }
        assert!(herd.kills > 20, "this machine is too busy for this test");
        herd.end();
        herd.show(answers.load(Ordering::Relaxed));
    });
}

/// The administrator's entries stay, whatever happens around them.
fn record_without_end(field: &Field) {
    for key in field.kept() {
        let (network, reporter) = (field.network(key), dictionary::ADMIN);
        let report = Report {
            network,
            reason: dictionary::REJECT_BIT,
            reporter,
            weight: Some(1),
            seconds: None,
        };
        field.tally.begun(key).fetch_add(1, Ordering::SeqCst);
        field.stage.table.record_endless(&report, now()).unwrap();
        field.tally.acknowledged(key).fetch_add(1, Ordering::SeqCst);
    }
}

/// Tells the readers to end when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The writers.
struct Herd<'a> {
    field: &'a Field,
    parent: Writer,
    /// Who comes next to a key at which a writer was killed.
    peer: Writer,
    pids: Vec<Pid>,
    dice: u64,
    kills: usize,
    /// Of them, in the middle of a call.
    interrupted: usize,
    /// Claims of the dead that were swept right after their deaths.
    claims: usize,
    since_sweep: usize,
    waits: Vec<Duration>,
}

impl<'a> Herd<'a> {
    fn new(field: &'a Field) -> Self {
        let stage = &field.stage;
        let tally = stage.path().with_file_name("tally");
        let numbers = [WRITERS.to_string(), field.keys().len().to_string()];
        let arguments = [tally.to_str().unwrap(), &numbers[0], &numbers[1]];
        let mut herd = Self {
            field,
            parent: Writer::start_with(&stage.path(), &stage.log(), &arguments),
            peer: Writer::start(&stage.path(), &stage.log()),
            pids: Vec::new(),
            dice: 0x2545_f491_4f6c_dd1d,
            kills: 0,
            interrupted: 0,
            claims: 0,
            since_sweep: 0,
            waits: Vec::new(),
        };
        herd.parent.open();
        for row in 0..WRITERS {
            let pid = herd.hammer(row);
            herd.pids.push(pid);
        }
        herd
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 33) % below
    }

    fn hammer(&mut self, row: usize) -> Pid {
        let seed = self.draw(1 << 30) + 1;
        self.parent.child_to_hammer(row, seed, self.field.kind.name())
    }

    /// Kills one writer while the others run, has the next one come to the same key, and
    /// replaces him.
    fn kill_one(&mut self) {
        let row = self.choose();
        self.kill(row);
        self.come_next(row);
        self.pids[row] = self.hammer(row);
    }

    /// Stops everybody where he is, kills some of them there, looks closely, and lets the others
    /// go on.
    fn kill_some_of_the_stopped(&mut self) {
        for pid in alive(&self.pids) {
            kill(pid, Signal::SIGSTOP).unwrap();
        }
        for pid in alive(&self.pids) {
            let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
            assert!(matches!(status, WaitStatus::Stopped(_, Signal::SIGSTOP)), "{status:?}");
        }
        let stage = &self.field.stage;
        stage.sweep(now());
        let rested = stage.resting(now());
        let mut killed = Vec::new();
        for _ in 0..TOGETHER {
            let row = self.choose();
            self.kill(row);
            killed.push(row);
        }
        // Either the sweep comes first, or the next writers do.
        if self.draw(2) == 0 {
            let swept = stage.sweep(now()) as usize;
            let most = TOGETHER + rested as usize;
            assert!(swept <= most, "{swept} slots left behind, at most {most} are expected");
            self.claims += swept;
        }
        for &row in &killed {
            self.come_next(row);
        }
        self.look_closely(WRITERS);
        for pid in alive(&self.pids) {
            kill(pid, Signal::SIGCONT).unwrap();
        }
        for row in killed {
            self.pids[row] = self.hammer(row);
        }
    }

    /// Somebody who is in the middle of a call, if there is one.
    fn choose(&mut self) -> usize {
        let first = self.draw(WRITERS as u64) as usize;
        let rows = (0..WRITERS).map(|i| (first + i) % WRITERS);
        let mut alive = rows.filter(|&row| self.pids[row] != GONE);
        let busy = alive.clone().find(|&row| self.field.tally.is_calling(row));
        busy.or_else(|| alive.next()).unwrap()
    }

    fn kill(&mut self, row: usize) {
        let pid = std::mem::replace(&mut self.pids[row], GONE);
        kill(pid, Signal::SIGKILL).unwrap();
        reap(pid);
        self.kills += 1;
        self.since_sweep += 1;
    }

    /// The next writer comes to the key at which the one of this row was killed.
    fn come_next(&mut self, row: usize) {
        let tally = &self.field.tally;
        let Some(key) = tally.take_current(row) else { return };
        self.interrupted += 1;
        let is_exact = self.field.is_exact(key);
        if is_exact {
            tally.begun(key).fetch_add(1, Ordering::SeqCst);
        }
        // In a full table there may be no room for him, which is logged.
        let took = self.peer.call_and_log(&self.field.record(key));
        if is_exact {
            tally.acknowledged(key).fetch_add(1, Ordering::SeqCst);
        }
        self.waits.push(took.processor);
    }

    /// Nobody runs, but `alive` writers are somewhere in the middle of a change.
    fn look_closely(&mut self, alive: usize) {
        let stage = &self.field.stage;
        let most = self.since_sweep + alive;
        let is_verified = alive == 0 || self.draw(10) == 0;
        if is_verified {
            let left = stage.verify();
            assert!(left <= most, "{left} slots out of use, after {most} kills and stops");
        }
        stage.sweep(now());
        let resting = stage.resting(now());
        assert!(resting <= alive as u64, "{resting} slots at rest, and {alive} writers");
        if alive == 0 {
            assert_eq!((stage.sweep(now()), stage.verify()), (0, 0), "all are swept");
        }
        if is_verified {
            self.field.look_at_all();
        } else {
            self.field.look();
        }
        assert_eq!(stage.counter(Counter::RefusedContention), 0);
        if self.field.kind == Kind::Exact {
            let refused = stage.counter(Counter::RefusedFull);
            assert_eq!((stage.counter(Counter::Evicted), refused), (0, 0), "there is room for all");
        }
        self.since_sweep = 0;
    }

    /// Ends everybody, and looks for the last time.
    fn end(&mut self) {
        for &pid in &self.pids {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        self.pids.drain(..).for_each(reap);
        self.kills += WRITERS;
        self.since_sweep += WRITERS;
        self.look_closely(0);
        let tally = &self.field.tally;
        let (mut begun, mut acknowledged) = (0_u64, 0_u64);
        for key in self.field.keys().filter(|&key| self.field.is_exact(key)) {
            begun += u64::from(tally.begun(key).load(Ordering::SeqCst));
            acknowledged += u64::from(tally.acknowledged(key).load(Ordering::SeqCst));
        }
        let most = acknowledged + self.kills as u64;
        assert!(begun <= most, "{begun} calls begun, {acknowledged} acknowledged");
        if self.field.kind == Kind::Exact {
            let records = self.field.stage.counter(Counter::Records);
            assert!((acknowledged..=begun).contains(&records), "the counter says {records}");
        }
        let log = std::fs::read_to_string(self.field.stage.log()).unwrap();
        let is_known = |line: &str| line.contains("no room") && self.field.kind == Kind::Churn;
        let strange: Vec<_> = log.lines().filter(|line| !is_known(line)).collect();
        assert_eq!(strange, [""; 0], "in the log");
    }

    /// The line of figures.
    fn show(&mut self, answers: u64) {
        self.waits.sort();
        let usual = self.waits[self.waits.len() / 2];
        assert!(usual <= USUAL_COST, "at a killed writer's key, a call takes {usual:?}");
        let records = self.field.stage.counter(Counter::Records);
        let evicted = self.field.stage.counter(Counter::Evicted);
        figures(format_args!(
            "{:?}: {} writers killed at random, {} of them in the middle of a call; {records} \
             records, {evicted} evictions, {answers} answers to readers; no acknowledged record \
             lost, no torn or double answer; {} claims of the dead swept; the next writer takes \
             {} µs, {} µs at most",
            self.field.kind,
            self.kills,
            self.interrupted,
            self.claims,
            usual.as_micros(),
            self.waits.last().unwrap().as_micros()
        ));
    }
}

impl Drop for Herd<'_> {
    fn drop(&mut self) {
        for pid in alive(&self.pids) {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}

/// Those who are not dead yet.
fn alive(pids: &[Pid]) -> impl Iterator<Item = Pid> {
    pids.iter().copied().filter(|&pid| pid != GONE)
}

/// Waits for a killed child's end.
fn reap(pid: Pid) {
    let status = waitpid(pid, None).unwrap();
    let is_killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
    assert!(is_killed, "a writer ended by itself: {status:?}");
}

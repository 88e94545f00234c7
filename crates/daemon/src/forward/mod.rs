//! The forwarder: passes this host's reports on to gatherers, off the mail's path.
//!
//! ```text
//! Exim ─► table ─► ring of changes ─► feed ─► queue ─► connection ─► collector of a gatherer
//!                    │ overrun          ▲       │ answers: the place moves
//!                    └─► scan ──────────┘       └─► positions: a file beside the table
//! ```
//!
//! Exim touches the table alone, so whatever becomes of a gatherer costs no mail a microsecond.
//! What this host's own programs reported is passed on, by their reporters' marks; what came from
//! other hosts never is, so nothing goes round in circles.
//!
//! What holds:
//! * a report is passed on at least once, for as long as it is listed here: the place among the
//!   changes moves over lines only that were answered, and outlives restarts. When the ring has
//!   come round meanwhile, the table is looked through for what has changed since;
//! * memory is bounded: `buffer` lines for each gatherer;
//! * of one gatherer's trouble another one notices nothing.
//!
//! What does not: that each is counted once. Lines that were written when a connection broke are
//! sent again (at most `buffer` of them, as a rule none or one), and after a crash those of the last
//! second. A rejection may then count twice, which lengthens a listing, and starts none for a client
//! who was not rejected. And when changes were overwritten before they were read, counts are those
//! that can be told from the entries.
//!
//! A thread of its own does it all, with a task for each gatherer.

mod backoff;
mod connection;
mod credentials;
mod feed;
mod late;
mod line;
mod passing;
mod positions;
mod queue;
mod standing;
mod trouble;

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use eximrbl_zone::{Config, ForwardSettings, Gatherer};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_blocking, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use feed::{Feed, Progress};
use passing::{Passing, pass};
use positions::Positions;
use standing::Standing;

pub(crate) use credentials::{CredentialError, Credentials};
pub(crate) use standing::{Report, Standings};

use crate::seldom::Seldom;
use crate::served::Shared;

/// How often it is looked whether the configuration is another.
const LOOK: Duration = Duration::from_millis(200);
/// How often positions are kept.
const KEEP: Duration = Duration::from_secs(1);
/// How long a task may take to end.
const END: Duration = Duration::from_secs(2);
/// How long the start of them all may hold up that of the daemon.
const BEGIN: Duration = Duration::from_secs(5);
/// How long all of them may take when the daemon ends, with what is written to a slow disk: what was
/// passed on and is not noted then is passed on twice.
const ALL_END: Duration = Duration::from_secs(20);

/// The running thread.
pub(crate) struct Forwarder {
    stop: watch::Sender<bool>,
    ended: Receiver<()>,
}

/// A gatherer's task.
struct Running {
    to: Gatherer,
    /// With this gatherer alone.
    settings: ForwardSettings,
    standing: Arc<Standing>,
    place: Rc<Cell<Progress>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Whether the log says that it has ended; the place is kept all the same.
    is_end_told: bool,
}

/// Says so when the thread ends, however it does.
struct Ending {
    is_wanted: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_wanted {
            tracing::error!(
                "reports are not passed on any more, DNS is served as before; restart eximrbld"
            );
        }
    }
}

/// Checks the files that `[forward]` names.
pub(crate) fn check(config: &Config) -> Result<(), CredentialError> {
    config.forward.as_ref().map_or(Ok(()), |forward| Credentials::load(forward).map(drop))
}

/// Starts the thread. What goes wrong here is no reason to end.
pub(crate) fn start(shared: Arc<Shared>, standings: Standings) -> io::Result<Forwarder> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let (sender, ended) = channel();
    let (begin, begun) = channel();
    thread::Builder::new().name("forward".to_owned()).spawn(move || {
        // Dropped last, when all is done.
        let _sender = sender;
        let mut ending = Ending { is_wanted: false };
        LocalSet::new().block_on(&runtime, supervise(shared, standings, begin, stopped));
        // A scan may wait for a task that is gone; it sees that.
        runtime.shutdown_background();
        ending.is_wanted = true;
    })?;
    // What is reported once the daemon is ready is passed on.
    let _ = begun.recv_timeout(BEGIN);
    Ok(Forwarder { stop, ended })
}

impl Forwarder {
    /// Ends it, with what was passed on noted for the next start.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(true);
        // An error, either way: it is over, or takes too long.
        let _ = self.ended.recv_timeout(ALL_END);
    }
}

/// Keeps a task for each gatherer of the configuration in force, and their positions.
async fn supervise(
    shared: Arc<Shared>,
    standings: Standings,
    begin: Sender<()>,
    mut stop: watch::Receiver<bool>,
) {
    let mut config = shared.config();
    let mut keeping = Keeping::read(positions::path(&config.table.path));
    let mut running = adjust(Vec::new(), &shared, &config, &mut keeping, &standings).await;
    let _ = begin.send(());
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = sleep(LOOK) => {}
        }
        let now = shared.config();
        if !Arc::ptr_eq(&now, &config) {
            config = now;
            running = adjust(running, &shared, &config, &mut keeping, &standings).await;
        }
        running.iter_mut().for_each(Running::tell_end);
        keeping.keep(&running).await;
    }
    for running in &running {
        let _ = running.stop.send(true);
    }
    for running in &mut running {
        let _ = timeout(END, &mut running.task).await;
    }
    keeping.kept_at = None;
    keeping.keep(&running).await;
}

/// Ends the tasks of gatherers that are not wanted any more, or otherwise, and starts those that
/// are missing.
async fn adjust(
    running: Vec<Running>,
    shared: &Arc<Shared>,
    config: &Config,
    keeping: &mut Keeping,
    standings: &Standings,
) -> Vec<Running> {
    let wanted: Vec<_> = config.forward.iter().flat_map(apart).collect();
    let (mut kept, ended): (Vec<_>, Vec<_>) = running
        .into_iter()
        .partition(|running| wanted.iter().any(|(_, settings)| *settings == running.settings));
    let mut places = keeping.positions.clone();
    for running in &ended {
        let _ = running.stop.send(true);
    }
    let mut unwanted = Vec::new();
    for mut running in ended {
        let _ = timeout(END, &mut running.task).await;
        running.task.abort();
        places.insert(running.to.to_string(), running.place.get());
        if !wanted.iter().any(|(to, _)| *to == running.to) {
            unwanted.push(running.to);
        }
    }
    let mut new = Vec::new();
    for (to, settings) in wanted {
        if kept.iter().any(|running| running.settings == settings) {
            continue;
        }
        let from = places.get(&to.to_string()).copied();
        let feed = Feed::new(shared.clone(), &settings.reporters, from);
        let standing = Arc::new(Standing::new(to.to_string()));
        let passing = Passing::new(to, settings, feed, standing);
        places.insert(passing.to.to_string(), passing.place.get());
        new.push(passing);
    }
    // Kept before anything is passed on: whatever comes then is not missed after a crash.
    let known = |to: &str| {
        let is_new = new.iter().any(|passing| passing.to.to_string() == to);
        is_new || kept.iter().any(|running| running.to.to_string() == to)
    };
    places.retain(|to, _| known(to));
    keeping.write(places).await;
    kept.extend(new.into_iter().map(Running::start));
    standings.set(kept.iter().map(|running| running.standing.clone()).collect());
    // When it is told, `eximrbl info --daemon` knows it, too.
    for to in unwanted {
        tracing::info!("reports are not passed on to {to} any more");
    }
    kept
}

impl Running {
    fn start(passing: Passing) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self {
            to: passing.to.clone(),
            settings: passing.settings.clone(),
            standing: passing.standing.clone(),
            place: passing.place.clone(),
            stop,
            task: spawn_local(pass(passing, stopped)),
            is_end_told: false,
        }
    }

    /// Says so, once, when it has ended by itself.
    fn tell_end(&mut self) {
        if self.task.is_finished() && !std::mem::replace(&mut self.is_end_told, true) {
            tracing::error!(
                "reports are not passed on to {} any more, for an internal error; restart eximrbld",
                self.to
            );
        }
    }
}

/// Settings for each gatherer by itself.
fn apart(all: &ForwardSettings) -> impl Iterator<Item = (Gatherer, ForwardSettings)> + '_ {
    all.to.iter().map(|to| (to.clone(), ForwardSettings { to: vec![to.clone()], ..all.clone() }))
}

/// Keeps positions in their file.
struct Keeping {
    path: PathBuf,
    /// As they are in the file.
    positions: Positions,
    kept_at: Option<Instant>,
    seldom: Seldom<()>,
}

impl Keeping {
    fn read(path: PathBuf) -> Self {
        let positions = positions::read(&path).unwrap_or_else(|error| {
            tracing::warn!(
                "{}: cannot be read: {error}; what is reported from now on is passed on",
                path.display()
            );
            Positions::new()
        });
        Self { path, positions, kept_at: None, seldom: Seldom::default() }
    }

    /// Writes the file, if it is time to.
    async fn keep(&mut self, running: &[Running]) {
        if self.kept_at.is_some_and(|at| at.elapsed() < KEEP) {
            return;
        }
        let place = |running: &Running| (running.to.to_string(), running.place.get());
        self.write(running.iter().map(place).collect()).await;
    }

    /// Writes the file, if something has changed.
    async fn write(&mut self, positions: Positions) {
        // The time alone passes without a change, too.
        let place = |(to, progress): (&String, &Progress)| (to.clone(), progress.position);
        if positions.iter().map(place).eq(self.positions.iter().map(place)) {
            return;
        }
        self.kept_at = Some(Instant::now());
        let (path, written) = (self.path.clone(), positions.clone());
        let written = spawn_blocking(move || positions::write(&path, &written)).await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => self.positions = positions,
            Err(error) => {
                if let Some(say) = self.seldom.say((), std::time::Instant::now()) {
                    tracing::warn!(
                        "{}: cannot be written: {error}; after a restart, reports may be passed on \
                         twice{say}",
                        self.path.display()
                    );
                }
            }
        }
    }
}

//! Keeps the table and the configuration: reopens a table that was replaced, makes one when it is
//! gone or not whole any more, removes what has expired, and reloads the configuration when ordered
//! to.
//!
//! All that may wait for a disk or a lock is done by this one thread, so that answers never wait,
//! and no two changes of what is served meet.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use eximrbl_table::{Expiry, WritableTable};
use eximrbl_zone::{Config, ConfigError};
use sd_notify::NotifyState;

use crate::command_line::CommandLine;
use crate::privileges::Identity;
use crate::served::{ServeError, Served, Shared};
use crate::systemd::{notify, notify_reloading};
use crate::table_file::{Origin, TableError, open_or_make};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the table is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The order to reload the configuration.
pub(crate) struct Reload;

/// What the thread owns.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) command_line: CommandLine,
    pub(crate) identity: Identity,
    /// The configuration in force.
    pub(crate) config: Config,
}

/// Why a configuration was not reloaded.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Starts the thread. `ended` is dropped when it ends, for whatever cause.
pub(crate) fn start(
    keeper: Keeper,
    ended: tokio::sync::oneshot::Sender<()>,
) -> std::io::Result<Sender<Reload>> {
    let (sender, orders) = channel();
    thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        let _ended = ended;
        keep(keeper, &orders);
    })?;
    Ok(sender)
}

/// Works until the serving thread ends.
fn keep(mut keeper: Keeper, orders: &Receiver<Reload>) {
    let mut told = None;
    let mut swept = None;
    loop {
        let order = orders.recv_timeout(LOOK_EVERY);
        keeper.look(&mut told);
        match order {
            Ok(Reload) => keeper.reload(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if swept.is_none_or(|at: Instant| at.elapsed() >= SWEEP_EVERY) {
            keeper.sweep();
            swept = Some(Instant::now());
        }
    }
}

impl Keeper {
    /// Sees to it that the table which is served is the one at the configured path. `told` is the
    /// trouble that was logged last, so that it is told once and not every second.
    fn look(&self, told: &mut Option<String>) {
        let path = &self.config.table.path;
        if self.shared.served().table.is_current(path) {
            *told = None;
            return;
        }
        match self.renew() {
            Ok(what) => {
                tracing::warn!("table {} {what}", path.display());
                self.identity.give_to_exim(path);
                *told = None;
            }
            Err(error) => {
                let trouble = match error {
                    // The old one's pages may be gone.
                    ServeError::Table(TableError::Create(_) | TableError::MoveAside { .. }) => {
                        format!("no new table yet: {error}")
                    }
                    error => format!("still serving the table as it was: {error}"),
                };
                if told.as_ref() != Some(&trouble) {
                    tracing::error!("{trouble}");
                    *told = Some(trouble);
                }
            }
        }
    }

    /// Serves the table that is at the path now, or a new one; says what it did.
    fn renew(&self) -> Result<&'static str, ServeError> {
        let settings = &self.config.table;
        let (table, origin) = open_or_make(&settings.path, settings.slots, &self.identity)?;
        self.serve(&self.config, Arc::new(table))?;
        Ok(match origin {
            Origin::Found => "was replaced; reopened",
            Origin::Made => "was gone; made an empty one",
            Origin::Remade => "was damaged; made an empty one",
        })
    }

    /// Puts the configuration file's zones and policy in force. What is wrong is said, and then
    /// all stays as it was.
    fn reload(&mut self) {
        notify_reloading();
        match self.try_reload() {
            Ok(zones) => tracing::info!("reloaded; zones: {zones}"),
            Err(error) => {
                tracing::error!("not reloaded, the old configuration stays: {error}");
            }
        }
        notify(&[NotifyState::Ready]);
    }

    /// Reloads; the number of zones.
    fn try_reload(&mut self) -> Result<usize, ReloadError> {
        let new = keep_fixed(self.command_line.load()?, &self.config);
        self.serve(&new, self.shared.served().table.clone())?;
        self.config = new;
        Ok(self.config.zones.len())
    }

    fn serve(&self, config: &Config, table: Arc<WritableTable>) -> Result<(), ServeError> {
        self.shared.replace(Served::new(config, self.command_line.has_policy(), table)?);
        Ok(())
    }

    /// Removes what has expired, and takes back the slots of dead writers.
    fn sweep(&self) {
        let swept = self.shared.served().table.sweep(eximrbl_table::now(), Expiry::Due);
        if swept.reclaimed > 0 {
            tracing::info!("took back {} slots of writers that died", swept.reclaimed);
        }
        tracing::debug!("swept: {} expired", swept.expired);
    }
}

/// Keeps the settings that only a restart changes, and says so when they were changed.
fn keep_fixed(mut new: Config, old: &Config) -> Config {
    let fixed = [
        ("table.path", new.table.path != old.table.path),
        ("dns.listen", new.dns.listen != old.dns.listen),
        ("dns.user", new.dns.user != old.dns.user),
    ];
    for (key, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{key} has changed; restart eximrbld for that");
    }
    new.table.path.clone_from(&old.table.path);
    new.dns.listen.clone_from(&old.dns.listen);
    new.dns.user.clone_from(&old.dns.user);
    new
}

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

use eximrbl_dns::Guard;
use eximrbl_table::{Expiry, Table, UnixSeconds};
use eximrbl_zone::{AuditSettings, Config, ConfigError};
use sd_notify::NotifyState;

use crate::collector::{Material, MaterialError};
use crate::command_line::CommandLine;
use crate::expiries::Expiries;
use crate::guarding::{Guarding, SecretFileError};
use crate::holes;
use crate::privileges::Identity;
use crate::resizes::{self, Resizes};
use crate::served::{ServeError, Served, Shared};
use crate::systemd::{notify, notify_reloading};
use crate::table_file::{Origin, TableError, open_or_make};
use crate::work::worked;
use crate::writing::Writer;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the table is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Of its time, the thread that sweeps works one part in so many: a table of ten million entries takes
/// a third of a second, which answers would miss. Whether an entry has ended, every look-up sees for itself.
/// What counts is the processor's time: waiting for one, or for a disk, takes nothing from answers.
const SWEEP_SHARE: u32 = 200;
/// The longest time between two sweeps, for tables of any size.
const SWEEP_AT_LEAST_EVERY: Duration = Duration::from_secs(300);

/// The order to reload the configuration.
pub(crate) struct Reload;

/// What the thread owns.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    command_line: CommandLine,
    identity: Identity,
    /// The configuration in force.
    config: Config,
    writer: Writer,
    guarding: Guarding,
    expiries: Expiries,
    resizes: Resizes,
    /// Whether reports can be passed on: whoever does not want that at the start gives up the right to
    /// connect to others.
    can_forward: bool,
    /// The trouble that was logged last, so that it is told once and not every second.
    told: Option<String>,
}

/// Why a configuration was not reloaded.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Secrets(#[from] SecretFileError),
    #[error(transparent)]
    Material(#[from] MaterialError),
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
    resizes::clean_up(&keeper.config.table.path);
    let mut sweep_at = Instant::now();
    loop {
        let order = orders.recv_timeout(LOOK_EVERY);
        keeper.look();
        match order {
            Ok(Reload) => keeper.reload(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let (now, expiry) = keeper.expiries.look();
        if Instant::now() >= sweep_at {
            let begun = worked();
            keeper.finish_resize();
            keeper.sweep(now, expiry);
            sweep_at = Instant::now() + rest_after(worked().saturating_sub(begun));
        }
    }
}

/// How long to wait after a sweep that took so long.
fn rest_after(sweep: Duration) -> Duration {
    (sweep * SWEEP_SHARE).clamp(SWEEP_EVERY, SWEEP_AT_LEAST_EVERY)
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        command_line: CommandLine,
        identity: Identity,
        config: Config,
        writer: Writer,
        guarding: Guarding,
    ) -> Self {
        let expiries = Expiries::of(&shared.served().table);
        let resizes = Resizes::default();
        let can_forward = config.forward.is_some();
        Self {
            shared,
            command_line,
            identity,
            config,
            writer,
            guarding,
            expiries,
            resizes,
            can_forward,
            told: None,
        }
    }

    /// Sees to it that the table which is served is the one at the configured path.
    fn look(&mut self) {
        let path = self.config.table.path.clone();
        let table = self.shared.served().table.clone();
        // After a resize it is opened once more, to let go of the old one's memory.
        if table.is_current(&path) && !table.holds_old() {
            self.told = None;
            return;
        }
        match self.renew(&table) {
            Ok(()) => {
                self.identity.give_to_exim(&path);
                holes::fill(&path);
                self.told = None;
            }
            Err(error) => {
                let trouble = match error {
                    // The old one's pages may be gone.
                    ServeError::Table(TableError::Create(_) | TableError::MoveAside { .. }) => {
                        format!("no new table yet: {error}")
                    }
                    error => format!("still serving the table as it was: {error}"),
                };
                if self.told.as_ref() != Some(&trouble) {
                    tracing::error!("{trouble}");
                    self.told = Some(trouble);
                }
            }
        }
    }

    /// Serves the table that is at the path now, or a new one, in place of `old`; says what it did.
    fn renew(&mut self, old: &Table) -> Result<(), ServeError> {
        let settings = self.config.table.clone();
        let (table, origin) = open_or_make(&settings.path, settings.slots, &self.identity)?;
        let info = table.info(eximrbl_table::now());
        self.serve_table(Arc::new(table))?;
        self.expiries.made(info.created);
        let path = settings.path.display();
        match origin {
            // The old one is whole, or at least not cut short at this path: it may be looked at.
            Origin::Found if old.is_current(&settings.path) => {}
            Origin::Found if old.is_retired() => {
                tracing::info!("table {path} was resized to {} slots", info.slots);
            }
            Origin::Found => tracing::warn!("table {path} was replaced; reopened"),
            Origin::Made => tracing::warn!("table {path} was gone; made an empty one"),
            Origin::Remade => tracing::warn!("table {path} was damaged; made an empty one"),
        }
        Ok(())
    }

    /// Finishes a resize that was interrupted.
    fn finish_resize(&mut self) {
        let served = self.shared.served();
        // Of a table that was cut short since the last look nothing may be touched.
        if served.table.is_current(&self.config.table.path) {
            self.resizes.look(&served.table, &mut self.writer);
        }
    }

    /// Puts the configuration file's zones, policy and guard in force. What is wrong is said, and then
    /// all stays as it was.
    fn reload(&mut self) {
        notify_reloading();
        match self.try_reload() {
            Ok(zones) if self.shared.served().is_complete || !self.command_line.has_policy() => {
                tracing::info!("reloaded; zones: {zones}");
            }
            Ok(zones) => {
                tracing::warn!(
                    "reloaded, but for the policy: the table can only be read; zones: {zones}"
                );
            }
            Err(error) => {
                tracing::error!("not reloaded, the old configuration stays: {error}");
            }
        }
        notify(&[NotifyState::Ready]);
    }

    /// Reloads; the number of zones.
    fn try_reload(&mut self) -> Result<usize, ReloadError> {
        let new = keep_fixed(self.command_line.load()?, &self.config, self.can_forward);
        let served = self.shared.served();
        // The collector reads these itself; what is wrong with them leaves everything as it was.
        Material::read(&new)?;
        let guard = self.guarding.guard(&new.dns, Some(&served.service.guard))?;
        self.serve(&new, served.table.clone(), guard)?;
        self.shared.configure(new.clone());
        self.config = new;
        Ok(self.config.zones.len())
    }

    /// Serves another table with the configuration in force.
    fn serve_table(&mut self, table: Arc<Table>) -> Result<(), ServeError> {
        let guard = self.shared.served().service.guard.clone();
        self.serve(&self.config.clone(), table, guard)
    }

    fn serve(
        &mut self,
        config: &Config,
        table: Arc<Table>,
        guard: Arc<Guard>,
    ) -> Result<(), ServeError> {
        let has_policy = self.command_line.has_policy();
        let writable = self.writer.open(&table);
        let served = Served::new(config, has_policy, table, writable.as_ref(), guard)?;
        self.shared.replace(served);
        Ok(())
    }

    /// Removes what has expired, if the clock can be trusted, and takes back the slots of dead
    /// writers. `now` is the time that was judged: the clock may be set at any instant.
    fn sweep(&mut self, now: UnixSeconds, expiry: Expiry) {
        let served = self.shared.served();
        if !served.is_complete || !served.table.is_policy_sound() {
            self.complete();
        }
        let Some(table) = self.writer.open(&self.shared.served().table) else { return };
        let swept = table.sweep(now, expiry);
        if swept.reclaimed > 0 {
            tracing::info!("took back {} slots of writers that died", swept.reclaimed);
        }
        if swept.shortened > 0 {
            tracing::info!(
                "{} entries would have outlived max_ttl, and now end by it",
                swept.shortened
            );
        }
        tracing::debug!("swept: {} expired", swept.expired);
    }

    /// Tries again to put in force what a table that could not be written kept from it.
    fn complete(&mut self) {
        if let Err(error) = self.serve_table(self.shared.served().table.clone()) {
            tracing::debug!("not all of the configuration is in force: {error}");
        }
    }
}

/// Keeps the settings that only a restart changes, and says so when they were changed.
fn keep_fixed(mut new: Config, old: &Config, can_forward: bool) -> Config {
    let places = |config: &Config| {
        let collector = config.collector.clone();
        collector.map(|collector| (collector.tcp, collector.udp, collector.tls, collector.unix))
    };
    let trail = |config: &Config| config.audit.as_ref().map(|audit| audit.file.clone());
    let fixed = [
        ("table.path", new.table.path != old.table.path),
        ("dns.listen", new.dns.listen != old.dns.listen),
        ("dns.workers", new.dns.workers != old.dns.workers),
        ("dns.user", new.dns.user != old.dns.user),
        ("control.socket", new.control.socket != old.control.socket),
        ("where [collector] listens", places(&new) != places(old)),
        ("forward", new.forward.is_some() && !can_forward),
        ("audit.file", trail(&new) != trail(old)),
        ("nats", new.nats != old.nats),
    ];
    for (key, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{key} has changed; restart eximrbld for that");
    }
    new.table.path.clone_from(&old.table.path);
    new.dns.listen.clone_from(&old.dns.listen);
    new.dns.workers = old.dns.workers;
    new.dns.user.clone_from(&old.dns.user);
    new.control.clone_from(&old.control);
    match (&mut new.collector, &old.collector) {
        (Some(new), Some(old)) => {
            new.tcp.clone_from(&old.tcp);
            new.udp.clone_from(&old.udp);
            new.tls.clone_from(&old.tls);
            new.unix.clone_from(&old.unix);
        }
        (new, old) => new.clone_from(old),
    }
    new.forward = new.forward.filter(|_| can_forward);
    let trail = old.audit.as_ref().map(|audit| audit.file.clone());
    new.audit = trail.map(|file| AuditSettings { file, ..new.audit.unwrap_or_default() });
    new.nats.clone_from(&old.nats);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tables_are_swept_more_seldom() {
        let rest = |milliseconds| rest_after(Duration::from_millis(milliseconds)).as_secs();
        assert_eq!([0, 1, 25, 300, 60_000].map(rest), [5, 5, 5, 60, 300]);
    }
}

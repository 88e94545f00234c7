//! From the command line to serving, in the order that rights demand.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use eximrbl_table::Table;
use eximrbl_zone::{Config, ConfigError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::collector::{self, Counts, Material, MaterialError, Sockets};
use crate::command_line::CommandLine;
use crate::confinement::{Kept, confine};
use crate::control::{self, ControlSocket, Facts};
use crate::forward::{self, CredentialError, Forwarder, Standings};
use crate::guarding::{self, Guarding, SecretFileError};
use crate::keeper::Keeper;
use crate::listen::{self, ListenError};
#[cfg(feature = "nats")]
use crate::nats;
use crate::privileges::{self, Identity, PrivilegeError};
use crate::served::{ServeError, Served, Shared};
use crate::server::{self, ServerError};
use crate::table_file::{Origin, TableError, open_or_make};
use crate::writing::Writer;
use crate::{audit, holes, log, panics, udp};

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("no random numbers from the kernel: {0}")]
    Random(io::Error),
    #[error(transparent)]
    Secrets(#[from] SecretFileError),
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] nats::LoginError),
    #[error(transparent)]
    Forward(#[from] CredentialError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("reports cannot be collected: {0}")]
    Reports(io::Error),
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// Does what the command line says; the whole program.
pub(crate) fn run(command_line: CommandLine) -> ExitCode {
    if command_line.check_config {
        return check(&command_line);
    }
    log::start(command_line.log);
    panics::install_hook();
    match start(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks the configuration file and says what was found.
fn check(command_line: &CommandLine) -> ExitCode {
    let checked = command_line.load().map_err(StartError::from).and_then(|config| {
        guarding::secrets(&config.dns)?;
        Material::read(&config)?;
        forward::check(&config)?;
        #[cfg(feature = "nats")]
        config.nats.as_ref().map(nats::check).transpose()?;
        Ok(config)
    });
    match checked {
        Ok(config) => {
            let zones = config.zones.len();
            let word = if zones == 1 { "zone" } else { "zones" };
            // Nobody may be reading; the exit status says it too.
            let _ = writeln!(std::io::stdout(), "OK: {zones} {word}");
            let user = privileges::user_warning(&config.dns.user);
            for warning in user.into_iter().chain(Material::warnings(&config)) {
                let _ = writeln!(std::io::stderr(), "warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that needs rights first, then the drop of rights, then the rest.
fn start(command_line: CommandLine) -> Result<(), StartError> {
    tracing::info!("eximrbld {}", env!("CARGO_PKG_VERSION"));
    let config = command_line.load()?;
    let identity = Identity::find(&config.dns.user)?;
    let (_, origin) = open_or_make(&config.table.path, config.table.slots, &identity)?;
    let listeners = listen::bind_all(&config.dns.listen, udp::workers(&config.dns))?;
    let mut collecting = config.collector.as_ref().map(Sockets::bind).transpose()?;
    let report_path = config.collector.as_ref().and_then(|collector| collector.unix.as_deref());
    let trail = config.audit.as_ref().map(|audit| audit.file.as_path());
    for file in [config.control.socket.as_deref(), report_path, trail] {
        make_folder(file, &identity);
    }
    identity.drop_privileges()?;
    let control = bind_control(&config, &identity);
    let reports = report_path.and_then(|path| bind_reports(path, &identity));
    let sockets: Vec<_> = control.iter().chain(&reports).map(ControlSocket::folder).collect();
    let trail: Vec<_> = trail.and_then(Path::parent).into_iter().collect();
    let connects = config.forward.is_some() || config.nats.is_some();
    confine(&config.table.path, Kept { removes: &sockets, writes: &trail, connects });
    // Opened once more: what the unprivileged user cannot open, it could not reopen later.
    let table = Arc::new(Table::open(&config.table.path).map_err(TableError::from)?);
    identity.give_to_exim(&config.table.path);
    tell(&config, origin);
    holes::fill(&config.table.path);
    let mut writer = Writer::new(config.table.path.clone());
    let writable = writer.open(&table);
    // Read after the drop of rights, for the same reason.
    let guarding = Guarding::draw().map_err(StartError::Random)?;
    let guard = guarding.guard(&config.dns, None)?;
    let served = Served::new(&config, command_line.has_policy(), table, writable.as_ref(), guard)?;
    drop(writable);
    let shared = Arc::new(Shared::new(served, config.clone()));
    let standings = Standings::default();
    #[cfg(feature = "nats")]
    let exchanging = config.nats.as_ref().map(|settings| Arc::new(nats::Standing::new(settings)));
    let material = Material::read(&config)?;
    Material::warnings(&config).iter().for_each(|warning| tracing::warn!("{warning}"));
    let collected = collecting.as_ref().map(|_| Arc::new(Counts::default()));
    if let (Some(sockets), Some(socket)) = (&mut collecting, &reports) {
        sockets.add_unix(socket).map_err(StartError::Reports)?;
    }
    if let Some(control) = &control {
        let listen = listeners.iter().map(|listener| listener.address).collect();
        let mut facts = Facts::new(shared.clone(), config.table.path.clone(), listen);
        facts.add_forwarding(standings.clone());
        #[cfg(feature = "nats")]
        facts.add_exchange(exchanging.clone());
        if let (Some(sockets), Some(counts)) = (&collecting, &collected) {
            facts.add_collector(sockets.shown.clone(), counts.clone());
        }
        if let Err(error) = control.listener().and_then(|socket| control::start(socket, facts)) {
            tracing::warn!("the control socket is not served: {error}");
        }
    }
    if let (Some(sockets), Some(counts)) = (collecting, collected) {
        raise_files();
        collector::start(sockets, material, shared.clone(), counts).map_err(StartError::Reports)?;
    }
    let forwarder = start_forwarder(&config, &shared, standings);
    if let Err(error) = audit::start(shared.clone()) {
        tracing::error!("no audit trail, DNS is served without: {error}");
    }
    #[cfg(feature = "nats")]
    exchange(&config, &shared, exchanging);
    #[cfg(not(feature = "nats"))]
    if config.nats.is_some() {
        tracing::error!("nothing is exchanged over NATS: this eximrbld was built without it");
    }
    let keeper = Keeper::new(shared.clone(), command_line, identity, config, writer, guarding);
    let ended = server::run(keeper, shared, listeners);
    if let Some(forwarder) = forwarder {
        forwarder.stop();
    }
    Ok(ended?)
}

/// Starts the exchange with other sites, if there is to be one.
#[cfg(feature = "nats")]
fn exchange(config: &Config, shared: &Arc<Shared>, standing: Option<Arc<nats::Standing>>) {
    let (Some(settings), Some(standing)) = (&config.nats, standing) else { return };
    if let Err(error) = nats::start(settings.clone(), shared.clone(), standing) {
        tracing::error!("nothing is exchanged over NATS: {error}");
    }
}

/// Starts to pass reports on, if that is wanted. Without it, DNS is served all the same.
fn start_forwarder(
    config: &Config,
    shared: &Arc<Shared>,
    standings: Standings,
) -> Option<Forwarder> {
    config.forward.as_ref()?;
    forward::start(shared.clone(), standings)
        .inspect_err(|error| tracing::error!("reports are not passed on: {error}"))
        .ok()
}

/// Makes the folder of a socket, or of the audit trail, for the user that the daemon becomes, where
/// systemd does not make it. A socket's goes with each start of the machine.
fn make_folder(file: Option<&Path>, identity: &Identity) {
    let folder = file.and_then(Path::parent);
    if let Some(folder) = folder.filter(|folder| !folder.exists())
        && let Err(error) = identity.make_directory(folder)
    {
        tracing::debug!("{}: not made: {error}", folder.display());
    }
}

/// Binds the control socket, if there is to be one. Without it, DNS is served all the same.
fn bind_control(config: &Config, identity: &Identity) -> Option<ControlSocket> {
    let path = config.control.socket.as_deref()?;
    ControlSocket::bind(path, identity)
        .inspect(|_| tracing::info!("control socket {}", path.display()))
        .inspect_err(|error| tracing::warn!("no control socket, DNS is served without: {error}"))
        .ok()
}

/// Binds the Unix socket for reports. Without it, the other ways are served all the same.
fn bind_reports(path: &Path, identity: &Identity) -> Option<ControlSocket> {
    ControlSocket::bind(path, identity)
        .inspect(|_| tracing::info!("collecting reports on {}", path.display()))
        .inspect_err(|error| tracing::error!("no socket for reports of this host: {error}"))
        .ok()
}

/// Lets the process open as many files as it may: connections need one each.
fn raise_files() {
    let limits = getrlimit(Resource::RLIMIT_NOFILE);
    let raised = limits.and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!("the number of files that may be open stays: {error}");
    }
}

/// Says in the log what is served.
fn tell(config: &Config, origin: Origin) {
    let table = config.table.path.display();
    tracing::info!("table {table}{}", if origin == Origin::Found { "" } else { ", newly made" });
    for zone in &config.zones {
        tracing::info!("zone {}, {}", zone.name, if zone.white { "white" } else { "black" });
    }
}

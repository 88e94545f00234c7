//! From the command line to serving, in the order that rights demand.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use eximrbl_table::Table;
use eximrbl_zone::{Config, ConfigError};

use crate::command_line::CommandLine;
use crate::confinement::{Kept, confine};
use crate::control::{self, ControlSocket, Facts};
use crate::guarding::{self, Guarding, SecretFileError};
use crate::keeper::Keeper;
use crate::listen::{self, ListenError};
use crate::privileges::{self, Identity, PrivilegeError};
use crate::served::{ServeError, Served, Shared};
use crate::server::{self, ServerError};
use crate::table_file::{Origin, TableError, open_or_make};
use crate::writing::Writer;
use crate::{holes, log, panics, udp};

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
    Nats(#[from] crate::nats::LoginError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Server(#[from] ServerError),
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
        #[cfg(feature = "nats")]
        config.nats.as_ref().map(crate::nats::check).transpose()?;
        Ok(config)
    });
    match checked {
        Ok(config) => {
            let zones = config.zones.len();
            let word = if zones == 1 { "zone" } else { "zones" };
            // Nobody may be reading; the exit status says it too.
            let _ = writeln!(std::io::stdout(), "OK: {zones} {word}");
            if let Some(warning) = privileges::user_warning(&config.dns.user) {
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
    make_control_folder(&config, &identity);
    identity.drop_privileges()?;
    let control = bind_control(&config, &identity);
    let sockets: Vec<_> = control.iter().map(ControlSocket::folder).collect();
    let connects = config.nats.is_some();
    confine(&config.table.path, Kept { removes: &sockets, connects, ..Kept::default() });
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
    if let Some(control) = &control {
        let listen = listeners.iter().map(|listener| listener.address).collect();
        let facts = Facts::new(shared.clone(), config.table.path.clone(), listen);
        if let Err(error) = control.listener().and_then(|socket| control::start(socket, facts)) {
            tracing::warn!("the control socket is not served: {error}");
        }
    }
    exchange(&config, &shared);
    let keeper = Keeper::new(shared.clone(), command_line, identity, config, writer, guarding);
    Ok(server::run(keeper, shared, listeners)?)
}

/// Starts the exchange with other sites, if there is to be one.
fn exchange(config: &Config, shared: &Arc<Shared>) {
    let Some(settings) = &config.nats else { return };
    #[cfg(feature = "nats")]
    if let Err(error) = crate::nats::start(settings.clone(), shared.clone()) {
        tracing::error!("nothing is exchanged over NATS: {error}");
    }
    #[cfg(not(feature = "nats"))]
    {
        let _ = (settings, shared);
        tracing::error!("nothing is exchanged over NATS: this eximrbld was built without it");
    }
}

/// Makes the control socket's folder, for the user that the daemon becomes. It goes with each start
/// of the machine where systemd does not make it.
fn make_control_folder(config: &Config, identity: &Identity) {
    let folder = config.control.socket.as_deref().and_then(Path::parent);
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

/// Says in the log what is served.
fn tell(config: &Config, origin: Origin) {
    let table = config.table.path.display();
    tracing::info!("table {table}{}", if origin == Origin::Found { "" } else { ", newly made" });
    for zone in &config.zones {
        tracing::info!("zone {}, {}", zone.name, if zone.white { "white" } else { "black" });
    }
}

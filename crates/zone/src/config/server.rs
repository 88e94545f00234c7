//! Settings of the server itself: TCP connections, the control socket.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::error::{Key, Wrong};
use super::sections::{absolute, number};
use super::spec::{ControlSpec, TcpSpec};

/// Where the control socket is when nothing else is said.
pub const CONTROL_PATH: &str = "/run/eximrbl/control";

/// TCP connections. Each takes a file of the process.
const CONNECTIONS: RangeInclusive<u64> = 1..=10_000;
/// Seconds that a client may take.
const PATIENCE: RangeInclusive<u64> = 1..=3600;
/// Longest path of a Unix socket: `sun_path` of unix(7) without its end.
const SOCKET_PATH_MAX: usize = 107;

/// Limits of DNS by TCP (RFC 7766).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Connections in all.
    pub connections: u32,
    /// Connections of one client: an IPv4 address, or an IPv6 /64.
    pub connections_per_client: u32,
    /// Seconds that a connection may be idle.
    pub idle_timeout: u32,
    /// Seconds that a query may take to arrive, or responses to leave.
    pub io_timeout: u32,
}

/// How the daemon is asked about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// The Unix socket; `None` for none.
    pub socket: Option<PathBuf>,
}

impl Default for TcpSettings {
    fn default() -> Self {
        // A resolver needs a connection or two, and seconds (RFC 7766 section 6.2.3).
        Self { connections: 256, connections_per_client: 32, idle_timeout: 10, io_timeout: 10 }
    }
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self { socket: Some(CONTROL_PATH.into()) }
    }
}

/// `[dns.tcp]`
pub(super) fn tcp(top: &Key, spec: TcpSpec) -> Result<TcpSettings, Wrong> {
    let default = TcpSettings::default();
    let setting = |name, value, default: u32, range| {
        number(top, name, value, u64::from(default), range).map(|n| n as u32)
    };
    let connections = setting("connections", spec.connections, default.connections, CONNECTIONS)?;
    Ok(TcpSettings {
        connections,
        connections_per_client: setting(
            "connections_per_client",
            spec.connections_per_client,
            default.connections_per_client,
            CONNECTIONS,
        )?,
        idle_timeout: setting("idle_timeout", spec.idle_timeout, default.idle_timeout, PATIENCE)?,
        io_timeout: setting("io_timeout", spec.io_timeout, default.io_timeout, PATIENCE)?,
    })
}

/// `[control]`
pub(super) fn control(spec: ControlSpec) -> Result<ControlSettings, Wrong> {
    let Some(text) = spec.socket else { return Ok(ControlSettings::default()) };
    let key = Key::top("control").name("socket");
    if text.is_empty() {
        return Ok(ControlSettings { socket: None });
    }
    if !Path::new(&text).is_absolute() {
        let problem = format!(
            "\"{text}\" depends on where the program is started; write the whole path, or \"\" for \
             no control socket"
        );
        return Err(Wrong::new(key, problem));
    }
    Ok(ControlSettings { socket: Some(socket_path(key, &text)?) })
}

/// The path of a Unix socket.
pub(super) fn socket_path(key: Key, text: &str) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text);
    absolute(key.clone(), &path)?;
    if text.len() > SOCKET_PATH_MAX || text.contains('\0') || path.file_name().is_none() {
        let problem = format!(
            "\"{text}\" cannot be a socket's path: it needs a file's name, no zero byte, and at most \
             {SOCKET_PATH_MAX} bytes"
        );
        return Err(Wrong::new(key, problem));
    }
    Ok(path)
}

//! The collector's sockets, bound before rights are given up.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use eximrbl_zone::CollectorSettings;

use crate::control::ControlSocket;
use crate::listen::{self, ListenError};

/// All of them. Those of the network come first, while there are rights to bind any port; the Unix
/// socket is bound by the user that the process becomes.
pub(crate) struct Sockets {
    pub(super) tcp: Vec<TcpListener>,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) unix: Option<UnixListener>,
    /// Where reports are taken, as it is shown.
    pub(crate) shown: Vec<String>,
}

impl Sockets {
    /// Binds those of the network.
    pub(crate) fn bind(settings: &CollectorSettings) -> Result<Self, ListenError> {
        let mut sockets = Self {
            tcp: Vec::new(),
            udp: Vec::new(),
            tls: Vec::new(),
            unix: None,
            shown: Vec::new(),
        };
        for &address in &settings.tcp {
            let (bound, listener) = listen::bind_collecting_tcp(address)?;
            sockets.show("TCP", bound);
            sockets.tcp.push(listener);
        }
        for &address in &settings.udp {
            let (bound, socket) = listen::bind_collecting_udp(address)?;
            sockets.show("UDP", bound);
            sockets.udp.push(socket);
        }
        for &address in &settings.tls {
            let (bound, listener) = listen::bind_collecting_tcp(address)?;
            sockets.show("TLS", bound);
            sockets.tls.push(listener);
        }
        Ok(sockets)
    }

    /// Takes the Unix socket along.
    pub(crate) fn add_unix(&mut self, socket: &ControlSocket) -> io::Result<()> {
        let listener = socket.listener()?;
        listener.set_nonblocking(true)?;
        self.unix = Some(listener);
        self.shown.push(socket.path().display().to_string());
        Ok(())
    }

    fn show(&mut self, protocol: &str, address: SocketAddr) {
        tracing::info!("collecting reports on {address}, {protocol}");
        self.shown.push(format!("{address} ({protocol})"));
    }
}

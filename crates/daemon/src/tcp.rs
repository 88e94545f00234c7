//! Serves TCP (RFC 7766).
//!
//! hickory-server has a loop of its own for this, which is not used, because it takes any number
//! of connections: with as many idle ones as the process may have files, it turns without rest,
//! and the table and the configuration can no longer be opened. Here connections are counted, in
//! all and of each client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use eximrbl_dns::Transport;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::responder::Responder;

/// Connections of one listening address; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Connections of one client; more are closed at once. A resolver needs one or two.
const CONNECTIONS_OF_CLIENT_MAX: usize = 32;
/// How long a connection may be idle (RFC 7766 section 6.2.3 asks for seconds), and how long a
/// query may take to arrive, or a response to leave.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted for want of files or memory.
const RESPITE: Duration = Duration::from_millis(100);

/// How many connections each client has.
type Clients = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Serves one listening socket until something is wrong with it.
pub(crate) async fn serve(listener: std::net::TcpListener, responder: Responder) -> io::Error {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let clients = Clients::default();
    // Connections end with this set when the daemon stops.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = free.clone().acquire_owned().await else {
            return io::Error::other("the count of connections was closed");
        };
        match listener.accept().await {
            Ok((stream, client)) => {
                if let Some(place) = Place::take(&clients, client.ip(), permit) {
                    let responder = responder.clone();
                    connections.spawn(async move {
                        // However it ends, the client sees that it ended, and can ask anew.
                        let _ = serve_connection(stream, client, &responder).await;
                        drop(place);
                    });
                }
            }
            Err(error) if is_fatal(&error) => return error,
            Err(error) => {
                tracing::debug!("TCP connection not accepted: {error}");
                sleep(RESPITE).await;
            }
        }
    }
}

/// Answers one query after the other, until the client is done or too slow.
async fn serve_connection(
    mut stream: TcpStream,
    client: SocketAddr,
    responder: &Responder,
) -> io::Result<()> {
    // Responses are whole when they are written; waiting for more to send gains nothing.
    stream.set_nodelay(true)?;
    loop {
        let mut length = [0; 2];
        timeout(PATIENCE, stream.read_exact(&mut length)).await??;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        timeout(PATIENCE, stream.read_exact(&mut query)).await??;
        let response = responder.respond(&query, client, Transport::Tcp);
        // What gets no answer is no DNS client.
        let Some(response) = response else { return Ok(()) };
        let length = u16::try_from(response.len()).map_err(io::Error::other)?;
        // One write, so that length and response leave in one segment (RFC 7766 section 8).
        let framed = [&length.to_be_bytes()[..], &response].concat();
        timeout(PATIENCE, stream.write_all(&framed)).await??;
    }
}

/// The place that a connection takes; free again when it is dropped.
struct Place {
    clients: Clients,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// `None` when the client has its share already.
    fn take(clients: &Clients, client: IpAddr, permit: OwnedSemaphorePermit) -> Option<Self> {
        let mut counts = clients.lock();
        let count = counts.entry(client).or_default();
        if *count >= CONNECTIONS_OF_CLIENT_MAX {
            return None;
        }
        *count += 1;
        Some(Self { clients: clients.clone(), client, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// Errors of the listening socket itself; all others concern one connection, or pass.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput)
}

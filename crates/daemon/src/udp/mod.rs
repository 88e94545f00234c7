//! Serves UDP.
//!
//! ```text
//!           ┌─ thread 0: recvmmsg ─► quick ─► sendmmsg ─┐       one thread for each processor
//! queries ──┤            declined │                     ├─► responses
//!           └─ thread 1 …         ▼                     │
//!                     complete: hickory, one by one ────┘       on the thread that serves TCP
//! ```
//!
//! Each thread has a socket of its own on the same address (SO_REUSEPORT), between which the kernel
//! divides the clients. It waits for datagrams, takes all that have arrived (up to 64), and answers the
//! plain ones: first all are read, and the memory is asked for what their answers need; then
//! all are answered. There is no other system call, no lock and no allocation in that.
//!
//! What the quick way declines goes by a queue to the complete server, which answers from the very
//! socket that the query came by, and from the address it was sent to. So a query that takes long
//! holds up others of its kind, and no plain one. The queue has an end: what comes while it
//! is full is dropped, as the kernel drops what comes while a socket's buffer is full, and counted.
//! A thread per query, or an answer on the spot, would let a flood of odd queries take what plain ones
//! need. A panic in a batch, which nothing is known to cause, is contained in the same way: all of
//! the batch goes to the complete server.
//!
//! hickory-server has a loop of its own for UDP, which is not used, because it
//! - answers from whatever address the kernel picks, so that on a host with several addresses a
//!   socket that is bound to all of them answers from the wrong one,
//! - answers malformed *responses* with FORMERR, so that two servers could be set upon each other,
//! - does not keep to the size that the client's OPT record gives.

mod complete;
mod worker;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use eximrbl_datagrams::Local;
use eximrbl_zone::DnsSettings;
use eximrbl_zone::config::WORKERS_MAX;
use tokio::sync::{mpsc, oneshot};

pub(crate) use complete::complete;

use crate::served::Shared;
use worker::Worker;

/// Queries that may wait for the complete server: 1.4 megabytes at most.
const WAITING_MAX: usize = 1024;

/// A query that the quick way left to the complete one.
pub(crate) struct Declined {
    packet: Vec<u8>,
    client: SocketAddr,
    /// The address of ours that it was sent to.
    local: Local,
    /// The socket that it came by.
    socket: Arc<UdpSocket>,
}

/// How many threads serve each address.
pub(crate) fn workers(settings: &DnsSettings) -> usize {
    match settings.workers {
        Some(workers) => usize::from(workers),
        None => worker::processors().len().clamp(1, usize::from(WORKERS_MAX)),
    }
}

/// The queue from all threads to the complete server.
pub(crate) fn queue() -> (mpsc::Sender<Declined>, mpsc::Receiver<Declined>) {
    mpsc::channel(WAITING_MAX)
}

/// Starts a thread for each of an address's sockets. What ends them, comes back.
pub(crate) fn start(
    sockets: Vec<UdpSocket>,
    shared: &Arc<Shared>,
    declined: &mpsc::Sender<Declined>,
) -> io::Result<Vec<oneshot::Receiver<io::Error>>> {
    let threads = sockets.len();
    let start = |(index, socket)| {
        let worker = Worker::new(socket, shared.clone(), declined.clone())?;
        let (ended, wait) = oneshot::channel();
        std::thread::Builder::new().name(format!("udp-{index}")).spawn(move || {
            worker::pin(index, threads);
            // Nobody waits any more once the daemon stops.
            let _ = ended.send(worker.serve());
        })?;
        Ok(wait)
    };
    sockets.into_iter().enumerate().map(start).collect()
}

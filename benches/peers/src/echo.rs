//! The floor: a UDP server that does nothing but send back what it receives, in batches. No
//! name server that uses these system calls can be faster.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result};

use crate::batch::Batch;

/// Datagrams taken with one call.
const BATCH: usize = 64;

/// Echoes until the process is ended.
pub(crate) fn run(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    serve(&socket)
}

/// Echoes what comes to the socket.
pub(crate) fn serve(socket: &UdpSocket) -> Result<()> {
    let mut batch = Batch::new(BATCH);
    loop {
        let count = batch.receive(socket, true).context("cannot receive")?;
        // What the kernel has no room for now is lost, as with any server.
        batch.send_back(socket, count).context("cannot send")?;
    }
}

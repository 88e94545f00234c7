//! Datagrams, as Exim's `udpsend` sends them: one line or several, and no answer, lest anybody be
//! flooded with answers to lines that he did not send.
//!
//! A sender's address can be forged. So unsigned lines are taken only where the socket itself is
//! loopback's, which other hosts' packets do not reach.

use std::io;
use std::net::UdpSocket;

use tokio::task::yield_now;
use tokio::time::sleep;

use super::counts::Event;
use super::desk::Talk;
use super::{Hall, RESPITE};

/// Longest datagram that is read; more of it is cut off, and so is the line in it.
const LONGEST: usize = 64 << 10;
/// Datagrams that are read before others get their turn.
const BATCH: usize = 64;

/// Serves one socket until something is wrong with it.
pub(super) async fn serve(socket: UdpSocket, hall: Hall) -> io::Error {
    let bound = socket.local_addr();
    let (socket, bound) = match (tokio::net::UdpSocket::from_std(socket), bound) {
        (Ok(socket), Ok(bound)) => (socket, bound),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    let is_loopback = bound.ip().to_canonical().is_loopback();
    let mut buffer = vec![0; LONGEST];
    let mut answers = Vec::new();
    loop {
        if let Err(error) = socket.readable().await {
            return error;
        }
        for _ in 0..BATCH {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, sender)) => {
                    let mut desk = hall.desk.borrow_mut();
                    let mut talk = Talk::with_sender(sender.ip(), is_loopback);
                    desk.take(&mut talk, &buffer[..length], true, &mut answers);
                    desk.counts().note(Event::Datagrams);
                    answers.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::debug!("datagram not received: {error}");
                    sleep(RESPITE).await;
                    break;
                }
            }
        }
        yield_now().await;
    }
}

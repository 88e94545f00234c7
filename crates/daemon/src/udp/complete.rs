//! Answers what the quick way has declined.

use std::os::fd::AsFd;

use eximrbl_datagrams::send_to;
use eximrbl_dns::Transport;
use eximrbl_dns::counters::Event;
use tokio::sync::mpsc::Receiver;

use super::Declined;
use crate::responder::Responder;

/// Answers one query after the other; ends only with the threads that send them.
pub(crate) async fn complete(mut waiting: Receiver<Declined>, responder: Responder) {
    while let Some(Declined { packet, client, local, socket }) = waiting.recv().await {
        let Some(mut response) = responder.respond(&packet, client, Transport::Udp) else {
            continue;
        };
        if let Err(error) = send_to(socket.as_fd(), &mut response, client, local) {
            // A client that cannot be reached is no reason to stop; it asks again, or does not.
            responder.tally().note(Event::Unsent);
            tracing::debug!("response to {client} not sent: {error}");
        }
    }
}

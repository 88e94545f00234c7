//! Answers with what is served at that moment.

use std::net::SocketAddr;
use std::sync::Arc;

use eximrbl_dns::Transport;

use crate::served::Shared;

/// Answers packets from what is served.
#[derive(Clone)]
pub(crate) struct Responder {
    shared: Arc<Shared>,
}

impl Responder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The response to a packet; `None` for silence.
    pub(crate) fn respond(
        &self,
        packet: &[u8],
        client: SocketAddr,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let now = eximrbl_table::now();
        eximrbl_dns::respond(packet, client, transport, &self.shared.served().service, now)
    }
}

//! Answers with what is served at that moment, and counts.

use std::net::SocketAddr;
use std::sync::Arc;

use eximrbl_dns::Transport;
use eximrbl_dns::counters::{SharedTally, Way};

use crate::served::{Served, Shared};

/// Answers packets from what is served.
#[derive(Clone)]
pub(crate) struct Responder {
    shared: Arc<Shared>,
    tally: SharedTally,
}

impl Responder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let tally = shared.counters.shared();
        Self { shared, tally }
    }

    /// Where what is answered here is counted.
    pub(crate) fn tally(&self) -> &SharedTally {
        &self.tally
    }

    /// What is served now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.shared.served()
    }

    /// The response to a packet; `None` for silence.
    pub(crate) fn respond(
        &self,
        packet: &[u8],
        client: SocketAddr,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let now = eximrbl_table::now();
        let served = self.shared.served();
        let (response, outcome) =
            eximrbl_dns::respond_and_tell(packet, client, transport, &served.service, now);
        let way = match transport {
            Transport::Udp => Way::UdpComplete,
            Transport::Tcp => Way::Tcp,
        };
        self.tally.count(way, outcome);
        response
    }
}

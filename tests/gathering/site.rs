//! A mail server that reports, its gatherer, and what can be wrong between them.

use std::net::IpAddr;

use crate::gatherer::{Gatherer, NUMBER};
use crate::harness::{Host, Lan, holds_soon, listens, wait_until};
use crate::machine::Machine;
use crate::sender::machine;

/// How the gatherer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes reports.
    Works,
    /// It takes connections, and then does nothing.
    Hangs,
    /// It does not run: connections are refused.
    Stopped,
    /// All packets to it are lost.
    Lost,
    /// There is no route to it.
    Unreachable,
}

impl State {
    /// The states to try a way in, in an order in which one can follow the other.
    pub fn of(id: &str) -> &'static [Self] {
        match id {
            // There is no network between them.
            "report-line" => &[Self::Works, Self::Hangs, Self::Stopped],
            // The same network as by the functions.
            "report-hmac" | "report-instead" => &[Self::Works, Self::Hangs],
            _ => &[Self::Works, Self::Hangs, Self::Stopped, Self::Lost, Self::Unreachable],
        }
    }
}

/// A mail server, and a gatherer: on a host of its own, or on the server's.
pub struct Site {
    /// The mail server.
    pub machine: Machine,
    gatherer: Gatherer,
    host: Option<Host>,
    /// The network.
    pub lan: Lan,
}

impl Site {
    /// All that a way of ACL.md needs; Exim does not run yet.
    #[track_caller]
    pub fn new(id: &str) -> Self {
        let lan = Lan::new();
        let mut machine = machine(&lan);
        let is_here = ["report-line", "unix"].contains(&id);
        let host = (!is_here).then(|| lan.host("gatherer", NUMBER));
        let gatherer = Gatherer::start(host.as_ref().unwrap_or_else(|| machine.host()));
        if is_here {
            machine.mount(&gatherer.run_folder(), "/run");
        }
        Self { machine, gatherer, host, lan }
    }

    /// Lets the gatherer be so, from [`State::Works`] on in the order of [`State::of`].
    #[track_caller]
    pub fn bring_about(&self, state: State) {
        let network = self.machine.host();
        match state {
            State::Works => {}
            State::Hangs => self.gatherer.process().signal("STOP"),
            State::Stopped => {
                self.gatherer.kill();
                let host = self.host.as_ref().unwrap_or(network);
                wait_until("nobody listens", || !listens(host, 4444));
            }
            // A hardware address that nobody has.
            State::Lost => network
                .ip("neigh replace 198.51.100.30 lladdr 02:00:00:00:00:01 dev eth0 nud permanent"),
            State::Unreachable => network.ip("route add unreachable 198.51.100.30"),
        }
    }

    /// Fails unless the gatherer soon knows this of the client.
    #[track_caller]
    pub fn expect(&self, client: IpAddr, recorded: &str) {
        let known = || self.gatherer.recorded(client);
        if !holds_soon(|| known() == recorded) {
            let log = self.machine.log("main");
            panic!(
                "{client}: the gatherer knows {:?}, not {recorded:?}\n{log}\n{}",
                known(),
                self.gatherer.log()
            );
        }
    }
}

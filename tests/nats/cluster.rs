//! Three NATS servers that keep the stream together.

use std::net::Ipv4Addr;

use crate::harness::{Lan, wait_until};
use crate::stage::{Server, Site, agree, set_cable, settle, wait_long};

const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 201);
const B: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 202);
const C: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 203);

/// The number of each server's host.
const SERVERS: [u8; 3] = [2, 3, 4];

fn cluster(lan: &Lan) -> Vec<Server> {
    let routes = SERVERS.map(|number| format!("nats://198.51.100.{number}:6222")).join(", ");
    let start = |number: u8| {
        let rest = format!(
            "cluster {{ name: rbl, listen: \"0.0.0.0:6222\", routes: [{routes}] }}\n\
             ping_interval: \"2s\"\n"
        );
        Server::start(lan.host("nats", number), &format!("n{number}"), &rest, &[])
    };
    SERVERS.map(start).into()
}

/// Any one server may be lost. A site that is cut off goes on by itself, and so does one that is left
/// with the smaller part of the cluster; when the cable is back, all agree. Caught: an echo.
#[test]
fn a_server_is_lost_and_a_partition_heals() {
    let lan = Lan::new();
    let mut servers = cluster(&lan);
    let all: Vec<_> = servers.iter().map(|server| format!("\"{}\"", server.url())).collect();
    let nats = format!("url = [{}]\nreplicas = 3", all.join(", "));
    let osaka = Site::start(lan.host("osaka", 11), "osaka", &nats);
    let paris = Site::start(lan.host("paris", 12), "paris", &nats);
    let quito = Site::start(lan.host("quito", 13), "quito", &nats);
    let sites = [&osaka, &paris, &quito];
    settle(&sites, 1);

    // A server is killed, or each of them in turn: then one of them has led the stream.
    let killed = if std::env::var_os("EXIMRBL_TORTURE").is_some() { servers.len() } else { 1 };
    for (index, server) in servers.iter_mut().take(killed).enumerate() {
        server.kill();
        for (site, weight) in [(&osaka, 1), (&paris, 10), (&quito, 100)] {
            site.reject(A, weight);
        }
        agree(&sites, A, 111 * (index as u32 + 1));
        server.start_again();
        settle(&sites, 2 + index as u8);
    }

    // A site is cut off; both sides go on, and one forgives what the other lists.
    osaka.reject(C, 1);
    agree(&sites, C, 1);
    set_cable(&lan, 11, false);
    osaka.reject(B, 5);
    paris.reject(B, 50);
    agree(&[&paris, &quito], B, 50);
    paris.forgive(C);
    agree(&[&paris, &quito], C, 0);
    wait_long("osaka gives its connection up", || !osaka.is_connected());
    assert_eq!((osaka.count(B), osaka.count(C)), (5, 1), "cut off");
    set_cable(&lan, 11, true);
    agree(&sites, B, 55);
    agree(&sites, C, 0);
    settle(&sites, 5);

    // A server is cut off from the two others: they go on.
    set_cable(&lan, SERVERS[0], false);
    paris.reject(B, 500);
    agree(&sites, B, 555);
    set_cable(&lan, SERVERS[0], true);
    settle(&sites, 6);
    for site in sites {
        let counts = [A, B, C].map(|client| site.count(client));
        assert_eq!(counts, [111 * killed as u32, 555, 0], "{}", site.name);
    }
    wait_until("all servers run", || servers.iter_mut().all(|server| server.process.is_running()));
}

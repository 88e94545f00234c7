//! One NATS server, and sites that come and go.

use std::net::Ipv4Addr;
use std::time::Instant;

use crate::harness::{dig, query_name, tool_text};
use crate::stage::{Site, agree, one_server, reject, settle, wait_long};

const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 201);
const B: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 202);
const C: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 203);

/// Rejections add up everywhere, exactly; a forgiving and a whitelisting hold everywhere; a site that
/// comes late, one that is killed, and a server that restarts miss nothing and repeat nothing; and what
/// is told of it is so. Caught: an echo.
#[test]
fn three_sites_agree() {
    let (lan, mut server) = one_server();
    let nats = format!("url = \"{}\"", server.url());
    let mut osaka = Site::start(lan.host("osaka", 11), "osaka", &nats);
    let paris = Site::start(lan.host("paris", 12), "paris", &nats);

    // Rejections of both add up at both.
    osaka.reject(A, 2);
    paris.reject(A, 3);
    agree(&[&osaka, &paris], A, 5);
    assert_eq!(osaka.reporters(A), ["local", "paris"]);
    let asked =
        dig(&paris.host, (paris.host.v4, 53).into(), &query_name(A.into(), "rbl.example.org"), "A");
    assert_eq!(asked.data("A"), ["127.0.0.2"], "{}", asked.text);

    // A forgiving ends the listing everywhere, and a whitelisting keeps it from coming back.
    osaka.reject(B, 1);
    agree(&[&osaka, &paris], B, 1);
    paris.forgive(B);
    agree(&[&osaka, &paris], B, 0);
    osaka.white(B, 3600);
    wait_long("white at paris", || paris.is_white(B));

    // One that comes late has it all.
    let quito = Site::start(lan.host("quito", 13), "quito", &nats);
    agree(&[&quito], A, 5);
    assert_eq!(quito.reporters(A), ["osaka", "paris"]);
    wait_long("white at quito", || quito.is_white(B));
    settle(&[&osaka, &paris, &quito], 1);

    // All of it is counted. (Osaka's whitelisting ended what was forgiven already.)
    let standing = || paris.standing();
    wait_long("all is read and published, and paris stays connected", || {
        let standing = standing();
        let number = |name: &str| standing[name].as_u64().unwrap();
        standing["state"] == "connected"
            && (number("behind"), number("waiting")) == (0, 0)
            && number("published") >= 2
            && number("taken") >= 3
    });
    let standing = standing();
    assert_eq!(standing["site"], "paris");
    let number = |name: &str| standing[name].as_u64().unwrap();
    assert_eq!(number("left_out"), 0, "{standing}");

    // One is killed; the others, and its own Exim, go on.
    osaka.kill();
    osaka.reject(C, 1);
    paris.reject(C, 10);
    quito.reject(C, 100);
    agree(&[&paris, &quito], C, 110);
    osaka.go();
    agree(&[&osaka, &paris, &quito], C, 111);
    settle(&[&osaka, &paris, &quito], 2);

    // The server goes and comes back.
    server.kill();
    let mut lost = paris.standing();
    wait_long("the loss is told", || {
        lost = paris.standing();
        lost["state"] == "disconnected"
    });
    assert!(!lost["why"].as_str().unwrap().is_empty());
    for (site, weight) in [(&osaka, 1000), (&paris, 2000), (&quito, 3000)] {
        site.reject(C, weight);
    }
    let asked =
        dig(&quito.host, (quito.host.v4, 53).into(), &query_name(C.into(), "rbl.example.org"), "A");
    assert_eq!(asked.data("A"), ["127.0.0.2"], "{}", asked.text);
    wait_long("it waits", || paris.standing()["waiting"].as_u64() > Some(0));
    server.start_again();
    settle(&[&osaka, &paris, &quito], 3);
    agree(&[&osaka, &paris, &quito], C, 6111);
    // No echo of all that.
    for site in [&osaka, &paris, &quito] {
        assert_eq!(
            (site.count(A), site.count(C), site.is_white(B)),
            (5, 6111, true),
            "{}",
            site.name
        );
    }
}

/// A site whose changes were overwritten before they were published tells what is listed instead. So
/// does one that had listings before it took part. Caught: a state that is not published.
#[test]
fn what_was_overwritten_is_told_as_it_is() {
    let (lan, server) = one_server();
    let nats = format!("url = \"{}\"", server.url());
    let mut osaka = Site::new(lan.host("osaka", 11), "osaka", &nats);
    let paris = Site::start(lan.host("paris", 12), "paris", &nats);
    // A table from before, whose ring has nothing any more of how it came about.
    osaka.go();
    osaka.stop();
    let _ = std::fs::remove_file(osaka.scratch.join("state/nats-osaka.json"));
    osaka.reject(A, 7);
    tool_text(&osaka.table(), "resize --slots 4096");
    osaka.go();
    agree(&[&paris], A, 7);
    settle(&[&osaka, &paris], 1);

    osaka.stop();
    let client = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number);
    let table = osaka.writable();
    for number in 0..70_000_u32 {
        reject(&table, client(number % 1000), 1);
    }
    drop(table);
    osaka.go();
    osaka.wait_for("changes were overwritten before they were published");
    for number in [0, 499, 999] {
        agree(&[&osaka, &paris], client(number), 70);
    }
    settle(&[&osaka, &paris], 2);
    assert_eq!((paris.count(A), paris.count(client(7))), (7, 70));
}

/// How long it takes until a report of one site stands in another one's table: printed, for the machine
/// decides. Caught: changes that are not published.
#[test]
fn how_long_a_report_takes() {
    let (lan, server) = one_server();
    let nats = format!("url = \"{}\"", server.url());
    let osaka = Site::start(lan.host("osaka", 11), "osaka", &nats);
    let paris = Site::start(lan.host("paris", 12), "paris", &nats);
    settle(&[&osaka, &paris], 1);
    let (writable, read) = (osaka.writable(), paris.writable());
    let mut times: Vec<_> = (1..=50)
        .map(|number| {
            let client = Ipv4Addr::new(198, 18, 0, number);
            let network = eximrbl_table::Network::host(client.into());
            let begun = Instant::now();
            reject(&writable, client, 1);
            wait_long("it is there", || read.entry(network, eximrbl_table::now()).is_some());
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("visible at the other site after {:?} (median), {:?} (longest)", times[25], times[49]);
    assert_eq!(paris.count(Ipv4Addr::new(198, 18, 0, 50)), 1);
}

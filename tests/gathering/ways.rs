//! Each way of ACL.md, with everything in place: what the gatherer then knows.
//!
//! Both of Debian's Exims go each way: heavy, and light, which has no `dlfunc`.
//!
//! Caught: the order signed without the name; a stamp expanded twice; the secret read with its end of
//! line; `message` after `acl` in the wrapper; `rbl_report` without its reason.

use crate::blocks::REPORTING;
use crate::light::light_exim;
use crate::sender::{WARNED_OF, be_refused, configuration};
use crate::site::Site;

/// Lets clients be refused by a block's configuration, under both Exims.
#[track_caller]
fn report(id: &str) {
    let (_, expected) =
        REPORTING.into_iter().chain(WARNED_OF).find(|(name, _)| *name == id).unwrap();
    let mut site = Site::new(id);
    for (number, exim) in [(1, "heavy"), (2, "light")] {
        if exim == "light" {
            site.machine.mount(light_exim(), "/usr/sbin/exim4");
        }
        // More patience than is advised: the machine may be busy.
        site.machine.start_with(&configuration(id).replace("3s", "30s"));
        for client in [site.lan.client(number), site.lan.client_v6(number.into(), 9)] {
            let replies = be_refused(&site.lan, &site.machine, client);
            let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
            assert_eq!(codes, [550, 550, 250, 250], "{exim}: {replies:?}");
            site.expect(client, expected);
            assert_eq!(site.machine.recorded(client), "0", "{exim}: nothing here");
        }
        let log = site.machine.log("main");
        assert!(!log.contains("eximrbl"), "{exim}: {log}");
        assert_eq!(site.machine.log("panic"), "", "{exim}");
    }
}

/// A test for each way.
macro_rules! ways {
    ($($test:ident: $id:literal,)*) => {
        $(
            #[test]
            fn $test() {
                report($id);
            }
        )*

        #[test]
        fn no_way_is_left_out() {
            let mut tested = vec![$($id),*];
            let mut all: Vec<&str> = REPORTING.iter().chain(&WARNED_OF).map(|(id, _)| *id).collect();
            tested.sort_unstable();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

ways! {
    signed: "report",
    instead_of_recording: "report-instead",
    signed_by_hand: "report-sha3",
    signed_by_hmac: "report-hmac",
    by_datagrams: "report-udp",
    by_datagrams_by_hand: "report-udp-sha3",
    by_tls: "tls",
    from_the_same_host: "report-line",
    by_a_unix_socket: "unix",
}

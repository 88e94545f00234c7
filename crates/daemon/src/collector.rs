//! The collector: takes what other Exims report, by the line protocol of `eximrbl_report`.
//!
//! ```text
//!  TCP, Unix ─► accept, read, answer, close: most clients are gone after that   `quick`
//!                 │ those who have not said all yet      TLS ─┐
//!                 ▼                                           ▼
//!               a place among the waiting (`places`) ─► a task each (`conversation`)
//!  UDP ─► lines of datagrams, without answers (`datagrams`)
//!
//!  every line ─► desk: parse, judge (who may say that?) ─► store: one call of the table
//! ```
//!
//! All of it is one thread with a runtime of its own, so nothing is locked but what is counted, and
//! what goes wrong here leaves DNS alone. A report is in the table, and so in DNS, before it is
//! answered.
//!
//! A client that sends its lines and waits, as Exim's `${readsocket` does, is answered and the connection closed
//! when nothing more of it is there to read. Who has sent more than a few lines gets `line_timeout`
//! to go on; only who has shown who he is (`auth`, or a client certificate) may stay.

mod allowance;
mod conversation;
mod counts;
mod datagrams;
mod desk;
mod material;
mod places;
mod quick;
mod sockets;
mod store;
mod tls;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use eximrbl_zone::Config;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) use counts::{Counts, Report};
pub(crate) use material::{Material, MaterialError};
pub(crate) use sockets::Sockets;

use crate::served::Shared;
use desk::Desk;
use places::Places;
use tls::Tls;

/// How often the configuration and the table are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long to wait after a connection could not be accepted for want of files or memory.
const RESPITE: Duration = Duration::from_millis(100);

/// Bytes that are read from a connection at a time.
const SCRATCH: usize = 16 << 10;

/// What the tasks of the thread share.
#[derive(Clone)]
struct Hall {
    desk: Rc<RefCell<Desk>>,
    places: Places,
    tls: Tls,
    /// What connections read into.
    scratch: Rc<RefCell<Box<[u8]>>>,
}

/// Serves the sockets for as long as the process runs. What goes wrong here is no reason to end.
pub(crate) fn start(
    sockets: Sockets,
    material: Material,
    shared: Arc<Shared>,
    counts: Arc<Counts>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything can be reloaded: what the material was read by.
    let config = shared.config();
    thread::Builder::new().name("collector".to_owned()).spawn(move || {
        let _end = End;
        let error =
            LocalSet::new().block_on(&runtime, serve(sockets, material, shared, config, counts));
        if let Err(error) = error {
            tracing::error!("collector: {error}");
        }
    })?;
    Ok(())
}

/// Says that the thread ends, even by a panic.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        tracing::error!("reports are not collected any more; restart eximrbld; DNS goes on");
    }
}

async fn serve(
    sockets: Sockets,
    material: Material,
    shared: Arc<Shared>,
    config: Arc<Config>,
    counts: Arc<Counts>,
) -> io::Result<()> {
    let Material { reporters, tls } = material;
    let places = Places::new(&config, counts.clone());
    let desk = Desk::new(shared, config, reporters, counts);
    let hall = Hall {
        desk: Rc::new(RefCell::new(desk)),
        places,
        tls: Tls::new(tls),
        scratch: Rc::new(RefCell::new(vec![0; SCRATCH].into())),
    };
    let mut ways = tokio::task::JoinSet::new();
    for listener in sockets.tcp {
        ways.spawn_local(quick::serve(listener, hall.clone()));
    }
    if let Some(unix) = sockets.unix {
        ways.spawn_local(quick::serve(unix, hall.clone()));
    }
    for listener in sockets.tls {
        ways.spawn_local(tls::serve(listener, hall.clone()));
    }
    for socket in sockets.udp {
        ways.spawn_local(datagrams::serve(socket, hall.clone()));
    }
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => look(&hall),
            Some(ended) = ways.join_next() => {
                return Err(ended.unwrap_or_else(io::Error::other));
            }
        }
    }
}

/// Takes over what has changed.
fn look(hall: &Hall) {
    let mut desk = hall.desk.borrow_mut();
    desk.look_at_table();
    let Some(config) = desk.new_configuration() else { return };
    // What is read anew is small, and only then; reports wait for it.
    match Material::reporters(&config) {
        Ok(reporters) => desk.renew(reporters),
        Err(error) => {
            tracing::error!("reporters stay as they were, for a secret cannot be read: {error}");
        }
    }
    match Material::tls(&config) {
        Ok(tls) => hall.tls.renew(tls),
        Err(error) => tracing::error!("TLS goes on with the old certificates: {error}"),
    }
    hall.places.renew(&config);
    Material::warnings(&config).iter().for_each(|warning| tracing::warn!("{warning}"));
    tracing::info!("collecting from {} configured reporters", config.reporters.len());
}

//! How long a client waits for Exim's 550, by how Exim reports it and how the gatherer is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use eximrbl_table::{CreateOptions, WritableTable};

use super::gatherer::{Gatherer, PORT, address};
use super::lines::{NAME, SECRET};
use crate::exim;
use crate::exim::configuration::{Extra, text};
use crate::exim::session::{Connection, client};
use crate::stage::{self, FOLDER, artifact};
use crate::statistics::median;

/// Sessions of which the median is taken, if there is time for them.
const SESSIONS: u32 = 25;
/// Time for the sessions of one kind.
const TIME: Duration = Duration::from_secs(7);
/// The first Exim's port.
const EXIM_PORT: u16 = 2600;
/// A gatherer that no packet reaches.
const LOST: &str = "192.0.2.9";

/// How Exim reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not at all.
    None,
    /// By a statement of its own, with three seconds' patience.
    ByHand,
    /// By report.acls, with so many seconds' patience.
    Functions(u8),
    /// By report.acls, with datagrams.
    Datagrams,
    /// By the library, into the table that a forwarder reads.
    Library,
}

/// How the gatherer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Works,
    Stopped,
    Hangs,
    Lost,
}

/// What was measured of one way.
#[derive(Debug)]
pub(crate) struct Waits {
    pub(crate) way: Way,
    /// For each of [`State::ALL`] the medians, in milliseconds, for the first refused recipient
    /// of a connection and for the second.
    pub(crate) times: Vec<[f64; 2]>,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::None,
        Self::ByHand,
        Self::Functions(3),
        Self::Functions(2),
        Self::Datagrams,
        Self::Library,
    ];

    /// For people.
    pub(super) fn name(self) -> String {
        match self {
            Self::None => "no reports".to_owned(),
            Self::ByHand => "TCP by hand, `{3s}`".to_owned(),
            Self::Functions(seconds) => format!("TCP, `rbl_report`, `{seconds}s`"),
            Self::Datagrams => "datagrams, `rbl_report`".to_owned(),
            Self::Library => "the library; a forwarder reports".to_owned(),
        }
    }
}

impl State {
    pub(super) const ALL: [Self; 4] = [Self::Works, Self::Stopped, Self::Hangs, Self::Lost];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Stopped => "does not run",
            Self::Hangs => "hangs",
            Self::Lost => "is lost to the network",
        }
    }

    fn target(self) -> SocketAddr {
        match self {
            Self::Works | Self::Hangs => address(PORT),
            // Nobody listens there.
            Self::Stopped => address(PORT + 100),
            Self::Lost => SocketAddr::new(LOST.parse().unwrap_or(address(PORT).ip()), PORT),
        }
    }
}

/// Measures all.
fn measure_all(folder: &Path) -> Result<Vec<Waits>> {
    lose_packets()?;
    let gatherer = Gatherer::start()?;
    let mut port = EXIM_PORT;
    let mut found = Vec::new();
    for way in Way::ALL {
        let mut times = Vec::new();
        for state in State::ALL {
            if state == State::Hangs {
                gatherer.pause()?;
            }
            port += 1;
            let took = measure(way, state, &folder.join(port.to_string()), port)?;
            gatherer.resume()?;
            println!(
                "  {:<34} {:<22} {:8.1} ms, then {:8.1} ms",
                way.name(),
                state.name(),
                took[0],
                took[1]
            );
            times.push(took);
        }
        found.push(Waits { way, times });
    }
    gatherer.end()?;
    Ok(found)
}

/// Measures all, in a folder of their own.
pub(super) fn run() -> Result<Vec<Waits>> {
    let folder = Path::new(FOLDER).join("gathering-mail");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    measure_all(&folder)
}

/// A network in which nobody has the address to which packets go.
fn lose_packets() -> Result<()> {
    for arguments in [
        "link add lost0 type veth peer name lost1",
        "addr add 192.0.2.1/24 dev lost0",
        "link set lost0 up",
        "link set lost1 up",
        "neigh add 192.0.2.9 lladdr 02:00:00:00:00:01 dev lost0 nud permanent",
    ] {
        stage::run(Command::new("ip").args(arguments.split(' ')))?;
    }
    Ok(())
}

/// Medians of a few sessions.
fn measure(way: Way, state: State, folder: &Path, port: u16) -> Result<[f64; 2]> {
    std::fs::create_dir_all(folder)?;
    let server = stage::server(port);
    let exim = exim::start(folder, server, &text(folder, server, &extra(way, state, folder)?))?;
    let start = Instant::now();
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..SESSIONS {
        let mut connection = Connection::open(server, client(number))?;
        for (recipient, took) in took.iter_mut().enumerate() {
            let asked = Instant::now();
            connection.refused_recipient(recipient)?;
            took.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        if start.elapsed() > TIME {
            break;
        }
    }
    exim.end()?;
    Ok(took.map(|took| median(took).unwrap_or(0.0)))
}

/// What the way adds to the configuration.
fn extra(way: Way, state: State, folder: &Path) -> Result<Extra> {
    let target = state.target();
    let (host, port) = (target.ip(), target.port());
    let key = key(folder)?;
    let key = key.display();
    let functions = |how: String| -> Result<Extra> {
        Ok(Extra {
            main: format!("{how}EXIMRBL_REPORT_NAME = {NAME}\nEXIMRBL_REPORT_KEY = {key}"),
            call: "${acl{rbl_report}{rcpt}}".to_owned(),
            acls: format!(".include {}", stage::checkout("examples/exim/report.acls")?),
        })
    };
    match way {
        Way::None => Ok(Extra::default()),
        Way::ByHand => Ok(Extra {
            main: String::new(),
            call: "${acl{tell_gatherer}{black $sender_host_address rcpt}}".to_owned(),
            acls: format!(
                "tell_gatherer:\n  warn\n    set acl_m_stamp = {NAME} $tod_epoch_l\n    \
                 set acl_m_answer = ${{readsocket{{inet:{target}}}{{by $acl_m_stamp \
                 ${{sha3_256:${{readfile{{{key}}}{{}}}}|$acl_m_stamp $acl_arg1}} $acl_arg1\\n}}\
                 {{3s}}{{}}{{}}}}\n  accept\n"
            ),
        }),
        Way::Functions(seconds) => functions(format!(
            "EXIMRBL_REPORT_TO = inet:{target}\nEXIMRBL_REPORT_HOW = {seconds}s\n"
        )),
        Way::Datagrams => functions(format!("EXIMRBL_REPORT_UDP = {host} ; {port}\n")),
        Way::Library => {
            let table = folder.join("table");
            WritableTable::create(
                &table,
                &CreateOptions { slots: 4096, ..CreateOptions::default() },
            )?;
            stage::run(Command::new("chgrp").arg("Debian-exim").arg(&table))?;
            Ok(Extra {
                main: format!(
                    "EXIMRBL_SO = {}\nadd_environment = EXIMRBL_TABLE={}",
                    artifact("libeximrbl.so").display(),
                    table.display()
                ),
                call: "${acl{rbl_record}{rcpt}}".to_owned(),
                acls: format!(".include {}", stage::checkout("examples/exim/eximrbl.acls")?),
            })
        }
    }
}

/// The secret, where Exim can read it.
fn key(folder: &Path) -> Result<PathBuf> {
    let key = folder.join("secret");
    std::fs::write(&key, format!("{SECRET}\n"))?;
    Ok(key)
}

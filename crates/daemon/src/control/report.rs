//! What the daemon says about itself, in the form that programs read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use eximrbl_dns::counters::{Cookie, Decided, Event, Kind, Reply, Totals, Way, ZoneTotals};
use eximrbl_table::UnixSeconds;
use eximrbl_zone::rfc3339;
use serde::Serialize;

use crate::collector;
use crate::forward::{self, Standings};
#[cfg(feature = "nats")]
use crate::nats;
use crate::served::Shared;

/// The version of this form.
const FORMAT: u32 = 1;

/// Where the report comes from.
pub(crate) struct Facts {
    shared: Arc<Shared>,
    table: PathBuf,
    listen: Vec<SocketAddr>,
    /// Where reports are collected, and what was.
    collector: Option<(Vec<String>, Arc<collector::Counts>)>,
    forwarding: Standings,
    #[cfg(feature = "nats")]
    exchanging: Option<Arc<nats::Standing>>,
    started: UnixSeconds,
    /// The same, by a clock that nobody can set.
    running_since: Instant,
}

/// Numbers by name.
type Named = BTreeMap<&'static str, u64>;

/// The answer to `stats`. Every number but `uptime` only grows while the daemon runs.
#[derive(Serialize)]
pub(super) struct Report {
    format: u32,
    version: &'static str,
    pid: u32,
    started: String,
    started_unix: UnixSeconds,
    /// Seconds.
    uptime: u64,
    table: String,
    listen: Vec<SocketAddr>,
    /// Packets, by the way on which they were answered.
    queries: Named,
    /// Packets, by what left as the answer.
    replies: Named,
    /// Packets, by what their cookie was worth.
    cookies: Named,
    events: Named,
    /// Packets of each worker.
    workers: Vec<u64>,
    /// Every zone that was served since the start.
    zones: Vec<ZoneReport>,
    /// Questions about names that are in no zone.
    no_zone: BTreeMap<&'static str, Named>,
    /// Questions about zones that came with later reloads than can be told apart.
    other_zones: BTreeMap<&'static str, Named>,
    /// Left out where no reports are collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    collector: Option<CollectorReport>,
    /// Gatherers that reports are passed on to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forward: Vec<forward::Report>,
    /// The exchange with other sites.
    #[cfg(feature = "nats")]
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<nats::Report>,
}

/// What was collected.
#[derive(Serialize)]
struct CollectorReport {
    listen: Vec<String>,
    #[serde(flatten)]
    counts: collector::Report,
}

#[derive(Serialize)]
struct ZoneReport {
    name: String,
    /// Whether it is served now.
    served: bool,
    /// By the type that was asked for, and what was decided.
    queries: BTreeMap<&'static str, Named>,
}

/// The answer to anything else.
#[derive(Serialize)]
pub(super) struct Refusal {
    format: u32,
    error: String,
}

impl Facts {
    /// Facts of a daemon that starts now.
    pub(crate) fn new(shared: Arc<Shared>, table: PathBuf, listen: Vec<SocketAddr>) -> Self {
        let started = eximrbl_table::now();
        let (running_since, forwarding) = (Instant::now(), Standings::default());
        Self {
            shared,
            table,
            listen,
            collector: None,
            forwarding,
            #[cfg(feature = "nats")]
            exchanging: None,
            started,
            running_since,
        }
    }

    /// Reports are collected, at these places.
    pub(crate) fn add_collector(&mut self, listen: Vec<String>, counts: Arc<collector::Counts>) {
        self.collector = Some((listen, counts));
    }

    /// Reports are passed on: how that stands.
    pub(crate) fn add_forwarding(&mut self, forwarding: Standings) {
        self.forwarding = forwarding;
    }

    /// Changes are exchanged with other sites: how that stands.
    #[cfg(feature = "nats")]
    pub(crate) fn add_exchange(&mut self, exchanging: Option<Arc<nats::Standing>>) {
        self.exchanging = exchanging;
    }

    /// What there is to say now.
    pub(super) fn report(&self) -> Report {
        let served = self.shared.served();
        let is_served = |name: &_| served.zones.iter().any(|zone| zone.name() == name);
        let totals = self.shared.counters.read();
        Report {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            started: rfc3339(self.started).to_string(),
            started_unix: self.started,
            uptime: self.running_since.elapsed().as_secs(),
            table: self.table.display().to_string(),
            listen: self.listen.clone(),
            queries: Way::ALL.map(|way| (way.name(), totals.way(way))).into(),
            replies: Reply::ALL.map(|reply| (reply.name(), totals.reply(reply))).into(),
            cookies: Cookie::ALL.map(|cookie| (cookie.name(), totals.cookie(cookie))).into(),
            events: Event::ALL.map(|event| (event.name(), totals.event(event))).into(),
            workers: totals.workers().to_vec(),
            zones: zones(&totals, is_served),
            no_zone: by_kind(totals.no_zone()),
            other_zones: by_kind(totals.other_zones()),
            collector: self.collector.as_ref().map(|(listen, counts)| CollectorReport {
                listen: listen.clone(),
                counts: counts.report(),
            }),
            forward: self.forwarding.report(),
            #[cfg(feature = "nats")]
            nats: self.exchanging.as_ref().map(|standing| standing.report()),
        }
    }
}

impl Refusal {
    pub(super) fn of(request: &[u8]) -> Self {
        let request = request.escape_ascii();
        Self { format: FORMAT, error: format!("\"{request}\" is not known here; ask: stats") }
    }
}

fn zones(totals: &Totals, is_served: impl Fn(&eximrbl_zone::DnsName) -> bool) -> Vec<ZoneReport> {
    let report = |(name, counts): (&eximrbl_zone::DnsName, _)| ZoneReport {
        name: name.to_string(),
        served: is_served(name),
        queries: by_kind(counts),
    };
    totals.zones().map(report).collect()
}

fn by_kind(counts: &ZoneTotals) -> BTreeMap<&'static str, Named> {
    let of_kind = |kind: Kind| {
        let counts = &counts[kind as usize];
        Decided::ALL.map(|decided| (decided.name(), counts[decided as usize])).into()
    };
    Kind::ALL.map(|kind| (kind.name(), of_kind(kind))).into()
}

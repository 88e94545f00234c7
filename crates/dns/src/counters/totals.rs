//! The counters of all workers, summed up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use eximrbl_zone::DnsName;

use super::{Block, Cookie, Decided, Event, Kind, NO_ZONE, Reply, Way};

/// The sums of all workers' counters.
#[derive(Clone, Debug)]
pub struct Totals {
    replies: [[[u64; Reply::ALL.len()]; Cookie::ALL.len()]; Way::ALL.len()],
    events: [u64; Event::ALL.len()],
    rows: Vec<ZoneTotals>,
    zones: Vec<DnsName>,
    workers: Vec<u64>,
}

/// A zone's sums, in the order of [`Kind::ALL`] and [`Decided::ALL`].
pub type ZoneTotals = [[u64; Decided::ALL.len()]; Kind::ALL.len()];

impl Totals {
    pub(super) fn of(blocks: &[Arc<Block>], zones: Vec<DnsName>, rows: usize) -> Self {
        let mut totals = Self {
            replies: Default::default(),
            events: Default::default(),
            rows: vec![Default::default(); rows],
            zones,
            workers: Vec::with_capacity(blocks.len()),
        };
        blocks.iter().for_each(|block| totals.add(block));
        totals
    }

    fn add(&mut self, block: &Block) {
        let mut packets = 0;
        let cells = self.replies.as_flattened_mut().as_flattened_mut();
        for (sum, cell) in cells.iter_mut().zip(block.replies.as_flattened().as_flattened()) {
            let count = cell.load(Ordering::Relaxed);
            *sum += count;
            packets += count;
        }
        self.workers.push(packets);
        for (sum, cell) in self.events.iter_mut().zip(&block.events) {
            *sum += cell.load(Ordering::Relaxed);
        }
        for (sums, row) in self.rows.iter_mut().zip(&block.rows) {
            for (sum, cell) in sums.as_flattened_mut().iter_mut().zip(row.0.as_flattened()) {
                *sum += cell.load(Ordering::Relaxed);
            }
        }
    }

    /// Packets that came this way.
    pub fn way(&self, way: Way) -> u64 {
        self.replies[way as usize].as_flattened().iter().sum()
    }

    /// Packets that were answered so.
    pub fn reply(&self, reply: Reply) -> u64 {
        self.replies.as_flattened().iter().map(|replies| replies[reply as usize]).sum()
    }

    /// Packets with such a cookie.
    pub fn cookie(&self, cookie: Cookie) -> u64 {
        self.replies.iter().flat_map(|cookies| &cookies[cookie as usize]).sum()
    }

    /// How often this happened.
    pub fn event(&self, event: Event) -> u64 {
        self.events[event as usize]
    }

    /// Questions about names that are in no zone.
    pub fn no_zone(&self) -> &ZoneTotals {
        &self.rows[usize::from(NO_ZONE)]
    }

    /// The zones that were ever served, in the order in which they came, with their questions.
    pub fn zones(&self) -> impl Iterator<Item = (&DnsName, &ZoneTotals)> {
        self.zones.iter().zip(&self.rows[1..])
    }

    /// Questions about zones that came when all rows were taken.
    pub fn other_zones(&self) -> &ZoneTotals {
        &self.rows[self.rows.len() - 1]
    }

    /// Packets of each worker.
    pub fn workers(&self) -> &[u64] {
        &self.workers
    }
}

//! What there is to answer from.

use std::sync::Arc;

use eximrbl_table::Table;
use eximrbl_zone::Zones;

use crate::counters::{Counters, Rows};
use crate::records::Apex;

/// A table with the zones that were resolved against its dictionary. Nothing in it can change the
/// table.
pub struct Content {
    /// The table.
    pub table: Arc<Table>,
    /// The zones.
    pub zones: Zones,
    /// The zones' own records, by the zones' index.
    pub(crate) apexes: Vec<Apex>,
    /// Where the zones' questions are counted.
    pub(crate) rows: Rows,
}

impl Content {
    /// Makes ready what every answer needs.
    pub fn new(table: Arc<Table>, zones: Zones) -> Self {
        Self { apexes: Apex::all(&zones), table, zones, rows: Rows::default() }
    }

    /// The same, with each zone's questions counted in its own row.
    pub fn counted(mut self, counters: &Counters) -> Self {
        self.rows = counters.rows(&self.zones);
        self
    }
}

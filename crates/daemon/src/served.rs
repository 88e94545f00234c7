//! What is served just now: a table, the zones as views of it, and to whom.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use eximrbl_dns::counters::Counters;
use eximrbl_dns::{Content, Guard, Service};
use eximrbl_table::{Policy, SetPolicyError, Table, WritableTable};
use eximrbl_zone::{Config, TcpSettings, ZoneError, Zones};

use crate::stand_in::stand_in;
use crate::table_file::TableError;

/// All that answers queries has no more than this, and nothing in it can change the table: it is mapped
/// for reading alone.
pub(crate) struct Served {
    pub(crate) service: Service,
    /// Limits of TCP connections.
    pub(crate) tcp: TcpSettings,
    /// Whether all of the configuration is in force. It is not when the table could not be
    /// written: then reasons may lack their names in it, and the policy may be another.
    pub(crate) is_complete: bool,
}

impl Deref for Served {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.service.content
    }
}

/// Why a table cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Zone(#[from] ZoneError),
    #[error("policy: {0}")]
    Policy(#[from] SetPolicyError),
    #[error("zones cannot be looked up in a table that is only read: no memory")]
    Memory,
}

impl Served {
    /// Resolves the zones, and then, if the configuration has one, puts the policy in force.
    /// `writable` is the same table, if it can be written.
    pub(crate) fn new(
        config: &Config,
        has_policy: bool,
        table: Arc<Table>,
        writable: Option<&WritableTable>,
        guard: Arc<Guard>,
    ) -> Result<Self, ServeError> {
        let Some(writable) = writable else {
            let names = stand_in(&table).ok_or(ServeError::Memory)?;
            let zones = Zones::resolve(config, &names)?;
            let service = Service::new(config, table, zones, guard);
            return Ok(Self { service, tcp: config.dns.tcp.clone(), is_complete: false });
        };
        let zones = Zones::resolve(config, writable)?;
        let is_sound = table.is_policy_sound();
        if has_policy && !(is_sound && is_in_force(&config.policy, &table.policy())) {
            writable.set_policy(&config.policy)?;
            tracing::debug!("the policy of the configuration was written into the table");
            if !is_sound {
                tracing::warn!("the table's policy was damaged; the configuration's is in force");
            }
        }
        let service = Service::new(config, table, zones, guard);
        Ok(Self { service, tcp: config.dns.tcp.clone(), is_complete: true })
    }
}

impl Served {
    /// The same, with the zones' questions counted.
    fn counted(mut self, counters: &Counters) -> Self {
        self.service.content = self.service.content.counted(counters);
        self
    }
}

/// What all threads share. It changes as a whole.
pub(crate) struct Shared {
    served: ArcSwap<Served>,
    config: ArcSwap<Config>,
    /// What was asked and answered since the start, whatever was served meanwhile.
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn new(served: Served, config: Config) -> Self {
        let counters = Counters::new(served.zones.iter().count());
        let served = ArcSwap::from_pointee(served.counted(&counters));
        Self { served, config: ArcSwap::from_pointee(config), counters }
    }

    /// What is served now. Stays whole while it is held, whatever happens meanwhile.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// A look at what is served that costs next to nothing while it stays the same.
    pub(crate) fn cache(&self) -> Cache<&ArcSwap<Served>, Arc<Served>> {
        Cache::new(&self.served)
    }

    /// The configuration in force. Another one after a reload.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts another configuration in force; what is served is replaced by itself.
    pub(crate) fn configure(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    /// Serves something else from now on.
    pub(crate) fn replace(&self, served: Served) {
        let served = Arc::new(served.counted(&self.counters));
        self.served.store(served);
    }
}

/// Whether the table's policy is the configuration's already. Orders may differ; a wrong "no"
/// costs nothing but a write.
fn is_in_force(wanted: &Policy, present: &Policy) -> bool {
    let sorted = |policy: &Policy| {
        let mut policy = policy.clone();
        policy.never.sort_unstable();
        policy.weights.sort_unstable();
        policy
    };
    sorted(wanted) == sorted(present)
}

//! What is served just now: a table, and the zones as views of it.

use std::ops::Deref;
use std::sync::Arc;

use eximrbl_dns::Content;
use eximrbl_table::{Policy, SetPolicyError, Table, WritableTable};
use eximrbl_zone::{Config, ZoneError, Zones};
use parking_lot::RwLock;

use crate::stand_in::stand_in;
use crate::table_file::TableError;

/// All that answers queries has no more than this, and nothing in it can change the table: it is mapped
/// for reading alone.
pub(crate) struct Served {
    pub(crate) content: Content,
    /// Whether all of the configuration is in force. It is not when the table could not be
    /// written: then reasons may lack their names in it, and the policy may be another.
    pub(crate) is_complete: bool,
}

impl Deref for Served {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.content
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
    ) -> Result<Self, ServeError> {
        let Some(writable) = writable else {
            let names = stand_in(&table).ok_or(ServeError::Memory)?;
            let zones = Zones::resolve(config, &names)?;
            return Ok(Self { content: Content::new(table, zones), is_complete: false });
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
        Ok(Self { content: Content::new(table, zones), is_complete: true })
    }
}

/// What all threads share. It changes as a whole.
pub(crate) struct Shared {
    served: RwLock<Arc<Served>>,
}

impl Shared {
    pub(crate) fn new(served: Served) -> Self {
        Self { served: RwLock::new(Arc::new(served)) }
    }

    /// What is served now. Stays whole while it is held, whatever happens meanwhile.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.read().clone()
    }

    /// Serves something else from now on.
    pub(crate) fn replace(&self, served: Served) {
        *self.served.write() = Arc::new(served);
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

//! How plugins are shown in debug output: by name and digest, never by what they hold.

use std::fmt::{Debug, Formatter, Result};

use super::{Adapter, AdapterStream, Engine, Policy, StateStore};

impl Debug for Engine {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter
            .debug_struct("Engine")
            .field("is_pooling", &self.is_pooling())
            .finish_non_exhaustive()
    }
}

impl Debug for StateStore {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str("StateStore")
    }
}

impl Debug for Policy {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        write!(formatter, "Policy({}@{})", self.name(), self.digest().short())
    }
}

impl Debug for Adapter {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        write!(formatter, "Adapter({}@{})", self.name(), self.digest().short())
    }
}

impl Debug for AdapterStream {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str("AdapterStream")
    }
}

//! Lists of policies that are compiled once, however many routes have them.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::Authorization;
use crate::config::AuthorizationPolicy;

/// Compiles the policies of one table. Equal lists are one, which several routes share and which goes on where a table
/// replaces another.
#[derive(Debug, Default)]
pub(crate) struct AuthorizationCompiler {
    known: HashMap<Arc<[AuthorizationPolicy]>, Arc<Authorization>, RandomState>,
}

impl AuthorizationCompiler {
    /// Makes a compiler that goes on with the lists of another table.
    pub(crate) fn after<'a>(previous: impl Iterator<Item = &'a Arc<Authorization>>) -> Self {
        let mut compiler = Self::default();
        previous.for_each(|authorization| compiler.remember(authorization));
        compiler
    }

    /// Compiles policies that have been checked.
    pub(crate) fn compile(&mut self, policies: &[AuthorizationPolicy]) -> Arc<Authorization> {
        if let Some(same) = self.known.get(policies) {
            return Arc::clone(same);
        }
        let authorization = Arc::new(Authorization::build(policies));
        self.remember(&authorization);
        authorization
    }

    fn remember(&mut self, authorization: &Arc<Authorization>) {
        self.known.insert(Arc::clone(&authorization.config), Arc::clone(authorization));
    }
}

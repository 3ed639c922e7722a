//! The changes of requests and responses.

use super::Check;
use crate::crd::{KeyValue, MutationOperation, ValueFrom};

impl Check<'_> {
    pub(super) fn mutations(&mut self, entries: &[KeyValue], field: &str) {
        for (index, entry) in entries.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let removal = entry.operation == Some(MutationOperation::Remove);
            self.require(!removal || entry.value.is_empty(), format!("{field}.value"), "is not for removals");
            let Some(from) = &entry.value_from else { continue };
            let field = format!("{field}.valueFrom");
            self.require(!removal, &field, "is not for removals");
            self.require(entry.value.is_empty(), &field, "excludes `value`, which is given too");
            let ValueFrom { attribute, peer_address, request_id } = from;
            let given = [attribute.is_some(), *peer_address, *request_id].into_iter().filter(|given| *given).count();
            let one = "must hold exactly one of `attribute`, `peerAddress` and `requestId`";
            self.require(given == 1, &field, one);
            let named = attribute.as_ref().is_none_or(|name| !name.is_empty());
            self.require(named, format!("{field}.attribute"), "must not be empty");
        }
    }
}

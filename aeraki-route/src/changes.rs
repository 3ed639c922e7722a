//! Changes of a message's attributes: from what a route asks for to what its codec writes.

use std::{net::IpAddr, sync::Arc};

use aeraki_codec::{Attributes, Id, Mutation};

use crate::config::{MutationEntry, MutationValue};

/// What a route changes in requests or in responses.
///
/// Texts that are set and keys that are removed are ready to be attached to any message. Everything else is worked out
/// for each: first the [values](Self::values), which come from the request, then what they do to the
/// [message](Self::resolve).
#[derive(Debug)]
pub struct Changes {
    entries: Box<[MutationEntry]>,
    fixed: Option<Arc<Mutation>>,
}

/// The values of one request for the entries of [`Changes`], in their order; none where there is none.
pub type ChangeValues = Box<[Option<Arc<[u8]>>]>;

/// What is known of a request besides its attributes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Origin {
    /// Address of the downstream peer.
    pub peer: IpAddr,
    /// The id of the request in its protocol.
    pub id: Id,
}

impl Origin {
    /// Describes where a request comes from.
    pub fn new(peer: IpAddr, id: Id) -> Self {
        Self { peer, id }
    }
}

impl Changes {
    /// Compiles entries that have been checked; none where nothing changes.
    pub(crate) fn compile(entries: &[MutationEntry]) -> Option<Arc<Self>> {
        if entries.is_empty() {
            return None;
        }
        Some(Arc::new(Self { fixed: fixed(entries).map(Arc::new), entries: entries.into() }))
    }

    /// Returns the changes themselves where they are the same for every message.
    #[inline]
    pub fn fixed(&self) -> Option<&Arc<Mutation>> {
        self.fixed.as_ref()
    }

    /// Takes the values of a request. An attribute that is not UTF-8 is none: not every protocol could carry it.
    pub fn values<A: Attributes + ?Sized>(&self, request: &A, origin: &Origin) -> ChangeValues {
        let value = |value: &MutationValue| -> Option<Arc<[u8]>> {
            match value {
                MutationValue::Text(text) => Some(text.as_bytes().into()),
                MutationValue::Attribute(name) => request.attr(name).map(Into::into),
                MutationValue::PeerAddress => Some(origin.peer.to_canonical().to_string().as_bytes().into()),
                MutationValue::RequestId => match origin.id {
                    Id::Number(id) => Some(id.to_string().as_bytes().into()),
                    _ => None,
                },
            }
        };
        let is_text = |value: &Arc<[u8]>| std::str::from_utf8(value).is_ok();
        self.entries.iter().map(|entry| value_of(entry).and_then(value).filter(is_text)).collect()
    }

    /// Works out what `values` change in a message.
    pub fn resolve<A: Attributes + ?Sized>(&self, message: &A, values: &ChangeValues) -> Mutation {
        let mut mutation = Mutation::new();
        for (entry, value) in self.entries.iter().zip(values) {
            if let MutationEntry::Remove { key } = entry {
                mutation.remove(key.clone());
                continue;
            }
            let Some(value) = value else { continue };
            match entry {
                MutationEntry::Set { key, .. } => {
                    mutation.set(key.clone(), value.to_vec());
                }
                MutationEntry::SetIfAbsent { key, .. } => {
                    if present(message, &mutation, key).is_none() {
                        mutation.set(key.clone(), value.to_vec());
                    }
                }
                MutationEntry::Append { key, .. } => {
                    let mut text = present(message, &mutation, key).unwrap_or_default();
                    if !text.is_empty() {
                        text.push(b',');
                    }
                    text.extend_from_slice(value);
                    mutation.set(key.clone(), text);
                }
                MutationEntry::Remove { .. } => {}
            }
        }
        mutation
    }

    /// Lists the attributes of the request that values come from.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(value_of).filter_map(|value| match value {
            MutationValue::Attribute(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Lists the attributes of the changed message whose present value matters.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            MutationEntry::SetIfAbsent { key, .. } | MutationEntry::Append { key, .. } => Some(key.as_str()),
            MutationEntry::Set { .. } | MutationEntry::Remove { .. } => None,
        })
    }
}

/// Returns the mutation that needs nothing of a message, if it is one.
fn fixed(entries: &[MutationEntry]) -> Option<Mutation> {
    let mut mutation = Mutation::new();
    for entry in entries {
        match entry {
            MutationEntry::Set { key, value: MutationValue::Text(value) } => mutation.set(key.clone(), value.clone()),
            MutationEntry::Remove { key } => mutation.remove(key.clone()),
            _ => return None,
        };
    }
    Some(mutation)
}

fn value_of(entry: &MutationEntry) -> Option<&MutationValue> {
    match entry {
        MutationEntry::Set { value, .. }
        | MutationEntry::SetIfAbsent { value, .. }
        | MutationEntry::Append { value, .. } => Some(value),
        MutationEntry::Remove { .. } => None,
    }
}

/// Returns the value that an attribute has after the changes so far.
fn present<A: Attributes + ?Sized>(message: &A, so_far: &Mutation, key: &str) -> Option<Vec<u8>> {
    match so_far.get(key.as_bytes()) {
        Some(aeraki_codec::Change::Set(value)) => Some(value.to_vec()),
        Some(_) => None,
        None => message.attr(key).map(<[u8]>::to_vec),
    }
}

#[cfg(test)]
mod tests {
    use aeraki_codec::Change;

    use super::*;

    fn resolve(entries: &[MutationEntry], message: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let changes = Changes::compile(entries).expect("some");
        let origin = Origin::new("::ffff:10.0.0.1".parse().expect("an address"), Id::Number(7));
        let mutation = changes.resolve(message, &changes.values(message, &origin));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let change = |change: &Change| if let Change::Set(value) = change { Some(text(value)) } else { None };
        mutation.iter().map(|(key, value)| (text(key), change(value))).collect()
    }

    #[test]
    fn values_come_from_the_request_and_from_where_it_came() {
        let attribute = |name: &str| MutationValue::Attribute(name.to_owned());
        let entries = [
            MutationEntry::set("caller", MutationValue::PeerAddress),
            MutationEntry::set("id", MutationValue::RequestId),
            MutationEntry::set("copy", attribute("user")),
            MutationEntry::set("none", attribute("nobody")),
        ];
        let set = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        let expected = [set("caller", "10.0.0.1"), set("id", "7"), set("copy", "ann")];
        assert_eq!(resolve(&entries, &[("user", "ann")]), expected);
        let changes = Changes::compile(&entries).expect("some");
        let origin = Origin::new("10.0.0.1".parse().expect("an address"), Id::None);
        let values = changes.values(&[("user", &b"\xed\xbf\xbf"[..])], &origin);
        assert!(values[2].is_none(), "a lone surrogate can be carried by nobody");
    }

    #[test]
    fn what_is_there_decides_on_adding() {
        let entries = [
            MutationEntry::set_if_absent("a", "new"),
            MutationEntry::append("b", "2"),
            MutationEntry::append("b", "3"),
            MutationEntry::remove("c"),
            MutationEntry::set_if_absent("c", "again"),
        ];
        let set = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        let there = [("a", "old"), ("b", "1"), ("c", "x")];
        assert_eq!(resolve(&entries, &there), [set("b", "1,2,3"), set("c", "again")]);
        assert_eq!(resolve(&entries, &[]), [set("a", "new"), set("b", "2,3"), set("c", "again")]);
    }

    #[test]
    fn plain_texts_are_worked_out_once() {
        let changes = |entries: &[MutationEntry]| Changes::compile(entries);
        let plain = [MutationEntry::set("a", "1"), MutationEntry::remove("b")];
        assert!(changes(&plain).is_some_and(|changes| changes.fixed().is_some()));
        assert!(changes(&[MutationEntry::append("a", "1")]).is_some_and(|changes| changes.fixed().is_none()));
        assert!(changes(&[]).is_none());
    }
}

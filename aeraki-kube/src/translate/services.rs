//! What all entries of a host together say of its ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Translation,
    rejection::{Rejection, RejectionKind},
};
use crate::{
    istio::{Port, ServiceEntry},
    protocol::PortProtocol,
    world::World,
};

/// Holds one host's MetaProtocol ports, each with the entries that declare it.
pub(super) struct Service<'a> {
    pub(super) host: &'a str,
    /// The namespace of the first entry, which decides on precedence.
    pub(super) namespace: &'a str,
    pub(super) ports: BTreeMap<u16, Vec<Declared<'a>>>,
    entries: &'a [Arc<ServiceEntry>],
}

/// One declaration of a port.
#[derive(Clone, Copy)]
pub(super) struct Declared<'a> {
    pub(super) entry: &'a ServiceEntry,
    pub(super) port: &'a Port,
}

impl<'a> Service<'a> {
    /// Gathers the ports of a host; a port that is none, or whose name is wrong or contradicts an earlier one, is
    /// rejected.
    pub(super) fn collect(world: &'a World, host: &'a str, translation: &mut Translation) -> Self {
        let entries = world.services(host);
        let namespace = entries.first().map_or("", |entry| entry.metadata.namespace.as_str());
        let mut service = Self { host, namespace, ports: BTreeMap::new(), entries };
        for entry in entries {
            for (index, port) in entry.spec.ports.iter().enumerate() {
                let (field, fault) = match port.number {
                    0 => ("number", Err(("must be from 1 to 65535".to_owned(), RejectionKind::Invalid))),
                    _ => ("name", service.declare(Declared { entry, port })),
                };
                if let Err((reason, kind)) = fault {
                    translation.reject(Rejection::new(&**entry, format!("spec.ports[{index}].{field}"), reason, kind));
                }
            }
        }
        service
    }

    /// Lists the first entry of every namespace that declares the host.
    pub(super) fn entry_of_each_namespace(&self) -> impl Iterator<Item = &'a ServiceEntry> + use<'a> {
        let mut seen = BTreeSet::new();
        self.entries.iter().map(|entry| &**entry).filter(move |entry| seen.insert(entry.metadata.namespace.as_str()))
    }

    fn declare(&mut self, declared: Declared<'a>) -> Result<(), (String, RejectionKind)> {
        let Port { number, name, .. } = declared.port;
        let protocol = PortProtocol::of(name);
        match protocol {
            PortProtocol::MetaProtocol(_) => {}
            PortProtocol::Other => return Ok(()),
            PortProtocol::Incomplete => {
                let reason = format!("`{name}` lacks the protocol: tcp-metaprotocol-<protocol>");
                return Err((reason, RejectionKind::Invalid));
            }
        }
        let earlier = self.ports.entry(*number).or_default();
        if let Some(Declared { entry, port }) =
            earlier.first().filter(|first| PortProtocol::of(&first.port.name) != protocol)
        {
            let reason = format!("port {number} of `{}` is `{}` in {}", self.host, port.name, entry.reference());
            return Err((reason, RejectionKind::Conflict));
        }
        earlier.push(declared);
        Ok(())
    }
}

/// Reports the entries that name no host.
pub(super) fn reject_unreachable(world: &World, translation: &mut Translation) {
    for entry in world.services_without_host() {
        translation.reject(Rejection::invalid(entry, "spec.hosts", "must name a host"));
    }
}

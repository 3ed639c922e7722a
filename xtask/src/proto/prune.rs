//! Cuts a descriptor set down to the messages that are wanted.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Leaves only `messages`, `methods`, and the enums that the kept fields name.
///
/// A field of a message type that is not kept is removed; on the wire it is then an unknown field, which decoders skip.
///
/// # Errors
///
/// Fails on a name that the set does not define.
pub(super) fn keep(mut set: FileDescriptorSet, messages: &[&str], methods: &[&str]) -> Result<FileDescriptorSet> {
    let mut pruner = Pruner { wanted: messages, found: BTreeSet::new(), enums: BTreeSet::new() };
    for file in &mut set.file {
        pruner.file(file, methods);
    }
    for name in messages.iter().chain(methods) {
        ensure!(pruner.found.contains(*name), "no message or method {name}");
    }
    for file in &mut set.file {
        keep_enums(file, &pruner.enums);
    }
    set.file.retain(|file| !(file.message_type.is_empty() && file.enum_type.is_empty() && file.service.is_empty()));
    Ok(set)
}

struct Pruner<'a> {
    wanted: &'a [&'a str],
    found: BTreeSet<String>,
    /// Full names, with their leading dot, of the enums that a kept field has.
    enums: BTreeSet<String>,
}

impl Pruner<'_> {
    fn file(&mut self, file: &mut FileDescriptorProto, methods: &[&str]) {
        let package = file.package().to_owned();
        if package == WELL_KNOWN {
            return;
        }
        file.message_type.retain_mut(|message| self.message(message, &package));
        file.service.retain_mut(|service| {
            let name = join(&package, service.name());
            service.method.retain(|method| {
                let method = join(&name, method.name());
                let wanted = methods.contains(&method.as_str());
                self.found.insert(method);
                wanted
            });
            !service.method.is_empty()
        });
        file.dependency.clear();
        file.public_dependency.clear();
        file.weak_dependency.clear();
    }

    /// Prunes the message; answers whether it is kept at all.
    fn message(&mut self, message: &mut DescriptorProto, scope: &str) -> bool {
        let name = join(scope, message.name());
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return true;
        }
        if !self.wanted.contains(&name.as_str()) {
            return false;
        }
        message.nested_type.retain_mut(|nested| self.message(nested, &name));
        let entries = map_entries(message, &name);
        message.field.retain(|field| self.field(field, &entries));
        message.nested_type.retain(|nested| {
            let is_entry = nested.options.as_ref().is_some_and(|options| options.map_entry());
            let type_name = format!(".{}", join(&name, nested.name()));
            !is_entry || message.field.iter().any(|field| field.type_name() == type_name)
        });
        drop_empty_oneofs(message);
        // What Envoy deprecates stays in use here: older control planes send it, older proxies read only that.
        message
            .field
            .iter_mut()
            .filter_map(|field| field.options.as_mut())
            .for_each(|options| options.deprecated = None);
        self.found.insert(name);
        true
    }

    fn field(&mut self, field: &FieldDescriptorProto, entries: &[(String, FieldDescriptorProto)]) -> bool {
        if let Some((_, value)) = entries.iter().find(|(name, _)| name == field.type_name()) {
            return self.field(value, &[]);
        }
        match field.r#type() {
            Type::Message => {
                let name = field.type_name().trim_start_matches('.');
                name.starts_with(WELL_KNOWN) || self.wanted.contains(&name)
            }
            Type::Enum => {
                self.enums.insert(field.type_name().to_owned());
                true
            }
            _ => true,
        }
    }
}

/// The value fields of the message's maps, by the name of their entry type.
fn map_entries(message: &DescriptorProto, scope: &str) -> Vec<(String, FieldDescriptorProto)> {
    let entries = message.nested_type.iter().filter(|nested| nested.options.as_ref().is_some_and(|o| o.map_entry()));
    entries
        .filter_map(|entry| {
            let value = entry.field.iter().find(|field| field.name() == "value")?;
            Some((format!(".{}", join(scope, entry.name())), value.clone()))
        })
        .collect()
}

fn drop_empty_oneofs(message: &mut DescriptorProto) {
    let all = std::mem::take(&mut message.oneof_decl);
    for (index, oneof) in (0i32..).zip(all) {
        let mut members = message.field.iter_mut().filter(|field| field.oneof_index == Some(index)).peekable();
        if members.peek().is_some() {
            let position = i32::try_from(message.oneof_decl.len()).unwrap_or(i32::MAX);
            members.for_each(|field| field.oneof_index = Some(position));
            message.oneof_decl.push(oneof);
        }
    }
}

fn keep_enums(file: &mut FileDescriptorProto, used: &BTreeSet<String>) {
    let package = file.package().to_owned();
    if package == WELL_KNOWN {
        return;
    }
    retain_used(&mut file.enum_type, &package, used);
    for message in &mut file.message_type {
        keep_nested_enums(message, &package, used);
    }
}

fn keep_nested_enums(message: &mut DescriptorProto, scope: &str, used: &BTreeSet<String>) {
    let name = join(scope, message.name());
    retain_used(&mut message.enum_type, &name, used);
    for nested in &mut message.nested_type {
        keep_nested_enums(nested, &name, used);
    }
}

fn retain_used(enums: &mut Vec<EnumDescriptorProto>, scope: &str, used: &BTreeSet<String>) {
    enums.retain(|item| used.contains(&format!(".{}", join(scope, item.name()))));
}

fn join(scope: &str, name: &str) -> String {
    format!("{scope}.{name}")
}

/// The package whose types come from `prost-types`.
const WELL_KNOWN: &str = "google.protobuf";

//! `aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization`.

use aeraki_route::config::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationRule, ConfigError, Operation, Patterns, Source,
};

use super::super::at::At;
use crate::proto::aeraki::meta_protocol_proxy::filters::authorization::v1alpha as proto;
use proto::policy::Action;

pub(in super::super) fn from_proto(
    authorization: &proto::Authorization,
    at: &At<'_>,
) -> Result<Vec<AuthorizationPolicy>, ConfigError> {
    let convert = |(index, policy): (usize, &proto::Policy)| {
        policy_from_proto(policy, &at.named("policies", index, &policy.name))
    };
    authorization.policies.iter().enumerate().map(convert).collect()
}

pub(in super::super) fn to_proto(
    policies: &[AuthorizationPolicy],
    at: &At<'_>,
) -> Result<proto::Authorization, ConfigError> {
    let convert = |(index, policy): (usize, &AuthorizationPolicy)| {
        policy_to_proto(policy, &at.named("authorization", index, &policy.name))
    };
    Ok(proto::Authorization { policies: policies.iter().enumerate().map(convert).collect::<Result<_, _>>()? })
}

fn policy_from_proto(policy: &proto::Policy, at: &At<'_>) -> Result<AuthorizationPolicy, ConfigError> {
    let action = match Action::try_from(policy.action) {
        Ok(Action::Allow) => AuthorizationAction::Allow,
        Ok(Action::Deny) => AuthorizationAction::Deny,
        Err(_) => return Err(at.field("action").refuse(format!("there is no action {}", policy.action))),
    };
    let rule = |(index, rule): (usize, &proto::Rule)| rule_from_proto(rule, &at.item("rules", index));
    let mut converted = AuthorizationPolicy::new(&policy.name, action).with_dry_run(policy.dry_run);
    converted.rules = policy.rules.iter().enumerate().map(rule).collect::<Result<_, _>>()?;
    Ok(converted)
}

fn policy_to_proto(policy: &AuthorizationPolicy, at: &At<'_>) -> Result<proto::Policy, ConfigError> {
    let action = match policy.action {
        AuthorizationAction::Allow => Action::Allow,
        AuthorizationAction::Deny => Action::Deny,
        _ => return Err(at.field("action").refuse("has no form in protobuf")),
    };
    let rule = |rule: &AuthorizationRule| proto::Rule {
        from: rule.from.iter().map(source_to_proto).collect(),
        to: rule.to.iter().map(operation_to_proto).collect(),
    };
    Ok(proto::Policy {
        name: policy.name.clone(),
        action: action.into(),
        rules: policy.rules.iter().map(rule).collect(),
        dry_run: policy.dry_run,
    })
}

fn rule_from_proto(rule: &proto::Rule, at: &At<'_>) -> Result<AuthorizationRule, ConfigError> {
    let operation =
        |(index, operation): (usize, &proto::Operation)| operation_from_proto(operation, &at.item("to", index));
    let source = |(index, source): (usize, &proto::Source)| source_from_proto(source, &at.item("from", index));
    let mut converted = AuthorizationRule::default();
    converted.from = rule.from.iter().enumerate().map(source).collect::<Result<_, _>>()?;
    converted.to = rule.to.iter().enumerate().map(operation).collect::<Result<_, _>>()?;
    Ok(converted)
}

fn source_from_proto(source: &proto::Source, at: &At<'_>) -> Result<Source, ConfigError> {
    let mut converted = Source::default();
    converted.principals = patterns_from_proto(source.principals.as_ref());
    converted.namespaces = patterns_from_proto(source.namespaces.as_ref());
    converted.trust_domains = patterns_from_proto(source.trust_domains.as_ref());
    converted.ip_blocks = patterns_from_proto(source.ip_blocks.as_ref());
    converted.ports = ports_from_proto(&source.ports, "ports", at)?;
    converted.not_ports = ports_from_proto(&source.not_ports, "not_ports", at)?;
    Ok(converted)
}

fn source_to_proto(source: &Source) -> proto::Source {
    proto::Source {
        principals: some_to_proto(&source.principals),
        namespaces: some_to_proto(&source.namespaces),
        trust_domains: some_to_proto(&source.trust_domains),
        ip_blocks: some_to_proto(&source.ip_blocks),
        ports: ports_to_proto(&source.ports),
        not_ports: ports_to_proto(&source.not_ports),
    }
}

fn operation_from_proto(operation: &proto::Operation, at: &At<'_>) -> Result<Operation, ConfigError> {
    let attribute = |(name, patterns): (&String, &proto::Patterns)| (name.clone(), patterns_from_proto(Some(patterns)));
    let mut converted = Operation::default();
    converted.attributes = operation.attributes.iter().map(attribute).collect();
    converted.ports = ports_from_proto(&operation.ports, "ports", at)?;
    converted.not_ports = ports_from_proto(&operation.not_ports, "not_ports", at)?;
    converted.destination_ip_blocks = patterns_from_proto(operation.destination_ip_blocks.as_ref());
    Ok(converted)
}

fn operation_to_proto(operation: &Operation) -> proto::Operation {
    let attribute = |(name, patterns): (&String, &Patterns)| (name.clone(), patterns_to_proto(patterns));
    proto::Operation {
        attributes: operation.attributes.iter().map(attribute).collect(),
        ports: ports_to_proto(&operation.ports),
        not_ports: ports_to_proto(&operation.not_ports),
        destination_ip_blocks: some_to_proto(&operation.destination_ip_blocks),
    }
}

fn ports_from_proto(ports: &[u32], list: &str, at: &At<'_>) -> Result<Vec<u16>, ConfigError> {
    let convert = |(index, port): (usize, &u32)| {
        u16::try_from(*port).map_err(|_| at.item(list, index).refuse(format!("{port} is not a port")))
    };
    ports.iter().enumerate().map(convert).collect()
}

fn ports_to_proto(ports: &[u16]) -> Vec<u32> {
    ports.iter().copied().map(u32::from).collect()
}

fn patterns_from_proto(patterns: Option<&proto::Patterns>) -> Patterns {
    let mut converted = Patterns::default();
    if let Some(patterns) = patterns {
        converted.values.clone_from(&patterns.values);
        converted.not_values.clone_from(&patterns.not_values);
    }
    converted
}

fn patterns_to_proto(patterns: &Patterns) -> proto::Patterns {
    proto::Patterns { values: patterns.values.clone(), not_values: patterns.not_values.clone() }
}

fn some_to_proto(patterns: &Patterns) -> Option<proto::Patterns> {
    (!patterns.is_empty()).then(|| patterns_to_proto(patterns))
}

//! Who may ask for what.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::config::error::{Checked, FieldError, ensure};

/// Allows or denies requests; the semantics of DubboAuthorizationPolicy for every protocol.
///
/// Policies that deny come first: a request that one of them matches is denied. Where there are policies that allow, a
/// request must match one of them. A request that cannot be judged, because an attribute that a policy asks for is
/// ambiguous, is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthorizationPolicy {
    /// Name in logs, metrics and errors, for example `namespace/name`; not empty.
    pub name: String,
    /// What happens to requests that match; default: they are allowed.
    #[serde(default)]
    pub action: AuthorizationAction,
    /// The policy matches where one of the rules does. Without rules nothing matches, so that one that allows, alone,
    /// denies everything.
    #[serde(default)]
    pub rules: Vec<AuthorizationRule>,
    /// Whether the decision is only counted and recorded, not carried out; default: no.
    #[serde(default)]
    pub dry_run: bool,
}

impl AuthorizationPolicy {
    /// Creates a policy without rules.
    pub fn new(name: impl Into<String>, action: AuthorizationAction) -> Self {
        Self { name: name.into(), action, ..Self::default() }
    }

    /// Adds a rule.
    #[must_use]
    pub fn with_rule(mut self, rule: AuthorizationRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets whether the decision is only counted and recorded.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Returns the path of this policy, the one at `index`, in error texts.
    pub(crate) fn path(&self, index: usize) -> String {
        format!("authorization[{index}] {:?}", self.name)
    }

    pub(crate) fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        for (index, rule) in self.rules.iter().enumerate() {
            rule.check().map_err(|error| error.within(format!("rules[{index}]")))?;
        }
        Ok(())
    }
}

/// What happens to requests that an [`AuthorizationPolicy`] matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum AuthorizationAction {
    /// They are allowed unless another policy denies them.
    #[default]
    Allow,
    /// They are denied.
    Deny,
}

/// Matches a request that comes from one of the sources and asks for one of the operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthorizationRule {
    /// Where the request comes from; none: anywhere.
    #[serde(default)]
    pub from: Vec<Source>,
    /// What it asks for; none: anything.
    #[serde(default)]
    pub to: Vec<Operation>,
}

impl AuthorizationRule {
    /// Adds a source.
    #[must_use]
    pub fn with_source(mut self, source: Source) -> Self {
        self.from.push(source);
        self
    }

    /// Adds an operation.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.to.push(operation);
        self
    }

    fn check(&self) -> Checked {
        for (index, source) in self.from.iter().enumerate() {
            source.check().map_err(|error| error.within(format!("from[{index}]")))?;
        }
        for (index, operation) in self.to.iter().enumerate() {
            operation.check().map_err(|error| error.within(format!("to[{index}]")))?;
        }
        Ok(())
    }
}

/// Values that are wanted, and values that are not: a value must be among the first and not among the second.
///
/// A pattern is a text, a prefix `abc*`, a suffix `*abc`, or `*`, any value that is there. Wanted patterns are not
/// fulfilled by a value that is not there, unwanted ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Patterns {
    /// One of these must match; none: any value will do, also none.
    #[serde(default)]
    pub values: Vec<String>,
    /// None of these may match.
    #[serde(default)]
    pub not_values: Vec<String>,
}

impl Patterns {
    /// Creates a list of wanted values.
    pub fn of<V: Into<String>>(values: impl IntoIterator<Item = V>) -> Self {
        Self { values: values.into_iter().map(Into::into).collect(), not_values: Vec::new() }
    }

    /// Creates a list of unwanted values.
    pub fn not<V: Into<String>>(values: impl IntoIterator<Item = V>) -> Self {
        Self { values: Vec::new(), not_values: values.into_iter().map(Into::into).collect() }
    }

    /// Tells whether every value fulfils it.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.not_values.is_empty()
    }

    /// Tells what is wrong with a pattern; none if it can be used.
    pub fn fault(pattern: &str) -> Option<&'static str> {
        let inner = pattern.strip_prefix('*').unwrap_or_else(|| pattern.strip_suffix('*').unwrap_or(pattern));
        if pattern.is_empty() {
            Some("must not be empty")
        } else if inner.contains('*') {
            Some("`*` may stand at the start or at the end only, once")
        } else {
            None
        }
    }

    fn check(&self, field: &str) -> Checked {
        self.check_each(field, |pattern| Self::fault(pattern).map(str::to_owned))
    }

    fn check_each(&self, field: &str, fault: impl Fn(&str) -> Option<String>) -> Checked {
        for (list, entries) in [("values", &self.values), ("notValues", &self.not_values)] {
            for (index, entry) in entries.iter().enumerate() {
                if let Some(reason) = fault(entry) {
                    return Err(FieldError::new(format_args!("{field}.{list}[{index}]"), reason));
                }
            }
        }
        Ok(())
    }
}

/// Where a request comes from; all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Source {
    /// The peer's identity as in its certificate, without `spiffe://`: `cluster.local/ns/shop/sa/web`.
    pub principals: Patterns,
    /// The namespace in the peer's identity.
    pub namespaces: Patterns,
    /// The trust domain in the peer's identity.
    pub trust_domains: Patterns,
    /// Networks that hold the peer's address, as `10.0.0.0/8` or an address.
    pub ip_blocks: Patterns,
    /// Ports of the peer, each 1 to 65 535; none: any.
    pub ports: Vec<u16>,
    /// Ports that the peer must not have.
    pub not_ports: Vec<u16>,
}

impl Source {
    /// Tells what is wrong with a text in the place of an IP block; none if it can be used.
    pub fn ip_block_fault(text: &str) -> Option<String> {
        let known = ip_block(text).is_some();
        (!known).then(|| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
    }

    fn check(&self) -> Checked {
        self.principals.check("principals")?;
        self.namespaces.check("namespaces")?;
        self.trust_domains.check("trustDomains")?;
        self.ip_blocks.check_each("ipBlocks", Self::ip_block_fault)?;
        check_ports(&self.ports, &self.not_ports)
    }
}

/// What a request asks for; all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Operation {
    /// Values of attributes by their names, such as `interface` and `method`; names are not empty.
    pub attributes: BTreeMap<String, Patterns>,
    /// Ports of the proxy that the client connected to, or meant where its connection was redirected, each 1 to 65 535;
    /// none: any.
    pub ports: Vec<u16>,
    /// Ports of the proxy that the client must not have connected to.
    pub not_ports: Vec<u16>,
    /// Networks that hold the address which the client connected to, or meant where its connection was redirected, as
    /// `10.0.0.0/8` or an address.
    pub destination_ip_blocks: Patterns,
}

impl Operation {
    /// Adds what an attribute must be.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, patterns: Patterns) -> Self {
        self.attributes.insert(name.into(), patterns);
        self
    }

    fn check(&self) -> Checked {
        for (name, patterns) in &self.attributes {
            ensure(!name.is_empty(), "attributes", "the name of an attribute must not be empty")?;
            patterns.check(&format!("attributes[{name:?}]"))?;
        }
        self.destination_ip_blocks.check_each("destinationIpBlocks", Source::ip_block_fault)?;
        check_ports(&self.ports, &self.not_ports)
    }
}

fn check_ports(ports: &[u16], not_ports: &[u16]) -> Checked {
    for (list, ports) in [("ports", ports), ("notPorts", not_ports)] {
        ensure(!ports.contains(&0), list, "0 is not a port")?;
    }
    Ok(())
}

/// Reads an address, or a network with the length of its prefix; IPv4 that is mapped into IPv6 is IPv4, as it is in the
/// addresses of clients.
pub(crate) fn ip_block(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address.parse::<IpAddr>().ok()?, Some(length.parse::<u8>().ok()?)),
        None => (text.parse().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    match address.to_canonical() {
        mapped @ IpAddr::V4(_) if address.is_ipv6() => {
            Some((mapped, length.checked_sub(96).filter(|length| *length <= 32)?))
        }
        _ => (length <= most).then_some((address, length)),
    }
}

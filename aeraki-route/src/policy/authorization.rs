//! Who may ask for what, found without walking the policies.

mod compiler;
mod conjunction;
mod index;
mod texts;

use std::{net::SocketAddr, sync::Arc};

use aeraki_codec::Attributes;

pub(crate) use self::compiler::AuthorizationCompiler;
use self::index::Index;
use crate::config::{AuthorizationAction, AuthorizationPolicy, ConfigError};

/// Allows and denies messages by all policies together.
///
/// Policies that deny come first. Where there are policies that allow, one of them must match. A message with an
/// ambiguous value of an attribute that a policy asks for cannot be judged, and is denied.
///
/// What is asked of the attribute `method` is asked of `generic.method` too where the method is `$invoke` or
/// `$invokeAsync`: a generic call of Dubbo is a call of both methods. Of other methods it says nothing, so that clients
/// of protocols with free attributes cannot claim to call another method than they do.
#[derive(Debug)]
pub struct Authorization {
    config: Arc<[AuthorizationPolicy]>,
    enforced: Policies,
    dry_run: Policies,
}

/// Policies that are carried out, or those that are not.
#[derive(Debug, Default)]
struct Policies {
    deny: Index,
    allow: Index,
    /// Whether a message must be allowed by a policy.
    selective: bool,
    /// The attributes that any of them asks for, in lower case.
    attributes: Box<[Box<str>]>,
}

/// What is known of the client of a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Peer<'a> {
    /// The identity in its certificate, without `spiffe://`; none where it has shown none.
    pub principal: Option<&'a str>,
    /// Its address.
    pub address: SocketAddr,
    /// The address that it connected to, or meant where its connection was redirected.
    pub local: SocketAddr,
}

impl<'a> Peer<'a> {
    /// Describes a client that has shown no identity.
    pub fn new(address: SocketAddr, local: SocketAddr) -> Self {
        Self { principal: None, address, local }
    }

    /// Sets the identity, without `spiffe://`.
    #[must_use]
    pub fn with_principal(mut self, principal: Option<&'a str>) -> Self {
        self.principal = principal;
        self
    }

    /// Returns the part before the first slash of the identity.
    fn trust_domain(&self) -> Option<&'a str> {
        Some(self.principal?.split_once('/')?.0)
    }

    /// Returns what stands behind `/ns/` in the identity.
    fn namespace(&self) -> Option<&'a str> {
        let mut segments = self.principal?.split('/');
        segments.find(|segment| *segment == "ns")?;
        segments.next()
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// Whether it may pass.
    pub allowed: bool,
    /// Why.
    pub why: Why<'a>,
    /// What would have become of it by the policies that are only tried, where there are any.
    pub dry_run: Option<(bool, Why<'a>)>,
}

/// Why a message may pass or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why<'a> {
    /// A rule of this policy matches it.
    Policy {
        /// Name of the policy.
        name: &'a Arc<str>,
        /// Place of the rule in the policy, from 0.
        rule: usize,
    },
    /// No policy denies it, and none need allow it.
    NoPolicy,
    /// There are policies that allow, and none of them matches.
    NotAllowed,
    /// It has different values of this attribute, so that others may read it differently.
    Ambiguous(&'a str),
}

impl Authorization {
    /// Compiles policies.
    ///
    /// # Errors
    ///
    /// Names the policy, the field and the reason: a pattern with more than one `*`, a network that is none, a port 0.
    pub fn compile(policies: &[AuthorizationPolicy]) -> Result<Self, ConfigError> {
        for policy in policies {
            policy.check().map_err(|error| error.of("authorization policy", &policy.name))?;
        }
        Ok(Self::build(policies))
    }

    /// Compiles policies that have been checked.
    pub(crate) fn build(policies: &[AuthorizationPolicy]) -> Self {
        let build = |dry_run| Policies::build(policies.iter().filter(|policy| policy.dry_run == dry_run));
        Self { enforced: build(false), dry_run: build(true), config: policies.into() }
    }

    /// Returns the policies.
    pub fn config(&self) -> &[AuthorizationPolicy] {
        &self.config
    }

    /// Judges a message of `peer`.
    pub fn judge<A: Attributes + ?Sized>(&self, message: &A, peer: &Peer<'_>) -> Decision<'_> {
        let (allowed, why) = self.enforced.judge(message, peer);
        let dry_run = (!self.dry_run.is_empty()).then(|| self.dry_run.judge(message, peer));
        Decision { allowed, why, dry_run }
    }

    /// Lists the attributes that any policy asks for, in lower case, and those that tell a record of the decision what
    /// was called.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let asked = self.enforced.attributes.iter().chain(&self.dry_run.attributes).map(|name| &**name);
        CALLED.into_iter().chain(asked.filter(|name| !CALLED.contains(name)))
    }
}

impl Policies {
    fn build<'a>(policies: impl Iterator<Item = &'a AuthorizationPolicy> + Clone) -> Self {
        let attributes = attributes(policies.clone());
        let of = |action| policies.clone().filter(move |policy| policy.action == action);
        let build = |action| Index::build(of(action).flat_map(|policy| conjunction::of_policy(policy, &attributes)));
        Self {
            deny: build(AuthorizationAction::Deny),
            allow: build(AuthorizationAction::Allow),
            selective: of(AuthorizationAction::Allow).next().is_some(),
            attributes,
        }
    }

    fn is_empty(&self) -> bool {
        self.deny.is_empty() && !self.selective
    }

    fn judge<A: Attributes + ?Sized>(&self, message: &A, peer: &Peer<'_>) -> (bool, Why<'_>) {
        if let Some(name) = self.attributes.iter().find(|name| message.is_ambiguous(name)) {
            return (false, Why::Ambiguous(name));
        }
        let subject = &Subject { message, peer, attributes: &self.attributes };
        if let Some(found) = self.deny.find(subject) {
            return (false, found.why());
        }
        if !self.selective {
            return (true, Why::NoPolicy);
        }
        match self.allow.find(subject) {
            Some(found) => (true, found.why()),
            None => (false, Why::NotAllowed),
        }
    }
}

/// Lists the attributes that policies ask for, in lower case.
fn attributes<'a>(policies: impl Iterator<Item = &'a AuthorizationPolicy>) -> Box<[Box<str>]> {
    let operations = policies.flat_map(|policy| &policy.rules).flat_map(|rule| &rule.to);
    let names = operations.flat_map(|operation| operation.attributes.keys());
    let mut names: Vec<Box<str>> = names.map(|name| name.to_ascii_lowercase().into()).collect();
    if names.iter().any(|name| **name == *METHOD) {
        names.push(GENERIC_METHOD.into());
    }
    names.sort_unstable();
    names.dedup();
    names.into_boxed_slice()
}

const METHOD: &str = "method";
/// What says which call a message is, in every protocol that has it.
const CALLED: [&str; 2] = ["interface", METHOD];
/// The method that a generic call is about.
const GENERIC_METHOD: &str = "generic.method";

/// A message and its client, behind the numbers of their fields.
struct Subject<'m, A: ?Sized> {
    message: &'m A,
    peer: &'m Peer<'m>,
    attributes: &'m [Box<str>],
}

/// An end of the connection that a message came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Source,
    Destination,
}

/// A text of a message or its client that patterns are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Field {
    Principal,
    Namespace,
    TrustDomain,
    /// The attribute with this place in [`Policies::attributes`].
    Attribute(usize),
}

impl<'m, A: Attributes + ?Sized> Subject<'m, A> {
    /// Lists the values of a field; only a method may have two.
    fn values(&self, field: Field) -> impl Iterator<Item = &'m [u8]> + use<'m, A> {
        let (value, other) = match field {
            Field::Principal => (self.peer.principal.map(str::as_bytes), None),
            Field::Namespace => (self.peer.namespace().map(str::as_bytes), None),
            Field::TrustDomain => (self.peer.trust_domain().map(str::as_bytes), None),
            Field::Attribute(place) => match self.attributes.get(place).map_or("", |name| name) {
                METHOD => self.methods(),
                name => (self.message.attr(name), None),
            },
        };
        value.into_iter().chain(other)
    }

    fn address(&self, end: End) -> SocketAddr {
        match end {
            End::Source => self.peer.address,
            End::Destination => self.peer.local,
        }
    }

    fn methods(&self) -> (Option<&'m [u8]>, Option<&'m [u8]>) {
        let method = self.message.attr(METHOD);
        let generic = method.is_some_and(|method| matches!(method, b"$invoke" | b"$invokeAsync"));
        (method, generic.then(|| self.message.attr(GENERIC_METHOD)).flatten())
    }
}

#[cfg(test)]
mod tests;

//! What was refused, and why.

use std::fmt;

use crate::object::{Object, ObjectRef, Resource};

/// Names an object, its field at fault, and the reason.
///
/// Its text is one line: `mesh/greet.yaml:3: MetaRouter shop/greet: spec.hosts: must not be empty`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The object.
    pub object: ObjectRef,
    /// The path of the field, such as `spec.routes[0].route[1].weight`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What follows from it.
    pub kind: RejectionKind,
}

impl Rejection {
    /// Refuses an object because of a field.
    pub(super) fn invalid<S: Resource>(
        object: &Object<S>,
        field: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::new(object, field, reason, RejectionKind::Invalid)
    }

    /// Tells that a field has no effect.
    pub(super) fn ineffective<S: Resource>(
        object: &Object<S>,
        field: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::new(object, field, reason, RejectionKind::Ineffective)
    }

    /// Tells whether the object is refused.
    pub fn refuses(&self) -> bool {
        self.kind == RejectionKind::Invalid
    }

    pub(super) fn new<S: Resource>(
        object: &Object<S>,
        field: impl Into<String>,
        reason: impl Into<String>,
        kind: RejectionKind,
    ) -> Self {
        Self { object: object.reference(), field: field.into(), reason: reason.into(), kind }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.field, self.reason)
    }
}

/// Holds what is wrong with a field of an object that the caller knows.
pub(super) struct Fault {
    pub(super) field: String,
    pub(super) reason: String,
}

/// Says what follows from a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The object is refused; what it said before stays in force.
    Invalid,
    /// The object is valid, but another one has precedence for the host or port.
    Conflict,
    /// The object is in force, but this field has no effect.
    Ineffective,
}

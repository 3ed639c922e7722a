//! The registrations of codecs that cannot be used.

use super::{
    Translation,
    rejection::{Rejection, RejectionKind},
};
use crate::world::World;

/// Reports registrations without effect: incomplete ones, names that no port can have, and protocols taken already.
pub(super) fn reject_faulty(world: &World, translation: &mut Translation) {
    for object in world.application_protocols() {
        let (protocol, codec) = (object.spec.protocol.as_str(), object.spec.codec.as_str());
        if protocol.is_empty() || protocol.contains('-') {
            let reason = format!("`{protocol}` cannot be the third part of tcp-metaprotocol-<protocol>");
            translation.reject(Rejection::invalid(&**object, "spec.protocol", reason));
        } else if codec.is_empty() {
            translation.reject(Rejection::invalid(&**object, "spec.codec", "must not be empty"));
        } else if let Some(taken) = world.codec(protocol).filter(|taken| *taken != codec) {
            let reason = format!("the codec of `{protocol}` is `{taken}` already");
            translation.reject(Rejection::new(&**object, "spec.protocol", reason, RejectionKind::Conflict));
        }
    }
}

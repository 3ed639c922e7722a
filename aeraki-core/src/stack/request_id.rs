//! Gives requests ids by which logs and traces of several proxies can be joined.

use aeraki_route::config::RequestIds;

use super::{Admission, Gate, Request};

/// The attribute that holds the id.
pub const REQUEST_ID: &str = "x-request-id";

/// Sets [`REQUEST_ID`] in requests that have none, and in all where ids of clients do not count.
///
/// An id is a random UUID of version 4, whose character 14 says that the request is not traced, as upstream's proxy has
/// it. A request that can carry no attributes passes without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdentifyRequests {
    config: RequestIds,
}

impl IdentifyRequests {
    /// Makes the gate.
    #[must_use]
    pub const fn new(config: RequestIds) -> Self {
        Self { config }
    }
}

impl Gate for IdentifyRequests {
    fn admit(&self, request: &mut Request) -> Admission {
        let message = &mut request.message;
        let has = message.attr(REQUEST_ID).is_some_and(|id| !id.is_empty());
        if (self.config.replace || !has) && message.head().is_mutable() {
            message.mutation_mut().set(REQUEST_ID, uuid(fastrand::u128(..)));
        }
        Admission::Pass
    }
}

/// Writes random bits as a UUID of version 4 (RFC 9562, section 5.4).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn an_id_is_a_uuid_that_is_not_traced() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let id = uuid(fastrand::u128(..));
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    }
}

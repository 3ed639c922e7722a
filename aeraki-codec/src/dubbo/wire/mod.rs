//! Typed, borrowed views of frames, for people who want the protocol itself.

mod descriptor;
pub(super) mod header;
mod request;
mod response;
pub mod status;

pub use header::Header;
pub use request::{Request, RequestValues, request};
pub use response::{Response, ResponseType, ResponseValues, response};

pub(super) use request::{CallHead, Tail, open_attachments};
pub(super) use response::{peek_type, read_type};

use crate::{DecodeError, DecodeErrorKind};

/// Translates an error of the body's grammar into one of the message.
pub(super) fn in_body(error: DecodeError) -> DecodeError {
    match error.kind() {
        DecodeErrorKind::Incomplete => DecodeError::new(DecodeErrorKind::BodyTruncated, error.offset()),
        DecodeErrorKind::TypeMismatch => DecodeError::new(DecodeErrorKind::BodyTypeMismatch, error.offset()),
        _ => error,
    }
}

use bytes::Bytes;
use prost::{Message, Name};

/// A message of any type: `google.protobuf.Any` whose bytes are shared, not copied, by its clones.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
#[expect(clippy::exhaustive_structs, reason = "the wire format has these two fields for ever")]
pub struct Any {
    /// `type.googleapis.com/` and the full name of the message.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

impl Any {
    /// Encodes the message.
    pub fn pack<M: Message + Name>(message: &M) -> Self {
        Self { type_url: M::type_url(), value: message.encode_to_vec().into() }
    }

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// Fails if this holds another type, or bytes that are not that message.
    pub fn unpack<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        if self.type_url != M::type_url() {
            return Err(UnpackError::Type { expected: M::type_url(), found: self.type_url.clone() });
        }
        Ok(M::decode(self.value.clone())?)
    }
}

impl Name for Any {
    const NAME: &'static str = "Any";
    const PACKAGE: &'static str = "google.protobuf";

    fn type_url() -> String {
        "type.googleapis.com/google.protobuf.Any".to_owned()
    }
}

/// Why an [`Any`] does not hold the wanted message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// It names another type.
    #[error("expected {expected}, found {found:?}")]
    Type {
        /// Type URL of the wanted message.
        expected: String,
        /// Type URL of what is there.
        found: String,
    },
    /// Its bytes are not the encoding of the message.
    #[error("not a valid message: {0}")]
    Decode(#[from] prost::DecodeError),
}

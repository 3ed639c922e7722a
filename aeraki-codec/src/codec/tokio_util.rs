//! [`Framer`] as tokio-util's `Decoder` and `Encoder`.

use std::io;

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{Codec, Decoded, Framer, Output};
use crate::message::{Demand, Message};

/// Reads every attribute ([`Demand::all`]); a frame that cannot be read ends the stream with its error.
impl<C: Codec + ?Sized> Decoder for Framer<C> {
    type Item = Message;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Message>, io::Error> {
        match Self::decode(self, src, &Demand::all()) {
            Ok(Decoded::Message(message)) => Ok(Some(message)),
            Ok(Decoded::Partial | Decoded::Opaque) => Ok(None),
            Ok(Decoded::Invalid(_, error)) | Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

impl<C: Codec + ?Sized> Encoder<&Message> for Framer<C> {
    type Error = io::Error;

    fn encode(&mut self, message: &Message, dst: &mut BytesMut) -> Result<(), io::Error> {
        let mut out = Output::new();
        self.codec().encode(message, &mut out).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        while out.has_remaining() {
            dst.extend_from_slice(out.chunk());
            out.advance(out.chunk().len());
        }
        Ok(())
    }
}

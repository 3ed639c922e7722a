//! The private protocol "courier": `length:u32 id:u32 kind:u8 size:u8 parcel payload`, with the length of all that
//! follows it.

use aeraki_codec::{
    Answer, Codec, DecodeError, DecodeErrorKind, Demand, EncodeError, Head, Id, IdSpace, Kind, Limits, LocalReply,
    Measure, Message, Outcome, Output, Protocol, Receipt, Replies, Role, Serving, Status, Text, Wire,
};
use nom::{
    Parser,
    number::complete::{be_u8, be_u32},
};

#[derive(Debug)]
pub(crate) struct Courier;

impl Protocol for Courier {
    fn name(&self) -> &str {
        "courier"
    }

    fn wire(&self) -> Wire {
        Wire::new(IdSpace::Bits(32), Replies::AnyOrder, Serving::Concurrent)
    }

    fn codec(&self, _role: Role, limits: &Limits) -> Box<dyn Codec> {
        Box::new(CourierCodec(*limits))
    }
}

struct CourierCodec(Limits);

impl Codec for CourierCodec {
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
        let Ok((_, len)) = be_u32::<_, ()>(input) else { return Ok(Measure::Partial { at_least: 4 }) };
        if len as usize > self.0.frame_or(65_536) {
            return Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0));
        }
        Ok(Measure::Frame { head: len as usize + 4, len: u64::from(len) + 4 })
    }

    fn parse(&mut self, frame: &[u8], _demand: &Demand, head: &mut Head) -> Result<(), DecodeError> {
        let short = |_: nom::Err<()>| DecodeError::new(DecodeErrorKind::FrameTooSmall, frame.len());
        let (_, (_, id, kind, size)) = (be_u32, be_u32, be_u8, be_u8).parse_complete(frame).map_err(short)?;
        head.set_id(Id::Number(id.into()));
        head.set_kind(match kind {
            0 => Kind::Request,
            1 => Kind::Oneway,
            2 => Kind::Response,
            _ => Kind::Error,
        });
        head.set_status(Status::new(if kind < 3 { Outcome::Ok } else { Outcome::Error }, kind.into()));
        head.set_names(&["parcel"]);
        head.insert(frame, &self.0, Text::Name(0), Text::Frame(10..10 + usize::from(size)))
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        let id = u32::try_from(message.id().number()).map_err(|_| EncodeError::BadId)?;
        let head = out.forward(message.frame(), 8).get_mut(4..8).ok_or(EncodeError::Foreign)?;
        head.copy_from_slice(&id.to_be_bytes());
        Ok(())
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        out.put(&(u32::try_from(reply.text().len()).map_err(|_| EncodeError::TooLarge)? + 6).to_be_bytes());
        out.put(&u32::try_from(to.id().number()).map_err(|_| EncodeError::BadId)?.to_be_bytes());
        out.put(&[3, 0]);
        out.put(reply.text().as_bytes());
        Ok(Answer::Written)
    }
}

//! The private protocol "courier": `len:u32 id:u32 kind:u8 (klen:u8 key vlen:u8 value)* 0 payload`.

use aeraki_codec::{
    Answer, Codec, DecodeError, DecodeErrorKind, Demand, EncodeError, Head, Id, IdSpace, Kind, Limits, LocalReply,
    Measure, Message, Outcome, Output, Protocol, Receipt, Replies, Role, Serving, Status, Text, Wire,
};
use nom::{
    IResult, Parser,
    multi::length_data,
    number::complete::{be_u8, be_u32},
};

/// The protocol as configuration names it.
#[derive(Debug)]
pub struct Courier;

struct CourierCodec(Limits);

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

impl Codec for CourierCodec {
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
        let Ok((_, len)) = be_u32::<_, ()>(input) else { return Ok(Measure::Partial { at_least: 4 }) };
        if len as usize > self.0.frame_or(1 << 20) {
            return Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0));
        }
        Ok(Measure::Frame { head: len as usize + 4, len: u64::from(len) + 4 })
    }

    fn parse(&mut self, frame: &[u8], demand: &Demand, head: &mut Head) -> Result<(), DecodeError> {
        let bad = |rest: &[u8]| DecodeError::new(DecodeErrorKind::FrameTruncated, frame.len() - rest.len());
        let (mut rest, (_, id, kind)) =
            (be_u32, be_u32, be_u8).parse_complete(frame).map_err(|_: nom::Err<()>| bad(frame))?;
        head.set_id(Id::Number(u64::from(id)));
        head.set_kind([Kind::Request, Kind::Oneway, Kind::Response].get(usize::from(kind)).copied().unwrap_or(Kind::Error));
        let outcome = if head.kind() == Kind::Error { Outcome::Error } else { Outcome::Ok };
        head.set_status(Status::new(outcome, i32::from(kind)));
        loop {
            let (after_key, key) = text(rest).map_err(|_| bad(rest))?;
            if key.is_empty() {
                head.set_head_len(frame.len() - after_key.len());
                return Ok(());
            }
            let (after_value, value) = text(after_key).map_err(|_| bad(after_key))?;
            if demand.wants(key) {
                let end = |rest: &[u8], part: &[u8]| Text::Frame(frame.len() - rest.len() - part.len()..frame.len() - rest.len());
                head.insert(frame, &self.0, end(after_key, key), end(after_value, value))?;
            }
            rest = after_value;
        }
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        let id = u32::try_from(message.id().number()).map_err(|_| EncodeError::BadId)?;
        out.forward(message.frame(), 8)[4..8].copy_from_slice(&id.to_be_bytes());
        Ok(())
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        let text = reply.to_string();
        let len = u32::try_from(text.len() + 6).map_err(|_| EncodeError::TooLarge)?;
        let id = u32::try_from(to.id().number()).map_err(|_| EncodeError::BadId)?;
        out.put(&len.to_be_bytes());
        out.put(&id.to_be_bytes());
        out.put(&[3, 0]);
        out.put(text.as_bytes());
        Ok(Answer::Written)
    }
}

fn text(input: &[u8]) -> IResult<&[u8], &[u8], ()> {
    length_data(be_u8).parse_complete(input)
}

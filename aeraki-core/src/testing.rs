//! A protocol of lines for tests: `Q 7 hello` asks, `R 7 hello` answers, `S 8 hello` opens a stream; a server that
//! answers with `R 7 bye` wants no further requests.

use std::sync::Arc;

use aeraki_codec::{
    Answer, Codec, Control, DecodeError, DecodeErrorKind, Demand, EncodeError, Flow, Head, Id, IdSpace, Kind, Limits,
    LocalReply, Measure, Message, Opening, Outcome, Output, Protocol, Receipt, Replies, Role, Serving, Status, Text,
    Wire,
};

/// The protocol. Kinds are `Q` request, `O` one-way, `R` response, `E` error, `H` heartbeat, `V` event; of streams `S`
/// open, from a client or from a server, `D` data, `F` the end of a direction, `Z` the end of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) replies: Replies,
    /// Whether clients can be told goodbye.
    pub(crate) goodbye: bool,
    pub(crate) opening: Opening,
}

impl Lines {
    pub(crate) fn new(replies: Replies) -> Arc<Self> {
        Arc::new(Self { replies, goodbye: false, opening: Opening::Answered })
    }
}

impl Protocol for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    fn wire(&self) -> Wire {
        Wire::new(IdSpace::Bits(32), self.replies, Serving::Concurrent).with_opening(self.opening)
    }

    fn codec(&self, _: Role, limits: &Limits) -> Box<dyn Codec> {
        Box::new(Line { limits: *limits, goodbye: self.goodbye })
    }
}

#[derive(Debug)]
struct Line {
    limits: Limits,
    goodbye: bool,
}

impl Codec for Line {
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
        if input[0] == b'!' {
            return Err(DecodeError::fatal(DecodeErrorKind::BadMagic, 0));
        }
        match input.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Measure::Frame { head: end + 1, len: end as u64 + 1 }),
            None if input.len() > self.limits.frame_or(1 << 20) => {
                Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0))
            }
            None => Ok(Measure::Partial { at_least: input.len() + 1 }),
        }
    }

    fn parse(&mut self, frame: &[u8], demand: &Demand, out: &mut Head) -> Result<(), DecodeError> {
        out.set_kind(match frame[0] {
            b'O' => Kind::Oneway,
            b'R' => Kind::Response,
            b'E' => Kind::Error,
            b'H' => Kind::Heartbeat,
            b'V' => Kind::Event,
            b'S' => Kind::StreamOpen,
            b'D' => Kind::StreamData,
            b'F' => Kind::StreamEnd,
            b'Z' => Kind::StreamReset,
            _ => Kind::Request,
        });
        if frame[0] == b'E' {
            out.set_status(Status::new(Outcome::Error, 1));
        }
        let bad = |at| DecodeError::new(DecodeErrorKind::BadMessageType, at);
        let text = std::str::from_utf8(frame).map_err(|_| bad(0))?;
        let mut words = text.split_ascii_whitespace().skip(1);
        let id = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| bad(2))?;
        out.set_id(Id::Number(id));
        if !b"QOREHVSDFZ".contains(&frame[0]) {
            return Err(bad(0));
        }
        let method = words.next().unwrap_or_default();
        if frame[0] == b'R' && method == "bye" {
            out.set_goodbye();
        }
        if demand.wants(b"method") && !method.is_empty() {
            let at = method.as_ptr() as usize - text.as_ptr() as usize;
            out.insert(frame, &self.limits, Text::Copied(b"method"), Text::Frame(at..at + method.len()))?;
        }
        Ok(())
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        let text = String::from_utf8_lossy(message.frame());
        let mut words = text.trim_end().splitn(3, ' ');
        let (kind, rest) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        if rest == "unwritable" {
            return Err(EncodeError::TooLarge);
        }
        out.put(format!("{kind} {} {rest}", message.id().number()).as_bytes());
        for (key, _) in message.mutation().into_iter().flat_map(|mutation| mutation.iter()) {
            out.put(b" +");
            out.put(key);
        }
        out.put(b"\n");
        Ok(())
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        if reply.text() == "unspeakable" {
            return Ok(Answer::Close);
        }
        let kind = if to.kind().is_stream_frame() { 'Z' } else { 'E' };
        out.put(format!("{kind} {} {}\n", to.id().number(), reply.reason()).as_bytes());
        Ok(Answer::Written)
    }

    fn control(&mut self, event: Control<'_>, out: &mut Output) -> Result<Flow, EncodeError> {
        match event {
            Control::Frame(message) if message.kind() == Kind::Heartbeat => {
                out.put(format!("H {}\n", message.id().number()).as_bytes());
                Ok(Flow::Handled)
            }
            Control::Goodbye if self.goodbye => {
                out.put(b"V 0 bye\n");
                Ok(Flow::Handled)
            }
            _ => Ok(Flow::Ignored),
        }
    }
}

//! Dubbo as a [`Protocol`].

use std::sync::Arc;

use super::{
    attributes::{Filler, Notes},
    control,
    identity::NAMES,
    reply, splice,
    wire::{Header, header, peek_type, read_type, status},
};
use crate::{
    Answer, Carries, Codec, Control, DecodeError, DecodeErrorKind, Demand, Detection, EncodeError, Flow, Head, Id,
    IdSpace, Kind, Limits, LocalReply, Measure, Message, OptionError, Outcome, Output, Protocol, Receipt, Refusal,
    Replies, Role, Serving, Status, Wire, codec::switch, hessian2::Reader, message::Sorter,
};

/// The protocol Dubbo 2, with its options.
///
/// ```
/// use aeraki_codec::{Limits, Protocol, Role, dubbo::Dubbo};
///
/// let dubbo = Dubbo::default().with_rendered_scalars(true);
/// let codec = dubbo.codec(Role::Server, &Limits::default());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Dubbo {
    options: Options,
}

impl Dubbo {
    /// Makes attachments that are booleans, ints or longs attributes too, in decimal; otherwise only strings are, and
    /// the time that callers wait.
    #[must_use]
    pub const fn with_rendered_scalars(mut self, render: bool) -> Self {
        self.options.render_scalars = render;
        self
    }

    /// Refuses requests whose attachments name another service than their body; they are served as the attachments
    /// say otherwise, as providers do.
    #[must_use]
    pub const fn with_rejected_mismatch(mut self, reject: bool) -> Self {
        self.options.reject_mismatch = reject;
        self
    }

    /// Accepts characters above U+FFFF as four octets, which Java refuses; refused otherwise.
    #[must_use]
    pub const fn with_four_byte_utf8(mut self, accept: bool) -> Self {
        self.options.four_byte_utf8 = accept;
        self
    }

    /// Gives the proxy's own answers the three statuses of upstream alone, 60, 50 and 80, where more precise ones tell
    /// clients more otherwise. Another Aeraki before this one cannot tell then that a request was not taken.
    #[must_use]
    pub const fn with_coarse_statuses(mut self, coarse: bool) -> Self {
        self.options.coarse_statuses = coarse;
        self
    }
}

impl Protocol for Dubbo {
    fn name(&self) -> &str {
        "dubbo"
    }

    fn wire(&self) -> Wire {
        Wire::new(IdSpace::Bits(64), Replies::AnyOrder, Serving::Concurrent)
    }

    fn codec(&self, role: Role, limits: &Limits) -> Box<dyn Codec> {
        Box::new(Connection {
            role,
            options: self.options,
            max_frame: limits.frame_or(DEFAULT_BODY.saturating_add(Header::LEN)),
            limits: *limits,
            clients: Clients::default(),
            demands: Sorter::new(NAMES),
        })
    }

    /// Takes `render_scalars`, `reject_mismatch`, `four_byte_utf8` and `coarse_statuses`, each `true` or `false`.
    fn with_option(&self, name: &str, value: &str) -> Result<Arc<dyn Protocol>, OptionError> {
        let set = match name {
            "render_scalars" => Self::with_rendered_scalars,
            "reject_mismatch" => Self::with_rejected_mismatch,
            "four_byte_utf8" => Self::with_four_byte_utf8,
            "coarse_statuses" => Self::with_coarse_statuses,
            _ => return Err(OptionError::Unknown),
        };
        Ok(Arc::new(set(*self, switch(value)?)))
    }

    fn carries(&self) -> Carries {
        // Bodies in another serialization cannot, and say so one by one: they are too rare for a warning at load.
        Carries::Always
    }

    fn writes_status(&self, status: u32) -> bool {
        reply::failure(status).is_some()
    }

    fn detect(&self, first: &[u8]) -> Option<Detection> {
        Some(match header::check_magic(first) {
            Err(_) => Detection::No,
            Ok(()) if first.len() < header::MAGIC.len() => Detection::More,
            Ok(()) => Detection::Yes,
        })
    }

    fn refusal(&self, answer: &Message) -> Option<Refusal> {
        reply::refusal(answer)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) render_scalars: bool,
    pub(super) reject_mismatch: bool,
    pub(super) four_byte_utf8: bool,
    pub(super) coarse_statuses: bool,
}

impl Options {
    pub(super) fn reader_at<'a>(self, frame: &'a [u8], offset: usize, limits: &Limits) -> Reader<'a> {
        Reader::accepting(frame, offset, limits, self.four_byte_utf8)
    }
}

/// The codec of one connection.
#[derive(Debug)]
struct Connection {
    role: Role,
    options: Options,
    max_frame: usize,
    limits: Limits,
    clients: Clients,
    demands: Sorter,
}

/// What the clients behind this connection understand, as far as their requests have told.
#[derive(Debug, Default)]
struct Clients {
    seen: bool,
    old: bool,
}

impl Clients {
    fn note(&mut self, kind: Kind, reads_attachments: bool) {
        if kind == Kind::Request {
            self.seen = true;
            self.old |= !reads_attachments;
        }
    }

    /// All of them read attachments in answers. Requests of several versions on one connection come from a proxy
    /// before us; then nobody knows whose answer it is.
    const fn read_attachments(&self) -> bool {
        self.seen && !self.old
    }
}

impl Codec for Connection {
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
        if input.len() < Header::LEN {
            header::check_magic(input)?;
            // Two bytes tell whether the peer speaks Dubbo; one that does not might never send sixteen.
            let at_least = if input.len() < 2 { 2 } else { Header::LEN };
            return Ok(Measure::Partial { at_least });
        }
        let header = Header::read(input)?;
        let body = usize::try_from(header.body_len()).unwrap_or(usize::MAX);
        let len = body.saturating_add(Header::LEN);
        if len > self.max_frame {
            return Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, header::LENGTH_OFFSET));
        }
        let error = !header.is_request() && header.status() != status::OK;
        let by_header = !header.is_event() && (!header.is_hessian2() || error);
        let head = if by_header { Header::LEN } else { len };
        Ok(Measure::Frame { head, len: u64::try_from(len).unwrap_or(u64::MAX) })
    }

    fn parse(&mut self, frame: &[u8], demand: &Demand, out: &mut Head) -> Result<(), DecodeError> {
        let header = Header::read(frame)?;
        out.set_names(NAMES);
        out.set_kind(header.kind());
        out.set_id(Id::Number(header.id_bits()));
        out.set_head_len(Header::LEN);
        let notes = Notes { serialization: header.serialization(), ..Notes::default() };
        let wanted = self.demands.sort(demand);
        let mut filler = Filler { frame, demand, wanted, limits: &self.limits, options: self.options, out, notes };
        let result = match header.kind() {
            Kind::Heartbeat => parse_event(&mut filler, header),
            _ if !header.is_hessian2() => {
                filler.out.set_mutable(false);
                filler.out.set_opaque();
                set_status(filler.out, header);
                Ok(())
            }
            Kind::Request | Kind::Oneway => filler.request(),
            _ => parse_answer(&mut filler, header, &self.clients),
        };
        let notes = filler.notes;
        out.set_notes(notes.to_numbers());
        if self.role == Role::Server {
            self.clients.note(out.kind(), notes.reads_attachments);
        }
        result
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        if message.len() < Header::LEN {
            return Err(EncodeError::Foreign);
        }
        if self.role == Role::Client {
            self.clients.note(message.kind(), Notes::from_numbers(message.head().notes()).reads_attachments);
        }
        match message.mutation() {
            None => {
                forward(message, out);
                Ok(())
            }
            Some(mutation) => splice::Splice {
                message,
                mutation,
                limits: &self.limits,
                options: self.options,
                max_frame: self.max_frame,
                promote: self.clients.read_attachments(),
            }
            .write(out),
        }
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        Ok(reply::write(to, reply, self.options.coarse_statuses, out))
    }

    fn control(&mut self, event: Control<'_>, out: &mut Output) -> Result<Flow, EncodeError> {
        Ok(control::handle(self.role, event, out))
    }
}

/// An event is a sign of life if its body is null, and a note about the connection if it is not; what null is in other
/// serializations than Hessian2 is not known.
fn parse_event(filler: &mut Filler<'_>, header: Header) -> Result<(), DecodeError> {
    filler.out.set_mutable(false);
    let body = filler.frame.get(Header::LEN..).unwrap_or_default();
    if body.len() > MAX_EVENT {
        return Err(DecodeError::new(DecodeErrorKind::FrameTooLarge, header::LENGTH_OFFSET));
    }
    let is_note = if header.is_hessian2() {
        !matches!(body, [] | [b'N'])
    } else {
        !header.is_two_way() && control::is_note(body)
    };
    if header.is_request() && is_note {
        filler.out.set_kind(Kind::Event);
    }
    Ok(())
}

fn parse_answer(filler: &mut Filler<'_>, header: Header, clients: &Clients) -> Result<(), DecodeError> {
    set_status(filler.out, header);
    if header.status() != status::OK {
        filler.out.set_mutable(false);
        return Ok(());
    }
    let body = filler.frame.get(Header::LEN..).unwrap_or_default();
    let ty = peek_type(body).map_or_else(|| read_type(&mut filler.reader()), Ok)?;
    if ty.is_exception() {
        filler.out.set_kind(Kind::Error);
    }
    filler.out.set_mutable(ty.has_attachments() || clients.read_attachments());
    if ty.has_attachments() && filler.wanted.others { filler.answer() } else { Ok(()) }
}

fn set_status(out: &mut Head, header: Header) {
    if !header.is_request() {
        let outcome = if header.status() == status::OK { Outcome::Ok } else { Outcome::Error };
        out.set_status(Status::new(outcome, i32::from(header.status())));
    }
}

/// Writes the frame as it came, under the message's present id.
pub(super) fn forward(message: &Message, out: &mut Output) {
    let copied = out.forward(message.frame(), Header::LEN);
    if let Some(id) = copied.get_mut(header::ID_OFFSET..header::LENGTH_OFFSET) {
        id.copy_from_slice(&message.id().number().to_be_bytes());
    }
}

/// Java's default (`payload`), without the header.
const DEFAULT_BODY: usize = 8 << 20;

/// Java refuses longer events.
const MAX_EVENT: usize = 15;

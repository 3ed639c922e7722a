//! The body of a request.

use super::{descriptor, header::Header, in_body};
use crate::{
    DecodeError, DecodeErrorKind, Limits,
    hessian2::{Entry, Event, Node, Reader, Text, TypeTable},
};

/// Reads a request whose body is Hessian2, all of it.
///
/// ```
/// # let frame = b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x07\0\0\0\x11\x052.0.2\x03a.S\x00\x02hi\x00HZ";
/// let request = aeraki_codec::dubbo::request(frame)?;
/// assert_eq!(request.header().request_id(), 7);
/// assert_eq!(request.interface().and_then(|text| text.to_str()).as_deref(), Some("a.S"));
/// assert_eq!(request.method().and_then(|text| text.to_str()).as_deref(), Some("hi"));
/// assert_eq!(request.attachments().count(), 0);
/// # Ok::<(), aeraki_codec::DecodeError>(())
/// ```
///
/// # Errors
/// Those of [`Header::read`] and [`Header::check_assigned`],
/// [`UnknownSerialization`](DecodeErrorKind::UnknownSerialization) for every serialization but Hessian2,
/// [`BadMessageType`](DecodeErrorKind::BadMessageType) for answers and events, and those of malformed bodies.
pub fn request(frame: &[u8]) -> Result<Request<'_>, DecodeError> {
    let header = Header::read(frame)?;
    header.check_assigned()?;
    if !header.is_request() || header.is_event() {
        return Err(DecodeError::new(DecodeErrorKind::BadMessageType, 2));
    }
    let mut reader = body_reader(frame, header)?;
    let head = CallHead::read(&mut reader)?;
    let tail = Tail::read(&mut reader)?;
    let at_attachments = reader.clone();
    let mut request = Request {
        frame,
        header,
        head,
        tail,
        at_attachments,
        interface: head.path,
        version: head.version,
        group: None,
        unread: 0,
    };
    let has_map = open_attachments(&mut reader)?;
    while has_map && let Some(entry) = reader.entry().map_err(in_body)? {
        request.merge(&entry);
    }
    request.unread = reader.rest().len();
    Ok(request)
}

/// A request, all of whose body has been looked at and none of it copied.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    frame: &'a [u8],
    header: Header,
    head: CallHead<'a>,
    tail: Tail<'a>,
    at_attachments: Reader<'a>,
    interface: Option<Text<'a>>,
    version: Option<Text<'a>>,
    group: Option<Text<'a>>,
    unread: usize,
}

/// The values of a request, decoded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestValues<'a> {
    /// One value for each parameter.
    pub arguments: Vec<Node<'a>>,
    /// The attachments, if the body goes on that far; null is possible.
    pub attachments: Option<Node<'a>>,
}

impl<'a> Request<'a> {
    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Returns the interface that a provider looks up: the attachment `path` or else the [`path`](Self::path) field.
    #[must_use]
    pub const fn interface(&self) -> Option<Text<'a>> {
        self.interface
    }

    /// Returns the version that a provider looks up: the attachment `version` or else the field of the body.
    #[must_use]
    pub const fn version(&self) -> Option<Text<'a>> {
        self.version
    }

    /// Returns the group that a provider looks up, which only the attachments hold.
    #[must_use]
    pub const fn group(&self) -> Option<Text<'a>> {
        self.group
    }

    /// Returns the protocol version of the client, field 1 of the body.
    #[must_use]
    pub const fn dubbo_version(&self) -> Option<Text<'a>> {
        self.head.dubbo_version
    }

    /// Returns the path as the body gives it, field 2; a provider may look elsewhere.
    #[must_use]
    pub const fn path(&self) -> Option<Text<'a>> {
        self.head.path
    }

    /// Returns the service version as the body gives it, field 3; a provider may look elsewhere.
    #[must_use]
    pub const fn service_version(&self) -> Option<Text<'a>> {
        self.head.version
    }

    /// Returns the method, field 4 of the body.
    #[must_use]
    pub const fn method(&self) -> Option<Text<'a>> {
        self.head.method
    }

    /// Returns the extra integer that Dubbox 2.8 writes before the parameter types, always -1.
    #[must_use]
    pub const fn dubbox_int(&self) -> Option<i32> {
        self.tail.dubbox_int
    }

    /// Returns the parameter types as JVM descriptors without parentheses.
    #[must_use]
    pub const fn descriptor(&self) -> Text<'a> {
        self.tail.descriptor
    }

    /// Returns the number of arguments.
    #[must_use]
    pub const fn argument_count(&self) -> usize {
        self.tail.arguments
    }

    /// Returns the offset in the frame of the first argument.
    #[must_use]
    pub const fn arguments_offset(&self) -> usize {
        self.tail.arguments_offset
    }

    /// Returns the offset in the frame of the attachments, or of the end where there are none.
    #[must_use]
    pub const fn attachments_offset(&self) -> usize {
        self.tail.attachments_offset
    }

    /// Lists the attachments.
    pub fn attachments(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut reader = self.at_attachments.clone();
        let has_map = open_attachments(&mut reader).unwrap_or(false);
        std::iter::from_fn(move || if has_map { reader.entry().ok()? } else { None })
    }

    /// Returns how many bytes of the body lie behind the attachments; Java ignores them.
    #[must_use]
    pub const fn unread(&self) -> usize {
        self.unread
    }

    /// Decodes arguments and attachments into trees.
    ///
    /// # Errors
    /// [`TooManyDefinitions`](DecodeErrorKind::TooManyDefinitions) where the trees would be too large, and
    /// [`DepthExceeded`](DecodeErrorKind::DepthExceeded).
    pub fn decode(&self) -> Result<RequestValues<'a>, DecodeError> {
        let mut reader = body_reader(self.frame, self.header)?;
        CallHead::read(&mut reader)?;
        self.tail.enter(&mut reader)?;
        let mut types = TypeTable::default();
        let arguments = (0..self.tail.arguments).map(|_| reader.value(&mut types)).collect::<Result<_, _>>();
        let arguments = arguments.map_err(in_body)?;
        let attachments = match reader.rest() {
            [] => None,
            _ => Some(reader.value(&mut types).map_err(in_body)?),
        };
        Ok(RequestValues { arguments, attachments })
    }

    fn merge(&mut self, entry: &Entry<'a>) {
        let (Event::Text(key), Event::Text(value)) = (entry.key, entry.value) else { return };
        let slot = match key.to_str().as_deref() {
            Some("path") => &mut self.interface,
            Some("version") => &mut self.version,
            Some("group") => &mut self.group,
            _ => return,
        };
        *slot = Some(value);
    }
}

/// The first four fields.
#[derive(Clone, Copy, Debug)]
pub(in crate::dubbo) struct CallHead<'a> {
    pub(in crate::dubbo) dubbo_version: Option<Text<'a>>,
    pub(in crate::dubbo) path: Option<Text<'a>>,
    pub(in crate::dubbo) version: Option<Text<'a>>,
    pub(in crate::dubbo) method: Option<Text<'a>>,
}

impl<'a> CallHead<'a> {
    #[inline(always)]
    pub(in crate::dubbo) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (dubbo_version, path) = two_fields(reader)?;
        let (version, method) = two_fields(reader)?;
        Ok(Self { dubbo_version, path, version, method })
    }
}

type TwoFields<'a> = (Option<Text<'a>>, Option<Text<'a>>);

#[inline(always)]
fn two_fields<'a>(reader: &mut Reader<'a>) -> Result<TwoFields<'a>, DecodeError> {
    match reader.plain_pair() {
        Some((first, second)) => Ok((Some(first), Some(second))),
        None => any_two_fields(reader).map_err(in_body),
    }
}

#[cold]
fn any_two_fields<'a>(reader: &mut Reader<'a>) -> Result<TwoFields<'a>, DecodeError> {
    Ok((reader.text()?, reader.text()?))
}

/// What follows them, up to the attachments.
#[derive(Clone, Copy, Debug)]
pub(in crate::dubbo) struct Tail<'a> {
    dubbox_int: Option<i32>,
    descriptor: Text<'a>,
    arguments: usize,
    arguments_offset: usize,
    /// The first argument if it is a string: the method of a generic call.
    pub(in crate::dubbo) first_argument: Option<Text<'a>>,
    pub(in crate::dubbo) attachments_offset: usize,
}

impl<'a> Tail<'a> {
    /// Leaves `reader` at the attachments.
    #[inline]
    pub(in crate::dubbo) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let dubbox_int = if reader.at_int() { Some(dubbox_int(reader)?) } else { None };
        let at = reader.offset();
        // Java fails on null, unless it has taken the integer for the descriptor and takes the null for attachments.
        let missing = || DecodeError::new(DecodeErrorKind::BadDescriptor, at);
        let descriptor = reader.text().map_err(in_body)?.ok_or_else(missing)?;
        let arguments_offset = reader.offset();
        let arguments = parameters(&descriptor, arguments_offset)?;
        let mut first_argument = None;
        for index in 0..arguments {
            let text = argument(reader)?;
            if index == 0 {
                first_argument = text;
            }
        }
        let attachments_offset = reader.offset();
        Ok(Self { dubbox_int, descriptor, arguments, arguments_offset, first_argument, attachments_offset })
    }

    /// Moves `reader` from behind the method to the first argument.
    fn enter(&self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        if self.dubbox_int.is_some() {
            reader.int()?;
        }
        reader.text().map(|_| ())
    }
}

/// Reads the integer that Dubbox writes before a descriptor. Another one tells Dubbox how many arguments follow without
/// a descriptor, so that the descriptor would be one of them and the first argument the attachments.
#[cold]
fn dubbox_int(reader: &mut Reader<'_>) -> Result<i32, DecodeError> {
    let at = reader.offset();
    match reader.int().map_err(in_body)? {
        number @ DESCRIPTOR_FOLLOWS => Ok(number),
        _ => Err(DecodeError::new(DecodeErrorKind::BadDescriptor, at)),
    }
}

/// Reads over an argument and returns it if it is a string.
#[inline]
fn argument<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, DecodeError> {
    match reader.plain_text() {
        Some(text) => Ok(Some(text)),
        None => any_argument(reader).map_err(in_body),
    }
}

#[inline(never)]
fn any_argument<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, DecodeError> {
    match reader.event()? {
        Event::Text(text) => Ok(Some(text)),
        event => reader.skip_children_of(&event).map(|()| None),
    }
}

/// Opens the attachments; false where there are none.
#[inline]
pub(in crate::dubbo) fn open_attachments(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    let at = reader.offset();
    if reader.rest().is_empty() {
        return Ok(false);
    }
    reader.map().map_err(|error| match error.kind() {
        DecodeErrorKind::TypeMismatch if error.offset() == at => {
            DecodeError::new(DecodeErrorKind::AttachmentsNotAMap, at)
        }
        _ => in_body(error),
    })
}

pub(super) fn body_reader(frame: &[u8], header: Header) -> Result<Reader<'_>, DecodeError> {
    if !header.is_hessian2() {
        return Err(DecodeError::new(DecodeErrorKind::UnknownSerialization, 2));
    }
    let len = usize::try_from(header.body_len()).unwrap_or(usize::MAX).saturating_add(Header::LEN);
    let frame = frame.get(..len).ok_or_else(|| DecodeError::new(DecodeErrorKind::Incomplete, frame.len()))?;
    Ok(Reader::starting_at(frame, Header::LEN, &Limits::default()))
}

#[inline]
fn parameters(text: &Text<'_>, end: usize) -> Result<usize, DecodeError> {
    let count = |descriptor: &[u8]| {
        descriptor::count(descriptor).map_err(|at| {
            let left = descriptor.len().saturating_sub(at);
            DecodeError::new(DecodeErrorKind::BadDescriptor, end.saturating_sub(left))
        })
    };
    text.as_utf8().map_or_else(|| count(&text.to_bytes()), count)
}

/// What Dubbox writes before a descriptor.
const DESCRIPTOR_FOLLOWS: i32 = -1;

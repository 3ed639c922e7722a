//! The body of a response.

use super::{
    header::Header,
    in_body,
    request::{body_reader, open_attachments},
};
use crate::{
    DecodeError, DecodeErrorKind,
    hessian2::{Entry, Node, Reader, Text, TypeTable},
};

/// Reads an answer whose body is Hessian2, all of it.
///
/// ```
/// # let frame = b"\xda\xbb\x02\x14\0\0\0\0\0\0\0\x07\0\0\0\x07\x91\x05hello";
/// use aeraki_codec::dubbo::{ResponseType, response};
///
/// let response = response(frame)?;
/// assert_eq!(response.response_type(), Some(ResponseType::Value));
/// assert!(response.decode()?.value.is_some());
/// # Ok::<(), aeraki_codec::DecodeError>(())
/// ```
///
/// # Errors
/// Those of [`Header::read`] and [`Header::check_assigned`],
/// [`UnknownSerialization`](DecodeErrorKind::UnknownSerialization) for every serialization but Hessian2,
/// [`BadMessageType`](DecodeErrorKind::BadMessageType) for requests and events, and those of malformed bodies.
pub fn response(frame: &[u8]) -> Result<Response<'_>, DecodeError> {
    let header = Header::read(frame)?;
    header.check_assigned()?;
    if header.is_request() || header.is_event() {
        return Err(DecodeError::new(DecodeErrorKind::BadMessageType, 2));
    }
    let mut reader = body_reader(frame, header)?;
    if header.status() != super::status::OK {
        let error = reader.text().map_err(in_body)?;
        let unread = reader.rest().len();
        return Ok(Response { frame, header, ty: None, error, at_attachments: reader, unread });
    }
    let ty = read_type(&mut reader)?;
    if ty.has_value() {
        reader.skip().map_err(in_body)?;
    }
    let at_attachments = reader.clone();
    if ty.has_attachments() && open_attachments(&mut reader)? {
        while reader.entry().map_err(in_body)?.is_some() {}
    }
    let unread = reader.rest().len();
    Ok(Response { frame, header, ty: Some(ty), error: None, at_attachments, unread })
}

/// An answer, all of whose body has been looked at and none of it copied.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    frame: &'a [u8],
    header: Header,
    ty: Option<ResponseType>,
    error: Option<Text<'a>>,
    at_attachments: Reader<'a>,
    unread: usize,
}

/// The values of an answer, decoded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponseValues<'a> {
    /// The result or the exception, where the type has one.
    pub value: Option<Node<'a>>,
    /// The attachments, where the type has some and the body goes on that far.
    pub attachments: Option<Node<'a>>,
}

impl<'a> Response<'a> {
    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Returns what the body holds; `None` where the status is not OK.
    #[must_use]
    pub const fn response_type(&self) -> Option<ResponseType> {
        self.ty
    }

    /// Returns the text that comes with a status other than OK; peers may write null.
    #[must_use]
    pub const fn error_message(&self) -> Option<Text<'a>> {
        self.error
    }

    /// Returns the offset in the frame of the attachments, where the type has some.
    #[must_use]
    pub fn attachments_offset(&self) -> Option<usize> {
        self.ty.filter(|ty| ty.has_attachments()).map(|_| self.at_attachments.offset())
    }

    /// Lists the attachments.
    pub fn attachments(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut reader = self.at_attachments.clone();
        let has_map = self.attachments_offset().is_some() && open_attachments(&mut reader).unwrap_or(false);
        std::iter::from_fn(move || if has_map { reader.entry().ok()? } else { None })
    }

    /// Returns how many bytes of the body lie behind what its type announces.
    #[must_use]
    pub const fn unread(&self) -> usize {
        self.unread
    }

    /// Decodes result and attachments into trees.
    ///
    /// # Errors
    /// [`TooManyDefinitions`](DecodeErrorKind::TooManyDefinitions) where the trees would be too large, and
    /// [`DepthExceeded`](DecodeErrorKind::DepthExceeded).
    pub fn decode(&self) -> Result<ResponseValues<'a>, DecodeError> {
        let mut values = ResponseValues { value: None, attachments: None };
        let Some(ty) = self.ty else { return Ok(values) };
        let mut reader = body_reader(self.frame, self.header)?;
        let mut types = TypeTable::default();
        read_type(&mut reader)?;
        if ty.has_value() {
            values.value = Some(reader.value(&mut types).map_err(in_body)?);
        }
        if ty.has_attachments() && !reader.rest().is_empty() {
            values.attachments = Some(reader.value(&mut types).map_err(in_body)?);
        }
        Ok(values)
    }
}

/// What the body of an answer with status OK holds: its first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseType {
    /// 0: an exception of the business method.
    Exception,
    /// 1: a result.
    Value,
    /// 2: the result null.
    Null,
    /// 3: an exception, then attachments.
    ExceptionWithAttachments,
    /// 4: a result, then attachments.
    ValueWithAttachments,
    /// 5: the result null, then attachments.
    NullWithAttachments,
}

impl ResponseType {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Exception => 0,
            Self::Value => 1,
            Self::Null => 2,
            Self::ExceptionWithAttachments => 3,
            Self::ValueWithAttachments => 4,
            Self::NullWithAttachments => 5,
        }
    }

    const fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            0 => Self::Exception,
            1 => Self::Value,
            2 => Self::Null,
            3 => Self::ExceptionWithAttachments,
            4 => Self::ValueWithAttachments,
            5 => Self::NullWithAttachments,
            _ => return None,
        })
    }

    /// Tells whether the business method threw.
    #[must_use]
    pub const fn is_exception(self) -> bool {
        matches!(self, Self::Exception | Self::ExceptionWithAttachments)
    }

    /// Tells whether a value follows, be it a result or an exception.
    #[must_use]
    pub const fn has_value(self) -> bool {
        !matches!(self, Self::Null | Self::NullWithAttachments)
    }

    /// Tells whether attachments follow.
    #[must_use]
    pub const fn has_attachments(self) -> bool {
        self.code() > 2
    }

    /// Returns the type that says the same and has attachments.
    #[must_use]
    pub const fn with_attachments(self) -> Self {
        match self {
            Self::Exception | Self::ExceptionWithAttachments => Self::ExceptionWithAttachments,
            Self::Value | Self::ValueWithAttachments => Self::ValueWithAttachments,
            Self::Null | Self::NullWithAttachments => Self::NullWithAttachments,
        }
    }
}

/// Tells the type of an answer from the first byte of its body, where it is written as every peer does.
#[inline]
pub(in crate::dubbo) fn peek_type(body: &[u8]) -> Option<ResponseType> {
    ResponseType::from_code(i32::from(*body.first()?).checked_sub(0x90)?)
}

#[inline]
pub(in crate::dubbo) fn read_type(reader: &mut Reader<'_>) -> Result<ResponseType, DecodeError> {
    let at = reader.offset();
    let code = reader.int().map_err(in_body)?;
    ResponseType::from_code(code).ok_or_else(|| DecodeError::new(DecodeErrorKind::BadResponseType, at))
}

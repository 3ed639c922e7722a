//! Checks of Dubbo: frames through the codec, bodies through the typed views.

use aeraki_codec::{
    Codec, DecodeError, DecodeErrorKind, Demand, Head, Kind, Limits, Measure, Message, Output, Protocol, Role,
    dubbo::{Dubbo, Header, request, response},
    hessian2::{Event, Node, Text, Value},
};
use bytes::{Buf, Bytes};
use serde_json::Value as Json;

use crate::{
    check::{field, only, same},
    file::{Vector, unhex},
    tree::{self, hex},
};

pub(crate) fn check(vector: &Vector) -> Result<(), String> {
    let bytes = Bytes::from(vector.bytes.clone());
    match (&vector.op, vector.expect.get("error")) {
        (Some(op), _) => check_rewrite(&bytes, op, &vector.expect),
        (None, Some(error)) => check_error(&bytes, error.as_str().ok_or("no error")?, &vector.expect),
        (None, None) => check_frames(bytes, &vector.expect),
    }
}

fn check_frames(mut bytes: Bytes, expect: &Json) -> Result<(), String> {
    only(expect, &["frames", "consumed"])?;
    let mut consumed = 0;
    for expected in expect["frames"].as_array().ok_or("no frames")? {
        let len = measured(&Limits::default(), &bytes)?.ok_or("the frame is not whole")?;
        consumed += len;
        check_frame(&bytes.split_to(len), expected)?;
    }
    field(expect, "consumed", consumed)
}

fn check_frame(frame: &Bytes, expected: &Json) -> Result<(), String> {
    only(expected, &["header", "kind", "request", "response", "event", "error_message", "opaque_body_hex"])?;
    let header = Header::read(frame).map_err(|error| error.to_string())?;
    header.check_assigned().map_err(|error| error.to_string())?;
    check_header(header, &expected["header"])?;
    let message = parsed(&mut *codec(&Limits::default()), frame).map_err(|error| error.to_string())?;
    let body = &frame[Header::LEN..];
    if !header.is_hessian2() {
        same("mutable", message.head().is_mutable(), false)?;
        return field(expected, "opaque_body_hex", hex(body));
    }
    if message.kind() == Kind::Heartbeat && header.is_request() && !header.is_two_way() {
        // A sign of life that wants no answer: by its header an event, by its body a heartbeat.
        return match expected["kind"].as_str() {
            Some("event_request") => field(expected, "event", Json::Null),
            _ => field(expected, "kind", "heartbeat_request"),
        };
    }
    field(expected, "kind", kind(header, &message))?;
    match message.kind() {
        Kind::Heartbeat => Ok(()),
        Kind::Event => field(expected, "event", body.get(1..).map(String::from_utf8_lossy)),
        Kind::Request | Kind::Oneway => check_request(frame, &expected["request"]),
        _ => check_response(frame, expected),
    }
}

fn check_header(header: Header, expected: &Json) -> Result<(), String> {
    only(expected, &["request", "two_way", "event", "serialization_id", "status", "request_id", "body_len"])?;
    field(expected, "request", header.is_request())?;
    field(expected, "two_way", header.is_two_way())?;
    field(expected, "event", header.is_event())?;
    field(expected, "serialization_id", header.serialization())?;
    field(expected, "status", header.status())?;
    field(expected, "request_id", header.request_id().to_string())?;
    field(expected, "body_len", header.body_len())
}

/// What the vectors call a frame, from the header and from what the codec made of it.
fn kind(header: Header, message: &Message) -> &'static str {
    match message.kind() {
        Kind::Request => "request",
        Kind::Oneway => "oneway",
        Kind::Heartbeat if header.is_request() => "heartbeat_request",
        Kind::Heartbeat => "heartbeat_response",
        Kind::Event => "event_request",
        // An exception of the business method counts as a response there.
        Kind::Response | Kind::Error if header.status() == 20 => "response",
        Kind::Error => "error_response",
        _ => "unknown",
    }
}

fn check_request(frame: &[u8], expected: &Json) -> Result<(), String> {
    only(expected, REQUEST_FIELDS)?;
    let view = request(frame).map_err(|error| error.to_string())?;
    field(expected, "dubbo_version", string(view.dubbo_version()))?;
    field(expected, "path", string(view.path()))?;
    field(expected, "service_version", string(view.service_version()))?;
    field(expected, "method", string(view.method()))?;
    field(expected, "dubbox_int", view.dubbox_int())?;
    field(expected, "desc", string(Some(view.descriptor())))?;
    field(expected, "arg_count", view.argument_count())?;
    field(expected, "args_offset_in_body", view.arguments_offset() - Header::LEN)?;
    field(expected, "attachments_offset_in_body", view.attachments_offset() - Header::LEN)?;
    field(expected, "body_bytes_left", view.unread())?;
    let values = view.decode().map_err(|error| error.to_string())?;
    let arguments = expected["args"].as_array().ok_or("no args")?;
    same("args", values.arguments.len(), arguments.len())?;
    values.arguments.iter().zip(arguments).try_for_each(|(value, expected)| tree::compare(value, expected))?;
    check_attachments(values.attachments.as_ref(), expected.get("attachments"))?;
    same("listed attachments", view.attachments().count(), entries(values.attachments.as_ref()))
}

fn check_response(frame: &[u8], expected: &Json) -> Result<(), String> {
    let view = response(frame).map_err(|error| error.to_string())?;
    let Some(ty) = view.response_type() else {
        return field(expected, "error_message", string(view.error_message()));
    };
    let expected = &expected["response"];
    only(expected, &["type", "value", "exception", "attachments_offset_in_body", "attachments", "body_bytes_left"])?;
    field(expected, "type", ty.code())?;
    field(expected, "body_bytes_left", view.unread())?;
    field(expected, "attachments_offset_in_body", view.attachments_offset().map(|offset| offset - Header::LEN))?;
    let values = view.decode().map_err(|error| error.to_string())?;
    let (key, other) = if ty.is_exception() { ("exception", "value") } else { ("value", "exception") };
    same(other, expected.get(other), None)?;
    match (&values.value, expected.get(key)) {
        (Some(value), Some(expected)) => tree::compare(value, expected)?,
        (found, expected) => same(key, found.is_some(), expected.is_some())?,
    }
    check_attachments(values.attachments.as_ref(), expected.get("attachments"))?;
    same("listed attachments", view.attachments().count(), entries(values.attachments.as_ref()))
}

fn check_attachments(found: Option<&Node<'_>>, expected: Option<&Json>) -> Result<(), String> {
    match (found, expected.filter(|expected| !expected.is_null())) {
        (Some(found), None) if matches!(found.value, Value::Null) => Ok(()),
        (Some(found), Some(expected)) => tree::compare(found, expected),
        (found, expected) => same("attachments", found.is_some(), expected.is_some()),
    }
}

fn check_error(bytes: &Bytes, error: &str, expect: &Json) -> Result<(), String> {
    only(expect, &["error", "offset", "max_body"])?;
    let limits = match expect["max_body"].as_u64() {
        Some(body) => Limits { frame: usize::try_from(body).ok().map(|body| body + Header::LEN), ..Limits::default() },
        None => Limits::default(),
    };
    let (kind, offset) = match frame_error(&limits, bytes) {
        Ok(()) => return Err("no error".to_owned()),
        Err(error) => (name(error.kind()), error.offset()),
    };
    same("error", kind, error)?;
    field(expect, "offset", offset)
}

/// The first error: of the framing, of the codec, or of a view; a frame that is not whole is `Incomplete`.
fn frame_error(limits: &Limits, bytes: &Bytes) -> Result<(), DecodeError> {
    let mut codec = codec(limits);
    let mut at = 0;
    while at < bytes.len() {
        let input = bytes.slice(at..);
        let whole = match codec.measure(&input).map_err(|error| error.shifted(at))? {
            Measure::Frame { len, .. } => usize::try_from(len).ok().filter(|len| *len <= input.len()),
            _ => None,
        };
        let len = whole.ok_or_else(|| DecodeError::new(DecodeErrorKind::Incomplete, bytes.len()))?;
        let frame = input.slice(..len);
        let of_codec = parsed(&mut *codec, &frame).map(|_| ());
        let of_view = view_error(&frame);
        // The codec lets pass what it need not understand; what it refuses, the view refuses for the same reason.
        assert!(of_codec.is_ok() || of_codec == of_view, "{of_codec:?} {of_view:?}");
        of_view.map_err(|error| error.shifted(at))?;
        at += len;
    }
    Ok(())
}

fn view_error(frame: &Bytes) -> Result<(), DecodeError> {
    let header = Header::read(frame)?;
    header.check_assigned()?;
    match header {
        _ if header.is_event() || !header.is_hessian2() => Ok(()),
        _ if header.is_request() => request(frame).map(|_| ()),
        _ => response(frame).map(|_| ()),
    }
}

fn check_rewrite(bytes: &Bytes, op: &Json, expect: &Json) -> Result<(), String> {
    only(op, &["rewrite_attachments"])?;
    let op = &op["rewrite_attachments"];
    only(op, &["set", "remove"])?;
    only(expect, &["prefix_kept_hex", "body_prefix_kept_hex", "attachments_after", "body_len_field"])?;
    let mut codec = codec(&Limits::default());
    let mut message = parsed(&mut *codec, bytes).map_err(|error| error.to_string())?;
    for (key, value) in op["set"].as_object().ok_or("nothing to set")? {
        message.mutation_mut().set(key.clone(), value.as_str().ok_or("no text")?.to_owned());
    }
    for key in op["remove"].as_array().ok_or("nothing to remove")? {
        message.mutation_mut().remove(key.as_str().ok_or("no text")?.to_owned());
    }
    let mut out = Output::new();
    codec.encode(&message, &mut out).map_err(|error| error.to_string())?;
    let frame = out.copy_to_bytes(out.remaining());
    let prefix = unhex(expect["prefix_kept_hex"].as_str().ok_or("no prefix")?);
    let body_prefix = unhex(expect["body_prefix_kept_hex"].as_str().ok_or("no prefix")?);
    same("prefix", frame.starts_with(&prefix), true)?;
    same("prefix of the body", frame[Header::LEN..].starts_with(&body_prefix), true)?;
    let header = Header::read(&frame).map_err(|error| error.to_string())?;
    field(expect, "body_len_field", "= length of the new body")?;
    same("body length", header.body_len() as usize, frame.len() - Header::LEN)?;
    check_attachments_after(&frame, expect["attachments_after"].as_object().ok_or("no attachments")?)
}

fn check_attachments_after(frame: &[u8], expected: &serde_json::Map<String, Json>) -> Result<(), String> {
    let view = request(frame).map_err(|error| error.to_string())?;
    same("bytes left", view.unread(), 0)?;
    let values = view.decode().map_err(|error| error.to_string())?;
    same("attachments", entries(values.attachments.as_ref()), expected.len())?;
    let Some(Value::Map(map)) = values.attachments.map(|node| node.value) else { return Err("no map".to_owned()) };
    for (key, value) in &map.entries {
        let Value::Text(key) = &key.value else { return Err("a key is no text".to_owned()) };
        let key = key.to_str().ok_or("a key is no text")?;
        tree::compare(value, expected.get(&*key).ok_or_else(|| format!("{key} is too much"))?)?;
    }
    same("text keys", view.attachments().all(|entry| matches!(entry.key, Event::Text(_))), true)
}

fn codec(limits: &Limits) -> Box<dyn Codec> {
    Dubbo::default().codec(Role::Server, limits)
}

fn parsed(codec: &mut dyn Codec, frame: &Bytes) -> Result<Message, DecodeError> {
    let mut head = Head::new();
    codec.parse(frame, &Demand::all(), &mut head)?;
    Ok(Message::new(frame.clone(), head))
}

fn measured(limits: &Limits, bytes: &[u8]) -> Result<Option<usize>, String> {
    match codec(limits).measure(bytes).map_err(|error| error.to_string())? {
        Measure::Frame { len, .. } => Ok(usize::try_from(len).ok().filter(|len| *len <= bytes.len())),
        _ => Ok(None),
    }
}

/// The limit of the frame is one of the body here.
fn name(kind: DecodeErrorKind) -> &'static str {
    if kind == DecodeErrorKind::FrameTooLarge { "body_too_large" } else { kind.as_str() }
}

fn entries(attachments: Option<&Node<'_>>) -> usize {
    match attachments.map(|node| &node.value) {
        Some(Value::Map(map)) => map.entries.len(),
        _ => 0,
    }
}

fn string(text: Option<Text<'_>>) -> Json {
    text.and_then(|text| text.to_str().map(|text| Json::from(&*text))).unwrap_or_default()
}

const REQUEST_FIELDS: &[&str] = &[
    "dubbo_version",
    "path",
    "service_version",
    "method",
    "dubbox_int",
    "desc",
    "arg_count",
    "args_offset_in_body",
    "args",
    "attachments_offset_in_body",
    "attachments",
    "body_bytes_left",
];

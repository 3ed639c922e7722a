//! Checks Thrift vectors: through the codec, and through the typed views.

use aeraki_codec::{
    DecodeError, DecodeErrorKind, Decoded, Demand, Framer, Head, Id, Kind, Limits, Measure, Message, Output, Protocol,
    Role,
    thrift::{self, Encoding, Envelope, MessageType, Struct, Thrift, Transport, Type, Value},
};
use bytes::{Buf, Bytes};
use serde_json::Value as Json;

use crate::{
    check::{only, same},
    file::{Vector, unhex},
};

/// Checks one vector; an error says what differs, or which field is not understood.
pub(crate) fn check(vector: &Vector) -> Result<(), String> {
    let (bytes, expect) = (&vector.bytes[..], &vector.expect);
    if let Some(error) = expect.get("error") {
        return check_error(bytes, expect, error.as_str().unwrap_or_default());
    }
    let told = expect.get("auto_detect").is_none();
    if !told {
        only(expect, &["auto_detect", "transport", "frame_size", "message", "consumed", "text"])?;
        let error = measured(&Thrift::default(), bytes).err();
        same("auto_detect", &error.map(DecodeError::kind), &Some(DecodeErrorKind::Undetectable))?;
        if expect["message"]["protocol"] == "json" {
            return Ok(());
        }
    }
    let (transport, encoding) = dialect(expect)?;
    let protocol = &protocol(vector);
    let message = check_codec(protocol, bytes, expect)?;
    let view = if told { thrift::message(bytes) } else { thrift::message_as(bytes, transport, encoding) };
    let view = view.map_err(|error| error.to_string())?;
    check_head(&message, &expect["message"])?;
    check_envelope(&view, expect)?;
    check_round_trip(protocol, &message)
}

/// The protocol that a connection with such bytes must be told, or tells from them.
pub(crate) fn protocol(vector: &Vector) -> Thrift {
    match (vector.expect.get("auto_detect"), dialect(&vector.expect)) {
        (Some(_), Ok((transport, encoding))) => Thrift::fixed(transport, encoding),
        _ => Thrift::default(),
    }
}

fn check_codec(protocol: &Thrift, bytes: &[u8], expect: &Json) -> Result<Message, String> {
    let mut codec = protocol.codec(Role::Server, &Limits::default());
    for end in 0..bytes.len() {
        match codec.measure(&bytes[..end]) {
            Ok(Measure::Partial { at_least }) if at_least > end && at_least <= bytes.len() => {}
            Ok(Measure::Frame { len, .. }) if len == bytes.len() as u64 => {}
            other => return Err(format!("{end} of {} bytes: {other:?}", bytes.len())),
        }
    }
    let len = measured(protocol, bytes).map_err(|error| error.to_string())?;
    same("consumed", &Some(len), &expect["consumed"].as_u64())?;
    let mut head = Head::new();
    codec.parse(bytes, &Demand::all(), &mut head).map_err(|error| error.to_string())?;
    Ok(Message::new(Bytes::copy_from_slice(bytes), head))
}

fn check_head(message: &Message, expect: &Json) -> Result<(), String> {
    let kind = match expect["message_type"].as_str() {
        Some("call") => Kind::Request,
        Some("oneway") => Kind::Oneway,
        Some("reply") if expect["body"]["fields"][0]["id"].as_i64().is_none_or(|id| id == 0) => Kind::Response,
        _ => Kind::Error,
    };
    same("kind", &message.kind(), &kind)?;
    let seq_id = i32::try_from(expect["seq_id"].as_i64().unwrap_or_default()).map_err(|error| error.to_string())?;
    same("id", &message.id(), &Id::Number(u64::from(seq_id.cast_unsigned())))?;
    let attr = |key| message.attr(key).map(String::from_utf8_lossy).map(|text| text.into_owned());
    let name = expect["name"].as_str().map(str::to_owned);
    same("attribute method", &attr("method"), &name)?;
    let (service, method) = match expect.get("multiplexed") {
        Some(parts) => (parts["service"].as_str().map(str::to_owned), parts["method"].as_str().map(str::to_owned)),
        None => (None, name),
    };
    same("attribute thrift.service", &attr("thrift.service"), &service)?;
    same("attribute thrift.method", &attr("thrift.method"), &method)?;
    if expect["message_type"] == "exception" {
        let code = expect["body"]["fields"].as_array().into_iter().flatten().find(|field| field["id"] == 2);
        same(
            "code",
            &Some(i64::from(message.status().code())),
            &code.map_or(Some(0), |field| field["value"].as_i64()),
        )?;
    }
    Ok(())
}

fn check_envelope(view: &Envelope<'_>, expect: &Json) -> Result<(), String> {
    only(
        expect,
        &[
            "transport",
            "frame_size",
            "message",
            "consumed",
            "auto_detect",
            "flags",
            "header_seq_id",
            "header_words",
            "headers",
            "protocol_id",
            "transforms",
            "payload_offset",
        ],
    )?;
    same("transport", &view.transport(), &dialect(expect)?.0)?;
    if let Some(size) = expect.get("frame_size") {
        same("frame_size", &size.as_u64(), &expect["consumed"].as_u64().map(|consumed| consumed - 4))?;
    }
    if let Some(header) = view.header() {
        check_header(header, expect)?;
    }
    let expect = &expect["message"];
    only(
        expect,
        &["protocol", "message_type", "seq_id", "name", "multiplexed", "body_offset", "body", "body_offset_is_in"],
    )?;
    same("protocol", &Some(encoding_name(view.encoding())), &expect["protocol"].as_str())?;
    let of = match view.message_type() {
        MessageType::Call => "call",
        MessageType::Reply => "reply",
        MessageType::Exception => "exception",
        _ => "oneway",
    };
    same("message_type", &Some(of), &expect["message_type"].as_str())?;
    same("seq_id", &Some(i64::from(view.seq_id())), &expect["seq_id"].as_i64())?;
    same("name", &Some(view.name()), &expect["name"].as_str().map(str::as_bytes))?;
    // In frames with a header the offset counts from the payload, inflated or not.
    let base = view.header().filter(|header| !header.is_deflated()).map_or(0, |header| header.payload_offset());
    same("body_offset", &Some((view.body_offset() - base) as u64), &expect["body_offset"].as_u64())?;
    view.check().map_err(|error| error.to_string())?;
    check_struct(&view.body(), &expect["body"])
}

fn check_header(header: &thrift::Header<'_>, expect: &Json) -> Result<(), String> {
    same("flags", &Some(u64::from(header.flags())), &expect["flags"].as_u64())?;
    same("header_seq_id", &Some(i64::from(header.seq_id())), &expect["header_seq_id"].as_i64())?;
    let at = header.payload_offset() as u64;
    same("payload_offset", &Some(at), &expect["payload_offset"].as_u64())?;
    same("header_words", &Some((at - 14) / 4), &expect["header_words"].as_u64())?;
    let protocol = if header.encoding() == Encoding::Compact { 2 } else { 0 };
    same("protocol_id", &Some(protocol), &expect["protocol_id"].as_u64())?;
    let transforms = if header.is_deflated() { vec![Json::from(1)] } else { vec![] };
    same("transforms", &Json::from(transforms), &expect["transforms"])?;
    let pairs: Vec<_> = header.pairs().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let expected = expect["headers"].as_array().ok_or("headers: not a list")?;
    same("number of headers", &pairs.len(), &expected.len())?;
    for ((key, value), pair) in pairs.into_iter().zip(expected) {
        check_bytes(key, &pair[0])?;
        check_bytes(value, &pair[1])?;
    }
    Ok(())
}

fn check_struct(body: &Struct<'_>, expect: &Json) -> Result<(), String> {
    only(expect, &["fields"])?;
    let fields: Vec<_> = body.fields().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let expected = expect["fields"].as_array().ok_or("fields: not a list")?;
    same("number of fields", &fields.len(), &expected.len())?;
    for ((id, value), expected) in fields.iter().zip(expected) {
        only(expected, &["id", "type", "value"])?;
        same("id", &Some(i64::from(*id)), &expected["id"].as_i64())?;
        same("type", &Some(type_name(type_of(value))), &expected["type"].as_str())?;
        check_value(value, &expected["value"]).map_err(|error| format!("field {id}: {error}"))?;
    }
    Ok(())
}

fn check_value(value: &Value<'_>, expect: &Json) -> Result<(), String> {
    match value {
        Value::Bool(value) => same("bool", &Some(*value), &expect.as_bool()),
        Value::I8(value) => same("i8", &Some(i64::from(*value)), &expect.as_i64()),
        Value::I16(value) => same("i16", &Some(i64::from(*value)), &expect.as_i64()),
        Value::I32(value) => same("i32", &Some(i64::from(*value)), &expect.as_i64()),
        Value::I64(value) => same("i64", &Some(&*value.to_string()), &expect.as_str()),
        Value::Double(value) => {
            only(expect, &["value", "bits"])?;
            let number = expect["value"].as_str().and_then(|text| text.parse::<f64>().ok());
            same("double is NaN", &number.map(f64::is_nan), &Some(value.is_nan()))?;
            same("double", &number.filter(|n| !n.is_nan()), &Some(*value).filter(|n| !n.is_nan()))?;
            same("bits", &Some(&*format!("{:016x}", value.to_bits())), &expect["bits"].as_str())
        }
        Value::String(value) => check_bytes(value, expect),
        Value::Uuid(value) => same("uuid", Some(&value[..]), expect.as_str().map(unhex).as_deref()),
        Value::Struct(value) => check_struct(value, expect),
        Value::List(list) | Value::Set(list) => {
            only(expect, &["elem", "items"])?;
            same("elem", &list.element().map(type_name), &expect["elem"].as_str())?;
            let items: Vec<_> = list.iter().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            let expected = expect["items"].as_array().ok_or("items: not a list")?;
            same("number of items", &(items.len(), list.len()), &(expected.len(), expected.len() as u64))?;
            items.iter().zip(expected).try_for_each(|(item, expected)| check_value(item, expected))
        }
        Value::Map(map) => {
            only(expect, &["key", "val", "entries"])?;
            same("key", &map.types().map(|(key, _)| type_name(key)), &expect["key"].as_str())?;
            same("val", &map.types().map(|(_, value)| type_name(value)), &expect["val"].as_str())?;
            let entries: Vec<_> = map.iter().collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            let expected = expect["entries"].as_array().ok_or("entries: not a list")?;
            same("number of entries", &(entries.len(), map.len()), &(expected.len(), expected.len() as u64))?;
            entries.iter().zip(expected).try_for_each(|((key, value), expected)| {
                check_value(key, &expected[0]).and_then(|()| check_value(value, &expected[1]))
            })
        }
        _ => Err("a value of a type that is not checked".into()),
    }
}

fn check_bytes(value: &[u8], expect: &Json) -> Result<(), String> {
    only(expect, &["utf8", "hex", "len", "crc32"])?;
    if let Some(text) = expect.get("utf8") {
        return same("utf8", &Some(value), &text.as_str().map(str::as_bytes));
    }
    if let Some(digits) = expect.get("hex") {
        return same("hex", Some(value), digits.as_str().map(unhex).as_deref());
    }
    same("len", &Some(value.len() as u64), &expect["len"].as_u64())?;
    let sum = expect["crc32"].as_u64().or_else(|| u64::from_str_radix(expect["crc32"].as_str()?, 16).ok());
    same("crc32", &Some(u64::from(crc32(value))), &sum)
}

fn check_round_trip(protocol: &Thrift, message: &Message) -> Result<(), String> {
    let mut out = Output::new();
    protocol.codec(Role::Client, &Limits::default()).encode(message, &mut out).map_err(|error| error.to_string())?;
    same("bytes written", &out.copy_to_bytes(out.remaining()), message.frame())
}

fn check_error(bytes: &[u8], expect: &Json, error: &str) -> Result<(), String> {
    only(expect, &["error", "offset", "max_frame", "at_max_depth"])?;
    if error == "incomplete" {
        let mut framer = Framer::new(Thrift::default().codec(Role::Server, &Limits::default()));
        let decoded = framer.decode(&mut bytes.into(), &Demand::all());
        return if matches!(decoded, Ok(Decoded::Partial)) { Ok(()) } else { Err(format!("{decoded:?}")) };
    }
    let found = read(bytes).err().ok_or("no error")?;
    let name = match found.kind() {
        DecodeErrorKind::NegativeLength => "negative_size",
        DecodeErrorKind::LengthExceedsInput => "incomplete_or_size_lie",
        kind => kind.as_str(),
    };
    same("error", &name, &error)?;
    if let Some(limit) = expect.get("max_frame") {
        same("max_frame", &limit.as_u64(), &Some(16_384_000))?;
    }
    if let Some(depth) = expect.get("at_max_depth") {
        same("at_max_depth", &depth.as_u64(), &Some(Limits::default().depth as u64))?;
    }
    match expect.get("offset") {
        Some(offset) => same("offset", Some(found.offset() as u64), offset.as_u64()),
        None => Ok(()),
    }
}

/// Reads all of a frame as one who looks at everything: bounds, head, struct.
fn read(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut codec = Thrift::default().codec(Role::Server, &Limits::default());
    codec.measure(bytes)?;
    codec.parse(bytes, &Demand::all(), &mut Head::new())?;
    thrift::message(bytes)?.check()
}

fn measured(protocol: &Thrift, bytes: &[u8]) -> Result<u64, DecodeError> {
    match protocol.codec(Role::Server, &Limits::default()).measure(bytes)? {
        Measure::Frame { len, .. } => Ok(len),
        _ => Ok(0),
    }
}

fn dialect(expect: &Json) -> Result<(Transport, Encoding), String> {
    let transport = match expect["transport"].as_str() {
        Some("unframed") => Transport::Unframed,
        Some("framed") => Transport::Framed,
        Some("header") => Transport::Header,
        other => return Err(format!("transport {other:?}")),
    };
    let encodings = [Encoding::Binary, Encoding::BinaryOld, Encoding::Compact];
    let name = expect["message"]["protocol"].as_str();
    let encoding = encodings.into_iter().find(|encoding| Some(encoding_name(*encoding)) == name);
    Ok((transport, encoding.ok_or_else(|| format!("protocol {name:?}"))?))
}

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Binary => "binary",
        Encoding::BinaryOld => "binary_old",
        _ => "compact",
    }
}

fn type_of(value: &Value<'_>) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::I8(_) => Type::I8,
        Value::I16(_) => Type::I16,
        Value::I32(_) => Type::I32,
        Value::I64(_) => Type::I64,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Uuid(_) => Type::Uuid,
        Value::Struct(_) => Type::Struct,
        Value::List(_) => Type::List,
        Value::Set(_) => Type::Set,
        _ => Type::Map,
    }
}

fn type_name(of: Type) -> &'static str {
    match of {
        Type::Bool => "bool",
        Type::I8 => "i8",
        Type::I16 => "i16",
        Type::I32 => "i32",
        Type::I64 => "i64",
        Type::Double => "double",
        Type::String => "string",
        Type::Uuid => "uuid",
        Type::Struct => "struct",
        Type::List => "list",
        Type::Set => "set",
        _ => "map",
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

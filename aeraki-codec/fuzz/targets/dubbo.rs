//! What must hold for every frame, and for every call that a client can make.

use aeraki_codec::{
    Change, Control, Decoded, Demand, Framer, Head, Limits, LocalReply, Message, Mutation, Output, Protocol, Reason,
    Role,
    dubbo::{Dubbo, Header, request, response},
    hessian2::{Event, write},
};
use arbitrary::Arbitrary;
use bytes::{Buf, Bytes, BytesMut};

/// Any bytes, as a frame and as a stream: no panic, nothing half written, the same however they arrive.
pub(crate) fn raw(data: &[u8]) {
    frame(data);
    let whole = decoded([data]);
    let (head, tail) = data.split_at(data.len() / 2);
    assert_eq!(decoded([head, tail]), whole);
}

fn frame(data: &[u8]) {
    let _ = (request(data).map(|view| view.decode()), response(data).map(|view| view.decode()));
    for role in [Role::Server, Role::Client] {
        let mut codec = Dubbo::default().with_rendered_scalars(true).codec(role, &Limits::default());
        let mut head = Head::new();
        let parsed = codec.parse(data, &Demand::all(), &mut head);
        let mut message = Message::new(Bytes::copy_from_slice(data), head);
        let mut out = Output::new();
        let _ = codec.reply(&message.receipt(), &LocalReply::new(Reason::BadRequest, "no"), &mut out);
        let _ = codec.control(Control::Frame(&message), &mut out);
        let before = out.len();
        if codec.encode(&message, &mut out).is_ok() {
            assert_eq!(out.len() - before, data.len(), "a message without changes keeps its length");
        }
        message.mutation_mut().set("k", "v").remove("path");
        let before = out.len();
        match codec.encode(&message, &mut out) {
            Ok(()) => assert!(parsed.is_err() || out.len() > before),
            Err(_) => assert_eq!(out.len(), before, "half a message was written"),
        }
    }
}

fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut framer = Framer::new(Dubbo::default().codec(Role::Server, &Limits::default()));
    let (mut input, mut seen) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match framer.decode(&mut input, &Demand::all()) {
                Ok(Decoded::Message(message)) => seen.push(format!("{message:?}")),
                Ok(Decoded::Invalid(message, error)) => seen.push(format!("{message:?} {error}")),
                Ok(_) => break,
                Err(error) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        }
    }
    seen
}

/// A call as a client makes it, and what a proxy changes of its attachments.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Call {
    two_way: bool,
    id: u64,
    fields: [String; 4],
    arguments: Vec<String>,
    attachments: Vec<(String, String)>,
    changes: Vec<(String, Option<String>)>,
}

/// What was written is read back, and a change of the attachments changes nothing else.
pub(crate) fn structured(call: &Call) {
    let original = call.frame();
    let mut codec = Dubbo::default().codec(Role::Server, &Limits { attributes: usize::MAX, ..Limits::default() });
    let mut head = Head::new();
    if codec.parse(&original, &Demand::all(), &mut head).is_err() {
        // The method is longer than the limit.
        return;
    }
    let mut message = Message::new(original.clone(), head);
    check(&original, call, &call.attachments);
    let mut mutation = Mutation::new();
    for (key, value) in &call.changes {
        match value {
            Some(value) => mutation.set(key.clone(), value.clone()),
            None => mutation.remove(key.clone()),
        };
    }
    *message.mutation_mut() = mutation.clone();
    message.set_id(call.id);
    let mut out = Output::new();
    codec.encode(&message, &mut out).expect("attachments of strings can be changed");
    check(&out.copy_to_bytes(out.remaining()), call, &changed(&call.attachments, &mutation));
}

/// The rule: a pair with a changed key goes, and new pairs come last.
fn changed(attachments: &[(String, String)], mutation: &Mutation) -> Vec<(String, String)> {
    let kept = attachments.iter().filter(|(key, _)| mutation.get(key.as_bytes()).is_none()).cloned();
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("a string once");
    let new = mutation.iter().filter_map(|(key, change)| match change {
        Change::Set(value) => Some((text(key), text(value))),
        _ => None,
    });
    kept.chain(new).collect()
}

fn check(frame: &[u8], call: &Call, attachments: &[(String, String)]) {
    let view = request(frame).expect("well-formed");
    assert_eq!((view.header().id_bits(), view.header().is_two_way(), view.unread()), (call.id, call.two_way, 0));
    let fields = [view.dubbo_version(), view.path(), view.service_version(), view.method()];
    for (field, expected) in fields.iter().zip(&call.fields) {
        assert_eq!(field.and_then(|text| text.to_str()).as_deref(), Some(&**expected));
    }
    assert_eq!(view.argument_count(), call.arguments.len());
    let read: Vec<_> = view.attachments().map(|entry| (text(&entry.key), text(&entry.value))).collect();
    assert_eq!(read, attachments);
    let last = attachments.iter().rfind(|(key, _)| key == "path").map_or(&call.fields[1], |(_, value)| value);
    assert_eq!(view.interface().and_then(|text| text.to_str()).as_deref(), Some(&**last));
}

fn text(event: &Event<'_>) -> String {
    let Event::Text(text) = event else { panic!("{event:?} was not written") };
    text.to_str().expect("no lone surrogates were written").into_owned()
}

impl Call {
    fn frame(&self) -> Bytes {
        let mut body = Vec::new();
        self.fields.iter().for_each(|field| write::string(&mut body, field));
        write::string(&mut body, &"Ljava/lang/String;".repeat(self.arguments.len()));
        self.arguments.iter().for_each(|argument| write::string(&mut body, argument));
        write::map(&mut body);
        for (key, value) in &self.attachments {
            write::string(&mut body, key);
            write::string(&mut body, value);
        }
        write::end(&mut body);
        let flags = if self.two_way { 0xc2 } else { 0x82 };
        let len = u32::try_from(body.len()).expect("short").to_be_bytes();
        let frame: Bytes = [&[0xda, 0xbb, flags, 0][..], &self.id.to_be_bytes(), &len, &body].concat().into();
        assert_eq!(Header::read(&frame).map(Header::id_bits), Ok(self.id));
        frame
    }
}

//! Frames of the protocols under test, byte by byte.

/// How the messages of one protocol are written.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) name: &'static str,
    /// A call of `method` that wants an answer, by id.
    pub(crate) request: fn(u64, &str) -> Vec<u8>,
    /// A call of `method` that wants none.
    pub(crate) oneway: fn(u64, &str) -> Vec<u8>,
    /// The answer to the call of this id.
    pub(crate) response: fn(u64) -> Vec<u8>,
    /// An answer that reports an exception of the application.
    pub(crate) exception: fn(u64) -> Vec<u8>,
}

pub(crate) const ALL: [Wire; 2] = [DUBBO, THRIFT];

pub(crate) const DUBBO: Wire = Wire {
    name: "dubbo",
    request: |id, method| dubbo_request(id, method, &[("group", "blue")]),
    oneway: |id, method| dubbo(0x82, 0, id, &dubbo_call(method, &[("group", "blue")])),
    // RESPONSE_VALUE, "ok"
    response: |id| dubbo(0x02, 20, id, b"\x91\x02ok"),
    // RESPONSE_WITH_EXCEPTION, a string in place of the exception
    exception: |id| dubbo(0x02, 20, id, b"\x90\x04oops"),
};

pub(crate) const THRIFT: Wire = Wire {
    name: "thrift",
    request: |id, method| thrift(1, method, id),
    oneway: |id, method| thrift(4, method, id),
    response: |id| thrift(2, "any", id),
    exception: |id| thrift(3, "any", id),
};

/// Thrift whose messages have a header in front of them.
pub(crate) const THRIFT_HEADER: Wire = Wire {
    name: "thrift",
    request: |id, method| thrift_header(1, method, id, b""),
    oneway: |id, method| thrift_header(4, method, id, b""),
    response: |id| thrift_header(2, "any", id, b""),
    exception: |id| thrift_header(3, "any", id, b""),
};

/// The same, where every message says that no further requests are wanted.
pub(crate) const LEAVING: Wire =
    Wire { response: |id| thrift_header(2, "any", id, b"\x01\x01\x06:drain\x04true"), ..THRIFT_HEADER };

/// The protocol of [`lines`](crate::lines), for what no built-in protocol has.
pub(crate) const LINES: Wire = Wire {
    name: "lines",
    request: |id, method| format!("Q {id} {method}\n").into(),
    oneway: |id, method| format!("O {id} {method}\n").into(),
    response: |id| format!("R {id} ok\n").into(),
    exception: |id| format!("E {id} oops\n").into(),
};

/// The event by which a server of Dubbo says that it wants no further requests.
pub(crate) fn read_only() -> Vec<u8> {
    dubbo(0xa2, 0, 0, b"\x01R")
}

/// A call of `method` that wants an answer, with these attachments.
pub(crate) fn dubbo_request(id: u64, method: &str, attachments: &[(&str, &str)]) -> Vec<u8> {
    dubbo(0xc2, 0, id, &dubbo_call(method, attachments))
}

fn dubbo(flag: u8, status: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xda, 0xbb, flag, status];
    frame.extend(id.to_be_bytes());
    frame.extend(u32::try_from(body.len()).expect("a small body").to_be_bytes());
    frame.extend(body);
    frame
}

/// Version, path, service version, method, parameter types, attachments.
fn dubbo_call(method: &str, attachments: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in ["2.0.2", "org.example.Greeter", "1.0.0", method, ""] {
        string(&mut body, text);
    }
    body.push(b'H');
    for (key, value) in attachments {
        string(&mut body, key);
        string(&mut body, value);
    }
    body.push(b'Z');
    body
}

fn string(body: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 32, "only the short form is written here");
    body.push(u8::try_from(text.len()).expect("short"));
    body.extend(text.as_bytes());
}

/// Framed, strict binary; the arguments are an empty struct.
fn thrift(kind: u8, method: &str, id: u64) -> Vec<u8> {
    framed(&thrift_message(kind, method, id))
}

/// Behind a header without transforms, with these info blocks.
fn thrift_header(kind: u8, method: &str, id: u64, info: &[u8]) -> Vec<u8> {
    let mut header = vec![0, 0];
    header.extend(info);
    header.resize(header.len().next_multiple_of(4), 0);
    let mut message = vec![0x0f, 0xff, 0, 0];
    message.extend(seq_id(id));
    message.extend(u16::try_from(header.len() / 4).expect("short").to_be_bytes());
    message.extend(header);
    message.extend(thrift_message(kind, method, id));
    framed(&message)
}

fn thrift_message(kind: u8, method: &str, id: u64) -> Vec<u8> {
    let mut message = vec![0x80, 1, 0, kind];
    message.extend(u32::try_from(method.len()).expect("short").to_be_bytes());
    message.extend(method.as_bytes());
    message.extend(seq_id(id));
    message.push(0);
    message
}

fn seq_id(id: u64) -> [u8; 4] {
    u32::try_from(id).expect("ids of Thrift have 32 bits").to_be_bytes()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(message.len()).expect("short").to_be_bytes().to_vec();
    frame.extend(message);
    frame
}

//! The messages: 128 bytes of payload, as Java's Dubbo and Python's Thrift write them.

use aeraki_codec::hessian2::write::string;

/// A call of `sayHello` with one string and five attachments.
pub fn dubbo_request() -> Vec<u8> {
    let mut body = Vec::new();
    let payload = "x".repeat(128);
    for text in ["2.0.2", INTERFACE, "1.0.0", "sayHello", "Ljava/lang/String;", &payload] {
        string(&mut body, text);
    }
    body.push(b'H');
    let attachments =
        [("path", INTERFACE), ("interface", INTERFACE), ("version", "1.0.0"), ("timeout", "1000"), ("user", "alice")];
    for text in attachments.into_iter().flat_map(|(key, value)| [key, value]) {
        string(&mut body, text);
    }
    body.push(b'Z');
    dubbo(0xc2, 0, &body)
}

/// A string, and one attachment.
pub fn dubbo_response() -> Vec<u8> {
    let mut body = vec![0x94];
    string(&mut body, &"x".repeat(128));
    body.extend_from_slice(b"H\x05dubbo\x052.0.2Z");
    dubbo(0x02, 20, &body)
}

fn dubbo(flags: u8, status: u8, body: &[u8]) -> Vec<u8> {
    [&[0xda, 0xbb, flags, status, 0, 0, 0, 0, 0, 0, 0, 7][..], &length(body), body].concat()
}

/// A call of `sayHello` with one string.
pub fn thrift_request() -> Vec<u8> {
    thrift(1, 1)
}

/// A string.
pub fn thrift_response() -> Vec<u8> {
    thrift(2, 0)
}

fn thrift(message_type: u8, field: u8) -> Vec<u8> {
    let (name, payload) = (b"sayHello", [b'x'; 128]);
    let head = [&[0x80, 1, 0, message_type][..], &length(name), name, &[0, 0, 0, 7]].concat();
    let message = [&head[..], &[11, 0, field], &length(&payload), &payload, &[0]].concat();
    [&length(&message)[..], &message].concat()
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The service that is called.
pub const INTERFACE: &str = "org.apache.dubbo.demo.DemoService";

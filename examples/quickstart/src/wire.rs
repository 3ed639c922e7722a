//! The bytes that the demonstration's callers and services exchange.

use aeraki_codec::{
    Demand, Message, Protocol,
    dubbo::Dubbo,
    hessian2::write,
    thrift::{self, Thrift, Value},
};

/// Which protocol a service of the demonstration speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Dubbo,
    Thrift,
}

impl Wire {
    pub(crate) fn protocol(self) -> Box<dyn Protocol> {
        match self {
            Self::Dubbo => Box::new(Dubbo::default()),
            Self::Thrift => Box::new(Thrift::default()),
        }
    }

    /// Encodes a call of `method` of `interface` on behalf of `user`.
    pub(crate) fn call(self, id: u32, interface: &str, method: &str, user: &str) -> Vec<u8> {
        match self {
            Self::Dubbo => dubbo_call(id, interface, method, user),
            Self::Thrift => thrift_message(CALL, id, method, 1, user),
        }
    }

    /// Encodes the answer of version `version` to `call`, which repeats some of its attributes.
    pub(crate) fn answer(self, call: &Message, version: &str) -> Vec<u8> {
        match self {
            Self::Dubbo => {
                let seen = |key| call.attr(key).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
                dubbo_answer(call.id().number(), version, SEEN.map(|(key, told)| (told, seen(key))))
            }
            Self::Thrift => {
                let method = String::from_utf8_lossy(call.attr("method").unwrap_or_default()).into_owned();
                let id = u32::try_from(call.id().number()).unwrap_or_default();
                thrift_message(REPLY, id, &method, 0, version)
            }
        }
    }

    /// Reads which version answered; `None` if the answer is an error.
    pub(crate) fn version(self, answer: &Message) -> Option<String> {
        match self {
            Self::Dubbo => answer.attr(SERVED_BY).map(|version| String::from_utf8_lossy(version).into_owned()),
            Self::Thrift => {
                let envelope = thrift::message(answer.frame()).ok()?;
                match envelope.body().field(0)? {
                    Value::String(version) => Some(String::from_utf8_lossy(version).into_owned()),
                    _ => None,
                }
            }
        }
    }

    /// What must be read of calls and answers.
    pub(crate) fn demand() -> Demand {
        Demand::of(["method", SERVED_BY, TIER].into_iter().chain(SEEN.into_iter().flat_map(|(key, told)| [key, told])))
    }
}

fn dubbo_call(id: u32, interface: &str, method: &str, user: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for text in ["2.0.2", interface, "0.0.0", method, "Ljava/lang/String;", "world"] {
        write::string(&mut body, text);
    }
    dubbo_map(&mut body, [("path", interface), ("interface", interface), ("version", "0.0.0"), ("user", user)]);
    dubbo_frame(0xc2, 0, u64::from(id), &body)
}

fn dubbo_answer<const N: usize>(id: u64, version: &str, seen: [(&str, &str); N]) -> Vec<u8> {
    let mut body = Vec::new();
    write::int(&mut body, VALUE_WITH_ATTACHMENTS);
    write::string(&mut body, "hello world");
    dubbo_map(&mut body, [("dubbo", "2.0.2"), (SERVED_BY, version)].into_iter().chain(seen));
    dubbo_frame(0x02, 20, id, &body)
}

fn dubbo_map<'a>(body: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'a str, &'a str)>) {
    write::map(body);
    for (key, value) in entries {
        write::string(body, key);
        write::string(body, value);
    }
    write::end(body);
}

fn dubbo_frame(flags: u8, status: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xda, 0xbb, flags, status];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(&length(body.len()));
    frame.extend_from_slice(body);
    frame
}

/// A framed message of the strict binary protocol whose struct has one string field.
fn thrift_message(kind: u8, id: u32, method: &str, field: i16, text: &str) -> Vec<u8> {
    let mut message = vec![0x80, 0x01, 0x00, kind];
    for part in [&length(method.len())[..], method.as_bytes(), &id.to_be_bytes(), &[STRING]] {
        message.extend_from_slice(part);
    }
    for part in [&field.to_be_bytes()[..], &length(text.len()), text.as_bytes(), &[STOP]] {
        message.extend_from_slice(part);
    }
    [&length(message.len())[..], &message].concat()
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

const SERVED_BY: &str = "served-by";
/// An attribute that the features of the mesh set in answers.
pub(crate) const TIER: &str = "tier";
/// What services see of the attributes that features set in calls, by the attribute of the answer that tells it.
pub(crate) const SEEN_TIER: &str = "seen-tier";
pub(crate) const SEEN_CALLER: &str = "seen-caller";
pub(crate) const SEEN_REQUEST_ID: &str = "seen-request-id";
pub(crate) const SEEN_PEER: &str = "seen-peer";
const SEEN: [(&str, &str); 4] = [
    (TIER, SEEN_TIER),
    ("caller", SEEN_CALLER),
    ("x-request-id", SEEN_REQUEST_ID),
    ("x-envoy-peer-metadata-id", SEEN_PEER),
];
const VALUE_WITH_ATTACHMENTS: i32 = 4;
const CALL: u8 = 1;
const REPLY: u8 = 2;
const STRING: u8 = 11;
const STOP: u8 = 0;

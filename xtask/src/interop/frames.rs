//! Frames written by hand, apart from the codecs, and what can be said of an answer without them.

use std::fmt;

use crate::peers::proxy::Routes;

/// A protocol whose bytes the differential sends; every method takes one short string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Hessian2 bodies.
    Dubbo,
    /// Framed, binary.
    Thrift,
}

impl Wire {
    pub(crate) const ALL: [Self; 2] = [Self::Dubbo, Self::Thrift];

    /// What the calls of [`Self::request`] need; those of [`unrouted`] have no route.
    pub(crate) fn routes(self) -> Routes<'static> {
        match self {
            Self::Dubbo => Routes::Dubbo(&[INTERFACE]),
            Self::Thrift => Routes::Thrift { methods: &["echo", "refuse", "crash", "hang up", "note"], services: &[] },
        }
    }

    pub(crate) fn request(self, method: &str, text: &str, id: u32) -> Vec<u8> {
        match self {
            Self::Dubbo => dubbo(0xc2, 0, id, &dubbo_call(method, text)),
            Self::Thrift => thrift(CALL, method, id, &string_field(1, text)),
        }
    }

    pub(crate) fn oneway(self, method: &str, text: &str, id: u32) -> Vec<u8> {
        match self {
            Self::Dubbo => dubbo(0x82, 0, id, &dubbo_call(method, text)),
            Self::Thrift => thrift(ONEWAY, method, id, &string_field(1, text)),
        }
    }

    /// The answer of a server; `None`: it closes the connection, or owes no answer to a one-way request.
    pub(crate) fn answer(self, request: &[u8]) -> Option<Vec<u8>> {
        let (method, text) = self.call(request)?;
        let id = self.id(request)?;
        match (self, method) {
            (_, "hang up" | "note") => None,
            (Self::Dubbo, "refuse") => Some(dubbo(0x02, 20, id, &[&[0x90], hessian(text).as_slice()].concat())),
            (Self::Dubbo, "crash") => Some(dubbo(0x02, 70, id, &hessian(text))),
            (Self::Dubbo, _) => Some(dubbo(0x02, 20, id, &[&[0x91], hessian(text).as_slice()].concat())),
            (Self::Thrift, "refuse") => {
                let exception = [&[12, 0, 1], string_field(1, text).as_slice(), &[0]].concat();
                Some(thrift(REPLY, method, id, &exception))
            }
            (Self::Thrift, "crash") => {
                let exception = [string_field(1, text).as_slice(), &[8, 0, 2, 0, 0, 0, 6]].concat();
                Some(thrift(EXCEPTION, method, id, &exception))
            }
            (Self::Thrift, _) => Some(thrift(REPLY, method, id, &string_field(0, text))),
        }
    }

    pub(crate) fn is_oneway(self, request: &[u8]) -> bool {
        match self {
            Self::Dubbo => request.get(2).is_some_and(|flags| flags & 0x40 == 0),
            Self::Thrift => request.get(7) == Some(&ONEWAY),
        }
    }

    /// The length of the first frame, `None` while it cannot be told.
    pub(crate) fn frame_len(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Dubbo => Some(16 + word(bytes, 12)?),
            Self::Thrift => Some(4 + word(bytes, 0)?),
        }
    }

    pub(crate) fn id(self, frame: &[u8]) -> Option<u32> {
        word(frame, self.id_at(frame)?).and_then(|id| u32::try_from(id).ok())
    }

    /// The frame with id zero: a proxy may choose its own towards the server.
    pub(crate) fn without_id(self, mut frame: Vec<u8>) -> Vec<u8> {
        if let Some(at) = self.id_at(&frame) {
            frame[at..at + 4].fill(0);
            if self == Self::Dubbo {
                frame[4..8].fill(0);
            }
        }
        frame
    }

    /// The kind of an answer, without its text.
    pub(crate) fn outcome(self, answer: &[u8]) -> String {
        match self {
            Self::Dubbo => format!("status {}", answer.get(3).copied().unwrap_or_default()),
            Self::Thrift if answer.get(7) == Some(&EXCEPTION) => {
                // our proxy and Envoy write the text first and the kind last
                let kind = answer.len().checked_sub(5).and_then(|at| word(answer, at));
                format!("exception {}", kind.unwrap_or_default())
            }
            Self::Thrift => "reply".to_owned(),
        }
    }

    /// The frame with another id.
    pub(crate) fn with_id(self, mut frame: Vec<u8>, id: u32) -> Vec<u8> {
        if let Some(at) = self.id_at(&frame) {
            frame[at..at + 4].copy_from_slice(&id.to_be_bytes());
        }
        frame
    }

    /// The text of a request.
    pub(crate) fn text(self, request: &[u8]) -> Option<&str> {
        self.call(request).map(|(_, text)| text)
    }

    /// Tells whether an answer is a result.
    pub(crate) fn is_success(self, answer: &[u8]) -> bool {
        match self {
            Self::Dubbo => answer.get(3) == Some(&20),
            Self::Thrift => answer.get(7) == Some(&REPLY),
        }
    }

    /// The text in a result of [`Self::answer`].
    pub(crate) fn answered_text(self, answer: &[u8]) -> Option<&str> {
        let text = match self {
            Self::Dubbo => answer.get(18..)?,
            Self::Thrift => {
                let text = 12 + word(answer, 8)? + 4 + 3;
                answer.get(text + 4..text + 4 + word(answer, text)?)?
            }
        };
        str::from_utf8(text).ok()
    }

    /// Tells whether a frame is no answer but something that the other side says by itself.
    pub(crate) fn is_event(self, frame: &[u8]) -> bool {
        self == Self::Dubbo && frame.get(2).is_some_and(|flags| flags & 0x20 != 0)
    }

    /// The answer to a sign of life, where a request is one.
    pub(crate) fn heartbeat_answer(self, request: &[u8]) -> Option<Vec<u8>> {
        self.is_event(request).then(|| dubbo(0x22, 20, self.id(request).unwrap_or_default(), b"N"))
    }

    /// The method and the text of a request.
    fn call(self, request: &[u8]) -> Option<(&str, &str)> {
        let (method, text) = match self {
            Self::Dubbo => {
                let mut rest = request.get(16..)?;
                let mut strings = [[].as_slice(); 6];
                for string in &mut strings {
                    (*string, rest) =
                        rest.split_first().and_then(|(len, tail)| tail.split_at_checked((*len).into()))?;
                }
                (strings[3], strings[5])
            }
            Self::Thrift => {
                let method = request.get(12..12 + word(request, 8)?)?;
                let text = 12 + method.len() + 4 + 3;
                (method, request.get(text + 4..text + 4 + word(request, text)?)?)
            }
        };
        Some((str::from_utf8(method).ok()?, str::from_utf8(text).ok()?))
    }

    fn id_at(self, frame: &[u8]) -> Option<usize> {
        match self {
            Self::Dubbo => Some(8),
            Self::Thrift => Some(12 + word(frame, 8)?),
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dubbo => "dubbo",
            Self::Thrift => "thrift",
        })
    }
}

/// A Dubbo heartbeat that wants an answer.
pub(crate) fn heartbeat(id: u32) -> Vec<u8> {
    dubbo(0xe2, 0, id, b"N")
}

/// A call that has no route.
pub(crate) fn unrouted(wire: Wire, id: u32) -> Vec<u8> {
    match wire {
        Wire::Dubbo => {
            let body =
                dubbo_call("echo", "x").iter().map(|byte| if *byte == b'E' { b'F' } else { *byte }).collect::<Vec<_>>();
            dubbo(0xc2, 0, id, &body)
        }
        Wire::Thrift => wire.request("unrouted", "x", id),
    }
}

fn dubbo_call(method: &str, text: &str) -> Vec<u8> {
    let strings = ["2.0.2", INTERFACE, "0.0.0", method, "Ljava/lang/String;", text, "path", INTERFACE];
    let (body, attachments) = strings.split_at(6);
    let encode = |strings: &[&str]| strings.iter().flat_map(|text| hessian(text)).collect::<Vec<_>>();
    [encode(body).as_slice(), b"H", encode(attachments).as_slice(), b"Z"].concat()
}

fn dubbo(flags: u8, status: u8, id: u32, body: &[u8]) -> Vec<u8> {
    [[0xda, 0xbb, flags, status, 0, 0, 0, 0].as_slice(), &id.to_be_bytes(), &length(body), body].concat()
}

/// A string of at most 31 ASCII characters.
fn hessian(text: &str) -> Vec<u8> {
    let [.., short] = length(text.as_bytes());
    [[short].as_slice(), text.as_bytes()].concat()
}

fn thrift(kind: u8, method: &str, id: u32, fields: &[u8]) -> Vec<u8> {
    let name = method.as_bytes();
    let head = [0x80, 0x01, 0x00, kind];
    let message = [head.as_slice(), &length(name), name, &id.to_be_bytes(), fields, &[0]].concat();
    [length(&message).as_slice(), &message].concat()
}

fn string_field(id: u8, text: &str) -> Vec<u8> {
    [[11, 0, id].as_slice(), &length(text.as_bytes()), text.as_bytes()].concat()
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(word)).ok()
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

const INTERFACE: &str = "peers.Echo";
const CALL: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;
const ONEWAY: u8 = 4;

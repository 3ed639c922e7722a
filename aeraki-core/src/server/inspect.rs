//! What the first bytes of a client tell before anything serves it.

use std::io;

use aeraki_route::config::{FilterChainMatch, TransportProtocol};

use crate::{io::Prefixed, tls::Hello};

/// What the filter chains of a listener want to know of the first bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Inspection {
    /// Whether they are a TLS handshake.
    tls: bool,
    /// What the handshake asks for.
    hello: bool,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) transport_protocol: TransportProtocol,
    /// In lower case; empty where the client asks for none.
    pub(crate) server_name: String,
    /// The best first.
    pub(crate) application_protocols: Vec<String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            transport_protocol: TransportProtocol::RawBuffer,
            server_name: String::new(),
            application_protocols: Vec::new(),
        }
    }
}

impl Inspection {
    /// Finds out what these matches depend on.
    pub(super) fn of<'a>(matches: impl IntoIterator<Item = &'a FilterChainMatch>) -> Self {
        matches.into_iter().fold(Self::default(), |inspection, wanted| {
            let hello = inspection.hello || wanted.reads_client_hello();
            Self { tls: inspection.tls || hello || wanted.transport_protocol.is_some(), hello }
        })
    }

    /// Tells whether no byte matters.
    pub(super) const fn is_idle(&self) -> bool {
        !self.tls
    }

    /// Looks at the first bytes until they tell enough.
    ///
    /// # Errors
    /// Those of the stream; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it ends without a byte.
    pub(super) async fn inspect(&self, io: &mut Prefixed) -> io::Result<Seen> {
        let mut hello = Hello::default();
        loop {
            let bytes = io.prefix();
            match self.look(bytes, &mut hello) {
                Looked::Enough(seen) => return Ok(seen),
                Looked::More if bytes.len() >= MOST => return Ok(Seen::default()),
                Looked::More => {}
            }
            if !io.read_more(MOST).await? {
                let nothing = io.prefix().is_empty();
                return if nothing { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Seen::default()) };
            }
        }
    }

    fn look(&self, bytes: &[u8], hello: &mut Hello) -> Looked {
        if bytes.len() < HANDSHAKE.len() && HANDSHAKE.starts_with(bytes) {
            Looked::More
        } else if !bytes.starts_with(HANDSHAKE) {
            Looked::Enough(Seen::default())
        } else if self.hello {
            hello.look(bytes)
        } else {
            Looked::Enough(Seen { transport_protocol: TransportProtocol::Tls, ..Seen::default() })
        }
    }
}

/// What the first bytes have told so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Not enough.
    More,
    /// All that there is to know.
    Enough(Seen),
}

/// How a record begins that holds a handshake, of any version 3 (RFC 8446 §5.1).
const HANDSHAKE: &[u8] = &[0x16, 0x03];
/// Bytes that are looked at at most; a larger handshake is none, as in Envoy.
const MOST: usize = 64 * 1024;

//! What the first bytes of a client tell before anything serves it.

use std::{io, sync::Arc};

use aeraki_codec::{Detection, Protocol, Registry};
use aeraki_route::config::{ConfigError, FilterChain, Listener, TransportProtocol};

use super::{hello::Hello, prefixed::Prefixed};

/// What the filter chains of a listener want to know of the first bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspection {
    /// Whether they are a TLS handshake.
    tls: bool,
    /// What the handshake asks for.
    hello: bool,
    /// Whether they are those of a protocol, by the names that chains match.
    protocols: Vec<(String, Arc<dyn Protocol>)>,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) transport_protocol: TransportProtocol,
    /// In lower case; empty where the client asks for none.
    pub(super) server_name: String,
    /// The best first.
    pub(super) application_protocols: Vec<String>,
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
    /// Finds out what the filter chains of a listener depend on, and the protocols that they name in `registry`.
    ///
    /// # Errors
    /// A protocol that is not there, or that cannot be told from its first bytes: the listener, the field and the
    /// reason.
    pub(crate) fn new(listener: &Listener, registry: &Registry) -> Result<Self, ConfigError> {
        let mut inspection = Self::default();
        for (path, FilterChain { matches, .. }) in listener.chains().take(listener.filter_chains.len()) {
            inspection.hello |= matches.reads_client_hello();
            inspection.tls |= matches.transport_protocol.is_some();
            for (name, codec) in matches.detected_protocols() {
                let refuse = |reason| {
                    let path = format!("{path}.matches.applicationProtocols");
                    ConfigError::new(format!("listener {:?}", listener.name), path, reason)
                };
                let unknown = || refuse(format!("{name}: there is no codec {codec:?}"));
                let protocol = registry.get(codec).ok_or_else(unknown)?;
                if protocol.detect(&[]).is_none() {
                    return Err(refuse(format!("{name}: {codec:?} cannot be told from its first bytes")));
                }
                if inspection.protocols.iter().all(|(known, _)| known != name) {
                    inspection.protocols.push((name.to_owned(), Arc::clone(protocol)));
                }
            }
        }
        // the first bytes of a handshake may look like those of something else
        inspection.tls |= inspection.hello || !inspection.protocols.is_empty();
        Ok(inspection)
    }

    /// Tells whether no byte matters.
    pub(super) const fn is_idle(&self) -> bool {
        !self.tls
    }

    /// Looks at the first bytes until they tell enough.
    ///
    /// # Errors
    /// Those of the stream; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it ends without a byte, and
    /// [`InvalidData`](io::ErrorKind::InvalidData) where a handshake is too long.
    pub(super) async fn inspect(&self, io: &mut Prefixed) -> io::Result<Seen> {
        let mut hello = Hello::default();
        loop {
            let bytes = io.prefix();
            match self.look(bytes, &mut hello) {
                Looked::Enough(seen) => return Ok(seen),
                Looked::More if bytes.len() < MOST => {}
                Looked::More if !bytes.starts_with(HANDSHAKE) => return Ok(Seen::default()),
                Looked::More | Looked::TooLong => return Err(too_long()),
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
            self.detect(bytes)
        } else if self.hello {
            hello.look(bytes)
        } else {
            Looked::Enough(Seen { transport_protocol: TransportProtocol::Tls, ..Seen::default() })
        }
    }

    /// Asks the protocols in the order in which chains name them.
    fn detect(&self, bytes: &[u8]) -> Looked {
        let mut undecided = false;
        for (name, protocol) in &self.protocols {
            match protocol.detect(bytes) {
                Some(Detection::Yes) => {
                    return Looked::Enough(Seen { application_protocols: vec![name.clone()], ..Seen::default() });
                }
                Some(Detection::More) => undecided = true,
                _ => {}
            }
        }
        if undecided { Looked::More } else { Looked::Enough(Seen::default()) }
    }
}

/// What the first bytes have told so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// Not enough.
    More,
    /// All that there is to know.
    Enough(Seen),
    /// The first message of a handshake is longer than any client needs.
    TooLong,
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the first message of a handshake is longer than {MOST} bytes"))
}

/// How a record begins that holds a handshake, of any version 3 (RFC 8446 §5.1).
const HANDSHAKE: &[u8] = &[0x16, 0x03];
/// Bytes that are looked at at most; with a longer handshake a connection ends, as in Envoy.
pub(super) const MOST: usize = 64 * 1024;

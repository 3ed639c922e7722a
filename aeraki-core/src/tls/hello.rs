//! What a client asks for at the beginning of its handshake.

use std::fmt;

use aeraki_route::config::TransportProtocol;
use rustls::server::{Acceptor, ClientHello};

use crate::server::{Looked, Seen};

/// Reads the first message of a handshake, a `ClientHello`, from the first bytes of a connection.
#[derive(Default)]
pub(crate) struct Hello {
    acceptor: Acceptor,
    /// Bytes that the acceptor has.
    fed: usize,
}

impl Hello {
    /// Looks at the first bytes, of which there are more each time; what is no handshake is plain text.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Looked {
        while let Some(mut rest) = bytes.get(self.fed..).filter(|rest| !rest.is_empty()) {
            let Ok(count @ 1..) = self.acceptor.read_tls(&mut rest) else { return Looked::Enough(Seen::default()) };
            self.fed += count;
            match self.acceptor.accept() {
                Ok(Some(accepted)) => return Looked::Enough(asked(&accepted.client_hello())),
                Ok(None) => {}
                Err(_) => return Looked::Enough(Seen::default()),
            }
        }
        Looked::More
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("fed", &self.fed).finish_non_exhaustive()
    }
}

fn asked(hello: &ClientHello<'_>) -> Seen {
    let offered = hello.alpn().into_iter().flatten();
    let offered = offered.filter_map(|protocol| std::str::from_utf8(protocol).ok()).map(str::to_owned);
    Seen {
        transport_protocol: TransportProtocol::Tls,
        server_name: hello.server_name().unwrap_or_default().to_ascii_lowercase(),
        application_protocols: offered.collect(),
    }
}

//! One end of a connection, in plain text or in TLS.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use anyhow::Result;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned, pki_types::ServerName};

/// A connection; what is read and written is TLS where it was made with a configuration of TLS.
pub(super) struct Stream {
    /// The connection itself.
    pub(super) socket: TcpStream,
    secured: Option<Box<dyn Talk>>,
}

trait Talk: Read + Write + Send {}

impl<T: Read + Write + Send> Talk for T {}

impl Stream {
    /// The end of a client, which wants the server to prove its IP address in TLS.
    pub(super) fn of_client(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let Some(config) = tls else { return Ok(Self { socket, secured: None }) };
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let session = ClientConnection::new(Arc::clone(config), name)?;
        let secured = Box::new(StreamOwned::new(session, socket.try_clone()?));
        Ok(Self { socket, secured: Some(secured) })
    }

    /// The end of a server.
    pub(super) fn of_server(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(Self { socket, secured: None }) };
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let secured = Box::new(StreamOwned::new(session, socket.try_clone()?));
        Ok(Self { socket, secured: Some(secured) })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.secured {
            Some(secured) => secured.read(buffer),
            None => self.socket.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.secured {
            Some(secured) => secured.write(bytes),
            None => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.secured {
            Some(secured) => secured.flush(),
            None => self.socket.flush(),
        }
    }
}

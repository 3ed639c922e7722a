//! Stands before a server and sees who connects to it.

use std::net::Ipv4Addr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::running::PATIENCE;

/// Passes connections on, and counts them.
pub(crate) struct Relay {
    port: u16,
    count: watch::Receiver<Count>,
}

#[derive(Default)]
struct Count {
    opened: usize,
    closed: usize,
}

impl Relay {
    /// Stands before the server at `port`.
    pub(crate) async fn to(port: u16) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = socket.local_addr().expect("an address").port();
        let (tell, count) = watch::channel(Count::default());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = socket.accept().await {
                let tell = tell.clone();
                tell.send_modify(|count| count.opened += 1);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
                    let ended = copy_bidirectional(&mut client, &mut server).await;
                    tell.send_modify(|count| count.closed += 1);
                    ended
                });
            }
        });
        Self { port: own, count }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Counts the connections that have been made.
    pub(crate) fn opened(&self) -> usize {
        self.count.borrow().opened
    }

    /// Waits until so many connections have ended.
    pub(crate) async fn closed(&self, wanted: usize) {
        let mut count = self.count.clone();
        let closed = count.wait_for(|count| count.closed >= wanted);
        _ = timeout(PATIENCE, closed).await.expect("they end").expect("the relay goes on");
    }
}

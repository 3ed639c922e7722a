//! How a connection with a client ends without the loss of what it was sent last.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::io::Io;

/// Closes our direction and waits a moment for the client to close its own: bytes that nobody reads would make the
/// system reset the connection, and the last answers might be lost on their way.
pub(crate) async fn close(mut io: Box<dyn Io>) {
    let closing = async {
        let mut rest = [0; 1024];
        if io.shutdown().await.is_ok() {
            while matches!(io.read(&mut rest).await, Ok(1..)) {}
        }
    };
    // the client's silence is as good as its end
    let _ = timeout(LINGER, closing).await;
}

/// Tells a client that has closed its direction that this one is closed too: in TLS the end of the stream says nothing.
pub(crate) async fn end_writing(mut io: Box<dyn Io>) {
    let _ = timeout(LINGER, io.shutdown()).await;
}

/// How long a closed connection waits for the client to close its own direction.
const LINGER: Duration = Duration::from_secs(1);

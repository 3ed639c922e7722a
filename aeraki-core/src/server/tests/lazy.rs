//! A stream that takes everything at once and hands it on when it is flushed, as TLS does.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

struct Lazy {
    pipe: DuplexStream,
    held: Vec<u8>,
}

impl AsyncRead for Lazy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, into)
    }
}

impl AsyncWrite for Lazy {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { pipe, held } = &mut *self;
        while !held.is_empty() {
            let written = ready!(Pin::new(&mut *pipe).poll_write(cx, held))?;
            held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        assert!(self.held.is_empty(), "what is held would be lost");
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_the_stream_holds_back_arrive_before_the_end() {
    for finished in [false, true] {
        let (client, pipe) = tokio::io::duplex(8);
        let lazy = Box::new(Lazy { pipe, held: Vec::new() });
        let mut fixture = Fixture::on(client, lazy, Lines::new(Replies::AnyOrder), |rpc| rpc);
        fixture.send("Q 7 a\n").await;
        if finished {
            fixture.client.shutdown().await.expect("open");
        }
        let (request, send) = fixture.request().await;
        let long = "x".repeat(1000);
        send.send_response(answer(&request, &format!("R {long}")));
        let expected = format!("R 7 {long}\n");
        timeout(Duration::from_secs(60), fixture.expect(&expected)).await.expect("nothing is left behind");
        if finished {
            assert_eq!(fixture.rest().await, "");
            fixture.served.await.expect("no panic");
        }
    }
}

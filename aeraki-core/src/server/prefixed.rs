//! Streams whose first bytes are looked at.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::{Budget, Charge};
use crate::io::Io;

/// A stream whose first bytes were looked at before it is read by somebody else, who gets them too.
pub(super) struct Prefixed {
    io: Box<dyn Io>,
    /// What was looked at and not read since.
    prefix: Vec<u8>,
    /// Has the budget know of the memory of that.
    charge: Charge,
}

impl Prefixed {
    pub(super) fn new(io: Box<dyn Io>, budget: &Budget) -> Self {
        Self { io, prefix: Vec::new(), charge: budget.charge() }
    }

    /// Returns what was looked at.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Looks at more bytes, up to `most` from the beginning, once the budget has room; tells whether any came.
    ///
    /// # Errors
    /// Those of the stream; [`OutOfMemory`](io::ErrorKind::OutOfMemory) where the budget is used up twice.
    pub(super) async fn read_more(&mut self, most: usize) -> io::Result<bool> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        let missing = most.saturating_sub(self.prefix.len());
        poll_fn(|cx| self.poll_read_more(cx, missing.min(LOOK))).await
    }

    /// Waits for room beyond the first look: thousands who are not served yet shall not hold so much that others who
    /// are have to go.
    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.prefix.len() > LOOK && self.charge.is_far_over() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::OutOfMemory, "memory is short")));
        }
        self.charge.poll_room_beyond(LOOK as u64, cx).map(Ok)
    }

    /// Reads once, at most so many bytes; who is silent holds no memory.
    fn poll_read_more(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<bool>> {
        let mut room = [0; LOOK];
        let mut bytes = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut bytes))?;
        self.prefix.extend_from_slice(bytes.filled());
        self.charge.set(self.prefix.capacity());
        Poll::Ready(Ok(!bytes.filled().is_empty()))
    }

    /// Takes bytes that were looked at off the stream.
    pub(super) fn take_prefix(&mut self, count: usize) {
        self.prefix.drain(..count.min(self.prefix.len()));
        if self.prefix.is_empty() {
            // a connection that is idle later on shall not pay for it
            self.prefix = Vec::new();
            self.charge.set(0);
        }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let count = self.prefix.len().min(into.remaining());
        into.put_slice(&self.prefix[..count]);
        self.take_prefix(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Bytes that a look at a stream takes at most.
const LOOK: usize = 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_test::{assert_pending, assert_ready_ok, task};

    use super::*;

    #[tokio::test]
    async fn what_is_looked_at_is_charged_until_it_is_read() {
        let budget = Budget::default();
        let (mut client, far) = tokio::io::duplex(1 << 14);
        let mut io = Prefixed::new(Box::new(far), &budget);
        assert_pending!(task::spawn(io.read_more(1 << 14)).poll());
        assert_eq!((budget.used(), io.prefix.capacity()), (0, 0), "who is silent holds nothing");
        client.write_all(&[7; 3 * LOOK]).await.expect("room in the pipe");
        for looks in 1..=3 {
            assert!(io.read_more(1 << 14).await.expect("bytes"));
            assert_eq!((io.prefix.len(), budget.used()), (looks * LOOK, io.prefix.capacity() as u64));
        }
        io.read_exact(&mut vec![0; 3 * LOOK]).await.expect("what was looked at");
        assert_eq!(budget.used(), 0);
        client.write_all(b"hello").await.expect("room in the pipe");
        assert!(io.read_more(1 << 14).await.expect("bytes"));
        drop(io);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn little_is_looked_at_while_memory_is_short() {
        const LIMIT: usize = 256 << 20;
        let budget = Budget::new(LIMIT as u64);
        let mut others = budget.charge();
        others.set(LIMIT + 1);
        let (mut client, far) = tokio::io::duplex(1 << 14);
        let mut io = Prefixed::new(Box::new(far), &budget);
        client.write_all(&[7; 4 * LOOK]).await.expect("room in the pipe");
        while io.prefix.capacity() <= LOOK {
            assert!(io.read_more(1 << 14).await.expect("bytes"));
        }
        let mut looks = task::spawn(io.read_more(1 << 14));
        assert_pending!(looks.poll());
        others.set(0);
        assert!(looks.is_woken());
        assert!(assert_ready_ok!(looks.poll()));
        drop(looks);
        others.set(2 * LIMIT + 2);
        let ended = io.read_more(1 << 14).await.expect_err("there is no memory");
        assert_eq!(ended.kind(), io::ErrorKind::OutOfMemory);
    }
}

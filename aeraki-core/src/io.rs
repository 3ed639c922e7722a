//! Reading into lent buffers and writing in one go, shared by both sides of the proxy.
//!
//! A connection without bytes in progress owns no buffer: [`Inbox`] borrows one of its worker's [`Buffers`] to try a
//! read and hands it back when nothing came. While a frame longer than [`Inbox::CHUNK`] is in progress it reads exactly
//! up to that frame's end, so a large allocation never holds the small frames that follow. Where frame after frame is
//! large, each is read at once into a buffer of its size, of 80 KiB at most; what then comes and is small moves out of
//! it.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use aeraki_codec::{Output, Wanted};
use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::sync::lock;

/// Any byte stream that a connection can run on.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Io for T {}

/// The read buffers of one worker; a handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Kept>>);

/// Buffers that nobody uses, though frames may still hold their memory.
#[derive(Debug, Default)]
struct Kept {
    ordinary: Vec<BytesMut>,
    large: Vec<BytesMut>,
}

impl Buffers {
    /// Makes an empty store, which fills as connections hand their buffers back.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lends a buffer with room for a useful read; parts of its memory may still be held by frames cut from it.
    fn lend(&self) -> BytesMut {
        let kept = lock(&self.0).ordinary.pop();
        kept.and_then(|mut buffer| (buffer.try_reclaim(Inbox::CHUNK) || buffer.capacity() >= USEFUL).then_some(buffer))
            .unwrap_or_else(|| BytesMut::with_capacity(Inbox::CHUNK))
    }

    /// Lends a buffer with this much room for a large frame. To allocate one each time would cost more than to read
    /// into it: memory of this size goes back to the system, and comes anew page by page.
    fn lend_large(&self, room: usize) -> BytesMut {
        let large = &mut lock(&self.0).large;
        let free = large.iter_mut().position(|buffer| buffer.try_reclaim(room));
        free.map_or_else(|| BytesMut::with_capacity(room), |place| large.swap_remove(place))
    }

    fn give_back(&self, mut buffer: BytesMut, size: Size) {
        buffer.clear();
        let mut kept = lock(&self.0);
        let (kept, most) = match size {
            Size::Ordinary => (&mut kept.ordinary, KEPT),
            Size::Large => (&mut kept.large, KEPT_LARGE),
            Size::Grown => return,
        };
        if kept.len() < most {
            kept.push(buffer);
        }
    }
}

/// How large a read buffer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Size {
    /// [`Inbox::CHUNK`].
    #[default]
    Ordinary,
    /// Up to [`LARGE`], for large frames.
    Large,
    /// Grown for one frame, and not to be kept beyond it.
    Grown,
}

/// The receiving end of one connection: bytes that were read and not yet cut into frames.
#[derive(Debug)]
pub struct Inbox {
    bytes: BytesMut,
    size: Size,
    /// The room that the next large frame will take if it is like the last one; 0: none was large of late.
    expected: usize,
    buffers: Buffers,
}

impl Inbox {
    /// Bytes of room in a buffer for ordinary frames.
    pub const CHUNK: usize = 16 * 1024;

    /// Makes an end that owns no memory yet.
    #[must_use]
    pub fn new(buffers: Buffers) -> Self {
        Self { bytes: BytesMut::new(), size: Size::Ordinary, expected: 0, buffers }
    }

    /// Returns what was read, for [`Framer::decode`](aeraki_codec::Framer::decode) to cut from.
    pub const fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Tells whether nothing waits to be cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes that what waits to be cut takes: all of a buffer that is larger than those that every
    /// connection may borrow.
    pub(crate) fn held(&self) -> usize {
        if self.size == Size::Ordinary || self.bytes.is_empty() { self.bytes.len() } else { self.bytes.capacity() }
    }

    /// Reads once and returns the number of bytes that came; 0 means that the peer has finished writing.
    ///
    /// `wanted` is the length that the input must reach before a frame can come out
    /// ([`Framer::wanted`](aeraki_codec::Framer::wanted)); where a large frame ends there, nothing behind it is read.
    /// Memory for it is only reserved as bytes arrive.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_fill<T>(&mut self, io: &mut T, cx: &mut Context<'_>, wanted: Wanted) -> Poll<io::Result<usize>>
    where
        T: AsyncRead + Unpin,
    {
        let most = self.make_room(wanted);
        let read = pin!(io.read_buf(&mut (&mut self.bytes).limit(most))).poll(cx);
        if read.is_ready() {
            if self.bytes.len() < Self::CHUNK && wanted.len() <= Self::CHUNK {
                self.expect_little();
            }
        } else if self.bytes.is_empty() {
            self.hand_back();
        }
        read
    }

    /// Makes room to read into and returns how much of it may be used.
    fn make_room(&mut self, wanted: Wanted) -> usize {
        if self.bytes.is_empty() && (self.size != Size::Ordinary || self.bytes.capacity() < USEFUL) {
            self.begin();
        }
        let len = self.bytes.len();
        let room = self.bytes.capacity() - len;
        let missing = wanted.len().saturating_sub(len).max(1);
        if wanted.len() <= Self::CHUNK {
            if room < missing.max(USEFUL) {
                self.bytes.reserve(Self::CHUNK.saturating_sub(len).max(USEFUL));
            }
            return usize::MAX;
        }
        let (missing, most) = match wanted {
            Wanted::Exactly(len) => {
                // with room to spare a read that took all there was tells so, and need not be tried again
                self.expected = (len + 1).next_multiple_of(Self::CHUNK).min(LARGE);
                (missing, missing)
            }
            // no more may be missing than a byte or two: each is not worth a read
            Wanted::AtLeast(_) => (missing.max(USEFUL), usize::MAX),
        };
        if room < missing.min(USEFUL) {
            self.grow(missing.min(len.max(STEP)));
        }
        most
    }

    /// Takes a buffer for what comes next.
    fn begin(&mut self) {
        let (next, size) = match self.expected {
            0 => (None, Size::Ordinary),
            room => (Some(room), Size::Large),
        };
        let before = std::mem::take(&mut self.bytes);
        // an ordinary one without room is let go, and so are its frames one day
        if self.size != Size::Ordinary {
            self.buffers.give_back(before, self.size);
        }
        self.bytes = next.map_or_else(|| self.buffers.lend(), |room| self.buffers.lend_large(room));
        self.size = size;
    }

    /// Takes frames for small from now on; what has come of the first one moves into a buffer of its size.
    fn expect_little(&mut self) {
        self.expected = 0;
        if self.size != Size::Ordinary {
            let mut ordinary = self.buffers.lend();
            ordinary.extend_from_slice(&self.bytes);
            let large = std::mem::replace(&mut self.bytes, ordinary);
            self.buffers.give_back(large, std::mem::take(&mut self.size));
        }
    }

    /// Makes room for so much more of a large frame.
    fn grow(&mut self, more: usize) {
        let whole = self.bytes.len() + more;
        if whole > LARGE {
            self.bytes.reserve(more);
            self.size = Size::Grown;
            return;
        }
        let mut larger = self.buffers.lend_large(whole.next_multiple_of(Self::CHUNK));
        larger.extend_from_slice(&self.bytes);
        self.buffers.give_back(std::mem::replace(&mut self.bytes, larger), self.size);
        self.size = Size::Large;
    }

    fn hand_back(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes), std::mem::take(&mut self.size));
    }
}

/// Writes all that waits in `output`, as few vectored writes as the stream takes.
///
/// # Errors
/// Those of the stream, and [`WriteZero`](io::ErrorKind::WriteZero) where it takes nothing more.
pub fn poll_drain<T>(io: &mut T, cx: &mut Context<'_>, output: &mut Output) -> Poll<io::Result<()>>
where
    T: AsyncWrite + Unpin,
{
    while !output.is_empty() {
        if ready!(poll_write(io, cx, output))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
    }
    if output.capacity() > STEP {
        output.release();
    }
    Pin::new(io).poll_flush(cx)
}

/// Writes once.
fn poll_write<T>(io: &mut T, cx: &mut Context<'_>, output: &mut Output) -> Poll<io::Result<usize>>
where
    T: AsyncWrite + Unpin,
{
    let chunk = output.chunk();
    if chunk.len() < output.remaining() {
        return pin!(io.write_buf(output)).poll(cx);
    }
    // one piece, as nearly always: a vectored write would make room for 64
    let written = ready!(Pin::new(io).poll_write(cx, chunk))?;
    output.advance(written);
    Poll::Ready(Ok(written))
}

/// Buffers that a worker keeps at most while nobody uses them.
const KEPT: usize = 64;
/// Room below which a read is not worth its system call.
const USEFUL: usize = 4 * 1024;
/// Memory that is reserved at a time on the word of a peer, in bytes.
const STEP: usize = 64 * 1024;
/// The largest buffers that are kept: 64 KiB of payload and what comes with it.
const LARGE: usize = STEP + Inbox::CHUNK;
/// So many of them a worker keeps at most while nobody uses them.
const KEPT_LARGE: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use bytes::Bytes;
    use tokio_test::{assert_pending, assert_ready_ok, io::Builder, task};

    use super::*;

    fn inbox() -> (Inbox, Buffers) {
        let buffers = Buffers::new();
        (Inbox::new(buffers.clone()), buffers)
    }

    #[tokio::test]
    async fn owns_no_buffer_while_nothing_comes() {
        let (mut inbox, buffers) = inbox();
        let (mut near, mut far) = tokio::io::duplex(64);
        assert_pending!(task::spawn(()).enter(|cx, _| inbox.poll_fill(&mut near, cx, Wanted::AtLeast(1))));
        assert_eq!((inbox.bytes.capacity(), lock(&buffers.0).ordinary.len()), (0, 1));

        far.write_all(b"abc").await.expect("room in the pipe");
        assert_eq!(
            assert_ready_ok!(task::spawn(()).enter(|cx, _| inbox.poll_fill(&mut near, cx, Wanted::AtLeast(1)))),
            3
        );
        assert_eq!((&inbox.bytes[..], lock(&buffers.0).ordinary.len()), (&b"abc"[..], 0));
    }

    #[tokio::test]
    async fn reads_a_large_frame_to_its_end_and_no_further() {
        const LARGE: usize = 200_000;
        let (mut inbox, _) = inbox();
        let mut io = Builder::new().read(&[1; Inbox::CHUNK]).read(&vec![1; LARGE]).build();
        let mut most = 0;
        while inbox.bytes.len() < LARGE {
            std::future::poll_fn(|cx| inbox.poll_fill(&mut io, cx, Wanted::Exactly(LARGE)))
                .await
                .expect("bytes are there");
            most = most.max(inbox.bytes.capacity());
        }
        assert_eq!(inbox.bytes.len(), LARGE);
        assert!(most <= 2 * LARGE + STEP, "{most} bytes for {LARGE}");

        drop(inbox.bytes.split());
        std::future::poll_fn(|cx| inbox.poll_fill(&mut io, cx, Wanted::AtLeast(1))).await.expect("bytes are there");
        assert!(inbox.bytes.capacity() <= super::LARGE, "{}", inbox.bytes.capacity());
        assert_eq!(inbox.bytes.len(), Inbox::CHUNK);
    }

    #[tokio::test]
    async fn reads_large_frames_at_once_after_the_first() {
        const FRAME: usize = 70_000;
        let (mut inbox, buffers) = inbox();
        let large = vec![1; FRAME];
        let mut io = Builder::new().read(&large).read(&large).read(&large).read(&[1; 1000]).read(&[1; 10]).build();
        let mut reads = Vec::new();
        for _ in 0..3 {
            let mut count = 0;
            while inbox.bytes.len() < FRAME {
                let wanted = if inbox.bytes.is_empty() { Wanted::AtLeast(1) } else { Wanted::Exactly(FRAME) };
                std::future::poll_fn(|cx| inbox.poll_fill(&mut io, cx, wanted)).await.expect("bytes are there");
                count += 1;
            }
            drop(inbox.bytes.split());
            reads.push(count);
        }
        assert_eq!(reads, [2, 1, 1]);
        // small ones do not hold the memory of large ones
        for len in [1000, 10] {
            std::future::poll_fn(|cx| inbox.poll_fill(&mut io, cx, Wanted::AtLeast(1))).await.expect("bytes are there");
            assert!(inbox.bytes.capacity() <= Inbox::CHUNK, "{}", inbox.bytes.capacity());
            assert_eq!(inbox.bytes.split(), [1; 1000][..len]);
        }
        assert_eq!(lock(&buffers.0).large.len(), 1);
    }

    #[tokio::test]
    async fn a_large_buffer_counts_as_a_whole() {
        let (mut inbox, _) = inbox();
        let mut io = Builder::new().read(&[1; Inbox::CHUNK]).read(&[1]).build();
        for held in [Inbox::CHUNK..=Inbox::CHUNK, 70_000..=LARGE] {
            std::future::poll_fn(|cx| inbox.poll_fill(&mut io, cx, Wanted::Exactly(70_000)))
                .await
                .expect("bytes are there");
            assert!(held.contains(&inbox.held()), "{} is not {held:?}", inbox.held());
        }
        inbox.bytes.clear();
        assert_eq!(inbox.held(), 0);
    }

    #[tokio::test]
    async fn reuses_the_memory_of_large_frames_once_they_are_gone() {
        const FRAME: usize = 40_000;
        let (mut inbox, buffers) = inbox();
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        let mut places = std::collections::BTreeSet::new();
        let mut last = None;
        for _ in 0..50 {
            far.write_all(&[1; FRAME]).await.expect("room in the pipe");
            while inbox.bytes.len() < FRAME {
                let wanted = if inbox.bytes.is_empty() { Wanted::AtLeast(1) } else { Wanted::Exactly(FRAME) };
                std::future::poll_fn(|cx| inbox.poll_fill(&mut near, cx, wanted)).await.expect("bytes are there");
            }
            let frame: Bytes = inbox.bytes.split().freeze();
            assert_eq!(frame, &[1; FRAME][..]);
            places.insert(frame.as_ptr() as usize);
            // one is under way while the next one comes
            last = Some(frame);
        }
        assert!(places.len() <= 4, "{places:?}");
        drop(last);
        assert_pending!(task::spawn(()).enter(|cx, _| inbox.poll_fill(&mut near, cx, Wanted::AtLeast(1))));
        assert_eq!(inbox.bytes.capacity(), 0, "an idle connection owns no buffer");
        assert!(lock(&buffers.0).large.len() <= 3);
    }

    #[tokio::test]
    async fn reads_no_single_bytes_of_a_large_frame_whose_end_is_not_known() {
        const LARGE: usize = 200_000;
        let (mut inbox, _) = inbox();
        let mut io = Builder::new().read(&vec![1; LARGE]).build();
        let mut reads = 0;
        while inbox.bytes.len() < LARGE {
            let wanted = Wanted::AtLeast(inbox.bytes.len() + 1);
            std::future::poll_fn(|cx| inbox.poll_fill(&mut io, cx, wanted)).await.expect("bytes are there");
            reads += 1;
        }
        assert!(reads < 20, "{reads} reads");
        assert!(inbox.bytes.capacity() <= 2 * LARGE + STEP, "{}", inbox.bytes.capacity());
    }

    #[tokio::test]
    async fn reuses_memory_that_no_frame_holds() {
        let (mut inbox, _) = inbox();
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..100 {
            far.write_all(&[0; 1000]).await.expect("room in the pipe");
            std::future::poll_fn(|cx| inbox.poll_fill(&mut near, cx, Wanted::AtLeast(1)))
                .await
                .expect("bytes are there");
            let frame: Bytes = inbox.bytes.split().freeze();
            places.insert(frame.as_ptr() as usize / Inbox::CHUNK);
        }
        // two buffers, neither aligned to the places; without reuse there would be at least six
        assert!(places.len() <= 4, "{places:?}");
    }

    #[tokio::test]
    async fn writes_copied_and_shared_pieces_at_once() {
        /// Counts writes and takes everything.
        #[derive(Default)]
        struct Sink(Vec<u8>, usize);

        impl AsyncWrite for Sink {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
            }
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.1 += 1;
                let before = self.0.len();
                pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
                Poll::Ready(Ok(self.0.len() - before))
            }
            fn is_write_vectored(&self) -> bool {
                true
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }

        let (mut sink, mut output) = (Sink::default(), Output::new());
        output.put(b"head");
        output.put_bytes(&Bytes::from(vec![7; 100_000]));
        output.put(b"tail");
        assert_ready_ok!(task::spawn(()).enter(|cx, _| poll_drain(&mut sink, cx, &mut output)));
        assert_eq!((sink.0.len(), sink.1), (100_008, 1));
        assert!(output.is_empty());
    }
}

//! Bytes on their way to a socket, for vectored writes.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

/// Collects what codecs write: small pieces are copied into one buffer, large ones are shared and never copied.
///
/// Read it as a [`Buf`]: `chunks_vectored` gives the slices of one `writev`, `advance` drops what was written.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were already written.
    read: usize,
    /// Shared pieces, each with the length that `buffer` had when it was added.
    shared: VecDeque<(usize, Bytes)>,
    shared_len: usize,
}

/// A place in an [`Output`], to return to when an encoder fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    buffer: usize,
    shared: usize,
}

impl Output {
    /// Pieces up to this length are copied, longer ones shared: below it a copy costs less than a second `iovec`.
    pub const COPIED: usize = 4096;

    /// Makes an empty output, which owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), read: 0, shared: VecDeque::new(), shared_len: 0 }
    }

    /// Copies bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds bytes: copied up to [`COPIED`](Self::COPIED), shared beyond.
    pub fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= Self::COPIED {
            self.put(bytes);
        } else {
            self.share(bytes.clone());
        }
    }

    /// Adds a whole frame and returns its first `head` bytes for patching.
    ///
    /// A frame up to [`COPIED`](Self::COPIED) bytes is copied; of a longer one only the head is, and the rest shared.
    /// The returned slice has at least `head` bytes, or as many as the frame has.
    pub fn forward(&mut self, frame: &Bytes, head: usize) -> &mut [u8] {
        let start = self.buffer.len();
        let copied = if frame.len() <= Self::COPIED { frame.len() } else { head.min(frame.len()) };
        let (first, rest) = frame.split_at_checked(copied).unwrap_or((frame, &[]));
        self.buffer.extend_from_slice(first);
        if !rest.is_empty() {
            self.share(frame.slice(copied..));
        }
        self.buffer.get_mut(start..).unwrap_or_default()
    }

    /// Returns the present place.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { buffer: self.buffer.len(), shared: self.shared.len() }
    }

    /// Returns the bytes that were copied since `mark`, for patching; shared pieces are not among them.
    pub fn copied_since(&mut self, mark: Mark) -> &mut [u8] {
        self.buffer.get_mut(mark.buffer..).unwrap_or_default()
    }

    /// Returns the number of bytes, copied and shared, that were added since `mark`.
    #[must_use]
    pub fn len_since(&self, mark: Mark) -> usize {
        let shared: usize = self.shared.iter().skip(mark.shared).map(|(_, bytes)| bytes.len()).sum();
        self.buffer.len().saturating_sub(mark.buffer).saturating_add(shared)
    }

    /// Drops what was added since `mark`, which must not have been written yet.
    pub fn rollback(&mut self, mark: Mark) {
        self.buffer.truncate(mark.buffer);
        for (_, bytes) in self.shared.drain(mark.shared.min(self.shared.len())..) {
            self.shared_len = self.shared_len.saturating_sub(bytes.len());
        }
    }

    /// Returns the number of bytes that wait to be written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.read).saturating_add(self.shared_len)
    }

    /// Tells whether nothing waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives memory back where nothing waits to be written.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }

    /// Returns the number of bytes of memory that are held, whether used or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity().saturating_add(self.shared_len)
    }

    fn share(&mut self, bytes: Bytes) {
        self.shared_len = self.shared_len.saturating_add(bytes.len());
        self.shared.push_back((self.buffer.len(), bytes));
    }

    /// Lists the pieces in wire order.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.shared.iter().map(|(end, bytes)| (*end, &bytes[..])).chain([(self.buffer.len(), &[][..])]);
        let mut from = self.read;
        ends.flat_map(move |(end, shared)| {
            let copied = self.buffer.get(from..end).unwrap_or_default();
            from = end.max(from);
            [copied, shared]
        })
        .filter(|piece| !piece.is_empty())
    }

    /// Drops the first piece, or a part of it, and returns what of `count` is left to drop.
    fn drop_front(&mut self, count: usize) -> usize {
        let end = self.shared.front().map_or(self.buffer.len(), |(end, _)| *end);
        let copied = end.saturating_sub(self.read);
        if copied > 0 {
            let dropped = copied.min(count);
            self.read = self.read.saturating_add(dropped);
            return count.saturating_sub(dropped);
        }
        let Some((_, bytes)) = self.shared.front_mut() else { return 0 };
        let dropped = bytes.len().min(count);
        bytes.advance(dropped);
        self.shared_len = self.shared_len.saturating_sub(dropped);
        if bytes.is_empty() {
            self.shared.pop_front();
        }
        count.saturating_sub(dropped)
    }

    /// Drops everything and keeps the buffer.
    fn clear(&mut self) {
        self.buffer.clear();
        self.shared.clear();
        (self.read, self.shared_len) = (0, 0);
    }

    /// Moves unwritten bytes to the front once the written ones are the larger part.
    fn compact(&mut self) {
        if self.read > Self::COPIED && self.read > self.buffer.len() / 2 {
            self.buffer.drain(..self.read);
            for (end, _) in &mut self.shared {
                *end = end.saturating_sub(self.read);
            }
            self.read = 0;
        }
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        dst.iter_mut().zip(self.pieces()).map(|(slot, piece)| *slot = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, count: usize) {
        if count >= self.len() {
            self.clear();
            return;
        }
        let mut left = count;
        while left > 0 {
            left = self.drop_front(left);
        }
        self.compact();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(mut output: Output, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while output.has_remaining() {
            let piece = output.chunk();
            let taken = piece.len().min(step);
            all.extend_from_slice(&piece[..taken]);
            output.advance(taken);
        }
        all
    }

    fn mixed() -> (Output, Vec<u8>) {
        let large = Bytes::from(vec![7; Output::COPIED + 1]);
        let mut output = Output::new();
        output.put(b"head");
        output.put_bytes(&large);
        output.put(b"mid");
        output.put_bytes(&large);
        output.put_bytes(&large);
        output.put(b"end");
        let mut expected = b"head".to_vec();
        expected.extend_from_slice(&large);
        expected.extend_from_slice(b"mid");
        expected.extend_from_slice(&large);
        expected.extend_from_slice(&large);
        expected.extend_from_slice(b"end");
        (output, expected)
    }

    #[test]
    fn keeps_the_order_of_copied_and_shared() {
        for step in [1, 3, 4095, 100_000] {
            let (output, expected) = mixed();
            assert_eq!(output.len(), expected.len());
            assert_eq!(drained(output, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn vectored_slices_are_the_whole() {
        let (output, expected) = mixed();
        let mut slices = [IoSlice::new(&[]); 8];
        let count = output.chunks_vectored(&mut slices);
        assert_eq!(slices[..count].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn shares_large_pieces() {
        let large = Bytes::from(vec![1; Output::COPIED + 1]);
        let mut output = Output::new();
        output.forward(&large, 16)[0] = 9;
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(output.chunks_vectored(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), large[16..].as_ptr());
        assert_eq!((slices[0][0], large[0]), (9, 1));
    }

    #[test]
    fn rollback_leaves_nothing() {
        let (mut output, _) = mixed();
        let before = output.len();
        let mark = output.mark();
        output.put(b"x");
        output.put_bytes(&Bytes::from(vec![2; Output::COPIED + 1]));
        assert_eq!(output.len_since(mark), Output::COPIED + 2);
        output.rollback(mark);
        assert_eq!((output.len(), output.len_since(mark)), (before, 0));
    }

    #[test]
    fn memory_is_reused_while_writing_in_parts() {
        let mut output = Output::new();
        for _ in 0..10_000 {
            output.put(&[5; 100]);
            output.advance(99);
        }
        assert!(output.capacity() < 64 * 1024 + 10_000 * 4, "{}", output.capacity());
    }
}

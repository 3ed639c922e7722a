//! What one downstream connection may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    duration,
    error::{Checked, ensure},
};

/// What one downstream connection may take: beyond a number the proxy stops reading from it, beyond a time it closes
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ListenerLimits {
    /// Requests in flight; default 128, not zero. Open streams are not among them.
    pub max_requests_in_flight: u32,
    /// Open streams; default 256, zero: none. Beyond it openings are refused.
    pub max_streams: u32,
    /// Bytes of one stream that wait in either direction, and of all together that are not open yet; default 256 KiB,
    /// not zero. Beyond it the other side is not read.
    /// A protocol with windows gets by without that if it is larger than they are, frame headers included. A frame
    /// counts for 64 bytes at least once there are very many.
    pub max_stream_bytes: u64,
    /// Bytes buffered either way; default 1 MiB, not zero. A single larger frame is still taken up to the codec's
    /// limit. A client that leaves more unread is closed when it takes nothing for 60 s, or when memory is short.
    pub max_buffered_bytes: u64,
    /// Bytes of one frame; none: the codec's own limit. Not zero.
    pub max_frame_bytes: Option<u64>,
    /// How long a frame may take while no request is in flight, and a second more for every 64 KiB of it that have
    /// come; default 60 s, none: for ever. Not zero.
    #[serde(with = "duration::optional")]
    pub unfinished_frame_timeout: Option<Duration>,
}

impl ListenerLimits {
    /// Sets the number of requests in flight.
    #[must_use]
    pub fn with_max_requests_in_flight(mut self, requests: u32) -> Self {
        self.max_requests_in_flight = requests;
        self
    }

    /// Sets the number of open streams.
    #[must_use]
    pub fn with_max_streams(mut self, streams: u32) -> Self {
        self.max_streams = streams;
        self
    }

    /// Sets the number of bytes of one stream that wait in either direction.
    #[must_use]
    pub fn with_max_stream_bytes(mut self, bytes: u64) -> Self {
        self.max_stream_bytes = bytes;
        self
    }

    /// Sets the number of bytes buffered either way.
    #[must_use]
    pub fn with_max_buffered_bytes(mut self, bytes: u64) -> Self {
        self.max_buffered_bytes = bytes;
        self
    }

    /// Sets the number of bytes of one frame.
    #[must_use]
    pub fn with_max_frame_bytes(mut self, bytes: u64) -> Self {
        self.max_frame_bytes = Some(bytes);
        self
    }

    /// Sets how long a frame may take while no request is in flight; none: for ever.
    #[must_use]
    pub fn with_unfinished_frame_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.unfinished_frame_timeout = timeout;
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(self.max_requests_in_flight > 0, "maxRequestsInFlight", "must not be zero")?;
        ensure(self.max_stream_bytes > 0, "maxStreamBytes", "must not be zero")?;
        ensure(self.max_buffered_bytes > 0, "maxBufferedBytes", "must not be zero")?;
        ensure(self.max_frame_bytes != Some(0), "maxFrameBytes", "must not be zero")?;
        duration::check_optional(self.unfinished_frame_timeout, "unfinishedFrameTimeout")
    }
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            max_requests_in_flight: 128,
            max_streams: 256,
            max_stream_bytes: 256 << 10,
            max_buffered_bytes: 1 << 20,
            max_frame_bytes: None,
            unfinished_frame_timeout: Some(Duration::from_secs(60)),
        }
    }
}

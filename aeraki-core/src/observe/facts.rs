//! What is known of one request.

use std::sync::{Arc, Mutex, PoisonError};

use aeraki_codec::{Kind, Reason, Status};
use aeraki_route::config::SocketAddress;
use tokio::time::Instant;

use crate::stack::PeerMetadata;

/// Gathers what is known of one request while it passes the stack; a handle, cheap to clone.
///
/// Made when the frame is cut, filled by the layers, and closed by the connection when the last byte of the answer is
/// written or the request is dropped.
#[derive(Clone, Debug)]
pub struct Facts(Arc<Mutex<Record>>);

/// The facts themselves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// When the frame of the request was cut.
    pub started: Instant,
    /// What kind of request it is.
    pub kind: Kind,
    /// Length of the request's frame in bytes.
    pub request_bytes: u64,
    /// Length of the answer in bytes; 0 until its last byte is written.
    pub response_bytes: u64,
    /// Name of the route that was chosen.
    pub route: Option<Arc<str>>,
    /// Name of the cluster that was chosen.
    pub cluster: Option<Arc<str>>,
    /// Address of the endpoint that was chosen last.
    pub endpoint: Option<SocketAddress>,
    /// Why the proxy answered itself.
    pub reason: Option<Reason>,
    /// What the other proxy says of its node, where [metadata is exchanged](crate::stack::ExchangeMetadata).
    pub peer: Option<Arc<PeerMetadata>>,
    /// Kind and status of the upstream's answer.
    pub answer: Option<(Kind, Status)>,
    /// Whether the present try takes too long, so that nobody waits for its answer any more.
    pub overdue: bool,
    /// What was carried of the stream that the request has opened; none where it has not.
    pub stream: Option<Box<Traffic>>,
}

/// What was carried of a stream, without its opening and the answer to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Frames that came from the client.
    pub frames_received: u64,
    /// Bytes of those frames.
    pub bytes_received: u64,
    /// Frames that went to the client.
    pub frames_sent: u64,
    /// Bytes of those frames.
    pub bytes_sent: u64,
}

impl Record {
    const fn new(started: Instant, kind: Kind, request_bytes: u64) -> Self {
        Self {
            started,
            kind,
            request_bytes,
            response_bytes: 0,
            route: None,
            cluster: None,
            endpoint: None,
            reason: None,
            peer: None,
            answer: None,
            stream: None,
            overdue: false,
        }
    }
}

impl Facts {
    /// Begins the record of a request.
    #[must_use]
    pub fn new(started: Instant, kind: Kind, request_bytes: u64) -> Self {
        Self::of(Record::new(started, kind, request_bytes))
    }

    /// Goes on with a copy of a record, apart from the original.
    pub(crate) fn of(record: Record) -> Self {
        Self(Arc::new(Mutex::new(record)))
    }

    /// Begins the record of another request, in the same memory unless somebody still looks at it.
    pub(crate) fn renew(mut self, started: Instant, kind: Kind, request_bytes: u64) -> Self {
        let record = Record::new(started, kind, request_bytes);
        match Arc::get_mut(&mut self.0) {
            Some(unused) => {
                *unused = Mutex::new(record);
                self
            }
            None => Self::of(record),
        }
    }

    /// Adds to the record.
    pub fn note<T>(&self, add: impl FnOnce(&mut Record) -> T) -> T {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the record as it is now.
    #[must_use]
    pub fn record(&self) -> Record {
        self.note(|record| record.clone())
    }
}

use std::future::pending;
use std::sync::Arc;

use futures_util::stream;
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::{Event, Responses, Shared};
use crate::ads::{AdsStream, Heard};
use crate::proto::envoy::config::core::v3::Node;
use crate::proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use crate::{Snapshot, Source};

/// One stream: what the transport pulls from, so a slow subscriber delays itself alone.
pub(super) struct Session<S: Source> {
    shared: Arc<Shared<S>>,
    requests: Streaming<DiscoveryRequest>,
    ads: AdsStream,
    subscriber: Option<Subscriber>,
    closing: watch::Receiver<bool>,
}

/// Known from the first request on.
struct Subscriber {
    node: Node,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl<S: Source> Session<S> {
    pub(super) fn open(shared: Arc<Shared<S>>, requests: Streaming<DiscoveryRequest>, ads: AdsStream) -> Responses {
        let closing = shared.closing.subscribe();
        let session = Self { shared, requests, ads, subscriber: None, closing };
        Box::pin(stream::unfold(session, async |mut session| {
            let response = session.next().await?;
            Some((response, session))
        }))
    }

    async fn next(&mut self) -> Option<Result<DiscoveryResponse, Status>> {
        loop {
            if let Some(response) = self.ads.next_response() {
                return Some(Ok(response));
            }
            tokio::select! {
                request = self.requests.message() => match request {
                    Ok(Some(request)) => {
                        if let Err(status) = self.on_request(request) {
                            return Some(Err(status));
                        }
                    }
                    Ok(None) | Err(_) => return None,
                },
                snapshot = next_snapshot(self.subscriber.as_mut()) => self.ads.on_snapshot(snapshot),
                () = closed(&mut self.closing) => return None,
            }
            self.report_absent();
        }
    }

    fn on_request(&mut self, mut request: DiscoveryRequest) -> Result<(), Status> {
        let node = request.node.take();
        if self.subscriber.is_none() {
            self.connect(node.unwrap_or_default());
        }
        let heard = self.ads.on_request(request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.report(&heard);
        Ok(())
    }

    fn connect(&mut self, node: Node) {
        let mut snapshots = self.shared.source.watch(&node);
        if let Some(snapshot) = snapshots.borrow_and_update().clone() {
            self.ads.on_snapshot(snapshot);
        }
        (self.shared.observer)(&Event::Connected { node: &node });
        self.subscriber = Some(Subscriber { node, snapshots });
    }

    fn report_absent(&mut self) {
        let Some(Subscriber { node, .. }) = &self.subscriber else { return };
        for (type_url, names) in &self.ads.newly_absent() {
            (self.shared.observer)(&Event::Absent { node, type_url, names });
        }
    }

    fn report(&self, heard: &Heard) {
        let Some(Subscriber { node, .. }) = &self.subscriber else { return };
        match heard {
            Heard::Acked { type_url, version } => (self.shared.observer)(&Event::Acked { node, type_url, version }),
            Heard::Nacked { type_url, version, reason } => {
                (self.shared.observer)(&Event::Nacked { node, type_url, version, reason });
            }
            Heard::Subscribed | Heard::Stale => {}
        }
    }
}

impl<S: Source> Drop for Session<S> {
    fn drop(&mut self) {
        if let Some(Subscriber { node, .. }) = &self.subscriber {
            (self.shared.observer)(&Event::Disconnected { node });
        }
    }
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which closes its streams too.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Waits for the next snapshot; for ever when nobody is there to make one.
async fn next_snapshot(subscriber: Option<&mut Subscriber>) -> Arc<Snapshot> {
    if let Some(Subscriber { snapshots, .. }) = subscriber {
        while snapshots.changed().await.is_ok() {
            if let Some(snapshot) = snapshots.borrow_and_update().clone() {
                return snapshot;
            }
        }
    }
    pending().await
}

//! What a connection keeps.

use tower::service_fn;

use super::*;
use crate::stack::BoxError;

/// Takes a moment for each request.
async fn serve(request: Request) -> Result<Response, BoxError> {
    sleep(Duration::from_millis(10)).await;
    Ok(answer(&request, "R a"))
}

#[test]
fn an_idle_connection_gives_back_what_a_burst_took() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let rules = Arc::new(SharedRules::new(Rules::empty().with_demand(&Demand::of(["method"]))));
    let stack = RespondLayer::new().layer(ObserveLayer::new().layer(service_fn(serve)));
    let rpc = Rpc::new("test", Lines::new(Replies::AnyOrder), rules, Metrics::new("lines", "test"), stack);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let served = rpc.serve(Box::new(server), Accepted::new(address, address), Drain::new());
    let _served = runtime.spawn(served);
    let mut exchange = |requests: usize, pause: Duration| {
        runtime.block_on(async {
            client.write_all("Q 1 a\n".repeat(requests).as_bytes()).await.expect("open");
            client.read_exact(&mut vec![0; "R 1 a\n".len() * requests]).await.expect("answers");
            sleep(pause).await;
        });
    };
    exchange(1, Duration::from_secs(5));
    let kept = |counted: allocation_counter::AllocationInfo| counted.count_current;
    let busy = kept(allocation_counter::measure(|| exchange(32, Duration::from_millis(100))));
    assert!(busy > 64, "{busy}: a future and a waker for each are kept for the next ones");
    let idle = kept(allocation_counter::measure(|| exchange(32, Duration::from_secs(5))));
    assert!(busy + idle < 16, "{busy} and {idle}: nothing of that is left");
}

//! Asks Envoy's rate limit service: `ratelimit-client --addr ADDR --domain DOMAIN DESCRIPTOR...`.
//!
//! A descriptor is a list of keys and values, `KEY=VALUE,KEY=VALUE`. The answer is one line, `OK` or `OVER_LIMIT`. To
//! ask is to count, as for a request that goes through a proxy:
//!
//! ```text
//! $ ratelimit-client --addr 127.0.0.1:8081 --domain shop method=pay,user=ann user=ann
//! OK
//! ```
//!
//! A question that has no answer is one line and exit code 1.

#![expect(clippy::print_stdout, reason = "the answer goes to standard output")]

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use aeraki_core::stack::{BoxError, RateLimitAnswer, RateLimitAsk, RateLimiter};
use aeraki_route::config::Cluster;
use aeraki_xds::ratelimit::Client;
use clap::Parser;

/// Asks a rate limit service whether a request is over its limits, and counts it.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address of the service.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
    /// The domain in the service's configuration.
    #[arg(long)]
    domain: String,
    /// How much the request counts; 1 unless said.
    #[arg(long, value_name = "N")]
    hits: Option<u32>,
    /// How long the answer may take, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    timeout_ms: u64,
    /// What the request is: KEY=VALUE,KEY=VALUE,... for each descriptor.
    #[arg(required = true, value_name = "DESCRIPTOR", value_parser = descriptor)]
    descriptors: Vec<Descriptor>,
}

/// Keys and values.
type Descriptor = Vec<(String, String)>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match ask(args).await {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

async fn ask(args: Args) -> Result<&'static str, BoxError> {
    let client = Client::new(&Cluster::new(args.addr.to_string()).with_endpoint(args.addr))?;
    let ask = RateLimitAsk::new(args.domain, args.descriptors, Duration::from_millis(args.timeout_ms));
    match client.ask(ask.with_hits_addend(args.hits)).await? {
        RateLimitAnswer::Ok => Ok("OK"),
        RateLimitAnswer::OverLimit => Ok("OVER_LIMIT"),
        other => Err(format!("an answer that is not known: {other:?}").into()),
    }
}

fn descriptor(text: &str) -> Result<Descriptor, String> {
    let entry = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{pair:?} is not KEY=VALUE")),
    };
    text.split(',').map(entry).collect()
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("ratelimit-client: {reason}");
    ExitCode::FAILURE
}

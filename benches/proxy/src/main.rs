//! The parts of the whole-proxy yardstick; `cargo xtask bench` starts, pins and interleaves them.
//!
//! One thread each: `serve` answers with a canned reply, `relay` marks the floor, `load` drives a target and prints
//! what its process paid per answered request, `crowd` connects clients that ask for nothing and prints what they cost
//! in memory.

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod client;
mod cost;
mod crowd;
mod load;
mod protocol;
mod relay;
mod serve;

use self::{crowd::Crowd, load::Load, protocol::Protocol, relay::Mode};

#[derive(Debug, Parser)]
#[command(about, version)]
struct Cli {
    /// What travels.
    #[arg(long, global = true, default_value = "dubbo")]
    protocol: Protocol,
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Answers every request with a reply of `size` bytes.
    Serve {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long, default_value_t = 128)]
        size: usize,
    },
    /// Passes connections on, one upstream connection for each.
    Relay {
        #[arg(long, default_value = "copy")]
        mode: Mode,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        to: SocketAddr,
    },
    /// Sends requests in a closed loop and prints one line of JSON.
    Load(Load),
    /// Connects clients that are quiet after one request and prints one line of JSON.
    Crowd(Crowd),
}

fn main() -> Result<()> {
    let Cli { protocol, part } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async move {
        match part {
            Part::Serve { listen, size } => serve::run(protocol, listen, size).await,
            Part::Relay { mode, listen, to } => relay::run(protocol, mode, listen, to).await,
            Part::Load(load) => load::run(protocol, load).await.map(print),
            Part::Crowd(crowd) => crowd::run(protocol, crowd).await.map(print),
        }
    })
}

#[expect(clippy::print_stdout, reason = "the line is what the part is run for")]
fn print(figures: serde_json::Value) {
    println!("{figures}");
}

//! A provider that ends under load as Dubbo ends: with a read-only event, while it takes no more connections. Its calls
//! go to another one, and none of them fails, though none is tried again.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Java, STOP_LIMIT, survival::Calls};
use crate::interop::report::Answer;
use crate::peers::{
    admin,
    install::peers_dir,
    process::{Process, free_port},
    proxy::{Config, Routes, Software},
};

/// Ends one of two providers under the calls of a consumer that come by our proxy.
pub(super) fn run(java: &Java) -> Result<Vec<Answer>> {
    let executed = peers_dir().join("run/leaving");
    let (leaves, leaving_port) = java.serve_counting(0, Some(&executed))?;
    let (_stays, staying_port) = java.serve_counting(0, Some(&executed))?;
    let servers = [leaving_port, staying_port];
    let port = free_port()?;
    let config = Config {
        software: Software::Ours,
        routes: Routes::Dubbo(&["peers.Counted"]),
        listeners: &[(port, &servers)],
        concurrent: false,
        rate_limit: None,
        fails_on_request: false,
    };
    let mut admin = None;
    let command = Command::new(Software::Ours.binary("dev")?);
    let _proxy = config.start_changed("leaving-proxy", command, |bootstrap| admin = admin::port(bootstrap))?;
    let mut consumer = Process::start("dubbo-java-caller", java.command("peers.Survivor").arg(port.to_string()))?;
    let mut calls = Calls::default();
    calls.hear(&consumer, CALLS)?;
    leaves.stop(STOP_LIMIT)?;
    calls.hear(&consumer, CALLS)?;
    consumer.tell("end")?;
    calls.hear_all(&consumer)?;
    consumer.succeeded()?;
    let stats = admin::ask(admin.context("no admin interface")?, "GET", "/stats")?;
    let closed = format!("cluster.cluster-{leaving_port}-{staying_port}.upstream_cx_drain_close");
    let answer = |name: &str, promised: u64, seen: Option<u64>| Answer {
        name: name.to_owned(),
        promised: promised.to_string(),
        seen: seen.map_or_else(|| "nothing".to_owned(), |seen| seen.to_string()),
    };
    Ok(vec![
        answer("calls that failed", 0, calls.failed().try_into().ok()),
        answer("connections that ended with a goodbye", 1, admin::count(&stats, &closed)),
    ])
}

/// Calls before the end and behind it.
const CALLS: usize = 300;

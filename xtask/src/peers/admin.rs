//! The admin interface of a proxy, which is the same for Envoy and for ours.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

/// Returns the port of the admin interface that a bootstrap asks for.
pub(crate) fn port(bootstrap: &Value) -> Option<u16> {
    bootstrap["admin"]["address"]["socket_address"]["port_value"].as_u64()?.try_into().ok()
}

/// Asks with `method`, which is POST for what changes something, and returns the whole answer.
pub(crate) fn ask(port: u16, method: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Finds a counter or gauge in the answer to `/stats`.
pub(crate) fn count(stats: &str, name: &str) -> Option<u64> {
    value(stats.lines().find(|line| line.split(':').next() == Some(name))?)
}

/// Reads the number of one line of `/stats`.
pub(crate) fn value(line: &str) -> Option<u64> {
    line.split_once(": ")?.1.trim_end().parse().ok()
}

const LIMIT: Duration = Duration::from_secs(10);

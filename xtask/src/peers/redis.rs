//! A Redis server that keeps nothing on disk.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};

use super::{
    install,
    process::{Process, free_port},
};

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    _server: Process,
}

impl Redis {
    pub(crate) fn start() -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(install::python("redis")?.join("bin/redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        let mut server = Process::start("redis", &mut command)?;
        server.wait_listening(port, LIMIT)?;
        Ok(Self { port, _server: server })
    }

    /// Removes every key.
    pub(crate) fn forget(&self) -> Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"FLUSHALL\r\n")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        ensure!(answer == "+OK\r\n", "Redis does not forget: {answer:?}");
        Ok(())
    }
}

const LIMIT: Duration = Duration::from_secs(20);

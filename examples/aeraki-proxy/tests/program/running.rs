//! A proxy that runs.

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
};

use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::{Duration, timeout},
};

use crate::{command, file};

/// A running program, ended when the test is.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    file: NamedTempFile,
}

impl Running {
    /// Starts on a bootstrap with one listener and an admin interface.
    pub(crate) async fn start(bootstrap: &str, arguments: &[&str]) -> Self {
        let file = file(bootstrap);
        let mut command = Command::from(command(arguments));
        let mut child = command
            .arg("-c")
            .arg(file.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listener = address(&wait_for(&mut lines, "listening ").await);
        let admin = address(&wait_for(&mut lines, "admin interface").await);
        Self { child, lines, listener, admin, file }
    }

    /// Returns the path of its bootstrap.
    pub(crate) fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    pub(crate) async fn wait_for(&mut self, part: &str) -> String {
        wait_for(&mut self.lines, part).await
    }

    /// Asks until the statistics have this line.
    pub(crate) async fn wait_for_stat(&self, line: &str) {
        let told = async { while !self.get("/stats").await.1.lines().any(|told| told == line) {} };
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{line:?} does not come"));
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Writes another bootstrap and sends SIGHUP.
    pub(crate) async fn reload(&self, bootstrap: &str) {
        std::fs::write(self.file.path(), bootstrap).expect("written");
        self.signal("-HUP").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.expect("kill runs").success());
    }

    pub(crate) async fn ended(mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("its status")
    }

    /// Gets a page of the admin interface: status and text.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("text");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }
}

async fn wait_for(lines: &mut Lines<BufReader<ChildStderr>>, part: &str) -> String {
    let mut said = Vec::new();
    let found = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains(part) {
                return Some(line);
            }
            said.push(line);
        }
        None
    };
    let found = timeout(PATIENCE, found).await.ok().flatten();
    found.unwrap_or_else(|| panic!("no line with {part:?} in {said:#?}"))
}

fn address(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("address=").expect("an address");
    rest.split(' ').next().unwrap_or_default().parse().expect("an address")
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

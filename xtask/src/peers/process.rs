//! Child processes that never outlive the recipe, and waiting for them with a bound.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::install::peers_dir;

/// A started program: killed and reaped on drop, its standard error kept in `.peers/log/NAME.log`.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// A port on which a server of ours listens.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) number: u16,
}

impl Process {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts `command`, with lines of its standard output to be read by [`Process::line`].
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let log = peers_dir().join("log").join(format!("{name}.log"));
        fs::create_dir_all(log.parent().context("log has a folder")?)?;
        let errors = File::create(&log)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        let output = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { name: name.to_owned(), input: child.stdin.take(), child, lines })
    }

    /// Returns the next line of output, `None` at its end; an error at `deadline`.
    pub(crate) fn line(&self, deadline: Instant) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} said nothing in time{}", self.name, self.log_tail())
            }
        }
    }

    /// Reads the lines `port NAME NUMBER` that a server prints before its line `ready`.
    pub(crate) fn ports(&self, limit: Duration) -> Result<Vec<Port>> {
        let deadline = Instant::now() + limit;
        let mut ports = Vec::new();
        while let Some(line) = self.line(deadline)? {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["ready"] => return Ok(ports),
                ["port", name, number] => ports.push(Port { name: name.to_owned(), number: number.parse()? }),
                _ => {}
            }
        }
        bail!("{} ended before it was ready{}", self.name, self.log_tail())
    }

    /// Waits until something listens on `port`.
    pub(crate) fn wait_listening(&mut self, port: u16, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status} before it listened{}", self.name, self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {port}{}", self.name, self.log_tail());
            }
            pause(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Tells how the program ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Writes a line to the program's standard input.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("standard input is open")?;
        writeln!(input, "{line}").with_context(|| format!("{} does not read its input", self.name))
    }

    /// Asks the program to end (by closing its standard input) and waits for it.
    pub(crate) fn stop(mut self, limit: Duration) -> Result<()> {
        self.input = None;
        self.end_of_output(limit)
    }

    /// Asks the program to end by SIGTERM and waits for it.
    pub(crate) fn terminate(self, limit: Duration) -> Result<()> {
        self.signal("TERM")?;
        self.end_of_output(limit)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "{} is not there to get SIG{name}", self.name);
        Ok(())
    }

    /// Reaps a program whose output has ended; an error unless it ended with success.
    pub(crate) fn succeeded(mut self) -> Result<()> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{} ended with {status}{}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Waits until the program has closed its output, as one does that ends.
    pub(crate) fn end_of_output(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.line(deadline)?.is_some() {}
        Ok(())
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(peers_dir().join("log").join(format!("{}.log", self.name))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
        let tail = &lines[lines.len().saturating_sub(5)..];
        if tail.is_empty() { String::new() } else { format!("; last words:\n{}", tail.join("\n")) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // both fail only where the child has ended and been reaped already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Picks a port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits for other programs, of which nothing can be known but by polling.
#[expect(clippy::disallowed_methods, reason = "another program's port can only be polled")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

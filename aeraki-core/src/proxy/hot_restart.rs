//! Hot restart: a new process takes the listening sockets of the one before, so that no connection is refused.
//!
//! The old process waits at a Unix socket. The new one asks there for the sockets, prepares itself, begins to serve,
//! and says so; from then on the old one takes no more connections and finishes those that it has. Until then nothing
//! has changed for the old one, so that a new one that fails to start does no harm.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileTypeExt,
        unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    },
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use aeraki_route::config::SocketAddress;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg, sockopt::socket_peercred,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::sockets::Sockets;

/// The proxy process before this one, which gives its listening sockets away.
///
/// ```no_run
/// # async fn run(proxy: aeraki_core::proxy::Proxy) -> Result<(), Box<dyn std::error::Error>> {
/// use std::{path::Path, time::Duration};
///
/// use aeraki_core::proxy::Predecessor;
///
/// let path = Path::new("/run/proxy.sock");
/// let mut predecessor = Predecessor::ask(path)?;
/// let proxy = match &mut predecessor {
///     Some(predecessor) => proxy.with_sockets_of(predecessor),
///     None => proxy,
/// };
/// let running = proxy.start(2)?;
/// let successor = running.await_successor(path)?;
/// if let Some(predecessor) = predecessor {
///     predecessor.relieve()?;
/// }
/// successor.await;
/// running.shutdown(Duration::from_secs(30)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Predecessor {
    stream: StdUnixStream,
    sockets: Vec<(Given, OwnedFd)>,
}

/// What a socket is for; `None` ends the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Given {
    /// A listener with this configured address, and its name where the system chose the port.
    Listener(SocketAddress, Option<String>),
    /// The admin interface.
    Admin,
}

impl Predecessor {
    /// Asks the proxy that waits for its successor at `path` for its sockets; none if nobody waits there.
    ///
    /// # Errors
    /// When it belongs to another user, does not answer within ten seconds, or answers what cannot be understood.
    pub fn ask(path: &Path) -> io::Result<Option<Self>> {
        let mut stream = match StdUnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        check_user(&stream)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut sockets = Vec::new();
        while let Some(socket) = receive(&mut stream)? {
            sockets.push(socket);
        }
        Ok(Some(Self { stream, sockets }))
    }

    /// Tells it that its sockets are served here: it takes no more connections and finishes those that it has.
    ///
    /// # Errors
    /// When it is gone. The sockets stay; nothing has to be done about it.
    pub fn relieve(mut self) -> io::Result<()> {
        self.stream.write_all(&[RELIEVED])
    }

    /// Gives the sockets away.
    pub(super) fn take_sockets(&mut self) -> Vec<(Given, OwnedFd)> {
        std::mem::take(&mut self.sockets)
    }
}

/// Waits at a path for a successor.
#[derive(Debug)]
pub(super) struct Waiting {
    socket: UnixListener,
    sockets: Sockets,
}

impl Waiting {
    /// Begins to wait at `path`, in the place of whoever waited there before.
    pub(super) fn at(path: &Path, sockets: Sockets) -> io::Result<Self> {
        check_place(path)?;
        // in one step, so that there is somebody at any time
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", process::id()));
        let new = PathBuf::from(new);
        let _ = fs::remove_file(&new);
        let socket = StdUnixListener::bind(&new)?;
        socket.set_nonblocking(true)?;
        fs::rename(&new, path)?;
        Ok(Self { socket: UnixListener::from_std(socket)?, sockets })
    }

    /// Waits until a successor serves. One that fails before is as if it had never come.
    pub(super) async fn relieved(self) {
        loop {
            let handed_over = match self.socket.accept().await {
                Ok((stream, _)) => self.hand_over(stream).await,
                Err(error) => Err(error),
            };
            match handed_over {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "a successor did not take over"),
            }
        }
    }

    async fn hand_over(&self, mut stream: UnixStream) -> io::Result<()> {
        check_user(&stream)?;
        let sockets = self.sockets.handles()?;
        let sent = async {
            for (given, socket) in &sockets {
                send(&stream, Some(given), Some(socket.as_fd())).await?;
            }
            send(&stream, None, None).await
        };
        timeout(PATIENCE, sent).await??;
        tracing::info!(sockets = sockets.len(), "a successor has the sockets");
        match timeout(PREPARATION, stream.read_u8()).await?? {
            RELIEVED => Ok(()),
            other => Err(invalid(format!("it said {other}"))),
        }
    }
}

/// Sends one entry of the list, or its end, with the socket beside the first byte.
async fn send(stream: &UnixStream, given: Option<&Given>, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let text = serde_json::to_vec(&given)?;
    let length = u16::try_from(text.len()).map_err(|_| invalid("a name is too long".to_owned()))?;
    let entry = [&length.to_be_bytes()[..], &text].concat();
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.map(|socket| [socket]);
        if let Some(sockets) = &sockets {
            control.push(SendAncillaryMessage::ScmRights(sockets));
        }
        Ok(sendmsg(stream, &[IoSlice::new(&entry)], &mut control, SendFlags::NOSIGNAL)?)
    });
    // an entry is far smaller than what a socket takes at a time
    if sent.await? == entry.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one entry of the list; none at its end.
fn receive(stream: &mut StdUnixStream) -> io::Result<Option<(Given, OwnedFd)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 2];
    let received = recvmsg(&*stream, &mut [IoSliceMut::new(&mut length)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let socket = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    match received.bytes {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        1 => stream.read_exact(&mut length[1..])?,
        _ => {}
    }
    let mut text = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut text)?;
    match (serde_json::from_slice(&text)?, socket) {
        (Some(given), Some(socket)) => Ok(Some((given, socket))),
        (Some(given), None) => Err(invalid(format!("no socket came with {given:?}"))),
        (None, _) => Ok(None),
    }
}

/// Only a socket may be replaced: any other file is there for something else.
fn check_place(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Only a process of our own user may have our sockets, or give us any.
fn check_user(stream: impl AsFd) -> io::Result<()> {
    if socket_peercred(stream)?.uid == rustix::process::geteuid() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "the process at the other end belongs to another user"))
}

/// Tells whether nobody waits at a path: it is not there, or it was left behind.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// What the successor says when it serves.
const RELIEVED: u8 = b'S';
/// How long either side may take for a step that takes no time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a successor may take until it serves.
const PREPARATION: Duration = Duration::from_secs(120);

//! Unix sockets to listen on.

use std::{
    fs, io,
    net::{Ipv6Addr, SocketAddr},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_route::config;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{Accepted, accept::Accept};
use crate::io::Io;

/// A socket that listens, with its file.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Closed before the file goes, which depends on it.
    socket: UnixListener,
    file: Option<Arc<SocketFile>>,
}

/// The file of a socket; removed with the last handle on the socket here, unless another process has one: it served
/// the socket before or does now.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and number, by which it is known again.
    identity: (u64, u64),
}

impl Pipe {
    /// Listens; takes the place of a file that nobody listens on any more.
    pub(super) fn bind(config: &config::Pipe, backlog: i32) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let file = match config.path.strip_prefix('@') {
            Some(name) => {
                socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
                None
            }
            None => Some(Arc::new(bind_file(&socket, Path::new(&*config.path), config.mode)?)),
        };
        // nobody can connect before, so that the mode of the file holds from the start
        socket.listen(backlog)?;
        Ok(Self { socket: socket.into(), file })
    }

    pub(super) fn set_backlog(&self, size: i32) -> io::Result<()> {
        SockRef::from(&self.socket).listen(size)
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, file: self.file.clone() })
    }

    /// Takes a socket that listens already, with its file.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(super) fn from_fd(config: &config::Pipe, socket: std::os::fd::OwnedFd) -> io::Result<Self> {
        let socket = UnixListener::from(socket);
        socket.set_nonblocking(true)?;
        let path = Some(&config.path).filter(|path| !path.starts_with('@'));
        let file = path.map(|path| SocketFile::of(Path::new(&**path)).map(Arc::new)).transpose()?;
        Ok(Self { socket, file })
    }

    /// Returns a handle on the socket for another process.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(super) fn to_fd(&self) -> io::Result<std::os::fd::OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// Has the present runtime watch the socket.
    pub(super) fn accept(self) -> io::Result<PipeAccept> {
        Ok(PipeAccept { socket: tokio::net::UnixListener::from_std(self.socket)?, _file: self.file })
    }
}

fn bind_file(socket: &Socket, path: &Path, mode: Option<u32>) -> io::Result<SocketFile> {
    remove_stale(path)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// Removes the file of a socket that nobody has any more: one that its process has left behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    if is_bound(path)? {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody else listens there"));
    }
    fs::remove_file(path)
}

/// Tells whether any process has the socket of a file.
fn is_bound(path: &Path) -> io::Result<bool> {
    // of another type than those that listen, so that the system tells and nobody gets a connection
    let probe = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Err(error),
        _ => Ok(true),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // it may be another's by now, or another process may serve the same socket
        let is_ours = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if is_ours && !is_bound(&self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connections over a Unix socket.
pub(super) struct PipeAccept {
    /// Closed before the file goes, as that of a [`Pipe`].
    socket: tokio::net::UnixListener,
    _file: Option<Arc<SocketFile>>,
}

impl Accept for PipeAccept {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Io>, Accepted)>> {
        let (stream, _) = ready!(self.socket.poll_accept(cx))?;
        Poll::Ready(Ok((Box::new(stream), Accepted::new(NO_ADDRESS, NO_ADDRESS))))
    }
}

/// What stands for the addresses of a connection that has none.
pub(super) const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn bind(path: &str) -> io::Result<Pipe> {
        Pipe::bind(&config::Pipe::new(path), 16)
    }

    fn folder() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket").to_str().expect("text").to_owned();
        (folder, path)
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_the_last_handle() {
        let (_folder, path) = folder();
        let pipe = Pipe::bind(&config::Pipe::new(&*path).with_mode(0o620), 16).expect("is free");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o620);
        let again = pipe.try_clone().expect("room for it");
        drop(pipe);
        UnixStream::connect(&path).expect("somebody listens");
        drop(again);
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn a_file_that_nobody_listens_on_is_replaced_and_nothing_else_is() {
        let (_folder, path) = folder();
        drop(UnixListener::bind(&path).expect("is free"));
        assert!(Path::new(&path).exists(), "is left behind");
        let pipe = bind(&path).expect("nobody listens");
        let refused = bind(&path).expect_err("somebody listens");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(&path).expect("is there");
        fs::write(&path, "another's").expect("is free");
        assert_eq!(bind(&path).expect_err("is no socket").kind(), io::ErrorKind::AlreadyExists);
        drop(pipe);
        assert!(Path::new(&path).exists(), "what is another's stays");
    }

    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    #[test]
    fn the_file_goes_with_the_last_process_that_has_the_socket() {
        for old_goes_first in [false, true] {
            let (_folder, path) = folder();
            let old = bind(&path).expect("is free");
            let handle = old.to_fd().expect("room for it");
            let new = Pipe::from_fd(&config::Pipe::new(&*path), handle).expect("listens");
            let [first, last] = if old_goes_first { [old, new] } else { [new, old] };
            drop(first);
            UnixStream::connect(&path).expect("somebody listens");
            last.socket.accept().expect("a client");
            assert_eq!(last.socket.accept().expect_err("and nobody else").kind(), io::ErrorKind::WouldBlock);
            drop(last);
            assert!(!Path::new(&path).exists());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_has_no_file() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("aeraki-test-{}", std::process::id());
        let _pipe = bind(&format!("@{name}")).expect("is free");
        assert_eq!(bind(&format!("@{name}")).expect_err("is taken").kind(), io::ErrorKind::AddrInUse);
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("is short");
        UnixStream::connect_addr(&address).expect("somebody listens");
    }
}

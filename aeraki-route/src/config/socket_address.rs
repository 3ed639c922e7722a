//! Where listeners listen and endpoints are.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    endpoint::AddressError,
    error::{Checked, ensure},
};

/// An IP address with a port, written as a text, or a Unix socket; `envoy.config.core.v3.Address`. Cheap to clone.
///
/// As a text it is what Envoy writes and hashes: `127.0.0.1:80`, `[::1]:80`, `/run/a.sock` or `@name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SocketAddress {
    /// An IP address and a port; port 0 takes a free one.
    Ip(SocketAddr),
    /// A Unix socket.
    Pipe(Pipe),
}

impl SocketAddress {
    /// Tells whether the system chooses a part of it.
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Ip(address) if address.port() == 0)
    }

    /// Returns the IP address with its port; none where it is a Unix socket.
    pub fn as_ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Pipe(_) => None,
        }
    }

    /// Tells whether the system gives only one of the two away: the same address, or one of all addresses with this
    /// port.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(one), Self::Ip(other)) => {
                let together = one.port() == other.port() && one.port() != 0;
                together && (one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
            }
            _ => self == other,
        }
    }

    pub(super) fn check(&self) -> Checked {
        match self {
            Self::Ip(_) => Ok(()),
            Self::Pipe(pipe) => pipe.check(),
        }
    }

    /// Checks the address of somebody who is connected to.
    pub(super) fn check_target(&self) -> Checked {
        match self {
            Self::Ip(address) => ensure(address.port() > 0, "", format_args!("{address}: 0 is not a port")),
            Self::Pipe(pipe) => pipe.check_target(),
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<Pipe> for SocketAddress {
    fn from(pipe: Pipe) -> Self {
        Self::Pipe(pipe)
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(pipe) => pipe.path.fmt(f),
        }
    }
}

impl FromStr for SocketAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if is_path(text) {
            return Ok(Pipe::new(text).into());
        }
        text.parse().map(Self::Ip).map_err(|_| AddressError::new(text))
    }
}

/// Tells whether whoever listens on `all` listens on `address` too: `[::]` takes IPv4 as well.
fn covers(all: IpAddr, address: IpAddr) -> bool {
    all.is_unspecified() && (all.is_ipv6() || address.is_ipv4())
}

/// A Unix socket; `envoy.config.core.v3.Pipe`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Pipe {
    /// Path of the socket's file, or `@` and a name that has no file (Linux); not empty, and at most 107 bytes.
    pub path: Arc<str>,
    /// Who may connect, as the mode of the file, at most `0o777`; none: as the process creates files. Not with a name,
    /// nor for an endpoint.
    #[serde(default)]
    pub mode: Option<u32>,
}

impl Pipe {
    /// Creates the address of a socket whose file has the mode that the process gives it.
    pub fn new(path: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), mode: None }
    }

    /// Sets who may connect.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    fn check(&self) -> Checked {
        ensure(!self.path.is_empty() && &*self.path != "@", "path", "must not be empty")?;
        ensure(self.path.len() <= LONGEST, "path", format_args!("must not be longer than {LONGEST} bytes"))?;
        ensure(!self.path.contains('\0'), "path", "must not hold a zero byte")?;
        ensure(self.mode.is_none_or(|mode| mode <= 0o777), "mode", "must not exceed 0o777, which is 511")?;
        ensure(self.mode.is_none() || !self.path.starts_with('@'), "mode", "is for files, and a name has none")
    }

    fn check_target(&self) -> Checked {
        self.check()?;
        ensure(is_path(&self.path), "path", "must hold a \"/\" or begin with \"@\"")?;
        ensure(self.mode.is_none(), "mode", "is for who listens there")
    }
}

/// What Linux takes (`unix(7)`), less the zero byte at the end.
const LONGEST: usize = 107;

/// Tells a Unix socket from an address with a port in a text.
fn is_path(text: &str) -> bool {
    text.starts_with('@') || text.contains('/')
}

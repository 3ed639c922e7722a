//! Links between the proxy and its servers that can be cut: the servers are in a network namespace of their own.

use std::{
    env,
    fs::File,
    net::Ipv4Addr,
    os::fd::AsFd,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::peers::{install, process::Process};

/// How the storm fares in a namespace in which links can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Held,
    /// What is broken has been said.
    Broke,
    /// This machine gives no network namespace to its users.
    Nowhere,
}

impl Inside {
    /// Tells whether nothing is broken: a storm that could not be is only where storms are not required.
    pub(super) fn is_kept(self, required: bool) -> bool {
        match self {
            Self::Held => true,
            Self::Broke => false,
            Self::Nowhere => !required,
        }
    }
}

/// Tells whether this process may make links.
pub(super) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs this recipe with other arguments in a namespace in which it may make links.
pub(super) fn run_inside(arguments: &[&str]) -> Result<Inside> {
    // `ss` says its version, `ip` of the same package does not
    install::debian("ss", "iproute2")?;
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    };
    if !namespace().arg("true").status().is_ok_and(|status| status.success()) {
        return Ok(Inside::Nowhere);
    }
    // there is no network inside, and so nothing is built there
    for program in ["aeraki", "aeraki-proxy"] {
        install::cargo(program, "dev")?;
    }
    let mut inside = namespace();
    inside.args(["sh", "-c", "ip link set lo up && exec \"$0\" chaos \"$@\""]).arg(env::current_exe()?);
    let status = inside.args(arguments).env(INSIDE, "1").env("CARGO_NET_OFFLINE", "true").status()?;
    Ok(if status.success() { Inside::Held } else { Inside::Broke })
}

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The system knows that servers cannot be reached.
    Proxy,
    /// What is sent is lost.
    Servers,
}

/// The links, which go with the namespace of the servers when this is dropped.
pub(super) struct Links {
    holder: Process,
    namespace: Namespace,
}

/// Where the servers are.
#[derive(Clone, Debug)]
pub(super) struct Namespace(Arc<File>);

impl Namespace {
    /// Has the sockets that this thread makes from now on belong there.
    pub(super) fn enter(&self) -> Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

impl Links {
    pub(super) const COUNT: usize = 2;

    pub(super) fn new(name: &str) -> Result<Self> {
        let mut command = Command::new("unshare");
        let holder = Process::start(name, command.args(["--net", "sh", "-c", "echo ready; exec cat"]))?;
        ensure!(holder.line(Instant::now() + PATIENCE)?.is_some(), "there is no second namespace");
        let file = File::open(format!("/proc/{}/ns/net", holder.id())).context("opening the namespace")?;
        let links = Self { holder, namespace: Namespace(Arc::new(file)) };
        links.ip(Side::Servers, "link set lo up")?;
        for link in 0..Self::COUNT {
            let (near, far) = (device(Side::Proxy, link), device(Side::Servers, link));
            links.ip(
                Side::Proxy,
                &format!("link add name {near} type veth peer name {far} netns {}", links.holder.id()),
            )?;
            links.ip(Side::Proxy, &format!("addr add {}/24 dev {near}", address(Side::Proxy, link)))?;
            links.ip(Side::Servers, &format!("addr add {}/24 dev {far}", address(Side::Servers, link)))?;
            links.set(link, Side::Proxy, true)?;
            links.set(link, Side::Servers, true)?;
        }
        Ok(links)
    }

    pub(super) fn namespace(&self) -> Namespace {
        self.namespace.clone()
    }

    /// Cuts a link at one side, or mends it there.
    pub(super) fn set(&self, link: usize, side: Side, up: bool) -> Result<()> {
        self.ip(side, &format!("link set {} {}", device(side, link), if up { "up" } else { "down" }))
    }

    /// Mends all links.
    pub(super) fn mend(&self) -> Result<()> {
        for link in 0..Self::COUNT {
            self.set(link, Side::Servers, true)?;
            self.set(link, Side::Proxy, true)?;
        }
        Ok(())
    }

    fn ip(&self, side: Side, arguments: &str) -> Result<()> {
        let mut command = match side {
            Side::Proxy => Command::new("ip"),
            Side::Servers => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &self.holder.id().to_string(), "--net", "ip"]);
                command
            }
        };
        let status = command.args(arguments.split(' ')).status()?;
        if !status.success() {
            bail!("ip {arguments} fails");
        }
        Ok(())
    }
}

/// The address of the servers behind a link, or of the proxy before it.
pub(super) fn address(side: Side, link: usize) -> Ipv4Addr {
    let host = match side {
        Side::Proxy => 1,
        Side::Servers => 2,
    };
    Ipv4Addr::new(10, 99, u8::try_from(link).unwrap_or(u8::MAX), host)
}

fn device(side: Side, link: usize) -> String {
    match side {
        Side::Proxy => format!("near{link}"),
        Side::Servers => format!("far{link}"),
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Set for the run inside the namespace.
const INSIDE: &str = "AERAKI_CHAOS_INSIDE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_that_could_not_be_is_no_success_where_it_is_required() {
        let kept = |required| [Inside::Held, Inside::Broke, Inside::Nowhere].map(|inside| inside.is_kept(required));
        assert_eq!([kept(false), kept(true)], [[true, false, true], [true, false, false]]);
    }
}

//! Options of sockets, the same towards clients and servers.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

use aeraki_route::config::TcpKeepalive;
use socket2::{Domain, SockRef, Socket, Type};

use crate::sync::lock;

/// The addresses of all listeners of a proxy, and of its admin interface. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnAddresses(Arc<Mutex<Vec<SocketAddr>>>);

impl OwnAddresses {
    /// Makes these the addresses of the proxy from now on.
    pub(crate) fn put(&self, addresses: Vec<SocketAddr>) {
        *lock(&self.0) = addresses;
    }

    /// Makes this one of the addresses.
    pub(crate) fn add(&self, address: SocketAddr) {
        lock(&self.0).push(address);
    }

    /// Tells whether a connection to `address` would come to the proxy, as [`is_own`] does of one listener. The system
    /// is asked once, however many listeners have the port, and while no other worker waits.
    pub(crate) fn include(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let (mut port_is_own, mut all_is_own) = (false, false);
        for own in lock(&self.0).iter().filter(|own| own.port() == address.port()) {
            port_is_own = true;
            all_is_own |= own.ip().to_canonical() == ip;
        }
        all_is_own || (port_is_own && !is_elsewhere(ip))
    }
}

/// Has the system ask silent peers whether they are there; none: it does not ask. Connections have what was said of the
/// socket that accepts them, and what is not said stays as it is.
pub(crate) fn set_keepalive(socket: SockRef<'_>, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
    let Some(config) = keepalive else { return socket.set_keepalive(false) };
    let mut wanted = socket2::TcpKeepalive::new();
    if let Some(probes) = config.probes {
        wanted = wanted.with_retries(probes);
    }
    if let Some(time) = config.time {
        wanted = wanted.with_time(time);
    }
    if let Some(interval) = config.interval {
        wanted = wanted.with_interval(interval);
    }
    socket.set_tcp_keepalive(&wanted)
}

/// The same of a socket of which something was said before: what is not said is as the system has it.
pub(crate) fn replace_keepalive(socket: SockRef<'_>, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
    let fresh = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let of_system = socket2::TcpKeepalive::new()
        .with_retries(fresh.tcp_keepalive_retries()?)
        .with_time(fresh.tcp_keepalive_time()?)
        .with_interval(fresh.tcp_keepalive_interval()?);
    socket.set_tcp_keepalive(&of_system)?;
    set_keepalive(socket, keepalive)
}

/// Returns where a connection was meant to go that the system has redirected to `local` (`SO_ORIGINAL_DST`); none where
/// it was not redirected.
#[cfg(target_os = "linux")]
pub(crate) fn original_dst(socket: &SockRef<'_>, local: SocketAddr) -> Option<SocketAddr> {
    let is_v4 = local.ip().to_canonical().is_ipv4();
    let original = if is_v4 { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let original = original.ok()?.as_socket()?;
    (!is_own(original, local)).then_some(original)
}

/// Returns none: only Linux redirects connections.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn original_dst(_: &SockRef<'_>, _: SocketAddr) -> Option<SocketAddr> {
    None
}

/// Tells whether a connection to `address` would come back to the listener that one to `local` has come to: whatever
/// address of this machine it is by. Where that cannot be found out, it is taken for so.
pub(crate) fn is_own(address: SocketAddr, local: SocketAddr) -> bool {
    let (ip, own) = (address.ip().to_canonical(), local.ip().to_canonical());
    address.port() == local.port() && (ip == own || !is_elsewhere(ip))
}

/// Tells whether an address is of another machine: only those of this one can be bound.
fn is_elsewhere(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;

    #[test]
    fn an_address_is_own_unless_the_system_says_that_it_is_elsewhere() {
        let local = SocketAddr::from(([127, 0, 0, 1], 9));
        let is_own = |address: &str| is_own(address.parse().expect("an address"), local);
        assert!(is_own("127.0.0.2:9"));
        assert!(!is_own("127.0.0.2:10") && !is_own("192.0.2.1:9"));
        assert!(is_own("[fe80::1]:9"), "without an interface nothing is known of it");
    }

    /// Tells whether silent peers are asked, and when.
    fn keepalive(stream: &TcpStream) -> io::Result<(bool, [u64; 3])> {
        let socket = SockRef::from(stream);
        let (time, interval) = (socket.tcp_keepalive_time()?, socket.tcp_keepalive_interval()?);
        let asked = [socket.tcp_keepalive_retries()?.into(), time.as_secs(), interval.as_secs()];
        Ok((socket.keepalive()?, asked))
    }

    #[test]
    fn connections_are_asked_as_the_socket_that_accepts_them_says() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let seconds = Duration::from_secs;
        let wanted = TcpKeepalive::default().with_probes(3).with_time(seconds(300)).with_interval(seconds(30));
        replace_keepalive(SockRef::from(&server), Some(&wanted)).expect("are known");
        let connect = || {
            let client = TcpStream::connect(server.local_addr().expect("bound")).expect("somebody listens");
            (client, server.accept().expect("somebody came").0)
        };
        let (client, accepted) = connect();
        assert_eq!(keepalive(&accepted).expect("known"), (true, [3, 300, 30]));
        replace_keepalive(SockRef::from(&server), None).expect("is known");
        assert!(!keepalive(&connect().1).expect("known").0);

        let (asked, system) = keepalive(&client).expect("known");
        assert!(!asked);
        set_keepalive(SockRef::from(&client), Some(&TcpKeepalive::default().with_probes(7))).expect("is known");
        assert_eq!(keepalive(&client).expect("known"), (true, [7, system[1], system[2]]), "the rest is the system's");
        replace_keepalive(SockRef::from(&server), Some(&TcpKeepalive::default().with_time(seconds(9)))).expect("known");
        let (_, asked) = keepalive(&connect().1).expect("known");
        assert_eq!(asked, [system[0], 9, system[2]], "nothing of what was said before");
    }

    #[test]
    fn a_proxy_knows_all_of_its_addresses() {
        let own = OwnAddresses::default();
        own.put(vec![SocketAddr::from(([192, 0, 2, 7], 9)), SocketAddr::from(([127, 0, 0, 1], 10))]);
        own.add(SocketAddr::from(([127, 0, 0, 1], 11)));
        let included = ["192.0.2.7:9", "[::ffff:192.0.2.7]:9", "127.0.0.9:9", "127.0.0.1:10", "127.0.0.1:11"];
        for (address, is_own) in
            included.map(|it| (it, true)).into_iter().chain([("192.0.2.8:9", false), ("127.0.0.1:12", false)])
        {
            assert_eq!(own.include(address.parse().expect("an address")), is_own, "{address}");
        }
    }
}

//! Options of sockets, the same towards clients and servers.

use std::io;

use aeraki_route::config::TcpKeepalive;
use socket2::SockRef;

/// Has the system send small messages at once, and ask silent peers whether they are there if that is wanted.
pub(crate) fn set_options(socket: SockRef<'_>, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
    // without it small messages wait for acknowledgements
    socket.set_tcp_nodelay(true)?;
    let Some(config) = keepalive else { return Ok(()) };
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

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;

    /// Tells whether small messages are sent at once and silent peers are asked, and when.
    fn options(stream: &TcpStream) -> io::Result<(bool, bool, [u64; 3])> {
        let socket = SockRef::from(stream);
        let (time, interval) = (socket.tcp_keepalive_time()?, socket.tcp_keepalive_interval()?);
        let asked = [socket.tcp_keepalive_retries()?.into(), time.as_secs(), interval.as_secs()];
        Ok((socket.tcp_nodelay()?, socket.keepalive()?, asked))
    }

    #[test]
    fn connections_have_the_options_of_the_socket_that_accepts_them() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let seconds = Duration::from_secs;
        let wanted = TcpKeepalive::default().with_probes(3).with_time(seconds(300)).with_interval(seconds(30));
        set_options(SockRef::from(&server), Some(&wanted)).expect("are known");
        let client = TcpStream::connect(server.local_addr().expect("bound")).expect("somebody listens");
        let (accepted, _) = server.accept().expect("somebody came");
        assert_eq!(options(&accepted).expect("known"), (true, true, [3, 300, 30]));

        let (_, _, system) = options(&client).expect("known");
        set_options(SockRef::from(&client), None).expect("is known");
        assert_eq!(options(&client).expect("known"), (true, false, system), "what is not wanted stays");
        set_options(SockRef::from(&client), Some(&TcpKeepalive::default().with_probes(7))).expect("is known");
        assert_eq!(options(&client).expect("known"), (true, true, [7, system[1], system[2]]));
    }
}

//! Suite `envoy`: the same bytes through Envoy's Dubbo and Thrift proxies and through ours, to the same server.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    backend::{self, Backend, Frames},
    frames::{Wire, heartbeat, unrouted},
    report::{Case, Comparison, Report},
    way::{Target, Way},
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    for wire in Wire::ALL {
        let backend = Backend::start(wire)?;
        let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let ways = Way::open_all(&format!("envoy-{wire}"), targets, wire.routes(), &[backend.port, gone])?;
        let mut cases = Vec::new();
        for way in &ways {
            let probe = Probe { wire, target: way.target, port: way.ports[0], backend: &backend };
            cases.extend(all_cases().map(|(name, case)| probe.observe(name, case)));
            cases.push(Probe { port: way.ports[1], ..probe }.observe("no server", Probe::no_server));
            // last: Envoy's Dubbo proxy answers as it should, and aborts
            cases.push(probe.observe("hang-up", Probe::hang_up));
        }
        report.compare(&format!("{wire} bytes"), targets, &cases, RULES);
    }
    Ok(())
}

/// One way to the server, seen from both of its ends.
#[derive(Clone, Copy)]
struct Probe<'a> {
    wire: Wire,
    target: Target,
    port: u16,
    backend: &'a Backend,
}

/// What a case returns: whether it is as promised, and what was seen.
type Seen = Result<(bool, Value)>;

type Asked<'a> = fn(Probe<'a>) -> Seen;

impl<'a> Probe<'a> {
    fn observe(self, name: &str, case: Asked<'a>) -> Case {
        self.backend.forget();
        let (ok, detail) = case(self).unwrap_or_else(|error| (false, json!(format!("{error:#}"))));
        Case { target: self.target, name: name.to_owned(), ok, detail }
    }

    fn normal(self) -> Seen {
        self.passes(&[self.wire.request("echo", "hello", 7)])
    }

    fn exception(self) -> Seen {
        self.passes(&[self.wire.request("refuse", "no", 8)])
    }

    fn error(self) -> Seen {
        self.passes(&[self.wire.request("crash", "broken", 9)])
    }

    fn extreme_ids(self) -> Seen {
        self.passes(&[self.wire.request("echo", "zero", 0), self.wire.request("echo", "most", u32::MAX)])
    }

    fn byte_by_byte(self) -> Seen {
        let mut stream = self.connect()?;
        for byte in self.wire.request("echo", "slow", 10) {
            stream.write_all(&[byte])?;
        }
        self.ends(&mut stream, 1, 1)
    }

    /// The call after it is answered, the one-way call is not, and both reach the server.
    fn oneway(self) -> Seen {
        let mut stream = self.connect()?;
        stream.write_all(&self.wire.oneway("note", "one way", 11))?;
        stream.write_all(&self.wire.request("echo", "after", 12))?;
        self.ends(&mut stream, 1, 2)
    }

    /// Sixteen connections with eight requests in flight each: every answer must be the one to its request.
    fn concurrent(self) -> Seen {
        let callers: Vec<_> = (0..16_u32)
            .map(|caller| {
                let (wire, stream) = (self.wire, self.connect());
                thread::spawn(move || pipeline(wire, stream?, caller))
            })
            .collect();
        let mut wrong = 0;
        for caller in callers {
            wrong += caller.join().ok().context("a caller panicked")??;
        }
        Ok((wrong == 0, json!(wrong)))
    }

    fn no_route(self) -> Seen {
        if self.target == Target::Direct {
            return Ok((true, Value::Null));
        }
        self.fails(
            &unrouted(self.wire, 13),
            match self.wire {
                Wire::Dubbo => "status 60",
                Wire::Thrift => "exception 1",
            },
        )
    }

    fn no_server(self) -> Seen {
        if self.target == Target::Direct {
            return Ok((true, Value::Null));
        }
        self.fails(&self.wire.request("echo", "nobody", 14), self.upstream_failure())
    }

    /// The server closes the connection instead of answering.
    fn hang_up(self) -> Seen {
        if self.target == Target::Direct {
            return Ok((true, Value::Null));
        }
        self.fails(&self.wire.request("hang up", "now", 15), self.upstream_failure())
    }

    /// Answered by the proxy; a Thrift proxy has none.
    fn heartbeat(self) -> Seen {
        if self.target == Target::Direct || self.wire == Wire::Thrift {
            return Ok((true, Value::Null));
        }
        let mut stream = self.connect()?;
        stream.write_all(&heartbeat(16))?;
        let answer = Frames::new(self.wire).next(&mut stream)?.context("closed")?;
        let expected = [[0xda, 0xbb, 0x22, 20].as_slice(), &16_u64.to_be_bytes(), &[0, 0, 0, 1, b'N']].concat();
        Ok((answer == expected, json!(hex(&answer))))
    }

    /// What is no frame ends the connection, and only that.
    fn garbage(self) -> Seen {
        if self.target == Target::Direct {
            return Ok((true, Value::Null));
        }
        let mut stream = self.connect()?;
        stream.write_all(&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2))?;
        let closed = matches!(Frames::new(Wire::Dubbo).next(&mut stream), Ok(None) | Err(_));
        let (others_work, _) = self.normal()?;
        Ok((closed && others_work, json!(closed)))
    }

    fn upstream_failure(self) -> &'static str {
        match self.wire {
            Wire::Dubbo => "status 80",
            Wire::Thrift => "exception 6",
        }
    }

    /// Sends `requests` one after the other; shows the answers and what the server got.
    fn passes(self, requests: &[Vec<u8>]) -> Seen {
        let mut stream = self.connect()?;
        let mut seen = Vec::new();
        for request in requests {
            stream.write_all(request)?;
            seen.push(self.ends(&mut stream, 1, 1)?.1);
        }
        Ok((true, seen.into()))
    }

    /// Shows the next `answers` answers, and `requests` frames that the server got for them.
    fn ends(self, stream: &mut TcpStream, answers: usize, requests: usize) -> Seen {
        let mut frames = Frames::new(self.wire);
        let answers = (0..answers).map(|_| frames.next(stream)?.context("closed")).collect::<Result<Vec<_>>>()?;
        let requests = self.backend.frames(requests, LIMIT)?;
        let all = |frames: &[Vec<u8>]| frames.iter().map(|frame| hex(frame)).collect::<Vec<_>>();
        Ok((true, json!({"answers": all(&answers), "server got": all(&requests)})))
    }

    /// Sends a request that the proxy must answer itself, by the outcome that Envoy gives it.
    fn fails(self, request: &[u8], outcome: &str) -> Seen {
        let mut stream = self.connect()?;
        stream.write_all(request)?;
        let answer = Frames::new(self.wire).next(&mut stream)?.context("closed without an answer")?;
        let same_id = self.wire.id(&answer) == self.wire.id(request);
        let seen = self.wire.outcome(&answer);
        Ok((same_id && seen == outcome, json!(seen)))
    }

    fn connect(self) -> Result<TcpStream> {
        backend::connect(self.port, LIMIT)
    }
}

/// Sends eight requests at once, three times over; returns how many answers were not as expected.
fn pipeline(wire: Wire, mut stream: TcpStream, caller: u32) -> Result<usize> {
    let mut frames = Frames::new(wire);
    let mut wrong = 0;
    for round in 0..3 {
        let ids = (0..8).map(|slot| caller * 1000 + round * 10 + slot);
        let requests: Vec<_> = ids.map(|id| (id, wire.request("echo", &format!("text {id}"), id))).collect();
        let mut expected: BTreeMap<_, _> =
            requests.iter().map(|(id, request)| (Some(*id), wire.answer(request))).collect();
        stream.write_all(&requests.iter().flat_map(|(_, request)| request.clone()).collect::<Vec<_>>())?;
        for _ in 0..8 {
            let answer = frames.next(&mut stream)?.context("closed")?;
            if expected.remove(&wire.id(&answer)) != Some(Some(answer)) {
                wrong += 1;
            }
        }
        ensure!(expected.is_empty() || wrong > 0, "an answer came twice");
    }
    Ok(wrong)
}

/// What is asked of a way whose server works.
fn all_cases<'a>() -> [(&'static str, Asked<'a>); 10] {
    [
        ("normal", Probe::normal),
        ("exception", Probe::exception),
        ("error", Probe::error),
        ("extreme ids", Probe::extreme_ids),
        ("byte by byte", Probe::byte_by_byte),
        ("one-way", Probe::oneway),
        ("concurrent", Probe::concurrent),
        ("heartbeat", Probe::heartbeat),
        ("no route", Probe::no_route),
        ("garbage", Probe::garbage),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const RULES: Comparison =
    Comparison { free: &["no route", "no server", "hang-up", "heartbeat", "garbage"], defects: &[] };
const LIMIT: Duration = Duration::from_secs(5);

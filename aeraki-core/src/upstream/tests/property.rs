//! Whatever servers do: every request ends once, and never with another one's answer.

use proptest::{collection::vec, prelude::*};
use tokio::runtime::Builder;

use super::*;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    Oneway,
    /// A request that the codec refuses to write.
    Unwritable,
    /// The client of a call goes away.
    Abort(usize),
    /// A server reads all that has come to it.
    Read(usize),
    Answer(usize),
    AnswerTwice(usize),
    /// An answer that the codec refuses to read.
    Broken(usize),
    /// An answer to whatever was read, one-way or not, answered or not.
    Any(usize),
    /// An answer to nothing: no test gives so many ids.
    Unasked(u32),
    Ping(usize),
    Ask(usize),
    Drain(usize),
    Garbage(usize),
    /// A server goes away, perhaps within an answer.
    Leave(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<usize>;
    prop_oneof![
        8 => Just(Step::Call),
        2 => Just(Step::Oneway),
        1 => Just(Step::Unwritable),
        2 => n().prop_map(Step::Abort),
        8 => n().prop_map(Step::Read),
        8 => n().prop_map(Step::Answer),
        1 => n().prop_map(Step::AnswerTwice),
        1 => n().prop_map(Step::Broken),
        1 => n().prop_map(Step::Any),
        1 => (0x7000_0000_u32..0x7fff_ffff).prop_map(Step::Unasked),
        1 => n().prop_map(Step::Ping),
        1 => n().prop_map(Step::Ask),
        1 => n().prop_map(Step::Drain),
        1 => n().prop_map(Step::Garbage),
        1 => any::<(usize, bool)>().prop_map(|(which, cut)| Step::Leave(which, cut)),
    ]
}

/// A server and what it knows.
struct Party {
    pipe: DuplexStream,
    input: BytesMut,
    /// Requests that wait for an answer.
    open: Vec<(u32, String)>,
    /// All that were ever read.
    seen: Vec<(u32, String)>,
}

impl Party {
    fn read(&mut self) {
        while let Some(Ok(1..)) = self.pipe.read_buf(&mut self.input).now_or_never() {}
        while let Some(length) = self.input.first_chunk().map(|length| u32::from_be_bytes(*length) as usize + 4)
            && self.input.len() >= length
        {
            let frame = self.input.split_to(length);
            let id = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
            let request = (id, String::from_utf8_lossy(&frame[9..]).into_owned());
            if frame[4] == REQUEST {
                self.open.push(request.clone());
            }
            if frame[4] <= ONEWAY {
                self.seen.push(request);
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        // the proxy may have closed it
        let _ = self.pipe.write_all(bytes).await;
    }

    /// Answers with what was asked.
    async fn answer(&mut self, kind: u8, (id, payload): &(u32, String)) {
        self.write(&frame(kind, *id, payload.as_bytes())).await;
    }
}

struct Run {
    bench: Bench,
    servers: Vec<Party>,
    calls: Vec<(u8, String, Call)>,
    made: u32,
}

impl Run {
    fn new(serving: Serving, connections: u32) -> Self {
        let limits = config::Thresholds::default().with_max_connections(connections);
        let bench = Bench::with(serving, cluster().with_limits(limits).with_heartbeat_interval(None));
        Self { bench, servers: Vec::new(), calls: Vec::new(), made: 0 }
    }

    fn call(&mut self, kind: u8) {
        self.made += 1;
        let payload = self.made.to_string();
        let call = self.bench.call(kind, self.made, &payload);
        self.calls.push((kind, payload, call));
    }

    fn server(&mut self, which: usize) -> Option<&mut Party> {
        let count = self.servers.len();
        self.servers.get_mut(which.checked_rem(count)?)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Call => self.call(REQUEST),
            Step::Oneway => self.call(ONEWAY),
            Step::Unwritable => drop(self.bench.call(REQUEST, 0, "unwritable")),
            Step::Abort(which) => {
                if let Some(which) = which.checked_rem(self.calls.len()) {
                    self.calls.swap_remove(which).2.abort();
                }
            }
            Step::Leave(which, cut) => {
                if let Some(which) = which.checked_rem(self.servers.len()) {
                    let mut server = self.servers.swap_remove(which);
                    if let (true, Some((id, payload))) = (cut, server.open.pop()) {
                        let answer = frame(RESPONSE, id, payload.as_bytes());
                        server.write(&answer[..answer.len() - 1]).await;
                    }
                }
            }
            Step::Unasked(id) => {
                if let Some(server) = self.server(id as usize) {
                    server.write(&frame(RESPONSE, id, b"unasked")).await;
                }
            }
            Step::Read(which)
            | Step::Answer(which)
            | Step::AnswerTwice(which)
            | Step::Broken(which)
            | Step::Any(which)
            | Step::Ping(which)
            | Step::Ask(which)
            | Step::Drain(which)
            | Step::Garbage(which) => {
                if let Some(server) = self.server(which) {
                    serve(server, step, which).await;
                }
            }
        }
        settle().await;
        while let Ok(pipe) = self.bench.servers.try_recv() {
            self.servers.push(Party { pipe, input: BytesMut::new(), open: Vec::new(), seen: Vec::new() });
        }
    }

    /// Lets servers answer until no call is left.
    async fn end(mut self) {
        while !self.calls.iter().all(|(.., call)| call.is_finished()) {
            for which in 0..self.servers.len() {
                self.step(Step::Read(which)).await;
                while self.servers.get(which).is_some_and(|server| !server.open.is_empty()) {
                    self.step(Step::Answer(which)).await;
                }
            }
            // a connection on which a client gave up may never be used again: only its end frees its place
            let quiet = self.servers.iter().position(|server| server.open.is_empty());
            if let Some(quiet) = quiet.filter(|_| self.calls.iter().any(|(.., call)| !call.is_finished())) {
                self.step(Step::Leave(quiet, false)).await;
            }
            self.step(Step::Ping(0)).await;
        }
        for (kind, asked, call) in self.calls {
            match outcome(call).await {
                Ok(Response::Message(message)) => {
                    let answer = String::from_utf8_lossy(&message.frame()[9..]).into_owned();
                    assert_eq!((kind, message.id().number().to_string(), answer), (REQUEST, asked.clone(), asked));
                }
                Ok(Response::Oneway) => assert_eq!(kind, ONEWAY, "{asked} has no answer"),
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        }
        assert_eq!((self.bench.count("upstream_rq_active"), self.bench.count("upstream_rq_pending_active")), (0, 0));
        drop(self.servers);
        settle().await;
        assert_eq!(self.bench.count("upstream_cx_active"), 0);
    }
}

async fn serve(server: &mut Party, step: Step, which: usize) {
    let open = which.checked_rem(server.open.len());
    match (step, open) {
        (Step::Read(_), _) => server.read(),
        (Step::Answer(_), Some(open)) => {
            let request = server.open.swap_remove(open);
            server.answer(RESPONSE, &request).await;
        }
        (Step::AnswerTwice(_), Some(open)) => {
            let request = server.open.swap_remove(open);
            server.answer(RESPONSE, &request).await;
            server.answer(RESPONSE, &request).await;
        }
        (Step::Broken(_), Some(open)) => {
            let request = server.open.swap_remove(open);
            server.answer(BROKEN, &request).await;
        }
        (Step::Any(_), _) => {
            if let Some(seen) = which.checked_rem(server.seen.len()) {
                let request = server.seen[seen].clone();
                server.answer(RESPONSE, &request).await;
            }
        }
        (Step::Ping(_), _) => server.write(&frame(PING, 0, b"")).await,
        (Step::Ask(_), _) => server.write(&frame(REQUEST, 7, b"callback")).await,
        (Step::Drain(_), _) => server.write(&frame(DRAIN, 0, b"")).await,
        (Step::Garbage(_), _) => server.write(&[0xff; 20]).await,
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_request_ends_once_and_with_its_own_answer(
        concurrent: bool,
        connections in 1_u32..4,
        steps in vec(step(), 0..60),
    ) {
        let serving = if concurrent { Serving::Concurrent } else { Serving::Serial };
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new(serving, connections);
            for step in steps {
                run.step(step).await;
            }
            run.end().await;
        });
    }
}

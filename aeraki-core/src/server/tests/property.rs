//! Whatever clients and servers do: one record for every request, and never a second answer.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use tokio::{io::AsyncReadExt, runtime::Builder, time::sleep};

use super::*;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    AskInPieces,
    Oneway,
    Bad,
    Heartbeat,
    Stray,
    /// The upstream answers one of the requests that it has.
    Answer(usize),
    Refuse(usize),
    Unwritable(usize),
    /// The stack loses a request.
    Lose(usize),
    Swap,
    /// The client has said all.
    Finish,
    Drain,
    /// The client is gone.
    Leave,
    /// Time is up.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Ask),
        1 => Just(Step::AskInPieces),
        2 => Just(Step::Oneway),
        1 => Just(Step::Bad),
        1 => Just(Step::Heartbeat),
        1 => Just(Step::Stray),
        6 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::Refuse),
        1 => any::<usize>().prop_map(Step::Unwritable),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => Just(Step::Swap),
    ]
}

fn ending() -> impl Strategy<Value = Step> {
    prop_oneof![Just(Step::Finish), Just(Step::Drain), Just(Step::Leave), Just(Step::Cut)]
}

/// A connection and what its peers have done so far.
struct Run {
    fixture: Fixture,
    client: Option<DuplexStream>,
    held: Vec<(Request, SendResponse<Response>)>,
    next_id: u64,
    /// Ids that are to be answered.
    asked: Vec<u64>,
    called: u64,
    bad: u64,
    received: String,
}

impl Run {
    fn new(replies: Replies, in_flight: u32) -> Self {
        let limits = ListenerLimits::default().with_max_requests_in_flight(in_flight);
        let mut fixture = Fixture::with(Lines::new(replies), |rpc| rpc.with_limits(limits));
        let client = Some(std::mem::replace(&mut fixture.client, tokio::io::duplex(1).0));
        let (held, asked) = (Vec::new(), Vec::new());
        Self { fixture, client, held, next_id: 0, asked, called: 0, bad: 0, received: String::new() }
    }

    async fn send(&mut self, text: &str) {
        if let Some(client) = &mut self.client {
            // the connection may have ended meanwhile
            let _ = client.write_all(text.as_bytes()).await;
        }
    }

    async fn ask(&mut self, kind: char) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&format!("{kind} {id} a\n")).await;
        id
    }

    fn take(&mut self, which: usize) -> Option<(Request, SendResponse<Response>)> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(which % self.held.len()))
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Ask => {
                let id = self.ask('Q').await;
                self.asked.push(id);
            }
            Step::AskInPieces => {
                self.next_id += 1;
                self.asked.push(self.next_id);
                self.send("Q ").await;
                self.settle().await;
                self.send(&format!("{} a\n", self.next_id)).await;
            }
            Step::Oneway => _ = self.ask('O').await,
            Step::Bad => {
                let id = self.ask('X').await;
                self.asked.push(id);
                self.bad += 1;
            }
            Step::Heartbeat => self.send("H 0\n").await,
            Step::Stray => self.send("R 0 stray\n").await,
            Step::Answer(which) => self.respond(which, |request| Ok(answer(request, "R fine"))),
            Step::Unwritable(which) => self.respond(which, |request| Ok(answer(request, "R unwritable"))),
            Step::Refuse(which) => {
                self.respond(which, |_| Err(LocalReply::new(Reason::Denied, "no")));
            }
            Step::Lose(which) => drop(self.take(which)),
            Step::Swap => self.fixture.rules.swap(Rules::empty()),
            Step::Finish => {
                if let Some(client) = &mut self.client {
                    let _ = client.shutdown().await;
                }
            }
            Step::Drain => self.fixture.drain.begin(),
            Step::Leave => self.client = None,
            Step::Cut => self.fixture.drain.close(),
        }
        self.settle().await;
    }

    fn respond(&mut self, which: usize, response: impl FnOnce(&Request) -> Result<Response, LocalReply>) {
        let Some((request, responder)) = self.take(which) else { return };
        match response(&request) {
            Ok(_) if request.message.kind() == aeraki_codec::Kind::Oneway => responder.send_response(Response::Oneway),
            Ok(response) => responder.send_response(response),
            Err(reply) => responder.send_error(reply),
        }
    }

    /// Lets everybody do what they can, and takes what comes.
    async fn settle(&mut self) {
        loop {
            tokio::select! {
                biased;
                Some((request, responder)) = self.fixture.stack.next_request() => {
                    self.called += 1;
                    self.held.push((request, responder));
                }
                () = sleep(Duration::from_millis(1)) => break,
            }
        }
        let mut bytes = [0; 4096];
        while let Some(client) = &mut self.client {
            match timeout(Duration::from_millis(1), client.read(&mut bytes)).await {
                Ok(Ok(len @ 1..)) => self.received.push_str(&String::from_utf8_lossy(&bytes[..len])),
                _ => break,
            }
        }
    }

    /// Counts the answers by their ids, without heartbeats.
    fn answers(&self) -> BTreeMap<u64, u32> {
        let mut answers = BTreeMap::new();
        for line in self.received.lines().filter(|line| !line.starts_with('H')) {
            let id = line.split(' ').nth(1).and_then(|id| id.parse().ok()).expect("an id");
            *answers.entry(id).or_default() += 1;
        }
        answers
    }
}

async fn run(replies: Replies, in_flight: u32, steps: Vec<Step>, end: Step) {
    let mut run = Run::new(replies, in_flight);
    for step in steps {
        run.step(step).await;
    }
    run.step(end).await;
    while !run.held.is_empty() {
        run.step(Step::Answer(run.held.len())).await;
    }
    run.step(Step::Drain).await;
    timeout(Duration::from_secs(60), &mut run.fixture.served).await.expect("it ends").expect("no panic");
    run.settle().await;

    let records = run.fixture.count("request_time_ms");
    assert_eq!(run.fixture.count("request"), records, "one record for every request");
    assert_eq!(run.fixture.count("request_active"), 0);
    assert!(records >= run.called && records <= run.called + run.bad, "{records} {} {}", run.called, run.bad);
    let answers = run.answers();
    assert!(answers.values().all(|count| *count == 1), "{}", run.received);
    if replies == Replies::InOrder {
        let ids = run.received.lines().filter(|line| !line.starts_with('H')).map(|line| line.split(' ').nth(1));
        assert!(ids.map(|id| id.and_then(|id| id.parse::<u64>().ok())).is_sorted(), "{}", run.received);
    }
    if matches!(end, Step::Finish) {
        assert_eq!(answers.keys().copied().collect::<Vec<_>>(), run.asked, "every request is answered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn one_record_and_at_most_one_answer(
        in_order: bool,
        in_flight in 1_u32..5,
        steps in vec(step(), 0..30),
        end in ending(),
    ) {
        let replies = if in_order { Replies::InOrder } else { Replies::AnyOrder };
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(run(replies, in_flight, steps, end));
    }
}

//! Whatever both sides do, each hears what a naive model says, under its own ids and in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use tokio::runtime::Builder;

use super::*;

/// What happens next; the client speaks of streams by their ids, the server by the order of their openings.
#[derive(Clone, Copy, Debug)]
enum Step {
    Client(char, u64),
    Server(char, usize),
    /// The server closes its connection.
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    let client = prop_oneof![4 => Just('S'), 6 => Just('D'), 2 => Just('F'), 1 => Just('Z')];
    let server = prop_oneof![4 => Just('S'), 6 => Just('D'), 2 => Just('F'), 1 => Just('Z'), 1 => Just('E')];
    prop_oneof![
        10 => (client, 0..4u64).prop_map(|(kind, id)| Step::Client(kind, id)),
        10 => (server, any::<usize>()).prop_map(|(kind, which)| Step::Server(kind, which)),
        1 => Just(Step::Die),
    ]
}

/// A stream as both sides see it.
#[derive(Debug)]
struct Stream {
    /// The number of its opening.
    opening: usize,
    open: bool,
    early: Vec<String>,
    client_ended: bool,
    server_ended: bool,
}

/// What both sides are to hear; streams go by their ids to the client, by the number of their openings to the server.
#[derive(Debug, Default)]
struct Model {
    streams: BTreeMap<u64, Stream>,
    /// Streams whose end the client may not know.
    ended: BTreeSet<u64>,
    /// Openings that the present connection of the server has seen.
    openings: usize,
    total: usize,
    to_client: Vec<String>,
    to_server: Vec<String>,
}

impl Model {
    fn client(&mut self, kind: char, id: u64, text: &str) {
        let Some(stream) = self.streams.get_mut(&id) else { return self.client_to_none(kind, id, text) };
        if kind == 'S' {
            return self.to_client.push(format!("E {id} bad_request"));
        }
        if stream.client_ended && kind != 'Z' {
            return;
        }
        stream.client_ended |= kind != 'D';
        let line = format!("{kind} {} {text}", stream.opening);
        if stream.open {
            self.to_server.push(line);
        } else if kind == 'Z' {
            self.to_server.push(format!("Z {} unspecified", stream.opening));
        } else {
            stream.early.push(line);
        }
        if kind == 'Z' || (stream.client_ended && stream.server_ended) {
            self.streams.remove(&id);
        }
    }

    fn client_to_none(&mut self, kind: char, id: u64, text: &str) {
        if kind == 'S' {
            let opening = self.openings;
            let (open, early, client_ended, server_ended) = (false, Vec::new(), false, false);
            self.streams.insert(id, Stream { opening, open, early, client_ended, server_ended });
            self.to_server.push(format!("S {opening} {text}"));
            self.openings += 1;
            self.ended.remove(&id);
        } else {
            let known = if kind == 'D' { self.ended.contains(&id) } else { self.ended.remove(&id) };
            if !known && kind != 'Z' {
                self.to_client.push(format!("Z {id} bad_request"));
            }
        }
    }

    fn server(&mut self, kind: char, opening: usize, text: &str) {
        let Some((&id, stream)) = self.streams.iter_mut().find(|(_, stream)| stream.opening == opening) else { return };
        if (stream.server_ended && kind != 'Z') || (stream.open && kind == 'E') {
            return;
        }
        if !stream.open && kind != 'E' {
            stream.open = true;
            self.total += 1;
            self.to_server.append(&mut stream.early);
        }
        stream.server_ended |= kind == 'F' || kind == 'Z';
        self.to_client.push(format!("{kind} {id} {text}"));
        if kind == 'Z' || kind == 'E' || (stream.client_ended && stream.server_ended) {
            self.end(id);
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(stream) = self.streams.remove(&id)
            && !stream.client_ended
        {
            self.ended.insert(id);
        }
    }

    fn die(&mut self) {
        for (id, stream) in std::mem::take(&mut self.streams) {
            let kind = if stream.open { 'Z' } else { 'E' };
            self.to_client.push(format!("{kind} {id} upstream_closed"));
            if !stream.client_ended {
                self.ended.insert(id);
            }
        }
        self.openings = 0;
    }
}

/// The proxy beside the model.
struct Run {
    mesh: Mesh,
    server: Option<End>,
    /// The ids that the server knows, in the order of their openings.
    ids: Vec<u64>,
    model: Model,
    from_client: Vec<String>,
    from_server: Vec<String>,
}

impl Run {
    fn new() -> Self {
        let (ids, from_client, from_server) = Default::default();
        Self { mesh: Mesh::new(), server: None, ids, model: Model::default(), from_client, from_server }
    }

    async fn step(&mut self, number: usize, step: Step) {
        let text = number.to_string();
        match step {
            Step::Client(kind, id) => {
                self.mesh.client.send(&format!("{kind} {id} {text}\n")).await;
                self.model.client(kind, id, &text);
            }
            Step::Server(kind, which) => {
                let (Some(server), false) = (&mut self.server, self.ids.is_empty()) else { return };
                let opening = which % self.ids.len();
                server.send(&format!("{kind} {} {text}\n", self.ids[opening])).await;
                self.model.server(kind, opening, &text);
            }
            Step::Die => {
                if self.server.take().is_some() {
                    self.model.die();
                }
                self.ids.clear();
            }
        }
        self.listen().await;
    }

    /// Reads all that either side has been sent.
    async fn listen(&mut self) {
        settle().await;
        while let Some(line) = self.mesh.client.line_there().await {
            self.from_client.push(line);
        }
        // several streams that end at a time do so in no order
        let heard = std::mem::take(&mut self.from_client);
        let expected = std::mem::take(&mut self.model.to_client);
        assert_eq!(heard.iter().collect::<BTreeSet<_>>(), expected.iter().collect::<BTreeSet<_>>());
        assert_eq!(heard.len(), expected.len());
        if self.server.is_none() {
            self.server = self.mesh.servers.try_recv().ok().map(End::new);
        }
        let Some(server) = &mut self.server else { return };
        while let Some(line) = server.line_there().await {
            let mut words = line.splitn(3, ' ');
            let [kind, id, rest] = std::array::from_fn(|_| words.next().unwrap_or_default());
            let id: u64 = id.parse().expect("a number");
            if kind == "S" {
                self.ids.push(id);
            }
            let opening = self.ids.iter().position(|known| *known == id).expect("an id that was opened");
            self.from_server.push(format!("{kind} {opening} {rest}"));
        }
        assert_eq!(std::mem::take(&mut self.from_server), std::mem::take(&mut self.model.to_server));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn both_sides_hear_what_the_model_says(steps in vec(step(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new();
            for (number, step) in steps.into_iter().enumerate() {
                run.step(number, step).await;
            }
            let open = run.model.streams.values().filter(|stream| stream.open).count();
            assert_eq!(run.mesh.count("stream_active"), i64::try_from(open).expect("few"));
            assert_eq!(run.mesh.count("stream_total"), i64::try_from(run.model.total).expect("few"));
            run.mesh.client = End::new(tokio::io::duplex(1).0);
            settle().await;
            // what the client has asked for and ended is still waited for
            run.server = None;
            run.mesh.expect_rest().await;
            assert_eq!(run.mesh.budget.used(), 0);
        });
    }
}

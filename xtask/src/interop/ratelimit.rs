//! Suite `ratelimit`: envoyproxy/ratelimit beside our service, on one Redis, and asked by our client and our proxy.

mod upstream;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    backend::{self, Backend, Frames},
    frames::Wire,
    report::{Answer, Case, Comparison, Report, cases},
    way::Target,
};
use crate::peers::{
    install::{self, workspace},
    process::{Process, free_port},
    proxy::{Config, RateLimit, Routes, Software},
    redis::Redis,
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    let peers = Peers::start()?;
    let direct = peers.ask_all(Target::Direct, &peers.theirs)?;
    report.compare("their client", &[Target::Direct], &direct, RULES);
    if !targets.contains(&Target::Ours) {
        return Ok(());
    }
    let ours = Ours::build()?;
    let redis = format!("redis://127.0.0.1:{}", peers.redis.port);
    for (pair, store) in [("their client, our memory", None), ("their client, our redis", Some(redis.as_str()))] {
        peers.redis.forget()?;
        let answers = peers.ask_all(Target::Ours, &ours.serve(store)?)?;
        report.compare(pair, &[Target::Ours], &[direct.as_slice(), &answers].concat(), RULES);
    }
    peers.redis.forget()?;
    report.check("our client, their service", &ours.ask_all(&peers.theirs, &direct)?);
    report.check("one redis for both", &share(&ours, &ours.serve(Some(&redis))?, &peers.theirs)?);
    report.check("our proxy, their service", &through_proxy(&peers.theirs)?);
    peers.redis.forget()?;
    upstream::run(report, peers.theirs)
}

/// The software that is not ours.
struct Peers {
    client: PathBuf,
    redis: Redis,
    theirs: Service,
}

impl Peers {
    fn start() -> Result<Self> {
        let programs = install::go("ratelimit")?;
        let redis = Redis::start()?;
        let theirs = Service::theirs(&programs.join("server"), &redis)?;
        Ok(Self { client: programs.join("client"), redis, theirs })
    }

    /// Asks `service` every question, one after the other on one connection.
    fn ask_all(&self, target: Target, service: &Service) -> Result<Vec<Case>> {
        let mut command = Command::new(&self.client);
        command.arg(folder().join(QUESTIONS)).arg(format!("{target}:{}", service.port));
        cases(Process::start(&format!("ratelimit-client-{target}"), &mut command)?, LIMIT)
    }
}

/// A rate limit service, running until it is dropped.
struct Service {
    port: u16,
    _program: Process,
}

impl Service {
    fn start(name: &str, command: &mut Command, port: u16) -> Result<Self> {
        let mut program = Process::start(name, command)?;
        program.wait_listening(port, LIMIT)?;
        Ok(Self { port, _program: program })
    }

    /// Starts envoyproxy/ratelimit on `redis`.
    fn theirs(program: &Path, redis: &Redis) -> Result<Self> {
        let (port, http, debug) = (free_port()?, free_port()?, free_port()?);
        let mut command = Command::new(program);
        command.envs([("HOST", "127.0.0.1"), ("GRPC_HOST", "127.0.0.1"), ("DEBUG_HOST", "127.0.0.1")]);
        command
            .envs([("GRPC_PORT", port), ("PORT", http), ("DEBUG_PORT", debug)].map(|(key, of)| (key, of.to_string())));
        command.env("REDIS_SOCKET_TYPE", "tcp").env("REDIS_URL", format!("127.0.0.1:{}", redis.port));
        // reads `config` in the folder
        command.env("RUNTIME_ROOT", folder()).env("RUNTIME_WATCH_ROOT", "false").env("DISABLE_STATS", "true");
        Self::start("ratelimit-theirs", &mut command, port)
    }
}

/// Our client and our service.
struct Ours {
    client: PathBuf,
    server: PathBuf,
}

impl Ours {
    fn build() -> Result<Self> {
        let [client, server] = ["ratelimit-client", "ratelimit-server"].map(|program| install::cargo(program, "dev"));
        Ok(Self { client: client?, server: server? })
    }

    /// Starts our service, which counts in Redis at the URL `store`, or else in memory.
    fn serve(&self, store: Option<&str>) -> Result<Service> {
        let port = free_port()?;
        let mut command = Command::new(&self.server);
        command.arg("--config-dir").arg(folder().join("config")).args(["--addr", &format!("127.0.0.1:{port}")]);
        command.args(store.map(|url| ["--redis", url]).into_iter().flatten());
        Service::start("ratelimit-ours", &mut command, port)
    }

    /// Asks `service` every question that our client can ask; it must read the answer that their client read.
    fn ask_all(&self, service: &Service, direct: &[Case]) -> Result<Vec<Answer>> {
        let questions: Value = serde_json::from_slice(&fs::read(folder().join(QUESTIONS))?)?;
        let questions = questions.as_array().context("is no list of questions")?;
        let mut answers = Vec::new();
        for question in questions {
            let Some(arguments) = arguments(&question["request"]) else { continue };
            let read = direct.iter().find(|case| question["case"] == *case.name);
            let read = read.with_context(|| format!("their client did not ask {}", question["case"]))?;
            let promised = read.detail["overallCode"].as_str().unwrap_or("ERROR").to_owned();
            answers.push(Answer { name: read.name.clone(), promised, seen: self.ask(service, &arguments)? });
        }
        Ok(answers)
    }

    /// Returns what our client prints.
    fn ask(&self, service: &Service, arguments: &[String]) -> Result<String> {
        let mut command = Command::new(&self.client);
        command.args(["--timeout-ms", "20000", "--addr", &format!("127.0.0.1:{}", service.port)]).args(arguments);
        let client = Process::start("ratelimit-client-ours", &mut command)?;
        let answer = client.line(Instant::now() + LIMIT)?;
        client.succeeded()?;
        answer.context("our client printed nothing")
    }
}

/// Renders a question for our client; none for what it cannot ask: nothing, and what a descriptor brings along.
fn arguments(request: &Value) -> Option<Vec<String>> {
    let mut arguments = vec!["--domain".to_owned(), request["domain"].as_str()?.to_owned()];
    if let Some(hits) = request.get("hitsAddend") {
        arguments.extend(["--hits".to_owned(), hits.to_string()]);
    }
    let descriptors = request["descriptors"].as_array().filter(|descriptors| !descriptors.is_empty())?;
    for descriptor in descriptors {
        let entries = descriptor["entries"].as_array().filter(|entries| !entries.is_empty())?;
        if descriptor.as_object()?.len() > 1 {
            return None;
        }
        let pair = |entry: &Value| Some(format!("{}={}", entry["key"].as_str()?, entry["value"].as_str()?));
        arguments.push(entries.iter().map(pair).collect::<Option<Vec<_>>>()?.join(","));
    }
    Some(arguments)
}

/// Uses up a limit of five, three times at our service and twice at theirs; then both must refuse.
fn share(client: &Ours, ours: &Service, theirs: &Service) -> Result<Vec<Answer>> {
    let turns = [
        ("ours 1", ours, "OK"),
        ("theirs 2", theirs, "OK"),
        ("ours 3", ours, "OK"),
        ("theirs 4", theirs, "OK"),
        ("ours 5", ours, "OK"),
        ("theirs 6", theirs, "OVER_LIMIT"),
        ("ours 7", ours, "OVER_LIMIT"),
    ];
    let question = ["--domain", "shop", "group=red"].map(str::to_owned);
    let answer = |(name, service, promised): (&str, &Service, &str)| {
        let seen = client.ask(service, &question)?;
        Ok(Answer { name: name.to_owned(), promised: promised.to_owned(), seen })
    };
    turns.into_iter().map(answer).collect()
}

/// Calls a Thrift method of which five calls pass, and another one, on one connection through our proxy.
fn through_proxy(service: &Service) -> Result<Vec<Answer>> {
    let wire = Wire::Thrift;
    let backend = Backend::start(wire)?;
    let port = free_port()?;
    let config = Config {
        software: Software::Ours,
        routes: Routes::Thrift { methods: &["sayHello", "echo"], services: &[] },
        listeners: &[(port, &[backend.port])],
        concurrent: false,
        rate_limit: Some(RateLimit { port: service.port, domain: "production", method: "sayHello" }),
        fails_on_request: false,
    };
    let _proxy = config.start("ratelimit-proxy", Command::new(Software::Ours.binary("dev")?))?;
    let (mut stream, mut frames) = (backend::connect(port, LIMIT)?, Frames::new(wire));
    let refused = "exception 6";
    let calls =
        [("sayHello", "reply"); 5].into_iter().chain([("sayHello", refused), ("echo", "reply"), ("sayHello", refused)]);
    let answer = |(id, (method, promised)): (u32, (&str, &str))| {
        stream.write_all(&wire.request(method, "hello", id))?;
        let answer = frames.next(&mut stream)?.context("the proxy closed the connection")?;
        let seen = if wire.id(&answer) == Some(id) { wire.outcome(&answer) } else { "another id".to_owned() };
        Ok(Answer { name: format!("{method} {id}"), promised: promised.to_owned(), seen })
    };
    let answers = (1..).zip(calls).map(answer).collect::<Result<Vec<_>>>()?;
    backend.frames(6, LIMIT).context("what is not refused reaches the server")?;
    Ok(answers)
}

fn folder() -> PathBuf {
    workspace().join("peers/ratelimit")
}

const QUESTIONS: &str = "questions.json";
const RULES: Comparison = Comparison {
    free: &["quotas, one over", "quotas, all over"],
    defects: &[
        (Target::Direct, "quotas, one over", "the pinned version does not tell when an exhausted quota begins anew"),
        (Target::Direct, "quotas, all over", "the pinned version refuses nothing for a quota"),
    ],
};
const LIMIT: Duration = Duration::from_secs(30);

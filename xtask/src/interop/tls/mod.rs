//! Suite `tls`: the command line of OpenSSL as client and as server of our proxy, with certificates that it issued.

mod openssl;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};

use self::openssl::{Client, Server, WIRE};
use super::{
    backend::{self, Backend, Frames},
    report::{Answer, Report},
    way::Target,
};
use crate::peers::{
    certificates::{Authority, Pair, certificate, file, socket},
    install::{self, peers_dir},
    process::{Process, free_port},
    proxy::{Config, Software},
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    install::debian("openssl", "openssl")?;
    if !targets.contains(&Target::Ours) {
        return Ok(());
    }
    let bench = Bench::start()?;
    report.check("s_client -> our proxy", &bench.call_as_clients()?);
    report.check("our proxy -> s_server", &bench.call_servers()?);
    report.check("s_client -> our proxy, new certificates", &bench.rotate()?);
    // certificates for less than a second have expired by now
    report.check("expired", &bench.call_with_expired()?);
    Ok(())
}

/// A proxy with a listener for each case, and the servers behind it.
struct Bench {
    authority: Authority,
    other: Authority,
    clients: Clients,
    /// What the proxy shows to clients, replaced on the way.
    shown: Pair,
    ports: Ports,
    _backend: Backend,
    _servers: Vec<Server>,
    _proxy: Process,
}

/// What clients show.
struct Clients {
    web: Pair,
    cart: Pair,
    bank: Pair,
    foreign: Pair,
    expired: Pair,
}

/// Where the proxy listens.
struct Ports {
    mutual: u16,
    permissive: u16,
    /// In plain text, with what the call is to end in.
    upstream: Vec<(&'static str, u16, &'static str)>,
}

impl Bench {
    fn start() -> Result<Self> {
        let program = Software::Ours.binary("dev")?;
        let folder = peers_dir().join("run/tls");
        fs::create_dir_all(&folder)?;
        let (authority, other) = (Authority::new(&folder, "authority")?, Authority::new(&folder, "other")?);
        let clients = Clients::issue(&authority, &other)?;
        let shown = copy(&authority.issue("proxy", "IP:127.0.0.1", 2)?, &folder.join("shown"))?;
        let upstreams = Upstream::all(&authority, &other)?;
        let backend = Backend::start(WIRE)?;
        let (mutual, permissive) = (free_port()?, free_port()?);
        let mut entrances = vec![(mutual, backend.port), (permissive, backend.port)];
        let mut ports = Ports { mutual, permissive, upstream: Vec::new() };
        for upstream in &upstreams {
            let port = free_port()?;
            entrances.push((port, upstream.server.port));
            ports.upstream.push((upstream.name, port, upstream.promised));
        }
        let listeners: Vec<_> = entrances.iter().map(|(port, server)| (*port, std::slice::from_ref(server))).collect();
        let config = Config {
            software: Software::Ours,
            routes: WIRE.routes(),
            listeners: &listeners,
            concurrent: false,
            rate_limit: None,
            fails_on_request: false,
        };
        let proxy = config.start_changed("tls-proxy", Command::new(program), |bootstrap| {
            let resources = &mut bootstrap["static_resources"];
            let downstream = downstream(&shown, &authority);
            secure(&mut resources["listeners"][0], &downstream);
            make_permissive(&mut resources["listeners"][1], &downstream);
            // the listeners of the backend share its cluster
            let clusters = resources["clusters"].as_array_mut().into_iter().flatten().skip(2);
            clusters
                .zip(&upstreams)
                .for_each(|(cluster, upstream)| cluster["transport_socket"] = upstream.socket.clone());
            if let Some(clusters) = resources["clusters"].as_array_mut() {
                clusters.remove(1);
            }
        })?;
        let servers = upstreams.into_iter().map(|upstream| upstream.server).collect();
        Ok(Self { authority, other, clients, shown, ports, _backend: backend, _servers: servers, _proxy: proxy })
    }

    fn call_as_clients(&self) -> Result<Vec<Answer>> {
        let Clients { web, cart, bank, foreign, .. } = &self.clients;
        let (good, other) = (&self.authority, &self.other);
        let Ports { mutual, permissive, .. } = self.ports;
        let cases: [(_, _, &Authority, Option<&Pair>, &[&str], _); 9] = [
            ("version 1.3", mutual, good, Some(web), &["-tls1_3"], "reply"),
            ("version 1.2", mutual, good, Some(web), &["-tls1_2"], "reply"),
            ("an identity that no policy allows", mutual, good, Some(cart), &[], "exception 6"),
            ("another name", mutual, good, Some(bank), &[], "refused"),
            ("another authority", mutual, good, Some(foreign), &[], "refused"),
            ("no certificate", mutual, good, None, &["-tls1_3"], "refused"),
            ("no certificate in version 1.2", mutual, good, None, &["-tls1_2"], "refused"),
            ("a client that does not believe the proxy", mutual, other, Some(web), &[], "refused"),
            ("TLS to a permissive listener", permissive, good, Some(web), &[], "reply"),
        ];
        let mut answers = Vec::new();
        for (name, port, authority, shown, more, promised) in cases {
            answers.push(answer(name, promised, Client::connect(port, authority, shown, more)?.call()?));
        }
        // without an identity the policy that asks for one does not allow it
        answers.push(answer("plain text to a permissive listener", "exception 6", call_plain(permissive)?));
        answers.push(answer("plain text to another listener", "refused", call_plain(mutual)?));
        Ok(answers)
    }

    fn call_servers(&self) -> Result<Vec<Answer>> {
        let fresh = self.ports.upstream.iter().filter(|(name, ..)| *name != EXPIRED);
        fresh.map(|(name, port, promised)| Ok(answer(name, promised, call_plain(*port)?))).collect()
    }

    /// Replaces what the proxy shows while a connection is open.
    fn rotate(&self) -> Result<Vec<Answer>> {
        let connect = |authority| Client::connect(self.ports.mutual, authority, Some(&self.clients.web), &[]);
        let mut open = connect(&self.authority)?;
        let mut answers = vec![answer("before", "reply", open.call()?)];
        let renewed = self.other.issue("renewed", "IP:127.0.0.1", 2)?;
        // between the two files the pair does not fit together
        fs::copy(&renewed.chain, &self.shown.chain)?;
        answers.push(answer("while only one file is new", "reply", connect(&self.authority)?.call()?));
        fs::copy(&renewed.key, &self.shown.key)?;
        let deadline = Instant::now() + ROTATION;
        let mut seen = connect(&self.other)?.call()?;
        while seen == "refused" && Instant::now() < deadline {
            answers.push(answer("the open connection meanwhile", "reply", open.call()?));
            seen = connect(&self.other)?.call()?;
        }
        answers.push(answer("the new certificate", "reply", seen));
        answers.push(answer("the old one", "refused", connect(&self.authority)?.call()?));
        answers.push(answer("the connection that was open", "reply", open.call()?));
        Ok(answers)
    }

    fn call_with_expired(&self) -> Result<Vec<Answer>> {
        let seen = Client::connect(self.ports.mutual, &self.other, Some(&self.clients.expired), &[])?.call()?;
        let mut answers = vec![answer("client", "refused", seen)];
        for (name, port, promised) in self.ports.upstream.iter().filter(|(name, ..)| *name == EXPIRED) {
            answers.push(answer(name, promised, call_plain(*port)?));
        }
        Ok(answers)
    }
}

impl Clients {
    fn issue(authority: &Authority, other: &Authority) -> Result<Self> {
        Ok(Self {
            web: authority.issue("web", WEB, 2)?,
            cart: authority.issue("cart", "URI:spiffe://cluster.local/ns/shop/sa/cart", 2)?,
            bank: authority.issue("bank", "URI:spiffe://cluster.local/ns/bank/sa/web", 2)?,
            foreign: other.issue("foreign", WEB, 2)?,
            expired: authority.issue("expired", WEB, 0)?,
        })
    }
}

/// A server, how the proxy speaks to it, and what a call is to end in.
struct Upstream {
    name: &'static str,
    server: Server,
    socket: Value,
    promised: &'static str,
}

impl Upstream {
    fn all(authority: &Authority, other: &Authority) -> Result<Vec<Self>> {
        let spiffe = |authority: &Authority, name, days| authority.issue(name, SERVER, days);
        let server = spiffe(authority, "server", 2)?;
        let mine = authority.issue("proxy-client", "URI:spiffe://cluster.local/ns/shop/sa/proxy", 2)?;
        let by_uri = json!([{"san_type": "URI", "matcher": {"exact": SERVER.trim_start_matches("URI:")}}]);
        let elsewhere = json!([{"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/ns/bank/"}}]);
        let host = authority.issue("host", "DNS:shop.example", 2)?;
        let (verified, open) = (Some(authority), None);
        let failed = "exception 6";
        let cases = [
            ("both show certificates", &server, verified, json!({"sans": by_uri, "shown": mine.chain}), "reply"),
            ("by host name", &host, open, json!({"sni": "shop.example"}), "reply"),
            ("another host name", &host, open, json!({"sni": "bank.example"}), failed),
            ("another name", &server, open, json!({"sans": elsewhere}), failed),
            ("another authority", &spiffe(other, "server", 2)?, open, json!({"sans": by_uri}), failed),
            ("a server that wants a certificate", &server, verified, json!({"sans": by_uri}), failed),
            (EXPIRED, &spiffe(authority, "old-server", 0)?, open, json!({"sans": by_uri}), failed),
        ];
        let upstream = |(name, pair, clients, says, promised): (_, &Pair, Option<&Authority>, Value, _)| {
            let shown = says.get("shown").map(|_| &mine);
            let socket = upstream(authority, &says, shown);
            Ok(Self { name, server: Server::start(pair, clients)?, socket, promised })
        };
        cases.into_iter().map(upstream).collect()
    }
}

fn downstream(shown: &Pair, authority: &Authority) -> Value {
    let sans = json!([{"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/ns/shop/"}}]);
    socket(
        "DownstreamTlsContext",
        json!({
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [certificate(shown)],
                "validation_context": {"trusted_ca": file(&authority.certificate()), "match_typed_subject_alt_names": sans},
            },
        }),
    )
}

fn upstream(authority: &Authority, says: &Value, shown: Option<&Pair>) -> Value {
    let mut common = json!({"validation_context": {"trusted_ca": file(&authority.certificate())}});
    if let Some(sans) = says.get("sans") {
        common["validation_context"]["match_typed_subject_alt_names"] = sans.clone();
    }
    if let Some(pair) = shown {
        common["tls_certificates"] = json!([certificate(pair)]);
    }
    socket("UpstreamTlsContext", json!({"sni": says["sni"].as_str().unwrap_or_default(), "common_tls_context": common}))
}

/// Puts TLS on a listener, and a policy that allows one identity only.
fn secure(listener: &mut Value, socket: &Value) {
    let chain = &mut listener["filter_chains"][0];
    chain["transport_socket"] = socket.clone();
    let policy = json!({"name": "web", "rules": [{"from": [{"principals": {"values": [WEB.trim_start_matches("URI:spiffe://")]}}]}]});
    let filters = chain["filters"][0]["typed_config"]["metaProtocolFilters"].as_array_mut();
    let config = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization",
        "policies": [policy],
    });
    if let Some(filters) = filters {
        filters.insert(0, json!({"name": "aeraki.meta_protocol.filters.authorization", "config": config}));
    }
}

/// Lets a listener take plain text too.
fn make_permissive(listener: &mut Value, socket: &Value) {
    secure(listener, socket);
    let secured = &mut listener["filter_chains"][0];
    let mut plain = secured.clone();
    secured["filter_chain_match"] = json!({"transport_protocol": "tls"});
    plain["filter_chain_match"] = json!({"transport_protocol": "raw_buffer"});
    plain["transport_socket"] = json!({"name": "envoy.transport_sockets.raw_buffer"});
    if let Some(chains) = listener["filter_chains"].as_array_mut() {
        chains.push(plain);
    }
}

fn call_plain(port: u16) -> Result<String> {
    let (mut stream, mut frames) = (backend::connect(port, ROTATION)?, Frames::new(WIRE));
    stream.write_all(&WIRE.request("echo", "hello", 7))?;
    // a listener that wants TLS answers with an alert, or not at all
    let answer = frames.next(&mut stream).ok().flatten();
    Ok(answer.map_or_else(|| "refused".to_owned(), |answer| WIRE.outcome(&answer)))
}

fn copy(pair: &Pair, folder: &Path) -> Result<Pair> {
    fs::create_dir_all(folder)?;
    let to = |from: &PathBuf, name: &str| fs::copy(from, folder.join(name)).map(|_| folder.join(name));
    Ok(Pair { chain: to(&pair.chain, "chain.pem")?, key: to(&pair.key, "key.pem")? })
}

fn answer(name: &str, promised: &str, seen: String) -> Answer {
    Answer { name: name.to_owned(), promised: promised.to_owned(), seen }
}

const WEB: &str = "URI:spiffe://cluster.local/ns/shop/sa/web";
const SERVER: &str = "URI:spiffe://cluster.local/ns/shop/sa/server";
const EXPIRED: &str = "an expired server";
/// How long a change of files may take until it is in use.
const ROTATION: Duration = Duration::from_secs(30);

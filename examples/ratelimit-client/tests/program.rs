//! The program as its user meets it: what it prints, and how it ends.

use std::future::pending;

use aeraki_xds::ratelimit::{Limits, MemoryStore, Server};
use tokio::{net::TcpListener, process::Command};

/// Runs it; returns its exit code and what it says.
async fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratelimit-client"));
    let output = command.args(arguments).output().await.expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("is text").trim_end().to_owned())
}

/// Serves limits on a free port, for as long as the test runs.
async fn serve(text: &str) -> String {
    let limits = Limits::parse([("shop.yaml", text)]).expect("is valid");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    tokio::spawn(Server::new(limits, MemoryStore::default()).serve(listener, pending()));
    addr
}

#[tokio::test]
async fn a_question_counts() {
    let addr = serve(LIMITS).await;
    let ask = async |more: &[&str]| {
        let arguments = [["--timeout-ms", "20000", "--addr", &addr, "--domain", "shop"].as_slice(), more].concat();
        let (code, said) = run(&arguments).await;
        assert_eq!(code, Some(0), "{said}");
        said
    };
    assert_eq!(ask(&["--hits", "2", "user=ann"]).await, "OK");
    assert_eq!(ask(&["user=ann"]).await, "OK");
    assert_eq!(ask(&["user=ann"]).await, "OVER_LIMIT");
    assert_eq!(ask(&["user=bob,method=pay"]).await, "OK");
    assert_eq!(ask(&["colour=red", "user=bob,method=pay"]).await, "OVER_LIMIT");
    assert_eq!(ask(&["user="]).await, "OK");
}

#[tokio::test]
async fn what_has_no_answer_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let (code, said) = run(&["--addr", &addr, "--domain", "shop", "--timeout-ms", "1", "user=ann"]).await;
    assert_eq!((code, said), (Some(1), format!("ratelimit-client: cluster {addr:?}: no answer within 1ms")));
}

#[tokio::test]
async fn bad_arguments_are_told_with_the_usage() {
    let (code, said) = run(&["--domain", "shop", "user"]).await;
    let reason = "error: invalid value 'user' for '<DESCRIPTOR>...': \"user\" is not KEY=VALUE";
    assert!(code == Some(2) && said.starts_with(reason) && said.contains("--help"), "{code:?} {said}");
}

const LIMITS: &str = "
domain: shop
descriptors:
  - key: user
    rate_limit: { unit: year, requests_per_unit: 3 }
    descriptors: [{ key: method, rate_limit: { unit: year, requests_per_unit: 1 } }]
";

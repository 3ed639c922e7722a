//! Counters in Redis, played by a thread that knows what the store says.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use aeraki_xds::ratelimit::{Hit, RedisStore, Store, Unit, Window};

/// Takes one connection and counts; tells of every command that has to do with counters, and ends with its client.
fn redis() -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("the listener is bound"));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client comes");
        drop(listener);
        serve(&stream, &tell);
    });
    (url, told)
}

fn serve(mut stream: &TcpStream, tell: &Sender<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut counters = HashMap::<String, u64>::new();
    while let Some(command) = read_command(&mut reader) {
        let reply = match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["INCRBY", _, "13"] => "-ERR value is not an integer or out of range\r\n".to_owned(),
            ["INCRBY", key, by] => {
                let counter = counters.entry(key.to_owned()).or_default();
                *counter += by.parse::<u64>().expect("is a number");
                format!(":{counter}\r\n")
            }
            ["EXPIRE", ..] => ":1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        if matches!(command[0].as_str(), "INCRBY" | "EXPIRE") {
            tell.send(command).expect("the test listens");
        }
        stream.write_all(reply.as_bytes()).expect("the client reads");
    }
}

fn read_command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut line = || {
        let mut line = String::new();
        (reader.read_line(&mut line).expect("is text") > 0).then(|| line.trim_end().to_owned())
    };
    let count: usize = line()?.strip_prefix('*')?.parse().ok()?;
    (0..count).map(|_| line().and_then(|_length| line())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hit_is_an_incrby_and_an_expire() {
    let (url, told) = redis();
    let store = RedisStore::connect(&url).await.expect("is there");
    let hits = [
        Hit::new("shop", vec![("user", "ann"), ("method", "pay")], Window::at(Unit::Minute, 125)),
        Hit::new("shop", vec![("user", "ann")], Window::at(Unit::Second, 125)).with_addend(3),
        Hit::new("shop", vec![("user", "ann")], Window::at(Unit::Second, 125)).with_addend(4),
    ];
    assert_eq!(store.add(&hits).await.expect("counts"), [1, 3, 7]);
    for (key, addend, unit) in
        [("shop_user_ann_method_pay_120", "1", 60), ("shop_user_ann_125", "3", 1), ("shop_user_ann_125", "4", 1)]
    {
        assert_eq!(told.recv().expect("a command"), ["INCRBY", key, addend]);
        let expire = told.recv().expect("a command");
        assert_eq!(expire[..2], ["EXPIRE", key]);
        let seconds: u64 = expire[2].parse().expect("is a number");
        assert!((unit..unit + 300).contains(&seconds), "{seconds}");
    }

    let refused = [hits[0].clone().with_addend(13)];
    let error = store.add(&refused).await.expect_err("is refused").to_string();
    assert!(error.starts_with("the counters cannot be reached: ") && error.contains("out of range"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("redis://{}/", listener.local_addr().expect("the listener is bound"));
    drop(listener);
    let error = RedisStore::connect(&url).await.expect_err("nobody listens").to_string();
    assert!(error.starts_with("the counters cannot be reached: "), "{error}");
    let error = RedisStore::connect("http://127.0.0.1").await.expect_err("is no URL of Redis").to_string();
    assert!(error.starts_with("the counters cannot be reached: "), "{error}");
}

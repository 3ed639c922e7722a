//! The bootstrap that comes with the program.

use crate::{
    run,
    running::Running,
    serving::{call, connect, service},
    wire::Wire,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bootstrap.yaml");

#[test]
fn the_shipped_bootstrap_is_good_and_all_of_it_has_an_effect() {
    let (code, said) = run(&["--mode", "validate", "-c", FILE]);
    assert!(code == Some(0) && said.lines().count() == 1, "{code:?} {said}");
    assert!(said.trim_end().ends_with(&format!("{FILE}: the configuration is good")), "{said}");
}

#[tokio::test]
async fn the_shipped_bootstrap_is_served() {
    let (one, two) = (service(Wire::Dubbo, "v1").await, service(Wire::Dubbo, "v2").await);
    let text = std::fs::read_to_string(FILE).expect("it is there");
    let ports = [(15000, 0), (20880, 0), (20881, one), (20882, one), (20883, two)];
    let text = ports.iter().fold(text, |text, (shipped, free)| {
        let port = format!("port_value: {shipped}");
        assert!(text.contains(&port), "{port}");
        text.replace(&port, &format!("port_value: {free}"))
    });
    let proxy = Running::start(&text, &["--workers", "1"]).await;
    let mut client = connect(proxy.listener, Wire::Dubbo).await;
    let version = call(&mut client, Wire::Dubbo, 1).await;
    assert!(matches!(version.as_deref(), Some("v1" | "v2")), "{version:?}");
    let (_, stats) = proxy.get("/stats").await;
    for counted in ["authorization_allowed: 1\n", "request: 1\n"] {
        assert!(stats.contains(&format!("meta_protocol.dubbo.greeter.{counted}")), "{stats}");
    }
}

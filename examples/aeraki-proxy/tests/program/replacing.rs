//! Another configuration, and another process in place of one that serves.

use tokio::sync::watch;

use crate::{
    bootstrap, cluster, listener, protocol,
    running::Running,
    serving::{call, connect, service, serving},
    to_cluster,
    wire::Wire,
};

#[tokio::test]
async fn sighup_puts_the_file_in_force_under_open_connections() {
    let wire = Wire::Dubbo;
    let (one, two) = (service(wire, "v1").await, service(wire, "v2").await);
    let mut proxy = Running::start(&serving("dubbo", one), &["--workers", "2"]).await;
    let mut socket = connect(proxy.listener, wire).await;
    assert_eq!(call(&mut socket, wire, 1).await.as_deref(), Some("v1"));

    proxy.reload(&serving("dubbo", two)).await;
    proxy.wait_for("the configuration is in force").await;
    assert_eq!(call(&mut socket, wire, 2).await.as_deref(), Some("v2"), "on the same connection");

    proxy.reload(&bootstrap(&[listener(0, &format!("{}, {}", protocol("dubbo"), to_cluster("nowhere")))], &[])).await;
    let said = proxy.wait_for("the last good configuration stays").await;
    assert!(said.contains(&format!("{}: refused", proxy.path())) && said.contains("nowhere"), "{said}");
    assert_eq!(call(&mut socket, wire, 3).await.as_deref(), Some("v2"));
    let (_, stats) = proxy.get("/stats").await;
    for counted in ["config_update_success: 1\n", "config_update_rejected: 1\n"] {
        assert!(stats.contains(&format!("server.{counted}")), "{stats}");
    }

    let fields = format!("{}, {}", protocol("dubbo"), to_cluster("other"));
    proxy.reload(&bootstrap(&[listener(0, &fields)], &[cluster("other", one)])).await;
    proxy.wait_for("the configuration is in force").await;
    assert_eq!(call(&mut socket, wire, 4).await.as_deref(), Some("v1"));
}

#[tokio::test]
async fn a_process_takes_over_from_another_without_a_failed_call() {
    for (name, wire) in [("dubbo", Wire::Dubbo), ("thrift", Wire::Thrift)] {
        let port = service(wire, "v1").await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.sock").display().to_string();
        let arguments = ["--workers", "2", "--hot-restart-path", &path];
        let mut proxy = Running::start(&serving(name, port), &arguments).await;
        let address = proxy.listener;
        let (end, ends) = watch::channel(false);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let ends = ends.clone();
                tokio::spawn(async move {
                    let mut calls = 0;
                    while !*ends.borrow() {
                        calls += 1;
                        let mut socket = connect(address, wire).await;
                        assert_eq!(call(&mut socket, wire, calls).await.as_deref(), Some("v1"));
                    }
                    calls
                })
            })
            .collect();
        for _ in 0..2 {
            let next = Running::start(&serving(name, port), &arguments).await;
            assert_eq!((next.listener, next.admin), (proxy.listener, proxy.admin), "{name}");
            proxy.wait_for("a successor serves").await;
            assert!(proxy.ended().await.success(), "{name}");
            proxy = next;
        }
        end.send_replace(true);
        for caller in callers {
            assert!(caller.await.expect("no call has failed") > 0, "{name}");
        }
    }
}

//! The control plane: a folder of YAML, translated and served over gRPC.

use std::{net::SocketAddr, path::Path, sync::Arc};

use aeraki_kube::{Controller, FileOptions, FileSource, Options};
use aeraki_xds::{Publisher, Server, server::Event};
use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::InForce;

/// A running control plane; ends when it is dropped.
pub(crate) struct ControlPlane {
    /// Where it serves xDS.
    pub(crate) address: SocketAddr,
    /// What is in force.
    pub(crate) in_force: watch::Receiver<InForce>,
    _files: FileSource,
}

impl ControlPlane {
    /// Starts on the YAML files in `dir`; what is worth telling a person goes to `messages`.
    pub(crate) async fn start(dir: &Path, messages: &mpsc::UnboundedSender<String>) -> Result<Self> {
        let files = FileSource::open(dir, &FileOptions::default())?;
        let publisher = Publisher::new();
        let (tell, in_force) = watch::channel(InForce::default());
        tokio::spawn(tell_faults(files.faults(), messages.clone()));
        let refused = messages.clone();
        let controller = Controller::new(publisher.clone(), Options::default());
        tokio::spawn(controller.run(files.worlds(), move |translation| {
            for rejection in &translation.rejections {
                say(&refused, rejection.to_string());
            }
            tell.send_replace(InForce(translation.clone()));
        }));

        let listener = TcpListener::bind("127.0.0.1:0").await.context("the control plane's port")?;
        let address = listener.local_addr()?;
        let events = messages.clone();
        let server = Server::observed(publisher, move |event| tell_event(event, &events));
        tokio::spawn(server.serve(listener, std::future::pending()));
        Ok(Self { address, in_force, _files: files })
    }
}

async fn tell_faults(
    mut faults: watch::Receiver<Arc<[aeraki_kube::source::files::FileError]>>,
    messages: mpsc::UnboundedSender<String>,
) {
    while faults.changed().await.is_ok() {
        let faults: Vec<String> =
            faults.borrow().iter().map(|fault| format!("{fault}; the last good state stays")).collect();
        if faults.is_empty() {
            say(&messages, "all files are good again".to_owned());
        }
        faults.into_iter().for_each(|fault| say(&messages, fault));
    }
}

fn tell_event(event: &Event<'_>, messages: &mpsc::UnboundedSender<String>) {
    match event {
        Event::Acked { version, .. } => say(messages, format!("routes {version} are in force")),
        Event::Nacked { version, reason, .. } => say(messages, format!("routes {version} were refused: {reason}")),
        _ => {}
    }
}

fn say(messages: &mpsc::UnboundedSender<String>, message: String) {
    // nobody listens any more once the program ends
    let _ = messages.send(message);
}

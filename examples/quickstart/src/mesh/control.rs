//! The control plane: a folder of YAML, translated and served over gRPC.

use std::{net::SocketAddr, path::Path, sync::Arc};

use aeraki_kube::{Controller, FileOptions, FileSource, Options, Rejection, Translation, source::files::FileError};
use aeraki_xds::{Publisher, Server};
use anyhow::{Context, Result, bail};
use tokio::{net::TcpListener, sync::watch};

use super::{Messages, say};

/// A running control plane; ends when it is dropped.
pub(crate) struct ControlPlane {
    /// Where it serves xDS.
    pub(crate) address: SocketAddr,
    /// What it has published last.
    pub(crate) published: watch::Receiver<Translation>,
    _files: FileSource,
}

impl ControlPlane {
    /// Starts on the YAML files in `dir`, and publishes them.
    ///
    /// # Errors
    /// When anything in the folder is refused: there is no last good state yet.
    pub(crate) async fn start(dir: &Path, messages: &Messages) -> Result<Self> {
        let files = FileSource::open(dir, &FileOptions::default())?;
        let publisher = Publisher::new();
        let (tell, mut published) = watch::channel(Translation::default());
        tokio::spawn(tell_faults(files.faults(), messages.clone()));
        tokio::spawn(tell_rejections(published.clone(), messages.clone()));
        let controller = Controller::new(publisher.clone(), Options::default());
        tokio::spawn(controller.run(files.worlds(), move |translation| _ = tell.send_replace(translation.clone())));
        published.changed().await.context("the control plane has ended")?;
        if let Some(fault) = published.borrow().rejections.iter().find(|rejection| rejection.refuses()) {
            bail!("{fault}");
        }

        let listener = TcpListener::bind("127.0.0.1:0").await.context("the control plane's port")?;
        let address = listener.local_addr()?;
        tokio::spawn(Server::new(publisher).serve(listener, std::future::pending()));
        Ok(Self { address, published, _files: files })
    }

    /// Finds the name of the routes of a service.
    pub(crate) fn routes_of(&self, host: &str) -> Option<String> {
        let of_host = |name: &&String| name.rsplit_once('_').is_some_and(|(service, _)| service == host);
        self.published.borrow().routes.keys().find(of_host).cloned()
    }
}

/// Tells of files that cannot be read, and when all can be again.
async fn tell_faults(mut faults: watch::Receiver<Arc<[FileError]>>, messages: Messages) {
    let mut told = Vec::new();
    while faults.changed().await.is_ok() {
        let now =
            faults.borrow_and_update().iter().map(|fault| format!("{fault}; the last good state stays")).collect();
        tell(now, &mut told, "all files can be read again", &messages);
    }
}

/// Tells of objects that are refused, and when none is any more.
async fn tell_rejections(mut published: watch::Receiver<Translation>, messages: Messages) {
    let mut told = Vec::new();
    while published.changed().await.is_ok() {
        let now = published.borrow_and_update().rejections.iter().map(text).collect();
        tell(now, &mut told, "all objects are good again", &messages);
    }
}

/// Says what is wrong with an object, and what follows from it: only of one that is refused does the last good state
/// stay.
fn text(rejection: &Rejection) -> String {
    if rejection.refuses() { format!("{rejection}; the last good state stays") } else { rejection.to_string() }
}

/// Tells what is wrong now, unless it has been told.
fn tell(now: Vec<String>, told: &mut Vec<String>, all_is_well: &str, messages: &Messages) {
    if now != *told {
        if now.is_empty() {
            say(messages, all_is_well.to_owned());
        }
        now.iter().for_each(|fault| say(messages, fault.clone()));
        *told = now;
    }
}

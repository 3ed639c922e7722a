//! A folder of YAML files, watched.
//!
//! A file that cannot be read, or that is emptied, leaves its last good objects in force until it is mended; the others
//! go on. What goes with a file that is removed, or with a part of one, is logged by name. The files of the folder
//! itself are read, those of folders inside it are not; names that begin with a dot are skipped.

mod error;
mod folder;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use notify::{Config, Event, EventKind, PollWatcher, RecursiveMode, Watcher, event::AccessKind};
use tokio::sync::watch;

pub use self::error::{FileError, OpenError};
use self::folder::Folder;
use crate::world::{DEFAULT_DOMAIN, World};

/// Sets what files leave open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// The namespace of objects that name none; `default` unless set.
    pub namespace: String,
    /// What completes short host names; [`DEFAULT_DOMAIN`] unless set.
    pub domain: String,
}

impl FileOptions {
    /// Sets the namespace of objects that name none.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets what completes short host names.
    #[must_use]
    pub fn with_domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { namespace: "default".to_owned(), domain: DEFAULT_DOMAIN.to_owned() }
    }
}

/// Watches a folder of YAML files; dropping it ends the watch and closes its channels.
pub struct FileSource {
    worlds: watch::Receiver<Arc<World>>,
    faults: watch::Receiver<Arc<[FileError]>>,
    _watcher: Box<dyn Watcher + Send>,
}

impl FileSource {
    /// Reads a folder and begins to watch it.
    ///
    /// # Errors
    ///
    /// Fails where the folder cannot be read or watched, and where any file in it has a fault: there is no
    /// last good state yet.
    pub fn open(dir: impl AsRef<Path>, options: &FileOptions) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let (wake, woken) = mpsc::channel();
        // before the first look, so that no change falls between the two
        let watcher = watch_folder(dir, &wake)?;
        let mut folder = Folder::new(dir, options.clone());
        folder.refresh().map_err(|cause| OpenError::Folder { path: dir.to_owned(), cause })?;
        let faults = folder.faults();
        if !faults.is_empty() {
            return Err(OpenError::Faulty(faults));
        }
        let (worlds, world) = watch::channel(Arc::new(folder.world()));
        let (all_faults, faults) = watch::channel(Arc::from(faults));
        thread::spawn(move || run(&mut folder, &woken, &worlds, &all_faults));
        Ok(Self { worlds: world, faults, _watcher: watcher })
    }

    /// Subscribes to the state of the objects; the channel holds the current one.
    pub fn worlds(&self) -> watch::Receiver<Arc<World>> {
        self.worlds.clone()
    }

    /// Subscribes to the files that cannot be read now; the list is empty when all is well.
    pub fn faults(&self) -> watch::Receiver<Arc<[FileError]>> {
        self.faults.clone()
    }
}

impl std::fmt::Debug for FileSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSource").field("faults", &*self.faults.borrow()).finish_non_exhaustive()
    }
}

/// Wakes the reader on changes; where the system cannot tell of them, looks for them.
fn watch_folder(dir: &Path, wake: &mpsc::Sender<()>) -> Result<Box<dyn Watcher + Send>, OpenError> {
    let watched = told_of(dir, wake).or_else(|cause| {
        tracing::debug!(%cause, "the system cannot watch the folder, so it is polled");
        polled(dir, wake)
    });
    watched.map_err(|cause| OpenError::Watch { path: dir.to_owned(), cause })
}

fn told_of(dir: &Path, wake: &mpsc::Sender<()>) -> notify::Result<Box<dyn Watcher + Send>> {
    let mut watcher = notify::recommended_watcher(waker(wake))?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    Ok(Box::new(watcher))
}

fn polled(dir: &Path, wake: &mpsc::Sender<()>) -> notify::Result<Box<dyn Watcher + Send>> {
    let config = Config::default().with_poll_interval(POLL_INTERVAL).with_compare_contents(true);
    let mut watcher = PollWatcher::new(waker(wake), config)?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    Ok(Box::new(watcher))
}

fn waker(wake: &mpsc::Sender<()>) -> impl FnMut(notify::Result<Event>) + Send + 'static {
    let wake = wake.clone();
    move |event| {
        // reading a file is an event too, and must not lead to reading it again
        let idle = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(kind) if !is_write(kind)));
        if !idle {
            // the reader is gone only when the source is dropped
            _ = wake.send(());
        }
    }
}

fn is_write(kind: AccessKind) -> bool {
    matches!(kind, AccessKind::Close(notify::event::AccessMode::Write))
}

fn run(
    folder: &mut Folder,
    woken: &mpsc::Receiver<()>,
    worlds: &watch::Sender<Arc<World>>,
    all_faults: &watch::Sender<Arc<[FileError]>>,
) {
    while woken.recv().is_ok() && settle(woken) {
        match folder.refresh() {
            Ok(false) => {}
            Ok(true) => {
                let faults = folder.faults();
                faults.iter().for_each(|fault| tracing::error!("{fault}; the last good state stays"));
                worlds.send_replace(Arc::new(folder.world()));
                all_faults.send_replace(faults.into());
            }
            Err(error) => tracing::error!("{}: {error}; the last good state stays", folder.path().display()),
        }
    }
}

/// Waits until nothing has changed for a moment, for editors write in steps; false when the source is dropped.
fn settle(woken: &mpsc::Receiver<()>) -> bool {
    for _ in 0..MOST_STEPS {
        match woken.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

const QUIET: Duration = Duration::from_millis(100);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Events after which the folder is read even though it still changes.
const MOST_STEPS: usize = 1_000;

#[cfg(test)]
mod tests;

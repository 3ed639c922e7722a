//! Every feature in turn: its YAML is put in force, and calls show its effect.

mod checks;
mod probe;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

use self::{checks::CHECKS, probe::Probe};
use crate::{
    DUBBO_HOST,
    mesh::{ControlPlane, DataPlane},
    service::Seen,
    start_services,
};

/// Puts every feature in force on a copy of the folder `mesh`, and returns what was wrong.
pub(crate) async fn check_all(mesh: &Path) -> Result<Vec<String>> {
    let folder = copy(mesh)?;
    let (tell, mut messages) = mpsc::unbounded_channel();
    let control = ControlPlane::start(folder.path(), &tell).await?;
    let seen = Arc::new(Seen::default());
    let mut data = DataPlane::start(&control, &start_services(&seen).await?, &tell).await?;
    let address = data.address(DUBBO_HOST).context("a listener for the service")?;
    let mut faults = Vec::new();
    for (name, check) in CHECKS {
        let checked = async {
            put_in_force(name, folder.path(), &mut data).await?;
            let mut probe = Probe::connect(address, &seen).await?;
            timeout(PATIENCE, check(&mut probe)).await.context("it took too long")?
        };
        match checked.await {
            Ok(effect) => writeln!(io::stdout(), "{name:<18} {effect}")?,
            Err(error) => faults.push(format!("{name}: {error:#}")),
        }
    }
    while let Ok(message) = messages.try_recv() {
        if message.contains("refused") || message.contains("last good") {
            faults.push(message);
        }
    }
    data.shutdown().await;
    Ok(faults)
}

/// Copies the YAML files of a mesh, without the router of the service that features write routers for.
fn copy(mesh: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(mesh).with_context(|| mesh.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path)?;
            let kept: Vec<_> = text.split("\n---\n").filter(|document| !is_router_of_features(document)).collect();
            fs::write(folder.path().join(path.file_name().unwrap_or_default()), kept.join("\n---\n"))?;
        }
    }
    // the control plane starts with what the first feature is
    let (first, _) = CHECKS[0];
    fs::copy(yaml(first), folder.path().join(FEATURE))?;
    Ok(folder)
}

fn is_router_of_features(document: &str) -> bool {
    let has = |line: &str| document.lines().any(|known| known == line);
    has("kind: MetaRouter") && has("  name: dubbo-greeter")
}

/// Writes the file of a feature and waits until its first route, which has its name, is in force.
async fn put_in_force(name: &str, folder: &Path, data: &mut DataPlane) -> Result<()> {
    let fresh = folder.join("fresh");
    fs::copy(yaml(name), &fresh).with_context(|| yaml(name).display().to_string())?;
    fs::rename(fresh, folder.join(FEATURE))?;
    let in_force = async {
        while data.first_route(DUBBO_HOST).as_deref() != Some(name) {
            data.changed().await;
        }
    };
    let in_time = timeout(PATIENCE, in_force).await;
    ensure!(in_time.is_ok(), "its routes did not come into force");
    Ok(())
}

/// Returns the shipped file of a feature.
fn yaml(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("features").join(name).with_extension("yaml")
}

/// The file of the feature in force.
const FEATURE: &str = "feature.yaml";
const PATIENCE: Duration = Duration::from_secs(10);

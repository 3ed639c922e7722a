//! Every feature in turn: its YAML is put in force, and calls show its effect.

mod checks;
mod filters;
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

use self::{
    checks::{Check, FILTERS, OBJECTS},
    probe::Probe,
};
use crate::{
    DUBBO_HOST,
    mesh::{ControlPlane, DataPlane, Port},
    service::Seen,
    start_services,
};

/// Puts every feature in force: filters in a data plane of their own, objects in a copy of the folder `mesh`. Returns
/// what was wrong.
pub(crate) async fn check_all(mesh: &Path) -> Result<Vec<String>> {
    let folder = copy(mesh)?;
    let (tell, mut messages) = mpsc::unbounded_channel();
    let control = ControlPlane::start(folder.path(), &tell).await?;
    let seen = Arc::new(Seen::default());
    let services = start_services(&seen).await?;
    let mut faults = Vec::new();
    for (name, check) in FILTERS {
        let checked = async {
            let data = DataPlane::start(&control, &with_filters(name, &services)?, &tell).await?;
            let effect = effect(check, &data, &seen).await;
            data.shutdown().await;
            effect
        };
        note(name, checked.await, &mut faults)?;
    }
    let mut data = DataPlane::start(&control, &services, &tell).await?;
    for (name, check) in OBJECTS {
        let checked = async {
            put_in_force(name, folder.path(), &mut data).await?;
            effect(check, &data, &seen).await
        };
        note(name, checked.await, &mut faults)?;
    }
    while let Ok(message) = messages.try_recv() {
        if message.contains("refused") || message.contains("last good") {
            faults.push(message);
        }
    }
    data.shutdown().await;
    Ok(faults)
}

/// Returns what calls show of the feature in force.
async fn effect(check: Check, data: &DataPlane, seen: &Arc<Seen>) -> Result<String> {
    let mut probe = Probe::connect(data, seen).await?;
    timeout(PATIENCE, check(&mut probe)).await.context("it took too long")?
}

/// Shows the effect of a feature, or notes that it has none.
fn note(name: &str, checked: Result<String>, faults: &mut Vec<String>) -> Result<()> {
    match checked {
        Ok(effect) => writeln!(io::stdout(), "{name:<18} {effect}")?,
        Err(error) => faults.push(format!("{name}: {error:#}")),
    }
    Ok(())
}

/// Puts the filters of a feature before the service that features are shown with.
fn with_filters(name: &str, services: &[Port]) -> Result<Vec<Port>> {
    let path = yaml(name);
    let read = fs::read_to_string(&path).map_err(Into::into).and_then(|text| filters::read(&text));
    let read = read.with_context(|| path.display().to_string())?;
    let mut services = services.to_vec();
    services.iter_mut().filter(|port| port.host == DUBBO_HOST).for_each(|port| port.filters.clone_from(&read));
    Ok(services)
}

/// Copies the YAML files of a mesh; the router of the service that features write routers for is a file of its own.
fn copy(mesh: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(mesh).with_context(|| mesh.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path)?;
            let (routers, kept): (Vec<_>, Vec<_>) = text.split("\n---\n").partition(|it| is_router_of_features(it));
            fs::write(folder.path().join(path.file_name().unwrap_or_default()), kept.join("\n---\n"))?;
            if let Some(router) = routers.first() {
                fs::write(folder.path().join(FEATURE), router)?;
            }
        }
    }
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

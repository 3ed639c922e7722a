//! Route tables in a file, Envoy's `path_config_source`: the same resources that a control plane sends.

mod used;

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aeraki_route::SharedRules;
use aeraki_route::config::RouteConfig;
use prost::Name;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64;

use crate::client::{Event, UpdateStats};
use crate::convert::routes_from_http;
use crate::json::{self, Reader};
use crate::proto::envoy::config::route::v3::{RouteConfiguration, route_match::PathSpecifier};
use crate::proto::envoy::service::discovery::v3::DiscoveryResponse;

/// A file of route tables: an `envoy.service.discovery.v3.DiscoveryResponse` in YAML or JSON, whose `resources` are
/// `envoy.config.route.v3.RouteConfiguration`s.
pub struct RouteFile {
    path: PathBuf,
    stats: Arc<UpdateStats>,
    observer: Box<dyn Fn(&Event<'_>) + Send + Sync>,
}

impl RouteFile {
    /// Takes the tables of the file at `path`, which is read when they are asked for.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), stats: Arc::default(), observer: Box::new(|_| {}) }
    }

    /// Counts what becomes of the file when it [changes](Self::drive).
    #[must_use]
    pub fn with_stats(mut self, stats: Arc<UpdateStats>) -> Self {
        self.stats = stats;
        self
    }

    /// Tells `observer` what becomes of the file when it [changes](Self::drive). It must not block.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the table `name`.
    ///
    /// # Errors
    ///
    /// Names the file, the field and the reason: what is no YAML, unknown, of a wrong type or without any effect here,
    /// a table that is not there or there twice, and what [`routes_from_http`] refuses.
    pub fn read(&self, name: &str) -> Result<RouteConfig, RouteFileError> {
        let (_, table) = self.table(&self.text()?, name)?;
        Ok(table)
    }

    /// Keeps `rules` at what the file says of the table `name`, until the future is dropped. The file is read once a
    /// second, whatever its time and length are, which do not change with every text; it is parsed when its text has
    /// changed. Both are done where it may block. While the file cannot be used, the last good table stays in force.
    pub async fn drive(self: Arc<Self>, name: &str, rules: Arc<SharedRules>) {
        let mut last = Last::default();
        loop {
            let (this, table, seen) = (Arc::clone(&self), name.to_owned(), last.seen.clone());
            let news = spawn_blocking(move || this.news(&table, seen.as_ref())).await;
            // no news where the runtime ends
            self.take(news.unwrap_or_default(), name, &rules, &mut last);
            sleep(INTERVAL).await;
        }
    }

    /// Reads the table if the text of the file is not the one that was seen.
    fn news(&self, name: &str, seen: Option<&Seen>) -> Option<News> {
        let text = self.text();
        let now = text.as_ref().map(|text| xxh3_64(text.as_bytes())).map_err(Clone::clone);
        (seen != Some(&now)).then(|| (now, text.and_then(|text| self.table(&text, name))))
    }

    /// Puts a table in force that has come, or that its users have refused so far: they may take it later.
    fn take(&self, news: Option<News>, name: &str, rules: &SharedRules, last: &mut Last) {
        let table = match news {
            Some((seen, table)) => {
                *last = Last { seen: Some(seen), refused: None, told: last.told.take() };
                table
            }
            None => match last.refused.take() {
                Some(refused) => Ok(refused),
                None => return,
            },
        };
        let outcome = table.and_then(|(version, table)| match rules.update(&table) {
            Ok(()) => Ok(version),
            Err(error) => {
                last.refused = Some((version, table));
                Err(self.refuse(&error))
            }
        });
        // another text may have the version of the one before, and it is in force all the same
        if outcome.is_ok() || last.told.as_ref() != outcome.as_ref().err() {
            self.tell(name, &outcome);
        }
        last.told = outcome.err();
    }

    fn tell(&self, name: &str, outcome: &Result<String, RouteFileError>) {
        let reason = outcome.as_ref().map_err(ToString::to_string);
        let event = match &reason {
            Ok(version) => Event::Accepted { name, version },
            Err(reason) => Event::Rejected { name, version: "", reason },
        };
        self.stats.count(&event);
        (self.observer)(&event);
    }

    fn text(&self) -> Result<String, RouteFileError> {
        // others can be read once at most, or have no end
        if std::fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(self.refuse(&"is no ordinary file"));
        }
        let file = File::open(&self.path).map_err(|error| self.refuse(&error))?;
        let mut text = String::new();
        let read = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| self.refuse(&error))?;
        if read as u64 > MOST_BYTES {
            return Err(self.refuse(&format!("is larger than {MOST_BYTES} bytes")));
        }
        Ok(text)
    }

    fn table(&self, text: &str, name: &str) -> Result<(String, RouteConfig), RouteFileError> {
        table(text, name).map_err(|error| self.refuse(&error))
    }

    fn refuse(&self, reason: &dyn fmt::Display) -> RouteFileError {
        RouteFileError { path: self.path.clone(), reason: reason.to_string() }
    }
}

impl fmt::Debug for RouteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The hash of a text, or why there was none.
type Seen = Result<u64, RouteFileError>;

/// What is seen, and the version and table in it.
type News = (Seen, Result<(String, RouteConfig), RouteFileError>);

/// What became of a file before.
#[derive(Default)]
struct Last {
    seen: Option<Seen>,
    /// The version and table that those who judge by it do not take.
    refused: Option<(String, RouteConfig)>,
    /// The refusal that was told last, unless a table has come into force since.
    told: Option<RouteFileError>,
}

/// Why a table of a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
#[non_exhaustive]
pub struct RouteFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and where in the file.
    pub reason: String,
}

/// Finds a table in the text of a file, and its version: what the text says, or else what tells texts apart.
fn table(text: &str, name: &str) -> Result<(String, RouteConfig), Box<dyn Error + Send + Sync>> {
    let descriptor = json::descriptor(&DiscoveryResponse::full_name()).ok_or("this build reads no such file")?;
    let mut reader = Reader::new(used::of);
    let document = json::from_yaml(text)?;
    check_document(&document)?;
    let response: DiscoveryResponse = reader.read(&descriptor, &document)?.transcode_to()?;
    let mut found = None;
    for (index, resource) in response.resources.iter().enumerate() {
        let at = |error: &dyn fmt::Display| format!("resources[{index}]: {error}");
        let table: RouteConfiguration = resource.unpack().map_err(|error| at(&error))?;
        if table.name == name && found.replace(table).is_some() {
            return Err(at(&format!("there are two tables {name:?}")).into());
        }
    }
    if let Some(path) = reader.into_unused().first() {
        return Err(format!("{path}: has no effect here").into());
    }
    let table = found.ok_or_else(|| format!("there is no table {name:?} in it"))?;
    check_matches(&table)?;
    let version = Some(response.version_info).filter(|version| !version.is_empty());
    let version = version.unwrap_or_else(|| format!("{:016x}", xxh3_64(text.as_bytes())));
    Ok((version, routes_from_http(&table)?))
}

/// Refuses a table that stands in the file by itself with more than that its fields are unknown.
fn check_document(document: &Value) -> Result<(), &'static str> {
    match document.get("virtual_hosts").or_else(|| document.get("virtualHosts")) {
        Some(_) => Err("is a RouteConfiguration by itself: it must be one of the `resources` of a DiscoveryResponse"),
        None => Ok(()),
    }
}

/// Refuses what would match less than everything in HTTP: requests have neither hosts nor paths here.
fn check_matches(table: &RouteConfiguration) -> Result<(), String> {
    let name = &table.name;
    for (index, host) in table.virtual_hosts.iter().enumerate() {
        let host_at = format!("route configuration {name:?}: virtual_hosts[{index}]");
        if host.domains.iter().any(|domain| domain != "*") {
            return Err(format!("{host_at}.domains: must be '*': requests have no hosts"));
        }
        for (index, route) in host.routes.iter().enumerate() {
            match route.r#match.as_ref().and_then(|matched| matched.path_specifier.as_ref()) {
                Some(PathSpecifier::Prefix(prefix)) if !matches!(&**prefix, "" | "/") => {
                    return Err(format!(
                        "{host_at}.routes[{index}].match.prefix: must be empty: requests have no paths"
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// As much as a control plane may send at a time.
const MOST_BYTES: u64 = 64 << 20;
/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

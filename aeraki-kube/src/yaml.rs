//! Objects in YAML, as users write them.

mod reason;
mod unknown;

use std::{fmt, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_saphyr::Error;

use self::reason::reason;
use crate::{
    crd::{ApplicationProtocolSpec, DubboAuthorizationPolicySpec, MetaAuthorizationPolicySpec, MetaRouterSpec},
    istio::{DestinationRuleSpec, ServiceEntrySpec, ServiceSpec},
    object::{Object, Resource},
    world::AnyObject,
};

/// Holds one document of a text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Document {
    /// An object of a kind that is used.
    Object(Box<AnyObject>),
    /// An object of another kind.
    Other {
        /// Its API version and kind, such as `apps/v1 Deployment`.
        kind: String,
        /// Where it was read, such as `mesh/app.yaml:7`.
        origin: Arc<str>,
    },
}

impl Document {
    /// Takes the object, if its kind is used.
    pub fn into_object(self) -> Option<AnyObject> {
        match self {
            Self::Object(object) => Some(*object),
            Self::Other { .. } => None,
        }
    }
}

/// Reads the documents of a YAML text; `file` names it in origins and errors. Empty documents are skipped.
///
/// # Errors
///
/// The first document that is not YAML, that lacks a kind, that has a field or value its kind does not know, or whose
/// kind or API version is surely that of a kind which is read here, misspelt.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, YamlError> {
    documents(text).filter(|document| !document.is_blank()).map(|document| document.parse(file)).collect()
}

/// Names the place in a YAML text that cannot be read, and why: `mesh/greet.yaml:7:5: spec.hosts: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct YamlError {
    /// The text's name.
    pub file: String,
    /// The line, from 1; 0 where it is not known.
    pub line: usize,
    /// The column, from 1; 0 where it is not known.
    pub column: usize,
    /// The path of the field, such as `spec.routes[0].match`; empty where the text is not YAML.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, field, reason } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if field.is_empty() { f.write_str(reason) } else { write!(f, "{field}: {reason}") }
    }
}

impl std::error::Error for YamlError {}

/// One document, and the line on which it starts, from 0.
struct Source<'a> {
    line: usize,
    text: &'a str,
}

impl Source<'_> {
    fn is_blank(&self) -> bool {
        self.text.lines().map(strip_marker).all(|line| line.is_empty() || line.starts_with('#'))
    }

    fn parse(&self, file: &str) -> Result<Document, YamlError> {
        let Header { api_version, kind } = self.read(file)?;
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let object = match (group, kind.as_str()) {
            (MetaRouterSpec::GROUP, MetaRouterSpec::KIND) => AnyObject::MetaRouter(self.object(file)?),
            (ApplicationProtocolSpec::GROUP, ApplicationProtocolSpec::KIND) => {
                AnyObject::ApplicationProtocol(self.object(file)?)
            }
            (MetaAuthorizationPolicySpec::GROUP, MetaAuthorizationPolicySpec::KIND) => {
                AnyObject::MetaAuthorizationPolicy(self.object(file)?)
            }
            (DubboAuthorizationPolicySpec::GROUP, DubboAuthorizationPolicySpec::KIND) => {
                AnyObject::DubboAuthorizationPolicy(self.object(file)?)
            }
            (ServiceEntrySpec::GROUP, ServiceEntrySpec::KIND) => AnyObject::ServiceEntry(self.object(file)?),
            (DestinationRuleSpec::GROUP, DestinationRuleSpec::KIND) => AnyObject::DestinationRule(self.object(file)?),
            (ServiceSpec::GROUP, ServiceSpec::KIND) => AnyObject::Service(self.object(file)?),
            _ => return self.other(file, &api_version, &kind),
        };
        Ok(Document::Object(Box::new(object)))
    }

    /// Takes an object of another kind, unless that is a slip of the pen.
    fn other(&self, file: &str, api_version: &str, kind: &str) -> Result<Document, YamlError> {
        let Some((field, reason)) = unknown::fault(api_version, kind) else {
            return Ok(Document::Other { kind: format!("{api_version} {kind}"), origin: self.origin(file) });
        };
        let Named { metadata } = self.read(file).unwrap_or_default();
        let name = match (metadata.namespace.as_str(), metadata.name.as_str()) {
            (_, "") => "without a name".to_owned(),
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        };
        let is_field = |line: &str| line.strip_prefix(field).is_some_and(|rest| rest.trim_start().starts_with(':'));
        let line = self.text.lines().map(strip_marker).position(is_field).unwrap_or(0) + self.line + 1;
        let reason = format!("{kind} {name}: {reason}");
        Err(YamlError { file: file.to_owned(), line, column: 1, field: field.to_owned(), reason })
    }

    fn object<S: Resource + DeserializeOwned>(&self, file: &str) -> Result<Object<S>, YamlError> {
        let mut object: Object<S> = self.read(file)?;
        object.origin = Some(self.origin(file));
        Ok(object)
    }

    fn read<T: DeserializeOwned>(&self, file: &str) -> Result<T, YamlError> {
        let mut path = None;
        let options = serde_saphyr::options! { with_snippet: false };
        let read = serde_saphyr::with_deserializer_from_str_with_options(self.text, options, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                path = Some(error.path().to_string());
                error.into_inner()
            })
        });
        read.map_err(|error| self.error(file, &error, path.unwrap_or_default()))
    }

    fn error(&self, file: &str, error: &Error, field: String) -> YamlError {
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (line, column) = error.location().map_or((0, 0), |at| (place(at.line()) + self.line, place(at.column())));
        let (file, reason) = (file.to_owned(), reason(error));
        YamlError { file, line, column, field: field.trim_end_matches(['.', '?']).to_owned(), reason }
    }

    fn origin(&self, file: &str) -> Arc<str> {
        let body = self.text.lines().map(strip_marker).position(|line| !line.is_empty() && !line.starts_with('#'));
        format!("{file}:{}", self.line + body.unwrap_or(0) + 1).into()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: String,
    kind: String,
}

/// What an object of any kind is called, as far as it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: NamedMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedMetadata {
    name: String,
    namespace: String,
}

/// Cuts a text before each `---` and behind each `...`: YAML allows neither at the start of a line inside a document.
fn documents(text: &str) -> impl Iterator<Item = Source<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut line, mut first_line, mut at) = (0, 0, 0, 0);
    for content in text.split_inclusive('\n') {
        let end = at + content.len();
        let cut = match content.get(..3) {
            Some("---") if is_marker(content) => Some((at, line)),
            Some("...") if is_marker(content) => Some((end, line + 1)),
            _ => None,
        };
        if let Some((cut, cut_line)) = cut {
            documents.push(Source { line: first_line, text: &text[start..cut] });
            (start, first_line) = (cut, cut_line);
        }
        (at, line) = (end, line + 1);
    }
    documents.push(Source { line: first_line, text: &text[start..] });
    documents.into_iter()
}

fn is_marker(line: &str) -> bool {
    line[3..].is_empty() || line[3..].starts_with(char::is_whitespace)
}

fn strip_marker(line: &str) -> &str {
    let content = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
    content.unwrap_or(line).trim()
}

#[cfg(test)]
mod tests;

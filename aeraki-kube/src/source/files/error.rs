//! What can be wrong with a folder of files.

use std::{io, path::PathBuf, sync::Arc};

use crate::{object::ObjectRef, yaml::YamlError};

/// Tells why a file's last good objects stay in force.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: Arc<io::Error>,
    },
    /// The file had objects and holds nothing any more.
    #[error("{}: is empty; remove the file to remove its objects", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what it should be.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The file defines an object that is defined already.
    #[error("{object}: metadata.name: is defined at {first} already")]
    Duplicate {
        /// The object.
        object: ObjectRef,
        /// Where it is defined.
        first: Arc<str>,
    },
}

/// Tells why a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be read.
    #[error("{}: {cause}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The folder cannot be watched.
    #[error("{}: cannot be watched: {cause}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        cause: notify::Error,
    },
    /// Some of its files have a fault, one a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faulty(Vec<FileError>),
}

//! The files of a folder, their last good objects and their faults.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{FileError, FileOptions};
use crate::{
    object::ObjectRef,
    world::{AnyObject, World},
    yaml::{self, Document},
};

/// Holds what was last read of a folder.
pub(super) struct Folder {
    path: PathBuf,
    options: FileOptions,
    files: BTreeMap<PathBuf, File>,
}

/// One file.
#[derive(Default)]
struct File {
    /// What was last read of it, good or bad.
    text: String,
    /// The objects in force.
    good: Vec<AnyObject>,
    /// The objects that come into force, unless another file has one of them too.
    next: Option<Vec<AnyObject>>,
    fault: Option<FileError>,
}

impl Folder {
    /// Makes a folder that has not been read yet.
    pub(super) fn new(path: &Path, options: FileOptions) -> Self {
        Self { path: path.to_owned(), options, files: BTreeMap::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what has changed, and tells whether anything has.
    pub(super) fn refresh(&mut self) -> io::Result<bool> {
        let texts = read_texts(&self.path)?;
        let (files, objects) = (self.files.len(), self.references());
        self.files.retain(|path, _| texts.contains_key(path));
        let mut changed = self.files.len() < files;
        for (path, text) in texts {
            let file = self.files.entry(path.clone()).or_default();
            changed |= file.read(&path, text, &self.options);
        }
        if changed {
            self.retry_duplicates();
            self.put_in_force();
            self.log_removed(&objects);
        }
        Ok(changed)
    }

    /// Indexes the objects in force.
    pub(super) fn world(&self) -> World {
        let objects = self.files.values().flat_map(|file| file.good.iter().cloned());
        World::new(objects, &self.options.domain)
    }

    /// Lists the files whose last good objects are in force although they say something else.
    pub(super) fn faults(&self) -> Vec<FileError> {
        self.files.values().filter_map(|file| file.fault.clone()).collect()
    }

    /// Tells which objects are in force, and where they stand.
    fn references(&self) -> BTreeMap<Key, ObjectRef> {
        let objects = self.files.values().flat_map(|file| &file.good).map(AnyObject::reference);
        objects.map(|object| (key(&object), object)).collect()
    }

    /// Names what was in force before and is no more: a policy that goes lets requests in.
    fn log_removed(&self, before: &BTreeMap<Key, ObjectRef>) {
        let now = self.references();
        for (_, object) in before.iter().filter(|(key, _)| !now.contains_key(*key)) {
            tracing::info!("{object}: is removed");
        }
    }

    /// Gives another chance to files that were refused because of an object that may have left its file since.
    fn retry_duplicates(&mut self) {
        for (path, file) in &mut self.files {
            if matches!(file.fault, Some(FileError::Duplicate { .. })) {
                file.load(path, &self.options);
            }
        }
    }

    /// Brings into force what was read, except files that define what another one defines.
    fn put_in_force(&mut self) {
        while let Some((path, fault)) = self.find_duplicate() {
            // the objects in force have no duplicates, so that one of the two is new
            let file = self.files.entry(path).or_default();
            file.next = None;
            file.fault = Some(fault);
        }
        for file in self.files.values_mut() {
            if let Some(next) = file.next.take() {
                file.good = next;
            }
        }
    }

    fn find_duplicate(&self) -> Option<(PathBuf, FileError)> {
        let mut seen = BTreeMap::<Key, (&PathBuf, &File, ObjectRef)>::new();
        for (path, file) in &self.files {
            for object in file.next.as_ref().unwrap_or(&file.good) {
                let object = object.reference();
                let known = seen.insert(key(&object), (path, file, object.clone()));
                let Some((first_path, first_file, first)) = known else { continue };
                let (path, object, other) = if file.next.is_some() || first_file.next.is_none() {
                    (path, object, first)
                } else {
                    (first_path, first, object)
                };
                return Some((path.clone(), FileError::Duplicate { object, first: other.origin.unwrap_or_default() }));
            }
        }
        None
    }
}

impl File {
    /// Takes what was read, and tells whether it is new.
    fn read(&mut self, path: &Path, text: io::Result<String>, options: &FileOptions) -> bool {
        match text {
            Ok(text) if text == self.text && !matches!(self.fault, Some(FileError::Read { .. })) => false,
            Ok(text) => {
                self.text = text;
                self.load(path, options);
                true
            }
            Err(cause) => {
                let known = matches!(self.fault, Some(FileError::Read { .. }));
                self.fault = Some(FileError::Read { path: path.to_owned(), cause: Arc::new(cause) });
                !known
            }
        }
    }

    fn load(&mut self, path: &Path, options: &FileOptions) {
        // written in two steps, or on a full disk: whoever means it removes the file
        if !self.good.is_empty() && self.text.trim().is_empty() {
            (self.next, self.fault) = (None, Some(FileError::Empty { path: path.to_owned() }));
            return;
        }
        match yaml::parse(&path.display().to_string(), &self.text) {
            Ok(documents) => {
                let objects = documents.into_iter().inspect(log_unused).filter_map(Document::into_object);
                let objects = objects.map(|object| object.in_namespace(&options.namespace));
                (self.next, self.fault) = (Some(objects.collect()), None);
            }
            Err(error) => (self.next, self.fault) = (None, Some(error.into())),
        }
    }
}

/// What an object is called, wherever it stands: kind, namespace and name.
type Key = (&'static str, String, String);

fn key(object: &ObjectRef) -> Key {
    (object.kind, object.namespace.clone(), object.name.clone())
}

fn log_unused(document: &Document) {
    if let Document::Other { kind, origin } = document {
        tracing::info!("{origin}: {kind} is not used here");
    }
}

/// Reads the YAML files of a folder; one that vanishes meanwhile is as good as absent.
fn read_texts(dir: &Path) -> io::Result<BTreeMap<PathBuf, io::Result<String>>> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !is_yaml(&path) {
            continue;
        }
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            text => {
                texts.insert(path, text);
            }
        }
    }
    Ok(texts)
}

fn is_yaml(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !hidden && !path.is_dir()
}

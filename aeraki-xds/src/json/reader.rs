use std::collections::{BTreeMap, HashMap};

use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Field,
};
use serde_json::{Map, Value};

use super::{JsonError, descriptor, wanted};

/// What the caller does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It takes some of the fields inside.
    Inside,
    /// It takes all that is inside.
    Whole,
    /// It has no use for it.
    None,
}

/// Reads one document, and notes which of its fields are of no use.
pub(crate) struct Reader<U> {
    used: U,
    path: String,
    unused: Vec<String>,
    /// Within something that is used whole or not at all.
    settled: bool,
}

impl<U: Fn(&FieldDescriptor) -> Use> Reader<U> {
    pub(crate) fn new(used: U) -> Self {
        Self { used, path: String::new(), unused: Vec::new(), settled: false }
    }

    /// Returns the paths of the fields that were there and are of no use; only the outermost of each.
    pub(crate) fn into_unused(self) -> Vec<String> {
        self.unused
    }

    pub(crate) fn read(&mut self, message: &MessageDescriptor, value: &Value) -> Result<DynamicMessage, JsonError> {
        match message.full_name() {
            "google.protobuf.Any" => self.any(message, value),
            name if name.starts_with("google.protobuf.") => self.deserialize(message, value),
            _ => self.fields(message, self.object(value)?, &[]),
        }
    }

    fn fields(
        &mut self,
        message: &MessageDescriptor,
        object: &Map<String, Value>,
        skip: &[&str],
    ) -> Result<DynamicMessage, JsonError> {
        let mut read = DynamicMessage::new(message.clone());
        let mut members = BTreeMap::new();
        let given = object.iter().filter(|(key, value)| !value.is_null() && !skip.contains(&key.as_str()));
        for (key, value) in given {
            let outer = self.enter(key);
            let field = message.get_field_by_name(key).or_else(|| message.get_field_by_json_name(key));
            let field = field.ok_or_else(|| self.refuse(format!("{} has no such field", message.full_name())))?;
            // A field excludes itself in its other spelling, and the other members of its `oneof`.
            let slot =
                field.containing_oneof().map_or_else(|| field.name().to_owned(), |oneof| oneof.name().to_owned());
            if let Some(other) = members.insert(slot, key) {
                return Err(self.refuse(format!("excludes {other:?}, which is given too")));
            }
            let value = self.field(&field, value)?;
            read.set_field(&field, value);
            self.path.truncate(outer);
        }
        Ok(read)
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value) -> Result<Field, JsonError> {
        let settled_before = self.settled;
        if !self.settled {
            match (self.used)(field) {
                Use::Inside => {}
                Use::Whole => self.settled = true,
                Use::None => {
                    self.unused.push(self.path.clone());
                    self.settled = true;
                }
            }
        }
        let read = match field.kind() {
            Kind::Message(_) if field.is_map() => self.map(field, value)?,
            Kind::Message(message) if field.is_list() => self.list(&message, value)?,
            Kind::Message(message) => Field::Message(self.read(&message, value)?),
            _ => self.scalar(field, value)?,
        };
        self.settled = settled_before;
        Ok(read)
    }

    fn list(&mut self, message: &MessageDescriptor, value: &Value) -> Result<Field, JsonError> {
        let mut items = Vec::new();
        for (index, item) in as_list(value).iter().enumerate() {
            let outer = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            items.push(Field::Message(self.read(message, item)?));
            self.path.truncate(outer);
        }
        Ok(Field::List(items))
    }

    fn map(&mut self, field: &FieldDescriptor, value: &Value) -> Result<Field, JsonError> {
        let Kind::Message(entry) = field.kind() else { return self.scalar(field, value) };
        let (key, item) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let (Kind::String, Kind::Message(message)) = (key, item) else { return self.scalar(field, value) };
        let mut entries = HashMap::new();
        for (key, value) in self.object(value)? {
            let outer = self.enter(key);
            entries.insert(MapKey::String(key.clone()), Field::Message(self.read(&message, value)?));
            self.path.truncate(outer);
        }
        Ok(Field::Map(entries))
    }

    fn scalar(&mut self, field: &FieldDescriptor, value: &Value) -> Result<Field, JsonError> {
        if !field.is_list() {
            return self.alone(field, value.clone(), value);
        }
        let mut items = Vec::new();
        for (index, item) in as_list(value).iter().enumerate() {
            let outer = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            let read = self.alone(field, Value::from(std::slice::from_ref(item)), item)?;
            items.extend(read.as_list().into_iter().flatten().cloned());
            self.path.truncate(outer);
        }
        Ok(Field::List(items))
    }

    /// Has the library read the one field, as if it were alone in its message; `shown` is what is refused.
    fn alone(&self, field: &FieldDescriptor, value: Value, shown: &Value) -> Result<Field, JsonError> {
        let alone = Value::from(Map::from_iter([(field.json_name().to_owned(), value)]));
        let mut message = strictly(field.parent_message(), &alone).map_err(|error| {
            self.refuse(wanted::by_field(field).map_or(error, |wanted| wanted::refusal(&wanted, shown)))
        })?;
        Ok(message.take_field(field).unwrap_or_else(|| Field::default_value_for_field(field)))
    }

    fn any(&mut self, message: &MessageDescriptor, value: &Value) -> Result<DynamicMessage, JsonError> {
        let object = self.object(value)?;
        let type_url = object.get("@type").and_then(Value::as_str).ok_or_else(|| self.refuse("@type is required"))?;
        let inner = descriptor(type_url).ok_or_else(|| self.refuse(format!("the type {type_url:?} is unknown")))?;
        let inner = match object.get("value") {
            Some(value) if inner.full_name().starts_with("google.protobuf.") => self.read(&inner, value)?,
            _ => self.fields(&inner, object, &["@type"])?,
        };
        let mut any = DynamicMessage::new(message.clone());
        any.set_field_by_name("type_url", Field::String(type_url.to_owned()));
        any.set_field_by_name("value", Field::Bytes(inner.encode_to_vec().into()));
        Ok(any)
    }

    fn deserialize(&self, message: &MessageDescriptor, value: &Value) -> Result<DynamicMessage, JsonError> {
        strictly(message, value).map_err(|error| {
            self.refuse(wanted::by_message(message).map_or(error, |wanted| wanted::refusal(&wanted, value)))
        })
    }

    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, JsonError> {
        value.as_object().ok_or_else(|| self.refuse("must be a mapping"))
    }

    /// Goes into a field; the path is to be cut to the returned length afterwards.
    fn enter(&mut self, key: &str) -> usize {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        outer
    }

    fn refuse(&self, reason: impl Into<String>) -> JsonError {
        let path = if self.path.is_empty() { "document" } else { &self.path };
        JsonError { path: path.to_owned(), reason: reason.into() }
    }
}

fn strictly(message: &MessageDescriptor, value: &Value) -> Result<DynamicMessage, String> {
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(message.clone(), value, &strict).map_err(|error| error.to_string())
}

fn as_list(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice)
}

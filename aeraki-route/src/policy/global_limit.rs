//! Which messages a rate limit service is asked about, and what it is told of them.

use aeraki_codec::Attributes;

use crate::{
    compile::Matcher,
    config::{ConfigError, GlobalRateLimit, error::FieldError},
};

/// Chooses the messages that a rate limit service is asked about.
#[derive(Debug)]
pub struct GlobalLimit {
    config: GlobalRateLimit,
    matcher: Matcher,
}

impl GlobalLimit {
    /// Compiles a limit.
    ///
    /// # Errors
    ///
    /// Names the field and the reason: a name that is missing, a timeout of zero, a malformed regular expression.
    pub fn compile(config: &GlobalRateLimit) -> Result<Self, ConfigError> {
        let built = config.check().and_then(|()| Self::build(config));
        built.map_err(|error| error.of("global rate limit", &config.domain))
    }

    /// Compiles a limit that has been checked.
    pub(crate) fn build(config: &GlobalRateLimit) -> Result<Self, FieldError> {
        let matcher = Matcher::compile([config.matches.as_slice()], |_| "globalRateLimit".to_owned())?;
        Ok(Self { config: config.clone(), matcher })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &GlobalRateLimit {
        &self.config
    }

    /// Returns the descriptors of a message, each a list of keys and values; none where the message is not limited.
    ///
    /// A value that is not UTF-8 is sent with replacement characters, and of a long one no more than 1 KiB: a client
    /// must not make a question that no service takes, since it would pass where failures let requests pass.
    pub fn descriptors<A: Attributes + ?Sized>(&self, message: &A) -> Option<Vec<Vec<(String, String)>>> {
        self.matcher.find(message)?;
        let value = |name: &str| {
            let value = message.attr(name).unwrap_or_default();
            String::from_utf8_lossy(value.get(..MOST_VALUE_BYTES).unwrap_or(value)).into_owned()
        };
        let descriptors = self.config.descriptors.iter().map(|descriptor| {
            descriptor.entries.iter().map(|entry| (entry.key.clone(), value(&entry.attribute))).collect()
        });
        Some(descriptors.collect())
    }

    /// Lists the keys that the limit looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = self.config.descriptors.iter().flat_map(|descriptor| &descriptor.entries);
        self.matcher.keys().chain(entries.map(|entry| entry.attribute.as_str()))
    }
}

/// As much of a value as the service is told.
const MOST_VALUE_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AttributeMatch, Descriptor, DescriptorEntry};

    fn config() -> GlobalRateLimit {
        let method = Descriptor::new([DescriptorEntry::new("m", "method")]);
        let both = Descriptor::new([DescriptorEntry::new("m", "method"), DescriptorEntry::new("u", "user")]);
        GlobalRateLimit::new("shop", "rls", [method, both])
    }

    #[test]
    fn a_message_is_told_by_its_descriptors_and_missing_values_are_empty() {
        let limit = GlobalLimit::compile(&config()).expect("valid");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = vec![vec![pair("m", "hello")], vec![pair("m", "hello"), pair("u", "")]];
        assert_eq!(limit.descriptors(&[("method", "hello")]), Some(expected), "no conditions: everything is limited");
        assert_eq!(limit.keys().collect::<Vec<_>>(), ["method", "method", "user"]);
    }

    #[test]
    fn of_a_long_value_the_service_is_told_the_beginning() {
        let limit = GlobalLimit::compile(&config()).expect("valid");
        let (long, most) = ("u".repeat(200_000), "u".repeat(1024));
        let descriptors = limit.descriptors(&[("user", &*long)]).expect("it is limited");
        assert_eq!(descriptors[1][1], ("u".to_owned(), most.clone()));
        let descriptors = limit.descriptors(&[("user", &*most)]).expect("it is limited");
        assert_eq!(descriptors[1][1].1, most);
    }

    #[test]
    fn only_messages_that_match_are_asked_about() {
        let limit =
            GlobalLimit::compile(&config().with_match(AttributeMatch::exact("method", "hello"))).expect("valid");
        assert!(limit.descriptors(&[("method", "hello")]).is_some());
        assert!(limit.descriptors(&[("method", "bye")]).is_none());
    }
}

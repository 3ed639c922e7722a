//! The parameters of a request to the admin interface.

use std::iter;

/// Parameters and their values, which are empty where there are none.
#[derive(Debug)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads what stands behind the `?`; names the first parameter that is not known.
    pub(super) fn read(query: &str, known: &'static [&'static str]) -> Result<Self, String> {
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        let read = parameters.map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name =
                known.iter().find(|known| **known == name).ok_or_else(|| format!("{name:?} is not supported"))?;
            let value = decode(value).ok_or_else(|| format!("{name}: is not UTF-8"))?;
            Ok((*name, value))
        });
        read.collect::<Result<_, String>>().map(Self)
    }

    /// Returns the value of a parameter, the first one where it is there more than once.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Tells whether a parameter is there that has no value: who says `=false` does not mean what is done then.
    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Err(format!("{name}: has no value")),
            said => Ok(said.is_some()),
        }
    }
}

/// Puts the bytes in for `%` and two digits (RFC 3986 §2.1); what is no such thing stays as it is.
fn decode(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    let decoded = iter::from_fn(|| {
        let (first, after) = rest.split_first()?;
        let escaped = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        rest = if escaped.is_some() { &rest[3..] } else { after };
        Some(escaped.unwrap_or(*first))
    });
    String::from_utf8(decoded.collect()).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = Query::read("&a=%5Eup%2b+%&b&a=2", &["a", "b", "c"]).expect("known");
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("^up++%"), Some(""), None));
    }

    #[test]
    fn what_has_no_value_is_given_none() {
        let query = Query::read("a&b=&c=false", &["a", "b", "c", "d"]).expect("known");
        assert_eq!(["a", "b", "d"].map(|name| query.flag(name)), [Ok(true), Ok(true), Ok(false)]);
        assert_eq!(query.flag("c"), Err("c: has no value".to_owned()));
    }

    #[test]
    fn what_is_unknown_or_no_text_is_named() {
        let refused = |query| Query::read(query, &["a"]).expect_err("is refused");
        assert_eq!(refused("a&other=1"), "\"other\" is not supported");
        assert_eq!(refused("a=%ff"), "a: is not UTF-8");
        assert_eq!(refused("a=1&%61=2"), "\"%61\" is not supported");
    }
}

//! `envoy.config.route.v3.HeaderMatcher`.

use aeraki_route::config::{AttributeMatch, ConfigError, ValueMatch};

use super::at::At;
use crate::proto::aeraki::meta_protocol_proxy::config::route::v1alpha::RouteMatch;
use crate::proto::envoy::config::route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier as Specifier};
use crate::proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use crate::proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, regex_matcher};
use crate::proto::envoy::r#type::v3::Int64Range;

/// Converts all matchers of a list, whose field name is `list`.
pub(super) fn matches_from_proto(
    matchers: &[HeaderMatcher],
    list: &str,
    at: &At<'_>,
) -> Result<Vec<AttributeMatch>, ConfigError> {
    let convert =
        |(index, matcher): (usize, &HeaderMatcher)| from_proto(matcher, &at.named(list, index, &matcher.name));
    matchers.iter().enumerate().map(convert).collect()
}

/// Converts the matchers in the field `match` of the native shape; an absent one matches everything.
pub(super) fn criteria_from_proto(
    criteria: Option<&RouteMatch>,
    at: &At<'_>,
) -> Result<Vec<AttributeMatch>, ConfigError> {
    let metadata = criteria.map_or(&[][..], |criteria| &criteria.metadata);
    matches_from_proto(metadata, "metadata", &at.field("match"))
}

pub(super) fn criteria_to_proto(matches: &[AttributeMatch], at: &At<'_>) -> Result<RouteMatch, ConfigError> {
    Ok(RouteMatch { metadata: matches_to_proto(matches, at)? })
}

pub(super) fn matches_to_proto(matches: &[AttributeMatch], at: &At<'_>) -> Result<Vec<HeaderMatcher>, ConfigError> {
    let convert = |(index, condition): (usize, &_)| to_proto(condition, &at.item("matches", index));
    matches.iter().enumerate().map(convert).collect()
}

fn to_proto(condition: &AttributeMatch, at: &At<'_>) -> Result<HeaderMatcher, ConfigError> {
    Ok(HeaderMatcher {
        name: condition.key.clone(),
        invert_match: condition.invert,
        treat_missing_header_as_empty: condition.treat_missing_as_empty,
        header_match_specifier: Some(specifier(condition, at)?),
    })
}

fn from_proto(matcher: &HeaderMatcher, at: &At<'_>) -> Result<AttributeMatch, ConfigError> {
    let value = match &matcher.header_match_specifier {
        None => ValueMatch::Present(true),
        Some(specifier) => value_match(specifier, at)?,
    };
    let ignore_case =
        matches!(&matcher.header_match_specifier, Some(Specifier::StringMatch(string)) if string.ignore_case);
    Ok(AttributeMatch::new(&matcher.name, value)
        .with_ignore_case(ignore_case)
        .with_invert(matcher.invert_match)
        .with_treat_missing_as_empty(matcher.treat_missing_header_as_empty))
}

fn value_match(specifier: &Specifier, at: &At<'_>) -> Result<ValueMatch, ConfigError> {
    Ok(match specifier {
        // Envoy's deprecated form takes the empty text for "any value".
        Specifier::ExactMatch(text) if text.is_empty() => ValueMatch::Any,
        Specifier::ExactMatch(text) => ValueMatch::Exact(text.clone()),
        Specifier::PrefixMatch(text) => ValueMatch::Prefix(text.clone()),
        Specifier::SuffixMatch(text) => ValueMatch::Suffix(text.clone()),
        Specifier::ContainsMatch(text) => ValueMatch::Contains(text.clone()),
        Specifier::SafeRegexMatch(regex) => ValueMatch::Regex(regex.regex.clone()),
        Specifier::RangeMatch(range) => ValueMatch::Range { start: range.start, end: range.end },
        Specifier::PresentMatch(present) => ValueMatch::Present(*present),
        Specifier::StringMatch(string) => match at.field("string_match").require(string.match_pattern.as_ref())? {
            MatchPattern::Exact(text) => ValueMatch::Exact(text.clone()),
            MatchPattern::Prefix(text) => ValueMatch::Prefix(text.clone()),
            MatchPattern::Suffix(text) => ValueMatch::Suffix(text.clone()),
            MatchPattern::Contains(text) => ValueMatch::Contains(text.clone()),
            MatchPattern::SafeRegex(regex) => ValueMatch::Regex(regex.regex.clone()),
        },
    })
}

/// The form that proxies of every age read: a deprecated one wherever it can say the same.
fn specifier(condition: &AttributeMatch, at: &At<'_>) -> Result<Specifier, ConfigError> {
    Ok(match &condition.value {
        ValueMatch::Exact(text) if text.is_empty() || condition.ignore_case => {
            string_match(condition, MatchPattern::Exact(text.clone()))
        }
        ValueMatch::Exact(text) => Specifier::ExactMatch(text.clone()),
        ValueMatch::Any => Specifier::ExactMatch(String::new()),
        ValueMatch::Prefix(text) if condition.ignore_case => {
            string_match(condition, MatchPattern::Prefix(text.clone()))
        }
        ValueMatch::Prefix(text) => Specifier::PrefixMatch(text.clone()),
        ValueMatch::Suffix(text) if condition.ignore_case => {
            string_match(condition, MatchPattern::Suffix(text.clone()))
        }
        ValueMatch::Suffix(text) => Specifier::SuffixMatch(text.clone()),
        ValueMatch::Contains(text) if condition.ignore_case => {
            string_match(condition, MatchPattern::Contains(text.clone()))
        }
        ValueMatch::Contains(text) => Specifier::ContainsMatch(text.clone()),
        ValueMatch::Regex(pattern) => Specifier::SafeRegexMatch(regex_matcher(pattern)),
        ValueMatch::Range { start, end } => Specifier::RangeMatch(Int64Range { start: *start, end: *end }),
        ValueMatch::Present(present) => Specifier::PresentMatch(*present),
        _ => return Err(at.refuse("has no form in protobuf")),
    })
}

fn string_match(condition: &AttributeMatch, pattern: MatchPattern) -> Specifier {
    Specifier::StringMatch(StringMatcher { ignore_case: condition.ignore_case, match_pattern: Some(pattern) })
}

/// Names the engine, which older Envoys require.
fn regex_matcher(pattern: &str) -> RegexMatcher {
    let engine = regex_matcher::EngineType::GoogleRe2(regex_matcher::GoogleRe2::default());
    RegexMatcher { regex: pattern.to_owned(), engine_type: Some(engine) }
}

//! `aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.LocalRateLimit`.

use aeraki_route::config::{ConfigError, KeyedBuckets, LimitCondition, LimitScope, LocalRateLimit, TokenBucket};

use super::super::at::At;
use super::super::{duration, matcher};
use crate::proto::aeraki::meta_protocol_proxy::filters::local_ratelimit::v1alpha as proto;
use crate::proto::envoy::r#type::v3::TokenBucket as BucketProto;
use proto::local_rate_limit::Scope;

pub(in super::super) fn from_proto(limit: &proto::LocalRateLimit, at: &At<'_>) -> Result<LocalRateLimit, ConfigError> {
    let condition = |(index, condition): (usize, &proto::LocalRateLimitCondition)| {
        let at = at.item("conditions", index);
        let criteria = at.field("match").require(condition.r#match.as_ref())?;
        let bucket = at.field("token_bucket").require(condition.token_bucket.as_ref())?;
        let matches = matcher::criteria_from_proto(Some(criteria), &at)?;
        Ok(LimitCondition::new(matches, bucket_from_proto(bucket, &at.field("token_bucket"))?))
    };
    let bucket = |bucket| bucket_from_proto(bucket, &at.field("token_bucket"));
    let mut converted = LocalRateLimit::new(&limit.stat_prefix);
    converted.bucket = limit.token_bucket.as_ref().map(bucket).transpose()?;
    converted.conditions = limit.conditions.iter().enumerate().map(condition).collect::<Result<_, _>>()?;
    converted.keyed = limit.keyed.as_ref().map(keyed_from_proto);
    converted.scope = match Scope::try_from(limit.scope) {
        Ok(Scope::Shared) => LimitScope::Shared,
        Ok(Scope::Connection) => LimitScope::Connection,
        Err(_) => return Err(at.field("scope").refuse(format!("there is no scope {}", limit.scope))),
    };
    Ok(converted)
}

pub(in super::super) fn to_proto(limit: &LocalRateLimit, at: &At<'_>) -> Result<proto::LocalRateLimit, ConfigError> {
    let condition = |(index, condition): (usize, &LimitCondition)| {
        let at = at.item("conditions", index);
        Ok(proto::LocalRateLimitCondition {
            r#match: Some(matcher::criteria_to_proto(&condition.matches, &at)?),
            token_bucket: Some(bucket_to_proto(condition.bucket, &at.field("bucket"))?),
        })
    };
    let scope = match limit.scope {
        LimitScope::Shared => Scope::Shared,
        LimitScope::Connection => Scope::Connection,
        _ => return Err(at.field("scope").refuse("has no form in protobuf")),
    };
    Ok(proto::LocalRateLimit {
        stat_prefix: limit.stat_prefix.clone(),
        token_bucket: limit.bucket.map(|bucket| bucket_to_proto(bucket, &at.field("bucket"))).transpose()?,
        conditions: limit.conditions.iter().enumerate().map(condition).collect::<Result<_, _>>()?,
        keyed: limit.keyed.as_ref().map(keyed_to_proto),
        scope: scope.into(),
    })
}

fn bucket_from_proto(bucket: &BucketProto, at: &At<'_>) -> Result<TokenBucket, ConfigError> {
    let at = &at.field("fill_interval");
    let interval = at.require(duration::exact_from_proto(bucket.fill_interval.as_ref(), at)?)?;
    Ok(TokenBucket::new(bucket.max_tokens, bucket.tokens_per_fill.unwrap_or(1), interval))
}

fn bucket_to_proto(bucket: TokenBucket, at: &At<'_>) -> Result<BucketProto, ConfigError> {
    Ok(BucketProto {
        max_tokens: bucket.max_tokens,
        tokens_per_fill: Some(bucket.tokens_per_fill),
        fill_interval: Some(duration::to_proto(bucket.fill_interval, &at.field("fillInterval"))?),
    })
}

fn keyed_from_proto(keyed: &proto::KeyedBuckets) -> KeyedBuckets {
    let converted = KeyedBuckets::new(&keyed.attribute);
    let most = keyed.max_keys.unwrap_or(converted.max_keys);
    converted.with_max_keys(most)
}

fn keyed_to_proto(keyed: &KeyedBuckets) -> proto::KeyedBuckets {
    proto::KeyedBuckets { attribute: keyed.attribute.clone(), max_keys: Some(keyed.max_keys) }
}

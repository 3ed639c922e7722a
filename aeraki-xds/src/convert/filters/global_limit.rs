//! `aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit`.

use aeraki_route::config::{ConfigError, Descriptor, DescriptorEntry, GlobalRateLimit};

use super::super::at::At;
use super::super::{duration, grpc, matcher};
use crate::proto::aeraki::meta_protocol_proxy::filters::ratelimit::v1alpha as proto;
use crate::proto::envoy::config::core::v3::ApiVersion;
use crate::proto::envoy::config::ratelimit::v3::RateLimitServiceConfig;
use proto::rate_limit::{CompoundDescriptor, Descriptor as DescriptorProto};

/// Descriptors of one entry come first, wherever they stand, so that the same limits always read the same.
pub(in super::super) fn from_proto(limit: &proto::RateLimit, at: &At<'_>) -> Result<GlobalRateLimit, ConfigError> {
    let service_at = &at.field("rate_limit_service");
    let service = service_at.require(limit.rate_limit_service.as_ref())?;
    let service_at = &service_at.field("grpc_service");
    let cluster = grpc::cluster_from_proto(service_at.require(service.grpc_service.as_ref())?, service_at)?;
    let single = limit.descriptors.iter().map(|descriptor| Descriptor::new([entry_from_proto(descriptor)]));
    let compound = limit.compound_descriptors.iter();
    let compound = compound.map(|compound| Descriptor::new(compound.entries.iter().map(entry_from_proto)));
    let mut descriptors: Vec<_> = single.chain(compound).collect();
    descriptors.sort_by_key(|descriptor| descriptor.entries.len() != 1);
    let mut converted = GlobalRateLimit::new(&limit.domain, cluster, descriptors);
    converted.matches = matcher::criteria_from_proto(limit.r#match.as_ref(), at)?;
    if let Some(timeout) = duration::exact_from_proto(limit.timeout.as_ref(), &at.field("timeout"))? {
        converted.timeout = timeout;
    }
    converted.failure_mode_deny = limit.failure_mode_deny;
    converted.hits_addend = limit.hits_addend;
    Ok(converted)
}

/// The order of descriptors among each other has no meaning.
pub(in super::super) fn to_proto(limit: &GlobalRateLimit, at: &At<'_>) -> Result<proto::RateLimit, ConfigError> {
    let (mut descriptors, mut compound_descriptors) = (Vec::new(), Vec::new());
    for descriptor in &limit.descriptors {
        match descriptor.entries.as_slice() {
            [only] => descriptors.push(entry_to_proto(only)),
            entries => {
                compound_descriptors.push(CompoundDescriptor { entries: entries.iter().map(entry_to_proto).collect() });
            }
        }
    }
    Ok(proto::RateLimit {
        r#match: Some(matcher::criteria_to_proto(&limit.matches, at)?),
        domain: limit.domain.clone(),
        timeout: Some(duration::to_proto(limit.timeout, &at.field("timeout"))?),
        failure_mode_deny: limit.failure_mode_deny,
        rate_limit_service: Some(RateLimitServiceConfig {
            grpc_service: Some(grpc::cluster_to_proto(&limit.cluster)),
            transport_api_version: ApiVersion::V3.into(),
        }),
        descriptors,
        compound_descriptors,
        hits_addend: limit.hits_addend,
    })
}

fn entry_from_proto(descriptor: &DescriptorProto) -> DescriptorEntry {
    DescriptorEntry::new(&descriptor.descriptor_key, &descriptor.property)
}

fn entry_to_proto(entry: &DescriptorEntry) -> DescriptorProto {
    DescriptorProto { property: entry.attribute.clone(), descriptor_key: entry.key.clone() }
}

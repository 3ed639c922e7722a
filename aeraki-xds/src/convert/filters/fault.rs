//! `aeraki.meta_protocol_proxy.filters.fault.v1alpha.Fault`, and Envoy's `HTTPFault`.

use aeraki_route::config::{AbortWith, ConfigError, Fault, FractionalPercent};
use prost::Name;

use super::super::at::At;
use super::super::unpack::unpack;
use super::super::{duration, fraction, matcher};
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::filters::fault::v1alpha as proto;
use crate::proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier};
use crate::proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType};
use crate::proto::envoy::r#type::v3::FractionalPercent as FractionProto;
use proto::abort::Error;

/// Reads either of the two; an `Any` without a type is a fault without anything in it.
pub(in super::super) fn from_any(any: &Any, at: &At<'_>) -> Result<Fault, ConfigError> {
    if any.type_url.is_empty() {
        Ok(Fault::new())
    } else if any.type_url == HttpFault::type_url() {
        from_http(&unpack(any, at)?, at)
    } else {
        from_proto(&unpack(any, at)?, at)
    }
}

pub(in super::super) fn to_proto(fault: &Fault, at: &At<'_>) -> Result<proto::Fault, ConfigError> {
    let delay = fault.delay.map(|delay| {
        Ok(proto::Delay {
            fixed_delay: Some(duration::to_proto(delay.duration, &at.field("delay"))?),
            percentage: Some(fraction::to_proto(delay.fraction)),
        })
    });
    let abort = fault.abort.map(|abort| {
        let error = match abort.with {
            AbortWith::Reason(reason) => Error::Reason(reason.as_str().to_owned()),
            AbortWith::Status(status) => Error::Status(status),
            _ => return Err(at.field("abort").refuse("has no form in protobuf")),
        };
        Ok(proto::Abort { error: Some(error), percentage: Some(fraction::to_proto(abort.fraction)) })
    });
    Ok(proto::Fault {
        r#match: Some(matcher::criteria_to_proto(&fault.matches, at)?),
        delay: delay.transpose()?,
        abort: abort.transpose()?,
        max_active: Some(fault.max_active),
    })
}

fn from_proto(fault: &proto::Fault, at: &At<'_>) -> Result<Fault, ConfigError> {
    let mut converted = Fault::new();
    converted.matches = matcher::criteria_from_proto(fault.r#match.as_ref(), at)?;
    if let Some(delay) = &fault.delay {
        let at = &at.field("delay");
        let fixed = duration::exact_from_proto(delay.fixed_delay.as_ref(), &at.field("fixed_delay"))?;
        let fixed = at.field("fixed_delay").require(fixed)?;
        converted = converted.with_delay(fixed, share(delay.percentage.as_ref(), at)?);
    }
    if let Some(abort) = &fault.abort {
        let at = &at.field("abort");
        let with = match at.field("error").require(abort.error.as_ref())? {
            Error::Status(status) => AbortWith::Status(*status),
            Error::Reason(name) => AbortWith::reason(name)
                .ok_or_else(|| at.field("reason").refuse(format!("there is no reason {name:?}")))?,
        };
        converted = converted.with_abort(with, share(abort.percentage.as_ref(), at)?);
    }
    converted.max_active = fault.max_active.unwrap_or(converted.max_active);
    Ok(converted)
}

/// What restricts a fault to certain requests must not be ignored: it would hit the others too.
fn from_http(fault: &HttpFault, at: &At<'_>) -> Result<Fault, ConfigError> {
    for (name, empty) in [
        ("upstream_cluster", fault.upstream_cluster.is_empty()),
        ("downstream_nodes", fault.downstream_nodes.is_empty()),
    ] {
        if !empty {
            return Err(at.field(name).refuse("is not supported: use headers"));
        }
    }
    let mut converted = Fault::new();
    converted.matches = matcher::matches_from_proto(&fault.headers, "headers", at)?;
    if let Some(delay) = &fault.delay {
        converted = http_delay(converted, delay, &at.field("delay"))?;
    }
    if let Some(abort) = &fault.abort {
        converted = http_abort(converted, abort, &at.field("abort"))?;
    }
    converted.max_active = fault.max_active_faults.unwrap_or(converted.max_active);
    Ok(converted)
}

fn http_delay(fault: Fault, delay: &FaultDelay, at: &At<'_>) -> Result<Fault, ConfigError> {
    let Some(FaultDelaySecifier::FixedDelay(fixed)) = &delay.fault_delay_secifier else {
        return Err(at.field("fixed_delay").refuse("is required: there is no other delay"));
    };
    let fixed = duration::exact_from_proto(Some(fixed), &at.field("fixed_delay"))?.unwrap_or_default();
    Ok(fault.with_delay(fixed, http_share(delay.percentage.as_ref(), at)?))
}

fn http_abort(fault: Fault, abort: &FaultAbort, at: &At<'_>) -> Result<Fault, ConfigError> {
    let Some(ErrorType::HttpStatus(status)) = &abort.error_type else {
        return Err(at.field("http_status").refuse("is required: there is no other way to abort"));
    };
    Ok(fault.with_abort(AbortWith::Status(*status), http_share(abort.percentage.as_ref(), at)?))
}

fn share(percentage: Option<&FractionProto>, at: &At<'_>) -> Result<FractionalPercent, ConfigError> {
    percentage.map_or(Ok(FractionalPercent::ALWAYS), |value| fraction::from_proto(value, &at.field("percentage")))
}

/// Envoy takes an absent share for nothing.
fn http_share(percentage: Option<&FractionProto>, at: &At<'_>) -> Result<FractionalPercent, ConfigError> {
    fraction::from_proto(&percentage.copied().unwrap_or_default(), &at.field("percentage"))
}

//! `envoy.config.core.v3.HealthCheck`.

use std::time::Duration;

use aeraki_route::config::{ConfigError, HealthCheck, HealthCheckKind};

use crate::convert::at::At;
use crate::convert::duration;
use crate::proto::envoy::config::core::v3 as proto;
use proto::health_check::{HealthChecker, Payload, TcpHealthCheck, payload};

/// Reads how endpoints are asked; there may be one check, as with Envoy.
pub(super) fn from_proto(checks: &[proto::HealthCheck], at: &At<'_>) -> Result<Option<HealthCheck>, ConfigError> {
    match checks {
        [] => Ok(None),
        [check] => one(check, &at.item("health_checks", 0)).map(Some),
        _ => Err(at.field("health_checks").refuse("must not hold more than one check")),
    }
}

fn one(check: &proto::HealthCheck, at: &At<'_>) -> Result<HealthCheck, ConfigError> {
    let time = |duration, field| duration::exact_from_proto(duration, &at.field(field));
    let required =
        |duration, field| -> Result<Duration, ConfigError> { at.field(field).require(time(duration, field)?) };
    let timeout = required(check.timeout.as_ref(), "timeout")?;
    let interval = required(check.interval.as_ref(), "interval")?;
    let unhealthy = at.field("unhealthy_threshold").require(check.unhealthy_threshold)?;
    let healthy = at.field("healthy_threshold").require(check.healthy_threshold)?;
    let mut converted = HealthCheck::new(kind(check, at)?, timeout, interval).with_thresholds(unhealthy, healthy);
    converted.initial_jitter = time(check.initial_jitter.as_ref(), "initial_jitter")?.unwrap_or_default();
    converted.interval_jitter = time(check.interval_jitter.as_ref(), "interval_jitter")?.unwrap_or_default();
    converted.interval_jitter_percent = check.interval_jitter_percent;
    converted.unhealthy_interval = time(check.unhealthy_interval.as_ref(), "unhealthy_interval")?;
    converted.unhealthy_edge_interval = time(check.unhealthy_edge_interval.as_ref(), "unhealthy_edge_interval")?;
    converted.healthy_edge_interval = time(check.healthy_edge_interval.as_ref(), "healthy_edge_interval")?;
    Ok(converted)
}

fn kind(check: &proto::HealthCheck, at: &At<'_>) -> Result<HealthCheckKind, ConfigError> {
    match &check.health_checker {
        Some(HealthChecker::TcpHealthCheck(tcp)) => tcp_from_proto(tcp, &at.field("tcp_health_check")),
        Some(HealthChecker::CustomHealthCheck(custom)) => match custom.name.strip_prefix(HEARTBEAT) {
            Some(protocol) if !protocol.is_empty() => Ok(HealthCheckKind::Heartbeat { protocol: protocol.to_owned() }),
            _ => {
                let reason = format!("{:?} is unknown: use {HEARTBEAT} and the name of a protocol", custom.name);
                Err(at.field("custom_health_check").field("name").refuse(reason))
            }
        },
        None => Err(at.refuse("must hold tcp_health_check or custom_health_check; others are not supported")),
    }
}

fn tcp_from_proto(tcp: &TcpHealthCheck, at: &At<'_>) -> Result<HealthCheckKind, ConfigError> {
    let send = tcp.send.as_ref().map(|payload| bytes(payload, &at.field("send"))).transpose()?.unwrap_or_default();
    let block = |(index, payload)| bytes(payload, &at.item("receive", index));
    let receive = tcp.receive.iter().enumerate().map(block).collect::<Result<_, _>>()?;
    Ok(HealthCheckKind::Tcp { send, receive })
}

/// Reads bytes, which stand as they are or in hexadecimal.
fn bytes(payload: &Payload, at: &At<'_>) -> Result<Vec<u8>, ConfigError> {
    match &payload.payload {
        Some(payload::Payload::Binary(bytes)) => Ok(bytes.to_vec()),
        Some(payload::Payload::Text(text)) => hexadecimal(text)
            .ok_or_else(|| at.field("text").refuse(format!("{text:?} is not hexadecimal: two digits for every byte"))),
        None => Err(at.refuse("must hold text or binary")),
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

/// What names of custom checks begin with; the name of a protocol follows.
const HEARTBEAT: &str = "aeraki.health_checkers.";

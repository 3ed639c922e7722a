//! `envoy.type.v3.FractionalPercent`.

use aeraki_route::config::{ConfigError, Denominator, FractionalPercent};

use super::at::At;
use crate::proto::envoy::config::core::v3::RuntimeFractionalPercent;
use crate::proto::envoy::r#type::v3::{FractionalPercent as FractionProto, fractional_percent::DenominatorType};

pub(super) fn from_proto(value: &FractionProto, at: &At<'_>) -> Result<FractionalPercent, ConfigError> {
    let denominator = match DenominatorType::try_from(value.denominator) {
        Ok(DenominatorType::Hundred) => Denominator::Hundred,
        Ok(DenominatorType::TenThousand) => Denominator::TenThousand,
        Ok(DenominatorType::Million) => Denominator::Million,
        Err(_) => return Err(at.refuse("has an unknown denominator")),
    };
    Ok(FractionalPercent::new(value.numerator, denominator))
}

pub(super) fn to_proto(fraction: FractionalPercent) -> FractionProto {
    let denominator = match fraction.denominator.value() {
        100 => DenominatorType::Hundred,
        10_000 => DenominatorType::TenThousand,
        _ => DenominatorType::Million,
    };
    FractionProto { numerator: fraction.numerator, denominator: denominator.into() }
}

/// Reads the share of a mirror; an absent one means everything.
pub(super) fn from_runtime(
    fraction: Option<&RuntimeFractionalPercent>,
    at: &At<'_>,
) -> Result<FractionalPercent, ConfigError> {
    let value = fraction.and_then(|fraction| fraction.default_value.as_ref());
    value.map_or(Ok(FractionalPercent::ALWAYS), |value| from_proto(value, &at.field("runtime_fraction")))
}

pub(super) fn to_runtime(fraction: FractionalPercent) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent { default_value: Some(to_proto(fraction)), ..RuntimeFractionalPercent::default() }
}

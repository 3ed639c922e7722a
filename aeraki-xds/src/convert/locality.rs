//! Where endpoints and proxies run.

use aeraki_route::config::Locality;

use crate::proto::envoy::config::core::v3 as proto;

pub(crate) fn from_proto(locality: &proto::Locality) -> Locality {
    Locality::new(&locality.region, &locality.zone, &locality.sub_zone)
}

#[cfg(feature = "client")]
pub(crate) fn to_proto(locality: &Locality) -> proto::Locality {
    let Locality { region, zone, sub_zone, .. } = locality.clone();
    proto::Locality { region, zone, sub_zone }
}

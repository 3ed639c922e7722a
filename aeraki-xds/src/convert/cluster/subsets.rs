//! `envoy.config.cluster.v3.Cluster.LbSubsetConfig`.

use aeraki_route::config::{ConfigError, SubsetFallback, SubsetSelector, Subsets};

use crate::convert::at::At;
use crate::convert::labels;
use crate::proto::envoy::config::cluster::v3::cluster as proto;
use proto::LbSubsetConfig;
use proto::lb_subset_config::lb_subset_selector::LbSubsetSelectorFallbackPolicy as SelectorFallback;
use proto::lb_subset_config::{LbSubsetFallbackPolicy as Fallback, LbSubsetSelector};

/// Converts subsets; without selectors there are none, as in Envoy.
pub(super) fn from_proto(config: Option<&LbSubsetConfig>, at: &At<'_>) -> Result<Option<Subsets>, ConfigError> {
    let Some(config) = config.filter(|config| !config.subset_selectors.is_empty()) else { return Ok(None) };
    let selector = |(index, selector)| selector_from_proto(selector, &at.item("subset_selectors", index));
    let mut converted = Subsets::default();
    converted.selectors = config.subset_selectors.iter().enumerate().map(selector).collect::<Result<_, _>>()?;
    converted.fallback = match Fallback::try_from(config.fallback_policy) {
        Ok(Fallback::NoFallback) => SubsetFallback::NoFallback,
        Ok(Fallback::AnyEndpoint) => SubsetFallback::AnyEndpoint,
        Ok(Fallback::DefaultSubset) => SubsetFallback::DefaultSubset,
        Err(_) => return Err(at.field("fallback_policy").refuse(format!("{} is unknown", config.fallback_policy))),
    };
    let default = config.default_subset.iter().flat_map(|default| &default.fields);
    converted.default_subset = labels::of_struct(default, &at.field("default_subset"))?;
    converted.locality_weight_aware = config.locality_weight_aware;
    Ok(Some(converted))
}

fn selector_from_proto(selector: &LbSubsetSelector, at: &At<'_>) -> Result<SubsetSelector, ConfigError> {
    let mut converted = SubsetSelector::new(&selector.keys);
    converted.fallback = match SelectorFallback::try_from(selector.fallback_policy) {
        Ok(SelectorFallback::NotDefined) => None,
        Ok(SelectorFallback::NoFallback) => Some(SubsetFallback::NoFallback),
        Ok(SelectorFallback::AnyEndpoint) => Some(SubsetFallback::AnyEndpoint),
        Ok(SelectorFallback::DefaultSubset) => Some(SubsetFallback::DefaultSubset),
        Ok(SelectorFallback::KeysSubset) => {
            let reason = "KEYS_SUBSET is not supported: use NO_FALLBACK, ANY_ENDPOINT or DEFAULT_SUBSET";
            return Err(at.field("fallback_policy").refuse(reason));
        }
        Err(_) => return Err(at.field("fallback_policy").refuse(format!("{} is unknown", selector.fallback_policy))),
    };
    Ok(converted)
}

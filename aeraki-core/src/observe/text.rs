//! Statistics as text: Envoy's dotted lines, and what Prometheus scrapes.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use serde_json::json;

use super::{Samples, Value, stats::Labels};

impl Samples {
    /// Writes one line `name: number` for each metric, in the order of their names, as Envoy's `/stats` does.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines: Vec<_> = self.dotted().map(|(name, value)| format!("{name}: {value}\n")).collect();
        lines.sort_unstable();
        lines.concat()
    }

    /// Writes what [`to_text`](Self::to_text) does as JSON, in the form of Envoy's `/stats?format=json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut sorted: Vec<_> = self.dotted().collect();
        sorted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let (mut stats, mut histograms) = (Vec::new(), Vec::new());
        for (name, value) in sorted {
            match value {
                Value::Counter(count) => stats.push(json!({"name": name, "value": count})),
                Value::Gauge(count) => stats.push(json!({"name": name, "value": count})),
                Value::Histogram(seen) => {
                    let quantile = |share| json!({"interval": null, "cumulative": seen.quantile_ms(share)});
                    histograms.push(json!({"name": name, "values": QUANTILES.map(quantile)}));
                }
            }
        }
        if !histograms.is_empty() {
            let quantiles = json!({"supported_quantiles": QUANTILES, "computed_quantiles": histograms});
            stats.push(json!({"histograms": quantiles}));
        }
        json!({"stats": stats}).to_string()
    }

    /// Writes all metrics in the text format of OpenMetrics, which Prometheus reads.
    #[must_use]
    pub fn into_prometheus(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        if text::encode(&mut text, &registry).is_err() {
            text.clear();
        }
        text
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter(count) => count.fmt(f),
            Self::Gauge(count) => count.fmt(f),
            Self::Histogram(seen) if seen.count() == 0 => f.write_str("No recorded values"),
            Self::Histogram(seen) => {
                write!(f, "count({}) sum({})", seen.count(), seen.sum_ms())?;
                QUANTILES.into_iter().try_for_each(|share| write!(f, " P{share}({})", seen.quantile_ms(share)))
            }
        }
    }
}

/// The shares of durations, per cent, that are shown.
const QUANTILES: [u64; 4] = [50, 90, 99, 100];

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for ((family, name), metric) in &self.families {
            let Some(kind) = metric.values.values().next().map(kind_of) else { continue };
            let full = format!("{family}_{name}").replace('.', "_");
            let mut encoder = encoder.encode_descriptor(&full, metric.help, None, kind)?;
            for (labels, value) in &metric.values {
                encode(labels, value, &mut encoder)?;
            }
        }
        Ok(())
    }
}

const fn kind_of(value: &Value) -> MetricType {
    match value {
        Value::Counter(_) => MetricType::Counter,
        Value::Gauge(_) => MetricType::Gauge,
        Value::Histogram(_) => MetricType::Histogram,
    }
}

fn encode(labels: &Labels, value: &Value, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    let labels = labels.pairs();
    let mut encoder = encoder.encode_family(&labels)?;
    match value {
        Value::Counter(count) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
        Value::Gauge(count) => encoder.encode_gauge(count),
        Value::Histogram(seen) => {
            encoder.encode_histogram::<NoLabelSet>(seen.sum_ms(), seen.count(), &seen.buckets(), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::observe::{Collect, Histogram, Stats};

    use super::*;

    #[derive(Debug, Default)]
    struct Toy(Histogram);

    impl Collect for Toy {
        fn collect(&self, samples: &mut Samples) {
            let mut scope = samples.scope("meta_protocol", &[("protocol", "dubbo"), ("stat_prefix", "in")]);
            scope.add("request", "Requests.", Value::Counter(2)).add("request_active", "Now.", Value::Gauge(1));
            scope.add_with("local_reply", "Replies.", ("reason", "timeout"), Value::Counter(3));
            scope.add("request_time_ms", "Life.", Value::Histogram(self.0.get()));
        }
    }

    fn stats() -> Stats {
        let stats = Stats::new();
        let toy = Toy::default();
        toy.0.observe(std::time::Duration::from_millis(3));
        stats.register(Arc::new(toy));
        stats.register(Arc::new(Toy::default()));
        stats
    }

    #[test]
    fn dotted_lines_add_up_the_workers() {
        assert_eq!(
            stats().samples().to_text(),
            "meta_protocol.dubbo.in.local_reply.timeout: 6\n\
             meta_protocol.dubbo.in.request: 4\n\
             meta_protocol.dubbo.in.request_active: 2\n\
             meta_protocol.dubbo.in.request_time_ms: count(1) sum(3) P50(5) P90(5) P99(5) P100(5)\n"
        );
    }

    #[test]
    fn json_has_the_form_of_envoys() {
        let json: serde_json::Value = serde_json::from_str(&stats().samples().to_json()).expect("JSON");
        let values: Vec<_> = [5.0; 4].map(|ms| json!({"interval": null, "cumulative": ms})).into();
        let expected = json!({"stats": [
            {"name": "meta_protocol.dubbo.in.local_reply.timeout", "value": 6},
            {"name": "meta_protocol.dubbo.in.request", "value": 4},
            {"name": "meta_protocol.dubbo.in.request_active", "value": 2},
            {"histograms": {"supported_quantiles": [50, 90, 99, 100], "computed_quantiles": [
                {"name": "meta_protocol.dubbo.in.request_time_ms", "values": values},
            ]}},
        ]});
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let mut samples = stats().samples();
        samples.retain(|name, value| name.contains("request") && !matches!(value, Value::Histogram(_)));
        assert_eq!(samples.to_text(), "meta_protocol.dubbo.in.request: 4\nmeta_protocol.dubbo.in.request_active: 2\n");
    }

    #[test]
    fn prometheus_lines_have_labels() {
        let text = stats().samples().into_prometheus();
        for line in [
            "# TYPE meta_protocol_request counter",
            "meta_protocol_request_total{protocol=\"dubbo\",stat_prefix=\"in\"} 4",
            "meta_protocol_request_active{protocol=\"dubbo\",stat_prefix=\"in\"} 2",
            "meta_protocol_local_reply_total{protocol=\"dubbo\",stat_prefix=\"in\",reason=\"timeout\"} 6",
            "meta_protocol_request_time_ms_bucket{le=\"5.0\",protocol=\"dubbo\",stat_prefix=\"in\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}

//! [`Readings`]: numbers that are looked up when somebody scrapes; and how a [`Collector`] writes a family of them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::telemetry::histogram::Distribution;

/// A function that looks a number up.
type Read = Box<dyn Fn() -> f64 + Send + Sync>;

/// Numbers without labels, each with the function that looks it up.
#[derive(Default)]
pub struct Readings(Vec<Reading>);

struct Reading {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: Read,
}

impl Readings {
    /// Adds a number that goes up and down.
    #[must_use]
    pub fn gauge(
        self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.with(name, help, MetricType::Gauge, Box::new(read))
    }

    /// Adds a number of things that are there.
    #[must_use]
    pub fn count(
        self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        self.gauge(name, help, move || float(read()))
    }

    /// Adds a number that only goes up; the name is written with `_total`.
    #[must_use]
    pub fn counter(
        self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.with(name, help, MetricType::Counter, Box::new(read))
    }

    fn with(
        mut self,
        name: &'static str,
        help: &'static str,
        kind: MetricType,
        read: Read,
    ) -> Self {
        self.0.push(Reading {
            name,
            help,
            kind,
            read,
        });
        self
    }
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for reading in &self.0 {
            let Reading {
                name,
                help,
                kind,
                read,
            } = reading;
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            let value = read();
            match kind {
                MetricType::Counter => {
                    metric.encode_counter::<[(&str, &str); 0], _, f64>(&value, None)?;
                }
                _ => metric.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

/// Metrics are floats; far beyond what a node can have they are not exact.
#[expect(clippy::cast_precision_loss, reason = "as the comment says")]
pub(crate) fn float(n: usize) -> f64 {
    n as f64
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|reading| reading.name))
            .finish()
    }
}

/// Writes one family after the other.
pub(crate) struct Families<'a>(pub(crate) DescriptorEncoder<'a>);

impl Families<'_> {
    /// A counter or gauge without labels.
    pub(crate) fn one(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        value: u64,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        match kind {
            MetricType::Counter => metric.encode_counter::<[(&str, &str); 0], _, u64>(&value, None),
            _ => metric.encode_gauge(&value),
        }
    }

    /// A family of histograms, by one label.
    pub(crate) fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'l str); 1], Distribution)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, value) in values {
            let mut metric = family.encode_family(&labels)?;
            write_histogram(&mut metric, &value)?;
        }
        Ok(())
    }

    /// A histogram without labels.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        value: &Distribution,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        write_histogram(&mut metric, value)
    }

    /// A family of counters or gauges, by their labels.
    pub(crate) fn many<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = ([(&'static str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            let mut metric = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => {
                    metric.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)?;
                }
                _ => metric.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

fn write_histogram(metric: &mut MetricEncoder<'_>, value: &Distribution) -> fmt::Result {
    let Distribution {
        buckets,
        sum,
        count,
    } = value;
    metric.encode_histogram::<[(&str, &str); 0]>(*sum, *count, buckets, None)
}

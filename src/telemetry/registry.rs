//! Probes of all shards and planes, summed when somebody asks.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::metric::{Declaration, Kind};

/// The `Content-Type` of [`Registry::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A struct made by [`probe!`](crate::probe): the metrics of one folder, on one shard or plane.
pub trait Probe: Send + Sync + 'static {
    /// What its metrics are, in the order of [`Probe::add_to`].
    fn declarations(&self) -> &'static [Declaration];

    /// Adds the numbers of all its metrics to `totals`, one slice of
    /// [`Declaration::slots`] after the other.
    fn add_to(&self, totals: &mut [i64]);
}

/// Every probe of the process. Made at start-up, read by the metrics page.
#[derive(Default)]
pub struct Registry {
    groups: Vec<Group>,
}

/// All probes of one type: they have the same declarations, and their numbers are added up.
struct Group {
    probe_type: TypeId,
    declarations: &'static [Declaration],
    probes: Vec<Arc<dyn Probe>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probes = self.groups.iter().map(|group| group.probes.len());
        f.debug_tuple("Registry")
            .field(&probes.sum::<usize>())
            .finish()
    }
}

impl Registry {
    /// A registry without probes.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Adds a probe. Several of one type (one for each shard) are summed.
    pub fn register<P: Probe>(&mut self, probe: Arc<P>) {
        let probe_type = TypeId::of::<P>();
        match self
            .groups
            .iter_mut()
            .find(|group| group.probe_type == probe_type)
        {
            Some(group) => group.probes.push(probe),
            None => self.groups.push(Group {
                probe_type,
                declarations: probe.declarations(),
                probes: vec![probe],
            }),
        }
    }

    /// The declarations of everything that was registered.
    pub fn declarations(&self) -> impl Iterator<Item = &'static Declaration> {
        self.groups.iter().flat_map(|group| group.declarations)
    }

    /// The number of a counter or gauge; of a family its member `label`, or their sum where no
    /// label is given. Zero for a metric that nobody registered.
    pub fn total(&self, name: &str, label: Option<&str>) -> u64 {
        let mut sum = 0;
        for group in &self.groups {
            let (declarations, totals) = group.total();
            let mut rest = totals.as_slice();
            for declaration in declarations {
                let (numbers, others) = rest.split_at(declaration.slots());
                if declaration.name == name {
                    sum += declaration.number(numbers, label);
                }
                rest = others;
            }
        }
        u64::try_from(sum).unwrap_or(0)
    }

    /// The metrics page in Prometheus' text format (see [`CONTENT_TYPE`]).
    pub fn render(&self) -> String {
        let mut page = prometheus_client::registry::Registry::default();
        page.register_collector(Box::new(Totals(
            self.groups.iter().map(Group::total).collect(),
        )));
        let mut text = String::new();
        prometheus_client::encoding::text::encode_registry(&mut text, &page)
            .expect("writing to a String cannot fail");
        text
    }
}

impl Group {
    fn total(&self) -> (&'static [Declaration], Vec<i64>) {
        let mut totals = vec![0; self.declarations.iter().map(Declaration::slots).sum()];
        for probe in &self.probes {
            probe.add_to(&mut totals);
        }
        (self.declarations, totals)
    }
}

/// The sums of one scrape.
#[derive(Debug)]
struct Totals(Vec<(&'static [Declaration], Vec<i64>)>);

impl Collector for Totals {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (declarations, totals) in &self.0 {
            let mut rest = totals.as_slice();
            for declaration in *declarations {
                let (numbers, others) = rest.split_at(declaration.slots());
                encode(&mut encoder, declaration, numbers)?;
                rest = others;
            }
        }
        Ok(())
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    declaration: &Declaration,
    numbers: &[i64],
) -> Result<(), fmt::Error> {
    let metric_type = match declaration.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let help = declaration.help_line();
    let mut metric = encoder.encode_descriptor(declaration.name, &help, None, metric_type)?;
    if let Some(buckets) = declaration.buckets {
        return encode_histogram(metric, buckets.bounds, buckets.scale, numbers);
    }
    match declaration.label {
        Some(label) => {
            for (value, number) in label.values.iter().zip(numbers) {
                let labels = [(label.name, *value)];
                encode_number(metric.encode_family(&labels)?, declaration.kind, *number)?;
            }
            Ok(())
        }
        None => encode_number(
            metric,
            declaration.kind,
            numbers.first().copied().unwrap_or(0),
        ),
    }
}

/// Writes one number under the declared name. Counters go through the gauge's encoder too: the
/// counter's would cut `_total` off the name in `# TYPE`, which is OpenMetrics' way, and leave
/// the sample without type and help to readers of the older text format (promtool is one).
fn encode_number(mut metric: MetricEncoder<'_>, kind: Kind, number: i64) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => metric.encode_gauge(&number.cast_unsigned()),
        Kind::Gauge | Kind::Histogram => metric.encode_gauge(&number),
    }
}

fn encode_histogram(
    mut metric: MetricEncoder<'_>,
    bounds: &[u64],
    scale: u32,
    numbers: &[i64],
) -> Result<(), fmt::Error> {
    let scale = f64::from(scale);
    let Some((sum, counts)) = numbers.split_last() else {
        return Ok(());
    };
    let bounds = bounds
        .iter()
        .map(|bound| *bound as f64 / scale)
        .chain([f64::INFINITY]);
    let counts = counts.iter().map(|count| count.cast_unsigned());
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    let count = buckets
        .iter()
        .fold(0_u64, |total, (_, count)| total.wrapping_add(*count));
    let sum = sum.cast_unsigned() as f64 / scale;
    metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

/// Declares a probe: a struct of metrics, its `DECLARATIONS`, and its [`Probe`] face.
///
/// Each field is `name: Type = "metric_name"`, then `by "label" in VALUES` for a
/// [`Family`](crate::metric::Family) or `, buckets BUCKETS` for a
/// [`Histogram`](crate::metric::Histogram). The doc comment of a field is its help text. Names
/// are checked at compile time. The crate's own page has an example.
#[macro_export]
macro_rules! probe {
    (
        $(#[$meta:meta])*
        $vis:vis struct $probe:ident {
            $(
                $(#[doc = $help:literal])*
                $field:ident: $type:ty = $name:literal
                    $(by $label:literal in $values:expr)? $(, buckets $buckets:expr)?;
            )*
        }
    ) => {
        $(#[$meta])*
        // Two cache lines: what one shard writes shares none with another shard's.
        #[repr(align(128))]
        #[derive(Debug)]
        $vis struct $probe {
            $($(#[doc = $help])* $vis $field: $type,)*
        }

        impl $probe {
            /// What its metrics are, in the order of its fields.
            $vis const DECLARATIONS: &'static [$crate::metric::Declaration] = &[$(
                $crate::metric::Declaration {
                    name: $name,
                    help: &[$($help),*],
                    kind: <$type as $crate::metric::Metric>::KIND,
                    label: $crate::probe!(@label $($label, $values)?),
                    buckets: $crate::probe!(@buckets $($buckets)?),
                }.checked(),
            )*];

            /// A probe that has counted nothing.
            $vis fn new() -> Self {
                let mut declarations = Self::DECLARATIONS.iter();
                $(
                    let declaration = declarations.next().expect("one for each field");
                    let $field = <$type as $crate::metric::Metric>::from_declaration(declaration);
                )*
                $probe { $($field),* }
            }
        }

        impl Default for $probe {
            fn default() -> Self {
                $probe::new()
            }
        }

        impl $crate::registry::Probe for $probe {
            fn declarations(&self) -> &'static [$crate::metric::Declaration] {
                Self::DECLARATIONS
            }

            fn add_to(&self, totals: &mut [i64]) {
                let mut declarations = Self::DECLARATIONS.iter();
                let mut rest = totals;
                $(
                    let slots = declarations.next().map_or(0, |known| known.slots());
                    let (numbers, others) = rest.split_at_mut(slots);
                    $crate::metric::Metric::add_to(&self.$field, numbers);
                    rest = others;
                )*
                let _ = (declarations, rest);
            }
        }
    };
    (@label) => { None };
    (@label $label:literal, $values:expr) => {
        Some($crate::metric::Label { name: $label, values: $values })
    };
    (@buckets) => { None };
    (@buckets $buckets:expr) => { Some($buckets) };
}

//! What the view of compression shows: one number a matrix, of several that may be known.

use std::collections::BTreeMap;

use cruxscope_study::{Component, ComponentCompression, CompressionMap, Module, RankCorrelation, Study};

use super::{Basis, ColourScale, Figures, Scale, format};

/// What is shown of each matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Squared error of the weights, as a share of their own square.
    WeightError,
    /// Squared error of the outputs on calibration text, as a share of the outputs' own square.
    OutputError,
    /// Bits of a weight.
    Bits,
    /// Share of weights that are zero.
    Sparsity,
    /// Mean of AWQ's scales of its input.
    AwqScale,
}

impl Measure {
    /// All of them, in the order of the choices.
    pub const ALL: [Self; 5] = [Self::OutputError, Self::WeightError, Self::Bits, Self::Sparsity, Self::AwqScale];

    /// The name in options and links.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WeightError => "weight-error",
            Self::OutputError => "output-error",
            Self::Bits => "bits",
            Self::Sparsity => "sparsity",
            Self::AwqScale => "awq-scale",
        }
    }

    /// The name on a button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::WeightError => "Weight error",
            Self::OutputError => "Output error",
            Self::Bits => "Bits",
            Self::Sparsity => "Zeros",
            Self::AwqScale => "AWQ scale",
        }
    }

    /// What it is, in a sentence's end.
    pub const fn about(self) -> &'static str {
        match self {
            Self::WeightError => "squared error of the weights, as a share of their own square",
            Self::OutputError => "squared error of the outputs on calibration text, as a share of their own square",
            Self::Bits => "bits of a weight, as it is stored",
            Self::Sparsity => "share of weights that are zero",
            Self::AwqScale => "mean of AWQ's scales of the matrix's input, before they are normalised",
        }
    }

    /// Its value for a matrix, where it is known.
    pub fn of(self, component: &ComponentCompression) -> Option<f64> {
        match self {
            Self::WeightError => component.weight_error,
            Self::OutputError => component.output_error,
            Self::Bits => component.bits,
            Self::Sparsity => component.sparsity,
            Self::AwqScale => component.awq_scale,
        }
    }

    /// A value in words.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::WeightError | Self::OutputError | Self::Sparsity => format::percent(value),
            Self::Bits => {
                let text = format!("{value:.2}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Self::AwqScale => format::significant(value),
        }
    }
}

/// What is known of the compression of a study's model: what was saved beside the study, or else what its checkpoint said.
pub fn known(study: &Study, saved: Option<&CompressionMap>) -> Option<CompressionMap> {
    if let Some(saved) = saved {
        return Some(saved.clone());
    }
    let model = &study.manifest.model;
    let components: Vec<ComponentCompression> = Component::all(model.layers)
        .map(|component| {
            let storage = stored(&model.tensors, component);
            ComponentCompression {
                component: component.to_string(),
                bits: storage.and_then(bits_of),
                storage: storage.unwrap_or_default().to_owned(),
                ..ComponentCompression::default()
            }
        })
        .collect();
    components.iter().any(|component| component.bits.is_some()).then(|| CompressionMap {
        program: String::new(),
        model: model.name.clone(),
        summary: "as the checkpoint stores it".to_owned(),
        components,
    })
}

/// How a component's weight is stored, by the names that Hugging Face and GGUF give to tensors.
fn stored(tensors: &BTreeMap<String, String>, component: Component) -> Option<&str> {
    let (layer, module) = (component.layer.0, component.module);
    let gguf = module.gguf_name();
    let place = if module.index() < 4 { "self_attn" } else { "mlp" };
    let names = [
        format!("model.layers.{layer}.{place}.{module}.weight"),
        format!("model.layers.{layer}.{place}.{module}.qweight"),
        format!("blk.{layer}.{gguf}.weight"),
    ];
    names.iter().find_map(|name| tensors.get(name)).map(String::as_str)
}

/// Bits of a weight in a stored type, scales and minima included: those of the blocks of GGUF and the plain numbers.
pub(crate) fn bits_of(storage: &str) -> Option<f64> {
    let blocks: &[(&str, f64)] = &[
        ("F32", 32.0),
        ("F16", 16.0),
        ("BF16", 16.0),
        ("Q8_0", 8.5),
        ("Q6_K", 6.5625),
        ("Q5_K", 5.5),
        ("Q5_0", 5.5),
        ("Q5_1", 6.0),
        ("Q4_K", 4.5),
        ("Q4_0", 4.5),
        ("Q4_1", 5.0),
        ("Q3_K", 3.4375),
        ("Q2_K", 2.625),
        ("IQ4_NL", 4.5),
        ("IQ4_XS", 4.25),
        ("IQ3_S", 3.4375),
        ("IQ3_XXS", 3.0625),
        ("IQ2_S", 2.5),
        ("IQ2_XS", 2.3125),
        ("IQ2_XXS", 2.0625),
        ("IQ1_S", 1.5625),
        ("IQ1_M", 1.75),
    ];
    blocks.iter().find(|(name, _)| *name == storage).map(|(_, bits)| *bits)
}

/// The measures that a map knows for any matrix.
pub fn measures(map: &CompressionMap) -> Vec<Measure> {
    let known = |measure: &Measure| map.components.iter().any(|component| measure.of(component).is_some());
    Measure::ALL.into_iter().filter(known).collect()
}

/// The cells of the figure, row by row: a row is a module, a column a layer. What is not known is missing.
pub fn cells(map: &CompressionMap, layers: usize, measure: Measure) -> Vec<f32> {
    let mut cells = Vec::with_capacity(map.components.len());
    for module in Module::ALL {
        for layer in 0..layers {
            let component = map.components.get(Component::new(layer, module).index());
            cells.push(component.and_then(|component| measure.of(component)).map_or(f32::NAN, |value| value as f32));
        }
    }
    cells
}

/// The scale of the figure: from zero, but for bits and AWQ's scales, which nobody measures from there.
pub fn scale(map: &CompressionMap, measure: Measure, scale: Scale) -> ColourScale {
    let values: Vec<f64> = map.components.iter().filter_map(|component| measure.of(component)).collect();
    let mut found = ColourScale::over(if scale == Scale::Rank { Scale::Linear } else { scale }, &values);
    if matches!(measure, Measure::Bits | Measure::AwqScale) {
        found.low = values.iter().copied().fold(f64::INFINITY, f64::min).min(found.high);
        found.scale = Scale::Linear;
    }
    found
}

/// A line of the list: a component by the measure.
#[derive(Clone, Debug, PartialEq)]
pub struct CompressionLine {
    /// The component.
    pub component: Component,
    /// The measure.
    pub value: f64,
    /// How it is stored, or what was done to it.
    pub storage: String,
    /// Its relative importance for the basis.
    pub relative: f64,
    /// Its rank by importance.
    pub rank: usize,
}

/// The components of which the measure is known, the largest first.
pub fn lines(map: &CompressionMap, figures: &Figures, basis: Basis, measure: Measure) -> Vec<CompressionLine> {
    let line = |component: Component| {
        let entry = map.components.get(component.index())?;
        let storage = [entry.method.as_str(), entry.storage.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        Some(CompressionLine {
            component,
            value: measure.of(entry)?,
            storage,
            relative: figures.relative_of(basis, component),
            rank: figures.ranks(basis).overall(component),
        })
    };
    let mut lines: Vec<CompressionLine> = Component::all(figures.layers()).filter_map(line).collect();
    lines.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.component.cmp(&b.component)));
    lines
}

/// How well the measure goes with importance: Spearman's correlation over the components of which both are known.
pub fn correlation(lines: &[CompressionLine]) -> Option<RankCorrelation> {
    let (values, relative): (Vec<f64>, Vec<f64>) = lines.iter().map(|line| (line.value, line.relative)).unzip();
    RankCorrelation::of(&values, &relative)
}

/// How many matrices are stored in each way, the most frequent first.
pub fn storages(map: &CompressionMap) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for component in map.components.iter().filter(|component| !component.storage.is_empty()) {
        *counts.entry(&component.storage).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use cruxscope_study::test_data as samples;

    #[test]
    fn lines_are_in_order_and_correlate_with_importance() {
        let study = samples::study(3);
        let figures = Figures::of(&study);
        let map = CompressionMap {
            components: Component::all(3)
                .map(|component| ComponentCompression {
                    component: component.to_string(),
                    storage: if component.layer.0 == 0 { "Q6_K" } else { "Q4_K" }.into(),
                    weight_error: Some(figures.relative_of(Basis::Mean, component) * 0.1),
                    ..ComponentCompression::default()
                })
                .collect(),
            ..CompressionMap::default()
        };
        let lines = lines(&map, &figures, Basis::Mean, Measure::WeightError);
        assert_eq!(lines.len(), 21);
        assert!(lines.windows(2).all(|pair| pair[0].value >= pair[1].value));
        assert_eq!(lines[0].rank, 1);
        assert!(correlation(&lines).unwrap().rho > 0.999);
        assert_eq!(storages(&map), [("Q4_K".to_owned(), 14), ("Q6_K".to_owned(), 7)]);
    }

    #[test]
    fn what_was_saved_counts_before_what_the_checkpoint_says() {
        let mut study = samples::study(2);
        assert_eq!(known(&study, None), None, "plain numbers say nothing");
        study.manifest.model.tensors = [
            ("blk.0.attn_q.weight".to_owned(), "Q4_K".to_owned()),
            ("model.layers.1.mlp.up_proj.weight".to_owned(), "BF16".to_owned()),
        ]
        .into();
        let map = known(&study, None).unwrap();
        assert_eq!(map.components[0].bits, Some(4.5));
        assert_eq!(map.components[Component::new(1, Module::Up).index()].bits, Some(16.0));
        assert_eq!(measures(&map), [Measure::Bits]);
        let cells = cells(&map, 2, Measure::Bits);
        assert_eq!(cells[0], 4.5);
        assert!(cells[1].is_nan());
        assert_eq!(scale(&map, Measure::Bits, Scale::Log).low, 4.5);
    }
}

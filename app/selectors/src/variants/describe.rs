//! What a version of a model is: how it was compressed, how many bits its weights have, what it is called in short.

use cruxscope_study::{Component, CompressionMap, Study};

use super::super::compression::{self, Measure};
use super::super::results::{Fill, Method, MethodKind};
use super::super::status;

/// How a study's model was compressed: by what was saved of it, or else by its title and its model's name. A model of which none of
/// them says anything is not compressed.
pub fn method(study: &Study, saved: Option<&CompressionMap>) -> Method {
    let summary = saved.map_or("", |map| map.summary.as_str());
    let words = [summary, status::title(study), study.manifest.model.name.as_str()];
    let methods = words.map(Method::of);
    let named = methods.into_iter().find(|method| !matches!(method.kind, MethodKind::None | MethodKind::Other));
    let says_nothing = saved.is_none() && study.manifest.model.compression.is_none();
    let plain = Method {
        kind: MethodKind::None,
        fill: Fill::Full,
    };
    named.unwrap_or_else(|| match stored(study, saved) {
        // Whole numbers of sixteen bits and more are how models come.
        Some((bits, _)) if says_nothing && bits < 15.0 => Method {
            kind: MethodKind::Other,
            fill: Fill::of_bits(bits),
        },
        _ if says_nothing => plain,
        _ => Method {
            kind: MethodKind::Other,
            fill: methods[0].fill,
        },
    })
}

/// Bits of a weight, the mean over the weights of all matrices, and the bytes of them all: `sum(n b) / sum(n)` and `sum(n b) / 8`.
/// Nothing where that is not known of every matrix.
pub fn stored(study: &Study, saved: Option<&CompressionMap>) -> Option<(f64, f64)> {
    let model = &study.manifest.model;
    let known = compression::known(study, saved);
    let of_all = match model.tensor_types.iter().collect::<Vec<_>>()[..] {
        [(storage, _)] => compression::bits_of(storage),
        _ => None,
    };
    let (mut weights, mut bits) = (0.0, 0.0);
    for component in Component::all(model.layers) {
        let dimensions = model.modules.get(component.module.index())?;
        let number = dimensions.outputs as f64 * dimensions.inputs as f64;
        let entry = known.as_ref().and_then(|map| map.components.get(component.index()));
        let each = entry.and_then(|entry| Measure::Bits.of(entry)).or(of_all)?;
        weights += number;
        bits += number * each;
    }
    (weights > 0.0).then(|| (bits / weights, bits / 8.0))
}

/// Titles without the parts, set apart by commas, that all of those share which have more than them: `Distilled, RTN, 4 bits` becomes
/// `RTN, 4 bits` beside its like.
pub fn without_shared_words(titles: &[&str]) -> Vec<String> {
    let parts: Vec<Vec<&str>> = titles.iter().map(|title| title.split(", ").collect()).collect();
    let long: Vec<&Vec<&str>> = parts.iter().filter(|parts| parts.len() > 1).collect();
    let shared = long.first().map_or(0, |first| {
        (0..first.len() - 1)
            .take_while(|at| long.iter().all(|parts| parts.len() > at + 1 && parts[*at] == first[*at]))
            .count()
    });
    // One title alone shares nothing.
    let shared = if long.len() > 1 { shared } else { 0 };
    parts
        .iter()
        .map(|parts| if parts.len() > shared { parts[shared..].join(", ") } else { parts.join(", ") })
        .collect()
}

#[cfg(test)]
mod tests {
    use cruxscope_study::test_data as samples;
    use cruxscope_study::{ComponentCompression, Module};

    use super::*;

    #[test]
    fn titles_lose_what_they_share() {
        let titles = ["Distilled", "Base", "Distilled, RTN, 4 bits", "Distilled, AWQ, 3 bits"];
        assert_eq!(without_shared_words(&titles), ["Distilled", "Base", "RTN, 4 bits", "AWQ, 3 bits"]);
        assert_eq!(without_shared_words(&["a, b", "c, d"]), ["a, b", "c, d"]);
        assert_eq!(without_shared_words(&["a, b"]), ["a, b"]);
        assert_eq!(without_shared_words(&["a, b", "a, b"]), ["b", "b"]);
        assert_eq!(without_shared_words(&[]), Vec::<String>::new());
    }

    #[test]
    fn bits_are_the_mean_over_weights_by_the_plain_sum() {
        let study = samples::study(2);
        let components: Vec<ComponentCompression> = Component::all(2)
            .map(|component| ComponentCompression {
                component: component.to_string(),
                bits: Some(if component.module == Module::Down { 4.0 } else { 2.0 }),
                ..ComponentCompression::default()
            })
            .collect();
        let map = CompressionMap {
            summary: "2-bit RTN".into(),
            components,
            ..CompressionMap::default()
        };
        let (mut weights, mut bits) = (0.0, 0.0);
        for component in Component::all(2) {
            let size = study.manifest.model.modules[component.module.index()];
            let number = (size.outputs * size.inputs) as f64;
            weights += number;
            bits += number * if component.module == Module::Down { 4.0 } else { 2.0 };
        }
        let found = stored(&study, Some(&map)).unwrap();
        assert!((found.0 - bits / weights).abs() < 1e-12 && (found.1 - bits / 8.0).abs() < 1e-6, "{found:?}");
        let method = method(&study, Some(&map));
        assert_eq!((method.kind, method.fill), (MethodKind::Nearest, Fill::Hollow));
    }

    #[test]
    fn a_model_of_which_nothing_is_said_is_not_compressed() {
        assert_eq!(method(&samples::study(2), None).kind, MethodKind::None);
        let mut quantized = samples::study(2);
        quantized.manifest.model.tensor_types = [("Q3_K".to_owned(), 14)].into();
        let found = method(&quantized, None);
        assert_eq!((found.kind, found.fill), (MethodKind::Other, Fill::Half));
    }
}

//! Whether arrays have the shapes that they must have, and hold nothing but numbers.

use cruxscope_checkpoint::{LayerWeights, Matrix, Projection};

use crate::CompressError;

/// The projections of a layer of the usual seven; AWQ knows no other.
pub(super) fn seven(layer: &LayerWeights) -> Result<&[Projection; 7], CompressError> {
    let count = layer.projections.len();
    let all = layer.projections.first_chunk().filter(|_| count == 7);
    all.ok_or_else(|| shape("a layer", format!("{count} linear maps"), "seven".to_string()))
}

/// The same, to be changed.
pub(super) fn seven_mut(layer: &mut LayerWeights) -> Result<&mut [Projection; 7], CompressError> {
    let count = layer.projections.len();
    let all = layer.projections.first_chunk_mut().filter(|_| count == 7);
    all.ok_or_else(|| shape("a layer", format!("{count} linear maps"), "seven".to_string()))
}

/// Whether a layer's arrays fit together.
pub(super) fn check_layer(layer: &LayerWeights) -> Result<(), CompressError> {
    let [query, key, value, output, gate, up, down] = seven(layer)?;
    let hidden = layer.attention_norm.len();
    expect("the feed-forward norm", "values", layer.feed_forward_norm.len(), hidden)?;
    for (what, projection, width) in [
        ("query", query, hidden),
        ("key", key, hidden),
        ("value", value, hidden),
        ("output", output, query.weight.rows),
        ("gate", gate, hidden),
        ("up", up, hidden),
        ("down", down, gate.weight.rows),
    ] {
        expect(what, "columns", projection.weight.columns, width)?;
        check_weight(what, &projection.weight)?;
        if let Some(bias) = &projection.bias {
            expect(what, "biases", bias.len(), projection.weight.rows)?;
        }
    }
    expect("key", "rows", key.weight.rows, value.weight.rows)?;
    expect("up", "rows", up.weight.rows, gate.weight.rows)?;
    expect("output", "rows", output.weight.rows, hidden)?;
    expect("down", "rows", down.weight.rows, hidden)
}

/// Whether a weight is whole and finite.
pub(super) fn check_weight(what: &'static str, weight: &Matrix) -> Result<(), CompressError> {
    if weight.rows == 0 || weight.columns == 0 {
        return Err(shape(
            what,
            format!("shape [{}, {}]", weight.rows, weight.columns),
            "at least one weight".to_string(),
        ));
    }
    expect(what, "values", weight.values.len(), weight.rows * weight.columns)?;
    finite(what, &weight.values)
}

/// An error unless two counts agree.
pub(super) fn expect(what: &'static str, of: &str, found: usize, expected: usize) -> Result<(), CompressError> {
    if found == expected {
        return Ok(());
    }
    Err(shape(what, format!("{found} {of}"), format!("{expected} {of}")))
}

/// The error of a shape that is not the expected one.
pub(super) fn shape(what: &'static str, found: String, expected: String) -> CompressError {
    CompressError::Shape {
        method: super::METHOD,
        what,
        found,
        expected,
    }
}

/// An error unless every value is finite.
pub(super) fn finite(what: &'static str, values: &[f32]) -> Result<(), CompressError> {
    // Without an early end the loop is vector code.
    if values.iter().fold(true, |all, value| all & value.is_finite()) {
        return Ok(());
    }
    Err(CompressError::NotFinite { method: super::METHOD, what })
}

//! What compressing a layer gives beside its weights.

use cruxscope_compress::quantize::Quantized;

use super::report::ComponentReport;

/// Reports and, where there are such, codes of a layer's components.
pub struct Outcome {
    pub reports: Vec<ComponentReport>,
    pub codes: [Option<Quantized>; 7],
}

//! Where the matrix of one expert lies in an array of all of a layer's.

use crate::packed::mxfp4;

/// How the array lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `[experts, out, in]`.
    Rows,
    /// `[experts, in, out]`.
    Columns,
    /// Blocks and scales of MXFP4, `[experts, out, …]`.
    Blocks,
    /// `[experts, out]`.
    Vector,
    /// Of latent attention the second map of keys and values, for each head (`experts`) its keys and then its values, out of two arrays: keys
    /// `[heads, in, plain]`, turned, and values `[heads, value, in]`.
    Latent {
        /// The array of values.
        values: &'static str,
        /// Features of a head's key without position.
        plain: usize,
    },
}

/// Where the matrix, or the bias, of one expert lies.
#[derive(Debug, Clone)]
pub(crate) struct StackedSlice {
    /// The array; of blocks, what stands before `_blocks`.
    pub whole: String,
    pub form: Form,
    pub expert: usize,
    pub experts: usize,
    /// Outputs and inputs of the expert's stretch.
    pub outputs: usize,
    pub inputs: usize,
    /// The first output of the matrix in it, and from one to the next.
    pub first: usize,
    pub step: usize,
    /// Outputs of the matrix.
    pub rows: usize,
}

impl StackedSlice {
    /// The arrays with the shapes that they must have.
    pub fn arrays(&self) -> Vec<(String, Vec<usize>)> {
        let (experts, outputs, inputs) = (self.experts, self.outputs, self.inputs);
        match self.form {
            Form::Rows => vec![(self.whole.clone(), vec![experts, outputs, inputs])],
            Form::Columns => vec![(self.whole.clone(), vec![experts, inputs, outputs])],
            Form::Vector => vec![(self.whole.clone(), vec![experts, outputs])],
            Form::Latent { values, plain } => {
                let stem = self.whole.rsplitn(3, '.').last().unwrap_or_default();
                vec![
                    (self.whole.clone(), vec![experts, inputs, plain]),
                    (format!("{stem}.{values}"), vec![experts, outputs - plain, inputs]),
                ]
            }
            Form::Blocks => {
                let blocks = inputs / mxfp4::BLOCK;
                vec![
                    (format!("{}_blocks", self.whole), vec![experts, outputs, blocks, mxfp4::BLOCK_BYTES]),
                    (format!("{}_scales", self.whole), vec![experts, outputs, blocks]),
                ]
            }
        }
    }
}

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

//! Sums over tokens that stay on the device, in float32.

use std::borrow::Cow;

use burn::tensor::Tensor;

use super::TensorKernels;
use crate::kernels::calibration::CalibrationKernels;

impl CalibrationKernels for TensorKernels {
    fn host_values<'a>(&self, _: &'a Tensor<2>) -> Option<Cow<'a, [f32]>> {
        None
    }

    fn column_products(&self, x: &Tensor<2>, y: &Tensor<2>, onto: Option<Tensor<2>>) -> Tensor<2> {
        let products = x.clone().transpose().matmul(y.clone());
        match onto {
            Some(onto) => onto + products,
            None => products,
        }
    }

    fn column_sums(&self, x: &Tensor<2>, onto: Option<Tensor<2>>) -> Tensor<2> {
        let sums = Tensor::cat(vec![x.clone().sum_dim(0), x.clone().abs().sum_dim(0)], 0);
        match onto {
            Some(onto) => onto + sums,
            None => sums,
        }
    }

    fn difference(&self, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
        x.clone() - y.clone()
    }
}

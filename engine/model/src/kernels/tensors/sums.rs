//! Sums over rows that stay on the device: what calibration draws from a layer's inputs.

use burn::tensor::Tensor;

use super::TensorKernels;

impl TensorKernels {
    /// Products of columns, summed over rows in float32: S_ij = sum over t of x_ti y_tj, added to `onto` where that is given.
    ///
    /// # Shapes
    /// `x [n, a]`, `y [n, b]`; out: `[a, b]`.
    pub fn column_products(&self, x: &Tensor<2>, y: &Tensor<2>, onto: Option<Tensor<2>>) -> Tensor<2> {
        let products = x.clone().transpose().matmul(y.clone());
        match onto {
            Some(onto) => onto + products,
            None => products,
        }
    }

    /// Sums of columns, and of their magnitudes below, added to `onto` where that is given.
    ///
    /// # Shapes
    /// `x [n, a]`; out: `[2, a]`.
    pub fn column_sums(&self, x: &Tensor<2>, onto: Option<Tensor<2>>) -> Tensor<2> {
        let sums = Tensor::cat(vec![x.clone().sum_dim(0), x.clone().abs().sum_dim(0)], 0);
        match onto {
            Some(onto) => onto + sums,
            None => sums,
        }
    }

    /// x − y.
    pub fn difference(&self, x: &Tensor<2>, y: &Tensor<2>) -> Tensor<2> {
        x.clone() - y.clone()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::kernels::Kernels as _;

    #[test]
    fn sums_over_rows_are_those_of_plain_loops() {
        let kernels = TensorKernels::new(Device::flex(), "flex");
        let (n, a, b) = (7, 5, 3);
        let value = |seed: usize| ((seed * 37 % 101) as f32 - 50.0) / 17.0;
        let x: Vec<f32> = (0..n * a).map(value).collect();
        let y: Vec<f32> = (0..n * b).map(|index| value(index + 900)).collect();
        let (xs, ys) = (kernels.upload(n, a, x.clone()), kernels.upload(n, b, y.clone()));
        let once = kernels.column_products(&xs, &ys, None);
        let twice = kernels.download(&kernels.column_products(&xs, &ys, Some(once))).unwrap();
        let sums = kernels.column_sums(&xs, None);
        let sums = kernels.download(&kernels.column_sums(&xs, Some(sums))).unwrap();
        for i in 0..a {
            let column = |of: fn(f32) -> f32| (0..n).map(|t| f64::from(of(x[t * a + i]))).sum::<f64>();
            for (found, expected) in [(sums[i], 2.0 * column(|x| x)), (sums[a + i], 2.0 * column(f32::abs))] {
                assert!((f64::from(found) - expected).abs() < 1e-4, "{found} {expected}");
            }
            for j in 0..b {
                let expected: f64 = (0..n).map(|t| 2.0 * f64::from(x[t * a + i]) * f64::from(y[t * b + j])).sum();
                assert!((f64::from(twice[i * b + j]) - expected).abs() < 1e-4, "{i} {j}");
            }
        }
        let none = kernels.download(&kernels.difference(&xs, &xs)).unwrap();
        assert!(none.iter().all(|value| *value == 0.0));
    }
}

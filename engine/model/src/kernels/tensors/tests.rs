//! What keeping weights short, and multiplying in bfloat16, costs.

use super::*;

#[test]
fn bfloat16_products_are_as_near_as_their_rounding() {
    let exact = TensorKernels::new(Device::flex(), "flex");
    let short = exact.clone().with_precision(Precision::BFloat16).unwrap();
    assert_ne!(exact.describe(), short.describe());
    let (rows, inputs, outputs) = (5, 96, 64);
    let values = |count: usize, step: f32| (0..count).map(|place| (place as f32 * step).sin()).collect::<Vec<f32>>();
    let run = |kernels: &TensorKernels| {
        let weight = kernels.keep(outputs, inputs, values(outputs * inputs, 0.37));
        let onto = kernels.upload(rows, outputs, vec![1000.0; rows * outputs]);
        let y = kernels.linear(&kernels.upload(rows, inputs, values(rows * inputs, 0.73)), &weight, None, Some(onto));
        let x = kernels.linear_backward(&kernels.upload(rows, outputs, values(rows * outputs, 0.51)), &weight, None);
        (weight.dtype(), kernels.download(&y).unwrap(), kernels.download(&x).unwrap())
    };
    let ((long, y, x), (kept, short_y, short_x)) = (run(&exact), run(&short));
    assert_eq!((long, kept), (DType::F32, DType::BF16));
    // Both operands are off by 2^-9 at most, each product of theirs is at most 1, so a sum of n of them is off by n / 256. What
    // it is added to is not rounded: bfloat16 knows only every fourth number near 1000.
    for (exact, short, terms) in [(&y, &short_y, inputs), (&x, &short_x, outputs)] {
        let distance = exact.iter().zip(short).map(|(exact, short)| (exact - short).abs()).fold(0.0, f32::max);
        assert!(distance > 0.0 && distance < terms as f32 / 256.0, "{distance}");
    }
}

#[test]
fn a_weight_is_kept_short_only_where_nothing_is_lost() {
    let kernels = TensorKernels::new(Device::flex(), "flex");
    let x = kernels.upload(2, 4, vec![0.1, -0.7, 1.3, 2.0, 0.3, 0.9, -1.1, 0.01]);
    let short = [0.5, -1.25, 3.0, 0.0078125, -0.75, 2.5, 1.0, -96.0, 0.25, 0.125, 7.0, -2.0];
    let long = short.map(|value: f32| value + 1e-4);
    for (values, expected) in [(short, DType::BF16), (long, DType::F32)] {
        let (kept, whole) = (kernels.keep(3, 4, values.to_vec()), kernels.upload(3, 4, values.to_vec()));
        assert_eq!(kept.dtype(), expected);
        let product = |weight: &Tensor<2>| kernels.download(&kernels.linear(&x, weight, None, None)).unwrap();
        assert_eq!(product(&kept), product(&whole));
        let gradient = kernels.upload(2, 3, vec![1.0, -0.5, 0.3, 0.2, 0.7, -0.9]);
        let back = |weight: &Tensor<2>| kernels.download(&kernels.linear_backward(&gradient, weight, None)).unwrap();
        assert_eq!(back(&kept), back(&whole));
    }
}

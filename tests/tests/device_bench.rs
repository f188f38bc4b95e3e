//! `bench device` on accelerators, in a size that a graphics card made of software gets through: every part gives a number, and every
//! kernel agrees with the reference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

use std::time::Duration;

use cruxscope_model::device;
use cruxscope_needs::{Need, skip};
use cruxscope_run::Silent;
use cruxscope_run::speed::device::{DeviceSettings, Job, measure};
use cruxscope_run::synthetic::Shape;

fn benched_on(name: &str) {
    if let Err(why) = device::find(name) {
        skip(Need::Device, why);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = DeviceSettings {
        device: name.into(),
        shape: Shape::from_json(serde_json::json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 100
        }))
        .unwrap(),
        whole_layers: 2,
        tokens: vec![128],
        sequences: vec![1],
        new_tokens: 2,
        windows: (2, 32),
        draws: 1,
        largest: 256,
        timing: Duration::from_millis(2),
        time: Duration::from_secs(600),
        small: None,
        job: Job::PUBLISHED,
        folder: folder.path().to_owned(),
    };
    let report = measure(&settings, &mut Silent).unwrap();
    for row in &report.kernels {
        println!("{name}: {} within {:.1e}", row.kernel, row.difference);
        assert!(row.holds, "{row:?}");
    }
    assert_eq!(report.left_out, Vec::<String>::new());
    assert!(report.sketch.is_some() && report.gptq.is_some() && report.job_seconds.is_some());
    assert_eq!((report.attention.len(), report.interpretation.len(), report.generation.len()), (1, 1, 1));
}

#[test]
fn benched_on_wgpu() {
    benched_on("wgpu");
}

#[test]
fn benched_on_vulkan() {
    benched_on("vulkan");
}

#[test]
fn benched_on_cuda() {
    benched_on("cuda");
}

#[test]
fn benched_on_cuda_in_bfloat16() {
    benched_on("cuda@bfloat16");
}

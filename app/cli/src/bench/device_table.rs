//! What `cruxscope bench device` prints for people.

use std::fmt::Write as _;
use std::time::Duration;

use cruxscope_run::machine::{format_bytes, format_duration};
use cruxscope_run::speed::device::DeviceReport;
use serde_json::Value;

/// Operations a second, in words.
fn rate(operations: f64) -> String {
    let (size, unit) = if operations >= 1e12 { (1e12, "TFLOP/s") } else { (1e9, "GFLOP/s") };
    format!("{:.1} {unit}", operations / size)
}

fn time(seconds: f64) -> String {
    match seconds {
        0.0..1e-3 => format!("{:.0} us", seconds * 1e6),
        1e-3..1.0 => format!("{:.1} ms", seconds * 1e3),
        1.0..60.0 => format!("{seconds:.1} s"),
        _ => format_duration(Duration::from_secs_f64(seconds)),
    }
}

fn bytes_a_second(bytes: f64) -> String {
    format!("{:.1} GB/s", bytes / 1e9)
}

/// The whole text.
pub fn table(found: &Value, report: &DeviceReport) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        writeln!(text, "{words}").ok();
    };
    let word = |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    line(format!("{}, {}", report.device, word("/date")));
    line(format!(
        "cruxscope {} on {}, {}",
        word("/machine/version"),
        word("/machine/system/processor"),
        word("/machine/system/name")
    ));
    for card in found.pointer("/machine/gpus").and_then(Value::as_array).into_iter().flatten() {
        line(format!("card {}", card.as_str().unwrap_or_default()));
    }

    line(String::new());
    line(format!("{:<42} {:>12} {:>9}", "kernels against float64", "difference", "bound"));
    for row in &report.kernels {
        let verdict = if row.holds { "" } else { "  BEYOND ITS BOUND" };
        line(format!("{:<42} {:>12.1e} {:>9.0e}{verdict}", row.kernel, row.difference, row.bound));
    }
    if let Some(small) = &report.small {
        let same = if small.same_ten() {
            "the same as on the processors"
        } else {
            "NOT AS ON THE PROCESSORS"
        };
        line(format!(
            "top ten of {} ({} instances): {same}; relative importance within {:.1e}",
            small.model, small.instances, small.difference
        ));
        if !small.same_ten() {
            line(format!("here {}; there {}", small.top_ten[0].join(" "), small.top_ten[1].join(" ")));
        }
    }

    let pytorch = |list: &str, matches: &dyn Fn(&Value) -> bool| {
        let rows = found.pointer(list).and_then(Value::as_array);
        rows.and_then(|rows| rows.iter().find(|row| matches(row)).cloned())
    };
    let beside = found.get("pytorch").filter(|value| !value.is_null());
    line(String::new());
    line(format!("best rate of products {}", rate(report.products.best)));
    if let Some(beside) = beside {
        line(format!(
            "PyTorch {} on {}: {}",
            beside["version"].as_str().unwrap_or_default(),
            beside["device"].as_str().unwrap_or_default(),
            rate(beside["best"].as_f64().unwrap_or_default())
        ));
    }
    line(format!(
        "{:<8} {:>6} {:>7} {:>8}  {:>14} {:>5}  {:>14} {:>5}  {:>8}",
        "product", "rows", "inputs", "outputs", "forward", "share", "backward", "share", "PyTorch"
    ));
    for row in &report.products.products {
        let theirs = pytorch("/pytorch/products", &|other| {
            other["what"] == row.what.as_str() && other["rows"] == row.rows && other["inputs"] == row.inputs && other["outputs"] == row.outputs
        });
        let ratio = theirs
            .and_then(|theirs| theirs["forward"].as_f64())
            .map_or_else(String::new, |theirs| format!("{:.2}x", row.forward / theirs));
        line(format!(
            "{:<8} {:>6} {:>7} {:>8}  {:>14} {:>4.0}%  {:>14} {:>4.0}%  {ratio:>8}",
            row.what,
            row.rows,
            row.inputs,
            row.outputs,
            rate(row.forward),
            100.0 * row.forward / report.products.best,
            rate(row.backward),
            100.0 * row.backward / report.products.best
        ));
    }
    line(format!(
        "copies: {} on the device, {} to it, {} back",
        bytes_a_second(report.copies.on_device),
        bytes_a_second(report.copies.to_device),
        bytes_a_second(report.copies.from_device)
    ));

    line(String::new());
    line(format!(
        "{:<26} {:>9} {:>14} {:>22} {:>8}",
        "attention of a layer", "forward", "", "backward, rows", "PyTorch"
    ));
    for row in &report.attention {
        let theirs = pytorch("/pytorch/attention", &|other| other["tokens"] == row.tokens);
        let ratio = theirs
            .and_then(|theirs| theirs["forward"].as_f64())
            .map_or_else(String::new, |theirs| format!("{:.2}x", theirs / row.forward));
        line(format!(
            "{:<26} {:>9} {:>14} {:>22} {ratio:>8}",
            format!("{} tokens{}", row.tokens, if row.forward_rows < row.tokens { " *" } else { "" }),
            time(row.forward),
            rate(row.forward_rate),
            format!("{}, {}", time(row.backward), row.rows)
        ));
    }

    line(String::new());
    line(format!(
        "work on {} of {} layers{:<17} {:>9} {:>10} {:>14} {:>6} {:>11} {:>11}",
        report.layers, report.whole_layers, "", "time", "tokens/s", "rate", "share", "planned", "held"
    ));
    for row in &report.interpretation {
        let measured = &row.measured;
        let held = measured.device_memory.or(measured.peak_memory).map_or_else(String::new, format_bytes);
        line(format!(
            "{:<40} {:>9} {:>10.0} {:>14} {:>5.0}% {:>11} {held:>11}",
            format!(
                "interpretation of {} tokens{}",
                measured.tokens,
                if row.carried_from.is_some() { " *" } else { "" }
            ),
            time(measured.seconds),
            measured.tokens_per_second,
            rate(row.operations / measured.seconds),
            100.0 * row.operations / measured.seconds / report.products.best,
            format_bytes(row.planned_memory)
        ));
    }
    for whole in [&report.sketch, &report.gptq].into_iter().flatten() {
        line(format!(
            "{:<40} {:>9} {:>10.0} {:>14} {:>5.0}% {:>11}",
            whole.what,
            time(whole.seconds),
            whole.tokens as f64 / whole.seconds,
            rate(whole.operations / whole.seconds),
            100.0 * whole.operations / whole.seconds / report.products.best,
            format_bytes(whole.planned_memory)
        ));
        if let Some(seconds) = whole.at_full_size {
            line(format!("{:<40} {:>9}", "  the whole of it *", time(seconds)));
        }
    }
    for (row, whole) in report.generation.iter().zip(&report.generation_whole) {
        line(format!(
            "{:<40} {:>9} {:>10.1}   (whole model, by bytes of weights: {whole:.1})",
            format!("generation, {} side by side", row.sequences),
            time(row.seconds),
            row.tokens_per_second
        ));
    }
    if let Some(seconds) = report.job_seconds {
        line(String::new());
        line(format!(
            "the paper's job on all {} layers, 120 published traces: {} at the measured rate of interpretation (projected)",
            report.whole_layers,
            time(seconds)
        ));
    }
    for scaled in &report.scaled {
        line(format!("* {scaled}"));
    }
    for left_out in &report.left_out {
        line(format!("left out: {left_out}"));
    }
    line(format!("all of it took {}", time(report.seconds)));
    text.truncate(text.trim_end().len());
    text
}

//! What the bench found, as text for people.

use std::fmt::Write as _;

use serde_json::Value;

fn printed(value: &Value, places: usize) -> String {
    value.as_f64().map_or_else(|| "-".into(), |value| format!("{value:.places$}"))
}

/// `0.1500 (0.1490 to 0.1520)`, or the mean alone where there is one number.
fn spread(value: &Value, places: usize) -> String {
    let [mean, low, high] = ["mean", "lowest", "highest"].map(|name| printed(&value[name], places));
    if low == high { mean } else { format!("{mean} ({low} to {high})") }
}

/// `0.1500 [0.1490, 0.1520]`.
fn measured(value: &Value, places: usize) -> String {
    let own = printed(&value["value"], places);
    match value["interval"].as_array() {
        Some(_) => format!("{own} [{}, {}]", printed(&value["interval"][0], places), printed(&value["interval"][1], places)),
        None => own,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All tables. Intervals in square brackets are over windows, ranges in round ones over seeds of labels.
pub(super) fn table(summary: &Value) -> String {
    let mut out = format!(
        "{}: sketched on \"{}\" with {} draws, {} seed(s); measured on \"{}\"\nintervals [95 %] are over windows, ranges (lowest to highest) over seeds of labels\n",
        text(&summary["model"]),
        text(&summary["sketched"]),
        summary["draws"],
        summary["seeds"],
        text(&summary["evaluated"])
    );
    // Writing to a String cannot fail.
    writeln!(
        out,
        "\n{:<14}  {:>11}  {:<28}  {:<28}  {:<28}  predicted/measured",
        "uniform", "bits/weight", "predicted KL, all seeds", "by seed", "measured KL"
    )
    .ok();
    for row in list(&summary["uniform"]) {
        let ratio = row["predicted"]["value"].as_f64().zip(row["measured"]["value"].as_f64()).map(|(a, b)| a / b);
        writeln!(
            out,
            "{:<14}  {:>11}  {:<28}  {:<28}  {:<28}  {}",
            text(&row["format"]),
            printed(&row["bits_per_weight"], 3),
            measured(&row["predicted"], 5),
            spread(&row["predicted_by_seed"], 5),
            measured(&row["measured"], 5),
            ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.3}"))
        )
        .ok();
    }
    correlations(&mut out, summary);
    for contest in list(&summary["contests"]) {
        write_contest(&mut out, contest);
    }
    let seconds = &summary["processor_seconds"];
    if let (Some(sketch), Some(alone)) = (seconds["sketch"].as_f64(), seconds["every_matrix_alone_in_one_format"].as_f64()) {
        let formats = list(&summary["menu"]).len() as f64;
        writeln!(
            out,
            "\nprocessor seconds: a sketch {sketch:.0}, all {formats} formats in it; every matrix alone in one format {alone:.0}, in all {formats} formats {:.0}: {:.1} times as much",
            formats * alone,
            formats * alone / sketch
        )
        .ok();
    }
    let pytorch = &summary["pytorch"];
    if let (Some(own), Some(theirs)) = (seconds["sketch"].as_f64(), pytorch["processor_seconds"].as_f64()) {
        let predicted: Vec<String> = list(&pytorch["predicted"]).iter().map(|value| printed(value, 4)).collect();
        writeln!(
            out,
            "the sketch in PyTorch {}, {} threads: {theirs:.0} processor seconds, here {:.2} of that; it predicts {}",
            text(&pytorch["version"]),
            pytorch["threads"],
            own / theirs,
            predicted.join(", ")
        )
        .ok();
    }
    out.trim_end().to_owned()
}

fn correlations(out: &mut String, summary: &Value) {
    let alone = &summary["alone"];
    if alone.is_null() {
        return;
    }
    // Writing to a String cannot fail.
    writeln!(
        out,
        "\nrank correlation with the measured KL of each of {} matrices alone in {}, {} predictions: by seed, of all draws; sum over the measured sum",
        alone["components"],
        text(&alone["format"]),
        alone["predictions"]
    )
    .ok();
    for row in list(&summary["rank_correlation"]) {
        writeln!(
            out,
            "{:<32}  {:<26}  {:<9}  {}",
            text(&row["rule"]),
            spread(&row["rho"], 3),
            printed(&row["rho_of_all_draws"], 3),
            spread(&row["sum_over_measured"], 3)
        )
        .ok();
    }
    if summary["has_importance"] != true {
        writeln!(
            out,
            "{:<32}  absent: no study with it was given (--importance)",
            "the paper's relative importance"
        )
        .ok();
    }
}

fn write_contest(out: &mut String, contest: &Value) {
    // Writing to a String cannot fail.
    writeln!(
        out,
        "\n{:<32}  {:>11}  {:<9}  {:<26}  {:<26}  {:<22}  over the best uniform   ({} windows, {} predictions)",
        text(&contest["group"]),
        "bits/weight",
        "predicted",
        "measured KL",
        "by seed",
        "over gradient score",
        contest["windows"],
        contest["predictions"]
    )
    .ok();
    let mut rows: Vec<&Value> = list(&contest["rules"]).iter().collect();
    let kl = |row: &Value| row["kl"]["value"].as_f64().unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| kl(a).total_cmp(&kl(b)));
    for row in rows {
        writeln!(
            out,
            "{:<32}  {:>11}  {:<9}  {:<26}  {:<26}  {:<22}  {}",
            text(&row["rule"]),
            printed(&row["bits_per_weight"], 3),
            printed(&row["predicted_kl"]["mean"], 4),
            measured(&row["kl"], 4),
            spread(&row["kl_by_seed"], 4),
            measured(&row["over_gradient_score"], 3),
            measured(&row["over_best_uniform"], 3)
        )
        .ok();
    }
}

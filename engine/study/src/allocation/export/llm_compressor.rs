//! llm-compressor: a `recipe.yaml` with a modifier for each method, `config_groups` for its formats, and what is left as it is under
//! `ignore`. The words inside of a group are compressed-tensors' own.

use std::fmt::Write as _;

use super::{Integers, Method, by_format, pattern};

pub(super) fn write(integers: &Integers) -> Result<String, String> {
    let formats = by_format(integers);
    let unchanged: Vec<String> = formats
        .iter()
        .filter(|(format, _)| format.is_none())
        .flat_map(|(_, components)| pattern(components))
        .collect();
    let mut text = String::from("quant_stage:\n  quant_modifiers:\n");
    // Writing to a String cannot fail.
    for (method, modifier) in [
        (Method::Rtn, "QuantizationModifier"),
        (Method::Gptq, "GPTQModifier"),
        (Method::Awq, "AWQModifier"),
    ] {
        let own: Vec<_> = formats
            .iter()
            .filter_map(|(format, components)| Some((format.filter(|format| format.method == method)?, components)))
            .collect();
        if own.is_empty() {
            continue;
        }
        writeln!(text, "    {modifier}:\n      ignore:\n        - lm_head").ok();
        for pattern in &unchanged {
            writeln!(text, "        - 're:{pattern}$'").ok();
        }
        writeln!(text, "      config_groups:").ok();
        for (place, (format, components)) in own.iter().enumerate() {
            writeln!(text, "        group_{place}:\n          targets:").ok();
            for pattern in pattern(components) {
                writeln!(text, "            - 're:{pattern}$'").ok();
            }
            let group = match format.group {
                Some(group) => format!("strategy: group, group_size: {group}"),
                None => "strategy: channel".into(),
            };
            writeln!(
                text,
                "          weights: {{num_bits: {}, type: int, symmetric: {}, {group}, dynamic: false}}",
                format.bits, format.symmetric
            )
            .ok();
        }
    }
    if formats.iter().all(|(format, _)| format.is_none()) {
        return Err("it leaves every matrix as it is".into());
    }
    Ok(text)
}

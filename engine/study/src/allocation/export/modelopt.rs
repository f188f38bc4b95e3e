//! ModelOpt: a quantization config, an ordered list of entries whose names are wildcards for weight quantizers; later entries win.
//! Everything is switched off first. Its integers are symmetric.

use std::fmt::Write as _;

use super::{Integers, Method, module_name};

pub(super) fn write(integers: &Integers) -> Result<String, String> {
    let awq = integers
        .iter()
        .flat_map(|(_, format)| format)
        .filter(|format| format.method == Method::Awq)
        .count();
    let all = integers.iter().flat_map(|(_, format)| format).count();
    if awq != 0 && awq != all {
        return Err("AWQ is an algorithm of the whole model there, and this recipe has other methods beside it".into());
    }
    if let Some((component, _)) = integers.iter().find(|(_, format)| format.is_some_and(|format| format.method == Method::Gptq)) {
        return Err(format!(
            "{component} is quantized by GPTQ, for which its configs have no word that every version knows"
        ));
    }
    let mut text = String::from("quant_cfg:\n  - quantizer_name: '*'\n    enable: false\n");
    for (component, format) in integers {
        let Some(format) = format else { continue };
        let place = match format.group {
            Some(group) => format!("block_sizes: {{-1: {group}}}"),
            None => "axis: 0".into(),
        };
        let name = module_name(*component);
        // Writing to a String cannot fail.
        writeln!(
            text,
            "  - quantizer_name: '*{}.weight_quantizer'\n    cfg: {{num_bits: {}, {place}}}\n    enable: true",
            name.trim_start_matches("model."),
            format.bits
        )
        .ok();
    }
    writeln!(text, "algorithm: {}", if awq > 0 { "awq_lite" } else { "max" }).ok();
    Ok(text)
}

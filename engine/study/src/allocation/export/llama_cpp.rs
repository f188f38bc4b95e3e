//! `llama-quantize`: a file for `--tensor-type-file`, and the whole command.
//!
//! Names are regular expressions that are searched for in tensors' names, so that they are anchored; types are ggml's. What the
//! embedding and the head get is left to the base type.

use std::fmt::Write as _;

use super::Exported;
use crate::{Component, Sensitivity};

/// The tensor of a component, without `.weight`.
fn tensor(component: Component) -> String {
    format!("blk.{}.{}", component.layer.0, component.module.gguf_name())
}

/// The type that the whole file is quantized to where nothing else is said, for a tensor's type.
fn file_type(tensor_type: &str) -> Option<&'static str> {
    const TYPES: [(&str, &str); 24] = [
        ("F32", "F32"),
        ("F16", "F16"),
        ("BF16", "BF16"),
        ("Q4_0", "Q4_0"),
        ("Q4_1", "Q4_1"),
        ("Q5_0", "Q5_0"),
        ("Q5_1", "Q5_1"),
        ("Q8_0", "Q8_0"),
        ("Q2_K", "Q2_K"),
        ("Q3_K", "Q3_K_S"),
        ("Q4_K", "Q4_K_S"),
        ("Q5_K", "Q5_K_S"),
        ("Q6_K", "Q6_K"),
        ("IQ1_S", "IQ1_S"),
        ("IQ1_M", "IQ1_M"),
        ("IQ2_XXS", "IQ2_XXS"),
        ("IQ2_XS", "IQ2_XS"),
        ("IQ2_S", "IQ2_S"),
        ("IQ3_XXS", "IQ3_XXS"),
        ("IQ3_S", "IQ3_S"),
        ("IQ4_NL", "IQ4_NL"),
        ("IQ4_XS", "IQ4_XS"),
        ("TQ1_0", "TQ1_0"),
        ("TQ2_0", "TQ2_0"),
    ];
    TYPES.iter().find(|(own, _)| *own == tensor_type).map(|(_, file)| *file)
}

/// The file and the command.
pub(super) fn write(sensitivity: &Sensitivity, choice: &[Option<usize>]) -> Result<Vec<Exported>, String> {
    let mut lines = Vec::new();
    let mut types: Vec<(String, usize)> = Vec::new();
    for (component, format) in Component::all(sensitivity.facts.layers).zip(choice) {
        let kind = match format {
            None => "F16".to_owned(),
            Some(format) => {
                let format = &sensitivity.facts.formats[*format];
                let own = || format.candidate.as_ref()?.types.get(component.index());
                own().cloned().ok_or_else(|| {
                    format!(
                        "{component} has {}, a method of this program's; llama.cpp quantizes to types of its own: give GGUF files of the model with --candidate",
                        format.name
                    )
                })?
            }
        };
        if file_type(&kind).is_none() {
            return Err(format!("{component} is stored as {kind}, which llama-quantize does not write"));
        }
        match types.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => types.push((kind.clone(), 1)),
        }
        lines.push((format!(r"^{}\.weight$", tensor(component).replace('.', r"\.")), kind.to_lowercase()));
    }
    types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let base = types.first().and_then(|(kind, _)| file_type(kind)).ok_or("the recipe is empty")?;
    let mut file = String::new();
    let mut command = format!(
        "#!/bin/sh\n# MODEL-F16.gguf OUT.gguf: the original in 16-bit numbers, and the file to write. Versions without --tensor-type-file take the second command.\nllama-quantize --tensor-type-file \"${{0%.llama-quantize.sh}}.tensor-types.txt\" \"$1\" \"$2\" {base}\n# llama-quantize"
    );
    for (name, kind) in &lines {
        // Writing to a String cannot fail.
        writeln!(file, "{name}={kind}").ok();
        write!(command, " --tensor-type '{name}={kind}'").ok();
    }
    writeln!(command, " \"$1\" \"$2\" {base}").ok();
    Ok(vec![
        Exported {
            ending: "tensor-types.txt",
            text: file,
        },
        Exported {
            ending: "llama-quantize.sh",
            text: command,
        },
    ])
}

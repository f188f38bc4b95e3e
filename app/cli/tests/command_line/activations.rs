//! Quantized activations: said where they are not simulated, simulated on request.

use std::path::Path;

use crate::inputs::{Inputs, cruxscope, stderr};

/// What linear maps read is rounded on request, and a model that asks for no such thing is refused.
#[test]
fn quantized_activations_are_simulated_on_request() {
    let root = cruxscope_needs::root().join("tests/fixtures/activations");
    let run = |model: &Path, more: &[&str]| {
        let tokens = root.join("tokens.safetensors");
        let mut command = cruxscope();
        command
            .args(["perplexity", "--json", "--tokens"])
            .arg(tokens)
            .arg("--model")
            .arg(model)
            .args(more);
        command.output().unwrap()
    };
    let model = root.join("nvfp4");
    let [plain, simulated] = [&[][..], &["--simulate-activations"]].map(|more| run(&model, more));
    assert!(stderr(&plain).contains("is not simulated") && stderr(&simulated).contains("are simulated"));
    assert_ne!(plain.stdout, simulated.stdout);
    let inputs = Inputs::new();
    let refused = run(&inputs.path("model"), &["--simulate-activations"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("no quantized activations"));
}

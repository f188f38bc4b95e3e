//! Generation with a real model, held against transformers token by token.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::collections::BTreeSet;
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::generation::{Finish, Generator, NoSink, Request, Sampling, TextStream, generate};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_needs::{root, smollm2};
use serde_json::Value;

/// `tests/scripts/greedy_tokens.py` made the tokens: five prompts, 200 tokens each, past the ends of texts.
#[test]
fn greedy_tokens_are_those_of_transformers() {
    let Some(path) = smollm2() else { return };
    let golden: Value = serde_json::from_slice(&std::fs::read(root().join("tests/fixtures/smollm2_greedy.json")).unwrap()).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    let checkpoint = Arc::new(Checkpoint::open(&path).unwrap());
    let tokenizer = checkpoint.tokenizer().unwrap();
    let ids = |value: &Value| -> Vec<u32> { value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect() };
    let requests: Vec<Request> = cases
        .iter()
        .map(|case| {
            let prompt = tokenizer.encode(case["prompt"].as_str().unwrap()).unwrap().ids;
            assert_eq!(prompt, ids(&case["prompt_ids"]), "the prompt's tokens");
            Request {
                prompt,
                sampling: Sampling::GREEDY,
                seed: 0,
                most_tokens: 200,
                stop: BTreeSet::new(),
            }
        })
        .collect();
    let generator = Generator::new(checkpoint.clone(), CpuKernels).unwrap();
    println!("weights held as {:?}, {} bytes", generator.held().matrices, generator.held().bytes);
    let found = generate(&generator, &requests, 5, &mut NoSink).unwrap();
    assert_eq!(found.len(), 5);
    for ((found, request), case) in found.iter().zip(&requests).zip(cases) {
        let wanted = ids(&case["tokens"]);
        assert_eq!(wanted.len(), 200);
        let same = found.tokens.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        println!(
            "{:?}: {same} of {} tokens, smallest gap between logits {:.3}",
            case["prompt"],
            wanted.len(),
            case["smallest_gap"]
        );
        assert_eq!(found.tokens, wanted, "{:?} after {same} tokens", case["prompt"]);
        let mut stream = TextStream::after(&tokenizer, &request.prompt);
        let mut text: String = found.tokens.iter().map(|token| stream.push(*token).unwrap()).collect();
        text += &stream.finish().unwrap();
        assert_eq!(text, case["text"].as_str().unwrap());
    }

    // The end of a turn, which the model's metadata names, ends the first of them.
    let stop = checkpoint.stop_tokens().unwrap();
    assert_eq!(stop, BTreeSet::from([2]));
    let ended = generate(&generator, &[Request { stop, ..requests[0].clone() }], 1, &mut NoSink).unwrap();
    let first = found[0].tokens.iter().position(|token| *token == 2).unwrap();
    assert_eq!((ended[0].finish, ended[0].tokens.as_slice()), (Finish::Stop(2), &found[0].tokens[..first]));
}

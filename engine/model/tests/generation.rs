//! Generation with a tiny model: caches against the plain forward pass, company, stops, cancelling, and input that is wrong.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::generation::{Completion, Finish, Generator, NoSink, Request, Sampling, TextStream, TokenSink, generate};
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_model::kernels::generation::GenerationKernels;
use cruxscope_model::kernels::reference::ReferenceKernels;
use cruxscope_model::{ModelError, block, device, head, with_kernels};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny/model")
}

fn checkpoint() -> Arc<Checkpoint> {
    Arc::new(Checkpoint::open(&tiny()).unwrap())
}

fn generator<K: GenerationKernels>(kernels: K) -> Generator<K> {
    Generator::new(checkpoint(), kernels).unwrap()
}

fn request(prompt: &[u32], seed: u64, most_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        sampling: Sampling::new(4.0, 0.98).unwrap(),
        seed,
        most_tokens,
        stop: BTreeSet::new(),
    }
}

/// Requests of different lengths, some with one prompt.
fn requests() -> Vec<Request> {
    let mut requests: Vec<Request> = (0..7u64)
        .map(|seed| {
            let prompt: Vec<u32> = (0..3 + 5 * (seed as u32 / 2)).map(|place| (place * 37 + 11) % 512).collect();
            request(&prompt, seed, 4 + 3 * seed as usize)
        })
        .collect();
    requests[2].sampling = Sampling::GREEDY;
    requests
}

/// Logits after a prompt and after each of some further tokens.
fn logits<K: GenerationKernels>(kernels: K, prompt: &[u32], further: &[u32]) -> Vec<Vec<f32>> {
    let generator = generator(kernels);
    let mut sequence = generator.begin();
    let mut found = vec![generator.prompt(&mut sequence, prompt, &mut || true).unwrap().unwrap()];
    for token in further {
        found.extend(generator.step(std::slice::from_mut(&mut sequence), &[*token]).unwrap());
    }
    assert_eq!(sequence.tokens(), prompt.len() + further.len());
    found
}

/// The caches change nothing: what comes out is what the whole sequence gives without them, in float64.
#[test]
fn a_step_gives_what_the_whole_sequence_gives() {
    let ids: Vec<u32> = (0..40).map(|place| (place * 53 + 7) % 512).collect();
    let (prompt, further) = ids.split_at(25);
    let decoder = Decoder::new(checkpoint(), ReferenceKernels, Residence::Resident).unwrap();
    let hidden = block::run(&decoder, &ids).unwrap();
    let parts = head::logits(&decoder, &hidden).unwrap();
    assert_eq!(parts.len(), 1, "a vocabulary of 512 is one part");
    let whole: Vec<&[f64]> = parts[0].values().chunks_exact(512).collect();
    for name in ["reference", "cpu", "flex"] {
        let found = with_kernels!(device::find(name).unwrap(), |kernels| logits(kernels, prompt, further));
        assert_eq!(found.len(), further.len() + 1);
        let mut worst = 0.0f64;
        for (found, wanted) in found.iter().zip(&whole[prompt.len() - 1..]) {
            for (found, wanted) in found.iter().zip(*wanted) {
                worst = worst.max((f64::from(*found) - wanted).abs());
            }
        }
        // The reference differs by what its logits lose where they are handed over as float32.
        println!("{name}: largest difference of a logit {worst:.1e}");
        assert!(worst < if name == "reference" { 4e-6 } else { 2e-4 }, "{name}: {worst:.2e}");
    }
}

#[test]
fn a_sequence_is_the_same_in_any_company_and_on_any_number_of_threads() {
    fn all<K: GenerationKernels>(kernels: K, at_once: usize) -> Vec<Completion> {
        generate(&generator(kernels), &requests(), at_once, &mut NoSink).unwrap()
    }
    let alone = all(CpuKernels, 1);
    for (completion, request) in alone.iter().zip(requests()) {
        assert_eq!((completion.tokens.len(), completion.finish), (request.most_tokens, Finish::Length));
    }
    assert_ne!(alone[4].tokens[..16], alone[5].tokens[..16], "one prompt, two seeds");
    for at_once in [2, 3, 7, 100] {
        assert_eq!(all(CpuKernels, at_once), alone, "{at_once} at once");
    }
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for threads in [1, 3] {
        assert_eq!(pool(threads).install(|| all(CpuKernels, 4)), alone, "{threads} threads");
    }
    assert_eq!(all(ReferenceKernels, 3), all(ReferenceKernels, 1));
}

/// The last token stops the text where it is a stop token, and only then.
#[test]
fn stop_tokens_end_a_text_and_are_no_part_of_it() {
    let generator = generator(CpuKernels);
    let whole = generate(&generator, &[request(&[1, 2, 3], 5, 20)], 1, &mut NoSink).unwrap();
    let stop = whole[0].tokens[6];
    let first = whole[0].tokens.iter().position(|token| *token == stop).unwrap();
    let mut stopped = request(&[1, 2, 3], 5, 20);
    stopped.stop.insert(stop);
    let found = generate(&generator, &[stopped], 1, &mut NoSink).unwrap();
    assert_eq!(found[0].finish, Finish::Stop(stop));
    assert_eq!(found[0].tokens, whole[0].tokens[..first]);
    assert_eq!(checkpoint().stop_tokens().unwrap(), BTreeSet::from([2]));
    let nothing = generate(&generator, &[request(&[1, 2, 3], 5, 0)], 1, &mut NoSink).unwrap();
    assert_eq!((nothing[0].tokens.len(), nothing[0].finish), (0, Finish::Length));
}

/// The context of 256 tokens ends a text, and a prompt that fills it is refused.
#[test]
fn the_context_ends_a_text() {
    let generator = generator(CpuKernels);
    let prompt: Vec<u32> = (0..250).map(|place| place % 512).collect();
    let found = generate(&generator, &[request(&prompt, 1, 1000)], 1, &mut NoSink).unwrap();
    assert_eq!((found[0].tokens.len(), found[0].finish), (6, Finish::Context));
    let full: Vec<u32> = (0..256).map(|place| place % 512).collect();
    let error = generate(&generator, &[request(&[1], 1, 5), request(&full, 1, 5)], 1, &mut NoSink).unwrap_err();
    assert!(matches!(error, ModelError::PromptTooLong { tokens: 256, context: 256 }), "{error}");
    let mut sequence = generator.begin();
    generator.prompt(&mut sequence, &full, &mut || true).unwrap();
    let error = generator.step(std::slice::from_mut(&mut sequence), &[1]).unwrap_err();
    assert!(matches!(error, ModelError::BeyondContext { tokens: 257, context: 256 }), "{error}");
}

#[test]
fn prompts_that_cannot_be_continued_are_refused_before_anything_is_computed() {
    struct Nothing;
    impl TokenSink for Nothing {
        fn token(&mut self, _: usize, _: u32) {
            panic!("a token was made");
        }
    }
    let generator = generator(CpuKernels);
    let refused = |prompt: &[u32]| generate(&generator, &[request(&[1], 1, 5), request(prompt, 1, 5)], 1, &mut Nothing).unwrap_err();
    let error = refused(&[]);
    assert!(matches!(error, ModelError::EmptyPrompt) && error.is_user_error(), "{error}");
    let error = refused(&[3, 512]);
    assert!(
        matches!(
            error,
            ModelError::Token {
                token: 512,
                position: 1,
                vocabulary: 512
            }
        ) && error.is_user_error(),
        "{error}"
    );
}

#[test]
fn whoever_watches_sees_every_token_and_can_stop() {
    struct Watcher {
        left: usize,
        seen: Vec<Vec<u32>>,
        ended: Vec<usize>,
        prompts: usize,
    }
    impl TokenSink for Watcher {
        fn began(&mut self, _: usize, prompt_tokens: usize) {
            self.prompts += prompt_tokens;
        }
        fn token(&mut self, request: usize, token: u32) {
            self.seen[request].push(token);
            self.left = self.left.saturating_sub(1);
        }
        fn finished(&mut self, request: usize, completion: &Completion) {
            assert_eq!(self.seen[request], completion.tokens);
            self.ended.push(request);
        }
        fn stop(&mut self) -> bool {
            self.left == 0
        }
    }
    let (generator, requests) = (generator(CpuKernels), requests());
    let watcher = |left| Watcher {
        left,
        seen: vec![Vec::new(); requests.len()],
        ended: Vec::new(),
        prompts: 0,
    };
    let mut patient = watcher(usize::MAX);
    let whole = generate(&generator, &requests, 3, &mut patient).unwrap();
    assert_eq!(patient.seen, whole.iter().map(|completion| completion.tokens.clone()).collect::<Vec<_>>());
    assert_eq!(patient.ended.iter().collect::<BTreeSet<_>>().len(), requests.len());
    assert_eq!(patient.prompts, requests.iter().map(|request| request.prompt.len()).sum::<usize>());

    let mut hasty = watcher(10);
    let part = generate(&generator, &requests, 3, &mut hasty).unwrap();
    assert!(
        part.iter()
            .any(|completion| completion.finish == Finish::Cancelled && !completion.tokens.is_empty())
    );
    assert!(part.last().unwrap().tokens.is_empty() && part.last().unwrap().finish == Finish::Cancelled);
    for (part, whole) in part.iter().zip(&whole) {
        assert_eq!(part.tokens, whole.tokens[..part.tokens.len()], "what was made before is as it would be");
    }
    let mut at_once = watcher(0);
    let none = generate(&generator, &requests, 3, &mut at_once).unwrap();
    assert!(
        none.iter()
            .all(|completion| completion.tokens.is_empty() && completion.finish == Finish::Cancelled)
    );
}

/// A tokenizer whose tokens are single bytes, the hardest case for text that comes piece by piece.
fn bytes_tokenizer() -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(tiny().join(name), folder.path().join(name)).unwrap();
    }
    // The letters by which byte-level tokenizers write bytes: printable ones as they are, the rest from U+0100 on.
    let mut next = 256;
    let letters = (0u32..256).map(|byte| {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let letter = if printable { byte } else { next };
        next += u32::from(!printable);
        char::from_u32(letter).unwrap().to_string()
    });
    let vocabulary: serde_json::Map<String, serde_json::Value> = letters.enumerate().map(|(id, letter)| (letter, id.into())).collect();
    let byte_level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = serde_json::json!({
        "version": "1.0", "model": {"type": "BPE", "vocab": vocabulary, "merges": []}, "pre_tokenizer": byte_level, "decoder": byte_level
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    (folder, checkpoint)
}

#[test]
fn text_comes_in_whole_characters() {
    let (_folder, checkpoint) = bytes_tokenizer();
    let tokenizer = checkpoint.tokenizer().unwrap();
    let text = "Ein König, 研究, 🦀 und \u{fffd}!";
    let ids = tokenizer.encode(text).unwrap().ids;
    assert_eq!(ids.len(), text.len(), "a token a byte");
    for prompt in [0, 1, 6, 9] {
        let mut stream = TextStream::after(&tokenizer, &ids[..prompt]);
        let mut pieces = Vec::new();
        for id in &ids[prompt..] {
            pieces.push(stream.push(*id).unwrap());
        }
        pieces.push(stream.finish().unwrap());
        // Byte 5 is the first of ö; a prompt that ends with it has its character completed by what follows.
        let rest = if prompt == 6 { &text[5..] } else { &text[prompt..] };
        assert_eq!(pieces.concat(), rest, "after {prompt}");
        assert!(
            pieces.iter().all(|piece| piece.chars().count() <= 2),
            "a piece is a character, and a replacement character waits for its successor: {pieces:?}"
        );
    }
    // Half a character at the end is said to be one, and only at the end.
    let mut stream = TextStream::after(&tokenizer, &[]);
    let crab = tokenizer.encode("a🦀").unwrap().ids;
    let pieces: Vec<String> = crab[..3].iter().map(|id| stream.push(*id).unwrap()).collect();
    assert_eq!(pieces, ["a", "", ""]);
    assert_eq!(stream.finish().unwrap(), "\u{fffd}");
    // The model has 512 tokens, the tokenizer 256; what it does not know has no text and is in nobody's way.
    let mut stream = TextStream::after(&tokenizer, &[300, 97]);
    let pieces: Vec<String> = [511, crab[1], 400, crab[2], crab[3], crab[4]]
        .iter()
        .map(|id| stream.push(*id).unwrap())
        .collect();
    assert_eq!(pieces.concat(), "🦀");
}

//! Every reader of what comes from elsewhere, as a function of bytes: what fuzzing calls (`tests/fuzz`), and an ordinary test.
//!
//! Each says whether the bytes were read; whatever they are, none panics, hangs or takes more memory than its input is worth.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cruxscope_benchmark::datasets::{Benchmark, Question};
use cruxscope_benchmark::endpoint::{Endpoint, EndpointSettings, Interface, RetryPolicy};
use cruxscope_benchmark::generator::{Generator as _, Request, SamplingSettings};
use cruxscope_benchmark::prompts::Prompt;
use cruxscope_benchmark::scoring::Rule;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_run::instances::{Instances, TraceSettings};
use cruxscope_study::{ARRAYS_FILE, Collection, CompressionMap, Definition, Divergence, Ledger, Manifest, Results, Sensitivity, Study, Trial, Validation};

const CONFIG: &[u8] = include_bytes!("../fuzz/seeds/config/config.json");
const WEIGHTS: &[u8] = include_bytes!("../fuzz/seeds/safetensors/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../fuzz/seeds/tokenizer/tokenizer.json");
const ARRAYS: &[u8] = include_bytes!("../../app/studies/smollm2/importance.safetensors");
/// Milliseconds that a server which says nothing is waited for.
const SILENCE: u64 = 300;

/// A reader: its name, which is that of its folder of seeds, and the function.
pub type Reader = (&'static str, fn(&[u8]) -> io::Result<bool>);

/// All of them.
pub const READERS: [Reader; 8] = [
    ("safetensors", safetensors),
    ("config", config),
    ("gguf", gguf),
    ("tokenizer", tokenizer),
    ("study", study),
    ("traces", traces),
    ("answers", answers),
    ("scoring", scoring),
];

/// A file of weights beside a good configuration.
pub fn safetensors(bytes: &[u8]) -> io::Result<bool> {
    in_a_folder(&[("config.json", CONFIG), ("model.safetensors", bytes)], use_checkpoint)
}

/// A configuration beside good weights.
pub fn config(bytes: &[u8]) -> io::Result<bool> {
    in_a_folder(&[("config.json", bytes), ("model.safetensors", WEIGHTS)], use_checkpoint)
}

/// A GGUF file.
pub fn gguf(bytes: &[u8]) -> io::Result<bool> {
    in_a_folder(&[("model.gguf", bytes)], |folder| {
        let path = folder.join("model.gguf");
        use_checkpoint(&path) && use_tokenizer(&path)
    })
}

/// A tokenizer beside a good model.
pub fn tokenizer(bytes: &[u8]) -> io::Result<bool> {
    let files = [("config.json", CONFIG), ("model.safetensors", WEIGHTS), ("tokenizer.json", bytes)];
    in_a_folder(&files, use_tokenizer)
}

/// Any file of a study or beside one.
pub fn study(bytes: &[u8]) -> io::Result<bool> {
    let files = BTreeMap::from([(ARRAYS_FILE.to_owned(), ARRAYS.to_vec())]);
    let study = Manifest::from_json(bytes).and_then(|manifest| Study::from_files(manifest, &files));
    let others = [
        Collection::from_json(bytes).is_ok(),
        Results::from_json(bytes).is_ok(),
        Validation::from_json(bytes, 2).is_ok(),
        CompressionMap::from_json(bytes, 2).is_ok(),
        Ledger::from_json(bytes).is_ok(),
        Trial::from_json(bytes).is_ok(),
        Sensitivity::from_bytes(bytes).is_ok(),
        Divergence::from_bytes(bytes).is_ok(),
    ];
    Ok(study.is_ok() || others.contains(&true))
}

/// Traces and, after a zero byte, their annotations, as far as they become instances.
pub fn traces(bytes: &[u8]) -> io::Result<bool> {
    let middle = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (traces, annotations) = (&bytes[..middle], bytes.get(middle + 1..).unwrap_or_default());
    let model = [("config.json", CONFIG), ("model.safetensors", WEIGHTS), ("tokenizer.json", TOKENIZER)];
    let files = [model[0], model[1], model[2], ("traces.jsonl", traces), ("annotations.jsonl", annotations)];
    in_a_folder(&files, |folder| {
        let Ok(checkpoint) = Checkpoint::open(folder) else { return false };
        let read = |definition| {
            let settings = TraceSettings {
                traces: folder.join("traces.jsonl"),
                annotations: folder.join("annotations.jsonl"),
                definition,
                reading: None,
                alignment: None,
                only: Vec::new(),
                first: None,
                max_tokens: None,
            };
            Instances::read(&checkpoint, &settings).is_ok()
        };
        let (paper, released) = (read(Definition::Paper), read(Definition::Released));
        paper || released
    })
}

/// Everything that a server sends to a question, head and body.
pub fn answers(bytes: &[u8]) -> io::Result<bool> {
    let address = serve(bytes)?;
    let settings = EndpointSettings {
        silence: Duration::from_millis(SILENCE),
        longest: Duration::from_millis(4 * SILENCE),
        retry: RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        },
        ..EndpointSettings::new(&address, Interface::ChatCompletions, "tiny")
    };
    let endpoint = Endpoint::new(settings).map_err(io::Error::other)?;
    let (prompt, sampling) = (
        Prompt::Text("Which?".into()),
        SamplingSettings {
            max_new_tokens: 16,
            ..SamplingSettings::default()
        },
    );
    let request = Request {
        prompt: &prompt,
        settings: &sampling,
        seed: 1,
    };
    let generated = endpoint.generate(&request, &mut |_| ControlFlow::Continue(()));
    if let Ok(generation) = &generated {
        assert!(!generation.text.trim().is_empty(), "an answer without text is no sample");
    }
    Ok(generated.is_ok())
}

/// An output, scored by every rule.
pub fn scoring(bytes: &[u8]) -> io::Result<bool> {
    let output = String::from_utf8_lossy(bytes);
    let mut found = false;
    for rule in Rule::ALL {
        let question = Question {
            id: "1".into(),
            benchmark: rule.benchmark(),
            text: "Which?".into(),
            before_thoughts: "\n",
            answer: match rule.benchmark() {
                Benchmark::Aime => "204",
                Benchmark::Folio => "True",
                Benchmark::Temporal => "(B)",
                Benchmark::Musique => "the Ivory Coast",
            }
            .into(),
            aliases: vec!["Côte d'Ivoire".into()],
            passages: Vec::new(),
        };
        let verdict = rule.judge(&question, &output, true);
        if let Some(extracted) = verdict.extracted {
            let stands: String = output.chars().skip(extracted.start).take(extracted.end - extracted.start).collect();
            assert_eq!(stands, extracted.text, "{rule:?}: the answer stands where it is said to stand");
        }
        found |= verdict.correct;
    }
    Ok(found)
}

/// Opens a model, and if that works uses everything of it.
fn use_checkpoint(path: &Path) -> bool {
    let Ok(checkpoint) = Checkpoint::open(path) else { return false };
    let layers = (0..checkpoint.config().layers.min(4)).map(|layer| checkpoint.layer(layer).is_ok());
    let rows = checkpoint.embedding_rows(&[0]).is_ok() & checkpoint.head_rows(0..1).is_ok() & checkpoint.final_norm().is_ok();
    let _ = (checkpoint.name(), checkpoint.tensor_types(), checkpoint.stop_tokens().is_ok());
    layers.fold(rows, |all, one| all & one)
}

fn use_tokenizer(path: &Path) -> bool {
    let Ok(tokenizer) = Checkpoint::open(path).and_then(|checkpoint| checkpoint.tokenizer()) else {
        return false;
    };
    let encoded = tokenizer.encode("abc é ab\r\n<|im_end|>");
    let decoded = encoded.as_ref().is_ok_and(|encoding| tokenizer.decode(&encoding.ids).is_ok());
    let _ = (tokenizer.encode_sequence("ab").is_ok(), tokenizer.decode(&[0, u32::MAX]).is_ok());
    decoded
}

fn in_a_folder(files: &[(&str, &[u8])], use_it: impl FnOnce(&Path) -> bool) -> io::Result<bool> {
    let folder = tempfile::tempdir()?;
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes)?;
    }
    Ok(use_it(folder.path()))
}

/// A server's address, and what it sends.
type Sent = (String, Arc<Mutex<Vec<u8>>>);

/// The address of a server that sends these bytes to whoever asks. There is one for all calls, which take turns.
fn serve(bytes: &[u8]) -> io::Result<String> {
    static SENT: Mutex<Option<Sent>> = Mutex::new(None);
    let mut server = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((address, sent)) = &*server {
        *sent.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        return Ok(address.clone());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/v1", listener.local_addr()?);
    let sent = Arc::new(Mutex::new(bytes.to_vec()));
    *server = Some((address.clone(), sent.clone()));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let bytes = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // The question is small, and comes in one or two pieces; what of it is not read does not matter here.
            stream.set_read_timeout(Some(Duration::from_millis(SILENCE))).ok();
            let mut question = Vec::new();
            let mut piece = [0; 4096];
            while !question.ends_with(b"}") {
                match stream.read(&mut piece) {
                    Ok(count) if count > 0 => question.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            stream.write_all(&bytes).ok();
        }
    });
    Ok(address)
}

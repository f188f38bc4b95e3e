//! `cruxscope generate`: texts out of a model, as they come.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use cruxscope_checkpoint::Checkpoint;
use cruxscope_model::generation::Sampling;
use cruxscope_model::kernels::generation::GenerationKernels;
use cruxscope_model::{device, with_kernels};
use cruxscope_run::generate::{GenerateSettings, Output, PlannedGeneration, Speed, TextSink, load};
use cruxscope_run::machine::format_bytes;
use cruxscope_run::{RunError, activations};
use serde_json::json;

use crate::failure::Failure;
use crate::numbers::{MOST_THREADS, MOST_TOKENS, number, share, whole};
use crate::output::{print_json, print_text, status};
use crate::progress::interrupted;
use crate::settings::prepare_process;

/// Time between lines on stderr while nothing is to be seen on stdout.
const QUIET: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Arguments {
    /// The model: a Hugging Face folder, or a GGUF file
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: PathBuf,
    /// The text to continue, word for word; may be given several times
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_file")]
    prompt: Vec<String>,
    /// A file that holds the text to continue; may be given several times
    #[arg(long, value_name = "FILE")]
    prompt_file: Vec<PathBuf>,
    /// By what logits are divided before a token is drawn; 0 is greedy
    #[arg(long, default_value_t = 0.6, value_parser = number(0.0, 100.0))]
    temperature: f64,
    /// Tokens are drawn from the most probable ones that reach this probability together
    #[arg(long, default_value_t = 0.95, value_parser = share(1.0))]
    top_p: f64,
    /// From which every draw follows: the same seed gives the same text
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Texts for each prompt; further ones are drawn from the seeds that follow
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = whole::<usize>(1, 1_000_000))]
    samples: usize,
    /// Maximum number of new tokens
    #[arg(long, default_value_t = 32_768, value_name = "TOKENS", value_parser = whole::<usize>(1, MOST_TOKENS))]
    max_new_tokens: usize,
    /// A token that ends a text besides the model's own: a special token such as <|im_end|>, or a number
    #[arg(long, value_name = "TOKEN")]
    stop: Vec<String>,
    /// Continue after the tokens by which the model ends a text
    #[arg(long = "ignore-eos", alias = "past-the-end")]
    past_the_end: bool,
    /// Sequences that are computed together
    #[arg(long = "batch-size", alias = "at-once", value_name = "N", default_value_t = 8, value_parser = whole::<usize>(1, 65_536))]
    at_once: usize,
    /// Round what linear maps read as an FP8, INT8 or NVFP4 checkpoint asks for (compressed-tensors, fp8)
    #[arg(long)]
    simulate_activations: bool,
    /// Where to compute: cpu, vulkan, wgpu, cuda, or one of several such as cuda:1; `cruxscope devices` lists them
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Threads on the CPU [default: all processors]
    #[arg(long, value_name = "NUMBER", value_parser = whole::<usize>(1, MOST_THREADS))]
    threads: Option<usize>,
    /// Print as JSON, once everything is there
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = settings(arguments)?;
    prepare_process(arguments.threads)?;
    let device = device::find(&arguments.device).map_err(RunError::from)?;
    let checkpoint = Arc::new(activations::open(&arguments.model, arguments.simulate_activations)?);
    if arguments.simulate_activations {
        checkpoint.notes().iter().for_each(|note| status!("note: {note}"));
    }
    let planned = PlannedGeneration::new(&checkpoint, &settings)?;
    let backend = device.describe();
    let streamed = !arguments.json && planned.requests().len() == 1;
    let mut talk = Talk {
        stopped: interrupted("stopping; what is there is printed"),
        streamed,
        broken: false,
        last_line: Instant::now(),
    };
    let (outputs, speed) = with_kernels!(device, |kernels| generate(&checkpoint, kernels, &planned, &mut talk))?;
    say_speed(speed);
    if arguments.json {
        let rates = json!({"prompt_tokens_per_second": speed.prompt_rate(), "new_tokens_per_second": speed.new_rate()});
        print_json(&json!({
            "model": checkpoint.name(), "backend": backend, "temperature": settings.sampling.temperature(), "top_p": settings.sampling.top_p(),
            "prompts": settings.prompts, "outputs": outputs, "speed": speed, "rates": rates,
        }))?;
    } else if streamed {
        print_text("")?;
    } else {
        let texts: Vec<String> = outputs.iter().map(|output| titled(output, settings.samples)).collect();
        print_text(&texts.join("\n\n"))?;
    }
    if talk.stopped.load(Ordering::SeqCst) {
        return Err(Failure::failed(anyhow::Error::msg("stopped before the end")));
    }
    Ok(())
}

fn settings(arguments: &Arguments) -> Result<GenerateSettings, Failure> {
    let mut prompts = arguments.prompt.clone();
    for path in &arguments.prompt_file {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::mistake(format!("could not read the prompt {}: {error}", path.display())))?;
        prompts.push(text);
    }
    if arguments.samples == 0 || arguments.at_once == 0 {
        return Err(Failure::mistake("--samples and --batch-size must be at least 1"));
    }
    Ok(GenerateSettings {
        prompts,
        samples: arguments.samples,
        sampling: Sampling::new(arguments.temperature, arguments.top_p).map_err(RunError::from)?,
        seed: arguments.seed,
        most_tokens: arguments.max_new_tokens,
        stop: arguments.stop.clone(),
        past_the_end: arguments.past_the_end,
        at_once: arguments.at_once,
    })
}

fn generate<K: GenerationKernels>(
    checkpoint: &Arc<Checkpoint>,
    kernels: K,
    planned: &PlannedGeneration,
    talk: &mut Talk,
) -> Result<(Vec<Output>, Speed), Failure> {
    let generator = load(checkpoint.clone(), kernels)?;
    let held = generator.held();
    let forms: Vec<&str> = held.matrices.keys().copied().collect();
    status!(
        "{}: weights held as {}, {}",
        checkpoint.name(),
        forms.join(" and "),
        format_bytes(held.bytes as u64)
    );
    Ok(planned.run(&generator, talk)?)
}

/// A text under a line that says whose it is.
fn titled(output: &Output, samples: usize) -> String {
    let sample = if samples > 1 {
        format!(", sample {}", output.sample + 1)
    } else {
        String::new()
    };
    format!("=== prompt {}{sample} ({})\n{}", output.prompt + 1, output.finish, output.text)
}

fn say_speed(speed: Speed) {
    let rate = |rate: Option<f64>| rate.map_or_else(String::new, |rate| format!(" ({rate:.1} tokens/s)"));
    status!(
        "prompt {} tokens in {:.2} s{}; new {} tokens in {:.2} s{}",
        speed.prompt_tokens,
        speed.prompt_seconds,
        rate(speed.prompt_rate()),
        speed.new_tokens,
        speed.new_seconds,
        rate(speed.new_rate())
    );
}

/// What a person sees meanwhile.
struct Talk {
    stopped: Arc<AtomicBool>,
    streamed: bool,
    broken: bool,
    last_line: Instant,
}

impl TextSink for Talk {
    fn text(&mut self, _: usize, piece: &str) {
        if self.streamed {
            let mut stdout = std::io::stdout();
            // Whoever has closed the pipe has seen enough.
            self.broken |= stdout.write_all(piece.as_bytes()).and_then(|()| stdout.flush()).is_err();
        }
    }

    fn advanced(&mut self, speed: Speed) {
        if !self.streamed && self.last_line.elapsed() > QUIET {
            status!("{} new tokens, {:.1} tokens/s", speed.new_tokens, speed.new_rate().unwrap_or(0.0));
            self.last_line = Instant::now();
        }
    }

    fn stop(&mut self) -> bool {
        self.broken || self.stopped.load(Ordering::SeqCst)
    }
}

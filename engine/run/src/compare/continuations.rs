//! What both models write, greedily, from the first token at which their choices part.

use cruxscope_model::generation::{Request, Sampling, TokenSink, generate};
use cruxscope_model::kernels::generation::GenerationKernels;
use cruxscope_model::with_kernels;
use cruxscope_study::{Continuation, Divergence};

use super::PlannedCompare;
use crate::guard::catch_panic;
use crate::{Event, Observer, RunError};

/// Sequences that are generated side by side.
const AT_ONCE: usize = 8;

/// Tells the observer, and stops when it says so.
struct Listener<'a> {
    observer: &'a mut dyn Observer,
    done: usize,
    of: usize,
}

impl TokenSink for Listener<'_> {
    fn token(&mut self, _: usize, _: u32) {
        self.done += 1;
        self.observer.event(Event::Preparing {
            what: "what both models write from where they part".into(),
            share: self.done as f64 / self.of.max(1) as f64,
        });
    }

    fn stop(&mut self) -> bool {
        self.observer.stop()
    }
}

impl PlannedCompare {
    /// Lets both models go on from where their choices first part, and notes it with each text.
    pub(super) fn continuations(&self, divergence: &mut Divergence, tokens: usize, observer: &mut dyn Observer) -> Result<(), RunError> {
        let partings: Vec<(usize, usize)> = divergence
            .partings()
            .into_iter()
            .filter_map(|parting| Some((parting.text, parting.token?)))
            .filter(|(_, token)| *token > 0 && self.checkpoints.iter().all(|checkpoint| *token < checkpoint.config().context))
            .collect();
        if partings.is_empty() {
            return Ok(());
        }
        let mut written: [Vec<String>; 2] = [Vec::new(), Vec::new()];
        for (side, written) in written.iter_mut().enumerate() {
            let checkpoint = &self.checkpoints[side];
            // Whichever model's tokenizer there is: their tokens are the same.
            let tokenizer = self.checkpoints[0].tokenizer()?;
            let stop = checkpoint.stop_tokens()?;
            let requests: Vec<Request> = partings
                .iter()
                .map(|(text, token)| Request {
                    prompt: self.texts[*text].ids[..*token].to_vec(),
                    sampling: Sampling::GREEDY,
                    seed: 0,
                    most_tokens: tokens.min(checkpoint.config().context.saturating_sub(*token)).max(1),
                    stop: stop.clone(),
                })
                .collect();
            let mut listener = Listener {
                observer: &mut *observer,
                done: side * tokens * requests.len(),
                of: 2 * tokens * requests.len(),
            };
            let completions = with_kernels!(self.device.clone(), |kernels| generated(checkpoint.clone(), kernels, &requests, &mut listener))?;
            if observer.stop() {
                return Err(cruxscope_interpret::InterpretError::Cancelled.into());
            }
            for tokens in completions {
                written.push(tokenizer.decode(&tokens)?);
            }
        }
        let [a, b] = written;
        for (((text, token), a), b) in partings.into_iter().zip(a).zip(b) {
            divergence.facts.texts[text].continuation = Some(Continuation { token, a, b });
        }
        Ok(())
    }
}

fn generated<K: GenerationKernels>(
    checkpoint: std::sync::Arc<cruxscope_checkpoint::Checkpoint>,
    kernels: K,
    requests: &[Request],
    listener: &mut Listener<'_>,
) -> Result<Vec<Vec<u32>>, RunError> {
    let generator = crate::generate::load(checkpoint, kernels)?;
    let completions = catch_panic("tokens", || generate(&generator, requests, AT_ONCE, listener))?;
    Ok(completions.into_iter().map(|completion| completion.tokens).collect())
}

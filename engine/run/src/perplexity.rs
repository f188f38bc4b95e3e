//! Perplexity: exp of the mean negative log-likelihood of the next token, windows read independently of each other.
//!
//! Perplexity: a quick proxy for compression loss. Compare only numbers made of the same token ids.

use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::{ModelError, block, head};

use crate::guard::catch_panic;
use crate::{Event, Observer, RunError};

/// Rows whose logits exist at the same time.
const ROWS: usize = 256;

/// The perplexity of a model on a set of windows.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// exp of the mean below.
    pub perplexity: f64,
    /// Mean negative log-likelihood, in nats a token.
    pub mean_loss: f64,
    /// Predictions it is the mean of: one fewer than tokens, in each window.
    pub predictions: usize,
    /// Windows.
    pub windows: usize,
}

/// Measures perplexity.
///
/// # Errors
/// When the model cannot be run or the observer says stop.
pub fn perplexity<K: Kernels>(decoder: &Decoder<K>, windows: &[Vec<u32>], observer: &mut dyn Observer) -> Result<Perplexity, RunError> {
    let began = std::time::Instant::now();
    let (mut total, mut predictions) = (0.0, 0);
    for (done, window) in windows.iter().enumerate() {
        if observer.stop() {
            return Err(cruxscope_interpret::InterpretError::Cancelled.into());
        }
        total += catch_panic("a window", || loss(decoder, window))?;
        predictions += window.len().saturating_sub(1);
        let share = (done + 1) as f64 / windows.len() as f64;
        let elapsed = began.elapsed().as_secs_f64();
        let left = std::time::Duration::from_secs_f64(elapsed * (1.0 - share) / share);
        observer.event(Event::Advanced {
            share,
            tokens_per_second: predictions as f64 / elapsed.max(1e-9),
            left: Some(left),
        });
    }
    let mean_loss = total / predictions.max(1) as f64;
    Ok(Perplexity {
        perplexity: mean_loss.exp(),
        mean_loss,
        predictions,
        windows: windows.len(),
    })
}

/// Sum of the negative log-likelihoods of a window's tokens after its first.
fn loss<K: Kernels>(decoder: &Decoder<K>, window: &[u32]) -> Result<f64, ModelError> {
    let kernels = decoder.kernels();
    let hidden = block::run(decoder, window)?;
    let rows = window.len().saturating_sub(1);
    let mut total = 0.0;
    for first in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - first);
        let logits = head::logits(decoder, &kernels.slice(&hidden, first, count))?;
        let (losses, _) = kernels.cross_entropy(logits, &window[first + 1..first + 1 + count], &vec![1.0; count])?;
        total += losses.iter().sum::<f64>();
    }
    Ok(total)
}

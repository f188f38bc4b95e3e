//! What a sketch will take, and how many windows go through the layers together.
//!
//! With P weights in the layers (of experts those of the chosen), T tokens of a window, K draws, S scopes and F formats: 2 P T each for the forward pass and for
//! recomputing the layers, 2 P T for every draw and scope on the way back, 2 P T for every format's change of the outputs.

use std::time::Duration;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_model::decoder::Residence;
use cruxscope_sensitivity::sketch::SketchWindow;
use cruxscope_study::{Module, Scope};

use super::changes::Menu;
use crate::RunError;
use crate::machine::format_bytes;
use crate::place::Place;
use crate::placement::WeightsChoice;

/// Share of a device's rate of matrix products that a whole run is expected to reach.
const EXPECTED_EFFICIENCY: f64 = 0.6;
/// Share of free memory that a run plans to take.
const SHARE: f64 = 0.8;
/// Bytes besides what is counted: the program, logits of a tile of rows and what is made of them.
const WORKING: u64 = 400 << 20;
/// Windows that go through resident layers together: more would save little, and a run that is killed loses what is not finished.
const RESIDENT_BATCH: usize = 4;

/// What a sketch will do and take.
#[derive(Clone, Debug, PartialEq)]
pub struct SensitivityPlan {
    /// Windows.
    pub windows: usize,
    /// Tokens in all.
    pub tokens: usize,
    /// Draws for each window.
    pub draws: usize,
    /// Formats of the menu.
    pub formats: usize,
    /// Whether the gradient score is computed beside.
    pub gradient_score: bool,
    /// Scopes, every position the first.
    pub scopes: Vec<Scope>,
    /// Windows that go through the layers together.
    pub batch: usize,
    /// Whether weights stay on the device.
    pub weights: Residence,
    /// Expected peak memory where the model runs, in bytes.
    pub memory: u64,
    /// Bytes on disk until the sketch is put together.
    pub disk: u64,
    /// Floating-point operations in all; those of calibrated methods themselves are not in it.
    pub operations: f64,
    /// Expected time, where the device's rate was measured.
    pub time: Option<Duration>,
}

impl SensitivityPlan {
    /// Plans a sketch at a place.
    pub(super) fn new(
        config: &ModelConfig,
        windows: &[SketchWindow],
        scopes: &[Scope],
        (draws, gradient_score): (usize, bool),
        menu: &Menu,
        weights: WeightsChoice,
        place: &Place,
    ) -> Result<Self, RunError> {
        let formats = menu.formats();
        let (layer, outputs) = (config.largest_layer() as u64, config.most_outputs() as u64);
        let longest = windows.iter().map(|window| window.ids.len()).max().unwrap_or(0) as u64;
        let (hidden, inner, layers) = (config.hidden as u64, config.intermediate as u64, config.layers as u64);
        let key_width = 2 * (config.key_value_heads * config.head_dim) as u64;
        let head = (config.vocabulary * config.hidden) as u64 * place.weight_bytes;
        // What a window keeps while others go: inputs, keys and values of every layer, and a gradient for each draw and scope.
        let gradients = (draws * scopes.len() + usize::from(gradient_score)) as u64 * hidden;
        let kept = 4 * longest * (layers * (hidden + key_width) + gradients);
        // What the window at work needs: the layer's activations, and every format's change of every output.
        let at_work = 4 * longest * (8 * hidden + 6 * inner + formats as u64 * outputs);
        // The layer's changes on the device, and on their way there; the layer itself on the device and in float32.
        let changing = layer * (4 * (formats as u64 + 3) + place.weight_bytes);
        let available = place.device_memory.or(place.machine_memory);
        let budget = available.map(|available| (available as f64 * SHARE) as u64);
        let fixed = WORKING + changing + at_work + head;
        let model = config.weights_of_layers() as u64 * place.weight_bytes;
        let fits = |resident: u64| budget.is_none_or(|budget| fixed + resident + kept <= budget);
        let residence = match weights {
            WeightsChoice::Streamed => Residence::Streamed,
            WeightsChoice::Resident => Residence::Resident,
            WeightsChoice::Automatic if fits(model) => Residence::Resident,
            WeightsChoice::Automatic => Residence::Streamed,
        };
        let resident = if residence == Residence::Resident { model } else { 0 };
        if let (false, Some(available)) = (fits(resident), available) {
            return Err(RunError::Memory {
                needed: format_bytes(fixed + resident + kept),
                available: format_bytes(available),
                hint: "fewer formats, fewer draws or shorter windows need less; so do weights that are read layer by layer".into(),
            });
        }
        let room = budget.map_or(u64::MAX, |budget| budget.saturating_sub(fixed + resident) / kept.max(1));
        // Streamed layers are read once for a batch, so that there as many as fit go together.
        let most = if residence == Residence::Resident { RESIDENT_BATCH } else { windows.len() };
        let batch = (room.min(windows.len().min(most) as u64) as usize).max(1);

        let tokens: usize = windows.iter().map(|window| window.ids.len()).sum();
        let weights = (0..config.layers).map(|layer| config.active_weights(layer)).sum::<usize>() as f64;
        let passes = |window: &SketchWindow| {
            let held = window.scopes.iter().filter(|(_, rows)| !rows.is_empty()).count();
            (2.0 + (draws * held + usize::from(gradient_score)) as f64 + formats as f64) * 2.0 * weights * window.ids.len() as f64
        };
        let vocabulary = 4.0 * (config.vocabulary * config.hidden) as f64 * tokens as f64;
        let operations: f64 = windows.iter().map(passes).sum::<f64>() + vocabulary;
        let cells = (config.layers * Module::ALL.len() * formats) as u64;
        Ok(Self {
            windows: windows.len(),
            tokens,
            draws,
            formats,
            gradient_score,
            scopes: scopes.to_vec(),
            batch,
            weights: residence,
            memory: fixed + resident + batch as u64 * kept,
            disk: menu.disk(config) + windows.len() as u64 * cells * (scopes.len() as u64 * 4 * (draws as u64 + 2) + 8 + 16 * u64::from(gradient_score)),
            operations,
            time: place
                .products
                .map(|products| Duration::from_secs_f64(operations / (products * EXPECTED_EFFICIENCY))),
        })
    }

    /// What the pass counts of a window in each layer, both directions together.
    pub(super) fn steps(&self, window: &SketchWindow) -> f64 {
        let held = window.scopes.iter().filter(|(_, rows)| !rows.is_empty()).count();
        (window.ids.len() * (2 + self.draws * held + usize::from(self.gradient_score))) as f64
    }
}

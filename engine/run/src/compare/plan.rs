//! What a comparison will take, and how many texts go through the layers together.
//!
//! With P weights in the layers of a model and T tokens: 2 P T for each model's forward pass, and V H 2 T for each head; causes take
//! 2 P T for recomputing the layers of B, 2 P T for its change of the outputs and 2 P T for every set of positions on the way back.

use std::time::Duration;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::activations::ActivationStorage;
use cruxscope_model::decoder::Residence;

use super::text::Text;
use crate::RunError;
use crate::machine::format_bytes;
use crate::place::Place;
use crate::placement::WeightsChoice;

/// Share of a device's rate of matrix products that a whole run is expected to reach.
const EXPECTED_EFFICIENCY: f64 = 0.6;
/// Share of free memory that a run plans to take.
const SHARE: f64 = 0.8;
/// Bytes besides what is counted: the program, logits of a tile of rows and what is made of them.
const WORKING: u64 = 500 << 20;
/// Rows for which the wide activations of a layer are held on the way forward.
const TILE: u64 = 1024;
/// Texts that go through resident layers together: more would save little, and a run that is killed loses what is not finished.
const RESIDENT_BATCH: usize = 4;

/// What a comparison will do and take.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparePlan {
    /// Texts.
    pub texts: usize,
    /// Tokens in all.
    pub tokens: usize,
    /// Sets of positions whose causes are computed.
    pub causes: usize,
    /// Texts that go through the layers together.
    pub batch: usize,
    /// Whether weights stay on the device.
    pub weights: Residence,
    /// Where block inputs, keys and values wait for the way back.
    pub activations: ActivationStorage,
    /// Expected peak memory where the models run, in bytes.
    pub memory: u64,
    /// Bytes on disk until the result is put together.
    pub disk: u64,
    /// Floating-point operations in all.
    pub operations: f64,
    /// Floating-point operations of one forward pass of A and one of B.
    pub forward: f64,
    /// Expected time, where the device's rate was measured.
    pub time: Option<Duration>,
}

/// Weights of the largest layer.
fn layer(config: &ModelConfig) -> u64 {
    config.largest_layer() as u64
}

/// What a layer takes for a text: on the way forward the wide activations are held for a tile of rows only, on the way back, where
/// `outputs` more columns are held, for all of them.
fn at_work(config: &ModelConfig, longest: u64, outputs: u64) -> u64 {
    let (hidden, inner) = (config.hidden as u64, config.intermediate as u64);
    let key_width = 2 * (config.key_value_heads * config.head_dim) as u64;
    let rows = if outputs > 0 { longest } else { longest.min(TILE) };
    4 * longest * (4 * hidden + key_width + outputs) + 4 * rows * (4 * hidden + 6 * inner)
}

impl ComparePlan {
    /// The least memory of a device that takes two models of one shape, layers read one by one and activations on disk; none where it does
    /// not fit.
    pub(crate) fn least(config: &ModelConfig, longest: u64, causes: bool, place: &Place) -> Option<u64> {
        let hidden = config.hidden as u64;
        let outputs = config.most_outputs() as u64;
        let at_work = at_work(config, longest, if causes { outputs + 3 * hidden } else { 0 });
        let heads = 2 * (config.vocabulary * config.hidden) as u64 * place.weight_bytes;
        let needed = WORKING + 4 * layer(config) * if causes { 4 } else { 2 } + at_work + heads + 8 * longest * hidden;
        place.device_memory.is_none_or(|free| needed as f64 <= free as f64 * SHARE).then_some(needed)
    }

    /// Plans a comparison at a place.
    pub(super) fn new(configs: [&ModelConfig; 2], texts: &[Text], causes: usize, weights: WeightsChoice, place: &Place) -> Result<Self, RunError> {
        let of = |each: &dyn Fn(&ModelConfig) -> u64| configs.iter().map(|config| each(config)).sum::<u64>();
        let models = of(&|config| config.weights_of_layers() as u64 * place.weight_bytes);
        let heads = of(&|config| (config.vocabulary * config.hidden) as u64 * place.weight_bytes);
        let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0) as u64;
        let b = configs[1];
        let (hidden, layers) = (b.hidden as u64, b.layers as u64);
        let key_width = 2 * (b.key_value_heads * b.head_dim) as u64;
        let own = 4 * longest * of(&|config| config.hidden as u64);
        // On the way back: what waits for it, a gradient for each set, and every module's changed output of the layer at work.
        let waiting = if causes > 0 { 4 * longest * layers * (hidden + key_width) } else { 0 };
        let back = if causes > 0 { 4 * longest * (causes as u64 + 1) * hidden } else { 0 };
        let outputs = b.most_outputs() as u64;
        let at_work = at_work(b, longest, if causes > 0 { outputs } else { 0 });
        let changing = 4 * layer(b) * if causes > 0 { 4 } else { 2 };
        let available = place.device_memory.or(place.machine_memory);
        let budget = available.map(|available| (available as f64 * SHARE) as u64);
        let fixed = WORKING + changing + at_work + heads;
        let fits = |bytes: u64| budget.is_none_or(|budget| fixed + bytes <= budget);
        let residence = match weights {
            WeightsChoice::Streamed => Residence::Streamed,
            WeightsChoice::Resident => Residence::Resident,
            WeightsChoice::Automatic if fits(models + own + waiting + back) => Residence::Resident,
            WeightsChoice::Automatic => Residence::Streamed,
        };
        let resident = if residence == Residence::Resident { models } else { 0 };
        let (activations, waiting_here) = if fits(resident + own + waiting + back) {
            (ActivationStorage::Device, waiting)
        } else {
            (ActivationStorage::Disk, 0)
        };
        let kept = own + waiting_here + back;
        if let (false, Some(available)) = (fits(resident + kept), available) {
            return Err(RunError::Memory {
                needed: format_bytes(fixed + resident + kept),
                available: format_bytes(available),
                hint: "shorter texts (--max-length) need less; so do weights that are read layer by layer".into(),
            });
        }
        let room = budget.map_or(u64::MAX, |budget| budget.saturating_sub(fixed + resident) / kept.max(1));
        // Streamed layers are read once for a batch, so that there as many as fit go together.
        let most = if residence == Residence::Resident { RESIDENT_BATCH } else { texts.len() };
        let batch = (room.min(texts.len().min(most) as u64) as usize).max(1);
        let tokens: usize = texts.iter().map(|text| text.ids.len()).sum();
        let passes = |config: &ModelConfig| 2.0 * (0..config.layers).map(|layer| config.active_weights(layer)).sum::<usize>() as f64 * tokens as f64;
        let head = |config: &ModelConfig| 2.0 * (config.vocabulary * config.hidden) as f64 * tokens as f64;
        let forward: f64 = configs.iter().map(|config| passes(config) + head(config)).sum();
        let causes_take = if causes > 0 { (2 + causes) as f64 * passes(b) + head(b) } else { 0.0 };
        let operations = forward + causes_take;
        Ok(Self {
            texts: texts.len(),
            tokens,
            causes,
            batch,
            weights: residence,
            activations,
            memory: fixed + resident + batch as u64 * kept,
            disk: tokens as u64 * 25 + texts.len() as u64 * causes as u64 * layers * 7 * 8 + (waiting - waiting_here),
            operations,
            forward,
            time: place
                .products
                .map(|products| Duration::from_secs_f64(operations / (products * EXPECTED_EFFICIENCY))),
        })
    }
}

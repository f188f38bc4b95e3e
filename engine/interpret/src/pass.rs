//! Forward and backward over a batch of instances, layer by layer: every layer's weights are read once in each direction.
//!
//! Between the two directions an instance keeps, for every layer, the layer's input at its packed segment rows and the keys
//! and values up to its last segment ([`ActivationStorage`] says where); nothing else.

use std::path::Path;

use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::Kernels;
use cruxscope_model::module::TokenRows;
use cruxscope_model::rotation::Rotation;
use cruxscope_study::Definition;

use crate::activations::{ActivationCache, ActivationStorage};
use crate::ask::Ask;
use crate::backward;
use crate::capture::{Capture, Readings};
pub use crate::instance::Instance;
use crate::packed::Packed;
use crate::part::{GradientPart, InstancePart};
use crate::{InterpretError, Layout};

/// Takes what every step counts, one layer of one instance in one direction, in tokens; `false` stops the work.
pub type OnStep<'a> = dyn FnMut(usize) -> bool + 'a;

struct Carried<'a, K: Kernels> {
    instance: &'a Instance,
    ask: &'a Ask,
    packed: Packed,
    rotation: Rotation<K>,
    hidden: K::Matrix,
    activations: ActivationCache<K>,
    capture: Capture,
    means: Vec<Vec<f32>>,
    /// Weight of the tokens that were routed to each expert: `[set][expert]`, sets of means and then of gradients.
    shares: Vec<Vec<f32>>,
    /// Experts that the packed rows were routed to, for each layer so far.
    chosen: Vec<Option<Vec<usize>>>,
}

/// Interprets a batch of instances: means of every module's output, and gradients of every segment's loss. What they keep between
/// the two directions stays on the device.
///
/// # Errors
/// When the model cannot be run, `on_step` stops it, or a result is not finite.
pub fn interpret<K: Kernels>(
    decoder: &Decoder<K>,
    batch: &[Instance],
    definition: Definition,
    on_step: &mut OnStep<'_>,
) -> Result<Vec<InstancePart>, InterpretError> {
    interpret_keeping(decoder, batch, definition, ActivationStorage::Device, Path::new(""), on_step)
}

/// As [`interpret`], with what instances keep put elsewhere, on the disk in `folder`. The numbers are the same.
///
/// # Errors
/// Likewise, and when the disk refuses.
pub fn interpret_keeping<K: Kernels>(
    decoder: &Decoder<K>,
    batch: &[Instance],
    definition: Definition,
    storage: ActivationStorage,
    folder: &Path,
    on_step: &mut OnStep<'_>,
) -> Result<Vec<InstancePart>, InterpretError> {
    let asks: Vec<Ask> = batch.iter().map(|instance| Ask::of(instance, definition)).collect();
    let asked: Vec<(&Instance, &Ask)> = batch.iter().zip(&asks).collect();
    attribute(decoder, &asked, storage, folder, on_step)
}

/// As [`interpret_keeping`], with what is asked of each instance spelled out: a part holds the means and gradients in the order in which
/// they are asked for.
///
/// # Errors
/// Likewise.
pub fn attribute<K: Kernels>(
    decoder: &Decoder<K>,
    batch: &[(&Instance, &Ask)],
    storage: ActivationStorage,
    folder: &Path,
    on_step: &mut OnStep<'_>,
) -> Result<Vec<InstancePart>, InterpretError> {
    let layout = Layout::of(decoder.config());
    let layers = decoder.config().layers;
    let kernels = decoder.kernels();
    let mut carried = batch
        .iter()
        .map(|(instance, ask)| begin(decoder, instance, ask, &layout, storage, folder))
        .collect::<Result<Vec<_>, _>>()?;

    for index in 0..layers {
        let layer = decoder.layer(index)?;
        for state in &mut carried {
            let Carried { capture, hidden, rotation, .. } = state;
            if !state.packed.positions.is_empty() {
                state.activations.push(kernels, kernels.gather(hidden, &state.packed.positions))?;
            }
            let (shape, marks) = (decoder.shape(), state.packed.starts());
            let readings = Readings::of(decoder.config(), &layer, index);
            let observe = |input, rows: TokenRows<'_>, x: &K::Matrix| {
                let columns = decoder.width(layer.kind, input);
                capture.observe(kernels, &readings, input, rows, columns, x)
            };
            let forward = || block::forward_marked(kernels, &shape, &layer, hidden, rotation, &marks, observe);
            let (next, KeysValues { keys, values }) = kernels.together(forward)?;
            *hidden = next;
            state.chosen.push(capture.chosen_at(&state.packed.positions));
            capture.finish_layer(decoder, &*layer, index, &layout, &mut state.means, &mut state.shares)?;
            let end = state.packed.end();
            for matrix in [keys, values].into_iter().filter(|_| end > 0) {
                let whole = end == state.instance.ids.len() || layer.kind.delta;
                state.activations.push(kernels, if whole { matrix } else { kernels.slice(&matrix, 0, end) })?;
            }
            if !on_step(state.instance.ids.len()) {
                return Err(InterpretError::Cancelled);
            }
        }
    }

    // Every instance reads it, and it is let go of before the layers come back.
    let head = carried
        .iter()
        .any(|state| !state.packed.positions.is_empty())
        .then(|| decoder.head())
        .transpose()?;
    let mut attributed = carried
        .into_iter()
        .map(|state| turn_back(decoder, state, &layout))
        .collect::<Result<Vec<_>, _>>()?;
    drop(head);

    for index in (0..layers).rev() {
        if attributed.iter().all(|state| state.gradient.is_none()) {
            break;
        }
        let layer = decoder.layer(index)?;
        for state in &mut attributed {
            let Some(gradient) = state.gradient.take() else { continue };
            let (Some(values), Some(keys), Some(input)) = (
                state.activations.pop(kernels)?,
                state.activations.pop(kernels)?,
                state.activations.pop(kernels)?,
            ) else {
                continue;
            };
            let cache = KeysValues { keys, values };
            let weights: Vec<&[f32]> = state.weights.iter().map(Vec::as_slice).collect();
            let (gradients, shares) = (&mut state.gradients, &state.shares);
            let (rotation, packed, chosen) = (&state.rotation, &state.packed, state.chosen[index].as_deref());
            let record = |module, rows: TokenRows<'_>, gradient: &K::Matrix| match layout.unit(index, module) {
                Some(unit) => backward::record(kernels, unit, rows, gradient, &weights, shares, gradients),
                None => Ok(()),
            };
            let below = kernels.together(|| backward::layer(decoder, &*layer, &input, &cache, rotation, packed, chosen, gradient, record))?;
            state.gradient = Some(below);
            if !on_step(state.packed.positions.len()) {
                return Err(InterpretError::Cancelled);
            }
        }
    }
    attributed.into_iter().map(Attributed::finish).collect()
}

fn begin<'a, K: Kernels>(
    decoder: &Decoder<K>,
    instance: &'a Instance,
    ask: &'a Ask,
    layout: &Layout,
    storage: ActivationStorage,
    folder: &Path,
) -> Result<Carried<'a, K>, InterpretError> {
    let tokens = instance.ids.len();
    let packed = Packed::new(&ask.spans);
    let all = vec![1.0 / tokens as f32; tokens];
    let weights: Vec<Vec<f32>> = [all].into_iter().chain(ask.plus.iter().map(|(_, weights)| weights.clone())).collect();
    let means = vec![vec![0.0; layout.length()]; weights.len()];
    let of_gradients: Vec<Vec<f32>> = ask.groups.iter().map(|group| group.token_weights(&ask.spans, tokens)).collect();
    let shares = vec![vec![0.0; layout.experts()]; weights.len() + of_gradients.len()];
    Ok(Carried {
        instance,
        ask,
        packed,
        rotation: decoder.rotation(&(0..tokens).collect::<Vec<_>>()),
        hidden: decoder.embed(&instance.ids)?,
        activations: ActivationCache::new(storage, folder)?,
        capture: Capture::new(weights, of_gradients),
        means,
        shares,
        chosen: Vec::new(),
    })
}

struct Attributed<K: Kernels> {
    part: InstancePart,
    packed: Packed,
    rotation: Rotation<K>,
    activations: ActivationCache<K>,
    gradient: Option<K::Matrix>,
    weights: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    /// Of gradients, `[set][expert]`.
    shares: Vec<Vec<f32>>,
    chosen: Vec<Option<Vec<usize>>>,
}

/// From the end of the forward pass to the beginning of the backward one.
fn turn_back<K: Kernels>(decoder: &Decoder<K>, carried: Carried<'_, K>, layout: &Layout) -> Result<Attributed<K>, InterpretError> {
    let Carried {
        instance,
        ask: Ask { spans, groups, plus },
        packed,
        hidden,
        activations,
        mut means,
        mut shares,
        chosen,
        ..
    } = carried;
    let (losses, gradient) = if packed.positions.is_empty() {
        (Vec::new(), None)
    } else {
        let (losses, gradient) = backward::head(decoder, &hidden, &instance.ids, spans, &packed)?;
        (losses, Some(gradient))
    };

    let weights = groups.iter().map(|group| group.row_weights(&packed)).collect();
    let of_groups: Vec<GradientPart> = (groups.iter())
        .map(|group| GradientPart {
            behaviour: group.behaviour,
            segments: group.members.len(),
            values: Vec::new(),
        })
        .collect();
    // Of the whole instance's length, as in the forward pass: some frequencies hang on it.
    let rotation = decoder.rotation_within(packed.positions.iter().map(|position| (*position, instance.ids.len())));
    let mut segments = [0; 4];
    for segment in &instance.segments {
        segments[segment.behaviour.index()] += 1;
    }
    let of_gradients = shares.split_off(means.len());
    let all = means.remove(0);
    let part = InstancePart {
        id: instance.id.clone(),
        tokens: instance.ids.len(),
        segments,
        losses,
        targets: spans.iter().map(|span| span.targets.len()).collect(),
        all,
        plus: plus.iter().map(|(behaviour, _)| *behaviour).zip(means).collect(),
        gradients: of_groups,
        shares: if layout.experts() > 0 { shares } else { Vec::new() },
        backend: decoder.kernels().describe(),
    };
    let gradients = vec![vec![0.0; layout.length()]; groups.len()];
    Ok(Attributed {
        part,
        packed,
        rotation,
        activations,
        gradient,
        weights,
        gradients,
        shares: of_gradients,
        chosen,
    })
}

impl<K: Kernels> Attributed<K> {
    fn finish(self) -> Result<InstancePart, InterpretError> {
        let mut part = self.part;
        for (group, values) in part.gradients.iter_mut().zip(self.gradients) {
            group.values = values;
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let every = part
            .plus
            .iter()
            .map(|(_, values)| values)
            .chain(part.gradients.iter().map(|group| &group.values))
            .chain([&part.all]);
        if !every.into_iter().all(|values| finite(values)) || part.losses.iter().any(|loss| !loss.is_finite()) {
            return Err(InterpretError::NotFinite { id: part.id });
        }
        Ok(part)
    }
}

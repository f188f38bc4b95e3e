//! Forward and backward over a batch of instances, layer by layer: every layer's weights are read once in each direction.
//!
//! Between the two directions an instance keeps, for every layer, the layer's input at its packed segment rows and the keys
//! and values up to its last segment ([`ActivationStorage`] says where); nothing else.

use std::path::Path;

use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::{Decoder, Rotation};
use cruxscope_model::kernels::Kernels;
use cruxscope_study::{Behaviour, Component, Definition};

use crate::activations::{ActivationCache, ActivationStorage};
use crate::backward::{self, Packed};
use crate::capture::Capture;
use crate::part::{GradientPart, InstancePart};
use crate::segment::{Segment, Span, activation_weights};
use crate::{InterpretError, Layout};

/// One instance to interpret.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Its segments, every one with a span under the definition asked for (see [`Segment::span`]).
    pub segments: Vec<Segment>,
}

impl Instance {
    /// Rows that its backward pass packs.
    pub fn packed_rows(&self, definition: Definition) -> usize {
        self.segments
            .iter()
            .filter_map(|segment| segment.span(definition).ok())
            .map(|span| span.live_rows().len())
            .sum()
    }
}

/// How far a batch is; `false` stops it.
pub trait StepObserver {
    /// One layer of one instance is done in one direction; `tokens` is what it counts.
    fn step(&mut self, tokens: usize) -> bool;
}

impl<F: FnMut(usize) -> bool> StepObserver for F {
    fn step(&mut self, tokens: usize) -> bool {
        self(tokens)
    }
}

struct Carried<'a, K: Kernels> {
    instance: &'a Instance,
    spans: Vec<Span>,
    packed: Packed,
    rotation: Rotation<K>,
    hidden: K::Matrix,
    activations: ActivationCache<K>,
    capture: Capture,
    means: Vec<Vec<f32>>,
    held: Vec<Behaviour>,
}

/// Interprets a batch of instances: means of every module's output, and gradients of every segment's loss. What they keep between
/// the two directions stays on the device.
///
/// # Errors
/// When the model cannot be run, the observer stops it, or a result is not finite.
pub fn interpret<K: Kernels>(
    decoder: &Decoder<K>,
    batch: &[Instance],
    definition: Definition,
    observer: &mut dyn StepObserver,
) -> Result<Vec<InstancePart>, InterpretError> {
    interpret_keeping(decoder, batch, definition, ActivationStorage::Device, Path::new(""), observer)
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
    observer: &mut dyn StepObserver,
) -> Result<Vec<InstancePart>, InterpretError> {
    let layout = Layout::of(decoder.config());
    let layers = decoder.config().layers;
    let kernels = decoder.kernels();
    let mut carried = batch
        .iter()
        .map(|instance| begin(decoder, instance, definition, &layout, storage, folder))
        .collect::<Result<Vec<_>, _>>()?;

    for index in 0..layers {
        let layer = decoder.layer(index)?;
        for state in &mut carried {
            let Carried { capture, hidden, rotation, .. } = state;
            if !state.packed.positions.is_empty() {
                state.activations.push(kernels, kernels.gather(hidden, &state.packed.positions))?;
            }
            let (next, KeysValues { keys, values }) = block::forward(decoder.kernels(), &decoder.shape(), &layer, hidden, rotation, |input, first, x| {
                capture.observe(kernels, input, first, decoder.width(input), x)
            })?;
            *hidden = next;
            capture.finish_layer(decoder, &*layer, index, &layout, &mut state.means)?;
            let end = state.packed.end();
            for matrix in [keys, values].into_iter().filter(|_| end > 0) {
                let whole = end == state.instance.ids.len();
                state.activations.push(kernels, if whole { matrix } else { kernels.slice(&matrix, 0, end) })?;
            }
            if !observer.step(state.instance.ids.len()) {
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
        .map(|state| turn_back(decoder, state, definition, &layout))
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
            let gradients = &mut state.gradients;
            let below = backward::layer(
                decoder,
                &*layer,
                &input,
                &cache,
                &state.rotation,
                &state.packed,
                gradient,
                |module, gradient| backward::record(kernels, &layout, Component::new(index, module), gradient, &weights, gradients),
            )?;
            state.gradient = Some(below);
            if !observer.step(state.packed.positions.len()) {
                return Err(InterpretError::Cancelled);
            }
        }
    }
    attributed.into_iter().map(Attributed::finish).collect()
}

fn begin<'a, K: Kernels>(
    decoder: &Decoder<K>,
    instance: &'a Instance,
    definition: Definition,
    layout: &Layout,
    storage: ActivationStorage,
    folder: &Path,
) -> Result<Carried<'a, K>, InterpretError> {
    let tokens = instance.ids.len();
    let spans: Vec<Span> = instance.segments.iter().filter_map(|segment| segment.span(definition).ok()).collect();
    let packed = Packed::new(&spans);
    let mut weights = vec![vec![1.0 / tokens as f32; tokens]];
    let mut held = Vec::new();
    for behaviour in Behaviour::ALL {
        let own: Vec<Segment> = instance.segments.iter().copied().filter(|segment| segment.behaviour == behaviour).collect();
        if let Some(of_behaviour) = activation_weights(&own, tokens, definition) {
            weights.push(of_behaviour);
            held.push(behaviour);
        }
    }
    let means = vec![vec![0.0; layout.length()]; weights.len()];
    Ok(Carried {
        instance,
        spans,
        packed,
        rotation: decoder.rotation(&(0..tokens).collect::<Vec<_>>()),
        hidden: decoder.embed(&instance.ids)?,
        activations: ActivationCache::new(storage, folder)?,
        capture: Capture::new(weights),
        means,
        held,
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
}

/// From the end of the forward pass to the beginning of the backward one.
fn turn_back<K: Kernels>(decoder: &Decoder<K>, carried: Carried<'_, K>, definition: Definition, layout: &Layout) -> Result<Attributed<K>, InterpretError> {
    let Carried {
        instance,
        spans,
        packed,
        hidden,
        activations,
        mut means,
        held,
        ..
    } = carried;
    let (losses, gradient) = if packed.positions.is_empty() {
        (Vec::new(), None)
    } else {
        let (losses, gradient) = backward::head(decoder, &hidden, &instance.ids, &spans, &packed)?;
        (losses, Some(gradient))
    };

    // Sets of row weights by which gradients are summed: under `paper` one a behaviour (sum of all its segments' rows over
    // the sum of their row counts), under `released` one a segment (mean over its rows).
    let mut groups: Vec<(Behaviour, Vec<usize>)> = Vec::new();
    for (index, segment) in instance.segments.iter().enumerate() {
        match groups
            .iter_mut()
            .find(|(behaviour, _)| definition == Definition::Paper && *behaviour == segment.behaviour)
        {
            Some((_, members)) => members.push(index),
            None => groups.push((segment.behaviour, vec![index])),
        }
    }
    let mut weights = Vec::new();
    let mut of_groups = Vec::new();
    for (behaviour, members) in &groups {
        let rows: usize = members.iter().map(|index| spans[*index].rows.len()).sum();
        let per_row = 1.0 / rows as f32;
        let row_weights = packed
            .runs
            .iter()
            .enumerate()
            .flat_map(|(index, run)| vec![if members.contains(&index) { per_row } else { 0.0 }; run.rows]);
        weights.push(row_weights.collect());
        of_groups.push(GradientPart {
            behaviour: *behaviour,
            segments: members.len(),
            values: Vec::new(),
        });
    }
    let rotation = decoder.rotation(&packed.positions);
    let mut segments = [0; 4];
    for segment in &instance.segments {
        segments[segment.behaviour.index()] += 1;
    }
    let all = means.remove(0);
    let part = InstancePart {
        id: instance.id.clone(),
        tokens: instance.ids.len(),
        segments,
        losses,
        targets: spans.iter().map(|span| span.targets.len()).collect(),
        all,
        plus: held.into_iter().zip(means).collect(),
        gradients: of_groups,
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

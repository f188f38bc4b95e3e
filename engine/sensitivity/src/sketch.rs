//! The sketch of a batch of windows: every layer's weights are read once in each direction, and what every format changes in them
//! once for all windows and draws.
//!
//! Forward, a window keeps each layer's input, keys and values. At the end labels are drawn and the gradient of
//! `h = sum over t of log p(y_t)` at the final hidden states is formed: with the head W, `W[y_t] - p_t W`, so that the product with
//! the whole vocabulary is taken once for all draws. Backward, a layer's activations are recomputed once, the output change
//! `D_f x` of every module and format formed once, and every draw's gradient g taken through the layer; at each module
//!
//! `s[draw, c, f] = sum over t of g_t . D_f x_t`  and  `a[c, f] = sum over draws and t of (g_t . D_f x_t)^2`.
//!
//! The second is a score of low variance: positions one by one, without what they add up to; so is the sum over outputs o too,
//! `b[c, f] = sum over draws, t and o of (g_to (D_f x_t)_o)^2`. A component of several linear maps, such as experts, changes in all of them:
//! its product at a position is the sum over the maps that the position reaches ([`crate::outputs`]). On request the text's own next tokens are labels too: their b is the
//! gradient score of others, and the sum of g_t . D_f x_t the first order of the loss, both to compare with.

use std::path::Path;

use cruxscope_interpret::InterpretError;
use cruxscope_interpret::activations::{ActivationCache, ActivationStorage};
use cruxscope_interpret::layer_activations::LayerActivations;
use cruxscope_interpret::packed::Packed;
use cruxscope_interpret::pass::OnStep;
use cruxscope_model::ModelError;
use cruxscope_model::block::{self, KeysValues};
use cruxscope_model::decoder::Decoder;
use cruxscope_model::kernels::{Kernels, SequenceSpan};
use cruxscope_model::module::TokenRows;
use cruxscope_model::rotation::Rotation;
use cruxscope_study::{Component, Module, Scope};

use crate::SensitivityError;
use crate::head::gradients;
use crate::labels::Labels;
use crate::outputs::OnDevice;
pub use crate::outputs::{LayerChanges, MapChanges};
use crate::part::{ScopePart, WindowPart};

/// A window to sketch.
#[derive(Clone, Debug, PartialEq)]
pub struct SketchWindow {
    /// Its id; labels are drawn by it.
    pub id: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Whose positions count: for each scope the rows whose predictions belong to it, ascending.
    pub scopes: Vec<(Scope, Vec<usize>)>,
}

impl SketchWindow {
    /// A window in which every position counts.
    pub fn whole(id: impl Into<String>, ids: Vec<u32>) -> Self {
        let rows = (0..ids.len()).collect();
        Self {
            id: id.into(),
            ids,
            scopes: vec![(Scope::All, rows)],
        }
    }
}

/// What is computed beside the sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SketchOptions {
    /// Formats of the menu.
    pub formats: usize,
    /// Whether the gradient score is computed, at the cost of a draw more.
    pub gradient_score: bool,
}

/// Sketches a batch of windows.
///
/// `changes` is asked for each layer once, from the last to the first, and gives `options.formats` formats; `labels_of` gives each window's
/// labels.
///
/// # Errors
/// When the model cannot be run, `changes` fails, `on_step` stops it, or a result is not finite.
pub fn sketch<K: Kernels, E: From<SensitivityError>>(
    decoder: &Decoder<K>,
    batch: &[SketchWindow],
    labels_of: &dyn Fn(&SketchWindow) -> Labels,
    options: SketchOptions,
    storage: (ActivationStorage, &Path),
    changes: &mut dyn FnMut(usize) -> Result<LayerChanges, E>,
    on_step: &mut OnStep<'_>,
) -> Result<Vec<WindowPart>, E> {
    let layers = decoder.config().layers;
    let mut carried = forward(decoder, batch, storage, on_step)?;
    let mut sketched = Vec::new();
    {
        // Every window reads the head, and it is let go of before the layers come back.
        let head = decoder.head().map_err(SensitivityError::from)?;
        for carried in carried.drain(..) {
            sketched.push(Sketched::begin(decoder, carried, labels_of, layers, options)?);
        }
        drop(head);
    }
    for index in (0..layers).rev() {
        let layer = decoder.layer(index).map_err(SensitivityError::from)?;
        let changes = changes(index)?;
        let on_device = OnDevice::bring(decoder.kernels(), decoder.config(), index, changes);
        for window in &mut sketched {
            window.through(decoder, &layer, index, &on_device)?;
            if !on_step(window.window.ids.len() * (window.draws() + 1)) {
                return Err(SensitivityError::from(InterpretError::Cancelled).into());
            }
        }
    }
    let finished = sketched.into_iter().map(Sketched::finish);
    Ok(finished.collect::<Result<Vec<_>, _>>()?)
}

/// A window on its way up.
struct Carried<'a, K: Kernels> {
    window: &'a SketchWindow,
    rotation: Rotation<K>,
    hidden: K::Matrix,
    kept: ActivationCache<K>,
}

fn forward<'a, K: Kernels>(
    decoder: &Decoder<K>,
    batch: &'a [SketchWindow],
    storage: (ActivationStorage, &Path),
    on_step: &mut OnStep<'_>,
) -> Result<Vec<Carried<'a, K>>, SensitivityError> {
    let kernels = decoder.kernels();
    let mut carried = batch
        .iter()
        .map(|window| {
            Ok(Carried {
                window,
                rotation: decoder.rotation(&(0..window.ids.len()).collect::<Vec<_>>()),
                hidden: decoder.embed(&window.ids)?,
                kept: ActivationCache::new(storage.0, storage.1)?,
            })
        })
        .collect::<Result<Vec<_>, SensitivityError>>()?;
    for index in 0..decoder.config().layers {
        let layer = decoder.layer(index)?;
        for window in &mut carried {
            let (next, KeysValues { keys, values }) =
                block::forward(decoder.kernels(), &decoder.shape(), &*layer, &window.hidden, &window.rotation, |_, _, _| Ok(()))?;
            let input = std::mem::replace(&mut window.hidden, next);
            for matrix in [input, keys, values] {
                window.kept.push(kernels, matrix)?;
            }
            if !on_step(window.window.ids.len()) {
                return Err(InterpretError::Cancelled.into());
            }
        }
    }
    Ok(carried)
}

/// Whose gradient is on its way down.
#[derive(Clone, Copy)]
enum LabelKind {
    /// Of a draw of labels, in a scope.
    Drawn { scope: usize, draw: usize },
    /// Of the text's own next tokens.
    Actual,
}

/// A gradient on its way down.
struct Descending<K: Kernels> {
    labels: LabelKind,
    gradient: K::Matrix,
}

/// A window on its way down.
struct Sketched<'a, K: Kernels> {
    window: &'a SketchWindow,
    rotation: Rotation<K>,
    kept: ActivationCache<K>,
    packed: Packed,
    formats: usize,
    descending: Vec<Descending<K>>,
    part: WindowPart,
}

impl<'a, K: Kernels> Sketched<'a, K> {
    fn draws(&self) -> usize {
        self.descending.len()
    }

    /// Draws labels, and forms the gradients at the final hidden states.
    fn begin(
        decoder: &Decoder<K>,
        carried: Carried<'a, K>,
        labels_of: &dyn Fn(&SketchWindow) -> Labels,
        layers: usize,
        SketchOptions { formats, gradient_score }: SketchOptions,
    ) -> Result<Self, SensitivityError> {
        let Carried {
            window,
            rotation,
            hidden,
            kept,
        } = carried;
        let tokens = window.ids.len();
        let labels = labels_of(window);
        let kernels = decoder.kernels();
        let actual = gradient_score.then_some(window.ids.as_slice());
        let mut gradients = gradients(decoder, &hidden, &window.id, &labels, actual)?;
        let mut descending = Vec::new();
        if gradient_score && let Some(gradient) = gradients.pop() {
            // The last token has no next one.
            let predicting: Vec<usize> = (0..tokens.saturating_sub(1)).collect();
            let values = only_rows(&kernels.download(&gradient)?, tokens, &predicting);
            descending.push(Descending {
                labels: LabelKind::Actual,
                gradient: kernels.upload(tokens, decoder.config().hidden, values),
            });
        }
        for (draw, gradient) in gradients.into_iter().enumerate() {
            let mut values = None;
            for (scope, (_, rows)) in window.scopes.iter().enumerate() {
                if rows.is_empty() {
                    continue;
                }
                let gradient = if rows.len() == tokens {
                    gradient.clone()
                } else {
                    let all = match &values {
                        Some(all) => all,
                        None => values.insert(kernels.download(&gradient)?),
                    };
                    kernels.upload(tokens, decoder.config().hidden, only_rows(all, tokens, rows))
                };
                let labels = LabelKind::Drawn { scope, draw };
                descending.push(Descending { labels, gradient });
            }
        }
        let (draws, cell) = (labels.draws(), layers * Module::ALL.len() * formats);
        let scopes = window.scopes.iter().map(|(scope, rows)| ScopePart {
            scope: *scope,
            positions: rows.len() as u32,
            sketch: vec![0.0; draws * cell],
            score: vec![0.0; cell],
            outputs: vec![0.0; cell],
        });
        let asked = if gradient_score { vec![0.0; cell] } else { Vec::new() };
        Ok(Self {
            window,
            rotation,
            kept,
            packed: Packed {
                positions: (0..tokens).collect(),
                runs: vec![SequenceSpan { position: 0, rows: tokens }],
            },
            formats,
            descending,
            part: WindowPart {
                id: window.id.clone(),
                tokens: tokens as u32,
                draws: draws as u32,
                scopes: scopes.collect(),
                input_error: vec![0.0; cell],
                gradient_error: asked.clone(),
                first_order: asked,
            },
        })
    }

    /// Takes every gradient through a layer.
    fn through(
        &mut self,
        decoder: &Decoder<K>,
        layer: &cruxscope_model::decoder::Layer<K>,
        index: usize,
        changes: &OnDevice<K>,
    ) -> Result<(), SensitivityError> {
        let kernels = decoder.kernels();
        let (Some(values), Some(keys), Some(input)) = (self.kept.pop(kernels)?, self.kept.pop(kernels)?, self.kept.pop(kernels)?) else {
            return Ok(());
        };
        let cache = KeysValues { keys, values };
        let activations = LayerActivations::of(decoder, layer, input, &cache, &self.rotation, &self.packed, None)?;
        let (formats, tokens) = (self.formats, self.window.ids.len());
        let place = |module: Module, format: usize| Component::new(index, module).index() * formats + format;
        let part = &mut self.part;
        // What every format changes in every linear map's output.
        let outputs = changes.outputs(decoder, layer, &activations, &self.rotation, &mut |module, format, error| {
            part.input_error[place(module, format)] += error;
        })?;
        let cell = part.input_error.len();
        for Descending { labels, gradient } in &mut self.descending {
            let (labels, first) = (*labels, gradient.clone());
            // Products of single positions, over all maps of a component: `[module, format]`, each `[tokens]`.
            let mut dots: Vec<Vec<f64>> = vec![Vec::new(); Module::ALL.len() * formats];
            *gradient = activations.backward(decoder, layer, &cache, &self.rotation, &self.packed, first, |map, rows, gradient| {
                let Some(module) = changes.module(map) else { return Ok(()) };
                for (format, output) in &outputs[map] {
                    let products = kernels.row_products(gradient, output)?;
                    let by_output = products.squares.iter().sum::<f64>();
                    match labels {
                        LabelKind::Actual => part.gradient_error[place(module, *format)] += by_output,
                        LabelKind::Drawn { scope, .. } => part.scopes[scope].outputs[place(module, *format)] += by_output as f32,
                    }
                    let own = &mut dots[module.index() * formats + format];
                    own.resize(tokens, 0.0);
                    match rows {
                        TokenRows::From(first) => own[first..].iter_mut().zip(products.sums).for_each(|(sum, dot)| *sum += dot),
                        TokenRows::At(rows) => rows.iter().zip(products.sums).for_each(|(row, dot)| own[*row] += dot),
                    }
                }
                Ok::<_, ModelError>(())
            })?;
            for module in Module::ALL {
                for format in 0..formats {
                    let (dots, at) = (&dots[module.index() * formats + format], place(module, format));
                    match labels {
                        LabelKind::Actual => part.first_order[at] += dots.iter().sum::<f64>(),
                        LabelKind::Drawn { scope, draw } => {
                            let scope = &mut part.scopes[scope];
                            scope.sketch[draw * cell + at] = dots.iter().sum::<f64>() as f32;
                            scope.score[at] += dots.iter().map(|dot| dot * dot).sum::<f64>() as f32;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<WindowPart, SensitivityError> {
        let every = self
            .part
            .scopes
            .iter()
            .flat_map(|scope| scope.sketch.iter().chain(&scope.score).chain(&scope.outputs));
        let scores = self.part.gradient_error.iter().chain(&self.part.first_order).all(|value| value.is_finite());
        if scores && every.into_iter().all(|value| value.is_finite()) {
            return Ok(self.part);
        }
        Err(InterpretError::NotFinite { id: self.part.id }.into())
    }
}

/// The values of some rows, all others zero. Shapes: `values` `[tokens, columns]`.
fn only_rows(values: &[f32], tokens: usize, rows: &[usize]) -> Vec<f32> {
    let columns = values.len() / tokens.max(1);
    let mut kept = vec![0.0; values.len()];
    for row in rows {
        let range = row * columns..(row + 1) * columns;
        kept[range.clone()].copy_from_slice(&values[range]);
    }
    kept
}

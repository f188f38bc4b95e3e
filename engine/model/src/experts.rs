//! The feed-forward block of a mixture of experts: which tokens pass through which place, forwards and backwards.
//!
//! Tokens are sorted by expert; each expert computes the rows that were routed to it as one matrix, and what it gives is added, times
//! its weight, to the rows of its tokens, one expert after the other. The shared expert computes all rows.

use cruxscope_checkpoint::{Activation, Experts};

use crate::ModelError;
use crate::decoder::LayerShape;
use crate::kernels::Kernels;
use crate::module::{ModuleInput, TokenRows, place_modules};

/// Applies linear maps of a layer, given by their positions, to one matrix: `[n, in]` to `[n, out]` each.
pub type Maps<'a, M> = dyn Fn(&[usize], &M) -> Vec<M> + 'a;

/// What a layer's mixture is made of.
pub struct Mixture<'a, K: Kernels> {
    /// The device.
    pub kernels: &'a K,
    /// The layer's shape.
    pub shape: &'a LayerShape,
    /// What experts there are.
    pub experts: &'a Experts,
    /// What is added to scores before experts are chosen.
    pub choice_bias: Option<&'a [f32]>,
    /// Position of the first place's gate among the layer's linear maps.
    pub first: usize,
}

/// The rows that pass through one expert.
struct Passing {
    expert: usize,
    /// Rows of the block's input.
    rows: Vec<usize>,
    /// Positions in the list of all choices.
    choices: Vec<usize>,
}

/// Where rows went, and what their weights are.
pub struct Routes<K: Kernels> {
    /// The router's outputs, `[n, experts]`.
    outputs: K::Matrix,
    /// Who was chosen, `[n * chosen]`.
    experts: Vec<usize>,
    /// Weights of the chosen, `[n * chosen, 1]`.
    weights: K::Matrix,
    /// What the shared expert's gate gave, `[n, 1]`, where there is one.
    shared_gate: Option<K::Matrix>,
    passing: Vec<Passing>,
}

/// Activations of a place that a backward pass reads.
struct OfPlace<K: Kernels> {
    gate: K::Matrix,
    up: K::Matrix,
    /// Weights of its rows, `[rows, 1]`, or the sigmoid of the shared expert's gate; `None` where the whole is added as it is.
    weights: Option<K::Matrix>,
    /// What the place gave, before weights; where something must be known of them.
    given: K::Matrix,
}

fn nothing(what: &str) -> ModelError {
    ModelError::DeviceFailed {
        what: what.into(),
        why: "it gave nothing".into(),
    }
}

/// Takes an input of linear maps, with the rows that it is of; `[rows, in]`.
pub type AtInput<'a, M> = dyn FnMut(ModuleInput, TokenRows<'_>, &M) -> Result<(), ModelError> + 'a;

/// Takes the gradient at a module's output, by its position, with the rows that it is of; `[rows, out]`.
pub type AtModule<'a, M> = dyn FnMut(usize, TokenRows<'_>, &M) -> Result<(), ModelError> + 'a;

impl<K: Kernels> Mixture<'_, K> {
    fn router_module(&self) -> usize {
        self.first + 3 * self.experts.places()
    }

    /// Asks the router where rows go; where that is `known`, only with which weights.
    ///
    /// # Errors
    /// When the device failed.
    pub fn route(&self, x: &K::Matrix, known: Option<Vec<usize>>, apply: &Maps<'_, K::Matrix>) -> Result<Routes<K>, ModelError> {
        let gated = self.experts.shared.is_some_and(|shared| shared.gated);
        let router = self.router_module();
        let modules = [router, router + 1];
        let mut outputs = apply(&modules[..if gated { 2 } else { 1 }], x).into_iter();
        let of_router = outputs.next().ok_or_else(|| nothing("a router"))?;
        let shared_gate = outputs.next();
        let rule = &self.experts.router;
        let experts = match known {
            Some(known) => known,
            None => self.kernels.choose(rule, &of_router, self.choice_bias)?,
        };
        let weights = self.kernels.choice_weights(rule, &of_router, &experts)?;
        let mut passing: Vec<Passing> = (0..rule.experts)
            .map(|expert| Passing {
                expert,
                rows: Vec::new(),
                choices: Vec::new(),
            })
            .collect();
        for (choice, expert) in experts.iter().enumerate() {
            passing[*expert].rows.push(choice / rule.chosen);
            passing[*expert].choices.push(choice);
        }
        passing.retain(|passing| !passing.rows.is_empty());
        Ok(Routes {
            outputs: of_router,
            experts,
            weights,
            shared_gate,
            passing,
        })
    }

    /// What the block gives for rows, `[n, hidden]`; `observe` is given every input of its linear maps with the rows that it is of.
    ///
    /// # Errors
    /// Whatever `observe` returns.
    pub fn forward(
        &self,
        x: &K::Matrix,
        routes: &Routes<K>,
        apply: &Maps<'_, K::Matrix>,
        observe: &mut AtInput<'_, K::Matrix>,
    ) -> Result<K::Matrix, ModelError> {
        let mut sum = match self.experts.shared_place() {
            Some(place) => {
                observe(ModuleInput::Place(place), TokenRows::From(0), x)?;
                let own = self.of_place(place, x, None, apply, &mut |inner| {
                    observe(ModuleInput::PlaceDown(place), TokenRows::From(0), inner)
                })?;
                match &routes.shared_gate {
                    Some(gate) => self.kernels.scaled_rows(own.given, &self.sigmoid(gate)),
                    None => own.given,
                }
            }
            None => self.zeros(x),
        };
        for passing in &routes.passing {
            let (read, weights) = self.read(x, routes, passing);
            let rows = TokenRows::At(&passing.rows);
            observe(ModuleInput::Place(passing.expert), rows, &read)?;
            let own = self.of_place(passing.expert, &read, weights, apply, &mut |inner| {
                observe(ModuleInput::PlaceDown(passing.expert), rows, inner)
            })?;
            let given = match &own.weights {
                Some(weights) => self.kernels.scaled_rows(own.given, weights),
                None => own.given,
            };
            sum = self.kernels.add_rows(sum, &passing.rows, &given);
        }
        Ok(sum)
    }

    /// Rows of zeros as wide as the stream.
    fn zeros(&self, x: &K::Matrix) -> K::Matrix {
        let (rows, hidden) = (self.kernels.rows(x), self.shape.hidden);
        self.kernels.upload(rows, hidden, vec![0.0; rows * hidden])
    }

    fn sigmoid(&self, x: &K::Matrix) -> K::Matrix {
        let rows = self.kernels.rows(x);
        let ones = self.kernels.upload(rows, 1, vec![1.0; rows]);
        self.kernels.gated(Activation::Sigmoid, x, &ones)
    }

    /// What an expert reads, and the weights of what it gives, where they do not stand at what it reads.
    fn read(&self, x: &K::Matrix, routes: &Routes<K>, passing: &Passing) -> (K::Matrix, Option<K::Matrix>) {
        let read = self.kernels.gather(x, &passing.rows);
        let weights = self.kernels.gather(&routes.weights, &passing.choices);
        match self.experts.router.onto_inputs {
            true => (self.kernels.scaled_rows(read, &weights), None),
            false => (read, Some(weights)),
        }
    }

    fn of_place(
        &self,
        place: usize,
        read: &K::Matrix,
        weights: Option<K::Matrix>,
        apply: &Maps<'_, K::Matrix>,
        inner: &mut dyn FnMut(&K::Matrix) -> Result<(), ModelError>,
    ) -> Result<OfPlace<K>, ModelError> {
        let [gate_module, up_module, down_module] = place_modules(self.first, place);
        let mut outputs = apply(&[gate_module, up_module], read).into_iter();
        let (Some(gate), Some(up)) = (outputs.next(), outputs.next()) else {
            return Err(nothing("an expert"));
        };
        let between = self.kernels.gated(self.shape.block.activation, &gate, &up);
        inner(&between)?;
        let given = apply(&[down_module], &between).pop().ok_or_else(|| nothing("an expert"))?;
        Ok(OfPlace { gate, up, weights, given })
    }

    /// The gradient at the block's input, given that at what it gives; `observe` is given the gradient at each linear map's output.
    /// `back` takes a gradient at the output of a map to its input.
    ///
    /// # Shapes
    /// `x`, `gradient` and the result `[n, hidden]`.
    ///
    /// # Errors
    /// Whatever `observe` returns; when the device failed.
    pub fn backward(
        &self,
        x: &K::Matrix,
        routes: &Routes<K>,
        gradient: &K::Matrix,
        apply: &Maps<'_, K::Matrix>,
        back: &dyn Fn(usize, &K::Matrix) -> K::Matrix,
        observe: &mut AtModule<'_, K::Matrix>,
    ) -> Result<K::Matrix, ModelError> {
        let kernels = self.kernels;
        let router = self.router_module();
        let mut below = self.zeros(x);
        if let Some(place) = self.experts.shared_place() {
            let weights = routes.shared_gate.as_ref().map(|gate| self.sigmoid(gate));
            let own = self.of_place(place, x, weights, apply, &mut |_| Ok(()))?;
            let at_given = match &own.weights {
                Some(weights) => kernels.scaled_rows(gradient.clone(), weights),
                None => gradient.clone(),
            };
            below = kernels.add(self.place_backward(place, &own, at_given, TokenRows::From(0), back, observe)?, &below);
            if let Some(gate) = &routes.shared_gate {
                let ones = kernels.upload(kernels.rows(gate), 1, vec![1.0; kernels.rows(gate)]);
                let (at_gate, _) = kernels.gated_backward(Activation::Sigmoid, gate, &ones, &kernels.row_dots(gradient, &own.given));
                observe(router + 1, TokenRows::From(0), &at_gate)?;
                below = kernels.add(back(router + 1, &at_gate), &below);
            }
        }
        let (mut at_weights, mut order) = (Vec::new(), vec![0; routes.experts.len()]);
        let mut placed = 0;
        for passing in &routes.passing {
            let (read, weights) = self.read(x, routes, passing);
            let own = self.of_place(passing.expert, &read, weights, apply, &mut |_| Ok(()))?;
            let given = kernels.gather(gradient, &passing.rows);
            let rows = TokenRows::At(&passing.rows);
            for choice in &passing.choices {
                order[*choice] = placed;
                placed += 1;
            }
            let at_read = match &own.weights {
                Some(weights) => {
                    at_weights.push(kernels.row_dots(&given, &own.given));
                    self.place_backward(passing.expert, &own, kernels.scaled_rows(given, weights), rows, back, observe)?
                }
                None => {
                    let at_scaled = self.place_backward(passing.expert, &own, given, rows, back, observe)?;
                    at_weights.push(kernels.row_dots(&at_scaled, &kernels.gather(x, &passing.rows)));
                    kernels.scaled_rows(at_scaled, &kernels.gather(&routes.weights, &passing.choices))
                }
            };
            below = kernels.add_rows(below, &passing.rows, &at_read);
        }
        if at_weights.is_empty() {
            return Ok(below);
        }
        let at_weights = kernels.gather(&kernels.stack(at_weights), &order);
        let at_outputs = kernels.choice_weights_backward(&self.experts.router, &routes.outputs, &routes.experts, &at_weights)?;
        observe(router, TokenRows::From(0), &at_outputs)?;
        Ok(kernels.add(back(router, &at_outputs), &below))
    }

    /// From the gradient at what a place gives to that at what it reads.
    fn place_backward(
        &self,
        place: usize,
        own: &OfPlace<K>,
        gradient: K::Matrix,
        rows: TokenRows<'_>,
        back: &dyn Fn(usize, &K::Matrix) -> K::Matrix,
        observe: &mut AtModule<'_, K::Matrix>,
    ) -> Result<K::Matrix, ModelError> {
        let [gate_module, up_module, down_module] = place_modules(self.first, place);
        observe(down_module, rows, &gradient)?;
        let (at_gate, at_up) = self
            .kernels
            .gated_backward(self.shape.block.activation, &own.gate, &own.up, &back(down_module, &gradient));
        observe(up_module, rows, &at_up)?;
        observe(gate_module, rows, &at_gate)?;
        Ok(self.kernels.add(back(gate_module, &at_gate), &back(up_module, &at_up)))
    }
}

//! Parts into steering vectors, importance and contributions (paper, section 2.2).
//!
//! Parts are taken in the order given, which callers fix by sorting ids, and sums run in float64: however the work was split,
//! the bytes that come out are the same.

use cruxscope_study::{Behaviour, ChannelMaps, Contributions, Definition, InstanceContribution, Module};

use crate::part::InstancePart;
use crate::{InterpretError, Layout, Unit};

/// How sums are taken, where the published code departs from the formulas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summing {
    /// The sum over all four behaviours stands in the place of each behaviour's own, as `[tensor] * 4` makes it in the published code.
    pub aliased: bool,
    /// The absolute value is taken of every gradient before they are added, and not of the sum.
    pub absolute: bool,
}

impl From<Definition> for Summing {
    fn from(definition: Definition) -> Self {
        let released = definition == Definition::Released;
        Self {
            aliased: released,
            absolute: released,
        }
    }
}

/// Steering vectors: for each behaviour one vector over all channels of the model, or none where no instance holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct SteeringVectors {
    /// Scaled vectors u~, in the model's layout.
    pub scaled: [Option<Vec<f64>>; 4],
    /// Mean activation over all instances of the mean over their tokens (the D- mean).
    pub minus: Vec<f64>,
    /// Mean activation over all tokens of all instances.
    pub mean: Vec<f64>,
}

/// Sums from which steering vectors follow; parts are added one by one.
///
/// A unit that tokens are routed to counts only where some were: an instance of which none reached it has no mean of it, and its mean
/// over all tokens is one over those that reached it.
pub struct Steering {
    layout: Layout,
    summing: Summing,
    instances: usize,
    tokens: usize,
    minus: Vec<f64>,
    total: Vec<f64>,
    plus: [Vec<f64>; 4],
    holders: [usize; 4],
    experts: Option<OfExperts>,
}

/// What experts count apart.
struct OfExperts {
    instances: Vec<usize>,
    tokens: Vec<f64>,
    holders: [Vec<usize>; 4],
}

impl Steering {
    /// No instance yet.
    pub fn new(layout: Layout, summing: impl Into<Summing>) -> Self {
        let zeros = || vec![0.0; layout.length()];
        let experts = (layout.experts() > 0).then(|| OfExperts {
            instances: vec![0; layout.experts()],
            tokens: vec![0.0; layout.experts()],
            holders: std::array::from_fn(|_| vec![0; layout.experts()]),
        });
        Self {
            summing: summing.into(),
            instances: 0,
            tokens: 0,
            minus: zeros(),
            total: zeros(),
            plus: std::array::from_fn(|_| zeros()),
            holders: [0; 4],
            experts,
            layout,
        }
    }

    /// Adds an instance.
    ///
    /// # Errors
    /// When it was computed with a model of other dimensions.
    pub fn add(&mut self, part: &InstancePart) -> Result<(), InterpretError> {
        let wrong = |found: usize, expected: usize| InterpretError::Layout {
            id: part.id.clone(),
            found,
            expected,
        };
        for vector in [&part.all]
            .into_iter()
            .chain(part.plus.iter().map(|(_, values)| values))
            .chain(part.gradients.iter().map(|group| &group.values))
        {
            if vector.len() != self.layout.length() {
                return Err(wrong(vector.len(), self.layout.length()));
            }
        }
        if self.experts.is_some() {
            let sets = part.shares.iter().filter(|shares| shares.len() == self.layout.experts()).count();
            if sets != part.plus.len() + 1 {
                return Err(wrong(sets * self.layout.experts(), (part.plus.len() + 1) * self.layout.experts()));
            }
        }
        self.instances += 1;
        self.tokens += part.tokens;
        for unit in self.layout.units() {
            let tokens = unit.expert.map_or(1.0, |expert| f64::from(part.shares[0][expert])) * part.tokens as f64;
            let sums = self.minus[unit.range.clone()].iter_mut().zip(&mut self.total[unit.range.clone()]);
            for ((minus, total), value) in sums.zip(&part.all[unit.range.clone()]) {
                *minus += f64::from(*value);
                *total += f64::from(*value) * tokens;
            }
        }
        for (behaviour, values) in &part.plus {
            self.holders[behaviour.index()] += 1;
            for (sum, value) in self.plus[behaviour.index()].iter_mut().zip(values) {
                *sum += f64::from(*value);
            }
        }
        if let Some(experts) = &mut self.experts {
            for (expert, share) in part.shares[0].iter().enumerate() {
                experts.instances[expert] += usize::from(*share > 0.0);
                experts.tokens[expert] += f64::from(*share) * part.tokens as f64;
            }
            for ((behaviour, _), shares) in part.plus.iter().zip(&part.shares[1..]) {
                for (holders, share) in experts.holders[behaviour.index()].iter_mut().zip(shares) {
                    *holders += usize::from(*share > 0.0);
                }
            }
        }
        Ok(())
    }

    /// The vectors: u = mean over D+ minus mean over D-, scaled module by module to the norm of the mean activation,
    /// u~ = u * norm(mean) / norm(u).
    ///
    /// Under `released` the sum over all four behaviours stands in the place of each behaviour's own, as the published code's
    /// `[tensor] * 4` makes it (METHOD: "Two definitions, one switch"). Where no token of a behaviour reached an expert there is no
    /// mean of it, and its vector is zero.
    pub fn finish(self) -> SteeringVectors {
        let Self {
            layout,
            summing,
            instances,
            tokens,
            mut minus,
            mut total,
            plus,
            holders,
            experts,
        } = self;
        for unit in layout.units() {
            let (instances, tokens) = match (&experts, unit.expert) {
                (Some(experts), Some(expert)) => (experts.instances[expert].max(1) as f64, experts.tokens[expert]),
                _ => (instances.max(1) as f64, tokens.max(1) as f64),
            };
            minus[unit.range.clone()].iter_mut().for_each(|value| *value /= instances);
            let total = &mut total[unit.range.clone()];
            total.iter_mut().for_each(|value| *value = if tokens > 0.0 { *value / tokens } else { 0.0 });
        }
        let everything: Vec<f64> = (0..layout.length()).map(|channel| plus.iter().map(|sums| sums[channel]).sum()).collect();
        let scaled = std::array::from_fn(|behaviour| {
            let sums = if summing.aliased { &everything } else { &plus[behaviour] };
            (holders[behaviour] > 0).then(|| {
                let mut vector = vec![0.0; layout.length()];
                for unit in layout.units() {
                    let range = unit.range.clone();
                    let holders = match (&experts, unit.expert) {
                        (Some(experts), Some(expert)) => experts.holders[behaviour][expert],
                        _ => holders[behaviour],
                    };
                    if holders == 0 {
                        continue;
                    }
                    let vector = &mut vector[range.clone()];
                    for ((value, sum), minus) in vector.iter_mut().zip(&sums[range.clone()]).zip(&minus[range.clone()]) {
                        *value = sum / holders as f64 - minus;
                    }
                    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
                    let (own, wanted) = (norm(vector), norm(&total[range]));
                    let scale = if own > 0.0 { wanted / own } else { 0.0 };
                    vector.iter_mut().for_each(|value| *value *= scale);
                }
                vector
            })
        });
        SteeringVectors { scaled, minus, mean: total }
    }
}

/// What one instance adds to the importance of every unit: sums of u~ . g, signed under `paper`, taken without sign for
/// every segment under `released` ([`Summing`]). In the order of [`Layout::units`], which of a plain model is that of its components.
pub fn contribution(part: &InstancePart, steering: &SteeringVectors, layout: &Layout, summing: impl Into<Summing>) -> InstanceContribution {
    let summing = summing.into();
    let units = layout.units().len();
    let mut values = vec![0.0; Behaviour::ALL.len() * units];
    let mut weights = [0.0; 4];
    for group in &part.gradients {
        let Some(vector) = &steering.scaled[group.behaviour.index()] else { continue };
        weights[group.behaviour.index()] += 1.0;
        for (index, unit) in layout.units().iter().enumerate() {
            let range = unit.range.clone();
            let dot: f64 = vector[range.clone()].iter().zip(&group.values[range]).map(|(u, g)| u * f64::from(*g)).sum();
            let place = &mut values[group.behaviour.index() * units + index];
            *place += if summing.absolute { dot.abs() } else { dot };
        }
    }
    InstanceContribution { values, weights }
}

/// Contributions of units as those of components, with those of the parts that components are made of where there are such.
///
/// The importance of a component of several parts is the sum of its parts', I = sum over p of |sum over i of c_ip| / n. What an
/// instance adds to it is its parts' contributions, each by the sign that its sum over all instances has: so contributions still add up
/// to the importance.
pub fn components(units: Vec<InstanceContribution>, layout: &Layout) -> (Contributions, Option<Vec<Vec<f64>>>) {
    if layout.is_plain() {
        return (Contributions { instances: units }, None);
    }
    let (count, components) = (layout.units().len(), layout.layers() * Module::ALL.len());
    let mut sums = vec![0.0; Behaviour::ALL.len() * count];
    for unit in &units {
        sums.iter_mut().zip(&unit.values).for_each(|(sum, value)| *sum += value);
    }
    let parts: Vec<usize> = (0..count).filter(|index| layout.units()[*index].part.is_some()).collect();
    let (mut instances, mut of_parts) = (Vec::new(), Vec::new());
    for InstanceContribution { values, weights } in units {
        let mut whole = vec![0.0; Behaviour::ALL.len() * components];
        let mut own = Vec::with_capacity(Behaviour::ALL.len() * parts.len());
        for behaviour in 0..Behaviour::ALL.len() {
            let of_behaviour = behaviour * count..(behaviour + 1) * count;
            for ((unit, value), sum) in layout.units().iter().zip(&values[of_behaviour.clone()]).zip(&sums[of_behaviour.clone()]) {
                let sign = if unit.part.is_some() && *sum < 0.0 { -1.0 } else { 1.0 };
                whole[behaviour * components + unit.component.index()] += sign * value;
            }
            own.extend(parts.iter().map(|index| values[behaviour * count + index]));
        }
        instances.push(InstanceContribution { values: whole, weights });
        of_parts.push(own);
    }
    (Contributions { instances }, Some(of_parts))
}

/// Gathers what share of the tokens was routed to each part: over all tokens of all instances, and for each behaviour the mean over
/// the instances that hold it.
pub struct RoutedShares {
    tokens: f64,
    holders: [usize; 4],
    /// `[1 + behaviour][expert]`.
    sums: Vec<Vec<f64>>,
}

impl RoutedShares {
    /// No instance yet.
    pub fn new(layout: &Layout) -> Self {
        Self {
            tokens: 0.0,
            holders: [0; 4],
            sums: vec![vec![0.0; layout.experts()]; 1 + Behaviour::ALL.len()],
        }
    }

    /// Adds an instance.
    pub fn add(&mut self, part: &InstancePart) {
        self.tokens += part.tokens as f64;
        let Some((all, of_behaviours)) = part.shares.split_first() else { return };
        for (sum, share) in self.sums[0].iter_mut().zip(all) {
            *sum += f64::from(*share) * part.tokens as f64;
        }
        for ((behaviour, _), shares) in part.plus.iter().zip(of_behaviours) {
            self.holders[behaviour.index()] += 1;
            for (sum, share) in self.sums[1 + behaviour.index()].iter_mut().zip(shares) {
                *sum += f64::from(*share);
            }
        }
    }

    /// The shares of parts, `[1 + behaviour][part]`; 1 of parts that no router chooses.
    pub fn finish(self, layout: &Layout) -> Vec<Vec<f64>> {
        let divisors = std::iter::once(self.tokens).chain(self.holders.map(|holders| holders as f64));
        let parts = || layout.units().iter().filter(|unit| unit.part.is_some());
        (self.sums.iter().zip(divisors))
            .map(|(sums, divisor)| parts().map(|unit| unit.expert.map_or(1.0, |expert| sums[expert] / divisor.max(1.0))).collect())
            .collect()
    }
}

/// Gathers the per-channel terms u~_j * (sum of g_j) / divisor, for drilling down into a component.
pub struct Channels {
    layout: Layout,
    sums: [Vec<f64>; 4],
}

impl Channels {
    /// No instance yet.
    pub fn new(layout: Layout) -> Self {
        let sums = std::array::from_fn(|_| vec![0.0; layout.length()]);
        Self { layout, sums }
    }

    /// Adds an instance's gradients.
    pub fn add(&mut self, part: &InstancePart) {
        for group in &part.gradients {
            for (sum, value) in self.sums[group.behaviour.index()].iter_mut().zip(&group.values) {
                *sum += f64::from(*value);
            }
        }
    }

    /// The maps, with the divisors that the contributions carry; `channels` says how many each module has.
    pub fn finish(self, steering: &SteeringVectors, contributions: &Contributions, channels: [usize; 7]) -> ChannelMaps {
        let (mut values, mut parts) = (Vec::new(), Vec::new());
        for behaviour in Behaviour::ALL {
            let divisor: f64 = contributions.instances.iter().map(|instance| instance.weights[behaviour.index()]).sum();
            let of_channel = |channel: usize| {
                let u = steering.scaled[behaviour.index()].as_ref().map_or(0.0, |vector| vector[channel]);
                if divisor > 0.0 {
                    (u * self.sums[behaviour.index()][channel] / divisor) as f32
                } else {
                    0.0
                }
            };
            let of_module = |module: Module| {
                let mut map = Vec::new();
                for layer in 0..self.layout.layers() {
                    let width = channels[module.index()];
                    let single = |unit: &&Unit| unit.component.module == module && unit.part.is_none() && unit.range.len() == width;
                    match self.layout.of_layer(layer).iter().find(single) {
                        Some(unit) => map.extend(unit.range.clone().map(of_channel)),
                        None => map.extend(std::iter::repeat_n(0.0, width)),
                    }
                }
                map
            };
            values.push(Module::ALL.into_iter().map(of_module).collect());
            if !self.layout.is_plain() {
                let of_parts = self.layout.units().iter().filter(|unit| unit.part.is_some());
                parts.push(of_parts.flat_map(|unit| unit.range.clone()).map(of_channel).collect());
            }
        }
        ChannelMaps { channels, values, parts }
    }
}

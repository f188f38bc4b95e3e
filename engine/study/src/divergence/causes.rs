//! Which components of B's change cause the divergence at some positions.
//!
//! With W_A and W_B the weights, D_c what B changes in component c, and K the sum of the divergence at the positions,
//! `share_c = <dK/dW_c at B, D_c> / 2`. K and its gradient vanish at A, so that this is the trapezoid rule for the integral of the
//! gradient along the way from A to B: the shares add up to K to second order, and to what the sketch of [`crate::Sensitivity`]
//! estimates by drawn labels. What they miss is what B changes in embeddings, norms and head, and higher orders; it is told beside.

use super::{Divergence, Positions};
use crate::{Bootstrap, Component, Measured};

/// What one component adds to the mean divergence at some positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cause {
    /// The component.
    pub component: Component,
    /// What it adds, in nats; negative where it makes up for what others change.
    pub adds: Measured,
}

impl Divergence {
    /// The causes at some positions, the largest first; none where they were not computed, or there is no such position.
    pub fn causes(&self, positions: Positions) -> Option<Vec<Cause>> {
        let place = self.facts.caused.iter().position(|known| *known == positions)?;
        let (shares, components) = (self.shares.get(place)?, self.facts.layers * 7);
        let mut counts = vec![0.0; self.facts.texts.len()];
        self.predictions(positions).for_each(|(text, ..)| counts[text] += 1.0);
        if counts.iter().sum::<f64>() == 0.0 {
            return None;
        }
        let multiplicities: Vec<Vec<f64>> = Bootstrap::default().multiplicities(counts.len()).collect();
        let mean = |component: usize, times: Option<&Vec<f64>>| {
            let (mut sum, mut count) = (0.0, 0.0);
            for (text, own) in counts.iter().enumerate() {
                let times = times.map_or(1.0, |times| times[text]);
                sum += times * shares[text * components + component];
                count += times * own;
            }
            (count > 0.0).then_some(sum / count)
        };
        let mut causes: Vec<Cause> = Component::all(self.facts.layers)
            .filter_map(|component| {
                let drawn = || multiplicities.iter().filter_map(|times| mean(component.index(), Some(times))).collect();
                Some(Cause {
                    component,
                    adds: Measured {
                        value: mean(component.index(), None)?,
                        interval: if counts.len() > 1 { Bootstrap::default().percentiles(drawn()) } else { None },
                    },
                })
            })
            .collect();
        causes.sort_by(|a, b| b.adds.value.total_cmp(&a.adds.value));
        Some(causes)
    }
}

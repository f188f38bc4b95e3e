//! How a router's outputs become experts and weights, for one token, in float64; and the gradient of the weights.
//!
//! Which experts are chosen is held constant by the gradient: almost everywhere it does not change.

use cruxscope_checkpoint::{GroupScore, Router, RouterScores};

/// Added to a sum of sigmoids before weights are divided by it, as DeepSeek's code does; it changes no sum that is not zero.
const FLOOR: f64 = 1e-20;

fn softmax(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = values.iter().map(|value| (value - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / total).collect()
}

fn scores(router: &Router, outputs: &[f64]) -> Vec<f64> {
    match router.scores {
        RouterScores::Softmax => softmax(outputs),
        RouterScores::ChosenSoftmax => outputs.to_vec(),
        RouterScores::Sigmoid => outputs.iter().map(|value| 1.0 / (1.0 + (-value).exp())).collect(),
    }
}

/// Places of the largest values, the largest first; of equals the one that comes first.
fn largest(values: &[f64], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    places.truncate(count);
    places
}

/// The experts chosen for a token by the router's outputs, the best first.
pub fn choose(router: &Router, outputs: &[f64], bias: Option<&[f32]>) -> Vec<usize> {
    // Scores grow with outputs, so that without more these say who is best, also where scores are too close to one to be told apart.
    if bias.is_none() && router.chosen_groups == router.groups {
        return largest(outputs, router.chosen);
    }
    let mut scores = scores(router, outputs);
    if let Some(bias) = bias {
        scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += f64::from(*bias));
    }
    if router.chosen_groups < router.groups {
        let members = router.experts / router.groups;
        let of_groups: Vec<f64> = (scores.chunks(members))
            .map(|group| {
                let best = largest(group, 2);
                let of = |place: usize| best.get(place).map_or(0.0, |member| group[*member]);
                match router.group_score {
                    GroupScore::Best => of(0),
                    GroupScore::BestTwo => of(0) + of(1),
                }
            })
            .collect();
        let kept = largest(&of_groups, router.chosen_groups);
        for (group, scores) in scores.chunks_mut(members).enumerate() {
            if !kept.contains(&group) {
                scores.fill(f64::NEG_INFINITY);
            }
        }
    }
    largest(&scores, router.chosen)
}

/// The weights of the chosen experts.
pub fn weights(router: &Router, outputs: &[f64], chosen: &[usize]) -> Vec<f64> {
    let (of_chosen, sum) = shares(router, outputs, chosen);
    of_chosen.into_iter().map(|share| router.factor * share / sum).collect()
}

/// The scores of the chosen, and what they are divided by.
fn shares(router: &Router, outputs: &[f64], chosen: &[usize]) -> (Vec<f64>, f64) {
    if router.scores == RouterScores::ChosenSoftmax {
        return (softmax(&chosen.iter().map(|expert| outputs[*expert]).collect::<Vec<_>>()), 1.0);
    }
    let scores = scores(router, outputs);
    let of_chosen: Vec<f64> = chosen.iter().map(|expert| scores[*expert]).collect();
    let sum = if router.renormalised { of_chosen.iter().sum::<f64>() + FLOOR } else { 1.0 };
    (of_chosen, sum)
}

/// Gradient at the router's outputs, given that at the weights of the chosen.
pub fn weights_backward(router: &Router, outputs: &[f64], chosen: &[usize], gradient: &[f64]) -> Vec<f64> {
    let mut back = vec![0.0; outputs.len()];
    let (of_chosen, sum) = shares(router, outputs, chosen);
    if router.scores == RouterScores::ChosenSoftmax {
        let along: f64 = of_chosen.iter().zip(gradient).map(|(share, g)| share * g).sum();
        for ((expert, share), g) in chosen.iter().zip(&of_chosen).zip(gradient) {
            back[*expert] = router.factor * share * (g - along);
        }
        return back;
    }
    // w = factor s / S with S the sum of the chosen s, or 1.
    let along: f64 = if router.renormalised {
        of_chosen.iter().zip(gradient).map(|(share, g)| share / sum * g).sum()
    } else {
        0.0
    };
    let at_scores: Vec<f64> = gradient.iter().map(|g| router.factor * (g - along) / sum).collect();
    match router.scores {
        RouterScores::Sigmoid => {
            for ((expert, share), g) in chosen.iter().zip(&of_chosen).zip(at_scores) {
                back[*expert] = g * share * (1.0 - share);
            }
        }
        RouterScores::Softmax | RouterScores::ChosenSoftmax => {
            let all = scores(router, outputs);
            let through: f64 = of_chosen.iter().zip(&at_scores).map(|(share, g)| share * g).sum();
            back.iter_mut().zip(&all).for_each(|(back, share)| *back = -share * through);
            for ((expert, share), g) in chosen.iter().zip(&of_chosen).zip(at_scores) {
                back[*expert] += share * g;
            }
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routers() -> Vec<Router> {
        let plain = Router {
            experts: 8,
            chosen: 3,
            scores: RouterScores::Softmax,
            groups: 1,
            chosen_groups: 1,
            group_score: GroupScore::BestTwo,
            renormalised: false,
            factor: 1.0,
            onto_inputs: false,
        };
        let mut all = Vec::new();
        for scores in [RouterScores::Softmax, RouterScores::ChosenSoftmax, RouterScores::Sigmoid] {
            for renormalised in [false, true] {
                all.push(Router {
                    scores,
                    renormalised,
                    factor: 2.5,
                    ..plain
                });
            }
        }
        all
    }

    #[test]
    fn gradients_are_slopes_of_the_weights() {
        let outputs = [0.3, -1.2, 0.8, 2.0, -0.1, 0.4, -0.7, 1.1];
        let gradient = [0.7, -0.4, 1.3];
        for router in routers() {
            let chosen = choose(&router, &outputs, None);
            assert_eq!(chosen, [3, 7, 2]);
            let loss = |outputs: &[f64]| -> f64 { weights(&router, outputs, &chosen).iter().zip(gradient).map(|(w, g)| w * g).sum() };
            let back = weights_backward(&router, &outputs, &chosen, &gradient);
            for place in 0..outputs.len() {
                let step = 1e-5;
                let moved = |by: f64| {
                    let mut outputs = outputs;
                    outputs[place] += by;
                    loss(&outputs)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((slope - back[place]).abs() < 1e-9, "{router:?} {place}: {slope} {}", back[place]);
            }
            let sum: f64 = weights(&router, &outputs, &chosen).iter().sum();
            if router.renormalised || router.scores == RouterScores::ChosenSoftmax {
                assert!((sum - router.factor).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn groups_and_biases_decide_who_is_chosen_and_not_their_weights() {
        let outputs = [2.0, -9.0, 1.0, 0.9, 0.8, 0.7, -1.0, -1.1];
        let mut router = Router {
            groups: 4,
            chosen_groups: 1,
            chosen: 2,
            ..routers()[4]
        };
        assert_eq!(choose(&router, &outputs, None), [2, 3], "the best two of a group count");
        router.group_score = GroupScore::Best;
        assert_eq!(choose(&router, &outputs, None), [0, 1]);
        let mut bias = [0f32; 8];
        bias[6] = 5.0;
        let chosen = choose(&router, &outputs, Some(&bias));
        assert_eq!(chosen, [6, 7]);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!((weights(&router, &outputs, &chosen)[0] - 2.5 * sigmoid(-1.0)).abs() < 1e-12);
    }
}

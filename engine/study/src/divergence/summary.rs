//! Means over positions with their intervals, the parts that add up to the whole, the curve along the thought, and where choices part.
//!
//! Intervals are by a bootstrap over texts, since positions of one text depend on each other.

use super::positions::share_of_thought;
use super::{ComparedText, Divergence, Positions};
use crate::{Behaviour, Bootstrap, Measured};

/// What was found at some positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionsSummary {
    /// Which positions.
    pub positions: Positions,
    /// How many there are.
    pub count: usize,
    /// Texts that hold any.
    pub texts: usize,
    /// Mean divergence, in nats.
    pub kl: Measured,
    /// Share of the positions at which both models choose the same token, 0 to 1.
    pub agreement: Measured,
    /// How much more B loses on the text's next token than A, in nats.
    pub excess_loss: Measured,
}

/// A part of the whole divergence: a behaviour, or what belongs to none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Partition {
    /// Which positions.
    pub positions: Positions,
    /// How many there are; one that k behaviours claim counts 1 / k for each.
    pub count: f64,
    /// What they add to the mean divergence over all positions, in nats; the parts add up to it.
    pub adds: Measured,
    /// The same as a share of the whole, 0 to 1.
    pub share: Measured,
}

/// A piece of the curve along the thought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Where it begins, as a share of the thought.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Positions.
    pub count: usize,
    /// Mean divergence, in nats.
    pub kl: Measured,
    /// Share of the positions at which both models choose the same token.
    pub agreement: Measured,
}

/// Where the greedy choices of a text first part, of what the model wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The text, by its place.
    pub text: usize,
    /// The first token that differs, by its place in the text; none where choices never part.
    pub token: Option<usize>,
}

impl Parting {
    /// How many tokens of its own the model had written before; all of them where choices never part.
    pub fn written_before(&self, text: &ComparedText) -> usize {
        self.token.unwrap_or(text.tokens).saturating_sub(text.thought)
    }
}

/// Sums over the positions of each text.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    kl: f64,
    agreed: f64,
    excess: f64,
}

/// A ratio of two sums over texts, with its interval.
fn ratio(texts: &[Sums], of: impl Fn(&Sums) -> f64, over: impl Fn(&Sums) -> f64) -> Option<Measured> {
    let statistic = |times: &dyn Fn(usize) -> f64| {
        let (mut above, mut below) = (0.0, 0.0);
        for (place, sums) in texts.iter().enumerate() {
            above += times(place) * of(sums);
            below += times(place) * over(sums);
        }
        (below > 0.0).then_some(above / below)
    };
    Some(Measured {
        value: statistic(&|_| 1.0)?,
        interval: Bootstrap::default().interval(texts.len(), |times| statistic(&|place| times[place])),
    })
}

impl Divergence {
    fn sums(&self, positions: Positions) -> Vec<Sums> {
        let mut sums = vec![Sums::default(); self.facts.texts.len()];
        for (text, _, at) in self.predictions(positions) {
            self.add(&mut sums[text], at, 1.0);
        }
        sums
    }

    fn add(&self, sums: &mut Sums, at: usize, weight: f64) {
        sums.count += weight;
        sums.kl += weight * f64::from(self.kl[at]);
        sums.agreed += weight * f64::from(u8::from(self.rank[at] == 1));
        sums.excess += weight * (f64::from(self.losses[1][at]) - f64::from(self.losses[0][at]));
    }

    /// The mean divergence over some positions with its interval; none where there is no such position.
    pub fn mean_kl(&self, positions: Positions) -> Option<Measured> {
        ratio(&self.held(positions), |sums| sums.kl, |sums| sums.count)
    }

    /// Sums of the texts that hold any of the positions.
    fn held(&self, positions: Positions) -> Vec<Sums> {
        self.sums(positions).into_iter().filter(|sums| sums.count > 0.0).collect()
    }

    /// What was found at some positions; none where there is no such position.
    pub fn summary(&self, positions: Positions) -> Option<PositionsSummary> {
        let held = self.held(positions);
        Some(PositionsSummary {
            positions,
            count: held.iter().map(|sums| sums.count as usize).sum(),
            texts: held.len(),
            kl: ratio(&held, |sums| sums.kl, |sums| sums.count)?,
            agreement: ratio(&held, |sums| sums.agreed, |sums| sums.count)?,
            excess_loss: ratio(&held, |sums| sums.excess, |sums| sums.count)?,
        })
    }

    /// The behaviours that any text holds, and what belongs to none: together the whole.
    pub fn partition(&self) -> Vec<Partition> {
        let texts = self.facts.texts.len();
        let whole = self.sums(Positions::All);
        let mut parts = vec![vec![Sums::default(); texts]; Behaviour::ALL.len() + 1];
        for (text, _, at) in self.predictions(Positions::All) {
            let claims = self.behaviours[at];
            match claims.count_ones() {
                0 => self.add(&mut parts[Behaviour::ALL.len()][text], at, 1.0),
                count => {
                    let claimed = Behaviour::ALL.into_iter().filter(|behaviour| claims & (1 << behaviour.index()) != 0);
                    claimed.for_each(|behaviour| self.add(&mut parts[behaviour.index()][text], at, 1.0 / f64::from(count)));
                }
            }
        }
        let named = Behaviour::ALL.into_iter().map(Positions::Behaviour).chain([Positions::Rest]);
        named
            .zip(parts)
            .filter_map(|(positions, part)| {
                let count: f64 = part.iter().map(|sums| sums.count).sum();
                // Both sums of a text are drawn together: the part above, the whole below.
                let pairs: Vec<Sums> = part.iter().zip(&whole).map(|(part, whole)| Sums { kl: part.kl, ..*whole }).collect();
                let shares: Vec<Sums> = part.iter().zip(&whole).map(|(part, whole)| Sums { excess: whole.kl, ..*part }).collect();
                (count > 0.0).then_some(Partition {
                    positions,
                    count,
                    adds: ratio(&pairs, |sums| sums.kl, |sums| sums.count)?,
                    share: ratio(&shares, |sums| sums.kl, |sums| sums.excess).unwrap_or(Measured { value: 0.0, interval: None }),
                })
            })
            .collect()
    }

    /// The curve along the thought, in `pieces` of the same share; pieces without a position are left out.
    pub fn curve(&self, pieces: usize) -> Vec<CurvePoint> {
        let texts = self.facts.texts.len();
        let mut sums = vec![vec![Sums::default(); texts]; pieces];
        for (text, row, at) in self.predictions(Positions::All) {
            if let Some(share) = share_of_thought(&self.facts.texts[text], row + 1) {
                self.add(&mut sums[((share * pieces as f64) as usize).min(pieces - 1)][text], at, 1.0);
            }
        }
        let point = |(piece, sums): (usize, Vec<Sums>)| {
            let held: Vec<Sums> = sums.into_iter().filter(|sums| sums.count > 0.0).collect();
            Some(CurvePoint {
                from: piece as f64 / pieces as f64,
                to: (piece + 1) as f64 / pieces as f64,
                count: held.iter().map(|sums| sums.count as usize).sum(),
                kl: ratio(&held, |sums| sums.kl, |sums| sums.count)?,
                agreement: ratio(&held, |sums| sums.agreed, |sums| sums.count)?,
            })
        };
        sums.into_iter().enumerate().filter_map(point).collect()
    }

    /// Where the greedy choices of every text first part, of what the model wrote.
    pub fn partings(&self) -> Vec<Parting> {
        let ranges = self.ranges();
        let parting = |(text, range): (usize, std::ops::Range<usize>)| {
            let first = range.start;
            let written = self.facts.texts[text].thought;
            let token = range
                .map(|at| (at, at - first + 1))
                .find(|(at, token)| *token >= written && self.rank[*at] != 1);
            Parting {
                text,
                token: token.map(|(_, token)| token),
            }
        };
        ranges.into_iter().enumerate().map(parting).collect()
    }

    /// The median over texts of how many tokens of its own the model had written before choices part, and its interval. Where more than
    /// half of the texts never part it is none.
    pub fn median_parting(&self) -> Option<Measured> {
        let partings = self.partings();
        // A text whose choices never part goes on at least as long as it is.
        let lengths: Vec<f64> = partings
            .iter()
            .map(|parting| match parting.token {
                Some(_) => parting.written_before(&self.facts.texts[parting.text]) as f64,
                None => f64::INFINITY,
            })
            .collect();
        let median = |times: &dyn Fn(usize) -> f64| {
            let mut drawn: Vec<f64> = Vec::new();
            for (place, length) in lengths.iter().enumerate() {
                drawn.extend(std::iter::repeat_n(*length, times(place) as usize));
            }
            drawn.sort_by(f64::total_cmp);
            drawn.get(drawn.len().saturating_sub(1) / 2).copied()
        };
        let value = median(&|_| 1.0).filter(|value| value.is_finite())?;
        let interval = Bootstrap::default().interval(lengths.len(), |times| median(&|place| times[place]));
        Some(Measured {
            value,
            interval: interval.filter(|(_, high)| high.is_finite()),
        })
    }
}

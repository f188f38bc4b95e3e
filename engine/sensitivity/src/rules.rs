//! Rules that choose a recipe of a given size: this program's own, and those that others go by, so that they can be measured beside it.
//!
//! Rules of two kinds: a number for every matrix and format that is to add up to least ([`Rule::Estimate`] to
//! [`Rule::GradientRatio`]), and an order in which matrices are protected, the first ones getting the largest format and the rest
//! the smallest ([`Rule::FinalMlp`], [`Rule::Importance`]).

use std::fmt;
use std::str::FromStr;

use cruxscope_study::{Component, Module, Scope, Sensitivity};

use crate::SensitivityError;
pub use crate::allocate::permuted;
use crate::allocate::{Allocator, Choice, Constraints};
use crate::ratio::{estimates, pooled, pooled_score};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Scores of low variance, their pooled ratio and the draws together ([`crate::ratio::estimates`]), as `cruxscope allocate` chooses.
    Estimate,
    /// The score of single positions times the pooled ratio alone.
    Score,
    /// The predicted divergence of each matrix alone, by draws: noisier, without a model of ratios.
    Predicted,
    /// sum of D_ij^2.
    WeightError,
    /// sum of D_ij^2 x_j^2: the error weighted by an importance matrix.
    InputError,
    /// sum of (g_to (D x_t)_o)^2 over the text's own next tokens, as ModelOpt's AutoQuantize takes it.
    GradientScore,
    /// The same times the ratio pooled from draws.
    GradientRatio,
    /// |sum of g_t . D x_t| over the text's own next tokens: the first order of the loss.
    FirstOrder,
    /// gate, up and down of the last layers, the last first (the paper, Table 4).
    FinalMlp,
    /// The matrices of the largest relative importance (the paper).
    Importance,
}

impl Rule {
    /// All of them, this program's own first.
    pub const ALL: [Self; 10] = [
        Self::Estimate,
        Self::Score,
        Self::Predicted,
        Self::WeightError,
        Self::InputError,
        Self::GradientScore,
        Self::GradientRatio,
        Self::FirstOrder,
        Self::FinalMlp,
        Self::Importance,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Estimate => "allocate's estimate",
            Self::Score => "score x ratio",
            Self::Predicted => "predicted KL",
            Self::WeightError => "weight error",
            Self::InputError => "imatrix-weighted error",
            Self::GradientScore => "gradient score",
            Self::GradientRatio => "gradient score x ratio",
            Self::FirstOrder => "first order of the loss",
            Self::FinalMlp => "last MLPs",
            Self::Importance => "most important",
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // On a command line as one word: "score x ratio" is score-x-ratio.
        let word = |name: &str| name.to_lowercase().replace('\'', "").replace(|sign: char| !sign.is_alphanumeric(), "-");
        let known = || Self::ALL.map(|rule| word(rule.name())).join(", ");
        (Self::ALL.into_iter().find(|rule| word(rule.name()) == word(text))).ok_or_else(|| format!("\"{text}\" is no rule; known are {}", known()))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The numbers that a rule adds up, `[components, formats]`; nothing for a rule that protects in an order, and where the sketch does not
/// hold what the rule needs.
///
/// # Errors
/// When the sketch does not hold the scope.
pub fn numbers(sensitivity: &Sensitivity, scope: Scope, rule: Rule) -> Result<Option<Vec<f64>>, SensitivityError> {
    let windows: Vec<usize> = (0..sensitivity.facts.windows.len()).collect();
    let errors = &sensitivity.errors;
    let asked = |values: &[f64]| (!values.is_empty()).then(|| values.to_vec());
    let gradient = asked(&errors.gradient);
    Ok(match rule {
        Rule::Estimate => Some(estimates(sensitivity, scope, &windows)?),
        Rule::Score => Some(pooled_score(sensitivity, scope, &windows)?),
        Rule::Predicted => predicted(sensitivity, scope),
        Rule::WeightError => Some(errors.weight.clone()),
        Rule::InputError => Some(errors.input.clone()),
        Rule::GradientScore => gradient,
        Rule::GradientRatio => match gradient {
            Some(gradient) => Some(pooled(sensitivity, scope, &windows, &gradient)?),
            None => None,
        },
        Rule::FirstOrder => asked(&errors.first_order),
        Rule::FinalMlp | Rule::Importance => None,
    })
}

fn predicted(sensitivity: &Sensitivity, scope: Scope) -> Option<Vec<f64>> {
    let formats = sensitivity.facts.formats.len();
    let alone = (0..formats).map(|format| sensitivity.alone(scope, format)).collect::<Option<Vec<_>>>()?;
    let cells = (0..sensitivity.facts.components()).flat_map(|component| alone.iter().map(move |of_format| of_format[component]));
    Some(cells.collect())
}

/// The recipe that a rule chooses within `bits`; nothing where the rule lacks what it needs, or even the smallest recipe takes more.
/// `importance` is a number for each component.
///
/// # Errors
/// When the sketch does not hold the scope.
pub fn choose(sensitivity: &Sensitivity, scope: Scope, rule: Rule, importance: Option<&[f64]>, bits: f64) -> Result<Option<Choice>, SensitivityError> {
    if let Some(numbers) = numbers(sensitivity, scope, rule)? {
        return Ok(Allocator::new(sensitivity, &numbers, Constraints::default())?.within(bits));
    }
    let components: Vec<Component> = Component::all(sensitivity.facts.layers).collect();
    let order: Option<Vec<usize>> = match rule {
        Rule::FinalMlp => {
            let mlp = components
                .iter()
                .rev()
                .filter(|component| matches!(component.module, Module::Gate | Module::Up | Module::Down));
            Some(mlp.map(|component| component.index()).collect())
        }
        Rule::Importance => importance.filter(|importance| importance.len() == components.len()).map(|importance| {
            let mut order: Vec<usize> = (0..components.len()).collect();
            order.sort_by(|a, b| importance[*b].total_cmp(&importance[*a]));
            order
        }),
        _ => None,
    };
    Ok(order.and_then(|order| protected(sensitivity, &order, bits)))
}

/// The largest format for components in an order, as far as `bits` last, and the smallest for the rest.
fn protected(sensitivity: &Sensitivity, order: &[usize], bits: f64) -> Option<Choice> {
    let size = |format: usize| sensitivity.size(&vec![Some(format); sensitivity.facts.components()]).map(|(bits, _)| bits);
    let formats = 0..sensitivity.facts.formats.len();
    let sizes = formats.map(size).collect::<Option<Vec<f64>>>()?;
    let by_size = |a: &usize, b: &usize| sizes[*a].total_cmp(&sizes[*b]);
    let smallest = (0..sizes.len()).min_by(by_size)?;
    let largest = (0..sizes.len()).max_by(by_size)?;
    let mut left = bits * (1.0 + 1e-12) - sizes[smallest];
    if left < 0.0 {
        return None;
    }
    let mut choice = vec![Some(smallest); sensitivity.facts.components()];
    for component in order {
        let of = |format: usize| sensitivity.bits[component * sizes.len() + format];
        let more = of(largest) - of(smallest);
        if more <= left {
            left -= more;
            choice[*component] = Some(largest);
        }
    }
    Some(choice)
}

#[cfg(test)]
pub(crate) mod tests {
    use cruxscope_statistics::SplitMix;
    use cruxscope_study::{Errors, ModuleDimensions, ScopeSketch, SensitivityFacts, SketchedFormat};

    use super::*;

    /// Three layers with matrices of two sizes, formats of 3, 4 and 8 bits.
    pub fn sketch(gradient: bool) -> Sensitivity {
        let mut random = SplitMix::new(7);
        let (layers, bits) = (3, [3.0, 4.0, 8.0]);
        let components = layers * 7;
        let modules: Vec<ModuleDimensions> = (0..7)
            .map(|module| ModuleDimensions {
                outputs: if module < 4 { 8 } else { 16 },
                inputs: 8,
            })
            .collect();
        let weights = |component: usize| if component % 7 < 4 { 64.0 } else { 128.0 };
        let cells = components * bits.len();
        let mut numbers = |count: usize| (0..count).map(|_| random.share() as f32).collect::<Vec<f32>>();
        let falling = |component: usize, format: usize| (1.0 + component as f64) / f64::from(1u32 << (2 * format));
        let table: Vec<f64> = (0..cells).map(|cell| falling(cell / 3, cell % 3)).collect();
        Sensitivity {
            facts: SensitivityFacts {
                schema: cruxscope_study::SENSITIVITY_SCHEMA,
                program: "cruxscope".into(),
                model: "m".into(),
                model_files: vec![],
                layers,
                modules,
                weights: vec![],
                data: vec![],
                windows: vec!["a".into(), "b".into()],
                draws: 2,
                seed: 0,
                scopes: vec![Scope::All],
                formats: bits
                    .iter()
                    .map(|bits| SketchedFormat {
                        name: format!("rtn-{bits}"),
                        treatment: None,
                        candidate: None,
                        measured: vec![],
                    })
                    .collect(),
                devices: vec![],
                settings: Default::default(),
            },
            scopes: vec![ScopeSketch {
                sketch: numbers(4 * cells),
                score: numbers(2 * cells),
                outputs: numbers(2 * cells),
                positions: vec![10, 10],
            }],
            bits: (0..cells).map(|cell| weights(cell / 3) * bits[cell % 3]).collect(),
            errors: Errors {
                weight: table.clone(),
                input: table.clone(),
                gradient: if gradient { table.clone() } else { Vec::new() },
                first_order: if gradient { table } else { Vec::new() },
            },
        }
    }

    #[test]
    fn every_rule_keeps_to_the_size_and_says_what_it_lacks() {
        let sketch = sketch(true);
        sketch.check().unwrap();
        let weights = sketch.size(&[Some(0); 21]).unwrap().1;
        let importance: Vec<f64> = (0..21).map(f64::from).collect();
        for rule in Rule::ALL {
            for bits in [3.0, 4.0, 4.7, 8.0] {
                let choice = choose(&sketch, Scope::All, rule, Some(&importance), bits * weights).unwrap().unwrap();
                assert!(sketch.size(&choice).unwrap().0 <= bits * weights * (1.0 + 1e-9), "{rule} {bits}");
            }
            assert_eq!(choose(&sketch, Scope::All, rule, Some(&importance), 2.9 * weights).unwrap(), None, "{rule}");
        }
        let without = self::sketch(false);
        for (rule, importance) in [
            (Rule::GradientScore, Some(importance.as_slice())),
            (Rule::GradientRatio, None),
            (Rule::FirstOrder, None),
            (Rule::Importance, None),
        ] {
            assert_eq!(choose(&without, Scope::All, rule, importance, 4.0 * weights).unwrap(), None, "{rule}");
        }
    }

    #[test]
    fn protection_follows_its_order() {
        let sketch = sketch(false);
        let weights = sketch.size(&[Some(0); 21]).unwrap().1;
        // Two of the large matrices at 8 bits and not a third.
        let bits = 3.0 * weights + 2.0 * 128.0 * 5.0 + 1.0;
        let last = choose(&sketch, Scope::All, Rule::FinalMlp, None, bits).unwrap().unwrap();
        let at = |choice: &Choice, format| {
            choice
                .iter()
                .enumerate()
                .filter(|(_, own)| **own == Some(format))
                .map(|(component, _)| component)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(&last, 2), [19, 20]);
        let mut importance = vec![0.0; 21];
        (importance[5], importance[12]) = (2.0, 1.0);
        let important = choose(&sketch, Scope::All, Rule::Importance, Some(&importance), bits).unwrap().unwrap();
        assert_eq!(at(&important, 2), [5, 12]);
    }

    #[test]
    fn a_permutation_keeps_the_size_and_the_formats() {
        let sketch = sketch(false);
        let choice: Choice = (0..21).map(|component| [Some(0), Some(2), None, Some(1)][component % 4]).collect();
        let other = permuted(&sketch, &choice, 3);
        assert_ne!(other, choice);
        assert_ne!(other, permuted(&sketch, &choice, 4));
        assert_eq!(sketch.size(&other), sketch.size(&choice));
        let sorted = |choice: &Choice| {
            let mut sorted = choice.clone();
            sorted.sort_unstable();
            sorted
        };
        assert_eq!(sorted(&other), sorted(&choice));
    }
}

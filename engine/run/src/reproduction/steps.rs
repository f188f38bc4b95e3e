//! The steps of the chain, in their order: every compressed model is made, read and let go of before the next one.

use cruxscope_compress::CompressError;
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::paper::Experiment;
use cruxscope_compress::prune::{AlphaPruningSettings, Sparsity};
use cruxscope_compress::quantize::{Bits, Clipping, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_sensitivity::menu::MenuFormat;
use cruxscope_study::Definition;

use crate::RunError;

/// Whose weights a step reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The reasoning model.
    Original,
    /// Its base model.
    Base,
    /// The reasoning model, compressed, by the name of its folder.
    Compressed(String),
}

/// A step of the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Importance of every component (sections 4 and 5).
    Interpret {
        /// The model.
        subject: Subject,
        /// The definition.
        definition: Definition,
        /// The folder of its study.
        study: String,
    },
    /// A compressed model.
    Compress {
        /// The folder of the model, and of its study.
        name: String,
        /// What each component gets.
        recipe: Recipe,
        /// How results name it: the compression, and what else sets it apart.
        label: (String, String),
    },
    /// Where a compressed model parts from the original.
    Compare {
        /// The folder of the model, and of its study.
        name: String,
        /// Whether the components that cause it are told.
        causes: bool,
    },
    /// Each matrix alone rounded to 3 bits (Table 3).
    Validate,
    /// What compressing each matrix costs, for formats at several bits.
    Sensitivity,
    /// What a model answers to benchmarks.
    Benchmark {
        /// The model.
        subject: Subject,
    },
}

impl Step {
    /// The name under which it is noted as done.
    pub fn name(&self) -> String {
        match self {
            Self::Interpret { study, .. } => format!("interpret {study}"),
            Self::Compress { name, .. } => format!("compress {name}"),
            Self::Compare { name, .. } => format!("compare {name}"),
            Self::Validate => "validate".into(),
            Self::Sensitivity => "sensitivity".into(),
            Self::Benchmark { subject } => format!("benchmark {}", subject.name()),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Interpret { study, definition, .. } => format!("importance of {study} (definition {definition})"),
            Self::Compress { name, .. } => format!("the model {name}"),
            Self::Compare { name, .. } => format!("where {name} parts from the original"),
            Self::Validate => "each matrix alone at 3 bits".into(),
            Self::Sensitivity => "sensitivity to formats".into(),
            Self::Benchmark { subject } => format!("answers of {} to benchmarks", subject.name()),
        }
    }

    /// The title of the study that it makes.
    pub fn title(&self) -> String {
        let Self::Interpret { subject, definition, .. } = self else {
            return self.words();
        };
        let subject = match subject {
            Subject::Original => "Original".to_owned(),
            Subject::Base => "Base".to_owned(),
            Subject::Compressed(name) => format!("Original, {name}"),
        };
        match definition {
            Definition::Paper => subject,
            Definition::Released => format!("{subject}, released definition"),
        }
    }

    /// Whether it reads a compressed model.
    pub fn needs(&self, model: &str) -> bool {
        match self {
            Self::Interpret { subject, .. } | Self::Benchmark { subject } => *subject == Subject::Compressed(model.to_owned()),
            Self::Compare { name, .. } => name == model,
            Self::Compress { name, .. } => name == model,
            Self::Validate | Self::Sensitivity => false,
        }
    }
}

fn refuse(error: CompressError) -> RunError {
    RunError::Recipe { why: error.to_string() }
}

/// Round-to-nearest at so many bits, as the paper's selective experiments have it.
pub(super) fn rounding(bits: u8, group_size: GroupSize) -> Result<MethodConfig, RunError> {
    Ok(MethodConfig::Rtn(GridSettings {
        grid: Grid::AwqAsym,
        bits: Bits::new(bits).map_err(refuse)?,
        group_size,
        clipping: Clipping::None,
    }))
}

/// The formats of the sensitivity.
pub(super) fn menu(group_size: GroupSize) -> Result<Vec<MenuFormat>, RunError> {
    let named = |name: &str, treatment: MethodConfig| MenuFormat { name: name.into(), treatment };
    Ok(vec![named("rtn-3", rounding(3, group_size)?), named("rtn-4", rounding(4, group_size)?)])
}

/// All steps.
///
/// # Errors
/// When the model has too few layers for the paper's experiments.
pub(super) fn all(layers: usize, group_size: GroupSize, with_base: bool) -> Result<Vec<Step>, RunError> {
    let definitions = [(Definition::Paper, ""), (Definition::Released, "-released")];
    let interpret = |subject: Subject, study: &str| {
        definitions.map(|(definition, suffix)| Step::Interpret {
            subject: subject.clone(),
            definition,
            study: format!("{study}{suffix}"),
        })
    };
    let bits = |bits: u8| Bits::new(bits).map_err(refuse);
    let mut steps = Vec::new();
    steps.extend(interpret(Subject::Original, "original"));
    if with_base {
        steps.extend(interpret(Subject::Base, "base"));
    }
    let sparsity = Sparsity::new(0.3).map_err(refuse)?;
    let main = [
        ("awq-4", "AWQ, 4 bits", MethodConfig::Awq(AwqSettings::new(bits(4)?, group_size))),
        ("gptq-4", "GPTQ, 4 bits", MethodConfig::Gptq(GptqSettings::new(bits(4)?, group_size))),
        (
            "alphapruning-30",
            "AlphaPruning, 30 %",
            MethodConfig::AlphaPruning(AlphaPruningSettings::new(sparsity)),
        ),
    ];
    for (name, words, treatment) in main {
        steps.push(Step::Compress {
            name: name.into(),
            recipe: Recipe::of(treatment, None, None),
            label: (words.into(), String::new()),
        });
        steps.extend(interpret(Subject::Compressed(name.into()), name));
        steps.push(Step::Compare {
            name: name.into(),
            causes: true,
        });
    }
    for experiment in [Experiment::Table4, Experiment::Table3, Experiment::Table9] {
        let rows = experiment.rows(layers, group_size).map_err(|why| RunError::Recipe { why })?;
        for (row, recipe) in rows {
            let name = match experiment {
                Experiment::Table3 => format!("only-{row}_3bit"),
                Experiment::Table9 => format!("only-{row}"),
                _ => row,
            };
            let label = label(&name);
            steps.push(Step::Compress {
                name: name.clone(),
                recipe,
                label,
            });
            steps.push(Step::Compare { name, causes: false });
        }
    }
    steps.extend([Step::Validate, Step::Sensitivity]);
    Ok(steps)
}

/// How results name a model of the selective experiments: `only-32_up_3bit` rounds one matrix, the others are of 3-bit AWQ.
fn label(name: &str) -> (String, String) {
    let alone = name
        .strip_prefix("only-")
        .and_then(|rest| rest.strip_suffix("bit"))
        .and_then(|rest| rest.rsplit_once('_'));
    match alone {
        Some((component, bits)) => (format!("RTN, {bits} bits"), format!("{component} alone")),
        None if name.ends_with("protect_final_mlp") => ("AWQ, 3 bits".into(), "final MLP protected".into()),
        None => ("AWQ, 3 bits".into(), String::new()),
    }
}

/// The steps with what every model answers to benchmarks, while it is there.
pub(super) fn with_benchmarks(steps: Vec<Step>, with_base: bool) -> Vec<Step> {
    let whole = [Some(Subject::Original), with_base.then_some(Subject::Base)];
    let mut all: Vec<Step> = whole.into_iter().flatten().map(|subject| Step::Benchmark { subject }).collect();
    for step in steps {
        let made = match &step {
            Step::Compress { name, .. } => Some(Subject::Compressed(name.clone())),
            _ => None,
        };
        all.push(step);
        all.extend(made.map(|subject| Step::Benchmark { subject }));
    }
    all
}

/// The folders of studies that steps make, in the order of a collection.
pub(super) fn studies(steps: &[Step]) -> Vec<String> {
    let mut studies: Vec<String> = Vec::new();
    for step in steps {
        let study = match step {
            Step::Interpret { study, .. } => study,
            Step::Compare { name, .. } => name,
            _ => continue,
        };
        if !studies.contains(study) {
            studies.push(study.clone());
        }
    }
    studies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compressed_model_is_made_before_it_is_read_and_read_before_the_next_is_made() {
        let steps = all(6, GroupSize::new(32).unwrap(), true).unwrap();
        let names: std::collections::BTreeSet<String> = steps.iter().map(Step::name).collect();
        assert_eq!(names.len(), steps.len(), "names are unique");
        let mut open: Option<String> = None;
        for step in &steps {
            if let Step::Compress { name, .. } = step {
                open = Some(name.clone());
            } else if let Some(other) = steps.iter().find_map(|other| match other {
                Step::Compress { name, .. } if step.needs(name) => Some(name.clone()),
                _ => None,
            }) {
                assert_eq!(open.as_ref(), Some(&other), "{}", step.name());
            }
        }
        let studies = studies(&steps);
        assert!(
            ["original", "base-released", "awq-4", "awq3_protect_final_mlp", "only-6_up_3bit"]
                .iter()
                .all(|name| studies.contains(&(*name).to_owned()))
        );
        assert!(all(1, GroupSize::new(32).unwrap(), true).is_err());
        let alone = all(6, GroupSize::new(32).unwrap(), false).unwrap();
        assert!(!super::studies(&alone).iter().any(|name| name.starts_with("base")));
        assert_eq!(alone.len() + 2, steps.len());
        let words = |name: &str, setting: &str| (name.to_owned(), setting.to_owned());
        assert_eq!(label("only-6_up_3bit"), words("RTN, 3 bits", "6_up alone"));
        assert_eq!(label("awq3_protect_final_mlp"), words("AWQ, 3 bits", "final MLP protected"));
        assert_eq!(label("awq3"), words("AWQ, 3 bits", ""));
    }
}

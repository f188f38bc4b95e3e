//! The behaviours that annotations label: four that are scored, and two that are only shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A reasoning behaviour that is scored (paper, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// The model gives up its present approach for another.
    Backtracking,
    /// The model says that it is not sure.
    UncertaintyEstimation,
    /// The model tries examples or checks a case.
    ExampleTesting,
    /// The model brings in a fact that the prompt does not hold.
    AddingKnowledge,
}

impl Behaviour {
    /// All four, in the order of every array's first axis.
    pub const ALL: [Self; 4] = [Self::Backtracking, Self::UncertaintyEstimation, Self::ExampleTesting, Self::AddingKnowledge];

    /// Position on the behaviour axis of every array.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in annotations and files, such as `uncertainty-estimation`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backtracking => "backtracking",
            Self::UncertaintyEstimation => "uncertainty-estimation",
            Self::ExampleTesting => "example-testing",
            Self::AddingKnowledge => "adding-knowledge",
        }
    }

    /// The name for display, in sentence case.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Backtracking => "Backtracking",
            Self::UncertaintyEstimation => "Uncertainty estimation",
            Self::ExampleTesting => "Example testing",
            Self::AddingKnowledge => "Adding knowledge",
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Behaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|behaviour| behaviour.name()).collect();
            format!("\"{text}\" is no behaviour; known are {}", known.join(", "))
        })
    }
}

/// Any label that an annotation may carry: the four scored behaviours and two that are only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// Restating the task, first thoughts; not scored.
    Initializing,
    /// Following from the present approach; not scored.
    Deduction,
    /// See [`Behaviour::AddingKnowledge`].
    AddingKnowledge,
    /// See [`Behaviour::ExampleTesting`].
    ExampleTesting,
    /// See [`Behaviour::UncertaintyEstimation`].
    UncertaintyEstimation,
    /// See [`Behaviour::Backtracking`].
    Backtracking,
}

impl Label {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::Initializing,
        Self::Deduction,
        Self::AddingKnowledge,
        Self::ExampleTesting,
        Self::UncertaintyEstimation,
        Self::Backtracking,
    ];

    /// The name in annotations and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Deduction => "deduction",
            Self::AddingKnowledge => "adding-knowledge",
            Self::ExampleTesting => "example-testing",
            Self::UncertaintyEstimation => "uncertainty-estimation",
            Self::Backtracking => "backtracking",
        }
    }

    /// The scored behaviour, if this label is one.
    pub const fn behaviour(self) -> Option<Behaviour> {
        match self {
            Self::Initializing | Self::Deduction => None,
            Self::AddingKnowledge => Some(Behaviour::AddingKnowledge),
            Self::ExampleTesting => Some(Behaviour::ExampleTesting),
            Self::UncertaintyEstimation => Some(Behaviour::UncertaintyEstimation),
            Self::Backtracking => Some(Behaviour::Backtracking),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|label| label.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|label| label.name()).collect();
            format!("\"{text}\" is no label of an annotation; known are {}", known.join(", "))
        })
    }
}

//! The paper's selective experiments as recipes: Tables 3, 4 and 9, and Appendix M.
//!
//! The paper counts layers of an 8B model with 32 of them; here "last" is the model's own last layer. Its group size is not
//! stated, so it is a choice of whoever repeats it.

use cruxscope_study::{Component, Module};

use crate::awq::AwqSettings;
use crate::method::MethodConfig;
use crate::quantize::{Bits, Clipping, Grid, GridSettings, GroupSize};
use crate::recipe::Recipe;

/// An experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Experiment {
    /// Table 3: round to nearest with 3 bits, one component at a time.
    Table3,
    /// Table 4: 3-bit AWQ of everything, with and without the last layer's feed-forward block.
    Table4,
    /// Table 9: the last and the first up projection with 4 and 5 bits.
    Table9,
    /// Appendix M: the scales of 4-bit AWQ.
    AppendixM,
}

impl Experiment {
    /// Its rows, by name, for a model with `layers` layers.
    ///
    /// # Errors
    /// When the model has too few layers to tell the last from the first.
    pub fn rows(self, layers: usize, group_size: GroupSize) -> Result<Vec<(String, Recipe)>, String> {
        if layers < 2 {
            return Err(format!("the paper's components are of several layers, and this model has {layers}"));
        }
        let bits = |bits: u8| Bits::new(bits).map_err(|error| error.to_string());
        let rtn = |number: u8| {
            Ok::<_, String>(MethodConfig::Rtn(GridSettings {
                grid: Grid::AwqAsym,
                bits: bits(number)?,
                group_size,
                clipping: Clipping::None,
            }))
        };
        let awq = |number: u8| Ok::<_, String>(MethodConfig::Awq(AwqSettings::new(bits(number)?, group_size)));
        let name = |layer: usize, module: Module| Component::new(layer, module).to_string();
        let only = |treatment: MethodConfig, component: String| (component.clone(), Recipe::of(treatment, Some(&component), None));
        let last = layers - 1;
        match self {
            Self::Table3 => [
                name(last, Module::Up),
                name(last, Module::Gate),
                name(last, Module::Value),
                name(last - 1, Module::Up),
                name(0, Module::Up),
            ]
            .into_iter()
            .map(|component| Ok(only(rtn(3)?, component)))
            .collect(),
            Self::Table4 => Ok(vec![
                ("awq3".into(), Recipe::of(awq(3)?, None, None)),
                ("awq3_protect_final_mlp".into(), Recipe::of(awq(3)?, None, Some("final-mlp"))),
            ]),
            Self::Table9 => [4, 5]
                .into_iter()
                .flat_map(|number| [name(last, Module::Up), name(0, Module::Up)].map(|component| (number, component)))
                .map(|(number, component)| Ok((format!("{component}_{number}bit"), only(rtn(number)?, component).1)))
                .collect(),
            Self::AppendixM => Ok(vec![("awq4".into(), Recipe::of(awq(4)?, None, None))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_the_papers_rows() {
        let size = GroupSize::new(128).unwrap();
        let names = |experiment: Experiment| -> Vec<String> { experiment.rows(32, size).unwrap().into_iter().map(|(name, _)| name).collect() };
        assert_eq!(names(Experiment::Table3), ["32_up", "32_gate", "32_v", "31_up", "1_up"]);
        assert_eq!(names(Experiment::Table9), ["32_up_4bit", "1_up_4bit", "32_up_5bit", "1_up_5bit"]);
        let protected = &Experiment::Table4.rows(32, size).unwrap()[1].1;
        let kept = protected.plan(32).unwrap().into_iter().filter(|(_, treatment)| treatment.is_none()).count();
        assert_eq!(kept, 3);
        for (_, recipe) in Experiment::Table3.rows(32, size).unwrap() {
            assert_eq!(recipe.plan(32).unwrap().into_iter().filter(|(_, treatment)| treatment.is_some()).count(), 1);
        }
        assert!(Experiment::Table3.rows(1, size).is_err());
    }
}

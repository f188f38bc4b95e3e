//! The flags of a method and its settings.

use clap::{Args, ValueEnum};
use cruxscope_compress::CompressError;
use cruxscope_compress::any::{AnySettings, Fitting, Initialisation};
use cruxscope_compress::awq::{AwqSettings, Dialect, Search};
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::alpha::TailStart;
use cruxscope_compress::prune::{AlphaPruningSettings, Pattern, SparseGptSettings, Sparsity, Window};
use cruxscope_compress::quantize::{Bits, Clipping, ColumnOrder, Compatibility, Damping, GptaqSettings, GptqSettings, Grid, GridSettings, GroupSize};

use crate::failure::Failure;
use crate::numbers::number;

#[derive(Clone, Debug, Args)]
pub struct MethodArguments {
    /// The method
    #[arg(long, value_enum, required_unless_present_any = ["recipe", "gguf_type"])]
    pub method: Option<Method>,
    /// Bits of a code, 2 to 8
    #[arg(long, default_value_t = 4)]
    pub bits: u8,
    /// Columns that share a scale; -1 for the whole row
    #[arg(long, default_value_t = 128, allow_negative_numbers = true)]
    pub group_size: i64,
    /// The grid of codes [default: awq-asym; for GPTQ and GPTAQ gptq-asym and gptaq-asym]
    #[arg(long, value_enum)]
    pub grid: Option<GridFlag>,
    /// RTN, GPTQ, GPTAQ: shrink each group's range where that lowers the error (GPTQ calls it mse)
    #[arg(long = "clip", alias = "narrow")]
    pub narrow: bool,
    /// GPTQ, GPTAQ: the order in which columns are quantized
    #[arg(long = "act-order", alias = "order", value_enum, default_value_t)]
    pub order: OrderFlag,
    /// GPTQ, GPTAQ: fit the grids of all groups before the first column is taken
    #[arg(long)]
    pub static_groups: bool,
    /// GPTQ: let a layer's later matrices see what was done to its earlier ones, as GPTAQ always does
    #[arg(long)]
    pub true_sequential: bool,
    /// GPTQ, GPTAQ, SparseGPT: what is added to the Hessian's diagonal, as a fraction of its mean
    #[arg(long = "damp-percent", alias = "damping", value_name = "FRACTION", default_value_t = Damping::ORIGINAL.share, value_parser = number(0.0, 100.0))]
    pub damping: f64,
    /// GPTAQ: how far the inputs' difference is followed, 0 to 1
    #[arg(long, default_value_t = GptaqSettings::ORIGINAL_ALPHA, value_parser = number(0.0, 1.0))]
    pub alpha: f64,
    /// AWQ: whose scales
    #[arg(long = "variant", alias = "dialect", value_enum, default_value_t)]
    pub dialect: DialectFlag,
    /// AWQ: the error that scales minimise
    #[arg(long = "objective", alias = "search", value_enum, default_value_t)]
    pub search: SearchFlag,
    /// AWQ: do not cut the largest weights
    #[arg(long)]
    pub no_clip: bool,
    /// Pruning: the fraction of weights that become zero
    #[arg(long, default_value_t = 0.5, value_parser = number(0.0, 1.0))]
    pub sparsity: f64,
    /// Pruning: N of every M neighbouring weights become zero, such as 2:4
    #[arg(long = "sparsity-pattern", alias = "window", value_name = "N:M")]
    pub window: Option<String>,
    /// AlphaPruning: how far blocks may differ in their sparsity, 0 to 1
    #[arg(long, default_value_t = 0.2, value_parser = number(0.0, 1.0))]
    pub epsilon: f64,
    /// AlphaPruning: where the tail of a spectrum begins
    #[arg(long, value_enum, default_value_t)]
    pub tail: TailFlag,
    /// What the original programs do where that surprises, or the better choice: grids, magnitude pruning, GPTQ, GPTAQ, ANY
    #[arg(long, value_enum, default_value_t)]
    pub compatibility: CompatibilityFlag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Round-to-nearest (RTN), per group
    Rtn,
    /// Rounding with error compensation: remaining columns are updated to compensate for the error so far
    Gptq,
    /// GPTQ that also compensates for the error of its inputs from earlier layers
    Gptaq,
    /// Activation-aware scales and clipping
    Awq,
    /// A codebook for every row (ANY4, ANY3)
    Any,
    /// The smallest weights become zero
    Magnitude,
    /// The weights of smallest size times input norm become zero
    Wanda,
    /// Pruning with error compensation: remaining weights are updated
    Sparsegpt,
    /// SparseGPT with a sparsity for each block, from the tails of its spectra
    Alphapruning,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum GridFlag {
    AwqAsym,
    AwqSym,
    GptqAsym,
    GptqSym,
    GptaqAsym,
    GptaqSym,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum OrderFlag {
    /// Groups by their largest input, and columns by their inputs inside each: engines need no index of groups
    #[default]
    GroupAware,
    /// By their inputs, largest first (act_order, desc_act)
    #[value(name = "descending", alias = "activation")]
    Activation,
    /// As they are stored
    #[value(name = "none", alias = "stored")]
    Stored,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum DialectFlag {
    /// llm-awq: powers of the mean activation
    #[default]
    LlmAwq,
    /// AutoAWQ: activations over weights
    AutoAwq,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum SearchFlag {
    /// The outputs of attention and feed-forward block, as in the original programs
    #[default]
    Outputs,
    /// The outputs of the matrices themselves: work and memory do not grow with the text
    Grams,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum TailFlag {
    /// Near the peak of the histogram of eigenvalues, where the fit is best, as in the original program
    #[default]
    Peak,
    /// At the median eigenvalue, as in the paper's text
    Middle,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum CompatibilityFlag {
    /// Grids that hold zero; exactly the share of weights pruned; groups fitted to the weights as they stand; exact codebooks
    #[default]
    Improved,
    /// Groups of one sign cut off; one weight more pruned, and its equals; groups fitted to weights without the errors of their block;
    /// GPTAQ's damping in place; codebooks by Lloyd's iterations
    Original,
}

impl MethodArguments {
    /// What the flags say.
    ///
    /// # Errors
    /// When a setting is outside its range.
    pub fn treatment(&self) -> Result<MethodConfig, Failure> {
        let refuse = |error: CompressError| Failure::Mistake(error.into());
        let Some(method) = self.method else {
            return Err(Failure::mistake("give --method or --recipe"));
        };
        let bits = Bits::new(self.bits).map_err(refuse)?;
        let group_size = GroupSize::new(self.group_size).map_err(refuse)?;
        let compatibility = match self.compatibility {
            CompatibilityFlag::Improved => Compatibility::Improved,
            CompatibilityFlag::Original => Compatibility::Original,
        };
        let named = |default| {
            let grid = self.grid.map_or(default, GridFlag::grid);
            match compatibility {
                Compatibility::Improved => grid,
                Compatibility::Original => grid.original(),
            }
        };
        let grid = |default| GridSettings {
            grid: named(default),
            bits,
            group_size,
            clipping: if self.narrow { Clipping::ORIGINAL } else { Clipping::None },
        };
        let gptq = |default| GptqSettings {
            grid: grid(default),
            order: match self.order {
                OrderFlag::GroupAware => ColumnOrder::GroupAware,
                OrderFlag::Activation => ColumnOrder::Activation,
                OrderFlag::Stored => ColumnOrder::Stored,
            },
            static_groups: self.static_groups,
            damping: Damping {
                share: self.damping,
                ..Damping::ORIGINAL
            },
            compatibility,
            true_sequential: self.true_sequential,
        };
        let sparsity = || Sparsity::new(self.sparsity).map_err(refuse);
        Ok(match method {
            Method::Rtn => MethodConfig::Rtn(grid(Grid::AwqAsym)),
            Method::Gptq => MethodConfig::Gptq(gptq(Grid::GptqAsym)),
            Method::Gptaq => MethodConfig::Gptaq(GptaqSettings {
                gptq: gptq(Grid::GptaqAsym),
                alpha: self.alpha,
            }),
            Method::Awq => MethodConfig::Awq(AwqSettings {
                dialect: match self.dialect {
                    DialectFlag::LlmAwq => Dialect::LlmAwq,
                    DialectFlag::AutoAwq => Dialect::AutoAwq,
                },
                grid: named(Grid::AwqAsym),
                clip: !self.no_clip,
                search: match self.search {
                    SearchFlag::Outputs => Search::Outputs,
                    SearchFlag::Grams => Search::Grams,
                },
                ..AwqSettings::new(bits, group_size)
            }),
            Method::Any => MethodConfig::Any(AnySettings {
                fitting: match compatibility {
                    Compatibility::Improved => Fitting::Exact,
                    Compatibility::Original => Fitting::Lloyd(Initialisation::PlusPlus { seed: 0 }),
                },
                ..AnySettings::new(bits, group_size)
            }),
            Method::Magnitude => MethodConfig::Magnitude {
                pattern: match (self.pattern()?, compatibility) {
                    (Pattern::Unstructured(sparsity), Compatibility::Original) => Pattern::AtThreshold(sparsity),
                    (pattern, _) => pattern,
                },
            },
            Method::Wanda => MethodConfig::Wanda { pattern: self.pattern()? },
            Method::Sparsegpt => MethodConfig::SparseGpt(SparseGptSettings {
                damping: self.damping,
                ..SparseGptSettings::new(self.pattern()?)
            }),
            Method::Alphapruning => MethodConfig::AlphaPruning(AlphaPruningSettings {
                epsilon: self.epsilon,
                tail: match self.tail {
                    TailFlag::Peak => TailStart::Peak,
                    TailFlag::Middle => TailStart::Middle,
                },
                damping: self.damping,
                ..AlphaPruningSettings::new(sparsity()?)
            }),
        })
    }

    fn pattern(&self) -> Result<Pattern, Failure> {
        let refuse = |error: CompressError| Failure::Mistake(error.into());
        let Some(window) = &self.window else {
            return Ok(Pattern::Unstructured(Sparsity::new(self.sparsity).map_err(refuse)?));
        };
        let numbers = window.split_once(':').and_then(|(pruned, of)| Some((pruned.parse().ok()?, of.parse().ok()?)));
        let (pruned, of) = numbers.ok_or_else(|| Failure::mistake(format!("--sparsity-pattern is {window}, but it is written as 2:4")))?;
        Ok(Pattern::Windows(Window::new(pruned, of).map_err(refuse)?))
    }
}

impl GridFlag {
    fn grid(self) -> Grid {
        match self {
            Self::AwqAsym => Grid::AwqAsym,
            Self::AwqSym => Grid::AwqSym,
            Self::GptqAsym => Grid::GptqAsym,
            Self::GptqSym => Grid::GptqSym,
            Self::GptaqAsym => Grid::GptaqAsym,
            Self::GptaqSym => Grid::GptaqSym,
        }
    }
}

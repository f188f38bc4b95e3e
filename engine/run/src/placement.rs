//! Where a run puts what it needs, and how much memory that takes there.
//!
//! The choices are tried in the order of their speed, and the first that fits is taken: weights on the device or read from the
//! disk layer by layer; block inputs, keys and values of every layer on the device, in the machine's memory or on the disk. What
//! is inside a layer is never kept: it is computed again, at the rows of segments only.

mod needs;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::activations::ActivationStorage;
use cruxscope_model::decoder::Residence;
use serde::{Deserialize, Serialize};

use self::needs::Sizes;
pub use self::needs::{Memory, Needs};
use crate::RunError;
use crate::machine::format_bytes;
use crate::place::Place;

/// Share of the free memory that a plan may fill.
const FILL: f64 = 0.8;
/// Bytes of the program itself.
const PROGRAM: u64 = 64 << 20;
/// Bytes that a driver and its compiler take of the machine's memory: a guess on the large side.
const DRIVER: u64 = 512 << 20;
/// Bytes that a device's tiles of attention take: 8 Mi scores, of which six arrays live at a time.
const ATTENTION: u64 = 6 * 4 * (8 << 20);

/// Where the weights are, if the user chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsChoice {
    /// On the device if they fit.
    #[default]
    Automatic,
    /// On the device.
    Resident,
    /// Read layer by layer.
    Streamed,
}

/// One thing a run needs, and where it is, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The thing.
    pub what: String,
    /// Its place, and how much it takes there.
    pub place: String,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Whether weights stay on the device.
    pub weights: Residence,
    /// Where block inputs, keys and values wait.
    pub activations: ActivationStorage,
    /// Instances that go through the layers together.
    pub batches: Vec<usize>,
    /// Expected peaks.
    pub memory: Memory,
    /// The same, in words.
    pub words: Vec<Placed>,
}

/// One way of placing things.
#[derive(Clone, Copy)]
struct Choice {
    weights: Residence,
    activations: ActivationStorage,
}

impl Choice {
    /// From the fastest to the smallest.
    fn among(weights: WeightsChoice, separate: bool) -> Vec<Self> {
        let resident = [ActivationStorage::Device, ActivationStorage::Memory].map(|storage| (Residence::Resident, storage));
        // Where weights are read for every batch, room for a larger batch counts more than a copy.
        let streamed = [ActivationStorage::Memory, ActivationStorage::Device].map(|storage| (Residence::Streamed, storage));
        let spilled = |weights| (weights, ActivationStorage::Disk);
        let all: Vec<(Residence, ActivationStorage)> = match weights {
            WeightsChoice::Resident => resident.into_iter().chain([spilled(Residence::Resident)]).collect(),
            WeightsChoice::Streamed => streamed.into_iter().chain([spilled(Residence::Streamed)]).collect(),
            WeightsChoice::Automatic => resident.into_iter().chain(streamed).chain([spilled(Residence::Streamed)]).collect(),
        };
        all.into_iter()
            // Without a memory of its own, the device's is the machine's.
            .filter(|(_, storage)| separate || *storage != ActivationStorage::Memory)
            .map(|(weights, activations)| Self { weights, activations })
            .collect()
    }

    /// What weights and tiles take, without instances.
    fn base(self, place: &Place, sizes: &Sizes) -> Memory {
        let float = 4;
        let on_device = match self.weights {
            Residence::Resident => place.weight_bytes * (sizes.all + sizes.head),
            Residence::Streamed if place.copies => place.weight_bytes * (2 * sizes.layer + sizes.head),
            // The layer in use; the one that is being read is counted below.
            Residence::Streamed => place.weight_bytes * (sizes.layer + sizes.head),
        };
        // A layer is read in float32 while another is used; one that is copied stands beside its copy for a moment.
        let reading = match (self.weights, place.copies) {
            (Residence::Resident, false) => 0,
            (Residence::Resident, true) | (Residence::Streamed, false) => float * sizes.layer,
            (Residence::Streamed, true) => 2 * float * sizes.layer,
        };
        let tiles = if place.copies {
            // Logits and what becomes of them, attention, and a weight that becomes float32 for a product.
            6 * float * sizes.logits + ATTENTION + if place.weight_bytes < float { float * sizes.largest } else { 0 }
        } else {
            2 * float * sizes.logits
        };
        if place.device_memory.is_some() {
            Memory {
                machine: PROGRAM + DRIVER + reading,
                device: on_device + tiles,
                disk: 0,
            }
        } else {
            Memory {
                machine: PROGRAM + reading + on_device + tiles,
                device: 0,
                disk: 0,
            }
        }
    }

    /// Adds what instances take that go through the layers together.
    fn with(self, base: Memory, batch: &[Needs], separate: bool) -> Memory {
        let sum = |of: fn(&Needs) -> u64| batch.iter().map(of).sum::<u64>();
        let kept: u64 = batch.iter().map(|needs| needs.kept()).sum();
        let passing = batch.iter().map(|needs| needs.passing).max().unwrap_or(0);
        let mut memory = Memory {
            machine: base.machine + sum(|needs| needs.vectors),
            device: base.device + passing + sum(|needs| needs.carried),
            disk: base.disk,
        };
        match self.activations {
            ActivationStorage::Device => memory.device += kept,
            ActivationStorage::Memory => memory.machine += kept,
            ActivationStorage::Disk => memory.disk += kept,
        }
        if !separate {
            memory.machine += memory.device;
            memory.device = 0;
        }
        memory
    }
}

/// Memory that may be filled.
#[derive(Clone, Copy)]
struct Budget {
    machine: u64,
    device: u64,
}

impl Budget {
    fn of(place: &Place) -> Self {
        let fill = |free: Option<u64>| free.map_or(u64::MAX, |free| (free as f64 * FILL) as u64);
        Self {
            machine: fill(place.machine_memory),
            device: fill(place.device_memory),
        }
    }

    fn holds(self, memory: Memory) -> bool {
        memory.machine <= self.machine && memory.device <= self.device
    }

    /// What may be filled by a batch: half of what one instance leaves, since a plan is no measurement.
    fn half_left(self, alone: Memory) -> Self {
        let half = |budget: u64, alone: u64| alone + budget.saturating_sub(alone) / 2;
        Self {
            machine: half(self.machine, alone.machine),
            device: half(self.device, alone.device),
        }
    }
}

impl Placement {
    /// Chooses. `operations` are those of each instance.
    ///
    /// # Errors
    /// When nothing fits.
    pub fn choose(config: &ModelConfig, needs: &[Needs], operations: &[f64], weights: WeightsChoice, place: &Place) -> Result<Self, RunError> {
        let separate = place.device_memory.is_some();
        let (sizes, budget) = (Sizes::of(config), Budget::of(place));
        let mut refused = None;
        for choice in Choice::among(weights, separate) {
            let base = choice.base(place, &sizes);
            // Every instance must fit alone.
            let alone = needs.iter().map(|needs| choice.with(base, std::slice::from_ref(needs), separate));
            let largest = alone.fold(base, |a, b| Memory {
                machine: a.machine.max(b.machine),
                device: a.device.max(b.device),
                disk: a.disk.max(b.disk),
            });
            if !budget.holds(largest) {
                refused = Some(refusal(largest, budget, place, choice));
                continue;
            }
            let batches = choice.batches(base, needs, operations, budget.half_left(largest), place, &sizes);
            let mut memory = largest;
            let mut at = 0;
            for count in &batches {
                let batch = choice.with(base, &needs[at..at + count], separate);
                memory = Memory {
                    machine: memory.machine.max(batch.machine),
                    device: memory.device.max(batch.device),
                    disk: memory.disk.max(batch.disk),
                };
                at += count;
            }
            return Ok(Self {
                words: choice.words(place, &sizes, needs, &batches),
                weights: choice.weights,
                activations: choice.activations,
                batches,
                memory,
            });
        }
        // There is always a choice, and it was refused.
        Err(refused.unwrap_or(RunError::Memory {
            needed: format_bytes(0),
            available: format_bytes(0),
            hint: "nothing was tried".into(),
        }))
    }
}

impl Placement {
    /// Seconds that reading weights takes in all, where that is known.
    pub fn reading(&self, config: &ModelConfig, place: &Place) -> f64 {
        let layer = place.layer_reading.map_or(0.0, |layer| layer.as_secs_f64());
        let times = match self.weights {
            Residence::Resident => 1,
            Residence::Streamed => 2 * self.batches.len(),
        };
        layer * (times * config.layers) as f64
    }
}

impl Choice {
    /// Instances that go through the layers together. With resident weights one is a batch, the finest grain to resume at; otherwise
    /// as many as it takes for computing to last twice as long as reading the weights, or as fit where that is not known.
    fn batches(self, base: Memory, needs: &[Needs], operations: &[f64], budget: Budget, place: &Place, sizes: &Sizes) -> Vec<usize> {
        if self.weights == Residence::Resident {
            return vec![1; needs.len()];
        }
        let enough = match (place.products, place.layer_reading) {
            (Some(products), Some(layer)) => 2.0 * products * 2.0 * layer.as_secs_f64() * sizes.layers as f64,
            _ => f64::INFINITY,
        };
        let mut batches = Vec::new();
        let (mut first, mut work) = (0, 0.0);
        for index in 0..needs.len() {
            let grown = self.with(base, &needs[first..=index], place.device_memory.is_some());
            if index > first && (work >= enough || !budget.holds(grown)) {
                batches.push(index - first);
                (first, work) = (index, 0.0);
            }
            work += operations.get(index).copied().unwrap_or(0.0);
        }
        if first < needs.len() {
            batches.push(needs.len() - first);
        }
        batches
    }

    fn words(self, place: &Place, sizes: &Sizes, needs: &[Needs], batches: &[usize]) -> Vec<Placed> {
        let here = if place.copies { "on the device" } else { "in memory" };
        let placed = |what: &str, place: String| Placed { what: what.into(), place };
        let precision = match place.weight_bytes {
            2 => "bfloat16",
            4 => "float32",
            _ => "float64",
        };
        let weights = match self.weights {
            Residence::Resident => format!("{here}, {} in {precision}", format_bytes(place.weight_bytes * (sizes.all + sizes.head))),
            Residence::Streamed => format!(
                "from the disk layer by layer, the next one read while one is used ({} of {precision} each); once in each direction for a batch, in {} batch{} of up to {} instance{}",
                format_bytes(place.weight_bytes * sizes.layer),
                batches.len(),
                if batches.len() == 1 { "" } else { "es" },
                batches.iter().max().unwrap_or(&1),
                if batches.iter().max() == Some(&1) { "" } else { "s" },
            ),
        };
        let kept = match self.activations {
            ActivationStorage::Device => here,
            ActivationStorage::Memory => "in the machine's memory",
            ActivationStorage::Disk => "on the disk",
        };
        let mut at = 0;
        let (mut inputs, mut keys_values) = (0, 0);
        for count in batches {
            let batch = &needs[at..at + count];
            inputs = inputs.max(batch.iter().map(|needs| needs.inputs).sum());
            keys_values = keys_values.max(batch.iter().map(|needs| needs.keys_values).sum());
            at += count;
        }
        vec![
            placed("weights", weights),
            placed(
                "block inputs",
                format!("{kept}, {} at the most, at rows of segments only", format_bytes(inputs)),
            ),
            placed("keys, values", format!("{kept}, {} at the most", format_bytes(keys_values))),
            placed("inside layers", "computed again on the way back, at rows of segments only".into()),
        ]
    }
}

/// Says which memory is lacking, and what would need less.
fn refusal(memory: Memory, budget: Budget, place: &Place, choice: Choice) -> RunError {
    let device = memory.device > budget.device;
    let (needed, available) = if device {
        (memory.device, place.device_memory)
    } else {
        (memory.machine, place.machine_memory)
    };
    let of = if device { "of the device's memory; " } else { "" };
    let hint = match choice.weights {
        Residence::Resident => "try --weights streamed, or a smaller --max-length",
        Residence::Streamed => "a smaller --max-length needs less",
    };
    RunError::Memory {
        needed: format_bytes(needed),
        available: format_bytes(available.unwrap_or(0)),
        hint: format!("{of}{hint}"),
    }
}

#[cfg(test)]
mod tests;

//! What a plan must know of the place a model is to run in: memory, and how fast products and reading are.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cruxscope_checkpoint::{Checkpoint, CheckpointError, ModelConfig};
use cruxscope_model::ModelError;
use cruxscope_model::device::{self, ChosenDevice};
use cruxscope_model::kernels::Kernels;
use cruxscope_model::with_kernels;

use crate::RunError;
use crate::guard::catch_panic;
use crate::machine::available_memory;

/// Where a model is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Bytes of a number of a module's weight on the device.
    pub weight_bytes: u64,
    /// Whether weights are copied from the machine's memory to the device's, rather than used where they were read.
    pub copies: bool,
    /// Free memory of the machine; `None` where the system does not say.
    pub machine_memory: Option<u64>,
    /// Free memory of the device, where it has its own and that is known. Otherwise everything is counted as the machine's.
    pub device_memory: Option<u64>,
    /// The device's rate of matrix products in operations a second, where it was measured.
    pub products: Option<f64>,
    /// How long a layer takes to come from the disk, where it was measured.
    pub layer_reading: Option<Duration>,
}

impl Place {
    /// What is known of a device and this machine without running anything. A device that is not here can be planned for as well,
    /// where somebody said how much memory it has.
    ///
    /// # Errors
    /// When memory was given for a device that has none of its own.
    pub fn of(device: Option<&ChosenDevice>, name: &str, checkpoint: &Checkpoint, given: Option<u64>) -> Result<Self, RunError> {
        Self::of_weights(device, name, stored_in_bfloat16(checkpoint), given)
    }

    /// The same for weights that bfloat16 holds exactly, or does not.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_weights(device: Option<&ChosenDevice>, name: &str, exact: bool, given: Option<u64>) -> Result<Self, RunError> {
        let weight_bytes = match device {
            Some(device) => with_kernels!(device.clone(), |kernels| kernels.weight_bytes(exact)),
            // Of the accelerators only CUDA's know bfloat16 for certain.
            None if name.ends_with("@bfloat16") || (exact && name.starts_with("cuda")) => 2,
            None => 4,
        };
        let own = has_memory_of_its_own(name);
        if let (false, Some(given)) = (own, given) {
            return Err(RunError::Setting {
                setting: "--device-memory",
                value: crate::machine::format_bytes(given),
                rule: "this device computes in the machine's memory; leave it out",
            });
        }
        Ok(Self {
            weight_bytes,
            copies: device.is_none_or(ChosenDevice::copies_weights),
            machine_memory: available_memory(),
            device_memory: given.or_else(|| free_on_card(name)),
            products: None,
            layer_reading: None,
        })
    }

    /// The same with the rates of a device that is here measured, which takes about a second.
    ///
    /// # Errors
    /// When the device fails, or the checkpoint cannot be read.
    pub fn measured(self, device: &ChosenDevice, checkpoint: &Checkpoint) -> Result<Self, RunError> {
        let config = checkpoint.config();
        // The reference is for tiny models, and so slow that its probe would take longer than they do.
        let products = match device {
            ChosenDevice::Reference => None,
            device => Some(catch_panic("a probe of its speed", || {
                with_kernels!(device.clone(), |kernels| measure_products(&kernels, config, self.weight_bytes))
            })?),
        };
        Ok(Self {
            products,
            layer_reading: Some(measure_reading(checkpoint)?),
            ..self
        })
    }
}

/// Whether every matrix of a checkpoint is stored in bfloat16.
fn stored_in_bfloat16(checkpoint: &Checkpoint) -> bool {
    let vector = |name: &str| name.contains("norm") || name.ends_with(".bias");
    checkpoint
        .tensor_types()
        .iter()
        .filter(|(name, _)| !vector(name))
        .all(|(_, kind)| kind == "BF16")
}

/// A device by its name; none for a card that is not here, but whose memory is given, so that a plan can be made for it.
///
/// # Errors
/// When there is no such device, and no memory was given.
pub fn found_or_planned(name: &str, memory: Option<u64>) -> Result<Option<ChosenDevice>, RunError> {
    match device::find(name) {
        Ok(device) => Ok(Some(device)),
        Err(_) if memory.is_some() && has_memory_of_its_own(name) => Ok(None),
        Err(missing) => Err(missing.into()),
    }
}

/// Whether a device, by name, is one that may have memory of its own.
pub fn has_memory_of_its_own(name: &str) -> bool {
    ["cuda", "vulkan", "wgpu"].iter().any(|kind| name.starts_with(kind))
}

/// Free memory of a card as NVIDIA's driver tells it; nothing for other devices, or where its tool is missing.
fn free_on_card(name: &str) -> Option<u64> {
    let (kind, index) = name.split('@').next()?.split_once(':').unwrap_or((name, "0"));
    if !kind.starts_with("cuda") {
        return None;
    }
    let asked = Command::new("nvidia-smi")
        .args(["--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let variable = |name: &str| std::env::var(name).ok();
    let (visible, order) = (variable("CUDA_VISIBLE_DEVICES"), variable("CUDA_DEVICE_ORDER"));
    let is_by_bus = order.as_deref() == Some("PCI_BUS_ID");
    free_in_listing(&String::from_utf8_lossy(&asked.stdout), (visible.as_deref(), is_by_bus), index.parse().ok()?)
}

/// Free bytes of the card with this number among those that are visible, from lines "index, identifier, MiB free". The driver lists
/// cards by their place on the bus, and CUDA numbers them so only where it is told to: by speed otherwise, which nobody knows here.
fn free_in_listing(listing: &str, (visible, is_by_bus): (Option<&str>, bool), index: usize) -> Option<u64> {
    let cards: Vec<Vec<&str>> = listing.lines().map(|line| line.split(',').map(str::trim).collect()).collect();
    let by_name = visible.is_some_and(|visible| visible.trim_start().starts_with("GPU-"));
    if cards.len() > 1 && !is_by_bus && !by_name {
        return None;
    }
    // A process numbers anew the cards that it is shown, by their numbers or by the beginnings of their identifiers.
    let card = match visible.map(str::trim).filter(|visible| !visible.is_empty()) {
        None => cards.get(index)?,
        Some(visible) => {
            let shown = visible.split(',').map(str::trim).nth(index)?;
            cards
                .iter()
                .find(|card| card.first() == Some(&shown) || (shown.starts_with("GPU-") && card.get(1).is_some_and(|name| name.starts_with(shown))))?
        }
    };
    Some(card.get(2)?.parse::<u64>().ok()? << 20)
}

/// Measures a device's rate of matrix products of a model's size, in operations a second; takes about a tenth of a second.
///
/// # Errors
/// When the device failed.
pub fn measure_products<K: Kernels>(kernels: &K, config: &ModelConfig, weight_bytes: u64) -> Result<f64, ModelError> {
    let (outputs, inputs) = (config.intermediate.min(4096), config.hidden.min(4096));
    let rows = 512;
    let x = kernels.upload(rows, inputs, vec![0.5; rows * inputs]);
    let values = vec![0.25; outputs * inputs];
    // In the form in which the model's own weights lie there.
    let weight = if weight_bytes == 2 {
        kernels.keep(outputs, inputs, values)
    } else {
        kernels.upload(outputs, inputs, values)
    };
    let once = |times: usize| -> Result<Duration, ModelError> {
        let began = Instant::now();
        let mut y = None;
        for _ in 0..times {
            y = Some(kernels.linear(&x, &weight, None, y.take()));
        }
        // Reading one row back waits for a device that works in its own time.
        if let Some(y) = y {
            kernels.download(&kernels.slice(&y, 0, 1))?;
        }
        Ok(began.elapsed())
    };
    once(1)?;
    let mut times = 1;
    loop {
        let took = once(times)?;
        if took > Duration::from_millis(60) || times > 1 << 16 {
            return Ok(2.0 * (rows * outputs * inputs * times) as f64 / took.as_secs_f64().max(1e-9));
        }
        times *= 2;
    }
}

/// Measures how long a layer takes from the disk to float32 in memory. The last one: a large file's end is the least likely part
/// of it that the system still holds.
fn measure_reading(checkpoint: &Checkpoint) -> Result<Duration, CheckpointError> {
    let began = Instant::now();
    checkpoint.layer(checkpoint.config().layers.saturating_sub(1))?;
    let took = began.elapsed();
    checkpoint.release();
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "0, GPU-aaaa1111-0000, 24000\n1, GPU-bbbb2222-0000, 80000\n2, GPU-cccc3333-0000, [N/A]\n";

    #[test]
    fn a_card_is_found_by_the_number_that_the_process_sees() {
        let free = |visible, index| free_in_listing(LISTING, (visible, true), index).map(|bytes| bytes >> 20);
        assert_eq!(free(None, 0), Some(24_000));
        assert_eq!(free(None, 1), Some(80_000));
        assert_eq!(free(Some(""), 1), Some(80_000));
        assert_eq!(free(Some("1,0"), 0), Some(80_000));
        assert_eq!(free(Some("1, 0"), 1), Some(24_000));
        assert_eq!(free(Some("GPU-bbbb"), 0), Some(80_000));
        // Nothing rather than a wrong number.
        assert_eq!(free(Some("1"), 1), None);
        assert_eq!(free(Some("MIG-bbbb2222"), 0), None);
        assert_eq!(free(None, 2), None);
        assert_eq!(free(None, 3), None);
        assert_eq!(free_in_listing("No devices were found", (None, true), 0), None);
        assert_eq!(free_in_listing("", (None, true), 0), None);
        // By speed, as CUDA numbers them unless it is told otherwise: only a name or a single card is certain.
        let by_speed = |listing, visible| free_in_listing(listing, (visible, false), 0).map(|bytes| bytes >> 20);
        assert_eq!(by_speed(LISTING, None), None);
        assert_eq!(by_speed(LISTING, Some("1")), None);
        assert_eq!(by_speed(LISTING, Some("GPU-bbbb")), Some(80_000));
        assert_eq!(by_speed("0, GPU-aaaa1111-0000, 24000\n", None), Some(24_000));
    }

    #[test]
    fn only_accelerators_have_memory_of_their_own() {
        assert!(has_memory_of_its_own("cuda:1@bfloat16") && has_memory_of_its_own("vulkan") && has_memory_of_its_own("wgpu:0"));
        assert!(!has_memory_of_its_own("cpu") && !has_memory_of_its_own("flex") && !has_memory_of_its_own("reference"));
    }
}

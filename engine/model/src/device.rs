//! What this machine can compute on, and why the rest is missing.
//!
//! The processors are always there. Everything else runs on burn's tensors, which are built in with the feature `tensors` and
//! with those of the accelerators, `cuda`, `vulkan` and `wgpu`.

#[cfg(feature = "tensors")]
mod accelerators;

use crate::ModelError;
#[cfg(feature = "tensors")]
use crate::kernels::tensors::TensorKernels;
use crate::precision::Precision;
use crate::with_kernels;

/// One kind of device, whether it is here or not.
#[derive(Clone, Debug)]
pub struct DeviceEntry {
    /// The name to ask for it by.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Why it cannot be used, if it cannot.
    pub missing: Option<String>,
}

/// A device that has been found to be there.
#[derive(Clone, Debug)]
pub enum ChosenDevice {
    /// Our own kernels on the CPU, in float32.
    Cpu,
    /// The float64 reference: thousands of times slower, for tiny models.
    Reference,
    /// Kernels over burn tensors.
    #[cfg(feature = "tensors")]
    Tensors(TensorKernels),
}

impl ChosenDevice {
    /// The name in manifests.
    pub fn describe(&self) -> String {
        use crate::kernels::Kernels as _;
        with_kernels!(self.clone(), |kernels| kernels.describe())
    }

    /// Whether weights are copied to the device, rather than used where they were read.
    pub fn copies_weights(&self) -> bool {
        !matches!(self, Self::Cpu | Self::Reference)
    }
}

/// Does some work with the kernels of a [`ChosenDevice`], whatever their type: `with_kernels!(device, |kernels| work)`.
///
/// The work is compiled once for each implementation of [`Kernels`](crate::kernels::Kernels); its value has one type.
#[cfg(feature = "tensors")]
#[macro_export]
macro_rules! with_kernels {
    ($device:expr, |$kernels:ident| $work:expr) => {
        match $device {
            $crate::device::ChosenDevice::Cpu => {
                let $kernels = $crate::kernels::cpu::CpuKernels;
                $work
            }
            $crate::device::ChosenDevice::Reference => {
                let $kernels = $crate::kernels::reference::ReferenceKernels;
                $work
            }
            $crate::device::ChosenDevice::Tensors($kernels) => $work,
        }
    };
}

/// Does some work with the kernels of a [`ChosenDevice`], whatever their type: `with_kernels!(device, |kernels| work)`.
///
/// The work is compiled once for each implementation of [`Kernels`](crate::kernels::Kernels); its value has one type.
// Written a second time, since a `cfg` inside would be asked of the crate that calls it.
#[cfg(not(feature = "tensors"))]
#[macro_export]
macro_rules! with_kernels {
    ($device:expr, |$kernels:ident| $work:expr) => {
        match $device {
            $crate::device::ChosenDevice::Cpu => {
                let $kernels = $crate::kernels::cpu::CpuKernels;
                $work
            }
            $crate::device::ChosenDevice::Reference => {
                let $kernels = $crate::kernels::reference::ReferenceKernels;
                $work
            }
        }
    };
}

/// The kinds of device on burn's tensors, each with the feature that builds it in.
const TENSOR_DEVICES: [(&str, &str); 4] = [("cuda", "cuda"), ("vulkan", "vulkan"), ("wgpu", "wgpu"), ("flex", "flex")];

/// Kinds of devices, by the names that [`find`] takes.
const KINDS: [&str; 6] = ["cpu", "reference", "flex", "cuda", "vulkan", "wgpu"];

/// What a device's numbers depend on, of its name: the kind and the precision (`cuda@bfloat16`), and not which of several it is. What is
/// kept to be gone on with carries it in its key, so that instances of one arithmetic never meet those of another.
pub fn arithmetic(name: &str) -> String {
    let (place, precision) = name.split_once('@').unwrap_or((name, "float32"));
    let kind = place.split_once(':').map_or(place, |(kind, _)| kind);
    format!("{kind}@{precision}")
}

/// Every [`arithmetic`] that there is.
pub fn arithmetics() -> Vec<String> {
    let precisions = ["float32", "bfloat16"];
    KINDS
        .iter()
        .flat_map(|kind| precisions.iter().map(move |precision| format!("{kind}@{precision}")))
        .collect()
}

/// Everything that could be computed on, in the order of preference among accelerators.
pub fn list() -> Vec<DeviceEntry> {
    let mut entries = vec![DeviceEntry {
        name: "cpu".into(),
        description: format!("this machine's processors, {} threads, float32", rayon::current_num_threads()),
        missing: None,
    }];
    entries.extend(TENSOR_DEVICES.iter().flat_map(|(kind, feature)| entries_of(kind, feature)));
    entries.push(DeviceEntry {
        name: "reference".into(),
        description: "plain float64 loops, for tiny models only".into(),
        missing: None,
    });
    entries
}

/// Finds a device by name, such as `cpu`, `vulkan` or `cuda:1`; `cuda:1@bfloat16` takes the modules' products in bfloat16.
///
/// # Errors
/// When there is no such device here; the error says why, and which feature builds it in where the program was built without.
pub fn find(name: &str) -> Result<ChosenDevice, ModelError> {
    let refuse = |why: String| ModelError::Device { asked: name.into(), why };
    let (place, precision) = match name.split_once('@') {
        None => (name, Precision::Float32),
        Some((place, "float32")) => (place, Precision::Float32),
        Some((place, "bfloat16")) => (place, Precision::BFloat16),
        Some((_, other)) => return Err(refuse(format!("unknown precision \"{other}\"; known are float32 and bfloat16"))),
    };
    let (kind, index) = match place.split_once(':') {
        Some((kind, index)) => (kind, index.parse::<usize>().map_err(|_| refuse(format!("invalid device index \"{index}\"")))?),
        None => (place, 0),
    };
    match kind {
        "cpu" | "reference" if precision != Precision::Float32 => Err(refuse("products in bfloat16 are for accelerators; leave \"@bfloat16\" out".into())),
        "cpu" | "reference" | "flex" if index > 0 => Err(refuse("there is one device of this kind".into())),
        "cpu" => Ok(ChosenDevice::Cpu),
        "reference" => Ok(ChosenDevice::Reference),
        _ => match TENSOR_DEVICES.iter().find(|(known, _)| *known == kind) {
            Some((_, feature)) => on_tensors(kind, feature, index, place, precision).map_err(refuse),
            None => Err(refuse(format!("unknown device; known are cpu, reference and {}", buildable()))),
        },
    }
}

/// The kinds on burn's tensors, with what to build for each that this program lacks.
fn buildable() -> String {
    let kinds = TENSOR_DEVICES.map(|(kind, feature)| match is_built(kind) {
        true => kind.to_string(),
        false => format!("{kind} ({})", without(feature)),
    });
    kinds.join(", ")
}

/// Whether this program was built for a kind of device.
fn is_built(kind: &str) -> bool {
    let built = [
        ("cuda", cfg!(feature = "cuda")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("flex", cfg!(feature = "flex")),
    ];
    built.contains(&(kind, true))
}

/// What to do about a device that the program was built without.
fn without(feature: &str) -> String {
    format!("this program was built without it; build with --features {feature}")
}

/// A device on burn's tensors, or why there is none.
#[cfg(feature = "tensors")]
fn on_tensors(kind: &str, feature: &str, index: usize, place: &str, precision: Precision) -> Result<ChosenDevice, String> {
    if !is_built(kind) {
        return Err(without(feature));
    }
    let devices = accelerators::of_kind(kind)?;
    let count = devices.len();
    let device = devices.into_iter().nth(index).ok_or_else(|| format!("{count} of this kind were found"))?;
    let kernels = TensorKernels::new(device, place).with_precision(precision);
    kernels.map(ChosenDevice::Tensors).ok_or_else(|| "this device does not know bfloat16".into())
}

#[cfg(not(feature = "tensors"))]
fn on_tensors(_: &str, feature: &str, _: usize, _: &str, _: Precision) -> Result<ChosenDevice, String> {
    Err(without(feature))
}

/// The devices of a kind on burn's tensors as they stand in the list.
fn entries_of(kind: &str, feature: &str) -> Vec<DeviceEntry> {
    let missing = |why: String| DeviceEntry {
        name: kind.into(),
        description: String::new(),
        missing: Some(why),
    };
    if !is_built(kind) {
        return vec![missing(without(feature))];
    }
    #[cfg(feature = "tensors")]
    {
        let entry = |(name, description)| DeviceEntry {
            name,
            description,
            missing: None,
        };
        match accelerators::described(kind) {
            Ok(devices) => devices.into_iter().map(entry).collect(),
            Err(why) => vec![missing(why)],
        }
    }
    #[cfg(not(feature = "tensors"))]
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_hang_on_kind_and_precision() {
        assert_eq!(arithmetic("cuda:1@bfloat16"), arithmetic("cuda:0@bfloat16"));
        assert_eq!(arithmetic("cpu"), "cpu@float32");
        assert_ne!(arithmetic("cuda"), arithmetic("cuda@bfloat16"));
        for name in ["cpu", "flex@bfloat16", "cuda:3"] {
            assert!(arithmetics().contains(&arithmetic(name)), "{name}");
        }
    }

    #[test]
    fn a_precision_stands_behind_the_device_and_is_refused_where_it_means_nothing() {
        assert_eq!(find("flex").unwrap().describe(), "flex, float32");
        assert_eq!(find("flex@float32").unwrap().describe(), "flex, float32");
        assert_eq!(find("flex@bfloat16").unwrap().describe(), "flex, products in bfloat16, else float32");
        for (name, said) in [
            ("cpu@bfloat16", "for accelerators"),
            ("flex@int4", "known are float32 and bfloat16"),
            ("tpu@bfloat16", "unknown device"),
            ("cpu:1", "one device of this kind"),
            ("flex:x", "invalid device index \"x\""),
        ] {
            let error = find(name).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(said) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_the_program_was_built_without_is_named_with_its_feature() {
        let entries = list();
        for (kind, feature) in TENSOR_DEVICES.into_iter().filter(|(kind, _)| !is_built(kind)) {
            let advice = format!("--features {feature}");
            let error = find(kind).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&advice), "{error}");
            let unknown = find("tpu").err().map(|error| error.to_string()).unwrap_or_default();
            assert!(unknown.contains(kind) && unknown.contains(&advice), "{unknown}");
            assert!(
                entries
                    .iter()
                    .any(|entry| entry.name == kind && entry.missing.as_deref().is_some_and(|why| why.contains(&advice)))
            );
        }
    }
}

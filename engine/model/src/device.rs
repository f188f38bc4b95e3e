//! What this machine can compute on, and why the rest is missing.
//!
//! A device is chosen by name at run time. Constructing a burn device that is not there panics in its first operation, so
//! everything is enumerated first.

use burn::tensor::Device;

use crate::kernels::tensors::{Precision, TensorKernels};
use crate::{ModelError, with_kernels};

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
    Tensors(TensorKernels),
}

impl ChosenDevice {
    /// The name in manifests.
    pub fn describe(&self) -> String {
        use crate::kernels::Kernels as _;
        with_kernels!(self.clone(), |kernels| kernels.describe())
    }
}

/// Does some work with the kernels of a [`ChosenDevice`], whatever their type: `with_kernels!(device, |kernels| work)`.
///
/// The work is compiled once for each implementation of [`Kernels`](crate::kernels::Kernels); its value has one type.
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

/// Kinds of devices, by the names that [`find`] takes.
const KINDS: [&str; 6] = ["cpu", "reference", "flex", "cuda", "vulkan", "wgpu"];

/// What a device's numbers hang on, of its name: the kind and the precision (`cuda@bfloat16`), and not which of several it is. What is
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
    entries.extend(accelerators().into_iter().flat_map(|(kind, found)| entries_of(kind, found)));
    entries.push(DeviceEntry {
        name: "flex".into(),
        description: "burn's own CPU backend, float32; slower than cpu, to check the tensor kernels".into(),
        missing: None,
    });
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
/// When there is no such device here; the error says why.
pub fn find(name: &str) -> Result<ChosenDevice, ModelError> {
    let refuse = |why: String| ModelError::Device { asked: name.into(), why };
    let (place, precision) = match name.split_once('@') {
        None => (name, Precision::Float32),
        Some((place, "float32")) => (place, Precision::Float32),
        Some((place, "bfloat16")) => (place, Precision::BrainFloat16),
        Some((_, other)) => return Err(refuse(format!("\"{other}\" is no precision; known are float32 and bfloat16"))),
    };
    let (kind, index) = match place.split_once(':') {
        Some((kind, index)) => (
            kind,
            index.parse::<usize>().map_err(|_| refuse(format!("\"{index}\" is no number of a device")))?,
        ),
        None => (place, 0),
    };
    let tensors = |device: Device, place: &str| {
        let kernels = TensorKernels::new(device, place).with_precision(precision);
        kernels
            .map(ChosenDevice::Tensors)
            .ok_or_else(|| refuse("this device does not know bfloat16".into()))
    };
    match kind {
        "cpu" | "reference" if precision != Precision::Float32 => {
            return Err(refuse("products in bfloat16 are for accelerators; leave \"@bfloat16\" out".into()));
        }
        "cpu" | "reference" | "flex" if index > 0 => return Err(refuse("there is one of this kind".into())),
        "cpu" => return Ok(ChosenDevice::Cpu),
        "reference" => return Ok(ChosenDevice::Reference),
        "flex" => return tensors(Device::flex(), "flex"),
        _ => {}
    }
    match accelerators().into_iter().find(|(known, _)| *known == kind) {
        None => Err(refuse("no such kind is known; known are cpu, vulkan, wgpu, cuda, flex, reference".into())),
        Some((_, Err(why))) => Err(refuse(why)),
        Some((_, Ok(devices))) => {
            let count = devices.len();
            let device = devices
                .into_iter()
                .nth(index)
                .ok_or_else(|| refuse(format!("{count} of this kind were found")))?;
            tensors(device, place)
        }
    }
}

type Found = Result<Vec<Device>, String>;

fn entries_of(kind: &'static str, found: Found) -> Vec<DeviceEntry> {
    match found {
        Ok(devices) => devices
            .iter()
            .enumerate()
            .map(|(index, device)| DeviceEntry {
                name: format!("{kind}:{index}"),
                description: format!("{device:?}"),
                missing: None,
            })
            .collect(),
        Err(why) => vec![DeviceEntry {
            name: kind.into(),
            description: String::new(),
            missing: Some(why),
        }],
    }
}

fn accelerators() -> Vec<(&'static str, Found)> {
    vec![("cuda", cuda()), ("vulkan", vulkan()), ("wgpu", wgpu())]
}

#[cfg(feature = "cuda")]
fn cuda() -> Found {
    found(burn::tensor::DeviceType::Cuda, "no NVIDIA driver with a card was found")
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Found {
    Err("this program was built without it; build with --features cuda".into())
}

#[cfg(feature = "vulkan")]
fn vulkan() -> Found {
    let devices = found(burn::tensor::DeviceType::Vulkan, "no Vulkan driver with a device was found")?;
    // SPIR-V as burn writes it makes software drivers (llvmpipe of Mesa 22) end the process with a segmentation fault.
    let cards: Vec<Device> = devices.into_iter().filter(|device| !format!("{device:?}").contains("Cpu")).collect();
    if cards.is_empty() {
        Err("only a software driver was found, which this path crashes; wgpu runs on it".into())
    } else {
        Ok(cards)
    }
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Found {
    Err("this program was built without it; build with --features vulkan".into())
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Found {
    found(burn::tensor::DeviceType::Wgpu, "no graphics driver with a device was found")
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Found {
    Err("this program was built without it; build with --features wgpu".into())
}

/// Devices of one kind; the drivers below may panic while they look, which counts as "not there".
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
fn found(kind: burn::tensor::DeviceType, none: &str) -> Found {
    let devices: Vec<Device> =
        std::panic::catch_unwind(|| Device::enumerate(kind).into_iter().collect()).map_err(|_| format!("{none} (the driver failed while it was asked)"))?;
    if devices.is_empty() { Err(none.into()) } else { Ok(devices) }
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
            ("tpu@bfloat16", "no such kind"),
            ("cpu:3", "one of this kind"),
            ("flex:7", "one of this kind"),
        ] {
            let error = find(name).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(said) && error.contains(name), "{error}");
        }
    }
}

//! Devices of burn's tensors. Constructing one that is not there panics in its first operation, so everything is enumerated first.

use burn::tensor::Device;

/// The devices of a kind that this program was built for, in the order of their numbers.
///
/// # Errors
/// When there is none, with the reason.
pub fn of_kind(kind: &str) -> Result<Vec<Device>, String> {
    match kind {
        #[cfg(feature = "cuda")]
        "cuda" => found(burn::tensor::DeviceType::Cuda, "no NVIDIA driver with a card was found"),
        #[cfg(feature = "vulkan")]
        "vulkan" => {
            let devices = found(burn::tensor::DeviceType::Vulkan, "no Vulkan driver with a device was found")?;
            // SPIR-V as burn writes it makes software drivers (llvmpipe of Mesa 22) end the process with a segmentation fault.
            let cards: Vec<Device> = devices.into_iter().filter(|device| !format!("{device:?}").contains("Cpu")).collect();
            if cards.is_empty() {
                Err("only a software driver was found, which this path crashes; wgpu runs on it".into())
            } else {
                Ok(cards)
            }
        }
        #[cfg(feature = "wgpu")]
        "wgpu" => found(burn::tensor::DeviceType::Wgpu, "no graphics driver with a device was found"),
        #[cfg(feature = "flex")]
        "flex" => Ok(vec![Device::flex()]),
        _ => Err("this program was built without it".into()),
    }
}

/// Name and description of the devices of a kind.
///
/// # Errors
/// As [`of_kind`].
pub fn described(kind: &str) -> Result<Vec<(String, String)>, String> {
    if kind == "flex" {
        let description = "burn's own CPU backend, float32; slower than cpu, to check the tensor kernels";
        return Ok(vec![(kind.into(), description.into())]);
    }
    let devices = of_kind(kind)?.into_iter().enumerate();
    Ok(devices.map(|(index, device)| (format!("{kind}:{index}"), format!("{device:?}"))).collect())
}

/// Devices of one kind; the drivers below may panic while they look, which counts as "not there".
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "wgpu"))]
fn found(kind: burn::tensor::DeviceType, none: &str) -> Result<Vec<Device>, String> {
    let devices: Vec<Device> =
        std::panic::catch_unwind(|| Device::enumerate(kind).into_iter().collect()).map_err(|_| format!("{none} (the driver failed while it was asked)"))?;
    if devices.is_empty() { Err(none.into()) } else { Ok(devices) }
}

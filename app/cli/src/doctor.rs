//! `cruxscope doctor`: what is here and what is missing, in one paste for a report of a fault.
//!
//! It says nothing of studies, models or people: folders below the user's own are written with `~`. It changes nothing, and what cannot be
//! found out is said to be unknown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use cruxscope_model::device;
use cruxscope_run::machine::{available_memory, format_bytes, memory_left_by_limits, total_memory};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::page;

/// Names the Python that is asked; `python -m cruxscope` sets it to its own.
const PYTHON: &str = "CRUXSCOPE_INTERPRETER";
/// What Python is asked; packages are looked up, not imported.
const QUESTION: &str = r#"
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
names = ["cruxscope", "numpy", "safetensors", "pandas", "matplotlib", "torch", "transformers"]
print(json.dumps({"version": sys.version.split()[0], "path": sys.executable, "packages": {name: version(name) for name in names}}))
"#;
/// Variables of the environment that change what runs where.
const VARIABLES: [&str; 9] = [
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "DISPLAY",
    "RAYON_NUM_THREADS",
    "SLURM_CPUS_ON_NODE",
    "SLURM_JOB_ID",
    "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_NODE",
    "WAYLAND_DISPLAY",
];
/// Width of the names on the left.
const NAMES: usize = 13;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What is here.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    built_for: String,
    /// Features that accelerators need.
    features: Vec<&'static str>,
    program: Option<String>,
    system: System,
    memory: Memory,
    devices: Vec<Device>,
    gpus: Vec<String>,
    page: Option<String>,
    checkout: Option<String>,
    python: Option<Python>,
    environment: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct System {
    name: Option<String>,
    kernel: Option<String>,
    processor: Option<String>,
    instructions: Vec<&'static str>,
    threads: usize,
}

/// Bytes; nothing where the system does not say.
#[derive(Serialize)]
struct Memory {
    total: Option<u64>,
    available: Option<u64>,
    /// What a control group or Slurm leaves; nothing where there is no limit.
    left_by_limits: Option<u64>,
}

#[derive(Serialize)]
struct Device {
    name: String,
    description: String,
    missing: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Python {
    version: String,
    path: String,
    packages: BTreeMap<String, Option<String>>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = Report::gather();
    if arguments.json { print_json(&report) } else { print_text(&report.text()) }
}

/// What measurements say of where they were made: program, features, system, memory and cards.
pub fn machine() -> serde_json::Value {
    let report = Report::gather();
    serde_json::json!({
        "version": report.version,
        "built_for": report.built_for,
        "features": report.features,
        "system": report.system,
        "memory": report.memory,
        "gpus": report.gpus,
    })
}

impl Report {
    fn gather() -> Self {
        let features = [
            ("cuda", cfg!(feature = "cuda")),
            ("vulkan", cfg!(feature = "vulkan")),
            ("wgpu", cfg!(feature = "wgpu")),
        ];
        Self {
            version: env!("CARGO_PKG_VERSION"),
            built_for: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
            features: features.into_iter().filter_map(|(name, is_built)| is_built.then_some(name)).collect(),
            program: std::env::current_exe().ok().map(|path| at_home(&path)),
            system: System::gather(),
            memory: Memory {
                total: total_memory(),
                available: available_memory(),
                left_by_limits: memory_left_by_limits(),
            },
            devices: device::list()
                .into_iter()
                .map(|entry| Device {
                    name: entry.name,
                    description: entry.description,
                    missing: entry.missing,
                })
                .collect(),
            gpus: gpus(),
            page: page::installed().map(|path| at_home(&path)),
            checkout: page::checkout().map(|path| at_home(&path)),
            python: python(),
            environment: VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect(),
        }
    }

    /// The report for a person: names on the left, `-` for what is unknown or missing.
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let mut line = |name: &str, content: String| {
            let _ = writeln!(text, "{name:<NAMES$} {content}");
        };
        let or_dash = |content: &Option<String>| content.clone().unwrap_or_else(|| "-".into());
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), format_bytes);
        let features = if self.features.is_empty() {
            "none".to_owned()
        } else {
            self.features.join(", ")
        };
        line(
            "cruxscope",
            format!("{} for {}; features of accelerators: {features}", self.version, self.built_for),
        );
        line("program", or_dash(&self.program));
        line("system", format!("{}, kernel {}", or_dash(&self.system.name), or_dash(&self.system.kernel)));
        let instructions = self.system.instructions.join(" ");
        line(
            "processor",
            format!("{}, {} threads; {instructions}", or_dash(&self.system.processor), self.system.threads),
        );
        let limit = self
            .memory
            .left_by_limits
            .map_or_else(|| "no limit is set".into(), |left| format!("a limit leaves {}", format_bytes(left)));
        line(
            "memory",
            format!("{} of {} can be used; {limit}", size(self.memory.available), size(self.memory.total)),
        );
        for device in &self.devices {
            let words = match &device.missing {
                None => device.description.clone(),
                Some(why) => format!("not available: {why}"),
            };
            line("device", format!("{:<10} {words}", device.name));
        }
        for gpu in &self.gpus {
            line("GPU", gpu.clone());
        }
        if self.gpus.is_empty() {
            line("GPU", "NVIDIA's driver tells of none (nvidia-smi)".into());
        }
        let page = match (&self.page, &self.checkout) {
            (Some(page), _) => page.clone(),
            (None, Some(checkout)) => format!("none is installed; `publish` builds it from {checkout}"),
            (None, None) => "none is installed; `publish --page DIR` takes one that cruxscope-web built".into(),
        };
        line("page", page);
        match &self.python {
            None => line("Python", "none answers".into()),
            Some(python) => {
                line("Python", format!("{} ({})", python.version, python.path));
                let packages = python.packages.iter();
                let packages: Vec<String> = packages
                    .map(|(name, version)| format!("{name} {}", version.as_deref().unwrap_or("-")))
                    .collect();
                line("packages", packages.join(", "));
            }
        }
        for (name, value) in &self.environment {
            line("environment", format!("{name}={value}"));
        }
        text.trim_end().to_owned()
    }
}

impl System {
    fn gather() -> Self {
        let field = |file: &str, name: &str, sign: char| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(sign)?.1.trim().trim_matches('"').to_owned())
        };
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            name: field("/etc/os-release", "PRETTY_NAME=", '='),
            kernel: kernel.map(|kernel| kernel.trim().to_owned()),
            processor: field("/proc/cpuinfo", "model name", ':'),
            instructions: instructions(),
            threads: rayon::current_num_threads(),
        }
    }
}

/// The sets of instructions that kernels choose by.
#[cfg(target_arch = "x86_64")]
fn instructions() -> Vec<&'static str> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    known.into_iter().filter_map(|(name, is_here)| is_here.then_some(name)).collect()
}

/// The sets of instructions that kernels choose by.
#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> Vec<&'static str> {
    vec![std::env::consts::ARCH]
}

/// A path, `~` standing for the user's folder.
fn at_home(path: &Path) -> String {
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).map(PathBuf::from);
    match home
        .as_deref()
        .filter(|home| home.components().count() > 1)
        .and_then(|home| path.strip_prefix(home).ok())
    {
        Some(below) => Path::new("~").join(below).display().to_string(),
        None => path.display().to_string(),
    }
}

/// Cards as NVIDIA's driver lists them.
fn gpus() -> Vec<String> {
    let query = ["--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader"];
    let listed = output_of(Command::new("nvidia-smi").args(query)).unwrap_or_default();
    listed.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The first Python that answers: the one that is named, the one beside this program, the system's.
fn python() -> Option<Python> {
    let named = std::env::var_os(PYTHON).map(PathBuf::from);
    let folder = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let name = if cfg!(windows) { "python.exe" } else { "python3" };
    // Only an environment's own: what lies beside a program of /usr/bin is found by its name.
    let beside = folder
        .filter(|folder| folder.parent().is_some_and(|root| root.join("pyvenv.cfg").is_file()))
        .map(|folder| folder.join(name));
    let candidates = named.into_iter().chain(beside).chain(["python3".into(), "python".into()]);
    let mut python = candidates.into_iter().find_map(|candidate| {
        let printed = output_of(Command::new(candidate).args(["-c", QUESTION]))?;
        serde_json::from_str::<Python>(&printed).ok()
    })?;
    python.path = at_home(Path::new(&python.path));
    Some(python)
}

/// What a program prints, if it is there and does not fail.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_everything_that_is_asked_for_in_reports_of_faults() {
        let mut report = Report::gather();
        report.python = None;
        report.memory = Memory {
            total: Some(8 << 30),
            available: Some(2 << 30),
            left_by_limits: None,
        };
        report.devices = vec![Device {
            name: "cuda".into(),
            description: String::new(),
            missing: Some("built without the feature".into()),
        }];
        let text = report.text();
        for expected in [
            env!("CARGO_PKG_VERSION"),
            "2.0 GiB of 8.0 GiB can be used; no limit is set",
            "cuda       not available: built without the feature",
            "Python        none answers",
            "\npage ",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() > NAMES && line.is_char_boundary(NAMES)));
    }

    #[test]
    fn folders_below_the_users_own_do_not_name_the_user() {
        let Some(home) = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.components().count() > 1) else {
            return;
        };
        assert_eq!(at_home(&home.join("a/b")), Path::new("~/a/b").display().to_string());
        assert_eq!(at_home(Path::new("/opt/x")), "/opt/x");
    }
}

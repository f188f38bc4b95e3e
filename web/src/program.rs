//! The program that runs in the page: compiled for the browser, with the glue that a script can call.
//!
//! Nothing has to be installed for it: the compiler's target is added if it is missing, and the glue is made by a library.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use cruxscope_site::PROGRAM;
use serde::Deserialize;
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGE: &str = "cruxscope-web";

/// Compiles the program and writes its files into `folder`.
///
/// # Errors
/// When the target cannot be added, the program does not compile, or the glue cannot be made.
pub fn build(folder: &Path, dev: bool) -> anyhow::Result<()> {
    add_target()?;
    let wasm = compile(dev)?;
    eprintln!("making the glue of {}", wasm.display());
    Bindgen::new()
        .input_path(&wasm)
        .web(true)
        .and_then(|bindgen| {
            bindgen
                .typescript(false)
                .remove_name_section(!dev)
                .remove_producers_section(true)
                .out_name(PROGRAM)
                .generate(folder)
        })
        .with_context(|| format!("could not make the glue between {} and a script", wasm.display()))
}

/// The checkout that this program was built from.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder in which cargo keeps what it builds, as an absolute path.
pub fn target_folder() -> PathBuf {
    named_target_folder().unwrap_or_else(|| workspace().join("target"))
}

/// The target folder that the environment names. A relative one is meant from where this program was started, while cargo is
/// started from the checkout.
fn named_target_folder() -> Option<PathBuf> {
    let folder = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty())?;
    Some(std::path::absolute(&folder).unwrap_or_else(|_| PathBuf::from(folder)))
}

/// Makes sure that the compiler knows the browser's target.
fn add_target() -> anyhow::Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Command::new(&rustc)
        .args(["--print", "sysroot"])
        .current_dir(workspace())
        .output()
        .context("could not ask the compiler where it lives")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir() {
        return Ok(());
    }
    eprintln!("adding the compiler's target {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(workspace()).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("the compiler's target {TARGET} is missing and rustup could not add it; its words stand above"),
        Err(_) => {
            bail!(
                "the compiler's target {TARGET} is missing, and rustup, which would add it, was not found: install rustup from https://rustup.rs, or your system's package of the target"
            )
        }
    }
}

/// One line of what cargo says about its work.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    target: Option<MessageTarget>,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
}

/// Compiles, and gives the path of the program.
fn compile(dev: bool) -> anyhow::Result<PathBuf> {
    let profile = if dev { "dev" } else { "web" };
    let time = if dev {
        String::new()
    } else {
        format!(": {}", cruxscope_site::time_to_build(&target_folder()))
    };
    eprintln!("compiling the program of the page (profile {profile}){time}");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut child = Command::new(&cargo)
        .args(["build", "--package", PACKAGE, "--lib", "--target", TARGET, "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        // Flags meant for this machine's processor mean nothing to the browser's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // Whole-program optimisation and incremental compilation exclude each other.
        .env("CARGO_INCREMENTAL", if dev { "1" } else { "0" })
        .envs(named_target_folder().map(|folder| ("CARGO_TARGET_DIR", folder)))
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {}", cargo.display()))?;
    let mut program = None;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("could not read what cargo says")?;
            program = program_of(&line).or(program);
        }
    }
    if !child.wait().context("cargo did not end")?.success() {
        bail!("the program of the page did not compile; the compiler's words stand above");
    }
    program.context("cargo compiled, but named no program for the browser")
}

/// The path of the program, if this line of cargo's names it.
fn program_of(line: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    if message.reason != "compiler-artifact" || message.target?.name != PROGRAM {
        return None;
    }
    message
        .filenames
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_s_words_are_understood() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"cruxscope_web","kind":["cdylib"]},"filenames":["/t/a.rlib","/t/cruxscope_web.wasm"]}"#;
        assert_eq!(program_of(line), Some(PathBuf::from("/t/cruxscope_web.wasm")));
        for other in [
            r#"{"reason":"build-finished","success":true}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"egui"},"filenames":["/t/x.wasm"]}"#,
            "not json",
        ] {
            assert_eq!(program_of(other), None, "{other}");
        }
    }
}

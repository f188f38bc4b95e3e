//! The pictures of the README, drawn without a display: `cargo run --release -p cruxscope-window --example pictures -- OUT [SKETCHED]`.
//!
//! OUT is the folder to write them to; SKETCHED a study with a sensitivity, for the picture of a budget. The other studies are those that come
//! with the program. Drawn by a Vulkan driver, so that another driver may draw edges otherwise.

#![allow(clippy::unwrap_used)] // a picture that cannot be drawn is one that stops

#[cfg(not(target_arch = "wasm32"))]
mod draw {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use cruxscope_window::{CruxscopeApp, StartupOptions};
    use egui::{Key, Theme};
    use egui_kittest::Harness;

    const SIZE: [f32; 2] = [1_440.0, 900.0];

    /// The window over some studies with what a link says, once everything has arrived; pressed are keys.
    fn picture(out: &Path, name: &str, size: [f32; 2], places: &[PathBuf], pairs: &[(&str, &str)], keys: &[Key]) {
        let (mut options, complaints) = StartupOptions::from_pairs(pairs.iter().copied());
        assert!(complaints.is_empty(), "{complaints:?}");
        options.studies = places.iter().map(|place| place.display().to_string()).collect();
        let mut harness = Harness::builder()
            .with_size(size)
            .with_theme(Theme::Dark)
            .with_max_steps(8)
            .wgpu()
            .build_eframe(move |cc| CruxscopeApp::new(cc, options));
        let wait = |harness: &mut Harness<'_, CruxscopeApp>, seconds| {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(seconds) {
                harness.step();
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait(&mut harness, 6);
        for key in keys {
            harness.key_press(*key);
            wait(&mut harness, 1);
        }
        let path = out.join(format!("{name}.png"));
        harness.render().unwrap().save(&path).unwrap();
        println!("{}", path.display());
    }

    pub fn all(out: &Path, sketched: Option<PathBuf>) {
        std::fs::create_dir_all(out).unwrap();
        let studies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies");
        let (smollm2, miniature) = (vec![studies.join("smollm2")], vec![studies.join("miniature")]);
        picture(out, "importance-dark", SIZE, &smollm2, &[("theme", "dark")], &[]);
        picture(out, "benchmarks-dark", SIZE, &[], &[("theme", "dark"), ("view", "benchmarks")], &[]);
        picture(out, "variants-dark", SIZE, &miniature, &[("theme", "dark"), ("view", "variants")], &[]);
        picture(
            out,
            "presenter-dark",
            [1_920.0, 1_080.0],
            &miniature,
            &[("theme", "dark"), ("stop", "3")],
            &[Key::F],
        );
        if let Some(sketched) = sketched {
            picture(out, "budget-dark", SIZE, &[sketched], &[("theme", "dark"), ("view", "budget")], &[]);
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    let arguments: Vec<std::path::PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    match arguments.as_slice() {
        [out] => draw::all(out, None),
        [out, sketched] => draw::all(out, Some(sketched.clone())),
        _ => eprintln!("pictures OUT [SKETCHED]"),
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {}

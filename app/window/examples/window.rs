//! Opens studies in the window: `cargo run --release -p cruxscope-window --example window -- STUDY [--key=value]`.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pairs = arguments.iter().map(|argument| match argument.strip_prefix("--") {
        Some(option) => option.split_once('=').unwrap_or((option, "")),
        None => ("study", argument.as_str()),
    });
    let (options, complaints) = cruxscope_window::StartupOptions::from_pairs(pairs);
    for complaint in complaints {
        eprintln!("{complaint}");
    }
    cruxscope_window::open_window(options, Vec::new(), None, cruxscope_window::remembered::Remembered::default())?;
    Ok(())
}

#[cfg(target_arch = "wasm32")]
fn main() {}

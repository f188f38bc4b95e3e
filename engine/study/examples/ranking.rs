//! A study's most important components, with their stability: `cargo run -p cruxscope-study --example ranking -- STUDY`.

use std::path::PathBuf;

use cruxscope_study::{Behaviour, Bootstrap, Ranks, StudyError, folder};

fn main() -> Result<(), StudyError> {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../app/studies/smollm2");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(shipped), PathBuf::from);
    let study = folder::load(&path)?;
    for behaviour in Behaviour::ALL {
        let relative = study.importance.relative_of(behaviour);
        let stability = study.contributions.stability(study.importance.layers(), behaviour, &Bootstrap::default())?;
        for component in Ranks::of(&relative).order().iter().take(3) {
            let index = component.index();
            print!("{behaviour}: {component} {:.2} %", 100.0 * relative[index]);
            match stability.as_ref().map(|stability| stability[index]) {
                Some(stable) => println!(", 95 % between {:.2} and {:.2} %", 100.0 * stable.low, 100.0 * stable.high),
                None => println!(),
            }
        }
    }
    Ok(())
}

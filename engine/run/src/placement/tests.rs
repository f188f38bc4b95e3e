use std::time::Duration;

use cruxscope_checkpoint::ModelConfig;
use cruxscope_interpret::Layout;

use super::*;
use crate::synthetic::{Published, Shape};

const GIB: u64 = 1 << 30;

/// The configuration of a published model.
fn config(model: &Published) -> ModelConfig {
    Shape::of(*model, None).unwrap().config().clone()
}

/// A card with so much free memory in a machine with so much.
fn card(device: u64, machine: u64) -> Place {
    Place {
        weight_bytes: 2,
        copies: true,
        machine_memory: Some(machine * GIB),
        device_memory: Some(device * GIB),
        products: None,
        layer_reading: None,
    }
}

fn processors(machine: u64) -> Place {
    Place {
        weight_bytes: 4,
        copies: false,
        device_memory: None,
        ..card(0, machine)
    }
}

/// Instances as the paper's: 4,000 tokens, 1,500 rows of segments.
fn place(config: &ModelConfig, instances: usize, weights: WeightsChoice, place: &Place) -> Result<Placement, RunError> {
    let needs = vec![Needs::of(config, &Layout::of(config), 4000, 25, 1500, 4); instances];
    Placement::choose(config, &needs, &vec![100e12; instances], weights, place)
}

#[test]
fn eight_billion_weights_fit_a_card_of_24_gigabytes_and_a_desktop_without_one() {
    let config = config(&Published::Llama8b);
    // What is free of 24 GB after the driver's share, in a machine with 32.
    let found = place(&config, 120, WeightsChoice::Automatic, &card(23, 30)).unwrap();
    assert_eq!((found.weights, found.activations), (Residence::Resident, ActivationStorage::Device));
    assert!((15 * GIB..19 * GIB).contains(&found.memory.device), "{:?}", found.memory);
    assert_eq!(found.batches, vec![1; 120]);
    // Less free: what instances keep goes to the machine first, then the weights stay on the disk.
    let found = place(&config, 120, WeightsChoice::Automatic, &card(21, 30)).unwrap();
    assert_eq!((found.weights, found.activations), (Residence::Resident, ActivationStorage::Memory));
    let found = place(&config, 120, WeightsChoice::Automatic, &card(12, 30)).unwrap();
    assert_eq!((found.weights, found.activations), (Residence::Streamed, ActivationStorage::Memory));
    assert!(found.batches.iter().any(|count| *count > 1), "{:?}", found.batches);

    let found = place(&config, 120, WeightsChoice::Automatic, &processors(23)).unwrap();
    assert_eq!((found.weights, found.activations), (Residence::Streamed, ActivationStorage::Device));
    assert!(found.memory.machine < 19 * GIB, "{:?}", found.memory);
    // So little that what is kept must go to the disk.
    let found = place(&config, 120, WeightsChoice::Automatic, &processors(8)).unwrap();
    assert_eq!((found.weights, found.activations), (Residence::Streamed, ActivationStorage::Disk));
    assert!(found.memory.disk > GIB && found.memory.machine < 7 * GIB, "{:?}", found.memory);
}

#[test]
fn seventy_billion_weights_go_through_a_card_of_80_gigabytes() {
    let config = config(&Published::Llama70b);
    let found = place(&config, 120, WeightsChoice::Automatic, &card(79, 120)).unwrap();
    assert_eq!((found.weights, found.activations), (Residence::Streamed, ActivationStorage::Memory));
    assert!(found.memory.device < 63 * GIB && found.memory.machine < 96 * GIB, "{:?}", found.memory);
    let refused = place(&config, 120, WeightsChoice::Resident, &card(79, 120)).unwrap_err().to_string();
    assert!(
        refused.contains("of the device's memory") && refused.contains("--weights streamed"),
        "{refused}"
    );
    let refused = place(&config, 120, WeightsChoice::Automatic, &card(4, 120)).unwrap_err().to_string();
    assert!(refused.contains("of the device's memory") && refused.contains("--max-length"), "{refused}");
    let refused = place(&config, 120, WeightsChoice::Automatic, &processors(4)).unwrap_err().to_string();
    assert!(!refused.contains("device") && refused.contains("--max-length"), "{refused}");
}

#[test]
fn batches_grow_until_reading_is_hidden_and_no_further() {
    let config = config(&Published::Llama8b);
    let measured = |products: f64| Place {
        products: Some(products),
        layer_reading: Some(Duration::from_millis(500)),
        ..card(12, 120)
    };
    // An instance of 100 TFLOP takes 1,000 seconds, reading the layers twice 32: it is hidden by one instance.
    let slow = place(&config, 7, WeightsChoice::Streamed, &measured(0.1e12)).unwrap();
    assert_eq!(slow.batches, vec![1; 7]);
    // Here it takes one second, and many hide it as far as they fit.
    let fast = place(&config, 7, WeightsChoice::Streamed, &measured(100e12)).unwrap();
    assert!(fast.batches.len() < 3, "{:?}", fast.batches);
    assert_eq!(fast.batches.iter().sum::<usize>(), 7);
    assert_eq!(fast.reading(&config, &measured(100e12)), 0.5 * 64.0 * fast.batches.len() as f64);
    let tight = place(&config, 7, WeightsChoice::Streamed, &card(12, 10)).unwrap();
    assert!(tight.batches.len() > fast.batches.len(), "{:?}", tight.batches);
}

#[test]
fn memory_is_what_the_parts_say_and_never_more_than_may_be_filled() {
    let config = config(&Published::Llama8b);
    for weights in [WeightsChoice::Automatic, WeightsChoice::Streamed, WeightsChoice::Resident] {
        for place_of in [card(23, 30), card(80, 60), processors(23), processors(64)] {
            let Ok(found) = place(&config, 5, weights, &place_of) else { continue };
            assert!(found.memory.machine as f64 <= 0.8 * place_of.machine_memory.unwrap() as f64, "{found:?}");
            assert!(found.memory.device <= place_of.device_memory.map_or(0, |free| free / 5 * 4), "{found:?}");
            assert_eq!(found.memory.disk > 0, found.activations == ActivationStorage::Disk);
            let said: Vec<&str> = found.words.iter().map(|placed| placed.what.as_str()).collect();
            assert_eq!(said, ["weights", "block inputs", "keys, values", "inside layers"]);
        }
    }
    // A model without instances still has its weights, and no batch.
    let nothing = Placement::choose(&config, &[], &[], WeightsChoice::Streamed, &processors(23)).unwrap();
    assert!(nothing.batches.is_empty() && nothing.memory.machine > GIB);
}

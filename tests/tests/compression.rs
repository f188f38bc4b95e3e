//! A checkpoint into a compressed one: stopped after every layer and gone on with, it is the same to the byte.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::Path;

use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::any::AnySettings;
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::prune::{AlphaPruningSettings, Pattern, SparseGptSettings, Sparsity};
use cruxscope_compress::quantize::{Bits, Clipping, ColumnOrder, Compatibility, Damping, GptaqSettings, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_compress::treatment::Treatment;
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::windows::{Calibration, WindowSource};
use cruxscope_run::{Event, Observer, Silent};
use safetensors::tensor::{Dtype, TensorView};

/// Says stop once so many layers are done, those of earlier runs included.
struct Layers(usize);

impl Observer for Layers {
    fn event(&mut self, event: Event) {
        self.0 = self.0.saturating_sub(usize::from(matches!(event, Event::Advanced { .. })));
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_stopped_compression_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("calibration.safetensors");
    let ids: Vec<u8> = (0..4 * 48i32).flat_map(|i| (i * 37 % 500).to_le_bytes()).collect();
    let view = TensorView::new(Dtype::I32, vec![4, 48], &ids).unwrap();
    std::fs::write(&tokens, safetensors::serialize([("ids", view)], None).unwrap()).unwrap();

    let (bits, group) = (Bits::new(3).unwrap(), GroupSize::new(16).unwrap());
    let half = Sparsity::new(0.5).unwrap();
    let gptq = GptqSettings {
        grid: GridSettings {
            grid: Grid::GptaqAsym,
            bits,
            group_size: group,
            clipping: Clipping::None,
        },
        order: ColumnOrder::GroupAware,
        static_groups: false,
        damping: Damping::default(),
        compatibility: Compatibility::Improved,
        true_sequential: false,
    };
    let treatments = [
        Treatment::Gptaq(GptaqSettings { gptq, alpha: 0.25 }),
        Treatment::AlphaPruning(AlphaPruningSettings::new(half)),
        Treatment::SparseGpt(SparseGptSettings::new(Pattern::Unstructured(half))),
        Treatment::Any(AnySettings::new(bits, group)),
        Treatment::Awq(AwqSettings::new(bits, group)),
    ];
    for treatment in treatments {
        let name = treatment.name().replace(' ', "_");
        // Stored in 16 bits, the layers that are read again differ from those that were computed.
        let settings = |out: &str| CompressSettings {
            model: cruxscope_tests::root().join("tests/fixtures/tiny/model"),
            out: folder.path().join(format!("{name}_{out}")),
            recipe: Recipe::of(treatment.clone(), None, Some("1_down")),
            calibration: Some(Calibration {
                source: WindowSource::Tokens {
                    path: tokens.clone(),
                    array: None,
                },
                windows: None,
                seed: None,
            }),
            stored_as: StoredAs::BFloat16,
            packed: None,
            basis: Basis::Original,
        };
        let whole = compress(&settings("whole"), &mut Silent).unwrap();
        let stopped = settings("stopped");
        let mut stops = 0;
        let report = loop {
            match compress(&stopped, &mut Layers(stops + 1)) {
                Ok(report) => break report,
                Err(error) => assert!(error.to_string().contains("stopped on request"), "{name}: {error}"),
            }
            assert!(!stopped.out.exists(), "{name}: nothing half-written");
            stops += 1;
        };
        assert!(stops >= 2, "{name} was stopped {stops} times");
        assert_eq!(report, whole, "{name}: the report");
        assert!(
            report
                .components
                .iter()
                .all(|component| component.method.is_some() == component.output_error.is_some()),
            "{name}"
        );
        assert!(files(&stopped.out) == files(&settings("whole").out), "{name}: the files");
    }
}

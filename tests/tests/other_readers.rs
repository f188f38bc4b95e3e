//! Compressed folders in other programs' eyes: transformers gives the same logits, and packed files unpack to the same weights.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside their functions

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cruxscope_checkpoint::Checkpoint;
use cruxscope_checkpoint::packed::{Layout, ScaleType, ZeroFormat};
use cruxscope_checkpoint::writer::StoredAs;
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::quantize::{Bits, Clipping, ColumnOrder, Compatibility, Damping, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::{Recipe, Rule};
use cruxscope_model::block;
use cruxscope_model::decoder::{Decoder, Residence};
use cruxscope_model::head;
use cruxscope_model::kernels::cpu::CpuKernels;
use cruxscope_needs::{Need, skip};
use cruxscope_run::Silent;
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::windows::{Calibration, WindowSource};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

const IDS: [u32; 24] = [1, 17, 300, 511, 4, 4, 90, 222, 3, 8, 150, 77, 401, 12, 65, 9, 250, 33, 2, 18, 480, 7, 100, 350];

/// Runs the script; `None`, with a word, where Python or one of its libraries is missing.
fn python(words: &[String], need: Need) -> Option<()> {
    let program = std::env::var("CRUXSCOPE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = cruxscope_needs::root().join("tests/scripts/other_readers.py");
    let Ok(output) = Command::new(&program).arg(script).args(words).output() else {
        skip(need, format_args!("{program} cannot be started (CRUXSCOPE_PYTHON names another Python)"));
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(3) {
        skip(
            need,
            format_args!("{program} has not all that is needed ({}); CRUXSCOPE_PYTHON names another Python", said.trim()),
        );
        return None;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

fn arrays(path: &Path, mut each: impl FnMut(&str, &[usize], &[f32])) {
    let bytes = std::fs::read(path).unwrap();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        assert_eq!(view.dtype(), Dtype::F32);
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        each(&name, view.shape(), &values);
    }
}

fn settings(folder: &Path, name: &str, treatment: MethodConfig, protect: Option<&str>) -> CompressSettings {
    let tokens = folder.join("calibration.safetensors");
    let ids: Vec<u8> = (0..4 * 48i32).flat_map(|i| (i * 37 % 500).to_le_bytes()).collect();
    let view = TensorView::new(Dtype::I32, vec![4, 48], &ids).unwrap();
    std::fs::write(&tokens, safetensors::serialize([("ids", view)], None).unwrap()).unwrap();
    CompressSettings {
        model: cruxscope_needs::root().join("tests/fixtures/tiny/model"),
        out: folder.join(name),
        recipe: Recipe::of(treatment, None, protect),
        calibration: Some(Calibration {
            source: WindowSource::Tokens { path: tokens, array: None },
            windows: None,
            seed: None,
        }),
        stored_as: StoredAs::Float32,
        packed: None,
        basis: Basis::Original,
    }
}

fn bits(number: u8) -> Bits {
    Bits::new(number).unwrap()
}

fn group() -> GroupSize {
    GroupSize::new(16).unwrap()
}

fn rtn(number: u8) -> MethodConfig {
    MethodConfig::Rtn(grid(number, Grid::AwqAsym))
}

fn grid(number: u8, grid: Grid) -> GridSettings {
    GridSettings {
        grid,
        bits: bits(number),
        group_size: group(),
        clipping: Clipping::None,
    }
}

fn gptq(number: u8, order: ColumnOrder) -> MethodConfig {
    MethodConfig::Gptq(GptqSettings {
        grid: grid(number, Grid::GptqAsym),
        order,
        static_groups: false,
        damping: Damping::default(),
        compatibility: Compatibility::Improved,
        true_sequential: false,
    })
}

#[test]
fn transformers_reads_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let awq = |basis| CompressSettings {
        basis,
        ..settings(
            folder.path(),
            basis.name(),
            MethodConfig::Awq(AwqSettings::new(bits(3), group())),
            Some("final-mlp"),
        )
    };
    let rounded = CompressSettings {
        stored_as: StoredAs::BFloat16,
        ..settings(folder.path(), "rtn", rtn(3), None)
    };
    for settings in [rounded, awq(Basis::Original), awq(Basis::Folded)] {
        compress(&settings, &mut Silent).unwrap();
        let decoder = Decoder::new(Arc::new(Checkpoint::open(&settings.out).unwrap()), CpuKernels, Residence::Resident).unwrap();
        let hidden = block::run(&decoder, &IDS).unwrap();
        let own: Vec<f32> = head::logits(&decoder, &hidden).unwrap()[0].values().to_vec();
        let out = folder.path().join("logits.safetensors");
        let mut words = vec!["logits".to_owned(), settings.out.display().to_string(), out.display().to_string()];
        words.extend(IDS.iter().map(u32::to_string));
        let Some(()) = python(&words, Need::Python) else { return };
        arrays(&out, |_, shape, theirs| {
            assert_eq!(shape, [IDS.len(), 512]);
            let largest = own.iter().zip(theirs).map(|(own, theirs)| (own - theirs).abs()).fold(0.0, f32::max);
            println!("{}: largest difference of a logit {largest:e}", settings.out.display());
            assert!(largest < 1e-3, "{largest}");
        });
    }
}

/// Families whose norms, fused matrices or experts ask for something of their own: transformers computes the same logits of what RTN, GPTQ
/// and AWQ make of their tiny checkpoints.
#[test]
fn transformers_reads_the_same_model_of_other_families() {
    let Some(root) = cruxscope_needs::fixtures_of("architectures") else { return };
    let folder = tempfile::tempdir().unwrap();
    let treatments = [rtn(4), gptq(4, ColumnOrder::Activation), MethodConfig::Awq(AwqSettings::new(bits(4), group()))];
    for family in [
        "mistral",
        "qwen3_moe",
        "phi3",
        "gemma3_text",
        "olmo3",
        "gpt_oss",
        "deepseek_v3",
        "glm4_moe",
        "nemotron",
    ] {
        for treatment in &treatments {
            let name = format!("{family}_{}", treatment.name());
            let settings = CompressSettings {
                model: root.join(family),
                ..settings(folder.path(), &name, treatment.clone(), None)
            };
            compress(&settings, &mut Silent).unwrap_or_else(|error| panic!("{name}: {error}"));
            let decoder = Decoder::new(Arc::new(Checkpoint::open(&settings.out).unwrap()), CpuKernels, Residence::Resident).unwrap();
            let hidden = block::run(&decoder, &IDS).unwrap();
            let own: Vec<f32> = head::logits(&decoder, &hidden).unwrap()[0].values().to_vec();
            let out = folder.path().join("logits.safetensors");
            // The configurations of these fixtures are of transformers 5, which earlier ones misread.
            let mut words = vec!["logits-of-5".to_owned(), settings.out.display().to_string(), out.display().to_string()];
            words.extend(IDS.iter().map(u32::to_string));
            let Some(()) = python(&words, Need::Library) else { return };
            arrays(&out, |_, shape, theirs| {
                assert_eq!(shape, [IDS.len(), 512]);
                let largest = own.iter().zip(theirs).map(|(own, theirs)| (own - theirs).abs()).fold(0.0, f32::max);
                println!("{name}: largest difference of a logit {largest:e}");
                assert!(largest < 1e-3, "{name}: {largest}");
            });
        }
    }
}

#[test]
fn packed_files_unpack_to_the_same_weights_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let awq = MethodConfig::Awq(AwqSettings::new(bits(4), group()));
    let compressed = Layout::CompressedTensors(ScaleType::Float16);
    let jobs: [(&str, MethodConfig, Layout, Option<&str>); 8] = [
        ("awq_by_awq", awq, Layout::Awq, Some("final-mlp")),
        ("awq_by_rtn", rtn(4), Layout::Awq, None),
        ("gptq_v1", gptq(4, ColumnOrder::GroupAware), Layout::Gptq(ZeroFormat::V1), Some("layers:2")),
        ("gptq_v2", gptq(8, ColumnOrder::Stored), Layout::Gptq(ZeroFormat::V2), None),
        ("gptq_moved", gptq(4, ColumnOrder::Activation), Layout::Gptq(ZeroFormat::V1), None),
        ("gptq_2", rtn(2), Layout::Gptq(ZeroFormat::V1), None),
        ("compressed_5", rtn(5), compressed, Some("final-mlp")),
        ("compressed_symmetric", MethodConfig::Rtn(grid(4, Grid::GptqSym)), compressed, None),
    ];
    for (name, treatment, layout, protect) in jobs {
        let settings = CompressSettings {
            packed: Some(layout),
            basis: Basis::Folded,
            stored_as: StoredAs::Float16,
            ..settings(folder.path(), name, treatment, protect)
        };
        let report = compress(&settings, &mut Silent).unwrap();
        let treated = report.components.iter().filter(|component| component.method.is_some()).count();
        let Some(()) = same_weights_by("unpack", Need::Python, &settings.out, name, treated) else {
            return;
        };
    }
}

/// Another program reads a packed folder by the script's command, and its weights are compared with those read here, bit for bit; all that
/// were treated must be there. Nothing where that program is not.
fn same_weights_by(command: &str, need: Need, packed: &Path, name: &str, treated: usize) -> Option<()> {
    let checkpoint = Checkpoint::open(packed).unwrap();
    let kinds = checkpoint.tensor_types();
    assert_eq!(kinds.values().filter(|kind| kind.contains("bits")).count(), treated, "{name}: {kinds:?}");
    let out = packed.with_extension(format!("{command}.safetensors"));
    python(&[command.to_owned(), packed.display().to_string(), out.display().to_string()], need)?;
    let mut seen = 0;
    arrays(&out, |weight, shape, theirs| {
        let layer: usize = weight.split('.').nth(2).unwrap().parse().unwrap();
        let module = cruxscope_checkpoint::PROJECTIONS.iter().position(|module| weight.contains(module)).unwrap();
        let own = &checkpoint.layer(layer).unwrap().projections[module].weight;
        assert_eq!(shape, [own.rows, own.columns], "{name} {weight}");
        assert!(own.values == theirs, "{name} {weight}");
        seen += 1;
    });
    assert_eq!(seen, treated, "{name}");
    println!("{name}: {seen} weights, bit for bit");
    Some(())
}

/// compressed-tensors' own decompression gives the weights that are read here, in every form that is written: one scheme or several,
/// symmetric or not, groups or rows, scales of every type.
#[test]
fn compressed_tensors_are_decompressed_to_the_same_weights_by_its_library() {
    let folder = tempfile::tempdir().unwrap();
    let symmetric = |number: u8, group: GroupSize| {
        MethodConfig::Rtn(GridSettings {
            group_size: group,
            ..grid(number, Grid::GptqSym)
        })
    };
    let mixed = |rules: Vec<(&str, Option<MethodConfig>)>| {
        let mut recipe = Recipe::of(rtn(4), None, None);
        recipe.rules.extend(rules.into_iter().map(|(components, treatment)| Rule {
            components: components.to_owned(),
            treatment,
        }));
        recipe
    };
    let jobs: [(&str, Recipe, StoredAs); 7] = [
        ("ct_4", Recipe::of(rtn(4), None, None), StoredAs::BFloat16),
        ("ct_symmetric", Recipe::of(symmetric(8, group()), None, Some("final-mlp")), StoredAs::Float16),
        ("ct_rows", Recipe::of(symmetric(4, GroupSize::Row), None, None), StoredAs::BFloat16),
        ("ct_3", Recipe::of(rtn(3), None, None), StoredAs::Float32),
        (
            "ct_gptq",
            Recipe::of(gptq(4, ColumnOrder::GroupAware), None, Some("layers:2")),
            StoredAs::BFloat16,
        ),
        (
            "ct_awq",
            Recipe::of(MethodConfig::Awq(AwqSettings::new(bits(4), group())), None, None),
            StoredAs::BFloat16,
        ),
        (
            "ct_mixed",
            mixed(vec![
                ("down", Some(symmetric(8, GroupSize::Row))),
                ("q,k,v", Some(gptq(5, ColumnOrder::Stored))),
                ("1_o", None),
            ]),
            StoredAs::BFloat16,
        ),
    ];
    for (name, recipe, stored_as) in jobs {
        let settings = CompressSettings {
            recipe,
            packed: Some(Layout::CompressedTensors(stored_as.into())),
            basis: Basis::Folded,
            stored_as,
            ..settings(folder.path(), name, rtn(4), None)
        };
        let report = compress(&settings, &mut Silent).unwrap();
        let treated = report.components.iter().filter(|component| component.method.is_some()).count();
        let Some(()) = same_weights_by("decompress", Need::Library, &settings.out, name, treated) else {
            return;
        };
    }
}

#[test]
fn what_no_engine_loads_is_refused_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, treatment: MethodConfig, layout: Layout, basis: Basis, protect: Option<&str>, part: &str| {
        let settings = CompressSettings {
            packed: Some(layout),
            basis,
            ..settings(folder.path(), name, treatment, protect)
        };
        let error = compress(&settings, &mut Silent).unwrap_err();
        assert!(error.is_user_error() && error.to_string().contains(part), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the calibration tokens are there");
    };
    let (awq, gptq_layout) = (Layout::Awq, Layout::Gptq(ZeroFormat::V1));
    refused("a", rtn(4), awq, Basis::Folded, Some("3_up"), "only some of gate and up");
    refused("b", rtn(4), gptq_layout, Basis::Folded, Some("1_k"), "only some of q, k and v");
    refused("c", rtn(3), awq, Basis::Folded, None, "4 bits, not 3");
    refused("d", rtn(3), gptq_layout, Basis::Folded, None, "does not fill words of 32");
    refused("e", rtn(5), gptq_layout, Basis::Folded, None, "2, 3, 4 or 8 bits, not 5");
    refused("f", gptq(4, ColumnOrder::Activation), awq, Basis::Folded, None, "activation order");
    let scaled = MethodConfig::Awq(AwqSettings::new(bits(4), group()));
    refused("g", scaled, awq, Basis::Original, None, "--basis folded");
    let half = cruxscope_compress::prune::Sparsity::new(0.5).unwrap();
    let pruned = MethodConfig::Magnitude {
        pattern: cruxscope_compress::prune::Pattern::Unstructured(half),
    };
    refused("h", pruned, gptq_layout, Basis::Folded, None, "no integer codes");
    let compressed = Layout::CompressedTensors(ScaleType::BFloat16);
    refused("i", gptq(4, ColumnOrder::Activation), compressed, Basis::Folded, None, "activation order");
    refused("j", rtn(4), compressed, Basis::Folded, Some("3_up"), "only some of gate and up");
}

//! Compression of every family of models under `architectures/` of the fixtures: what is written has the source's tensors and opens.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

mod architectures_support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use architectures_support::{Case, cases, root_of};
use cruxscope_checkpoint::packed::{Layout, ScaleType, ZeroFormat};
use cruxscope_checkpoint::writer::{FolderWriter, StoredAs};
use cruxscope_checkpoint::{Checkpoint, ExpertStorage};
use cruxscope_compress::awq::AwqSettings;
use cruxscope_compress::method::MethodConfig;
use cruxscope_compress::prune::{Pattern, SparseGptSettings, Sparsity};
use cruxscope_compress::quantize::{Bits, Clipping, ColumnOrder, Compatibility, Damping, GptqSettings, Grid, GridSettings, GroupSize};
use cruxscope_compress::recipe::Recipe;
use cruxscope_run::Silent;
use cruxscope_run::compress::{Basis, CompressSettings, compress};
use cruxscope_run::windows::{Calibration, WindowSource};
use safetensors::SafeTensors;
use serde_json::Value;

fn grid() -> GridSettings {
    GridSettings {
        grid: Grid::AwqAsym,
        bits: Bits::new(4).unwrap(),
        group_size: GroupSize::new(16).unwrap(),
        clipping: Clipping::None,
    }
}

fn settings(case: &Case, out: PathBuf, treatment: MethodConfig, packed: Option<Layout>) -> CompressSettings {
    CompressSettings {
        model: case.folder.clone(),
        out,
        recipe: Recipe::of(treatment, None, Some("2_down")),
        calibration: Some(Calibration {
            source: WindowSource::Tokens {
                path: root_of(case).join("tokens.safetensors"),
                array: None,
            },
            windows: None,
            seed: None,
        }),
        stored_as: match config(&case.folder).get("dtype").and_then(Value::as_str) {
            Some("bfloat16") => StoredAs::BFloat16,
            _ => StoredAs::Float32,
        },
        packed,
        basis: Basis::Original,
    }
}

/// Names, shapes and bytes of all tensors of a folder.
fn tensors(folder: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all = BTreeMap::new();
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "safetensors")) {
        let bytes = std::fs::read(file).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            all.insert(name, (view.shape().to_vec(), view.data().to_vec()));
        }
    }
    all
}

fn config(folder: &Path) -> BTreeMap<String, Value> {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn what_is_written_has_the_tensors_of_its_source() {
    let half = Sparsity::new(0.5).unwrap();
    let gptq = GptqSettings {
        grid: grid(),
        order: ColumnOrder::Activation,
        static_groups: false,
        damping: Damping::default(),
        compatibility: Compatibility::Improved,
        true_sequential: false,
    };
    let treatments = [
        MethodConfig::Rtn(grid()),
        MethodConfig::Gptq(gptq),
        MethodConfig::Magnitude {
            pattern: Pattern::Unstructured(half),
        },
        MethodConfig::SparseGpt(SparseGptSettings::new(Pattern::Unstructured(half))),
        MethodConfig::Wanda {
            pattern: Pattern::Unstructured(half),
        },
    ];
    let folder = tempfile::tempdir().unwrap();
    for (case, checkpoint) in cases() {
        let is_wrapped = config(&case.folder).contains_key("text_config");
        let source = tensors(&case.folder);
        for treatment in &treatments {
            let out = folder.path().join(format!("{}_{}", case.name, treatment.name().replace(' ', "_")));
            compress(&settings(&case, out.clone(), treatment.clone(), None), &mut Silent).unwrap();
            let written = Checkpoint::open(&out).unwrap();
            assert_eq!(written.config(), checkpoint.config(), "{}", case.name);
            if is_wrapped {
                continue;
            }
            let found = tensors(&out);
            for (name, (shape, _)) in &source {
                assert_eq!(found.get(name).map(|(shape, _)| shape), Some(shape), "{} {name}", case.name);
            }
            assert_eq!(found.len(), source.len(), "{}", case.name);
            // What is not treated keeps its bytes; what is does not.
            let same = |name: &String| found[name] == source[name];
            let norms: Vec<&String> = source.keys().filter(|name| name.contains("norm")).collect();
            let unweighted = checkpoint.config().block.norms.unweighted;
            assert!(norms.is_empty() == unweighted && norms.into_iter().all(same), "{}", case.name);
            // Layer 2's down is protected, with all of its experts; layer 1's is not.
            let is_down = |name: &&String, layer: usize| {
                let of_layer = name.starts_with(&format!("model.layers.{layer}.")) && !name.contains("bias");
                of_layer && [".down_proj", ".w2.", "output_linear", ".c_proj"].iter().any(|part| name.contains(part))
            };
            let [protected, treated] = [1, 0].map(|layer| source.keys().filter(|name| is_down(name, layer)).collect::<Vec<_>>());
            assert!(
                !protected.is_empty() && protected.into_iter().all(same),
                "{}: the one that was protected",
                case.name
            );
            assert!(!treated.is_empty() && !treated.into_iter().any(same), "{}", case.name);
            let routers: Vec<&String> = source
                .keys()
                .filter(|name| [".mlp.gate.", ".router.", "shared_expert_gate"].iter().any(|part| name.contains(part)))
                .collect();
            assert!(routers.into_iter().all(same), "{}: routers are no components", case.name);
            let (own, now) = (config(&case.folder), config(&out));
            for (key, value) in own.iter().filter(|(key, _)| !["torch_dtype", "dtype"].contains(&key.as_str())) {
                assert_eq!(now.get(key), Some(value), "{} {key}", case.name);
            }
        }
    }
}

/// AWQ where its scales can be folded, with weights that are nearer than plain rounding in the sum; refused by name elsewhere.
#[test]
fn awq_is_applied_or_refused_by_what_the_norms_are() {
    let folder = tempfile::tempdir().unwrap();
    for (case, checkpoint) in cases() {
        let awq = AwqSettings::new(Bits::new(4).unwrap(), GroupSize::new(16).unwrap());
        let out = folder.path().join(&case.name);
        let result = compress(&settings(&case, out.clone(), MethodConfig::Awq(awq), None), &mut Silent);
        result.unwrap();
        assert_eq!(Checkpoint::open(&out).unwrap().config(), checkpoint.config(), "{}", case.name);
        let out = folder.path().join(format!("{}_folded", case.name));
        let folded = CompressSettings {
            basis: Basis::Folded,
            ..settings(&case, out.clone(), MethodConfig::Awq(awq), None)
        };
        let result = compress(&folded, &mut Silent);
        let config = checkpoint.config();
        match config.beyond_seven_modules().or(config.block.unfoldable()) {
            None => {
                result.unwrap();
                assert_eq!(Checkpoint::open(&out).unwrap().config(), config, "{}", case.name);
            }
            Some(why) => {
                let error = result.unwrap_err();
                assert!(error.is_user_error() && error.to_string().contains(why), "{}: {error}", case.name);
                assert!(!out.exists());
            }
        }
    }
}

/// Packed codes of matrices that a file holds as one are one there too, with the weights that each has by itself; those of experts in one
/// array are refused before anything is computed.
#[test]
fn packed_codes_of_fused_matrices_are_one() {
    let folder = tempfile::tempdir().unwrap();
    for (case, checkpoint) in cases() {
        let out = folder.path().join(&case.name);
        let recipe = Recipe::of(MethodConfig::Rtn(grid()), None, None);
        let settings = CompressSettings {
            recipe,
            ..settings(&case, out.clone(), MethodConfig::Rtn(grid()), Some(Layout::Awq))
        };
        let result = compress(&settings, &mut Silent);
        let stacked = checkpoint.config().block.experts.is_some_and(|experts| experts.storage != ExpertStorage::Each);
        if stacked {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("one array"), "{}: {error}", case.name);
        } else if fills_no_words(&checkpoint) {
            let error = result.unwrap_err().to_string();
            assert!(
                error.contains("does not fill words of 8 codes") || error.contains("groups of 16 do not divide"),
                "{}: {error}",
                case.name
            );
        } else {
            result.unwrap();
            let written = Checkpoint::open(&out).unwrap();
            assert_eq!(written.config(), checkpoint.config(), "{}", case.name);
            if checkpoint.config().block.fused.any() {
                fused_are_those_of_each(&case, &checkpoint, folder.path());
            }
        }
    }
}

/// In every layout: what is read of a packed matrix that holds several is what plain numbers of the same codes are, but for the type of
/// the scales; and nothing of the plain matrices is left in the files.
fn fused_are_those_of_each(case: &Case, checkpoint: &Checkpoint, folder: &Path) {
    let gptq = |order: ColumnOrder| {
        MethodConfig::Gptq(GptqSettings {
            grid: grid(),
            order,
            damping: Damping::default(),
            static_groups: false,
            true_sequential: false,
            compatibility: Compatibility::default(),
        })
    };
    let jobs = [
        ("awq", MethodConfig::Rtn(grid()), Layout::Awq),
        ("gptq", gptq(ColumnOrder::Activation), Layout::Gptq(ZeroFormat::V1)),
        ("gptq_v2", gptq(ColumnOrder::Stored), Layout::Gptq(ZeroFormat::V2)),
        ("compressed", MethodConfig::Rtn(grid()), Layout::CompressedTensors(ScaleType::Float32)),
    ];
    for (name, treatment, layout) in jobs {
        let [plain, packed] = [None, Some(layout)].map(|layout| {
            let out = folder.join(format!("{}_{name}_{}", case.name, layout.is_some()));
            let settings = CompressSettings {
                recipe: Recipe::of(treatment.clone(), None, Some("layers:2")),
                stored_as: StoredAs::Float32,
                ..settings(case, out.clone(), treatment.clone(), layout)
            };
            compress(&settings, &mut Silent).unwrap();
            out
        });
        let arrays = tensors(&packed);
        assert!(
            !arrays
                .keys()
                .any(|name| name.contains("layers.0") && (name.contains("gate_proj") || name.contains(".up_proj"))),
            "{}",
            case.name
        );
        assert!(
            arrays
                .keys()
                .any(|name| name.contains("layers.0.mlp.gate_up_proj.") && !name.ends_with(".weight")),
            "{}",
            case.name
        );
        assert!(arrays.contains_key("model.layers.1.mlp.gate_up_proj.weight"), "{}", case.name);
        let [plain, packed] = [plain, packed].map(|folder| Checkpoint::open(&folder).unwrap());
        // GPTQ's later layers see what the earlier ones became, scales and all.
        let layers = if matches!(treatment, MethodConfig::Gptq(_)) {
            1
        } else {
            checkpoint.config().layers
        };
        for layer in 0..layers {
            let pairs = plain
                .layer(layer)
                .unwrap()
                .projections
                .into_iter()
                .zip(packed.layer(layer).unwrap().projections);
            for (index, (plain, packed)) in pairs.enumerate() {
                let largest = plain.weight.values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                let apart = plain
                    .weight
                    .values
                    .iter()
                    .zip(&packed.weight.values)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0f32, f32::max);
                // Half a unit in the last place of a scale in float16, times a code; zeros of 0 move by half a step in version 1.
                let gate = if matches!(layout, Layout::Gptq(ZeroFormat::V1)) { 0.05 } else { 2e-3 };
                assert!(
                    apart <= gate * largest,
                    "{} {name}, layer {layer}, map {index}: {apart} of {largest}",
                    case.name
                );
            }
        }
    }
}

/// Whether a matrix has rows that are no multiple of the eight codes of a word, as a tiny delta rule's four, or columns of no whole groups.
fn fills_no_words(checkpoint: &Checkpoint) -> bool {
    let config = checkpoint.config();
    let maps = (0..config.layers).flat_map(|layer| config.modules(layer));
    maps.into_iter().any(|map| map.slot.is_some() && (map.rows % 8 != 0 || map.columns % 16 != 0))
}

#[test]
fn a_layer_as_it_stands_has_the_bytes_of_one_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut copied, mut read_only) = (0, Vec::new());
    for (case, source) in cases() {
        let stored_as = settings(&case, PathBuf::new(), MethodConfig::Rtn(grid()), None).stored_as;
        let writer = FolderWriter::begin(&source, &folder.path().join(&case.name), stored_as, None, "key").unwrap();
        let partial = folder.path().join(format!(".{}.partial", case.name));
        for layer in 0..source.config().layers {
            let file = partial.join(format!("model-layer-{:05}.safetensors", layer + 1));
            let Some(unchanged) = writer.unchanged_layer(layer) else {
                // Only what a file holds in another form is read: experts in arrays of the whole layer.
                let experts = source.config().experts(layer).map(|experts| experts.storage);
                assert!(!matches!(experts, None | Some(ExpertStorage::Each)), "{} {layer}", case.name);
                read_only.push(case.name.clone());
                continue;
            };
            writer.write_unchanged(layer, &unchanged, b"").unwrap();
            let as_it_stands = std::fs::read(&file).unwrap();
            let weights = source.layer(layer).unwrap();
            writer.write_layer(layer, &weights, &Vec::new(), b"").unwrap();
            assert!(as_it_stands == std::fs::read(&file).unwrap(), "{} {layer}", case.name);
            for (module, projection) in weights.projections.iter().enumerate() {
                let zeros = projection.weight.values.iter().filter(|value| **value == 0.0).count();
                assert_eq!(unchanged.zeros(module), zeros, "{} {layer} {module}", case.name);
            }
            copied += 1;
        }
    }
    read_only.dedup();
    println!("{copied} layers from file to file; read: {}", read_only.join(", "));
}

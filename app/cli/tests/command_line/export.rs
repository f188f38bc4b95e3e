//! Figures on the command line, and sites: which files are written, what stands in them, what is refused.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::inputs::{cruxscope, stderr};

/// The study of a real model that comes with the program.
fn study() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies/smollm2")
}

fn export(arguments: &[&str], out: &Path) -> Output {
    cruxscope().arg("export").args(arguments).arg("--out").arg(out).output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn one_command_writes_every_format_of_several_studies() {
    let folder = tempfile::tempdir().unwrap();
    let study = study();
    let study = study.to_str().unwrap();
    let out = folder.path().join("figures");
    let output = export(&[study, study, "--format", "svg,pdf,png,csv,latex", "--pixel-ratio", "2"], &out);
    assert!(output.status.success(), "{}", stderr(&output));
    let written = names(&out);
    assert_eq!(written.len(), 10, "{written:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), 10, "every file is named on stdout");
    let file = |ending: &str| {
        let name = written.iter().find(|name| name.ends_with(ending)).unwrap();
        std::fs::read(out.join(name)).unwrap()
    };
    let digest = "manifest sha256";
    let holds = |bytes: &[u8], words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(file(".pdf").starts_with(b"%PDF-") && holds(&file(".pdf"), digest));
    assert!(file(".png").starts_with(b"\x89PNG\r\n") && holds(&file(".png"), digest));
    for (ending, start) in [(".svg", "<svg "), (".csv", "# study: "), (".tex", "% study: ")] {
        let text = String::from_utf8(file(ending)).unwrap();
        assert!(text.starts_with(start) && text.contains(digest), "{ending}");
    }
    let again = folder.path().join("again");
    assert!(export(&[study, "--format", "svg,pdf,png"], &again).status.success());
    for name in names(&again) {
        assert_eq!(std::fs::read(again.join(&name)).unwrap(), std::fs::read(out.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn a_shift_and_the_options_of_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let study = study();
    let study = study.to_str().unwrap();
    let shift = ["--view", "shift", "--from", study, "--to", study, "--shift", "net", "--format", "svg,csv"];
    let output = export(&shift, folder.path());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        names(folder.path()).iter().all(|name| name.starts_with("shift-net-from-")),
        "{:?}",
        names(folder.path())
    );
    let one = [
        study,
        "--behaviour",
        "backtracking",
        "--color-scale",
        "rank",
        "--component",
        "30_gate",
        "--no-caption",
    ];
    assert!(export(&one, folder.path()).status.success());
    let svg = std::fs::read_to_string(
        folder
            .path()
            .join(names(folder.path()).iter().find(|name| name.starts_with("importance")).unwrap()),
    )
    .unwrap();
    assert!(svg.contains(">Backtracking</text>") && !svg.contains(">Adding knowledge</text>"));
    assert!(svg.contains(">30_gate</text>") && svg.contains("Rank of relative importance"));
}

#[test]
fn rankings_and_the_papers_tables() {
    let folder = tempfile::tempdir().unwrap();
    let study = study();
    let study = study.to_str().unwrap();
    assert!(export(&[study, "--view", "ranking", "--format", "svg,csv"], folder.path()).status.success());
    let output = export(&["--view", "benchmarks", "--experiment", "Table 1", "--format", "svg,latex"], folder.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let written = names(folder.path());
    assert_eq!(written.len(), 4, "{written:?}");
    let table = written.iter().find(|name| name.ends_with(".tex")).unwrap();
    let table = std::fs::read_to_string(folder.path().join(table)).unwrap();
    assert!(table.contains("\\toprule") && table.contains("AIME 2024"), "{table}");
}

#[test]
fn what_makes_no_figure_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let study = study();
    let study = study.to_str().unwrap();
    for (arguments, words) in [
        (vec![study, "--format", "gif"], "svg, pdf, png"),
        (vec![study, "--scale", "9"], "1 to 4"),
        (vec![study, "--view", "sculpture"], "importance"),
        (vec![study, "--view", "shift"], "two studies"),
        (vec![study, "--behaviour", "boredom"], "boredom"),
        (vec!["/no/such/study"], "holds no study"),
        (vec![study, "--view", "validation"], "cruxscope validate"),
        (vec!["--view", "benchmarks", "--experiment", "Table 99"], "Table 1"),
        (vec![study, "--to", study], "--view shift"),
        (vec![], "at least one"),
    ] {
        let output = export(&arguments, folder.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty() && names(folder.path()).is_empty());
    }
}

#[test]
fn a_site_is_whole_around_a_program_that_was_built_before() {
    let folder = tempfile::tempdir().unwrap();
    let (page, site) = (folder.path().join("page"), folder.path().join("site"));
    std::fs::create_dir(&page).unwrap();
    let publish = |more: &[&str]| {
        let mut command = cruxscope();
        command.arg("publish").arg(study()).arg(study()).args(["--title", "Two of <them>"]).args(more);
        command.arg("--page").arg(&page).arg("--out").arg(&site).output().unwrap()
    };
    let output = publish(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cargo run --release -p cruxscope-web"), "{}", stderr(&output));
    std::fs::write(page.join("cruxscope_web.js"), "export default 1").unwrap();
    std::fs::write(page.join("cruxscope_web_bg.wasm"), [0; 64]).unwrap();
    assert_eq!(publish(&["--address", "javascript:alert(1)"]).status.code(), Some(2));
    let output = publish(&["--address", "https://example.org/here"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).trim().ends_with("index.html"));
    let index = std::fs::read_to_string(site.join("index.html")).unwrap();
    assert!(index.contains("content=\"https://example.org/here/preview.png\"") && index.contains("Two of &lt;them&gt;"));
    assert!(std::fs::read(site.join("preview.png")).unwrap().starts_with(b"\x89PNG"));
    let figures = names(&site.join("figures"));
    assert_eq!(
        figures.iter().filter(|name| name.ends_with(".html")).count(),
        5,
        "importance and ranking of two studies, and a shift: {figures:?}"
    );
    for name in figures.iter().filter(|name| name.ends_with(".html")) {
        let html = std::fs::read_to_string(site.join("figures").join(name)).unwrap();
        assert!(html.contains("<caption>") && html.contains(" alt=\""), "{name}");
    }
    assert!(site.join("studies/collection.json").is_file() && site.join("studies/smollm2-2/study.json").is_file());
    assert!(publish(&[]).status.success(), "a site replaces a site");
    std::fs::remove_file(site.join("site.json")).unwrap();
    assert_eq!(publish(&[]).status.code(), Some(2), "and nothing else");
}

#[test]
fn a_tour_becomes_slides_and_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let miniature = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies/miniature");
    let miniature = miniature.to_str().unwrap();
    let out = folder.path().join("slides");
    let output = export(&[miniature, "--tour", "--format", "png,svg,pdf", "--theme", "dark"], &out);
    assert!(output.status.success(), "{}", stderr(&output));
    let collection: serde_json::Value = serde_json::from_slice(&std::fs::read(Path::new(miniature).join("collection.json")).unwrap()).unwrap();
    let stops = collection["tour"].as_array().unwrap();
    let written = names(&out);
    assert_eq!(written.len(), 2 * stops.len() + 1, "{written:?}");
    for (number, stop) in stops.iter().enumerate() {
        let beginning = format!("{:02}-", number + 1);
        let own: Vec<&String> = written.iter().filter(|name| name.starts_with(&beginning)).collect();
        assert_eq!(own.len(), 2, "{written:?}");
        for name in own {
            let bytes = std::fs::read(out.join(name)).unwrap();
            if name.ends_with(".png") {
                let side = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
                assert_eq!((side(16), side(20)), (1920, 1080));
            } else {
                let text = String::from_utf8(bytes).unwrap();
                assert!(text.contains(stop["title"].as_str().unwrap()), "{name}");
            }
        }
    }
    let document = std::fs::read(out.join("tour.pdf")).unwrap();
    let pages = format!("/Count {}", stops.len());
    assert!(document.windows(pages.len()).any(|window| window == pages.as_bytes()));
    let refused = |arguments: &[&str], said: &str| {
        let output = export(arguments, &folder.path().join("none"));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
    };
    let study = study();
    refused(&[study.to_str().unwrap(), "--tour"], "collection with a tour");
    refused(&[miniature, "--tour", "--aspect", "3:2"], "16:9 and 4:3");
    refused(&[miniature, "--aspect", "4:3"], "--tour");
    refused(&[study.to_str().unwrap(), "--view", "budget"], "holds no sensitivity");
    refused(&[study.to_str().unwrap(), "--target-bits", "4"], "--view budget");
}

#[test]
fn experts_and_one_text_of_two_models_are_drawn() {
    use cruxscope_study::test_data as samples;
    let folder = tempfile::tempdir().unwrap();
    let (mixed, apart) = (folder.path().join("mixed"), folder.path().join("apart"));
    cruxscope_study::folder::save(&samples::mixture(4, 16), &mixed).unwrap();
    let mut study = samples::compressed(2);
    let text = samples::trace(12);
    let (entry, bytes) = text.to_file(0).unwrap();
    let divergence = samples::divergence(&study.manifest, std::slice::from_ref(&text));
    study.manifest.traces.push(entry.clone());
    cruxscope_study::folder::save(&study, &apart).unwrap();
    std::fs::write(apart.join(entry.file.file), bytes).unwrap();
    std::fs::write(apart.join(cruxscope_study::DIVERGENCE_FILE), divergence.to_bytes().unwrap()).unwrap();
    let (mixed, apart) = (mixed.to_str().unwrap(), apart.to_str().unwrap());
    let read = |arguments: &[&str], name: &str| {
        let out = folder.path().join(name);
        let output = export(arguments, &out);
        assert!(output.status.success(), "{}", stderr(&output));
        let text = |ending: &str| {
            let name = names(&out).into_iter().find(|name| name.ends_with(ending)).unwrap();
            std::fs::read_to_string(out.join(name)).unwrap()
        };
        (text(".svg"), text(".csv"))
    };
    let (svg, csv) = read(&[mixed, "--view", "parts", "--component", "2_down", "--format", "svg,csv"], "parts");
    assert!(svg.contains("Half of the importance of down lies in "), "{svg}");
    let rows = csv.lines().filter(|line| line.contains("_down.e")).count();
    assert_eq!(rows, 3 * 16, "{csv}");
    let (svg, csv) = read(&[apart, "--view", "divergence", "--instance", "instance-1", "--format", "svg,csv"], "text");
    assert!(svg.contains("choices first part"), "{svg}");
    assert!(csv.contains("divergence_nats") && csv.lines().count() > text.tokens, "{csv}");
    let (svg, _) = read(&[apart, "--view", "divergence", "--format", "svg,csv"], "curve");
    assert!(svg.contains("Position in the thought"), "{svg}");
    for (arguments, words) in [
        (vec![apart, "--view", "parts"], "one linear map"),
        (vec![apart, "--view", "divergence", "--instance", "nobody"], "cruxscope compare"),
        (vec![mixed, "--view", "divergence"], "cruxscope compare"),
    ] {
        let output = export(&arguments, &folder.path().join("none"));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
}

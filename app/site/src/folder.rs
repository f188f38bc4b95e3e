//! The folder of the page: put together under a temporary name and renamed, so that a server never shows half of it. What of a folder
//! is ours is [`ownership`](crate::ownership)'s to say.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cruxscope_study::{COLLECTION_FILE, Digest, OutputLock};
use serde::Serialize;

use crate::SiteError;
use crate::content::Content;
use crate::index;
use crate::ownership::{LISTING, MAKER, beside, claim, collect, contents, is_claimed, put_in_place, refuse_foreign};
use crate::packed;
use crate::page::{self, Stamp};
use crate::story;
use crate::studies;

/// The name of the program's files: `<PROGRAM>.js` and `<PROGRAM>_bg.wasm`.
pub const PROGRAM: &str = "cruxscope_web";

/// A file of the page and what it weighs.
#[derive(Debug, Serialize)]
pub struct ListedFile {
    /// Its name.
    pub name: String,
    /// What it weighs.
    pub bytes: u64,
    /// What it weighs after gzip.
    pub gzip_bytes: u64,
}

/// What a page consists of.
#[derive(Debug, Serialize)]
pub struct Listing {
    program: &'static str,
    version: &'static str,
    /// The page's own files.
    pub files: Vec<ListedFile>,
    /// Every file of the folder but the listing, its path from the folder with `/` between, sorted: what a later page may replace.
    contents: Vec<String>,
}

impl Listing {
    /// The program of the page.
    pub fn program(&self) -> Option<&ListedFile> {
        let name = wasm_name();
        self.files.iter().find(|file| file.name == name)
    }
}

/// The name of the compiled program.
pub fn wasm_name() -> String {
    format!("{PROGRAM}_bg.wasm")
}

fn glue_name() -> String {
    format!("{PROGRAM}.js")
}

/// Whether a folder holds the program of a page.
pub fn holds_program(folder: &Path) -> bool {
    folder.join(wasm_name()).is_file() && folder.join(glue_name()).is_file()
}

/// Copies the program out of a page that was built before.
///
/// # Errors
/// When there is none, or it cannot be copied.
pub fn copy_program(page: &Path, folder: &Path) -> Result<(), SiteError> {
    for name in [wasm_name(), glue_name()] {
        let from = page.join(&name);
        if !from.is_file() {
            return Err(SiteError::NoProgram {
                path: page.to_owned(),
                file: name,
            });
        }
        fs::copy(&from, folder.join(&name)).map_err(SiteError::io("copy", &from))?;
        // Packed copies come along: making them again takes longer than all the rest. Whether they are right is seen to later.
        for (ending, _) in packed::ENDINGS {
            let packed = page.join(format!("{name}.{ending}"));
            if packed.is_file() {
                fs::copy(&packed, folder.join(format!("{name}.{ending}"))).map_err(SiteError::io("copy", packed))?;
            }
        }
    }
    Ok(())
}

/// Puts a page together; `put_program` puts the program's files into the folder that it is given, and `told` hears which share of the files
/// is compressed for servers, which takes longest.
///
/// # Errors
/// When the program cannot be made, or the folder cannot be written or holds something else.
pub fn build(out: &Path, content: &Content, put_program: impl FnOnce(&Path) -> Result<(), SiteError>, told: &mut dyn FnMut(f64)) -> Result<Listing, SiteError> {
    let (temporary, previous) = (beside(out, "new")?, beside(out, "old")?);
    let _lock = OutputLock::take(out, Duration::ZERO).map_err(SiteError::Lock)?;
    collect(out, &temporary, &previous)?;
    // What can fail at once fails before the program is made, which may take minutes.
    refuse_foreign(out)?;
    let assemble = || {
        claim(&temporary)?;
        put_program(&temporary)?;
        write_documents(&temporary, content)?;
        packed::pack(&temporary, told)?;
        let listing = list(&temporary)?;
        put_in_place(&temporary, out, &previous)?;
        Ok(listing)
    };
    let result = assemble();
    if is_claimed(&temporary) {
        // The error that counts is the one above.
        fs::remove_dir_all(&temporary).ok();
    }
    result
}

/// Everything but the program, which is there already.
fn write_documents(folder: &Path, content: &Content) -> Result<(), SiteError> {
    let wasm = read(&folder.join(wasm_name()))?;
    let glue = read(&folder.join(glue_name()))?;
    let digests = [wasm.as_slice(), &glue].into_iter().chain(page::ASSETS.iter().map(|(_, text)| text.as_bytes()));
    let all: String = digests.map(|bytes| Digest::of(bytes).0).collect();
    let stamp = Stamp {
        version: Digest::of(all.as_bytes()).0.chars().take(12).collect(),
        wasm_bytes: wasm.len() as u64,
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(SiteError::io("write", path))
    };
    let make = |name: &str| {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(SiteError::io("make", path))
    };
    for (name, text) in page::ASSETS {
        write(name, text.as_bytes())?;
    }
    make(studies::FOLDER)?;
    content.studies.copy(folder)?;
    for published in &content.studies.studies {
        write(&format!("{}/table.html", published.address()), page::table(&stamp, published)?.as_bytes())?;
    }
    if let Some(collection) = content.studies.collection()? {
        write(&format!("{}/{COLLECTION_FILE}", studies::FOLDER), &collection)?;
    }
    if !content.figures.is_empty() {
        make(page::FIGURES)?;
    }
    for figure in &content.figures {
        let name = format!("{}/{}", page::FIGURES, figure.slug);
        write(&format!("{name}.svg"), figure.svg.as_bytes())?;
        write(&format!("{name}.csv"), figure.csv.as_bytes())?;
        write(&format!("{name}.html"), page::figure(&stamp, figure)?.as_bytes())?;
    }
    if let Some(preview) = &content.preview {
        write(page::PREVIEW, &preview.png)?;
    }
    write(
        &format!("{}/index.json", studies::FOLDER),
        index::index(&content.studies, &content.figures)?.as_bytes(),
    )?;
    if let Some(story) = story::story(&stamp, content)? {
        write(crate::STORY, story.as_bytes())?;
    }
    if page::has_tables_index(content) {
        write("tables.html", page::tables_index(&stamp, content)?.as_bytes())?;
    }
    write("index.html", page::index(&stamp, content)?.as_bytes())
}

/// Weighs the page's own files and writes the listing.
fn list(folder: &Path) -> Result<Listing, SiteError> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map_err(SiteError::io("list", folder))?
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != LISTING && !packed::is_packed(name))
        .collect();
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let bytes = read(&path)?;
        // What lies beside it was just made of it; a copy that would save nothing does not.
        let gzip_bytes = match packed::packed_bytes(&path, "gz") {
            Some(bytes) => bytes,
            None => packed::gzip(&bytes).map_err(SiteError::io("compress", path))?.len() as u64,
        };
        files.push(ListedFile {
            name,
            bytes: bytes.len() as u64,
            gzip_bytes,
        });
    }
    let listing = Listing {
        program: MAKER,
        version: env!("CARGO_PKG_VERSION"),
        files,
        contents: contents(folder)?.into_iter().filter(|name| name != LISTING).collect(),
    };
    let text = serde_json::to_string_pretty(&listing)? + "\n";
    let path = folder.join(LISTING);
    fs::write(&path, text).map_err(SiteError::io("write", path))?;
    Ok(listing)
}

fn read(path: &Path) -> Result<Vec<u8>, SiteError> {
    fs::read(path).map_err(SiteError::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Preview;
    use crate::studies::{PublishedFigure, Studies};
    use crate::testing::study;

    /// Puts a program that is none.
    fn put_nothing(folder: &Path) -> Result<(), SiteError> {
        fs::write(folder.join(wasm_name()), vec![0; 5000]).unwrap();
        fs::write(folder.join(glue_name()), "export default 1").unwrap();
        Ok(())
    }

    fn content(scratch: &Path) -> Content {
        let sources = ["source", "second"].map(|name| {
            let source = scratch.join(name);
            cruxscope_study::folder::save(&study(name), &source).unwrap();
            source
        });
        Content {
            studies: Studies::load(&sources).unwrap(),
            figures: vec![PublishedFigure {
                slug: "importance-source".into(),
                title: "Importance <b>".into(),
                description: "What is seen".into(),
                link: vec![("study".into(), "studies/source".into())],
                svg: "<svg/>".into(),
                csv: "a,b\n".into(),
                table: "<table></table>".into(),
            }],
            stops: Vec::new(),
            preview: Some(Preview {
                png: vec![1, 2, 3],
                size: [1200, 630],
                description: "Heatmaps".into(),
                address: Some("https://example.org/page/".into()),
            }),
        }
    }

    #[test]
    fn a_page_is_whole_and_weighed() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("page");
        let listing = build(&out, &content(scratch.path()), put_nothing, &mut |_| ()).unwrap();
        let program = listing.program().unwrap();
        assert!(program.bytes == 5000 && program.gzip_bytes < 100);
        for name in [
            "index.html",
            "page.css",
            "page.js",
            "preview.png",
            "site.json",
            "tables.html",
            "studies/index.json",
            "studies/collection.json",
            "studies/source/study.json",
            "studies/source/table.html",
            "figures/importance-source.html",
            "figures/importance-source.svg",
            "figures/importance-source.csv",
            "cruxscope_web_bg.wasm.br",
            "cruxscope_web_bg.wasm.gz",
            "index.html.br",
        ] {
            assert!(out.join(name).is_file(), "{name}");
        }
        let index = fs::read_to_string(out.join("index.html")).unwrap();
        assert!(
            index.contains("<meta property=\"og:image\" content=\"https://example.org/page/preview.png\">"),
            "{index}"
        );
        assert!(index.contains("data-default-study=\"studies/collection.json\"") && !index.contains("<b>"));
        let figure = fs::read_to_string(out.join("figures/importance-source.html")).unwrap();
        assert!(
            figure.contains("alt=\"What is seen\"") && figure.contains("../index.html?study=studies%2Fsource"),
            "{figure}"
        );
        let names: Vec<_> = fs::read_dir(scratch.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names.len(), 3, "nothing temporary is left: {names:?}");
        let copied = scratch.path().join("copied");
        fs::create_dir(&copied).unwrap();
        copy_program(&out, &copied).unwrap();
        assert!(holds_program(&copied));
        assert!(matches!(copy_program(scratch.path(), &copied), Err(SiteError::NoProgram { .. })));
    }

    #[test]
    fn one_builds_a_page_at_a_time_and_what_a_kill_left_is_collected() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("page");
        let content = content(scratch.path());
        let held = OutputLock::take(&out, Duration::ZERO).unwrap();
        let busy = build(&out, &content, put_nothing, &mut |_| ()).unwrap_err();
        assert!(matches!(busy, SiteError::Lock(_)) && !busy.is_user_error() && !out.exists(), "{busy}");
        drop(held);
        build(&out, &content, put_nothing, &mut |_| ()).unwrap();
        let index = fs::read(out.join("index.html")).unwrap();
        let (temporary, previous) = (beside(&out, "new").unwrap(), beside(&out, "old").unwrap());

        // Killed while the page was put together, and between the two renames.
        claim(&temporary).unwrap();
        fs::write(temporary.join("half.html"), "half").unwrap();
        fs::rename(&out, &previous).unwrap();
        collect(&out, &temporary, &previous).unwrap();
        assert_eq!(fs::read(out.join("index.html")).unwrap(), index, "the earlier page is back");
        assert!(!temporary.exists() && !previous.exists());

        // A folder of somebody else under such a name is not touched.
        fs::create_dir(&temporary).unwrap();
        fs::write(temporary.join("thesis.tex"), "years of work").unwrap();
        assert!(build(&out, &content, put_nothing, &mut |_| ()).is_err());
        assert_eq!(fs::read_to_string(temporary.join("thesis.tex")).unwrap(), "years of work");
        assert_eq!(fs::read(out.join("index.html")).unwrap(), index);
    }
}

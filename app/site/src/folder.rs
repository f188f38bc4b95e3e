//! The folder of the page: put together under a temporary name and renamed, so that a server never shows half of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cruxscope_study::{COLLECTION_FILE, Digest};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::SiteError;
use crate::content::Content;
use crate::index;
use crate::page::{self, Stamp};
use crate::studies;

/// The file that marks a folder as one of ours, and lists what it weighs.
const LISTING: &str = "site.json";
/// Who makes pages, as the listing says.
const MAKER: &str = "cruxscope-web";
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
        fs::copy(&from, folder.join(&name)).map_err(SiteError::io("copy", from))?;
    }
    Ok(())
}

/// Puts a page together; `put_program` puts the program's files into the folder that it is given.
///
/// # Errors
/// When the program cannot be made, or the folder cannot be written or holds something else.
pub fn build(out: &Path, content: &Content, put_program: impl FnOnce(&Path) -> Result<(), SiteError>) -> Result<Listing, SiteError> {
    // What can fail at once fails before the program is made, which may take minutes.
    refuse_foreign(out)?;
    let temporary = beside(out, "new")?;
    let assemble = || {
        fs::create_dir_all(&temporary).map_err(SiteError::io("make", &temporary))?;
        put_program(&temporary)?;
        write_documents(&temporary, content)?;
        let listing = list(&temporary)?;
        put_in_place(&temporary, out)?;
        Ok(listing)
    };
    let result = assemble();
    if temporary.exists() {
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
        .collect();
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let bytes = read(&path)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let packed = encoder
            .write_all(&bytes)
            .and_then(|()| encoder.finish())
            .map_err(SiteError::io("compress", path))?;
        files.push(ListedFile {
            name,
            bytes: bytes.len() as u64,
            gzip_bytes: packed.len() as u64,
        });
    }
    let listing = Listing {
        program: MAKER,
        version: env!("CARGO_PKG_VERSION"),
        files,
        contents: contents(folder)?.into_iter().collect(),
    };
    let text = serde_json::to_string_pretty(&listing)? + "\n";
    let path = folder.join(LISTING);
    fs::write(&path, text).map_err(SiteError::io("write", path))?;
    Ok(listing)
}

/// A page replaces only what the listing of an earlier page names: whatever else stands in the folder is somebody's work. A link is
/// never followed, so it counts as foreign, and so does a folder whose listing is not one of ours.
fn refuse_foreign(out: &Path) -> Result<(), SiteError> {
    #[derive(serde::Deserialize)]
    struct Earlier {
        program: String,
        #[serde(default)]
        contents: BTreeSet<String>,
    }
    let foreign = |file: &str| SiteError::Foreign {
        path: out.to_owned(),
        file: file.to_owned(),
    };
    match fs::symlink_metadata(out) {
        Err(_) => return Ok(()),
        Ok(metadata) if !metadata.is_dir() => return Err(foreign("no folder")),
        Ok(_) => {}
    }
    let mut found = contents(out)?;
    let listing = fs::read(out.join(LISTING)).ok();
    let earlier = listing.and_then(|bytes| serde_json::from_slice::<Earlier>(&bytes).ok());
    let listed = match earlier {
        Some(earlier) if earlier.program == MAKER => {
            found.remove(LISTING);
            earlier.contents
        }
        _ => BTreeSet::new(),
    };
    found.iter().find(|file| !listed.contains(*file)).map_or(Ok(()), |file| Err(foreign(file)))
}

/// Every file and link below a folder but the listing, its path with `/` between.
fn contents(folder: &Path) -> Result<BTreeSet<String>, SiteError> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![(folder.to_owned(), String::new())];
    while let Some((place, prefix)) = waiting.pop() {
        for entry in fs::read_dir(&place).map_err(SiteError::io("list", &place))? {
            let entry = entry.map_err(SiteError::io("list", &place))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let is_folder = entry.file_type().map_err(SiteError::io("look at", entry.path()))?.is_dir();
            if is_folder {
                waiting.push((entry.path(), name + "/"));
            } else {
                found.insert(name);
            }
        }
    }
    Ok(found)
}

/// A folder beside `out`, on the same disk, so that renaming is one step.
fn beside(out: &Path, purpose: &str) -> Result<PathBuf, SiteError> {
    let name = out.file_name().ok_or_else(|| SiteError::Nameless { path: out.to_owned() })?;
    Ok(out.with_file_name(format!(".{}.{}.{purpose}", name.to_string_lossy(), std::process::id())))
}

fn put_in_place(temporary: &Path, out: &Path) -> Result<(), SiteError> {
    let previous = beside(out, "old")?;
    let had_one = out.exists();
    if had_one {
        fs::rename(out, &previous).map_err(SiteError::io("move the earlier page out of", out))?;
    }
    let renamed = fs::rename(temporary, out).map_err(SiteError::io("move the page to", out));
    if had_one {
        match renamed {
            Ok(()) => fs::remove_dir_all(&previous).map_err(SiteError::io("remove the earlier page, now in", previous))?,
            // The earlier page is better than none; the error that counts is the first.
            Err(_) => fs::rename(&previous, out).unwrap_or_default(),
        }
    }
    renamed
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
        let listing = build(&out, &content(scratch.path()), put_nothing).unwrap();
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
    fn a_page_replaces_a_page_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("out");
        assert!(refuse_foreign(&out).is_ok());
        fs::create_dir(&out).unwrap();
        assert!(refuse_foreign(&out).is_ok(), "an empty folder may be taken");
        fs::write(out.join("thesis.tex"), "years of work").unwrap();
        assert!(refuse_foreign(&out).is_err());
        for listing in [
            "{}",
            r#"{"program": "another", "contents": ["thesis.tex"]}"#,
            r#"{"program": "cruxscope-web", "files": []}"#,
            "not JSON",
        ] {
            fs::write(out.join(LISTING), listing).unwrap();
            assert!(refuse_foreign(&out).is_err(), "{listing}");
        }
        fs::remove_file(out.join("thesis.tex")).unwrap();
        fs::write(out.join("index.html"), "old").unwrap();
        fs::create_dir(out.join("studies")).unwrap();
        fs::write(out.join("studies/a.json"), "{}").unwrap();
        fs::write(
            out.join(LISTING),
            r#"{"program": "cruxscope-web", "contents": ["index.html", "studies/a.json"]}"#,
        )
        .unwrap();
        assert!(refuse_foreign(&out).is_ok());
        fs::write(out.join("studies/mine.json"), "{}").unwrap();
        let error = refuse_foreign(&out).unwrap_err();
        assert!(matches!(&error, SiteError::Foreign { file, .. } if file == "studies/mine.json") && error.is_user_error());
        fs::remove_file(out.join("studies/mine.json")).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(scratch.path(), out.join("studies/elsewhere")).unwrap();
            assert!(refuse_foreign(&out).is_err(), "a link is not followed");
            fs::remove_file(out.join("studies/elsewhere")).unwrap();
        }
        let temporary = beside(&out, "new").unwrap();
        fs::create_dir(&temporary).unwrap();
        fs::write(temporary.join("index.html"), "new").unwrap();
        put_in_place(&temporary, &out).unwrap();
        let names: Vec<_> = fs::read_dir(scratch.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["out"], "nothing temporary is left");
        assert!(out.join("index.html").is_file() && !out.join(LISTING).exists());
    }
}

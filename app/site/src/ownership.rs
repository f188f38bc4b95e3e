//! What of a page's folder is ours: which files a later page may replace, and what a run left that was killed. Nothing else is touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::SiteError;

/// The file that marks a folder as one of ours, and lists what it weighs.
pub const LISTING: &str = "site.json";
/// Who makes pages, as the listing says.
pub const MAKER: &str = "cruxscope-web";

/// Makes the folder in which a page is put together, and marks it as one of ours from the first file on.
pub fn claim(temporary: &Path) -> Result<(), SiteError> {
    fs::create_dir(temporary).map_err(SiteError::io("make", temporary))?;
    let mark = temporary.join(LISTING);
    fs::write(&mark, format!("{{\"program\": \"{MAKER}\"}}\n")).map_err(SiteError::io("write", mark))
}

/// Whether a folder, and no link to one, is marked as one of ours.
pub fn is_claimed(folder: &Path) -> bool {
    #[derive(serde::Deserialize)]
    struct Mark {
        program: String,
    }
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir());
    let mark = fs::read(folder.join(LISTING))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Mark>(&bytes).ok());
    is_folder && mark.is_some_and(|mark| mark.program == MAKER)
}

/// Collects what a run left that was killed: half a page, and an earlier page that was moved aside. Where the new one never came to its
/// place, the earlier one goes back.
pub fn collect(out: &Path, temporary: &Path, previous: &Path) -> Result<(), SiteError> {
    if previous.exists() && !out.exists() && is_claimed(previous) {
        fs::rename(previous, out).map_err(SiteError::io("put the earlier page back to", out))?;
    }
    for left in [temporary, previous] {
        if is_claimed(left) {
            fs::remove_dir_all(left).map_err(SiteError::io("remove what a killed run left in", left))?;
        }
        // A run may have been killed before it marked the folder; one that holds something unmarked is somebody's, and stays.
        fs::remove_dir(left).ok();
    }
    Ok(())
}

/// A page replaces only what the listing of an earlier page names: whatever else stands in the folder is somebody's work. A link is
/// never followed, so it counts as foreign, and so does a folder whose listing is not one of ours.
pub fn refuse_foreign(out: &Path) -> Result<(), SiteError> {
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
pub fn contents(folder: &Path) -> Result<BTreeSet<String>, SiteError> {
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

/// A folder beside `out`, on the same disk, so that renaming is one step. Its name is free: whoever builds has the lock of `out`.
pub fn beside(out: &Path, purpose: &str) -> Result<PathBuf, SiteError> {
    let name = out.file_name().ok_or_else(|| SiteError::Nameless { path: out.to_owned() })?;
    Ok(out.with_file_name(format!(".{}.{purpose}", name.to_string_lossy())))
}

pub fn put_in_place(temporary: &Path, out: &Path, previous: &Path) -> Result<(), SiteError> {
    let had_one = out.exists();
    if had_one {
        fs::rename(out, previous).map_err(SiteError::io("move the earlier page out of", out))?;
    }
    let renamed = fs::rename(temporary, out).map_err(SiteError::io("move the page to", out));
    if had_one {
        match renamed {
            Ok(()) => fs::remove_dir_all(previous).map_err(SiteError::io("remove the earlier page, now in", previous))?,
            // The earlier page is better than none; the error that counts is the first.
            Err(_) => fs::rename(previous, out).unwrap_or_default(),
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (temporary, previous) = (beside(&out, "new").unwrap(), beside(&out, "old").unwrap());
        fs::create_dir(&temporary).unwrap();
        fs::write(temporary.join("index.html"), "new").unwrap();
        put_in_place(&temporary, &out, &previous).unwrap();
        let names: Vec<_> = fs::read_dir(scratch.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["out"], "nothing temporary is left");
        assert!(out.join("index.html").is_file() && !out.join(LISTING).exists());
    }
}

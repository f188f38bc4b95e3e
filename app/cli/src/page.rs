//! Where the program of the page lies: what `cruxscope-web` built, which `publish` copies into a site.

use std::path::{Path, PathBuf};

/// The page that was installed with this program: `page` beside it, as in an archive of a release, or `share/cruxscope/page` under the
/// folder that holds its `bin`, as a wheel or a system's package puts it.
pub fn installed() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // What a link on the PATH leads to.
    let program = program.canonicalize().unwrap_or(program);
    places(&program).into_iter().find(|place| cruxscope_site::holds_program(place))
}

fn places(program: &Path) -> Vec<PathBuf> {
    let folder = program.parent();
    let beside = folder.map(|folder| folder.join("page"));
    let shared = folder.and_then(Path::parent).map(|root| root.join("share").join("cruxscope").join("page"));
    beside.into_iter().chain(shared).collect()
}

/// The checkout that this program was built from, where it still lies there.
pub fn checkout() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    checkout.join("web/Cargo.toml").is_file().then(|| checkout.to_owned())
}

/// Seconds of one processor that a first build of the page takes: 351 crates for another kind of machine, optimised for size as a whole.
const BUILD_SECONDS: u64 = 1_800;
/// Of those the seconds that no second processor helps with: linking and optimising the whole.
const ALONE_SECONDS: u64 = 240;

/// What a build of the page will take, in words: it shares nothing with the program that is built, which is for another kind of machine.
pub fn time_to_build(checkout: &Path) -> String {
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get() as u64);
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout.join("target"), PathBuf::from);
    let begun = target.join("wasm32-unknown-unknown").join("web").join("deps").is_dir();
    words(processors, begun)
}

fn words(processors: u64, begun: bool) -> String {
    let minutes = |seconds: u64| seconds.div_ceil(60).max(1);
    let rest = (BUILD_SECONDS - ALONE_SECONDS) / processors.max(1);
    if begun {
        format!("about {} minutes, since its parts were built before", minutes(ALONE_SECONDS))
    } else {
        format!(
            "about {} minutes on {processors} processors, once; --page names a page that was built elsewhere",
            minutes(ALONE_SECONDS + rest)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_processors_take_less_time_and_the_second_build_least() {
        assert!(words(2, false).starts_with("about 17 minutes on 2 processors"), "{}", words(2, false));
        assert!(words(16, false).starts_with("about 6 minutes"), "{}", words(16, false));
        assert!(words(2, true).starts_with("about 4 minutes"), "{}", words(2, true));
    }

    #[test]
    fn a_page_lies_beside_the_program_or_where_its_installer_shares_files() {
        let expected = ["/opt/x/bin/page", "/opt/x/share/cruxscope/page"].map(PathBuf::from);
        assert_eq!(places(Path::new("/opt/x/bin/cruxscope")), expected);
        assert_eq!(places(Path::new("cruxscope")), [PathBuf::from("page")]);
    }
}

//! How long the program of a page takes to build, said before it begins.
//!
//! It shares nothing with the program of this machine but the downloaded sources: it is for another kind of machine, compiled for size, and
//! cargo keeps the helpers of each profile apart.

use std::path::Path;

/// Seconds of one processor that a first build of the page takes: 351 crates for another kind of machine, optimised for size as a whole.
const BUILD_SECONDS: u64 = 1_800;
/// Of those the seconds that no second processor helps with: linking and optimising the whole.
const ALONE_SECONDS: u64 = 240;

/// What a build will take, in words, by what cargo has built before in its folder `target`.
pub fn time_to_build(target: &Path) -> String {
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get() as u64);
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
            "about {} minutes on {processors} processors, once; `publish --page` takes one that was built elsewhere",
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
        let folder = tempfile::tempdir().unwrap();
        let first = time_to_build(folder.path());
        std::fs::create_dir_all(folder.path().join("wasm32-unknown-unknown/web/deps")).unwrap();
        assert_ne!(first, time_to_build(folder.path()));
    }
}

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

/// What a build of the page will take, in words.
pub fn time_to_build(checkout: &Path) -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout.join("target"), PathBuf::from);
    cruxscope_site::time_to_build(&target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_lies_beside_the_program_or_where_its_installer_shares_files() {
        let expected = ["/opt/x/bin/page", "/opt/x/share/cruxscope/page"].map(PathBuf::from);
        assert_eq!(places(Path::new("/opt/x/bin/cruxscope")), expected);
        assert_eq!(places(Path::new("cruxscope")), [PathBuf::from("page")]);
    }
}

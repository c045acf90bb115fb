use std::env;
use std::path::{Path, PathBuf};

/// The folder of a real data set: in `$BREW_DATA`, else in `../shared/data` beside the workspace.
///
/// `None` where there is none, with a line on standard error that the test is skipped; a test that gets `None`
/// returns.
pub fn real_data(set: &str) -> Option<PathBuf> {
    let root = env::var_os("BREW_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join(set);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no {set} in {}; set BREW_DATA", root.display());
    None
}

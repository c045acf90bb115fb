use std::path::Path;

use crate::CacheError;

/// Bytes that are free for this user where a folder is, or is to be.
///
/// # Errors
/// A disk that does not say.
pub fn free_space(folder: &Path) -> Result<u64, CacheError> {
    let there = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    fs4::available_space(there).map_err(CacheError::io("find the free space of", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_to_come_has_the_space_of_the_one_above_it() {
        let root = tempfile::tempdir().unwrap();
        let here = free_space(root.path()).unwrap();
        let below = free_space(&root.path().join("a/b")).unwrap();
        assert!(here > 0 && below > 0);
    }
}

//! The folder that downloads go to.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::error::{DownloadError, Result};

/// Bytes that are left free on the disk.
const SPARE: u64 = 32 << 20;

/// What the environment says about downloads. Read once, so that tests need not change it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `BREW_CACHE`.
    pub(crate) cache: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub(crate) xdg_cache_home: Option<PathBuf>,
    /// The user's home folder.
    pub(crate) home: Option<PathBuf>,
    /// `BREW_MIRROR`: replaces scheme and host of data sets' addresses.
    pub(crate) mirror: Option<String>,
    /// `HF_ENDPOINT`: the hub, or a mirror of it.
    pub(crate) hub: Option<String>,
    /// `HF_TOKEN`: for models that are private or given on request.
    pub(crate) token: Option<String>,
}

impl Environment {
    /// The process's environment; an empty variable counts as none.
    pub(crate) fn read() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            cache: path("BREW_CACHE"),
            xdg_cache_home: path("XDG_CACHE_HOME"),
            home: std::env::home_dir(),
            mirror: text("BREW_MIRROR"),
            hub: text("HF_ENDPOINT"),
            token: text("HF_TOKEN"),
        }
    }

    /// `BREW_CACHE`, `$XDG_CACHE_HOME/brew` or `~/.cache/brew`. The XDG specification has relative paths in
    /// `XDG_CACHE_HOME` ignored.
    pub(crate) fn cache_folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.cache {
            return Ok(folder.clone());
        }
        if let Some(folder) = self.xdg_cache_home.as_ref().filter(|folder| folder.is_absolute()) {
            return Ok(folder.join("brew"));
        }
        let home = self.home.as_ref().ok_or_else(|| {
            DownloadError::Usage(
                "no home folder is known: name a folder in BREW_CACHE or with --cache".to_owned(),
            )
        })?;
        Ok(home.join(".cache").join("brew"))
    }
}

/// The cache folder, held by this process alone until dropped.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    _lock: File,
}

impl Cache {
    /// Makes the folder if need be and locks it; `waiting` is called once if another process has it.
    ///
    /// # Errors
    /// A folder that cannot be made or written to.
    pub(crate) fn open(folder: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let not_writable = |cause| DownloadError::NotWritable { path: folder.to_path_buf(), cause };
        fs::create_dir_all(folder).map_err(not_writable)?;
        let path = folder.join(".lock");
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                lock.lock().map_err(|source| DownloadError::io(&path, source))?;
            }
            Err(TryLockError::Error(source)) => return Err(DownloadError::io(&path, source)),
        }
        // Absolute, because it is printed for the user to paste.
        let folder = folder.canonicalize().map_err(|source| DownloadError::io(folder, source))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where all data sets lie.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where a data set lies.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.data_folder().join(name)
    }

    /// Where the files of a data set are kept while they are fetched.
    pub(crate) fn downloads(&self, name: &str) -> PathBuf {
        self.folder.join("downloads").join(name)
    }

    /// Models in the layout of Hugging Face's own cache: `HF_HUB_CACHE` of their tools may name it.
    pub(crate) fn hub(&self) -> PathBuf {
        self.folder.join("hub")
    }
}

/// Refuses if `folder`, which has to exist, has not `needed` bytes free, and some to spare.
pub(crate) fn check_space(folder: &Path, needed: u64) -> Result<()> {
    // Where the file system does not tell, the write will.
    let Ok(free) = fs4::available_space(folder) else { return Ok(()) };
    let needed = needed.saturating_add(SPARE);
    if needed > free {
        return Err(DownloadError::NoSpace { path: folder.to_path_buf(), needed, free });
    }
    Ok(())
}

/// `fs::create_dir_all` with the folder in the error.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| DownloadError::io(folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_first_that_is_named() {
        let mut environment = Environment {
            home: Some("/h".into()),
            xdg_cache_home: Some("x".into()),
            ..Environment::default()
        };
        assert_eq!(environment.cache_folder().unwrap(), Path::new("/h/.cache/brew"));
        environment.xdg_cache_home = Some("/x".into());
        assert_eq!(environment.cache_folder().unwrap(), Path::new("/x/brew"));
        environment.cache = Some("here".into());
        assert_eq!(environment.cache_folder().unwrap(), Path::new("here"));
        let error = Environment::default().cache_folder().unwrap_err().to_string();
        assert!(error.contains("BREW_CACHE"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_names_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::open(&file.join("cache"), || {}).unwrap_err();
        assert!(matches!(error, DownloadError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains("BREW_CACHE"), "{error}");
    }

    #[test]
    fn more_than_the_disk_holds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        check_space(folder.path(), 0).unwrap();
        let error = check_space(folder.path(), 1 << 60).unwrap_err();
        assert!(matches!(error, DownloadError::NoSpace { .. }), "{error}");
        assert!(error.to_string().contains("Make room"), "{error}");
    }

    #[test]
    fn a_second_process_waits() {
        let folder = tempfile::tempdir().unwrap();
        let first = Cache::open(folder.path(), || panic!("nobody else is there")).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let path = folder.path().to_path_buf();
        let second = std::thread::spawn(move || {
            Cache::open(&path, || sender.send(()).unwrap()).unwrap();
        });
        receiver.recv().unwrap(); // it has found the lock taken
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap();
    }
}

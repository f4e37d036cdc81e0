//! A folder that goes with the server that writes into it, unless a person will want to read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::LaunchError;

/// A new folder under the system's temporary one, deleted on drop; kept, and its path printed, when the
/// dropping thread panics or `LOGMILL_KEEP` is set.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    pub(super) fn new(name: &str) -> Result<Self, LaunchError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("logmill-{name}-{}-{number}", std::process::id()));
        // A process of the same id may have left one behind.
        if path.exists() {
            fs::remove_dir_all(&path).map_err(LaunchError::io(format!("clear {}", path.display())))?;
        }
        fs::create_dir_all(&path).map_err(LaunchError::io(format!("make {}", path.display())))?;
        Ok(Self { path, keep: false })
    }

    /// Keeps it in any case: a server in it has failed.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep || std::thread::panicking() || std::env::var_os("LOGMILL_KEEP").is_some() {
            eprintln!("kept for you to read: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot delete {}: {error}", self.path.display());
        }
    }
}

//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Result;
use crate::io::failed;

/// How names of temporary files end.
const SUFFIX: &str = ".tmp";

/// Writes a file so that, whatever happens, `path` holds either what it held before or all that `write` writes: into a
/// temporary file beside it, which is synced to the disk and then takes the name. Where `path` is a symbolic link, what it
/// points to is replaced.
///
/// ```
/// use std::io::Write;
/// # let folder = std::env::temp_dir().join(format!("wgrad-atomic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("answer.txt");
/// wgrad::io::write_atomically(&path, |file| file.write_all(b"42"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "42");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with the path and the system's message, or that of `write`; the temporary file is removed.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(name) = target.file_name() else { return Err(failed(path, "is not the name of a file")) };
    if target.is_dir() {
        return Err(failed(path, "is a folder, not a file"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{}.{}-{count}{SUFFIX}", name.to_string_lossy(), std::process::id()));
    let put = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        drop(file);
        fs::rename(&temporary, &target)?;
        sync_folder(&folder)
    };
    put().map_err(|error| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        failed(path, error)
    })
}

/// Makes a rename last: on Unix a folder's entries are synced apart from the files.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Whether a file's name is that of a temporary file of [`write_atomically`], such as a killed process leaves behind.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Makes a folder and those above it where they do not exist.
///
/// # Errors
/// Where that cannot be done.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("wgrad-atomic-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        write_atomically(&path, |f| f.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |f| {
            f.write_all(b"half of the n")?;
            Err(io::Error::other("the disk is full"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(write_atomically(&folder, |_| Ok(())).unwrap_err().to_string().contains("is a folder"));
        assert!(write_atomically(folder.join("missing/file"), |_| Ok(())).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}

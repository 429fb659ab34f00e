//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// What the system says of a file.
pub(crate) fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Io { path: path.display().to_string(), detail: error.to_string() }
}

/// Browsers have no files, and some calls of the system panic there.
fn expect_files(path: &Path) -> Result<()> {
    match cfg!(target_arch = "wasm32") {
        true => Err(failed(path, "a browser has no files; save to bytes, and load from bytes")),
        false => Ok(()),
    }
}

/// Writes a file so that at every moment `path` holds either what it held before or all of the new content: `write` fills a
/// temporary file beside it, which is brought to the disk and then takes its place.
///
/// # Errors
/// [`Error::Io`] with the path and the system's message; the temporary file is gone then.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    expect_files(path)?;
    let Some(name) = path.file_name() else { return Err(failed(path, "this names no file")) };
    let mut temporary = name.to_os_string();
    temporary.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let temporary = folder.join(temporary);
    let outcome = (|| {
        let mut out = BufWriter::new(File::create(&temporary)?);
        write(&mut out)?;
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(error) = outcome {
        // What went wrong first is what counts.
        let _ = fs::remove_file(&temporary);
        return Err(failed(path, error));
    }
    // The name is on the disk once its folder is. Not every system opens folders, and the file itself is safe by now.
    if let Ok(folder) = File::open(&folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Makes a folder and those above it where they do not exist.
///
/// # Errors
/// [`Error::Io`] where that cannot be done.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    expect_files(folder)?;
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))
}

/// Bytes of a file.
///
/// # Errors
/// [`Error::Io`] where there is none, or it is a folder or another thing that is no file.
pub(crate) fn length(path: &Path) -> Result<u64> {
    expect_files(path)?;
    let about = fs::metadata(path).map_err(|error| failed(path, error))?;
    match (about.is_dir(), about.is_file()) {
        (true, _) => Err(failed(path, "is a folder, not a file")),
        (_, true) => Ok(about.len()),
        _ => Err(failed(path, "is not a regular file")),
    }
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, is no file, or is longer.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let len = length(path)?;
    if len > limit {
        return Err(failed(path, format!("{len} bytes are more than the {limit} that may be read")));
    }
    fs::read(path).map_err(|error| failed(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("wgrad-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x");
        write_atomically(&path, |out| out.write_all(b"first")).unwrap();
        let error = write_atomically(&path, |out| {
            out.write_all(b"half")?;
            Err(std::io::Error::other("the pen broke"))
        });
        assert!(error.unwrap_err().to_string().contains("the pen broke"));
        assert_eq!(read(&path, 5).unwrap(), b"first");
        assert!(read(&path, 4).is_err() && read(&folder, 100).is_err() && read(&folder.join("y"), 100).is_err());
        write_atomically(&path, |out| out.write_all(b"second")).unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"second");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "temporary files are left");
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! `WGRAD_TUNE`: which of a few kernels was fastest for a class of shapes, kept in a file.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::file;

/// Kernels that are tried for a class of shapes at most.
pub const CANDIDATES: usize = 3;

/// Adapters, for each the classes of shapes that were tried, for each of those the number of the fastest candidate.
type Table = BTreeMap<String, BTreeMap<String, usize>>;

/// What was found out on one adapter. The file is JSON, one table for each adapter.
#[derive(Debug)]
pub struct Choices {
    path: PathBuf,
    adapter: String,
    own: Mutex<BTreeMap<String, usize>>,
}

impl PartialEq for Choices {
    fn eq(&self, other: &Choices) -> bool {
        (&self.path, &self.adapter) == (&other.path, &other.adapter)
    }
}

impl Choices {
    /// Reads what is known; a file that does not exist knows nothing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the file cannot be read or is not such a table.
    pub fn open(path: impl Into<PathBuf>, adapter: impl Into<String>) -> Result<Choices> {
        let (path, adapter) = (path.into(), adapter.into());
        let own = read(&path)?.remove(&adapter).unwrap_or_default();
        Ok(Choices { path, adapter, own: Mutex::new(own) })
    }

    /// The candidate for a class of shapes, where it was tried.
    pub fn of(&self, class: &str) -> Option<usize> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).get(class).copied()
    }

    /// Keeps a choice, here and in the file. What others have written there meanwhile stays.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the file cannot be written.
    pub fn choose(&self, class: &str, candidate: usize) -> Result<()> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(class.to_owned(), candidate);
        let mut table = read(&self.path)?;
        table.entry(self.adapter.clone()).or_default().insert(class.to_owned(), candidate);
        let text = serde_json::to_string_pretty(&table).map_err(|error| file::failed(&self.path, error))?;
        file::write_atomically(&self.path, |out| out.write_all(text.as_bytes()))
    }
}

fn read(path: &Path) -> Result<Table> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| file::failed(path, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Table::new()),
        Err(error) => Err(file::failed(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn files_that_are_no_tables_are_errors_and_stay() {
        let path = std::env::temp_dir().join(format!("wgrad tuning {}", std::process::id()));
        std::fs::write(&path, "[1, 2]").unwrap();
        let error = Choices::open(path.clone(), "an adapter").unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[1, 2]");
        std::fs::remove_file(&path).unwrap();
        // Two processes that found different things out.
        let (one, two) = (Choices::open(path.clone(), "a").unwrap(), Choices::open(path.clone(), "b").unwrap());
        one.choose("x", 1).unwrap();
        two.choose("x", 2).unwrap();
        one.choose("y", 0).unwrap();
        let again = Choices::open(path.clone(), "a").unwrap();
        assert_eq!([again.of("x"), again.of("y"), again.of("z")], [Some(1), Some(0), None]);
        assert_eq!(Choices::open(path.clone(), "b").unwrap().of("x"), Some(2));
        std::fs::remove_file(&path).unwrap();
    }
}

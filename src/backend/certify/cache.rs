//! What the checks of a device have found, kept in a file: by adapter, driver, the kernels' choice, and the version of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::caps::Caps;
use crate::env;
use crate::file;
use crate::gpu::AdapterInfo;

/// Bytes that are read of a file at most.
const LIMIT: u64 = 1 << 20;

/// Adapters, and what was found of each.
type Table = BTreeMap<String, Entry>;

/// What was found of an adapter, and by which version of what.
#[derive(Serialize, Deserialize)]
struct Entry {
    wgrad: String,
    driver: String,
    /// A hash of what kernels are chosen by.
    choice: u32,
    /// Ops that have to run plain kernels.
    plain: BTreeSet<String>,
}

/// Which entry is looked for.
pub struct Key {
    adapter: String,
    driver: String,
    choice: u32,
}

impl Key {
    pub fn new(info: &AdapterInfo, caps: &Caps) -> Key {
        // The table of tuned kernels names a file, which changes no kernel that is checked.
        let choice = format!("{:?}", Caps { choices: None, ..caps.clone() });
        Key {
            adapter: format!("{} ({})", info.name, info.backend),
            driver: info.driver.clone(),
            choice: crc32fast::hash(choice.as_bytes()),
        }
    }
}

/// `WGRAD_CERTIFY_CACHE`, or a file in the user's cache folder where there is one.
fn path() -> Option<PathBuf> {
    if let Some(path) = &env::get().certify_cache {
        return Some(PathBuf::from(path));
    }
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    Some(caches?.join("wgrad").join("certified.json"))
}

/// What the file has; of one that is missing or damaged, nothing.
fn read() -> Table {
    let bytes = path().and_then(|path| file::read(&path, LIMIT).ok());
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The ops that have to run plain kernels, where the adapter was checked with this driver and version.
pub fn find(key: &Key) -> Option<BTreeSet<String>> {
    let entry = read().remove(&key.adapter)?;
    let same = entry.wgrad == env!("CARGO_PKG_VERSION") && entry.driver == key.driver && entry.choice == key.choice;
    same.then_some(entry.plain)
}

/// Keeps what was found. Where that cannot be done, the next device is checked again.
pub fn keep(key: &Key, plain: &BTreeSet<String>) {
    let Some(path) = path() else { return };
    let mut table = read();
    let entry = Entry {
        wgrad: env!("CARGO_PKG_VERSION").to_owned(),
        driver: key.driver.clone(),
        choice: key.choice,
        plain: plain.clone(),
    };
    table.insert(key.adapter.clone(), entry);
    let written = serde_json::to_string_pretty(&table).map_err(|error| file::failed(&path, error)).and_then(|text| {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            file::create_folder(folder)?;
        }
        file::write_atomically(&path, |out| out.write_all(text.as_bytes()))
    });
    if let Err(error) = written {
        log::warn!("what the kernels' check has found is not kept: {error}");
    }
}

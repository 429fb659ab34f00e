//! What the demo page's trainers have in common: files, and the hash of weights.

use std::collections::BTreeMap;

use js_sys::{Promise, Uint8Array};
use wgrad::nn::StateDict;
use wgrad::{Error, Result, Tensor, io};

use crate::promise;

/// The prefix of the optimizer's entries.
const OPTIMIZER: &str = "optimizer.";

/// The bytes of a safetensors file of the model's and the optimizer's entries, as they are now.
pub fn save(model: StateDict, optimizer: StateDict, words: BTreeMap<String, String>) -> Promise {
    let optimizer = optimizer.into_iter().map(|(name, value)| (format!("{OPTIMIZER}{name}"), value));
    let entries: StateDict = model.into_iter().chain(optimizer).collect();
    promise(async move { Ok(Uint8Array::from(&io::to_safetensors_bytes_async(&entries, &words).await?[..])) })
}

/// What such a file holds: the model's entries, the optimizer's, and what it says about itself.
pub struct Saved {
    pub model: StateDict,
    pub optimizer: StateDict,
    words: BTreeMap<String, String>,
}

impl Saved {
    /// Reads a file onto the CPU reference, where the numbers of the optimizer are read without a wait.
    pub fn read(bytes: &[u8]) -> Result<Saved> {
        let (entries, words) = io::from_safetensors_bytes(bytes, &wgrad::Device::cpu())?;
        let (optimizer, model): (StateDict, StateDict) =
            entries.into_iter().partition(|(name, _)| name.starts_with(OPTIMIZER));
        let optimizer = optimizer.into_iter().map(|(name, value)| (name[OPTIMIZER.len()..].to_owned(), value));
        Ok(Saved { model, optimizer: optimizer.collect(), words })
    }

    /// What the file says under a key.
    pub fn word(&self, key: &str) -> Result<&str> {
        self.words.get(key).map(String::as_str).ok_or_else(|| foreign(key))
    }

    /// The number under a key.
    pub fn number(&self, key: &str) -> Result<u64> {
        self.word(key)?.parse().map_err(|_| foreign(key))
    }
}

fn foreign(key: &str) -> Error {
    Error::Io {
        path: "file".into(),
        detail: format!("it was not saved by this part of the page: it does not name its {key}"),
    }
}

/// A hash of the bits of all these tensors: FNV-1a.
pub fn hash(tensors: Vec<Tensor>) -> Promise {
    promise(async move {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for tensor in tensors {
            for byte in tensor.to_vec_async::<f32>().await?.iter().flat_map(|v| v.to_bits().to_le_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        Ok(format!("{hash:016x}"))
    })
}

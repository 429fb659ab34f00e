//! Files that are read, and bytes that could be one: their length is known, and no read goes past it.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::{DeflateDecoder, GzDecoder};

use crate::error::{Error, Result};
use crate::host;
use crate::io::failed;

/// The most that a byte of a deflate stream can stand for: 258 bytes for two bits (RFC 1951).
pub const DEFLATE_RATIO: u64 = 1032;
/// What a compressed file may always expand to.
const ALWAYS: u64 = 256 << 20;
/// How often its own length a compressed file may expand to beyond that.
const EXPANSION: u64 = 64;
/// Capacity that is reserved on the word of a compressed stream; more comes as the data does.
const RESERVE: u64 = 1 << 20;

trait Input: Read + Seek {}
impl<T: Read + Seek> Input for T {}

/// A file that is being read.
pub struct Source<'a> {
    path: PathBuf,
    file: Box<dyn Input + 'a>,
    len: u64,
}

impl<'a> Source<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it cannot be opened, or is a folder or another thing that is no file.
    pub fn open(path: &Path) -> Result<Source<'a>> {
        let len = crate::file::length(path)?;
        let file = File::open(path).map_err(|e| failed(path, e))?;
        Ok(Source { path: path.to_owned(), file: Box::new(BufReader::new(file)), len })
    }

    /// A file's bytes, which errors call `name`.
    pub fn of_bytes(name: &str, bytes: &'a [u8]) -> Source<'a> {
        Source { path: PathBuf::from(name), file: Box::new(Cursor::new(bytes)), len: bytes.len() as u64 }
    }

    /// Bytes in the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// An error about this file.
    pub fn failed(&self, detail: impl std::fmt::Display) -> Error {
        failed(&self.path, detail)
    }

    /// `len` bytes from `start` on; `what` names them in errors.
    ///
    /// # Errors
    /// Where the file is too short, before anything is allocated.
    pub fn bytes(&mut self, start: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        let end = start.checked_add(len).filter(|&end| end <= self.len);
        let (Some(_), Ok(size)) = (end, usize::try_from(len)) else {
            let detail = format!("{what} needs {len} bytes from byte {start} on, but the file has {} in all", self.len);
            return Err(self.failed(detail));
        };
        // A file may be sparse, and far longer than memory.
        let mut bytes = host::filled(&format!("reading {}", self.path.display()), size, 0)?;
        self.file.seek(SeekFrom::Start(start)).map_err(|e| failed(&self.path, e))?;
        self.file.read_exact(&mut bytes).map_err(|e| failed(&self.path, format!("{what}: {e}")))?;
        Ok(bytes)
    }

    /// The whole file.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn all(&mut self) -> Result<Vec<u8>> {
        self.bytes(0, self.len, "the file")
    }

    /// The whole file as text.
    ///
    /// # Errors
    /// Where it cannot be read or is not UTF-8.
    pub fn text(&mut self) -> Result<String> {
        String::from_utf8(self.all()?).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            self.failed(format!("is not UTF-8 text (byte {at})"))
        })
    }

    /// What `len` bytes of a raw deflate stream at `start` inflate to, which must be exactly `size` bytes.
    ///
    /// # Errors
    /// Where the stream is damaged or says something else.
    pub fn inflate(&mut self, start: u64, len: u64, size: u64, what: &str) -> Result<Vec<u8>> {
        if size > len.saturating_mul(DEFLATE_RATIO).saturating_add(64) {
            return Err(self.failed(format!("{what} cannot hold {size} bytes in a deflate stream of {len}")));
        }
        let packed = self.bytes(start, len, what)?;
        host::room_for(&format!("reading {}", self.path.display()), None, size)?;
        let mut out = Vec::with_capacity(size.min(RESERVE) as usize);
        let read = DeflateDecoder::new(&packed[..]).take(size + 1).read_to_end(&mut out);
        read.map_err(|e| failed(&self.path, format!("{what}: {e}")))?;
        if out.len() as u64 != size {
            return Err(self.failed(format!("{what} says that it holds {size} bytes, and does not")));
        }
        Ok(out)
    }

    /// The most bytes that compressed parts of this file may expand to in all.
    pub fn expansion_limit(&self) -> u64 {
        self.len.saturating_mul(EXPANSION).max(ALWAYS)
    }

    /// The whole file, unpacked where it begins as a gzip file does.
    ///
    /// # Errors
    /// Where it cannot be read, the stream is damaged, or it expands beyond all measure.
    pub fn unpacked(&mut self) -> Result<Vec<u8>> {
        let bytes = self.all()?;
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok(bytes);
        }
        let limit = self.expansion_limit();
        let mut out = Vec::new();
        let read = GzDecoder::new(&bytes[..]).take(limit + 1).read_to_end(&mut out);
        read.map_err(|e| failed(&self.path, format!("gzip: {e}")))?;
        if out.len() as u64 > limit {
            return Err(
                self.failed(format!("expands to more than {limit} bytes, which a file of {} should not", self.len))
            );
        }
        Ok(out)
    }
}

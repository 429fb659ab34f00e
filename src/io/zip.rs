//! Zip archives, as far as npz files need them: entries that are stored or deflated, read with every size held against the
//! file's, and stored entries written. (PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3.)

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Result;
use crate::io::source::Source;
use crate::io::{failed, write_atomically};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const LOCAL_LEN: u64 = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: u64 = 22;
const LOCATOR_LEN: u64 = 20;
/// The longest comment, which stands between the end record and the end of the file.
const LONGEST_COMMENT: u64 = u16::MAX as u64;
/// 1 January 1980, where the format's dates begin; files with the same contents have the same bytes.
const DATE: [u8; 4] = [0, 0, 0x21, 0];

/// An entry of the central directory.
struct Entry {
    name: String,
    deflated: bool,
    crc: u32,
    packed: u64,
    size: u64,
    at: u64,
}

/// Little-endian numbers of a record; what is past its end reads as 0, so lengths are checked before.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
    fn u16(&self, at: usize) -> u64 {
        u64::from(u16::from_le_bytes(self.bytes(at)))
    }
    fn u32(&self, at: usize) -> u64 {
        u64::from(u32::from_le_bytes(self.bytes(at)))
    }
    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }
}

/// The contents of a zip file's entries, by name.
///
/// # Errors
/// What is damaged, encrypted, packed by a method that is not read, or expands beyond all measure.
pub fn read(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut source = Source::open(path)?;
    let (directory, directory_at) = central_directory(&mut source)?;
    let entries = entries(&source, &directory)?;
    let total = entries.iter().fold(0u64, |sum, e| sum.saturating_add(e.size));
    if entries.iter().any(|e| e.deflated) && total > source.expansion_limit() {
        let detail = format!("would expand to {total} bytes, which a file of {} should not", source.len());
        return Err(source.failed(detail));
    }
    let mut places = Vec::with_capacity(entries.len());
    for entry in &entries {
        let what = format!("entry {:?}", entry.name);
        let head = source.bytes(entry.at, LOCAL_LEN, &what)?;
        let local = Record(&head);
        if local.bytes(0) != LOCAL {
            return Err(source.failed(format!("{what} has no header where the directory says")));
        }
        let start = entry.at + LOCAL_LEN + local.u16(26) + local.u16(28);
        let end = start.checked_add(entry.packed).filter(|&end| end <= directory_at);
        let end = end.ok_or_else(|| source.failed(format!("{what} does not lie in front of the directory")))?;
        places.push((entry.at, end, start));
    }
    // Many entries over the same bytes would multiply them.
    let mut sorted = places.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(source.failed("two zip entries overlap"));
    }
    let mut out = BTreeMap::new();
    for (entry, (_, _, start)) in entries.into_iter().zip(places) {
        let what = format!("entry {:?}", entry.name);
        let bytes = if entry.deflated {
            source.inflate(start, entry.packed, entry.size, &what)?
        } else if entry.packed == entry.size {
            source.bytes(start, entry.size, &what)?
        } else {
            return Err(source.failed(format!("{what} is stored, but its two sizes differ")));
        };
        if crc32fast::hash(&bytes) != entry.crc {
            return Err(source.failed(format!("{what} is damaged: its checksum is another")));
        }
        if out.insert(entry.name, bytes).is_some() {
            return Err(source.failed(format!("{what} is there twice")));
        }
    }
    Ok(out)
}

/// The central directory, and where it begins.
fn central_directory(source: &mut Source) -> Result<(Vec<u8>, u64)> {
    let tail_len = source.len().min(END_LEN + LONGEST_COMMENT);
    let tail_at = source.len() - tail_len;
    let tail = source.bytes(tail_at, tail_len, "the zip directory's end")?;
    // The record is the last one whose comment ends with the file.
    let end = (0..=tail.len().saturating_sub(END_LEN as usize))
        .rev()
        .find(|&at| tail[at..].starts_with(&END) && Record(&tail[at..]).u16(20) == (tail.len() - at) as u64 - END_LEN);
    let Some(end) = end.filter(|_| tail_len >= END_LEN) else {
        return Err(source.failed("is no zip file, or is cut off: the end of its directory is missing"));
    };
    let record = Record(&tail[end..]);
    let (mut size, mut at) = (record.u32(12), record.u32(16));
    let mut limit = tail_at + end as u64;
    if size == u64::from(u32::MAX) || at == u64::from(u32::MAX) || record.u16(10) == u64::from(u16::MAX) {
        let locator_at = limit.checked_sub(LOCATOR_LEN).ok_or_else(|| source.failed("the zip64 locator is missing"))?;
        let locator = source.bytes(locator_at, LOCATOR_LEN, "the zip64 locator")?;
        if Record(&locator).bytes(0) == LOCATOR64 {
            limit = Record(&locator).u64(8);
            let end64 = source.bytes(limit, 56, "the zip64 end record")?;
            if Record(&end64).bytes(0) != END64 {
                return Err(source.failed("the zip64 end record is damaged"));
            }
            (size, at) = (Record(&end64).u64(40), Record(&end64).u64(48));
        }
    }
    if at.checked_add(size).is_none_or(|end| end > limit) {
        return Err(source.failed("the zip directory does not lie inside the file"));
    }
    Ok((source.bytes(at, size, "the zip directory")?, at))
}

/// The entries of a central directory.
fn entries(source: &Source, directory: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut rest = directory;
    while !rest.is_empty() {
        let record = Record(rest);
        let (name_len, extra_len) = (record.u16(28) as usize, record.u16(30) as usize);
        let len = CENTRAL_LEN + name_len + extra_len + record.u16(32) as usize;
        if rest.len() < CENTRAL_LEN.max(len) || record.bytes(0) != CENTRAL {
            return Err(source.failed("the zip directory is damaged"));
        }
        let name = String::from_utf8_lossy(&rest[CENTRAL_LEN..CENTRAL_LEN + name_len]).into_owned();
        let (flags, method) = (record.u16(8), record.u16(10));
        if flags & 1 != 0 {
            return Err(source.failed(format!("entry {name:?} is encrypted")));
        }
        if method != 0 && method != 8 {
            return Err(source.failed(format!("entry {name:?} is packed by method {method}, which is not read")));
        }
        let crc = record.u32(16) as u32;
        let (mut packed, mut size, mut at) = (record.u32(20), record.u32(24), record.u32(42));
        let extra = &rest[CENTRAL_LEN + name_len..CENTRAL_LEN + name_len + extra_len];
        // In this order, each only where the field of 32 bits is full.
        let mut wide = zip64_fields(extra);
        for field in [&mut size, &mut packed, &mut at] {
            if *field == u64::from(u32::MAX)
                && let Some(value) = wide.next()
            {
                *field = value;
            }
        }
        entries.push(Entry { name, deflated: method == 8, crc, packed, size, at });
        rest = &rest[len..];
    }
    Ok(entries)
}

/// The numbers of 64 bits in an entry's extra fields.
fn zip64_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let mut body: &[u8] = &[];
    while extra.len() >= 4 {
        let (id, len) = (Record(extra).u16(0), Record(extra).u16(2) as usize);
        let Some(field) = extra.get(4..4 + len) else { break };
        if id == 1 {
            body = field;
            break;
        }
        extra = &extra[4 + len..];
    }
    body.chunks_exact(8).map(|chunk| Record(chunk).u64(0))
}

/// Writes a zip file of stored entries.
///
/// # Errors
/// Where it cannot be written, or would be larger than the 4 GiB of the format without its extension.
pub fn write(path: &Path, entries: &[(String, Vec<u8>)]) -> Result<()> {
    let too_large = || failed(path, "an npz file of more than 4 GiB is not written; use safetensors");
    let (mut parts, mut directory, mut at) = (Vec::new(), Vec::new(), 0u64);
    for (name, bytes) in entries {
        let size = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        let here = u32::try_from(at).map_err(|_| too_large())?;
        let name_len =
            u16::try_from(name.len()).map_err(|_| failed(path, format!("the name {name:.40}… is too long")))?;
        // Version 2.0, flag 11: names are UTF-8; stored.
        let mut common = vec![20, 0, 0, 8, 0, 0];
        common.extend(DATE);
        common.extend(crc32fast::hash(bytes).to_le_bytes());
        common.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        common.extend(name_len.to_le_bytes());
        common.extend([0, 0]);
        let head = [&LOCAL[..], &common, name.as_bytes()].concat();
        directory.extend([&CENTRAL[..], &[20, 0], &common, &[0; 10], &here.to_le_bytes(), name.as_bytes()].concat());
        at += (head.len() + bytes.len()) as u64;
        parts.push((head, bytes));
    }
    let count = u16::try_from(entries.len()).map_err(|_| failed(path, "an npz file takes at most 65,535 arrays"))?;
    let (here, size) = (u32::try_from(at), u32::try_from(directory.len()));
    let (Ok(here), Ok(size)) = (here, size) else { return Err(too_large()) };
    let count = count.to_le_bytes();
    let end = [&END[..], &[0; 4], &count, &count, &size.to_le_bytes(), &here.to_le_bytes(), &[0; 2]].concat();
    write_atomically(path, |file| {
        for (head, bytes) in &parts {
            file.write_all(head)?;
            file.write_all(bytes)?;
        }
        file.write_all(&directory)?;
        file.write_all(&end)
    })
}

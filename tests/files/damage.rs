//! Damaged files: an `Err` that names file and reason, before anything large is allocated.

use std::path::Path;

use wgrad::data::{CharCorpus, Csv, Idx, Mnist, Vocabulary};
use wgrad::train::{Checkpoint, History};
use wgrad::{Device, io, load_captured};

use crate::{Folder, fixture, gpu};

/// The error's text, which must name the file.
fn says<T>(path: &Path, result: wgrad::Result<T>) -> String {
    let Err(error) = result else { panic!("{} was read", path.display()) };
    assert!(matches!(error, wgrad::Error::Io { .. }), "{error:?}");
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("{}: ", path.display()));
    rest.unwrap_or_else(|| panic!("{text:?} does not name {}", path.display())).to_owned()
}

fn safetensors(folder: &Folder, bytes: &[u8]) -> String {
    let path = folder.file("x.safetensors", bytes);
    says(&path, io::load_safetensors(&path, &Device::cpu()))
}

/// A safetensors file of this header and so many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn no_loader_takes_a_folder_a_missing_file_or_an_empty_one() {
    let (folder, cpu) = (Folder::new(), Device::cpu());
    let empty = folder.file("empty", b"");
    for (path, expected) in [(&folder.0, "is a folder"), (&folder.join("nothing"), "No such file"), (&empty, "")] {
        let errors = [
            says(path, io::load_safetensors(path, &cpu)),
            says(path, io::load_npz(path, &cpu)),
            says(path, io::load_npy(path, &cpu)),
            says(path, Checkpoint::load(path, &cpu)),
            says(path, Idx::load(path)),
            says(path, Csv::load(path)),
            says(path, CharCorpus::load(path)),
            says(path, Vocabulary::load(path)),
            // An error of another kind, which names the file too.
            load_captured(path, gpu()).err().map(|error| error.to_string()).unwrap_or_default(),
        ];
        assert!(errors[8].contains(&path.display().to_string()), "{}", errors[8]);
        assert!(errors.iter().all(|e| e.contains(expected)), "{errors:?}");
        assert!(History::load_csv(path).is_err());
    }
}

#[test]
fn safetensors_headers_that_lie() {
    let folder = Folder::new();
    let says = |bytes: &[u8]| safetensors(&folder, bytes);
    let entry = |dtype: &str, shape: &str, offsets: &str, data: usize| {
        let header = format!("{{\"w\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}");
        safetensors(&folder, &with_header(&header, data))
    };
    assert!(says(b"PK\x03\x04").contains("needs 8 bytes"));
    assert!(says(&[255; 8]).contains("header would have 18446744073709551615 bytes"));
    assert!(says(&[&50_000_000u64.to_le_bytes()[..], b"{}"].concat()).contains("but the file has 10 in all"));
    assert!(says(&with_header("{]", 0)).contains("no sound safetensors file"));
    assert!(entry("F32", "[2]", "[0,8]", 7).contains("holds 7 bytes of data, but its header describes 8"));
    assert!(entry("F32", "[2]", "[0,8]", 9).contains("holds 9 bytes of data"));
    assert!(entry("F32", "[3]", "[0,8]", 8).contains("no sound"));
    assert!(entry("F32", "[4611686018427387904,4]", "[0,8]", 8).contains("no sound"));
    assert!(entry("F32", "[-1]", "[0,8]", 8).contains("no sound"));
    assert!(entry("F32", "[2]", "[8,0]", 8).contains("no sound"));
    assert!(entry("C64", "[1]", "[0,8]", 8).contains("which is not read"));
    assert!(entry("WHAT", "[2]", "[0,8]", 8).contains("no sound"));
    assert!(entry("F32", "[0,9223372036854775807,9]", "[0,0]", 0).contains("too large"));
    assert!(entry("F32", &format!("[{}1]", "1,".repeat(80)), "[0,4]", 4).contains("has 81 dims"));
    let two = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\
               \"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}";
    assert!(says(&with_header(two, 12)).contains("no sound"), "overlapping tensors");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(says(&with_header(&deep, 0)).contains("no sound"));
}

#[test]
fn numbers_that_do_not_fit() {
    let folder = Folder::new();
    let header = "{\"w\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}";
    let mut bytes = with_header(header, 0);
    bytes.extend((1i64 << 31).to_le_bytes());
    assert!(safetensors(&folder, &bytes).contains("tensor \"w\": the value 2147483648 does not fit i32"));
    let header = "{\"w\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    let mut bytes = with_header(header, 0);
    bytes.push(2);
    assert!(safetensors(&folder, &bytes).contains("the byte 2 is no boolean"));
}

/// Replaces the first occurrence.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).expect("what is to be replaced is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn npz_files_that_lie() {
    let folder = Folder::new();
    let good = std::fs::read(fixture("numpy_compressed.npz")).unwrap();
    let says = |bytes: &[u8]| {
        let path = folder.file("x.npz", bytes);
        says(&path, io::load_npz(&path, &Device::cpu()))
    };
    assert!(says(&good[..good.len() - 1]).contains("cut off"));
    assert!(says(&good[..good.len() / 2]).contains("cut off"));
    assert!(says(b"not a zip file at all, but long enough to be one").contains("no zip file"));
    // The last entry, "zeros": its sizes stand in the directory, which is where they are looked up.
    let at = good.windows(9).rposition(|w| w == b"zeros.npy").unwrap() - 46;
    let patch = |offset: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
        says(&bytes)
    };
    let size = u32::from_le_bytes(good[at + 24..at + 28].try_into().unwrap());
    assert!(patch(24, size + 1).contains("says that it holds"));
    assert!(patch(24, size - 1).contains("says that it holds"));
    assert!(patch(24, 4_000_000_000).contains("would expand to"));
    assert!(patch(24, 200_000_000).contains("cannot hold 200000000 bytes"));
    assert!(patch(20, 4_000_000_000).contains("does not lie in front of the directory"));
    assert!(patch(42, 4_000_000_000).contains("but the file has"));
    assert!(patch(16, 1).contains("checksum"));
    assert!(patch(42, 0).contains("overlap"));
    let mut encrypted = good.clone();
    encrypted[at + 8] |= 1;
    assert!(says(&encrypted).contains("encrypted"));
    let mut other = good.clone();
    other[at + 10] = 12;
    assert!(says(&other).contains("method 12"));
    let plain = std::fs::read(fixture("numpy.npz")).unwrap();
    assert!(says(&replaced(&plain, b"'descr'", b"'color'")).contains("checksum"));
}

#[test]
fn gzip_bombs_are_not_inflated() {
    use std::io::Write;
    let folder = Folder::new();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0u8; 1 << 20];
    (0..300).for_each(|_| packer.write_all(&zeros).unwrap());
    let bytes = packer.finish().unwrap();
    assert!(bytes.len() < 1 << 20);
    let path = folder.file("bomb.gz", &bytes);
    assert!(says(&path, Idx::load(&path)).contains("expands to more than"));
}

#[test]
fn idx_files() {
    let folder = Folder::new();
    let says = |bytes: &[u8]| {
        let path = folder.file("x", bytes);
        says(&path, Idx::load(&path))
    };
    assert_eq!(Idx::load(fixture("labels-idx1-ubyte.gz")).unwrap(), Idx { dims: vec![3], bytes: vec![7, 2, 1] });
    assert!(says(b"\0\0").contains("it has 2 bytes"));
    assert!(says(b"\x1f\x8b\x08\x00").contains("gzip"));
    assert!(says(b"PNG\0").contains("not with two zeros"));
    assert!(says(&[0, 0, 0x0d, 1, 0, 0, 0, 0]).contains("type 0x0d"));
    assert!(says(&[0, 0, 8, 3, 0, 0]).contains("header is cut off"));
    assert!(says(&[0, 0, 8, 1, 0, 0, 0, 2, 9]).contains("do not fit its 1 elements"));
    assert!(says(&[[0, 0, 8, 3].as_slice(), &[255; 12]].concat()).contains("do not fit its 0 elements"));
}

#[test]
fn mnist_folders() {
    let folder = Folder::new();
    let set = Mnist { pixels: vec![7; 12], labels: vec![0, 1, 2], height: 2, width: 2 };
    set.save(&folder.0, "train").unwrap();
    assert_eq!(Mnist::train(&folder.0).unwrap(), set);
    let text = |result: wgrad::Result<Mnist>| result.unwrap_err().to_string();
    assert!(text(Mnist::test(&folder.0)).contains("there is no t10k-images-idx3-ubyte"));
    assert!(text(Mnist::train(folder.join("nowhere"))).contains("is no folder with IDX files"));
    Idx { dims: vec![2], bytes: vec![0; 2] }.save(folder.join("train-labels-idx1-ubyte")).unwrap();
    assert!(text(Mnist::train(&folder.0)).contains("has dims [2], but there are 3 images"));
    Idx { dims: vec![12], bytes: vec![0; 12] }.save(folder.join("train-images-idx3-ubyte")).unwrap();
    assert!(text(Mnist::train(&folder.0)).contains("not images, rows and columns"));
    assert!(Mnist { labels: vec![0], ..set }.save(&folder.0, "train").is_err());
}

#[test]
fn names_that_do_not_belong_to_a_model() {
    use wgrad::nn::{Linear, Parameters};
    let read = io::load_safetensors(fixture("torch.safetensors"), &Device::cpu()).unwrap();
    let error = Linear::new(2, 3, &Device::cpu()).load_state_dict(&read).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("weight"), "{error}");
}

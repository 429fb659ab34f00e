//! The npy format: a magic, a header that is a Python dict, the data. (numpy, `numpy.lib.format`, versions 1 to 3.)

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use crate::array::Array;
use crate::io::element::{Element, checked_shape, decode, encode};
use crate::shape::Shape;
use crate::with_array;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Where numpy lets the data begin.
const ALIGN: usize = 64;

/// What the header says.
#[derive(Debug, PartialEq)]
struct Header {
    element: Element,
    big_endian: bool,
    fortran: bool,
    dims: Vec<u64>,
}

/// The array as the bytes of an npy file.
pub fn write(array: &Array) -> Vec<u8> {
    let descr = match Element::of(array.dtype()) {
        Element::Bool => "|b1",
        Element::U32 => "<u4",
        Element::I32 => "<i4",
        Element::F16 => "<f2",
        Element::F64 => "<f8",
        _ => "<f4",
    };
    let shape = array.shape();
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A tuple of one needs its comma.
    let tuple = if dims.len() == 1 { format!("({},)", dims[0]) } else { format!("({})", dims.join(", ")) };
    let mut dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple}, }}");
    let unpadded = MAGIC.len() + 4 + dict.len() + 1;
    dict.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGN) - unpadded));
    dict.push('\n');
    let mut bytes = MAGIC.to_vec();
    // At most 64 dims of at most 20 digits: the length fits version 1's two bytes.
    bytes.extend([1, 0]);
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.as_bytes());
    bytes.extend(encode(array));
    bytes
}

/// The array in the bytes of an npy file; column-major ones are turned round.
///
/// # Errors
/// What is wrong with them.
pub fn read(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("is no npy file: the magic is missing")?;
    let short = || "the npy header is cut off".to_owned();
    let &[version, _] = rest.first_chunk().ok_or_else(short)?;
    let (len, at) = match version {
        1 => (usize::from(u16::from_le_bytes(*rest[2..].first_chunk().ok_or_else(short)?)), 4),
        2 | 3 => (u32::from_le_bytes(*rest[2..].first_chunk().ok_or_else(short)?) as usize, 6),
        other => return Err(format!("npy version {other} is not known")),
    };
    let body = rest.get(at..).ok_or_else(short)?;
    let text = body.get(..len).ok_or_else(short)?;
    let text = std::str::from_utf8(text).map_err(|_| "the npy header is no text")?;
    let header = parse(text)?;
    let data = &body[len..];
    let shape = checked_shape(&header.dims, header.element, data.len() as u64)?;
    let array = decode(header.element, &shape, data, header.big_endian)?;
    if !header.fortran || shape.len() < 2 {
        return Ok(array);
    }
    fn transposed<T: crate::array::ArrayElement>(a: ArrayD<T>, shape: &Shape) -> Result<Array, String> {
        let values = a.into_raw_vec_and_offset().0;
        let turned = ArrayD::from_shape_vec(IxDyn(shape).f(), values).map_err(|e| e.to_string())?;
        Ok(T::wrap(turned.as_standard_layout().into_owned()))
    }
    with_array!(array, a => transposed(a, &shape))
}

/// The header's dict, as numpy writes it: any order of keys, strings in either quotes.
fn parse(text: &str) -> Result<Header, String> {
    let mut scan = Scan(text);
    let (mut descr, mut fortran, mut dims) = (None, None, None);
    scan.take("{")?;
    while !scan.is_next("}") {
        let key = scan.string()?;
        scan.take(":")?;
        match key {
            "descr" => descr = Some(scan.string().map_err(|_| "structured arrays are not read")?),
            "fortran_order" => fortran = Some(scan.boolean()?),
            "shape" => dims = Some(scan.tuple()?),
            other => return Err(format!("the npy header has an unknown key {other:?}")),
        }
        if !scan.is_next("}") {
            scan.take(",")?;
        }
    }
    scan.take("}")?;
    scan.end()?;
    let missing = |key: &str| format!("the npy header has no {key}");
    let (element, big_endian) = element(descr.ok_or_else(|| missing("descr"))?)?;
    let fortran = fortran.ok_or_else(|| missing("fortran_order"))?;
    Ok(Header { element, big_endian, fortran, dims: dims.ok_or_else(|| missing("shape"))? })
}

/// numpy's type string, such as `<f4`.
fn element(descr: &str) -> Result<(Element, bool), String> {
    let unknown = || format!("the element type {descr:?} is not read");
    let kind = descr.get(1..).ok_or_else(unknown)?;
    let big_endian = match descr.as_bytes().first() {
        Some(b'<' | b'|' | b'=') => false,
        Some(b'>') => true,
        _ => return Err(unknown()),
    };
    let element = match kind {
        "b1" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => return Err(unknown()),
    };
    Ok((element, big_endian))
}

/// What is left of a header.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn is_next(&mut self, token: &str) -> bool {
        self.0 = self.0.trim_start();
        self.0.starts_with(token)
    }

    fn take(&mut self, token: &str) -> Result<(), String> {
        if self.is_next(token) {
            self.0 = &self.0[token.len()..];
            return Ok(());
        }
        let found: String = self.0.chars().take(12).collect();
        Err(format!("the npy header has {found:?} where {token:?} should be"))
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.is_next("'") { '\'' } else { '"' };
        self.take(if quote == '\'' { "'" } else { "\"" })?;
        let (string, rest) = self.0.split_once(quote).ok_or("the npy header has a string without an end")?;
        self.0 = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        let value = self.is_next("True");
        self.take(if value { "True" } else { "False" })?;
        Ok(value)
    }

    fn tuple(&mut self) -> Result<Vec<u64>, String> {
        let mut dims = Vec::new();
        self.take("(")?;
        while !self.is_next(")") {
            let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let (number, rest) = self.0.split_at(end);
            dims.push(number.parse().map_err(|_| "the npy header's shape is no tuple of sizes")?);
            self.0 = rest;
            if !self.is_next(")") {
                self.take(",")?;
            }
        }
        self.take(")")?;
        Ok(dims)
    }

    fn end(&self) -> Result<(), String> {
        if self.0.trim().is_empty() { Ok(()) } else { Err("the npy header goes on after its dict".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dict: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(dict.len() as u16).to_le_bytes(), dict.as_bytes(), data].concat()
    }

    #[test]
    fn what_is_written_is_read_again() {
        for shape in [Shape::from([]), Shape::from([3]), Shape::from([2, 0]), Shape::from([2, 3, 4])] {
            let array = Array::from_vec(&shape, (0..shape.numel()).map(|i| i as f32 - 1.5).collect());
            let bytes = write(&array);
            assert_eq!(read(&bytes).unwrap(), array);
            let data_at = bytes.len() - shape.numel() * 4;
            assert_eq!(data_at % ALIGN, 0);
        }
    }

    #[test]
    fn column_major_and_big_endian_files_are_turned_round() {
        // [[1, 2, 3], [4, 5, 6]] by columns, as ">i2".
        let data: Vec<u8> = [1i16, 4, 2, 5, 3, 6].iter().flat_map(|v| v.to_be_bytes()).collect();
        let bytes = file("{\"shape\": (2, 3), 'fortran_order': True, 'descr': '>i2'}", &data);
        let expected = Array::from_vec(&Shape::from([2, 3]), vec![1i32, 2, 3, 4, 5, 6]);
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn damage_is_named() {
        let says = |bytes: &[u8]| read(bytes).unwrap_err();
        let dict = |descr: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
        assert!(says(b"").contains("magic"));
        assert!(says(MAGIC).contains("cut off"));
        assert!(says(&[MAGIC, &[9, 0, 0, 0]].concat()).contains("version 9"));
        assert!(says(&[MAGIC, &[2, 0, 255, 255, 255, 255]].concat()).contains("cut off"));
        assert!(says(&file(&dict("'<f4'", "(2,)"), &[0; 7])).contains("needs 8 bytes, but there are 7"));
        assert!(says(&file(&dict("'<f4'", "(9999999999, 9999999999)"), &[0; 8])).contains("too large"));
        assert!(says(&file(&dict("'<f4'", "(0, 99999999999999999999)"), &[])).contains("no tuple of sizes"));
        assert!(says(&file(&dict("'<f4'", "(0, 9999999999999999999, 99)"), &[])).contains("too large"));
        assert!(says(&file(&dict("'<c8'", "()"), &[0; 8])).contains("\"<c8\" is not read"));
        assert!(says(&file(&dict("[('a', '<f4')]", "()"), &[0; 4])).contains("structured"));
        assert!(says(&file("{'descr': '<f4'}", &[])).contains("no fortran_order"));
        assert!(says(&file(&dict("'|b1'", "(1,)"), &[2])).contains("no boolean"));
        assert!(says(&file(&dict("'<i8'", "(1,)"), &i64::MAX.to_le_bytes())).contains("does not fit i32"));
    }
}

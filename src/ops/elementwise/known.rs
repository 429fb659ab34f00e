//! The signatures of the backward functions of the table's rows, as naga reads them. They are kept in `signatures.txt`, so that nothing has to be
//! parsed when a program runs; a test holds the file to naga's reading.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::dependence::Parameters;
use super::wgsl::{Signature, intern};

/// A line for each function: name, parameters, returned type, fields, what each depends on, and what each is a copy of.
const FILE: &str = include_str!("signatures.txt");

/// The signature of the backward function of a row.
pub fn backward(name: &str) -> Option<Signature> {
    static LINES: OnceLock<HashMap<&'static str, &'static str>> = OnceLock::new();
    let lines = LINES.get_or_init(|| FILE.lines().filter_map(|line| line.split_once(' ')).collect());
    lines.get(name).and_then(|line| parse(line))
}

fn parse(line: &'static str) -> Option<Signature> {
    let [parameters, returns, fields, uses, copies] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let list = |text: &'static str| text.split(',').filter(|part| *part != "-");
    let parameter = |text: &str| text.split_once(':').map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    Some(Signature {
        parameters: list(parameters).map(parameter).collect::<Option<_>>()?,
        fields: list(fields).map(intern).collect(),
        uses: list(uses)
            .map(|bits| u64::from_str_radix(bits, 16).ok().map(Parameters::of_bits))
            .collect::<Option<_>>()?,
        copies: list(copies)
            .map(|text| if text == "no" { Some(None) } else { text.parse().ok().map(Some) })
            .collect::<Option<_>>()?,
        returns: returns.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::elementwise::rows;
    use crate::ops::elementwise::user::sign;
    use crate::ops::elementwise::wgsl::{PRELUDE, prelude_functions};

    #[test]
    fn the_names_of_the_preludes_functions_are_found() {
        let module = naga::front::wgsl::parse_str(PRELUDE).unwrap();
        let read = module.functions.iter().filter_map(|(_, function)| function.name.clone()).collect();
        assert_eq!(*prelude_functions(), read);
    }

    fn line(name: &str, signature: &Signature) -> String {
        let list = |parts: Vec<String>| if parts.is_empty() { "-".to_owned() } else { parts.join(",") };
        let parameters = signature.parameters.iter().map(|(name, kind)| format!("{name}:{kind}")).collect();
        let fields = signature.fields.iter().map(|field| (*field).to_owned()).collect();
        let uses = signature.uses.iter().map(|uses| format!("{:x}", uses.bits())).collect();
        let copies = signature.copies.iter().map(|copy| copy.map_or("no".to_owned(), |i| i.to_string())).collect();
        let returns = &signature.returns;
        format!("{name} {} {returns} {} {} {}\n", list(parameters), list(fields), list(uses), list(copies))
    }

    /// `WGRAD_WRITE=1` writes the file anew.
    #[test]
    fn the_file_is_what_naga_reads() {
        let mut lines = Vec::new();
        for row in rows() {
            let name = row.name.trim_end_matches('_');
            let read = sign(name, row.wgsl).unwrap();
            lines.extend(read.as_ref().map(|signature| line(name, signature)));
            if std::env::var("WGRAD_WRITE").is_err() {
                assert_eq!(backward(name), read, "{name}");
            }
        }
        lines.sort();
        let text = lines.concat();
        if std::env::var("WGRAD_WRITE").is_ok() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops/elementwise/signatures.txt");
            std::fs::write(path, &text).unwrap();
        } else {
            assert_eq!(text, FILE);
        }
    }
}
